"""Measures what a recording by contention() costs.

    python benchmarks/contention.py [--quick]

Two programs, with the recording off and on in turns: a queue.Queue between four producers and four
consumers, and a lock that 16 threads take again and again.  A figure is what was done in a second:
the median of the rounds, in thousands.  The cost is what the recording takes away, in per cent: the
median over pairs of rounds that follow each other, and its quartiles.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pyfastlock
from measure.machine import environment, subtitle, title

PRODUCERS = CONSUMERS = 4
THREADS = 16


def run_all(bodies: Sequence[Callable[[], object]]) -> float:
    """The seconds that the threads take together."""
    begin_all = threading.Barrier(len(bodies) + 1)

    def run(body: Callable[[], object]) -> None:
        begin_all.wait()
        body()

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    begin_all.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def through_queue(count: int) -> float:
    """Items a second through a queue.Queue(16), whose locks are ours."""
    items = queue.Queue[int](16)
    items.mutex = pyfastlock.Lock()  # type: ignore[assignment]
    items.not_empty = pyfastlock.Condition(items.mutex)  # type: ignore[assignment]
    items.not_full = pyfastlock.Condition(items.mutex)  # type: ignore[assignment]
    items.all_tasks_done = pyfastlock.Condition(items.mutex)  # type: ignore[assignment]

    def produce() -> None:
        for number in range(count):
            items.put(number)

    def consume() -> None:
        for _ in range(count):
            items.get()

    return PRODUCERS * count / run_all([produce] * PRODUCERS + [consume] * CONSUMERS)


def through_lock(count: int) -> float:
    """Sections a second of a lock that all threads want."""
    lock = pyfastlock.Lock()
    shared = [0]

    def body() -> None:
        for _ in range(count):
            with lock:
                shared[0] += 1

    return THREADS * count / run_all([body] * THREADS)


def compare(program: Callable[[int], float], count: int, rounds: int) -> None:
    """Print a row: the program with the recording off and on, and how many waits were recorded."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    waits = 0
    program(count)
    for number in range(rounds):
        for on in (False, True) if number % 2 else (True, False):
            with pyfastlock.contention() if on else nullcontext() as report:
                rates[on].append(program(count))
            if report is not None:
                waits += sum(lock.waits for lock in report.locks)
    costs = [100 * (1 - on / off) for off, on in zip(rates[False], rates[True], strict=True)]
    low, middle, high = statistics.quantiles(costs, n=4)
    off, on = (statistics.median(rates[on]) / 1e3 for on in (False, True))
    each = statistics.median(rates[True])
    print(
        f"{program.__name__.replace('_', ' '):<18}{off:>8.0f}{on:>10.0f}"
        f"{waits / rounds:>10.0f}{middle:>9.1f}{f'{low:.1f} to {high:.1f}':>16}",
        flush=True,
    )
    assert each > 0


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few short rounds")
    quick = parser.parse_args(argv).quick
    machine = environment()
    print(f"{title(machine)}, {subtitle(machine)}")
    figures = f"{'off':>8}{'on':>10}{'waits':>10}{'cost %':>9}{'quartiles':>16}"
    print(f"{'thousands a second':<18}{figures}")
    rounds = 2 if quick else 30
    compare(through_queue, 200 if quick else 20_000, rounds)
    compare(through_lock, 200 if quick else 20_000, rounds)


if __name__ == "__main__":
    main()
