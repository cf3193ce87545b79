"""A Condition over locks that are not its own, of every kind (see foreign_locks.py).

What holds after each wait(), whatever happened in it: the caller has the lock, as often as before;
nobody else's hold was released; nobody is queued who does not wait; a notification that reached a
wait which raises goes to another waiter.

`threading` promises none of it: an exception from a lock, or a signal handler that raises while the
lock is taken back, leaves its wait() without the lock. So these tests are over pyfastlock only,
but for those of replaced methods.
"""

from __future__ import annotations

import signal
import threading
import time
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from concurrency import (
    CHILD_LIMIT,
    Handle,
    Interrupt,
    fork,
    interrupt,
    join_child,
    kick_main,
    leave_child,
    main_sleeps,
    queued,
)
from foreign_locks import FAULTY, KINDS, Bare, Owned, Recursive
from support import (
    DEADLINE,
    SETTLE,
    parked,
    run_in_thread,
    start,
    try_in_thread,
    wait_until,
)

import pyfastlock

SOON = 0.01
"""Seconds of a wait that is not notified."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def take(lock: Any, times: int) -> None:
    for _ in range(times):
        assert lock.acquire() in (True, 1)


def give_back(lock: Any, times: int) -> None:
    """Release the lock, and assert that it was held exactly so often."""
    for _ in range(times):
        assert not try_in_thread(lock)
        lock.release()
    assert try_in_thread(lock)


def wait_in_thread(cond: Any, times: int = 1) -> Any:
    """Start a thread that waits; its result is that of wait()."""

    def wait() -> bool:
        take(cond, times)
        notified = cond.wait(DEADLINE)
        for _ in range(times):
            give_back_beside(cond)
        return notified

    n = queued(cond)
    waiter = start(wait)
    parked(cond, n + 1)
    return waiter


def notify(cond: Any, n: int = 1) -> None:
    cond.acquire()
    cond.notify(n)
    cond.release()


def check_works(cond: Any) -> None:
    """The condition is as new: nobody is queued, and a notification arrives."""
    assert queued(cond) == 0
    waiter = wait_in_thread(cond)
    notify(cond)
    assert waiter.join() is True


def test_wait_and_notify(kind: Any) -> None:
    cond = pyfastlock.Condition(kind.make())
    with pytest.raises(RuntimeError):
        cond.notify()
    with pytest.raises(RuntimeError):
        cond.wait(0)
    for times in range(1, kind.depth + 1):
        take(cond, times)
        assert cond.wait(SOON) is False
        assert cond.wait(0) is False
        give_back(cond, times)
    waiters = [wait_in_thread(cond, 1 + i % kind.depth) for i in range(3)]
    notify(cond)
    assert waiters[0].join() is True
    assert queued(cond) == 2
    notify(cond, 2)
    assert [waiter.join() for waiter in waiters[1:]] == [True, True]
    check_works(cond)


def test_a_handler_raises_while_the_wait_sleeps(kind: Any, handle: Handle) -> None:
    cond = pyfastlock.Condition(kind.make())
    handle(interrupt)
    take(cond, kind.depth)

    def kick() -> None:
        parked(cond)
        # It is queued before it has let go of the lock, in whose code the handler may not raise.
        wait_until(lambda: try_in_thread(cond))
        kick_main()

    kicker = start(kick)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)
    give_back(cond, kind.depth)
    kicker.join()
    check_works(cond)


@pytest.mark.parametrize("notified", [True, False], ids=["notified", "timed out"])
def test_a_handler_raises_while_the_lock_is_taken_back(
    kind: Any, handle: Handle, notified: bool
) -> None:
    """Another thread has the lock, and keeps it: the wait comes back when it has let go."""
    lock = kind.make()
    cond = pyfastlock.Condition(lock)
    handled = 0

    def count_and_interrupt() -> None:
        nonlocal handled
        handled += 1
        interrupt()

    handle(count_and_interrupt)

    def kick_until_handled() -> None:
        """The standard library's lock misses a signal that comes a moment before its sleep.

        Handled when the inner lock has been taken, and the owner is not written down yet, it would
        leave a lock that nobody releases.
        """
        before = handled
        while handled == before:
            kick_main()
            wait_until(lambda: handled > before or main_sleeps())

    def attempt(timeout: float) -> bool:
        """Whether the other thread got the lock before the wait was over."""
        is_back = threading.Event()
        raised = False

        def hold() -> bool:
            wait_until(lambda: queued(cond) == 1 or is_back.is_set())
            cond.acquire()
            if is_back.is_set():
                cond.release()
                return False
            if notified:
                cond.notify()
            try:
                wait_until(lambda: queued(cond) == 0)
                for _ in range(3):
                    time.sleep(SETTLE)  # it is on its way to the lock, or waits for it
                    kick_main()
                if isinstance(lock, Owned):
                    wait_until(main_sleeps)
                    kick_until_handled()
                time.sleep(SETTLE)
                assert not is_back.is_set()
            finally:
                cond.release()
            return True

        take(cond, kind.depth)
        holder = start(hold)
        try:
            try:
                cond.wait(timeout)
            finally:
                is_back.set()
        except Interrupt:
            raised = True
        give_back(cond, kind.depth)
        held = holder.join()
        assert raised is held
        return bool(held)

    # On a busy machine a short wait may be over before the other thread runs at all.
    timeouts = [DEADLINE] if notified else [SETTLE * 4**n for n in range(6)]
    assert any(attempt(timeout) for timeout in timeouts)
    check_works(cond)


@pytest.mark.parametrize("how", ["raise", "signal"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["release", "acquire"])
@pytest.mark.parametrize("name", FAULTY)
def test_a_method_raises(name: str, step: str, when: str, how: str, handle: Handle) -> None:
    lock = FAULTY[name]()
    depth = KINDS[name].depth
    cond = pyfastlock.Condition(lock)
    handle(interrupt)
    # What a release returns is lost where it raises: then the lock is taken once.
    saves = lock.steps[0] == "_release_save"
    times = 1 if step == "release" and when == "after" and saves else depth
    take(cond, times)
    lock.arm(lock.steps[step == "acquire"], when, how)
    with pytest.raises(Interrupt):
        cond.wait(SOON)
    give_back(cond, times)
    check_works(cond)


@pytest.mark.parametrize("name", FAULTY)
def test_a_method_raises_and_another_thread_takes_the_lock(name: str) -> None:
    """It is held, but not by the wait, which has to come back with it."""
    lock = FAULTY[name]()
    cond = pyfastlock.Condition(lock)
    taken, is_back = threading.Event(), threading.Event()

    def hold() -> None:
        assert lock.inner.acquire(timeout=DEADLINE)
        taken.set()
        time.sleep(3 * SETTLE)
        assert not is_back.is_set()
        lock.inner.release()

    holders = []

    def let_in() -> None:
        holders.append(start(hold))
        assert taken.wait(DEADLINE)

    lock.in_fault = let_in
    cond.acquire()
    lock.arm(lock.steps[1], "before")
    with pytest.raises(Interrupt):
        try:
            cond.wait(SOON)
        finally:
            is_back.set()
    holders[0].join()
    give_back(cond, 1)
    check_works(cond)


def test_the_newest_thread_raises_and_an_older_one_takes_the_lock() -> None:
    """The same: whoever looks for other threads finds those, too, that were there before it."""
    lock = Bare()
    cond = pyfastlock.Condition(lock)
    may_take, taken, is_back = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        assert may_take.wait(DEADLINE)
        assert lock.inner.acquire(timeout=DEADLINE)
        taken.set()
        time.sleep(3 * SETTLE)
        assert not is_back.is_set()
        lock.inner.release()

    def let_in() -> None:
        may_take.set()
        assert taken.wait(DEADLINE)

    def body() -> None:
        cond.acquire()
        lock.arm("acquire", "before")
        with pytest.raises(Interrupt):
            try:
                cond.wait(SOON)
            finally:
                is_back.set()
        cond.release()

    lock.in_fault = let_in
    holder = start(hold)
    start(body).join()
    holder.join()
    check_works(cond)


def test_only_time_tells_who_holds_the_lock() -> None:
    """It has no owner, and there are other threads: when it has been held for seconds, it is held
    by the wait, which has taken it and raised."""
    lock = Bare()
    cond = pyfastlock.Condition(lock)
    stop = threading.Event()
    idle = start(stop.wait, DEADLINE)
    cond.acquire()
    lock.arm("acquire", "after")
    with pytest.raises(Interrupt):
        cond.wait(SOON)
    give_back(cond, 1)
    stop.set()
    idle.join()


def test_a_lock_that_is_broken_for_good_is_given_up() -> None:
    class Broken(threading._PyRLock):  # type: ignore[name-defined,misc]
        def _acquire_restore(self, state: Any) -> None:
            raise Interrupt

    cond = pyfastlock.Condition(Broken())
    cond.acquire()
    with pytest.raises(Interrupt):
        cond.wait(SOON)
    assert not cond._is_owned()


def test_an_is_owned_that_raises_says_nothing() -> None:
    """The first exception of all is raised, and the lock is held."""

    class Moody(Bare):
        asked = 0

        @property
        def _is_owned(self) -> Any:
            self.asked += 1
            raise AttributeError if self.asked == 1 else KeyboardInterrupt

    for when in ("before", "after"):
        lock = Moody()
        cond = pyfastlock.Condition(lock)
        cond.acquire()
        lock.arm("acquire", when)
        with pytest.raises(Interrupt):
            cond.wait(SOON)
        assert lock.asked > 1
        assert lock.inner.locked()
        assert not lock.inner.acquire(False)
        lock.inner.release()


# What was notified.


@pytest.mark.parametrize("step", ["release", "acquire"])
@pytest.mark.parametrize("name", FAULTY)
def test_a_notification_goes_to_another_waiter(name: str, step: str) -> None:
    """The wait that raises was the first to be notified."""
    lock = FAULTY[name]()
    cond = pyfastlock.Condition(lock)
    others = []

    def let_in() -> None:
        # The lock is free: it raises after its release, or before it is taken back.
        others.append(wait_in_thread(cond))
        if step == "release":
            run_in_thread(notify, cond)

    lock.in_fault = let_in
    cond.acquire()
    if step == "release":
        lock.arm(lock.steps[0], "after")
        with pytest.raises(Interrupt):
            cond.wait(DEADLINE)
    else:
        lock.arm(lock.steps[1], "before")
        notifier = start(lambda: (parked(cond), notify(cond)))
        with pytest.raises(Interrupt):
            cond.wait(DEADLINE)
        notifier.join()
    give_back_beside(cond)
    assert others[0].join() is True
    check_works(cond)


def give_back_beside(cond: Any) -> None:
    """Release the lock, for which other threads wait."""
    assert not try_in_thread(cond)
    cond.release()


# Methods that were replaced.


class Calls:
    """Functions that take the place of a Condition's methods, and count their calls."""

    def __init__(self, cond_class: Any) -> None:
        self.names: list[str] = []
        for name in REPLACEABLE:
            setattr(self, name, self.make(name, getattr(cond_class, name)))

    def make(self, name: str, original: Any) -> Any:
        def method(cond: Any, *args: Any) -> Any:
            self.names.append(name)
            return original(cond, *args)

        return method


REPLACEABLE = ("_is_owned", "_release_save", "_acquire_restore", "wait", "notify", "notify_all")


def on_subclass(impl: ModuleType, calls: Calls, name: str, lock: Any) -> Any:
    child = type("Child", (impl.Condition,), {name: getattr(calls, name)})
    return child(lock)


def on_subclass_later(impl: ModuleType, calls: Calls, name: str, lock: Any) -> Any:
    """Assigned when the class has been used already."""
    child = type("Child", (impl.Condition,), {})
    cond = child(lock)
    for _ in range(3):
        with cond:
            cond.wait(0)
            cond.notify()
    setattr(child, name, getattr(calls, name))
    return cond


def on_base_of_subclass(impl: ModuleType, calls: Calls, name: str, lock: Any) -> Any:
    base = type("Base", (impl.Condition,), {})
    cond = type("Child", (base,), {})(lock)
    for _ in range(3):
        with cond:
            cond.wait(0)
            cond.notify()
    setattr(base, name, getattr(calls, name))
    return cond


def on_instance(impl: ModuleType, calls: Calls, name: str, lock: Any) -> Any:
    cond = impl.Condition(lock)
    with cond:
        cond.notify()
    setattr(cond, name, getattr(calls, name).__get__(cond))
    return cond


PLACES = [on_subclass, on_subclass_later, on_base_of_subclass, on_instance]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", ["ours", "threading's"])
@pytest.mark.parametrize("name", ["_is_owned", "_release_save", "_acquire_restore"])
def test_what_replaces_a_method_is_called(
    impl: ModuleType, name: str, make: str, place: Any
) -> None:
    calls = Calls(impl.Condition)
    cond = place(impl, calls, name, (impl if make == "ours" else threading).Lock())
    waiter = start(wait_for_notification, cond)
    wait_until(lambda: queued(cond) == 1)  # not parked(), which asks who owns the lock
    notify(cond)
    assert waiter.join() is True
    assert calls.names == [name] * (2 if name == "_is_owned" else 1)
    calls.names.clear()
    with cond:
        assert cond.wait_for(lambda: False, SOON) is False
        assert set(calls.names) == {name}
        calls.names.clear()
        cond.notify_all()
        assert calls.names == [name] * (name == "_is_owned")


def wait_for_notification(cond: Any) -> bool:
    with cond:
        return cond.wait(DEADLINE)


@pytest.mark.parametrize("name", ["_is_owned", "_release_save", "_acquire_restore"])
def test_a_subclass_over_a_lock_that_has_the_method(impl: ModuleType, name: str) -> None:
    """Its own is hidden by the lock's."""
    for lock in (None, threading.RLock()):
        calls = Calls(impl.Condition)
        cond = on_subclass(impl, calls, name, lock)
        waiter = start(wait_for_notification, cond)
        parked(cond)
        notify(cond)
        assert waiter.join() is True
        assert calls.names == []


def test_an_attribute_is_called_over_an_rlock_too(impl: ModuleType) -> None:
    for name in ("_is_owned", "_release_save", "_acquire_restore"):
        cond = impl.Condition()
        attribute = Mock(side_effect=getattr(cond, name))
        setattr(cond, name, attribute)
        with cond:
            assert cond.wait(SOON) is False
            cond.notify()
        assert attribute.called


def test_a_lock_is_not_left_alone_by_a_wait_that_does_not_know_it(impl: ModuleType) -> None:
    """A wait that calls a replaced method is woken by a notification, and then waits for the lock
    like anybody else; those who wait for the lock after it get it, too."""
    cond = impl.Condition()
    cond._is_owned = Mock(side_effect=cond._is_owned)
    waiters = [start(wait_for_notification, cond) for _ in range(3)]
    parked(cond, 3)
    for _ in range(5):
        with cond:
            cond.notify()
            others = [start(take_and_release, cond) for _ in range(3)]
            time.sleep(SETTLE)
        for other in others:
            other.join()
    assert [waiter.join() for waiter in waiters] == [True] * 3


def take_and_release(lock: Any) -> None:
    with lock:
        pass


def test_an_is_owned_that_says_no_is_believed(impl: ModuleType) -> None:
    class Never(impl.Condition):  # type: ignore[misc,name-defined]
        def _is_owned(self) -> bool:
            return False

    cond = Never(impl.Lock())
    with cond:
        for call in (cond.wait, cond.notify, cond.notify_all, lambda: cond.wait_for(int, 0)):
            with pytest.raises(RuntimeError, match="un-acquired lock"):
                call()


@pytest.mark.parametrize("place", PLACES)
def test_wait_for_calls_a_replaced_wait_and_notify_all_a_replaced_notify(
    impl: ModuleType, place: Any
) -> None:
    for name, call in (
        ("wait", lambda cond: cond.wait_for(int, SOON)),
        ("notify", lambda cond: cond.notify_all()),
        ("notify_all", call_the_old_name),
    ):
        calls = Calls(impl.Condition)
        cond = place(impl, calls, name, None)
        with cond:
            call(cond)
        assert set(calls.names) == {name}


def call_the_old_name(cond: Any) -> None:
    with pytest.deprecated_call():
        cond.notifyAll()


def test_an_attribute_of_another_name_changes_nothing(impl: ModuleType) -> None:
    cond = impl.Condition()
    cond.name = "a condition"
    waiter = start(wait_for_notification, cond)
    parked(cond)
    notify(cond)
    assert waiter.join() is True


# Interruptions without number.


@pytest.mark.parametrize("name", ["threading.Lock", "ours/Lock", "threading's/Lock"])
def test_signals_at_every_moment(name: str, handle: Handle) -> None:
    """Handlers raise all the time: in the release, in the sleep, while the lock is taken back."""
    cond = pyfastlock.Condition(KINDS[name].make())
    stop = threading.Event()
    armed, raised = False, 0

    def raise_when_armed() -> None:
        if armed:
            raise Interrupt

    handle(raise_when_armed)

    def send() -> None:
        pause = 0.0
        while not stop.wait(pause):
            kick_main()
            pause = (pause + 0.00003) % 0.0012

    def contend() -> int:
        turns = 0
        while not stop.is_set():
            with cond:
                turns += 1
                cond.notify()
                time.sleep(0.0005)
        return turns

    sender, contender = start(send), start(contend)
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end or not raised:
            cond.acquire()
            try:
                armed = True
                cond.wait(0.001)
                armed = False
            except Interrupt:
                armed = False
                raised += 1
            cond.release()  # raises RuntimeError where it is not held
    finally:
        armed = False
        stop.set()
        sender.join()
    contender.join()
    check_works(cond)


@pytest.mark.parametrize("notified", [True, False])
def test_fork_inside_a_release(notified: bool) -> None:
    """The wait goes on in both processes, where the other threads are and where they are not."""

    class Forking(Recursive):
        pid = -1

        def _release_save(self) -> Any:
            saved = super()._release_save()
            if self.pid == -1 and threading.current_thread() is threading.main_thread():
                if notified:
                    run_in_thread(notify, cond)
                self.pid = fork()
                if self.pid == 0:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(CHILD_LIMIT)
            return saved

    lock = Forking()
    cond = pyfastlock.Condition(lock)
    take(cond, 2)
    result = cond.wait(DEADLINE if notified else SOON)
    if lock.pid == 0:

        def check() -> None:
            assert result is notified
            cond.release()
            assert cond._is_owned()
            give_back(cond, 1)
            check_works(cond)

        leave_child(check)
    assert result is notified
    give_back(cond, 2)
    join_child(lock.pid)
    check_works(cond)
