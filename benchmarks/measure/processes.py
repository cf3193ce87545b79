"""Runs programs in fresh processes, as they are and patched, side by side.

A round runs the program once on either side, in an order that changes from round to round; ratios
are taken within a round.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure.timing import Plan, by_implementation, ratios
from workloads.programs import LIMIT_S, SIDES, Program
from workloads.sample import Sample

SCRIPT = Path(__file__).resolve().parent.parent / "run_program.py"
SMOKE_SHARE = 100


class ProgramError(Exception):
    """A process that failed; the text has what it printed."""


def run(program: Program, side: str, size: int) -> Sample:
    """*program* in a fresh process, on one of the ``SIDES``."""
    command = [sys.executable, str(SCRIPT), side, str(size), program.name]
    # The process has to find the modules beside its script.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=2 * LIMIT_S, check=False
    )
    if ended.returncode != 0:
        raise ProgramError(f"{program.name}, {side}: status {ended.returncode}\n{ended.stderr}")
    return Sample(**json.loads(ended.stdout))


def size_of(program: Program, plan_name: str) -> int:
    """How many operations a run of *program* is."""
    if plan_name == "smoke":
        return program.size // SMOKE_SHARE
    return program.full if plan_name == "full" else program.size


def rounds_of(
    program: Program, plan_name: str, plan: Plan, step: Callable[[str], None]
) -> list[dict[str, Sample]]:
    """The rounds of *program*; calls *step* after each with a text."""
    size = size_of(program, plan_name)
    end = time.monotonic() + plan.program_limit_s
    rounds: list[dict[str, Sample]] = []
    for turn in range(plan.program_rounds):
        if turn == 0 or time.monotonic() < end:
            order = SIDES if turn % 2 == 0 else SIDES[::-1]
            rounds.append({side: run(program, side, size) for side in order})
        last = rounds[-1]
        step(f"{program.name}: {last['stdlib'].ns / last['patched'].ns:.1f} times faster")
    return rounds


def summarise(program: Program, rounds: list[dict[str, Sample]]) -> dict[str, Any]:
    """One row of the result: medians and quartiles."""
    wall = [{side: sample.ns for side, sample in r.items()} for r in rounds]
    cpu = [{side: sample.cpu_ns for side, sample in r.items()} for r in rounds]
    sleeps = [{side: sample.sleeps_each for side, sample in r.items()} for r in rounds]
    row: dict[str, Any] = {
        "operation": program.name,
        "group": program.group,
        "operations": rounds[0]["stdlib"].operations,
        "rounds": len(rounds),
    }
    for key, values in (("ns", wall), ("cpu_ns", cpu), ("sleeps", sleeps)):
        row[key] = {side: s.as_dict() for side, s in by_implementation(values).items()}
    for key, values in (("times_faster", wall), ("times_less_cpu", cpu)):
        ratio = ratios(values, "stdlib", "patched")
        row[key] = ratio.as_dict() if ratio else None
    return row
