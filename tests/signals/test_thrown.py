"""Exceptions that one thread throws into another one, which waits (`PyThreadState_SetAsyncExc`).

Such an exception does not end a wait: it is raised when the wait has ended by itself, and what the
wait has taken is taken. Since Python 3.15 `PyErr_CheckSignals` raises it in any thread, so a wait
that called this outside of the main thread would lose what it was given.
"""

from __future__ import annotations

import ctypes
import signal
import time
from types import ModuleType
from typing import Any

import pytest
from concurrency import Handle, Interrupt, queued
from support import DEADLINE, held_elsewhere, parked, start

import pyfastlock

KINDS = ["Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"]


def make(impl: ModuleType, kind: str) -> Any:
    """An object that a thread has to wait for."""
    if kind == "Barrier":
        return impl.Barrier(2)
    if kind == "Semaphore":
        return impl.Semaphore(0)
    obj = getattr(impl, kind)()
    if kind == "BoundedSemaphore":
        assert obj.acquire()
    return obj


def wait_for(obj: Any, timeout: float | None) -> None:
    """Wait for `obj`, then do nothing until an exception comes."""
    args = () if timeout is None else (timeout,)
    if isinstance(obj, pyfastlock.Condition):
        with obj:
            obj.wait(*args)
    elif isinstance(obj, (pyfastlock.Event, pyfastlock.Barrier)):
        obj.wait(*args)
    else:
        obj.acquire(True, *args)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        pass


def end_the_wait(obj: Any) -> None:
    if isinstance(obj, pyfastlock.Condition):
        with obj:
            obj.notify()
    elif isinstance(obj, pyfastlock.Event):
        obj.set()
    elif isinstance(obj, pyfastlock.Barrier):
        assert obj.wait(DEADLINE) == 1
    else:
        obj.release()


@pytest.mark.parametrize("timeout", [None, 3 * DEADLINE], ids=["untimed", "timed"])
@pytest.mark.parametrize("kind", KINDS)
def test_t41_t42_exception_thrown_into_a_wait(
    handle: Handle, kind: str, timeout: float | None
) -> None:
    obj = make(pyfastlock, kind)
    owned: list[bool] = []

    def body() -> bool:
        try:
            wait_for(obj, timeout)
        except Interrupt:
            if kind == "RLock":
                owned.append(obj._is_owned())
                obj.release()
            return True
        return False

    def throw_into(ident: int) -> None:
        """And disturb the thread, so that it looks at what has come."""
        exception = ctypes.py_object(Interrupt)
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception) == 1
        for _ in range(5):
            signal.pthread_kill(ident, signal.SIGUSR1)
            time.sleep(0.001)

    def wait_and_be_hit() -> None:
        waiter = start(body)
        parked(obj)
        throw_into(waiter.ident)
        assert queued(obj) == 1, "the wait goes on"
        waiters.append(waiter)

    waiters: list[Any] = []
    handle(lambda: None)
    if kind in ("Lock", "RLock"):
        with held_elsewhere(obj):
            wait_and_be_hit()
    else:
        wait_and_be_hit()
        end_the_wait(obj)
    assert waiters[0].join() is True, "it was raised"
    assert queued(obj) == 0
    if kind == "RLock":
        assert owned == [True]
    if kind == "Lock":
        assert obj.locked()
        obj.release()
    if kind in ("Lock", "RLock", "Condition"):
        assert obj.acquire(False)
        obj.release()
    elif kind == "Event":
        assert obj.is_set()
    elif kind == "Barrier":
        assert (obj.n_waiting, obj.broken) == (0, False)
    else:
        assert obj._value == 0
