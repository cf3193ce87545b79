"""TRAPS.md is complete and true: each trap has tests, or a reason why it cannot happen."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TRAPS = [f"T{number}" for number in range(1, 34)]

NUMBER_IN_NAME = re.compile(r"(?:^|_)t(\d\d)(?=_|$)")
C_TEST = re.compile(r"^\w[\w\s*]*\b(test_t\d\d_\w+)\s*\(", re.MULTILINE)


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
    for path in TESTS.glob("test_*.py"):
        for name in python_tests(path):
            for trap in numbers(name):
                found[trap].add(path.name)
    for path in (TESTS / "c").glob("*.c"):
        for name in C_TEST.findall(path.read_text(encoding="utf-8")):
            for trap in numbers(name):
                found[trap].add(f"c/{path.name}")
    return found


@functools.cache
def listed() -> tuple[dict[str, set[str]], dict[str, str]]:
    """What TRAPS.md says: the files of each trap, and the reason of those that cannot happen."""
    text = (TESTS / "TRAPS.md").read_text(encoding="utf-8")
    tested, _, impossible = text.partition("## What cannot happen here")
    rows = re.findall(r"^\| (T\d+) \|[^|]*\|([^|]*)\|$", tested, re.MULTILINE)
    files = {trap: set(re.findall(r"`([^`]+)`", cell)) for trap, cell in rows}
    reasons = dict(
        re.findall(r"^- \*\*(T\d+)\*\* (.+?)(?=^- |\Z)", impossible, re.MULTILINE | re.DOTALL)
    )
    return files, reasons


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_test_or_a_reason(trap: str) -> None:
    files, reasons = listed()
    assert files_by_trap().get(trap) or len(reasons.get(trap, "")) > 40
    assert files.get(trap) or trap in reasons


@pytest.mark.parametrize("trap", TRAPS)
def test_the_list_names_files_that_have_such_tests(trap: str) -> None:
    files, _ = listed()
    assert files.get(trap, set()) <= files_by_trap().get(trap, set())


def test_the_list_is_in_order_and_has_no_other_traps() -> None:
    files, reasons = listed()
    assert list(files) == [trap for trap in TRAPS if trap in files]
    assert set(files) | set(reasons) == set(TRAPS)


CALL = re.compile(r"\b(?:pthread|sem)_[a-z_]+\s*\(")
"""A call of the operating system's locks, which may fail."""

USED = re.compile(r"(?:fl_must\(\"\w+\", |return |[=!]=? |\(|&& |\|\| |\? |: )$")
"""What stands before a call whose result is used."""


def test_t30_no_result_of_a_system_call_is_ignored() -> None:
    sources = TESTS.parent / "csrc"
    if not sources.is_dir():
        pytest.skip("the C sources are not here")
    calls, ignored = 0, []
    for path in sources.rglob("*.[ch]"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for call in CALL.finditer(text):
            if call.group().startswith("pthread_self"):
                continue
            calls += 1
            before = re.sub(r"\s+", " ", text[: call.start()][-60:])
            if not USED.search(before):
                ignored.append(f"{path.name}: {before[-20:]}{call.group()}")
    assert calls > 10
    assert not ignored
