"""What `import pyfastlock` brings with it: itself, what `threading` imports anyway, and `gc`, which
is in the interpreter and has no file."""

import subprocess
import sys
from pathlib import Path

import pytest

import pyfastlock

OURS = {
    "gc",
    "pyfastlock",
    "pyfastlock._contention",
    "pyfastlock._core",
    "pyfastlock._methods",
    "pyfastlock._neighbours",
    "pyfastlock._patch",
    "pyfastlock._waits",
}

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import threading  # the C code needs its classes; whoever uses locks has it
before = set(sys.modules)
{statement}
print(*set(sys.modules) - before)
"""


def imported_by(statement: str) -> set[str]:
    """The modules that `statement` imports in an interpreter that has nothing but `threading`."""
    folder = Path(pyfastlock.__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-S", "-I", "-c", SCRIPT.format(statement=statement), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    # A codec is imported when the terminal's encoding first asks for it.
    return {name for name in run.stdout.split() if not name.startswith("encodings.")}


def test_the_import_brings_nothing_but_the_package() -> None:
    assert imported_by("import pyfastlock") == OURS


def test_patching_brings_nothing_more() -> None:
    assert imported_by("import pyfastlock; pyfastlock.patch(); pyfastlock.unpatch()") == OURS


@pytest.mark.parametrize("name", ["typing", "re", "enum", "contextlib"])
def test_what_costs_most_is_noticed(name: str) -> None:
    assert name in imported_by(f"import pyfastlock, {name}")
