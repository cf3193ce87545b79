"""What an import costs: the package, beside an extension module with hardly anything in it.

    python benchmarks/imports.py [--rounds N]

Each figure is the median over N fresh interpreters without site (``-S -I``), in which nothing but
the import is timed.  The package needs `threading`, which a program with locks has imported anyway;
so there is a line for the package where `threading` is there already.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from output.report import aligned, duration
from workloads import floor

CODE = """
import sys, time
sys.path[:0] = sys.argv[3:]
for name in sys.argv[2].split():
    __import__(name)
begin = time.perf_counter_ns()
__import__(sys.argv[1])
print(time.perf_counter_ns() - begin)
"""

CASES = {
    "an extension with one empty type": (floor.NAME, ""),
    "threading": ("threading", ""),
    "pyfastlock, after threading": ("pyfastlock", "threading"),
    "pyfastlock, and threading with it": ("pyfastlock", ""),
}
"""The module, and what has been imported before it."""


def import_ns(name: str, before: str, folders: Sequence[str]) -> int:
    """What the import of *name* takes in a fresh interpreter that has imported *before*."""
    command = [sys.executable, "-S", "-I", "-c", CODE, name, before, *folders]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return int(ended.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=51, metavar="N", help="default: 51")
    rounds = parser.parse_args(arguments).rounds
    spec = find_spec("pyfastlock")
    if spec is None or spec.origin is None:
        parser.error("pyfastlock is not installed")
    package = str(Path(spec.origin).parent.parent)
    times: dict[str, list[int]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        if floor.build(Path(folder)) is None:
            print("skipped: the extension to compare with needs a C compiler")
            return 0
        for case, (name, before) in list(CASES.items()) * rounds:
            times[case].append(import_ns(name, before, [folder, package]))
    medians = {case: statistics.median(its) for case, its in times.items()}
    empty = next(iter(medians.values()))
    cells = [(case, duration(ns), duration(ns - empty)) for case, ns in medians.items()]
    print(f"Python {sys.version.split()[0]}")
    print(aligned([("import", "time", "above the extension"), *cells]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
