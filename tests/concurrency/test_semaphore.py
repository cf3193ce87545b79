"""Semaphores with many threads: permits are neither lost nor invented, and everybody gets one."""

from __future__ import annotations

import gc
import math
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from concurrency import CHILD_LIMIT, check_script, finalize_when_parked, patience, queued
from support import (
    DEADLINE,
    fails_on_stdlib,
    is_ours,
    parked,
    run_in_thread,
    start,
    wait_until,
)

KINDS = ["Semaphore", "BoundedSemaphore"]


PATIENT = 2 * DEADLINE
"""Longer than anybody waits for the thread that waits: the end of its time makes no lost wake-up
good."""


@pytest.fixture
def switch_often() -> Iterator[None]:
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(old)


def make(impl: ModuleType, kind: str, permits: int, bound: int | None = None) -> Any:
    """A semaphore with `permits` free ones, and a bound above that if it has one."""
    if kind == "Semaphore":
        return impl.Semaphore(permits)
    semaphore = impl.BoundedSemaphore(permits if bound is None else bound)
    for _ in range(semaphore._value - permits):
        assert semaphore.acquire(False)
    return semaphore


def permits_of(semaphore: Any) -> int:
    """How many permits there are: takes them all, and gives them back."""
    taken = 0
    while semaphore.acquire(False):
        taken += 1
    if taken:
        semaphore.release(taken)
    assert semaphore._value == taken
    return taken


def race(*bodies: Callable[[], Any]) -> list[Any]:
    """Call the bodies in a thread each, as much at the same time as possible."""
    gate = threading.Barrier(len(bodies), timeout=DEADLINE)

    def run(body: Callable[[], Any]) -> Any:
        gate.wait()
        return body()

    return [thread.join() for thread in [start(run, body) for body in bodies]]


# T32: permits.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_t32_release_n_wakes_n(impl: ModuleType, kind: str, n: int) -> None:
    semaphore = make(impl, kind, 0, 20)
    waiters = [start(semaphore.acquire) for _ in range(20)]
    parked(semaphore, 20)
    semaphore.release(n)
    wait_until(lambda: sum(waiter.done for waiter in waiters) == n)
    parked(semaphore, 20 - n)
    assert sum(waiter.done for waiter in waiters) == n
    assert semaphore._value == 0
    if n < 20:
        semaphore.release(20 - n)
    assert [waiter.join() for waiter in waiters] == [True] * 20
    assert permits_of(semaphore) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_t32_release_of_more_than_wait_keeps_the_rest(impl: ModuleType, kind: str) -> None:
    semaphore = make(impl, kind, 0, 10)
    waiters = [start(semaphore.acquire, True, PATIENT) for _ in range(3)]
    parked(semaphore, 3)
    semaphore.release(10)
    assert [waiter.join() for waiter in waiters] == [True] * 3
    assert permits_of(semaphore) == 7


@fails_on_stdlib("a waiter that has timed out swallows the notification", strict=False)
def test_t32_timed_out_waiter_swallows_no_permit(impl: ModuleType, switch_often: None) -> None:
    """One permit comes about when the first of two waiters gives up: one of them gets it."""
    rng = random.Random(32)
    for _ in range(100):
        semaphore = impl.Semaphore(0)
        timeout = rng.uniform(0.0005, 0.002)
        brief = start(semaphore.acquire, timeout=timeout)
        patient = start(semaphore.acquire, timeout=PATIENT)
        time.sleep(timeout * rng.uniform(0.7, 1.3))
        semaphore.release()
        try:
            if not brief.join():
                wait_until(lambda patient=patient: patient.done, patience(semaphore))
            else:
                assert not patient.done or not patient.join()
                parked(semaphore, 1)
                assert not patient.done
        finally:
            semaphore.release()
            assert patient.join() is True
        assert semaphore._value == (not brief.join())


def test_t32_timed_out_waiters_leave_nothing(impl: ModuleType) -> None:
    semaphore = impl.Semaphore(0)
    waiters = [start(semaphore.acquire, timeout=n / 1000) for n in range(30)]
    assert [waiter.join() for waiter in waiters] == [False] * 30
    assert queued(semaphore) == 0
    semaphore.release()
    assert permits_of(semaphore) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("permits", [1, 3])
def test_t32_never_more_inside_than_permits(
    impl: ModuleType, kind: str, permits: int, switch_often: None
) -> None:
    """In every way to take one, barging included."""
    semaphore = make(impl, kind, permits)
    inside: list[int] = []
    most, entered = 0, [0] * 6

    def use(n: int) -> None:
        nonlocal most
        rng = random.Random(n)
        while entered[n] < 200:
            way = rng.randrange(4)
            if way == 0:
                semaphore.acquire()
            elif not semaphore.acquire(*[(False,), (True, 0.0003), (True, PATIENT)][way - 1]):
                assert way != 3, "starved"
                continue
            inside.append(n)
            most = max(most, len(inside))
            inside.remove(n)
            entered[n] += 1
            semaphore.release()

    for thread in [start(use, n) for n in range(6)]:
        thread.join()
    assert 0 < most <= permits
    assert queued(semaphore) == 0
    assert permits_of(semaphore) == permits


def test_t32_permits_are_neither_lost_nor_invented(impl: ModuleType, switch_often: None) -> None:
    """Producers release some at a time, consumers take them one by one, or time out."""
    semaphore = impl.Semaphore(0)
    each, stop = 600, threading.Event()

    def produce(seed: int) -> int:
        rng, left = random.Random(seed), each
        while left:
            n = min(left, rng.choice([1, 1, 2, 5, 30]))
            semaphore.release(n)
            left -= n
        return each

    def consume(seed: int) -> int:
        rng, taken = random.Random(seed), 0
        while not stop.is_set():
            taken += semaphore.acquire(True, rng.choice([0, 0.00002, 0.0002, 0.002]))
            taken += semaphore.acquire(False)
        return taken

    consumers = [start(consume, n) for n in range(4)]
    produced = sum(race(*[lambda n=n: produce(n) for n in range(3)]))
    wait_until(lambda: semaphore._value == 0)
    stop.set()
    assert sum(consumer.join() for consumer in consumers) == produced
    assert queued(semaphore) == 0
    assert permits_of(semaphore) == 0


def test_t32_as_many_releases_as_acquires_end_all_waits(
    impl: ModuleType, switch_often: None
) -> None:
    """No wake-up is lost: nobody here has a timeout that would hide it."""
    semaphore = impl.Semaphore(0)

    def take() -> int:
        return sum(semaphore.acquire() for _ in range(300))

    def give() -> int:
        for n in range(100):
            semaphore.release()
            semaphore.release(1 + n % 3)
            semaphore.release(3 - n % 3)
        return 0

    # In a round of three `give` releases 5 each: 500 altogether.
    assert race(take, take, take, take, take, give, give, give) == [300] * 5 + [0] * 3
    assert permits_of(semaphore) == 0


def test_t32_one_permit_goes_to_and_fro(impl: ModuleType) -> None:
    """The release comes, often, just when the other one is about to sleep."""
    here, there = impl.Semaphore(0), impl.Semaphore(0)
    rounds = 3000

    def answer() -> None:
        for _ in range(rounds):
            there.acquire()
            here.release()

    other = start(answer)
    for _ in range(rounds):
        there.release()
        assert here.acquire(timeout=PATIENT)
    other.join()
    assert permits_of(here) == permits_of(there) == 0


# T32: the bound is checked in the step that adds the permits.


@pytest.mark.parametrize("free", [0, 1, 3])
def test_t32_exactly_as_many_releases_as_the_bound_allows(
    impl: ModuleType, free: int, switch_often: None
) -> None:
    bound = 4
    for _ in range(25):
        semaphore = make(impl, "BoundedSemaphore", free, bound)

        def release(semaphore: Any = semaphore) -> int:
            good = 0
            for _ in range(3):
                try:
                    semaphore.release()
                except ValueError:
                    continue
                good += 1
            return good

        assert sum(race(*[release] * 5)) == bound - free
        assert permits_of(semaphore) == bound


def test_t32_bound_with_a_number_of_permits(impl: ModuleType, switch_often: None) -> None:
    """release(n) gives all of them back or none."""
    for _ in range(20):
        semaphore = make(impl, "BoundedSemaphore", 0, 10)

        def release(n: int, semaphore: Any = semaphore) -> int:
            try:
                semaphore.release(n)
            except ValueError:
                return 0
            return n

        given = sum(race(*[lambda n=n: release(n) for n in (3, 3, 4, 4, 6)]))
        assert given <= 10
        assert permits_of(semaphore) == given
        assert given >= 7  # one more of these would always fit, otherwise


def test_t32_bound_while_others_wait_and_take(impl: ModuleType, switch_often: None) -> None:
    """Each permit that is taken is given back twice; one of the two fails, or pays for another."""
    bound = 3
    semaphore = impl.BoundedSemaphore(bound)
    stop = threading.Event()
    balance: list[int] = []

    def use(seed: int) -> None:
        rng, mine = random.Random(seed), 0
        while not stop.is_set():
            assert 0 <= semaphore._value <= bound
            if semaphore.acquire(True, rng.choice([0.0001, 0.001])):
                mine -= 1
            if rng.random() < 0.6:
                try:
                    semaphore.release()
                    mine += 1
                except ValueError:
                    pass
        balance.append(mine)

    users = [start(use, n) for n in range(5)]
    time.sleep(0.3)
    stop.set()
    for user in users:
        user.join()
    assert permits_of(semaphore) == bound + sum(balance)
    assert queued(semaphore) == 0


def test_t32_refused_release_wakes_nobody(impl: ModuleType) -> None:
    semaphore = make(impl, "BoundedSemaphore", 0, 2)
    waiters = [start(semaphore.acquire, True, PATIENT) for _ in range(2)]
    parked(semaphore, 2)
    with pytest.raises(ValueError):
        semaphore.release(3)
    assert queued(semaphore) == 2
    assert not any(waiter.done for waiter in waiters)
    semaphore.release(2)
    assert [waiter.join() for waiter in waiters] == [True, True]


# T16, defect 3.

NAN = """
import math, signal

semaphore = impl.{kind}(1)
assert semaphore.acquire()
try:
    got = semaphore.acquire(timeout=math.nan)
except ValueError:
    print("ValueError", semaphore._value, queued(semaphore))
semaphore.release()
try:
    semaphore.acquire(timeout=math.nan)
except ValueError:
    print("ValueError", semaphore._value)
"""


@fails_on_stdlib("acquire(timeout=nan) burns a core for ever")
@pytest.mark.parametrize("kind", KINDS)
def test_t16_t32_nan_is_an_error(impl: ModuleType, kind: str) -> None:
    check_script(
        NAN.format(kind=kind),
        impl,
        output="ValueError 0 0\nValueError 1",
        limit=CHILD_LIMIT if is_ours(impl.Semaphore()) else 1.5,
    )


def test_acquire_lasts_as_long_as_it_should(impl: ModuleType) -> None:
    semaphore = impl.Semaphore(0)
    for call in (lambda: semaphore.acquire(timeout=0.1), lambda: semaphore.acquire(True, 0.1)):
        began = time.monotonic()
        assert call() is False
        assert time.monotonic() - began >= 0.099
    assert semaphore.acquire(timeout=math.ulp(0)) is False
    assert semaphore.acquire(timeout=0) is False


# T28: starvation.


@pytest.mark.parametrize("kind", KINDS)
def test_t28_a_greedy_thread_lets_others_in(impl: ModuleType, kind: str) -> None:
    semaphore = make(impl, kind, 1)
    stop = threading.Event()

    def greedy() -> int:
        rounds = 0
        while not stop.is_set():
            with semaphore:
                rounds += 1
        return rounds

    thread = start(greedy)
    for _ in range(10):
        assert semaphore.acquire(timeout=PATIENT)
        semaphore.release()
    stop.set()
    assert thread.join() > 0


def test_t28_a_hundred_waiters_all_get_one(impl: ModuleType) -> None:
    semaphore = impl.Semaphore(0)
    order: list[int] = []

    def take(n: int) -> None:
        with semaphore:
            order.append(n)

    waiters = [start(take, n) for n in range(100)]
    parked(semaphore, 100)
    semaphore.release()
    for waiter in waiters:
        waiter.join()
    assert sorted(order) == list(range(100))
    assert permits_of(semaphore) == 1


# T29: spurious failures.


def test_t29_free_permit_is_always_had(impl: ModuleType, switch_often: None) -> None:
    """As many permits as threads: an acquire never fails, whatever the others do."""
    semaphore = impl.Semaphore(4)

    def use() -> None:
        for n in range(500):
            assert semaphore.acquire(n % 2 == 0)
            semaphore.release()

    race(*[use] * 4)
    assert permits_of(semaphore) == 4


# T7, T21, T23: lifetime, finalizers.


def test_t07_semaphore_is_dropped_by_whoever_it_woke(impl: ModuleType) -> None:
    for _ in range(200):
        box = [impl.Semaphore(0)]
        dropped = weakref.ref(box[0])

        def take(box: list[Any]) -> bool:
            return box.pop().acquire(True, PATIENT)

        waiter = start(take, box)
        semaphore = dropped()
        assert semaphore is not None
        semaphore.release()
        del semaphore
        assert waiter.join() is True
        wait_until(lambda dropped=dropped: dropped() is None)


def test_t21_waiting_thread_keeps_the_semaphore(impl: ModuleType) -> None:
    semaphore = impl.Semaphore(0)
    reference = weakref.ref(semaphore)
    waiter = start(lambda semaphore: semaphore.acquire(timeout=PATIENT), semaphore)
    parked(semaphore)
    del semaphore
    gc.collect()
    semaphore = reference()
    assert semaphore is not None
    semaphore.release()
    assert waiter.join() is True


FINALIZERS = """
import gc, weakref

semaphore = impl.Semaphore(0)
bounded = impl.BoundedSemaphore(2)
released = taken = 0

class Litter:
    def __init__(self):
        self.itself = self
    def __del__(self):
        global released, taken
        semaphore.release(2)
        released += 2
        taken += semaphore.acquire(False)
        if bounded.acquire(False):
            bounded.release()
        try:
            bounded.release(2)
        except ValueError:
            pass
        else:
            bounded.acquire(False), bounded.acquire(False)

gc.set_threshold(1)
for n in range(LOOPS):
    Litter()
    semaphore.release()
    released += 1
    Litter()
    taken += semaphore.acquire()
    Litter()
    taken += semaphore.acquire(True, 0.00001)
    Litter()
    with bounded:
        Litter()
gc.set_threshold(0)
gc.collect()
assert semaphore._value == released - taken, (semaphore._value, released, taken)
assert released > LOOPS
assert bounded._value == 2
print("done")
"""


@fails_on_stdlib(
    "a finalizer that runs inside of release() waits for its lock for ever", strict=False
)
def test_t23_t32_finalizers_use_the_semaphore_that_they_interrupt(impl: ModuleType) -> None:
    check_script(
        FINALIZERS.replace("LOOPS", "1000"),
        impl,
        output="done",
        limit=CHILD_LIMIT if is_ours(impl.Semaphore()) else 1.5,
    )


@pytest.mark.parametrize("how", ["__del__", "weakref"])
def test_t23_finalizer_releases_the_semaphore_for_which_main_waits(
    impl: ModuleType, how: str
) -> None:
    semaphore = impl.Semaphore(0)

    dropper = finalize_when_parked(semaphore, how, semaphore.release)
    try:
        assert semaphore.acquire(timeout=PATIENT) is True
    finally:
        dropper.join()
    assert semaphore._value == 0


# T24, T25: threads that are blocked, and the end.


def test_t24_blocked_threads_do_not_block_others(impl: ModuleType) -> None:
    semaphore, other = impl.Semaphore(0), impl.Semaphore(0)
    waiters = [start(semaphore.acquire) for _ in range(5)]
    parked(semaphore, 5)
    assert run_in_thread(other.acquire, timeout=0.01) is False
    assert run_in_thread(semaphore.acquire, timeout=0.01) is False
    gc.collect()
    semaphore.release(5)
    assert [waiter.join() for waiter in waiters] == [True] * 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timeout", ["None", "600"], ids=["untimed", "timed"])
def test_t25_daemon_threads_wait_at_exit(impl: ModuleType, kind: str, timeout: str) -> None:
    check_script(
        f"""
        semaphore = impl.{kind}(2)
        assert semaphore.acquire() and semaphore.acquire()
        threads = [start(semaphore.acquire, True, {timeout}) for _ in range(20)]
        parked(semaphore, 20)
        print("end")
        """,
        impl,
        output="end",
    )


def test_t25_semaphore_is_released_at_exit(impl: ModuleType) -> None:
    """Those who are woken when the interpreter has ended for them do no harm."""
    check_script(
        """
        class Late:
            def __del__(self, semaphore=impl.Semaphore(0)):
                semaphore.release()
                semaphore.release(5)
                semaphore.release(100)
                assert semaphore.acquire()
                with semaphore:
                    pass
        late = Late()
        semaphore = Late.__del__.__defaults__[0]
        threads = [start(semaphore.acquire) for _ in range(10)]
        parked(semaphore, 10)
        sys.modules["late"] = late
        del late, semaphore
        """,
        impl,
    )


def test_t26_permit_that_cannot_come_at_exit() -> None:
    """The threads that could release one do not run any more."""
    check_script(
        """
        class Late:
            def __del__(self, acquire=impl.Semaphore(0).acquire, write=sys.stdout.write):
                try:
                    acquire()
                except RuntimeError as exc:
                    write(type(exc).__name__)
        late = Late()
        sys.modules["late"] = late
        del late
        """,
        "pyfastlock",
        output="PythonFinalizationError" if sys.version_info >= (3, 13) else "RuntimeError",
    )


def test_blocked_threads_use_no_cpu(impl: ModuleType) -> None:
    semaphore, never = impl.Semaphore(0), impl.Semaphore(0)
    threads = [start(semaphore.acquire, True, None if n % 2 else 600) for n in range(200)]
    parked(semaphore, 200)
    begin = time.process_time()
    assert never.acquire(timeout=0.5) is False
    used = time.process_time() - begin
    semaphore.release(200)
    assert [thread.join() for thread in threads] == [True] * 200
    assert used < 0.25
