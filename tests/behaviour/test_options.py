"""What a program is asked to do by options of `python -m pyfastlock`, and by the environment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from subinterpreters import API, needs_subinterpreters
from support import DEADLINE, wait_until

import pyfastlock
from pyfastlock import __main__ as command
from pyfastlock import _core, _settings


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `python ARGS`, with nothing in the environment for pyfastlock but `env`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYFASTLOCK")}
    return subprocess.run(
        [sys.executable, "-P", *args],
        env=clean | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


# ---- bad values ----


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What the command says of its arguments; it must not run anything."""
    monkeypatch.setattr(sys, "argv", ["pyfastlock", *args])
    with pytest.raises(SystemExit) as exit_:
        command.main()
    assert exit_.value.code == 2
    told = capsys.readouterr()
    usage, reason = told.err.splitlines()
    assert usage.startswith("usage: python -m pyfastlock [options] ")
    assert told.out == ""
    return reason.removeprefix("pyfastlock: ")


NAMES = "it is a signal's name, such as SIGUSR1, or its number"
MISSING = "argument expected for the --{} option: --{}={}"


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--deadlocks=on", "--deadlocks=on: it is one of raise, report and off"),
        ("--dump-after=soon", "--dump-after=soon: it is a number of seconds"),
        ("--dump-after=0", "--dump-after=0: timeout must be greater than 0"),
        ("--dump-after=nan", None),
        ("--dump-signal=HUP2", f"--dump-signal=HUP2: {NAMES}"),
        ("--dump-signal=SIG_DFL", f"--dump-signal=SIG_DFL: {NAMES}"),
        ("--dump-signal=0", "--dump-signal=0: signal number out of range"),
        ("--dump-signal=KILL", None),
        ("--deadlocks", MISSING.format(*["deadlocks"] * 2, "raise|report|off")),
        ("--deadlocks=", MISSING.format(*["deadlocks"] * 2, "raise|report|off")),
        ("--dump-after", MISSING.format(*["dump-after"] * 2, "SECONDS")),
        ("--contention=", MISSING.format(*["contention"] * 2, "FILE")),
        ("--contention=/no/such/folder/file", None),
        ("--nothing=1", "unknown option --nothing=1"),
    ],
)  # fmt: skip
def test_bad_options(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    why: str | None,
) -> None:
    told = refusal(monkeypatch, capsys, option, "-c", "print('runs')")
    assert told == why or (why is None and told.startswith(f"{option}: ") and len(told) > 20), told


def test_all_options_are_looked_at_before_one_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used: list[str] = []
    monkeypatch.setattr(_core, "_set_deadlocks", used.append)
    assert "argument expected" in refusal(
        monkeypatch, capsys, "--deadlocks=off", "--dump-after", "-c", ""
    )
    assert used == []


BAD = {
    "PYFASTLOCK_CONTENTION": (
        "/no/such/folder",
        "[Errno 2] No such file or directory: '/no/such/folder'",
    ),
    "PYFASTLOCK_DEADLOCKS": ("never", "it is one of raise, report and off"),
    "PYFASTLOCK_DUMP_AFTER": ("-1", "timeout must be greater than 0"),
    "PYFASTLOCK_DUMP_SIGNAL": ("USR9", NAMES),
}


@pytest.fixture
def bad_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (value, _) in BAD.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("bad_environment")
def test_bad_variables_are_warned_of() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _settings.use_environment()
    assert {str(warning.message) for warning in caught} == {
        f"Ignoring ${name}={value!r}: {why}" for name, (value, why) in BAD.items()
    }
    assert {warning.category for warning in caught} == {RuntimeWarning}


@pytest.mark.usefixtures("bad_environment")
def test_it_is_the_main_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _core._is_main_interpreter() is True
    monkeypatch.setattr(_core, "_is_main_interpreter", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _settings.use_environment()


def test_a_bad_variable_and_the_import() -> None:
    code = "\nimport pyfastlock"
    told = run("-c", code, PYFASTLOCK_DEADLOCKS="no", PYFASTLOCK_DUMP_AFTER="")
    assert told.returncode == 0
    assert told.stderr.startswith(
        "<string>:2: RuntimeWarning: Ignoring $PYFASTLOCK_DEADLOCKS='no': it is one of"
    )
    assert told.stderr.count("Ignoring") == 1


@pytest.mark.parametrize("value", ["USR1", "sigusr1", str(int(signal.SIGUSR1))])
def test_names_of_signals(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    calls: list[tuple[str, int]] = []
    for name in ("register", "unregister"):
        monkeypatch.setattr(
            pyfastlock, name, lambda number, name=name: calls.append((name, number))
        )
    monkeypatch.setattr(_settings, "_registered", [])
    _settings.use_options([f"--dump-signal={value}"])
    assert calls == [("register", signal.SIGUSR1)]
    _settings.use_options([f"--dump-signal={value}"])
    _settings.use_options(["--dump-signal=SIGUSR2"])
    assert calls[2:] == [("register", signal.SIGUSR2), ("unregister", signal.SIGUSR1)]


# ---- deadlocks that are reported ----

REPORTED = """
import os, sys, tempfile, threading, time
import pyfastlock
limit = threading.Timer(20, os._exit, [9])
limit.daemon = True
limit.start()

make = threading.RLock if "patched" in sys.argv else pyfastlock.RLock
locks = [make(), make(), make()]
both_hold = threading.Barrier(2)
def body(number):
    with locks[number]:
        both_hold.wait()
        locks[1 - number].acquire()
def ends():
    locks[2].acquire()
def watch():
    while len(pyfastlock.deadlocks()) < 2:
        time.sleep(0.001)
    time.sleep(0.2)  # in which nothing is told again: the main thread looks every 50 ms
    # For a moment then it is in no queue.
    while len(cycles := pyfastlock.deadlocks()) < 2:
        pass
    print(sorted(len(cycle) for cycle in cycles), flush=True)
    text = ""
    while text.count("Deadlock") < 2:
        with tempfile.TemporaryFile("w+") as file:
            pyfastlock.dump_locks(file)
            file.seek(0)
            text = file.read()
    print(text, flush=True)
    os._exit(0)

other = threading.Thread(target=ends, name="ended")
other.start()
other.join()
threading.Thread(target=locks[2].acquire, daemon=True, name="orphan").start()
threading.Thread(target=body, args=[0], daemon=True, name="first").start()
threading.Thread(target=watch, daemon=True).start()
body(1)
"""


def check_reported(told: subprocess.CompletedProcess[str]) -> None:
    assert told.returncode == 0, told
    lock, ident = r"<pyfastlock.RLock at 0x\w+>", r"thread 0x\w+"
    of_two = rf"{ident} \((first|MainThread)\)"
    reports = sorted(told.stderr.split("pyfastlock: deadlock\n")[1:], key=len, reverse=True)
    assert len(reports) == 2, told.stderr
    assert re.fullmatch(
        rf"2 threads wait for each other:\n"
        rf"(  {of_two} waits for {lock} held by {of_two}\n){{2}}",
        reports[0],
    ), reports[0]
    assert re.fullmatch(
        rf"{ident} \(orphan\) waits for {lock} whose owner, {ident}, has ended\n", reports[1]
    ), reports[1]
    counts, _, dump = told.stdout.partition("\n")
    assert counts == "[1, 2]"
    assert "Deadlock of 2 threads:\n" in dump
    assert "Deadlock of 1 thread:\n" in dump


def test_deadlocks_are_reported_once() -> None:
    check_reported(run("-c", REPORTED, PYFASTLOCK_DEADLOCKS="report"))


@needs_subinterpreters
def test_deadlocks_are_reported_where_the_main_interpreter_has_no_locks() -> None:
    script = f"""
import sys
{API}
INSIDE = PATH + \"\"\"
import os, pyfastlock, sys, threading

class Stream:
    def fileno(self):  # the report asks for it, and then the wait goes on
        os._exit(0)

lock = pyfastlock.RLock()
owner = threading.Thread(target=lock.acquire)
owner.start()
owner.join()
sys.stderr = Stream()
lock.acquire()
\"\"\"
run(create(False), INSIDE)
"""
    told = run("-c", script, PYFASTLOCK_DEADLOCKS="report")
    assert told.returncode == 0, told


def test_an_option_goes_before_its_variable() -> None:
    args = ("-m", "pyfastlock", "--deadlocks=report", "-c", REPORTED, "patched")
    check_reported(run(*args, PYFASTLOCK_DEADLOCKS="off"))


ORPHANED = """
import os, pyfastlock, signal, sys, threading, time
condition = pyfastlock.Condition()
failures = []
sys.unraisablehook = failures.append
def fail(*_):
    raise KeyError
signal.signal(signal.SIGUSR1, fail)
{before}
def ends():
    condition.acquire()
    {wake}
def watch():
    while not pyfastlock.waits():
        time.sleep(0.001)
    ended = threading.Thread(target=ends)
    ended.start()
    ended.join()
    while not pyfastlock.deadlocks():
        time.sleep(0.001)
    time.sleep(0.1)  # in which nothing is told again
    print(len(pyfastlock.deadlocks()), len(failures), flush=True)
    os._exit(0)
threading.Thread(target=watch).start()
with condition:
    condition.wait()
"""


@pytest.mark.parametrize(
    ("before", "wake", "reports", "failures"),
    [
        ("sys.stderr = None", "condition.notify()", 1, 0),
        ("sys.stderr = open('/dev/null', 'w')", "condition.notify()", 0, 0),
        ("os.close(2)", "condition.notify()", 0, 1),
        ("", "os.kill(os.getpid(), signal.SIGUSR1)", 1, 0),
    ],
    ids=["no stderr", "another stderr", "a closed stderr", "after an exception"],
)
def test_a_condition_waits_on(before: str, wake: str, reports: int, failures: int) -> None:
    """Nobody has its lock any more, so it cannot be taken back."""
    told = run("-c", ORPHANED.format(before=before, wake=wake), PYFASTLOCK_DEADLOCKS="report")
    assert told.stdout == f"1 {failures}\n", told
    assert told.stderr.count("has ended") == reports, told


@pytest.mark.parametrize("value", [1, "\udc80"])
def test_the_switch_takes_text(value: object) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        _core._set_deadlocks(value)  # type: ignore[arg-type]


# ---- the dump ----


def test_dump_after(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    monkeypatch.setattr(pyfastlock, "dump_locks_later", calls.append)
    monkeypatch.setenv("PYFASTLOCK_DUMP_AFTER", "9")
    _settings.use_environment()
    _settings.use_options(["--dump-after=0.5"])
    assert calls == [9, 0.5]


DUMPED = """
import os, signal, threading, time
def ask():
    import pyfastlock
    while not pyfastlock.waits():
        time.sleep(0.001)
    signal.raise_signal(signal.SIGUSR1)
    while b"Timeout" not in os.pread(2, 10000, 0):
        time.sleep(0.001)
    signal.raise_signal(signal.SIGUSR2)
threading.Thread(target=ask).start()
lock = threading.Lock()
lock.acquire()
lock.acquire(timeout=20)
"""


def test_what_is_dumped(tmp_path: Path) -> None:
    """At the signal of the option, and after a time; the signal of the variable kills."""
    with (tmp_path / "stderr").open("w+") as stderr:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pyfastlock", "--dump-signal=SIGUSR1", "-c", DUMPED],
            env=os.environ | {"PYFASTLOCK_DUMP_SIGNAL": "USR2", "PYFASTLOCK_DUMP_AFTER": "0.3"},
            stderr=stderr,
            timeout=DEADLINE,
            check=False,
        )
        stderr.seek(0)
        told = stderr.read()
    assert done.returncode == -signal.SIGUSR2, told
    line = re.compile(
        r"^Thread 0x\w+ waiting \S+ of 20.000 s for <pyfastlock.Lock at 0x\w+> "
        r"held by thread 0x\w+$",
        re.MULTILINE,
    )
    assert line.search(told), told
    assert told.count("Timeout (0:00:00.300000)!\n") == 1, told


# ---- asking a running program ----


def can_ask() -> str:
    """Why a running program cannot be asked here; empty where it can."""
    if not hasattr(sys, "remote_exec"):
        return "Python 3.14 can ask a running program"
    return ""


asks = pytest.mark.skipif(bool(can_ask()), reason=can_ask())


@pytest.fixture
def hung() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def hang(hung: list[subprocess.Popen[str]], held: str) -> int:
    """Start a program whose main thread holds such a lock and acquires it again; its pid.

    A SIGUSR2 is harmless as soon as the pid is returned.
    """
    source = (
        "import _thread, pyfastlock, signal\n"
        "signal.signal(signal.SIGUSR2, lambda *_: None)\n"
        f"lock = {held}\n"
        "lock.acquire()\n"
        "print(flush=True)\n"
        "lock.acquire()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    hung.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"
    return process.pid


def forbidden(told: str) -> bool:
    return "permission" in told.lower() or "not permitted" in told


@asks
def test_dump_of_a_program_that_hangs_in_a_lock_of_ours(hung: list[subprocess.Popen[str]]) -> None:
    pid = hang(hung, "pyfastlock.Lock()")
    told = run("-m", "pyfastlock", "dump", str(pid))
    if forbidden(told.stderr):
        pytest.skip("ptrace is not permitted here")
    while told.stdout.startswith("0 threads"):  # it did not hang yet
        told = run("-m", "pyfastlock", "dump", str(pid))
    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(
        r"^Thread 0x\w+ waiting \S+ s for <pyfastlock.Lock at 0x\w+> held by thread 0x\w+$",
        told.stdout,
        re.MULTILINE,
    )


@asks
def test_a_program_that_hangs_elsewhere_does_not_answer(
    hung: list[subprocess.Popen[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What was written for it is gone when it goes on."""
    from pyfastlock import _remote

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pid = hang(hung, "_thread.allocate_lock()")
    status = _remote.dump(pid, 0.1)
    told = capsys.readouterr()
    if forbidden(told.err):
        pytest.skip("ptrace is not permitted here")
    while status == 0:  # it did not hang yet
        status = _remote.dump(pid, 0.1)
        told = capsys.readouterr()
    assert (status, told.out) == (1, "")
    assert f"process {pid} did not answer within 0.1 seconds" in told.err
    assert f"kill -USR1 {pid}" in told.err
    assert len(list(tmp_path.iterdir())) == 1

    def is_gone() -> bool:
        os.kill(pid, signal.SIGUSR2)  # again and again: the lock misses one before it sleeps
        return not list(tmp_path.iterdir())

    wait_until(is_gone)


@asks
def test_who_cannot_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    from pyfastlock import _remote

    with subprocess.Popen(["sleep", "20"]) as process:
        assert _remote.dump(process.pid) == 1
        process.kill()
    told = capsys.readouterr().err
    assert f"process {process.pid} cannot be asked: " in told
    assert "pyfastlock.register(signal.SIGUSR1)" in told
    assert _remote.dump(process.pid) == 1
    assert capsys.readouterr().err == f"pyfastlock: there is no process {process.pid}\n"
    assert _remote.dump(os.getpid()) == 1
    assert capsys.readouterr().err == f"pyfastlock: process {os.getpid()} is this command\n"


def test_an_older_interpreter_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(sys, "remote_exec", raising=False)
    monkeypatch.setattr(sys, "argv", ["pyfastlock", "dump", "123"])
    with pytest.raises(SystemExit) as exit_:
        command.main()
    assert exit_.value.code == 1
    told = capsys.readouterr().err
    assert "cannot ask a running program; 3.14 can" in told
    assert "--dump-signal=SIGUSR1" in told
    assert "kill -USR1 123" in told


@pytest.mark.parametrize("args", [("dump",), ("dump", "x"), ("dump", "1", "2"), ("./dump", "1")])
def test_a_script_with_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, args: tuple[str, ...]
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(sys, "argv", ["pyfastlock", *args])
    monkeypatch.setattr(command, "patch", lambda: None)
    monkeypatch.setattr("pyfastlock._run.path", lambda script, rest: ran.append((script, rest)))
    command.main()
    assert ran == [(args[0], list(args[1:]))]


# ---- contention ----

WAITS = """
import sys, threading
lock = threading.Lock()
lock.acquire()
thread = threading.Thread(target=lambda: (lock.acquire(), lock.release()))
thread.start()
from pyfastlock import waits
while not waits():
    pass
lock.release()
thread.join()
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise KeyError"])
@pytest.mark.parametrize("how", ["--contention", "PYFASTLOCK_CONTENTION"])
def test_contention_on_stderr(how: str, end: str) -> None:
    patched = "from pyfastlock import patch; patch()\n" if how.startswith("PY") else ""
    code = patched + WAITS + end
    if patched:
        done = run("-c", code, PYFASTLOCK_CONTENTION="1")
    else:
        done = run("-m", "pyfastlock", how, "-c", code)
    assert done.returncode == {"": 0, "sys.exit(3)": 3, "raise KeyError": 1}[end], done.stderr
    assert done.stdout == ""
    assert ("KeyError" in done.stderr) == ("KeyError" in end)
    table = done.stderr[done.stderr.index("Contention in ") :]
    assert re.search(r"^Lock of <string>:\d+ +1 +\d", table, re.MULTILINE), table


@pytest.mark.parametrize("form", ["table.txt", "table", "data.json", "a.collapsed", "a.folded"])
def test_contention_in_a_file(form: str, tmp_path: Path) -> None:
    file = tmp_path / f"%p-{form}"
    code = f"import os; os.chdir('/'); print(os.getpid())\n{WAITS}"
    done = run("-m", "pyfastlock", "--contention=none/x", f"--contention={file}", "-c", code)
    assert done.returncode == 2  # each option is looked at
    done = run("-m", "pyfastlock", f"--contention={file}", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / f"{int(done.stdout)}-{form}").read_text()
    assert text.endswith("\n")
    if form.endswith("json"):
        assert json.loads(text)["locks"][0]["kind"] == "Lock"
    elif form.startswith("a."):
        assert re.match(r"Lock of .*;.* \d+\n", text)
    else:
        assert text.startswith("Contention in ")


def test_contention_option_and_variable(tmp_path: Path) -> None:
    """The option counts, and there is one recording."""
    ours, theirs = tmp_path / "option", tmp_path / "variable"
    args = ("-m", "pyfastlock", f"--contention={ours}", "-c", WAITS)
    done = run(*args, PYFASTLOCK_CONTENTION=str(theirs))
    assert (done.returncode, done.stderr) == (0, "")
    assert ours.read_text().startswith("Contention in ")
    assert theirs.read_text() == ""


def test_contention_of_a_program_that_forks_and_stops() -> None:
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
from pyfastlock import stop_contention
print(len(stop_contention().locks))
"""
    done = run("-m", "pyfastlock", "--contention", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isspace() is False
