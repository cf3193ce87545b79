"""`patch`, `unpatch`, `patched` and `unreached`: what they replace, put back and leave alone."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import pytest
from concurrency import check_script, in_child
from subinterpreters import API, needs_subinterpreters, own_gil
from support import DEADLINE, start

import pyfastlock
from pyfastlock import _patch

NAMES = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]
STDLIB = {name: getattr(threading, name) for name in NAMES}
OURS = {name: getattr(pyfastlock, name) for name in NAMES}


def current() -> dict[str, Any]:
    return {name: getattr(threading, name) for name in NAMES}


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """Whatever a test does to `threading`, the next one finds the standard library there."""
    assert current() == STDLIB
    yield
    pyfastlock.unpatch()
    vars(threading).update(STDLIB)


def test_importing_changes_nothing() -> None:
    check_script(
        """
        import threading
        assert impl.Lock is not threading.Lock
        before = dict(vars(threading))
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyfastlock"]:
            if name != "pyfastlock._core":
                del sys.modules[name]
        import pyfastlock
        assert pyfastlock is not impl
        assert vars(threading) == before
        """
    )


def test_patch_and_unpatch() -> None:
    before = dict(vars(threading))
    pyfastlock.patch()
    assert current() == OURS
    assert vars(threading) == before | OURS
    pyfastlock.unpatch()
    assert vars(threading) == before


def test_calls_need_not_be_balanced() -> None:
    pyfastlock.unpatch()
    assert current() == STDLIB
    pyfastlock.patch()
    pyfastlock.patch()
    assert current() == OURS
    pyfastlock.unpatch()
    assert current() == STDLIB
    pyfastlock.unpatch()
    assert current() == STDLIB
    pyfastlock.patch()
    assert current() == OURS


def test_a_block() -> None:
    with pyfastlock.patched():
        assert current() == OURS
        with pyfastlock.patched():
            assert current() == OURS
        assert current() == OURS
    assert current() == STDLIB
    with pytest.raises(ZeroDivisionError):
        with pyfastlock.patched():
            raise ZeroDivisionError
    assert current() == STDLIB


def test_a_decorator() -> None:
    @pyfastlock.patched()
    def function() -> dict[str, Any]:
        return current()

    assert function() == function() == OURS
    assert current() == STDLIB


def test_a_block_restores_what_patch_did() -> None:
    pyfastlock.patch()
    with pyfastlock.patched():
        pyfastlock.patch()
    assert current() == OURS


def test_unpatch_in_a_block_waits_for_its_end() -> None:
    pyfastlock.patch()
    with pyfastlock.patched():
        pyfastlock.unpatch()
        assert current() == OURS
    assert current() == STDLIB


def test_a_block_whose_beginning_fails_is_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.Lock

    def fail() -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("pyfastlock._patch._neighbours.watch", fail)
        with pytest.raises(MemoryError), pyfastlock.patched():
            pytest.fail("the block has begun")
    assert threading.Lock is before
    with pyfastlock.patched():
        assert threading.Lock is pyfastlock.Lock
    assert threading.Lock is before


def test_blocks_that_overlap_in_two_threads() -> None:
    entered, leave = queue.SimpleQueue[None](), queue.SimpleQueue[None]()

    def other() -> None:
        with pyfastlock.patched():
            entered.put(None)
            leave.get(timeout=DEADLINE)
            assert current() == OURS

    with pyfastlock.patched():
        thread = start(other)
        entered.get(timeout=DEADLINE)
    assert current() == OURS
    leave.put(None)
    thread.join()
    assert current() == STDLIB


class Foreign:
    """What somebody else puts into `threading`."""


def test_unpatch_leaves_alone_what_somebody_else_has_put_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pyfastlock.patch()
    monkeypatch.setattr(threading, "Lock", Foreign)
    pyfastlock.unpatch()
    assert current() == STDLIB | {"Lock": Foreign}


def test_unpatch_puts_back_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Lock", Foreign)
    with pyfastlock.patched():
        assert current() == OURS
    assert current() == STDLIB | {"Lock": Foreign}


def test_patch_replaces_what_somebody_else_has_put_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pyfastlock.patch()
    monkeypatch.setattr(threading, "Lock", Foreign)
    pyfastlock.patch()
    assert current() == OURS
    pyfastlock.unpatch()
    assert current() == STDLIB | {"Lock": Foreign}


def test_what_was_ours_before_stays_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with pyfastlock.patched():
        pass
    monkeypatch.setattr(threading, "Lock", pyfastlock.Lock)
    with pyfastlock.patched():
        assert current() == OURS
    assert current() == STDLIB | {"Lock": pyfastlock.Lock}


def test_many_threads_at_once() -> None:
    def use_blocks() -> None:
        for _ in range(300):
            with pyfastlock.patched():
                assert current() == OURS

    def call() -> None:
        for _ in range(300):
            pyfastlock.patch()
            pyfastlock.unpatch()

    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [start(function) for function in (use_blocks, call) * 2]
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch_interval)
    assert current() == STDLIB


@pytest.mark.parametrize("step", ["replace", "restore"])
@pytest.mark.parametrize("last", ["patch", "unpatch"])
def test_a_signal_handler_that_interrupts_it(
    step: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler's calls are the last that were made, and so the state is what they ask for."""
    original = getattr(_patch._Switch, step)
    handled = []

    def interrupted(switch: object) -> None:
        if not handled:
            handled.append(None)
            with pyfastlock.patched():
                pyfastlock.patch()
                pyfastlock.unpatch()
                getattr(pyfastlock, last)()
        original(switch)

    monkeypatch.setattr(_patch._Switch, step, interrupted)
    pyfastlock.patch()
    if step == "restore":
        pyfastlock.unpatch()
    assert handled
    assert current() == (OURS if last == "patch" else STDLIB)
    pyfastlock.unpatch()
    assert current() == STDLIB


def test_signals_at_any_moment() -> None:
    check_script(
        """
        import threading
        stdlib, switched = threading.Lock, 0
        def handler(*_):
            global switched
            with impl.patched():
                switched += 1
            # Here, at its end: a slow handler would be interrupted by the next one, for ever.
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        end = time.monotonic() + 10
        while switched < 100 and time.monotonic() < end:
            impl.patch()
            assert threading.Lock is impl.Lock
            with impl.patched():
                assert threading.Lock is impl.Lock
            impl.unpatch()
            assert threading.Lock is stdlib
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert switched
        assert threading.Lock is stdlib
        """
    )


def test_a_forked_child_is_patched() -> None:
    with pyfastlock.patched():
        in_child(lambda: None if current() == OURS else pytest.fail("the child is not patched"))


def test_fork_while_another_thread_switches() -> None:
    stop = False

    def switch() -> None:
        while not stop:
            with pyfastlock.patched():
                pass

    def check() -> None:
        # The block that the other thread was in stays open in the child, for good.
        pyfastlock.patch()
        assert current() == OURS
        # In the child no thread is left in it that another one would have to wait for.
        start(pyfastlock.patch).join()

    thread = start(switch)
    try:
        for _ in range(20):
            in_child(check)
    finally:
        stop = True
        thread.join()
    assert current() == STDLIB


def test_locks_of_both_kinds_work_together() -> None:
    """Conditions, events and threads made before and during the patch, used after it."""
    old_lock, old_rlock, old_condition = threading.Lock(), threading.RLock(), threading.Condition()
    old_thread = threading.Thread(target=lambda: None)
    with pyfastlock.patched():
        conditions = [
            old_condition,
            threading.Condition(),
            threading.Condition(old_lock),
            threading.Condition(old_rlock),
        ]
        new_lock, new_rlock = threading.Lock(), threading.RLock()
        new_thread = threading.Thread(target=lambda: None)
        old_thread.start()
    conditions += [threading.Condition(new_lock), threading.Condition(new_rlock)]
    new_thread.start()
    for thread in old_thread, new_thread:
        thread.join(DEADLINE)
        assert not thread.is_alive()

    for condition in conditions:
        told = []

        def tell(condition: Any = condition, told: list[None] = told) -> None:
            with condition:
                told.append(None)
                condition.notify()

        with condition:
            thread = start(tell)
            assert condition.wait_for(lambda told=told: told, DEADLINE)
        thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_names_that_were_imported_before_go_on_working(name: str) -> None:
    """As after `from threading import ...`; 3.11 looks a base class up by its name."""
    attributes = dict(vars(STDLIB[name])) if isinstance(STDLIB[name], type) else {}
    with pyfastlock.patched():
        primitive = STDLIB[name](*((2,) if name == "Barrier" else ()))
        if name == "Barrier":
            thread = start(primitive.wait, DEADLINE)
            assert primitive.wait(DEADLINE) + thread.join() == 1
        elif name == "Event":
            thread = start(primitive.wait, DEADLINE)
            primitive.set()
            assert thread.join()
        else:
            with primitive:
                assert not start(primitive.acquire, False).join()
            with (
                pytest.raises((RuntimeError, ValueError)) if name != "Semaphore" else nullcontext()
            ):
                primitive.release()
    assert attributes == (dict(vars(STDLIB[name])) if attributes else {})


class OldEvent(threading.Event):
    """A subclass made before: its base makes a Condition and a Lock of whatever kind there is."""


class OldBarrier(threading.Barrier):
    pass


class OldSemaphore(threading.BoundedSemaphore):
    pass


class OldCondition(threading.Condition):
    pass


@pyfastlock.patched()
def test_subclasses_of_the_standard_librarys_classes() -> None:
    event, barrier = OldEvent(), OldBarrier(2)
    semaphore, condition = OldSemaphore(), OldCondition()
    assert type(condition._lock) is pyfastlock.RLock  # type: ignore[attr-defined]

    def other() -> int:
        event.set()
        index = barrier.wait(DEADLINE)
        with semaphore, condition:
            condition.notify()
        return index

    with condition:
        thread = start(other)
        assert event.wait(DEADLINE)
        index = barrier.wait(DEADLINE)
        assert condition.wait(DEADLINE)
    assert sorted([index, thread.join()]) == [0, 1]
    event._at_fork_reinit()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="too many"):
        semaphore.release()


@pyfastlock.patched()
def test_the_standard_library_uses_ours() -> None:
    import concurrent.futures
    import logging
    import sched

    assert type(threading.Thread()._started) is pyfastlock.Event  # type: ignore[attr-defined]
    assert type(threading.Timer(1, print).finished) is pyfastlock.Event
    assert type(queue.Queue().mutex) is pyfastlock.Lock
    assert type(queue.Queue().not_empty) is pyfastlock.Condition
    assert type(concurrent.futures.Future()._condition) is pyfastlock.Condition  # type: ignore[attr-defined]
    assert type(logging.Handler().lock) is pyfastlock.RLock
    assert type(sched.scheduler()._lock) is pyfastlock.RLock  # type: ignore[attr-defined]
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        assert type(executor._idle_semaphore) is pyfastlock.Semaphore  # type: ignore[attr-defined]
        assert list(executor.map(abs, range(-100, 0))) == list(range(100, 0, -1))


def test_the_standard_library_reinitialises_ours_after_a_fork() -> None:
    """`logging`, `concurrent.futures` and `threading` do so by `_at_fork_reinit`."""
    check_script(
        """
        impl.patch()
        import concurrent.futures, logging, queue, threading
        handler = logging.StreamHandler(sys.stdout)
        assert type(handler.lock) is impl.RLock
        held, release = queue.SimpleQueue(), queue.SimpleQueue()
        def hold():
            with handler.lock:
                held.put(None)
                release.get(timeout=DEADLINE)
        def child():
            handler.handle(logging.makeLogRecord({"msg": "in the child"}))
            with concurrent.futures.ThreadPoolExecutor(1) as executor:
                assert executor.submit(abs, -1).result(DEADLINE) == 1
            handler.flush()
        thread = start(hold)
        held.get(timeout=DEADLINE)
        in_child(child)
        release.put(None)
        thread.join()
        """,
        output="in the child",
    )


@needs_subinterpreters
@own_gil
def test_t37_each_interpreter_is_patched_on_its_own(own_gil: bool) -> None:
    check_script(
        API
        + f"OWN_GIL = {own_gil}\n"
        + """
import threading
stdlib = threading.Event
impl.patch()
fresh = create(OWN_GIL)
run(fresh, PATH + '''
import threading, pyfastlock
assert threading.Event is not pyfastlock.Event
pyfastlock.patch()
assert threading.Event is pyfastlock.Event
done = threading.Event()
done.set()
assert done.wait(0)
''')
impl.unpatch()
assert threading.Event is stdlib
run(fresh, "assert threading.Event is pyfastlock.Event")
destroy(fresh)
"""
    )


def test_unreached(monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = ModuleType("early"), ModuleType("late")
    early.Lock, early.Sem = threading.Lock, threading.Semaphore  # type: ignore[attr-defined]
    for module in early, late:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert pyfastlock.unreached() == []
    with pyfastlock.patched():
        late.Lock = threading.Lock  # type: ignore[attr-defined]
        late.Event = Foreign  # type: ignore[attr-defined]
        found = pyfastlock.unreached()
        assert found == sorted(found)
        assert [name for name in found if name.startswith(("early.", "late."))] == [
            "early.Lock",
            "early.Sem",
        ]
        assert not [name for name in found if name.startswith(("threading.", "pyfastlock."))]
    assert pyfastlock.unreached() == []
