"""Everything at once, at random: timeouts, signals, exceptions thrown into threads, notifications.

PYFASTLOCK_STRESS_SEED repeats the choices of a run (not its timing), and
PYFASTLOCK_STRESS_SECONDS makes it longer: it is the time that all the tests here take together, on
a machine that is not busy. On one that is, each goes on until everything has happened once.

What is checked: a lock has one holder at a time; as many waits return True as notifications were
sent, no more at any time and no fewer in the end; nothing is held and nobody queued afterwards.
"""

from __future__ import annotations

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

CONFIGURATIONS = ["Lock", "RLock", "two conditions"]


def call(function: Callable[..., object], *args: object) -> Callable[[list[object]], None]:
    """Something that appends the result of `function(*args)` to a list, with no bytecode between.

    An exception that a signal handler raises either comes out of the function, and nothing is
    appended, or it comes after the result is there: a caller that is interrupted knows which.
    """
    return lambda results: results.extend(map(function, *([arg] for arg in args)))


class Exclusion:
    """A lock, and the proof that it has one holder at a time."""

    def __init__(self, lock: Any, name: str):
        self.lock = lock
        self.name = name
        self.holder: object = None
        self.entered = 0

    def inside(self) -> None:
        """Called by whoever holds the lock."""
        me = object()
        self.holder = me
        self.entered += 1
        for _ in range(3):
            assert self.holder is me, f"two threads hold the {self.name} (seed {SEED})"


class Tokens:
    """A condition, and the account of its notifications. All of it under the condition's lock."""

    def __init__(self, cond: Any):
        self.cond = cond
        self.sent = 0
        self.received = 0
        self.patient = 0
        self.closed = False

    def notify(self, n: int) -> None:
        """Send `n` notifications if there is certainly somebody for each of them.

        Those that were sent and not received may belong to any of the patient waiters; the rest
        of the patient are in the queue, and do not leave it without a notification.
        """
        if self.patient - (self.sent - self.received) >= n:
            self.sent += n
            self.cond.notify(n)

    def receive(self, results: list[object]) -> None:
        """Account for what a wait returned, if it did."""
        if results == [True] and not self.closed:
            self.received += 1
            assert self.received <= self.sent, f"a wait ended for nothing (seed {SEED})"

    def wait_patiently(self, rng: random.Random) -> None:
        """A thread that only a notification wakes."""
        while True:
            with self.cond:
                if self.closed:
                    return
                self.patient += 1
                got = self.cond.wait()
                self.patient -= 1
                assert got is True
                self.receive([got])

    def wait_briefly(self, rng: random.Random) -> None:
        """A thread whose waits time out, or are notified, or both at once."""
        while True:
            with self.cond:
                if self.closed:
                    return
                self.receive([self.cond.wait(rng.choice([0, 0.00005, 0.0003, 0.002]))])

    def send(self, rng: random.Random, stop: threading.Event) -> None:
        """A thread that notifies."""
        while not stop.is_set():
            with self.cond:
                self.notify(rng.choice([1, 1, 2]))
                if rng.random() < 0.2:
                    # Lets some of them time out while they cannot take the lock back.
                    time.sleep(0.0005)
            time.sleep(rng.choice([0, 0, 0.0002, 0.001]))

    def settle(self) -> None:
        """All notifications arrive; then the threads end."""

        def balanced() -> bool:
            with self.cond:
                return self.sent == self.received

        wait_until(balanced, message=f"every notification arrives (seed {SEED})")

    def close(self) -> None:
        assert self.cond.acquire(timeout=DEADLINE), f"the lock is never free (seed {SEED})"
        self.closed = True
        self.cond.notify_all()
        self.cond.release()


def exclude(exclusion: Exclusion, rng: random.Random, stop: threading.Event) -> None:
    """A thread that takes a lock in every way."""
    lock = exclusion.lock
    while not stop.is_set():
        way = rng.randrange(4)
        if way == 0:
            with lock:
                exclusion.inside()
        else:
            args: list[tuple[object, ...]] = [(False,), (True, 0.0002), (True, DEADLINE)]
            if lock.acquire(*args[way - 1]):
                exclusion.inside()
                lock.release()
            else:
                assert way != 3, f"starved (seed {SEED})"


class Target:
    """A thread that uses an RLock while another one throws exceptions into it.

    The next exception is thrown only when it has recovered from the last, inside of its `try`.
    """

    def __init__(self, exclusion: Exclusion):
        self.exclusion = exclusion
        self.recovered = 0

    def use(self, stop: threading.Event) -> None:
        lock = self.exclusion.lock
        while not stop.is_set():
            with lock:
                self.exclusion.inside()
                with lock:
                    self.exclusion.inside()
                assert lock._is_owned()
            lock.acquire(timeout=0.0001) and lock.release()

    def recover(self) -> None:
        # `with` may have left it held, where it was hit between two bytecodes.
        while self.exclusion.lock._is_owned():
            self.exclusion.lock.release()
        self.recovered += 1

    def run(self, stop: threading.Event) -> None:
        # As if hit before it began: nothing is thrown until it is inside of its `try`. There are
        # no jumps in there, since the compiler may leave a jump out of what a `try` covers.
        hit = True
        while hit:
            hit = False
            try:
                self.recover()
                self.use(stop)
            except Interrupt:
                hit = True


class Thrower:
    """A thread that throws exceptions into `targets`, each with the ident of its thread."""

    def __init__(self, targets: list[tuple[Target, int]]):
        self.targets = targets
        self.thrown = 0

    def run(self, rng: random.Random, stop: threading.Event) -> None:
        set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
        for target, _ in self.targets:
            wait_until(lambda target=target: target.recovered)
        while not stop.is_set():
            target, ident = rng.choice(self.targets)
            before = target.recovered
            assert set_async_exc(ctypes.c_ulong(ident), ctypes.py_object(Interrupt)) == 1
            wait_until(
                lambda target=target, before=before: target.recovered > before,
                message=f"a thread recovers from an exception (seed {SEED})",
            )
            self.thrown += 1
            time.sleep(rng.choice([0, 0.0005, 0.002]))


class Main:
    """The main thread, and its signal handler."""

    def __init__(self, rng: random.Random, exclusions: list[Exclusion], accounts: list[Tokens]):
        self.rng = rng
        self.exclusions = exclusions
        self.accounts = accounts
        self.armed = False
        self.handled = self.raised = 0

    def handler(self) -> None:
        self.handled += 1
        # The next signal may come before this handler has ended. It must not raise into it, where
        # it holds a lock or has counted a notification that is not sent.
        armed, self.armed = self.armed, False
        if armed:
            self.act()
            self.armed = True

    def act(self) -> None:
        what = self.rng.randrange(6)
        if what < 2:
            self.raised += 1
            raise Interrupt
        if what == 2:
            lock = self.rng.choice(self.exclusions).lock
            if lock.acquire(False):
                lock.release()
        if what == 3:
            tokens = self.rng.choice(self.accounts)
            if tokens.cond.acquire(False):
                tokens.notify(1)
                tokens.cond.release()

    def interrupted(self, function: Callable[..., object], *args: object) -> list[object]:
        """Call `function`; signals may end the call. Its result, if there is one."""
        results: list[object] = []
        attempt = call(function, *args)
        try:
            self.armed = True
            attempt(results)
            self.armed = False
        except Interrupt:
            pass
        return results

    def run(self, seconds: float, complete: Callable[[], object]) -> None:
        """Go on for so long, and until `complete()`; but not for ever."""
        end = time.monotonic() + seconds
        limit = end + DEADLINE
        while (now := time.monotonic()) < end or (now < limit and not complete()):
            timeout = self.rng.choice([0.0001, 0.001, 0.005])
            if self.rng.random() < 0.5:
                tokens = self.rng.choice(self.accounts)
                tokens.cond.acquire()
                try:
                    tokens.receive(self.interrupted(tokens.cond.wait, timeout))
                finally:
                    # Raises unless wait() ended with the lock.
                    tokens.cond.release()
            else:
                exclusion = self.rng.choice(self.exclusions)
                if self.interrupted(exclusion.lock.acquire, True, timeout) == [True]:
                    exclusion.inside()
                    exclusion.lock.release()


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
def test_t40_t42_stress(configuration: str) -> None:
    import pyfastlock as impl

    run_stress(impl, configuration, SECONDS / len(CONFIGURATIONS))


def run_stress(impl: ModuleType, configuration: str, seconds: float) -> None:
    print(f"PYFASTLOCK_STRESS_SEED={SEED} PYFASTLOCK_STRESS_SECONDS={SECONDS:g}")
    seeds = random.Random(f"{SEED} {configuration}")

    def rng() -> random.Random:
        return random.Random(seeds.random())

    lock, rlock = Exclusion(impl.Lock(), "Lock"), Exclusion(impl.RLock(), "RLock")
    if configuration == "two conditions":
        shared = impl.RLock()
        accounts = [Tokens(impl.Condition(shared)), Tokens(impl.Condition(shared))]
    else:
        accounts = [Tokens(impl.Condition(getattr(impl, configuration)()))]
    main = Main(rng(), [lock, rlock], accounts)

    stop_signals, stop_throwing, stop_sending, stop = (threading.Event() for _ in range(4))
    waiters = []
    for tokens in accounts:
        waiters += [start(tokens.wait_patiently, rng()) for _ in range(3)]
        waiters += [start(tokens.wait_briefly, rng()) for _ in range(2)]
    senders = [start(tokens.send, rng(), stop_sending) for tokens in accounts]
    users = [start(exclude, exclusion, rng(), stop) for exclusion in (lock, rlock)]
    targets = [Target(rlock), Target(rlock)]
    hit = [start(target.run, stop) for target in targets]
    aims = [(target, thread.ident) for target, thread in zip(targets, hit, strict=True)]
    thrower = Thrower(aims)
    throwing = start(thrower.run, rng(), stop_throwing)

    def happened() -> list[int]:
        received = [tokens.received for tokens in accounts]
        return [main.handled, thrower.thrown, lock.entered, rlock.entered, *received]

    try:
        on_signal(main.handler)
        try:
            signals = start(send_signals, rng(), stop_signals)
            main.run(seconds, lambda: all(happened()))
            stop_signals.set()
            signals.join()
        finally:
            ignore_signal()
        stop_throwing.set()
        throwing.join()
        stop_sending.set()
        stop.set()
        for thread in (*senders, *users, *hit):
            thread.join()
        for tokens in accounts:
            tokens.settle()
    finally:
        # A test that failed leaves nothing behind that would disturb the next one.
        for event in (stop_signals, stop_throwing, stop_sending, stop):
            event.set()
        for tokens in accounts:
            tokens.close()
    for waiter in waiters:
        waiter.join()

    print(
        f"{main.handled} signals ({main.raised} raised), {thrower.thrown} exceptions thrown, "
        f"{lock.entered} + {rlock.entered} entries, "
        f"{sum(tokens.received for tokens in accounts)} notifications"
    )
    # How many of the signals raised is printed, and chance: a busy machine gets few of them.
    assert all(happened()), happened()
    for tokens in accounts:
        assert tokens.received == tokens.sent
        assert tokens.patient == 0
    for thing in (lock.lock, rlock.lock, *(tokens.cond for tokens in accounts)):
        assert queued(thing) == 0
        assert thing.acquire(False)
        thing.release()
