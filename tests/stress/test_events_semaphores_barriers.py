"""Events, semaphores and barriers all at once, at random: timeouts, signals, exceptions thrown into
threads, pulses, releases, aborts.

PYFASTLOCK_STRESS_SEED repeats the choices of a run (not its timing), and
PYFASTLOCK_STRESS_SECONDS makes it longer: it is the time that all the tests here take together.

What is checked: every permit that was released has been taken once or is still there; a bounded
semaphore never has more than its bound; an event lets nobody through that was not set; in each
round of a barrier an index is given once at most; nobody is queued afterwards, and everything
still works.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from concurrency import Interrupt, ignore_signal, kick_main, on_signal, queued
from support import DEADLINE, start, wait_until

SEED = int(os.environ.get("PYFASTLOCK_STRESS_SEED") or random.randrange(2**32))
SECONDS = float(os.environ.get("PYFASTLOCK_STRESS_SECONDS") or 3)

CONFIGURATIONS = ["semaphores", "event", "barrier", "everything"]

BOUND = 3

Act = Callable[["User"], None]


class ActionFailed(Exception):
    """What a barrier's action raises."""


class Things:
    """What is under test."""

    def __init__(self, impl: ModuleType):
        self.semaphore = impl.Semaphore(0)
        self.bounded = impl.BoundedSemaphore(BOUND)
        self.event, self.never = impl.Event(), impl.Event()
        self.pulses = 0
        self.rounds: list[None] = []
        self.barrier = impl.Barrier(3, self.act)

    def act(self) -> None:
        self.rounds.append(None)
        if len(self.rounds) % 7 == 0:
            raise ActionFailed

    def all(self) -> list[Any]:
        return [self.semaphore, self.bounded, self.event, self.never, self.barrier]


class User:
    """A thread's account. An exception may come between any two bytecodes.

    A call and the keeping of its result are one step: `list.extend(map(function, arguments))`. So
    the account is right whether the exception comes out of the call or after it.
    """

    def __init__(self, things: Things, seed: float):
        self.things = things
        self.rng = random.Random(seed)
        self.taken: list[bool] = []
        self.given: dict[int, list[None]] = {n: [] for n in (1, 2, 5)}
        self.bounded_taken: list[bool] = []
        self.bounded_given: list[None] = []
        self.woken: list[bool] = []
        self.disturbed: list[bool] = []
        self.indices: list[int] = []
        self.recovered = 0

    def timeout(self) -> float:
        return self.rng.choice([0, 0.00002, 0.0001, 0.0005, 0.002])

    def give(self) -> None:
        n = self.rng.choice([1, 1, 2, 5])
        self.given[n].extend(map(self.things.semaphore.release, [n]))

    def take(self) -> None:
        blocking = self.rng.random() < 0.8
        timeout = self.timeout() if blocking else None
        self.taken.extend(map(self.things.semaphore.acquire, [blocking], [timeout]))

    def use_bounded(self) -> None:
        """Takes one more often than it gives one back; sometimes there is none to give back."""
        assert 0 <= self.things.bounded._value <= BOUND
        if self.rng.random() < 0.5:
            self.bounded_taken.extend(map(self.things.bounded.acquire, [True], [self.timeout()]))
        else:
            with contextlib.suppress(ValueError):
                self.bounded_given.extend(map(self.things.bounded.release, [1]))

    def wait(self) -> None:
        self.woken.extend(map(self.things.event.wait, [self.timeout()]))
        self.disturbed.extend(map(self.things.never.wait, [self.timeout()]))

    def look(self) -> None:
        self.things.event.is_set()
        repr(self.things.event)

    def pulse(self) -> None:
        self.things.pulses += 1
        self.things.event.set()
        self.things.event.clear()

    def meet(self) -> None:
        try:
            timeout = self.rng.choice([0.0002, 0.005, 0.02, None])
            self.indices.extend(map(self.things.barrier.wait, [timeout]))
        except (threading.BrokenBarrierError, ActionFailed):
            if self.things.barrier.broken:
                self.things.barrier.reset()

    def break_it(self) -> None:
        if self.rng.random() < 0.1:
            self.rng.choice([self.things.barrier.abort, self.things.barrier.reset])()
        assert 0 <= self.things.barrier.n_waiting <= 3
        _ = self.things.barrier.broken

    def choose(self, configuration: str) -> list[Act]:
        """What it does, each as often as it is in the list."""
        semaphores = [User.give, User.take, User.take, User.take, User.use_bounded]
        event = [User.wait, User.wait, User.pulse, User.look]
        barrier = [User.meet, User.meet, User.meet, User.break_it]
        chosen = {"semaphores": semaphores, "event": event, "barrier": barrier}
        return chosen.get(configuration, semaphores + event + barrier)

    def use(self, acts: list[Act], stop: threading.Event) -> None:
        self.recovered += 1
        while not stop.is_set():
            self.rng.choice(acts)(self)

    def run(self, configuration: str, stop: threading.Event) -> None:
        acts = self.choose(configuration)
        # As if hit before it began: nothing is thrown until it is inside of its `try`. There are
        # no jumps in there, since the compiler may leave a jump out of what a `try` covers.
        hit = True
        while hit:
            hit = False
            try:
                self.use(acts, stop)
            except Interrupt:
                hit = True


def throw(targets: list[tuple[User, int]], rng: random.Random, stop: threading.Event) -> int:
    """Throw exceptions into threads, the next one when the last one has arrived."""
    set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
    thrown = 0
    for target, _ in targets:
        wait_until(lambda target=target: target.recovered)
    while not stop.is_set():
        target, ident = rng.choice(targets)
        before = target.recovered
        assert set_async_exc(ctypes.c_ulong(ident), ctypes.py_object(Interrupt)) == 1
        thrown += 1
        wait_until(
            lambda target=target, before=before: target.recovered > before,
            message=f"a thread recovers from an exception (seed {SEED})",
        )
        time.sleep(rng.choice([0, 0.0005, 0.002]))
    return thrown


class Main:
    """The main thread, and its signal handler."""

    def __init__(self, user: User):
        self.user = user
        self.armed = False
        self.handled = self.raised = 0

    def handler(self) -> None:
        self.handled += 1
        if not self.armed:
            return
        what = self.user.rng.randrange(6)
        if what < 2:
            self.armed = False
            self.raised += 1
            raise Interrupt
        if what == 2:
            self.user.give()
            self.user.taken.extend(map(self.user.things.semaphore.acquire, [False]))
        if what == 3:
            self.user.pulse()
        if what == 4:
            self.user.things.barrier.reset()

    def run(self, configuration: str, end: Callable[[], bool]) -> None:
        acts = self.user.choose(configuration)
        while not end():
            try:
                self.armed = True
                self.user.rng.choice(acts)(self.user)
                self.armed = False
            except Interrupt:
                pass


def send_signals(rng: random.Random, stop: threading.Event) -> None:
    while not stop.wait(rng.choice([0.0001, 0.0005, 0.002])):
        kick_main()


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    old = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(old)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_t31_t32_t33_t40_t42_stress(configuration: str) -> None:
    import pyfastlock

    print(f"PYFASTLOCK_STRESS_SEED={SEED} PYFASTLOCK_STRESS_SECONDS={SECONDS:g}")
    seeds = random.Random(f"{SEED} {configuration}")
    things = Things(pyfastlock)
    users = [User(things, seeds.random()) for _ in range(6)]
    main = Main(User(things, seeds.random()))
    stop_signals, stop_throwing, stop = (threading.Event() for _ in range(3))
    threads = [start(user.run, configuration, stop) for user in users]
    aims = [(user, thread.ident) for user, thread in zip(users[:2], threads, strict=False)]
    thrower = start(throw, aims, random.Random(seeds.random()), stop_throwing)

    began = time.monotonic()

    def is_over() -> bool:
        seconds = time.monotonic() - began
        enough = main.raised and any(user.recovered > 1 for user in users)
        if configuration in ("barrier", "everything"):
            enough = enough and len(things.rounds) > 0
        return (enough and seconds > SECONDS / len(CONFIGURATIONS)) or seconds > DEADLINE

    on_signal(main.handler)
    try:
        signals = start(send_signals, random.Random(seeds.random()), stop_signals)
        main.run(configuration, is_over)
        main.armed = False
        stop_signals.set()
        signals.join()
    finally:
        ignore_signal()
        for event in (stop_signals, stop_throwing):
            event.set()
    thrown = thrower.join()
    stop.set()
    # Whoever waits for others at the barrier, with no timeout.
    breaker = start(break_until, things.barrier, threads)
    for thread in threads:
        thread.join()
    breaker.join()
    assert main.handled > 0
    assert thrown > 0
    print(f"{main.handled} signals ({main.raised} raised), {thrown} exceptions thrown")
    check(things, [*users, main.user])


def break_until(barrier: Any, threads: list[Any]) -> None:
    while not all(thread.done for thread in threads):
        barrier.abort()
        time.sleep(0.002)


def check(things: Things, users: list[User]) -> None:
    """All accounts are balanced, and everything works."""
    where = f"(seed {SEED})"
    given = sum(n * len(calls) for user in users for n, calls in user.given.items())
    taken = sum(user.taken.count(True) for user in users)
    assert things.semaphore._value == given - taken, where
    bounded_given = sum(len(user.bounded_given) for user in users)
    bounded_taken = sum(user.bounded_taken.count(True) for user in users)
    assert things.bounded._value == BOUND + bounded_given - bounded_taken, where
    woken = sum(user.woken.count(True) for user in users)
    assert not any(any(user.disturbed) for user in users), where
    indices = [index for user in users for index in user.indices]
    print(
        f"{given} permits, {bounded_taken} bounded, {things.pulses} pulses, "
        f"{woken} woken, {len(things.rounds)} rounds, {len(indices)} passed"
    )
    assert set(indices) <= {0, 1, 2}, where
    for index in (0, 1, 2):
        assert indices.count(index) <= len(things.rounds), where
    for thing in things.all():
        assert queued(thing) == 0, where

    while things.semaphore.acquire(False):
        pass
    waiter = start(things.semaphore.acquire, timeout=DEADLINE)
    things.semaphore.release()
    assert waiter.join() is True
    waiter = start(things.event.wait, DEADLINE)
    things.event.set()
    assert waiter.join() is True
    things.rounds.clear()
    things.barrier.reset()
    assert things.barrier.n_waiting == 0, where
    others = [start(things.barrier.wait, DEADLINE) for _ in range(2)]
    mine = things.barrier.wait(DEADLINE)
    assert sorted([mine, *(other.join() for other in others)]) == [0, 1, 2], where
