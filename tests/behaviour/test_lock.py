"""Lock: what it does, over `threading.Lock` and over ours."""

from __future__ import annotations

import time
import weakref

import pytest
from support import held_elsewhere, parked, run_in_thread, start, try_in_thread


@pytest.fixture
def lock(impl):
    return impl.Lock()


def test_is_free_at_first(lock):
    assert lock.locked() is False
    assert try_in_thread(lock)


def test_acquire_and_release(lock):
    assert lock.acquire() is True
    assert lock.locked() is True
    assert not try_in_thread(lock)
    assert lock.release() is None
    assert lock.locked() is False
    assert try_in_thread(lock)


@pytest.mark.parametrize(
    ("acquire", "release", "locked"),
    [("acquire", "release", "locked"), ("acquire_lock", "release_lock", "locked_lock")],
)
def test_aliases_do_the_same(lock, acquire, release, locked):
    assert getattr(lock, locked)() is False
    assert getattr(lock, acquire)(True, 5) is True
    assert getattr(lock, locked)() is True
    assert getattr(lock, acquire)(blocking=False) is False
    assert getattr(lock, acquire)(timeout=0.001) is False
    assert getattr(lock, release)() is None
    assert getattr(lock, locked)() is False
    assert getattr(lock, acquire)(False) is True
    assert getattr(lock, release)() is None
    assert getattr(lock, acquire)() is True


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_blocking_may_be_any_number(impl, kind):
    lock = getattr(impl, kind)()
    assert run_in_thread(lambda: lock.acquire(blocking=2) and lock.release()) is None
    with lock:
        assert run_in_thread(lambda: lock.acquire(blocking=0)) is False


def test_context_manager_yields_true(lock):
    with lock as value:
        assert value is True
        assert lock.locked()
    assert not lock.locked()


def test_context_manager_releases_on_exception_and_passes_it_on(lock):
    with pytest.raises(LookupError):
        with lock:
            raise LookupError
    assert not lock.locked()


def test_exit_returns_none(lock):
    assert lock.__enter__() is True
    assert lock.__exit__(None, None, None) is None
    assert not lock.locked()


def test_leaving_a_with_block_that_was_released_inside_raises(lock):
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        with lock:
            lock.release()
    assert not lock.locked()
    assert lock.acquire(False)


def test_release_inside_and_retake(lock):
    with lock:
        lock.release()
        assert try_in_thread(lock)
        lock.acquire()
    assert not lock.locked()


def test_not_recursive(lock):
    with lock:
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0) is False
        assert lock.acquire(timeout=0.01) is False
        assert lock.locked()
    assert not lock.locked()


def test_release_of_a_free_lock_raises_each_time(lock):
    for _ in range(3):
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            lock.release()
    assert lock.acquire(False)
    assert not lock.acquire(False)


def test_any_thread_releases(lock):
    lock.acquire()
    assert run_in_thread(lock.release) is None
    assert not lock.locked()
    run_in_thread(lock.acquire)
    lock.release()
    assert not lock.locked()


def test_a_thread_that_blocks_gets_it(lock):
    lock.acquire()
    waiter = start(lock.acquire)
    parked(lock)
    assert not waiter.done
    lock.release()
    assert waiter.join() is True
    assert lock.locked()
    lock.release()


def test_the_waiter_gives_the_lock_to_itself_through_another_thread(lock):
    """A thread that holds it blocks on it; another thread's release lets it through."""

    def twice():
        lock.acquire()
        return lock.acquire(timeout=30)

    waiter = start(twice)
    parked(lock)
    lock.release()
    assert waiter.join() is True
    lock.release()


@pytest.mark.parametrize("waiters", [1, 5, 50])
def test_every_waiter_gets_it_once(lock, waiters):
    inside = []

    def take():
        with lock:
            inside.append(1)
            assert len(inside) == 1
            inside.pop()
            return True

    lock.acquire()
    threads = [start(take) for _ in range(waiters)]
    parked(lock, waiters)
    lock.release()
    assert [thread.join() for thread in threads] == [True] * waiters
    assert not lock.locked()


@pytest.mark.parametrize("timeout", [0.01, 0.05])
def test_timeout_passes(lock, timeout):
    with held_elsewhere(lock):
        before = time.monotonic()
        assert lock.acquire(timeout=timeout) is False
        assert time.monotonic() - before >= timeout
        assert lock.locked()
    assert lock.acquire(False)


def test_timeout_that_is_not_needed(lock):
    with held_elsewhere(lock):
        waiter = start(lock.acquire, True, 30)
        parked(lock)
    assert waiter.join() is True
    assert lock.locked()


@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, 1e-10, 5e-324, False])
def test_a_timeout_of_nearly_nothing_does_not_block(lock, timeout):
    assert lock.acquire(timeout=timeout) is True
    assert lock.acquire(timeout=timeout) is False
    lock.release()
    assert lock.acquire(timeout=timeout) is True


@pytest.mark.parametrize("timeout", [-1, -1.0, None])
def test_minus_one_waits_for_as_long_as_it_takes(lock, timeout):
    lock.acquire()
    waiter = start(lock.acquire, *([True, timeout] if timeout is not None else [True]))
    parked(lock)
    lock.release()
    assert waiter.join() is True


def test_timeout_max(impl, lock):
    lock.acquire()
    waiter = start(lock.acquire, True, impl.TIMEOUT_MAX)
    parked(lock)
    lock.release()
    assert waiter.join() is True


def test_a_timed_out_waiter_leaves_nothing_behind(lock):
    lock.acquire()
    for _ in range(50):
        assert lock.acquire(timeout=0.0005) is False
    parked(lock, 0)
    lock.release()
    assert not lock.locked()
    assert lock.acquire(False)


@pytest.mark.parametrize("taken", [False, True])
def test_at_fork_reinit_frees(lock, taken):
    if taken:
        lock.acquire()
    assert lock._at_fork_reinit() is None
    assert not lock.locked()
    with lock:
        assert not try_in_thread(lock)
    assert try_in_thread(lock)


def test_weak_references(lock):
    dead = []
    reference = weakref.ref(lock, dead.append)
    assert reference() is lock
    assert weakref.getweakrefcount(lock) == 1
    assert weakref.WeakSet([lock]).pop() is lock
    assert list(weakref.WeakValueDictionary(lock=lock)) == ["lock"]


def test_weak_reference_dies_with_the_lock(impl):
    lock = impl.Lock()
    dead = []
    reference = weakref.ref(lock, dead.append)
    lock.acquire()
    del lock
    assert reference() is None
    assert dead == [reference]


def test_cannot_be_subclassed(lock):
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Child", (type(lock),), {})


def test_class(impl, lock):
    assert lock.__class__ is type(lock)
    assert type(impl.Lock()) is type(lock)
    assert isinstance(lock, type(impl.Lock()))
    assert not isinstance(impl.RLock(), type(lock))


def test_always_true(lock):
    assert lock
    with lock:
        assert lock


def test_two_locks_are_independent(impl):
    first, second = impl.Lock(), impl.Lock()
    with first:
        assert not second.locked()
        with second:
            assert first.locked()
        assert not second.locked()
        assert first.locked()


def test_destroyed_while_held(impl):
    """It goes at once, and leaves nothing to the next one, which gets its memory."""
    for _ in range(100):
        lock = impl.Lock()
        assert lock.acquire(False)
        reference = weakref.ref(lock)
        del lock
        assert reference() is None


def test_many_locks(impl):
    """Each of many locks keeps its own state."""
    locks = [impl.Lock() for _ in range(2000)]
    for lock in locks[::3]:
        lock.acquire()
    assert [lock.locked() for lock in locks] == [i % 3 == 0 for i in range(2000)]
    for lock in locks[::3]:
        lock.release()
    assert not any(lock.locked() for lock in locks)


def test_nested_blocks_leave_in_reverse_order(impl):
    """Each block releases its own lock."""
    first, second, third = impl.Lock(), impl.Lock(), impl.Lock()
    with first, second, third:
        assert [x.locked() for x in (first, second, third)] == [True] * 3
    assert [x.locked() for x in (first, second, third)] == [False] * 3
