"""A plugin of pytest for mutants: what waits in vain fails soon, and nothing is made shorter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

DEADLINE = 6.0
"""Seconds instead of `support.DEADLINE`, which is for a busy machine."""


def pytest_configure() -> None:
    sys.modules["support"].DEADLINE = DEADLINE  # before the files of tests copy it


def pytest_collection_finish() -> None:
    machine = sys.modules.get("model_machine")
    if machine is not None:
        machine.PHASES[:] = [machine.Phase.generate]


@pytest.hookimpl(trylast=True)
def pytest_runtest_logstart(nodeid: str) -> None:
    """Write down which test begins, in case the process ends in it."""
    Path(os.environ["MUTATION_BEGUN"]).write_text(nodeid, encoding="utf-8")
