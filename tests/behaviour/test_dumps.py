"""dump_locks(), dump_locks_later(), register(): who waits for what, as text."""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from concurrency import check_script, in_child, on_signal, queued, run_script
from subinterpreters import API, needs_subinterpreters, own_gil
from support import DEADLINE, held_elsewhere, parked, start, wait_until

import pyfastlock
from pyfastlock import (
    DeadlockError,
    cancel_dump_locks_later,
    dump_locks,
    dump_locks_later,
    register,
    unregister,
)

NOBODY = "0 threads wait for objects of pyfastlock\n"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TextIO]:
    with open(tmp_path / "dump", "w+") as opened:
        yield opened


def text_of(file: TextIO) -> str:
    return Path(file.name).read_text()


def dumped(file: TextIO) -> str:
    """What dump_locks() writes."""
    file.seek(0)
    file.truncate()
    dump_locks(file)
    return text_of(file)


def written(file: TextIO, count: int = 1) -> str:
    """Wait until that many dumps in which nobody waits have been written."""
    wait_until(lambda: text_of(file).count(NOBODY) >= count)
    return text_of(file)


def thread_text(ident: int) -> str:
    return f"0x{ident:0{16 if sys.maxsize > 1 << 32 else 8}x}"


# ---- what is written ----


def take_and_release(lock: Any, timeout: float = -1) -> None:
    assert lock.acquire(timeout=timeout)
    lock.release()


def wait_in(condition: Any) -> None:
    with condition:
        condition.wait()


def notify_in(condition: Any) -> None:
    with condition:
        condition.notify()


def emptied(semaphore: Any) -> Any:
    semaphore.acquire()
    return semaphore


WAITS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "Lock": (pyfastlock.Lock, lambda x: x.acquire(), lambda x: x.release()),
    "Condition": (pyfastlock.Condition, wait_in, notify_in),
    "Event": (pyfastlock.Event, lambda x: x.wait(), lambda x: x.set()),
    "Semaphore": (lambda: pyfastlock.Semaphore(0), lambda x: x.acquire(), lambda x: x.release()),
    "BoundedSemaphore": (
        lambda: emptied(pyfastlock.BoundedSemaphore(1)),
        lambda x: x.acquire(),
        lambda x: x.release(),
    ),
    "Barrier": (lambda: pyfastlock.Barrier(2), lambda x: x.wait(), lambda x: x.wait()),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_line_for_each_type(name: str, file: TextIO) -> None:
    make, wait, end = WAITS[name]
    obj = make()
    if name == "Lock":
        obj.acquire()
    thread = start(wait, obj)
    parked(obj)
    text = dumped(file)
    end(obj)
    thread.join()
    held = f" held by thread {thread_text(threading.get_ident())}" if name == "Lock" else ""
    assert re.fullmatch(
        r"1 thread waits for an object of pyfastlock\n"
        rf"Thread {thread_text(thread.ident)} waiting \d+\.\d\d\d s "
        rf"for <pyfastlock\.{name} at {id(obj):#x}>{held}\n",
        text,
    ), text
    assert dumped(file) == NOBODY


def test_owner_others_and_timeouts(file: TextIO) -> None:
    lock = pyfastlock.RLock()
    with held_elsewhere(lock) as holder:
        threads = [start(take_and_release, lock, timeout) for timeout in (-1, 1000.5, -1)]
        wait_until(lambda: queued(lock) == 3)
        lines = dumped(file).splitlines()
    for thread in threads:
        thread.join()
    assert lines[0] == "3 threads wait for objects of pyfastlock"
    pattern = re.compile(
        rf"Thread (0x[0-9a-f]+) waiting \d+\.\d\d\d( of 1000\.500)? s for "
        rf"<pyfastlock\.RLock at {id(lock):#x}> held by thread {thread_text(holder.ident)}, "
        r"2 others wait"
    )
    found = [pattern.fullmatch(line) for line in lines[1:]]
    assert all(found), lines
    timed = {match[1]: match[2] is not None for match in found if match}
    assert timed == {thread_text(t.ident): i == 1 for i, t in enumerate(threads)}


DEADLOCKS = """
import sys
import threading
import pyfastlock

a, b, left = pyfastlock.RLock(), pyfastlock.RLock(), pyfastlock.RLock()
both_hold = threading.Barrier(2)

def hold(own, other):
    with own:
        both_hold.wait()
        other.acquire()

def start(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread

owner = start(left.acquire)
owner.join()
gone = owner.ident
threads = [start(hold, a, b), start(hold, b, a), start(a.acquire), start(left.acquire)]
while len(pyfastlock.waits()) < 4:
    pass
pyfastlock.dump_locks(sys.stdout)
first, second, _, orphan = (f"thread 0x{thread.ident:016x}" for thread in threads)
print(f"  {first} waits for <pyfastlock.RLock at {id(b):#x}> held by {second}")
print(f"  {second} waits for <pyfastlock.RLock at {id(a):#x}> held by {first}")
print(f"  {orphan} waits for <pyfastlock.RLock at {id(left):#x}>"
      f" whose owner, thread 0x{gone:016x}, has ended")
"""


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="the identifiers have 16 digits")
def test_deadlocks_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYFASTLOCK_DEADLOCKS", "off")
    result = run_script(DEADLOCKS)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    edges, expected = lines[5:-3], lines[-3:]
    assert lines[0] == "4 threads wait for objects of pyfastlock"
    assert sorted(edges) == sorted(
        [*expected, "Deadlock of 1 thread:", "Deadlock of 2 threads:"]
    ), result.stdout
    at = edges.index("Deadlock of 2 threads:")
    assert set(edges[at + 1 : at + 3]) == set(expected[:2])


def test_who_waits_for_itself_in_time_is_no_deadlock(file: TextIO) -> None:
    """A cycle of which one wait has a limit."""
    locks = [pyfastlock.RLock(), pyfastlock.RLock()]
    both_hold = threading.Barrier(2)
    enough = threading.Event()

    def body(number: int, timeout: float) -> None:
        with locks[number]:
            both_hold.wait(DEADLINE)
            if locks[1 - number].acquire(timeout=timeout):
                locks[1 - number].release()
            if timeout > 0:
                enough.wait(DEADLINE)

    threads = [start(body, 0, 0.2), start(body, 1, -1)]
    for lock in locks:
        wait_until(lambda lock=lock: queued(lock) == 1)
    text = dumped(file)
    enough.set()
    for thread in threads:
        thread.join()
    assert "Deadlock" not in text


def test_a_child_shows_the_owner_that_stayed_behind(file: TextIO) -> None:
    lock = pyfastlock.RLock()

    def check() -> None:
        start(lock.acquire, timeout=DEADLINE)
        wait_until(lambda: queued(lock) == 1)
        assert "did not come along in the fork" in dumped(file)

    with held_elsewhere(lock):
        in_child(check)


# ---- files ----


def test_the_file_is_flushed_first(file: TextIO) -> None:
    file.write("before\n")
    dump_locks(file)
    assert text_of(file) == "before\n" + NOBODY


def test_descriptors_and_sys_stderr(file: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    dump_locks(file.fileno())
    monkeypatch.setattr(sys, "stderr", file)
    dump_locks()
    dump_locks(None)
    dump_locks(file=file)
    assert text_of(file) == 4 * NOBODY


def test_the_descriptor_may_be_0(file: TextIO) -> None:
    kept = os.dup(0)
    os.dup2(file.fileno(), 0)
    try:
        dump_locks(0)
        dump_locks_later(0.01, file=0)
        written(file, 2)
        with open(0, "w", closefd=False) as same:
            dump_locks(same)
            assert text_of(file).count(NOBODY) == 3
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            expected = outcome(lambda: faulthandler.dump_traceback(False))
            assert outcome(lambda: dump_locks(False)) == expected
    finally:
        cancel_dump_locks_later()
        os.dup2(kept, 0)
        os.close(kept)


def test_what_the_methods_of_the_file_return_is_not_kept(file: TextIO) -> None:
    class Flushed:
        pass

    class File:
        fileno = file.fileno

        def flush(self) -> Flushed:
            flushed = Flushed()
            kept.append(weakref.ref(flushed))
            return flushed

    kept: list[Any] = []
    dump_locks(File())
    gc.collect()
    assert [ref() for ref in kept] == [None]


class BadFile:
    def __init__(self, fileno: object):
        self.fileno = lambda: fileno


BAD_FILES: dict[str, object] = {
    "-1": -1,
    "too large": 1 << 70,
    "no file": object(),
    "str": "stderr",
    "fileno() is no number": BadFile("1"),
    "fileno() is negative": BadFile(-1),
    "fileno() is too large": BadFile(1 << 40),
}


def outcome(call: Callable[[], object]) -> tuple[object, ...]:
    try:
        return (call(),)
    except Exception as error:
        text = re.sub(r"\b(dump_traceback|faulthandler\.)", "", str(error))
        return type(error), text.replace("dump_locks", "").replace("pyfastlock._core.", "")


@pytest.mark.parametrize("bad", BAD_FILES)
def test_bad_files(bad: str) -> None:
    bad_file: Any = BAD_FILES[bad]
    theirs = outcome(lambda: faulthandler.dump_traceback(bad_file))
    assert outcome(lambda: dump_locks(bad_file)) == theirs
    assert outcome(lambda: dump_locks_later(1000, file=bad_file)) == theirs
    assert outcome(lambda: register(signal.SIGUSR1, bad_file)) == theirs
    assert not unregister(signal.SIGUSR1)


@pytest.mark.parametrize("how", ["none", "missing"])
def test_no_standard_error(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "none":
        monkeypatch.setattr(sys, "stderr", None)
    else:
        monkeypatch.delattr(sys, "stderr")
    same = 2 if how == "none" else 1  # the other text changes within a version
    theirs = outcome(faulthandler.dump_traceback)[:same]
    assert outcome(dump_locks)[:same] == theirs
    assert outcome(lambda: dump_locks_later(1000))[:same] == theirs
    assert outcome(lambda: register(signal.SIGUSR1))[:same] == theirs


def test_a_bool_is_a_file_as_for_faulthandler(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(call: Callable[[], object]) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        return [str(warning.message) for warning in caught]

    theirs = warned(lambda: faulthandler.register(signal.SIGUSR2, True))
    faulthandler.unregister(signal.SIGUSR2)
    assert warned(lambda: register(signal.SIGUSR2, True)) == theirs
    unregister(signal.SIGUSR2)
    if theirs:
        with warnings.catch_warnings(), pytest.raises(RuntimeWarning, match="file descriptor"):
            warnings.simplefilter("error")
            register(signal.SIGUSR2, True)
    assert not unregister(signal.SIGUSR2)


def test_bad_calls() -> None:
    """As of any function: too many arguments, or unknown ones."""
    for function in (dump_locks, dump_locks_later, register, unregister, cancel_dump_locks_later):
        with pytest.raises(TypeError):
            function(1, 2, 3, 4, 5)  # type: ignore[call-arg,arg-type]
        with pytest.raises(TypeError):
            function(nothing=1)  # type: ignore[call-arg]


def test_a_number_of_seconds_that_raises_when_it_becomes_a_float() -> None:
    """There is no dump at once, of a timeout that was not read."""

    class Odd:
        def __float__(self) -> float:
            raise KeyError("odd")

        def __index__(self) -> int:
            return 1000

    with pytest.raises(KeyError, match="odd"):
        dump_locks_later(Odd())  # type: ignore[arg-type]


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    closed = os.open(os.devnull, os.O_WRONLY)
    os.close(closed)
    with open(tmp_path / "empty") as readable:
        bad_files: tuple[Any, ...] = (closed, readable, readable.fileno())
        for bad_file in bad_files:
            with pytest.raises(OSError, match="Bad file descriptor"):
                dump_locks(bad_file)
            with pytest.raises(OSError, match="Bad file descriptor"):
                dump_locks_later(1000, file=bad_file)
            with pytest.raises(OSError, match="Bad file descriptor"):
                register(signal.SIGUSR1, bad_file)
    assert not unregister(signal.SIGUSR1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_file_without_room() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        dump_locks(full)


# ---- later ----


def test_later(file: TextIO) -> None:
    assert dump_locks_later(0.01, file=file) is None
    written(file)
    time.sleep(0.05)
    assert text_of(file) == "Timeout (0:00:00.010000)!\n" + NOBODY
    cancel_dump_locks_later()
    cancel_dump_locks_later()


def test_later_and_again(file: TextIO) -> None:
    dump_locks_later(timeout=0.01, repeat=True, file=file)
    written(file, 3)
    cancel_dump_locks_later()
    text = text_of(file)
    time.sleep(0.05)
    assert text_of(file) == text


def test_a_call_takes_the_place_of_the_one_before(file: TextIO, tmp_path: Path) -> None:
    with open(tmp_path / "other", "w") as other:
        dump_locks_later(0.01, repeat=True, file=other)
        dump_locks_later(3725.25, file=file)
        text = text_of(other)
        time.sleep(0.05)
        assert text_of(other) == text
    dump_locks_later(0.01, file=file)
    assert "Timeout (0:00:00.010000)!\n" in written(file)
    cancel_dump_locks_later()


def test_the_file_lives_until_then(tmp_path: Path) -> None:
    opened = open(tmp_path / "dump", "w")  # noqa: SIM115
    dump_locks_later(0.05, file=opened)
    lives = weakref.ref(opened)
    del opened
    wait_until(lambda: NOBODY in (tmp_path / "dump").read_text())
    kept = lives()
    assert kept is not None
    kept.close()
    del kept
    cancel_dump_locks_later()
    wait_until(lambda: lives() is None)


def test_later_and_exit() -> None:
    result = run_script(
        """
        import pyfastlock
        pyfastlock.dump_locks_later(0.05, exit=True)
        pyfastlock.Event().wait()
        """
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Timeout (0:00:00.050000)!\n1 thread waits for an object")
    assert "for <pyfastlock.Event at 0x" in result.stderr


STUCK = """
import ctypes, os, sys, threading
import pyfastlock

lock = pyfastlock.RLock()
lock.acquire()
threading.Thread(target=lock.acquire, daemon=True).start()
while not pyfastlock.waits():
    pass
pyfastlock.{call}
# With the GIL, and for longer than anybody waits.
ctypes.PyDLL(None).{function}
"""


def test_where_the_interpreter_is_stuck() -> None:
    """Nobody can have the GIL any more."""
    call = "dump_locks_later(0.05, exit=True)"
    result = run_script(STUCK.format(call=call, function="sleep(1000)"))
    assert result.returncode == 1
    assert "for <pyfastlock.RLock at 0x" in result.stderr
    assert "held by thread 0x" in result.stderr


def test_a_child_has_no_dump_later(file: TextIO) -> None:
    def check() -> None:
        cancel_dump_locks_later()
        dump_locks_later(0.01, file=file)
        written(file)

    dump_locks_later(1000, file=file)
    in_child(check)
    cancel_dump_locks_later()
    assert text_of(file) == "Timeout (0:00:00.010000)!\n" + NOBODY


def same_mistake(ours: tuple[object, ...], theirs: tuple[object, ...], bad: str) -> None:
    """The type is the same, and so is the text.

    How a call that does not fit is told depends on how a function in C gets its arguments.
    """
    fits = bad not in ("none", "no timeout", "unknown name", "too many", "too large signal")
    assert ours[: 1 + fits] == theirs[: 1 + fits]


BAD_LATER: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "no timeout": ((), {}),
    "0": ((0,), {}),
    "-1": ((-1,), {}),
    "-0.5": ((-0.5,), {}),
    "NaN": ((float("nan"),), {}),
    "infinity": ((float("inf"),), {}),
    "too large": ((1e300,), {}),
    "too large int": ((1 << 100,), {}),
    "str": (("1",), {}),
    "None": ((None,), {}),
    "unknown name": ((1,), {"all_threads": True}),
    "too many": ((1, False, None, False, 1), {}),
}


@pytest.mark.parametrize("bad", BAD_LATER)
def test_bad_timeouts(bad: str) -> None:
    args, kwargs = BAD_LATER[bad]
    theirs = outcome(lambda: faulthandler.dump_traceback_later(*args, **kwargs))
    faulthandler.cancel_dump_traceback_later()
    same_mistake(outcome(lambda: dump_locks_later(*args, **kwargs)), theirs, bad)
    with pytest.raises(TypeError):
        cancel_dump_locks_later(1)  # type: ignore[call-arg]


@pytest.mark.parametrize("flag", ["repeat", "exit"])
def test_bad_flags(flag: str, file: TextIO) -> None:
    class Bad:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

    for value in ("x", None, Bad()):
        kwargs: dict[str, Any] = {flag: value, "file": file}
        theirs = outcome(lambda kwargs=kwargs: faulthandler.dump_traceback_later(1000, **kwargs))
        faulthandler.cancel_dump_traceback_later()
        ours = outcome(lambda kwargs=kwargs: dump_locks_later(1000, **kwargs))
        cancel_dump_locks_later()
        assert ours == theirs


# ---- at a signal ----


@pytest.fixture
def registered(file: TextIO) -> Iterator[TextIO]:
    assert register(signal.SIGUSR1, file) is None
    yield file
    unregister(signal.SIGUSR1)


def test_at_a_signal(registered: TextIO) -> None:
    lock = pyfastlock.RLock()
    with held_elsewhere(lock) as holder:
        thread = start(take_and_release, lock)
        wait_until(lambda: queued(lock) == 1)
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: f"held by thread {thread_text(holder.ident)}\n" in text_of(registered))
    thread.join()
    assert f"Thread {thread_text(thread.ident)} waiting" in text_of(registered)


def test_unregister_puts_the_handler_back(file: TextIO) -> None:
    calls: list[int] = []
    on_signal(lambda: calls.append(1))
    register(signal.SIGUSR1, file)
    os.kill(os.getpid(), signal.SIGUSR1)
    written(file)
    assert unregister(signal.SIGUSR1) is True
    assert unregister(signal.SIGUSR1) is False
    assert not calls
    os.kill(os.getpid(), signal.SIGUSR1)
    wait_until(lambda: bool(calls))
    assert text_of(file) == NOBODY


def test_chain_calls_the_previous_handler(file: TextIO) -> None:
    calls: list[int] = []
    on_signal(lambda: calls.append(1))
    register(signal.SIGUSR1, file=file, chain=True)
    for count in range(1, 4):
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda count=count: len(calls) == count)
    register(signal.SIGUSR1, file, False)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert written(file, 4) == 4 * NOBODY
    assert unregister(signal.SIGUSR1)
    assert len(calls) == 3


def test_a_main_thread_in_our_lock_dumps_and_waits_on(registered: TextIO) -> None:
    event = pyfastlock.Event()

    def kick() -> None:
        parked(event)
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: "for <pyfastlock.Event at 0x" in text_of(registered))
        event.set()

    thread = start(kick)
    assert event.wait(DEADLINE)
    thread.join()


SENDER = """
import os, signal, time, warnings
import pyfastlock

warnings.simplefilter("ignore")  # of a fork beside threads
pyfastlock.register(signal.SIGUSR1)
pid = os.getpid()
child = os.fork()
if child == 0:
    while os.getppid() == pid:
        time.sleep(0.05)
        os.kill(pid, signal.SIGUSR1)
    os._exit(0)
"""


def test_a_main_thread_stuck_in_c_code_dumps() -> None:
    """It sleeps with the GIL, and other threads may have no signals delivered."""
    stuck = STUCK.format(call="register(signal.SIGUSR1)", function="usleep(900000)")
    result = run_script(SENDER + stuck + "os.kill(child, signal.SIGKILL)")
    assert result.returncode == 0, result.stderr
    assert re.search(r"for <pyfastlock\.RLock at 0x\w+> held by thread 0x", result.stderr)


def test_it_goes_on_in_a_child(registered: TextIO) -> None:
    def check() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        written(registered)
        assert unregister(signal.SIGUSR1)

    in_child(check)
    os.kill(os.getpid(), signal.SIGUSR1)  # the parent's registration is its own
    written(registered, 2)


BAD_SIGNALS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "none": ((), {}),
    "0": ((0,), {}),
    "-1": ((-1,), {}),
    "65": ((65,), {}),
    "SIGKILL": ((signal.SIGKILL,), {}),
    "too large signal": ((1 << 70,), {}),
    "str": (("SIGUSR1",), {}),
    "float": ((10.0,), {}),
    "unknown name": ((signal.SIGUSR1,), {"nope": True}),
}


@pytest.mark.parametrize("bad", BAD_SIGNALS)
def test_bad_signals(bad: str) -> None:
    args, kwargs = BAD_SIGNALS[bad]
    theirs = outcome(lambda: faulthandler.register(*args, **kwargs))
    same_mistake(outcome(lambda: register(*args, **kwargs)), theirs, bad)
    theirs = outcome(lambda: faulthandler.unregister(*args))
    same_mistake(outcome(lambda: unregister(*args)), theirs, bad)


@pytest.mark.parametrize("chain", ["x", None])
def test_bad_chains(chain: Any, file: TextIO) -> None:
    theirs = outcome(lambda: faulthandler.register(signal.SIGUSR2, file, True, chain))
    faulthandler.unregister(signal.SIGUSR2)
    ours = outcome(lambda: register(signal.SIGUSR2, file, chain))
    unregister(signal.SIGUSR2)
    assert ours == theirs


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL"])
def test_signals_of_faults(name: str) -> None:
    signum = getattr(signal, name)
    for call in (register, unregister):
        with pytest.raises(RuntimeError, match=rf"^signal {signum:d} cannot be registered$"):
            call(signum)


# ---- the end of an interpreter ----


@needs_subinterpreters
@own_gil
def test_a_file_that_the_interpreter_closes(own_gil: bool, tmp_path: Path) -> None:
    """The descriptor may be another file's afterwards."""
    source = f"""
import pyfastlock, signal
file = open({str(tmp_path / "dump")!r}, "w")
pyfastlock.register(signal.SIGUSR1, file)
pyfastlock.dump_locks_later(0.05, repeat=True, file=file)
pyfastlock.register(signal.SIGUSR2)
"""
    check_script(
        f"""{API}
import pyfastlock, signal, time
interpreter = create({own_gil})
run(interpreter, PATH + {source!r})
destroy(interpreter)
dumps = [os.open({str(tmp_path / "next")!r}, os.O_CREAT | os.O_WRONLY) for _ in range(20)]
time.sleep(0.2)
print(os.path.getsize({str(tmp_path / "next")!r}))
print(pyfastlock.unregister(signal.SIGUSR1), pyfastlock.unregister(signal.SIGUSR2))
""",
        output="0\nFalse True",
    )


def test_waits_without_a_name_are_counted(file: TextIO) -> None:
    """A subclass is shown as what it is made of."""

    class Named(pyfastlock.Semaphore):
        pass

    semaphore = Named(0)
    thread = start(semaphore.acquire)
    parked(semaphore)
    text = dumped(file)
    semaphore.release()
    thread.join()
    assert f"for <pyfastlock.Semaphore at {id(semaphore):#x}>" in text


def test_while_locks_are_used(file: TextIO) -> None:
    """No dump breaks, and none shows a deadlock that is not there."""
    locks = [pyfastlock.RLock() for _ in range(3)]
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with locks[0], locks[1], locks[2]:
                pass

    threads = [start(work) for _ in range(3)]
    for _ in range(50):
        text = dumped(file)
        assert "Deadlock" not in text
        assert re.match(r"\d+ threads? waits? for|pyfastlock: the locks are busy", text)
    stop.set()
    for thread in threads:
        thread.join()


def test_an_error_and_a_dump_name_the_same_things() -> None:
    """Both can be read side by side."""
    lock = pyfastlock.RLock()
    thread = start(lock.acquire)
    thread.join()
    with pytest.raises(DeadlockError) as caught:
        lock.acquire()
    assert f"<pyfastlock.RLock at {id(lock):#x}>" in str(caught.value)
    assert thread_text(thread.ident) in str(caught.value)
