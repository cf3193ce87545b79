"""The explorer's planted bugs and its README are of today's code."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPLORE = ROOT / "tests" / "explore"
CSRC = ROOT / "csrc"

pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="the C sources are not here")

SCENARIO = re.compile(r'\.name = "([a-z0-9-]+)",\s*\.what =\s*((?:\s*"[^"]*")+),', re.MULTILINE)


def scenarios() -> dict[str, str]:
    found = {}
    for path in sorted(EXPLORE.glob("scenarios/*.c")):
        for name, text in SCENARIO.findall(path.read_text(encoding="utf-8")):
            found[name] = "".join(re.findall(r'"([^"]*)"', text))
    return found


@pytest.fixture
def bugs(monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.syspath_prepend(str(EXPLORE))
    spec = importlib.util.spec_from_file_location("bugs", EXPLORE / "bugs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("bug", "bugs_of_locks", "bugs_of_waits", "bugs_of_the_runtime"):
        sys.modules.pop(name, None)
    return module.BUGS


def test_the_readme_lists_the_scenarios() -> None:
    readme = (EXPLORE / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", readme, re.MULTILINE)
    assert table == sorted(scenarios().items())


def test_each_bug_can_be_planted(bugs: list) -> None:
    times = {bug.name: (CSRC / bug.file).read_text(encoding="utf-8").count(bug.old) for bug in bugs}
    assert {name: count for name, count in times.items() if count != 1} == {}


def test_each_bug_is_one_of_its_own_and_names_a_scenario(bugs: list) -> None:
    names = [bug.name for bug in bugs]
    assert len(set(names)) == len(names) >= 30
    assert {bug.scenario.split()[0] for bug in bugs} <= set(scenarios())
    assert all(bug.old != bug.new for bug in bugs)
