"""Signals that arrive while the main thread waits at a barrier, or runs its action."""

from __future__ import annotations

import threading
import time
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    Handle,
    Interrupt,
    ignore_signal,
    interrupt,
    kick_main,
    kick_when_parked,
    queued,
)
from support import (
    DEADLINE,
    SETTLE,
    fails_on_stdlib,
    run_in_thread,
    start,
    wait_until,
)

Broken = threading.BrokenBarrierError
pytestmark = pytest.mark.usefixtures("watchdog")


def test_t33_interrupted_waiter_has_not_arrived(impl: ModuleType, handle: Handle) -> None:
    barrier = impl.Barrier(3)
    handle(interrupt)
    other = start(barrier.wait, DEADLINE)
    wait_until(lambda: barrier.n_waiting == 1)
    for _ in range(3):
        kick = kick_when_parked(barrier, 2)
        with pytest.raises(Interrupt):
            barrier.wait(DEADLINE)
        kick.join()
        assert (barrier.n_waiting, barrier.broken) == (1, False)
    third = start(barrier.wait, DEADLINE)
    wait_until(lambda: barrier.n_waiting == 2)
    assert not other.done
    assert not third.done
    mine = barrier.wait(DEADLINE)
    assert sorted([mine, other.join(), third.join()]) == [0, 1, 2]
    assert barrier.n_waiting == 0


@pytest.mark.parametrize("method", ["abort", "reset"])
@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
def test_t33_handler_breaks_the_barrier_at_which_main_waits(
    impl: ModuleType, handle: Handle, method: str, raises: bool
) -> None:
    barrier = impl.Barrier(3)

    def break_it() -> None:
        assert barrier.n_waiting == 2
        getattr(barrier, method)()
        if raises:
            raise Interrupt

    handle(break_it)

    def other() -> None:
        with pytest.raises(Broken):
            barrier.wait(DEADLINE)

    thread = start(other)
    kick = kick_when_parked(barrier, 2)
    with pytest.raises(Interrupt if raises else Broken):
        barrier.wait(DEADLINE)
    kick.join()
    thread.join()
    assert barrier.broken is (method == "abort")
    assert barrier.n_waiting == queued(barrier) == 0


def test_t33_all_arrive_while_a_handler_runs_that_raises(impl: ModuleType, handle: Handle) -> None:
    """Main has arrived: the others go on, and nothing is left of it in the next round."""
    barrier = impl.Barrier(2)
    passed: list[int] = []

    def let_pass_and_raise() -> None:
        passed.append(run_in_thread(barrier.wait, DEADLINE))
        raise Interrupt

    handle(let_pass_and_raise)
    for n in range(3):
        kick = kick_when_parked(barrier)
        with pytest.raises(Interrupt):
            barrier.wait(DEADLINE)
        kick.join()
        assert len(passed) == n + 1
        assert (barrier.n_waiting, barrier.broken) == (0, False)
    other = start(barrier.wait, DEADLINE)
    assert barrier.wait(DEADLINE) + other.join() == 1


def test_t33_interrupted_action_breaks_it_for_all(impl: ModuleType, handle: Handle) -> None:
    def act() -> None:
        kick_main()
        wait_until(lambda: False)

    barrier = impl.Barrier(3, act)
    handle(interrupt)

    def other() -> None:
        with pytest.raises(Broken):
            barrier.wait(DEADLINE)

    threads = [start(other) for _ in range(2)]
    wait_until(lambda: barrier.n_waiting == 2)
    with pytest.raises(Interrupt):
        barrier.wait(DEADLINE)
    for thread in threads:
        thread.join()
    assert barrier.broken
    assert barrier.n_waiting == 0


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
def test_t33_main_waits_for_an_action_to_end(
    impl: ModuleType, handle: Handle, raises: bool
) -> None:
    """The handler runs while it does, and an exception from it leaves no trace."""
    runs, go_on = threading.Event(), threading.Event()
    acted: list[int] = []

    def act() -> None:
        acted.append(1)
        if len(acted) == 1:
            runs.set()
            assert go_on.wait(DEADLINE)

    barrier = impl.Barrier(2, act)
    pair = [start(barrier.wait, DEADLINE) for _ in range(2)]
    assert runs.wait(DEADLINE)
    comes: list[int] = []
    handled: list[int] = []

    def handler() -> None:
        handled.append(1)
        if raises:
            raise Interrupt
        go_on.set()

    def kick() -> None:
        # When it waits for an action nobody can tell: again until the handler has run.
        wait_until(lambda: comes)
        while not handled:
            time.sleep(SETTLE)
            if not handled:
                kick_main()

    handle(handler)
    kicker = start(kick)
    partner = None if raises else start(barrier.wait, DEADLINE)
    if raises:
        with pytest.raises(Interrupt):
            comes.append(1)
            barrier.wait(DEADLINE)
        go_on.set()
    else:
        comes.append(1)
        assert barrier.wait(DEADLINE) in (0, 1)
    ignore_signal()
    kicker.join()
    assert sorted(thread.join() for thread in pair) == [0, 1]
    if partner:
        assert partner.join() in (0, 1)
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    assert len(acted) == 1 + (not raises)


@fails_on_stdlib(
    "an exception while wait() takes its lock back leaves it without", raises=RuntimeError
)
def test_t33_exception_while_another_thread_runs_the_action(
    impl: ModuleType, handle: Handle
) -> None:
    """Defect 2: in the stdlib, wait() is past its deadline and takes the lock of the action."""
    runs, ended = threading.Event(), threading.Event()
    brief = 0.15

    def act() -> None:
        runs.set()
        wait_until(lambda: time.monotonic() > began + brief + SETTLE)
        for _ in range(50):
            if ended.wait(SETTLE):
                break
            kick_main()

    handle(interrupt)
    for brief in (0.15, 1, 4):
        ended.clear()
        barrier = impl.Barrier(2, act)

        def arrive(barrier: Any = barrier) -> int:
            wait_until(lambda: barrier.n_waiting == 1)
            return barrier.wait(DEADLINE)

        other = start(arrive)
        began = time.monotonic()
        try:
            barrier.wait(brief)
        except Interrupt:
            pass
        except Broken:
            other.join()  # too late: it timed out before the other one came
            continue
        finally:
            ended.set()
        break
    ignore_signal()
    assert other.join() == 1
    assert (barrier.n_waiting, barrier.broken) == (0, False)


def test_the_exception_of_leaving_an_open_barrier_takes_the_place(handle: Handle) -> None:
    """As the one that a with-block's end raises takes the place of the block's own."""
    import pyfastlock

    class Broke:
        def __enter__(self) -> None:
            raise LookupError

        def __exit__(self, *_: object) -> None:
            raise AssertionError

    barrier = pyfastlock.Barrier(2)

    def open_and_raise() -> None:
        barrier._cond = Broke()
        raise Interrupt

    handle(open_and_raise)
    kicker = kick_when_parked(barrier)
    with pytest.raises(LookupError):
        barrier.wait(DEADLINE)
    kicker.join()
