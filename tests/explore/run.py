"""Explores all scenarios, and shows that planted bugs are found.

    python tests/explore/run.py                 the quick setting: within minutes
    python tests/explore/run.py --full          the long one
    python tests/explore/run.py --only mutex    scenarios whose names contain this, and no bugs
    python tests/explore/run.py --bugs WOKEN    bugs whose names contain this, and nothing else

Each scenario runs with a runtime lock (a model of the GIL) and without one, and the full setting
runs it with both ways to sleep.  A failed run prints the line that repeats it, step by step.
Standard library only.
"""

import argparse
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bug import Bug
from bugs import BUGS

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
BUILD = HERE / "build"
FIGURES = re.compile(
    r": (\d+) schedules, (\d+) states, (\d+) steps, .* (\w+( off)?)$", re.MULTILINE
)
REASON = re.compile(r"\w+\.[ch]:|asleep|the run")
LIMIT_S = 3600


class Task(NamedTuple):
    scenario: str
    options: tuple[str, ...]
    park: str


class Result(NamedTuple):
    task: Task
    passed: bool
    schedules: int
    states: int
    output: str


def build(folder: Path, park: str, csrc: Path = CSRC) -> Path:
    command = ["make", "-s", f"BUILD={folder}", f"PARK={park}", f"CSRC={csrc}"]
    if csrc != CSRC:
        command.append("WARNINGS=-w")  # what a bug leaves over
    subprocess.run(command, cwd=HERE, check=True, timeout=LIMIT_S)
    return folder / "explore"


def scenarios(program: Path) -> list[tuple[str, str]]:
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    return [tuple(line.split("\t")[:2]) for line in sorted(listed.stdout.splitlines())]


def plan(program: Path, parks: list[str], full: bool, only: str) -> list[Task]:
    tasks = []
    for park in parks:
        for name, runtime in scenarios(program):
            if only in name:
                extra = ("--full",) if full else ()
                if runtime != "gil":
                    tasks.append(Task(name, extra, park))
                if runtime != "none":
                    tasks.append(Task(name, ("--gil", *extra), park))
    return tasks


def explore(program: Path, task: Task) -> Result:
    command = [program, task.scenario, *task.options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    figures = FIGURES.search(run.stdout)
    schedules, states = (int(figures[1]), int(figures[2])) if figures else (0, 0)
    output = run.stdout + run.stderr
    if run.returncode < 0:
        output += f"ended by signal {-run.returncode}\n"
    return Result(task, run.returncode == 0 and figures is not None, schedules, states, output)


def explore_all(programs: dict[str, Path], tasks: list[Task], jobs: int) -> list[Result]:
    results = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(explore, programs[task.park], task) for task in tasks]
        for run in concurrent.futures.as_completed(runs):
            result = run.result()
            results.append(result)
            park = "" if result.task.park == "default" else f"[{result.task.park}] "
            print(park + result.output.strip(), flush=True)
    return results


# ---- planted bugs ----


def plant(bug: Bug, number: int) -> Path:
    """Returns a build folder with a core that has the bug.

    What does not depend on the change is not compiled again.
    """
    folder = BUILD / "bugs" / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BUILD / bug.park, folder)
    shutil.copytree(CSRC, folder / "csrc")
    path = folder / "csrc" / bug.file
    text = path.read_text()
    times = text.count(bug.old)
    if times != 1:
        sys.exit(f"explore: {bug.name!r}: {bug.file} has the text to change {times} times")
    path.write_text(text.replace(bug.old, bug.new))
    (folder / "explore").unlink()
    for rule in folder.rglob("*.d"):
        if bug.file in rule.read_text():
            rule.with_suffix(".o").unlink(missing_ok=True)
            rule.unlink()
    return folder


def find_bug(number: int) -> bool:
    bug = BUGS[number]
    folder = plant(bug, number)
    try:
        program = build(folder, bug.park, folder / "csrc")
        scenario, *options = shlex.split(bug.scenario)
        result = explore(program, Task(scenario, tuple(options), bug.park))
        found = not result.passed and "FAILED" in result.output
        lines = [line for line in result.output.splitlines() if REASON.match(line)]
        how = f"found by {bug.scenario}" if found else f"NOT FOUND by {bug.scenario}"
        print(f"{how}: {bug.name}: {lines[0] if lines else ''}", flush=True)
        if not found:
            print(result.output)
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", metavar="NAME")
    parser.add_argument("--bugs", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    begin = time.monotonic()
    programs = {park: build(BUILD / park, park) for park in ("default", "condvar")}
    tasks: list[Task] = []
    if options.bugs is None:
        parks = ["default", "condvar"] if options.full else ["default"]
        tasks = plan(programs["default"], parks, options.full, options.only or "")
    results = explore_all(programs, tasks, options.jobs)
    bugs = [
        i for i, bug in enumerate(BUGS) if options.only is None and (options.bugs or "") in bug.name
    ]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        found = sum(pool.map(find_bug, bugs))
    failed = sum(not result.passed for result in results)
    schedules = sum(result.schedules for result in results)
    states = sum(result.states for result in results)
    print(f"{states:,} states, {time.monotonic() - begin:.0f} s")
    print(
        f"explored {schedules:,} schedules in {len(results)} scenarios, {failed} failed; "
        f"planted bugs found: {found} of {len(bugs)}"
    )
    return 1 if failed or found < len(bugs) or not (results or bugs) else 0


if __name__ == "__main__":
    sys.exit(main())
