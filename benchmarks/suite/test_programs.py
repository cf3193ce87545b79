"""Every program in fresh processes, as it is and patched, under pytest-benchmark."""

import statistics

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from measure import processes
from workloads.programs import PROGRAMS, SIDES, Program
from workloads.sample import Sample

ROUNDS = 5


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
@pytest.mark.parametrize("side", SIDES)
def test_program(benchmark: BenchmarkFixture, program: Program, side: str, smoke: bool) -> None:
    size = processes.size_of(program, "smoke" if smoke else "quick")
    samples: list[Sample] = []

    def measured() -> None:
        samples.append(processes.run(program, side, size))

    benchmark.group = f"{program.group}: {program.name}"
    benchmark.pedantic(measured, rounds=ROUNDS, iterations=1)

    # Starting the process is part of the time that pytest-benchmark shows, but not of these.
    median = statistics.median
    benchmark.extra_info["operations"] = size
    benchmark.extra_info["ns_per_operation"] = median(sample.ns for sample in samples)
    benchmark.extra_info["cpu_ns_per_operation"] = median(sample.cpu_ns for sample in samples)
    benchmark.extra_info["sleeps_per_operation"] = median(sample.sleeps_each for sample in samples)
