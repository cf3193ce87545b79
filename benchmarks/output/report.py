"""What is printed: the results as text."""

from collections.abc import Sequence
from typing import Any

from measure.machine import subtitle, swap_cost, title
from workloads import implementations
from workloads.programs import SIDES

COLUMNS = (*implementations.NAMES, "floor")
HEADINGS = ("operation", *COLUMNS, "times faster")
PROGRAM_HEADINGS = ("program", *SIDES, "times faster", "times less CPU", "sleeps an operation")


def duration(ns: float) -> str:
    """*ns* nanoseconds in the unit that reads best."""
    if ns < 999.5:
        return f"{ns:.1f} ns" if ns < 9.95 else f"{ns:.0f} ns"
    for unit, scale in (("µs", 1e3), ("ms", 1e6)):
        if ns / scale < 999.5:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def ratio(spread: dict[str, float] | None) -> str:
    """A ratio with its quartiles."""
    if spread is None:
        return "-"
    return f"{spread['median']:.2f} ({spread['low']:.2f}-{spread['high']:.2f})"


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """A table as text, its first line the heading."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    times = [duration(row["ns"][name]["median"]) if name in row["ns"] else "-" for name in COLUMNS]
    return row["operation"], *times, ratio(row["times_faster"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The short table."""
    return aligned([HEADINGS, *(_cells(row) for row in rows)])


def _program_cells(row: dict[str, Any]) -> tuple[str, ...]:
    times = [duration(row["ns"][side]["median"]) for side in SIDES]
    sleeps = " → ".join(f"{row['sleeps'][side]['median']:.2g}" for side in SIDES)
    cpu = ratio(row["times_less_cpu"])
    return row["operation"], *times, ratio(row["times_faster"]), cpu, sleeps


def program_table(rows: Sequence[dict[str, Any]]) -> str:
    """The table of the programs."""
    return aligned([PROGRAM_HEADINGS, *(_program_cells(row) for row in rows)])


def contention(rows: Sequence[dict[str, Any]]) -> str:
    """Fairness and processor time of what several threads do, a line each."""
    lines = []
    for row in rows:
        if "cpu_ns" not in row:
            continue
        for name in COLUMNS:
            if name in row["cpu_ns"]:
                cpu = duration(row["cpu_ns"][name]["median"])
                sleeps = f", {row['sleeps'][name]['median']:.2g} sleeps" if "sleeps" in row else ""
                jain = (
                    f", fairness {row['jain'][name]['median']:.2f}"
                    if name in row.get("jain", ())
                    else ""
                )
                lines.append(f"  {row['operation']}, {name}: CPU {cpu}{sleeps}{jain}")
    return "\n".join(lines)


def report(result: dict[str, Any]) -> str:
    """All that is printed."""
    rows = result["rows"]
    parts = [title(result["environment"]), subtitle(result["environment"])]
    if rows:
        parts += ["", table(rows)]
        parts += ["", "times faster: the median over rounds of stdlib / ours, and its quartiles"]
        parts += filter(None, [swap_cost(result["environment"])])
    threads = contention(rows)
    if threads:
        parts += ["", "Several threads (fairness is Jain's index, 1 is perfectly fair):", threads]
    if result["programs"]:
        parts += ["", program_table(result["programs"])]
        parts += ["", "wall-clock time an operation of whole programs, each in a fresh process;"]
        parts += ["a sleep is a voluntary context switch"]
    parts += [f"  {name}: skipped, {reason}" for name, reason in result["skipped"].items()]
    return "\n".join(parts)
