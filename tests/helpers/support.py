"""Helpers that the tests share: threads that report, polling, expected failures of the stdlib.

Nothing here blocks without a deadline: a hang is a failure, and it says where the thread hangs.
"""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PATIENCE = float(os.environ.get("PYFASTLOCK_PATIENCE", "1"))
"""How many times longer everything may take: more than once as long under a sanitizer."""

DEADLINE = 30.0 * PATIENCE
"""Seconds after which a test that waits for something has failed."""

SETTLE = 0.02
"""Seconds given to a thread to block on an object that does not tell who waits for it."""

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
"""Whether this is a build without the GIL (even if the GIL was switched on again at run time)."""

DEBUG_BUILD = hasattr(sys, "gettotalrefcount")
"""Whether this is a debug build of the interpreter, which counts all references."""


def fails_on_stdlib(
    reason: str,
    *,
    raises: type[BaseException] | tuple[type[BaseException], ...] = AssertionError,
    when: bool = True,
    strict: bool = True,
    run: bool = True,
) -> pytest.MarkDecorator:
    """Mark a test over `impl` that shows a defect of the standard library.

    The test has to pass with pyfastlock and to fail with `raises` on `threading`, where `when` is
    true (for a defect that some versions of Python do not have). `run=False` is for what would
    hang or crash the process.
    """
    return pytest.mark.fails_on_stdlib(
        reason=reason, raises=raises, when=when, strict=strict, run=run
    )


def is_ours(obj: object) -> bool:
    """Whether `obj` is an instance of one of pyfastlock's types, or of a subclass of one."""
    return any(cls.__module__.partition(".")[0] == "pyfastlock" for cls in type(obj).__mro__)


def is_open(obj: object) -> bool:
    """Whether an object of ours has the stdlib's attributes, without a look that would open it.

    Where the attributes of an instance are not in a dict yet, `gc` shows their values.
    """
    from pyfastlock import Condition

    inside = gc.get_referents(obj)
    dicts = [one for one in inside if type(one) is dict]
    return any("_cond" in one for one in dicts) or any(type(one) is Condition for one in inside)


def wait_until(
    predicate: Callable[[], Any], timeout: float = DEADLINE, message: str | None = None
) -> Any:
    """Poll until `predicate()` is true and return its value; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.0
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            what = message or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not true within {timeout:g} s: {what}")
        time.sleep(pause)
        pause = min(pause + 0.0002, 0.005)


def stdlib_condition(obj: Any) -> Any:
    """The stdlib's condition that `obj` is, or on which its Event, Semaphore or Barrier stands;
    None for anything else."""
    if isinstance(obj, (threading.Event, threading.Semaphore, threading.Barrier)):
        obj = obj._cond  # type: ignore[union-attr]
    return obj if isinstance(obj, threading.Condition) else None


def parked(obj: Any, n: int = 1, timeout: float = DEADLINE) -> None:
    """Wait until exactly `n` threads are blocked on `obj`.

    Our types can tell, and so can the stdlib's Condition and what stands on it. The stdlib's locks
    cannot: for those, and for foreign locks, this gives the threads `SETTLE` seconds.
    """
    if is_ours(obj):
        from pyfastlock import _core

        wait_until(lambda: _core._waiters(obj) == n, timeout, f"{n} threads are parked on {obj!r}")
    elif (cond := stdlib_condition(obj)) is not None:
        wait_until(lambda: len(cond._waiters) == n, timeout, f"{n} threads wait on {obj!r}")
        # A waiter is listed a moment before it lets go of the lock: when the lock can be had, or
        # is the caller's, it has.
        if cond is not obj or not cond._is_owned():
            assert cond.acquire(True, timeout)
            cond.release()
    else:
        time.sleep(SETTLE)


class Started:
    """A daemon thread that `start` began; keeps what its function returned or raised."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.name = getattr(fn, "__qualname__", repr(fn))
        self.exception: BaseException | None = None
        self.observed = False
        self._result: Any = None
        self._fn = fn
        self._args = args
        self._kwargs = kwargs
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._result = self._fn(*self._args, **self._kwargs)
        except BaseException as exc:
            self.exception = exc
        finally:
            # What it used must not live on until the end of the test.
            del self._fn, self._args, self._kwargs

    @property
    def ident(self) -> int:
        """The identity of the thread, as `threading.get_ident` gives it there."""
        ident = self.thread.ident
        assert ident is not None
        return ident

    @property
    def done(self) -> bool:
        """Whether the thread has ended."""
        return not self.thread.is_alive()

    def join(self, timeout: float = DEADLINE) -> Any:
        """Wait for the thread to end, then return its function's result or raise its exception."""
        self.observed = True
        self.thread.join(timeout)
        if self.thread.is_alive():
            raise AssertionError(
                f"{self.name} did not end within {timeout:g} s; it is at\n{self.stack()}"
            )
        if self in _started:
            _started.remove(self)
        if self.exception is not None:
            try:
                raise self.exception
            finally:
                # No cycle exception -> traceback -> this frame -> self -> exception.
                self.exception = None
        return self._result

    def stack(self) -> str:
        """Where the thread is now."""
        frame = sys._current_frames().get(self.ident)
        return "".join(traceback.format_stack(frame)) if frame else "(it has ended)"


_started: list[Started] = []


def start(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Started:
    """Run `fn(*args, **kwargs)` in a daemon thread.

    The test has to `join` it: a thread that is still alive when the test has passed, or an
    exception in it that nobody looked at, makes the test an error.
    """
    started = Started(fn, args, kwargs)
    _started.append(started)
    return started


def run_in_thread(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`fn(*args, **kwargs)`, called by another thread: its result, or its exception."""
    return start(fn, *args, **kwargs).join()


def forget_threads() -> list[Started]:
    """The threads that `start` began since the last call."""
    threads = _started[:]
    _started.clear()
    return threads


def try_in_thread(lock: Any) -> bool:
    """Whether another thread could take `lock` right now (it gives it back at once)."""

    def attempt() -> bool:
        got = lock.acquire(False)
        if got:
            lock.release()
        return got

    return run_in_thread(attempt)


class Holder:
    """A thread that holds a lock until it is told to let go of it."""

    def __init__(self, lock: Any, depth: int):
        self._taken, self._told = threading.Event(), threading.Event()
        self._thread = start(self._hold, lock, depth)
        assert self._taken.wait(DEADLINE), self._thread.stack()

    def _hold(self, lock: Any, depth: int) -> None:
        for _ in range(depth):
            assert lock.acquire(True, DEADLINE)
        self._taken.set()
        assert self._told.wait(DEADLINE)
        is_owned = getattr(lock, "_is_owned", None)
        locked = getattr(lock, "locked", None)
        for _ in range(depth):
            if is_owned is None and locked is not None and not locked():
                break
            lock.release()

    @property
    def ident(self) -> int:
        """The identity of the thread, as `threading.get_ident` gives it there."""
        return self._thread.ident

    def let_go(self) -> None:
        """Tell the thread to give the lock back, and do not wait until it has."""
        self._told.set()

    def join(self) -> None:
        """Wait until the thread has given the lock back."""
        self._thread.join()


@contextmanager
def held_elsewhere(lock: Any, depth: int = 1) -> Iterator[Holder]:
    """Inside the block another thread holds `lock`, `depth` times, until it is told to let go.

    It gives the lock back at the end of the block at the latest. A Lock may be released by the
    block, as anybody may: then the thread has nothing to give back.
    """
    holder = Holder(lock, depth)
    try:
        yield holder
    finally:
        holder.let_go()
        holder.join()
