"""What the project says of its C code is true."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"

pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="the C sources are not here")

ROOMS = ("platform", "park", "core", "py", "types", "module.c")
"""From the lowest to the highest: a file includes from its own room and from lower ones only."""

CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b.*", re.MULTILINE)
GUARD = re.compile(r"\A(?:/\*.*?\*/\s*)?#ifndef (\w+)\n#define \1\n", re.DOTALL)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DETACH = re.compile(r"\b(PyEval_(Save|Restore)Thread|Py_(BEGIN|END)_ALLOW_THREADS)\b")

COLUMNS = 120
LINES_OF_A_FILE = 500
LINES_OF_A_FUNCTION = 60


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sources(*suffixes: str) -> list[Path]:
    """The C files of csrc, by their names below it."""
    return sorted(path for path in CSRC.rglob("*") if path.suffix in suffixes)


def c_files() -> list[Path]:
    """All C files of the project."""
    others = [*ROOT.glob("tests/c/*.[ch]"), *ROOT.glob("benchmarks/**/*.[ch]")]
    return sources(".c", ".h") + sorted(others)


def name_of(path: Path) -> str:
    return path.relative_to(CSRC if CSRC in path.parents else ROOT).as_posix()


def room_of(name: str) -> int:
    return ROOMS.index(name.partition("/")[0])


# Layers


def test_every_file_is_in_a_room() -> None:
    assert {name_of(path).partition("/")[0] for path in sources(".c", ".h")} == set(ROOMS)


@pytest.mark.parametrize("path", sources(".c", ".h"), ids=name_of)
def test_a_file_includes_from_lower_rooms_only(path: Path) -> None:
    for included in INCLUDE.findall(text_of(path)):
        assert (CSRC / included).is_file(), included
        assert room_of(included) <= room_of(name_of(path)), included


def test_no_header_includes_itself_in_a_circle() -> None:
    includes = {name_of(path): INCLUDE.findall(text_of(path)) for path in sources(".h")}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for included in includes[name]:
                visit(included, (*above, name))
            done.add(name)

    for name in includes:
        visit(name, ())
    assert done == set(includes)


@pytest.mark.parametrize("path", sources(".c", ".h"), ids=name_of)
def test_an_if_stands_only_where_platforms_and_versions_differ(path: Path) -> None:
    name = name_of(path)
    text = GUARD.sub("", text_of(path))
    if name != "py/compat.h" and name.partition("/")[0] not in ("platform", "park"):
        assert not CONDITIONAL.search(text)
    if room_of(name) < ROOMS.index("py"):
        assert "Python.h" not in text
        assert "Py_" not in COMMENT.sub("", text)


def test_python_is_included_in_one_place() -> None:
    including = [name_of(path) for path in sources(".c", ".h") if "<Python.h>" in text_of(path)]
    assert including == ["py/compat.h"]


def test_threads_are_detached_in_one_place() -> None:
    detaching = [name_of(path) for path in sources(".c", ".h") if DETACH.search(text_of(path))]
    assert detaching == ["py/block.c"]


# Sizes


@pytest.mark.parametrize("path", c_files(), ids=name_of)
def test_columns(path: Path) -> None:
    too_long = [
        f"line {number}: {len(line)}"
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if len(line) > COLUMNS
    ]
    assert not too_long


@pytest.mark.parametrize("path", sources(".c", ".h"), ids=name_of)
def test_no_file_and_no_function_is_two_things(path: Path) -> None:
    text = text_of(path)
    assert text.count("\n") <= LINES_OF_A_FILE
    for body in re.finditer(r"^\{\n.*?^\}$", text, re.MULTILINE | re.DOTALL):
        assert body.group().count("\n") <= LINES_OF_A_FUNCTION, body.group()[:100]


# Contracts


FUNCTION = re.compile(
    r"^(?!#|typedef|struct|enum|\s|/|\*|\}|\{)[\w\s\*]*?\b(fl_\w+)\([^;{]*\)\s*(?:;|\{|$)",
    re.MULTILINE,
)


def without_contract(text: str) -> list[str]:
    """The functions of a header that stand in a paragraph which does not begin with a comment.

    A paragraph is what is between empty lines: several declarations may share one contract.  A
    function that is the fast path of another one, `..._slow`, has that one's.
    """
    code = re.sub(r"^\{\n.*?^\}$", "{}", text, flags=re.MULTILINE | re.DOTALL)
    told, untold = set(), []
    for paragraph in re.split(r"\n\s*\n", code):
        functions = FUNCTION.findall(paragraph)
        if paragraph.lstrip().startswith("/*"):
            told.update(functions)
        else:
            untold += functions
    return [name for name in untold if f"{name}_slow" not in told]


def test_contracts_are_looked_for() -> None:
    text = "/* Does. */\nvoid fl_a(void);\nint fl_b(int x);\n\nstatic int\nfl_c(void)\n{\n}\n"
    assert without_contract(text) == ["fl_c"]


@pytest.mark.parametrize("path", sources(".h"), ids=name_of)
def test_every_function_of_a_header_has_a_contract(path: Path) -> None:
    if name_of(path) != "platform/atomic.h":  # its names are the contracts, which its head says
        assert not without_contract(text_of(path))


# Invariants


DEFINED = re.compile(r"^ \* ([A-Z]\d+)  (?=\S)", re.MULTILINE)
CITED = re.compile(r"\b([A-Z]\d+)\b")


@functools.cache
def invariants() -> dict[str, list[str]]:
    """Where each invariant is defined."""
    found = defaultdict(list)
    for path in sources(".c", ".h"):
        for invariant in DEFINED.findall(text_of(path)):
            found[invariant].append(name_of(path))
    return found


def citations(path: Path) -> set[str]:
    """The invariants that a C file cites in a comment or in the name of a test."""
    text = text_of(path)
    defined = set(DEFINED.findall(text))
    comments = " ".join(COMMENT.findall(text))
    cited = set(CITED.findall(DEFINED.sub("", comments)))
    for test in re.findall(r"\btest_(\w+)", text):
        cited |= {part.upper() for part in test.split("_") if re.fullmatch(r"[a-z]\d+", part)}
    head = re.compile(r"\A.*?^\s*(?=#|static|typedef)", re.DOTALL | re.MULTILINE)
    code = head.sub("", text, count=1)
    own = set(CITED.findall(" ".join(COMMENT.findall(code))))
    return (cited - defined) | (own & defined)


def test_an_invariant_has_one_meaning() -> None:
    assert len(invariants()) > 50
    assert not {name: places for name, places in invariants().items() if len(places) > 1}


def test_every_invariant_is_cited() -> None:
    cited = set().union(*map(citations, c_files()))
    assert not set(invariants()) - cited


def test_what_is_cited_is_defined() -> None:
    letters = {name[0] for name in invariants()}
    for path in sources(".c", ".h"):
        cited = {name for name in citations(path) if name[0] in letters}
        assert cited <= set(invariants()), name_of(path)


# Encodings


def test_encodings_are_asserted() -> None:
    asserted = [name_of(path) for path in sources(".c", ".h") if "_Static_assert(" in text_of(path)]
    for word in ("lock_word", "barrier", "sema", "event", "spin"):
        assert any(word in name for name in asserted), word


# Results


CALL = re.compile(r"\b(?:pthread_[a-z_]+|syscall)\s*\(")
"""A call of the operating system's locks, or of its kernel, which may fail."""

USED = re.compile(r"(?:fl_must\(\"\w+\", |return |[=!]=? |\(|&& |\|\| |\? |: )$")
"""What stands before a call whose result is used."""


def test_t30_no_result_of_a_system_call_is_ignored() -> None:
    calls, ignored = 0, []
    for path in sources(".c", ".h"):
        text = COMMENT.sub("", text_of(path))
        for call in CALL.finditer(text):
            if call.group().startswith("pthread_self"):
                continue
            calls += 1
            before = re.sub(r"\s+", " ", text[: call.start()][-60:])
            if not USED.search(before):
                ignored.append(f"{path.name}: {before[-20:]}{call.group()}")
    assert calls > 10
    assert not ignored


# Calls of the system

NEVER_FAIL = {"pthread_self", "sched_yield"}
SYSTEM_CALL = re.compile(
    r"\b(pthread_\w+|sched_\w+|syscall|malloc|calloc|realloc|free|clock_gettime|sysconf)\("
)


def test_every_call_that_can_fail_is_made_to_fail() -> None:
    header = ROOT / "tests" / "c" / "faulty_calls.h"
    replaced = set(re.findall(r"^#define (\w+)\(", text_of(header), re.MULTILINE))
    called = set()
    for path in sources(".c", ".h"):
        if room_of(name_of(path)) <= ROOMS.index("core"):
            called |= set(SYSTEM_CALL.findall(COMMENT.sub("", text_of(path))))
    assert called - NEVER_FAIL <= replaced
    assert called >= NEVER_FAIL
