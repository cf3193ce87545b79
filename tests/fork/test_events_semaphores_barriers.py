"""Forks around events, semaphores and barriers: in the child only the thread that forked is left.

Nobody else waits there, no permit goes to a thread that does not exist, and a barrier does not
count it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    CHILD_LIMIT,
    Interrupt,
    check_script,
    fork,
    ignore_signal,
    in_child,
    join_child,
    kick_when_parked,
    leave_child,
    on_signal,
    patience,
    queued,
)
from support import (
    DEADLINE,
    fails_on_stdlib,
    is_open,
    is_ours,
    parked,
    run_in_thread,
    start,
    wait_until,
)
from usage import GHOSTS, use_barrier, use_event, use_semaphore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

Broken = threading.BrokenBarrierError

KINDS = ["Event", "Semaphore", "BoundedSemaphore", "Barrier"]


def make(impl: ModuleType, kind: str) -> tuple[Any, Callable[[Any], Any], Callable[[Any], None]]:
    """An object, how to wait for it, and how to use it as a whole."""
    if kind == "Event":
        return impl.Event(), lambda event: event.wait(DEADLINE), use_event
    if kind == "Barrier":
        return impl.Barrier(4), lambda barrier: barrier.wait(DEADLINE), use_barrier
    semaphore = getattr(impl, kind)(3)
    for _ in range(3):
        semaphore.acquire()
    return semaphore, lambda semaphore: semaphore.acquire(timeout=DEADLINE), use_semaphore


@pytest.mark.parametrize("kind", KINDS)
def test_t34_fork_with_nobody_waiting(impl: ModuleType, kind: str) -> None:
    obj, _, use = make(impl, kind)
    use(obj)
    in_child(lambda: use(obj))
    use(obj)


@pytest.mark.parametrize("kind", KINDS)
def test_t34_state_is_the_same_in_the_child(impl: ModuleType, kind: str) -> None:
    def child() -> None:
        if kind == "Event":
            assert obj.is_set()
            assert obj.wait()
            obj._at_fork_reinit()
            assert obj.is_set()
            obj.clear()
        elif kind == "Barrier":
            assert obj.broken
            obj.reset()
        else:
            assert obj._value == 2
            assert obj.acquire()
            assert obj.acquire()
        use(obj)

    obj, _, use = make(impl, kind)
    if kind == "Event":
        obj.set()
    elif kind == "Barrier":
        obj.abort()
    else:
        obj.release(2)
    in_child(child)
    child()


@pytest.mark.parametrize(
    "kind",
    [
        "Event",
        pytest.param("Semaphore", marks=fails_on_stdlib(GHOSTS)),
        pytest.param("BoundedSemaphore", marks=fails_on_stdlib(GHOSTS)),
        pytest.param("Barrier", marks=fails_on_stdlib(GHOSTS)),
    ],
)
@pytest.mark.parametrize("waiters", [1, 3])
def test_t34_fork_with_waiters(impl: ModuleType, kind: str, waiters: int) -> None:
    """In the child they do not exist; in the parent nothing has happened to them."""
    obj, wait, use = make(impl, kind)

    def child() -> None:
        if is_ours(obj):
            assert queued(obj) == 0
        if kind == "Barrier":
            assert obj.n_waiting == 0
        if kind.endswith("Semaphore"):
            # What is released belongs to those who are there.
            before = queued(obj)
            waiter = start(obj.acquire, timeout=DEADLINE)
            wait_until(lambda: queued(obj) == before + 1)
            obj.release()
            wait_until(lambda: waiter.done, patience(obj), "the waiter has the permit")
            assert waiter.join() is True
            obj.release()
            assert obj._value == 1
            assert obj.acquire(False)
        use(obj)

    threads = [start(wait, obj) for _ in range(waiters)]
    parked(obj, waiters)
    try:
        in_child(child)
    finally:
        assert queued(obj) == waiters
        if kind == "Event":
            obj.set()
        elif kind == "Barrier":
            assert obj.n_waiting == waiters
            threads += [start(wait, obj) for _ in range(4 - waiters)]
        else:
            obj.release(waiters)
        results = [thread.join() for thread in threads]
    assert sorted(results) == ([0, 1, 2, 3] if kind == "Barrier" else [True] * waiters)
    use(obj)


@pytest.mark.parametrize("kind", KINDS)
def test_t34_fork_with_waiters_at_an_opened_object(kind: str) -> None:
    """One thread began to wait before the object was opened, one after that."""
    import pyfastlock as impl

    obj, wait, _ = make(impl, kind)
    early = start(wait, obj)
    parked(obj)
    cond = obj._cond
    assert is_open(obj)
    late = start(wait, obj)
    parked(cond, 2)

    def child() -> None:
        assert queued(cond) == queued(obj) == 0
        if kind == "Barrier":
            # As in threading, those who are not there are still counted.
            assert obj.n_waiting == 2
            obj.abort()
            with pytest.raises(Broken):
                obj.wait(DEADLINE)
            return
        waiter = start(wait, obj)
        parked(cond)
        obj.set() if kind == "Event" else obj.release()
        assert waiter.join() is True
        if kind == "Event":
            obj.clear()
            assert obj.wait(0.01) is False
        else:
            assert obj._value == 0
            assert obj.acquire(False) is False

    in_child(child)
    assert queued(cond) == 2
    threads = [early, late]
    if kind == "Event":
        obj.set()
    elif kind == "Barrier":
        threads += [start(wait, obj) for _ in range(2)]
    else:
        obj.release(2)
    results = [thread.join() for thread in threads]
    assert sorted(results) == ([0, 1, 2, 3] if kind == "Barrier" else [True, True])
    assert queued(cond) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_t34_fork_in_a_thread(impl: ModuleType, kind: str) -> None:
    """The thread that forked is the main thread of the child, and signals interrupt it there."""
    obj, wait, use = make(impl, kind)

    def child() -> None:
        assert threading.current_thread() is threading.main_thread()
        use(obj)

        def interrupt() -> None:
            raise Interrupt

        on_signal(interrupt)
        kicker = kick_when_parked(obj)
        with pytest.raises(Interrupt):
            wait(obj)
        kicker.join()
        use(obj)

    # The handlers are of the child only: os.fork in a thread, signal.signal in its main thread.
    run_in_thread(lambda: in_child(child))
    use(obj)


@pytest.mark.parametrize("kind", KINDS)
def test_t34_fork_in_a_child(impl: ModuleType, kind: str) -> None:
    obj, wait, use = make(impl, kind)

    def child() -> None:
        if not is_ours(obj):
            use(make(impl, kind)[0])
            return
        waiter = start(wait, obj)
        parked(obj)
        in_child(lambda: use(obj))
        if kind == "Barrier":
            obj.abort()
            with pytest.raises(Broken):
                waiter.join()
            obj.reset()
        else:
            obj.set() if kind == "Event" else obj.release()
            assert waiter.join() is True
        use(obj)

    waiter = start(wait, obj)
    parked(obj)
    in_child(child)
    if kind == "Barrier":
        obj.abort()
        with pytest.raises(Broken):
            waiter.join()
        obj.reset()
    else:
        obj.set() if kind == "Event" else obj.release()
        assert waiter.join() is True
    use(obj)


@fails_on_stdlib("a lock inside is held by a thread that is not in the child", run=False)
def test_t31_t34_at_fork_handlers_use_everything(impl: ModuleType) -> None:
    """While threads wait for what the handlers set, release and break."""
    check_script(
        """
        event, semaphore, barrier = impl.Event(), impl.Semaphore(0), impl.Barrier(2)
        log = []

        def use():
            event.set()
            event.clear()
            event.is_set()
            semaphore.release()
            assert barrier.n_waiting == 0
            barrier.reset()
            barrier.abort()
            barrier.reset()

        os.register_at_fork(before=use, after_in_parent=use, after_in_child=use)
        stop, woken = [], []

        def wait():
            while not stop:
                woken.append(event.wait(DEADLINE))

        def take():
            for _ in range(7):
                assert semaphore.acquire(timeout=DEADLINE)

        threads = [start(wait) for _ in range(3)] + [start(take)]
        for n in range(3):
            before = len(woken)
            wait_until(lambda: queued(event) == 3)
            pid = fork()
            if pid == 0:
                def child():
                    event.set()
                    assert event.wait()
                    assert semaphore._value >= 1
                leave_child(child)
            join_child(pid)
            wait_until(lambda: len(woken) >= before + 3)
        wait_until(lambda: queued(event) == 3)
        stop.append(1)
        event.set()
        semaphore.release()
        for thread in threads:
            thread.join()
        assert semaphore._value == 0
        print("done")
        """,
        impl,
        output="done",
    )


def test_t34_forks_while_other_threads_use_everything(impl: ModuleType) -> None:
    """At any moment a fork may happen: also while another thread is inside of a queue."""
    if impl is threading:
        pytest.skip("its locks stay held in the child")
    events = [impl.Event() for _ in range(3)]
    semaphores = [impl.Semaphore(1), impl.BoundedSemaphore(2)]
    barrier = impl.Barrier(2)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            for event in events:
                event.set()
                event.clear()
                event.wait(0.0001)
            for semaphore in semaphores:
                if semaphore.acquire(timeout=0.0001):
                    semaphore.release()
            try:
                barrier.wait(0.001)
            except Broken:
                barrier.reset()

    def child() -> None:
        assert queued(barrier) == 0
        for event in events:
            assert queued(event) == 0
            event.set()
            use_event(event)
        for semaphore in semaphores:
            assert queued(semaphore) == 0
            while semaphore.acquire(False):
                pass
            use_semaphore(semaphore)
        assert barrier.n_waiting == 0
        barrier.reset()
        use_barrier(barrier)

    threads = [start(busy) for _ in range(3)]
    try:
        for _ in range(12):
            in_child(child)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for event in events:
        use_event(event)
    barrier.reset()
    use_barrier(barrier)


# T14: the handler of a signal forks, while the main thread is queued.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ends", [False, True], ids=["times out", "succeeds"])
def test_t14_fork_in_a_handler(
    impl: ModuleType, kind: str, ends: bool, forking_handler: list[int]
) -> None:
    """In both processes the wait goes on: to its deadline, or until something ends it there."""
    obj, wait, use = make(impl, kind)
    if kind == "Barrier":
        obj = impl.Barrier(3)
    ghost = None if kind == "Barrier" else start(wait, obj)
    kicker = kick_when_parked(obj, 2 - (ghost is None))
    helpers: list[Any] = []

    def let_go() -> list[Any]:
        """For all that wait in this process."""
        if kind == "Event":
            return [start(obj.set)]
        if kind == "Barrier":
            return [start(obj.wait, DEADLINE) for _ in range(2)]
        return [start(obj.release, 2 if forking_handler[0] else 1)]

    def fork_and_help() -> None:
        forking_handler.append(fork())
        if forking_handler == [0] and kind == "Barrier" and is_ours(obj):
            assert obj.n_waiting == queued(obj) == 1
        if forking_handler == [0] and is_ours(obj):
            assert queued(obj) == (kind in ("Event", "Barrier"))
        if ends and forking_handler == [0]:
            helpers.extend(let_go())

    on_signal(fork_and_help)
    began = time.monotonic()
    result: Any = None
    try:
        timeout = patience(obj, 1) if ends else 0.25
        if not ends:
            result = attempt(obj, kind, timeout)
        elif forking_handler != [0]:
            ender = start(lambda: (wait_until(lambda: forking_handler), let_go()))
            result = attempt(obj, kind, timeout)
    finally:
        took = time.monotonic() - began

        def child() -> None:
            if ends:
                assert result is not False
                for helper in helpers:
                    helper.join()
            else:
                assert result is False
                assert took >= 0.245
            if not is_ours(obj):
                return  # what it left behind in the queues is tested elsewhere
            assert queued(obj) == 0
            if kind == "Barrier":
                obj.reset()
            use(obj)

        if forking_handler == [0]:
            leave_child(child)
    kicker.join()
    join_child(*forking_handler)
    if ends:
        for helper in ender.join()[1]:
            helper.join()
        assert result is not False
    else:
        assert result is False
    if ghost:
        # It and the main thread waited for the same.
        if not ends:
            obj.set() if kind == "Event" else obj.release()
        assert ghost.join() is True
    if kind == "Barrier":
        obj.reset()
    use(obj)


def attempt(obj: Any, kind: str, timeout: float) -> Any:
    """Wait; False where it timed out."""
    if kind == "Barrier":
        try:
            obj.wait(timeout)
        except Broken:
            return False
        return True
    return obj.wait(timeout) if kind == "Event" else obj.acquire(timeout=timeout)


@pytest.mark.parametrize("kind", KINDS)
def test_t14_handler_forks_and_raises(impl: ModuleType, kind: str) -> None:
    """Nobody is queued, and nobody has arrived, in both processes."""
    obj, wait, use = make(impl, kind)
    pids: list[int] = []

    def fork_and_raise() -> None:
        pids.append(fork())
        raise Interrupt

    on_signal(fork_and_raise)
    kicker = kick_when_parked(obj)
    with pytest.raises(Interrupt):
        wait(obj)
    if pids == [0]:
        leave_child(lambda: use(obj))
    kicker.join()
    join_child(*pids)
    ignore_signal()
    use(obj)


def test_children_end_within_their_limit() -> None:
    """The watchdog of `leave_child` works here, too: it is what makes a hang a failure."""
    assert CHILD_LIMIT < DEADLINE
    pid = fork()
    if pid == 0:

        def hang() -> None:
            signal.alarm(1)
            os.close(2)
            threading.Event().wait(5)

        leave_child(hang)
    with pytest.raises(AssertionError):
        join_child(pid)
