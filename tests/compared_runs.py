"""Runs tests twice, as they are and patched, and finds what is good plain and not so patched.

What whole_programs.py and packages.py have in common.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

GOOD = ("passed", "skipped", "expected failure")

CHANCES = 2
"""How often a test that failed patched is run again."""

TEXTS = 5
"""Of how many tests that differ the whole text is shown."""

PATCHING = """\
import pyfastlock
pyfastlock.patch()
"""


class Outcomes:
    """What one run told: for each test its outcome, and a text if it failed."""

    def __init__(self, status: int = 0, output: str = "", seconds: float = 0) -> None:
        self.status = status
        self.output = output
        self.seconds = seconds
        self.tests: dict[str, tuple[str, str]] = {}

    def add(self, name: str, outcome: str, text: str) -> None:
        if self.tests.get(name, ("",))[0] != "failed":  # as of an earlier subtest
            self.tests[name] = (outcome, text)

    def of(self, name: str) -> str:
        return self.tests.get(name, ("missing", ""))[0]

    def text_of(self, name: str) -> str:
        text = self.tests.get(name, ("", ""))[1]
        return text or self.output  # where a test ended the process, that tells more

    def finished(self) -> bool:
        return self.status == 0 and bool(self.tests)

    def summary(self) -> str:
        counts: dict[str, int] = {}
        for outcome, _ in self.tests.values():
            counts[outcome] = counts.get(outcome, 0) + 1
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        ended = "" if self.finished() else f" ENDED WITH STATUS {self.status}"
        return f"{told or 'nothing'} in {self.seconds:.0f} s{ended}"


def run(
    command: list[str], results: Path, limit_s: float, cwd: Path, **environment: str
) -> Outcomes:
    """Run a command that writes its results, [name, outcome, text] a line, to a file.

    After `limit_s` it should end itself, and show where its threads stand; it is given 30 s more.
    """
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        # In a session of its own: with it end the processes that a test has left.
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(limit_s + 30)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nobody of it is left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        told = output.read().decode(errors="replace")
    outcomes = Outcomes(process.returncode, told, time.monotonic() - begin)
    for line in results.read_text().splitlines() if results.exists() else ():
        outcomes.add(*json.loads(line))
    return outcomes


def worse(plain: Outcomes, patched: Outcomes) -> list[str]:
    """The tests that are good plain, or that the plain run has not reached, and not so patched."""
    return [
        name
        for name in plain.tests | patched.tests
        if (plain.of(name) in GOOD and patched.of(name) != plain.of(name))
        or (plain.of(name) == "missing" and patched.of(name) not in GOOD)
    ]


def compare(
    title: str,
    plain: Outcomes,
    patched: Outcomes,
    again: Callable[[str, Iterable[str]], Outcomes],
    expected: Mapping[str, str],
) -> bool:
    """Print what is different; whether there is nothing that should not be.

    `again(kind, names)` runs these tests once more, or all of them if there are no names.
    """
    if not plain.finished():
        plain = _once_more(again, "plain", title, plain)
    if not patched.finished():
        patched = _once_more(again, "patched", title, patched)
    print(f"{title}: plain {plain.summary()}; patched {patched.summary()}")
    for name, (outcome, _) in plain.tests.items():
        if outcome not in GOOD:
            print(f"  {name}: {outcome} plain too, and so not counted")
    good = True
    for kind, outcomes in (("plain", plain), ("patched", patched)):
        if not outcomes.finished():
            good = False
            print(f"  NOT COMPARED as a whole: the {kind} run died; it printed\n{outcomes.output}")
    suspects = worse(plain, patched)
    for name in suspects:
        if name in expected:
            print(f"  {name}: expected: {expected[name]}")
    suspects = [name for name in suspects if name not in expected]
    return _pass_again(again, suspects, plain, patched) and good


def _once_more(
    again: Callable[[str, Iterable[str]], Outcomes], kind: str, title: str, died: Outcomes
) -> Outcomes:
    print(f"{title}: the {kind} run died and is run again; it printed\n{died.output}")
    return again(kind, [])


def _pass_again(
    again: Callable[[str, Iterable[str]], Outcomes],
    names: list[str],
    plain: Outcomes,
    patched: Outcomes,
) -> bool:
    """Give tests their other chances; whether all took one."""
    for chance in range(1, CHANCES + 1):
        if not names:
            return True
        patched = again("patched", names)
        for name in names:
            if not _is_different(plain.of(name), patched.of(name)):
                outcome = patched.of(name)
                print(f"  {name}: failed patched at first, {outcome} when run again ({chance})")
        names = [name for name in names if _is_different(plain.of(name), patched.of(name))]
    if names:
        # Some pass plain only in the company of the others.
        alone = again("plain", names)
        for name in names:
            if alone.of(name) not in (*GOOD, "missing"):
                print(f"  {name}: {alone.of(name)} plain too when run again, and so not counted")
        names = [name for name in names if alone.of(name) in (*GOOD, "missing")]
    reached = [name for name in names if patched.of(name) != "missing"]
    texts = list(dict.fromkeys(patched.text_of(name) for name in reached or names[:1]))
    for name in reached:
        told = f"plain {plain.of(name)}, patched {patched.of(name)}"
        print(f"  {name}: DIFFERENT: {told} [{texts.index(patched.text_of(name)) + 1}]")
    if len(reached) < len(names):
        first = next(name for name in names if name not in reached)
        print(f"  {first} and so on: {len(names) - len(reached)} NOT REACHED by the patched run")
    for number, text in enumerate(texts[:TEXTS], 1):
        print(f"[{number}]\n{text}")
    if len(texts) > TEXTS:
        print(f"({len(texts) - TEXTS} more texts are not shown)")
    return not names


def _is_different(plain: str, patched: str) -> bool:
    """As in `worse`."""
    return patched not in GOOD if plain == "missing" else patched != plain
