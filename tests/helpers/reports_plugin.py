"""`pytest --reports=FOLDER`: a test during which a sanitizer writes a report into FOLDER fails.

The sanitizers go on where they can. So a test that judges a process by its output is not disturbed,
and neither a forked child nor a script can hide a report. sanitizers/run.py counts all of them
again in the end, for what comes after the last test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import reports


class Reports:
    """The plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[Path, int] = {}
        self.news()

    def news(self) -> list[str]:
        """The reports since the last call."""
        found = []
        for path in sorted(self.folder.iterdir()):
            text = reports.text_of(path)
            found += reports.found_in(text[self.read.get(path, 0) :])
            self.read[path] = len(text)
        return found

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
        report = yield
        if found := self.news():
            report.outcome = "failed"
            report.longrepr = f"reported ({call.when} of the test):\n" + "\n".join(found)
            vars(report).pop("wasxfail", None)
        return report
