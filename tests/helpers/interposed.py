"""Scripts in an interpreter that has `faults/interpose.c` loaded before its own libraries."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from concurrency import check_script

SOURCE = Path(__file__).resolve().parents[1] / "faults" / "interpose.c"

IN_SCRIPT = """
import ctypes
calls = ctypes.CDLL(None)
calls.interpose_module.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
"""


def compiler() -> str:
    """A C compiler, or the test is skipped."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("NOT RUN: it interposes the functions of glibc")
    if found is None:
        pytest.skip("NOT RUN: there is no C compiler")
    return found


def check_interposed(source: str, folder: Path, impl: object, output: str) -> None:
    """`check_script` in such an interpreter; `folder` is for what is compiled."""
    library = folder / "interpose.so"
    command = [compiler(), "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run([*command, "-pthread"], check=True)
    ctypes.CDLL(str(library))  # it can be loaded
    old = os.environ.get("LD_PRELOAD")
    # A sanitizer comes first.
    os.environ["LD_PRELOAD"] = ":".join(filter(None, [old, str(library)]))
    try:
        check_script(IN_SCRIPT + source, impl, output=output)
    finally:
        if old is None:
            del os.environ["LD_PRELOAD"]
        else:
            os.environ["LD_PRELOAD"] = old
