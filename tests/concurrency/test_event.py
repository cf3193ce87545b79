"""Events with many threads: pulses, races between set(), clear() and wait(), finalizers, exits."""

from __future__ import annotations

import gc
import math
import random
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from concurrency import CHILD_LIMIT, check_script, finalize_when_parked, queued
from support import DEADLINE, SETTLE, fails_on_stdlib, is_ours, parked, start, wait_until

PATIENT = 2 * DEADLINE
"""Longer than anybody waits for the thread that waits: the end of its time makes no lost wake-up
good."""


@pytest.fixture
def switch_often() -> Iterator[None]:
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(old)


# T31: everybody who waits when the event is set returns True.


@pytest.mark.parametrize("timeout", [None, PATIENT], ids=["untimed", "timed"])
def test_t31_a_pulse_wakes_all_who_wait(impl: ModuleType, timeout: float | None) -> None:
    event = impl.Event()
    for _ in range(2):
        waiters = [start(event.wait, timeout) for _ in range(100)]
        parked(event, 100)
        event.set()
        event.clear()
        assert [waiter.join() for waiter in waiters] == [True] * 100
        assert not event.is_set()
        assert queued(event) == 0


def test_t31_each_pulse_is_seen(impl: ModuleType) -> None:
    """By each of those who wait again and again: sometimes twice, by one that is quick."""
    event = impl.Event()
    threads, pulses = 8, 40
    stop: list[bool] = []

    def wait() -> int:
        seen = 0
        while not stop:
            seen += event.wait(PATIENT)
        return seen

    waiters = [start(wait) for _ in range(threads)]
    for n in range(pulses):
        parked(event, threads)
        if n == pulses - 1:
            stop.append(True)
        event.set()
        event.clear()
    assert all(waiter.join() >= pulses for waiter in waiters)


def test_t31_waiters_of_two_pulses_in_a_row(impl: ModuleType) -> None:
    """Those of the first pulse have not run yet when the second one comes."""
    event = impl.Event()
    old = sys.getswitchinterval()
    for _ in range(20):
        waiters = [start(event.wait, PATIENT) for _ in range(5)]
        parked(event, 5)
        sys.setswitchinterval(5)
        try:
            for _ in range(3):
                event.set()
                event.clear()
        finally:
            sys.setswitchinterval(old)
        assert [waiter.join() for waiter in waiters] == [True] * 5
    assert event.wait(0) is False


def test_t31_set_stays_set(impl: ModuleType) -> None:
    event = impl.Event()
    waiters = [start(event.wait, PATIENT) for _ in range(20)]
    parked(event, 20)
    event.set()
    event.set()
    assert [waiter.join() for waiter in waiters] == [True] * 20
    assert event.is_set()
    assert event.wait() is True
    assert event.wait(0) is True


def test_timeouts_leave_the_others_waiting(impl: ModuleType) -> None:
    event = impl.Event()
    patient = [start(event.wait, PATIENT) for _ in range(3)]
    parked(event, 3)
    brief = [start(event.wait, 0.01 + n / 1000) for n in range(20)]
    assert [waiter.join() for waiter in brief] == [False] * 20
    assert not any(waiter.done for waiter in patient)
    assert queued(event) == 3
    event.set()
    assert [waiter.join() for waiter in patient] == [True] * 3


def test_t31_set_at_the_deadline(impl: ModuleType, switch_often: None) -> None:
    """wait() is over when set() comes about then: True, or False; and nobody stays queued."""
    rng = random.Random(31)
    results = []
    for _ in range(60):
        event = impl.Event()
        timeout = rng.uniform(0.0005, 0.003)
        waiters = [start(event.wait, timeout) for _ in range(3)]
        time.sleep(timeout * rng.uniform(0.5, 1.5))
        event.set()
        event.clear()
        results += [waiter.join() for waiter in waiters]
        assert queued(event) == 0
    assert set(results) <= {True, False}


def test_what_was_written_before_set_is_seen(impl: ModuleType) -> None:
    ping, pong = impl.Event(), impl.Event()
    box: list[int] = [0]
    rounds = 300

    def answer() -> None:
        for n in range(rounds):
            assert ping.wait(PATIENT)
            ping.clear()
            assert box[0] == 2 * n + 1
            box[0] += 1
            pong.set()

    other = start(answer)
    for n in range(rounds):
        box[0] += 1
        ping.set()
        assert pong.wait(PATIENT)
        pong.clear()
        assert box[0] == 2 * n + 2
    other.join()


def test_no_set_is_lost_among_clears(impl: ModuleType, switch_often: None) -> None:
    """Waiters come, others set and clear all the time; the last set() ends all waits."""
    event = impl.Event()
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            event.set()
            event.is_set()
            event.clear()
            repr(event)

    def wait() -> int:
        woken = 0
        while not stop.is_set():
            woken += event.wait(PATIENT)
        return woken

    flippers = [start(flip) for _ in range(2)]
    waiters = [start(wait) for _ in range(4)]
    time.sleep(0.3)
    stop.set()
    for flipper in flippers:
        flipper.join()
    event.set()
    assert all(waiter.join() >= 0 for waiter in waiters)
    assert queued(event) == 0


def test_t09_no_wait_ends_for_nothing(impl: ModuleType, switch_often: None) -> None:
    """Many of an address's neighbours are set; the events that nobody sets stay clear."""
    events = [impl.Event() for _ in range(64)]
    waiters = [start(event.wait, PATIENT) for event in events]
    for event in events:
        parked(event, 1)
    for event in events[::2]:
        event.set()
    for waiter in waiters[::2]:
        assert waiter.join() is True
    for event in events[1::2]:
        parked(event, 1)
    assert not any(waiter.done for waiter in waiters[1::2])
    for event in events[1::2]:
        event.set()
    assert [waiter.join() for waiter in waiters[1::2]] == [True] * 32


def test_t07_event_is_dropped_by_whoever_it_woke(impl: ModuleType) -> None:
    """The last reference goes while set() may still be at work."""
    for _ in range(200):
        box = [impl.Event()]
        dropped = weakref.ref(box[0])

        def wait(box: list[Any]) -> bool:
            return box.pop().wait(PATIENT)

        waiter = start(wait, box)
        event = dropped()
        assert event is not None
        event.set()
        del event
        assert waiter.join() is True
        wait_until(lambda dropped=dropped: dropped() is None)


# Defect 7, T23: set(), clear() and is_set() in a handler or a finalizer deadlock in the stdlib.

FINALIZERS = """
import gc, random, weakref

event = impl.Event()
ran = 0

def use():
    global ran
    ran += 1
    event.set()
    event.is_set()
    event.clear()
    event.set()
    repr(event)

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        use()

class Target:
    def __init__(self):
        self.itself = self

references = []

def litter():
    Cycle()
    target = Target()
    references.append(weakref.ref(target, lambda _: use()))
    del references[:-20]

def collect(phase, info):
    use()

gc.callbacks.append(collect)
gc.set_threshold(1)
for n in range(LOOPS):
    litter()
    event.set()
    litter()
    event.clear()
    litter()
    event.wait(0.00001)
    litter()
    event.is_set()
gc.callbacks.clear()
gc.set_threshold(0)
assert ran > LOOPS, ran
event.clear()
assert not event.wait(0.001)
event.set()
assert event.wait()
print("done")
"""

HANDLERS = """
import random, signal

event = impl.Event()
event_in_threads = impl.Event()
ran = 0

def handler(*_):
    global ran
    ran += 1
    for each in (event, event_in_threads):
        each.set()
        each.is_set()
        each.clear()
        each.wait(0)
        each.set()

stop = threading.Event()

def others():
    while not stop.is_set():
        event_in_threads.wait(0.001)
        event_in_threads.clear()

def send():
    rng = random.Random(7)
    while not stop.wait(rng.choice([0, 0.00005, 0.0003])):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

signal.signal(signal.SIGUSR1, handler)
threads = [start(others) for _ in range(2)]
sender = start(send)
end = time.monotonic() + SECONDS
while time.monotonic() < end or ran < 50:
    for each in (event, event_in_threads):
        each.set()
        each.clear()
        each.is_set()
        each.wait(0.0001)
stop.set()
for thread in (sender, *threads):
    thread.join()
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print("done")
"""


AT_EACH_STEP = """
import signal

event = impl.Event()
depth = ran = 0

def profile(frame, what, arg):
    global depth
    if depth == 0:
        depth = 1
        signal.raise_signal(signal.SIGUSR1)

def handler(*_):
    global depth, ran
    ran += 1
    event.set()
    event.clear()
    event.is_set()
    event.wait(0)
    event.set()
    depth = 0

signal.signal(signal.SIGUSR1, handler)
sys.setprofile(profile)
event.set()
event.clear()
event.is_set()
event.wait(0.01)
sys.setprofile(None)
assert ran > 3, ran
print("done")
"""


def limit(impl: ModuleType) -> float:
    """How long a script may run that is known to hang on `threading`."""
    return CHILD_LIMIT if is_ours(impl.Event()) else 1.5


IN_HANDLER = "a handler or finalizer that runs inside of set() or clear() deadlocks"


@fails_on_stdlib(IN_HANDLER)
def test_t13_t31_a_signal_at_each_step_of_set_and_clear(impl: ModuleType) -> None:
    check_script(AT_EACH_STEP, impl, output="done", limit=limit(impl))


@fails_on_stdlib(IN_HANDLER, strict=False)
def test_t23_t31_finalizers_use_the_event_that_they_interrupt(impl: ModuleType) -> None:
    source = FINALIZERS.replace("LOOPS", "1500")
    check_script(source, impl, output="done", limit=limit(impl))


@fails_on_stdlib(IN_HANDLER, strict=False)
def test_t13_t31_handlers_use_the_event_that_they_interrupt(impl: ModuleType) -> None:
    source = HANDLERS.replace("SECONDS", "0.6")
    check_script(source, impl, output="done", limit=limit(impl))


@pytest.mark.parametrize("how", ["__del__", "weakref"])
def test_t23_finalizer_sets_the_event_for_which_main_waits(impl: ModuleType, how: str) -> None:
    event = impl.Event()

    dropper = finalize_when_parked(event, how, event.set)
    try:
        assert event.wait(PATIENT) is True
    finally:
        dropper.join()


def test_t23_waiting_event_is_no_garbage(impl: ModuleType) -> None:
    """Nobody has it but the thread that waits for it, and a cycle."""

    class Holder:
        event: Any
        itself: Any

    holder = Holder()
    holder.event, holder.itself = impl.Event(), holder
    reference = weakref.ref(holder.event)
    waiter = start(lambda event: event.wait(PATIENT), holder.event)
    parked(holder.event)
    del holder
    gc.collect()
    event = reference()
    assert event is not None
    event.set()
    del event
    assert waiter.join() is True


# T16: deadlines.


def test_t16_nan_is_an_error() -> None:
    """The stdlib takes it for no time at all, or raises as we do: it depends on the version."""
    import pyfastlock

    event = pyfastlock.Event()
    with pytest.raises(ValueError):
        event.wait(math.nan)
    event.set()
    with pytest.raises(ValueError):
        event.wait(math.nan)


def test_wait_lasts_as_long_as_it_should(impl: ModuleType) -> None:
    event = impl.Event()
    began = time.monotonic()
    assert event.wait(0.1) is False
    assert time.monotonic() - began >= 0.099


# T12: many.


def test_t12_a_thousand_waits_for_a_hundred_events(impl: ModuleType) -> None:
    events = [impl.Event() for _ in range(100)]

    def wait(n: int) -> int:
        return sum(events[(n + step) % 100].wait(PATIENT) for step in range(100))

    waiters = [start(wait, n) for n in range(10)]
    for event in random.Random(12).sample(events, 100):
        event.set()
    assert [waiter.join() for waiter in waiters] == [100] * 10


# The end.


@pytest.mark.parametrize("timeout", ["", "600"], ids=["untimed", "timed"])
def test_t25_daemon_threads_wait_at_exit(impl: ModuleType, timeout: str) -> None:
    check_script(
        f"""
        event = impl.Event()
        threads = [start(event.wait, {timeout}) for _ in range(20)]
        parked(event, 20)
        import atexit
        atexit.register(event.clear)
        print("end")
        """,
        impl,
        output="end",
    )


def test_t25_event_is_set_at_exit(impl: ModuleType) -> None:
    """Those who are woken when the interpreter has ended for them do no harm."""
    check_script(
        """
        class Late:
            def __del__(self, event=impl.Event()):
                event.set()
                event.clear()
                event.set()
                assert event.wait(0)
                assert event.wait()
        late = Late()
        event = Late.__del__.__defaults__[0]
        threads = [start(event.wait) for _ in range(10)]
        parked(event, 10)
        sys.modules["late"] = late
        del late, event
        """,
        impl,
    )


def test_blocked_threads_use_no_cpu(impl: ModuleType) -> None:
    event, never = impl.Event(), impl.Event()
    threads = [start(event.wait, None if n % 2 else 600) for n in range(200)]
    parked(event, 200)
    begin = time.process_time()
    assert never.wait(0.5) is False
    used = time.process_time() - begin
    event.set()
    assert [thread.join() for thread in threads] == [True] * 200
    assert used < 0.25


def test_clear_lets_nobody_through(impl: ModuleType) -> None:
    event = impl.Event()
    waiter = start(event.wait, PATIENT)
    parked(event)
    for _ in range(1000):
        event.clear()
    time.sleep(SETTLE)
    assert not waiter.done
    event.set()
    assert waiter.join() is True
