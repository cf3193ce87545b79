"""Locks that are not pyfastlock's, for the tests of a Condition over them: a table of kinds, and
locks in Python whose methods raise before or after they have done their work."""

from __future__ import annotations

import functools
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from concurrency import Interrupt
from support import FREE_THREADED

import pyfastlock


class Bare:
    """A lock in Python that has acquire and release, and may be told to raise in any method."""

    make_inner = staticmethod(threading.Lock)
    steps = ("release", "acquire")
    """The methods that a wait calls, the one that lets go first."""

    def __init__(self) -> None:
        self.inner: Any = self.make_inner()
        self.fault: tuple[str, str] | None = None
        self.next_fault: tuple[str, str] | None = None
        self.thread = 0
        self.act: Callable[[], object] = interrupt
        self.in_fault: Callable[[], object] = lambda: None

    def arm(self, method: str, when: str, how: str = "raise") -> None:
        """This thread's next wait calls `method`, which raises `when`, "before" or "after" its
        work; `how` is "raise" or "signal", for a signal whose handler has to raise."""
        self.thread = threading.get_ident()
        if method == self.steps[0]:
            self.fault = (method, when)
        else:
            # A Condition may ask with acquire(False) whether it is held, before it lets go of it.
            self.next_fault = (method, when)
        self.act = interrupt if how == "raise" else send_signal

    def call(self, method: str, work: Callable[..., Any], *args: Any) -> Any:
        """Do the work of a method, and raise where it has been told to."""
        self.may_raise(method, "before")
        result = work(*args)
        if method == self.steps[0] and self.next_fault:
            self.fault, self.next_fault = self.next_fault, None
        # An attempt that failed has not done its work.
        if result is not False:
            self.may_raise(method, "after")
        return result

    def may_raise(self, method: str, when: str) -> None:
        if self.fault == (method, when) and self.thread == threading.get_ident():
            self.fault = None
            self.in_fault()
            self.act()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self.call("acquire", self.inner.acquire, blocking, timeout)

    def release(self) -> None:
        self.call("release", self.inner.release)


def interrupt() -> None:
    raise Interrupt


def send_signal() -> None:
    signal.raise_signal(signal.SIGUSR1)
    raise AssertionError("the handler has to raise")


class Probing(Bare):
    """`_is_owned` says whether anybody holds it."""

    def _is_owned(self) -> bool:
        return self.inner.locked()


class Owned(Bare):
    """`_is_owned` says whether the calling thread holds it, and it is not recursive."""

    def __init__(self) -> None:
        super().__init__()
        self.owner: int | None = None

    def _take(self, *args: Any) -> bool:
        got = self.inner.acquire(*args)
        if got:
            self.owner = threading.get_ident()
        return got

    def _free(self) -> None:
        if not self._is_owned():
            raise RuntimeError("not the owner")
        self.owner = None
        self.inner.release()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self.call("acquire", self._take, blocking, timeout)

    def release(self) -> None:
        self.call("release", self._free)

    def _is_owned(self) -> bool:
        return self.owner == threading.get_ident()


class Saving(Owned):
    """It has all the methods that a Condition uses."""

    steps = ("_release_save", "_acquire_restore")

    def _release_save(self) -> str:
        self.call("_release_save", self._free)
        return "saved"

    def _acquire_restore(self, saved: str) -> None:
        # Where the release raised, what it returns is lost.
        assert saved == "saved"
        self.call("_acquire_restore", self._take)


class Recursive(Bare):
    """A recursive lock with all the methods that a Condition uses."""

    make_inner = staticmethod(threading.RLock)
    steps = ("_release_save", "_acquire_restore")

    def _is_owned(self) -> bool:
        return self.inner._is_owned()

    def _release_save(self) -> Any:
        return self.call("_release_save", self.inner._release_save)

    def _acquire_restore(self, saved: Any) -> None:
        self.call("_acquire_restore", self.inner._acquire_restore, saved)


class WithLocked(Bare):
    """It has locked(), and no other optional method."""

    def locked(self) -> bool:
        return self.inner.locked()


class CallableObject:
    """Can be called, and is no function."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __call__(self, *args: Any) -> Any:
        return self.fn(*args)


def wrapped(cls: type[Bare], wrap: Callable[[Any], Any]) -> Callable[[], Bare]:
    """A maker of `cls` whose methods are what `wrap` makes of them."""

    def make() -> Bare:
        lock = cls()
        for name in ("acquire", *cls.steps):
            setattr(lock, name, wrap(getattr(lock, name)))
        return lock

    return make


FAULTY: dict[str, Callable[[], Bare]] = {
    "bare": Bare,
    "locked": WithLocked,
    "probing": Probing,
    "owned": Owned,
    "saving": Saving,
    "recursive": Recursive,
    "partial": wrapped(Bare, functools.partial),
    "object": wrapped(Bare, CallableObject),
    "owned, partial": wrapped(Owned, functools.partial),
    "recursive, object": wrapped(Recursive, CallableObject),
}
"""Locks in Python that can be told to raise."""


class Kind(NamedTuple):
    """A kind of lock."""

    make: Callable[[], Any]
    depth: int
    """How often it can be held."""


def _stack(*makers: Callable[..., Any]) -> Callable[[], Any]:
    """A maker of Conditions over Conditions: the last maker makes the lock."""

    def make() -> Any:
        lock = makers[-1]()
        for maker in reversed(makers[:-1]):
            lock = maker(lock)
        return lock

    return make


class Child(pyfastlock.Condition):
    """A Condition whose methods are overridden, and do the same."""

    def _release_save(self) -> Any:
        return super()._release_save()

    def _acquire_restore(self, saved: Any) -> None:
        super()._acquire_restore(saved)


class RLockChild(pyfastlock.RLock):
    """A subclass of an RLock of ours, with a method in Python."""

    def _acquire_restore(self, saved: Any) -> None:
        super()._acquire_restore(saved)


_mp = multiprocessing.get_context("fork")
_ours, _stdlib = pyfastlock.Condition, threading.Condition

KINDS: dict[str, Kind] = {
    "ours: Lock": Kind(pyfastlock.Lock, 1),
    "ours: RLock": Kind(pyfastlock.RLock, 3),
    "ours: child of RLock": Kind(RLockChild, 3),
    "threading.Lock": Kind(threading.Lock, 1),
    "threading.RLock": Kind(threading.RLock, 3),
    "multiprocessing.Lock": Kind(_mp.Lock, 1),
    **{name: Kind(make, 3 if "recursive" in name else 1) for name, make in FAULTY.items()},
    "ours/Lock": Kind(_stack(_ours, pyfastlock.Lock), 1),
    "ours/RLock": Kind(_stack(_ours, pyfastlock.RLock), 3),
    "ours/threading.Lock": Kind(_stack(_ours, threading.Lock), 1),
    "ours/threading.RLock": Kind(_stack(_ours, threading.RLock), 3),
    "ours/bare": Kind(_stack(_ours, Bare), 1),
    "ours/recursive": Kind(_stack(_ours, Recursive), 3),
    "ours/ours/Lock": Kind(_stack(_ours, _ours, pyfastlock.Lock), 1),
    "ours/threading's/Lock": Kind(_stack(_ours, _stdlib, threading.Lock), 1),
    "threading's/Lock": Kind(_stack(_stdlib, threading.Lock), 1),
    "threading's/RLock": Kind(_stack(_stdlib, threading.RLock), 3),
    "threading's/ours/Lock": Kind(_stack(_stdlib, _ours, pyfastlock.Lock), 1),
    "threading's/ours/RLock": Kind(_stack(_stdlib, _ours, pyfastlock.RLock), 3),
    "threading's/threading's/Lock": Kind(_stack(_stdlib, _stdlib, threading.Lock), 1),
    "threading's/locked": Kind(_stack(_stdlib, WithLocked), 1),
    "threading's/recursive": Kind(_stack(_stdlib, Recursive), 3),
    "child/Lock": Kind(_stack(Child, pyfastlock.Lock), 1),
    "child/threading.Lock": Kind(_stack(Child, threading.Lock), 1),
}

if sys.version_info >= (3, 14):
    # The standard library's Condition needs the locked() of its lock.
    del KINDS["threading's/recursive"]


def _make_fastrlock() -> Any:
    if FREE_THREADED:
        pytest.skip("NOT RUN: fastrlock would switch the GIL on for all tests")
    from fastrlock.rlock import FastRLock

    return FastRLock()


# It has no _release_save: a wait lets go of it once.
KINDS["fastrlock"] = Kind(_make_fastrlock, 1)
