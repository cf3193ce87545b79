"""Signals that arrive while the main thread waits for a permit of a semaphore."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    Handle,
    Interrupt,
    interrupt,
    kick_main,
    kick_when_parked,
    patience,
    queued,
)
from support import (
    DEADLINE,
    fails_on_stdlib,
    parked,
    run_in_thread,
    start,
    wait_until,
)

PATIENT = 3 * DEADLINE
"""Longer than the watchdog: the end of its time makes no lost wake-up good."""

pytestmark = pytest.mark.usefixtures("watchdog")


def test_t14_t32_suspended_acquire_is_given_nothing(impl: ModuleType, handle: Handle) -> None:
    """As long as the handler runs, others and the handler itself get the permits."""
    semaphore = impl.Semaphore(0)
    got: list[bool] = []

    def others() -> None:
        run_in_thread(semaphore.release)
        got.append(semaphore.acquire(False))
        run_in_thread(semaphore.release, 2)
        got.append(run_in_thread(semaphore.acquire, timeout=DEADLINE))
        got.append(semaphore.acquire(timeout=PATIENT))
        got.append(semaphore.acquire(False))

    handle(others)
    kick = kick_when_parked(semaphore)
    ender = start(lambda: (wait_until(lambda: len(got) == 4), semaphore.release()))
    assert semaphore.acquire(timeout=PATIENT) is True
    ender.join()
    kick.join()
    assert got == [True, True, True, False]
    assert semaphore._value == 0


@fails_on_stdlib("the permit is given to a waiter that is interrupted and does not take it")
def test_t32_interrupted_acquire_swallows_no_permit(impl: ModuleType, handle: Handle) -> None:
    """It comes while the handler runs that is going to raise: the next one gets it."""
    semaphore = impl.Semaphore(0)

    def release_and_raise() -> None:
        run_in_thread(semaphore.release)
        raise Interrupt

    def second() -> bool:
        parked(semaphore)
        return semaphore.acquire(timeout=PATIENT)

    handle(release_and_raise)
    other = start(second)
    # The main thread is the first in the queue.
    kick = kick_when_parked(semaphore, 2)
    with pytest.raises(Interrupt):
        semaphore.acquire()
    kick.join()
    try:
        wait_until(lambda: other.done, patience(semaphore), "the next waiter has the permit")
    finally:
        semaphore.release()
        assert other.join() is True
    assert semaphore._value == 1


@fails_on_stdlib(
    "a permit is given to a waiter that is interrupted and does not take it", strict=False
)
def test_t32_woken_and_interrupted_at_once(impl: ModuleType, handle: Handle) -> None:
    """Main takes the permit for which it was woken, or the one behind it gets it.

    All of a round happens within a millisecond, if the machine lets it: later the permit would be
    handed over.
    """
    handle(interrupt)
    old = sys.getswitchinterval()
    took = 0
    for _ in range(60):
        semaphore = impl.Semaphore(0)
        ready = threading.Barrier(3, timeout=DEADLINE)

        def second(semaphore: Any = semaphore, ready: Any = ready) -> bool:
            ready.wait()
            end = time.monotonic() + DEADLINE
            while queued(semaphore) < 1 and time.monotonic() < end:
                pass
            return semaphore.acquire()

        def kick(semaphore: Any = semaphore, ready: Any = ready) -> None:
            ready.wait()
            end = time.monotonic() + DEADLINE
            while queued(semaphore) < 2 and time.monotonic() < end:
                pass
            kick_main()
            semaphore.release()

        other, kicker = start(second), start(kick)
        results: list[bool] = []
        ready.wait()
        sys.setswitchinterval(1e-6)
        try:
            results.extend(map(semaphore.acquire, [True], [PATIENT]))
            # The handler may run just after acquire().
            wait_until(lambda: False)
        except Interrupt:
            pass
        finally:
            sys.setswitchinterval(old)
        kicker.join()
        took += len(results)
        try:
            if not results:
                wait_until(lambda other=other: other.done, patience(semaphore))
        finally:
            semaphore.release()
            assert other.join() is True
        assert semaphore._value == (not results)
    print(f"main took {took} of 60")
