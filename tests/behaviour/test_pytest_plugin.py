"""`pytest --pyfastlock`: which tests fail, what their reports have, and what is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import types
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support import DEADLINE

import pyfastlock
from pyfastlock import _pytest

STILL = ("no:cacheprovider", "no:hypothesispytest", "no:rerunfailures")
"""Plugins that these runs do without."""

TESTS = """
import threading, time
import pytest

def deadlock():
    "The other thread has to get its condition's lock back, so this one is the victim."
    import pyfastlock
    lock, condition = threading.RLock(), threading.Condition()
    def hold_and_wait():
        with lock, condition:
            condition.wait()
    other = threading.Thread(target=hold_and_wait, name="the other")
    other.start()
    while not pyfastlock.waits():
        time.sleep(0.001)
    try:
        with condition:
            condition.notify()
            with lock:
                pass
    finally:
        other.join()

def deadlock_of_others():
    locks = threading.RLock(), threading.RLock()
    both_hold = threading.Barrier(2)
    def body(number):
        with locks[number]:
            both_hold.wait(20)
            with locks[1 - number]:
                pass
    others = [threading.Thread(target=body, args=(i,), name="the other") for i in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()

def test_own_thread():
    deadlock()

def test_other_thread():
    deadlock_of_others()

def test_expects_it():
    with pytest.raises(RuntimeError, match="wait for each other"):
        deadlock()

def test_other_exception():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

@pytest.fixture
def broken():
    deadlock_of_others()

def test_setup(broken):
    pass

def test_both():
    deadlock_of_others()
    raise ValueError("its own fault")

def test_locks_are_ours():
    assert type(threading.Lock()).__module__ == "pyfastlock"

def test_takes_long():
    lock = threading.Lock()
    assert lock.acquire()
    assert not lock.acquire(timeout={long})
"""


def run(
    folder: Path, source: str, *options: str, plugins: tuple[str, ...] = STILL
) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYFASTLOCK"))
    }
    return subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-rA", *options),
            *(argument for plugin in plugins for argument in ("-p", plugin)),
        ],
        cwd=folder,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )


def outcomes(output: str) -> dict[str, str]:
    found = re.findall(r"^(PASSED|FAILED|ERROR) test_it\.py::(\w+)", output, re.MULTILINE)
    return {name: outcome for outcome, name in found}


def section(output: str, name: str) -> str:
    """What the output says of a test that failed."""
    found = re.search(
        rf"^_+ {name} _+$(.*?)(?=^(?:_{{9}}|={{9}}))", output, re.MULTILINE | re.DOTALL
    )
    assert found, output
    return found[1]


CYCLE = re.compile(
    r"2 threads wait for each other:\n"
    r"(?:E? +thread 0x\w+ \((?:MainThread|the other)\) waits for <pyfastlock.RLock at 0x\w+> "
    r"held by thread 0x\w+ \((?:MainThread|the other)\)\n){2}"
)


def test_the_option(tmp_path: Path) -> None:
    # faulthandler's own timeout prints stacks; the locks come before them.
    done = run(
        tmp_path, TESTS.replace("{long}", "0.6"), "--pyfastlock", "-ofaulthandler_timeout=0.4"
    )
    output = done.stdout
    assert outcomes(output) == {
        "test_own_thread": "FAILED",
        "test_other_thread": "FAILED",
        "test_expects_it": "PASSED",
        "test_other_exception": "PASSED",
        "test_setup": "ERROR",
        "test_both": "FAILED",
        "test_locks_are_ours": "PASSED",
        "test_takes_long": "PASSED",
    }, output + done.stderr
    assert done.returncode == 1
    assert f"are those of pyfastlock {pyfastlock.__version__}" in output
    for name in (
        "test_own_thread",
        "test_other_thread",
        "ERROR at setup of test_setup",
        "test_both",
    ):
        assert CYCLE.search(section(output, name)), section(output, name)
    assert "DeadlockError in thread the other\nTraceback" in section(output, "test_other_thread")
    assert "its own fault" in section(output, "test_both")
    assert "Captured deadlock call" in section(output, "test_both")
    assert "PytestUnhandledThreadExceptionWarning" in output  # of the other exception
    assert output.count("ZeroDivisionError") < 4

    wait = re.search(
        r"^Thread (0x\w+) waiting .* for <pyfastlock.Lock at ", done.stderr, re.MULTILINE
    )
    assert wait, done.stderr
    assert f"\nThread {wait[1]} " in done.stderr[wait.end() :]  # and where it stands


def test_under_xdist_with_a_timeout(tmp_path: Path) -> None:
    """What a worker writes comes with the reports."""
    source = """
import threading
def test_hangs():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
"""
    options = ("--pyfastlock", "-n1", "--timeout=0.3", "--timeout-method=signal")
    done = run(tmp_path, source, *options)
    assert outcomes(done.stdout) == {"test_hangs": "FAILED"}, done.stdout + done.stderr
    told = section(done.stdout, "test_hangs")
    assert "Timeout (>0.3s) from pytest-timeout" in told
    assert re.search(
        r"^-+ Captured lock dump call -+\n"
        r"Timeout .*\n1 thread waits for an object of pyfastlock\n"
        r"Thread 0x\w+ waiting \S+ s for <pyfastlock.Lock at 0x\w+> held by thread 0x\w+$",
        told,
        re.MULTILINE,
    ), told


def test_without_the_option_nothing_is_imported(tmp_path: Path) -> None:
    source = """
import sys, threading
def test_it(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("pyfastlock")
    assert [name for name in sys.modules if name.startswith("pyfastlock")] == []
    assert type(threading.Lock()).__module__ == "_thread"
"""
    done = run(tmp_path, source, plugins=(*STILL, "no:xdist", "no:timeout"))
    assert outcomes(done.stdout) == {"test_it": "PASSED"}, done.stdout + done.stderr


# ---- when and where the locks are dumped ----


class Config:
    def __init__(self, **ini: object) -> None:
        self.ini = ini

    def getini(self, name: str) -> object:
        return self.ini[name]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Any]]:
    """The calls of dump_locks_later, and None for those of cancel_dump_locks_later."""
    calls: list[Any] = []
    monkeypatch.setattr(
        pyfastlock, "dump_locks_later", lambda seconds, file: calls.append((seconds, file))
    )
    monkeypatch.setattr(pyfastlock, "cancel_dump_locks_later", lambda: calls.append(None))
    return calls


def plugin(**ini: object) -> Any:
    made: Any = _pytest.Plugin(Config(**ini))  # type: ignore[arg-type]
    made.dump, made.stderr = "dump", "stderr"
    return made


def protocol(made: Any) -> Generator[None, object, object]:
    running: Generator[None, object, object] = made.pytest_runtest_protocol()
    next(running)
    return running


def test_where_the_process_may_end_it_goes_to_stderr(planned: list[Any]) -> None:
    made = plugin(faulthandler_timeout="5", faulthandler_exit_on_timeout=True)
    made.config.workerinput = {}
    running = protocol(made)
    assert planned == [(4.9, "stderr")]
    with pytest.raises(StopIteration):
        next(running)
    assert planned[1:] == [None]


def test_in_a_worker_it_goes_into_the_report(planned: list[Any]) -> None:
    made = plugin(faulthandler_timeout="5", faulthandler_exit_on_timeout=False)
    made.config.workerinput = {}
    running = protocol(made)
    assert planned == [(4.9, "dump")]
    running.close()


@pytest.mark.parametrize(("method", "file"), [("signal", "dump"), ("thread", "stderr")])
def test_where_pytest_timeout_ends_the_process(planned: list[Any], method: str, file: str) -> None:
    made = plugin()
    made.pytest_timeout_set_timer(types.SimpleNamespace(timeout=0.1, method=method))
    assert planned == [(0.05, file)]
    made.pytest_timeout_cancel_timer()
    made.pytest_exception_interact()
    assert planned[1:] == [None]


def test_the_first_timeout_counts(planned: list[Any]) -> None:
    made = plugin(faulthandler_timeout="5", faulthandler_exit_on_timeout=False)
    running = protocol(made)
    made.pytest_timeout_set_timer(types.SimpleNamespace(timeout=7, method="signal"))
    assert planned == [(4.9, "stderr")]
    made.pytest_timeout_set_timer(types.SimpleNamespace(timeout=3, method="signal"))
    assert planned[1:] == [(2.9, "dump")]
    running.close()


def test_pytest_may_lack_the_setting(planned: list[Any]) -> None:
    protocol(plugin()).close()
    assert planned == []


def test_green_threads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("not together with gevent")

    monkeypatch.setattr(pyfastlock, "patched", refuse)
    with pytest.raises(pytest.UsageError, match="--pyfastlock: not together with gevent"):
        _pytest.begin(Config())  # type: ignore[arg-type]
    assert threading.Lock.__module__ != "pyfastlock"
