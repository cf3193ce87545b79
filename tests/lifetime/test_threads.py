"""Threads that die while they hold a lock, and threads that Python did not create."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from concurrency import check_script, queued, run_script
from support import (
    DEADLINE,
    held_elsewhere,
    is_ours,
    parked,
    run_in_thread,
    start,
)

# T19: owners that died.


def test_t19_rlock_of_a_dead_thread_stays_held(impl: ModuleType) -> None:
    lock = impl.RLock()
    run_in_thread(lambda: lock.acquire() and lock.acquire())
    assert not lock.acquire(False)
    assert not lock.acquire(timeout=0.01)
    assert not lock._is_owned()
    assert repr(lock).startswith("<locked ")
    assert "count=2" in repr(lock)
    with pytest.raises(RuntimeError):
        lock.release()
    lock._at_fork_reinit()
    assert lock.acquire(False)
    lock.release()


def test_t19_lock_of_a_dead_thread_is_released_by_another(impl: ModuleType) -> None:
    lock = impl.Lock()
    run_in_thread(lock.acquire)
    waiter = start(lambda: lock.acquire(timeout=DEADLINE))
    parked(lock)
    lock.release()
    assert waiter.join() is True
    lock.release()


def test_t19_threads_that_die_after_they_waited(impl: ModuleType) -> None:
    """The sleeping place of a thread is used again after it has ended; nothing stays in it."""
    lock = impl.Lock()
    cond = impl.Condition(impl.RLock())
    for _ in range(30):
        with held_elsewhere(lock):
            assert not run_in_thread(lambda: lock.acquire(timeout=0.001))
            waiter = start(lambda: lock.acquire(timeout=DEADLINE) and lock.release())
            parked(lock) if is_ours(lock) else None
        waiter.join()

        def wait() -> bool:
            with cond:
                return cond.wait(0.001)

        assert run_in_thread(wait) is False
    assert queued(lock) == queued(cond) == 0


# T20: threads that Python did not create.


PTHREAD = """
import ctypes
libc = ctypes.CDLL(None)
Entry = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def spawn(entry, arg=None):
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, entry, arg) == 0
    return thread
def join(thread):
    assert libc.pthread_join(thread, None) == 0
errors = []
"""


def test_t20_thread_from_c_uses_every_type(impl: ModuleType) -> None:
    check_script(
        PTHREAD
        + """
lock, cond = impl.Lock(), impl.Condition()
rlock = impl.RLock()
woken = []

@Entry
def entry(_):
    try:
        with lock, rlock, rlock:
            assert rlock._is_owned() and lock.locked()
        assert not rlock._is_owned()
        with cond:
            woken.append(cond.wait(DEADLINE))
            assert cond._is_owned()
        # Blocks: the main thread has it.
        with rlock:
            woken.append(rlock._is_owned())
        rlock.acquire()
        # It ends as the owner.
    except BaseException as error:
        errors.append(repr(error))

for _ in range(3):
    rlock = impl.RLock()
    thread = spawn(entry)
    wait_until(lambda: errors or queued(cond))
    rlock.acquire()
    with cond:
        cond.notify()
    parked(rlock)
    rlock.release()
    join(thread)
    assert not rlock.acquire(False), "the dead thread owns it"
    assert not rlock._is_owned()
assert not errors, errors
assert woken == [True] * 6, woken
print("ok")
""",
        impl,
        output="ok",
    )


def test_t20_owner_is_the_same_in_each_call_from_one_c_thread(impl: ModuleType) -> None:
    """Each call from C gets a new thread state; the thread stays the owner of its locks."""
    if not sys.platform.startswith("linux"):
        pytest.skip(
            "needs dl_iterate_phdr: a function that a thread can begin with, and that "
            "calls back several times"
        )
    check_script(
        PTHREAD
        + """
rlock = impl.RLock()
calls = []

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
def called_several_times(*_):
    try:
        assert rlock._is_owned() == bool(calls), calls
        assert rlock.acquire(False)
        calls.append(threading.get_ident())
        if len(calls) == 3:
            for _ in calls:
                rlock.release()
            assert not rlock._is_owned()
    except BaseException as error:
        errors.append(repr(error))
    return bool(errors) or len(calls) == 3

join(spawn(libc.dl_iterate_phdr, called_several_times))
assert not errors, errors
assert len(calls) == 3 and len(set(calls)) == 1
assert rlock.acquire(False)
print("ok")
""",
        impl,
        output="ok",
    )


# T44: little stack.

SMALL = """
lock, rlock, cond, event = impl.Lock(), impl.RLock(), impl.Condition(), impl.Event()
semaphore, barrier = impl.Semaphore(0), impl.Barrier(2)
steps = []

def waits():
    lock.acquire()
    steps.append(1)
    rlock.acquire(True, 100)
    rlock.release()
    with cond:
        steps.append(2)
        cond.wait(100)
    event.wait(100)
    semaphore.acquire(True, 100)
    barrier.wait(100)
    steps.append(3)

lock.acquire()
rlock.acquire()
threading.stack_size({size})
thread = threading.Thread(target=waits)
thread.start()
threading.stack_size(0)
lock.release()
rlock.release()
wait_until(lambda: 2 in steps)
with cond:
    cond.notify()
event.set()
semaphore.release()
barrier.wait(100)
thread.join()
assert steps == [1, 2, 3]
"""


def test_t44_threads_with_the_smallest_stack_that_the_stdlib_can_do_with() -> None:
    """A waiter lives on the stack of its thread, and must not need much of it."""
    for kib in (32, 64, 128, 256, 512, 1024):
        source = SMALL.format(size=kib * 1024)
        if run_script(source, "threading").returncode == 0:
            # What is just enough there may be a frame too little here.
            check_script(SMALL.format(size=kib * 1024 + 16 * 1024))
            return
    raise AssertionError("threading needs more")
