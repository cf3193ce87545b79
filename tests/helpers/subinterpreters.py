"""Several interpreters in one process, on any version of Python."""

from __future__ import annotations

import importlib.util
import sys

import pytest

# create(own_gil), run(interpreter, source), destroy(interpreter), on any version.
API = """
import os
try:
    import _interpreters
    def create(own_gil):
        return _interpreters.create("isolated" if own_gil else "legacy")
    def run(interpreter, source):
        failed = _interpreters.exec(interpreter, source)
        assert failed is None, failed
    destroy = _interpreters.destroy
except ModuleNotFoundError:
    import _xxsubinterpreters
    def create(own_gil):
        return _xxsubinterpreters.create(isolated=own_gil)
    def run(interpreter, source):
        failed = _xxsubinterpreters.run_string(interpreter, source)
        assert failed is None, failed
    destroy = _xxsubinterpreters.destroy
PATH = f"import sys; sys.path[:] = {sys.path!r}\\n"
"""

needs_subinterpreters = pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ("_interpreters", "_xxsubinterpreters"))),
    reason="this Python has no module for subinterpreters",
)

own_gil = pytest.mark.parametrize(
    "own_gil",
    [
        pytest.param(True, id="own GIL" if sys.version_info >= (3, 12) else "isolated"),
        pytest.param(False, id="shared GIL"),
    ],
)
