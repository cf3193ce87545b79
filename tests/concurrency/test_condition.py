"""Conditions with several threads: who wakes up, in which order, and with which lock."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import ModuleType
from typing import Any

import pytest
from concurrency import LOCK_KINDS, PlainLock, PlainLockWithLocked, make_lock, queued
from support import (
    DEADLINE,
    fails_on_stdlib,
    is_ours,
    parked,
    run_in_thread,
    start,
    try_in_thread,
    wait_until,
)


def wait_on(cond: Any, timeout: float | None = DEADLINE) -> bool:
    """Take `cond`, wait on it once, and give it back: the body of a thread."""
    cond.acquire()
    try:
        return cond.wait(timeout)
    finally:
        cond.release()


def notify(cond: Any, n: int | None = 1) -> None:
    """Notify `n` waiters, or all of them."""
    cond.acquire()
    try:
        cond.notify_all() if n is None else cond.notify(n)
    finally:
        cond.release()


def queue_up(cond: Any, count: int) -> list[Any]:
    """Threads that wait on `cond`, in the order of the queue."""
    waiters = []
    for n in range(count):
        waiters.append(start(wait_on, cond))
        wait_until(lambda n=n: queued(cond) == n + 1)
    # A waiter of the stdlib's is listed a moment before it lets go of the lock.
    cond.acquire()
    cond.release()
    return waiters


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_notify_wakes_in_the_order_of_the_queue(impl: ModuleType, kind: str) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    waiters = queue_up(cond, 5)
    for n, waiter in enumerate(waiters):
        notify(cond)
        assert waiter.join() is True
        assert queued(cond) == 4 - n
        assert not any(later.done for later in waiters[n + 1 :])


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t01_notify_with_waiters_that_time_out_between(impl: ModuleType, kind: str) -> None:
    """Timed-out waiters in the middle of the queue leave the rest of it in order."""
    cond = impl.Condition(make_lock(impl, kind))
    first = queue_up(cond, 2)
    brief = [start(wait_on, cond, 0.05) for _ in range(4)]
    wait_until(lambda: queued(cond) > 2 or all(waiter.done for waiter in brief))
    for waiter in brief:
        assert waiter.join() is False
    assert queued(cond) == 2
    last = start(wait_on, cond)
    parked(cond, 3)
    for waiter in (*first, last):
        notify(cond)
        assert waiter.join() is True
    assert queued(cond) == 0


@pytest.mark.parametrize("kind", LOCK_KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 100])
def test_t06_notify_n_wakes_n(impl: ModuleType, kind: str, n: int) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    waiters = queue_up(cond, 4)
    woken = min(n, 4)
    notify(cond, n)
    for waiter in waiters[:woken]:
        assert waiter.join() is True
    assert queued(cond) == 4 - woken
    assert not any(waiter.done for waiter in waiters[woken:])
    notify(cond, None)
    assert [waiter.join() for waiter in waiters[woken:]] == [True] * (4 - woken)


@pytest.mark.parametrize("n", [0, -1, -(2**31), -(2**63)])
def test_t06_notify_of_nobody_wakes_nobody(impl: ModuleType, n: int) -> None:
    cond = impl.Condition()
    (waiter,) = queue_up(cond, 1)
    notify(cond, n)
    # If it woke anybody, it would have to take the lock now.
    parked(cond, 1)
    assert not waiter.done
    notify(cond)
    assert waiter.join() is True


def test_t06_notify_more_than_the_rest_while_some_time_out(impl: ModuleType) -> None:
    """notify(n) and notify_all() among timeouts: nobody is lost, nobody wakes for nothing."""
    cond = impl.Condition()
    stop = threading.Event()
    begun: list[int] = []

    def be_patient() -> bool:
        with cond:
            begun.append(1)
            return cond.wait(DEADLINE)

    def begin() -> list[Any]:
        """Whoever has the lock after this knows that all of them wait."""
        begun.clear()
        threads = [start(be_patient) for _ in range(3)]
        wait_until(lambda: len(begun) == 3)
        return threads

    patient = begin()

    def time_out() -> int:
        truths = 0
        pause = 0.0
        while not stop.is_set():
            pause = (pause + 0.0001) % 0.002
            truths += wait_on(cond, pause)
        return truths

    brief = [start(time_out) for _ in range(3)]
    for round_ in range(60):
        notify(cond, None if round_ % 3 == 0 else 10)
        for waiter in patient:
            assert waiter.join() is True
        patient = begin()
    stop.set()
    for waiter in brief:
        waiter.join()
    # The patient ones are still there: nobody but notify woke them.
    parked(cond, 3)
    notify(cond, None)
    assert [waiter.join() for waiter in patient] == [True] * 3


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t06_notify_all_and_timeouts_at_the_same_time(impl: ModuleType, kind: str) -> None:
    """Each waiter either timed out or was notified; the queue is empty after each round."""
    cond = impl.Condition(make_lock(impl, kind))
    for round_ in range(8):
        waiters = [start(wait_on, cond, 0.002 * (n + 1)) for n in range(6)]
        time.sleep(0.002 * round_)
        notify(cond, None)
        assert all(waiter.join() in (True, False) for waiter in waiters)
        assert queued(cond) == 0
        assert try_in_thread(cond)


def test_t06_timed_out_waiters_leave_a_long_queue(impl: ModuleType) -> None:
    """Waiters leave from anywhere in a queue of 200 and the others stay in order."""
    cond = impl.Condition()
    woken: list[int] = []

    def wait(number: int, timeout: float) -> None:
        with cond:
            if cond.wait(timeout):
                woken.append(number)

    timeouts = [0.001 if number % 4 else DEADLINE for number in range(200)]
    threads = [start(wait, number, timeout) for number, timeout in enumerate(timeouts)]
    for number, thread in enumerate(threads):
        if number % 4:
            thread.join()
    parked(cond, 50)
    with cond:
        cond.notify(20)
    wait_until(lambda: len(woken) == 20)
    parked(cond, 30)
    with cond:
        cond.notify_all()
    for number, thread in enumerate(threads):
        if number % 4 == 0:
            thread.join()
    assert len(woken) == 50
    assert sorted(woken) == list(range(0, 200, 4))


# T5: the depth of an RLock.


@pytest.mark.parametrize("depth", [1, 2, 1000])
@pytest.mark.parametrize("kind", ["RLock", "foreign"])
@pytest.mark.parametrize("end", ["notify", "timeout", "zero", "exception"])
def test_t05_wait_restores_the_depth(impl: ModuleType, kind: str, depth: int, end: str) -> None:
    lock = make_lock(impl, kind)
    cond = impl.Condition(lock)

    def wait() -> bool:
        if end == "timeout":
            return cond.wait(0.01)
        if end == "zero":
            return cond.wait(0)
        if end == "exception":
            with pytest.raises(ZeroDivisionError):
                cond.wait_for(lambda: 1 / len(woken), DEADLINE)
            woken.append(1)
            with pytest.raises(ZeroDivisionError):
                cond.wait_for(lambda: woken.pop() and 1 / 0, DEADLINE)
            return False
        return cond.wait(DEADLINE)

    woken: list[int] = []
    for _ in range(depth):
        lock.acquire()
    notifier = start(lambda: (parked(cond), notify(cond))) if end == "notify" else None
    assert wait() is (end == "notify")
    if notifier is not None:
        notifier.join()
    for _ in range(depth - 1):
        lock.release()
    assert not try_in_thread(lock)
    lock.release()
    assert try_in_thread(lock)
    with pytest.raises(RuntimeError):
        lock.release()


@pytest.mark.parametrize("kind", ["RLock", "foreign"])
def test_t05_waiters_of_different_depths(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    cond = impl.Condition(lock)

    def wait(depth: int) -> None:
        for _ in range(depth):
            lock.acquire()
        assert cond.wait(DEADLINE)
        assert lock._is_owned()
        for _ in range(depth):
            assert lock._is_owned()
            lock.release()
        assert not lock._is_owned()

    waiters = [start(wait, depth) for depth in (1, 2, 7, 1000)]
    parked(cond, 4)
    notify(cond, None)
    for waiter in waiters:
        waiter.join()
    assert lock.acquire(False)
    lock.release()


# T7, T8: waiters that go away, come back, and share their memory with new ones.


def test_t07_conditions_that_die_right_after_the_notification(impl: ModuleType) -> None:
    """The waiter drops the condition while the notifier is still inside it."""
    rounds: deque[Any] = deque()
    done = threading.Event()

    def wait() -> int:
        truths = 0
        while not done.is_set() or rounds:
            try:
                cond, ready = rounds.popleft()
            except IndexError:
                time.sleep(0)
                continue
            with cond:
                ready.append(1)
                truths += cond.wait(DEADLINE)
            del cond
        return truths

    waiters = [start(wait) for _ in range(2)]
    count = 300
    for n in range(count):
        cond, ready = impl.Condition(make_lock(impl, LOCK_KINDS[n % 2])), []
        rounds.append((cond, ready))
        wait_until(lambda ready=ready: ready)
        with cond:
            cond.notify()
        del cond
    done.set()
    assert sum(waiter.join() for waiter in waiters) == count


def test_t07_timeouts_race_with_notifications(impl: ModuleType) -> None:
    """Either side may win, for thousands of waiters whose memory is used again at once."""
    cond = impl.Condition(impl.Lock())
    stop = threading.Event()

    def time_out(step: float) -> tuple[int, int]:
        results = [0, 0]
        timeout = 0.0
        while not stop.is_set():
            timeout = (timeout + step) % 0.0003
            with cond:
                results[cond.wait(timeout)] += 1
        return results[0], results[1]

    waiters = [start(time_out, step) for step in (0.00001, 0.000013, 0.000007)]
    sent = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        with cond:
            cond.notify()
            sent += 1
    stop.set()
    results = [waiter.join() for waiter in waiters]
    assert queued(cond) == 0
    assert 0 <= sum(true for _, true in results) <= sent
    assert try_in_thread(cond)


def test_t08_waiters_that_come_back_take_no_old_notification(impl: ModuleType) -> None:
    """As many waits end as notifications were sent, over thousands of the same waiters."""
    cond = impl.Condition()
    sent = received = 0
    stop = False
    late: list[int] = []

    def wait() -> None:
        nonlocal received
        with cond:
            while not stop:
                if cond.wait(DEADLINE) and not stop:
                    received += 1
                    if received > sent:
                        late.append(received)

    waiters = [start(wait) for _ in range(3)]
    wait_until(lambda: queued(cond) == 3)
    for _ in range(1500):
        with cond:
            if sent - received < 3:
                cond.notify()
                sent += 1
    wait_until(lambda: received == sent)
    parked(cond, 3)
    assert not late
    with cond:
        stop = True
        cond.notify_all()
    for waiter in waiters:
        waiter.join()


# T9: nobody wakes up for nothing.


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t09_no_spurious_wake_ups(impl: ModuleType, kind: str) -> None:
    """Traffic on the lock, on a neighbour condition and on other locks wakes no waiter."""
    lock = make_lock(impl, kind)
    cond, neighbour = impl.Condition(lock), impl.Condition(lock)
    others = [impl.Lock() for _ in range(50)]
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            for other in others:
                with other:
                    pass
            neighbour.acquire()
            neighbour.notify_all()
            neighbour.wait(0.0001)
            neighbour.release()

    waiters = queue_up(cond, 2)
    busy = [start(traffic) for _ in range(2)]
    began = time.monotonic()
    assert wait_on(cond, 0.2) is False
    assert time.monotonic() - began >= 0.195
    assert queued(cond) == 2
    assert not any(waiter.done for waiter in waiters)
    stop.set()
    for thread in busy:
        thread.join()
    notify(cond, None)
    assert [waiter.join() for waiter in waiters] == [True, True]


# T10: several conditions on one lock, and foreign locks.


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t10_conditions_that_share_a_lock(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    conds = [impl.Condition(lock) for _ in range(3)]
    waiters = [queue_up(cond, 2) for cond in conds]
    # All that share the lock, in any order, each with its own queue.
    conds[1].acquire()
    conds[1].notify()
    conds[2].notify_all()
    conds[1].release()
    assert waiters[1][0].join() is True
    assert [waiter.join() for waiter in waiters[2]] == [True, True]
    assert [queued(cond) for cond in conds] == [2, 1, 0]
    assert not any(waiter.done for waiter in (*waiters[0], waiters[1][1]))
    for cond in conds:
        notify(cond, None)
    for waiter in (*waiters[0], waiters[1][1]):
        assert waiter.join() is True


def test_t10_queue_of_three_conditions(impl: ModuleType) -> None:
    """What queue.Queue does: a bounded buffer with three conditions on one lock."""
    lock = impl.Lock()
    not_empty, not_full, all_done = (impl.Condition(lock) for _ in range(3))
    items: deque[int] = deque()
    unfinished, per_thread, producers = 0, 300, 2

    def produce(start_at: int) -> None:
        nonlocal unfinished
        for item in range(start_at, start_at + per_thread):
            with not_full:
                while len(items) >= 4:
                    assert not_full.wait(DEADLINE)
                items.append(item)
                unfinished += 1
                not_empty.notify()

    def consume() -> list[int]:
        nonlocal unfinished
        got = []
        while True:
            with not_empty:
                while not items:
                    assert not_empty.wait(DEADLINE)
                item = items.popleft()
                not_full.notify()
            if item >= 0:
                got.append(item)
            with all_done:
                unfinished -= 1
                if not unfinished:
                    all_done.notify_all()
            if item < 0:
                return got

    consumers = [start(consume) for _ in range(2)]
    makers = [start(produce, n * per_thread) for n in range(producers)]
    for maker in makers:
        maker.join()
    with all_done:
        assert all_done.wait_for(lambda: not unfinished, DEADLINE)
    for _ in consumers:
        with not_full:
            while len(items) >= 4:
                assert not_full.wait(DEADLINE)
            items.append(-1)
            unfinished += 1
            not_empty.notify()
    got = sorted(consumers[0].join() + consumers[1].join())
    assert got == list(range(producers * per_thread))


class NoisyLock(PlainLockWithLocked):
    """A foreign lock with all the optional methods, which counts what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.owner: int | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = super().acquire(blocking, timeout)
        if got:
            self.owner = threading.get_ident()
        return got

    def release(self) -> None:
        self.owner = None
        super().release()

    def _is_owned(self) -> bool:
        return self.owner == threading.get_ident()

    def _release_save(self) -> str:
        self.calls.append("_release_save")
        self.release()
        return "state"

    def _acquire_restore(self, state: str) -> None:
        self.calls.append(f"_acquire_restore {state}")
        self.acquire()


def test_t10_foreign_lock_with_all_optional_methods(impl: ModuleType) -> None:
    lock = NoisyLock()
    cond = impl.Condition(lock)
    with pytest.raises(RuntimeError):
        cond.notify()
    waiter = start(wait_on, cond)
    parked(cond)
    with pytest.raises(RuntimeError):
        cond.notify()
    notify(cond)
    assert waiter.join() is True
    assert lock.calls == ["_release_save", "_acquire_restore state"]
    assert lock.owner is None


class MinimalLock:
    """Not even the parameters of acquire(): it knows acquire() and acquire(False)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


def test_t10_subclass_of_our_rlock(impl: ModuleType) -> None:
    """Its methods are called, though it is an RLock."""
    if not isinstance(impl.RLock, type):
        pytest.skip("RLock is a function there")
    calls: list[str] = []

    class Loud(impl.RLock):  # type: ignore[misc,name-defined]
        def _release_save(self) -> Any:
            calls.append("_release_save")
            return super()._release_save()

        def _acquire_restore(self, state: Any) -> None:
            calls.append("_acquire_restore")
            super()._acquire_restore(state)

    lock = Loud()
    cond = impl.Condition(lock)
    notifier = start(lambda: (parked(cond), notify(cond)))
    with lock, lock:
        assert cond.wait(DEADLINE) is True
        assert lock._is_owned()
    assert not lock._is_owned()
    notifier.join()
    assert calls == ["_release_save", "_acquire_restore"]


def test_t10_foreign_lock_without_timeout(impl: ModuleType) -> None:
    cond = impl.Condition(MinimalLock())
    with pytest.raises(RuntimeError):
        cond.notify()
    with pytest.raises(RuntimeError):
        cond.wait(0)
    waiters = queue_up(cond, 2)
    notify(cond, 2)
    assert [waiter.join() for waiter in waiters] == [True, True]


def test_t10_ours_over_the_other_modules_lock(impl: ModuleType) -> None:
    """A lock of the one library under the condition of the other."""
    other = threading if impl is not threading else pytest.importorskip("pyfastlock")
    for lock in (other.Lock(), other.RLock()):
        cond = impl.Condition(lock)
        waiters = queue_up(cond, 2)
        notify(cond)
        assert waiters[0].join() is True
        assert queued(cond) == 1
        notify(cond, None)
        assert waiters[1].join() is True
        assert lock.acquire(False)
        lock.release()


def test_t10_multiprocessing_lock(impl: ModuleType) -> None:
    multiprocessing = pytest.importorskip("multiprocessing")
    try:
        lock = multiprocessing.Lock()
    except (ImportError, OSError) as error:
        pytest.skip(f"no semaphores between processes here: {error}")
    cond = impl.Condition(lock)
    waiters = queue_up(cond, 2)
    notify(cond, None)
    assert [waiter.join() for waiter in waiters] == [True, True]


# T11: wait_for.


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t11_notifications_do_not_move_the_deadline(impl: ModuleType, kind: str) -> None:
    """wait_for() ends at its deadline, however often it is woken before."""
    cond = impl.Condition(make_lock(impl, kind))
    calls, enough = 0, 100_000
    stop = threading.Event()

    def predicate() -> bool:
        nonlocal calls
        calls += 1
        # With a deadline that starts anew each time, it would last as long as the notifications.
        assert calls < enough
        return False

    def disturb() -> None:
        while not stop.is_set():
            notify(cond, None)
            time.sleep(0.001)

    disturber = start(disturb)
    cond.acquire()
    began = time.monotonic()
    got = cond.wait_for(predicate, 0.2)
    took = time.monotonic() - began
    cond.release()
    stop.set()
    disturber.join()
    assert got is False
    assert took >= 0.195
    assert calls > 2


def test_t11_predicate_that_raises_ends_with_the_lock_held(impl: ModuleType) -> None:
    cond = impl.Condition()
    calls = 0

    def predicate() -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyError(calls)
        return False

    notifier = start(lambda: (parked(cond), notify(cond)))
    with cond:
        with pytest.raises(KeyError):
            cond.wait_for(predicate, DEADLINE)
        assert not try_in_thread(cond)
        assert queued(cond) == 0
    notifier.join()
    assert try_in_thread(cond)


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t11_predicate_that_waits_and_notifies_itself(impl: ModuleType, kind: str) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    calls: list[bool] = []

    def predicate() -> int:
        cond.notify_all()
        calls.append(cond.wait(0.005))
        return len(calls) if len(calls) == 3 else 0

    notifier = start(lambda: (parked(cond), notify(cond)))
    cond.acquire()
    assert cond.wait_for(predicate, 0.1) in (0, 3)
    notifier.join()
    assert len(calls) >= 2
    assert not try_in_thread(cond)
    cond.release()
    assert queued(cond) == 0


def test_t11_predicate_that_turns_true_without_a_notification(impl: ModuleType) -> None:
    cond = impl.Condition()
    value: list[int] = []
    setter = start(lambda: (parked(cond), value.append(7)))
    with cond:
        assert cond.wait_for(lambda: value, 0.3) == [7]
    setter.join()


def test_t11_predicate_decides_again_after_each_notification(impl: ModuleType) -> None:
    cond = impl.Condition()
    state = 0
    seen: list[int] = []

    def wait() -> str | None:
        with cond:
            return cond.wait_for(lambda: seen.append(state) or (state == 3 and "three"), DEADLINE)

    waiter = start(wait)
    for _ in range(3):
        parked(cond)
        with cond:
            state += 1
            cond.notify()
    assert waiter.join() == "three"
    assert seen == [0, 1, 2, 3]


# T12: many waiters.


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_t12_notify_all_wakes_every_waiter_once(impl: ModuleType, kind: str) -> None:
    cond = impl.Condition(make_lock(impl, kind))
    count = 150
    inside = 0

    def wait() -> bool:
        nonlocal inside
        cond.acquire()
        try:
            woken = cond.wait(DEADLINE)
            inside += 1
            alone = inside == 1
            time.sleep(0)
            inside -= 1
            return woken and alone
        finally:
            cond.release()

    waiters = [start(wait) for _ in range(count)]
    parked(cond, count)
    began = time.monotonic()
    notify(cond, None)
    assert [waiter.join() for waiter in waiters] == [True] * count
    print(f"{count} waiters took {(time.monotonic() - began) * 1000:.1f} ms")
    assert queued(cond) == 0


def test_t12_notified_waiters_queue_for_the_lock(impl: ModuleType) -> None:
    """The notified wait for the lock while the notifier holds it; each release wakes one."""
    lock = impl.Lock()
    cond = impl.Condition(lock)
    waiters = queue_up(cond, 5)
    with cond:
        cond.notify_all()
        assert queued(cond) == 0
        if is_ours(cond):
            assert queued(lock) == 5
        assert not any(waiter.done for waiter in waiters)
    assert [waiter.join() for waiter in waiters] == [True] * 5
    assert queued(lock) == 0


def test_t12_new_waiters_during_notify_all_are_not_woken(impl: ModuleType) -> None:
    cond = impl.Condition()
    results: list[str] = []

    def twice() -> None:
        with cond:
            assert cond.wait(DEADLINE)
            results.append("first")
            assert cond.wait(DEADLINE)
            results.append("second")

    waiters = [start(twice) for _ in range(4)]
    parked(cond, 4)
    notify(cond, None)
    wait_until(lambda: len(results) == 4)
    parked(cond, 4)
    assert results == ["first"] * 4
    notify(cond, None)
    for waiter in waiters:
        waiter.join()
    assert results[4:] == ["second"] * 4


# Behind one another.


@pytest.mark.parametrize("kind", LOCK_KINDS)
def test_ping_pong(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    ping, pong = impl.Condition(lock), impl.Condition(lock)
    rounds, turn = 200, ["ping"]

    def play(mine: Any, other: Any, name: str, next_name: str) -> None:
        for _ in range(rounds):
            mine.acquire()
            assert mine.wait_for(lambda: turn == [name], DEADLINE)
            turn[0] = next_name
            other.notify()
            mine.release()

    players = [start(play, ping, pong, "ping", "pong"), start(play, pong, ping, "pong", "ping")]
    for player in players:
        player.join()


def test_wait_without_the_lock_while_another_thread_has_it(impl: ModuleType) -> None:
    for kind in ("RLock", "foreign"):
        cond = impl.Condition(make_lock(impl, kind))
        with cond:

            def stranger(cond: Any = cond) -> None:
                for call in (cond.notify, cond.notify_all, lambda: cond.wait(0)):
                    with pytest.raises(RuntimeError):
                        call()

            run_in_thread(stranger)
        assert queued(cond) == 0


@fails_on_stdlib(
    "a condition needs a lock with locked()",
    raises=AttributeError,
    when=hasattr(threading.RLock(), "locked"),
)
def test_t10_foreign_lock_without_locked(impl: ModuleType) -> None:
    cond = impl.Condition(PlainLock())
    (waiter,) = queue_up(cond, 1)
    notify(cond)
    assert waiter.join() is True
