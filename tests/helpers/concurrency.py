"""What the concurrency tests share: kinds of locks, holders, signals, children and scripts."""

from __future__ import annotations

import _thread
import faulthandler
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from support import DEADLINE, PATIENCE, SETTLE, is_ours, parked, start, stdlib_condition

TESTS = Path(__file__).resolve().parent

LOCK_KINDS = ["Lock", "RLock", "plain", "foreign"]
"""The kinds that `make_lock` knows: ours (or the stdlib's), and two that are nobody's."""

CHILD_LIMIT = int(20 * PATIENCE)
"""Seconds after which a child or a script kills itself; less than what its parent waits."""


HANDLED_WITHIN = 1.0
"""Seconds within which a signal's handler must run. The measured delay is far smaller; it is
printed."""

Handle = Callable[[Callable[[], object]], None]
"""The fixture `handle`."""


class Interrupt(Exception):
    """What a signal handler raises in these tests."""


def interrupt() -> None:
    raise Interrupt


class PlainLock:
    """A lock in Python that has acquire and release, and nothing else."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()


class PlainLockWithLocked(PlainLock):
    """What the stdlib's Condition needs at least, since Python 3.14."""

    def locked(self) -> bool:
        return self._lock.locked()


def make_lock(impl: ModuleType, kind: str) -> Any:
    """A new lock of one of `LOCK_KINDS`."""
    if kind == "plain":
        lock = PlainLockWithLocked() if impl is threading else PlainLock()
        # wait() releases the lock when it has queued itself. A handler that runs then, on entry to
        # a function in Python, would find it still held, by the thread that it interrupts.
        lock.release = lock._lock.release  # type: ignore[method-assign]
        return lock
    if kind == "foreign":
        return threading.RLock()
    return getattr(impl, kind)()


def patience(obj: Any, seconds: float = 0.25) -> float:
    """How long to wait for what must happen: on the stdlib's `obj`, where it is known not to
    happen in tests that it fails, only `seconds`."""
    return DEADLINE if is_ours(obj) else seconds


def queued(obj: Any) -> int:
    """How many threads are queued on `obj`, as far as it can tell."""
    if is_ours(obj):
        from pyfastlock import _core

        return _core._waiters(obj)
    cond = stdlib_condition(obj)
    return len(cond._waiters) if cond is not None else 0


NUDGE = signal.SIGUSR2
"""A signal whose handler does nothing."""

_handled = 0


def on_signal(fn: Callable[[], object], signum: int = signal.SIGUSR1) -> None:
    """From now on the signal calls `fn()` in the main thread."""

    def handler(*_: object) -> None:
        global _handled  # noqa: PLW0603 - the thread that sent the signal looks at it
        _handled += 1
        fn()

    signal.signal(signum, handler)
    signal.signal(NUDGE, lambda *_: None)


def ignore_signal(signum: int = signal.SIGUSR1) -> None:
    """From now on the signal does nothing; a late one does not end the process either."""
    signal.signal(signum, signal.SIG_IGN)


def main_sleeps() -> bool:
    """Whether the main thread is blocked: it has done what it could after a signal that was sent.

    It is asked three times, because it sleeps also while it waits for the GIL, which it gets
    between two questions.  Where the system does not tell, a moment has passed.
    """
    path = Path(f"/proc/self/task/{threading.main_thread().native_id}/stat")
    for _ in range(3):
        time.sleep(SETTLE)
        if path.exists() and path.read_text().rpartition(")")[2].split()[0] != "S":
            return False
    return True


def kick_main(signum: int = signal.SIGUSR1, *, nudge: bool = False) -> None:
    """Send a signal to the main thread.

    The stdlib misses a signal that arrives a moment before the thread sleeps. With `nudge` the
    main thread is disturbed until the handler (which is `on_signal`'s) has begun.
    """
    ident = threading.main_thread().ident
    assert ident is not None
    before = _handled
    signal.pthread_kill(ident, signum)
    if nudge:
        deadline = time.monotonic() + 2
        while _handled == before and time.monotonic() < deadline:
            time.sleep(0.02)
            if _handled == before:
                signal.pthread_kill(ident, NUDGE)


def kick_when_parked(obj: Any, n: int = 1, signum: int = signal.SIGUSR1) -> Any:
    """Start a thread that signals the main thread when `n` threads are parked on `obj`.

    Its result is the monotonic time of the signal.
    """

    def kick() -> float:
        parked(obj, n)
        sent = time.monotonic()
        kick_main(signum, nudge=not is_ours(obj))
        return sent

    return start(kick)


def finalize_when_parked(obj: Any, how: str, finalizer: Callable[[], object]) -> Any:
    """Start a thread in which a thing ends when a thread is parked on `obj`.

    The thing's `__del__` or, where `how` is "weakref", its weak reference's callback calls
    `finalizer()`. The thing is made in that thread: without the GIL it ends there.
    """

    class Thing:
        if how == "__del__":

            def __del__(self) -> None:
                finalizer()

    def drop() -> None:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: finalizer()) if how == "weakref" else None
        parked(obj)
        del thing
        assert reference is None or reference() is None

    return start(drop)


def fork() -> int:
    """`os.fork`, without the warning about other threads: they are what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def leave_child(check: Callable[[], object]) -> NoReturn:
    """Call `check` in a forked child, then end the child: status 0 if `check` returned."""
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=sys.__stderr__, chain=True)
        signal.alarm(CHILD_LIMIT)
        check()
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        sys.__stderr__.flush()
        os._exit(status)


def join_child(pid: int, limit: float = CHILD_LIMIT + 10) -> None:
    """Wait for a child to end, and assert that its status is 0."""
    deadline = time.monotonic() + limit
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"the child still ran after {limit} s")
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"the child ended with {code}; its traceback is in the captured stderr"


def in_child(check: Callable[[], object]) -> None:
    """Fork; the child calls `check`; assert that it returned."""
    pid = fork()
    if pid == 0:
        leave_child(check)
    join_child(pid)


PRELUDE = """\
import faulthandler, importlib, sys, types
faulthandler.dump_traceback_later({limit}, exit=True)
# The helpers that scripts use need nothing of pytest, whose import takes seconds in a debug build.
sys.modules["pytest"] = types.ModuleType("pytest")
impl = importlib.import_module({impl!r})
from support import *
from concurrency import *
"""


def run_script(
    source: str,
    impl: ModuleType | str = "pyfastlock",
    *,
    limit: float = CHILD_LIMIT,
    options: tuple[str, ...] = (),
    prelude: str = PRELUDE,
) -> subprocess.CompletedProcess[str]:
    """Run `source` in a fresh interpreter of the same kind, with `impl` as the module under test.

    After `limit` seconds it prints all its stacks and ends with status 1.
    """
    name = impl if isinstance(impl, str) else impl.__name__
    path = [str(TESTS)]
    spec = importlib.util.find_spec("pyfastlock")
    if spec is not None and spec.origin is not None:
        path.append(str(Path(spec.origin).parent.parent))
    env = {k: v for k, v in os.environ.items() if k != "PYTHON_GIL"}
    env["PYTHONPATH"] = os.pathsep.join(path)
    return subprocess.run(
        [
            *(sys.executable, "-X", "faulthandler", "-W", "error", *options, "-c"),
            prelude.format(limit=limit, impl=name) + textwrap.dedent(source),
        ],
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit + DEADLINE,
    )


def check_script(
    source: str, impl: ModuleType | str = "pyfastlock", *, output: str = "", **kwargs: Any
) -> None:
    """Run a script and assert that it succeeds, silent but for `output` on its stdout."""
    done = run_script(source, impl, **kwargs)
    told = f"status {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    assert done.returncode == 0, told
    assert done.stderr == "", told
    assert done.stdout.strip() == output, told
