"""``python -m pyfastlock``: runs a program with `threading` patched from the start."""

from __future__ import annotations

import sys

from pyfastlock import __version__, _run
from pyfastlock._patch import patch

USAGE = """\
usage: python -m pyfastlock [-m module | -c command | script | -] [args...]

Run a Python program in which the locks of the threading module are pyfastlock's.

  -m module      run a module or package, as python -m does
  -c command     run the command
  script         run a source file, a compiled file, a folder or a zip file
  -              run what the standard input has
  -h, --help     show this help and exit
  -V, --version  show the version and exit

Everything after that is the program's.  Options of the interpreter, such as -X and -W, come before
-m pyfastlock.
"""


def main() -> None:
    """Read the arguments, patch, and run the program."""
    if len(sys.argv) < 2:
        _refuse("no program to run")
    first, rest = sys.argv[1], sys.argv[2:]
    if first in ("-h", "--help"):
        print(USAGE, end="")
    elif first in ("-V", "--version"):
        print(f"pyfastlock {__version__}")
    elif first == "-":
        patch()
        _run.stdin(rest)
    elif first[:2] in ("-c", "-m"):
        if first[2:]:  # -cprint() as well as -c print()
            rest.insert(0, first[2:])
        if not rest:
            _refuse(f"argument expected for the {first} option")
        patch()
        run = _run.command if first[1] == "c" else _run.module
        run(rest[0], rest[1:])
    elif first.startswith("-"):
        _refuse(f"unknown option {first}")
    else:
        patch()
        _run.path(first, rest)


def _refuse(why: str) -> None:
    print(f"{USAGE.splitlines()[0]}\npyfastlock: {why}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
