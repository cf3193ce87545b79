"""Measures how late a signal handler runs while the main thread is blocked.

    python benchmarks/signals.py [--quick]

Each row is a kind of wait, each column how long the main thread has been blocked when the signal
comes.  A process of its own makes each measurement; they mostly sleep, so several run at once.  A
figure is the time from the signal to the first line of its handler, in milliseconds: the median,
and the longest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyfastlock

LONG = 60.0
"""The limit of the waits that have one: it never comes."""

BLOCKED_S = {0.05: 40, 1.0: 10, 5.0: 2}
"""How long a wait has lasted when the signal comes, and how often that is tried."""


class Done(Exception):
    """What the handler raises, so that the wait ends."""


def held(lock: pyfastlock.Lock | pyfastlock.RLock) -> pyfastlock.Lock | pyfastlock.RLock:
    """Returns the lock, taken by another thread for good."""
    is_held = threading.Event()

    def hold() -> None:
        lock.acquire()
        is_held.set()
        threading.Event().wait()  # an owner that ends would be noticed

    threading.Thread(target=hold, daemon=True).start()
    is_held.wait()
    return lock


def wait_for_condition(timeout: float | None) -> None:
    condition = pyfastlock.Condition()
    with condition:
        condition.wait(timeout)


def acquire(make: Callable[[], object]) -> Callable[[float | None], None]:
    def wait(timeout: float | None) -> None:
        made = make()
        made.acquire(True, -1 if timeout is None else timeout)  # type: ignore[attr-defined]

    return wait


def acquire_permit(make: Callable[[int], object]) -> Callable[[float | None], None]:
    def wait(timeout: float | None) -> None:
        make(0).acquire(True, timeout)  # type: ignore[attr-defined]

    return wait


WAITS: dict[str, Callable[[float | None], object]] = {
    "Lock": acquire(lambda: held(pyfastlock.Lock())),
    "RLock": acquire(lambda: held(pyfastlock.RLock())),
    "Condition": wait_for_condition,
    "Event": lambda timeout: pyfastlock.Event().wait(timeout),
    "Semaphore": acquire_permit(pyfastlock.Semaphore),
    "BoundedSemaphore": acquire_permit(pyfastlock.BoundedSemaphore),
    "Barrier": lambda timeout: pyfastlock.Barrier(2).wait(timeout),
}


def measure(kind: str, timeout: float | None, blocked_s: float, times: int) -> list[float]:
    """How late the handler ran each time, in milliseconds."""
    sent = 0.0
    late: list[float] = []

    def handle(*_: object) -> None:
        late.append((time.monotonic() - sent) * 1000)
        raise Done

    def send() -> None:
        nonlocal sent
        time.sleep(blocked_s)
        sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, handle)
    for _ in range(times):
        sender = threading.Thread(target=send)
        sender.start()
        with contextlib.suppress(Done):
            WAITS[kind](timeout)
        sender.join()
    return late


def measured(kind: str, is_timed: bool, blocked_s: float, times: int) -> list[float]:
    command = [sys.executable, __file__, "--one", kind, str(int(is_timed)), str(blocked_s)]
    result = subprocess.run([*command, str(times)], check=True, stdout=subprocess.PIPE, text=True)
    return [float(value) for value in result.stdout.split()]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="waits of 50 ms only, 3 times each")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        kind, is_timed, blocked_s, times = options.one
        limit = LONG if is_timed == "1" else None
        print(*measure(kind, limit, float(blocked_s), int(times)))
        return 0
    blocked = {0.05: 3} if options.quick else BLOCKED_S
    everything: list[float] = []
    print("|  | " + " | ".join(f"blocked for {seconds:g} s" for seconds in blocked) + " |")
    print("| --- |" + " --- |" * len(blocked))
    with ThreadPoolExecutor(4) as pool:
        rows = {
            (kind, is_timed): [
                pool.submit(measured, kind, is_timed, seconds, times)
                for seconds, times in blocked.items()
            ]
            for kind in WAITS
            for is_timed in (False, True)
        }
        for (kind, is_timed), cells in rows.items():
            figures = [cell.result() for cell in cells]
            everything += [value for figure in figures for value in figure]
            texts = (f"{statistics.median(values):.2f}, {max(values):.2f}" for values in figures)
            name = f"{kind}, timed" if is_timed else kind
            print(f"| {name} | {' | '.join(texts)} |", flush=True)
    soon = sum(value < 10 for value in everything)
    print(f"within 10 ms: {soon} of {len(everything)} ({100 * soon / len(everything):.1f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
