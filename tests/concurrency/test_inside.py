"""Attacks on objects that are opened: races, handlers, a threading that changes.

An Event, a semaphore or a Barrier whose inside is touched is opened (csrc/types/inside.h). What is
tried here would lose a wake-up, or crash.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from concurrency import Handle, check_script, kick_when_parked
from support import FREE_THREADED, parked, start

import pyfastlock
from pyfastlock._core import _waiters

MAKERS: dict[str, Callable[[], Any]] = {
    "Event": pyfastlock.Event,
    "Semaphore": pyfastlock.Semaphore,
    "BoundedSemaphore": pyfastlock.BoundedSemaphore,
    "Barrier": lambda: pyfastlock.Barrier(2),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return MAKERS[request.param]


# --- wake-ups ---


@pytest.mark.usefixtures("watchdog")
def test_handler_opens_sets_and_clears_the_event_that_it_interrupted(
    impl: ModuleType, handle: Handle
) -> None:
    event = impl.Event()

    def pulse() -> None:
        assert event._cond is not None
        event.set()
        event.clear()

    handle(pulse)
    kicked = kick_when_parked(event)
    assert event.wait(10)
    kicked.join()


@pytest.mark.parametrize(
    "replace",
    [
        pytest.param(lambda event: event.__init__(), id="init"),
        pytest.param(lambda event: setattr(event, "_cond", pyfastlock.Condition()), id="assign"),
    ],
)
def test_condition_lives_while_somebody_waits_in_its_queue(replace: Callable[[Any], None]) -> None:
    event = pyfastlock.Event()
    waiter = start(event.wait)
    parked(event)
    condition = weakref.ref(event._cond)
    assert _waiters(condition()) == 1
    replace(event)
    gc.collect()
    kept = condition()
    assert kept is not None
    assert kept is not event._cond
    with kept:
        kept.notify_all()
    del kept
    assert waiter.join()
    del event, waiter
    gc.collect()
    assert condition() is None


# --- races ---


def test_inside_is_read_while_it_is_written() -> None:
    semaphore, event, barrier = MAKERS["Semaphore"](), MAKERS["Event"](), MAKERS["Barrier"]()

    ready = threading.Barrier(4)

    def write() -> None:
        ready.wait()
        for i in range(400_000 if FREE_THREADED else 2000):
            semaphore._value = event._flag = barrier._timeout = [i]

    def read() -> None:
        ready.wait()
        while not (writers[0].done and writers[1].done):
            for _ in range(100):
                semaphore._value, event._flag, barrier._timeout  # noqa: B018

    writers = [start(write), start(write)]
    for thread in [*writers, start(read), start(read)]:
        thread.join()


def test_condition_is_read_while_another_one_is_assigned(make: Callable[[], Any]) -> None:
    class Their(threading.Condition):
        pass

    for _ in range(300):
        attacked = make()
        ready = threading.Barrier(3)

        def read() -> None:
            ready.wait()  # noqa: B023
            assert attacked._cond is not None  # noqa: B023

        def write() -> None:
            ready.wait()  # noqa: B023
            attacked._cond = Their()  # noqa: B023

        for thread in [start(read), start(read), start(write)]:
            thread.join()
        assert isinstance(attacked._cond, Their)


# --- threading changes ---


def test_property_of_threading_is_replaced() -> None:
    check_script(
        """
        import threading

        barrier = impl.Barrier(2)
        barrier._cond
        threading.Barrier.parties = 5
        threading.Barrier.broken = property(lambda self: "maybe")
        print(barrier.parties, barrier.broken)
        """,
        output="5 maybe",
    )


# --- copies of the module ---


def test_open_objects_of_a_copy_that_is_imported_while_threading_is_patched() -> None:
    check_script(
        """
        import copy, sys, threading
        import pyfastlock

        theirs = {name: getattr(threading, name) for name in pyfastlock._patch._OURS}
        pyfastlock.patch()
        first = pyfastlock
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyfastlock"]:
            del sys.modules[name]
        import pyfastlock

        assert pyfastlock.Event is not first.Event
        for name, args in [
            ("Event", ()), ("Semaphore", (2,)), ("BoundedSemaphore", (2,)), ("Barrier", (1,))
        ]:
            made = getattr(pyfastlock, name)(*args)
            reference = theirs[name](*args)
            made._cond
            text = repr(made).partition(" at ")[2].partition(":")[2]
            assert text == repr(reference).partition(" at ")[2].partition(":")[2], (made, reference)
            made.__init__(*args)
            assert repr(copy.copy(made)).endswith(text)
        assert (made.parties, made.n_waiting, made.broken, made.wait()) == (1, 0, False, 0)
        first.unpatch()
        """
    )
