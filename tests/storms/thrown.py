"""A storm of exceptions that one thread throws into others, while they use every primitive.

PyThreadState_SetAsyncExc() makes an exception come between any two bytecodes of its target; in the
main thread also where a wait looks for signals (Python 3.15). The next one is thrown when the
target has recovered from the last: an exception inside of what catches exceptions would end the
thread, over any locks.
"""

from __future__ import annotations

import ctypes
import random
import signal
import threading
import time
from functools import partial

from inherit import use_everything
from limits import PATIENCE
from storm import Children, Storm
from throng import Interrupt, Throng, User

set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Thrower:
    """A thread that throws exceptions into users."""

    def __init__(self, storm: Storm, targets: list[tuple[User, int]]):
        self.storm = storm
        self.targets = targets

    def run(self, rng: random.Random, stop: threading.Event, steps: list[int]) -> None:
        before = [0] * len(self.targets)
        thrown = [time.monotonic()] * len(self.targets)
        children = Children(self.storm)
        while not stop.is_set():
            n = rng.randrange(len(self.targets))
            target, ident = self.targets[n]
            if target.recovered > before[n]:
                before[n] = target.recovered
                thrown[n] = time.monotonic()
                found = set_async_exc(ctypes.c_ulong(ident), ctypes.py_object(Interrupt))
                self.storm.check(found == 1, f"there are {found} threads of one identity")
                self.storm.count("thrown")
                steps[0] += 1
            elif time.monotonic() - thrown[n] > PATIENCE:
                self.storm.fail("a thread does not recover from an exception")
            if rng.random() < 0.002:
                children.reap(1)
                self.storm.count("forks")
                things, seed = target.things, rng.random()
                children.fork(partial(use_everything, self.storm.impl, things, random.Random(seed)))
            time.sleep(rng.choice([0, 0.0001, 0.0005]))
        # The last ones arrive.
        for n, (target, _) in enumerate(self.targets):
            while target.recovered <= before[n]:
                if time.monotonic() - thrown[n] > PATIENCE:
                    self.storm.fail("a thread does not recover from the last exception")
                time.sleep(0.001)
        children.reap()


def nudge(rng: random.Random, stop: threading.Event, steps: list[int]) -> None:
    """Signals whose handler does nothing, so that the main thread's waits look for signals."""
    ident = threading.main_thread().ident
    assert ident is not None
    while not stop.wait(rng.choice([0.0001, 0.0005, 0.002])):
        signal.pthread_kill(ident, signal.SIGUSR1)
        steps[0] += 1


def main() -> None:
    storm = Storm(__doc__)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    throng = Throng(storm)
    targets = [
        (user, thread.ident or 0) for user, thread in zip(throng.users, throng.threads, strict=True)
    ]
    targets.append((throng.main, threading.get_ident()))
    stop_throwing, stop_main, stop_signals = (threading.Event() for _ in range(3))
    thrower = storm.start("thrower", Thrower(storm, targets).run, storm.rng(), stop_throwing)
    signals = storm.start("signals", nudge, storm.rng(), stop_signals)

    def end(steps: list[int]) -> None:
        """The main thread is a target; so another one ends the storm."""
        while not storm.is_over():
            steps[0] += 1
            time.sleep(0.01)
        stop_throwing.set()
        thrower.join()
        stop_main.set()

    ending = storm.start("end", end)
    throng.main.run(stop_main, storm.main_steps)
    stop_signals.set()
    storm.join([ending, signals])
    throng.end()
    storm.end()


if __name__ == "__main__":
    main()
