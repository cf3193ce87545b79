"""What `make coverage` prints of the counters, and what it fails for.

    check.py REPORT.json LISTED

A line that never ran has to be in LISTED, the list of lines that no test reaches, with a reason.
One that is listed may run: some do by chance.  But it has to be there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LINES, BRANCHES = 97.0, 90.0
"""What has to be covered of the lines and of the branches, in percent."""

ENOUGH = 40
"""Characters of a reason."""


def listed(path: Path) -> set[str]:
    """The lines that may stay uncovered: "FILE FUNCTION: TEXT"; each paragraph begins with why."""
    reason, lines = "", set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            reason += line[2:]
        elif not line:
            reason = ""
        else:
            assert len(reason) >= ENOUGH, f"there is no reason for {line}"
            lines.add(line)
    return lines


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.1f}" if whole else "     -"


def main(report: str, list_of_lines: str) -> int:
    files: list[dict[str, Any]] = json.loads(Path(report).read_text(encoding="utf-8"))["files"]
    may_be_missed = listed(Path(list_of_lines))
    missed, excused, unused, gone = [], 0, set(may_be_missed), set(may_be_missed)
    total = [0, 0, 0, 0]
    print(f"{'file':42}{'lines':>7}{'%':>7}{'branches':>10}{'%':>7}")
    for file in files:
        source = (ROOT / file["file"]).read_text(encoding="utf-8").splitlines()
        lines = [line for line in file["lines"] if not line.get("gcovr/excluded")]
        branches = [
            branch
            for line in lines
            for branch in line["branches"]
            if not branch.get("gcovr/excluded")
        ]
        figures = [
            len(lines),
            sum(line["count"] > 0 for line in lines),
            len(branches),
            sum(branch["count"] > 0 for branch in branches),
        ]
        for line in lines:
            text = source[line["line_number"] - 1].strip()
            name = f"{file['file']} {line.get('function_name', '')}: {text}"
            gone.discard(name)
            if line["count"] == 0 and name in may_be_missed:
                excused += 1
                unused.discard(name)
            elif line["count"] == 0:
                missed.append(name)
        total = [a + b for a, b in zip(total, figures, strict=True)]
        print(row(file["file"], figures))
    print(row("all", total))
    for line in missed:
        print("never ran:", line)
    for line in sorted(unused - gone):
        print("is listed, but ran:", line)
    for line in sorted(gone):
        print("is listed, but is not there:", line)
    lines_percent, branches_percent = 100 * total[1] / total[0], 100 * total[3] / total[2]
    good = not missed and not gone and lines_percent >= LINES and branches_percent >= BRANCHES
    print(
        f"covered {lines_percent:.1f} % of {total[0]} lines, {branches_percent:.1f} % of "
        f"{total[2]} branches; {excused} lines are listed with a reason, {len(missed)} are not"
    )
    return 0 if good else 1


def row(name: str, figures: list[int]) -> str:
    lines, ran, branches, taken = figures
    return f"{name:42}{lines:7}{percent(ran, lines):>7}{branches:10}{percent(taken, branches):>7}"


sys.exit(main(*sys.argv[1:]))
