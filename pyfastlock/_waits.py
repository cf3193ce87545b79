"""Who waits for what: `waits()`, `deadlocks()` and `DeadlockError`.

The C code has a list of all waits (csrc/types/waits.h).  Here they get the names of their threads.
"""

import gc
import os
import sys
import types

TYPE_CHECKING = False  # `typing` costs more to import than all the rest of the package
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any
else:
    Any = object

PAUSABLE: "tuple[type, ...]" = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
"""What runs code in a frame that is in no thread in between."""

RELEASES = ("release", "release_lock", "__exit__")
"""The methods of a Lock that release it."""

FROZEN_BEFORE = gc.get_freeze_count()
"""How many objects the collector no longer looks at, before there was a lock of ours."""

Raw = tuple[int, Any, int, int, float, float | None, bool]
"""A wait in the C code's list: csrc/types/waits.h."""


class Wait:
    """A thread that waits for an object of pyfastlock, as waits() and DeadlockError show it.

    thread:     the thread's identifier, as threading.get_ident gives it.
    name:       the thread's name; None where threading does not know the thread.
    lock:       the object that it waits for; None where that belongs to another interpreter.
    owner:      the identifier of the thread that holds the lock; None where nobody does, or where
                the object does not know it: only a Lock and an RLock do.  Of a Lock it is the
                thread that has taken it; another one may release it.
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


class Deadlock(tuple[Wait, ...]):
    """The waits of a deadlock, in the order of DeadlockError.cycle.  deadlocks() returns it.

    suspected: whether it may be none, because another thread may release one of the locks.  That is
               a Lock that was taken by acquire(), or whose with-block another thread may end.
    """

    suspected: bool

    def __new__(cls, waits: "Iterable[Wait]", suspected: bool = False) -> "Deadlock":
        self = super().__new__(cls, waits)
        self.suspected = suspected
        return self

    def __repr__(self) -> str:
        return f"Deadlock({super().__repr__()}, suspected={self.suspected})"


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


def deadlocks() -> "list[Deadlock]":
    """Return the deadlocks that exist at this moment, and those that are only suspected.

    Certain ones are left where PYFASTLOCK_DEADLOCKS=off is in the environment, and where no wait of
    a cycle may fail; elsewhere a thread gets a DeadlockError.  A suspected one has a Lock that
    another thread may release.
    """
    from pyfastlock._core import _waits

    stuck = {
        raw[0]: raw for raw in _waits() if (raw[2] or raw[3]) and raw[5] is None
    }  # by thread; without a timeout, and with an owner
    found: list[Deadlock] = []
    seen: set[int] = set()
    for first in stuck:
        chain: list[Raw] = []
        thread: int | None = first
        while thread in stuck and thread not in seen:
            seen.add(thread)
            raw = stuck[thread]
            chain.append(raw)
            thread = raw[2] if raw[3] == LIVES else None
            if raw[3] != LIVES:
                found.append(deadlock([raw]))
        threads = [raw[0] for raw in chain]
        if thread in threads:
            found.append(deadlock(chain[threads.index(thread) :]))
    return found


def deadlock(cycle: "list[Raw]") -> Deadlock:
    return Deadlock(map(wait_of, cycle), any(raw[6] for raw in cycle) or is_doubtful(cycle))


def is_doubtful(cycle: "list[Raw]") -> bool:
    """Return whether another thread may end one of the blocks in which Locks are held.

    A block's end is in the hands of the thread that runs the block.  It is not where the block
    stands in a generator or a coroutine, which any thread may go on with, or where something has a
    method that releases the lock: an ExitStack, say.  What is found may be innocent; then a
    deadlock is not told.  Nor is it where the program has called gc.freeze(): frozen objects cannot
    be looked at.  It runs no code of the objects that it looks at.
    """
    from pyfastlock._core import Condition, Lock

    locks = [raw[1] for raw in cycle if type(raw[1]) is Lock]
    if not locks:
        return False
    groups = [gc.get_referrers(*locks)]
    conditions = [each for each in groups[0] if issubclass(type(each), Condition)]
    if conditions:
        groups.append(gc.get_referrers(*conditions))
    methods = []
    for group in groups:
        for each in group:
            kind = type(each)
            if any(kind is pausable for pausable in PAUSABLE):
                return True
            if kind is types.MethodType or (
                (kind is types.BuiltinMethodType or kind is type(locks[0].__exit__))
                and each.__name__ in RELEASES
            ):
                methods.append(each)
    for method in methods:
        # Lists do not count: there are those of this function, perhaps in several threads.
        if any(type(each) is not list for each in gc.get_referrers(method)):
            return True
    # Last, as another thread may have called gc.freeze() meanwhile.
    return gc.get_freeze_count() > FROZEN_BEFORE


def wait_of(raw: "Raw") -> Wait:
    thread, lock, owner, fate, seconds, timeout, _ = raw
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
    from pyfastlock._core import _name

    name = _name(lock)
    called = "" if name is None else f" {name!r}"
    return f"<{type(lock).__module__}.{type(lock).__qualname__}{called} at {id(lock):#x}>"


def edge_text(wait: Wait, fate: int = LIVES) -> str:
    """Return a line: who waits for what, and who holds that."""
    owner = thread_text(wait.owner, wait.owner_name)
    held = (
        ", which it holds itself" if wait.owner == wait.thread else f" held by {owner}",
        f" whose owner, {owner}, has ended",
        f" whose owner, {owner}, did not come along in the fork",
    )[fate]
    return f"{thread_text(wait.thread, wait.name)} waits for {lock_text(wait.lock)}{held}"


_reporting: "set[int]" = set()
"""Threads that are in report()."""


def report(error: DeadlockError) -> None:
    """Print the text of the error on stderr: the caller's wait goes on.

    It goes to the file descriptor, past sys.stderr's own code: that may want a lock that a thread
    of the deadlock holds.
    """
    me = error.cycle[0].thread
    if me in _reporting:  # in the call of fileno() below
        return
    _reporting.add(me)
    try:
        text = f"pyfastlock: deadlock\n{error}\n".encode(errors="backslashreplace")
        while text:
            text = text[os.write(_stderr_fileno(), text) :]
    finally:
        _reporting.discard(me)


def _stderr_fileno() -> int:
    try:
        return int(sys.stderr.fileno())
    except Exception:
        return 2


def deadlock_error(raw: "list[Raw]") -> "DeadlockError | None":
    """Return the error for a deadlock that the core has found, or None where it may be none."""
    if is_doubtful(raw):
        return None
    cycle = tuple(wait_of(each) for each in raw)
    fate = raw[0][3]
    edges = [edge_text(each, fate) for each in cycle]
    if fate == LIVES and len(cycle) > 1:
        edges.insert(0, f"{len(cycle)} threads wait for each other:")
    error = DeadlockError("\n  ".join(edges))
    error.cycle = cycle
    return error
