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
import scarce, scarce_cases, scarce_functions
groups = {
    kind: make() for kinds in (scarce_cases, scarce_functions) for kind, make in kinds.KINDS.items()
}
"""

METHODS = """
# What a function starts is only stopped by a case's check, and in the main thread.
groups = {kind: groups[kind] for kind in scarce_cases.KINDS}
"""


def test_each_allocation_of_each_call_fails() -> None:
    check_scarce(RUN + "scarce.run(groups)\n", 800)


@slow
def test_the_same_in_a_thread() -> None:
    check_scarce(RUN + METHODS + "run_in_thread(scarce.run, groups)\n", 800)


@slow
@pytest.mark.skipif(not DEBUG_BUILD, reason="only a debug build counts all references")
def test_no_reference_is_left() -> None:
    check_scarce(RUN + METHODS + "scarce.run(groups, count_references=True)\n", 800)


IMPORT = """
import collections, os, sys, threading, _testcapi
assert not any(name.startswith("pyfastlock") for name in sys.modules)

def import_it(n):
    # In a child: 0 where it went well, 1 for a MemoryError, 2 for what the interpreter makes of it.
    _testcapi.set_nomemory(n, n + 1)
    try:
        import pyfastlock
        result = 0
    except MemoryError:
        result = 1
    except Exception:
        result = 2
    _testcapi.remove_mem_hooks()
    import pyfastlock
    with pyfastlock.RLock(), pyfastlock.contention(), pyfastlock.patched():
        assert threading.Lock is pyfastlock.Lock
        assert not pyfastlock.waits()
    return result

def run_child(n):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(import_it(n))
        except BaseException as error:
            print(n, repr(error), flush=True)
        os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

ends = collections.Counter()
n = unharmed = 0
while unharmed < 40:
    end = run_child(n)
    ends[end] += 1
    unharmed = 0 if end else unharmed + 1
    n += 11
print(ends[1], "MemoryErrors in", n, "allocations")
assert ends[3] == 0, ends
# Python 3.14 crashes in one of six hundred; Python 3.13 in nine, and raises something else in nine.
assert sum(ends.values()) - ends[0] - ends[1] < ends[1] / 10, ends
"""


@slow
def test_a_failed_import_can_be_made_again() -> None:
    done = run_script(IMPORT, limit=300, prelude="")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert int(done.stdout.split()[0]) > 300, done.stdout
    print(done.stdout, end="")
