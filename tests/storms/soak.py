"""A soak: many operations by threads that come and go, while the memory stays as it is.

An operation is one call of a method, or the making of a lock that is dropped again. Most of
them are uncontended and run in loops of the interpreter's C code; the rest contends, in loops of
bytecode. Locks of all kinds are made and dropped while others hold them and wait for them. What has
grown between the first round and the last is an error: references (on a debug build), the blocks of
the interpreter's allocator, the resident memory.
"""

from __future__ import annotations

import argparse
import collections
import gc
import operator
import os
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

from storm import FREE_THREADED, Storm

ALONE = 40_000
"""Operations of a thread that nobody disturbs, in a round, on each primitive."""

TOGETHER = 4_000
"""Operations of each thread that contends, in a round."""

DROPPED = 800
"""Locks that a thread makes and drops in a round."""

ROUNDS_BEFORE = 8
"""Rounds before the memory is looked at first: caches fill, the allocators find their size."""

MORE_BLOCKS = 2_000
MORE_REFERENCES = 2_000
MORE_MIB = 16 if FREE_THREADED else 8
"""What is no growth. Of a lock that leaks there would be thousands in each second."""


def repeatedly(n: int, *calls: Callable[[], object]) -> int:
    """Call these `n` times, in C. Returns how many calls those were."""
    every = chain.from_iterable(repeat(calls, n))
    collections.deque(map(operator.call, every), maxlen=0)
    return n * len(calls)


class Soak:
    """What the threads of a round use."""

    def __init__(self, storm: Storm):
        self.storm = storm
        self.impl = storm.impl
        self.watched: list[weakref.ref[Any]] = []
        self.gone: list[weakref.ref[Any]] = []
        self.lock = threading.Lock()

    def add(self, what: str, number: int, steps: list[int]) -> None:
        """One thread of several adds to a figure, and to its steps."""
        with self.lock:
            self.storm.count(what, number)
        steps[0] += number

    # Alone

    def use_alone(self, rng: random.Random, steps: list[int]) -> None:
        impl = self.impl
        lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
        event, semaphore, barrier = impl.Event(), impl.Semaphore(2), impl.Barrier(1)
        bounded = impl.BoundedSemaphore(2)
        n = ALONE // 2
        for calls in (
            (lock.acquire, lock.release),
            (rlock.acquire, rlock.acquire, rlock.release, rlock.release),
            (cond.acquire, cond.notify, cond.notify_all, cond.release),
            (event.set, event.is_set, event.clear),
            (event.set, event.wait),
            (semaphore.acquire, semaphore.release),
            (bounded.acquire, bounded.release),
            (barrier.wait,),
            (impl.Lock,),
            (impl.RLock,),
        ):
            some = n if len(calls) > 1 else n // 8
            self.add("alone", repeatedly(some, *calls), steps)
        with cond:
            for _ in repeat(None, 1000):
                cond.wait(0)
        self.add("alone", 1000, steps)

    # Together

    def contend(self, share: list[Any], rng: random.Random, steps: list[int]) -> None:
        lock, rlock, cond, semaphore, event = share
        n = TOGETHER // 10
        for acquire, release in (
            *((thing.acquire, thing.release) for thing in (lock, rlock, cond, semaphore)),
        ):
            for _ in repeat(None, n):
                acquire()
                release()
        for _ in repeat(None, n // 2):
            event.set()
            event.wait(0.01)  # another one may have cleared it
            event.clear()
            with cond:
                cond.notify()
        for _ in repeat(None, n // 20):
            with cond:
                cond.wait(0.00001)
            event.wait(0.00001)
            if lock.acquire(True, 0.00001):
                lock.release()
        self.add("contended", n * 4 * 2 + n // 2 * 6 + n // 20 * 6, steps)

    # Made and dropped

    def make_and_drop(self, slots: list[Any], rng: random.Random, steps: list[int]) -> None:
        """Each makes locks, and uses those of the others, who drop them meanwhile."""
        impl, gone = self.impl, self.gone
        kinds = [impl.Lock, impl.RLock, impl.Condition, impl.Semaphore, impl.BoundedSemaphore]
        watched = []
        for n in range(DROPPED):
            lock = kinds[n % 5]()
            watched.append(weakref.ref(lock, gone.append))
            slots[n % len(slots)] = lock
            lock = slots[rng.randrange(len(slots))]
            if n % 50 == 0:
                if lock.acquire(True, 0.0005):
                    time.sleep(0)  # now others wait for it
                    lock.release()
            elif n % 3 == 0:
                # Dropped while it is held, sometimes by a thread that holds it.
                if lock.acquire(False):
                    lock.release()
            else:
                lock.acquire()
                lock.release()
        del lock
        self.watched.extend(watched)
        self.add("made and dropped", DROPPED, steps)

    def round(self, rng: random.Random, number: int) -> None:
        impl, storm = self.impl, self.storm
        share = [impl.Lock(), impl.RLock(), impl.Condition(), impl.Semaphore(1), impl.Event()]
        slots = [impl.Lock() for _ in range(3)]
        alone = [
            storm.start(f"alone {number}.{n}", self.use_alone, random.Random(rng.random()))
            for n in range(2)
        ]
        together = [
            storm.start(f"contends {number}.{n}", self.contend, share, random.Random(rng.random()))
            for n in range(4)
        ]
        droppers = [
            storm.start(
                f"drops {number}.{n}", self.make_and_drop, slots, random.Random(rng.random())
            )
            for n in range(3)
        ]
        storm.join([*alone, *together, *droppers])
        slots.clear()
        gc.collect()
        left = sum(watched() is not None for watched in self.watched)
        storm.check(left == 0, f"{left} locks that were dropped are still there")
        storm.check(
            len(self.gone) == len(self.watched),
            f"{len(self.watched)} locks were dropped, and {len(self.gone)} callbacks called",
        )
        self.watched.clear()
        self.gone.clear()


def resident_kib() -> int:
    """The resident memory, or 0 where it cannot be asked for."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return 0


def memory() -> tuple[int, int, int]:
    """Blocks, references (0 on a build that does not count them), resident KiB."""
    gc.collect()
    gc.collect()
    count_references = getattr(sys, "gettotalrefcount", int)
    return sys.getallocatedblocks(), count_references(), resident_kib()


class SoakStorm(Storm):
    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--dropped",
            type=int,
            help="and until so many locks were dropped (a million, or --seconds)",
        )


def main() -> None:
    storm = SoakStorm(__doc__, operations=100_000_000)
    soak, rng = Soak(storm), storm.rng()
    first = last = memory()
    rounds = 0
    dropped = storm.options.dropped
    if dropped is None:
        dropped = 0 if storm.options.seconds else 1_000_000
    while (
        rounds <= ROUNDS_BEFORE + 1
        or not storm.is_over()
        or storm.figures["made and dropped"] < dropped
    ):
        soak.round(rng, rounds)
        rounds += 1
        storm.main_steps[0] += 1
        last = memory()
        if rounds == ROUNDS_BEFORE:
            first = last
    blocks, references, kib = (after - before for before, after in zip(first, last, strict=True))
    storm.count("rounds", rounds)
    storm.figures["more blocks"] = blocks
    storm.figures["more references"] = references
    storm.figures["more KiB resident"] = kib
    storm.check(blocks <= MORE_BLOCKS, f"{blocks} blocks more than after {ROUNDS_BEFORE} rounds")
    storm.check(references <= MORE_REFERENCES, f"{references} references more")
    storm.check(kib <= MORE_MIB * 1024, f"{kib} KiB more")
    storm.end()


if __name__ == "__main__":
    main()
