"""What every benchmark shares: the implementations and how much work a run is."""

from typing import Any

import pytest

from workloads import implementations


@pytest.fixture
def smoke(request: pytest.FixtureRequest) -> bool:
    """Whether the benchmarks only have to work, not to measure."""
    return bool(request.config.getoption("benchmark_disable"))


def pytest_report_header() -> list[str]:
    """Say what is not measured here, and why."""
    return [f"benchmarks: {reason}" for reason in implementations.missing().values()]


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Say in pytest-benchmark's own JSON whether there was a GIL."""
    machine_info["gil"] = implementations.gil_enabled()
