"""All storms, one after another: `python tests/storms [--seconds 60] [--seed N] [NAMES...]`.

Without --seconds each is as long as it is when it runs by itself. The last line sums up what they
have counted; the status is 0 if none of them has found anything.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

NAMES = ["signals", "thrown", "forks", "soak", "order", "shutdown", "interpreters"]

LIMIT = 1800
"""Seconds after which a storm that has not ended is ended."""


def run(name: str, arguments: list[str]) -> tuple[bool, str]:
    """Run a storm. Returns whether it has passed, and its last line."""
    command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + LIMIT
    last = ""
    assert process.stdout is not None
    # A storm says something every few seconds, so each line comes in time.
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip()
        if time.monotonic() > deadline:
            process.kill()
            return False, f"{name}: not ended after {LIMIT} s"
    return process.wait() == 0 and last.endswith(", 0 failures"), last


def main() -> int:
    parser = argparse.ArgumentParser(description="All storms, one after another.")
    parser.add_argument("--seconds", help="how long each goes on")
    parser.add_argument("--operations", help="until each has taken that many steps")
    parser.add_argument("--seed", help="repeats the choices of a run")
    parser.add_argument("--impl", choices=["pyfastlock", "threading"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no storm {', '.join(sorted(unknown))}")
    arguments = []
    for option in ("seconds", "operations", "seed", "impl"):
        if getattr(options, option) is not None:
            arguments += [f"--{option}", getattr(options, option)]
    began = time.monotonic()
    failed, figures = [], []
    for name in options.names or NAMES:
        passed, last = run(name, arguments)
        if not passed:
            failed.append(name)
        steps = re.search(r"([\d,]+) (?:steps|operations)", last)
        figures.append(f"{name} {steps.group(1) if steps else 'no figures'}")
    told = f"; failed: {', '.join(failed)}" if failed else ""
    print(
        f"storms: {len(figures)} for {time.monotonic() - began:.0f} s "
        f"on {sys.version.split()[0]}, steps: {'; '.join(figures)}; {len(failed)} failed{told}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
