"""How long a thread waits for a lock that others take again and again.

    python benchmarks/fairness.py [--seconds S]

Equal: four threads loop on ``with lock`` for S seconds; printed are Jain's index of what each got,
and how their waits are distributed.  Greedy: one thread loops on ``with lock`` without a pause, and
another one asks for the lock every millisecond; printed are the waits of the latter.  Each over
threading and ours, with a section that counts and one that gives the GIL up.
"""

import argparse
import threading
import time
from collections.abc import Callable, Sequence

from output.report import aligned, duration
from workloads import contention, implementations
from workloads.implementations import Implementation
from workloads.sample import jain_index
from workloads.scenarios import run_together

THREADS = 4
PAUSE_S = 0.001
SECTIONS: dict[str, Callable[[], object]] = {
    "short": lambda: None,
    "released": contention.SECTIONS["released"],
}
HEADINGS = ("who", "section", "lock", "Jain's index", "median", "99 %", "99.9 %", "longest wait")


def _loop(lock: object, section: Callable[[], object], until: float, waits: list[int]) -> None:
    """Take the lock again and again, and note each wait in nanoseconds."""
    clock = time.perf_counter_ns
    while time.monotonic() < until:
        begin = clock()
        with lock:  # type: ignore[attr-defined]
            waits.append(clock() - begin)
            section()


def equal(implementation: Implementation, section: str, seconds: float) -> list[list[int]]:
    """The waits of each of four threads that do the same."""
    lock = implementation.new("RLock")
    until = time.monotonic() + seconds
    waits: list[list[int]] = [[] for _ in range(THREADS)]
    run_together([lambda mine=w: _loop(lock, SECTIONS[section], until, mine) for w in waits])
    return waits


def greedy(implementation: Implementation, section: str, seconds: float) -> list[list[int]]:
    """The waits of a thread that asks now and then while another one loops."""
    lock = implementation.new("RLock")
    over = threading.Event()
    waits: list[int] = []

    def hog() -> None:
        work = SECTIONS[section]
        while not over.is_set():
            with lock:
                work()

    def ask() -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(PAUSE_S)
            begin = time.perf_counter_ns()
            with lock:
                waits.append(time.perf_counter_ns() - begin)
        over.set()

    run_together([hog, ask])
    return [waits]


def line(who: str, section: str, name: str, waits: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """A line of the table."""
    ordered = sorted(wait for each in waits for wait in each)
    jain = f"{jain_index([len(each) for each in waits]):.3f}" if len(waits) > 1 else "-"
    places = (0.5, 0.99, 0.999)
    cells = [duration(ordered[int(place * (len(ordered) - 1))]) for place in places]
    return who, section, name, jain, *cells, duration(ordered[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each line (default: 1)")
    seconds = parser.parse_args(arguments).seconds
    lines = [
        line(measure.__name__, section, name, measure(implementations.get(name), section, seconds))
        for measure in (equal, greedy)
        for section in SECTIONS
        for name in ("stdlib", "ours")
    ]
    print(aligned([HEADINGS, *lines]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
