"""The floor of the scenarios: the same in bare C, pthreads.c, each time in a process of its own.

It is compiled on demand, into a temporary directory, with the compiler that built the interpreter.
Where there is none, there is no floor, and everything else works.
"""

import atexit
import functools
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from workloads.sample import Sample

SOURCE = Path(__file__).with_name("pthreads.c")
LIMIT_S = 60


@functools.cache
def program() -> Path | None:
    """The compiled program, or None where it cannot be compiled."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = Path(folder) / "pthreads"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[:1]
    command = [*compiler, "-O2", "-pthread", str(SOURCE), "-o", str(target)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return target


def runner(name: str, threads: int) -> Callable[[int], Sample] | None:
    """A function of the size that runs the scenario of that name, or None."""
    target = program()
    if target is None:
        return None

    def run(size: int) -> Sample:
        command = [str(target), name, str(threads), str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
        operations, seconds, cpu_seconds, sleeps = done.stdout.split()
        return Sample(int(operations), float(seconds), float(cpu_seconds), int(sleeps))

    return run
