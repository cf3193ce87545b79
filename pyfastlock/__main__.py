"""``python -m pyfastlock``: runs a program with `threading` patched from the start."""

from __future__ import annotations

import sys

from pyfastlock import __version__, _run, _settings
from pyfastlock._patch import patch

USAGE = """\
usage: python -m pyfastlock [options] [-m module | -c command | script | -] [args...]
       python -m pyfastlock dump PID

Run a Python program in which the locks of the threading module are pyfastlock's.

  -m module      run a module or package, as python -m does
  -c command     run the command
  script         run a source file, a compiled file, a folder or a zip file
  -              run what the standard input has
  -h, --help     show this help and exit
  -V, --version  show the version and exit

Everything after that is the program's.  Options of the interpreter, such as -X and -W, come before
-m pyfastlock.  These come after it:

  --deadlocks=raise     a deadlock is an exception in one of its threads (default)
  --deadlocks=report    a deadlock is printed on stderr, and its threads wait on
  --deadlocks=off       nobody looks for deadlocks
  --contention[=FILE]   print on stderr at exit which locks were waited for, how long and where;
                        or write it to FILE: as JSON, or as collapsed stacks, if it ends in .json or
                        .collapsed; %p in it is the process's number
  --dump-after=SECONDS  print after that time which threads wait for which locks
  --dump-signal=SIGNAL  print it at each such signal, SIGUSR1 for example

Each has a variable of the environment, such as PYFASTLOCK_DUMP_AFTER, which programs that import
pyfastlock obey, too.  An option goes before its variable.

  dump PID              print it of a running program of Python 3.14 or newer; a script with that
                        name, whose only argument is a number, is ./dump
"""


def main() -> None:
    """Read the arguments, patch, and run the program."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "dump" and _is_pid(arguments[1]):
        from pyfastlock import _remote

        raise SystemExit(_remote.dump(int(arguments[1])))
    try:
        _settings.use_options(arguments)
    except _settings.UnfitError as error:
        _refuse(str(error))
    if not arguments:
        _refuse("no program to run")
    first, rest = arguments[0], arguments[1:]
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


def _is_pid(argument: str) -> bool:
    """Whether `dump` and this argument alone are the command, and not a script and its argument."""
    return argument.isascii() and argument.isdigit()


def _refuse(why: str) -> None:
    print(f"{USAGE.splitlines()[0]}\npyfastlock: {why}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
