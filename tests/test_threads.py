"""Threads that race, die, come from elsewhere, or are still blocked when the interpreter ends."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from types import ModuleType
from typing import Any

import pytest
from concurrency import CHILD_LIMIT, LOCK_KINDS, check_script, held_elsewhere, make_lock, queued
from support import (
    DEADLINE,
    fails_on_stdlib,
    is_ours,
    parked,
    run_in_thread,
    start,
    try_in_thread,
    wait_until,
)


@pytest.fixture
def often() -> Any:
    """Threads are switched far more often than by default."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(old)


# T18: releases that race.


def test_t18_only_one_of_two_releases_succeeds(impl: ModuleType, often: None) -> None:
    lock = impl.Lock()
    rounds = 300
    gate = threading.Barrier(3, timeout=DEADLINE)

    def release() -> list[bool]:
        released = []
        for _ in range(rounds):
            gate.wait()
            try:
                lock.release()
                released.append(True)
            except RuntimeError:
                released.append(False)
            gate.wait()
        return released

    racers = [start(release) for _ in range(2)]
    for _ in range(rounds):
        assert lock.acquire(False)
        gate.wait()
        gate.wait()
        assert not lock.locked()
    first, second = (racer.join() for racer in racers)
    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * rounds


def test_t18_release_by_strangers_while_the_owner_uses_it(impl: ModuleType, often: None) -> None:
    lock = impl.RLock()
    stop = threading.Event()
    errors = [0, 0]

    def stranger(number: int) -> None:
        while not stop.is_set():
            with pytest.raises(RuntimeError):
                lock.release()
            errors[number] += 1

    strangers = [start(stranger, number) for number in range(2)]
    deadline = time.monotonic() + DEADLINE
    while min(errors) < 100 and time.monotonic() < deadline:
        with lock, lock:
            assert lock._is_owned()
    stop.set()
    for thread in strangers:
        thread.join()
    assert min(errors) >= 100
    assert not lock._is_owned()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t18_release_while_a_waiter_times_out(impl: ModuleType, kind: str) -> None:
    """Whoever wins, the lock is then free or the waiter's, and nobody is queued."""
    lock = make_lock(impl, kind)

    def wait(timeout: float) -> bool:
        got = lock.acquire(timeout=timeout)
        if got:
            lock.release()
        return got

    results = []
    for n in range(60):
        lock.acquire()
        waiter = start(wait, 0.001 + 0.00001 * n)
        time.sleep(0.001 + 0.00001 * (n * 7 % 60))
        lock.release()
        results.append(waiter.join())
        assert queued(lock) == 0
        assert lock.acquire(False)
        lock.release()
    print(f"{results.count(True)} of {len(results)} got it")


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


# T22: looking at a lock while others use it.


def test_t22_looking_races_with_using(impl: ModuleType, often: None) -> None:
    lock, rlock = impl.Lock(), impl.RLock()
    cond = impl.Condition(rlock)
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            with lock, cond, rlock:
                assert rlock._is_owned()
                cond.notify()
            lock.acquire(timeout=0.0001) and lock.release()

    def look(number: int) -> None:
        while not stop.is_set():
            for thing in (lock, rlock, cond):
                assert "ocked" in repr(thing)
            assert lock.locked() in (True, False)
            if hasattr(rlock, "locked"):
                assert rlock.locked() in (True, False)
            assert not rlock._is_owned()
            assert not cond._is_owned()
            if hasattr(rlock, "_recursion_count"):
                assert rlock._recursion_count() == 0
            looks[number] += 1

    looks = [0, 0]
    threads = [start(use) for _ in range(2)] + [start(look, number) for number in range(2)]
    wait_until(lambda: min(looks) >= 300 or any(thread.done for thread in threads))
    stop.set()
    for thread in threads:
        thread.join()
    assert "unlocked" in repr(lock)
    assert "unlocked" in repr(rlock)


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


def test_t24_collector_and_contention(impl: ModuleType, often: None) -> None:
    """Stopping all threads, again and again, while they block on one another."""
    lock, cond = impl.Lock(), impl.Condition()
    stop = threading.Event()
    counts = [0] * 4

    def contend(number: int) -> None:
        while not stop.is_set():
            with lock:
                counts[number] += 1
            with cond:
                cond.notify()
                cond.wait(0.0002)

    threads = [start(contend, number) for number in range(4)]
    deadline = time.monotonic() + DEADLINE
    while min(counts) < 10 and time.monotonic() < deadline:
        gc.collect()
        sys._current_frames()
        time.sleep(0.001)  # without a pause the interpreter hardly lets anybody come back
    stop.set()
    for thread in threads:
        thread.join()
    assert min(counts) >= 10


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


# T28: fairness.


@fails_on_stdlib("nothing keeps a thread that loops from starving the others", strict=False)
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t28_one_that_loops_does_not_starve_another(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    stop = threading.Event()

    def hog() -> None:
        while not stop.is_set():
            with lock:
                # Holds it nearly all the time, and takes it again at once.
                time.sleep(0.0002)

    hogs = [start(hog) for _ in range(2)]
    try:
        for _ in range(20):
            assert lock.acquire(timeout=5), "starved for 5 seconds"
            lock.release()
    finally:
        stop.set()
        for thread in hogs:
            thread.join()


@fails_on_stdlib("nothing keeps a thread that loops from starving the others", strict=False)
def test_t28_condition_waiters_get_the_lock_back(impl: ModuleType) -> None:
    cond = impl.Condition()
    stop = threading.Event()

    def hog() -> None:
        while not stop.is_set():
            with cond:
                cond.notify_all()
                time.sleep(0.0002)

    thread = start(hog)
    try:
        with cond:
            for _ in range(10):
                began = time.monotonic()
                assert cond.wait(DEADLINE)
                assert time.monotonic() - began < 5
    finally:
        stop.set()
        thread.join()


# T29: no failure without a reason.


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t29_free_lock_is_always_got(impl: ModuleType, kind: str) -> None:
    """acquire(False) and acquire(timeout=...) of a free lock succeed, whatever happened before."""
    lock = make_lock(impl, kind)
    for n in range(40):
        with held_elsewhere(lock) as let_go:
            waiters = [start(lambda: lock.acquire(timeout=0.001) and lock.release())]
            if n % 2:
                waiters += [start(lambda: lock.acquire(timeout=DEADLINE) and lock.release())]
                let_go.set()
            for waiter in waiters:
                waiter.join()
        assert lock.acquire(False)
        lock.release()
        assert lock.acquire(timeout=0.00001)
        lock.release()
        assert lock.acquire(True, 0)
        lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t29_timed_acquire_does_not_fail_early(impl: ModuleType, kind: str, often: None) -> None:
    """Under contention a timed acquire fails only after its time."""
    lock = make_lock(impl, kind)
    stop = threading.Event()

    def contend() -> list[float]:
        early = []
        while not stop.is_set():
            began = time.monotonic()
            if lock.acquire(timeout=0.01):
                lock.release()
            elif time.monotonic() - began < 0.0095:
                early.append(time.monotonic() - began)
        return early

    threads = [start(contend) for _ in range(4)]
    time.sleep(0.2)
    stop.set()
    assert [thread.join() for thread in threads] == [[]] * 4


def test_t29_recursive_acquire_never_fails(impl: ModuleType, often: None) -> None:
    lock = impl.RLock()
    stop = threading.Event()

    def contend() -> None:
        while not stop.is_set():
            lock.acquire(timeout=0.0005) and lock.release()

    threads = [start(contend) for _ in range(3)]
    for _ in range(500):
        with lock:
            assert lock.acquire(False)
            assert lock.acquire(timeout=0)
            assert lock.acquire(timeout=0.00001)
            lock.release()
            lock.release()
            lock.release()
    stop.set()
    for thread in threads:
        thread.join()
    assert try_in_thread(lock)
