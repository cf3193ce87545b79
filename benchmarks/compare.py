"""The comparison in one command: stdlib, fastrlock and ours on the interpreter that runs this.

    python benchmarks/compare.py [--full] [--only REGEX] [--json PATH] [--svg PATH]

It prints a short table (operation, stdlib, fastrlock, ours, times faster), another one of whole
programs (stdlib, patched, times faster), and writes the same as charts and as JSON.  The operations
are those of the pytest-benchmark suite, from workloads/, but the timing is its own.
pytest-benchmark measures one implementation completely before it starts the next; on a machine
whose speed drifts, a ratio of two such figures drifts with it.  Here each round measures all of
them side by side (measure/timing.py and, for the programs, measure/processes.py).  The rounds are
spread over several fresh processes, so that no single memory layout decides.
"""

import argparse
import faulthandler
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import processes
from measure.machine import environment, slug, subtitle, title
from measure.timing import (
    Plan,
    Round,
    by_implementation,
    measure_operation,
    measure_scenario,
    ratios,
)
from output import bar_chart, line_charts
from output.progress import Progress
from output.report import duration, report
from workloads import contention, handoffs, implementations
from workloads.operations import OPERATIONS, Operation
from workloads.programs import PROGRAMS, Program
from workloads.scenarios import Scenario

QUICK = Plan(
    processes=3,
    rounds=50,
    sample_us=1_500,
    scenario_rounds=4,
    scenario_ms=120,
    limit_s=1.5,
    program_rounds=5,
    program_limit_s=6.0,
)
FULL = Plan(
    processes=6,
    rounds=100,
    sample_us=2_000,
    scenario_rounds=6,
    scenario_ms=250,
    limit_s=10.0,
    program_rounds=15,
    program_limit_s=90.0,
)
SMOKE = Plan(
    processes=1,
    rounds=3,
    sample_us=20,
    scenario_rounds=1,
    scenario_ms=1,
    limit_s=1.0,
    program_rounds=1,
    program_limit_s=1.0,
)
PLANS = {"quick": QUICK, "full": FULL, "smoke": SMOKE}

TASK_LIMIT_S = 300
"""A task of a worker that takes longer hangs: the worker shows where and ends."""

OUTPUT = Path(__file__).resolve().parent.parent / "build" / "benchmarks"

Task = Operation | Scenario


class WorkerError(Exception):
    """A measuring process that failed."""


def _matches(task: Task | Program, only: str) -> bool:
    return re.search(only, task.name) is not None or re.search(only, task.group) is not None


def select(plan_name: str, only: str | None) -> list[Task]:
    """The operations and scenarios of *plan_name*, or those whose name or group matches *only*."""
    tasks: tuple[Task, ...] = (*OPERATIONS, *contention.SCENARIOS, *handoffs.SCENARIOS)
    if only is not None:
        return [task for task in tasks if _matches(task, only)]
    return [task for task in tasks if task.quick or plan_name == "full"]


def select_programs(only: str | None) -> list[Program]:
    """The programs, or those whose name or group matches *only*."""
    return [program for program in PROGRAMS if only is None or _matches(program, only)]


# --- The measuring process


def measure(task: Task, plan: Plan) -> dict[str, Any]:
    """The rounds of one task as JSON."""
    able = [i for i in implementations.available() if task.supported(i)]
    if isinstance(task, Operation):
        return {"name": task.name, "rounds": measure_operation(task, able, plan)}
    samples = measure_scenario(task, able, plan)
    record: dict[str, Any] = {
        "name": task.name,
        "rounds": [{name: sample.ns for name, sample in r.items()} for r in samples],
        "cpu_ns": [{name: sample.cpu_ns for name, sample in r.items()} for r in samples],
        "sleeps": [{name: sample.sleeps_each for name, sample in r.items()} for r in samples],
    }
    if task.fairness:
        record["jain"] = [
            {name: sample.jain for name, sample in r.items() if sample.counts} for r in samples
        ]
    return record


def work(tasks: Sequence[Task], plan: Plan) -> None:
    """Measure every task and print a line of JSON for each."""
    for task in tasks:
        faulthandler.dump_traceback_later(TASK_LIMIT_S, exit=True)
        try:
            record = measure(task, plan)
        except RuntimeError as error:
            if "can't start new thread" not in str(error):
                raise
            record = {"name": task.name, "skipped": str(error)}
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(record), flush=True)


# --- The process that collects and shows


def _records(arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What one measuring process prints."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode != 0:
        raise WorkerError(f"a measuring process ended with status {process.returncode}")


def collect(plan_name: str, only: str | None, progress: Progress) -> dict[str, dict[str, Any]]:
    """The rounds of every task over all processes, by name."""
    if not select(plan_name, only):
        return {}
    arguments = ["--plan", plan_name, *(["--only", only] if only is not None else [])]
    collected: dict[str, dict[str, Any]] = {}
    for _ in range(PLANS[plan_name].processes):
        for record in _records(arguments):
            seen = collected.setdefault(record["name"], {})
            for key, value in record.items():
                if isinstance(value, list):
                    seen.setdefault(key, []).extend(value)
                else:
                    seen[key] = value
            progress.step(_glance(record))
    return collected


def _glance(record: dict[str, Any]) -> str:
    if "skipped" in record:
        return f"{record['name']}: skipped, {record['skipped']}"
    ratio = ratios(record["rounds"], "stdlib", "ours")
    return record["name"] + (f": {ratio.median:.1f} times faster" if ratio else "")


def summarise(task: Task, record: dict[str, Any]) -> dict[str, Any]:
    """One row of the result: medians and quartiles."""
    rounds: list[Round] = record["rounds"]
    times = {name: spread.as_dict() for name, spread in by_implementation(rounds).items()}
    row: dict[str, Any] = {"operation": task.name, "group": task.group, "ns": times}
    if isinstance(task, Scenario) and task.series is not None:
        row |= {"series": task.series, "x": task.x if task.x is not None else task.threads}
    for key, slow, fast in (
        ("times_faster", "stdlib", "ours"),
        ("times_faster_than_fastrlock", "fastrlock", "ours"),
        ("fastrlock_times_faster", "stdlib", "fastrlock"),
        ("floor_times_faster", "stdlib", "floor"),
    ):
        ratio = ratios(rounds, slow, fast)
        row[key] = ratio.as_dict() if ratio else None
    for key in ("jain", "cpu_ns", "sleeps"):
        if key in record:
            row[key] = {n: s.as_dict() for n, s in by_implementation(record[key]).items()}
    return row


def build_result(plan_name: str, only: str | None) -> dict[str, Any]:
    """Measure and summarise."""
    plan = PLANS[plan_name]
    tasks, programs = select(plan_name, only), select_programs(only)
    progress = Progress(plan.processes * len(tasks) + plan.program_rounds * len(programs))
    collected = collect(plan_name, only, progress)
    measured = [task for task in tasks if collected[task.name].get("rounds")]
    program_rows = [
        processes.summarise(program, processes.rounds_of(program, plan_name, plan, progress.step))
        for program in programs
    ]
    return {
        "environment": environment(),
        "plan": {"name": plan_name, **asdict(plan)},
        "seconds": round(progress.finish(), 1),
        "rows": [summarise(task, collected[task.name]) for task in measured],
        "programs": program_rows,
        "skipped": {n: r["skipped"] for n, r in collected.items() if "skipped" in r},
    }


def write(path: Path, text: str) -> None:
    """*text* into *path*, whose folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"written: {path}", file=sys.stderr)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare stdlib, fastrlock and pyfastlock.")
    parser.add_argument(
        "--full",
        action="store_const",
        const="full",
        dest="plan",
        help="everything, with more rounds",
    )
    parser.add_argument("--plan", choices=sorted(PLANS), help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="REGEX", help="only what has such a name or group")
    parser.add_argument("--json", type=Path, metavar="PATH", help=f"default: in {OUTPUT.name}/")
    parser.add_argument(
        "--svg",
        type=Path,
        metavar="PATH",
        help="default: in that folder; the programs' chart has -programs in its name",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(plan="quick")
    options = parser.parse_args(arguments)
    if not select(options.plan, options.only) and not select_programs(options.only):
        parser.error(f"no operation matches {options.only!r}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parse(arguments)
    if options.worker:
        work(select(options.plan, options.only), PLANS[options.plan])
        return 0
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"the machine is busy (load {busy:.1f}): figures will spread", file=sys.stderr)
    for name, reason in implementations.missing().items():
        print(f"without {name}: {reason}", file=sys.stderr)
    result = build_result(options.plan, options.only)
    print(report(result))
    machine = result["environment"]
    write(options.json or OUTPUT / f"{slug(machine)}.json", json.dumps(result, indent=2) + "\n")
    svg = options.svg or OUTPUT / f"{slug(machine)}.svg"
    if any("series" in row for row in result["rows"]):
        write(svg.with_stem(f"{svg.stem}-curves"), line_charts.render(machine, result["rows"]))
    for rows, path, drawing in (
        (result["rows"], svg, bar_chart.OPERATIONS),
        (result["programs"], svg.with_stem(f"{svg.stem}-programs"), bar_chart.PROGRAMS),
    ):
        if rows:
            write(path, drawing.render(title(machine), subtitle(machine), rows, duration))
    return 0


if __name__ == "__main__":
    sys.exit(main())
