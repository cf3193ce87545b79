from abc import ABCMeta
from collections.abc import Callable
from threading import BrokenBarrierError as BrokenBarrierError
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias, TypeVar, final

from typing_extensions import deprecated, disjoint_base

_T = TypeVar("_T")

TIMEOUT_MAX: Final[float]
__version__: Final[str]
_has_probes: Final[bool]

class _Lockable(Protocol):
    """What a Condition needs of a lock that is not one of ours."""

    def acquire(self) -> Any: ...
    def release(self) -> Any: ...

class _HasFileno(Protocol):
    """A file object of an open file."""

    def fileno(self) -> int: ...

_File: TypeAlias = int | _HasFileno | None

_Place: TypeAlias = tuple[str, int, str] | None
_Call: TypeAlias = tuple[_Place, _Place, int, float, float]
_Recorded: TypeAlias = tuple[list[tuple[int, int, str, str, str | None, _Place, list[_Call]]], int]

def get_ident() -> int: ...
def dump_locks(file: _File = None) -> None:
    """Write who waits for which object of pyfastlock, and the deadlocks.

    file: an object with a fileno() method, or a file descriptor; None: sys.stderr.

    A line tells for each thread how many seconds it has waited, of how many if the wait has a
    limit, for which object, which thread holds that, if that is known, and how many others wait
    for it.  Threads have the identifiers that faulthandler prints.  The first 1024 waits are
    shown.  waits() has the same as objects.

    Raises OSError where the file cannot be written; for a bad argument what
    faulthandler.dump_traceback raises, whose counterpart this is.
    """

def dump_locks_later(
    timeout: float,
    repeat: bool = False,
    file: _File = None,
    exit: bool = False,  # noqa: A002  as faulthandler has it
) -> None:
    """Do what dump_locks() does when some seconds have passed.

    timeout: how many seconds, more than 0.
    repeat:  whether to do so again and again, after as many seconds each time.
    file:    as for dump_locks().  It has to stay open until then.
    exit:    whether to end the process then, at once and with status 1.

    A thread of C code writes, which needs no GIL: also where the interpreter is stuck.  A call
    takes the place of the one before.  A forked child has no such thread.

    Raises OSError where the file cannot be written, RuntimeError where no thread can be started,
    and for a bad argument what faulthandler.dump_traceback_later raises, whose counterpart this
    is.
    """

def cancel_dump_locks_later() -> None:
    """Take back the last call of dump_locks_later(); do nothing where there is none.

    Nothing is written afterwards.  It waits for a dump that is being written.  The counterpart
    of faulthandler.cancel_dump_traceback_later.
    """

def register(signum: int, file: _File = None, chain: bool = False) -> None:
    """Do what dump_locks() does whenever the process gets the signal.

    signum: the number of the signal: signal.SIGUSR1, for instance.
    file:   as for dump_locks().  It has to stay open until unregister().
    chain:  whether what the signal did before is done afterwards.

    The signal's handler writes, which is C code and needs no GIL: also where the main thread
    waits in C code, or the interpreter is stuck.  It goes on in forked children.

    Raises OSError for a signal that cannot be handled and a file that cannot be written,
    RuntimeError for the signal of a fault, and for a bad argument what faulthandler.register
    raises, whose counterpart this is.
    """

def unregister(signum: int, /) -> bool:
    """Take register() back: the signal does what it did before.

    signum: the number of the signal.

    Returns whether the signal was registered.

    Raises ValueError where no signal has that number, and RuntimeError for the signal of a
    fault.  The counterpart of faulthandler.unregister.
    """

def _is_main_interpreter() -> bool:
    """Return whether this is the main interpreter.  For pyfastlock._settings."""

def _set_deadlocks(mode: str, /) -> None:
    """Say what is done about deadlocks, in the whole process: 'raise', 'report' or 'off'.
    For pyfastlock._settings.
    """

def _name(primitive: object, /) -> str | None:
    """Return the name that set_name() gave to the object, or None.  Runs no Python code."""

def _read_contention() -> _Recorded:
    """Return what pyfastlock._contention makes a report of.
    Raises RuntimeError where recording is off.
    """

def _set_name(
    primitive: Lock | RLock | Condition | Event | Semaphore | Barrier, name: str | None, /
) -> None:
    """Do what pyfastlock.set_name() does."""

def _set_patched(patched: object, /) -> None:
    """Say whether threading is patched: then the types of _thread and ours are the
    same to isinstance().  For patch() and unpatch().
    """

def _start_contention() -> None:
    """Start recording.  Raises RuntimeError where it is on."""

def _stop_contention() -> _Recorded:
    """Stop recording, and return what _read_contention() does.  Where there is no memory for
    that, recording is off, and the next call returns it.
    Raises RuntimeError where recording is off.
    """

def _waiters(primitive: Lock | RLock | Condition | Event | Semaphore | Barrier, /) -> int:
    """Return how many threads are queued on an object of one of these types right now.
    For tests.  A notified waiter of a Condition may be queued on its lock.
    """

def _waits() -> list[tuple[int, Any, int, int, float, float | None, bool]]:
    """Return what pyfastlock._waits makes waits() of: a list with a tuple for each thread that is
    queued on an object of one of these types.
    """

class _LockMeta(ABCMeta): ...

@final
class Lock(metaclass=_LockMeta):
    """A mutual exclusion lock without an owner: any thread may release it.  Whoever
    takes it by a with-statement is expected to leave that.

    Mirrors threading.Lock.
    """
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, and return whether it was taken.

        blocking: False to return at once, whether the lock is free or not.
        timeout:  how many seconds to wait at most; -1 waits without a limit.

        In the main thread the wait is interrupted by signals: their handlers run at
        once, an exception from one leaves the lock alone and is raised here, and
        otherwise the wait goes on to its original deadline.

        Raises ValueError for a timeout that is negative or NaN, or given with
        blocking=False; OverflowError for one above TIMEOUT_MAX;
        DeadlockError for a wait without a limit that would never end, as threads wait
        for each other inside with-blocks, or the owner of such a block is gone;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.Lock.acquire, which waits for ever in a deadlock.
        """
    def acquire_lock(self, blocking: bool = True, timeout: float = -1) -> bool:
        """An obsolete name of acquire().

        Mirrors threading.Lock.acquire_lock.
        """
    def release(self) -> None:
        """Release the lock; any thread may.

        Raises RuntimeError where the lock is not held.

        Mirrors threading.Lock.release.
        """
    def release_lock(self) -> None:
        """An obsolete name of release().

        Mirrors threading.Lock.release_lock.
        """
    def locked(self) -> bool:
        """Return whether the lock is held, by any thread.

        Mirrors threading.Lock.locked, and threading.RLock.locked of Python 3.14.
        """
    def locked_lock(self) -> bool:
        """An obsolete name of locked().

        Mirrors threading.Lock.locked_lock.
        """
    def __enter__(self) -> bool:
        """Take the lock, waiting for it if need be, and return True.

        Raises what acquire() raises.

        Mirrors threading.Lock.__enter__ and threading.RLock.__enter__.
        """
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Release the lock as release() does; exceptions pass through.

        exc_info: the exception that ends the block, in three parts; not used.

        Raises RuntimeError as release() does.

        Mirrors threading.Lock.__exit__ and threading.RLock.__exit__.
        """
    def _at_fork_reinit(self) -> None:
        """Make the lock free, whoever held it.  For the child of a fork only.

        Mirrors threading.Lock._at_fork_reinit and threading.RLock._at_fork_reinit.
        """

@disjoint_base
class RLock(metaclass=_LockMeta):
    """A recursive lock: the thread that holds it may take it again, and has to
    release it as often.

    Mirrors threading.RLock, but is a type on every version of Python.  A lock whose
    owner has ended belongs to nobody; there, a later thread that gets the same
    identifier owns it.
    """
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, once more where the calling thread holds it already, and return
        whether it was taken.

        blocking: False to return at once, whether the lock is free or not.
        timeout:  how many seconds to wait at most; -1 waits without a limit.

        In the main thread the wait is interrupted by signals: their handlers run at
        once, an exception from one leaves the lock alone and is raised here, and
        otherwise the wait goes on to its original deadline.

        Raises ValueError for a timeout that is negative or NaN, or given with
        blocking=False; OverflowError for one above TIMEOUT_MAX or where the
        lock is held as often as can be counted; DeadlockError for a wait without a limit
        that would never end, as threads wait for each other or the owner is gone;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.RLock.acquire, which waits for ever in a deadlock, and does not
        return True where a signal handler took the lock during the wait.
        """
    def release(self) -> None:
        """Undo one acquire() of the calling thread; the last one makes the lock free.

        Raises RuntimeError where the calling thread does not hold the lock.

        Mirrors threading.RLock.release.
        """
    def locked(self) -> bool:
        """Return whether the lock is held, by any thread.

        Mirrors threading.Lock.locked, and threading.RLock.locked of Python 3.14.
        """
    def __enter__(self) -> bool:
        """Take the lock, waiting for it if need be, and return True.

        Raises what acquire() raises.

        Mirrors threading.Lock.__enter__ and threading.RLock.__enter__.
        """
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Release the lock as release() does; exceptions pass through.

        exc_info: the exception that ends the block, in three parts; not used.

        Raises RuntimeError as release() does.

        Mirrors threading.Lock.__exit__ and threading.RLock.__exit__.
        """
    def _is_owned(self) -> bool:
        """Return whether the calling thread holds the lock.  For Condition.

        Mirrors threading.RLock._is_owned.
        """
    def _recursion_count(self) -> int:
        """Return how often the calling thread holds the lock.  For tests.

        Mirrors threading.RLock._recursion_count.
        """
    def _release_save(self) -> tuple[int, int]:
        """Release the lock however often it is held, and return what _acquire_restore()
        needs, which is (count, threading.get_ident()).  For Condition.

        Raises RuntimeError where the calling thread does not hold the lock.

        Mirrors threading.RLock._release_save, which before Python 3.14 lets any thread
        do so.
        """
    def _acquire_restore(self, state: tuple[int, int], /) -> None:
        """Take the lock as often as _release_save() released it, whatever signals
        arrive.  The calling thread becomes the owner.  For Condition.

        state: what _release_save() returned.

        Raises TypeError for a state of another form, ValueError for a count below one,
        and OverflowError for more than can be counted.

        Mirrors threading.RLock._acquire_restore, which makes the owner whom the state
        names, and waits for ever where the caller holds the lock.
        """
    def _at_fork_reinit(self) -> None:
        """Make the lock free, whoever held it.  For the child of a fork only.

        Mirrors threading.Lock._at_fork_reinit and threading.RLock._at_fork_reinit.
        """

@disjoint_base
class Condition:
    """A condition variable: threads wait until another thread notifies them.

    lock: what guards it.  None makes a new RLock; a Lock or an RLock of this module
          is used without any Python code; anything else needs acquire() and
          release().  Several conditions may have the same lock.

    Raises AttributeError for a lock without those methods.

    Mirrors threading.Condition, but its lock cannot be replaced by another one.
    """
    def __init__(self, lock: _Lockable | None = None) -> None: ...
    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait until notified, take the lock back; return whether there
        was a notification.

        timeout: how many seconds to wait for it at most; None waits without a limit, 0
                 or less only lets other threads have the lock.

        A wait that has timed out takes no notification from another waiter, and a
        notified one returns True, however long it takes to get the lock back.  The lock
        is held again in any case, also when an exception is raised; one that a signal
        handler raised leaves the notification to another waiter.

        Raises RuntimeError where the lock is not held; ValueError for NaN;
        OverflowError for a timeout above TIMEOUT_MAX; DeadlockError where a thread has
        ended with the lock, which nobody can take back then;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.Condition.wait, where a wait that has timed out may take a
        notification, and one that is interrupted may come back without the lock.
        """
    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until predicate() is true, and return its last result.

        predicate: called without arguments, with the lock held.
        timeout:   how many seconds to wait at most, in all; None waits without a
                   limit.  The result is false where it was not enough.

        Raises what predicate() and wait() raise.

        Mirrors threading.Condition.wait_for, which never ends where the timeout is NaN.
        """
    def notify(self, n: int = 1) -> None:
        """Wake up to n threads that wait, those first that have waited longest.

        n: how many threads, an int.

        Each of them will return True from wait(), when it gets the lock.

        Raises RuntimeError where the lock is not held.

        Mirrors threading.Condition.notify, which counts waits that have timed out, too.
        """
    def notify_all(self) -> None:
        """Wake all threads that wait.

        Raises RuntimeError where the lock is not held.

        Mirrors threading.Condition.notify_all.
        """
    @deprecated("use notify_all()")
    def notifyAll(self) -> None:
        """Deprecated: use notify_all().

        Mirrors threading.Condition.notifyAll.
        """
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, and return whether it was taken: its acquire().

        blocking: False to return at once, whether the lock is free or not.
        timeout:  how many seconds to wait at most; -1 waits without a limit.

        A lock that is not of this module gets the arguments as they are.

        Raises what the lock's acquire() raises.

        Mirrors threading.Condition.acquire.
        """
    def release(self) -> None:
        """Release the lock: its release().

        Raises what the lock's release() raises: RuntimeError where it is not held.

        Mirrors threading.Condition.release.
        """
    def locked(self) -> bool:
        """Return whether the lock is held, by any thread: its locked().

        Raises AttributeError where the lock has no such method.

        Mirrors threading.Condition.locked of Python 3.14.
        """
    def __enter__(self) -> bool:
        """Take the lock, waiting for it if need be, and return True.

        Raises what the lock's acquire() raises.

        Mirrors threading.Condition.__enter__.
        """
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Release the lock; exceptions pass through.

        args: the exception that ends the block, in three parts.

        Raises what the lock's release() raises: RuntimeError where it is not held.

        Mirrors threading.Condition.__exit__.
        """
    @property
    def _lock(self) -> _Lockable:
        """The lock."""
    def _is_owned(self) -> bool:
        """Return whether the lock is held: by the calling thread, or, where the lock does
        not know, by any.

        Mirrors threading.Condition._is_owned.
        """
    def _release_save(self) -> Any:
        """Release the lock however often it is held, and return what _acquire_restore()
        needs.

        Raises RuntimeError where the lock is not held.

        Mirrors threading.Condition._release_save.
        """
    def _acquire_restore(self, x: Any) -> None:
        """Take the lock as often as _release_save() released it.

        x: what _release_save() returned.

        Raises what the lock raises for it.

        Mirrors threading.Condition._acquire_restore.
        """
    def _at_fork_reinit(self) -> None:
        """Make the lock free, whoever held it.  For the child of a fork only, where no
        other thread waits any more.

        Mirrors threading.Condition._at_fork_reinit.
        """

@disjoint_base
class Event:
    """A flag that threads can wait for.  It is clear at first.

    Mirrors threading.Event, but signal handlers and finalizers may use it, whatever
    they interrupted.
    """
    def __init__(self) -> None: ...
    def set(self) -> None:
        """Set the event, and wake all threads that wait for it.

        May be called from signal handlers and finalizers, whatever they interrupted.

        Mirrors threading.Event.set, which hangs in a handler that interrupted it.
        """
    def clear(self) -> None:
        """Clear the event: from now on wait() waits, until it is set again.

        May be called from signal handlers and finalizers, whatever they interrupted.

        Mirrors threading.Event.clear, which hangs in a handler that interrupted it.
        """
    def is_set(self) -> bool:
        """Return whether the event is set.

        Mirrors threading.Event.is_set.
        """
    @deprecated("use is_set()")
    def isSet(self) -> bool:
        """Deprecated: use is_set().

        Mirrors threading.Event.isSet.
        """
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, and return whether it was.

        timeout: how many seconds to wait at most; None waits without a limit.

        A thread that waits while the event is set returns True, even if the event is
        clear again when it runs.

        Raises ValueError for NaN; OverflowError for a timeout above TIMEOUT_MAX;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.Event.wait.
        """
    def _at_fork_reinit(self) -> None:
        """For the child of a fork.  Nothing has to be done there: it may be used as it is.

        Mirrors threading.Event._at_fork_reinit.
        """

@disjoint_base
class Semaphore:
    """A number of permits, which threads take with acquire() and give back with
    release().

    value: how many there are at first, an int.

    Raises ValueError for a negative value, TypeError for one that is not an int,
    and OverflowError for more than 2**62 - 1.

    Mirrors threading.Semaphore, which takes any number.
    """
    def __init__(self, value: int = 1) -> None: ...
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take one of the permits, and return whether one was taken.

        blocking: False to return at once, whether one is free or not.
        timeout:  how many seconds to wait at most; None waits without a limit.

        In the main thread the wait is interrupted by signals: their handlers run at
        once, an exception from one takes no permit and is raised here, and otherwise
        the wait goes on to its original deadline.

        Raises ValueError for a timeout that is NaN or given with blocking=False;
        OverflowError for one above TIMEOUT_MAX;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.Semaphore.acquire, which never ends where the timeout is NaN.
        """
    def release(self, n: int = 1) -> None:
        """Give n permits back, and wake as many of the threads that wait for one.

        n: how many permits, an int.

        May be called from signal handlers and finalizers, whatever they interrupted.

        Raises ValueError where n is less than one, TypeError where it is not an int,
        and OverflowError where there would be more than 2**62 - 1 permits.

        Mirrors threading.Semaphore.release, which hangs in a handler that interrupted
        it.
        """
    def __enter__(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take one of the permits, and return whether one was taken.

        blocking: False to return at once, whether one is free or not.
        timeout:  how many seconds to wait at most; None waits without a limit.

        In the main thread the wait is interrupted by signals: their handlers run at
        once, an exception from one takes no permit and is raised here, and otherwise
        the wait goes on to its original deadline.

        Raises ValueError for a timeout that is NaN or given with blocking=False;
        OverflowError for one above TIMEOUT_MAX;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.Semaphore.acquire, which never ends where the timeout is NaN.
        """
    def __exit__(
        self,
        t: type[BaseException] | None,
        v: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Give a permit back; exceptions pass through.

        t, v, tb: the exception that ends the block; not used.

        Raises what release() raises.

        Mirrors threading.Semaphore.__exit__.
        """
    @property
    def _value(self) -> int:
        """How many permits are free; writing it opens the semaphore."""

class BoundedSemaphore(Semaphore):
    """A semaphore that never has more permits than at first: release() raises
    ValueError instead.

    value: how many there are at first, an int.

    Raises ValueError for a negative value, TypeError for one that is not an int,
    and OverflowError for more than 2**62 - 1.

    Mirrors threading.BoundedSemaphore, which takes any number.
    """
    @property
    def _initial_value(self) -> int:
        """How many permits there are at most; writing it opens the semaphore."""

@disjoint_base
class Barrier:
    """A meeting point: threads wait until all parties have arrived, and then all go on.

    parties: how many threads there are, an int.
    action:  called without arguments by the last to arrive, before all go on.
    timeout: the default of wait(), in seconds; None waits without a limit.

    Raises ValueError for less than one party, TypeError for a number that is not an
    int, and OverflowError for more than 2**32 - 1.

    Mirrors threading.Barrier, but the next round may begin before all threads of the
    last one have run.
    """
    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have called this; return a number from 0 to parties - 1,
        another one in each thread.

        timeout: how many seconds to wait at most; None takes the barrier's default.
                 A wait that times out breaks the barrier.

        The last thread to arrive runs the barrier's action, if it has one, before all
        go on.  An exception in it breaks the barrier and is raised there.  A thread
        whose wait is ended by an exception from a signal handler has not arrived.

        Raises BrokenBarrierError where the barrier is broken, or is broken or reset
        during the wait; RuntimeError in the barrier's own action; ValueError for NaN;
        OverflowError for a timeout above TIMEOUT_MAX;
        and, while the interpreter ends, PythonFinalizationError (RuntimeError before
        Python 3.13) for a wait without a limit that nobody can end any more.

        Mirrors threading.Barrier.wait, which hangs in the barrier's own action, and may
        give two threads the same number where a wait was interrupted.
        """
    def reset(self) -> None:
        """Make the barrier empty and unbroken; threads that wait raise BrokenBarrierError.

        Does not wait for an action that runs.

        Mirrors threading.Barrier.reset, which waits for such an action.
        """
    def abort(self) -> None:
        """Break the barrier: threads that wait, and those that come until it is reset,
        raise BrokenBarrierError.

        Does not wait for an action that runs.

        Mirrors threading.Barrier.abort, which waits for such an action.
        """
    @property
    def parties(self) -> int:
        """How many threads have to arrive.

        Mirrors threading.Barrier.parties.
        """
    @property
    def n_waiting(self) -> int:
        """How many threads wait at the barrier.

        Mirrors threading.Barrier.n_waiting.
        """
    @property
    def broken(self) -> bool:
        """Whether the barrier is broken.

        Mirrors threading.Barrier.broken.
        """
