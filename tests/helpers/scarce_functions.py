"""The functions of the package, for `scarce`: `KINDS` is as that of `scarce_cases`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from scarce import Case
from scarce_cases import (
    NO_LOCK,
    SHORT,
    all_woken,
    awaited,
    foreign,
    free,
    held_and_awaited,
    waiters,
)
from support import DEADLINE, DEBUG_BUILD, parked, start, wait_until

import pyfastlock
from pyfastlock import _core

LONG = 3000
"""Seconds after which nothing happens in these tests."""

SIGNAL = signal.SIGUSR1


# --- Contention ---


class Recorded:
    """An object that was waited for while waits are recorded, and the report."""

    def __init__(self) -> None:
        self.running = pyfastlock.contention()
        self.report = self.running.__enter__()
        self.event = pyfastlock.Event()
        pyfastlock.set_name(self.event, "\xe4vent")
        assert not self.event.wait(SHORT)

    def has_waits(self, count: int) -> bool:
        (event,) = self.report.locks
        return (event.name, event.waits) == ("\xe4vent", count)


def is_off() -> bool:
    """Waits are not being recorded."""
    with suppress(RuntimeError):
        pyfastlock.stop_contention()
        return False
    return True


def stopped() -> Recorded:
    recorded = Recorded()
    recorded.report = pyfastlock.stop_contention()
    return recorded


def stop_and_see(count: int) -> Callable[[Recorded], None]:
    """The recording goes on, and has so many waits."""

    def check(recorded: Recorded) -> None:
        assert pyfastlock.stop_contention() is recorded.report
        assert recorded.has_waits(count)
        assert is_off()

    return check


def was_stopped(recorded: Recorded) -> None:
    assert is_off()
    assert recorded.has_waits(1)


def record_block(event: Any) -> None:
    with pyfastlock.contention():
        event.wait(SHORT)


def wait_again(recorded: Recorded) -> None:
    recorded.event.wait(SHORT)


def at_least(recorded: Recorded) -> None:
    """A wait that was interrupted by a lack of memory may count."""
    report = pyfastlock.stop_contention()
    assert report.locks[0].waits + report.lost >= 2
    assert is_off()


class RawRecording:
    """What the C code has recorded, which then becomes a report."""

    def __init__(self) -> None:
        _core._start_contention()
        for name in ("first", "second"):
            event = pyfastlock.Event()
            pyfastlock.set_name(event, name)
            assert not event.wait(SHORT)

    def stop(self) -> None:
        self.records, self.lost = _core._stop_contention()

    def read(self) -> None:
        self.records, self.lost = _core._read_contention()

    def is_complete(self) -> None:
        """The events are freed: a record has the name."""
        assert {record[4] for record in self.records} == {"first", "second"}
        assert self.lost == 0


def raw_contention() -> dict[str, Case]:
    return {
        "stop": Case(RawRecording, RawRecording.stop, lambda o: (o.is_complete(), gone())),
        "read": Case(RawRecording, RawRecording.read, lambda o: (o.is_complete(), o.stop())),
    }


def gone() -> None:
    assert is_off()


def contention() -> dict[str, Case]:
    nothing = type(None)
    made = pyfastlock.Event
    return {
        "start": Case(
            nothing,
            lambda o: pyfastlock.start_contention(),
            lambda o: (pyfastlock.stop_contention(), gone()),
        ),
        "start twice": Case(
            Recorded, lambda o: pyfastlock.start_contention(), stop_and_see(1), RuntimeError
        ),
        "stop": Case(Recorded, lambda o: pyfastlock.stop_contention(), was_stopped),
        "stop without start": Case(
            nothing, lambda o: pyfastlock.stop_contention(), raises=RuntimeError
        ),
        "with": Case(made, record_block, lambda o: gone()),
        "with, its end": Case(
            Recorded, lambda o: o.running.__exit__(None, None, None), was_stopped
        ),
        "read": Case(Recorded, lambda o: o.report.locks, stop_and_see(1)),
        "wait": Case(Recorded, wait_again, at_least),
        "make": Case(Recorded, lambda o: pyfastlock.Lock(), stop_and_see(1)),
        "free": Case(Recorded, lambda o: vars(o).pop("event", None), stop_and_see(1)),
        "repr": Case(stopped, lambda o: repr(o.report.locks), was_stopped),
        "json": Case(stopped, lambda o: o.report.json(), was_stopped),
    }


def tables() -> dict[str, Case]:
    return {
        "str": Case(stopped, lambda o: str(o.report), was_stopped),
        "collapsed": Case(stopped, lambda o: o.report.collapsed(), was_stopped),
    }


# --- Names ---


def names() -> dict[str, Case]:
    make = pyfastlock.Lock

    def named() -> Any:
        lock = make()
        pyfastlock.set_name(lock, "first")
        return lock

    def is_named(name: str | None) -> Callable[[Any], None]:
        def check(lock: Any) -> None:
            assert _core._name(lock) == name
            free(lock)

        return check

    def rename(lock: Any) -> None:
        pyfastlock.set_name(lock, chr(0xE4) * 2)  # a new str, without its UTF-8

    return {
        "name": Case(make, rename, is_named("\xe4\xe4")),
        "name again": Case(named, rename, is_named("\xe4\xe4")),
        "take away": Case(named, lambda o: pyfastlock.set_name(o, None), is_named(None)),
        "read": Case(named, _core._name, is_named("first")),
        "a number": Case(named, lambda o: pyfastlock.set_name(o, 1), is_named("first"), TypeError),
        "a surrogate": Case(
            named, lambda o: pyfastlock.set_name(o, "\udc80"), is_named("first"), UnicodeEncodeError
        ),
        "of a number": Case(lambda: 1, lambda o: pyfastlock.set_name(o, "x"), raises=TypeError),
    }


# --- Waits and deadlocks ---


def woken(lock: Any) -> None:
    lock.release()
    all_woken(lock)
    free(lock)


def told_without_memory(unraisable: Any) -> None:
    """The interpreter tells that a thread could not end, or a generator, for lack of memory."""
    if not issubclass(unraisable.exc_type, MemoryError):
        sys.__unraisablehook__(unraisable)


class Crossed:
    """Two threads that hold one lock and wait for the other's: a suspected deadlock."""

    def __init__(self) -> None:
        locks = [pyfastlock.Lock(), pyfastlock.Lock()]
        both_hold = threading.Barrier(2)

        def work(first: Any, second: Any) -> None:
            first.acquire()
            both_hold.wait(DEADLINE)
            second.acquire()
            second.release()

        sys.unraisablehook = told_without_memory
        self.locks = locks
        waiters[:] = [start(work, *locks), start(work, *reversed(locks))]
        for lock in locks:
            parked(lock)

    def end(self) -> None:
        """A Lock is anybody's to release."""
        for lock in self.locks:
            lock.release()
        for lock in self.locks:
            all_woken(lock)
        sys.unraisablehook = sys.__unraisablehook__


class Doomed:
    """This thread holds one RLock, and wants the other, whose owner waits for the first.

    One of both gets the DeadlockError, or the MemoryError in its place."""

    def __init__(self) -> None:
        sys.unraisablehook = told_without_memory
        self.lacked = False
        self.own, self.wanted = pyfastlock.RLock(), pyfastlock.RLock()
        pyfastlock.set_name(self.wanted, "wanted")
        self.own.acquire()
        waiters[:] = [start(self.take, self.wanted, self.own)]
        parked(self.own)

    def take(self, *locks: Any) -> None:
        try:
            with suppress(pyfastlock.DeadlockError), locks[0]:
                for lock in locks[1:]:
                    with lock:
                        pass
        except MemoryError:
            self.lacked = True

    def meet(self) -> None:
        self.take(self.wanted)
        if self.lacked:
            self.lacked = False
            raise MemoryError

    def end(self) -> None:
        self.own.release()
        all_woken(self.own)
        free(self.own)
        free(self.wanted)
        sys.unraisablehook = sys.__unraisablehook__


def waits() -> dict[str, Case]:
    timed = awaited(pyfastlock.Event, lambda o: o.wait(DEADLINE), 2)

    def woken_events(event: Any) -> None:
        event.set()
        all_woken(event)

    return {
        "nobody": Case(type(None), lambda o: pyfastlock.waits()),
        "without a limit": Case(
            held_and_awaited(pyfastlock.RLock), lambda o: pyfastlock.waits(), woken
        ),
        "in time": Case(timed, lambda o: pyfastlock.waits(), woken_events),
    }


def deadlocks() -> dict[str, Case]:
    return {
        "none": Case(held_and_awaited(pyfastlock.Lock), lambda o: pyfastlock.deadlocks(), woken),
        "one": Case(Crossed, lambda o: pyfastlock.deadlocks(), Crossed.end),
        "DeadlockError": Case(Doomed, Doomed.meet, Doomed.end),
        # In a list, which has no weak references: see Files.
        "DeadlockError of one": Case(
            lambda: [foreign(pyfastlock.RLock)()],
            lambda o: o[0].acquire(),
            raises=pyfastlock.DeadlockError,
        ),
    }


# --- Dumps ---


NOWHERE = os.open(os.devnull, os.O_WRONLY)


class File:
    """What a dump needs of a file."""

    def fileno(self) -> int:
        return NOWHERE

    def flush(self) -> None:
        pass


def keeps_no_file(call: Callable[..., object], *args: object) -> Callable[[Any], None]:
    """The call with the file as its last argument; where it fails it has kept nothing."""

    def checked(file: Any) -> None:
        before = sys.getrefcount(file)
        try:
            call(*args, file)
        except (MemoryError, *NO_LOCK):
            assert sys.getrefcount(file) == before
            raise

    return checked


class Files:
    """A file that a dump goes to, and one that it is to go to.

    The calls are of C code: a frame in the traceback would have a reference to the file."""

    # No weak reference, as Python 3.11 leaks what it calls a function with for lack of memory.
    __slots__ = ("args", "call", "first", "goes_on", "pairs", "second", "switched")

    def __init__(
        self, call: Callable[..., object], *args: object, goes_on: Callable[[], object]
    ) -> None:
        self.first, self.second = File(), File()
        self.call, self.args, self.goes_on = call, args, goes_on
        self.switched = False
        call(*args, self.first)
        # The interpreter's reserve of pairs is used up: a new one needs memory.
        self.pairs = [(n, n) for n in range(2500)]

    def switch(self) -> None:
        """Use the other one. It is kept in the place of the first, or nothing has changed."""
        before = [sys.getrefcount(self.first), sys.getrefcount(self.second)]
        changes = [0, 0] if self.switched else [-1, 1]
        try:
            self.call(*self.args, self.second)
            self.switched = True
        except (MemoryError, *NO_LOCK):
            changes = [0, 0]
            self.goes_on()
            raise
        finally:
            after = [sys.getrefcount(self.first), sys.getrefcount(self.second)]
            assert [after[i] - before[i] for i in range(2)] == changes


def dumps() -> dict[str, Case]:
    # A script gets what its parent ignores, and a test may have left this signal so.
    signal.signal(SIGNAL, signal.SIG_DFL)
    later, register = (pyfastlock.dump_locks_later, LONG, False), (pyfastlock.register, SIGNAL)
    sooner = (pyfastlock.dump_locks_later, LONG + 0.5, True)
    never = (pyfastlock.dump_locks_later, 1e300, True)

    def threads() -> int:
        return len(list(Path("/proc/self/task").glob("*")))

    others = threads()

    def is_planned() -> None:
        # A thread that has been joined is in the list a moment longer.
        wait_until(lambda: threads() in (0, others + 1), message="the watchdog goes on")

    def is_registered() -> None:
        signal.raise_signal(SIGNAL)  # it would end the process

    def cancelled(obj: Any) -> None:
        pyfastlock.cancel_dump_locks_later()

    def unregistered(obj: Any) -> None:
        assert pyfastlock.unregister(SIGNAL)
        assert not pyfastlock.unregister(SIGNAL)
        assert signal.getsignal(SIGNAL) is signal.SIG_DFL

    def not_registered(obj: Any) -> None:
        assert not pyfastlock.unregister(SIGNAL)

    def registered_file() -> Any:
        file = File()
        pyfastlock.register(SIGNAL, file)
        return file

    def planned_file() -> Any:
        file = File()
        pyfastlock.dump_locks_later(LONG, file=file)
        return file

    return {
        "dump": Case(File, pyfastlock.dump_locks),
        "dump by number": Case(File, lambda o: pyfastlock.dump_locks(o.fileno())),
        "later": Case(File, keeps_no_file(*later), cancelled, lost=NO_LOCK),
        "later, a float": Case(File, keeps_no_file(*sooner), cancelled, lost=NO_LOCK),
        "later, a huge number": Case(
            File, keeps_no_file(*never), raises=OverflowError, lost=NO_LOCK
        ),
        "later again": Case(
            lambda: Files(*later, goes_on=is_planned), Files.switch, cancelled, lost=NO_LOCK
        ),
        "cancel": Case(planned_file, cancelled, cancelled),
        "register": Case(File, keeps_no_file(*register), unregistered),
        "register again": Case(
            lambda: Files(*register, goes_on=is_registered), Files.switch, unregistered
        ),
        "register SIGKILL": Case(
            File, lambda o: pyfastlock.register(signal.SIGKILL, o), raises=OSError
        ),
        "unregister": Case(
            registered_file, lambda o: pyfastlock.unregister(SIGNAL), not_registered
        ),
    }


# --- Patching ---

NAMES = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore")


def replaced() -> int:
    """How many names of `threading` are ours."""
    return sum(getattr(threading, name) is getattr(pyfastlock, name) for name in NAMES)


def whole(call: Callable[[], object]) -> Callable[[Any], None]:
    """The call replaces all names or none, or restores all or none, also where it fails."""

    def checked(_: Any) -> None:
        try:
            call()
        finally:
            count = replaced()
            assert count in (0, len(NAMES)), count

    return checked


def block() -> None:
    with pyfastlock.patched():
        assert replaced() == len(NAMES)


def patching() -> dict[str, Case]:
    def restored(_: Any) -> None:
        assert replaced() == 0

    def unpatched(_: Any) -> None:
        assert replaced() == len(NAMES)
        pyfastlock.unpatch()
        restored(_)

    return {
        "patch": Case(type(None), whole(pyfastlock.patch), unpatched),
        "patch again": Case(pyfastlock.patch, whole(pyfastlock.patch), unpatched),
        "unpatch": Case(pyfastlock.patch, whole(pyfastlock.unpatch), restored),
        "patched": Case(type(None), whole(block), restored),
    }


CRASHES = sys.version_info[:2] in ((3, 12), (3, 13)) or DEBUG_BUILD
"""The interpreters crash where there is no memory for a cell or a generator; a debug build also
where there is none for a list of values."""

KINDS: dict[str, Callable[[], dict[str, Case]]] = {
    "contention in C": raw_contention,
    "names": names,
    "dumps": dumps,
}
if not DEBUG_BUILD:
    KINDS["waits"] = waits
if not CRASHES and sys.version_info[:2] != (3, 15):  # it crashes where there is none for a tuple
    KINDS["contention as text"] = tables
if not CRASHES:
    KINDS |= {"contention": contention, "deadlocks": deadlocks, "patching": patching}
