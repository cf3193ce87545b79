"""Signals that arrive while the main thread waits on a condition, or is about to."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    CHILD_LIMIT,
    HANDLED_WITHIN,
    LOCK_KINDS,
    Handle,
    Interrupt,
    PlainLock,
    check_script,
    interrupt,
    kick_main,
    kick_when_parked,
    make_lock,
    on_signal,
    patience,
    queued,
)
from support import (
    DEADLINE,
    SETTLE,
    fails_on_stdlib,
    parked,
    start,
    try_in_thread,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("watchdog")


@pytest.mark.parametrize("kind", LOCK_KINDS)
@pytest.mark.parametrize("timeout", [None, DEADLINE], ids=["untimed", "timed"])
def test_t14_handler_runs_at_once_in_wait(
    impl: ModuleType,
    handle: Handle,
    kind: str,
    timeout: float | None,
    record_property: Callable[[str, object], None],
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    ran: list[float] = []

    def notify() -> None:
        wait_until(lambda: ran)
        cond.acquire()
        cond.notify()
        cond.release()

    handle(lambda: ran.append(time.monotonic()))
    cond.acquire()
    kick, notifier = kick_when_parked(cond), start(notify)
    assert cond.wait(timeout) is True
    cond.release()
    delay = ran[0] - kick.join()
    notifier.join()
    record_property("signal_delay_ms", delay * 1000)
    print(f"{impl.__name__} wait over {kind}: the handler ran after {delay * 1000:.3f} ms")
    assert delay < HANDLED_WITHIN


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t03_raising_handler_in_wait_leaves_the_lock_held_and_nobody_queued(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    handle(interrupt)
    cond.acquire()
    for _ in range(3):
        kick = kick_when_parked(cond)
        with pytest.raises(Interrupt):
            cond.wait(DEADLINE)
        assert queued(cond) == 0
        assert not try_in_thread(cond)
        kick.join()
    cond.release()
    assert try_in_thread(cond)


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t03_keyboard_interrupt_in_wait_leaves_the_lock_held(impl: ModuleType, kind: str) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    old = signal.getsignal(signal.SIGINT)
    on_signal(lambda: signal.default_int_handler(signal.SIGINT, None), signal.SIGINT)
    try:
        cond.acquire()
        kick = kick_when_parked(cond, signum=signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            cond.wait()
        assert not try_in_thread(cond)
        cond.release()
        kick.join()
    finally:
        signal.signal(signal.SIGINT, old)


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t03_raising_handler_while_another_thread_holds_the_lock(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    elsewhere = False

    def hold_and_kick() -> None:
        nonlocal elsewhere
        parked(cond)
        cond.acquire()
        elsewhere = True
        kick_main(nudge=impl is threading)
        # Give wait() the time to end without the lock, if it does.
        time.sleep(SETTLE)
        elsewhere = False
        cond.release()

    handle(interrupt)
    cond.acquire()
    other = start(hold_and_kick)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    assert not elsewhere
    assert not try_in_thread(cond)
    cond.release()
    other.join()


def test_t03_ctrl_c_ends_a_program_that_waits(impl: ModuleType) -> None:
    check_script(
        """
        cond = impl.Condition()
        on_signal(lambda: signal.default_int_handler(signal.SIGINT, None), signal.SIGINT)
        kick = kick_when_parked(cond, signum=signal.SIGINT)
        try:
            with cond:
                cond.wait()
        except KeyboardInterrupt:
            print("interrupted", cond._is_owned())
        kick.join()
        """,
        impl,
        output="interrupted False",
    )


# The handler uses the condition on which the main thread waits.


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t14_handler_notifies_the_condition_on_which_main_waits(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    cond = impl.Condition(make_lock(impl, kind))

    def notify() -> None:
        assert cond.acquire(True, DEADLINE)
        cond.notify()
        cond.release()

    handle(notify)
    cond.acquire()
    kick = kick_when_parked(cond)
    assert cond.wait(DEADLINE) is True
    assert queued(cond) == 0
    assert not try_in_thread(cond)
    cond.release()
    kick.join()


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t14_lock_is_not_given_to_a_suspended_wait(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    """Others, and the handler, can have the lock after they notified the suspended wait()."""
    cond = impl.Condition(make_lock(impl, kind))

    def notify_twice() -> None:
        for _ in range(2):
            assert cond.acquire(True, 5)
            cond.notify()
            # Longer than any waiter is willing to wait before the lock is handed to it.
            time.sleep(0.005)
            cond.release()

    def others() -> None:
        start(notify_twice).join()
        assert cond.acquire(True, 5)
        cond.release()
        start(notify_twice).join()

    handle(others)
    cond.acquire()
    kick = kick_when_parked(cond)
    assert cond.wait(DEADLINE) is True
    cond.release()
    kick.join()
    assert cond.acquire(False)
    cond.release()


@pytest.mark.parametrize("kind", LOCK_KINDS)
@pytest.mark.parametrize("at_once", [True, False], ids=["notify(2)", "notify(1) twice"])
def test_t14_handler_waits_on_the_condition_on_which_main_waits(
    impl: ModuleType, handle: Handle, kind: str, at_once: bool
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    inner: list[bool] = []

    def wait() -> None:
        cond.acquire()
        inner.append(cond.wait(DEADLINE))
        cond.release()

    def notify() -> None:
        parked(cond)
        kick_main(nudge=impl is threading)
        parked(cond, 2)
        for n in [2] if at_once else [1, 1]:
            cond.acquire()
            cond.notify(n)
            cond.release()

    handle(wait)
    cond.acquire()
    notifier = start(notify)
    assert cond.wait(DEADLINE) is True
    assert not try_in_thread(cond)
    cond.release()
    notifier.join()
    assert inner == [True]


def test_t05_handler_holds_the_rlock_while_wait_is_suspended(
    impl: ModuleType, handle: Handle
) -> None:
    """A depth that a handler adds is the handler's; wait() restores its own."""
    lock = impl.RLock()
    cond = impl.Condition(lock)
    seen: list[object] = []

    def use() -> None:
        seen.append(lock._is_owned())
        with lock, lock:
            seen.append(lock._is_owned())
            cond.notify()
        seen.append(lock._is_owned())

    handle(use)
    lock.acquire()
    lock.acquire()
    kick = kick_when_parked(cond)
    assert cond.wait(DEADLINE) is True
    kick.join()
    assert seen == [False, True, False]
    lock.release()
    lock.release()
    assert not lock._is_owned()


@fails_on_stdlib("wait() hangs, although the thread owns the lock")
def test_t05_handler_keeps_the_rlock_when_wait_goes_on(impl: ModuleType) -> None:
    """The handler leaves with the lock held: wait() must end with that level as well."""
    check_script(
        """
        lock = impl.RLock()
        cond = impl.Condition(lock)

        def keep():
            lock.acquire()
            cond.notify()

        on_signal(keep)
        lock.acquire()
        kick = kick_when_parked(cond)
        print(cond.wait(DEADLINE))
        kick.join()
        assert lock._is_owned()
        lock.release()
        assert lock._is_owned()
        lock.release()
        assert not lock._is_owned()
        """,
        impl,
        output="True",
        limit=1 if impl is threading else CHILD_LIMIT,
    )


# T2: a notification that reaches a waiter which then raises is passed on.


def waiting(cond: Any) -> bool:
    """Wait on `cond`: the body of a thread."""
    cond.acquire()
    try:
        return cond.wait(DEADLINE)
    finally:
        cond.release()


def notify_and_raise(cond: Any) -> None:
    """What a handler does."""
    cond.acquire()
    cond.notify()
    cond.release()
    raise Interrupt


def give_up(cond: Any, *threads: Any) -> None:
    """Wake whoever still waits, so that the threads end."""
    cond.acquire()
    cond.notify_all()
    cond.release()
    for thread in threads:
        thread.join()


@fails_on_stdlib("the notification of a waiter that raises is lost")
@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t02_notified_by_its_own_handler_that_raises(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    cond = impl.Condition(make_lock(impl, kind))

    handle(lambda: notify_and_raise(cond))
    cond.acquire()

    def second() -> bool:
        parked(cond)
        return waiting(cond)

    other, kick = start(second), kick_when_parked(cond, 2)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    cond.release()
    kick.join()
    try:
        wait_until(lambda: other.done, patience(cond), "the other waiter wakes up")
        assert other.join() is True
    finally:
        give_up(cond, other)


@fails_on_stdlib("the notification of a waiter that raises is lost")
@pytest.mark.parametrize("kind", LOCK_KINDS)
@pytest.mark.parametrize("others", [1, 3])
def test_t02_notified_while_the_handler_runs_that_raises(
    impl: ModuleType, handle: Handle, kind: str, others: int
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    in_handler, notified = threading.Event(), threading.Event()

    def raise_when_notified() -> None:
        in_handler.set()
        assert notified.wait(DEADLINE)
        raise Interrupt

    def notify() -> None:
        parked(cond, 1 + others)
        kick_main(nudge=impl is threading)
        assert in_handler.wait(DEADLINE)
        cond.acquire()
        cond.notify()
        cond.release()
        notified.set()

    def later(n: int) -> bool:
        parked(cond, 1 + n)
        return waiting(cond)

    handle(raise_when_notified)
    cond.acquire()
    # The main thread is the first in the queue.
    waiters = [start(later, n) for n in range(others)]
    notifier = start(notify)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    assert not try_in_thread(cond)
    cond.release()
    notifier.join()
    try:
        # Passed on to the next in the queue, and to nobody else.
        wait_until(lambda: waiters[0].done, patience(cond), "the next waiter wakes up")
        assert waiters[0].join() is True
        parked(cond, others - 1)
        assert not any(waiter.done for waiter in waiters[1:])
    finally:
        give_up(cond, *waiters)


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t02_notification_that_nobody_takes_is_not_kept(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    cond = impl.Condition(make_lock(impl, kind))

    handle(lambda: notify_and_raise(cond))
    cond.acquire()
    kick = kick_when_parked(cond)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    kick.join()
    assert cond.wait(0) is False
    assert cond.wait(0.01) is False
    assert queued(cond) == 0
    cond.release()


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t02_exception_of_an_unnotified_waiter_wakes_nobody(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    handle(interrupt)
    cond.acquire()

    def second() -> bool:
        parked(cond)
        return waiting(cond)

    other, kick = start(second), kick_when_parked(cond, 2)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    cond.release()
    kick.join()
    parked(cond, 1)
    assert not other.done
    cond.acquire()
    cond.notify()
    cond.release()
    assert other.join() is True


def test_t09_handler_that_returns_is_no_wake_up(impl: ModuleType, handle: Handle) -> None:
    cond = impl.Condition()
    ran = 0

    def count() -> None:
        nonlocal ran
        ran += 1

    handle(count)
    with cond:
        kick = kick_when_parked(cond)
        assert cond.wait(0.2) is False
        kick.join()
    assert ran == 1


def test_t11_handler_makes_the_predicate_true(impl: ModuleType, handle: Handle) -> None:
    """A predicate that turns true without a notification is seen at the deadline."""
    cond = impl.Condition()
    done: list[int] = []
    handle(lambda: done.append(1))
    with cond:
        kick = kick_when_parked(cond)
        assert cond.wait_for(lambda: done, 0.3) == [1]
        kick.join()


# T4: interrupted, or failing, between queueing and letting go of the lock.


class BadRelease(PlainLock):
    """A lock whose release() fails when told to, before or after it has let go."""

    fail = ""

    def release(self) -> None:
        fail, self.fail = self.fail, ""
        if fail == "before":
            raise Interrupt
        super().release()
        if fail == "after":
            raise Interrupt

    def locked(self) -> bool:
        return self._lock.locked()


@fails_on_stdlib("a waiter whose lock cannot be released stays queued")
@pytest.mark.parametrize("fail", ["before", "after"])
def test_t04_failing_release_dequeues_the_waiter(impl: ModuleType, fail: str) -> None:
    lock = BadRelease()
    cond = impl.Condition(lock)
    cond.acquire()
    lock.fail = fail
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    assert queued(cond) == 0
    if fail == "before":
        assert lock.locked()
    if lock.locked():
        cond.release()
    # Nobody in front of this one:
    waiter = start(waiting, cond)
    parked(cond)
    cond.acquire()
    cond.notify()
    cond.release()
    assert waiter.join() is True


@fails_on_stdlib("a waiter whose lock cannot be released stays queued")
def test_t04_signal_inside_the_release_of_a_foreign_lock(impl: ModuleType, handle: Handle) -> None:
    class KickedRelease(BadRelease):
        kick = False

        def release(self) -> None:
            if self.kick:
                self.kick = False
                signal.raise_signal(signal.SIGUSR1)
            super().release()

    lock = KickedRelease()
    cond = impl.Condition(lock)
    handle(interrupt)
    cond.acquire()
    lock.kick = True
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    assert queued(cond) == 0
    assert lock.locked()
    cond.release()


@fails_on_stdlib(
    "a waiter stays queued when a signal comes before it has let go of the lock",
    raises=(AssertionError, RuntimeError),
    strict=False,
)
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t04_pending_signal_at_the_start_of_wait(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    """Signals at every point of wait(): the lock is held, and nobody queued, after each."""
    cond = impl.Condition(make_lock(impl, kind))
    stop = threading.Event()
    armed, interrupts, results = False, 0, 0

    def raise_when_armed() -> None:
        if armed:
            raise Interrupt

    handle(raise_when_armed)

    def send() -> None:
        pause = 0.0
        while not stop.wait(pause):
            kick_main()
            pause = (pause + 0.00003) % 0.0012

    sender = start(send)
    try:
        end = time.monotonic() + 0.3
        while time.monotonic() < end or not interrupts:
            cond.acquire()
            try:
                armed = True
                cond.wait(0.0005)
                armed = False
                results += 1
            except Interrupt:
                armed = False
                interrupts += 1
            assert queued(cond) == 0
            # Raises RuntimeError unless the lock is held.
            cond.release()
    finally:
        armed = False
        stop.set()
        sender.join()
    print(f"{interrupts} interrupted, {results} not")
    assert cond.acquire(False)
    cond.release()
