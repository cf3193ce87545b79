"""A storm of nested locks that are always taken in the same order: nothing is a deadlock, ever.

Threads that come and go take RLocks and Locks in the order of their numbers, by `with` and by
acquire(), with timeouts and without, and wait and notify inside, in Conditions of ours and of
`threading`. Signal handlers of the main thread take locks, and it forks; the child goes on in the
same way. Any DeadlockError is a failure. So is a deadlock that deadlocks() shows, and a wait that
waits() shows with a thread that is none.
"""

from __future__ import annotations

import _thread
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from limits import PATIENCE
from storm import Children, Storm

LOCKS = 9
SECTIONS = 300
"""Of a thread that comes and goes."""

SIGNAL_EVERY = 0.002
FORK_EVERY = 0.1


class Ranked:
    """A lock, what waits are made with over it, and who holds it."""

    def __init__(self, impl: Any, number: int):
        self.impl, self.number = impl, number
        self.plain = number % 3 == 2
        self.lock = impl.Lock() if self.plain else impl.RLock()
        self.conds = [impl.Condition(self.lock), impl.Condition(self.lock)]
        if not self.plain:
            self.conds.append(threading.Condition(self.lock))
        self.owner: int | None = None  # the lock guards it

    def forget_others(self) -> None:
        """In the child of a fork, where nobody releases what others held."""
        owned = not self.plain and self.lock._is_owned()
        if not owned:
            self.lock._at_fork_reinit()
        self.owner = None


class User:
    """A thread that takes locks. `top` is the highest that it holds or wants."""

    def __init__(self, locks: list[Ranked], rng: random.Random, steps: list[int]):
        self.locks, self.rng, self.steps = locks, rng, steps
        self.top = -1

    def section(self, above: int, depth: int) -> None:
        """Take a lock above that number, and inside it others above that."""
        if depth == 0 or above + 1 >= LOCKS:
            return
        ranked = self.locks[self.rng.randrange(above + 1, LOCKS)]
        self.top = ranked.number
        kind = self.rng.random()
        self.steps[0] += 2
        if kind < 0.4:
            with ranked.lock:
                self.use(ranked, depth)
        elif self.take(ranked, kind):
            try:
                self.use(ranked, depth)
            finally:
                ranked.lock.release()
        self.top = above

    def take(self, ranked: Ranked, kind: float) -> bool:
        if kind < 0.6:
            taken = ranked.lock.acquire(timeout=self.rng.choice([0.0001, 0.001, 0.01]))
        elif kind < 0.65:
            taken = ranked.lock.acquire(False)
        else:
            taken = ranked.lock.acquire()
        return bool(taken)

    def use(self, ranked: Ranked, depth: int) -> None:
        me = threading.get_ident()
        if ranked.owner is not None:
            raise AssertionError(f"{ranked.owner} and {me} hold lock {ranked.number}")
        ranked.owner = me
        if not ranked.plain and self.rng.random() < 0.1:
            with ranked.lock:
                self.section(ranked.number, depth - 1)
            self.steps[0] += 2
        else:
            self.section(ranked.number, depth - 1)
        if ranked.owner != me:
            raise AssertionError(f"{ranked.owner} holds lock {ranked.number}, which {me} has")
        ranked.owner = None
        self.talk(ranked)

    def talk(self, ranked: Ranked) -> None:
        """Wait, notify, or let go of the lock in the way of a Condition."""
        what, cond = self.rng.random(), self.rng.choice(ranked.conds)
        if what < 0.15:
            cond.wait(self.rng.choice([0, 0.0001, 0.001, 0.003]))
        elif what < 0.35:
            cond.notify()
        elif what < 0.5:
            cond.notify_all()
        elif what < 0.52 and not ranked.plain:
            ranked.lock._acquire_restore(ranked.lock._release_save())
        if what < 0.52:
            self.steps[0] += 1

    def handle(self, number: int, frame: object) -> None:
        """A signal handler: it takes what is above all that its thread holds or wants."""
        above = self.top
        if above + 1 < LOCKS:
            ranked = self.locks[self.rng.randrange(above + 1, LOCKS)]
            self.top = ranked.number  # the next signal may come in here
            with ranked.lock:
                if ranked.owner is not None:
                    raise AssertionError(f"a handler is in the lock that {ranked.owner} holds")
            self.top = above
            self.steps[0] += 2


def run_threads(storm: Storm, bodies: list[Callable[[], None]]) -> None:
    """Run each in a thread, and wait for all; fails where one raises.

    `threading` keeps account of its threads in objects that a forked child needs. Without the GIL
    each has a mutex, and a child whose parent was just starting a thread waits for it for ever. So
    these threads are none of `threading`'s.
    """
    failed: list[BaseException] = []

    def run(body: Callable[[], None], over: Any) -> None:
        try:
            body()
        except BaseException as error:
            failed.append(error)
        over.release()

    ends = [_thread.allocate_lock() for _ in bodies]
    for body, over in zip(bodies, ends, strict=True):
        over.acquire()
        _thread.start_new_thread(run, (body, over))
    for over in ends:
        storm.check(over.acquire(timeout=PATIENCE), "a thread does not end")
    if failed:
        raise failed[0]


class Order:
    def __init__(self, storm: Storm):
        self.storm = storm
        self.locks = [Ranked(storm.impl, number) for number in range(LOCKS)]
        self.look = hasattr(storm.impl, "waits")

    def come_and_go(self, rng: random.Random, steps: list[int]) -> None:
        """One thread after the other; what they take counts for this one."""

        def body() -> None:
            user = User(self.locks, random.Random(rng.random()), steps)
            for _ in range(SECTIONS):
                user.section(-1, 4)
                if self.storm.stop.is_set():
                    break

        while not self.storm.stop.is_set():
            run_threads(self.storm, [body])

    def come_once(self, rng: random.Random, steps: list[int]) -> None:
        """Threads that take an RLock once and end at once: an owner that others still wait for."""
        while not self.storm.stop.is_set():
            lock = self.storm.impl.RLock()

            def body(lock: Any = lock) -> None:
                with lock:
                    time.sleep(0)

            run_threads(self.storm, [body] * 4)
            steps[0] += 2 * 4

    def watch(self, steps: list[int]) -> None:
        """What is shown of it: no deadlock, and only threads that are."""
        impl, check = self.storm.impl, self.storm.check
        while not self.storm.stop.is_set():
            for wait in impl.waits():
                check(wait.thread, f"a wait of no thread: {wait}")
                check(wait.lock is not None, f"a wait for nothing: {wait}")
                check(wait.owner != wait.thread, f"a wait for oneself: {wait}")
            found = impl.deadlocks()
            check(not found, f"deadlocks() shows {found}")
            self.storm.count("looks")
            steps[0] += 1
            time.sleep(0.0005)

    def child(self, seed: float) -> None:
        """Threads of its own take the locks, in the same order."""
        for ranked in self.locks:
            ranked.forget_others()
        if not self.locks[0].plain and self.locks[0].lock._is_owned():
            self.locks[0].lock.release()
        failed: list[BaseException] = []

        def body(number: int) -> None:
            try:
                user = User(self.locks, random.Random(seed + number), [0])
                for _ in range(50):
                    user.section(-1, 3)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=body, args=[number]) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                raise AssertionError("a thread of the child hangs")
        if failed:
            raise failed[0]
        if self.look and self.storm.impl.deadlocks():
            raise AssertionError(f"the child shows {self.storm.impl.deadlocks()}")


def run(storm: Storm, order: Order) -> None:
    """What the main thread does."""
    rng, children = storm.rng(), Children(storm)
    user = User(order.locks, storm.rng(), storm.main_steps)
    handled = 0

    def handle(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        user.handle(number, frame)

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, SIGNAL_EVERY, SIGNAL_EVERY)
    forked = time.monotonic()
    while not storm.is_over():
        user.section(-1, 4)
        if time.monotonic() - forked > FORK_EVERY:
            forked, seed, holds = time.monotonic(), rng.random(), rng.random() < 0.5
            user.top = LOCKS  # no handler while it is forked
            if holds:
                order.locks[0].lock.acquire()
            children.fork(lambda seed=seed: order.child(seed))
            if holds:
                order.locks[0].lock.release()
            user.top = -1
            children.reap()
            storm.count("os.fork")
    signal.setitimer(signal.ITIMER_REAL, 0)
    storm.figures["signals"] = handled


def main() -> None:
    storm = Storm(__doc__)
    order = Order(storm)
    threads = [storm.start(f"goes {number}", order.come_and_go, storm.rng()) for number in range(6)]
    threads += [storm.start(f"once {number}", order.come_once, storm.rng()) for number in range(2)]
    if order.look:
        threads.append(storm.start("watches", order.watch))
    run(storm, order)
    storm.stop.set()
    storm.join(threads)
    storm.end()


if __name__ == "__main__":
    main()
