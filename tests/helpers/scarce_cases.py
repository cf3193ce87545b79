"""The calls of every type, for `scarce`: `cases(kind)` is a dict of them by their names."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from concurrency import PlainLock, queued
from scarce import Case
from support import DEADLINE, FREE_THREADED, parked, run_in_thread, start

import pyfastlock

SHORT = 0.0001
"""A timeout that is waited for."""


NO_LOCK = (RuntimeError,)
"""What `threading`'s code raises where there is no memory for a lock, before Python 3.14."""


def free(lock: Any) -> None:
    """Nobody holds it or waits for it, and it can be used."""
    assert queued(lock) == 0
    assert run_in_thread(lambda: lock.acquire(timeout=DEADLINE) and (lock.release() or True))


def taken(lock: Any) -> None:
    """The calling thread holds it, once."""
    assert not run_in_thread(lock.acquire, False)
    lock.release()
    free(lock)


def held(make: Callable[[], Any]) -> Callable[[], Any]:
    """A lock that this thread holds."""

    def made() -> Any:
        lock = make()
        lock.acquire()
        return lock

    return made


def foreign(make: Callable[[], Any]) -> Callable[[], Any]:
    """A lock that another thread, which is no more, holds."""

    def made() -> Any:
        lock = make()
        run_in_thread(lock.acquire)
        return lock

    return made


def stays_taken(lock: Any) -> None:
    """It is not the calling thread's."""
    assert queued(lock) == 0
    assert not lock.acquire(False)


def with_block(obj: Any) -> None:
    with obj:
        pass


def nested(obj: Any) -> None:
    with obj, obj:
        pass


def patiently(call: Callable[[], Any]) -> Any:
    """What it returns; a lack of memory, which hits all threads, only begins it anew."""
    while True:
        try:
            return call()
        except MemoryError:
            pass


def awaited(
    make: Callable[[], Any], wait: Callable[[Any], Any], count: int = 1
) -> Callable[[], Any]:
    """An object for which other threads wait. `all_woken` joins them."""

    def made() -> Any:
        obj = make()
        waiters[:] = [start(patiently, lambda: wait(obj)) for _ in range(count)]
        parked(obj, count)
        return obj

    return made


waiters: list[Any] = []
"""The threads that wait for the object of the case that runs."""


def all_woken(obj: Any) -> None:
    while waiters:
        waiters.pop().join()
    assert queued(obj) == 0


def locks(make: Callable[[], Any]) -> dict[str, Case]:
    """What Lock and RLock have in common."""

    def release_for_waiter(lock: Any) -> None:
        lock.release()

    return {
        "acquire": Case(make, lambda o: o.acquire(), taken),
        "acquire False": Case(make, lambda o: o.acquire(False), taken),
        "acquire in time": Case(make, lambda o: o.acquire(timeout=5), taken),
        "acquire by position": Case(make, lambda o: o.acquire(True, 5.5), taken),
        "acquire in vain": Case(foreign(make), lambda o: o.acquire(False), stays_taken),
        "time out": Case(foreign(make), lambda o: o.acquire(True, SHORT), stays_taken),
        "release": Case(held(make), lambda o: o.release(), free),
        "release what is not held": Case(make, lambda o: o.release(), free, RuntimeError),
        "with": Case(make, with_block, free),
        "enter": Case(make, lambda o: o.__enter__(), taken),
        "exit": Case(held(make), lambda o: o.__exit__(None, None, None), free),
        "repr": Case(held(make), repr, taken),
        "locked": Case(held(make), lambda o: o.locked(), taken),
        "reinit": Case(held(make), lambda o: o._at_fork_reinit(), free),
        "a wrong argument": Case(make, lambda o: o.acquire("x", "y"), free, TypeError),
        "a wrong name": Case(make, lambda o: o.acquire(timeouts=1), free, TypeError),
        "a negative timeout": Case(make, lambda o: o.acquire(True, -3), free, ValueError),
        "a huge timeout": Case(make, lambda o: o.acquire(True, 1e300), free, OverflowError),
        "release for a waiter": Case(
            held_and_awaited(make), release_for_waiter, lambda o: (all_woken(o), free(o))
        ),
    }


def held_and_awaited(make: Callable[[], Any]) -> Callable[[], Any]:
    def acquire_and_release(lock: Any) -> None:
        assert lock.acquire(timeout=DEADLINE)
        lock.release()

    return awaited(held(make), acquire_and_release)


def rlocks() -> dict[str, Case]:
    make = pyfastlock.RLock

    def save_and_restore(lock: Any) -> None:
        lock._acquire_restore(lock._release_save())

    return {
        "twice": Case(make, nested, free),
        "another thread's": Case(foreign(make), lambda o: o.release(), stays_taken, RuntimeError),
        "owned": Case(held(make), lambda o: o._is_owned(), taken),
        "count": Case(held(make), lambda o: o._recursion_count(), taken),
        "save": Case(held(make), save_and_restore, taken),
        "a wrong state": Case(make, lambda o: o._acquire_restore((1,)), free, TypeError),
    }


class Locked:
    """Conditions over a kind of lock, whose lock the calling thread holds."""

    def __init__(self, make_lock: Callable[[], Any], cls: type = pyfastlock.Condition) -> None:
        self.make_lock = make_lock
        self.cls = cls

    def __call__(self) -> Any:
        condition = self.cls(self.make_lock())
        condition.acquire()
        return condition

    def unlocked(self) -> Any:
        return self.cls(self.make_lock())


def wait_in_block(condition: Any) -> None:
    with condition:
        assert condition.wait(DEADLINE)


def conditions(make: Locked, *, ours: bool = True) -> dict[str, Case]:
    def notified(count: int) -> Callable[[], Any]:
        """Others wait, and this thread holds the lock."""
        waited_for = awaited(make.unlocked, wait_in_block, count)

        def made() -> Any:
            condition = waited_for()
            condition.acquire()
            return condition

        return made

    def told(condition: Any) -> None:
        """A notification may have been too few: the rest are notified now."""
        condition.notify_all()
        condition.release()
        all_woken(condition)
        free(condition)

    cases = {
        "acquire": Case(make.unlocked, lambda o: o.acquire(), taken),
        "acquire in time": Case(make.unlocked, lambda o: o.acquire(timeout=5), taken),
        "release": Case(make, lambda o: o.release(), free),
        "wait 0": Case(make, lambda o: o.wait(0), taken),
        "wait": Case(make, lambda o: o.wait(SHORT), taken),
        "wait by name": Case(make, lambda o: o.wait(timeout=SHORT), taken),
        "wait for": Case(make, lambda o: o.wait_for(bool, SHORT), taken),
        "wait for what is true": Case(make, lambda o: o.wait_for("x".__len__), taken),
        "wait without the lock": Case(make.unlocked, lambda o: o.wait(1), free, RuntimeError),
        "wait for a word": Case(make, lambda o: o.wait("x"), taken, TypeError),
        "notify nobody": Case(make, lambda o: o.notify(), taken),
        "notify": Case(notified(1), lambda o: o.notify(), told),
        "notify two": Case(notified(2), lambda o: o.notify(2), told),
        "notify all": Case(notified(2), lambda o: o.notify_all(), told),
        "notify without the lock": Case(make.unlocked, lambda o: o.notify(), free, RuntimeError),
        "repr": Case(make, repr, taken),
        "owned": Case(make, lambda o: o._is_owned(), taken),
    }
    if ours:
        # What another lock's methods leave behind is up to them.
        cases["with"] = Case(make.unlocked, with_block, free)
        cases["state"] = Case(make, lambda o: o._acquire_restore(o._release_save()), taken)
    elif FREE_THREADED:
        # Those who wait run at the same time, and may lack the memory to release such a lock.
        cases = {name: case for name, case in cases.items() if case.check is not told}
    return cases


class Replaced(pyfastlock.Condition):
    """Has methods of its own."""

    def wait(self, timeout: Any = None) -> Any:
        return super().wait(timeout)

    def notify(self, n: int = 1) -> None:
        super().notify(n)

    def _is_owned(self) -> Any:
        return super()._is_owned()


def opened(cases: dict[str, Case]) -> dict[str, Case]:
    """The calls on an object that is open.

    They run `threading`'s code, which may do half of its work. So it is only checked that nobody
    holds the object's lock afterwards. Cases of objects that others wait for are left out.
    """

    def open_it(make: Callable[[], Any]) -> Callable[[], Any]:
        def made() -> Any:
            obj = make()
            assert obj._cond
            return obj

        return made

    def half_done(obj: Any) -> None:
        free(obj._cond)

    return {
        name: case._replace(make=open_it(case.make), check=half_done, again=False, lost=NO_LOCK)
        for name, case in cases.items()
        if "wait" not in case.make.__qualname__ and "awaited" not in case.make.__qualname__
    }


def works(event: Any) -> None:
    waiter = start(event.wait, DEADLINE)
    event.set()
    assert waiter.join()
    assert event.is_set()
    event.clear()
    assert not event.wait(SHORT)
    assert queued(event) == 0


def events(make: Callable[[], Any]) -> dict[str, Case]:
    def is_set() -> Any:
        event = make()
        event.set()
        return event

    def woken(event: Any) -> None:
        all_woken(event)
        works(event)

    return {
        "set": Case(make, lambda o: o.set(), works),
        "clear": Case(is_set, lambda o: o.clear(), works),
        "is set": Case(is_set, lambda o: o.is_set(), works),
        "wait": Case(make, lambda o: o.wait(SHORT), works),
        "wait 0": Case(make, lambda o: o.wait(0), works),
        "do not wait": Case(is_set, lambda o: o.wait(), works),
        "wait for a word": Case(make, lambda o: o.wait("x"), works, TypeError),
        "set for waiters": Case(
            awaited(make, lambda o: o.wait(DEADLINE), 2), lambda o: o.set(), woken
        ),
        "repr": Case(make, repr, works),
        "reinit": Case(is_set, lambda o: o._at_fork_reinit(), works),
        "read": Case(is_set, lambda o: o._flag, works),
        "open": Case(make, lambda o: o._cond, works),
        "open for waiters": Case(
            awaited(make, lambda o: o.wait(DEADLINE), 2), vars, lambda o: (o.set(), woken(o))
        ),
        "write": Case(make, lambda o: setattr(o, "_flag", False), works),
        "attribute": Case(make, lambda o: setattr(o, "x", 1), works),
        "init again": Case(make, lambda o: o.__init__(), works, lost=NO_LOCK),
        "state": Case(make, lambda o: o.__getstate__(), works),
    }


def has(permits: int) -> Callable[[Any], None]:
    """So many permits are free, and the semaphore works."""

    def check(semaphore: Any) -> None:
        assert queued(semaphore) == 0
        for _ in range(permits):
            assert semaphore.acquire(False)
        assert not semaphore.acquire(False)
        assert not semaphore.acquire(timeout=SHORT)
        waiter = start(semaphore.acquire, timeout=DEADLINE)
        semaphore.release()
        assert waiter.join()
        assert queued(semaphore) == 0

    return check


def semaphores(make: Callable[[int], Any]) -> dict[str, Case]:
    def of(permits: int) -> Callable[[], Any]:
        return lambda: make(permits)

    def spent() -> Any:
        semaphore = make(2)
        assert semaphore.acquire()
        assert semaphore.acquire()
        return semaphore

    def spent_and_awaited() -> Any:
        return awaited(spent, lambda o: o.acquire(timeout=DEADLINE), 2)()

    def woken(semaphore: Any) -> None:
        all_woken(semaphore)
        has(0)(semaphore)

    return {
        "acquire": Case(of(2), lambda o: o.acquire(), has(1)),
        "acquire in vain": Case(spent, lambda o: o.acquire(False), has(0)),
        "acquire in time": Case(of(2), lambda o: o.acquire(timeout=5), has(1)),
        "time out": Case(spent, lambda o: o.acquire(True, SHORT), has(0)),
        "acquire for a word": Case(spent, lambda o: o.acquire(timeout="x"), has(0), TypeError),
        "no time": Case(spent, lambda o: o.acquire(False, 1), has(0), ValueError),
        "release": Case(spent, lambda o: o.release(), has(1)),
        "release two": Case(spent, lambda o: o.release(2), has(2)),
        "release for two": Case(spent_and_awaited, lambda o: o.release(2), woken),
        "release none": Case(spent, lambda o: o.release(0), has(0), ValueError),
        "with": Case(of(2), with_block, has(2)),
        "repr": Case(of(2), repr, has(2)),
        "read": Case(of(2), lambda o: o._value, has(2)),
        "open": Case(of(2), lambda o: o._cond, has(2)),
        "open for waiters": Case(spent_and_awaited, vars, lambda o: (o.release(2), woken(o))),
        "write": Case(of(2), lambda o: setattr(o, "_value", 1), has(1)),
        "init again": Case(of(2), lambda o: o.__init__(2), has(2), lost=NO_LOCK),
        "state": Case(of(2), lambda o: o.__getstate__(), has(2)),
    }


def whole(barrier: Any) -> None:
    """Nobody waits, and two rounds of two threads pass."""
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    for _ in range(2):
        other = start(barrier.wait, DEADLINE)
        assert {barrier.wait(DEADLINE), other.join()} == {0, 1}
    assert queued(barrier) == 0


def broken(barrier: Any) -> None:
    assert barrier.broken
    barrier.reset()
    whole(barrier)


def whole_or_broken(barrier: Any) -> None:
    """A lack of memory in an action, or beside it, breaks the barrier as any exception there."""
    if barrier.broken:
        barrier.reset()
    if barrier.parties == 2:
        whole(barrier)
    else:
        assert barrier.wait() == 0


def barriers(make: Callable[..., Any]) -> dict[str, Case]:
    def pair() -> Any:
        return make(2)

    def was_broken() -> Any:
        barrier = make(2)
        barrier.abort()
        return barrier

    def joined(check: Callable[[Any], object]) -> Callable[[Any], None]:
        def joins(barrier: Any) -> None:
            all_woken(barrier)
            check(barrier)

        return joins

    def wait_once(barrier: Any) -> None:
        with contextlib.suppress(pyfastlock.BrokenBarrierError):
            barrier.wait(DEADLINE)

    waited_for = awaited(pair, wait_once)
    error = pyfastlock.BrokenBarrierError
    return {
        "pass": Case(lambda: make(1), lambda o: o.wait(), whole_or_broken),
        "pass and act": Case(lambda: make(1, int), lambda o: o.wait(), whole_or_broken),
        "complete": Case(waited_for, lambda o: o.wait(), joined(whole_or_broken)),
        "time out": Case(pair, lambda o: o.wait(SHORT), broken, error),
        "find it broken": Case(was_broken, lambda o: o.wait(), broken, error),
        "abort": Case(pair, lambda o: o.abort(), broken),
        "abort who waits": Case(waited_for, lambda o: o.abort(), joined(broken)),
        "reset": Case(was_broken, lambda o: o.reset(), whole),
        "reset who waits": Case(waited_for, lambda o: o.reset(), joined(whole)),
        "look": Case(pair, lambda o: (o.parties, o.n_waiting, o.broken), whole),
        "repr": Case(pair, repr, whole),
        "open": Case(pair, lambda o: o._cond, whole),
        "open who waits": Case(
            waited_for, vars, lambda o: (o.wait(DEADLINE), all_woken(o), whole(o))
        ),
        "write": Case(pair, lambda o: setattr(o, "_timeout", None), whole),
        "init again": Case(pair, lambda o: o.__init__(2), whole, lost=NO_LOCK),
        "state": Case(pair, lambda o: o.__getstate__(), whole),
        "wait for a word": Case(pair, lambda o: o.wait("x"), whole, TypeError),
    }


def creation() -> dict[str, Case]:
    def child(cls: type) -> type:
        return type("Child", (cls,), {})

    made: dict[str, Case] = {}
    classes = [(pyfastlock.Event, ()), (pyfastlock.Barrier, (2,)), (pyfastlock.Condition, ())]
    classes += [(pyfastlock.Semaphore, (3,)), (pyfastlock.BoundedSemaphore, (3,))]
    everything = [(pyfastlock.Lock, ()), (pyfastlock.RLock, ()), *classes]
    everything += [(child(cls), args) for cls, args in classes]
    for cls, args in everything:
        kind = cls.__mro__[1].__name__ + "'s child" if cls.__name__ == "Child" else cls.__name__
        made[kind] = Case(lambda cls=cls: cls, lambda cls, args=args: cls(*args))
        if args or cls.__name__ not in ("Lock", "RLock"):
            made[f"{kind}, too much"] = Case(
                lambda cls=cls: cls, lambda cls: cls(1, 2, 3, 4, 5), raises=TypeError
            )
    made["Condition of a lock"] = Case(pyfastlock.Lock, pyfastlock.Condition, free)
    made["Condition of another"] = Case(PlainLock, pyfastlock.Condition)
    made["Condition of a number"] = Case(lambda: 3, pyfastlock.Condition, raises=AttributeError)
    made["Semaphore below 0"] = Case(lambda: -1, pyfastlock.Semaphore, raises=ValueError)
    return made


def opened_barriers() -> dict[str, Case]:
    cases = opened(barriers(pyfastlock.Barrier))
    if sys.version_info[:2] in ((3, 12), (3, 13)):
        # The interpreters crash there, with a Barrier of threading, too: it makes a closure.
        cases = {name: case for name, case in cases.items() if case.raises is None}
    return cases


KINDS: dict[str, Callable[[], dict[str, Case]]] = {
    "creation": creation,
    "Lock": lambda: locks(pyfastlock.Lock),
    "RLock": lambda: {**locks(pyfastlock.RLock), **rlocks()},
    "Condition over a Lock": lambda: conditions(Locked(pyfastlock.Lock)),
    "Condition over an RLock": lambda: conditions(Locked(pyfastlock.RLock)),
    "Condition over threading's RLock": lambda: conditions(Locked(threading.RLock), ours=False),
    "Condition over threading's Lock": lambda: conditions(Locked(threading.Lock), ours=False),
    "Condition over a lock in Python": lambda: conditions(Locked(PlainLock), ours=False),
    "Condition with methods of its own": lambda: conditions(Locked(pyfastlock.RLock, Replaced)),
    "Event": lambda: events(pyfastlock.Event),
    "Event, open": lambda: opened(events(pyfastlock.Event)),
    "Semaphore": lambda: semaphores(pyfastlock.Semaphore),
    "Semaphore, open": lambda: opened(semaphores(pyfastlock.Semaphore)),
    "BoundedSemaphore": lambda: semaphores(pyfastlock.BoundedSemaphore),
    "Barrier": lambda: barriers(pyfastlock.Barrier),
    "Barrier, open": opened_barriers,
}
