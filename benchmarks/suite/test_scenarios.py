"""Every scenario with several threads over every implementation, under pytest-benchmark."""

import statistics
from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from workloads import contention, handoffs
from workloads.implementations import Implementation, available
from workloads.sample import Sample
from workloads.scenarios import Scenario

ROUNDS = 5
SMOKE_SHARE = 50
SMOKE_THREADS = 100


@pytest.mark.parametrize(
    ("scenario", "implementation"),
    [
        pytest.param(scenario, implementation, id=f"{scenario.name}-{implementation.name}")
        for scenario in (*contention.SCENARIOS, *handoffs.SCENARIOS)
        for implementation in available()
        if scenario.supported(implementation)
    ],
)
def test_scenario(
    benchmark: BenchmarkFixture, scenario: Scenario, implementation: Implementation, smoke: bool
) -> None:
    size = scenario.size
    if smoke:
        size = max(1, size // SMOKE_SHARE)
        scenario = replace(scenario, threads=min(scenario.threads, SMOKE_THREADS))
    run = scenario.runner(implementation)
    samples: list[Sample] = []

    def measured() -> None:
        samples.append(run(size))

    benchmark.group = f"{scenario.group}: {scenario.name}"
    try:
        benchmark.pedantic(measured, rounds=ROUNDS, iterations=1)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        pytest.skip(f"{scenario.threads} threads are too many for this machine")

    # Starting the threads is part of the time that pytest-benchmark shows, but not of these.
    median = statistics.median
    benchmark.extra_info["operations"] = median(sample.operations for sample in samples)
    benchmark.extra_info["ns_per_operation"] = median(sample.ns for sample in samples)
    benchmark.extra_info["operations_per_second"] = 1e9 / median(sample.ns for sample in samples)
    benchmark.extra_info["cpu_ns_per_operation"] = median(sample.cpu_ns for sample in samples)
    if scenario.fairness:
        benchmark.extra_info["jain"] = median(sample.jain for sample in samples)
