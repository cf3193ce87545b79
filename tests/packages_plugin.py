"""A plugin of pytest for packages.py: writes a line of JSON a result, and ends what hangs.

It takes RESULTS, LIMIT, KIND and WANTED, a file with the tests to run or nothing, from the
environment variable PACKAGES_RUN.
"""

from __future__ import annotations

import faulthandler
import json
import os
import threading
import time
from typing import Any

import pytest

_results, _limit, _kind, _wanted = json.loads(os.environ.pop("PACKAGES_RUN"))
_out = open(_results, "w")  # noqa: SIM115 - until the end of the process
_stderr = open(os.dup(2), "w")  # noqa: SIM115 - pytest will redirect that of the tests
_end = time.monotonic() + float(_limit)


def _arm_limit() -> None:
    left_s = max(_end - time.monotonic(), 1)
    faulthandler.dump_traceback_later(left_s, exit=True, file=_stderr)


_arm_limit()
assert (threading.Lock.__module__ == "pyfastlock") == (_kind == "patched")


def _tell(name: str, outcome: str, text: str = "") -> None:
    # At once, so that a process that dies has told what it did so far.
    print(json.dumps([name, outcome, text]), file=_out, flush=True)


def _text(report: Any) -> str:
    texts = [report.longreprtext, *(f"--- {title}\n{text}" for title, text in report.sections)]
    return "\n".join(text[-6000:] for text in texts)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the tests that are wanted, or those of a file that is."""
    if _wanted:
        items[:] = [
            item
            for item in items
            if item.nodeid in _wanted or item.nodeid.partition("::")[0] in _wanted
        ]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _tell(report.nodeid, "failed", _text(report))
    elif report.skipped:
        _tell(report.nodeid, "skipped")


def pytest_exception_interact() -> None:
    """Arm the limit again: pytest itself, or a test, has disarmed it."""
    _arm_limit()


def pytest_runtest_logstart(nodeid: str) -> None:
    _arm_limit()
    _tell(nodeid, "began")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _tell(report.nodeid, "failed", _text(report))
    elif hasattr(report, "wasxfail"):
        _tell(report.nodeid, "expected failure" if report.skipped else "unexpected success")
    elif report.skipped:
        _tell(report.nodeid, "skipped")
    elif report.when == "call":
        _tell(report.nodeid, "passed")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run that got to its end has succeeded: its failures are told."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK
