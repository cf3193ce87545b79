"""Run the tests under a sanitizer: `make test-asan`, `make test-tsan` and `make test-valgrind`.

    python tests/sanitizers/run.py TOOL --why-not
    python tests/sanitizers/run.py TOOL --folder FOLDER [PYTEST'S ARGUMENTS...]

TOOL is address (AddressSanitizer and UBSan), thread (ThreadSanitizer) or valgrind (its memcheck).
The first form says why this Python cannot work under it, and fails if there is a reason. The second
runs the tests in pieces, over the extension that is installed for this Python, and keeps output and
reports in FOLDER. Some pieces run side by side, as most of their time is waiting. It prints a line
a piece, then what failed, and sums up in the last line. Every report makes it fail, wherever it
comes from: the tests' process, a forked child, a script.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
sys.path.insert(0, str(TESTS / "helpers"))

import reports  # noqa: E402 - from the folder above

PYTESTS_LAST_LINE = re.compile(r"^=*\s*(\d+ \w+.*) in [\d.]+s", re.MULTILINE)
OUTCOMES = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed)")
C_PROGRAM = re.compile(r"^== SAN=", re.MULTILINE)
NO_TESTS = 5
"""pytest's status where the arguments choose no test of a piece."""

PIECE_LIMIT_S = 3600
TEST_LIMIT_S = 600
LINES_OF_A_FAILURE = 60


PROGRAMS = ["main", "options", "pytest_plugin"]
PROGRAMS_LEFT_OUT = [f"--ignore=tests/behaviour/test_{name}.py" for name in PROGRAMS]
"""The files in which each test starts a program."""


def folders() -> list[str]:
    """The folders of tests, those that take longest first."""
    names = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    return sorted(names, key=lambda name: (name not in ("behaviour", "concurrency"), name))


def compilers_file(name: str) -> str | None:
    """Where the compiler has this library, or None."""
    command = [*shlex.split(os.environ.get("CC", "cc")), f"-print-file-name={name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    path = done.stdout.strip()
    return path if os.path.isabs(path) else None  # a compiler that has none repeats the name


class Tool:
    """What differs from tool to tool."""

    faults: tuple[str, ...]
    """Functions of canary.c that it has to report."""

    def why_not(self) -> str | None:
        """The reason why it cannot work here, if there is one."""
        return None

    def pieces(self) -> dict[str, list[str]]:
        """What is run: folders, with options for pytest."""
        return {name: [] for name in folders()}

    def environment(self, log: Path) -> dict[str, str]:
        """What the tests' processes find in their environment. Reports go to `log`.<pid>."""
        return {}

    def wrapper(self, log: Path) -> list[str]:
        """What stands before the command."""
        return []


class Address(Tool):
    """AddressSanitizer and UBSan. The interpreter is an ordinary one, so that the library has to be
    loaded before it; each object is a block of its own for malloc.

    Leaks are not looked for. The interpreter leaves much behind at its end, and the stack of an
    allocation, which would tell what is ours, takes too long through functions without a frame
    pointer. `make test-valgrind` looks for them.
    """

    faults = ("shift", "use_after_free")

    def pieces(self) -> dict[str, list[str]]:
        # The sanitizer keeps freed memory back, which the soak takes for growth.
        options = super().pieces()
        options["storms"] = ["--deselect=tests/storms/test_storms.py::test_storm[soak]"]
        # The functions of the sanitizer make the calls that should fail, not the extension.
        of_the_system = "test_each_call_of_the_system_fails"
        for name in (of_the_system, "test_each_call_fails_while_contention_is_recorded"):
            options["faults"].append(f"--deselect=tests/faults/test_system.py::{name}")
        return options

    def why_not(self) -> str | None:
        if sys.platform != "linux":
            return "it loads the sanitizer before the interpreter, by Linux's LD_PRELOAD"
        if compilers_file("libasan.so") is None:
            return "the compiler has no libasan.so"
        return None

    def environment(self, log: Path) -> dict[str, str]:
        return {
            "LD_PRELOAD": compilers_file("libasan.so") or "",
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={log}",
            "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={log}",
        }


class Thread(Tool):
    """ThreadSanitizer. The interpreter has to be built with it, and without the GIL, which would
    order everything."""

    faults = ("data_race",)

    def why_not(self) -> str | None:
        if not sysconfig.get_config_var("Py_GIL_DISABLED"):
            return f"{sys.executable} has a GIL"
        if not hasattr(ctypes.CDLL(None), "__tsan_init"):
            return f"{sys.executable} was not configured --with-thread-sanitizer"
        return None

    def pieces(self) -> dict[str, list[str]]:
        # What has no second thread can have no race: wrong arguments, and documents.
        options: dict[str, list[str]] = {name: [] for name in folders() if name != "arguments"}
        options["project"] = ["-k", "test_stdlib_suite or test_import"]
        # They start hundreds of programs, of one thread mostly, which takes an hour.
        # And a signal that a handler raises comes when the handler is in place again, for ever.
        chain = "test_dumps.py::test_chain_calls_the_previous_handler"
        options["behaviour"] = [*PROGRAMS_LEFT_OUT, f"--deselect=tests/behaviour/{chain}"]
        # It closes a file that a dump may be written to: docs/deadlocks.md says what comes of it.
        closes = "test_dumps.py::test_a_file_that_the_interpreter_closes"
        options["behaviour"].append(f"--deselect=tests/behaviour/{closes}")
        # Both replace functions of the C library that ThreadSanitizer calls before it is set up.
        for name in ("test_each_call_of_the_system_fails", "test_t39_time_of_day_jumps"):
            options["faults"].append(f"--deselect=tests/faults/test_system.py::{name}")
        # CPython 3.13 sets its static types up for each interpreter, while others use them.
        options["storms"] = ["--deselect=tests/storms/test_storms.py::test_storm[interpreters]"]
        # Its child waits in the C library for 5 s, and only then ThreadSanitizer delivers a signal.
        limit = "test_events_semaphores_barriers.py::test_children_end_within_their_limit"
        options["fork"] = [f"--deselect=tests/fork/{limit}"]
        return options

    def environment(self, log: Path) -> dict[str, str]:
        options = {
            "suppressions": HERE / "tsan.supp",
            "log_path": log,
            "exitcode": 0,  # a script's status is for its test to judge
            "detect_deadlocks": 0,  # it counts up to 64 mutexes, and a fork holds all of them
            "die_after_fork": 0,  # a child of a process with threads starts threads
            "history_size": 5,
        }
        return {
            "TSAN_OPTIONS": ":".join(f"{key}={value}" for key, value in options.items()),
            "PYFASTLOCK_PATIENCE": "10",
        }

    def wrapper(self, log: Path) -> list[str]:
        # Its shadow memory does not fit round every random address layout.
        fixed_layout = ["setarch", platform.machine(), "-R"]
        try:
            subprocess.run([*fixed_layout, "true"], stderr=subprocess.DEVNULL, check=True)
        except (OSError, subprocess.CalledProcessError):
            return []
        return fixed_layout


class Valgrind(Tool):
    """valgrind's memcheck. It needs no build of its own, so the core's C tests run, too. Forked
    children are under it as well; what a test starts as another program is not."""

    faults = ("use_after_free",)

    def why_not(self) -> str | None:
        return None if shutil.which("valgrind") else "there is no valgrind"

    def pieces(self) -> dict[str, list[str]]:
        # What these start are programs, which run without it.
        options = ["-k", "not [stdlib and not -stdlib", *PROGRAMS_LEFT_OUT]
        return {"behaviour": options, "c": []}

    def environment(self, log: Path) -> dict[str, str]:
        return {"PYTHONMALLOC": "malloc", "PYFASTLOCK_PATIENCE": "10"}

    def wrapper(self, log: Path) -> list[str]:
        return [
            *("valgrind", "--quiet", "--fair-sched=yes", f"--log-file={log}.%p"),
            *("--leak-check=full", "--show-leak-kinds=definite", "--fullpath-after="),
            f"--suppressions={HERE / 'valgrind.supp'}",
        ]


TOOLS = {"address": Address(), "thread": Thread(), "valgrind": Valgrind()}


def unseen(tool: Tool, folder: Path, compiler: str) -> list[str]:
    """The faults of canary.c that the tool does not report. A tool that reports nothing because it
    does not work would find nothing in the tests, either."""
    library = folder / "canary.so"
    flags = ["-g", "-fPIC", "-shared", "-pthread", "-o", str(library)]
    subprocess.run([*shlex.split(compiler), *flags, str(HERE / "canary.c")], check=True)
    missed = []
    for fault in tool.faults:
        log = folder / f"canary-{fault}" / "report"
        log.parent.mkdir()
        commit = f"import ctypes; ctypes.CDLL({str(library)!r}).{fault}()"
        subprocess.run(
            [*tool.wrapper(log), sys.executable, "-c", commit],
            env=os.environ | tool.environment(log),
            check=False,
        )
        if reports.count(log.parent) == 0:
            missed.append(fault)
    return missed


class Piece:
    """The tests of one folder, in a folder of its own for what comes out."""

    def __init__(self, tool: Tool, name: str, folder: Path, arguments: Sequence[str]) -> None:
        self.tool = tool
        self.name = name
        self.arguments = arguments
        self.reports = folder / name
        self.reports.mkdir(parents=True)
        self.output = folder / f"{name}.log"
        self.counts: Counter[str] = Counter()
        self.found = 0
        self.clean = False

    def command(self, log: Path) -> list[str]:
        under = self.tool.wrapper(log)
        if self.name == "c":
            # Each program once, with the parker that is the default.
            settings = ["SAN=valgrind", "PARK=default", f"TIMEOUT={PIECE_LIMIT_S}"]
            return ["make", "-C", str(TESTS / "c"), *settings, f"UNDER={shlex.join(under)}"]
        return [
            *(*under, sys.executable, "-m", "pytest", "-v", f"--reports={self.reports}"),
            *("-p", "no:cacheprovider", "-o", f"faulthandler_timeout={TEST_LIMIT_S}"),
            *(str(TESTS / self.name), *self.arguments),
        ]

    def run(self) -> None:
        """Run the tests, and tell how that went."""
        begin = time.monotonic()
        status: int | str
        log = self.reports / "report"
        with self.output.open("w") as out:
            process = subprocess.Popen(
                self.command(log),
                env=os.environ | {"PYTHONSAFEPATH": "1"} | self.tool.environment(log),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that the end of the piece is the end of all
            )
            try:
                status = process.wait(PIECE_LIMIT_S)
            except subprocess.TimeoutExpired:
                status = "still running"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.counts = outcomes(self.output.read_text(errors="replace"))
        self.found = reports.count(self.reports)
        # A process that a sanitizer ends may have any status, so there have to be pytest's figures.
        self.clean = not self.found and (status == NO_TESTS or (status == 0 and bool(self.counts)))
        told = [f"{count} {outcome}" for outcome, count in self.counts.items()]
        print(
            f"{self.name}: status {status}, {', '.join(told) or 'no test'}; "
            f"{self.found} reports; {time.monotonic() - begin:.0f} s",
            flush=True,
        )

    def show_what_failed(self) -> None:
        print(f"\n==== the end of {self.output} ====")
        lines = self.output.read_text(errors="replace").splitlines()
        print("\n".join(lines[-LINES_OF_A_FAILURE:]))
        for path in sorted(self.reports.iterdir()):
            if found := reports.found_in(reports.text_of(path)):
                print(f"\n==== the first report in {path} ====")
                print("\n".join(found[0].splitlines()[:LINES_OF_A_FAILURE]))


def outcomes(output: str) -> Counter[str]:
    """How many tests ended how: by pytest's last line, or by what the C tests' Makefile prints."""
    counts: Counter[str] = Counter()
    if lines := PYTESTS_LAST_LINE.findall(output):
        for count, outcome in OUTCOMES.findall(lines[-1]):
            counts[outcome] += int(count)
    elif programs := C_PROGRAM.findall(output):
        counts["C programs"] = len(programs)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("--why-not", action="store_true", help="say why it cannot work here")
    parser.add_argument("--folder", type=Path, help="where output and reports are kept")
    parser.add_argument("--compiler", default="cc", help="with the flags for the tool")
    parser.add_argument("--jobs", type=int, default=3, help="how many pieces run side by side (3)")
    known, arguments = parser.parse_known_args()
    tool = TOOLS[known.tool]
    if known.why_not:
        reason = tool.why_not()
        print(reason or "it can")
        return 1 if reason else 0
    if known.folder is None:
        parser.error("--folder is missing")

    begin = time.monotonic()
    shutil.rmtree(known.folder, ignore_errors=True)
    known.folder.mkdir(parents=True)
    if missed := unseen(tool, known.folder.absolute(), known.compiler):
        print(f"{known.tool}: it does not report what is planted for it: {', '.join(missed)}")
        return 1
    pieces = [
        Piece(tool, name, known.folder.absolute(), [*options, *arguments])
        for name, options in tool.pieces().items()
    ]
    with ThreadPoolExecutor(known.jobs) as pool:
        list(pool.map(Piece.run, pieces))
    counts: Counter[str] = Counter()
    for piece in pieces:
        counts.update(piece.counts)
        if not piece.clean:
            piece.show_what_failed()
    tests = sum(counts[good] for good in ("passed", "xfailed", "xpassed", "C programs"))
    bad = sum(not piece.clean for piece in pieces)
    print(
        f"{known.tool}: {tests} tests passed, {counts['failed'] + counts['error']} failed; "
        f"{sum(piece.found for piece in pieces)} reports; {bad} of {len(pieces)} pieces not clean; "
        f"{time.monotonic() - begin:.0f} s"
    )
    return 1 if bad or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
