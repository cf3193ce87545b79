"""Many threads that use every primitive, and the accounts which show that nothing goes wrong.

The threads:

- *users* do everything at random, with timeouts. An exception may come out of the air between any
  two bytecodes of a user, from a signal handler or thrown by another thread;
- *patient* threads wait for notifications without a timeout, and *senders* notify;
- two *partners* hand over to one another by events, semaphores and a barrier, without a timeout.

What is checked:

- a lock has one holder at a time;
- as many waits return True as notifications were sent. A sender notifies only if there is a patient
  waiter for each notification, so that none may be lost;
- every permit that was released has been taken once, or is still there;
- an event that was not set lets nobody through; in each round of a barrier an index is given once;
- nobody hangs: each thread counts its steps (see `storm.py`);
- in the end nobody is queued, and everything still works.

An account has to be right wherever an exception comes. So a call and the counting of its result are
one step, without a bytecode in between: `count(counts, function, *args)`.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
import weakref
from collections import _count_elements  # type: ignore[attr-defined]
from collections.abc import Callable
from itertools import starmap
from types import ModuleType
from typing import TYPE_CHECKING, Any

from limits import PATIENCE

if TYPE_CHECKING:
    from storm import Storm

BOUND = 3
PARTIES = 3
PATIENT = 2

Counts = dict[Any, int]


class Interrupt(Exception):
    """What comes out of the air."""


class ActionFailed(Exception):
    """What a barrier's action raises."""


def count(counts: Counts, function: Callable[..., object], *args: object) -> None:
    """Call `function(*args)` and count its result, in one step."""
    _count_elements(counts, starmap(function, [args]))


class Exclusion:
    """A lock, and the proof that it has one holder at a time."""

    def __init__(self, lock: Any):
        self.lock = lock
        self.holder: object = None

    def inside(self) -> None:
        """Called by whoever holds the lock; also by its signal handler, meanwhile."""
        me = object()
        outer, self.holder = self.holder, me
        for _ in range(4):
            if self.holder is not me:
                raise AssertionError(f"two threads hold {self.lock!r}")
        self.holder = outer


class Tokens:
    """A condition, and the account of its notifications. All of it under the condition's lock."""

    def __init__(self, cond: Any):
        self.cond = cond
        self.sent = 0
        self.received: list[Counts] = []
        self.patient = 0
        self.closed = False

    def account(self) -> Counts:
        """A new account of what waits return."""
        counts: Counts = {}
        self.received.append(counts)
        return counts

    def arrived(self) -> int:
        return sum(counts.get(True, 0) for counts in self.received)

    def notify(self, n: int) -> None:
        """Send `n` notifications if there is certainly somebody for each of them.

        Those that were sent and have not arrived may belong to any of the patient waiters. The
        rest of the patient are in the queue, and do not leave it without a notification.
        """
        outstanding = self.sent - self.arrived()
        if outstanding < 0:
            raise AssertionError("a wait returned True for nothing")
        if self.patient - outstanding >= n:
            self.sent += n
            self.cond.notify(n)

    def wait_patiently(self, counts: Counts, steps: list[int]) -> None:
        """A thread that only a notification wakes."""
        while True:
            with self.cond:
                if self.closed:
                    return
                self.patient += 1
                got = self.cond.wait()
                self.patient -= 1
                if got is not True:
                    raise AssertionError(f"wait() returned {got!r}")
                if not self.closed:
                    count(counts, bool, True)
            steps[0] += 1

    def send(self, rng: random.Random, stop: threading.Event, steps: list[int]) -> None:
        """A thread that notifies."""
        while not stop.is_set():
            with self.cond:
                self.notify(rng.choice([1, 1, 2]))
                if rng.random() < 0.1:
                    # Lets some of them time out while they cannot take the lock back.
                    time.sleep(0.0005)
            steps[0] += 1
            time.sleep(rng.choice([0, 0, 0.0002, 0.001]))

    def settle(self) -> bool:
        """Whether every notification arrives."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self.cond:
                if self.sent == self.arrived():
                    return True
            time.sleep(0.002)
        return False

    def close(self) -> None:
        with self.cond:
            self.closed = True
            self.cond.notify_all()


class Things:
    """What is under test: every primitive."""

    def __init__(self, impl: ModuleType):
        self.impl = impl
        self.lock, self.rlock = Exclusion(impl.Lock()), Exclusion(impl.RLock())
        # A condition of its own lock, of a plain one, and two that share one.
        shared = impl.RLock()
        conditions = [impl.Condition(), impl.Condition(impl.Lock())]
        conditions += [impl.Condition(shared), impl.Condition(shared)]
        self.tokens = [Tokens(cond) for cond in conditions]
        # Its lock is one that is also used without it.
        self.loose = impl.Condition(self.rlock.lock)
        self.event, self.never = impl.Event(), impl.Event()
        self.semaphore, self.bounded = impl.Semaphore(0), impl.BoundedSemaphore(BOUND)
        self.rounds: Counts = {}
        self.barrier = impl.Barrier(PARTIES, self.act)
        self.slots: list[Any] = [impl.Lock() for _ in range(4)]

    def act(self) -> None:
        count(self.rounds, bool, True)
        if self.rounds[True] % 5 == 0:
            time.sleep(0.0005)  # lets others come to the barrier meanwhile, or fork
        if self.rounds[True] % 7 == 0:
            raise ActionFailed

    def all(self) -> list[Any]:
        primitives = [self.lock.lock, self.rlock.lock, self.loose]
        primitives += [tokens.cond for tokens in self.tokens]
        return [
            *primitives,
            *(self.event, self.never, self.semaphore, self.bounded, self.barrier),
        ]


class User:
    """A thread that uses everything, and its accounts."""

    def __init__(self, things: Things, rng: random.Random):
        self.things = things
        self.rng = rng
        self.received = [(tokens, tokens.account()) for tokens in things.tokens]
        self.held: list[object] = []
        self.release: Callable[[], object] = bool
        self.taken: Counts = {}
        self.given: dict[int, Counts] = {n: {} for n in (1, 2, 5)}
        self.bounded_taken: Counts = {}
        self.bounded_given: Counts = {}
        self.woken: Counts = {}
        self.disturbed: Counts = {}
        self.indices: Counts = {}
        self.box: list[Any] = []
        self.made = 0
        self.watched: list[weakref.ref[Any]] = []
        self.recovered = 0

    def timeout(self) -> float:
        return self.rng.choice([0, 0.00002, 0.0001, 0.0005, 0.002])

    # Holding a lock: whatever comes between two bytecodes, `recover` knows what is held.

    def take(self, lock: Any, *args: object) -> bool:
        """Take a lock, and know it: True in `held` for each time, None for each release."""
        if self.depth() == 0:
            self.held, self.release = [], lock.release
        before = len(self.held)
        self.held.extend(starmap(lock.acquire, [args]))
        return self.held[before:] == [True]

    def depth(self) -> int:
        return self.held.count(True) - self.held.count(None)

    def give(self) -> None:
        self.held.extend(starmap(self.release, [()]))

    def give_all(self) -> None:
        while self.depth() > 0:
            self.give()

    def recover(self) -> None:
        self.give_all()
        # `with` may have left it held, where it was hit between two bytecodes.
        while self.things.rlock.lock._is_owned():
            self.things.rlock.lock.release()

    # What it does

    def use_lock(self) -> None:
        args: list[tuple[object, ...]] = [(False,), (True, self.timeout()), ()]
        if self.take(self.things.lock.lock, *self.rng.choice(args)):
            self.things.lock.inside()
            self.give()

    def use_lock_briefly(self) -> None:
        if self.take(self.things.lock.lock, True, self.timeout()):
            self.things.lock.inside()
            self.give()

    def use_rlock(self) -> None:
        lock = self.things.rlock
        for _ in range(self.rng.randrange(1, 4)):
            if not self.take(lock.lock, True, self.timeout()):
                break
        if self.depth():
            lock.inside()
        while self.depth():
            self.give()

    def enter_rlock(self) -> None:
        lock = self.things.rlock
        with lock.lock:
            lock.inside()
            with lock.lock:
                lock.inside()

    def wait(self) -> None:
        tokens, counts = self.rng.choice(self.received)
        self.take(tokens.cond)
        # It is counted with the lock held, so senders know what has arrived.
        count(counts, tokens.cond.wait, self.timeout())
        self.give()

    def notify_and_wait(self, n: int = 1) -> None:
        """The same and a notification, where the lock can be had; for those that nothing hits."""
        tokens, counts = self.rng.choice(self.received)
        if self.take(tokens.cond, False):
            tokens.notify(n)
            count(counts, tokens.cond.wait, self.timeout())
            self.give()

    def wait_loosely(self) -> None:
        """Within two holds, of which wait() has to let go and which it has to take back."""
        loose = self.things.loose
        for _ in range(self.rng.randrange(1, 3)):
            self.take(loose)
        depth = self.depth()
        count({}, loose.wait, self.timeout())
        self.things.rlock.inside()
        if self.rng.random() < 0.5:
            loose.notify_all()
            count({}, loose.wait_for, self.rng.randrange(2).__bool__, self.timeout())
        if loose._is_owned() is not True or self.depth() != depth:
            raise AssertionError("wait() has not taken its lock back")
        while self.depth():
            self.give()
        if loose._is_owned():
            raise AssertionError("wait() has taken its lock back too often")

    def release_permits(self) -> None:
        n = self.rng.choice([1, 1, 2, 5])
        count(self.given[n], self.things.semaphore.release, n)

    def take_permit(self) -> None:
        blocking = self.rng.random() < 0.8
        timeout = self.timeout() if blocking else None
        count(self.taken, self.things.semaphore.acquire, blocking, timeout)

    def use_bounded(self) -> None:
        """Takes one as often as it gives one back; sometimes there is none to give back."""
        bounded = self.things.bounded
        if not 0 <= bounded._value <= BOUND:
            raise AssertionError(f"{bounded._value} of {BOUND} permits")
        if self.rng.random() < 0.5:
            count(self.bounded_taken, bounded.acquire, True, self.timeout())
        else:
            with contextlib.suppress(ValueError):
                count(self.bounded_given, bounded.release, 1)

    def wait_for_event(self) -> None:
        count(self.woken, self.things.event.wait, self.timeout())
        count(self.disturbed, self.things.never.wait, self.timeout())

    def pulse(self) -> None:
        self.things.event.set()
        repr(self.things.event)
        self.things.event.clear()

    def meet(self, *timeouts: float | None) -> None:
        barrier = self.things.barrier
        try:
            timeout = self.rng.choice(timeouts or (0.0002, 0.005, 0.02, None))
            count(self.indices, barrier.wait, timeout)
        except (threading.BrokenBarrierError, ActionFailed):
            if barrier.broken:
                barrier.reset()

    def break_barrier(self) -> None:
        barrier = self.things.barrier
        if self.rng.random() < 0.1:
            self.rng.choice([barrier.abort, barrier.reset])()
        if not 0 <= barrier.n_waiting <= PARTIES:
            raise AssertionError(f"{barrier.n_waiting} wait at a barrier for {PARTIES}")

    def new(self) -> Any:
        """A primitive of any kind, held so that a wait for it times out. Its end is counted."""
        impl = self.things.impl
        kind = self.rng.choice([impl.Lock, impl.RLock, impl.Condition, impl.Semaphore, impl.Event])
        thing = kind()
        if hasattr(thing, "acquire"):
            thing.acquire()
        return thing

    def drop(self) -> None:
        """Wait for what nobody but the wait itself needs: a signal handler may empty the box."""
        thing = self.new()
        self.watched = [weakref.ref(thing)]
        waits_briefly: tuple[object, ...] = (self.timeout(),)
        if hasattr(thing, "wait"):
            self.box = [thing.wait]
        else:
            self.box, waits_briefly = [thing.acquire], (True, *waits_briefly)
        del thing
        with contextlib.suppress(IndexError):
            count({}, self.box[-1], *waits_briefly)
        self.box.clear()
        if self.watched[0]() is not None:
            raise AssertionError("a reference to a lock was not given back")
        self.made += 1

    def use_slot(self) -> None:
        """Use what others drop meanwhile, and drop what others use."""
        slots = self.things.slots
        if self.rng.random() < 0.3:
            impl = self.things.impl
            lock = self.rng.choice([impl.Lock, impl.RLock, impl.BoundedSemaphore])()
            slots[self.rng.randrange(len(slots))] = lock
        else:
            lock = self.rng.choice(slots)
        if self.take(lock, True, self.timeout()):
            self.give()

    ACTS = (
        *(use_lock, use_rlock, enter_rlock, wait, wait, wait_loosely, release_permits),
        *(take_permit, take_permit, take_permit, use_bounded, wait_for_event, wait_for_event),
        *(pulse, meet, meet, break_barrier, drop, use_slot),
    )

    # Its thread

    def use(self, stop: threading.Event, steps: list[int]) -> None:
        self.recovered += 1
        while not stop.is_set():
            self.rng.choice(User.ACTS)(self)
            steps[0] += 1

    def run(self, stop: threading.Event, steps: list[int]) -> None:
        # As if hit before it began: nothing is thrown until it is inside of its `try`. There are
        # no jumps in there, since the compiler may leave a jump out of what a `try` covers.
        hit = True
        while hit:
            hit = False
            try:
                self.recover()
                self.use(stop, steps)
            except Interrupt:
                hit = True
        self.recover()


class Partners:
    """Two threads that hand over to one another. Nothing else wakes them."""

    def __init__(self, impl: ModuleType):
        self.ping, self.pong = impl.Event(), impl.Event()
        self.to, self.back = impl.Semaphore(0), impl.Semaphore(0)
        self.lock, self.barrier = impl.Lock(), impl.Barrier(2)
        self.over = False

    def wait_for(self, event: Any) -> None:
        if event.wait() is not True or not event.is_set():
            raise AssertionError("a wait for an event ended, and it is not set")
        event.clear()

    def first(self, rng: random.Random, stop: threading.Event, steps: list[int]) -> None:
        over = False
        while not over:
            over = self.over = stop.is_set()
            self.ping.set()
            self.wait_for(self.pong)
            self.lock.acquire()  # which the other one releases
            self.to.release()
            self.back.acquire()
            self.lock.acquire()
            self.lock.release()
            self.barrier.wait()
            steps[0] += 1
            time.sleep(rng.choice([0, 0.0001, 0.001]))

    def second(self, steps: list[int]) -> None:
        over = False
        while not over:
            self.wait_for(self.ping)
            over = self.over
            self.pong.set()
            self.to.acquire()
            self.back.release()
            self.lock.release()
            self.barrier.wait()
            steps[0] += 1


class Throng:
    """All of these threads."""

    def __init__(self, storm: Storm, users: int = 8):
        sys.setswitchinterval(5e-5)
        self.storm = storm
        self.things = Things(storm.impl)
        self.users = [User(self.things, storm.rng()) for _ in range(users)]
        self.main = User(self.things, storm.rng())
        self.stop_users = threading.Event()
        self.threads = [
            storm.start(f"user {n}", user.run, self.stop_users) for n, user in enumerate(self.users)
        ]
        self.patient, self.senders = [], []
        for n, tokens in enumerate(self.things.tokens):
            for m in range(PATIENT):
                self.patient.append(
                    storm.start(f"patient {n}.{m}", tokens.wait_patiently, tokens.account())
                )
            self.senders.append(storm.start(f"sender {n}", tokens.send, storm.rng(), storm.stop))
        partners = Partners(storm.impl)
        self.partners = [
            storm.start("partner 1", partners.first, storm.rng(), storm.stop),
            storm.start("partner 2", partners.second),
        ]

    def end(self, *others: User) -> None:
        """Nothing comes out of the air any more. End all threads, and look at the accounts."""
        storm, things = self.storm, self.things
        self.main.recover()
        self.stop_users.set()
        deadline = time.monotonic() + PATIENCE
        while any(thread.is_alive() for thread in self.threads):
            things.barrier.abort()  # for those who wait for others, with no timeout
            time.sleep(0.002)
            storm.check(time.monotonic() < deadline, "a user does not end")
        storm.stop.set()
        storm.join([*self.senders, *self.partners])
        for tokens in things.tokens:
            storm.check(
                tokens.settle(),
                f"{tokens.sent} notifications were sent, {tokens.arrived()} have arrived",
            )
            tokens.close()
            storm.main_steps[0] += 1
        storm.join(self.patient)
        storm.figures["notifications"] = sum(tokens.sent for tokens in things.tokens)
        self.check_accounts([*self.users, self.main, *others])
        storm.main_steps[0] += 1
        check_all_work(storm, things)

    def check_accounts(self, users: list[User]) -> None:
        check, things = self.storm.check, self.things

        def total(name: str, what: object) -> int:
            return sum(getattr(user, name).get(what, 0) for user in users)

        given = sum(n * counts.get(None, 0) for user in users for n, counts in user.given.items())
        taken = total("taken", True)
        left = things.semaphore._value
        check(left == given - taken, f"{given} permits given, {taken} taken, {left} left")
        left = things.bounded._value - BOUND
        given, taken = total("bounded_given", None), total("bounded_taken", True)
        check(left == given - taken, f"bounded: {given} given, {taken} taken, {left} more")
        check(total("disturbed", True) == 0, "an event that was never set ended a wait")
        for index in range(PARTIES):
            check(
                total("indices", index) <= things.rounds.get(True, 0),
                f"the index {index} was given more often than there were rounds",
            )
        self.storm.figures["permits"] = total("taken", True)
        self.storm.figures["rounds"] = things.rounds.get(True, 0)
        self.storm.figures["pulses seen"] = total("woken", True)


def queued(thing: Any) -> int:
    """How many threads are queued, as far as it can tell."""
    if type(thing).__module__.startswith("pyfastlock"):
        import pyfastlock

        return pyfastlock._core._waiters(thing)
    return 0


def check_all_work(storm: Storm, things: Things) -> None:
    """Nobody waits any more, nothing is held, and everything works."""
    for thing in things.all():
        storm.check(queued(thing) == 0, f"{queued(thing)} threads are queued on {thing!r}")
        if hasattr(thing, "acquire") and not hasattr(thing, "_value"):
            storm.check(thing.acquire(False), f"nobody has {thing!r}, and it cannot be had")
            thing.release()
    use_together(things)


def use_together(things: Things) -> None:
    """Two threads wait for one another over every primitive. Raises where one does not work.

    The locks and conditions must be free, and no other thread may use anything of it.
    """
    while things.semaphore.acquire(False):
        pass
    while things.bounded.acquire(False):
        pass
    things.event.clear()
    things.barrier.reset()
    things.rounds.clear()
    results: list[object] = []
    here, conditions = threading.Event(), [tokens.cond for tokens in things.tokens]

    def other() -> None:
        for cond in conditions:
            with cond:
                here.set()
                results.append(cond.wait(PATIENCE))
        results.append(things.event.wait(PATIENCE))
        results.append(things.semaphore.acquire(True, PATIENCE))
        results.append(things.bounded.acquire(True, PATIENCE))
        results.append(things.lock.lock.acquire(True, PATIENCE))
        results.append(things.rlock.lock.acquire(True, PATIENCE))
        things.rlock.lock.release()

    def third() -> None:
        results.append(things.barrier.wait(PATIENCE) < PARTIES)

    threads = [threading.Thread(target=run, daemon=False) for run in (other, third, third)]
    with things.rlock.lock:
        things.lock.lock.acquire()
        for thread in threads:
            thread.start()
        for cond in conditions:
            if not here.wait(PATIENCE):
                raise AssertionError(f"nobody comes to {cond!r}")
            here.clear()
            with cond:
                # A call that a signal handler has interrupted may be queued before it.
                cond.notify_all()
        things.event.set()
        things.semaphore.release()
        things.bounded.release()
        things.lock.lock.release()
    results.append(things.barrier.wait(PATIENCE) < PARTIES)
    for thread in threads:
        thread.join(PATIENCE)
        if thread.is_alive():
            raise AssertionError("a thread hangs that uses everything")
    if results != [True] * (len(conditions) + 8):
        raise AssertionError(f"not everything works: {results}")
    things.lock.lock.release()
