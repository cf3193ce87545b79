"""Runs the litmus tests of patterns/ under herd7: `make litmus`.

For each pattern and each model the outcome must not be reached; with one ordering weakened it must
be.  README.md says what a pattern is.

    --herd PATH     the simulator; otherwise `herd7` on PATH
    --show PATTERN  prints what herd7 gets, instead of running anything
    --code          checks only what the patterns say of the code; needs no herd7
    PATTERN...      only these
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import citations
from machines import MACHINES, Machine
from pattern import Pattern, PatternError, Remark, parse, what_is_missing

PATTERNS = Path(__file__).with_name("patterns")
MODELS = "C11, AArch64, RISC-V, x86"
LIMIT_S = 600


@dataclass(frozen=True)
class Case:
    """A pattern as it is, or with one ordering weakened."""

    name: str
    pattern: Pattern
    remark: Remark | None

    @property
    def must_be_reached(self) -> bool:
        return self.remark is not None and self.remark.verb == "weaker"

    def __str__(self) -> str:
        if self.remark is None:
            return self.pattern.name
        return f"    {self.remark.verb:7}{self.remark}"


def cases_of(patterns: Iterable[Pattern]) -> list[Case]:
    cases: list[Case] = []
    for pattern in patterns:
        cases.append(Case(pattern.name, pattern, None))
        for number, remark in enumerate(pattern.remarks):
            if remark.verb != "enough":
                name = f"{pattern.name}-{number}"
                cases.append(Case(name, pattern.weakened(remark), remark))
    return cases


def simulate(herd: str, machine: Machine, cases: list[Case]) -> dict[str, str]:
    """Runs the cases in one model.  By name: `never`, `reached`, or `race` (undefined in C11)."""
    with tempfile.TemporaryDirectory(prefix="litmus-") as folder:
        files: list[Path] = []
        for case in cases:
            for number, pattern in enumerate(case.pattern.orders()):
                name = f"{case.name}.{number}"
                files.append(Path(folder, f"{name}.litmus"))
                files[-1].write_text(machine.litmus(pattern, name), encoding="utf-8")
        command = [herd, "-model", machine.model, "-optace", "true", *map(str, files)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    results: dict[str, list[str]] = {}
    for text in re.split(r"^Test ", run.stdout, flags=re.MULTILINE)[1:]:
        found = re.search(
            r"^Observation (\S+) (Never|Sometimes|Always) (\d+) (\d+)$", text, re.MULTILINE
        )
        if not found:
            continue
        if int(found[3]) + int(found[4]) == 0:
            raise PatternError(f"{found[1]}: {machine.title}: there is no execution at all")
        reached = found[2] != "Never"
        race = re.search(r"^Flag \*undef\*", text, re.MULTILINE)
        name = found[1].rpartition(".")[0]
        results.setdefault(name, []).append("reached" if reached else "race" if race else "never")
        if race and not reached and machine.model != "rc11.cat":
            raise PatternError(f"{found[1]}: {machine.title}: undefined")
    if sum(map(len, results.values())) != len(files) or run.returncode != 0:
        sys.stdout.write(run.stderr)
        raise PatternError(f"{machine.title}: herd7 did not understand all tests")
    return {
        name: next(result for result in ("reached", "race", "never") if result in some)
        for name, some in results.items()
    }


def read(names: list[str]) -> list[Pattern]:
    return [
        parse(path) for path in sorted(PATTERNS.glob("*.litmus")) if not names or path.stem in names
    ]


def check_code(patterns: list[Pattern], all_of_them: bool) -> int:
    """Prints what the patterns say wrongly of the code.  Returns how much that is."""
    wrong = [sentence for pattern in patterns for sentence in what_is_missing(pattern)]
    if all_of_them:
        wrong += citations.what_is_wrong(patterns)
    for sentence in wrong:
        print(sentence)
    return len(wrong)


def show(patterns: list[Pattern]) -> None:
    for case in cases_of(patterns):
        for machine in MACHINES:
            print(f"---- {case.name}: {case.remark or 'as in the code'}: {machine.title}")
            for pattern in case.pattern.orders():
                print(machine.litmus(pattern, case.name))


def run(herd: str, patterns: list[Pattern], wrong: int) -> int:
    before = os.times()
    cases = cases_of(patterns)
    width = max(len(str(case)) for case in cases)
    print(f"{'':{width}}  " + "  ".join(f"{machine.title:12}" for machine in MACHINES))
    reached = noticed = weakened = kept = kept_noticed = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for pattern in patterns:
            some = cases_of([pattern])
            rows = list(
                pool.map(lambda machine, some=some: simulate(herd, machine, some), MACHINES)
            )
            for case in some:
                row = [results[case.name] for results in rows]
                cells = "  ".join(f"{result:12}" for result in row)
                bad = sum(result != "never" for result in row)
                print(f"{case!s:{width}}  {cells}".rstrip(), flush=True)
                if case.must_be_reached:
                    weakened += 1
                    noticed += bad > 0
                elif case.remark:
                    kept += 1
                    kept_noticed += bad > 0
                else:
                    reached += bad
    after = os.times()
    seconds = after.user + after.children_user - before.user - before.children_user
    parts = [
        f"{len(patterns)} patterns in 4 models ({MODELS}), {reached} forbidden outcomes reached",
        f"{noticed} of {weakened} weakened orderings noticed",
        f"{kept - kept_noticed} of {kept} without effect as explained",
        f"{wrong} disagreements with the code",
        f"{seconds:.0f} s of processor time",
    ]
    print("\nlitmus: " + "; ".join(parts))
    return 1 if wrong or reached or noticed != weakened or kept_noticed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Litmus tests of the orderings in csrc.")
    parser.add_argument("--herd", default=shutil.which("herd7"))
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--code", action="store_true")
    parser.add_argument("pattern", nargs="*")
    options = parser.parse_args()
    patterns = read(options.pattern)
    if not patterns:
        parser.error("there is no such pattern")
    if options.show:
        show(patterns)
        return 0
    wrong = check_code(patterns, not options.pattern)
    if options.code:
        print(f"litmus: {len(patterns)} patterns, {wrong} disagreements with the code")
        return 1 if wrong else 0
    if not options.herd:
        print("SKIPPED litmus: there is no herd7 on PATH; give its path with HERD=, or --herd")
        return 1 if wrong else 0
    return run(options.herd, patterns, wrong)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PatternError as error:
        sys.exit(f"litmus: {error}")
