"""Using an event, a semaphore or a barrier as a whole: it must work after whatever happened."""

from __future__ import annotations

from typing import Any

from concurrency import queued
from support import DEADLINE, is_ours, parked, run_in_thread, start, wait_until

GHOSTS = "threads that do not exist in the child are still queued there"


def ghosts(obj: Any) -> int:
    """How many threads are queued that are not there: of the stdlib's, after a fork."""
    n = queued(obj)
    assert n == 0 or not is_ours(obj)
    return n


def use_event(event: Any) -> None:
    """Set, clear and wait, in the calling thread and in new ones."""
    left_behind = ghosts(event)
    event.clear()
    assert event.wait(0.01) is False
    waiters = [start(event.wait, DEADLINE) for _ in range(3)]
    parked(event, left_behind + 3)
    event.set()
    event.clear()
    assert [waiter.join() for waiter in waiters] == [True] * 3
    setter = start(lambda: (parked(event), event.set()))
    assert event.wait(DEADLINE) is True
    setter.join()
    event.clear()
    assert queued(event) == 0


def use_semaphore(semaphore: Any) -> None:
    """No permit is free, before and after."""
    assert semaphore._value == 0
    assert semaphore.acquire(timeout=0.01) is False
    waiter = start(semaphore.acquire, timeout=DEADLINE)
    parked(semaphore)
    semaphore.release()
    assert waiter.join() is True
    releaser = start(lambda: (parked(semaphore), semaphore.release()))
    assert semaphore.acquire(timeout=DEADLINE)
    releaser.join()
    semaphore.release()
    with semaphore:
        assert not run_in_thread(semaphore.acquire, False)
    assert semaphore.acquire(False)
    assert not semaphore.acquire(False)
    assert queued(semaphore) == 0


def use_barrier(barrier: Any) -> None:
    """Two rounds."""
    parties = barrier.parties
    for _ in range(2):
        assert (barrier.n_waiting, barrier.broken) == (0, False)
        others = [start(barrier.wait, DEADLINE) for _ in range(parties - 1)]
        wait_until(lambda: barrier.n_waiting == parties - 1)
        mine = barrier.wait(DEADLINE)
        assert sorted([mine, *(other.join() for other in others)]) == list(range(parties))
    assert queued(barrier) == 0
