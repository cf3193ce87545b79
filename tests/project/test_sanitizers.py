"""What `make test-asan`, `test-tsan` and `test-valgrind` count, and what they leave out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import reports

TESTS = Path(__file__).parents[1]
CSRC = TESTS.parent / "csrc"
SUPPRESSIONS = TESTS / "sanitizers" / "tsan.supp"

REPORTS = {
    "ThreadSanitizer": """\
==================
WARNING: ThreadSanitizer: data race (pid=12)
  Write of size 8 at 0x7b0400000800 by thread T1:
    #0 fl_waiter_init csrc/core/lot/waiter.c:20 (_core.so+0x12)
SUMMARY: ThreadSanitizer: data race csrc/core/lot/waiter.c:20 in fl_waiter_init
==================
""",
    "AddressSanitizer": """\
=================================================================
==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x603000000010 at pc 0x401
READ of size 8 at 0x603000000010 thread T0
    #0 0x401 in fl_waiter_init csrc/core/lot/waiter.c:20
""",
    "UBSan": """\
csrc/core/lot/bucket.c:44:17: runtime error: shift exponent 64 is too large for 64-bit type 'long'
    #0 0x7f in hash csrc/core/lot/bucket.c:44
""",
    "memcheck": """\
==12== Thread 3:
==12== Invalid read of size 8
==12==    at 0x484: fl_waiter_init (/src/csrc/core/lot/waiter.c:20)
==12==    by 0x485: fl_park (/src/csrc/core/lot/parking_lot.c:80)
==12==  Address 0x4a is 0 bytes inside a block of size 64 free'd
==12==    at 0x483: free (vg_replace_malloc.c:872)
==12==
""",
    "memcheck, a leak of ours": """\
==12== 64 bytes in 1 blocks are definitely lost in loss record 5 of 9
==12==    at 0x484: malloc (vg_replace_malloc.c:381)
==12==    by 0x485: fl_bucket_new (/src/csrc/core/lot/bucket.c:80)
""",
}
ONE_OF_THE_INTERPRETERS = """\
==12== 64 bytes in 1 blocks are definitely lost in loss record 4 of 9
==12==    at 0x484: malloc (vg_replace_malloc.c:381)
==12==    by 0x485: PyObject_Malloc (/python/Objects/obmalloc.c:80)
"""


@pytest.mark.parametrize("text", REPORTS.values(), ids=REPORTS)
def test_a_report_counts_once(text: str) -> None:
    assert len(reports.found_in(text)) == 1
    assert len(reports.found_in(text + ONE_OF_THE_INTERPRETERS + text)) == 2


def test_what_the_interpreter_leaves_behind_does_not_count() -> None:
    assert reports.found_in(ONE_OF_THE_INTERPRETERS) == []
    assert reports.found_in("==12== Warning: set address range perms: large range\n") == []


CONFTEST = """\
import sys
from pathlib import Path
sys.path.insert(0, {helpers!r})
import reports_plugin
def pytest_configure(config):
    config.pluginmanager.register(reports_plugin.Reports(Path({folder!r})))
"""
TEST_FILE = """\
import pytest
def report():
    with open({file!r}, "a") as file:
        file.write({text!r})
@pytest.fixture
def late():
    yield
    report()
def test_silent(): pass
def test_reports(): report()
def test_silent_too(): pass
def test_reports_in_the_end(late): pass
@pytest.mark.xfail
def test_reports_and_fails_as_expected(): report(); assert False
"""


def test_the_test_that_reports_fails(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    # What is there before the tests is nobody's.
    (folder / "report.1").write_text(REPORTS["UBSan"])
    file, text = str(folder / "report.2"), REPORTS["ThreadSanitizer"]
    helpers = str(TESTS / "helpers")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(helpers=helpers, folder=str(folder)))
    (tmp_path / "test_it.py").write_text(TEST_FILE.format(file=file, text=text))
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    outcome = dict(re.findall(r"::(test_\w+) (PASSED|FAILED|ERROR|XFAIL)", done.stdout))
    assert outcome.pop("test_reports_in_the_end") in ("PASSED", "ERROR")  # there are two lines
    assert "ERROR at teardown of test_reports_in_the_end" in done.stdout
    assert outcome == {
        "test_silent": "PASSED",
        "test_reports": "FAILED",
        "test_silent_too": "PASSED",
        "test_reports_and_fails_as_expected": "FAILED",
    }


# What is suppressed


def suppressions() -> list[tuple[str, str]]:
    """The kinds and the patterns."""
    lines = SUPPRESSIONS.read_text(encoding="utf-8").splitlines()
    return [
        tuple(line.split(":", 1))  # type: ignore[misc]
        for line in lines
        if line and not line.startswith("#")
    ]


def test_every_suppression_has_a_reason() -> None:
    text = SUPPRESSIONS.read_text(encoding="utf-8")
    for paragraph in re.split(r"\n\n+", text.strip()):
        assert paragraph.startswith("# "), paragraph


LEAVES = {
    "_Py_DumpTracebackThreads",
    "free_threadstate",
    "intern_common",
    "_Py_TryIncrefCompare",
    "_Py_TryXGetRef",
}
"""Functions of the interpreter that call nothing of ours, and see nothing of ours but objects whose
count of references they change."""


@pytest.mark.skipif(not CSRC.is_dir(), reason="the C sources are not here")
def test_no_suppression_hides_a_function_of_ours() -> None:
    """A race is hidden where it happens in a function of the interpreter itself: race_top looks at
    the innermost function only, and neither our functions nor our files have such names. A function
    of LEAVES may be further out, as there is nothing of ours further in."""
    files = {path: path.read_text(encoding="utf-8") for path in CSRC.rglob("*.[ch]")}
    names = {path.relative_to(CSRC.parent).as_posix() for path in files}
    for text in files.values():
        names.update(re.findall(r"^(\w+)\(", text, re.MULTILINE))
    assert "rlock_repr" in names  # so that there are some
    for kind, pattern in suppressions():
        assert kind in ("race_top", "thread") or pattern in LEAVES, pattern
        assert re.fullmatch(r"[\w/.]+", pattern), "no pattern has a wildcard"
        assert [name for name in names if kind != "thread" and pattern in name] == []
