"""Every example in Python in README.md and docs/ runs, and prints what the document says.

A block of text that follows an example is its output; one without it prints nothing.  The commands
and the files that the documents name are there.  The programs in examples/ print what their page
shows.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from support import FREE_THREADED

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="needs the checkout, not only its tests"
)

DOCUMENTS = [*ROOT.glob("README.md"), *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "text", "diff", "{include}", "{toctree}", "{eval-rst}"}
"""What a block may be."""

BLOCK = re.compile(
    r"^```(\S*).*\n((?:.*\n)*?)```\n(?=(\s*```text\n((?:.*\n)*?)```\n)?)", re.MULTILINE
)
ANY_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
INDENTED = re.compile(
    r"^(?: {4}|\t)\s*(?:import |from \w+ import|with .*:$|def |class |>>> )", re.MULTILINE
)

COMMAND = re.compile(r"(?:`|^ {4})make ([a-z][a-z-]*)", re.MULTILINE)
FILE = re.compile(r"\b(?:benchmarks|csrc|docs|pyfastlock|tests)/[\w/.-]+\.(?:[ch]|md|py|txt)\b")

LIMIT_S = 60
WARNS_OF_FORKS = re.compile(r".*DeprecationWarning: This process .* is multi-threaded.*\n.*\n")
"""What Python says since 3.12 of the examples that show a fork beside threads."""


class Example(NamedTuple):
    name: str
    code: str
    output: str


def examples() -> list[Example]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == "python":
                line = text.count("\n", 0, match.start()) + 1
                name = f"{document.relative_to(ROOT)}:{line}"
                found.append(Example(name, match[2], match[4] or ""))
    return found


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_it_runs_and_prints_what_is_said(example: Example, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert WARNS_OF_FORKS.sub("", done.stderr) == ""
    assert done.stdout == example.output


def test_none_is_left_out() -> None:
    """Python stands in blocks that are found, and nowhere else."""
    found = 0
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        blocks = list(BLOCK.finditer(text))
        found += sum(match[1] == "python" for match in blocks)
        assert {match[1] for match in blocks} <= LANGUAGES, document
        assert len(ANY_FENCE.findall(text)) == 2 * len(blocks), document
        assert not INDENTED.findall(BLOCK.sub("", text)), document
    assert found == len(examples()) > 10


# ---- the programs in examples/, and what docs/stories.md says that they print ----

NUMBERS = re.compile(r"0x[0-9a-f]+|\d+\.\d+")


def normal(text: str) -> set[str]:
    """The lines without numbers and names of threads: which thread gets an error may vary."""
    text = re.sub(r"\b(?:transfers|messages)\b", "NAME", NUMBERS.sub("N", text))
    return {line.rstrip() for line in text.splitlines()}


def told(heading: str) -> set[str]:
    """The lines of the first block of text in a chapter of docs/stories.md."""
    page = (ROOT / "docs" / "stories.md").read_text(encoding="utf-8")
    block = page.partition(f"\n## {heading}\n")[2].partition("```text\n")[2].partition("```")[0]
    assert block
    return normal(block) - {"  ..."}


def test_story_of_a_deadlock() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyfastlock", ROOT / "examples" / "deadlock.py"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert told("A deadlock found") <= normal(done.stdout + done.stderr), done.stderr


def test_story_of_a_slow_lock() -> None:
    """How often was waited varies."""
    done = subprocess.run(
        [sys.executable, "-m", "pyfastlock", "--contention", ROOT / "examples" / "slow.py"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stderr[done.stderr.index("Contention in") :]
    lines = {re.split(r"\s{2,}", line.strip())[0] for line in normal(shown)}
    expected = {re.split(r"\s{2,}", line.strip())[0] for line in told("A slow lock found")}
    if FREE_THREADED:  # who holds a lock is not known
        expected = {line for line in expected if not line.startswith("held by")}
    assert expected <= {line.replace(f"{ROOT}/", "") for line in lines}, done.stderr


def test_story_of_a_hung_process() -> None:
    """It is asked until its threads wait."""
    expected = told("A hung process asked")
    shown: set[str] = set()
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pyfastlock",
            "--dump-signal=SIGUSR1",
            ROOT / "examples" / "hung.py",
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        limit = threading.Timer(LIMIT_S, process.kill)
        limit.start()
        try:
            # Before that, the signal would kill it.
            mask = Path(f"/proc/{process.pid}/status")
            if not mask.exists():
                pytest.skip("needs to see that the signal is handled")
            bit = 1 << (signal.SIGUSR1 - 1)
            while not int(mask.read_text().partition("SigCgt:")[2].split()[0], 16) & bit:
                time.sleep(0.01)
            while not expected <= shown:
                process.send_signal(signal.SIGUSR1)
                line = process.stderr.readline()
                assert line, shown
                shown |= normal(line)
        finally:
            limit.cancel()
            process.kill()


def test_all_examples_are_told() -> None:
    page = (ROOT / "docs" / "stories.md").read_text(encoding="utf-8")
    programs = {path.name for path in (ROOT / "examples").iterdir() if path.suffix == ".py"}
    assert programs == set(re.findall(r"\(\.\./examples/(\w+\.py)\)", page))


NAMING = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", *ROOT.glob("*/README.md")]
"""Documents whose commands and files are looked for."""


def test_the_commands_are_there() -> None:
    goals = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = {path: set(COMMAND.findall(path.read_text(encoding="utf-8"))) for path in NAMING}
    assert not {path: names - set(goals) for path, names in named.items() if names - set(goals)}
    assert {"bench", "test"} <= named[ROOT / "README.md"]


def test_the_files_are_there() -> None:
    named = {name for path in NAMING for name in FILE.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
