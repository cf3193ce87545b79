"""Whole programs that know nothing of pyfastlock, to be run as they are and patched.

A program is a function of its size.  It does its work through the standard library, and in the end
checks that the result is right.  Everything is imported here at the top, as programs do: whoever
wants to patch does so before importing this module (see run_program.py).
"""

import io
import logging
import queue
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

SIDES = ("stdlib", "patched")
LIMIT_S = 300
"""A program that takes longer hangs: it shows where and ends."""

STAGE_CAPACITY = 16
CONNECTIONS = 3
CLIENTS = 8
WORKERS = 4
LOGGING_THREADS = 4
PAYLOAD = bytes(8192)
"""Large enough that zlib computes its checksum without the GIL, as a database driver would wait."""


class WrongResultError(Exception):
    """A program that ran, but did not do its work."""


def check(name: str, found: object, expected: object) -> None:
    """Raise WrongResultError unless *found* is what was *expected*."""
    if found != expected:
        raise WrongResultError(f"{name}: {found!r} instead of {expected!r}")


def run_threads(targets: Sequence[Callable[[], None]]) -> None:
    """Run *targets* in a thread each, and raise what the first one that failed has raised."""
    failures: list[BaseException] = []

    def runner(target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as exception:
            failures.append(exception)

    # Daemons: where one of them fails, the others must not keep the process waiting.
    threads = [threading.Thread(target=runner, args=(t,), daemon=True) for t in targets]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not failures:
        for thread in threads:
            thread.join(10.0)
    if failures:
        raise failures[0]


def through_a_queue(size: int, pairs: int) -> None:
    """*size* numbers from *pairs* producers to as many consumers."""
    items: queue.Queue[int] = queue.Queue()
    each = size // pairs
    sums = [0] * pairs

    def produce() -> None:
        for number in range(each):
            items.put(number)

    def consume(index: int) -> None:
        total = 0
        for _ in range(each):
            total += items.get()
        sums[index] = total

    consumers = [lambda index=index: consume(index) for index in range(pairs)]
    run_threads([produce] * pairs + consumers)
    check("sum of what was consumed", sum(sums), pairs * (each * (each - 1) // 2))
    check("items left", items.qsize(), 0)


def queue_1_to_1(size: int) -> None:
    """One producer, one consumer."""
    through_a_queue(size, 1)


def queue_4_to_4(size: int) -> None:
    """Four producers, four consumers."""
    through_a_queue(size, 4)


def thread_pool(size: int) -> None:
    """*size* small calls, half of them submitted and half mapped."""
    half = size // 2
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(abs, -number) for number in range(half)]
        check("sum of what was submitted", sum(f.result() for f in futures), sum(range(half)))
        check("sum of what was mapped", sum(pool.map(abs, range(-half, 0))), sum(range(half + 1)))


def logging_threads(size: int) -> None:
    """*size* records from four threads into one StreamHandler."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.Logger("benchmark", logging.INFO)
    logger.addHandler(handler)
    each = size // LOGGING_THREADS

    def write(index: int) -> None:
        for number in range(each):
            logger.info("thread %d, message %d", index, number)

    run_threads([lambda index=index: write(index) for index in range(LOGGING_THREADS)])
    numbers = product(range(LOGGING_THREADS), range(each))
    expected = [f"INFO thread {index}, message {number}" for index, number in numbers]
    check("lines", sorted(stream.getvalue().splitlines()), sorted(expected))


def pipeline(size: int) -> None:
    """*size* numbers through three stages, each a thread, with bounded queues before them."""
    stages: list[Callable[[int], int]] = [lambda n: n + 1, lambda n: n * 2, lambda n: n - 1]
    queues: list[queue.Queue[int | None]] = [queue.Queue(STAGE_CAPACITY) for _ in stages]
    results: list[int] = []

    def stage(index: int) -> None:
        work = stages[index]
        put = queues[index + 1].put if index + 1 < len(stages) else results.append
        while (item := queues[index].get()) is not None:
            put(work(item))
        if index + 1 < len(stages):
            queues[index + 1].put(None)

    def feed() -> None:
        for number in range(size):
            queues[0].put(number)
        queues[0].put(None)

    run_threads([feed, *(lambda index=index: stage(index) for index in range(len(stages)))])
    check("what comes out", results == [(n + 1) * 2 - 1 for n in range(size)], True)


class Connection:
    """What only one client may use at a time."""

    def __init__(self) -> None:
        self.queries = 0
        self._busy = False

    def query(self) -> int:
        """Some work without the GIL."""
        check("busy", self._busy, False)
        self._busy = True
        answer = zlib.crc32(PAYLOAD)
        self.queries += 1
        self._busy = False
        return answer


class ConditionPool:
    """Connections behind a Condition."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._free = list(connections)
        self._freed = threading.Condition()

    def take(self) -> Connection:
        with self._freed:
            while not self._free:
                self._freed.wait()
            return self._free.pop()

    def give(self, connection: Connection) -> None:
        with self._freed:
            self._free.append(connection)
            self._freed.notify()


class SemaphorePool:
    """Connections behind a BoundedSemaphore."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._free = list(connections)
        self._permits = threading.BoundedSemaphore(len(connections))

    def take(self) -> Connection:
        self._permits.acquire()
        return self._free.pop()

    def give(self, connection: Connection) -> None:
        self._free.append(connection)
        self._permits.release()


def query_through(pool_type: type[ConditionPool] | type[SemaphorePool], size: int) -> None:
    """*size* queries by eight clients, who share three connections."""
    connections = [Connection() for _ in range(CONNECTIONS)]
    pool = pool_type(connections)
    expected = zlib.crc32(PAYLOAD)
    each = size // CLIENTS

    def client() -> None:
        for _ in range(each):
            connection = pool.take()
            answer = connection.query()
            pool.give(connection)
            check("answer", answer, expected)

    run_threads([client] * CLIENTS)
    check("queries", sum(c.queries for c in connections), each * CLIENTS)


def pool_condition(size: int) -> None:
    """The pool behind a Condition."""
    query_through(ConditionPool, size)


def pool_semaphore(size: int) -> None:
    """The pool behind a BoundedSemaphore."""
    query_through(SemaphorePool, size)


@dataclass(frozen=True)
class Program:
    """A named program.

    ``size`` is how many operations it does in a quarter of a second, very roughly; ``full`` is the
    same for the full run.
    """

    name: str
    function: Callable[[int], None]
    size: int
    full: int
    group: str = "programs"


PROGRAMS: tuple[Program, ...] = (
    Program("queue.Queue, 1 producer, 1 consumer", queue_1_to_1, 100_000, 200_000),
    Program("queue.Queue, 4 producers, 4 consumers", queue_4_to_4, 60_000, 200_000),
    Program("ThreadPoolExecutor, submit and map", thread_pool, 10_000, 100_000),
    Program("logging from 4 threads", logging_threads, 20_000, 80_000),
    Program("pipeline of 3 stages", pipeline, 10_000, 30_000),
    Program("connection pool, Condition", pool_condition, 20_000, 60_000),
    Program("connection pool, BoundedSemaphore", pool_semaphore, 20_000, 60_000),
)


def by_name(name: str) -> Program:
    """The program called *name*."""
    return next(program for program in PROGRAMS if program.name == name)
