"""Explores all scenarios, and shows that planted bugs are found.

    python tests/explore/run.py                 the quick setting: within minutes
    python tests/explore/run.py --full          the long one
    python tests/explore/run.py --only mutex    scenarios whose names contain this, and no bugs
    python tests/explore/run.py --bugs WOKEN    bugs whose names contain this, and nothing else

Each scenario runs with a runtime lock (a model of the GIL) and without one, and the full setting
runs it with both ways to sleep.  A run of the full setting ends after so many schedules that the
whole takes a quarter of an hour: it is bounded, and the scenario runs within its quick limits, too.
A failed run prints the line that repeats it, step by step.  Standard library only.
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
FIGURES = re.compile(r": (\d+) schedules, (\d+) states, (\d+) steps, .* (\w+)$", re.MULTILINE)
REASON = re.compile(r"\w+\.[ch]:|asleep|the run")
LIMIT_S = 3600
MOST = 300_000
"""Schedules of a run in the full setting."""


class Task(NamedTuple):
    scenario: str
    options: tuple[str, ...]
    park: str

    @property
    def build(self) -> str:
        """Which build runs it: a core for a runtime with one lock is another one."""
        return f"{self.park}-{'gil' if '--gil' in self.options else 'none'}"


BUILDS = ("default-none", "default-gil", "condvar-none", "condvar-gil")


class Result(NamedTuple):
    task: Task
    passed: bool
    schedules: int
    states: int
    bounded: bool
    output: str


def program_of(build: str) -> Path:
    return BUILD / build / "explore"


def make(folder: Path, build: str, *settings: str) -> Path:
    park, runtime = build.split("-")
    command = ["make", "-s", f"BUILD={folder}", f"PARK={park}", f"RUNTIME={runtime}", *settings]
    subprocess.run(command, cwd=HERE, check=True, timeout=LIMIT_S)
    return folder / "explore"


def make_all(jobs: int) -> None:
    for build in BUILDS:
        make(BUILD / build, build, f"-j{jobs}")


def scenarios() -> list[list[str]]:
    """Their names, and whether each takes a runtime lock: gil, none or both."""
    command = [program_of(BUILDS[0]), "--list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split("\t")[:2] for line in sorted(listed.stdout.splitlines())]


def plan(parks: list[str], full: bool, only: str) -> list[Task]:
    tasks = []
    extra = ("--full", "--most", str(MOST)) if full else ()
    for park in parks:
        for name, runtime in scenarios():
            if only in name:
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
    bounded = figures is not None and figures[4] == "bounded"
    output = run.stdout + run.stderr
    if run.returncode < 0:
        output += f"ended by signal {-run.returncode}\n"
    passed = run.returncode == 0 and figures is not None
    return Result(task, passed, schedules, states, bounded, output)


def explore_all(tasks: list[Task], jobs: int) -> list[Result]:
    results = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(explore, program_of(task.build), task) for task in tasks]
        for run in concurrent.futures.as_completed(runs):
            result = run.result()
            results.append(result)
            park = "" if result.task.park == "default" else f"[{result.task.park}] "
            print(park + result.output.strip(), flush=True)
    return results


def within_quick_limits(bounded: list[Result], jobs: int) -> list[Result]:
    """What the bounded runs may have left out, as far as the quick setting goes."""
    print(f"{len(bounded)} runs are bounded; the same within their quick limits:", flush=True)
    without = {"--full", "--most", str(MOST)}
    tasks = [
        result.task._replace(options=tuple(o for o in result.task.options if o not in without))
        for result in bounded
    ]
    return explore_all(tasks, jobs)


# ---- planted bugs ----


def task_of(bug: Bug) -> Task:
    scenario, *options = shlex.split(bug.scenario)
    return Task(scenario, tuple(options), bug.park)


def plant(bug: Bug, number: int) -> Path:
    """Returns a build folder with a core that has the bug.

    What does not depend on the change is not compiled again.
    """
    folder = BUILD / "bugs" / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BUILD / task_of(bug).build, folder)
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
    task = task_of(bug)
    folder = plant(bug, number)
    try:
        # A line that was dropped may leave a function without a use.
        program = make(folder, task.build, f"CSRC={folder / 'csrc'}", "WARNINGS=-w")
        result = explore(program, task)
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
    make_all(options.jobs)
    tasks: list[Task] = []
    if options.bugs is None:
        parks = ["default", "condvar"] if options.full else ["default"]
        tasks = plan(parks, options.full, options.only or "")
    results = explore_all(tasks, options.jobs)
    bounded = [result for result in results if result.bounded]
    again = within_quick_limits(bounded, options.jobs) if bounded else []
    bugs = [
        i for i, bug in enumerate(BUGS) if options.only is None and (options.bugs or "") in bug.name
    ]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        found = sum(pool.map(find_bug, bugs))
    # A schedule within the quick limits may be one of a bounded run: it is not counted twice.
    failed = sum(not result.passed for result in results + again)
    schedules = sum(result.schedules for result in results)
    states = sum(result.states for result in results)
    if bounded:
        complete = sum(not result.bounded for result in again)
        print(
            f"{len(results) - len(bounded)} runs complete, {len(bounded)} bounded at {MOST:,} "
            f"schedules, {complete} of these complete within the quick limits"
        )
    print(f"{states:,} states, {time.monotonic() - begin:.0f} s")
    print(
        f"explored {schedules:,} schedules in {len(results)} scenarios, {failed} failed; "
        f"planted bugs found: {found} of {len(bugs)}"
    )
    return 1 if failed or found < len(bugs) or not (results or bugs) else 0


if __name__ == "__main__":
    sys.exit(main())
