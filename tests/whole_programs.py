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
import functools
import importlib.util
import os
import re
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterable
from pathlib import Path

import compared_runs
from compared_runs import Outcomes, compare

# The ones that take longest begin first.
MODULES = (
    "test_multiprocessing_fork",
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

RUNNER = Path(__file__).resolve().with_name("whole_programs_runner.py")


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
                (packages / "sitecustomize.py").write_text(compared_runs.PATCHING)

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
            return compared_runs.run(command, results, self.limit_s, Path(work))

    def again(self, kind: str, names: Iterable[str], whole: str) -> Outcomes:
        """Run tests alone, each in a process of its own, as some depend on time; or the whole."""
        if not names:
            return self.run(kind, [whole])
        outcomes = Outcomes()
        for name in names:
            told = self.run(kind, [name])
            outcomes.tests[name] = (told.of(name), told.text_of(name))
        return outcomes


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
            again = functools.partial(environment.again, whole=name)
            good = compare(name, plain, patched, again, EXPECTED) and good
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
