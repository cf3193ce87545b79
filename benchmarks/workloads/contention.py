"""Threads that want the same lock, and threads that wait while others do not.

What they do while they hold it, the *section*, is short (a number is counted up), medium (some
microseconds of Python code) or released (some microseconds of zlib, which gives the GIL up).
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workloads.implementations import Implementation
from workloads.sample import Sample, Stopwatch
from workloads.scenarios import Scenario, run_together

BATCH = 50
"""Acquisitions between two looks at whether the work is done."""

STACK_BYTES = 128 * 1024
"""Stack of each of thousands of waiting threads."""

TIMEOUT_S = 1e-6
"""Long enough to make a waiter queue itself, short enough to be over at once."""

MEDIUM = range(100)
"""What a medium section counts through."""

PAYLOAD = bytes(8192)
"""Large enough that zlib computes its checksum without the GIL."""


def _medium() -> None:
    for _ in MEDIUM:
        pass


def _released() -> None:
    zlib.crc32(PAYLOAD)


SECTIONS: dict[str, Callable[[], object]] = {"medium": _medium, "released": _released}
"""The longer sections, by name."""


def _contended(
    lock: Any, threads: int, acquisitions: int, section: Callable[[], object] | None = None
) -> Sample:
    """*threads* threads take *lock*, and run *section*; without one the section is short."""
    counts = [0] * threads
    total = 0

    def short() -> None:
        nonlocal total
        for _ in range(BATCH):
            with lock:
                total += 1

    def longer() -> None:
        nonlocal total
        with lock:
            total += 1
            section()  # type: ignore[misc]

    turn, each = (short, BATCH) if section is None else (longer, 1)

    def worker(index: int) -> None:
        count = 0
        while total < acquisitions:
            turn()
            count += each
        counts[index] = count

    watch = run_together([lambda index=index: worker(index) for index in range(threads)])
    if total != sum(counts):
        raise AssertionError(f"no mutual exclusion: {total} != {sum(counts)}")
    return watch.sample(total, counts)


def contended_rlock(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads take one RLock, at least *size* times in all."""
    return _contended(implementation.RLock(), threads, size)


def contended_lock(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads take one Lock, at least *size* times in all."""
    return _contended(implementation.Lock(), threads, size)


def contended_condition(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads take one Condition's lock, at least *size* times in all, and wait for
    nothing."""
    return _contended(implementation.Condition(), threads, size)


def contended_semaphore(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads take the one permit of a Semaphore, at least *size* times in all."""
    return _contended(implementation.Semaphore(1), threads, size)


def contended_section(
    implementation: Implementation, threads: int, size: int, section: str
) -> Sample:
    """*threads* threads take one RLock, *size* times in all, for a longer section."""
    return _contended(implementation.RLock(), threads, size, SECTIONS[section])  # type: ignore[misc]


@contextmanager
def _small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextmanager
def waiting(condition: object, waiters: int) -> Iterator[None]:
    """*waiters* threads that all sleep in ``condition.wait()`` while the block runs."""
    ready = 0
    over = False

    def waiter() -> None:
        nonlocal ready
        with condition:  # type: ignore[attr-defined]
            ready += 1
            while not over:
                condition.wait()  # type: ignore[attr-defined]

    threads = [threading.Thread(target=waiter, daemon=True) for _ in range(waiters)]
    started = []
    try:
        with _small_stacks():
            for thread in threads:
                thread.start()
                started.append(thread)
        # A waiter keeps the lock from its `ready += 1` until wait() gives it up, so whoever holds
        # the lock and sees the full number knows that all of them are asleep.
        while True:
            with condition:  # type: ignore[attr-defined]
                if ready == waiters:
                    break
            time.sleep(0.001)
        yield
    finally:
        with condition:  # type: ignore[attr-defined]
            over = True
            condition.notify_all()  # type: ignore[attr-defined]
        for thread in started:
            thread.join()


def timed_out_wait(implementation: Implementation, threads: int, size: int) -> Sample:
    """*size* waits that time out, while *threads* other threads wait on the same Condition."""
    condition = implementation.Condition()
    with waiting(condition, threads), condition, Stopwatch() as watch:
        for _ in range(size):
            condition.wait(TIMEOUT_S)
    return watch.sample(size)


def _contention(type_: str, threads: int, size: int, **more: Any) -> Scenario:
    return Scenario(
        f"contended, {threads} threads",
        f"{type_}, {threads} threads contending",
        __name__,
        f"contended_{type_.lower()}",
        type_,
        threads,
        size,
        fairness=True,
        **more,
    )


SCENARIOS: tuple[Scenario, ...] = (
    *(
        _contention(
            type_,
            threads,
            1_500_000,
            series=f"{type_} contended, short section, by threads",
            quick=type_ == "RLock" and threads == 4,
            floor="contended" if type_ == "Lock" else None,
        )
        for threads in (2, 4, 8, 16, 32)
        for type_ in ("RLock", "Lock")
    ),
    *(
        _contention(type_, threads, 200_000)
        for threads in (4, 32)
        for type_ in ("Condition", "Semaphore")
    ),
    *(
        Scenario(
            f"contended, {threads} threads",
            f"RLock, {threads} threads, {section} section",
            __name__,
            "contended_section",
            "RLock",
            threads,
            20_000,
            fairness=True,
            series=f"RLock contended, {section} section, by threads",
            arguments=(section,),
        )
        for threads in (2, 4, 8, 16, 32)
        for section in ("medium", "released")
    ),
    *(
        Scenario(
            "timed-out wait among waiters",
            f"timed-out wait among {waiters:,} waiters",
            __name__,
            "timed_out_wait",
            "Condition",
            waiters,
            300,
            scalable=False,
            series="Condition.wait() that times out, by other waiters",
            quick=waiters == 1000,
        )
        for waiters in (10, 1000, 5000)
    ),
)
