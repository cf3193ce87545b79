"""How much memory a lock takes: resident bytes an object, over a million of them.

    python benchmarks/memory.py [--count N]

Every figure comes from a fresh process: by how much its resident size grows while a list is filled
with N free objects of one type, divided by N.  The list itself is there from the start.
"""

import argparse
import functools
import gc
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workloads import implementations

STATM = Path("/proc/self/statm")
TYPES = implementations.TYPES


def resident_bytes() -> int:
    """The resident size now; where the system does not tell, its maximum so far."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def bytes_each(name: str, type_: str, count: int) -> float:
    """Resident bytes an object of *type_*, in this process."""
    factory = functools.partial(implementations.get(name).new, type_)
    keep = [factory() for _ in range(1000)]  # warm: the first ones pay for what all share
    objects: list[object] = [None] * count
    gc.collect()
    gc.disable()
    before = resident_bytes()
    for index in range(count):
        objects[index] = factory()
    after = resident_bytes()
    del keep
    return (after - before) / count


def in_fresh_process(name: str, type_: str, count: int) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--count", str(count), "--one", name, type_]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Resident bytes an object.")
    parser.add_argument("--count", type=int, default=1_000_000, help="objects of each type")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "TYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(bytes_each(*options.one, options.count))
        return 0
    print(
        f"Python {sys.version.split()[0]}, resident bytes an object over {options.count:,} objects"
    )
    print(f"{'type':18}" + "".join(f"{name:>12}" for name in implementations.NAMES))
    available = {i.name: i for i in implementations.available()}
    for type_ in TYPES:
        cells = [
            f"{in_fresh_process(name, type_, options.count):.0f}"
            if name in available and getattr(available[name], type_) is not None
            else "-"
            for name in implementations.NAMES
        ]
        print(f"{type_:18}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
