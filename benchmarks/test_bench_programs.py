"""Every program in fresh processes, as it is and patched, under pytest-benchmark."""

import statistics

import processes
import pytest
from programs import PROGRAMS, SIDES, Cost, Program
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 5


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
@pytest.mark.parametrize("side", SIDES)
def test_program(benchmark: BenchmarkFixture, program: Program, side: str, smoke: bool) -> None:
    size = processes.size_of(program, "smoke" if smoke else "quick")
    costs: list[Cost] = []

    def measured() -> None:
        costs.append(processes.run(program, side, size))

    benchmark.group = f"{program.group}: {program.name}"
    benchmark.pedantic(measured, rounds=ROUNDS, iterations=1)

    # Starting the process is part of the time that pytest-benchmark shows, but not of these.
    median = statistics.median
    benchmark.extra_info["operations"] = size
    benchmark.extra_info["ns_per_operation"] = median(cost.ns for cost in costs)
    benchmark.extra_info["cpu_ns_per_operation"] = median(cost.cpu_ns for cost in costs)
    benchmark.extra_info["switches_per_operation"] = median(cost.switches_each for cost in costs)
