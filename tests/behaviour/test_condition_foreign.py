"""Condition over locks that are not its own: whatever has acquire() and release(), or more."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import operator
import sys
import threading
import time
import tracemalloc
import weakref
from collections import deque
from multiprocessing.synchronize import SemLock

import pytest
from conditions import finished, notify_all, waiting
from support import (
    DEADLINE,
    fails_on_stdlib,
    parked,
    start,
    try_in_thread,
    wait_until,
)

import pyfastlock

NEEDS_LOCKED = sys.version_info >= (3, 14)
"""Whether the stdlib's Condition insists on a lock that has locked()."""


# Foreign locks: everything is optional but acquire and release.


class Minimal:
    """A lock with acquire and release, and nothing else."""

    def __init__(self):
        self.real = threading.Lock()

    def acquire(self, blocking=True, timeout=-1):
        return self.real.acquire(blocking, timeout)

    def release(self):
        self.real.release()


def foreign_class(optional):
    """A recursive lock written in Python, with the methods that `optional` names."""

    class Foreign:
        def __init__(self):
            self.real = threading.RLock()
            self.calls = []

        def acquire(self, blocking=True, timeout=-1):
            # Without _is_owned a Condition asks by trying to take the lock: then this is no
            # recursive lock.
            if "_is_owned" not in optional and self.real._is_owned():
                return False
            return self.real.acquire(blocking, timeout)

        def release(self):
            self.real.release()

    def forward(name):
        def method(self, *args):
            self.calls.append(name)
            return getattr(self.real, name)(*args)

        return method

    for name in optional:
        if name == "locked":
            Foreign.locked = lambda self: not try_in_thread(self.real)
        else:
            setattr(Foreign, name, forward(name))
    return Foreign


OPTIONAL = ("_release_save", "_acquire_restore", "_is_owned", "locked", "__enter__", "__exit__")
COMBINATIONS = [
    names
    for n in range(len(OPTIONAL) + 1)
    for names in itertools.combinations(OPTIONAL, n)
    if ("_release_save" in names) == ("_acquire_restore" in names)
    and ("__enter__" in names) == ("__exit__" in names)
]

needs_locked = fails_on_stdlib(
    "the lock of a Condition must have locked()", raises=AttributeError, when=NEEDS_LOCKED
)
needs_enter = fails_on_stdlib(
    "a with-block needs the lock's __enter__", raises=(AttributeError, TypeError)
)


def combinations(*, entered):
    for names in COMBINATIONS:
        marks = []
        if NEEDS_LOCKED and "locked" not in names:
            marks.append(needs_locked)
        elif entered and "__enter__" not in names:
            marks.append(needs_enter)
        yield pytest.param(foreign_class(names), marks=marks, id="+".join(names) or "nothing")


class RLockChild(pyfastlock.RLock):
    """A subclass is a foreign lock: what it overrides counts."""

    def acquire(self, *args, **kwargs):
        return super().acquire(*args, **kwargs)


FOREIGN = [
    pytest.param(threading.Lock, id="threading.Lock"),
    pytest.param(threading.RLock, id="threading.RLock"),
    pytest.param(threading._PyRLock, id="threading._PyRLock"),
    pytest.param(
        multiprocessing.get_context("fork").Lock,
        id="multiprocessing.Lock",
        marks=fails_on_stdlib(
            "the lock of a Condition must have locked()",
            raises=AttributeError,
            when=NEEDS_LOCKED and not hasattr(SemLock, "locked"),
        ),
    ),
    pytest.param(Minimal, id="Minimal", marks=needs_locked),
    pytest.param(threading.Condition, id="threading.Condition"),
    pytest.param(pyfastlock.Lock, id="pyfastlock.Lock"),
    pytest.param(pyfastlock.RLock, id="pyfastlock.RLock"),
    pytest.param(pyfastlock.Condition, id="pyfastlock.Condition"),
    pytest.param(RLockChild, id="RLock's child"),
]

RECURSIVE_FOREIGN = [p for p in FOREIGN if "RLock" in p.id]


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Minimal"])
@pytest.mark.parametrize("size", [1, 3])
def test_t10_bounded_queue(impl, kind, size):
    """Two conditions, several producers and consumers: everything arrives once."""
    if kind == "Minimal" and impl is threading and NEEDS_LOCKED:
        pytest.skip("the lock of the stdlib's Condition must have locked() since 3.14")
    lock = Minimal() if kind == "Minimal" else getattr(impl, kind)()
    not_empty, not_full = impl.Condition(lock), impl.Condition(lock)
    items = deque()
    each, producers = 100, 3

    def produce(first):
        for item in range(first, first + each):
            not_full.acquire()
            assert not_full.wait_for(lambda: len(items) < size, DEADLINE)
            items.append(item)
            not_empty.notify()
            not_full.release()

    def consume():
        got = []
        for _ in range(each):
            not_empty.acquire()
            assert not_empty.wait_for(lambda: items, DEADLINE)
            got.append(items.popleft())
            not_full.notify()
            not_empty.release()
        return got

    threads = [start(produce, i * each) for i in range(producers)]
    consumers = [start(consume) for _ in range(producers)]
    for thread in threads:
        thread.join()
    got = [item for consumer in consumers for item in consumer.join()]
    assert sorted(got) == list(range(each * producers))
    assert try_in_thread(lock)


# Foreign locks


def exercise(cond, lock, enter, leave):
    """Everything that a Condition does, over whatever `lock` is."""
    for method in (cond.notify, cond.notify_all, cond.wait):
        with pytest.raises(RuntimeError, match="on un-acquired lock"):
            method()
    enter()
    assert not try_in_thread(lock)
    cond.notify()
    cond.notify_all()
    assert cond.wait(0) is False
    assert cond.wait(0.01) is False
    assert cond.wait_for(lambda: "yes") == "yes"
    assert cond.wait_for(lambda: False, 0.01) is False
    assert not try_in_thread(lock)
    leave()
    assert try_in_thread(lock)

    turns = []

    def wait():
        assert cond.acquire()
        turns.append(1)
        result = cond.wait(DEADLINE)
        cond.release()
        return result

    threads = [start(wait) for _ in range(3)]
    wait_until(lambda: len(turns) == 3)
    # All three have been inside: once the lock can be had, each of them waits.
    enter()
    cond.notify(2)
    leave()
    ended = finished(threads, 2)
    assert [t.join() for t in ended] == [True, True]
    (last,) = [t for t in threads if t not in ended]
    assert not last.done
    enter()
    cond.notify_all()
    leave()
    assert last.join() is True
    assert try_in_thread(lock)


@pytest.mark.parametrize("make", FOREIGN)
def test_t10_over_foreign_locks(impl, make):
    lock = make()
    cond = impl.Condition(lock)
    assert cond._lock is lock
    exercise(cond, lock, cond.acquire, cond.release)


@pytest.mark.parametrize("make", FOREIGN)
def test_t10_over_foreign_locks_taken_directly(impl, make):
    lock = make()
    exercise(impl.Condition(lock), lock, lock.acquire, lock.release)


@pytest.mark.parametrize("make", list(combinations(entered=False)))
def test_t10_over_a_python_lock_with(impl, make):
    lock = make()
    cond = impl.Condition(lock)
    exercise(cond, lock, cond.acquire, cond.release)
    used = {
        name for name in ("_release_save", "_acquire_restore", "_is_owned") if hasattr(make, name)
    }
    assert used <= set(lock.calls), "what the lock has is used"


@pytest.mark.parametrize("make", list(combinations(entered=True)))
def test_t10_in_a_with_block_over_a_python_lock_with(impl, make):
    lock = make()
    cond = impl.Condition(lock)
    with cond as value:
        assert value is True
        assert not try_in_thread(lock)
        assert cond.wait(0) is False
    assert try_in_thread(lock)
    with pytest.raises(LookupError):
        with cond:
            raise LookupError
    assert try_in_thread(lock)


@pytest.mark.parametrize("times", [1, 2, 1000])
@pytest.mark.parametrize("make", RECURSIVE_FOREIGN)
def test_t05_depth_over_a_foreign_recursive_lock(impl, make, times):
    cond = impl.Condition(make())

    def body():
        for _ in range(times):
            cond.acquire()
        assert cond.wait(0) is False
        timed_out.set()
        assert cond.wait(DEADLINE) is True
        for _ in range(times):
            assert cond._is_owned()
            cond.release()
        assert not cond._is_owned()

    timed_out = threading.Event()
    waiter = start(body)
    assert timed_out.wait(DEADLINE)
    notify_all(cond)
    waiter.join()
    assert try_in_thread(cond)


class Breaking:
    """A lock whose methods raise when they are told to."""

    def __init__(self):
        self.real = threading.Lock()
        self.broken = set()
        for name in ("acquire", "release", "locked"):
            setattr(self, name, self.wrap(name, getattr(self.real, name)))
        self._release_save = self.wrap("_release_save", self.real.release)
        self._acquire_restore = self.wrap("_acquire_restore", lambda state: self.real.acquire())
        self._is_owned = self.wrap("_is_owned", self.real.locked)

    def wrap(self, name, method):
        def call(*args, **kwargs):
            if name in self.broken:
                self.broken.discard(name)
                raise LookupError(name)
            return method(*args, **kwargs)

        return call


@pytest.mark.parametrize("name", ["_is_owned", "_release_save"])
@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_t04_lock_that_fails_before_the_wait(name, timeout):
    """The thread is not queued: a notification reaches another one (here only: the stdlib's
    Condition leaves a waiter behind)."""
    lock = Breaking()
    cond = pyfastlock.Condition(lock)
    cond.acquire()
    lock.broken.add(name)
    with pytest.raises(LookupError, match=name):
        cond.wait(timeout)
    parked(cond, 0)
    assert lock.real.locked()
    cond.release()
    (waiter,) = waiting(cond)
    with cond:
        cond.notify()
    assert waiter.join() is True


@pytest.mark.parametrize("name", ["acquire", "release"])
def test_exceptions_of_the_lock_pass_through(impl, name):
    lock = Breaking()
    cond = impl.Condition(lock)
    if name == "release":
        cond.acquire()
    lock.broken.add(name)
    with pytest.raises(LookupError, match=name):
        getattr(cond, name)()


@pytest.mark.parametrize("name", ["_is_owned"])
def test_exceptions_of_is_owned_pass_through_notify(impl, name):
    lock = Breaking()
    cond = impl.Condition(lock)
    cond.acquire()
    lock.broken.add(name)
    with pytest.raises(LookupError, match=name):
        cond.notify()
    cond.notify()
    cond.release()


def test_the_methods_that_wait_uses_by_their_names(impl):
    """_release_save and _acquire_restore of a foreign lock that has them."""
    lock = threading.RLock()
    cond = impl.Condition(lock)
    for _ in range(3):
        cond.acquire()
    saved = cond._release_save()
    assert try_in_thread(lock)
    cond._acquire_restore(saved)
    assert not try_in_thread(lock)
    for _ in range(3):
        cond.release()
    assert try_in_thread(lock)


def test_conditions_that_are_stacked_too_deeply():
    """The search for the lock below them ends; nothing has been released."""
    lock = threading.Lock()
    conds = [pyfastlock.Condition(lock)]
    for _ in range(150):
        conds.append(pyfastlock.Condition(conds[-1]))
    with conds[0]:
        with pytest.raises(RuntimeError, match="has no lock with"):
            conds[-1].wait(0.01)
        assert lock.locked()


class RaisesInC(Minimal):
    """While its wait lets go of it, `acquire` becomes a function in C, which needs an argument."""

    def __init__(self, acquire):
        super().__init__()
        self.acquire_in_c = acquire

    def _is_owned(self):
        self.acquire = self.acquire_in_c
        return True


def test_a_function_in_c_that_raises_and_takes_the_lock_at_once():
    """acquire() raises whenever it may wait; acquire(False) takes the lock."""
    lock = RaisesInC(operator.not_)
    cond = pyfastlock.Condition(lock)
    cond.acquire()
    with pytest.raises(TypeError, match="exactly one argument"):
        cond.wait(0.01)
    assert not lock.real.locked()  # the function has only said that it took the lock


def test_a_function_in_c_that_raises_while_the_lock_is_held():
    """acquire(False) says that another thread holds it: there is hope as long as it does so."""
    says = {False: False}
    lock = RaisesInC(says.get)
    cond = pyfastlock.Condition(lock)
    cond.acquire()
    asked = threading.Event()

    def release_late():
        assert asked.wait(DEADLINE)
        time.sleep(0.3)  # for more attempts than the wait makes without a pause
        says[False] = True

    other = start(release_late)
    lock.release = lambda: (asked.set(), Minimal.release(lock))
    with pytest.raises(TypeError, match="at least 1 argument"):
        cond.wait(0.01)
    other.join()


class RaisesAtFirst(dict):
    """Its `__getitem__` is a function in C, which needs an argument and then raises 20 times."""

    asked = 0

    def __missing__(self, key):
        self.asked += 1
        if self.asked <= 20:
            raise OSError
        return True


def test_a_function_in_c_that_raises_often_before_it_takes_the_lock():
    """The attempts are so near to each other that there are many before the lock is given up."""
    says = RaisesAtFirst()
    cond = pyfastlock.Condition(RaisesInC(says.__getitem__))
    cond.acquire()
    with pytest.raises(TypeError, match="exactly one argument"):
        cond.wait(0.01)
    assert says.asked == 21


class Result:
    """What a method of a lock may return; it is true."""


def test_what_the_methods_of_the_lock_return_is_not_kept(impl):
    kept = []

    class Lock(foreign_class(("locked",))):
        def _release_save(self):
            return self.release()

        def _acquire_restore(self, saved):
            return self.acquire()

        def _is_owned(self):
            return self.result()

        def acquire(self, *args):
            super().acquire(*args)
            return self.result()

        def release(self):
            super().release()
            return self.result()

        def result(self):
            result = Result()
            kept.append(weakref.ref(result))
            return result

    lock = Lock()
    cond = impl.Condition(lock)
    cond.acquire()
    cond.wait(0)
    cond.notify()
    cond._acquire_restore(cond._release_save())
    cond.release()
    gc.collect()
    assert len(kept) >= 6
    assert [ref() for ref in kept] == [None] * len(kept)


def test_a_wait_leaves_no_memory_behind():
    cond = pyfastlock.Condition(Minimal())

    def wait_often():
        for _ in range(100):
            with cond:
                assert cond.wait(0) is False

    tracemalloc.start()
    try:
        wait_often()
        before, _ = tracemalloc.get_traced_memory()
        wait_often()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100 * 64, "the structure of a wait is larger than that"


@pytest.mark.parametrize("timeout", [0, 5])
def test_the_lock_is_released_while_the_timeout_is_read(timeout):
    """By whatever the timeout calls; the lock stays as that has left it."""

    class Seconds:
        def __gt__(self, other):
            cond.release()
            return timeout > other

        def __index__(self):
            return timeout

    cond = pyfastlock.Condition(pyfastlock.Lock())
    cond.acquire()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        cond.wait(Seconds())
    assert cond.acquire(False)


@fails_on_stdlib("Condition.locked() is new in 3.14", raises=AttributeError, when=not NEEDS_LOCKED)
def test_locked_asks_the_foreign_lock(impl):
    cond = impl.Condition(threading.Lock())
    assert cond.locked() is False
    with cond:
        assert cond.locked() is True
    assert cond.locked() is False
