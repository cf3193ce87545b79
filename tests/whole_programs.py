"""Runs CPython's own tests of whole parts of the standard library with `threading` patched.

    python tests/whole_programs.py [--jobs N] [--limit SECONDS] [NAME...]

Each of the modules below is run twice by the interpreter that runs this script, which must have
pyfastlock installed: plain, and patched.  The patched run is `python -m pyfastlock`, in a virtual
environment that also patches every interpreter which the tests start themselves.  A test that
passes plain has to pass patched; one that fails patched is given two more chances, alone, as some
of these tests depend on time.  The differences that are in the nature of things are listed in
EXPECTED, and are printed.  Prints a line a module, and exits with 1 if anything is different.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterable
from pathlib import Path

# The ones that take longest begin first.
MODULES = (
    "test_threading",
    "test_logging",
    "test_concurrent_futures",
    "test_queue",
    "test_threadsignals",
    "test_sched",
    "test_socketserver",
)

LEFT_OUT = re.compile("[Pp]rocess_?[Pp]ool|[Ii]nterpreter_?[Pp]ool|FailingInitializerResources")
"""Of test_concurrent_futures: pools of processes and of interpreters."""

EXPECTED = {
    "test_threading.EventTests.test_at_fork_reinit": (
        "takes the private lock inside the standard library's Event; ours has none"
    ),
    "test_threading.MiscTestCase.test__all__": (
        "expects the module of threading's classes to be threading; ours is pyfastlock"
    ),
    "test_threading.ThreadTests.test_disallow_instantiation": (
        "expects that the type of a lock cannot be called, as before 3.13; ours is Lock itself"
    ),
    "test_threading.ThreadTests.test_import_from_another_thread": (
        "expects a process that has not imported threading; this script's patching has"
    ),
}
"""Tests that fail patched and need not pass, with the reason."""

CHANCES = 2
"""How often a test that failed patched is run again."""

GOOD = ("passed", "skipped", "expected failure")

RUNNER = Path(__file__).resolve().with_name("whole_programs_runner.py")

PATCHING = """\
import pyfastlock
pyfastlock.patch()
"""


class Environment:
    """Two virtual environments that differ in one thing: whether their interpreter is patched."""

    def __init__(self, folder: Path, limit_s: float) -> None:
        self.folder = folder
        self.limit_s = limit_s
        spec = importlib.util.find_spec("pyfastlock")
        if spec is None or spec.origin is None:
            raise SystemExit("whole_programs.py: pyfastlock is not installed")
        for kind in ("plain", "patched"):
            venv.create(folder / kind, symlinks=True, with_pip=False)
            paths = sysconfig.get_paths(
                "venv", vars={"base": str(folder / kind), "platbase": str(folder / kind)}
            )
            packages = Path(paths["platlib"])
            (packages / "pyfastlock").symlink_to(Path(spec.origin).parent)
            if kind == "patched":
                (packages / "sitecustomize.py").write_text(PATCHING)

    def run(self, kind: str, names: Iterable[str]) -> Outcomes:
        """Run these modules or tests in a process of their own."""
        names = list(names)
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            results = Path(work, "results")
            command = [
                *(str(self.folder / kind / "bin" / "python"), "-P", "-X", "faulthandler"),
                *(("-m", "pyfastlock") if kind == "patched" else ()),
                *(str(RUNNER), str(results), kind, str(self.limit_s)),
                *(LEFT_OUT.pattern, *names),
            ]
            begin = time.monotonic()
            with Path(work, "output").open("w+b") as output:
                # In a session of its own: with it end the processes that a test has left.
                process = subprocess.Popen(
                    command,
                    cwd=work,
                    env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    # After the limit it ends itself, and shows where its threads stand.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(self.limit_s + 30)
                finally:
                    kill_group(process)
                output.seek(0)
                told = output.read().decode(errors="replace")
            lines = results.read_text().splitlines() if results.exists() else []
        outcomes = Outcomes(process.returncode, told, time.monotonic() - begin)
        for line in lines:
            outcomes.add(*json.loads(line))
        return outcomes


def kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # nobody of it is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Outcomes:
    """What one run told: for each test its outcome, and a text if it failed."""

    def __init__(self, status: int, output: str, seconds: float) -> None:
        self.status = status
        self.output = output
        self.seconds = seconds
        self.tests: dict[str, tuple[str, str]] = {}

    def add(self, name: str, outcome: str, text: str) -> None:
        if self.tests.get(name, ("",))[0] != "failed":  # as of an earlier subtest
            self.tests[name] = (outcome, text)

    def of(self, name: str) -> str:
        return self.tests.get(name, ("missing", ""))[0]

    def finished(self) -> bool:
        return self.status == 0 and bool(self.tests)

    def summary(self) -> str:
        counts: dict[str, int] = {}
        for outcome, _ in self.tests.values():
            counts[outcome] = counts.get(outcome, 0) + 1
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        ended = "" if self.finished() else f" ENDED WITH STATUS {self.status}"
        return f"{told or 'nothing'} in {self.seconds:.0f} s{ended}"


def worse(plain: Outcomes, patched: Outcomes) -> list[str]:
    """The tests that are good plain, or that the plain run has not reached, and not so patched."""
    return [
        name
        for name in plain.tests | patched.tests
        if (plain.of(name) in GOOD and patched.of(name) != plain.of(name))
        or (plain.of(name) == "missing" and patched.of(name) not in GOOD)
    ]


def compare(environment: Environment, module: str, plain: Outcomes, patched: Outcomes) -> bool:
    """Print what is different; whether there is nothing that should not be."""
    if not plain.finished():
        plain = once_more(environment, "plain", module, plain)
    if not patched.finished():
        patched = once_more(environment, "patched", module, patched)
    print(f"{module}: plain {plain.summary()}; patched {patched.summary()}")
    for name, (outcome, _) in plain.tests.items():
        if outcome not in GOOD:
            print(f"  {name}: {outcome} plain too, and so not counted")
    good = True
    for kind, outcomes in (("plain", plain), ("patched", patched)):
        if not outcomes.finished():
            good = False
            print(f"  NOT COMPARED as a whole: the {kind} run died; it printed\n{outcomes.output}")
    for name in worse(plain, patched):
        if name in EXPECTED:
            print(f"  {name}: expected: {EXPECTED[name]}")
        elif not passes_alone(environment, name, plain.of(name)):
            good = False
    return good


def once_more(environment: Environment, kind: str, module: str, died: Outcomes) -> Outcomes:
    print(f"{module}: the {kind} run died and is run again; it printed\n{died.output}")
    return environment.run(kind, [module])


def passes_alone(environment: Environment, name: str, wanted: str) -> bool:
    """Give a test its other chances; `wanted` is its outcome plain."""
    for chance in range(1, CHANCES + 1):
        again = environment.run("patched", [name])
        outcome, text = again.tests.get(name, ("missing", again.output))
        if outcome == wanted or (wanted == "missing" and outcome in GOOD):
            print(f"  {name}: failed patched at first, {outcome} alone (run {chance})")
            return True
    print(f"  {name}: DIFFERENT: plain {wanted}, patched {outcome}\n{text}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(MODULES))
    parser.add_argument(
        "--jobs",
        type=int,
        default=int(os.environ.get("JOBS", "0")) or 2 * (os.cpu_count() or 1),
        help="how many processes side by side (JOBS in the environment; these tests mostly wait)",
    )
    parser.add_argument("--limit", type=float, default=300, help="seconds for each process")
    options = parser.parse_args()

    wanted = options.names or MODULES
    there = [name for name in wanted if find(f"test.{name}")]
    for name in wanted:
        if name not in there:
            print(f"SKIPPED {name}: {sys.executable} ({sys.version.split()[0]}) does not have it")
    if not there:
        return 0

    good = True
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder), options.limit)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as executor:
            runs = {
                (name, kind): executor.submit(environment.run, kind, [name])
                for name in there
                for kind in ("plain", "patched")
            }
        for name in there:
            plain, patched = (runs[name, kind].result() for kind in ("plain", "patched"))
            good = compare(environment, name, plain, patched) and good
    verdict = "no difference that is not expected" if good else "there are DIFFERENCES"
    print(f"{verdict}; {time.monotonic() - begin:.0f} s on {sys.version}")
    return 0 if good else 1


def find(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
