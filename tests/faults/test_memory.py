"""The interpreter has no memory, at each allocation of each call: `helpers/scarce.py`.

`make test-faults` runs the settings that take long.
"""

from __future__ import annotations

import os
import re
import sys

import pytest
from concurrency import run_script
from support import DEBUG_BUILD, FREE_THREADED

pytest.importorskip(
    "_testcapi", reason="NOT RUN: there is no _testcapi, which lets allocations fail"
)

ALL = bool(os.environ.get("PYFASTLOCK_FAULTS"))
"""Whether the long settings run, too."""

slow = pytest.mark.skipif(not ALL, reason="takes long: make test-faults runs it")

pytestmark = [
    pytest.mark.skipif(
        FREE_THREADED,
        reason="NOT RUN: without the GIL the threads beside the call lack the memory, too",
    ),
    pytest.mark.skipif(
        DEBUG_BUILD and sys.version_info < (3, 14),
        reason="NOT RUN: this debug build aborts where the interpreter itself loses a MemoryError",
    ),
]

# The interpreter has lacked memory, and may hang at its end.
END = "import os; sys.stdout.flush(); os._exit(0)\n"


def check_scarce(source: str, least: int) -> None:
    """Run it; it has to say that there were so many MemoryErrors at least."""
    done = run_script(source + END, limit=300 if ALL else 60)
    told = f"status {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    assert done.returncode == 0, told
    assert done.stderr == "", told
    counted = re.search(r"(\d+) MemoryErrors", done.stdout)
    assert counted, told
    assert int(counted[1]) >= least, told
    print(done.stdout, end="")


RUN = """
import scarce, scarce_cases
groups = {kind: make() for kind, make in scarce_cases.KINDS.items()}
"""


def test_each_allocation_of_each_call_fails() -> None:
    check_scarce(RUN + "scarce.run(groups)\n", 800)


@slow
def test_the_same_in_a_thread() -> None:
    check_scarce(RUN + "run_in_thread(scarce.run, groups)\n", 800)


@slow
@pytest.mark.skipif(not DEBUG_BUILD, reason="only a debug build counts all references")
def test_no_reference_is_left() -> None:
    check_scarce(RUN + "scarce.run(groups, count_references=True)\n", 800)
