"""DeadlockError for plain Locks: only holds that last for a with-block count."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from concurrency import in_child, kick_when_parked, on_signal, queued
from support import DEADLINE, FREE_THREADED, SETTLE, parked, run_in_thread, start, wait_until

import pyfastlock
from pyfastlock import Deadlock, DeadlockError, _core, _waits, deadlocks, waits

MAKERS: dict[str, Callable[[], Any]] = {
    "Lock": pyfastlock.Lock,
    "Condition": lambda: pyfastlock.Condition(pyfastlock.Lock()),
}
WAYS: dict[str, Callable[[Any], object]] = {
    "acquire()": lambda lock: lock.acquire(),
    "acquire(True)": lambda lock: lock.acquire(True),
    "acquire(timeout=-1)": lambda lock: lock.acquire(timeout=-1),
    "with": lambda lock: lock.__enter__(),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return MAKERS[request.param]


@pytest.fixture(params=WAYS)
def take(request: pytest.FixtureRequest) -> Callable[[Any], object]:
    return WAYS[request.param]


def lock_of(lock: Any) -> Any:
    return lock._lock if isinstance(lock, pyfastlock.Condition) else lock


def check_free(*locks: Any) -> None:
    for lock in locks:
        assert queued(lock_of(lock)) == 0
        assert lock.acquire(False)
        lock.release()


def ring(locks: list[Any], take: Callable[[Any], object]) -> list[object]:
    """Each thread enters a lock's block and takes the next lock; what each got."""
    all_hold = threading.Barrier(len(locks))

    def body(number: int) -> object:
        with locks[number]:
            all_hold.wait(DEADLINE)
            try:
                if take(locks[(number + 1) % len(locks)]):
                    locks[(number + 1) % len(locks)].release()
            except DeadlockError as error:
                return error
            return True

    threads = [start(body, number) for number in range(len(locks))]
    return [thread.join() for thread in threads]


def until_waiting(lock: Any, n: int = 1) -> None:
    """Wait until `n` threads sleep for the lock, and have looked."""
    parked(lock, n)
    time.sleep(SETTLE)


def suspicion(lock: Any) -> Deadlock:
    """Wait until a deadlock with that lock is shown.

    A thread that looks whether another one may end its block is in no queue meanwhile.
    """
    found: list[Deadlock] = []

    def is_shown() -> bool:
        found[:] = [each for each in deadlocks() if any(wait.lock is lock for wait in each)]
        return bool(found)

    wait_until(is_shown)
    assert len(found) == 1
    assert isinstance(found[0], Deadlock)
    assert found[0].suspected
    return found[0]


# ---- certain ----


@pytest.mark.parametrize("size", [2, 5])
def test_one_thread_of_a_cycle_gets_the_error(
    make: Callable[[], Any], take: Callable[[Any], object], size: int
) -> None:
    locks = [make() for _ in range(size)]
    results = ring(locks, take)
    (error,) = (result for result in results if result is not True)
    assert isinstance(error, DeadlockError)
    check_free(*locks)
    assert len(error.cycle) == size
    number = results.index(error)
    for i, wait in enumerate(error.cycle):
        assert wait.lock is lock_of(locks[(number + i + 1) % size])
        assert wait.owner == error.cycle[(i + 1) % size].thread


def test_a_cycle_with_an_rlock(make: Callable[[], Any], take: Callable[[Any], object]) -> None:
    locks = [make(), pyfastlock.RLock(), make()]
    results = ring(locks, take)
    assert [isinstance(result, DeadlockError) for result in results].count(True) == 1
    check_free(*locks)


def test_a_thread_that_waits_for_itself(
    make: Callable[[], Any], take: Callable[[Any], object]
) -> None:
    lock = make()
    with lock:
        with pytest.raises(DeadlockError) as caught:
            take(lock)
        assert lock_of(lock).locked()
    (wait,) = caught.value.cycle
    assert wait.lock is lock_of(lock)
    assert wait.thread == wait.owner == threading.get_ident()
    assert re.fullmatch(
        r"thread 0x[0-9a-f]+ \(MainThread\) waits for <pyfastlock.Lock at 0x[0-9a-f]+>, "
        "which it holds itself",
        str(caught.value),
    )
    check_free(lock)


def test_a_signal_handler_wants_what_the_main_thread_holds() -> None:
    lock, event = pyfastlock.Lock(), pyfastlock.Event()
    caught: list[DeadlockError] = []

    def handler() -> None:
        try:
            with lock:
                pass
        except DeadlockError as error:
            caught.append(error)
        event.set()

    on_signal(handler)
    with lock:
        kicker = kick_when_parked(event)
        assert event.wait(DEADLINE)
    kicker.join()
    assert len(caught) == 1
    check_free(lock)


@pytest.mark.parametrize("how", ["finalizer", "callback of the collector"])
def test_the_collector_wants_what_its_thread_holds(how: str) -> None:
    lock = pyfastlock.Lock()
    caught: list[DeadlockError] = []

    def wants(*_: object) -> None:
        try:
            with lock:
                pass
        except DeadlockError as error:
            caught.append(error)

    class Cyclic:
        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            if how == "finalizer":
                wants()

    if how != "finalizer":
        gc.callbacks.append(wants)
    try:
        with lock:
            Cyclic()
            gc.collect()
    finally:
        if how != "finalizer":
            gc.callbacks.remove(wants)
    assert caught
    check_free(lock)


@pytest.mark.parametrize("timeout", [0, SETTLE, None])
def test_a_condition_takes_its_lock_back_for_the_block(timeout: float | None) -> None:
    cond = pyfastlock.Condition(pyfastlock.Lock())

    def notify() -> None:
        parked(cond)
        with cond:
            cond.notify()

    notifier = start(notify) if timeout is None else None
    with cond:
        assert cond.wait(timeout) is (timeout is None)
        with pytest.raises(DeadlockError):
            cond.acquire()
    if notifier:
        notifier.join()
    check_free(cond)


@pytest.mark.parametrize("before", [True, False], ids=["before the wait", "during the wait"])
def test_the_owner_has_ended(
    make: Callable[[], Any], take: Callable[[Any], object], before: bool
) -> None:
    lock = make()
    holds, go_on = threading.Event(), threading.Event()

    def body() -> None:
        lock.__enter__()
        holds.set()
        assert go_on.wait(DEADLINE)

    owner = threading.Thread(target=body)
    owner.start()
    assert holds.wait(DEADLINE)
    if before:
        go_on.set()
        owner.join(DEADLINE)
    takers = [start(take, lock) for _ in range(2)]
    if not before:
        parked(lock_of(lock), 2)
        go_on.set()
    for taker in takers:
        with pytest.raises(DeadlockError, match="has ended") as caught:
            taker.join()
        assert caught.value.cycle[0].owner == owner.ident
    owner.join(DEADLINE)
    assert not lock.acquire(timeout=0.01)
    lock.release()
    check_free(lock)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_owner_did_not_come_along_in_a_fork(make: Callable[[], Any]) -> None:
    lock = make()
    holds, go_on = threading.Event(), threading.Event()

    def body() -> None:
        with lock:
            holds.set()
            assert go_on.wait(DEADLINE)

    def child() -> None:
        assert not lock.acquire(timeout=0.01)
        with pytest.raises(DeadlockError, match="did not come along in the fork"):
            lock.acquire()
        lock_of(lock)._at_fork_reinit()
        with lock, pytest.raises(DeadlockError, match="itself"):
            lock.acquire()
        check_free(lock)

    owner = start(body)
    assert holds.wait(DEADLINE)
    in_child(child)
    go_on.set()
    owner.join()
    check_free(lock)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_block_goes_on_in_a_child(make: Callable[[], Any]) -> None:
    lock = make()

    def child() -> None:
        with pytest.raises(DeadlockError, match="itself"):
            lock.acquire()
        lock.release()
        with lock:
            pass

    with lock:
        in_child(child)
    check_free(lock)


# ---- what may end ----


def test_a_lock_may_be_taken_twice_to_wait_for_a_release(
    make: Callable[[], Any], take: Callable[[Any], object]
) -> None:
    lock = make()
    lock.acquire()

    def release() -> None:
        until_waiting(lock_of(lock))
        found = suspicion(lock_of(lock))
        assert (found[0].thread, found[0].owner) == (main, main)
        lock.release()

    main = threading.get_ident()
    releaser = start(release)
    take(lock)
    releaser.join()
    lock.release()
    check_free(lock)


def test_a_lock_that_was_acquired_makes_a_cycle_a_suspicion(
    take: Callable[[Any], object], tmp_path: Path
) -> None:
    inner, outer = pyfastlock.Lock(), pyfastlock.Lock()
    holds = threading.Event()

    def body() -> None:
        inner.acquire()
        holds.set()
        take(outer)
        outer.release()

    def wants_both() -> None:
        with outer:
            thread = start(body)
            assert holds.wait(DEADLINE)
            until_waiting(outer)
            with inner:
                pass
        thread.join()

    thread = start(wants_both)
    until_waiting(inner)
    assert len(waits()) == 2
    found = suspicion(inner)
    assert {wait.lock for wait in found} == {inner, outer}
    assert repr(found).startswith("Deadlock((Wait(")
    with tmp_path.joinpath("dump").open("w+") as file:
        pyfastlock.dump_locks(file)
        file.seek(0)
        lines = file.read().splitlines()
    assert len(lines) == 3  # how many wait, and who: a dump has certain deadlocks only
    inner.release()
    thread.join()
    check_free(inner, outer)


def test_an_acquired_lock_may_be_released_when_its_thread_has_ended() -> None:
    lock = pyfastlock.Lock()
    run_in_thread(lock.acquire)
    waiter = start(lock.acquire)
    until_waiting(lock)
    suspicion(lock)
    lock.release()
    assert waiter.join() is True
    lock.release()


def test_a_wait_with_a_timeout_is_no_deadlock(make: Callable[[], Any]) -> None:
    lock = make()
    with lock:
        assert not lock.acquire(timeout=SETTLE)
        assert not lock.acquire(False)
    locks = [make(), make()]
    results = ring(locks, lambda lock: lock.acquire(timeout=SETTLE))
    assert not any(isinstance(result, DeadlockError) for result in results)


def test_a_lock_that_is_released_and_taken_again_inside_its_block() -> None:
    """What is taken by acquire() may be released by another thread, wherever it is."""
    lock = pyfastlock.Lock()
    with lock:
        lock.release()
        lock.acquire()
        releaser = start(lambda: (until_waiting(lock), lock.release()))
        lock.acquire()
        releaser.join()
    check_free(lock)


def generator(lock: Any) -> Iterator[None]:
    with lock:
        yield


async def coroutine(lock: Any) -> None:
    class Suspend:
        def __await__(self) -> Iterator[None]:
            yield

    with lock:
        await Suspend()


def begin_generator(lock: Any) -> Callable[[], object]:
    paused = generator(lock)
    next(paused)
    return paused.close


def begin_coroutine(lock: Any) -> Callable[[], object]:
    paused = coroutine(lock)
    paused.send(None)
    return paused.close


def begin_stack(lock: Any) -> Callable[[], object]:
    stack = contextlib.ExitStack()
    stack.enter_context(lock)
    return stack.close


def begin_in_condition(lock: Any) -> Callable[[], object]:
    return begin_generator(pyfastlock.Condition(lock))


def begin_in_stdlib_condition(lock: Any) -> Callable[[], object]:
    return begin_generator(threading.Condition(lock))


def begin_with_a_method(lock: Any) -> Callable[[], object]:
    release = lock.release
    lock.__enter__()
    return functools.partial(release)


def begin_manager(lock: Any) -> Callable[[], object]:
    manager = contextlib.contextmanager(generator)(lock)
    manager.__enter__()
    return lambda: manager.__exit__(None, None, None)


@pytest.mark.parametrize(
    "begin",
    [
        begin_generator,
        begin_coroutine,
        begin_stack,
        begin_manager,
        begin_in_condition,
        begin_in_stdlib_condition,
        begin_with_a_method,
    ],
    ids=lambda begin: begin.__name__,
)
@pytest.mark.parametrize("end", ["itself", "ended"])
def test_a_block_that_another_thread_may_end(
    begin: Callable[[Any], Callable[[], object]], end: str
) -> None:
    """One thread enters the block, and waits for the lock or ends; another thread leaves it."""
    lock = pyfastlock.Lock()
    begun: list[Callable[[], object]] = []

    def body() -> None:
        begun.append(begin(lock))
        if end == "itself":
            lock.acquire()

    thread = start(body)
    if end == "ended":
        thread.join()
        thread = start(lock.acquire)
    wait_until(lambda: begun)
    suspicion(lock)
    begun[0]()
    thread.join()
    lock.release()
    check_free(lock)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_block_is_frozen_that_another_thread_may_end() -> None:
    """The collector does not look at frozen objects, so who refers to a lock is not known."""

    def child() -> None:  # what is frozen can only be unfrozen all at once
        lock = pyfastlock.Lock()
        begun: list[Callable[[], object]] = []
        start(lambda: begun.append(begin_generator(lock))).join()
        gc.freeze()
        thread = start(lock.acquire)
        suspicion(lock)
        begun[0]()
        thread.join()
        lock.release()
        check_free(lock)

    in_child(child)


# ---- what is seen ----


def test_waits_shows_who_has_taken_a_lock(take: Callable[[Any], object]) -> None:
    lock = pyfastlock.Lock()
    go_on = threading.Event()
    holder = start(lambda: (take(lock), go_on.wait(DEADLINE), lock.release()))
    wait_until(lock.locked)
    waiter = start(lock.acquire, True, DEADLINE)
    parked(lock)
    (wait,) = (wait for wait in waits() if wait.lock is lock)
    assert wait.owner == holder.ident
    go_on.set()
    holder.join()
    assert waiter.join()
    lock.release()


@pytest.mark.parametrize("suspected", [False, True])
def test_a_deadlock_can_be_copied(suspected: bool) -> None:
    copied = copy.copy(Deadlock((), suspected))
    assert type(copied) is Deadlock
    assert copied == ()
    assert copied.suspected is suspected


def test_a_block_ends_while_doubts_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found that could end it: it has ended."""
    lock = pyfastlock.Lock()
    asked: list[object] = []

    def ends(cycle: object) -> bool:
        asked.append(cycle)
        lock.release()
        return False

    monkeypatch.setattr(_waits, "is_doubtful", ends)
    lock.__enter__()
    assert lock.acquire() is True
    assert len(asked) == 1
    lock.release()
    check_free(lock)


def test_a_lock_is_taken_back_when_another_thread_has_ended_the_block() -> None:
    """Its thread has ended: a wait that has to get the lock does not fail for that."""
    cond = pyfastlock.Condition(pyfastlock.Lock())

    def block() -> Iterator[None]:
        with cond:
            cond.notify()
            yield

    def wait() -> bool:
        with cond:
            return bool(cond.wait(DEADLINE))

    waiter = start(wait)
    parked(cond)
    paused = block()
    run_in_thread(lambda: next(paused))
    time.sleep(SETTLE)
    assert not waiter.done
    next(paused, None)
    assert waiter.join() is True
    check_free(cond)


@pytest.mark.skipif(FREE_THREADED, reason="the references to functions are not counted there")
def test_what_is_called_for_a_report_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    lock = pyfastlock.Lock()
    references = []

    def take_twice() -> None:
        with lock:
            lock.acquire()

    _core._set_deadlocks("report")
    try:
        with told.open("w") as file:
            monkeypatch.setattr(_waits, "_stderr_fileno", file.fileno)
            for times in (1, 2, 3):
                waiter = start(take_twice)
                wait_until(lambda n=times: told.read_text().count("it holds itself") == n)
                lock.release()
                waiter.join()
                references.append(sys.getrefcount(_waits.report))
    finally:
        _core._set_deadlocks("raise")
    assert references[1] == references[2], references
