"""Interleaved measurement: what compare.py reports, and how it gets it.

A *round* measures every implementation and the empty loop one after the other, within a few
milliseconds, so that whatever else the machine does falls on all of them alike.  The order rotates
from round to round.  The figure of an implementation is its median over all rounds, the empty loop
of the same round subtracted; a ratio is computed within each round, and its median is reported with
its quartiles.
"""

import gc
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from workloads import pthreads
from workloads.implementations import Implementation
from workloads.operations import UNROLL, Loop, Operation, empty_loop
from workloads.sample import Sample
from workloads.scenarios import Scenario

EMPTY = "empty"
FLOOR = "floor"
MAX_SIZE = 20_000_000

Round = dict[str, float]
"""Nanoseconds an operation, by the name of the implementation."""


@dataclass(frozen=True)
class Plan:
    """How much is measured, in each of ``processes`` fresh processes."""

    processes: int
    rounds: int
    sample_us: int
    scenario_rounds: int
    scenario_ms: int
    limit_s: float
    """A task ends after this time in each process, with however many rounds it has by then."""

    program_rounds: int
    """A process a round for each side of a program; fewer where ``program_limit_s`` is over."""

    program_limit_s: float


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of *values*, which are not empty."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@contextmanager
def _without_gc() -> Iterator[None]:
    """The collector off, as in ``timeit``: it would charge one sample for another's garbage."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _elapsed_ns(loop: Loop, loops: int) -> int:
    start = time.perf_counter_ns()
    loop(loops)
    return time.perf_counter_ns() - start


def _calibrate(loop: Loop, sample_ns: int) -> int:
    """The loops that take *loop* about *sample_ns*; doing so also warms it up."""
    loops = 1
    while True:
        elapsed = _elapsed_ns(loop, loops)
        if elapsed >= sample_ns // 4:
            return max(1, loops * sample_ns // elapsed)
        loops *= 2


def _rotated(names: Sequence[str], turn: int) -> Sequence[str]:
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def _turns(rounds: int, limit_s: float) -> Iterator[int]:
    """The numbers of the rounds, until the time is up."""
    end = time.monotonic() + limit_s
    for turn in range(rounds):
        if turn and time.monotonic() > end:
            return
        yield turn


def measure_operation(
    operation: Operation, implementations: Sequence[Implementation], plan: Plan
) -> list[Round]:
    """The rounds of *operation* in this process, the empty loop already subtracted."""
    with ExitStack() as stack:
        loops_of: dict[str, Loop] = {EMPTY: empty_loop()}
        for implementation in implementations:
            loops_of[implementation.name] = stack.enter_context(operation.prepared(implementation))
        floor = operation.floor_loop()
        if floor is not None:
            loops_of[FLOOR] = floor
        # One number of loops for all: the slowest one's, so that a round stays short. Twice, for
        # the first time also warms the inline caches up.
        measured = [loop for name, loop in loops_of.items() if name != EMPTY]
        for _ in range(2):
            loops = min(_calibrate(loop, plan.sample_us * 1000) for loop in measured)
        _elapsed_ns(loops_of[EMPTY], loops)

        names = list(loops_of)
        rounds: list[Round] = []
        for turn in _turns(plan.rounds, plan.limit_s):
            with _without_gc():
                raw = {name: _elapsed_ns(loops_of[name], loops) for name in _rotated(names, turn)}
            empty = raw.pop(EMPTY)
            rounds.append({name: (ns - empty) / (loops * UNROLL) for name, ns in raw.items()})
        return rounds


def measure_scenario(
    scenario: Scenario, implementations: Sequence[Implementation], plan: Plan
) -> list[dict[str, Sample]]:
    """The rounds of *scenario* in this process."""
    runners = {i.name: scenario.runner(i) for i in implementations}
    floor = pthreads.runner(scenario.floor, scenario.threads) if scenario.floor else None
    if floor is not None:
        runners[FLOOR] = floor
    sizes = dict.fromkeys(runners, scenario.size)
    if scenario.scalable:
        # Each for the same time rather than the same work: what is fair over a second need not be
        # so over the first few switches of the GIL.
        for name, run in runners.items():
            trial = run(max(1, scenario.size // 20))
            rate = trial.operations / trial.seconds
            sizes[name] = max(10, min(MAX_SIZE, int(rate * plan.scenario_ms / 1e3)))
    rounds: list[dict[str, Sample]] = []
    for turn in _turns(plan.scenario_rounds, plan.limit_s):
        with _without_gc():
            order = _rotated(list(runners), turn)
            rounds.append({name: runners[name](sizes[name]) for name in order})
    return rounds


def ratios(rounds: Sequence[Mapping[str, float]], slow: str, fast: str) -> Spread | None:
    """How many times faster *fast* is than *slow*, by round; None where one was not measured."""
    values = [
        round_[slow] / round_[fast]
        for round_ in rounds
        if round_.get(slow, 0.0) > 0.0 and round_.get(fast, 0.0) > 0.0
    ]
    return Spread.of(values) if values else None


def by_implementation(rounds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """The spread of each implementation's figures."""
    return {name: Spread.of([round_[name] for round_ in rounds]) for name in rounds[0]}
