"""What ``pytest --pyfastlock`` does: pytest_pyfastlock.py, beside this package, begins it.

`threading` is patched before the first conftest.py is imported.

A DeadlockError in the thread of a test fails the test as any exception does.  One that ends another
thread is kept, and fails the test that runs.

A dump of the locks is due a moment before pytest's `faulthandler_timeout` or pytest-timeout
strikes, whichever comes first.  Where the process may end then, or hang for ever, the dump goes to
stderr, beside the stacks.  Where the test ends and has a report, it becomes a part of that.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

import pyfastlock

EARLIER_S = 0.1
"""How long before the timeout the locks are dumped: while the test still waits."""


def begin(config: pytest.Config) -> None:
    """Patch `threading` until the end of the run, and look after the tests."""
    stack = ExitStack()
    try:
        stack.enter_context(pyfastlock.patched())
    except RuntimeError as error:
        raise pytest.UsageError(f"--pyfastlock: {error}") from None
    config.add_cleanup(stack.close)
    config.pluginmanager.register(Plugin(config), "pyfastlock-tests")


class Plugin:
    """The hooks."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.unhandled: deque[threading.ExceptHookArgs] = deque()
        self.due_s = 0.0
        """In how many seconds from the beginning of the test the locks are dumped; 0: not."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        stack = ExitStack()
        self.config.add_cleanup(stack.close)
        self.dump = tempfile.TemporaryFile()  # noqa: SIM115
        stack.callback(self.dump.close)
        self.stderr = os.dup(stderr_fileno())  # not what pytest makes of it during a test
        stack.callback(os.close, self.stderr)
        # Last of all, as pytest's own plugin calls nobody else.
        self.old_hook = threading.excepthook
        threading.excepthook = self.excepthook
        stack.callback(self.put_hook_back)

    def pytest_report_header(self) -> str:
        return (
            f"pyfastlock: the locks of threading are those of pyfastlock {pyfastlock.__version__}"
        )

    # ---- deadlocks of other threads ----

    def excepthook(self, args: threading.ExceptHookArgs, /) -> None:
        if issubclass(args.exc_type, pyfastlock.DeadlockError):
            self.unhandled.append(args)
        else:
            self.old_hook(args)

    def put_hook_back(self) -> None:
        threading.excepthook = self.old_hook
        while self.unhandled:  # since the last test
            self.old_hook(self.unhandled.popleft())

    def checked(self, item: pytest.Item, when: str) -> Generator[None, Any, Any]:
        try:
            result = yield
        except BaseException:
            for text in self.take_deadlocks():
                item.add_report_section(when, "deadlock", text)
            raise
        texts = self.take_deadlocks()
        if texts:
            pytest.fail("\n".join(texts), pytrace=False)
        return result

    def take_deadlocks(self) -> list[str]:
        texts = []
        while self.unhandled:
            args = self.unhandled.popleft()
            name = "an unknown thread" if args.thread is None else args.thread.name
            lines = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
            texts.append(f"DeadlockError in thread {name}\n{''.join(lines)}")
        return texts

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self.checked(item, "setup"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self.checked(item, "call"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self.checked(item, "teardown"))

    # ---- tests that take too long ----

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        seconds = float(self.ini("faulthandler_timeout") or 0)
        if seconds > 0:
            in_worker = hasattr(self.config, "workerinput")  # of xdist: its stderr is nobody's
            ends = bool(self.ini("faulthandler_exit_on_timeout"))
            self.dump_later(seconds, in_report=in_worker and not ends)
        try:
            return (yield)
        finally:
            self.cancel()

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, settings: Any) -> None:
        if self.due_s == 0 or settings.timeout < self.due_s:
            self.dump_later(settings.timeout, in_report=settings.method == "signal")

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> None:
        self.cancel()

    @pytest.hookimpl(tryfirst=True)
    def pytest_enter_pdb(self) -> None:
        self.cancel()

    @pytest.hookimpl(tryfirst=True)
    def pytest_exception_interact(self) -> None:
        self.cancel()

    def ini(self, name: str) -> Any:
        """A setting of pytest's own plugin; None where it is switched off, or has no such one."""
        try:
            return self.config.getini(name)
        except (KeyError, ValueError):
            return None

    def dump_later(self, seconds: float, *, in_report: bool) -> None:
        self.due_s = seconds
        earlier = max(seconds - EARLIER_S, seconds / 2)
        pyfastlock.dump_locks_later(earlier, file=self.dump if in_report else self.stderr)

    def cancel(self) -> None:
        if self.due_s:
            self.due_s = 0
            pyfastlock.cancel_dump_locks_later()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        self.dump.seek(0)
        text = self.dump.read().decode(errors="backslashreplace")
        if text:
            self.dump.seek(0)
            self.dump.truncate()
            item.add_report_section(call.when, "lock dump", text)
        return (yield)


def stderr_fileno() -> int:
    try:
        fileno = sys.stderr.fileno()
        if fileno >= 0:
            return fileno
    except (AttributeError, OSError, ValueError):
        pass
    return 2
