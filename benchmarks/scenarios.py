"""What an operation that needs several threads is, and how one is timed.

The scenarios themselves are in contention.py and handoffs.py.  A scenario is a function of an
implementation, a number of threads and a size that returns a Sample.  ``private_copy`` loads its
module once more, so that every implementation gets code objects, and with them inline caches, of
its own, as it does in operations.py.
"""

import importlib.util
import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from implementations import Implementation


@dataclass(frozen=True)
class Sample:
    """What one run of a scenario did: *counts* are the operations of each thread."""

    operations: int
    seconds: float
    cpu_seconds: float
    sleeps: int = 0
    counts: Sequence[int] = ()
    longest_s: float = 0.0
    """The longest that a thread waited for the lock, where the scenario looks."""

    @property
    def ns(self) -> float:
        """Wall-clock nanoseconds an operation."""
        return self.seconds / self.operations * 1e9

    @property
    def cpu_ns(self) -> float:
        """Processor nanoseconds an operation, over all threads."""
        return self.cpu_seconds / self.operations * 1e9

    @property
    def sleeps_each(self) -> float:
        """Voluntary context switches an operation."""
        return self.sleeps / self.operations

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
    """Wall-clock and processor time, and voluntary context switches, of a with-block."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    sleeps: int = 0
    _start: tuple[float, float, int] = field(default=(0.0, 0.0, 0), repr=False)

    def __enter__(self) -> "Stopwatch":
        self._start = time.perf_counter(), time.process_time(), _voluntary_switches()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.seconds = time.perf_counter() - self._start[0]
        self.cpu_seconds = time.process_time() - self._start[1]
        self.sleeps = _voluntary_switches() - self._start[2]

    def sample(self, operations: int, counts: Sequence[int] = ()) -> Sample:
        """What was measured, over so many operations."""
        return Sample(operations, self.seconds, self.cpu_seconds, self.sleeps, counts)


def _voluntary_switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def run_together(targets: Sequence[Callable[[], None]]) -> Stopwatch:
    """Run *targets* in a thread each, timed from when all are ready to when all have returned.

    The ends of the threads are not in it: without the GIL hundreds of them take their time.
    """
    barrier = threading.Barrier(len(targets) + 1)
    returned: list[None] = []
    all_returned = threading.Event()
    failures: list[BaseException] = []

    def runner(target: Callable[[], None]) -> None:
        barrier.wait()
        try:
            target()
        except BaseException as exception:
            failures.append(exception)
        returned.append(None)
        if failures or len(returned) == len(targets):
            all_returned.set()

    threads = [threading.Thread(target=runner, args=(t,), daemon=True) for t in targets]
    for thread in threads:
        thread.start()
    barrier.wait()
    with Stopwatch() as watch:
        all_returned.wait()
    if failures:
        raise failures[0]
    for thread in threads:
        thread.join()
    return watch


@dataclass(frozen=True)
class Scenario:
    """A named scenario.

    ``size`` is what takes a tenth of a second, very roughly; a ``scalable`` one may be run with
    more or less of it, to fill a given time.
    """

    group: str
    name: str
    module: str
    function: str
    type: str
    threads: int
    size: int
    scalable: bool = True
    fairness: bool = False
    quick: bool = False
    arguments: tuple[object, ...] = ()
    """What else the function takes."""

    series: str | None = None
    """The curve that this is a point of, and its place there; by default the number of threads."""

    x: int | None = None

    floor: str | None = None
    """The same in bare C, by its name in pthreads.c, where that makes sense."""

    def supported(self, implementation: Implementation) -> bool:
        """Whether *implementation* can do this at all."""
        return getattr(implementation, self.type) is not None

    def runner(self, implementation: Implementation) -> Callable[[int], Sample]:
        """A function of the size, with code of its own."""
        function = getattr(private_copy(self.module), self.function)
        return lambda size: function(implementation, self.threads, size, *self.arguments)


def private_copy(name: str) -> ModuleType:
    """The module of that name, loaded again."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
