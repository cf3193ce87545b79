"""Forks while a thread runs the action of a barrier: in the child nobody runs it any more."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    CHILD_LIMIT,
    fork,
    ignore_signal,
    in_child,
    join_child,
    kick_main,
    kick_when_parked,
    leave_child,
    on_signal,
)
from support import DEADLINE, is_ours, parked, run_in_thread, start, wait_until
from usage import use_barrier

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

Broken = threading.BrokenBarrierError


def fork_with_limit(pids: list[int]) -> None:
    """Fork, and append the pid, or 0 in the child. The child is killed where it hangs."""
    pids.append(fork())
    if pids == [0]:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_LIMIT)


def set_in_child(event: threading.Event) -> None:
    """Set an event of the parent, whose other threads may have held its lock at the fork."""
    event._at_fork_reinit()  # type: ignore[attr-defined]
    event.set()


def expect_broken_child(barrier: Any, result: Any, *used: threading.Event) -> None:
    """What the child finds where nobody runs the action any more: the wait ended, broken."""
    for event in used:
        set_in_child(event)
    assert result is Broken
    assert barrier.broken
    barrier.reset()
    use_barrier(barrier)


def test_t33_t34_fork_in_an_action(impl: ModuleType) -> None:
    """The child goes on alone; the parent with everybody."""
    pids: list[int] = []
    barrier = impl.Barrier(3, lambda: pids.append(fork()) if not pids else None)
    others = [start(barrier.wait, DEADLINE) for _ in range(2)]
    wait_until(lambda: barrier.n_waiting == 2)
    index = barrier.wait(DEADLINE)

    def child() -> None:
        assert index == 2
        if is_ours(barrier):
            use_barrier(barrier)

    if pids == [0]:
        leave_child(child)
    join_child(*pids)
    assert sorted([index, *(other.join() for other in others)]) == [0, 1, 2]
    use_barrier(barrier)


@pytest.mark.parametrize("method", ["reset", "abort", "wait"])
def test_t33_t34_fork_while_another_thread_runs_the_action(method: str) -> None:
    """In the child nobody runs it any more: breaking the barrier makes it usable."""
    import pyfastlock as impl

    runs, go_on = threading.Event(), threading.Event()

    def act() -> None:
        runs.set()
        assert go_on.wait(DEADLINE)

    barrier = impl.Barrier(2, act)
    pair = [start(barrier.wait, DEADLINE) for _ in range(2)]
    assert runs.wait(DEADLINE)

    def child() -> None:
        set_in_child(runs)
        set_in_child(go_on)
        if method == "wait":
            with pytest.raises(Broken):
                barrier.wait(DEADLINE)
        else:
            getattr(barrier, method)()
        assert barrier.broken is (method != "reset")
        barrier.reset()
        assert barrier.n_waiting == 0
        use_barrier(barrier)

    in_child(child)
    go_on.set()
    assert sorted(thread.join() for thread in pair) == [0, 1]
    use_barrier(barrier)


@pytest.mark.parametrize("method", ["reset", "abort", "wait"])
def test_t33_t34_handler_forks_while_another_thread_runs_the_action(method: str) -> None:
    """The main thread waits for an action that nobody runs any more in the child."""
    import pyfastlock as impl

    runs, go_on = threading.Event(), threading.Event()
    pids: list[int] = []
    barrier = impl.Barrier(2, lambda: (runs.set(), go_on.wait(DEADLINE)))

    def end_it() -> None:
        with contextlib.suppress(Broken):
            getattr(barrier, method)()

    def fork_and_end() -> None:
        pids.append(fork())
        if pids == [0]:
            run_in_thread(end_it)

    def act_and_kick() -> int:
        parked(barrier)
        kicker = start(lambda: (runs.wait(DEADLINE), kick_main()))
        index = barrier.wait(DEADLINE)
        kicker.join()
        return index

    on_signal(fork_and_end)
    actor = start(act_and_kick)
    ender = start(lambda: (wait_until(lambda: pids), go_on.set()))
    result: Any = None
    try:
        result = barrier.wait()
    except Broken:
        result = Broken
    finally:

        def child() -> None:
            assert result is Broken
            assert barrier.broken is (method != "reset")
            barrier.reset()
            set_in_child(runs)
            set_in_child(go_on)
            use_barrier(barrier)

        if pids == [0]:
            leave_child(child)
    ignore_signal()
    ender.join()
    join_child(*pids)
    assert sorted([result, actor.join()]) == [0, 1]
    use_barrier(barrier)


@pytest.mark.parametrize("timeout", [None, DEADLINE], ids=["untimed", "timed"])
def test_t33_t34_handler_of_a_guest_forks(timeout: float | None) -> None:
    """Nobody else in the child notices that the action will not end there."""
    import pyfastlock as impl

    runs, go_on = threading.Event(), threading.Event()
    pids: list[int] = []
    barrier = impl.Barrier(1, lambda: (runs.set(), go_on.wait(DEADLINE)) if not pids else None)
    actor = start(barrier.wait)
    assert runs.wait(DEADLINE)

    on_signal(lambda: fork_with_limit(pids))
    kick = kick_when_parked(barrier)
    ender = start(lambda: (wait_until(lambda: pids), go_on.set()))
    result: Any = None
    try:
        result = barrier.wait(timeout)
    except Broken:
        result = Broken
    finally:
        if pids == [0]:
            leave_child(lambda: expect_broken_child(barrier, result, runs, go_on))
    ignore_signal()
    kick.join()
    ender.join()
    join_child(*pids)
    assert [result, actor.join()] == [0, 0]


@pytest.mark.parametrize("timeout", [None, 1.5], ids=["untimed", "timed"])
def test_t33_t34_handler_forks_during_the_action(timeout: float | None) -> None:
    """The main thread is one of those for whom it runs; its time, if it is limited, is over."""
    import pyfastlock as impl

    runs, go_on = threading.Event(), threading.Event()
    pids: list[int] = []
    barrier = impl.Barrier(2, lambda: (runs.set(), go_on.wait(DEADLINE)))

    def act_and_kick() -> int:
        parked(barrier)
        begun = time.monotonic()
        kicker = start(
            lambda: (
                runs.wait(DEADLINE),
                wait_until(lambda: time.monotonic() > begun + (timeout or 0)),
                kick_main(),
            )
        )
        index = barrier.wait(DEADLINE)
        kicker.join()
        return index

    on_signal(lambda: fork_with_limit(pids))
    actor = start(act_and_kick)
    ender = start(lambda: (wait_until(lambda: pids), go_on.set()))
    result: Any = None
    try:
        result = barrier.wait(timeout)
    except Broken:
        result = Broken
    finally:
        if pids == [0]:
            leave_child(lambda: expect_broken_child(barrier, result, runs, go_on))
    ignore_signal()
    ender.join()
    join_child(*pids)
    assert sorted([result, actor.join()]) == [0, 1]
