"""contention(): who waits for which object, how long and where; and set_name()."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from concurrency import check_script, in_child, kick_when_parked, on_signal, queued
from subinterpreters import API, needs_subinterpreters
from support import DEADLINE, FREE_THREADED, SETTLE, held_elsewhere, parked, start

import pyfastlock
from pyfastlock import (
    Contention,
    ContentionReport,
    DeadlockError,
    contention,
    set_name,
    start_contention,
    stop_contention,
)

LOCKS: dict[str, Callable[[], Any]] = {
    "Lock": pyfastlock.Lock,
    "RLock": pyfastlock.RLock,
    "Semaphore": pyfastlock.Semaphore,
    "BoundedSemaphore": pyfastlock.BoundedSemaphore,
}
MAKERS: dict[str, Callable[[], Any]] = {
    **LOCKS,
    "Condition": pyfastlock.Condition,
    "Event": pyfastlock.Event,
    "Barrier": lambda: pyfastlock.Barrier(2),
}
CLASSES: dict[str, type] = {
    kind: type(f"Child{kind}", (getattr(pyfastlock, kind),), {})
    for kind in MAKERS
    if kind != "Lock"
}
HERE = os.path.basename(__file__)


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    with pytest.raises(RuntimeError, match="not being recorded"):
        stop_contention()


def here(offset: int = 0) -> int:
    """The line of the caller, plus `offset`."""
    return sys._getframe(1).f_lineno + offset


def take(lock: Any) -> None:
    with lock:
        pass


TAKE = take.__code__.co_firstlineno + 1


def take_while_held(lock: Any, seconds: float = SETTLE) -> None:
    """Another thread waits for the lock, so long at least."""
    with held_elsewhere(lock) as holder:
        waiter = start(take, lock)
        parked(lock)
        time.sleep(seconds)
        holder.let_go()
        waiter.join()


def only(report: ContentionReport) -> Contention:
    (lock,) = report.locks
    return lock


def of_kind(report: ContentionReport, kind: str) -> Contention:
    (lock,) = [lock for lock in report.locks if lock.kind == kind]
    return lock


def line_of(place: Any) -> tuple[str, int, str]:
    return os.path.basename(place.file), place.line, place.function


@pytest.mark.parametrize("kind", LOCKS)
def test_a_wait_for_a_lock(kind: str) -> None:
    with contention() as report:
        lock = LOCKS[kind]()
        made = here(-1)
        begin = time.monotonic()
        take_while_held(lock)
        most = time.monotonic() - begin
    found = only(report)
    assert (found.number, found.kind, found.class_name, found.name) == (1, kind, kind, None)
    assert (found.objects, found.waits) == (1, 1)
    assert line_of(found.made) == (HERE, made, test_a_wait_for_a_lock.__qualname__)
    assert SETTLE <= found.total == found.longest <= most <= report.seconds
    (call,) = found.calls
    assert line_of(call.place) == (HERE, TAKE, "take")
    assert (call.waits, call.total, call.longest) == (1, found.total, found.longest)
    assert report.lost == 0


@pytest.mark.parametrize("kind", CLASSES)
def test_objects_of_subclasses(kind: str) -> None:
    with contention() as report:
        if kind == "Barrier":
            barrier = CLASSES[kind](2)
            waiter = start(barrier.wait, DEADLINE)
            parked(barrier)
            barrier.wait(DEADLINE)
            waiter.join()
        elif kind in ("Event", "Condition"):
            with pytest.MonkeyPatch.context() as patch:
                obj = CLASSES[kind]()
                set_name(obj, "known")
                patch.setattr(CLASSES[kind], "note", True, raising=False)
                with obj if kind == "Condition" else open(os.devnull):
                    assert not obj.wait(0.001)
        else:
            obj = CLASSES[kind]()
            take_while_held(obj)
    found = of_kind(report, kind)
    assert (found.class_name, found.waits) == (f"Child{kind}", 1)
    assert found.made is not None
    assert found.made.function == test_objects_of_subclasses.__qualname__


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_holder_of_a_lock_is_known(kind: str) -> None:
    lock = getattr(pyfastlock, kind)()
    taken, told = pyfastlock.Event(), pyfastlock.Event()

    def hold() -> None:
        with lock:
            taken.set()
            assert told.wait(DEADLINE)

    with contention() as report:
        holder = start(hold)
        assert taken.wait(DEADLINE)
        parked(told)
        waiter = start(take, lock)
        parked(lock)
        told.set()
        waiter.join()
        holder.join()
    (call,) = of_kind(report, kind).calls
    if FREE_THREADED:
        assert call.holder is None
    else:
        line = hold.__code__.co_firstlineno + 3
        assert line_of(call.holder) == (HERE, line, hold.__qualname__)
    assert of_kind(report, kind).made is None  # before the recording


def test_a_condition_and_its_lock_are_told_apart() -> None:
    with contention() as report:
        lock = pyfastlock.Lock()
        condition = pyfastlock.Condition(lock)

        def wait() -> None:
            with condition:
                assert condition.wait(DEADLINE)

        waiter = start(wait)
        parked(condition)
        time.sleep(SETTLE)
        with condition:
            condition.notify()
            parked(lock)
            time.sleep(3 * SETTLE)
        waiter.join()
    line = wait.__code__.co_firstlineno + 2
    for kind, least in (("Condition", SETTLE), ("Lock", 3 * SETTLE)):
        found = of_kind(report, kind)
        (call,) = found.calls
        assert line_of(call.place) == (HERE, line, wait.__qualname__)
        assert found.waits == 1
        assert least <= found.total
    assert of_kind(report, "Condition").total + of_kind(report, "Lock").total <= report.seconds
    assert [lock.kind for lock in report.locks] == ["Lock", "Condition"]  # first what holds up


def test_a_condition_that_times_out_then_waits_for_its_lock() -> None:
    lock = pyfastlock.Lock()
    condition = pyfastlock.Condition(lock)
    timeout, waits_at_last = 2 * SETTLE, False

    def wait(seconds: float) -> bool:
        with condition:
            return condition.wait(seconds)

    while not waits_at_last:  # a busy machine may be too late for a short timeout
        timeout *= 2
        with contention() as report:
            waiter = start(wait, timeout)
            while not queued(condition) and not waiter.done:
                time.sleep(0.001)
            with lock:
                waits_at_last = queued(condition) == 1
                if waits_at_last:
                    parked(lock)
                    time.sleep(SETTLE)
            assert waiter.join() is False
    assert of_kind(report, "Condition").waits == of_kind(report, "Lock").waits == 1
    assert 0.9 * timeout <= of_kind(report, "Condition").total
    assert of_kind(report, "Lock").total >= 0.9 * SETTLE


def test_a_condition_that_waits_for_no_time_then_waits_for_its_lock() -> None:
    lock = pyfastlock.Lock()
    cond = pyfastlock.Condition(lock)
    taken = []

    def take_and_keep() -> None:
        with cond:
            taken.append(True)
            time.sleep(SETTLE)

    with contention() as report:
        with cond:
            other = start(take_and_keep)
            parked(lock)
            while not taken:
                cond.wait(0)
                line = here(-1)
        other.join()
    found = of_kind(report, "Lock")
    assert line in [call.place.line for call in found.calls if call.place], report


def test_a_condition_over_a_foreign_lock() -> None:
    with contention() as report:
        condition = pyfastlock.Condition(threading.RLock())
        with condition:
            assert not condition.wait(SETTLE)
    assert (only(report).kind, only(report).waits) == ("Condition", 1)
    assert only(report).total >= SETTLE


def test_events_and_barriers() -> None:
    event, barrier = pyfastlock.Event(), pyfastlock.Barrier(3)
    with contention() as report:
        threads = [start(event.wait, DEADLINE) for _ in range(4)]
        parked(event, 4)
        event.set()
        threads += [start(barrier.wait, DEADLINE) for _ in range(2)]
        parked(barrier, 2)
        barrier.wait(DEADLINE)  # the last to arrive does not wait
        for thread in threads:
            thread.join()
    assert of_kind(report, "Event").waits == 4
    assert of_kind(report, "Barrier").waits == 2


def test_what_does_not_wait_is_not_in_the_report() -> None:
    with contention() as report:
        lock, event, semaphore = pyfastlock.Lock(), pyfastlock.Event(), pyfastlock.Semaphore(0)
        condition, barrier = pyfastlock.Condition(), pyfastlock.Barrier(1)
        with lock, condition:
            assert not lock.acquire(False)
            assert not condition.wait(0)
            condition.notify_all()
        assert not event.wait(0)
        assert not semaphore.acquire(False)
        event.set()
        assert event.wait()
        barrier.wait()
    assert report.locks == []
    assert "nobody has waited" in str(report)
    assert report.collapsed() == ""


@pytest.mark.parametrize("how", ["timeout", "exception"])
def test_a_wait_without_success_counts(how: str) -> None:
    class Error(Exception):
        pass

    def fail() -> None:
        raise Error

    lock = pyfastlock.Lock()
    with contention() as report, held_elsewhere(lock):
        if how == "timeout":
            assert not lock.acquire(timeout=SETTLE)
        else:
            on_signal(fail)
            kicked = kick_when_parked(lock)
            with pytest.raises(Error):
                lock.acquire()
            kicked.join()
    assert (only(report).kind, only(report).waits) == ("Lock", 1)
    assert only(report).total > 0


def test_a_wait_in_a_signal_handler_counts_beside_the_interrupted_one() -> None:
    lock, inner = pyfastlock.Lock(), pyfastlock.Semaphore(0)
    on_signal(lambda: inner.acquire(timeout=0.001))
    with contention() as report, held_elsewhere(lock) as holder:
        kicked = kick_when_parked(lock)

        def let_go() -> None:
            kicked.join()
            time.sleep(SETTLE)
            holder.let_go()

        helper = start(let_go)
        with lock:
            pass
        helper.join()
    assert of_kind(report, "Lock").waits == of_kind(report, "Semaphore").waits == 1


def test_a_deadlock_counts_and_is_named() -> None:
    lock = pyfastlock.RLock()
    set_name(lock, "orphan")
    start(lock.acquire).join()
    with contention() as report, pytest.raises(DeadlockError, match="RLock 'orphan' at 0x"):
        lock.acquire()
    assert only(report).name == "orphan"
    assert only(report).waits == 1


def test_frames_of_threading_are_left_out() -> None:
    script = """
    import pyfastlock
    pyfastlock.patch()
    import threading
    def wait_for_start():
        with pyfastlock.contention() as report:
            thread = threading.Thread(target=time.sleep, args=(0.01,))
            thread.start()
            thread.join()
            event = threading.Event()
            threading.Timer(0.05, event.set).start()
            assert event.wait(20)
        return report
    import time
    report = wait_for_start()
    for lock in report.locks:
        places = [call.place.function for call in lock.calls]
        assert {*places} <= {"wait_for_start", "Timer.run"}, places
    assert "Event" in [lock.kind for lock in report.locks]
    """
    check_script(script)


# ---- starting and stopping ----


def test_starting_twice_and_stopping_without_start() -> None:
    start_contention()
    try:
        with pytest.raises(RuntimeError, match=r"^contention is being recorded already$"):
            start_contention()
        with pytest.raises(RuntimeError, match=r"^contention is being recorded already$"):
            with contention():
                pass
    finally:
        report = stop_contention()
    assert isinstance(report, ContentionReport)
    with pytest.raises(RuntimeError, match=r"^contention is not being recorded$"):
        stop_contention()


def test_reading_without_start() -> None:
    with pytest.raises(RuntimeError, match=r"^contention is not being recorded$"):
        pyfastlock._core._read_contention()


def test_a_block_that_stops_by_itself_or_raises() -> None:
    with contention() as report:
        assert stop_contention() is report
    with pytest.raises(ZeroDivisionError), contention():
        raise ZeroDivisionError
    with contention():
        stop_contention()
        start_contention()
    assert stop_contention().locks == []


def test_a_recording_begins_empty() -> None:
    lock = pyfastlock.Lock()
    with contention() as first:
        take_while_held(lock)
    take_while_held(lock)
    with contention() as second:
        take_while_held(lock)
    assert only(first).waits == only(second).waits == 1
    assert only(second).made is None


def test_a_wait_counts_where_it_begins_and_ends_in_one_recording() -> None:
    lock = pyfastlock.Lock()
    with held_elsewhere(lock) as holder:
        with contention() as first:
            waiter = start(take, lock)
            parked(lock)
        with contention() as second:
            holder.let_go()
            waiter.join()
    assert first.locks == second.locks == []


def test_the_report_can_be_read_meanwhile() -> None:
    lock = pyfastlock.Lock()
    with contention() as report:
        assert report.locks == []
        for count in (1, 2):
            take_while_held(lock)
            assert only(report).waits == count
        assert 0 < report.seconds < report.seconds
    assert only(report).waits == 2
    assert report.seconds == report.seconds


# ---- many objects and places ----


def test_a_freed_object_keeps_its_record_and_a_new_one_gets_its_own() -> None:
    with contention() as report:
        for name in "ab":
            lock = pyfastlock.Lock()
            set_name(lock, name)
            take_while_held(lock)
            gone = weakref.ref(lock)
            del lock
            gc.collect()
            assert gone() is None
    assert sorted((found.name, found.waits, found.objects) for found in report.locks) == [
        ("a", 1, 1),
        ("b", 1, 1),
    ]
    assert len({found.number for found in report.locks}) == 2


def wait_a_moment(semaphore: Any) -> None:
    assert not semaphore.acquire(timeout=1e-6)


def test_many_freed_objects_are_put_together() -> None:
    count = 1500
    with contention() as report:
        for _ in range(count):
            wait_a_moment(pyfastlock.Semaphore(0))
        pyfastlock.Lock()  # nobody waits for it
    assert sum(found.waits for found in report.locks) == count
    assert sum(found.objects for found in report.locks) == count
    assert len(report.locks) <= 16 * 65
    assert any(found.objects > 1 for found in report.locks)
    assert {found.made.function for found in report.locks if found.made} == {
        test_many_freed_objects_are_put_together.__qualname__
    }
    assert f"({max(found.objects for found in report.locks)} objects)" in str(report)


def test_objects_of_too_many_names_are_put_together() -> None:
    count = 0
    with contention() as report:
        # Objects at one address share their room, so the first turn is enough as a rule.
        while all(found.kind for found in report.locks) and count < 16 * 600:
            for number in range(600):
                semaphore = pyfastlock.Semaphore(0)
                set_name(semaphore, f"number {count + number}")
                wait_a_moment(semaphore)
                del semaphore
            count += 600
    assert sum(found.waits for found in report.locks) == count
    assert sum(found.objects for found in report.locks) == count
    assert 512 < len(report.locks) <= 16 * 513
    rest = [found for found in report.locks if not found.kind]
    assert rest
    assert {(found.class_name, found.name, found.made) for found in rest} == {
        ("freed objects", None, None)
    }
    with contention() as report:  # and the next recording has room again
        many = [pyfastlock.Semaphore(0) for _ in range(300)]
        for semaphore in many:
            wait_a_moment(semaphore)
        del many, semaphore
    assert {found.kind for found in report.locks} == {"Semaphore"}


def test_too_many_places_are_put_together() -> None:
    scope: dict[str, Any] = {}
    semaphore = pyfastlock.Semaphore(0)
    exec("\n".join(f"def f{i}(s): return s.acquire(timeout=1e-6)" for i in range(100)), scope)
    with contention() as report:
        for _ in range(2):
            for i in range(100):
                assert scope[f"f{i}"](semaphore) is False
    found = only(report)
    assert found.waits == 200
    assert len(found.calls) == 65
    (rest,) = [call for call in found.calls if call.place is None]
    assert (rest.waits, rest.holder) == (72, None)
    assert {call.waits for call in found.calls if call.place is not None} == {2}
    assert "elsewhere" in str(report)


def test_totals_add_up_over_threads() -> None:
    """Also without the GIL: each wait that a thread has made is counted once."""
    threads, rounds = 6, 60
    semaphores = [pyfastlock.Semaphore(0) for _ in range(3)]

    def body() -> None:
        for number in range(rounds):
            wait_a_moment(semaphores[number % 3])
            wait_a_moment(pyfastlock.Semaphore(0))
            report.locks  # noqa: B018 - to read while others record

    with contention() as report:
        for thread in [start(body) for _ in range(threads)]:
            thread.join()
    assert sum(found.waits for found in report.locks) == 2 * threads * rounds
    assert sum(found.objects for found in report.locks) == 3 + threads * rounds
    shared = [found for found in report.locks if found.made is None]
    assert [found.waits for found in shared] == [threads * rounds // 3] * 3
    for found in report.locks:
        assert found.longest <= found.total
        assert found.waits == sum(call.waits for call in found.calls)


def test_starting_and_stopping_while_threads_wait() -> None:
    """Nothing is counted twice, and nothing of one recording appears in the next."""
    semaphore = pyfastlock.Semaphore(0)
    counts = [0] * 4
    over = pyfastlock.Event()

    def body(number: int) -> None:
        while not over.is_set():
            wait_a_moment(semaphore)
            wait_a_moment(pyfastlock.Semaphore(0))
            counts[number] += 2

    waiters = [start(body, number) for number in range(4)]
    recorded = 0
    for _ in range(50):
        with contention() as report:
            before = sum(counts)
            time.sleep(0.001)
            after = sum(counts)
        waits = sum(found.waits for found in report.locks)
        assert waits >= after - before - 8  # two of each thread may have begun before
        recorded += waits
    over.set()
    for waiter in waiters:
        waiter.join()
    assert recorded <= sum(counts)


# ---- what a report shows ----


def example() -> ContentionReport:
    """Made again where a busy machine let a thread wait longer for the second lock."""
    for _ in range(20):
        report = one_example()
        if report.locks[0].kind == "RLock":
            break
    return report


def one_example() -> ContentionReport:
    with contention() as report:
        pool = pyfastlock.RLock()
        set_name(pool, "pool; of\nworkers")
        take_while_held(pool, 3 * SETTLE)
        lock = pyfastlock.Lock()
        take_while_held(lock)
        assert not pyfastlock.Event().wait(5 * SETTLE)
    return report


def test_the_table() -> None:
    report = example()
    lines = str(report).splitlines()
    assert re.fullmatch(r"Contention in \d+\.\d{3} s", lines[0])
    titles = [line.split("  ")[0] for line in lines if "longest s" in line]
    assert titles == ["waits for locks and semaphores", "waits for news"]
    objects = [line for line in lines[2:] if line and line[0] != " " and "longest s" not in line]
    assert [line.split()[0] for line in objects] == ["RLock", "Lock", "Event"]
    assert objects[0].startswith(f"RLock 'pool; of\\nworkers' of {example.__code__.co_filename}:")
    assert re.search(r"\s1  +0\.\d{6}  +0\.\d{6}$", objects[1])
    assert f"  take ({__file__}:{TAKE})" in str(report)
    assert ("    held by " in str(report)) is not FREE_THREADED
    assert repr(report).startswith("<ContentionReport: 3 waits in ")
    assert repr(report.locks[1].calls[0].place) == f"Place({__file__!r}, {TAKE}, 'take')"
    assert repr(report.locks[1]).startswith("Contention(number=2, kind='Lock', ")
    assert "calls=[WaitingCall(place=Place(" in repr(report.locks[1])


def test_json() -> None:
    report = example()
    whole = json.loads(report.json())
    assert set(whole) == {"seconds", "lost", "locks"}
    first = whole["locks"][0]
    assert set(first) == set(Contention.__slots__)
    assert first["name"] == "pool; of\nworkers"
    assert first["total"] == report.locks[0].total
    assert first["calls"][0]["place"] == {"file": __file__, "line": TAKE, "function": "take"}
    assert len(whole["locks"]) == 3


def test_collapsed_stacks() -> None:
    report = example()
    lines = report.collapsed().splitlines()
    assert len(lines) == 3
    parts = [re.fullmatch(r"([^;\n]+(?:;[^;\n]+)*) (\d+)", line) for line in lines]
    assert all(parts)
    assert [int(part[2]) for part in parts if part] == [
        round(found.total * 1e6) for found in report.locks
    ]
    frames = lines[0].rpartition(" ")[0].split(";")
    assert frames[0].startswith("RLock 'pool: of\\nworkers' of ")
    assert frames[1] == f"take ({__file__}:{TAKE})"
    assert len(frames) == (2 if FREE_THREADED else 3)
    assert lines[2].startswith("Event of ")


# ---- names ----


@pytest.mark.parametrize("kind", MAKERS)
def test_a_name_goes_with_its_object(kind: str) -> None:
    obj = MAKERS[kind]()
    name_of = pyfastlock._core._name
    assert name_of(obj) is None
    set_name(obj, "first")
    set_name(obj, "second \N{SNOWMAN}\0")
    assert name_of(obj) == "second \N{SNOWMAN}\0"
    gone = weakref.ref(obj)
    del obj
    gc.collect()
    assert gone() is None
    others = [MAKERS[kind]() for _ in range(100)]
    assert all(name_of(other) is None for other in others)
    set_name(others[0], "third")
    set_name(others[0], None)
    assert name_of(others[0]) is None


def test_names_of_many_objects() -> None:
    objects = [MAKERS[kind]() for kind in MAKERS for _ in range(400)]
    for number, obj in enumerate(objects):
        set_name(obj, f"{number}")
    kept = objects[::3]
    del obj, objects
    gc.collect()
    new = [pyfastlock.Lock() for _ in range(2000)]
    assert [pyfastlock._core._name(obj) for obj in kept] == [
        str(3 * number) for number in range(len(kept))
    ]
    assert {pyfastlock._core._name(obj) for obj in new} == {None}


def test_names_of_each_length() -> None:
    """A name that is written beyond its end breaks what is beside it in memory."""
    objects = [(pyfastlock.Lock(), length * "x") for _ in range(5) for length in range(100)]
    for obj, name in objects:
        set_name(obj, name)
    assert [pyfastlock._core._name(obj) for obj, _ in objects] == [name for _, name in objects]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_object_of_a_subclass_has_a_name(kind: str) -> None:
    class Odd(CLASSES[kind]):  # type: ignore[name-defined,misc]
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def __repr__(self) -> str:
            raise AssertionError

    obj = Odd(2) if kind == "Barrier" else Odd()
    set_name(obj, "odd")
    assert pyfastlock._core._name(obj) == "odd"
    gone = weakref.ref(obj)
    del obj
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("lock", "name", "error", "text"),
    [
        (threading.Lock(), "x", TypeError, "lock"),
        (None, "x", TypeError, "NoneType"),
        (pyfastlock.Lock(), b"x", TypeError, "^a name must be a str or None, not bytes$"),
        (pyfastlock.Lock(), 1, TypeError, "not int$"),
        (pyfastlock.Lock(), "\ud800", UnicodeEncodeError, "surrogates"),
    ],
)
def test_wrong_names(lock: Any, name: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        set_name(lock, name)
    assert pyfastlock._core._name(lock) is None


def test_names_and_a_recording_of_another_copy_of_the_module() -> None:
    """It ends while it records.  Names here stay what they are."""
    spec = pyfastlock._core.__spec__
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(TypeError, match=r"^_set_name expected 2 arguments, got 1$"):
        pyfastlock._core._set_name(pyfastlock.Lock())  # type: ignore[call-arg]
    lock = pyfastlock.Lock()
    set_name(lock, "ours")
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    copy._start_contention()
    copy.event = copy.Event()
    copy._set_name(copy.event, "theirs")
    assert not copy.event.wait(SETTLE)
    del copy
    gc.collect()
    gc.collect()
    assert pyfastlock._core._name(lock) == "ours"


def test_a_name_that_is_of_a_subclass_of_str() -> None:
    class Text(str):
        def __str__(self) -> str:
            raise AssertionError

    lock = pyfastlock.Lock()
    set_name(lock, Text("plain"))
    assert type(pyfastlock._core._name(lock)) is str


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("pool", "pool"),
        ("two\nlines\0\x7f", "two?lines??"),
        (46 * "x" + "\N{SNOWMAN}", 46 * "x"),  # cut between two characters
        (60 * "x", 47 * "x"),
        ("", None),
    ],
)
def test_names_stand_in_dumps(name: str, shown: str | None, tmp_path: Path) -> None:
    lock = pyfastlock.RLock()
    set_name(lock, name)
    with held_elsewhere(lock) as holder, (tmp_path / "dump").open("w+", encoding="utf-8") as file:
        waiter = start(take, lock)
        parked(lock)
        pyfastlock.dump_locks(file)
        holder.let_go()
        waiter.join()
        file.seek(0)
        called = "" if shown is None else f" '{shown}'"
        assert f"<pyfastlock.RLock{called} at {id(lock):#x}>" in file.read()


# ---- forks, interpreters ----


def test_a_recording_goes_on_in_a_child() -> None:
    lock = pyfastlock.Lock()
    set_name(lock, "both")
    with contention() as report:
        take_while_held(lock)

        def check() -> None:
            take_while_held(lock)
            assert (only(report).waits, only(report).name) == (2, "both")
            assert only(stop_contention()).waits == 2

        in_child(check)
        take_while_held(lock)
    assert only(report).waits == 2


def take_a_new_lock() -> None:
    lock = pyfastlock.Lock()
    set_name(lock, "new")
    take_while_held(lock)


def test_a_fork_while_threads_record() -> None:
    over = pyfastlock.Event()

    def body() -> None:
        while not over.is_set():
            semaphore = pyfastlock.Semaphore(0)
            set_name(semaphore, "busy")
            wait_a_moment(semaphore)

    with contention():
        threads = [start(body) for _ in range(3)]
        for _ in range(5):
            in_child(take_a_new_lock)
        over.set()
        for thread in threads:
            thread.join()


@needs_subinterpreters
def test_an_interpreter_records_by_itself() -> None:
    script = (
        API
        + '''
import pyfastlock
INSIDE = PATH + """
import pyfastlock
semaphore = pyfastlock.Semaphore(0)
pyfastlock.set_name(semaphore, "inside")
if {record}:
    pyfastlock.start_contention()
assert not semaphore.acquire(timeout=0.001)
if {record}:
    report = pyfastlock.stop_contention()
    (found,) = report.locks
    assert (found.name, found.waits) == ("inside", 1), found
    pyfastlock.start_contention()
    assert not semaphore.acquire(timeout=0.001)  # and the interpreter ends
else:
    try:
        pyfastlock.stop_contention()
    except RuntimeError:
        pass
    else:
        raise AssertionError
"""
outside = pyfastlock.Semaphore(0)
for own_gil in (True, False):
    for record in (True, False):
        with pyfastlock.contention() as report:
            interpreter = create(own_gil)
            run(interpreter, INSIDE.format(record=record))
            assert not outside.acquire(timeout=0.001)
            destroy(interpreter)
        (found,) = report.locks
        assert (found.kind, found.waits) == ("Semaphore", 1), report
'''
    )
    check_script(script)


@needs_subinterpreters
def test_an_interpreter_that_ends_while_it_records_leaves_nothing() -> None:
    script = f"""{API}
import ctypes, sys
import pyfastlock

class Memory(ctypes.Structure):  # what is allocated: arenas, ..., of the system, ..., in use
    _fields_ = [(f"f{{n}}", ctypes.c_size_t) for n in range(10)]

mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if mallinfo is None:  # glibc has it, since 2.33
    sys.exit()
mallinfo.restype = Memory

def used():
    memory = mallinfo()
    return memory.f4 + memory.f7

INSIDE = PATH + \"\"\"
import pyfastlock
pyfastlock.start_contention()
for number in range(1500):
    semaphore = pyfastlock.Semaphore(0)
    pyfastlock.set_name(semaphore, str(number))
    assert not semaphore.acquire(timeout=1e-9)
    if number % 100 == 0:
        kept = []
    kept.append(semaphore)
\"\"\"
for _ in range(2):  # the first interpreter makes room for what the process keeps
    before = used()
    interpreter = create(False)
    run(interpreter, INSIDE)
    most = used()
    destroy(interpreter)
assert used() - before < (most - before) / 8, (before, most, used())
"""
    check_script(script)


def test_a_program_may_end_while_it_records() -> None:
    check_script(
        """
        import pyfastlock, threading
        pyfastlock.start_contention()
        kept = [pyfastlock.Semaphore(0), pyfastlock.Condition()]
        pyfastlock.set_name(kept[0], "kept")
        assert not kept[0].acquire(timeout=0.001)
        class Late:
            def __del__(self):
                try:
                    assert not kept[0].acquire(timeout=0.001)
                except RuntimeError:  # since 3.15: the interpreter ends
                    pass
        late = Late()
        late.itself = late
        daemon = threading.Thread(target=pyfastlock.Event().wait, daemon=True)
        daemon.start()
        """
    )
