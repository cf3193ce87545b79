"""Who waits for what: `waits()`, `deadlocks()` and `DeadlockError`.

The C code has a list of all waits (csrc/types/waits.h).  Here they get the names of their threads.
"""

import os
import sys

TYPE_CHECKING = False  # `typing` costs more to import than all the rest of the package
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

Raw = tuple[int, Any, int, int, float, float | None]
"""A wait in the C code's list: csrc/types/waits.h."""


class Wait:
    """A thread that waits for an object of pyfastlock, as waits() and DeadlockError show it.

    thread:     the thread's identifier, as threading.get_ident gives it.
    name:       the thread's name; None where threading does not know the thread.
    lock:       the object that it waits for; None where that belongs to another interpreter.
    owner:      the identifier of the thread that holds the lock; None where nobody does, or where
                the object does not know it: only an RLock does.
    owner_name: that thread's name; None as for name, and where it has ended.
    seconds:    how many seconds it has waited; for a lock after a notification, since that.
    timeout:    how many seconds the wait may last; None: it has no limit.
    """

    __slots__ = __match_args__ = (
        "thread",
        "name",
        "lock",
        "owner",
        "owner_name",
        "seconds",
        "timeout",
    )

    def __init__(
        self,
        thread: int,
        name: "str | None",
        lock: Any,
        owner: "int | None",
        owner_name: "str | None",
        seconds: float,
        timeout: "float | None",
    ) -> None:
        self.thread = thread
        self.name = name
        self.lock = lock
        self.owner = owner
        self.owner_name = owner_name
        self.seconds = seconds
        self.timeout = timeout

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Wait({', '.join(values)})"


class DeadlockError(RuntimeError):
    """A wait for a lock would never end: threads wait for each other, or the owner is gone.

    cycle: a tuple of Wait objects.  The first is the wait that raises this.  The owner of each is
           the thread of the next, and the owner of the last the thread of the first.  Where the
           owner has ended, or did not come along in a fork, there is one Wait only.
    """

    cycle: "tuple[Wait, ...]" = ()


LIVES, HAS_ENDED, STAYED_BEHIND = range(3)
"""The fate of an owner, in the C code's list."""


def name_of(ident: int) -> "str | None":
    """Return the name of the living thread with that identifier.

    It takes no lock: one may be held, and by a thread that waits for the caller.
    """
    threading = sys.modules.get("threading")
    if threading is None or not ident:
        return None
    thread = threading._active.get(ident)
    return None if thread is None else thread.name


def waits() -> "list[Wait]":
    """Return a Wait for each thread that waits for an object of pyfastlock, at this moment.

    Threads of other interpreters are among them; their `lock` is None.  The program is held up for
    some tens of microseconds.
    """
    from pyfastlock._core import _waits

    return [wait_of(raw) for raw in _waits()]


def deadlocks() -> "list[tuple[Wait, ...]]":
    """Return the deadlocks of RLocks that exist at this moment, each as DeadlockError.cycle has it.

    There are some where PYFASTLOCK_DEADLOCKS=off is in the environment, and where no wait of a
    cycle may fail.
    """
    from pyfastlock._core import _waits

    stuck = {
        raw[0]: (wait_of(raw), raw[3]) for raw in _waits() if (raw[2] or raw[3]) and raw[5] is None
    }  # by thread; without a timeout, and with an owner
    found: list[tuple[Wait, ...]] = []
    seen: set[int] = set()
    for first in stuck:
        chain: list[Wait] = []
        thread: int | None = first
        while thread in stuck and thread not in seen:
            seen.add(thread)
            wait, fate = stuck[thread]
            chain.append(wait)
            thread = wait.owner if fate == LIVES else None
            if fate != LIVES:
                found.append((wait,))
        threads = [wait.thread for wait in chain]
        if thread in threads:
            found.append(tuple(chain[threads.index(thread) :]))
    return found


def wait_of(raw: "Raw") -> Wait:
    thread, lock, owner, fate, seconds, timeout = raw
    return Wait(
        thread,
        name_of(thread),
        lock,
        owner or None,
        name_of(owner) if fate == LIVES else None,  # the identifier may be another thread's now
        seconds,
        timeout,
    )


def thread_text(ident: "int | None", name: "str | None") -> str:
    """Return what names a thread, with its identifier as faulthandler writes it."""
    if ident is None:
        return "an unknown thread"
    number = f"0x{ident:0{16 if sys.maxsize > 1 << 32 else 8}x}"
    return f"thread {number}" if name is None else f"thread {number} ({name})"


def lock_text(lock: Any) -> str:
    """Return what names a lock.  Its own repr() may be Python code that waits for it."""
    if lock is None:
        return "an object of another interpreter"
    return f"<{type(lock).__module__}.{type(lock).__qualname__} at {id(lock):#x}>"


def edge_text(wait: Wait, fate: int = LIVES) -> str:
    """Return a line: who waits for what, and who holds that."""
    owner = thread_text(wait.owner, wait.owner_name)
    held = (
        f"held by {owner}",
        f"whose owner, {owner}, has ended",
        f"whose owner, {owner}, did not come along in the fork",
    )[fate]
    return f"{thread_text(wait.thread, wait.name)} waits for {lock_text(wait.lock)} {held}"


_reporting: "set[int]" = set()
"""Threads that are in report()."""


def report(raw: "list[Raw]") -> None:
    """Print the text of the DeadlockError on stderr: the caller's wait goes on.

    It goes to the file descriptor, past sys.stderr's own code: that may want a lock that a thread
    of the deadlock holds.
    """
    me = raw[0][0]
    if me in _reporting:  # in the call of fileno() below
        return
    _reporting.add(me)
    try:
        text = f"pyfastlock: deadlock\n{deadlock_error(raw)}\n".encode(errors="backslashreplace")
        while text:
            text = text[os.write(_stderr_fileno(), text) :]
    finally:
        _reporting.discard(me)


def _stderr_fileno() -> int:
    try:
        return int(sys.stderr.fileno())
    except Exception:
        return 2


def deadlock_error(raw: "list[Raw]") -> DeadlockError:
    cycle = tuple(wait_of(each) for each in raw)
    fate = raw[0][3]
    edges = [edge_text(each, fate) for each in cycle]
    if fate == LIVES:
        edges.insert(0, f"{len(cycle)} threads wait for each other:")
    error = DeadlockError("\n  ".join(edges))
    error.cycle = cycle
    return error
