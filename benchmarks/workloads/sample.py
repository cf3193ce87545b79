"""What one run of a workload took, and the clocks that measure it."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """What one run did: *counts* are the operations of each thread, where they are counted."""

    operations: int
    seconds: float
    cpu_seconds: float
    sleeps: int
    """Voluntary context switches: how often a thread went to sleep."""

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
