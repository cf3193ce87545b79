"""The operations that need several threads, each defined once for the whole of ``benchmarks/``.

A scenario is a function of an implementation, a number of threads and a size that returns a
Sample.  ``private_copy`` loads this module once more, so that every implementation gets code
objects, and with them inline caches, of its own, as it does in operations.py.
"""

import importlib.util
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

from implementations import Implementation

BATCH = 50
"""Acquisitions between two looks at whether the work is done."""

CAPACITY = 16
"""Items in the bounded queue of the producers and consumers."""

STACK_BYTES = 128 * 1024
"""Stack of each of thousands of waiting threads."""

TIMEOUT_S = 1e-6
"""Long enough to make a waiter queue itself, short enough to be over at once."""


@dataclass(frozen=True)
class Sample:
    """What one run of a scenario did: *counts* are the operations of each thread."""

    operations: int
    seconds: float
    cpu_seconds: float
    counts: Sequence[int] = ()

    @property
    def ns(self) -> float:
        """Wall-clock nanoseconds an operation."""
        return self.seconds / self.operations * 1e9

    @property
    def cpu_ns(self) -> float:
        """Processor nanoseconds an operation, over all threads."""
        return self.cpu_seconds / self.operations * 1e9

    @property
    def jain(self) -> float:
        """Jain's index of fairness over the threads."""
        return jain_index(self.counts)


def jain_index(counts: Sequence[int]) -> float:
    """Jain's index: 1 when all got the same, 1/n when one of n got everything."""
    squares = sum(count * count for count in counts)
    return sum(counts) ** 2 / (len(counts) * squares) if squares else 1.0


@dataclass
class Stopwatch:
    """Wall-clock and processor time of a with-block."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _start: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> "Stopwatch":
        self._start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.seconds = time.perf_counter() - self._start[0]
        self.cpu_seconds = time.process_time() - self._start[1]


def _run_together(targets: Sequence[Callable[[], None]]) -> Stopwatch:
    """Run *targets* in a thread each, timed from the moment when all of them are ready."""
    barrier = threading.Barrier(len(targets) + 1)
    failures: list[BaseException] = []

    def runner(target: Callable[[], None]) -> None:
        barrier.wait()
        try:
            target()
        except BaseException as exception:
            failures.append(exception)

    threads = [threading.Thread(target=runner, args=(t,), daemon=True) for t in targets]
    for thread in threads:
        thread.start()
    barrier.wait()
    with Stopwatch() as watch:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return watch


def _contended(lock: object, threads: int, acquisitions: int) -> Sample:
    counts = [0] * threads
    total = 0

    def worker(index: int) -> None:
        nonlocal total
        count = 0
        while total < acquisitions:
            for _ in range(BATCH):
                with lock:  # type: ignore[attr-defined]
                    total += 1
            count += BATCH
        counts[index] = count

    watch = _run_together([lambda index=index: worker(index) for index in range(threads)])
    if total != sum(counts):
        raise AssertionError(f"no mutual exclusion: {total} != {sum(counts)}")
    return Sample(total, watch.seconds, watch.cpu_seconds, counts)


def contended_rlock(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads take one RLock, at least *size* times in all."""
    return _contended(implementation.RLock(), threads, size)


def contended_lock(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads take one Lock, at least *size* times in all."""
    return _contended(implementation.Lock(), threads, size)


def ping_pong_condition(implementation: Implementation, _threads: int, size: int) -> Sample:
    """Two threads hand a turn to each other through a Condition, *size* times in all."""
    condition = implementation.Condition()
    turn = 0
    rounds = max(1, size // 2)

    def player(me: int) -> None:
        nonlocal turn
        other = 1 - me
        for _ in range(rounds):
            with condition:
                while turn != me:
                    condition.wait()
                turn = other
                condition.notify()

    watch = _run_together([lambda: player(0), lambda: player(1)])
    return Sample(2 * rounds, watch.seconds, watch.cpu_seconds)


def ping_pong_locks(implementation: Implementation, _threads: int, size: int) -> Sample:
    """Two threads wake each other through two Locks, *size* times in all."""
    mine, yours = implementation.Lock(), implementation.Lock()
    yours.acquire()
    rounds = max(1, size // 2)

    def player(wait_for: object, wake: object) -> None:
        for _ in range(rounds):
            wait_for.acquire()  # type: ignore[attr-defined]
            wake.release()  # type: ignore[attr-defined]

    watch = _run_together([lambda: player(mine, yours), lambda: player(yours, mine)])
    return Sample(2 * rounds, watch.seconds, watch.cpu_seconds)


class BoundedQueue:
    """A queue as in ``queue.Queue``: one Lock and two Conditions over it."""

    def __init__(self, implementation: Implementation) -> None:
        mutex = implementation.Lock()
        self._not_empty = implementation.Condition(mutex)
        self._not_full = implementation.Condition(mutex)
        self._items: deque[object] = deque()

    def put(self, item: object) -> None:
        with self._not_full:
            while len(self._items) >= CAPACITY:
                self._not_full.wait()
            self._items.append(item)
            self._not_empty.notify()

    def get(self) -> object:
        with self._not_empty:
            while not self._items:
                self._not_empty.wait()
            item = self._items.popleft()
            self._not_full.notify()
            return item


def producer_consumer(implementation: Implementation, threads: int, size: int) -> Sample:
    """Half of *threads* put and half get, *size* items in all, through a bounded queue."""
    queue = BoundedQueue(implementation)
    pairs = threads // 2
    each = max(1, size // pairs)

    def produce() -> None:
        for _ in range(each):
            queue.put(None)

    def consume() -> None:
        for _ in range(each):
            queue.get()

    watch = _run_together([produce, consume] * pairs)
    return Sample(each * pairs, watch.seconds, watch.cpu_seconds)


def barrier_rounds(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads meet at a Barrier, *size* times; one operation is one round of all."""
    assert implementation.Barrier is not None
    barrier = implementation.Barrier(threads)
    sums = [0] * threads

    def party(me: int) -> None:
        total = 0
        for _ in range(size):
            total += barrier.wait()
        sums[me] = total

    watch = _run_together([lambda me=me: party(me) for me in range(threads)])
    each_round = sum(range(threads))
    if sum(sums) != size * each_round:
        raise AssertionError(f"indices are not unique: {sum(sums)} != {size} * {each_round}")
    return Sample(size, watch.seconds, watch.cpu_seconds)


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
    return Sample(size, watch.seconds, watch.cpu_seconds)


@dataclass(frozen=True)
class Scenario:
    """A named scenario.

    ``size`` is what takes a tenth of a second, very roughly; a ``scalable`` one may be run with
    more or less of it, to fill a given time.
    """

    group: str
    name: str
    function: str
    type: str
    threads: int
    size: int
    scalable: bool = True
    fairness: bool = False
    quick: bool = False

    def supported(self, implementation: Implementation) -> bool:
        """Whether *implementation* can do this at all."""
        return getattr(implementation, self.type) is not None

    def runner(self, implementation: Implementation) -> Callable[[int], Sample]:
        """A function of the size, with code of its own."""
        function = getattr(private_copy(), self.function)
        return lambda size: function(implementation, self.threads, size)


def private_copy() -> ModuleType:
    """This module, loaded again."""
    spec = importlib.util.spec_from_file_location(__name__, __file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCENARIOS: tuple[Scenario, ...] = (
    *(
        Scenario(
            f"contended, {threads} threads",
            f"{type_}, {threads} threads contending",
            f"contended_{type_.lower()}",
            type_,
            threads,
            1_500_000,
            fairness=True,
            quick=type_ == "RLock" and threads == 4,
        )
        for threads in (2, 4, 8)
        for type_ in ("RLock", "Lock")
    ),
    Scenario(
        "ping-pong",
        "ping-pong, Condition",
        "ping_pong_condition",
        "Condition",
        2,
        3_000,
        quick=True,
    ),
    Scenario("ping-pong", "ping-pong, two Locks", "ping_pong_locks", "Lock", 2, 3_000),
    Scenario(
        "producer/consumer",
        "queue, 1 producer, 1 consumer",
        "producer_consumer",
        "Condition",
        2,
        10_000,
        quick=True,
    ),
    Scenario(
        "producer/consumer",
        "queue, 4 producers, 4 consumers",
        "producer_consumer",
        "Condition",
        8,
        10_000,
    ),
    *(
        Scenario(
            "barrier",
            f"Barrier, {threads} threads, one round",
            "barrier_rounds",
            "Barrier",
            threads,
            1_000,
            quick=threads == 4,
        )
        for threads in (2, 4, 8)
    ),
    *(
        Scenario(
            "timed-out wait among waiters",
            f"timed-out wait among {waiters:,} waiters",
            "timed_out_wait",
            "Condition",
            waiters,
            300,
            scalable=False,
            quick=waiters == 1000,
        )
        for waiters in (10, 1000, 5000)
    ),
)
