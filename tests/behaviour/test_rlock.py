"""RLock: what it does, over `threading.RLock` and over ours."""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
import weakref

import pytest
from support import (
    fails_on_stdlib,
    held_elsewhere,
    parked,
    run_in_thread,
    start,
    try_in_thread,
)

import pyfastlock

STDLIB_COUNTS = hasattr(threading.RLock(), "_recursion_count")
"""Whether the stdlib's RLock has that method: the first releases of 3.11 do not."""

DEEPEST = 2**64 - 1
DEEPEST_ON_STDLIB = 2 * sys.maxsize + 1 if sys.version_info < (3, 14) else sys.maxsize

no_locked = fails_on_stdlib(
    "RLock.locked() is new in 3.14", raises=AttributeError, when=sys.version_info < (3, 14)
)


@pytest.fixture
def lock(impl):
    return impl.RLock()


def recursion_count(lock):
    """How often the calling thread holds `lock`."""
    if STDLIB_COUNTS or isinstance(lock, pyfastlock.RLock):
        return lock._recursion_count()
    (count,) = re.findall(r" count=(\d+) ", repr(lock))
    return int(count) if lock._is_owned() else 0


def depth(lock):
    """How often the calling thread holds `lock`, checked against what it says otherwise."""
    count = recursion_count(lock)
    assert lock._is_owned() is (count > 0)
    return count


def test_is_free_at_first(lock):
    assert depth(lock) == 0
    assert try_in_thread(lock)


@pytest.mark.parametrize("times", [1, 2, 3, 5, 1000, 100_000])
def test_recursion(lock, times):
    for count in range(times):
        assert lock.acquire() is True
        assert recursion_count(lock) == count + 1
    for count in range(times, 0, -1):
        assert depth(lock) == count
        if count in (1, times):
            assert not try_in_thread(lock)
        assert lock.release() is None
    assert depth(lock) == 0
    assert try_in_thread(lock)


@pytest.mark.parametrize(
    "arguments", [(), (True,), (False,), (True, -1), (True, 0), (True, 5), (False, -1)]
)
def test_every_way_to_take_it_again(lock, arguments):
    for count in (1, 2, 3):
        assert lock.acquire(*arguments) is True
        assert depth(lock) == count
    for _ in range(3):
        lock.release()
    assert try_in_thread(lock)


@no_locked
def test_locked(lock):
    assert lock.locked() is False
    with lock:
        assert lock.locked() is True
        assert run_in_thread(lock.locked) is True
        with lock:
            assert lock.locked() is True
        assert lock.locked() is True
    assert lock.locked() is False
    assert run_in_thread(lock.locked) is False


@no_locked
def test_locked_by_another_thread(lock):
    with held_elsewhere(lock, 2):
        assert lock.locked() is True
        assert depth(lock) == 0
    assert lock.locked() is False


def test_context_manager_yields_true_each_time(lock):
    with lock as first, lock as second:
        assert first is True
        assert second is True
        assert depth(lock) == 2
    assert depth(lock) == 0


def test_context_manager_releases_on_exception_and_passes_it_on(lock):
    with lock:
        with pytest.raises(LookupError):
            with lock:
                raise LookupError
        assert depth(lock) == 1
    assert depth(lock) == 0


def test_exit_returns_none(lock):
    assert lock.__enter__() is True
    assert lock.__exit__(None, None, None) is None
    assert depth(lock) == 0


def test_leaving_a_with_block_that_was_released_inside_raises(lock):
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        with lock:
            lock.release()
    assert depth(lock) == 0
    assert try_in_thread(lock)


def test_release_of_a_free_lock_raises_each_time(lock):
    for _ in range(3):
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.release()
    assert lock.acquire(False)
    assert depth(lock) == 1


def test_only_the_owner_releases(lock):
    lock.acquire()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            run_in_thread(lock.release)
        assert depth(lock) == 1
    assert not try_in_thread(lock)
    lock.release()
    assert try_in_thread(lock)


def test_release_while_another_thread_holds_it(lock):
    with held_elsewhere(lock):
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.release()
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.__exit__(None, None, None)
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.01) is False
        assert depth(lock) == 0
    assert lock.acquire(False)


def test_a_thread_that_blocks_gets_it_after_the_last_release(lock):
    lock.acquire()
    lock.acquire()

    def take():
        assert lock.acquire()
        assert depth(lock) == 1
        lock.release()
        return True

    waiter = start(take)
    parked(lock)
    lock.release()
    parked(lock)
    assert not waiter.done
    lock.release()
    assert waiter.join() is True
    assert try_in_thread(lock)


def test_recursion_while_others_wait(lock):
    """Taking it again is not disturbed by threads that wait, and lets none of them in."""
    lock.acquire()
    inside = []

    def take():
        with lock, lock:
            inside.append(depth(lock))

    waiters = [start(take) for _ in range(5)]
    parked(lock, 5)
    for _ in range(100):
        with lock, lock:
            assert depth(lock) == 3
    assert inside == []
    lock.release()
    for waiter in waiters:
        waiter.join()
    assert inside == [2] * 5
    assert try_in_thread(lock)


@pytest.mark.parametrize("timeout", [0.01, 0.05])
def test_timeout_passes(lock, timeout):
    with held_elsewhere(lock):
        before = time.monotonic()
        assert lock.acquire(timeout=timeout) is False
        assert time.monotonic() - before >= timeout
        assert depth(lock) == 0
    assert lock.acquire(False)


@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, 1e-10, False])
def test_a_timeout_of_nearly_nothing_does_not_block(lock, timeout):
    with held_elsewhere(lock):
        assert lock.acquire(timeout=timeout) is False
    assert lock.acquire(timeout=timeout) is True
    assert lock.acquire(timeout=timeout) is True
    assert depth(lock) == 2


def test_timeout_max(impl, lock):
    with held_elsewhere(lock):
        waiter = start(lambda: lock.acquire(timeout=impl.TIMEOUT_MAX) and depth(lock))
        parked(lock)
    assert waiter.join() == 1


# _release_save and _acquire_restore, for Condition


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_release_save_and_acquire_restore(lock, times):
    for _ in range(times):
        lock.acquire()
    state = lock._release_save()
    assert state == (times, threading.get_ident())
    assert depth(lock) == 0
    assert try_in_thread(lock)
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()
    assert lock._acquire_restore(state) is None
    assert depth(lock) == times
    assert not try_in_thread(lock)
    for _ in range(times):
        lock.release()
    assert depth(lock) == 0
    assert try_in_thread(lock)


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_acquire_restore_waits_for_the_lock(lock, times):
    for _ in range(times):
        lock.acquire()
    state = lock._release_save()
    taken, give_back = threading.Event(), threading.Event()

    def other():
        with lock:
            taken.set()
            assert give_back.wait(30)

    holder = start(other)
    assert taken.wait(30)
    timer = start(lambda: (parked(lock), give_back.set()))
    lock._acquire_restore(state)
    assert depth(lock) == times
    timer.join()
    holder.join()
    for _ in range(times):
        lock.release()
    assert try_in_thread(lock)


def test_release_save_of_a_free_lock(lock):
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock._release_save()
    assert lock.acquire(False)


@fails_on_stdlib(
    "_release_save() of another thread's lock succeeds (gh-125144)",
    raises=pytest.fail.Exception,
    when=sys.version_info < (3, 14),
    strict=False,  # fixed in some 3.12 and 3.13 too
)
def test_release_save_by_a_thread_that_does_not_own_it(lock):
    lock.acquire()
    lock.acquire()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        run_in_thread(lock._release_save)
    assert depth(lock) == 2
    lock.release()
    lock.release()
    assert try_in_thread(lock)


def test_the_counter_does_not_wrap_around(impl, lock):
    deepest = DEEPEST_ON_STDLIB if impl is threading else DEEPEST
    if impl is threading and sys.version_info >= (3, 14):
        pytest.skip("the stdlib's counter is unguarded since 3.14, and cannot be set so high")
    lock._acquire_restore((deepest, threading.get_ident()))
    assert depth(lock) == deepest
    for _ in range(2):
        with pytest.raises(OverflowError, match=r"[Ii]nternal lock count overflowed"):
            lock.acquire()
        with pytest.raises(OverflowError):
            lock.acquire(False)
        with pytest.raises(OverflowError):
            lock.__enter__()
        with pytest.raises(OverflowError):
            with lock:
                raise AssertionError("inside a lock that could not be taken")
        assert depth(lock) == deepest
    assert not try_in_thread(lock)
    lock.release()
    assert depth(lock) == deepest - 1
    assert lock.acquire()
    assert depth(lock) == deepest
    assert lock._release_save() == (deepest, threading.get_ident())
    assert depth(lock) == 0
    assert try_in_thread(lock)


# What the stdlib takes without a word and then breaks on: ours only (trap T17).


@pytest.mark.parametrize("owner", [0, 1, 2**64 - 1])
def test_t17_the_restored_lock_belongs_to_the_caller_whatever_the_state_says(owner):
    lock = pyfastlock.RLock()
    lock._acquire_restore((3, owner))
    assert depth(lock) == 3
    assert not try_in_thread(lock)
    for _ in range(3):
        lock.release()
    assert try_in_thread(lock)


def test_t17_restoring_with_the_state_of_another_thread():
    lock = pyfastlock.RLock()
    state = run_in_thread(lambda: (lock.acquire(), lock.acquire(), lock._release_save())[2])
    lock._acquire_restore(state)
    assert depth(lock) == 2
    with pytest.raises(RuntimeError):
        run_in_thread(lock.release)
    lock.release()
    lock.release()
    assert try_in_thread(lock)


def test_t17_a_count_of_zero_is_refused():
    lock = pyfastlock.RLock()
    with pytest.raises(ValueError, match="must be positive"):
        lock._acquire_restore((0, threading.get_ident()))
    assert depth(lock) == 0
    assert try_in_thread(lock)


@pytest.mark.parametrize("count", [-1, -(2**63), 2**64, 2**64 + 1, 2**1000])
def test_t17_a_count_that_does_not_fit_breaks_nothing(count):
    """Refused, or taken modulo the counter's range, as the running version does."""
    lock = pyfastlock.RLock()
    try:
        lock._acquire_restore((count, threading.get_ident()))
    except (OverflowError, ValueError):
        assert depth(lock) == 0
    else:
        assert depth(lock) == count % 2**64
        assert lock._release_save()[0] == count % 2**64
    assert try_in_thread(lock)


@pytest.mark.parametrize("times", [1, 5])
def test_t17_restoring_a_lock_that_is_held_adds_to_it(times):
    """The stdlib's waits for itself for ever, or forgets how often it is held."""
    lock = pyfastlock.RLock()
    for _ in range(times):
        lock.acquire()
    lock._acquire_restore((3, threading.get_ident()))
    assert depth(lock) == times + 3
    assert not try_in_thread(lock)
    for _ in range(times + 3):
        lock.release()
    assert try_in_thread(lock)


@pytest.mark.parametrize("times", [0, 1, 5])
def test_at_fork_reinit_frees(lock, times):
    for _ in range(times):
        lock.acquire()
    assert lock._at_fork_reinit() is None
    assert depth(lock) == 0
    with lock, lock:
        assert depth(lock) == 2
        assert not try_in_thread(lock)
    assert try_in_thread(lock)


# Objects


def test_weak_references(lock):
    reference = weakref.ref(lock)
    assert reference() is lock
    assert weakref.WeakSet([lock]).pop() is lock


def test_weak_reference_dies_with_the_lock(impl):
    lock = impl.RLock()
    dead = []
    reference = weakref.ref(lock, dead.append)
    lock.acquire()
    del lock
    assert reference() is None
    assert dead == [reference]


def test_destroyed_while_held(impl):
    """It goes at once, and leaves nothing to the next one, which gets its memory."""
    for _ in range(100):
        lock = impl.RLock()
        assert not lock._is_owned()
        lock.acquire()
        lock.acquire()
        reference = weakref.ref(lock)
        del lock
        assert reference() is None


def test_class(impl, lock):
    assert lock.__class__ is type(lock)
    assert type(impl.RLock()) is type(lock)


def test_is_a_type_here():
    assert isinstance(pyfastlock.RLock, type)
    assert type(pyfastlock.RLock()) is pyfastlock.RLock
    assert isinstance(pyfastlock.RLock(), pyfastlock.RLock)
    assert pyfastlock.RLock().__class__ is pyfastlock.RLock
    assert not isinstance(threading.RLock(), pyfastlock.RLock)


def test_subclass(impl):
    class Child(type(impl.RLock())):
        def __init__(self):
            self.entered = 0

        def acquire(self, *args, **kwargs):
            self.entered += 1
            return super().acquire(*args, **kwargs)

    lock = Child()
    assert lock.acquire(timeout=1) is True
    assert lock.entered == 1
    with lock:  # not through acquire(), as in the stdlib
        assert depth(lock) == 2
    assert lock.entered == 1
    lock.release()
    lock.anything = 1
    assert lock.__dict__ == {"entered": 1, "anything": 1}
    reference = weakref.ref(lock)
    lock.itself = lock
    del lock
    gc.collect()
    assert reference() is None


def test_subclass_of_a_subclass(impl):
    class Child(type(impl.RLock())):
        __slots__ = ("name",)

    class GrandChild(Child):
        def release(self):
            self.name = "released"
            super().release()

    lock = GrandChild()
    lock.acquire()
    lock.release()
    assert lock.name == "released"
    with lock:
        assert not try_in_thread(lock)
    assert try_in_thread(lock)


def test_subclass_with_another_context_manager(impl):
    class Child(type(impl.RLock())):
        def __enter__(self):
            super().__enter__()
            return self

        def __exit__(self, kind, value, traceback):
            super().__exit__(kind, value, traceback)
            return kind is LookupError

    lock = Child()
    with lock as value:
        assert value is lock
        assert depth(lock) == 1
        raise LookupError
    assert depth(lock) == 0
    with pytest.raises(KeyError):
        with lock:
            raise KeyError
    assert try_in_thread(lock)


def test_always_true(lock):
    assert lock
    with lock:
        assert lock


def test_many_locks(impl):
    """Each of many locks keeps its own state."""
    locks = [impl.RLock() for _ in range(2000)]
    for i, lock in enumerate(locks):
        for _ in range(i % 4):
            lock.acquire()
    assert [recursion_count(lock) for lock in locks] == [i % 4 for i in range(2000)]
    for i, lock in enumerate(locks):
        for _ in range(i % 4):
            lock.release()
    assert not any(lock._is_owned() for lock in locks)
