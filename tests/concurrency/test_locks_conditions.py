"""Lock, RLock and Condition in many threads: releases that race, fairness, looks from outside."""

from __future__ import annotations

import gc
import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest
from concurrency import make_lock, queued
from support import (
    DEADLINE,
    fails_on_stdlib,
    held_elsewhere,
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
        with held_elsewhere(lock) as holder:
            waiters = [start(lambda: lock.acquire(timeout=0.001) and lock.release())]
            if n % 2:
                waiters += [start(lambda: lock.acquire(timeout=DEADLINE) and lock.release())]
                holder.let_go()
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
