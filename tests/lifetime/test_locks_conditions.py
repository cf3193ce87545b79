"""Locks and conditions that are freed, used by finalizers, or waited for at the end.

The end is that of the interpreter, while daemon threads are still blocked.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from types import ModuleType
from typing import Any

import pytest
from concurrency import CHILD_LIMIT, LOCK_KINDS, check_script, make_lock
from support import (
    DEADLINE,
    fails_on_stdlib,
    parked,
    start,
    wait_until,
)


@pytest.fixture
def often() -> Any:
    """Threads are switched far more often than by default."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(old)


# T21: locks that go away.


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t21_locked_locks_are_freed(impl: ModuleType, kind: str) -> None:
    refs = []
    for _ in range(1000):
        lock = make_lock(impl, kind)
        lock.acquire()
        refs.append(weakref.ref(lock))
        del lock
        # Perhaps where the last one was.
        fresh = make_lock(impl, kind)
        assert fresh.acquire(False)
        fresh.release()
    gc.collect()
    assert not any(ref() for ref in refs)


def test_t21_condition_over_a_locked_lock_is_freed(impl: ModuleType) -> None:
    for kind in LOCK_KINDS:
        cond = impl.Condition(make_lock(impl, kind))
        cond.acquire()
        ref = weakref.ref(cond)
        del cond
        gc.collect()
        assert ref() is None


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t21_a_waiter_keeps_its_lock_alive(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    ref = weakref.ref(lock)
    # Two names for one lock, of which only a list and a waiter know one each.
    held = [lock]
    lock.acquire()
    waiter = start(lambda: held[0].acquire(timeout=DEADLINE))
    parked(lock)
    held.clear()
    del lock
    gc.collect()
    ref().release()
    assert waiter.join() is True
    del waiter
    gc.collect()
    wait_until(lambda: ref() is None)


def test_t21_waiters_keep_their_condition_alive(impl: ModuleType) -> None:
    for kind in LOCK_KINDS:
        cond = impl.Condition(make_lock(impl, kind))
        ref = weakref.ref(cond)
        held = [cond]

        def wait(held: list[Any] = held) -> bool:
            held[0].acquire()
            return held[0].wait(DEADLINE)

        waiter = start(wait)
        parked(cond)
        held.clear()
        del cond
        gc.collect()
        ref().acquire()
        ref().notify()
        ref().release()
        assert waiter.join() is True


def test_t21_freed_right_after_the_hand_over(impl: ModuleType, often: None) -> None:
    """The waiter frees the lock while its last holder is still inside release()."""
    boxes: list[list[Any]] = []
    done = threading.Event()

    def take_and_drop() -> int:
        count = 0
        while not done.is_set() or boxes:
            if not boxes:
                time.sleep(0)
                continue
            box = boxes.pop()
            box[0].acquire()
            box.clear()
            count += 1
        return count

    taker = start(take_and_drop)
    for n in range(500):
        lock = make_lock(impl, "RLock" if n % 2 else "Lock")
        lock.acquire()
        boxes.append([lock])
        wait_until(lambda: not boxes)
        lock.release()
        del lock
    done.set()
    assert taker.join() == 500


# T23, T24: Python code, the collector and the GIL come in at any point.


def test_t23_finalizers_that_enter_the_same_locks(impl: ModuleType) -> None:
    lock, rlock = impl.Lock(), impl.RLock()
    cond = impl.Condition(rlock)
    ran = 0

    class Enters:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            nonlocal ran
            with rlock:
                cond.notify_all()
            if lock.acquire(False):
                lock.release()
            ran += 1

    def called_back(_: object) -> None:
        nonlocal ran
        with cond:
            cond.notify()
        ran += 1

    class Target:
        pass

    old = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(40):
            Enters()
            target = Target()
            ref = weakref.ref(target, called_back)
            with rlock:
                del target
                # Each of these allocates: an exception, a string, a tuple.
                with pytest.raises(RuntimeError):
                    lock.release()
                repr(rlock)
                state = rlock._release_save()
                rlock._acquire_restore(state)
                cond.wait(0)
                cond.wait_for(lambda: Enters() and True)
            assert ref() is None
    finally:
        gc.set_threshold(*old)
    gc.collect()
    assert ran >= 80
    assert rlock.acquire(False)
    rlock.release()
    assert lock.acquire(False)


def test_t23_weakref_callback_of_a_lock_enters_another(impl: ModuleType) -> None:
    other = impl.RLock()
    ran: list[bool] = []

    def entered(_: object) -> None:
        with other:
            ran.append(other._is_owned())

    for kind in ("Lock", "RLock"):
        lock = make_lock(impl, kind)
        lock.acquire()
        ref = weakref.ref(lock, entered)
        with other:
            del lock
        assert ref() is None
    assert ran == [True, True]


# T25, T26: blocked at the end of the interpreter.


BLOCKED = {
    "Lock.acquire": "lock.acquire()",
    "Lock.acquire timed": "lock.acquire(timeout=1000)",
    "Lock with": "with lock: print('got it')",
    "RLock.acquire": "rlock.acquire()",
    "RLock with": "with rlock: print('got it')",
    "Condition.wait": "with waited: waited.wait()",
    "Condition.wait timed": "with waited: waited.wait(1000)",
    "Condition.wait_for": "with waited: waited.wait_for(bool, 1000)",
    "Condition.wait foreign": "with over_foreign: over_foreign.wait()",
    "Condition re-acquires": "with cond: cond.wait()",
    "timeouts until the end": "while True: lock.acquire(timeout=0.001)",
    "waits until the end": """
        while True:
            with waited: waited.wait(0.001)
    """,
    "uses until the end": """
        while True:
            with waited, free: waited.notify()
    """,
}


@pytest.mark.parametrize("what", BLOCKED)
def test_t25_daemon_thread_blocked_at_exit(impl: ModuleType, what: str) -> None:
    check_script(
        f"""
import textwrap
lock, rlock, free = impl.Lock(), impl.RLock(), impl.RLock()
cond, waited = impl.Condition(), impl.Condition(impl.Lock())
over_foreign = impl.Condition(threading.RLock())
source = textwrap.dedent({BLOCKED[what]!r})
begun = []
def block():
    begun.append(1)
    exec(source)
lock.acquire()
rlock.acquire()
threads = [threading.Thread(target=block, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
wait_until(lambda: len(begun) == 3)
if "end" not in {what!r}:
    target = {{"L": lock, "R": rlock, "C": waited}}[{what[0]!r}]
    if "foreign" in {what!r}:
        target = over_foreign
    elif "re-acquires" in {what!r}:
        parked(cond, 3)
        cond.acquire()
        cond.notify_all()
        target = None
    if target is not None:
        parked(target, 3)
""",
        impl,
    )


@fails_on_stdlib(
    "hangs for ever; some of it was repaired in 3.14 and 3.15",
    when=sys.version_info < (3, 15),
    strict=sys.version_info < (3, 14),
)
def test_t26_acquire_in_a_finalizer_when_a_daemon_thread_has_the_lock(impl: ModuleType) -> None:
    """The owner never runs again: acquire() must raise, or fail, and not hang."""
    check_script(
        """
import os
lock, rlock = impl.Lock(), impl.RLock()
cond = impl.Condition()
held = []
def hold():
    with lock, rlock, cond:
        held.append(1)
        time.sleep(1000)
threading.Thread(target=hold, daemon=True).start()
wait_until(lambda: held)
class AtTheEnd:
    # Arguments, since the globals may be gone.
    def __del__(self, lock=lock, rlock=rlock, cond=cond, write=os.write):
        for thing in (lock, rlock, cond):
            try:
                thing.acquire()
                write(1, b"acquired? ")
            except RuntimeError as error:
                write(1, type(error).__name__.encode() + b" ")
# Only this knows it: the globals are kept alive by the frame of the daemon thread.
sys.modules["at the end"] = AtTheEnd()
""",
        impl,
        output=" ".join(
            ["PythonFinalizationError" if sys.version_info >= (3, 13) else "RuntimeError"] * 3
        ),
        limit=1 if impl is threading and sys.version_info < (3, 15) else CHILD_LIMIT,
    )


def test_t26_timed_acquire_in_a_finalizer(impl: ModuleType) -> None:
    """A timeout ends the wait also then; since 3.15 it is refused like one without."""
    check_script(
        """
import os
lock, rlock = impl.Lock(), impl.RLock()
held = []
def hold():
    with lock, rlock:
        held.append(1)
        time.sleep(1000)
threading.Thread(target=hold, daemon=True).start()
wait_until(lambda: held)
class AtTheEnd:
    def __del__(self, lock=lock, rlock=rlock, write=os.write):
        for thing in (lock, rlock):
            try:
                write(1, b"%d " % thing.acquire(timeout=0.01))
            except RuntimeError as error:
                write(1, type(error).__name__.encode() + b" ")
sys.modules["at the end"] = AtTheEnd()
""",
        impl,
        output=" ".join(["PythonFinalizationError" if sys.version_info >= (3, 15) else "0"] * 2),
    )
