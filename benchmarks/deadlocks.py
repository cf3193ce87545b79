"""Measures how long it takes to find a deadlock, and to list all waits.

    python benchmarks/deadlocks.py [--quick]

The first table: all threads of a cycle but one wait, and the last one asks for its lock.  A figure
is the time from there to its DeadlockError, in milliseconds: the median of the rounds, and the
longest.  Where the error came in another thread, the round does not count.

The second: so many threads wait for an Event, and the main thread calls waits().
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Sequence

import pyfastlock
from pyfastlock import DeadlockError

SIZES = (2, 10, 100)
WAITERS = (10, 100, 1000)


def close_cycle(size: int) -> float | None:
    """The seconds until the main thread has its error; None where another thread got it."""
    locks = [pyfastlock.RLock() for _ in range(size)]
    all_hold = threading.Barrier(size)

    def body(number: int) -> None:
        with locks[number]:
            all_hold.wait()
            try:
                with locks[(number + 1) % size]:
                    pass
            except DeadlockError:
                pass

    threads = [threading.Thread(target=body, args=(number,)) for number in range(1, size)]
    seconds = None
    with locks[0]:
        for thread in threads:
            thread.start()
        all_hold.wait()
        while len(pyfastlock.waits()) < size - 1:
            time.sleep(0.001)
        time.sleep(0.01)  # they spin before they sleep
        begin = time.perf_counter()
        try:
            with locks[1]:
                pass
        except DeadlockError:
            seconds = time.perf_counter() - begin
    for thread in threads:
        thread.join()
    return seconds


def list_waits(count: int, rounds: int) -> list[float]:
    """The seconds that each call of waits() takes while `count` threads wait."""
    event = pyfastlock.Event()
    threads = [threading.Thread(target=event.wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    while len(pyfastlock.waits()) < count:
        time.sleep(0.01)
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        pyfastlock.waits()
        taken.append(time.perf_counter() - begin)
    event.set()
    for thread in threads:
        thread.join()
    return taken


def print_row(what: str, seconds: list[float]) -> None:
    median, longest = statistics.median(seconds) * 1e3, max(seconds) * 1e3
    print(f"{what:<28}{median:>10.3f}{longest:>10.3f}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds of small sizes")
    quick = parser.parse_args(argv).quick
    rounds = 3 if quick else 30
    print(f"{'milliseconds':<28}{'median':>10}{'longest':>10}")
    for size in SIZES[: 1 if quick else None]:
        found = [close_cycle(size) for _ in range(rounds)]
        print_row(f"a cycle of {size} threads", [each for each in found if each is not None])
    for count in WAITERS[: 1 if quick else None]:
        print_row(f"waits() of {count} threads", list_waits(count, rounds))


if __name__ == "__main__":
    main()
