"""Puts measured figures into the project's README.

    python benchmarks/readme.py build/benchmarks/*.json

Each file is what `make bench` wrote on one interpreter.  The tables of ratios between the markers
in README.md are replaced, that of the operations and, where there is a place for it, that of the
programs; nothing is measured here.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure.machine import subtitle

README = Path(__file__).resolve().parent.parent / "README.md"
FIGURES, PROGRAMS = "figures", "programs"
"""Names of markers: a table stands between <!-- NAME: begin --> and <!-- NAME: end -->."""


def heading(result: dict[str, Any]) -> str:
    """The interpreter, as short as a column's head has to be."""
    machine = result["environment"]
    return ".".join(machine["python"].split(".")[:2]) + ("t" if machine["free_threaded"] else "")


def order(result: dict[str, Any]) -> tuple[bool, list[int]]:
    """With the GIL first, then by version."""
    machine = result["environment"]
    return machine["free_threaded"], [int(n) for n in re.findall(r"\d+", machine["python"])]


def ratios(results: Sequence[dict[str, Any]], rows_key: str, corner: str) -> list[str]:
    """A table as Markdown: an operation a line, an interpreter a column."""
    rows = [{row["operation"]: row for row in result.get(rows_key, ())} for result in results]
    lines = [f"| {corner} | " + " | ".join(map(heading, results)) + " |"]
    lines.append("| --- |" + " ---: |" * len(results))
    for name in dict.fromkeys(name for column in rows for name in column):
        cells = []
        for column in rows:
            ratio = name in column and column[name]["times_faster"]
            cells.append(f"{ratio['median']:.1f}" if ratio else "-")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def replaced(text: str, marker: str, table: str) -> str:
    """*text* with *table* between the markers; raises ValueError where they are missing."""
    begin, end = (f"<!-- {marker}: {side} -->" for side in ("begin", "end"))
    head, tail = text.index(begin) + len(begin), text.index(end)
    return f"{text[:head]}\n{table}\n{text[tail:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("results", nargs="+", type=Path, metavar="JSON")
    parser.add_argument("--readme", type=Path, default=README, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    results = sorted((json.loads(path.read_text()) for path in options.results), key=order)
    machines = sorted({subtitle(result["environment"]) for result in results})
    versions = ", ".join(result["environment"]["python"] for result in results)
    figures = ratios(results, "rows", "times faster than `threading`")
    figures += ["", f"Python {versions}; {'; '.join(machines)}."]
    programs = ratios(results, "programs", "times faster when patched")
    text = replaced(options.readme.read_text(), FIGURES, "\n".join(figures))
    print("\n".join([*figures, "", *programs]))
    if f"<!-- {PROGRAMS}: begin -->" in text:
        text = replaced(text, PROGRAMS, "\n".join(programs))
    else:
        print(f"{options.readme.name} has no place for the table of the programs", file=sys.stderr)
    options.readme.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
