"""The Python functions that the methods of the C types stand for.

`threading` writes these classes in Python, so programs expect functions: they bind them, ask for
their signatures, replace them, and watch them run.  A method of ours is C code that poses as one
of the functions here (csrc/py/method.h).  The function itself is called

- for a call that does not fit its signature: the exception is then the one that the running
  interpreter raises, in type and text, for such a call of `threading`'s method;
- while a profiler watches the thread, so that it sees a call of a Python function.

It does the same as the C code, because it calls it.

What the C types lack is Python code, and stands here as well.
"""

TYPE_CHECKING = False  # `typing` costs more to import than all the rest of the package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
else:
    Any = object

native: "dict[str, Callable[..., Any]]" = {}
"""The C code, by `Class.method`.  A copy of the C module has its own, and functions that see it."""


class Waiters:
    """The `_waiters` of a Condition: how many threads wait, at any time that it is asked.

    `threading`'s is a deque of locks, one a thread.  Here nobody sleeps on such a lock, so there
    is nothing to add, to remove or to release.
    """

    def __init__(self, condition: Any) -> None:
        self.__condition = condition

    def __len__(self) -> int:
        from pyfastlock._core import _waiters

        return _waiters(self.__condition)

    def __repr__(self) -> str:
        return f"<{len(self)} waiting threads>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the _waiters of a pyfastlock.Condition have no {name!r}: they can be counted, by "
            "len(); to wake them use notify() or notify_all(), and _at_fork_reinit() in the child "
            "of a fork"
        )

    def __iter__(self) -> Any:
        return self.__getattr__("__iter__")

    def __getitem__(self, index: Any) -> Any:
        return self.__getattr__("__getitem__")


_OF_THE_LOCK = frozenset(
    ("_lock", "_waiters", "acquire", "release", "_release_save", "_acquire_restore", "_is_owned")
)
"""What the standard library's __init__() makes of the lock."""


class Condition:
    def __init__(self, lock: Any = None) -> None:
        native["Condition.__init__"](self, lock)

    def __enter__(self) -> Any:
        return native["Condition.__enter__"](self)

    def __exit__(self, *args: object) -> Any:
        return native["Condition.__exit__"](self, *args)

    def wait(self, timeout: Any = None) -> Any:
        return native["Condition.wait"](self, timeout)

    def wait_for(self, predicate: Any, timeout: Any = None) -> Any:
        return native["Condition.wait_for"](self, predicate, timeout)

    def notify(self, n: Any = 1) -> None:
        native["Condition.notify"](self, n)

    def notify_all(self) -> None:
        native["Condition.notify_all"](self)

    def notifyAll(self) -> None:  # noqa: N802
        native["Condition.notifyAll"](self)

    def _is_owned(self) -> Any:
        return native["Condition._is_owned"](self)

    def _release_save(self) -> Any:
        return native["Condition._release_save"](self)

    def _acquire_restore(self, x: Any) -> None:
        native["Condition._acquire_restore"](self, x)

    def _at_fork_reinit(self) -> None:
        native["Condition._at_fork_reinit"](self)

    @property
    def _waiters(self) -> Any:
        """How many threads wait, by len(); the standard library has a deque of locks here."""
        return Waiters(self)

    @_waiters.setter
    def _waiters(self, value: Any) -> None:
        if len(value) or len(Waiters(self)):
            raise AttributeError(
                "the _waiters of a pyfastlock.Condition cannot be assigned, unless nobody waits "
                "and the new ones are empty: use notify() or notify_all()"
            )

    def __getstate__(self) -> Any:
        """Return what copying and pickling keep: the lock, and the attributes of the instance.

        Mirrors object.__getstate__, as threading's class has it, without the waiters.
        """
        state = object.__getstate__(self)
        own, slots = state if isinstance(state, tuple) else (state, None)
        own = {**(own or {}), "_lock": self._lock}
        return own if slots is None else (own, slots)

    def __setstate__(self, state: Any) -> None:
        """Set the lock, and the attributes.  Takes the state of threading.Condition, too."""
        own, slots = state if isinstance(state, tuple) else (state, {})
        self._lock = own["_lock"]
        vars(self).update({name: own[name] for name in own if name not in _OF_THE_LOCK})
        for name, value in slots.items():
            setattr(self, name, value)


class Event:
    def __init__(self) -> None:
        native["Event.__init__"](self)

    def set(self) -> None:
        native["Event.set"](self)

    def clear(self) -> None:
        native["Event.clear"](self)

    def is_set(self) -> Any:
        return native["Event.is_set"](self)

    def isSet(self) -> Any:  # noqa: N802
        return native["Event.isSet"](self)

    def wait(self, timeout: Any = None) -> Any:
        return native["Event.wait"](self, timeout)

    def _at_fork_reinit(self) -> None:
        native["Event._at_fork_reinit"](self)


class Semaphore:
    def __init__(self, value: Any = 1) -> None:
        native["Semaphore.__init__"](self, value)

    def acquire(self, blocking: Any = True, timeout: Any = None) -> Any:
        return native["Semaphore.acquire"](self, blocking, timeout)

    __enter__ = acquire

    def release(self, n: Any = 1) -> None:
        native["Semaphore.release"](self, n)

    def __exit__(self, t: Any, v: Any, tb: Any) -> None:
        native["Semaphore.__exit__"](self, t, v, tb)


class BoundedSemaphore(Semaphore):
    def __init__(self, value: Any = 1) -> None:
        native["BoundedSemaphore.__init__"](self, value)

    def release(self, n: Any = 1) -> None:
        native["BoundedSemaphore.release"](self, n)


class Barrier:
    def __init__(self, parties: Any, action: Any = None, timeout: Any = None) -> None:
        native["Barrier.__init__"](self, parties, action, timeout)

    def wait(self, timeout: Any = None) -> Any:
        return native["Barrier.wait"](self, timeout)

    def reset(self) -> None:
        native["Barrier.reset"](self)

    def abort(self) -> None:
        native["Barrier.abort"](self)


def go_on_acquiring(stdlib: Any, semaphore: Any, timeout: Any) -> Any:
    """`acquire()` of a thread that waited for a semaphore of ours when that was opened.

    `stdlib` is `threading.Semaphore`.  The thread may have been notified already, and nobody else
    for the same permit: if it does not get that far, another one is notified.
    """
    try:
        return stdlib.acquire(semaphore, True, timeout)
    except BaseException:
        with semaphore._cond:
            semaphore._cond.notify()
        raise


def go_on_waiting(barrier: Any, index: int, timeout: Any) -> int:
    """The rest of `threading.Barrier.wait`, after the thread has arrived as number `index`.

    For a thread that waited in a barrier of ours when that was opened.
    """
    with barrier._cond:
        try:
            barrier._wait(timeout)
            return index
        finally:
            barrier._count -= 1
            barrier._exit()


def leave_barrier(barrier: Any) -> None:
    """What is left of `threading.Barrier.wait` where an exception ends it."""
    with barrier._cond:
        barrier._count -= 1
        barrier._exit()
