"""What the litmus tests say of the C code is true.  Whether they hold is for `make litmus`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LITMUS = ROOT / "tests" / "litmus"

pytestmark = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the C sources are not here")

LIMIT_S = 60


def check_code(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tests" / "litmus" / "run.py"), "--code"]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=env
    )


def test_the_patterns_cite_the_code_as_it_is() -> None:
    run = check_code(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


CHANGES = [
    ("csrc/core/mutex.h", "fl_attached_swap_seen_release_u64", "fl_attached_swap_acquire_u64"),
    ("csrc/core/event.h", "fl_load_acquire_u32", "fl_load_relaxed_u32"),
    ("csrc/core/lot/parking_lot.c", "\nfl_lot_enqueue(", "\nfl_lot_put("),
    ("csrc/core/cond.c", "fl_store_relaxed_u32", "fl_store_release_u32"),
]
"""Another ordering, the same in a load, a function under another name, and a stronger ordering."""


@pytest.mark.parametrize(("file", "old", "new"), CHANGES)
def test_a_change_of_the_code_is_noticed(file: str, old: str, new: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copytree(LITMUS, tmp_path / "tests" / "litmus")
    path = tmp_path / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    run = check_code(tmp_path)
    assert run.returncode == 1
    assert file in run.stdout


def test_the_readme_lists_the_patterns() -> None:
    text = (LITMUS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in LITMUS.glob("patterns/*.litmus"))
