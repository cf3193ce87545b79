"""Every type of the package as a typed program uses it.

No test runs this: `mypy --strict` checks it against the installed stubs. The lines that it has to
reject say so with a `type: ignore`, which is itself an error where there is nothing to ignore.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol, assert_type

import pyfastlock
from pyfastlock import (
    TIMEOUT_MAX,
    Barrier,
    BoundedSemaphore,
    BrokenBarrierError,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
    get_ident,
)


class Acquirable(Protocol):
    """What functions that take any lock ask for."""

    def acquire(self, blocking: bool = ...) -> bool: ...
    def release(self) -> None: ...


def guarded(lock: Acquirable, work: Callable[[], int]) -> int:
    if not lock.acquire(False):
        return 0
    try:
        return work()
    finally:
        lock.release()


def blocks() -> list[AbstractContextManager[bool]]:
    """All that `with` takes, and what it gives."""
    return [Lock(), RLock(), Condition(), Semaphore(), BoundedSemaphore()]


def locks() -> None:
    lock, rlock = Lock(), RLock()
    assert_type(lock.acquire(), bool)
    assert_type(lock.acquire(True, TIMEOUT_MAX), bool)
    assert_type(lock.acquire(blocking=True, timeout=0.5), bool)
    assert_type(lock.locked(), bool)
    assert_type(rlock.acquire(timeout=5), bool)
    with lock as locked, rlock:
        assert_type(locked, bool)
    assert_type(get_ident(), int)
    for any_lock in (lock, rlock, Condition(), Semaphore(), BoundedSemaphore()):
        assert_type(guarded(any_lock, get_ident), int)
    with ExitStack() as stack:
        for block in blocks():
            stack.enter_context(block)
    lock.acquire("yes")  # type: ignore[arg-type]
    lock.acquire(timeout=None)  # type: ignore[arg-type]
    Lock(1)  # type: ignore[call-arg]


class Queue(Condition):
    """A subclass with attributes."""

    def __init__(self) -> None:
        super().__init__(Lock())
        self.items: list[str] = []

    def get(self, timeout: float | None = None) -> str | None:
        with self:
            found = self.wait_for(lambda: self.items, timeout)
            assert_type(found, list[str])
            return found.pop() if found else None

    def put(self, item: str) -> None:
        with self:
            self.items.append(item)
            self.notify()


def conditions() -> None:
    cond = Condition()
    with cond as owned:
        assert_type(owned, bool)
        assert_type(cond.wait(0.1), bool)
        cond.notify(n=2)
        cond.notify_all()
    for lock in (Lock(), RLock(), threading.Lock(), threading.RLock(), Semaphore()):
        Condition(lock)
    assert_type(Queue().get(), str | None)
    Condition(1)  # type: ignore[arg-type]
    cond.wait_for(1)  # type: ignore[arg-type]


class Alarm(Event):
    rung = 0

    def set(self) -> None:
        self.rung += 1
        super().set()


def events() -> None:
    event = Event()
    event.set()
    event.clear()
    assert_type(event.is_set(), bool)
    assert_type(event.wait(), bool)
    assert_type(event.wait(timeout=0.5), bool)
    assert_type(event.wait(None), bool)
    Alarm().set()
    event.wait("1")  # type: ignore[arg-type]
    event.set(True)  # type: ignore[call-arg]
    with event:  # type: ignore[attr-defined]
        pass


class Pool(BoundedSemaphore):
    def release(self, n: int = 1) -> None:
        super().release(n)


def semaphores() -> None:
    semaphore: Semaphore = BoundedSemaphore(value=2)
    assert_type(semaphore.acquire(), bool)
    assert_type(semaphore.acquire(False), bool)
    assert_type(semaphore.acquire(blocking=True, timeout=None), bool)
    assert_type(semaphore.acquire(timeout=0.5), bool)
    semaphore.release()
    semaphore.release(n=1)
    with semaphore as acquired, Pool(3):
        assert_type(acquired, bool)
    Semaphore(1.5)  # type: ignore[arg-type]
    BoundedSemaphore(None)  # type: ignore[arg-type]
    semaphore.release("1")  # type: ignore[arg-type]
    semaphore.acquire(timeout="1")  # type: ignore[arg-type]
    pool: BoundedSemaphore = semaphore  # type: ignore[assignment]
    pool.release()


def barriers() -> None:
    barrier = Barrier(2, action=get_ident, timeout=1.5)
    try:
        assert_type(barrier.wait(), int)
        assert_type(barrier.wait(timeout=1), int)
    except BrokenBarrierError as error:
        also: threading.BrokenBarrierError = error
        raise also from None
    assert_type(barrier.parties, int)
    assert_type(barrier.n_waiting, int)
    assert_type(barrier.broken, bool)
    barrier.abort()
    barrier.reset()
    Barrier(2, print)
    Barrier(parties=2, action=None)
    Barrier()  # type: ignore[call-arg]
    Barrier(2, 1)  # type: ignore[arg-type]
    Barrier(2, guarded)  # type: ignore[arg-type]
    barrier.parties = 3  # type: ignore[misc]


def constants() -> None:
    assert_type(pyfastlock.__version__, str)
    assert_type(TIMEOUT_MAX, float)
    pyfastlock.TIMEOUT_MAX = 5.0  # type: ignore[misc]
    pyfastlock.no_such_name  # type: ignore[attr-defined]  # noqa: B018
