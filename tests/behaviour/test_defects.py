"""Where the standard library is wrong and pyfastlock is not: one test (or more) for each defect.

Every test here passes over pyfastlock, and fails over `threading` on the versions that have the
defect.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    Interrupt,
    ignore_signal,
    kick_main,
    kick_when_parked,
    make_lock,
    on_signal,
    patience,
)
from support import (
    DEADLINE,
    SETTLE,
    Started,
    fails_on_stdlib,
    held_elsewhere,
    is_ours,
    parked,
    run_in_thread,
    start,
    wait_until,
)


@pytest.fixture(autouse=True)
def free_signal(watchdog: None) -> Iterator[None]:
    """A blocked main thread is interrupted after a while; SIGUSR1 is free for the test."""
    yield
    ignore_signal()


# Defect 1: a waiter that has timed out but not yet got the lock back swallows a notification.


@fails_on_stdlib("a waiter that has timed out swallows a notification")
@pytest.mark.parametrize(
    ("kind", "timed_out"),
    [("Lock", 1), ("RLock", 1), ("RLock", 5), ("plain", 1), ("foreign", 1)],
)
def test_t01_timed_out_waiter_takes_no_notification(
    impl: ModuleType, kind: str, timed_out: int
) -> None:
    began: list[float] = []

    def wait(cond: Any, timeout: float) -> bool:
        cond.acquire()
        try:
            began.append(time.monotonic())
            return cond.wait(timeout)
        finally:
            cond.release()

    def begin(brief: float) -> tuple[Any, list[Started]]:
        """Some that wait briefly, and after them one that is patient; and the lock is held."""
        cond = impl.Condition(make_lock(impl, kind))
        began.clear()
        waiters = [start(wait, cond, brief) for _ in range(timed_out)]
        wait_until(lambda: len(began) == timed_out)
        waiters.append(start(wait, cond, DEADLINE))
        wait_until(lambda: len(began) == timed_out + 1)
        cond.acquire()
        return cond, waiters

    def end(cond: Any, waiters: list[Started]) -> None:
        cond.notify_all()
        cond.release()
        for waiter in waiters:
            waiter.join()

    for brief in (0.15, 1, 3, 9):
        cond, (*short, patient) = begin(brief)
        if time.monotonic() < min(began) + brief:
            break
        end(cond, [*short, patient])  # too late: some of them have ended
    # Past the deadline of the short ones, while they cannot take the lock back.
    deadline = max(began[:timed_out]) + brief + SETTLE
    wait_until(lambda: time.monotonic() > deadline)
    if is_ours(cond):
        parked(cond, 1)
    cond.notify(1)
    cond.release()
    results = [waiter.join() for waiter in short]
    try:
        if not any(results):
            wait_until(lambda: patient.done, patience(cond), "the patient waiter wakes up")
            results.append(patient.join())
        assert results.count(True) == 1
    finally:
        cond.acquire()
        end(cond, [patient])


# Defect 2: an exception while wait() takes its lock back leaves wait() without the lock.

RARELY = "wait() ends without its lock if the signal comes just before it asks for it"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("Lock", marks=fails_on_stdlib("wait() ends without its lock")),
        pytest.param("RLock", marks=fails_on_stdlib(RARELY, strict=False)),
        pytest.param("plain", marks=fails_on_stdlib("wait() ends without its lock")),
        pytest.param("foreign", marks=fails_on_stdlib(RARELY, strict=False)),
    ],
)
@pytest.mark.parametrize("signals", [1, 3])
@pytest.mark.parametrize("notified", [True, False], ids=["notified", "timed out"])
def test_t03_exception_while_wait_takes_its_lock_back(
    impl: ModuleType, kind: str, signals: int, notified: bool
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    elsewhere = False
    taken, ended = threading.Event(), threading.Event()

    def interrupt() -> None:
        raise Interrupt

    on_signal(interrupt)

    def take_and_hold() -> None:
        nonlocal elsewhere
        cond.acquire()
        elsewhere = True
        taken.set()
        if notified:
            cond.notify()
        else:
            wait_until(lambda: time.monotonic() > began + brief)
        for _ in range(signals):
            # The main thread takes the lock back, and cannot have it.
            time.sleep(SETTLE)
            kick_main()
        ended.wait(SETTLE)
        elsewhere = False
        cond.release()

    cond.acquire()
    # It gets the lock when wait() lets go of it.
    other = start(take_and_hold)
    with pytest.raises(Interrupt):
        try:
            for brief in (0.1, 1, 3, 9):
                began = time.monotonic()
                cond.wait(DEADLINE if notified else brief)
                if taken.is_set():
                    break  # or else it was too slow
            # The handler may run just after wait().
            wait_until(lambda: False)
        finally:
            without_lock = elsewhere
            ended.set()
            # A second signal may arrive here where wait() did not wait for the lock.
            ignore_signal()
    other.join()
    assert not without_lock
    cond.release()
    assert cond.acquire(False)
    cond.release()


# Defect 3: a NaN timeout burns a core for ever, or counts as "do not wait".


class Spins(AssertionError):
    """The predicate was called far too often."""


@fails_on_stdlib("wait_for(f, nan) calls f for ever", raises=Spins)
def test_t16_wait_for_nan_is_an_error(impl: ModuleType) -> None:
    calls = 0

    def predicate() -> bool:
        nonlocal calls
        calls += 1
        if calls > 100:
            raise Spins
        return False

    cond = impl.Condition()
    with cond, pytest.raises(ValueError):
        cond.wait_for(predicate, math.nan)
    assert cond.acquire(False)
    cond.release()


@fails_on_stdlib("wait(nan) returns at once", raises=pytest.fail.Exception)
def test_t16_wait_nan_is_an_error(impl: ModuleType) -> None:
    cond = impl.Condition()
    with cond, pytest.raises(ValueError):
        cond.wait(math.nan)


@contextmanager
def give_up_after(seconds: float) -> Iterator[None]:
    """Raise Interrupt in the main thread after so long, and again: the first may get lost."""

    def give_up(*_: object) -> None:
        raise Interrupt

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# The interrupted one may have lost its lock, too (defect 2).
@fails_on_stdlib("acquire(timeout=nan) burns a core for ever", raises=(Interrupt, RuntimeError))
@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_t32_semaphore_acquire_nan_is_an_error(impl: ModuleType, kind: str) -> None:
    semaphore = getattr(impl, kind)(0)
    with give_up_after(patience(semaphore)), pytest.raises(ValueError):
        semaphore.acquire(timeout=math.nan)
    assert semaphore._value == 0


@fails_on_stdlib(
    "a NaN timeout counts as none at all, burns a core for ever, or is not looked at",
    raises=(pytest.fail.Exception, Interrupt, RuntimeError),
)
@pytest.mark.parametrize("kind", ["Event", "Barrier"])
@pytest.mark.parametrize("waits", [True, False], ids=["waits", "need not wait"])
def test_t16_wait_nan_is_an_error_everywhere(impl: ModuleType, kind: str, waits: bool) -> None:
    waiting = impl.Event() if kind == "Event" else impl.Barrier(2 if waits else 1)
    if kind == "Event" and not waits:
        waiting.set()
    with give_up_after(patience(waiting)), pytest.raises(ValueError):
        waiting.wait(math.nan)
    assert kind == "Event" or not waiting.broken


# Defect 4: a signal handler that takes the RLock for which the main thread waits.


@fails_on_stdlib("acquire() returns False, or hangs, although the thread owns the lock")
@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
def test_t14_handler_takes_the_rlock_that_main_waits_for(impl: ModuleType, timed: bool) -> None:
    lock = impl.RLock()
    with held_elsewhere(lock) as holder:

        def take() -> None:
            holder.let_go()
            lock.acquire()

        on_signal(take)
        kick = kick_when_parked(lock)
        if timed:
            got = lock.acquire(timeout=patience(lock))
        else:
            signal.setitimer(signal.ITIMER_REAL, patience(lock))
            got = lock.acquire()
            signal.setitimer(signal.ITIMER_REAL, 0)
        kick.join()
    assert got
    assert lock._is_owned()
    lock.release()
    lock.release()
    assert not lock._is_owned()


# Defect 5: a dead thread's RLock is entered by a later thread that has the same ident.


def in_thread_with_ident(ident: int, check: Any) -> Any:
    """Call `check` in a new thread that has got the ident `ident` of a dead one."""
    for _ in range(200):
        found, result = run_in_thread(
            lambda: (True, check()) if threading.get_ident() == ident else (False, None)
        )
        if found:
            return result
    pytest.skip("this platform does not use idents again")


@fails_on_stdlib("the ident alone says who owns the lock")
def test_t19_rlock_of_a_dead_thread_is_not_entered(impl: ModuleType) -> None:
    lock = impl.RLock()

    def take_and_die() -> int:
        lock.acquire()
        return threading.get_ident()

    def enter() -> tuple[bool, bool, bool]:
        return lock._is_owned(), lock.acquire(False), lock.acquire(timeout=0.01)

    assert in_thread_with_ident(run_in_thread(take_and_die), enter) == (False, False, False)


@fails_on_stdlib("the ident alone says who owns the lock", raises=pytest.fail.Exception)
@pytest.mark.parametrize("method", ["release", "_release_save"])
def test_t19_rlock_of_a_dead_thread_is_not_released(impl: ModuleType, method: str) -> None:
    lock = impl.RLock()

    def take_and_die() -> int:
        lock.acquire()
        return threading.get_ident()

    def release() -> None:
        with pytest.raises(RuntimeError):
            getattr(lock, method)()

    in_thread_with_ident(run_in_thread(take_and_die), release)
    assert not lock.acquire(False)


# Defect 6: a stranger may call RLock._release_save().


@fails_on_stdlib(
    "_release_save() does not look at the owner",
    raises=pytest.fail.Exception,
    when=sys.version_info < (3, 14),
)
def test_t18_release_save_by_a_stranger(impl: ModuleType) -> None:
    lock = impl.RLock()
    lock.acquire()

    def stranger() -> None:
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            lock._release_save()

    run_in_thread(stranger)
    assert lock._is_owned()
    lock.release()


def test_t18_release_save_by_nobody(impl: ModuleType) -> None:
    lock = impl.RLock()
    with pytest.raises(RuntimeError, match="un-acquired lock"):
        lock._release_save()


# Defect 8: a barrier of no parties is accepted, and then hangs.


@fails_on_stdlib(
    "a barrier of no parties is made",
    raises=pytest.fail.Exception,
    when=sys.version_info < (3, 13),
)
@pytest.mark.parametrize("parties", [0, -1, False])
def test_t33_barrier_of_no_parties(impl: ModuleType, parties: int) -> None:
    with pytest.raises(ValueError):
        impl.Barrier(parties)
    with pytest.raises(ValueError):
        impl.Barrier(parties=parties, action=None, timeout=1)
    with pytest.raises(ValueError):
        type("Child", (impl.Barrier,), {})(parties)


@fails_on_stdlib(
    "a wait at a barrier of no parties hangs", raises=Interrupt, when=sys.version_info < (3, 13)
)
def test_t33_barrier_of_no_parties_does_not_hang(impl: ModuleType) -> None:
    with pytest.raises(ValueError):
        barrier = impl.Barrier(0)
        with give_up_after(0.25):
            barrier.wait()
