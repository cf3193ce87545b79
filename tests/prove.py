"""Runs all that is to be known of correctness, the long way, and prints a table.

    make prove                          # all of it: hours
    make prove ARGS="explore litmus"    # these alone

Each line of the table is a goal of the Makefile.  Its output goes to build/prove/, and its last
line into the table.  A goal that leaves out something prints a line "SKIPPED ...", which goes into
the table, too: what was skipped is not proven.

PYTHON runs all but test-tsan, which needs a build of its own: PYTHON_TSAN, or python3.13t-tsan on
the PATH or beside PYTHON.  Standard library only.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

LOGS = Path("build/prove")
LIMIT_S = 4 * 3600
ALIVE_S = 60
TSAN = "python3.13t-tsan"


class Proof(NamedTuple):
    goal: str
    what: str
    settings: tuple[str, ...] = ()


PROOFS = [
    Proof("explore", "every interleaving of the core", ("ARGS=--full",)),
    Proof("litmus", "weak memory"),
    Proof("test-c", "the core's C tests, plain and under three sanitizers"),
    Proof("test-tsan", "the Python tests under ThreadSanitizer"),
    Proof("test-asan", "the Python tests under AddressSanitizer and UBSan"),
    Proof("test-valgrind", "the C tests and the tests of behaviour under memcheck"),
    Proof("test-faults", "every allocation and every call of the system fails"),
    Proof("stress-deadlocks", "locks in one order: no false alarm"),
    Proof("storm", "signals, exceptions, forks and threads that end"),
    Proof("test-model", "random sequences against a model"),
    Proof("coverage", "lines and branches that the tests run"),
    Proof("mutate", "changed programs that the tests notice"),
]


class Outcome(NamedTuple):
    proof: Proof
    passed: bool
    seconds: float
    summary: str
    skipped: list[str]

    @property
    def result(self) -> str:
        if not self.passed:
            return "**FAILED**"
        return "**SKIPPED**" if self.summary in self.skipped else "passed"


def skipped_lines(log: Path) -> list[str]:
    """What a goal has left out; not what pytest skips, which is "SKIPPED [number]"."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return list(dict.fromkeys(line for line in lines if re.match(r"SKIPPED [^[]", line)))


def last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith("make")]
    return told[-1] if told else "it printed nothing"


def run(proof: Proof) -> Outcome:
    log = LOGS / f"{proof.goal}.log"
    command = ["make", "--no-print-directory", proof.goal, *proof.settings, *interpreter(proof)]
    begin = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while True:
                try:
                    process.wait(ALIVE_S)
                    break
                except subprocess.TimeoutExpired:
                    seconds = time.monotonic() - begin
                    print(
                        f"   {proof.goal}, {seconds / 60:.0f} min: {last_line(log)[:90]}",
                        flush=True,
                    )
                    if seconds > LIMIT_S:
                        break
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds = time.monotonic() - begin
    return Outcome(proof, process.returncode == 0, seconds, last_line(log), skipped_lines(log))


def interpreter(proof: Proof) -> list[str]:
    python = os.environ.get("PYTHON")
    if proof.goal == "test-tsan":
        beside = str(Path(shutil.which(python) or python).parent / TSAN) if python else ""
        found = shutil.which(TSAN) or shutil.which(beside)
        python = os.environ.get("PYTHON_TSAN") or found or python
    return [f"PYTHON={python}"] if python else []


def cell(outcome: Outcome) -> str:
    besides = [line for line in outcome.skipped if line != outcome.summary]
    return "; ".join([outcome.summary, *besides]).replace("|", "\\|")


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    known = {proof.goal for proof in PROOFS}
    unknown = set(sys.argv[1:]) - known
    if unknown:
        print(
            f"prove: there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
        return 2
    outcomes = []
    for proof in PROOFS:
        if len(sys.argv) == 1 or proof.goal in sys.argv[1:]:
            print(f"-- make {proof.goal}: {proof.what}", flush=True)
            outcomes.append(run(proof))
            print(f"   {outcomes[-1].result}: {cell(outcomes[-1])}", flush=True)
    print("\n| what | | minutes | how much, and found |\n| --- | --- | ---: | --- |")
    for outcome in outcomes:
        minutes = f"{outcome.seconds / 60:.0f}"
        print(f"| {outcome.proof.what} | {outcome.result} | {minutes} | {cell(outcome)} |")
    skipped = sum(bool(outcome.skipped) for outcome in outcomes)
    if skipped:
        print(f"\n{skipped} of {len(outcomes)} have left out something: SKIPPED says what")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
