"""Plants small faults in the C code, one at a time, and sees which test finds each.

    python tests/mutation/run.py --python build/.../venv/bin/python
    ... --debug-python build/...  that of a debug build, for what is left behind
    ... --sample 400 --seed 1     how many faults, and which ones
    ... --jobs 2                  side by side
    ... --only csrc/core          faults in files whose names contain this
    ... --show 'core/cond.c'      what is known of these, without running anything
    ... --again 'core/cond.c'     forget what is known of those that survived there

What is known is in build/mutation/results.jsonl, so a run that was stopped goes on. A fault that no
test finds must be in survivors.md, with a reason; otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from builds import (
    ROOT,
    CannotBuildError,
    CoreBuild,
    ExtensionBuild,
    FaultyBuild,
    SameCodeError,
)
from mutants import LEFT_OUT, Mutant, mutants_of
from plan import Stage, has_orderings, stages_for

ROOMS = ["core", "park", "py", "types"]
SURVIVORS = Path(__file__).with_name("survivors.md")
RESULTS = ROOT / "build/mutation/results.jsonl"
TIMES = RESULTS.with_name("times.json")

C_LIMIT_S = 60
PYTEST_LIMIT_S = 400
EXPLORE_LIMIT_S = 120
"""After so many seconds a test is taken to hang. Without a fault the slowest takes a quarter of
that on a busy machine."""

EXPLORE_ALL_S = 60
"""After so many seconds the explorer begins with no further scenario."""

C_LEAST_S = 10
C_TIMES = 10
"""A C test hangs when it takes so many times as long as it did without a fault, and so many seconds
at least."""

SELECTED = "not [stdlib and not -stdlib and not test_main and not children_end_within_their_limit"
"""Our side of the tests; the last one is about limits that quick.py changes. (The word alone would
leave out the marker `fails_on_stdlib`, too.)"""

PYTEST = [
    *("-m", "pytest", "-q", "-x", "--no-header", "-p", "quick", "-p", "no:cacheprovider"),
    *("-k", SELECTED, "-o", "faulthandler_timeout=20"),
]
CORE_FLAGS = {
    "c": [],
    "c condvar": ["-DFL_PARK_CONDVAR=1"],
    "c leaks": ["-fsanitize=address"],
    "c faults": [],
}
"""What the core is compiled with for each way to run the C tests."""

FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def run_limited(
    command: list[str], limit_s: float, env: dict[str, str] | None = None
) -> tuple[int, str]:
    """The exit status and the output; the status of `timeout` where the time is over."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return 124, output.decode(errors="replace")
        return process.returncode, output.decode(errors="replace")


class Bench:
    """The builds of one worker, made when they are needed, and the ways to run tests on them."""

    def __init__(self, folder: Path, pythons: dict[str, Path]):
        self.folder = folder
        self.pythons = pythons
        self.builds: dict[str, Any] = {}
        self.times: dict[str, float] = {}
        if TIMES.exists():
            self.times = json.loads(TIMES.read_text(encoding="utf-8"))

    def build(self, runner: str) -> Any:
        name = "c" if runner in {"explore", "litmus"} else runner
        if name not in self.builds:
            folder = self.folder / name.replace(" ", "-")
            if name in self.pythons:
                self.builds[name] = ExtensionBuild(folder, self.pythons[name])
            else:
                kind = FaultyBuild if name == "c faults" else CoreBuild
                self.builds[name] = kind(folder, *CORE_FLAGS[name])
        return self.builds[name]

    def try_stage(self, stage: Stage) -> tuple[str, str] | None:
        """None where all passes; otherwise what failed, and how."""
        build = self.build(stage.runner)
        match stage.runner:
            case "pytest":
                return self.pytest(build, stage)
            case "refleaks":  # references may grow once by chance
                return self.pytest(build, stage) and self.pytest(build, stage)
            case "explore":
                return self.explore(build, stage.what)
            case "litmus":
                return self.litmus(build)
        for test in stage.what:
            limit_s = self.times.get(f"{stage.runner} {test}", C_LIMIT_S / C_TIMES) * C_TIMES
            command = build.command(f"tests/c/{test}.c")
            status, _ = run_limited(command, max(C_LEAST_S, limit_s))
            if status != 0:
                return f"tests/c/{test}.c", how(status)
        return None

    def measure(self, runner: str, tests: list[str]) -> None:
        """Note how long the C tests take without a fault."""
        for test in tests:
            begun = time.monotonic()
            run_limited(self.build(runner).command(f"tests/c/{test}.c"), C_LIMIT_S)
            self.times[f"{runner} {test}"] = round(time.monotonic() - begun, 2)
        TIMES.write_text(json.dumps(self.times), encoding="utf-8")

    def pytest(self, build: ExtensionBuild, stage: Stage) -> tuple[str, str] | None:
        option = ["--refleaks"] if stage.runner == "refleaks" else []
        command = [str(build.python), *PYTEST, *option, *stage.what]
        begun = build.folder / "begun"
        begun.write_text(stage.what[0], encoding="utf-8")
        env = build.environment() | {"MUTATION_BEGUN": str(begun)}
        status, output = run_limited(command, PYTEST_LIMIT_S, env)
        if status in {0, 5}:
            return None
        found = FAILED.search(output)
        if found is not None:
            return found[1], "failed"
        return begun.read_text(encoding="utf-8"), how(status)

    def explore(self, build: CoreBuild, words: tuple[str, ...]) -> tuple[str, str] | None:
        """All scenarios that have time, those first that one of the words names."""
        found: list[tuple[str, Path, list[str]]] = []
        for runtime, options in (("none", []), ("gil", ["--gil"])):
            folder = build.folder / "explore" / runtime
            make = ["make", "-s", "-C", "tests/explore", f"CSRC={build.folder / 'csrc'}"]
            make += [f"BUILD={folder}", f"RUNTIME={runtime}", "WARNINGS=-w"]
            status, output = run_limited(make, EXPLORE_LIMIT_S)
            if status != 0:
                return f"explorer: {output[-300:]}", how(status)
            program = folder / "explore"
            lines = run_limited([str(program), "--list"], EXPLORE_LIMIT_S)[1].splitlines()
            listed = [line.split("\t")[:2] for line in lines]
            found += [
                (name, program, options) for name, takes in listed if takes in ("both", runtime)
            ]
        deadline = time.monotonic() + EXPLORE_ALL_S
        for name, program, options in sorted(found, key=lambda f: [w not in f[0] for w in words]):
            if time.monotonic() > deadline:
                return None
            status, _ = run_limited([str(program), name, *options], EXPLORE_LIMIT_S)
            if status not in {0, 124}:
                return " ".join(["explorer", name, *options]), how(status)
        return None

    def litmus(self, build: CoreBuild) -> tuple[str, str] | None:
        folder = build.folder / "tests" / "litmus"
        shutil.copytree(ROOT / "tests" / "litmus", folder, dirs_exist_ok=True)
        command = [sys.executable, str(folder / "run.py"), "--code"]
        status, _ = run_limited(command, C_LIMIT_S)
        return ("tests/litmus", "failed") if status else None

    def check(self, mutants: list[Mutant]) -> None:
        """Without a fault every test has to pass."""
        passed = self.folder / "passed"
        done = passed.read_text(encoding="utf-8").splitlines() if passed.exists() else []
        wanted: dict[str, dict[str, None]] = {}
        for mutant in mutants:
            for stage in stages_for(mutant, debug="refleaks" in self.pythons):
                if stage.runner != "refleaks":
                    wanted.setdefault(stage.runner, {}).update(dict.fromkeys(stage.what))
        for runner, what in wanted.items():
            line = f"{self.build(runner).stamp()} {runner} {SELECTED} {' '.join(what)}"
            if line in done:
                continue
            print(f"the code as it is: {runner}, {len(what)} files", flush=True)
            names = list(what)
            if runner in {"explore", "litmus"}:
                names = names[:1]  # they do the same whatever the name is, in another order
            elif runner in CORE_FLAGS:
                self.measure(runner, names)
            stages = [Stage(runner, tuple(names[i : i + 5])) for i in range(0, len(names), 5)]
            failed = next(filter(None, map(self.try_stage, stages)), None)
            if failed:
                raise SystemExit(f"mutation: without a fault, {failed[0]} {failed[1]}")
            with passed.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def judge(self, mutant: Mutant) -> dict[str, Any]:
        """What became of the mutant, and what killed it."""
        stages = stages_for(mutant, debug="refleaks" in self.pythons)
        begun = time.monotonic()
        verdict: dict[str, Any] = {"verdict": "survived", "killer": None, "how": None}
        same = 0
        runners = list(dict.fromkeys(stage.runner for stage in stages))
        groups = [[stage for stage in stages if stage.runner == runner] for runner in runners]
        for group in groups:
            try:
                with self.build(group[0].runner).mutated(mutant):
                    killed = next(filter(None, map(self.try_stage, group)), None)
            except CannotBuildError:
                verdict["verdict"] = "not built"
                break
            except SameCodeError:
                same += 1
                continue
            if killed:
                verdict |= {"verdict": "killed", "killer": killed[0], "how": killed[1]}
                break
        if same == len(groups):
            verdict["verdict"] = "same code"
        return verdict | {"seconds": round(time.monotonic() - begun, 1)}


def how(status: int) -> str:
    if status == 124:
        return "time"
    return "crashed" if status < 0 or status > 128 else "failed"


def all_mutants() -> list[Mutant]:
    found = []
    for room in ROOMS:
        for file in sorted((ROOT / "csrc" / room).rglob("*.[ch]")):
            path = str(file.relative_to(ROOT))
            if not any(re.fullmatch(pattern, path) for pattern in LEFT_OUT):
                found += mutants_of(ROOT, path, orderings=has_orderings())
    return found


def known_results() -> dict[str, dict[str, Any]]:
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return {result["key"]: result for result in map(json.loads, lines)}


def keep(results: list[dict[str, Any]]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(result) + "\n" for result in results)
    RESULTS.write_text(text, encoding="utf-8")


def explained() -> set[str]:
    """The keys that survivors.md lists: the lines of its blocks of code."""
    text = SURVIVORS.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return {line for block in blocks for line in block.splitlines()}


COUNTED = {"killed", "survived"}


class Draw:
    """The mutants in the order of the draw, until enough of them count."""

    def __init__(self, mutants: list[Mutant], sample: int, known: dict[str, dict[str, Any]]):
        self.rest = iter(mutants)
        self.sample = sample
        self.known = known
        self.drawn: list[str] = []
        self.lock = threading.Lock()
        self.pending = 0

    def counted(self) -> int:
        return sum(self.known[k]["verdict"] in COUNTED for k in self.drawn if k in self.known)

    def next(self) -> Mutant | None:
        """The next one that has to be judged; None when there are enough."""
        with self.lock:
            while self.counted() + self.pending < self.sample:
                mutant = next(self.rest, None)
                if mutant is None:
                    return None
                self.drawn.append(mutant.key)
                if mutant.key not in self.known:
                    self.pending += 1
                    return mutant
            return None

    def judged(self, result: dict[str, Any]) -> int:
        with self.lock:
            self.pending -= 1
            self.known[result["key"]] = result
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            return self.counted()


def work(
    number: int, draw: Draw, pythons: dict[str, Path], failures: queue.Queue[BaseException]
) -> None:
    bench = Bench(RESULTS.parent / f"job{number}", pythons)
    try:
        while (mutant := draw.next()) is not None:
            verdict = bench.judge(mutant)
            result = {"key": mutant.key, "kind": mutant.kind, "line": mutant.start + 1} | verdict
            n = draw.judged(result)
            killer = f" by {result['killer']} ({result['how']})" if result["killer"] else ""
            print(f"[{n}/{draw.sample}] {result['verdict']}{killer}: {mutant.key}", flush=True)
    except BaseException as exc:
        failures.put(exc)
        raise


def report(results: list[dict[str, Any]]) -> int:
    """Print who killed how many, and which survivors nobody has explained. The exit status."""
    counted = [result for result in results if result["verdict"] in COUNTED]
    survived = [result["key"] for result in counted if result["verdict"] == "survived"]
    killers = Counter(
        re.sub(r"::.*|(?<=explorer).*", "", r["killer"]) for r in counted if r["killer"]
    )
    print("\nkillers:")
    for name, n in killers.most_common():
        print(f"{n:5} {name}")
    reasons = explained()
    open_ones = [key for key in survived if key not in reasons]
    for key in open_ones:
        print(f"NOT EXPLAINED: {key}")
    for key in sorted(reasons & {r["key"] for r in counted} - set(survived)):
        print(f"killed, though survivors.md lists it: {key}")
    killed = len(counted) - len(survived)
    print(
        f"mutation: {len(counted)} mutants, {killed} killed ({killed / max(1, len(counted)):.1%}), "
        f"{len(survived)} survived, {len(survived) - len(open_ones)} of them explained"
    )
    return 1 if open_ones else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--debug-python", type=Path)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--show")
    parser.add_argument("--again")
    args = parser.parse_args()

    known = known_results()
    if args.show is not None:
        for result in known.values():
            if args.show in result["key"] or args.show == result["verdict"]:
                print(result["verdict"], result["killer"] or "", result["key"])
        return 0
    if args.again is not None:
        again = {k for k, r in known.items() if args.again in k and r["verdict"] == "survived"}
        known = {key: result for key, result in known.items() if key not in again}
        print(f"{len(again)} are tried again")
    keep(list(known.values()))

    mutants = [mutant for mutant in all_mutants() if args.only in mutant.path]
    mutants.sort(key=lambda mutant: mutant.rank(args.seed))
    pythons = {"pytest": args.python.absolute()}
    if args.debug_python:
        pythons["refleaks"] = args.debug_python.absolute()
    Bench(RESULTS.parent / "job0", pythons).check(mutants)
    draw = Draw(mutants, min(args.sample, len(mutants)), known)
    failures: queue.Queue[BaseException] = queue.Queue()
    with ThreadPoolExecutor(args.jobs) as pool:
        for number in range(args.jobs):
            pool.submit(work, number, draw, pythons, failures)
    if not failures.empty():
        raise failures.get()
    return report([draw.known[key] for key in draw.drawn if key in draw.known])


if __name__ == "__main__":
    sys.exit(main())
