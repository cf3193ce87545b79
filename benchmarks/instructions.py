"""How many machine instructions an operation takes, counted by valgrind.

    python benchmarks/instructions.py [--only REGEX] [--full]

A count does not depend on what else the machine does, so a difference of a few instructions shows
where a time would drown it.  Each figure comes from two runs under ``valgrind --tool=callgrind``
that differ in the number of operations alone: their difference, over the number of operations,
less the empty loop's.

To start an interpreter under valgrind takes seconds, so one is started, and the runs are forks of
it.  A fork inherits the count so far, which is the same for both runs and drops out.
"""

import argparse
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from workloads import implementations
from workloads.operations import OPERATIONS, UNROLL, Operation, empty_loop

WARM_UP = 200
FEW, MANY = 100, 600
"""Loops of the two runs."""

EMPTY = "empty"
FLOOR = "floor"
COLUMNS = (*implementations.NAMES, FLOOR)
COLLECTED = re.compile(r"^==(\d+)== Collected\s*:\s*(\d+)", re.MULTILINE)

Key = tuple[str, str]
"""An operation's name and an implementation's."""


def run(operation: Operation | None, name: str, loops: int) -> None:
    """One run, the warm-up included.  The collector is off: it would run in one of two only."""
    gc.disable()
    if operation is None:
        loop = empty_loop()
    elif name == FLOOR:
        found = operation.floor_loop()
        assert found is not None
        loop = found
    else:
        with operation.prepared(implementations.get(name)) as loop:
            loop(WARM_UP)
            loop(loops)
        return
    loop(WARM_UP)
    loop(loops)


def in_fork(operation: Operation | None, name: str, loops: int) -> int:
    """One run in a fork; returns its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run(operation, name, loops)
            status = 0
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise RuntimeError(f"a run failed: {operation}, {name}")
    return pid


def count_all(operations: Sequence[Operation]) -> None:
    """What runs under valgrind: prints the process id of each run and what it was."""
    runs: list[tuple[Operation | None, str]] = [(None, EMPTY)]
    for operation in operations:
        able = [i.name for i in implementations.available() if operation.supported(i)]
        if operation.floor_loop() is not None:
            able.append(FLOOR)
        runs += [(operation, name) for name in able]
    for operation_, name in runs:
        pids = [in_fork(operation_, name, loops) for loops in (FEW, MANY)]
        label = EMPTY if operation_ is None else operation_.name
        print(*pids, name, label, sep="\t", flush=True)


def selected(only: str | None, full: bool) -> list[Operation]:
    """The operations to count."""
    if only is not None:
        return [operation for operation in OPERATIONS if re.search(only, operation.name)]
    return [operation for operation in OPERATIONS if operation.quick or full]


def _labelled_runs(
    command: Sequence[str], environment: dict[str, str], errors: int
) -> Iterator[tuple[Key, list[str]]]:
    """What the runs were and their process ids, as they end."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            few, many, name, label = line.rstrip("\n").split("\t")
            print(f"counted: {label}, {name}", file=sys.stderr, flush=True)
            yield (label, name), [few, many]
    if process.returncode != 0:
        raise RuntimeError(f"valgrind ended with status {process.returncode}, see above")


def count(valgrind: str, arguments: Sequence[str]) -> dict[Key, float]:
    """Instructions an operation, the loop still included."""
    tool = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    program = [sys.executable, __file__, "--under-valgrind"]
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryFile("w+") as errors:
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        # Once without valgrind: to compile the imported modules under it would take far longer.
        nothing = [*program, "--only", "(?!)"]
        subprocess.run(nothing, check=True, stdout=subprocess.DEVNULL, env=environment)
        try:
            pids = dict(_labelled_runs([*tool, *program, *arguments], environment, errors.fileno()))
        except RuntimeError:
            errors.seek(0)
            print(errors.read(), file=sys.stderr)
            raise
        errors.seek(0)
        log = errors.read()
    collected = {pid: int(number) for pid, number in COLLECTED.findall(log)}
    operations = (MANY - FEW) * UNROLL
    return {key: (collected[b] - collected[a]) / operations for key, (a, b) in pids.items()}


def table(counts: dict[Key, float]) -> str:
    """The counts, less the empty loop's, as aligned text."""
    empty = counts.pop((EMPTY, EMPTY))
    lines = [f"{'operation':34}" + "".join(f"{name:>11}" for name in COLUMNS)]
    for label in dict.fromkeys(label for label, _ in counts):
        cells = [
            f"{counts[label, name] - empty:.0f}" if (label, name) in counts else "-"
            for name in COLUMNS
        ]
        lines.append(f"{label:34}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description="Instructions an operation, under valgrind.")
    parser.add_argument("--only", metavar="REGEX", help="only operations whose name matches")
    parser.add_argument("--full", action="store_true", help="every operation")
    parser.add_argument("--under-valgrind", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.under_valgrind:
        count_all(selected(options.only, options.full))
        return 0
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("skipped: counting instructions needs valgrind, which is not installed")
        return 0
    counts = count(valgrind, arguments)
    print(f"Python {sys.version.split()[0]}, instructions an operation")
    print(table(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
