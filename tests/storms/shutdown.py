"""Interpreters that end while daemon threads are in every state.

Each is a process of its own: it ends in time, with status 0, and says nothing. Its threads hold
locks, wait for them with and without a timeout, are notified and then wait for the lock, run a
barrier's action, contend, and drop locks. Meanwhile the main thread ends in one of several ways;
handlers of `atexit` and finalizers use the locks, and wake those who wait.

`--once SEED` is such a process.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

LIMIT = 30
"""Seconds within which a process has ended."""

AT_ONCE = 3


class Plain:
    """A lock that is not ours."""

    def __init__(self) -> None:
        self._lock = threading._allocate_lock()  # type: ignore[attr-defined]

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


class Late:
    """Uses locks when it is finalized, whatever of the modules is left then."""

    def __init__(self, calls: list[Callable[[], object]]):
        self.calls = calls

    def __del__(self, every: Any = BaseException) -> None:
        for call in self.calls:
            try:  # noqa: SIM105 - contextlib may be gone
                call()
            except every:
                pass  # a wait that nobody can end is refused


def end_in_the_middle(seed: int, impl_name: str) -> None:
    """The process that is tested. What it needs is imported here: its import is a part of it."""
    import atexit
    import faulthandler
    import importlib
    import random

    from throng import Things, User

    faulthandler.dump_traceback_later(LIMIT, exit=True)
    impl = importlib.import_module(impl_name)
    rng = random.Random(seed)
    things = Things(impl)
    held, rheld = impl.Lock(), impl.RLock()
    conds = [impl.Condition(), impl.Condition(impl.Lock()), impl.Condition(Plain())]
    event, semaphore, barrier = impl.Event(), impl.Semaphore(0), impl.Barrier(2)
    running = impl.Barrier(2, lambda: time.sleep(1000))
    forever = threading.Event()

    def wait(cond: Any, *timeout: float) -> None:
        with cond:
            cond.wait(*timeout)
            held.acquire()

    def meet(at: Any, *timeout: float) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            at.wait(*timeout)

    def contend() -> None:
        while True:
            for lock in (things.lock.lock, things.rlock.lock, *conds):
                with lock:
                    pass

    def wait_briefly() -> None:
        while True:
            held.acquire(True, 0.0001)
            event.wait(0.0001)
            semaphore.acquire(True, 0.0001)
            for cond in conds:
                with cond:
                    cond.wait(0.0001)

    def drop() -> None:
        kept = [None] * 4
        while True:
            kept[rng.randrange(4)] = lock = rng.choice([impl.Lock, impl.RLock, impl.Event])()
            if hasattr(lock, "acquire"):
                lock.acquire()

    def hold() -> None:
        with things.rlock.lock, rng.choice(conds):
            forever.wait()

    def use_everything() -> None:
        User(things, random.Random(seed)).run(forever, [0])

    states: list[tuple[Callable[..., object], tuple[Any, ...]]] = [
        *((held.acquire, args) for args in ((), (True, 1000))),
        *((rheld.acquire, args) for args in ((), (True, 1000))),
        *((wait, args) for cond in conds for args in ((cond,), (cond, 1000), (cond, 0.003))),
        *((event.wait, ()), (event.wait, (1000,))),
        *((semaphore.acquire, ()), (semaphore.acquire, (True, 1000))),
        *((meet, (barrier,)), (meet, (barrier, 1000)), (meet, (barrier, 0.003))),
        *((meet, (running,)), (meet, (running,)), (meet, (running, 0.003))),
        *((function, ()) for function in (contend, wait_briefly, drop, hold)),
        *((use_everything, ()), (use_everything, ())),
    ]

    held.acquire()
    rheld.acquire()
    for run, args in rng.choices(states, k=rng.choice([1, 4, 8, 16])):
        threading.Thread(target=run, args=args, daemon=True).start()
    for _ in range(rng.randrange(2)):  # which is waited for
        threading.Thread(target=things.never.wait, args=(0.005,)).start()

    def wake() -> None:
        event.set()
        semaphore.release(3)
        for cond in conds:
            if cond.acquire(True, 0.001):
                cond.notify_all()
                cond.release()
        things.barrier.abort()
        if rng.random() < 0.5:
            held.release()
            held.acquire(True, 0.001)

    def wait_for_nobody() -> None:
        held.acquire(True, 0.001)
        things.never.wait(0.001)
        barrier.n_waiting, barrier.broken  # noqa: B018

    for function in (wake, wait_for_nobody, barrier.abort, event.set):
        if rng.random() < 0.5:
            atexit.register(function)
    late = [event.set, things.event.set, semaphore.release, things.barrier.reset, barrier.abort]
    late += [conds[0].__enter__, conds[0].notify_all, conds[0].__exit__, rheld.release]
    late += [held.acquire, semaphore.acquire, event.wait, things.never.wait, barrier.wait]
    if rng.random() < 0.7:
        calls = [call for call in late if rng.random() < 0.6]
        place = rng.choice([sys, sys.modules["__main__"], things, threading])
        place.late = Late(calls)  # type: ignore[attr-defined]
    time.sleep(rng.choice([0, 0, 0.001, 0.004, 0.01]))
    if rng.random() < 0.3:
        # With what is notified still held, so that those who were waiting wait for the lock now.
        for cond in conds:
            if cond.acquire(True, 0.002):
                cond.notify_all()
        time.sleep(rng.choice([0, 0.001]))
        sys.exit(0)
    if rng.random() < 0.5:
        wake()
    # What is left of it goes with the module.
    sys.modules["__main__"].left = [things, conds, event]  # type: ignore[attr-defined]


def main() -> None:
    from storm import Storm

    storm = Storm(__doc__)
    rng = storm.rng()
    running: list[tuple[int, subprocess.Popen[str], float]] = []
    while running or not storm.is_over():
        for seed, process, began in list(running):
            if process.poll() is None:
                if time.monotonic() - began > LIMIT + 10:
                    process.kill()
                    storm.fail(f"an interpreter does not end: shutdown.py --once {seed}")
                continue
            running.remove((seed, process, began))
            said = process.communicate()[0]
            if process.returncode != 0 or said:
                told = f"an interpreter ended with {process.returncode}: shutdown.py --once {seed}"
                storm.fail(told, said)
            storm.count("interpreters ended")
            storm.main_steps[0] += 1
        if len(running) < AT_ONCE and not storm.is_over():
            seed = rng.randrange(2**32)
            process = subprocess.Popen(
                [
                    *(sys.executable, "-X", "faulthandler", __file__, "--once", str(seed)),
                    storm.options.impl,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            running.append((seed, process, time.monotonic()))
        else:
            time.sleep(0.002)
    storm.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        end_in_the_middle(int(sys.argv[2]), sys.argv[3] if sys.argv[3:] else "pyfastlock")
    else:
        main()
