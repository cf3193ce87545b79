"""One run of whole_programs.py: the tests of some modules of CPython, a line of JSON a result.

python whole_programs_runner.py RESULTS plain|patched LIMIT LEFT_OUT NAME...
"""

# ruff: noqa: N802 - unittest's names

from __future__ import annotations

import faulthandler
import json
import re
import sys
import threading
import unittest
from collections.abc import Iterator
from typing import Any


class Result(unittest.TestResult):
    """Writes at once what it is told, so that a process that dies has told what it did so far."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.out = open(path, "w")  # noqa: SIM115 - until the end of the process

    def tell(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        name = re.sub("^test[.]", "", test.id())
        print(json.dumps([name, outcome, text]), file=self.out, flush=True)

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.tell(test, "began")

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.tell(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.tell(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.tell(test, "expected failure")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self.tell(test, "unexpected success")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.tell(test, "failed", self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.tell(test, "failed", self.errors[-1][1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.tell(test, "failed", (self.failures if failed else self.errors)[-1][1])


def tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests(test)
        else:
            yield test


def main(path: str, kind: str, limit: str, left_out: str, *names: str) -> None:
    """Run the tests of these names, but those whose names match `left_out`."""
    faulthandler.dump_traceback_later(float(limit), exit=True)
    assert (threading.Lock.__module__ == "pyfastlock") == (kind == "patched")
    found = unittest.defaultTestLoader.loadTestsFromNames([f"test.{name}" for name in names])
    # Some modules of test_concurrent_futures find their neighbours' tests too.
    chosen = {test.id(): test for test in tests(found) if not re.search(left_out, test.id())}
    unittest.TestSuite(chosen.values()).run(Result(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
