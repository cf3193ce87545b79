"""What sanitizers report: they write into the files of one folder, one a process.

valgrind's loss records count where they are ours: where a function of csrc/ has allocated. What
the interpreter leaves behind at its end is its own.
"""

from __future__ import annotations

import re
from pathlib import Path

BEGIN = re.compile(
    r"^(?=(?:==\d+==\s*)?(?:(?:WARNING|ERROR|FATAL): \w+Sanitizer|\w+Sanitizer: CHECK failed)"
    r"|\S+:\d+:\d+: runtime error: "  # UBSan
    r"|==\d+== \S[^\n]*\n==\d+==    at )",  # valgrind: a line, and the place
    re.MULTILINE,
)
LOST = re.compile(r"==\d+== [^\n]* lost in loss record ")
OURS = "csrc/"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def found_in(text: str) -> list[str]:
    """The reports in a text."""
    return [report for report in BEGIN.split(text)[1:] if not LOST.match(report) or OURS in report]


def count(folder: Path) -> int:
    """How many reports the files of a folder have."""
    return sum(len(found_in(text_of(path))) for path in folder.iterdir())
