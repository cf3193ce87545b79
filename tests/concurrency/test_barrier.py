"""Barriers: rounds, indices, timeouts, actions, abort() and reset() at every moment."""

from __future__ import annotations

import random
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from concurrency import CHILD_LIMIT, Interrupt, check_script, queued
from support import (
    DEADLINE,
    SETTLE,
    fails_on_stdlib,
    is_ours,
    parked,
    run_in_thread,
    start,
    wait_until,
)

Broken = threading.BrokenBarrierError


@pytest.fixture
def switch_often() -> Iterator[None]:
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(old)


@pytest.fixture
def switch_late() -> Iterator[None]:
    """With a GIL, whoever is woken does not run before the test blocks."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(10)
    yield
    sys.setswitchinterval(old)


def outcome(call: Callable[[], Any]) -> Any:
    """What the call returns, or the type of its exception."""
    try:
        return call()
    except Exception as exc:
        return type(exc)


def waiting(barrier: Any, n: int, *args: Any) -> list[Any]:
    """`n` threads that wait at the barrier; their results are outcomes."""
    threads = [start(outcome, lambda: barrier.wait(*args)) for _ in range(n)]
    wait_until(lambda: barrier.n_waiting == n)
    if is_ours(barrier):
        assert queued(barrier) == n
    return threads


def results(threads: list[Any]) -> list[Any]:
    return [thread.join() for thread in threads]


def works(barrier: Any) -> None:
    """One round with everybody."""
    assert not barrier.broken
    assert barrier.n_waiting == 0
    threads = waiting(barrier, barrier.parties - 1, DEADLINE)
    assert barrier.wait(DEADLINE) in range(barrier.parties)
    assert len(set(results(threads))) == barrier.parties - 1
    assert queued(barrier) == 0
    assert barrier.n_waiting == 0
    assert not barrier.broken


# Rounds.


@pytest.mark.parametrize("parties", [1, 2, 5])
@pytest.mark.parametrize("acts", [False, True], ids=["plain", "action"])
def test_t33_indices_are_unique_in_every_round(
    impl: ModuleType, parties: int, acts: bool, switch_often: None
) -> None:
    rounds, acted = 60, 0

    def act() -> None:
        nonlocal acted
        acted += 1

    barrier = impl.Barrier(parties, act if acts else None)

    def run() -> list[int]:
        return [barrier.wait(DEADLINE) for _ in range(rounds)]

    columns = results([start(run) for _ in range(parties)])
    for indices in zip(*columns, strict=True):
        assert sorted(indices) == list(range(parties))
    assert acted == rounds * acts
    assert barrier.n_waiting == queued(barrier) == 0


def test_t33_nobody_is_a_round_ahead(impl: ModuleType, switch_often: None) -> None:
    parties, rounds = 4, 60
    barrier = impl.Barrier(parties)
    arrived = [0] * parties

    def run(n: int) -> None:
        for step in range(rounds):
            arrived[n] += 1
            barrier.wait(DEADLINE)
            assert all(step + 1 <= count <= step + 2 for count in arrived)

    results([start(run, n) for n in range(parties)])


def test_t33_more_threads_than_parties(impl: ModuleType, switch_often: None) -> None:
    """They go through in groups, whoever is there."""
    parties, groups = 3, 80
    passed: list[int] = []
    barrier = impl.Barrier(parties, lambda: passed.append(1))

    def run() -> list[int]:
        indices = []
        while (index := outcome(lambda: barrier.wait(DEADLINE))) is not Broken:
            indices.append(index)
        return indices

    threads = [start(run) for _ in range(8)]
    wait_until(lambda: len(passed) >= groups)
    barrier.abort()
    columns = results(threads)
    counts = [sum(column.count(index) for column in columns) for index in range(parties)]
    if is_ours(barrier):
        # As many of each, but for the group whose action was under way.
        assert counts[0] == counts[1] == counts[2]
        assert counts[0] in (len(passed), len(passed) - 1)
    assert sum(counts) > 0
    assert barrier.n_waiting == 0


def test_t33_next_round_at_once(impl: ModuleType, switch_late: None) -> None:
    """The last one comes back before those who were released have run."""
    barrier = impl.Barrier(2)
    for _ in range(20):
        (other,) = waiting(barrier, 1, DEADLINE)
        barrier.wait(DEADLINE)
        again = start(barrier.wait, DEADLINE)
        assert barrier.wait(DEADLINE) + again.join() == 1
        assert other.join() in (0, 1)


def test_t33_barrier_of_one_never_waits(impl: ModuleType) -> None:
    calls = []
    barrier = impl.Barrier(1, lambda: calls.append(barrier.broken), timeout=0.001)
    assert [barrier.wait(), barrier.wait(5), barrier.wait(timeout=0)] == [0, 0, 0]
    assert calls == [False] * 3
    assert barrier.n_waiting == 0


def test_t33_n_waiting_and_broken_at_each_step(impl: ModuleType) -> None:
    seen: list[tuple[int, bool]] = []
    barrier = impl.Barrier(4, lambda: seen.append((barrier.n_waiting, barrier.broken)))
    threads: list[Any] = []
    for n in range(3):
        assert (barrier.n_waiting, barrier.broken) == (n, False)
        threads.append(start(barrier.wait, DEADLINE))
        wait_until(lambda n=n: barrier.n_waiting == n + 1)
    barrier.wait(DEADLINE)
    assert len({*results(threads)}) == 3
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    assert seen == [(4, False)]


def test_t33_n_waiting_is_zero_as_soon_as_all_are_there(
    impl: ModuleType, switch_late: None
) -> None:
    barrier = impl.Barrier(6)
    threads = waiting(barrier, 5, DEADLINE)
    barrier.wait(DEADLINE)
    n_waiting = barrier.n_waiting
    assert len({*results(threads)}) == 5
    assert n_waiting == 0


# Timeouts.


def test_t33_timeout_of_one_breaks_it_for_all(impl: ModuleType) -> None:
    barrier = impl.Barrier(5)
    patient = waiting(barrier, 3)
    with pytest.raises(Broken):
        barrier.wait(0.02)
    assert barrier.broken
    assert results(patient) == [Broken] * 3
    assert barrier.n_waiting == 0
    with pytest.raises(Broken):
        barrier.wait(DEADLINE)
    barrier.reset()
    works(barrier)


@pytest.mark.parametrize("way", ["default", "argument", "keyword"])
def test_t33_default_timeout_and_one_for_a_wait(impl: ModuleType, way: str) -> None:
    short, long = 0.02, DEADLINE
    barrier = impl.Barrier(2, timeout=short if way == "default" else long)
    began = time.monotonic()
    with pytest.raises(Broken):
        if way == "default":
            barrier.wait()
        elif way == "argument":
            barrier.wait(short)
        else:
            barrier.wait(timeout=short)
    assert short - 0.005 <= time.monotonic() - began < long
    assert barrier.broken


def test_t33_longer_timeout_than_the_default(impl: ModuleType) -> None:
    barrier = impl.Barrier(2, None, 0.01)
    other = start(barrier.wait, DEADLINE)
    wait_until(lambda: barrier.n_waiting == 1)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 0.03)
    assert barrier.wait() == 1
    assert other.join() == 0


def test_t33_the_last_one_needs_no_time(impl: ModuleType) -> None:
    barrier = impl.Barrier(3)
    threads = waiting(barrier, 2)
    assert barrier.wait(0) == 2
    assert sorted(results(threads)) == [0, 1]


def test_t33_timeouts_that_race_with_the_last_one(impl: ModuleType, switch_often: None) -> None:
    """All go, each with an index of its own; or nobody does, and it is broken."""
    rng = random.Random(33)
    went = 0
    for _ in range(60):
        barrier = impl.Barrier(4)
        timeout = rng.uniform(0.0005, 0.003)
        threads = [start(outcome, lambda: barrier.wait(timeout)) for _ in range(3)]  # noqa: B023
        time.sleep(timeout * rng.uniform(0, 1.5))
        mine = outcome(lambda: barrier.wait(0.001))  # noqa: B023
        all_results = [mine, *results(threads)]
        if barrier.broken:
            assert all_results == [Broken] * 4
        else:
            assert sorted(all_results) == [0, 1, 2, 3]
            went += 1
        assert barrier.n_waiting == queued(barrier) == 0
    print(f"{went} of 60 went")


# abort() and reset().


@pytest.mark.parametrize("method", ["abort", "reset"])
def test_t33_breaking_while_threads_wait(impl: ModuleType, method: str) -> None:
    barrier = impl.Barrier(5)
    for _ in range(3):
        threads = waiting(barrier, 4)
        getattr(barrier, method)()
        assert barrier.broken is (method == "abort") or impl is threading
        assert results(threads) == [Broken] * 4
        assert barrier.broken is (method == "abort")
        assert barrier.n_waiting == 0
        if method == "abort":
            assert outcome(barrier.wait) is Broken
            barrier.abort()
            assert outcome(barrier.wait) is Broken
            barrier.reset()
    works(barrier)


def test_t33_reset_of_an_empty_barrier(impl: ModuleType) -> None:
    barrier = impl.Barrier(2)
    barrier.reset()
    barrier.reset()
    works(barrier)


def test_t33_new_round_right_after_reset(impl: ModuleType, switch_late: None) -> None:
    """Those of the old round have not run yet when those of the new one are there."""
    barrier = impl.Barrier(3)
    for method in ("reset", "abort", "reset"):
        old = waiting(barrier, 2)
        getattr(barrier, method)()
        barrier.reset()
        new = [start(barrier.wait, DEADLINE) for _ in range(2)]
        mine = barrier.wait(DEADLINE)
        assert sorted([mine, *results(new)]) == [0, 1, 2]
        assert results(old) == [Broken] * 2


@fails_on_stdlib("a thread that was released fails when abort() comes before it runs")
def test_t33_abort_after_the_release(impl: ModuleType, switch_late: None) -> None:
    """Whoever was released passes, whatever comes before it runs."""
    for _ in range(5):
        barrier = impl.Barrier(4)
        threads = waiting(barrier, 3)
        barrier.wait()
        barrier.abort()
        assert sorted(map(str, results(threads))) == ["0", "1", "2"]
        assert barrier.broken


@pytest.mark.parametrize("method", ["reset", "wait"])
def test_t33_whatever_comes_after_the_release(
    impl: ModuleType, method: str, switch_late: None
) -> None:
    for _ in range(5):
        barrier = impl.Barrier(4)
        threads = waiting(barrier, 3)
        barrier.wait()
        others = []
        if method == "reset":
            barrier.reset()
        else:
            others = [start(outcome, barrier.wait)]
        assert sorted(map(str, results(threads))) == ["0", "1", "2"]
        wait_until(lambda: barrier.n_waiting == len(others))  # noqa: B023
        barrier.abort()
        assert results(others) == [Broken] * len(others)


def test_t33_abort_and_reset_race_with_rounds(impl: ModuleType, switch_often: None) -> None:
    """Everybody's wait ends, in whatever way."""
    barrier = impl.Barrier(3)
    stop = threading.Event()

    def run() -> int:
        passed = 0
        while not stop.is_set():
            result = outcome(lambda: barrier.wait(DEADLINE))
            assert result in (0, 1, 2, Broken)
            passed += result is not Broken
        return passed

    def disturb() -> None:
        rng = random.Random(3)
        while not stop.is_set():
            rng.choice([barrier.abort, barrier.reset, barrier.reset])()
            assert 0 <= barrier.n_waiting <= 5
            time.sleep(rng.choice([0, 0.0002]))
            barrier.reset()

    threads = [start(run) for _ in range(5)]
    disturber = start(disturb)
    time.sleep(0.3)
    stop.set()
    disturber.join()
    barrier.abort()
    assert sum(results(threads)) >= 0
    assert barrier.n_waiting == queued(barrier) == 0
    barrier.reset()
    works(barrier)


# Actions.


def test_t33_action_runs_once_before_all_go_on(impl: ModuleType) -> None:
    log: list[str] = []
    barrier = impl.Barrier(4, lambda: log.append("action"))

    def run() -> None:
        barrier.wait(DEADLINE)
        log.append("passed")

    results([start(run) for _ in range(4)])
    assert log == ["action"] + ["passed"] * 4


@pytest.mark.parametrize("error", [Interrupt, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_t33_raising_action_breaks_it_for_all(impl: ModuleType, error: type[BaseException]) -> None:
    def act() -> None:
        raise error

    barrier = impl.Barrier(4, act)
    threads = waiting(barrier, 3)
    with pytest.raises(error):
        barrier.wait()
    assert barrier.broken
    assert results(threads) == [Broken] * 3
    assert barrier.n_waiting == 0
    assert outcome(barrier.wait) is Broken


class Action:
    """An action that says when it runs, and ends when told to."""

    def __init__(self, error: type[BaseException] | None = None):
        self.error = error
        self.runs, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.runs.set()
        assert self.go_on.wait(DEADLINE)
        if self.error:
            raise self.error


def test_t33_a_long_action_lets_no_wait_time_out(impl: ModuleType) -> None:
    """All have arrived: those whose time is up meanwhile pass as well."""
    action = Action()
    barrier = impl.Barrier(4, action)
    for brief in (0.1, 0.4, 1.6):
        barrier.reset()
        began = time.monotonic()
        threads = [start(outcome, lambda: barrier.wait(brief)) for _ in range(3)]  # noqa: B023
        wait_until(lambda: barrier.n_waiting == 3 or barrier.broken)
        actor = start(outcome, lambda: barrier.wait(brief))  # noqa: B023
        wait_until(lambda: action.runs.is_set() or actor.done)  # noqa: B023
        if action.runs.is_set():
            break
        results([actor, *threads])  # too late: one of them has timed out
    else:
        pytest.skip("the machine is too busy for this")
    wait_until(lambda: time.monotonic() > began + brief + 0.05)
    assert not any(thread.done for thread in threads)
    action.go_on.set()
    assert sorted(map(str, results([actor, *threads]))) == ["0", "1", "2", "3"]
    assert not barrier.broken


@pytest.mark.parametrize("error", [None, Interrupt], ids=["returns", "raises"])
def test_t33_arriving_while_the_action_runs(
    impl: ModuleType, error: type[BaseException] | None
) -> None:
    """They are of the next round, or find it broken."""
    action = Action(error)
    barrier = impl.Barrier(3, action)
    first = waiting(barrier, 2)
    actor = start(outcome, barrier.wait)
    assert action.runs.wait(DEADLINE)
    second = [start(outcome, lambda: barrier.wait(DEADLINE)) for _ in range(3)]
    time.sleep(0.02)
    assert not any(thread.done for thread in second)
    action.go_on.set()
    if error:
        assert results([actor, *first]) == [error, Broken, Broken]
        assert results(second) == [Broken] * 3
    else:
        assert sorted(results([actor, *first])) == [0, 1, 2]
        assert sorted(results(second)) == [0, 1, 2]
    assert barrier.n_waiting == queued(barrier) == 0


def test_t33_timeout_after_arriving_while_the_action_ran(impl: ModuleType) -> None:
    action = Action()
    barrier = impl.Barrier(3, action)
    first = waiting(barrier, 2)
    actor = start(outcome, barrier.wait)
    assert action.runs.wait(DEADLINE)
    early = start(outcome, barrier.wait)
    if is_ours(barrier):
        parked(barrier, 3)
    else:
        time.sleep(SETTLE)
    action.go_on.set()
    assert sorted(results([actor, *first])) == [0, 1, 2]
    wait_until(lambda: barrier.n_waiting == 1)
    assert outcome(lambda: barrier.wait(0.01)) is Broken
    assert early.join() is Broken


@pytest.mark.parametrize("method", ["abort", "reset"])
@pytest.mark.parametrize("error", [None, Interrupt], ids=["returns", "raises"])
def test_t33_breaking_while_the_action_runs(method: str, error: type[BaseException] | None) -> None:
    """It does not wait for the action (the stdlib's does); those who wait are told at once."""
    import pyfastlock

    action = Action(error)
    barrier = pyfastlock.Barrier(3, action)
    first = waiting(barrier, 2)
    actor = start(outcome, barrier.wait)
    assert action.runs.wait(DEADLINE)
    latecomer = start(outcome, lambda: barrier.wait(DEADLINE))
    time.sleep(0.01)
    getattr(barrier, method)()
    assert results(first) == [Broken] * 2
    assert barrier.broken is (method == "abort")
    assert not actor.done
    if method == "abort":
        assert latecomer.join() is Broken
        barrier.reset()
    else:
        wait_until(lambda: barrier.n_waiting == 1)
    # The next round, while the action of the old one still runs.
    second = [
        start(outcome, lambda: barrier.wait(DEADLINE)) for _ in range(1 + (method == "abort"))
    ]
    wait_until(lambda: barrier.n_waiting == 2)
    action.go_on.set()
    assert actor.join() is (error or Broken)
    assert not barrier.broken
    assert barrier.n_waiting == 2
    action.error = None
    assert barrier.wait(DEADLINE) in range(3)
    others = results(second) + ([latecomer.join()] if method == "reset" else [])
    assert len(set(others)) == 2
    assert barrier.n_waiting == 0


def test_t33_two_actions_at_once(switch_often: None) -> None:
    """The action of a round that was reset ends while the next one's still runs."""
    import pyfastlock

    started: list[threading.Event] = []

    def act() -> None:
        go_on = threading.Event()
        started.append(go_on)
        assert go_on.wait(DEADLINE)

    barrier = pyfastlock.Barrier(2, act)
    (first,) = waiting(barrier, 1)
    first_actor = start(outcome, barrier.wait)
    wait_until(lambda: len(started) == 1)
    barrier.reset()
    (second,) = waiting(barrier, 1)
    second_actor = start(outcome, barrier.wait)
    wait_until(lambda: len(started) == 2)
    started[0].set()
    assert results([first, first_actor]) == [Broken, Broken]
    assert not second.done
    assert not barrier.broken
    started[1].set()
    assert sorted(results([second, second_actor])) == [0, 1]
    assert not barrier.broken
    assert barrier.n_waiting == 0


REENTER = """
log = []

def act():
    {call}

barrier = impl.Barrier(2, act)

def outcome():
    try:
        return barrier.wait(DEADLINE)
    except Exception as exc:
        return type(exc).__name__

other = start(outcome)
wait_until(lambda: barrier.n_waiting == 1)
print(sorted(map(str, (outcome(), other.join()))), *log, barrier.broken, barrier.n_waiting)
"""


@fails_on_stdlib("the action runs while the barrier's lock is held")
@pytest.mark.parametrize(
    ("call", "output"),
    [
        ("barrier.wait()", "['BrokenBarrierError', 'RuntimeError'] True 0"),
        ("barrier.wait(0.01)", "['BrokenBarrierError', 'RuntimeError'] True 0"),
        ("barrier.abort()", "['BrokenBarrierError', 'BrokenBarrierError'] True 0"),
        ("barrier.reset()", "['BrokenBarrierError', 'BrokenBarrierError'] False 0"),
        ("log.append(type(run_in_thread(barrier.abort)))", None),
    ],
    ids=["wait", "timed wait", "abort", "reset", "abort in a thread"],
)
def test_t33_action_that_re_enters(impl: ModuleType, call: str, output: str | None) -> None:
    ours = is_ours(impl.Barrier(1))
    check_script(
        REENTER.format(call=call),
        impl,
        output=output or "['BrokenBarrierError', 'BrokenBarrierError'] <class 'NoneType'> True 0",
        limit=CHILD_LIMIT if ours else 0.8,
    )


def test_t33_action_looks_at_the_barrier(impl: ModuleType) -> None:
    seen: list[Any] = []
    barrier = impl.Barrier(2, lambda: seen.append((barrier.broken, barrier.parties, repr(barrier))))
    works(barrier)
    assert len(seen) == 1
    assert seen[0][:2] == (False, 2)


def test_t33_action_goes_with_its_barrier(impl: ModuleType) -> None:
    """The barrier is dropped in its own action."""

    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)

    def act(thing: Thing = thing) -> None:
        barriers.clear()

    barriers = [impl.Barrier(1, act)]
    del thing, act
    assert barriers[0].wait() == 0
    assert barriers == []
    wait_until(lambda: gone() is None)


def test_t07_barrier_is_dropped_by_whoever_goes_last(impl: ModuleType) -> None:
    for _ in range(150):
        box = [impl.Barrier(2)]
        dropped = weakref.ref(box[0])

        def wait(box: list[Any]) -> int:
            return box.pop().wait(DEADLINE)

        other = start(wait, box)
        barrier = dropped()
        assert barrier is not None
        mine = barrier.wait(DEADLINE)
        del barrier
        assert mine + other.join() == 1
        wait_until(lambda dropped=dropped: dropped() is None)


def test_t33_errors_are_threadings_own(impl: ModuleType) -> None:
    barrier = impl.Barrier(2)
    (other,) = waiting(barrier, 1)
    barrier.abort()
    assert other.join() is threading.BrokenBarrierError
    with pytest.raises(threading.BrokenBarrierError) as caught:
        barrier.wait()
    assert caught.value.args == ()


# The end, and blocked threads.


@pytest.mark.parametrize("timeout", ["", "600"], ids=["untimed", "timed"])
def test_t25_daemon_threads_wait_at_exit(impl: ModuleType, timeout: str) -> None:
    check_script(
        f"""
        barrier = impl.Barrier(21)
        threads = [start(barrier.wait, {timeout}) for _ in range(20)]
        parked(barrier, 20)
        print("end")
        """,
        impl,
        output="end",
    )


def test_t25_barrier_is_broken_at_exit(impl: ModuleType) -> None:
    """Those who are woken when the interpreter has ended for them do no harm."""
    check_script(
        """
        class Late:
            def __del__(self, barrier=impl.Barrier(11), write=sys.stdout.write):
                barrier.abort()
                barrier.reset()
                write(f"{barrier.broken}")
        late = Late()
        barrier = Late.__del__.__defaults__[0]
        threads = [start(barrier.wait) for _ in range(10)]
        parked(barrier, 10)
        sys.modules["late"] = late
        del late, barrier
        """,
        impl,
        output="False",
    )


def test_t25_daemon_thread_in_an_action_at_exit(impl: ModuleType) -> None:
    check_script(
        """
        runs, never = threading.Event(), threading.Event()
        barrier = impl.Barrier(2, lambda: (runs.set(), never.wait()))
        threads = [start(barrier.wait) for _ in range(5)]
        assert runs.wait(DEADLINE)
        print("end")
        """,
        impl,
        output="end",
    )


def test_blocked_threads_use_no_cpu(impl: ModuleType) -> None:
    """Some of them wait for an action to end."""
    runs, go_on = threading.Event(), threading.Event()
    barrier = impl.Barrier(151)
    acting = impl.Barrier(2, lambda: (runs.set(), go_on.wait(DEADLINE)))
    threads = [start(barrier.wait, None if n % 2 else 600) for n in range(150)]
    threads += [start(acting.wait) for _ in range(50)]
    assert runs.wait(DEADLINE)
    parked(barrier, 150)
    began = time.process_time()
    time.sleep(0.5)
    used = time.process_time() - began
    go_on.set()
    barrier.wait()
    assert sum(results(threads)) == 150 * 149 // 2 + 25
    assert used < 0.25


def test_run_in_thread_after_all(impl: ModuleType) -> None:
    """A barrier that was used by many works for two that are new."""
    barrier = impl.Barrier(2)
    for _ in range(20):
        other = start(barrier.wait, DEADLINE)
        assert run_in_thread(barrier.wait, DEADLINE) + other.join() == 1
