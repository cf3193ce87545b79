"""DeadlockError: waits for RLocks that would never end; and waits(), which shows all waits."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from concurrency import in_child, kick_main, on_signal, queued, run_script
from support import DEADLINE, SETTLE, held_elsewhere, parked, run_in_thread, start, wait_until

import pyfastlock
from pyfastlock import DeadlockError, Wait, deadlocks, waits

MAKERS: dict[str, Callable[[], Any]] = {
    "RLock": pyfastlock.RLock,
    "Condition": pyfastlock.Condition,
    "child of RLock": type("Child", (pyfastlock.RLock,), {}),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return MAKERS[request.param]


def rlock_of(lock: Any) -> Any:
    return lock._lock if isinstance(lock, pyfastlock.Condition) else lock


def ring(locks: list[Any], take: Callable[[Any], object]) -> list[Any]:
    """Each thread holds a lock and takes the next one's; what each `take` returned or raised."""
    all_hold = threading.Barrier(len(locks))

    def body(number: int) -> Any:
        with locks[number]:
            all_hold.wait(DEADLINE)
            try:
                result = take(locks[(number + 1) % len(locks)])
            except DeadlockError as error:
                return error
            if result:
                locks[(number + 1) % len(locks)].release()
            return result

    threads = [start(body, number) for number in range(len(locks))]
    return [thread.join() for thread in threads]


def check_free(*locks: Any) -> None:
    for lock in locks:
        assert queued(rlock_of(lock)) == 0
        assert run_in_thread(lambda lock=lock: lock.acquire(False) and (lock.release() or True))


@pytest.mark.parametrize("size", [2, 3, 10, 100])
def test_one_thread_of_a_cycle_gets_the_error(make: Callable[[], Any], size: int) -> None:
    locks = [make() for _ in range(size)]
    results = ring(locks, lambda lock: lock.acquire())
    errors = [result for result in results if result is not True]
    assert len(errors) == 1
    check_free(*locks)
    cycle = errors[0].cycle
    assert len(cycle) == size
    number = results.index(errors[0])
    for i, wait in enumerate(cycle):
        assert wait.lock is rlock_of(locks[(number + i + 1) % size])
        assert wait.owner == cycle[(i + 1) % size].thread
        assert wait.owner_name == cycle[(i + 1) % size].name
        assert wait.timeout is None
        assert 0 <= wait.seconds < DEADLINE


@pytest.mark.parametrize("how", ["acquire()", "with", "acquire(True)", "acquire(timeout=-1)"])
def test_each_way_to_wait(make: Callable[[], Any], how: str) -> None:
    def take(lock: Any) -> bool:
        if how == "with":
            with lock:
                return False
        return bool(eval(f"lock.{how}", {"lock": lock}))

    locks = [make(), make()]
    results = ring(locks, take)
    assert sum(isinstance(result, DeadlockError) for result in results) == 1
    check_free(*locks)


def test_the_text_names_threads_and_locks() -> None:
    locks = [pyfastlock.RLock(), pyfastlock.RLock()]
    all_hold = threading.Barrier(2)
    errors: list[DeadlockError] = []

    def body(number: int) -> None:
        with locks[number]:
            all_hold.wait(DEADLINE)
            try:
                with locks[1 - number]:
                    pass
            except DeadlockError as error:
                errors.append(error)

    threads = [threading.Thread(target=body, args=(i,), name=f"number {i}") for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    (error,) = errors
    victim = [thread.ident for thread in threads].index(error.cycle[0].thread)
    digits = 16 if sys.maxsize > 1 << 32 else 8
    names = [f"thread 0x{thread.ident:0{digits}x} ({thread.name})" for thread in threads]
    assert str(error).splitlines() == [
        "2 threads wait for each other:",
        *(
            f"  {names[i]} waits for <pyfastlock.RLock at {id(locks[1 - i]):#x}> "
            f"held by {names[1 - i]}"
            for i in (victim, 1 - victim)
        ),
    ]
    assert re.fullmatch(
        r"Wait\(thread=\d+, name='number \d', lock=<.*>, .* timeout=None\)", repr(error.cycle[0])
    )
    assert issubclass(DeadlockError, RuntimeError)


def test_a_recursive_hold_is_a_hold(make: Callable[[], Any]) -> None:
    locks = [make(), make()]
    for lock in locks:
        lock.acquire()
        lock.release()
    results = ring(locks, lambda lock: lock.acquire())
    assert sum(isinstance(result, DeadlockError) for result in results) == 1
    with locks[0], locks[0]:
        assert locks[0].acquire()
        locks[0].release()
    check_free(*locks)


# ---- waits that end by themselves ----


def test_a_wait_with_a_timeout_is_no_deadlock(make: Callable[[], Any]) -> None:
    locks = [make() for _ in range(3)]
    results = ring(locks, lambda lock: lock.acquire(timeout=SETTLE * 5))
    assert False in results
    assert not any(isinstance(result, DeadlockError) for result in results)
    check_free(*locks)


def test_one_timeout_in_a_cycle_is_enough() -> None:
    locks = [pyfastlock.RLock(), pyfastlock.RLock()]
    holds = threading.Event()

    def body() -> bool:
        with locks[1]:
            holds.set()
            return locks[0].acquire() and locks[0].release() is None

    with locks[0]:
        thread = start(body)
        assert holds.wait(DEADLINE)
        parked(locks[0])
        assert not locks[1].acquire(timeout=SETTLE * 5)
    assert thread.join()
    check_free(*locks)


def test_a_wait_for_a_notification_is_no_deadlock() -> None:
    """Two wait inside each other's locks; a third one notifies."""
    outer, inner = pyfastlock.RLock(), pyfastlock.Condition()

    def body() -> bool:
        with outer, inner:
            return inner.wait(DEADLINE)

    def wants_outer() -> bool:
        with outer:
            return True

    waiter = start(body)
    parked(inner)
    second = start(wants_outer)
    parked(outer)
    time.sleep(SETTLE)
    with inner:
        inner.notify()
    assert waiter.join()
    assert second.join()
    check_free(outer, inner)


def check_that_taking_back_never_fails(cond: Any, inner: Any) -> None:
    """Another thread of the cycle gets the error. `inner` is the RLock that the condition needs."""
    outer = pyfastlock.RLock()

    def body() -> bool:
        with outer, cond:
            return cond.wait(DEADLINE)

    waiter = start(body)
    parked(cond)
    with cond:
        cond.notify()
        parked(inner)
        with pytest.raises(DeadlockError) as caught:
            outer.acquire()
        assert [wait.lock for wait in caught.value.cycle] == [outer, inner]
    assert waiter.join() is True
    check_free(outer, inner)


def test_taking_a_lock_back_never_fails() -> None:
    cond = pyfastlock.Condition()
    check_that_taking_back_never_fails(cond, cond._lock)


SHORT = [SETTLE * 4**n for n in range(6)]
"""On a busy machine a short wait may be over before another thread has its lock."""


def test_taking_a_lock_back_after_a_timeout_never_fails() -> None:
    def attempt(timeout: float) -> bool:
        """Whether the main thread got the lock before the wait was over."""
        outer, cond = pyfastlock.RLock(), pyfastlock.Condition()
        is_over = threading.Event()

        def body() -> None:
            with outer:
                with cond:
                    assert not cond.wait(timeout)
                    is_over.set()

        waiter = start(body)
        wait_until(lambda: queued(cond) == 1 or is_over.is_set())
        with cond:
            in_time = not is_over.is_set()
            if in_time:
                with pytest.raises(DeadlockError):
                    outer.acquire()
        waiter.join()
        check_free(outer, cond)
        return in_time

    assert any(attempt(timeout) for timeout in SHORT)


def test_a_plain_lock_has_no_owner() -> None:
    """Any thread may release it, so a wait for it is never called a deadlock."""
    lock, rlock = pyfastlock.Lock(), pyfastlock.RLock()
    lock.acquire()

    def body() -> bool:
        with rlock:
            return lock.acquire()

    thread = start(body)
    parked(lock)
    waiter = start(rlock.acquire, True, DEADLINE)
    parked(rlock)
    time.sleep(SETTLE)
    lock.release()
    assert thread.join() is True
    assert waiter.join() is True


# ---- handlers ----


def test_a_handler_in_the_wait_of_the_main_thread() -> None:
    """The main thread is in the cycle whenever its handlers have run."""
    locks = [pyfastlock.RLock(), pyfastlock.RLock()]
    holds, go_on = threading.Event(), threading.Event()
    handled: list[int] = []

    def body() -> object:
        with locks[1]:
            holds.set()
            assert go_on.wait(DEADLINE)
            try:
                with locks[0]:
                    return None
            except DeadlockError as error:
                return error

    def kick() -> None:
        parked(locks[1])
        for i in range(5):
            kick_main()
            wait_until(lambda i=i: len(handled) > i)
        parked(locks[1])
        go_on.set()

    on_signal(lambda: handled.append(1))
    error: object = None
    with locks[0]:
        thread, kicker = start(body), None
        assert holds.wait(DEADLINE)
        kicker = start(kick)
        try:
            locks[1].acquire()
            locks[1].release()
        except DeadlockError as caught:
            error = caught
    kicker.join()
    assert (error is None) != (thread.join() is None)
    check_free(*locks)


# ---- owners that are gone ----


@pytest.mark.parametrize("before", [True, False], ids=["before the wait", "during the wait"])
def test_the_owner_has_ended(make: Callable[[], Any], before: bool) -> None:
    lock = make()
    holds, go_on = threading.Event(), threading.Event()

    def body() -> None:
        lock.acquire()
        holds.set()
        assert go_on.wait(DEADLINE)

    owner = threading.Thread(target=body, name="the owner")
    owner.start()
    assert holds.wait(DEADLINE)
    if before:
        go_on.set()
        owner.join(DEADLINE)
    takers = [start(lock.acquire) for _ in range(3)]
    if not before:
        parked(rlock_of(lock), 3)
        timed = start(lock.acquire, True, SETTLE * 10)
        go_on.set()
    for taker in takers:
        with pytest.raises(DeadlockError, match="has ended") as caught:
            taker.join()
        (wait,) = caught.value.cycle
        assert wait.lock is rlock_of(lock)
        assert wait.owner == owner.ident
        assert wait.owner_name is None  # the identifier may be another thread's by now
    if not before:
        assert timed.join() is False
    assert not lock.acquire(timeout=0.01)
    assert queued(rlock_of(lock)) == 0


def test_many_owners_end_while_many_wait() -> None:
    """More queues than the end of a thread has places for in its list."""
    locks = [pyfastlock.RLock() for _ in range(40)]
    go_on = threading.Event()

    def body(lock: Any) -> None:
        lock.acquire()
        assert go_on.wait(DEADLINE)

    owners = [threading.Thread(target=body, args=(lock,)) for lock in locks]
    for owner in owners:
        owner.start()
    wait_until(lambda: not any(lock.acquire(False) and (lock.release() or 1) for lock in locks))
    takers = [start(lock.acquire) for lock in locks]
    for lock in locks:
        parked(lock)
    go_on.set()
    for owner, taker in zip(owners, takers, strict=True):
        owner.join(DEADLINE)
        with pytest.raises(DeadlockError, match="has ended"):
            taker.join()


def orphan(cond: Any) -> None:
    """A thread takes the lock, notifies, and ends."""

    def body() -> None:
        cond.acquire()
        cond.notify()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()


@pytest.mark.parametrize("timeout", [None, DEADLINE], ids=["untimed", "timed"])
def test_a_lock_that_is_taken_back_has_no_owner_any_more(timeout: float | None) -> None:
    """Nobody could end that wait, so it fails, and whoever waits for its other locks goes on."""
    outer, cond = pyfastlock.RLock(), pyfastlock.Condition()

    def body() -> object:
        with outer:
            cond.acquire()
            with pytest.raises(DeadlockError, match="has ended"):
                cond.wait(timeout)
            assert not cond._is_owned()
        return True

    waiter = start(body)
    parked(cond)
    orphan(cond)
    assert waiter.join()
    check_free(outer)
    assert queued(cond) == queued(cond._lock) == 0


def test_a_wait_that_has_timed_out_finds_no_owner() -> None:
    def attempt(timeout: float) -> bool:
        """Whether another thread got the lock before the wait was over."""
        cond = pyfastlock.Condition()
        is_over = threading.Event()

        def body() -> None:
            cond.acquire()
            parked(cond._lock)
            try:
                cond.wait(timeout)
            finally:
                is_over.set()
            cond.release()

        def take_and_end() -> bool:
            cond.acquire()
            in_time = not is_over.is_set()
            wait_until(lambda: queued(cond) == 0)
            return in_time

        waiter = start(body)
        wait_until(cond._lock.locked)
        in_time = run_in_thread(take_and_end)
        if in_time:
            with pytest.raises(DeadlockError, match="has ended"):
                waiter.join()
        else:
            waiter.join()
        return bool(in_time)

    assert any(attempt(timeout) for timeout in SHORT)


def test_acquire_restore_finds_no_owner() -> None:
    lock = pyfastlock.RLock()
    lock.acquire()
    saved = lock._release_save()
    run_in_thread(lock.acquire)
    with pytest.raises(DeadlockError, match="has ended"):
        lock._acquire_restore(saved)
    assert not lock._is_owned()


class HandsOn:
    """A lock that is not ours, and hands its calls on to one of ours."""

    def __init__(self, in_c: bool) -> None:
        self.inner = pyfastlock.RLock()
        if in_c:
            self.acquire = self.inner.acquire  # type: ignore[method-assign]
            self.release = self.inner.release  # type: ignore[method-assign]

    def acquire(self, *args: Any) -> bool:
        return self.inner.acquire(*args)

    def release(self) -> None:
        self.inner.release()

    def _is_owned(self) -> bool:
        return self.inner._is_owned()


@pytest.mark.parametrize("in_c", [True, False], ids=["in C", "in Python"])
def test_taking_back_a_foreign_lock_over_ours_never_fails(in_c: bool) -> None:
    lock = HandsOn(in_c)
    check_that_taking_back_never_fails(pyfastlock.Condition(lock), lock.inner)


@pytest.mark.parametrize("in_c", [True, False], ids=["in C", "in Python"])
def test_a_foreign_lock_over_ours_has_no_owner_any_more(in_c: bool) -> None:
    lock = HandsOn(in_c)
    cond = pyfastlock.Condition(lock)

    def body() -> None:
        cond.acquire()
        cond.wait(DEADLINE)

    waiter = start(body)
    parked(cond)
    orphan(cond)
    with pytest.raises(DeadlockError, match="has ended"):
        waiter.join()


def test_a_notification_by_a_thread_that_has_not_the_lock() -> None:
    """It moves nobody: the lock's owner may wait for the waiter already."""
    outer, lock = pyfastlock.RLock(), pyfastlock.RLock()
    cond = pyfastlock.Condition(lock)
    taken = threading.Event()

    class LetsGo:
        """A number for notify(), which lets go of the lock when it is compared."""

        def __init__(self, number: int) -> None:
            self.number = number

        def __gt__(self, other: int) -> bool:
            if self.number > 0 and lock._is_owned():
                lock.release()
                assert taken.wait(DEADLINE)
                parked(outer)
                time.sleep(SETTLE)  # its look is over, and it sleeps
            return self.number > other

        def __sub__(self, other: int) -> LetsGo:
            return LetsGo(self.number - other)

    def waits() -> object:
        with outer, lock:
            return cond.wait(DEADLINE)

    def owns() -> object:
        with lock:
            taken.set()
            try:
                with outer:
                    return None
            except DeadlockError as error:
                return error

    waiter = start(waits)
    parked(cond)
    with lock:
        owner = start(owns)
        cond.notify(LetsGo(1))
        lock.acquire()
    assert waiter.join() is True
    assert isinstance(owner.join(), DeadlockError)
    check_free(outer, lock)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_owner_did_not_come_along_in_a_fork(make: Callable[[], Any]) -> None:
    lock = make()

    def child() -> None:
        assert not lock.acquire(timeout=0.01)
        with pytest.raises(DeadlockError, match="did not come along in the fork") as caught:
            lock.acquire()
        (wait,) = caught.value.cycle
        assert wait.lock is rlock_of(lock)
        assert wait.owner is not None
        rlock_of(lock)._at_fork_reinit()
        with lock:
            pass
        results = ring([lock, pyfastlock.RLock()], lambda lock: lock.acquire())
        assert sum(isinstance(result, DeadlockError) for result in results) == 1

    with held_elsewhere(lock, 1):
        in_child(child)


# ---- all waits ----


def test_waits_shows_every_type() -> None:
    objects = {
        "Lock": pyfastlock.Lock(),
        "RLock": pyfastlock.RLock(),
        "Condition": pyfastlock.Condition(),
        "Event": pyfastlock.Event(),
        "Semaphore": pyfastlock.Semaphore(0),
        "BoundedSemaphore": pyfastlock.BoundedSemaphore(1),
        "Barrier": pyfastlock.Barrier(2),
    }
    objects["BoundedSemaphore"].acquire()
    objects["Lock"].acquire()
    objects["RLock"].acquire()

    def body(name: str, timeout: float | None) -> None:
        obj = objects[name]
        if name == "Condition":
            with obj:
                obj.wait(timeout)
        elif name in ("Event", "Barrier"):
            obj.wait(timeout)
        else:
            obj.acquire(True, -1 if timeout is None and "Lock" in name else timeout)

    threads = {}
    for name, obj in objects.items():
        limit = None if name == "RLock" else DEADLINE
        threads[name] = threading.Thread(target=body, args=(name, limit), name=f"for {name}")
        threads[name].start()
        parked(obj)
    found = {wait.name: wait for wait in waits()}
    for name, obj in objects.items():
        wait = found[f"for {name}"]
        assert wait.lock is obj
        assert wait.thread == threads[name].ident
        assert (wait.timeout is None) is (name == "RLock")
        assert wait.timeout is None or DEADLINE - 1 < wait.timeout <= DEADLINE + 1
        assert 0 <= wait.seconds < DEADLINE
        owner = threading.current_thread() if name in ("Lock", "RLock") else None
        assert (wait.owner, wait.owner_name) == (owner and owner.ident, owner and owner.name)
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        objects[name].release()
    with objects["Condition"]:
        objects["Condition"].notify()
    objects["Event"].set()
    objects["Barrier"].wait(DEADLINE)
    for thread in threads.values():
        thread.join(DEADLINE)
    assert not {wait.name for wait in waits()} & set(found)


def test_waits_shows_a_condition_over_a_foreign_lock() -> None:
    cond = pyfastlock.Condition(HandsOn(in_c=False))

    def body(timeout: float | None) -> None:
        with cond:
            cond.wait(timeout)

    for timeout in (None, DEADLINE):
        waiter = start(body, timeout)
        parked(cond)
        (wait,) = (wait for wait in waits() if wait.thread == waiter.thread.ident)
        assert wait.lock is cond
        assert (wait.timeout is None) is (timeout is None)
        with cond:
            cond.notify()
        waiter.join()


def test_waits_of_many() -> None:
    event = pyfastlock.Event()
    threads = [start(event.wait, DEADLINE) for _ in range(200)]
    parked(event, 200)
    found = [wait for wait in waits() if wait.lock is event]
    assert len({wait.thread for wait in found}) == 200
    event.set()
    for thread in threads:
        thread.join()
    assert not [wait for wait in waits() if wait.lock is event]


def test_waits_while_threads_come_and_go() -> None:
    lock = pyfastlock.RLock()
    ends = threading.Event()

    def body() -> int:
        turns = 0
        while not ends.is_set():
            with lock:
                turns += 1
        return turns

    threads = [start(body) for _ in range(4)]
    for _ in range(300):
        for wait in waits():
            assert isinstance(wait, Wait)
            assert wait.lock is not None
    ends.set()
    assert all(thread.join() for thread in threads)


@pytest.mark.parametrize("look", [waits, deadlocks])
def test_looks_take_no_arguments(look: Callable[..., object]) -> None:
    with pytest.raises(TypeError):
        look(1)


def test_no_deadlock_is_left() -> None:
    lock = pyfastlock.RLock()
    with lock:
        waiter = start(lock.acquire)
        parked(lock)
        assert deadlocks() == []
    waiter.join()


# ---- switched off ----

OFF = """
    import os, threading
    import pyfastlock
    locks = [pyfastlock.RLock(), pyfastlock.RLock()]
    all_hold = threading.Barrier(2)
    def body(number):
        with locks[number]:
            all_hold.wait()
            locks[1 - number].acquire()
    for number in range(2):
        threading.Thread(target=body, args=(number,), daemon=True).start()
    while len(pyfastlock.waits()) < 2:
        pass
    def waits_beside():
        locks[0].acquire()
    def ends():
        beside.acquire()
    beside = pyfastlock.RLock()
    ended = threading.Thread(target=ends)
    ended.start()
    ended.join()
    for target in (waits_beside, beside.acquire):
        threading.Thread(target=target, daemon=True).start()
    while len(pyfastlock.waits()) < 4:
        pass
    threading.Event().wait(0.1)
    assert len(pyfastlock.waits()) == 4
    alone, cycle = sorted(pyfastlock.deadlocks(), key=len)
    assert len(alone) == 1 and alone[0].lock is beside, alone
    assert [wait.owner for wait in cycle] == [wait.thread for wait in reversed(cycle)], cycle
    assert {id(wait.lock) for wait in cycle} == {id(lock) for lock in locks}
    os._exit(0)
    """


def test_the_environment_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYFASTLOCK_DEADLOCKS", "off")
    run = run_script(textwrap.dedent(OFF))
    assert run.returncode == 0, run.stderr


FORGOTTEN = """
    import os, threading
    import pyfastlock
    left, other = pyfastlock.RLock(), pyfastlock.RLock()
    def in_thread(target):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
        return thread.ident
    def use_a_lock():
        with other:
            pass
    last = in_thread(left.acquire)
    threading.Thread(target=left.acquire, daemon=True).start()
    while len(pyfastlock.waits()) < 1:
        pass
    assert [wait.owner for wait in pyfastlock.waits()] == [last]
    ((wait,),) = pyfastlock.deadlocks()
    assert wait.owner == last and wait.owner_name is None, wait
    for _ in range(200):
        in_thread(use_a_lock)
    assert [wait.owner for wait in pyfastlock.waits()] == [None]
    ((wait,),) = pyfastlock.deadlocks()
    assert wait.lock is left and wait.owner is None and wait.owner_name is None, wait
    os._exit(0)
    """


def test_an_owner_that_ended_long_ago_has_no_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last few are remembered; the deadlock is shown all the same."""
    monkeypatch.setenv("PYFASTLOCK_DEADLOCKS", "off")
    run = run_script(textwrap.dedent(FORGOTTEN))
    assert run.returncode == 0, run.stderr


def test_the_error_does_without_an_identifier() -> None:
    left, other = pyfastlock.RLock(), pyfastlock.RLock()

    def use_a_lock() -> None:
        with other:
            pass

    run_in_thread(left.acquire)
    for _ in range(200):
        run_in_thread(use_a_lock)
    with pytest.raises(DeadlockError, match="whose owner, an unknown thread, has ended") as caught:
        left.acquire()
    (wait,) = caught.value.cycle
    assert wait.lock is left
    assert (wait.owner, wait.owner_name) == (None, None)
