"""All mutants of a C file: copies with one small fault each.

A mutant is one changed line, or two lines that have changed places. Its key shows the line before
and after. So it stays the same when lines are added elsewhere, and a reader sees the fault.

Not changed: comments, texts, what the preprocessor reads, assertions. LEFT_OUT says what else, and
why.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = {
    r"csrc/core/lot/(spin|back_off)\.[ch]": "how long a thread tries before it sleeps: speed alone",
    r"csrc/core/blocker\.h": "the interface to the runtime; what it does is in py/block.c",
}
"""Files with few mutants that a test could tell from the code: nothing but speed depends on them.
They have tests of their own."""

SPEED_ALONE = re.compile(r"\bfl_(spin|back_off)\w*\(|\bis_woken_with_all\b|waker\b")
"""Lines that only make something faster, as a call of the files above."""

ORDERINGS = {
    r"\bfl_load_acquire_": "fl_load_relaxed_",
    r"\bfl_store_release_": "fl_store_relaxed_",
    r"\bfl_cas_(acquire|release)_": "fl_cas_relaxed_",
}
"""Memory orderings, made weaker. No test on one kind of processor tells them apart."""

OPERATORS = [
    (r"(?<=\s)==(?=\s)", ["!="]),
    (r"(?<=\s)!=(?=\s)", ["=="]),
    (r"(?<=\s)<(?=\s)", ["<=", ">="]),
    (r"(?<=\s)>(?=\s)", [">=", "<="]),
    (r"(?<=\s)<=(?=\s)", ["<", ">"]),
    (r"(?<=\s)>=(?=\s)", [">", "<"]),
    (r"(?<=[\w)\]] )\+(?= )", ["-"]),
    (r"(?<=[\w)\]] )-(?= )", ["+"]),
    (r"\+=", ["-="]),
    (r"-=(?!>)", ["+="]),
    (r"\+\+", ["--"]),
    (r"--", ["++"]),
    (r"&&", ["||"]),
    (r"\|\|", ["&&"]),
    (r"(?<=[\w)\]] )&(?= [\w(~])", ["|"]),
    (r"(?<=[\w)\]] )\|(?= [\w(~])", ["&"]),
    (r"(?<=[(\s!&|])!(?=[\w(])", [""]),
    (r"(?<=[(\s])~(?=[\w(])", [""]),
    (r"\btrue\b", ["false"]),
    (r"\bfalse\b", ["true"]),
]

SENTINEL = re.compile(r"^\s*\{(?:NULL|0)(?:, (?:NULL|0))*\},?$")
"""The end of a table: whoever reads it looks at the first field only."""

NUMBER = re.compile(r"(?<![\w.\[])(\d+)(?![\w.\]])")
CONDITION = re.compile(r"^(\s*(?:else )?(?:if|while) )\((.*)\)( \{|;)?$")
"""The head of an `if` or a `while` that is one line, after which nothing follows but a brace."""

STATEMENT = re.compile(
    r"^\s+(?:\(void\))?(?:\*?[A-Za-z_][\w.\[\]]*(?:->[\w.\[\]]+)*"
    r"(?: [-+|&]?= .*|\+\+|--|\(.*\))|\(\*\w+\)\(.*\));$"
)
"""A whole statement on one line: an assignment, or a call whose result is not used."""

UNUSED = re.compile(r"^\s+\(void\)\w+;$")
DECLARES = re.compile(
    r"^\s+(?:static |const |struct )*(?:u?int\d*_t|bool|size_t|fl_\w+|Py\w+|int|char|void) [*\w]"
)


@dataclass(frozen=True)
class Mutant:
    """A change of the lines from `start` (counted from 0) on, in a file."""

    path: str
    kind: str
    start: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    occurrence: int = 0

    @property
    def key(self) -> str:
        def show(lines: tuple[str, ...]) -> str:
            code = (re.sub(r"\s*/\*.*?(?:\*/|$)", "", line).strip() for line in lines)
            return " ".join(code)

        again = f" [{self.occurrence + 1}]" if self.occurrence else ""
        return f"{self.path}: {show(self.before)}  =>  {show(self.after)}{again}"

    def rank(self, seed: int) -> str:
        """Its place in the draw, which depends on nothing else in the sources."""
        return hashlib.sha256(f"{seed} {self.key}".encode()).hexdigest()

    def apply(self, text: str) -> str:
        lines = text.split("\n")
        end = self.start + len(self.before)
        assert tuple(lines[self.start : end]) == self.before
        lines[self.start : end] = self.after
        return "\n".join(lines)


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def code_of(text: str) -> list[str]:
    """The lines, with blanks in place of all that is not to be changed."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.DOTALL)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.MULTILINE)
    text = re.sub(r"\b(?:_Static_assert|assert|PyDoc_STRVAR)\([^;]*;", blank, text)
    return text.split("\n")


def changed_lines(code: str) -> Iterator[tuple[str, str]]:
    """A kind and the code for each way to change one line."""
    for pattern, replacements in OPERATORS:
        for match in re.finditer(pattern, code):
            for other in replacements:
                yield "operator", code[: match.start()] + other + code[match.end() :]
    for match in NUMBER.finditer(code):
        if SENTINEL.match(code):
            break
        # One negative number says the same as another.
        small = {0: (1,), 1: (0,) if code[match.start() - 1] == "-" else (0, 2)}
        for other in small.get(int(match[1]), (int(match[1]) + 1,)):
            yield "constant", f"{code[: match.start()]}{other}{code[match.end() :]}"
    if (match := CONDITION.match(code)) is not None:
        yield "condition", f"{match[1]}(!({match[2]})){match[3] or ''}"
    if is_statement(code):
        yield "dropped", code[: len(code) - len(code.lstrip())] + ";"


def weaker(code: str) -> Iterator[tuple[str, str]]:
    for pattern, other in ORDERINGS.items():
        for match in re.finditer(pattern, code):
            yield "ordering", code[: match.start()] + other + code[match.end() :]


def is_statement(code: str) -> bool:
    return bool(STATEMENT.match(code)) and not UNUSED.match(code) and not DECLARES.match(code)


QUIET = re.compile(r"^\s+(?:Py_\w*(?:DECREF|CLEAR|VISIT)\(|fl_store_relaxed_|[^(]* = )")
"""Statements among which the order seldom matters: of two that are swapped one is none of these."""


def are_swappable(one: str, two: str) -> bool:
    indents = {len(line) - len(line.lstrip()) for line in (one, two)}
    quiet = bool(QUIET.match(one)) and bool(QUIET.match(two))
    return is_statement(one) and is_statement(two) and len(indents) == 1 and not quiet


def mutants_of(root: Path, path: str, *, orderings: bool) -> list[Mutant]:
    """All mutants of the file, in the order of its lines."""
    text = (root / path).read_text(encoding="utf-8")
    lines, code = text.split("\n"), code_of(text)
    found: list[Mutant] = []
    seen: Counter[str] = Counter()

    def add(kind: str, start: int, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        mutant = Mutant(path, kind, start, before, after)
        found.append(Mutant(path, kind, start, before, after, seen[mutant.key]))
        seen[mutant.key] += 1

    code = [bare.rstrip() for bare in code]
    for i, (line, bare) in enumerate(zip(lines, code, strict=True)):
        if not bare.strip() or SPEED_ALONE.search(bare):
            continue
        comment = line[len(bare) :]
        ways = [*changed_lines(bare), *(weaker(bare) if orderings else ())]
        for kind, other in dict.fromkeys(ways):
            changed = restore(line[: len(bare)], bare, other)
            if kind == "condition":
                changed = CONDITION.sub(r"\1(!(\2))\3", line[: len(bare)])
            if changed is not None:
                add(kind, i, (line,), (changed + comment,))
        if i + 1 < len(lines) and are_swappable(bare, code[i + 1]):
            add("swapped", i, (line, lines[i + 1]), (lines[i + 1], line))
    return found


def restore(line: str, bare: str, other: str) -> str | None:
    """`other` is `bare` with one change; the same change of `line`, where `bare` has blanks for its
    texts."""
    if not other.strip(" ;"):
        return other
    start = next((i for i, (a, b) in enumerate(zip(bare, other, strict=False)) if a != b), None)
    if start is None:
        return None
    left, right = len(bare) - 1, len(other) - 1
    while left >= start and right >= start and bare[left] == other[right]:
        left, right = left - 1, right - 1
    return line[:start] + other[start : right + 1] + line[left + 1 :]
