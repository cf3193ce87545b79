"""Each storm in this folder, for a moment; `make storm` lets them go on for long."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from subinterpreters import needs_subinterpreters

FOLDER = Path(__file__).parent

STORMS = runpy.run_path(str(FOLDER / "__main__.py"))["NAMES"]

LIMIT = 100
"""Seconds that a storm may take here; one that hangs ends by itself before that."""


def start(name: str, log: Path) -> subprocess.Popen[bytes]:
    spec = importlib.util.find_spec("pyfastlock")
    assert spec is not None
    assert spec.origin is not None
    # A storm finds the others in its folder, and pyfastlock where these tests do.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHON_GIL", "PYTHONSAFEPATH")}
    env["PYTHONPATH"] = str(Path(spec.origin).parents[1])
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--seconds", "1"]
    with log.open("wb") as file:
        return subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def storms(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """All that are asked for, at the same time: that is shorter, and each disturbs the others."""
    folder = tmp_path_factory.mktemp("storms")
    wanted = [
        item.callspec.params["name"] for item in request.session.items if item.path == request.path
    ]
    running = {name: (start(name, folder / name), folder / name) for name in wanted}
    yield running
    for process, _ in running.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[needs_subinterpreters] if name == "interpreters" else [])
        for name in STORMS
    ],
)
def test_storm(name: str, storms: dict[str, tuple[subprocess.Popen[bytes], Path]]) -> None:
    process, log = storms[name]
    try:
        status = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        status = None
    text = log.read_text(encoding="utf-8", errors="replace")
    assert status == 0, text
    last = text.splitlines()[-1]
    assert last.startswith(f"{name}: "), text
    assert last.endswith(", 0 failures"), text
    print(last)
