"""The option --refleaks finds a leak of one reference, and nothing where there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import DEBUG_BUILD

TESTS = Path(__file__).parents[1]

SOURCE = """
import subprocess
import threading
import unittest
import pytest
import support

kept = []

def test_leaks_one():
    kept.append(object())

def test_leaks_many():
    kept.extend(object() for _ in range(100))

def test_leaks_on_the_side_of_the_stdlib_only(impl):
    if impl is threading:
        kept.append(object())

def test_leaks_nothing():
    [object()].pop()

def test_fills_a_cache():
    if len(kept) % 3 == 0:
        kept.append(object())

def test_with_a_thread():
    support.run_in_thread(lambda: [object()] * 5)

def test_leaks_beside_what_pytest_keeps(tmp_path, record_property):
    record_property("name", 1.5)
    kept.append(object())

def test_with_what_pytest_keeps(tmp_path, record_property):
    record_property("name", 1.5)
    print("captured")

class TestOfUnittest(unittest.TestCase):
    def test_leaks_in_a_class(self):
        kept.append(object())

    def test_nothing(self):
        [object()].pop()

def test_starts_a_process():
    kept.append(object())
    subprocess.run(["true"])

def test_fails():
    assert kept is None

def test_is_skipped():
    pytest.skip("this is what it does")
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    for name in ("conftest.py", "helpers/support.py", "helpers/refleaks.py"):
        shutil.copy(TESTS / name, folder)
    (folder / "test_them.py").write_text(SOURCE)
    command = [sys.executable, "-P", "-m", "pytest", "--refleaks", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-rA", "--rootdir", str(folder), str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(not DEBUG_BUILD, reason="only a debug build counts all references")
def test_finds_what_leaks(tmp_path, request):
    if request.config.getoption("--refleaks"):
        pytest.skip("this is about the option itself")
    result = run(tmp_path)
    found = re.findall(r"^ERROR .*::(\w+)", result.stdout, re.MULTILINE)
    assert sorted(found) == [
        "test_leaks_beside_what_pytest_keeps",
        "test_leaks_in_a_class",
        "test_leaks_many",
        "test_leaks_one",
    ], result.stdout
    assert re.search(r"references leaked, in each repetition: .*\b100, 100\b", result.stdout)
    assert "14 items / 1 deselected" in result.stdout
    told = "10 tests repeated, 1 run once as they start processes, 2 did not pass (or were skipped)"
    assert told in result.stdout
    assert "1 failed, 11 passed, 1 skipped, 1 deselected, 4 errors" in result.stdout


@pytest.mark.skipif(DEBUG_BUILD, reason="here the option works")
def test_needs_a_debug_build(tmp_path):
    result = run(tmp_path)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--refleaks needs a debug build" in result.stderr
