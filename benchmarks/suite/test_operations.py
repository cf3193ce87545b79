"""Every single-threaded operation over every implementation, under pytest-benchmark.

One call of the measured function is ``LOOPS`` * ``UNROLL`` operations, as ``operations`` in the
extra information says; the floor and the empty loop are there to be compared with.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from workloads.implementations import Implementation, available
from workloads.operations import OPERATIONS, UNROLL, Operation, empty_loop

LOOPS = 100


def describe(benchmark: BenchmarkFixture, group: str, name: str) -> None:
    """Where the result belongs, and how many operations it is."""
    benchmark.group = f"{group}: {name}" if group != name else group
    benchmark.extra_info["operations"] = LOOPS * UNROLL


@pytest.mark.parametrize(
    ("operation", "implementation"),
    [
        pytest.param(operation, implementation, id=f"{operation.name}-{implementation.name}")
        for operation in OPERATIONS
        for implementation in available()
        if operation.supported(implementation)
    ],
)
def test_operation(
    benchmark: BenchmarkFixture, operation: Operation, implementation: Implementation
) -> None:
    describe(benchmark, operation.group, operation.name)
    with operation.prepared(implementation) as loop:
        benchmark(loop, LOOPS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_floor(benchmark: BenchmarkFixture, operation: Operation) -> None:
    loop = operation.floor_loop()
    if loop is None:
        pytest.skip("the floor cannot be compiled here")
    describe(benchmark, operation.group, operation.name)
    benchmark(loop, LOOPS)


def test_empty_loop(benchmark: BenchmarkFixture) -> None:
    describe(benchmark, "empty loop", "empty loop")
    benchmark(empty_loop(), LOOPS)
