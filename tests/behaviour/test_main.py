"""`python -m pyfastlock` against `python` itself: what a program finds, prints and exits with.

`same` runs both and compares stdout, stderr and exit status. Only addresses of objects are
normalised. What cannot be the same is what a program sees of its own stack: the frames that called
it, and so the depth that it has left before a RecursionError.
"""

from __future__ import annotations

import os
import py_compile
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import pyfastlock

LIMIT = 50


class Result:
    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.stdout, self.stderr = (
            re.sub(r"0x[0-9a-f]+", "0x...", stream.decode(errors="backslashreplace"))
            for stream in (done.stdout, done.stderr)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"status {self.status}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    __hash__ = None  # type: ignore[assignment]


def run(
    *args: str,
    options: tuple[str, ...] = (),
    patched: bool = True,
    stdin: str = "",
    env: dict[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Result:
    """Run the interpreter with these options and arguments, in the current folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return Result(
        subprocess.run(
            [sys.executable, *options, *(("-m", "pyfastlock") if patched else ()), *args],
            check=False,
            capture_output=True,
            env=environment | (env or {}),
            input=stdin.encode(),
            pass_fds=pass_fds,
            timeout=LIMIT,
        )
    )


def same(
    *args: str,
    options: tuple[str, ...] = (),
    stdin: str = "",
    env: dict[str, str] | None = None,
) -> Result:
    """Assert that both give the same result, and return it."""
    plain = run(*args, options=options, stdin=stdin, env=env, patched=False)
    ours = run(*args, options=options, stdin=stdin, env=env)
    assert ours == plain
    return ours


def write(path: str, source: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(textwrap.dedent(source))
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


KINDS: dict[str, Callable[[str], tuple[tuple[str, ...], str]]] = {}
"""Ways to run a program: name -> function from its source to the arguments and the stdin."""


def kind(function: Callable[[str], object]) -> None:
    def arguments(source: str) -> tuple[tuple[str, ...], str]:
        result = function(textwrap.dedent(source))
        if isinstance(result, str):
            return ("-",), result
        assert isinstance(result, tuple)
        return result, ""

    KINDS[function.__name__] = arguments


@kind
def script(source: str) -> tuple[str, ...]:
    return (write("program.py", source),)


@kind
def script_in_a_folder(source: str) -> tuple[str, ...]:
    write("./some/program.py", source)
    return ("./some/../some/program.py",)


@kind
def link(source: str) -> tuple[str, ...]:
    os.makedirs("links")
    os.symlink("../" + write("real/program.py", source), "links/link.py")
    return ("links/link.py",)


@kind
def absolute(source: str) -> tuple[str, ...]:
    return (os.path.abspath(write("program.py", source)),)


@kind
def compiled(source: str) -> tuple[str, ...]:
    py_compile.compile(write("program.py", source), "compiled.pyc")
    return ("compiled.pyc",)


@kind
def compiled_without_suffix(source: str) -> tuple[str, ...]:
    py_compile.compile(write("program.py", source), "compiled")
    return ("compiled",)


@kind
def directory(source: str) -> tuple[str, ...]:
    write("application/__main__.py", source)
    return ("application",)


@kind
def archive(source: str) -> tuple[str, ...]:
    with zipfile.ZipFile("application.zip", "w") as file:
        file.writestr("__main__.py", source)
    return ("application.zip",)


@kind
def module(source: str) -> tuple[str, ...]:
    write("program.py", source)
    return ("-m", "program")


@kind
def module_in_a_package(source: str) -> tuple[str, ...]:
    write("package/__init__.py", "")
    write("package/program.py", source)
    return ("-mpackage.program",)


@kind
def package(source: str) -> tuple[str, ...]:
    write("package/__init__.py", "import sys; found = sys.argv[0]")
    write("package/__main__.py", source)
    return ("-m", "package")


@kind
def command(source: str) -> tuple[str, ...]:
    return ("-c", source)


@kind
def command_joined(source: str) -> tuple[str, ...]:
    return ("-c" + source,)


@kind
def standard_input(source: str) -> str:
    return source


every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)

TELL = """\
import sys
for name, value in sorted(globals().items()):
    print(name, repr(value))
print(sys.argv, sys.path, sys.flags)
assert sys.modules["__main__"].__dict__ is globals()
import __main__
print(__main__)
"""


@every_kind
@pytest.mark.parametrize("options", [(), ("-P",), ("-I",)], ids=["", "-P", "-I"])
def test_what_a_program_finds(make: Callable[..., tuple], options: tuple[str, ...]) -> None:
    """The names in `__main__`, `sys.argv`, `sys.path` with and without its first entry, flags."""
    args, stdin = make(TELL)
    told = same(*args, "an argument", "-c", "--help", options=options, stdin=stdin)
    # Under -P and -I the current folder is not searched, which is what they are for.
    searched = not (options and args[0].startswith("-m"))
    assert told.status == (0 if searched else 1)
    assert ("'an argument', '-c', '--help']" in told.stdout) == searched


def test_safe_path_by_the_environment() -> None:
    assert same(write("x.py", TELL), env={"PYTHONSAFEPATH": "1"}).status == 0


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="this system has no /dev/fd")
@pytest.mark.parametrize("removed", [False, True], ids=["a pipe", "a removed file"])
def test_a_file_descriptor_as_script(removed: bool) -> None:
    """What a shell's <(...) gives to a program: it can be read, but leads to no path."""

    def through_a_descriptor(patched: bool) -> Result:
        if removed:
            fd = os.open(write("program.py", TELL), os.O_RDONLY)
            os.remove("program.py")
        else:
            fd, write_end = os.pipe()
            os.write(write_end, TELL.encode())
            os.close(write_end)
        os.dup2(fd, 99)
        os.close(fd)
        try:
            return run("/dev/fd/99", patched=patched, pass_fds=(99,))
        finally:
            os.close(99)

    ours = through_a_descriptor(patched=True)
    assert ours == through_a_descriptor(patched=False)
    assert ours.status == 0


ENDINGS = {
    "the end": "print('done')",
    "exit": "raise SystemExit",
    "exit 3": "import sys; sys.exit(3)",
    "exit True": "raise SystemExit(True)",
    "exit with a text": "import sys; sys.exit('a reason')",
    "exit in atexit": "import atexit, sys; atexit.register(lambda: sys.exit(3))",
    "os._exit": "import os; os._exit(5)",
    "exception": """
        def function():
            raise ValueError("a reason")
        function()
        """,
    "chain": """
        def function():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise ValueError from error
        try:
            function()
        except ValueError:
            raise KeyError("context")
        """,
    "group": "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
    "notes": """
        error = ValueError("x")
        error.add_note("a note")
        raise error
        """,
    "base exception": """
        class Mine(BaseException):
            pass
        raise Mine
        """,
    "generator exit": "raise GeneratorExit",
    "syntax": "def function(:\n    pass\n",
    "indentation": "if True:\nprint(1)\n",
    "unknown name": "import sys\nsys.modulse",
    "missing module": "import there_is_no_such_module",
    "own exit status": """
        class Exit(SystemExit):
            code = 7
        raise Exit
        """,
    "interrupt": "raise KeyboardInterrupt",
    "subclass of interrupt": """
        class Interrupt(KeyboardInterrupt):
            pass
        raise Interrupt
        """,
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "exception in a thread": """
        import threading
        thread = threading.Thread(target=lambda: 1 / 0, name="a thread")
        thread.start()
        thread.join()
        print("done")
        """,
    "a hook": """
        import sys, traceback
        def hook(kind, error, tb):
            print(kind, repr(error), error.__traceback__ is tb, sys.excepthook is hook)
            print(sys.last_type, sys.last_value is error, sys.last_traceback is tb)
            traceback.print_exception(kind, error, tb)
        sys.excepthook = hook
        import atexit
        atexit.register(lambda: print(sys.excepthook is hook))
        1 / 0
        """,
    "a hook that fails": """
        import sys
        def hook(*args):
            raise KeyError("in the hook")
        sys.excepthook = hook
        1 / 0
        """,
    "a hook that exits": """
        import sys
        sys.excepthook = lambda *args: sys.exit(9)
        1 / 0
        """,
    "the hook of an exit": """
        import atexit, sys
        atexit.register(lambda: print(sys.excepthook is sys.__excepthook__))
        sys.exit(2)
        """,
    "unraisable": """
        class Mine:
            def __del__(self):
                1 / 0
        mine = Mine()
        """,
    "warning": "import warnings; warnings.warn('a warning')",
    "names at the end": """
        import atexit, sys
        atexit.register(lambda: print(__name__, sys.modules["__main__"].__dict__ is globals()))
        class Last:
            def __del__(self):
                print("deleted")
        last = Last()
        """,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "make",
    [KINDS["script"], KINDS["command"], KINDS["module"]],
    ids=["script", "command", "module"],
)
def test_how_a_program_ends(make: Callable[..., tuple], ending: str) -> None:
    args, stdin = make(ENDINGS[ending])
    told = same(*args, stdin=stdin)
    assert "pyfastlock" not in told.stderr


@every_kind
def test_tracebacks(make: Callable[..., tuple]) -> None:
    """They begin where the interpreter's own begin, and show the same source lines."""
    args, stdin = make("def function():\n    1 / 0\n\nfunction()\n")
    told = same(*args, stdin=stdin)
    assert told.status == 1
    assert "ZeroDivisionError" in told.stderr


def test_an_indented_command() -> None:
    """From 3.14 on it may be."""
    told = same("-c", "\n    print('done')\n    if True:\n        1 / 0\n")
    assert ("done" in told.stdout) == (sys.version_info >= (3, 14))


def test_the_statuses_are_the_interpreters() -> None:
    """Not only the same ones: those that the texts above are meant to give."""
    status = {ending: run("-c", textwrap.dedent(ENDINGS[ending])).status for ending in ENDINGS}
    assert status["exit 3"] == 3
    assert status["exit with a text"] == status["exception"] == 1
    assert status["interrupt"] == status["signal"] == -signal.SIGINT
    assert status["killed"] == -signal.SIGTERM


def test_ctrl_c_while_the_program_waits() -> None:
    """Not compared: without ours a signal that comes a moment before the wait may go unnoticed."""
    source = """
        import sys, threading
        print("waits", flush=True)
        threading.Event().wait()
        """
    process = subprocess.Popen(
        [sys.executable, "-m", "pyfastlock", write("program.py", source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waits\n"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    lines = stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "program.py" in lines[1]
    assert lines[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    "args",
    [
        ("missing.py",),
        ("missing/program.py",),
        ("-m", "there_is_no_such_module"),
        ("-m", "there.is.no.such.module"),
        ("-m", "json"),  # a package without __main__
        ("-m", "sys"),  # no code
        ("-m", "fails"),
        ("-m", "fails.inside"),
        ("empty",),
        ("broken.zip",),
        ("unreadable.py",),
    ],
    ids=" ".join,
)
def test_programs_that_cannot_be_run(args: tuple[str, ...]) -> None:
    os.mkdir("empty")
    write("broken.zip", "no zip file")
    write("fails/__init__.py", "1 / 0")
    os.mkfifo("fifo")
    os.symlink("unreadable.py", "unreadable.py")  # a loop, which not even root can open
    assert same(*args).status != 0


def test_options_of_the_interpreter_come_first() -> None:
    source = "import sys, warnings; print(sys.flags, sys._xoptions, sys.warnoptions, __debug__)\n"
    options = ("-O", "-X", "utf8", "-W", "error::ImportWarning", "-b")
    assert "error::ImportWarning" in same("-c", source, options=options).stdout


def test_interactive_after_the_program() -> None:
    """`-i`: the prompt has the program's names, and pdb.pm() finds its traceback."""
    program = write("program.py", "def function():\n    1 / 0\nname = 'value'\nfunction()\n")
    ask = "name\nimport sys\nsys.last_traceback.tb_frame.f_code.co_filename[-10:]\n"
    told = same(program, options=("-i", "-q"), stdin=ask, env={"TERM": "dumb"})
    assert "'value'" in told.stdout
    assert "'program.py'" in told.stdout


def test_interactive_after_an_exit() -> None:
    program = write("program.py", "import sys\nsys.exit(3)\n")
    told = same(program, options=("-i", "-q"), stdin="sys\n", env={"TERM": "dumb"})
    assert "SystemExit: 3" in told.stderr


PICKLE = """
import pickle, threading
class Point:
    def __init__(self, x):
        self.x = x
assert type(pickle.loads(pickle.dumps(Point(1)))) is Point
def later():
    threading.main_thread().join()
    print(pickle.loads(pickle.dumps(Point(2))).x)
threading.Thread(target=later).start()
"""


@every_kind
def test_pickles_of_the_programs_classes(make: Callable[..., tuple]) -> None:
    """Also when the main thread has reached the end of the program."""
    args, stdin = make(PICKLE)
    assert same(*args, stdin=stdin).stdout == "2\n"


MULTIPROCESSING = """
import multiprocessing, sys, threading
class Point:
    def __init__(self, x):
        self.x = x
def work(point):
    return Point(point.x + 1)
def kinds():
    return type(threading.Event()).__module__
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        print([point.x for point in pool.map(work, [Point(1), Point(2)])])
        if sys.argv[2:]:
            print(pool.apply(kinds), kinds())
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", ["script", "directory", "module", "package"])
def test_t36_multiprocessing(name: str, method: str) -> None:
    source = MULTIPROCESSING
    if name in ("directory", "package"):
        # Their main module is not imported again by "spawn": it takes the functions from another.
        write("worker.py", source.partition("if __name__")[0])
        if name == "directory":
            os.makedirs("application")
            os.rename("worker.py", "application/worker.py")
        source = (
            "from worker import *\nimport multiprocessing, sys\nif "
            + (source.partition("\nif ")[2])
        )
    args, _ = KINDS[name](source)
    options = ("-W", "ignore::DeprecationWarning")  # fork in a process with threads
    assert same(*args, method, options=options).stdout == "[2, 3]\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_which_children_are_patched(method: str) -> None:
    program = write("program.py", MULTIPROCESSING)
    told = run(program, method, "kinds", options=("-W", "ignore::DeprecationWarning"))
    child = "pyfastlock" if method == "fork" else "threading"
    assert told.stdout == f"[2, 3]\n{child} pyfastlock\n", told


@every_kind
def test_programs_are_patched_from_the_start(make: Callable[..., tuple]) -> None:
    args, stdin = make(
        """
        from threading import Condition, Event, Lock, RLock
        import queue, threading
        for cls in Condition, Event, Lock, RLock, type(queue.Queue().mutex):
            print(cls.__module__, end=" ")
        threading.Thread(target=lambda: print(threading.current_thread()._started)).start()
        """
    )
    told = run(*args, stdin=stdin)
    assert told.stdout.startswith("pyfastlock " * 5 + "<pyfastlock.Event "), told
    assert (told.status, told.stderr) == (0, "")


def test_patched_before_the_package_of_the_module_is_imported() -> None:
    write("package/__init__.py", "from threading import Event")
    write("package/__main__.py", "from package import Event; print(Event.__module__)")
    assert run("-m", "package").stdout == "pyfastlock\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option: str) -> None:
    told = run(option)
    assert told.stdout.startswith("usage: python -m pyfastlock ")
    assert (told.status, told.stderr) == (0, "")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    told = run(option)
    assert told.stdout == f"pyfastlock {pyfastlock.__version__}\n"
    assert (told.status, told.stderr) == (0, "")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "no program to run"),
        (("-c",), "argument expected for the -c option"),
        (("-m",), "argument expected for the -m option"),
        (("-u", "x.py"), "unknown option -u"),
        (("--nothing",), "unknown option --nothing"),
    ],
)
def test_usage(args: tuple[str, ...], why: str) -> None:
    told = run(*args)
    usage, reason = told.stderr.splitlines()
    assert usage.startswith("usage: python -m pyfastlock ")
    assert reason == f"pyfastlock: {why}"
    assert (told.status, told.stdout) == (2, "")


def test_daemon_threads_at_the_end() -> None:
    """A daemon thread that waits for a lock of ours does not keep the program alive."""
    source = """
        import threading
        waiting = threading.Lock()
        waiting.acquire()
        threading.Thread(target=waiting.acquire, daemon=True).start()
        print("done")
        """
    assert same("-c", textwrap.dedent(source)).stdout == "done\n"
