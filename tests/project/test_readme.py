"""What is said of the tests is complete and true.

The first table of tests/README.md names each file of tests.  The list of traps in
docs/correctness.md names for each trap the files that have tests of it; a trap without tests has a
reason why it cannot happen.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CORRECTNESS = TESTS.parent / "docs" / "correctness.md"

NUMBER_IN_NAME = re.compile(r"(?:^|_)t(\d\d)(?=_|$)")
C_TEST = re.compile(r"^\w[\w\s*]*\b(test_t\d\d_\w+)\s*\(", re.MULTILINE)
ROW = re.compile(r"^\| (T\d+) \|[^|]*\|([^|]*)\|$", re.MULTILINE)
REASON = re.compile(r"^- \*\*(T\d+)\*\* (.+?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)

ENOUGH = 80
"""Characters of a reason: more than a phrase."""


def numbers(name: str) -> list[str]:
    """The traps that the name of a test speaks of."""
    return [f"T{int(number)}" for number in NUMBER_IN_NAME.findall(name)]


def python_tests(path: Path) -> list[str]:
    """The test functions of a file that pytest collects: at the top, or in a class `Test...`."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = []
    for node in body:
        inner = [node]
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inner = node.body
        names += [
            function.name
            for function in inner
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
        ]
    return names


@functools.cache
def files_by_trap() -> dict[str, set[str]]:
    """The files that have a test for a trap, by trap."""
    found = defaultdict(set)
    for path in TESTS.glob("*/test_*.[pc]*"):
        if path.suffix == ".py":
            names = python_tests(path)
        elif path.suffix == ".c":
            names = C_TEST.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        for name in names:
            for trap in numbers(name):
                found[trap].add(path.relative_to(TESTS).as_posix())
    return found


def by_number(trap: str) -> int:
    return int(trap[1:])


@functools.cache
def listed() -> tuple[dict[str, set[str]], dict[str, str]]:
    """The files of each trap, and the reasons why it cannot happen."""
    if not CORRECTNESS.is_file():
        return {}, {}
    text = CORRECTNESS.read_text(encoding="utf-8")
    table, _, impossible = text.partition("### What cannot happen here")
    files = {trap: set(re.findall(r"`([^`]+)`", cell)) for trap, cell in ROW.findall(table)}
    return files, dict(REASON.findall(impossible))


def test_the_first_table_names_each_file() -> None:
    text = (TESTS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*(\|.*)\|$", text, re.MULTILINE)
    named = {(folder, name) for folder, cells in rows for name in re.findall(r"`(\w+)`", cells)}
    there = {
        (path.parent.name, path.stem.removeprefix("test_")) for path in TESTS.rglob("test_*.py")
    }
    assert named == there


with_documents = pytest.mark.skipif(not CORRECTNESS.is_file(), reason="the documents are not here")

TRAPS = sorted({*listed()[0], *listed()[1], *files_by_trap()}, key=by_number)


@with_documents
def test_the_list_is_in_order_and_leaves_out_none() -> None:
    files, _ = listed()
    assert list(files) == [f"T{number}" for number in range(1, len(TRAPS) + 1)] == TRAPS


@with_documents
@pytest.mark.parametrize("trap", TRAPS)
def test_the_list_names_the_files_that_have_its_tests(trap: str) -> None:
    tested = sorted(files_by_trap().get(trap, ()))
    row = ", ".join(f"`{name}`" for name in tested)
    assert sorted(listed()[0].get(trap, ())) == tested, f"the row of {trap} should end: {row}"


@with_documents
@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_test_or_a_reason(trap: str) -> None:
    _, reasons = listed()
    assert files_by_trap().get(trap) or trap in reasons
    assert len(reasons.get(trap, " " * ENOUGH)) >= ENOUGH
