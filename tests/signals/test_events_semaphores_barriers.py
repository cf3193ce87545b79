"""Signals that arrive while the main thread waits for an event, a semaphore or a barrier.

The main thread of the test process is the main thread of its interpreter, so the signals are real.
SIGALRM is the watchdog: it makes a test that hangs fail.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    HANDLED_WITHIN,
    Handle,
    Interrupt,
    check_script,
    interrupt,
    kick_main,
    kick_when_parked,
    patience,
    queued,
)
from support import (
    DEADLINE,
    fails_on_stdlib,
    parked,
    start,
    wait_until,
)

PATIENT = 3 * DEADLINE
"""Longer than the watchdog: the end of its time makes no lost wake-up good."""

Broken = threading.BrokenBarrierError
pytestmark = pytest.mark.usefixtures("watchdog")

KINDS = ["Event", "Semaphore", "BoundedSemaphore", "Barrier"]
WAYS = [f"{kind} {how}" for kind in KINDS for how in ("untimed", "timed")] + ["Semaphore with"]


class Wait:
    """A wait of the main thread: for an object of some kind, in some way."""

    def __init__(self, impl: ModuleType, way: str):
        self.kind, _, self.how = way.partition(" ")
        self.patient = self.how == "timed"
        if self.kind == "Barrier":
            self.obj = impl.Barrier(2)
        elif self.kind == "BoundedSemaphore":
            self.obj = impl.BoundedSemaphore(2)
            assert self.obj.acquire()
            assert self.obj.acquire()
        else:
            self.obj = impl.Event() if self.kind == "Event" else impl.Semaphore(0)

    def enter(self, timeout: float | None = PATIENT) -> Any:
        """Wait; true where the wait succeeded."""
        if self.how == "with":
            with self.obj:
                return True
        args = () if self.how == "untimed" else (timeout,)
        if self.kind == "Barrier":
            return self.obj.wait(*args) in (0, 1)
        if self.kind == "Event":
            return self.obj.wait(*args)
        return self.obj.acquire(True, *args)

    def end(self) -> None:
        """What lets the wait succeed, from another thread or a handler."""
        if self.kind == "Barrier":
            self.obj.wait(DEADLINE)
        elif self.kind == "Event":
            self.obj.set()
        else:
            self.obj.release()

    def check_unused(self) -> None:
        """Nobody waits, and nobody has taken anything."""
        assert queued(self.obj) == 0
        if self.kind == "Barrier":
            assert (self.obj.n_waiting, self.obj.broken) == (0, False)
            other = start(self.obj.wait, DEADLINE)
            assert self.obj.wait(DEADLINE) + other.join() == 1
        elif self.kind == "Event":
            assert not self.obj.is_set()
            assert self.obj.wait(0) is False
        else:
            assert self.obj._value == 0
            assert not self.obj.acquire(False)
            self.obj.release()
            assert self.obj.acquire(False)
            assert not self.obj.acquire(False)


@pytest.mark.parametrize("way", WAYS)
def test_t14_handler_runs_at_once(
    impl: ModuleType, handle: Handle, way: str, record_property: Callable[[str, object], None]
) -> None:
    wait = Wait(impl, way)
    ran: list[float] = []
    handle(lambda: ran.append(time.monotonic()))
    # The wait ends only after the handler ran: a late handler is a hang.
    ender = start(lambda: (wait_until(lambda: ran), wait.end()))
    kick = kick_when_parked(wait.obj)
    assert wait.enter()
    delay = ran[0] - kick.join()
    ender.join()
    record_property("signal_delay_ms", delay * 1000)
    print(f"{impl.__name__} {way}: the handler ran after {delay * 1000:.3f} ms")
    assert delay < HANDLED_WITHIN


@pytest.mark.parametrize("way", WAYS)
def test_t14_t32_raising_handler_leaves_nothing_taken_and_nobody_queued(
    impl: ModuleType, handle: Handle, way: str
) -> None:
    wait = Wait(impl, way)
    handle(interrupt)
    for _ in range(3):
        kick = kick_when_parked(wait.obj)
        with pytest.raises(Interrupt):
            wait.enter()
        kick.join()
        assert queued(wait.obj) == 0
    wait.check_unused()


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_a_program_that_waits(impl: ModuleType, kind: str) -> None:
    check_script(
        f"""
        obj = impl.{kind}({"2" if kind in ("BoundedSemaphore", "Barrier") else ""})
        if "{kind}" in ("Semaphore", "BoundedSemaphore"):
            while obj.acquire(False):
                pass
        wait = obj.acquire if hasattr(obj, "acquire") else obj.wait
        on_signal(lambda: signal.default_int_handler(signal.SIGINT, None), signal.SIGINT)
        kick = kick_when_parked(obj, signum=signal.SIGINT)
        try:
            wait()
        except KeyboardInterrupt:
            print("interrupted")
        kick.join()
        """,
        impl,
        output="interrupted",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_t15_handlers_do_not_move_the_deadline(impl: ModuleType, handle: Handle, kind: str) -> None:
    timeout, every, enough = 0.2, 0.02, 200
    wait = Wait(impl, f"{kind} timed")
    ran = 0

    def count() -> None:
        nonlocal ran
        ran += 1
        # With a deadline that starts anew each time, the wait would last as long as the signals.
        if ran == enough:
            raise AssertionError(f"{enough} signals did not see the end of the wait")

    handle(count)
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(every):
            kick_main()

    sender = start(send)
    began = time.monotonic()
    try:
        got = wait.enter(timeout)
    except Broken:
        got = False
    took = time.monotonic() - began
    stop.set()
    sender.join()
    assert got is False
    assert ran > 0
    assert took >= timeout - 0.005
    assert queued(wait.obj) == 0


@pytest.mark.parametrize("way", WAYS)
def test_t14_handler_ends_the_wait_that_it_interrupted(
    impl: ModuleType, handle: Handle, way: str
) -> None:
    """It sets the event, releases the semaphore, is the last at the barrier."""
    wait = Wait(impl, way)
    handle(wait.end)
    kick = kick_when_parked(wait.obj)
    assert wait.enter()
    kick.join()
    assert queued(wait.obj) == 0
    if wait.kind == "Event":
        assert wait.obj.is_set()
    elif wait.kind == "Barrier":
        assert wait.obj.n_waiting == 0
    else:
        assert wait.obj._value == (way == "Semaphore with")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
def test_t14_signal_that_is_pending_when_the_wait_begins(
    impl: ModuleType, handle: Handle, way: str, raises: bool
) -> None:
    """No bytecode runs between its arrival and the call."""
    wait = Wait(impl, way)
    ran: list[int] = []

    def handler() -> None:
        ran.append(1)
        if raises:
            raise Interrupt
        # A handler cannot be the first at the barrier, nor let one pass that has not arrived.
        wait.obj.abort() if wait.kind == "Barrier" else wait.end()

    handle(handler)
    libc = ctypes.CDLL(None)
    arrive = functools.partial(getattr(libc, "raise"), signal.SIGUSR1)
    method = wait.obj.__enter__ if wait.how == "with" else getattr(wait.obj, "acquire", None)
    args = (PATIENT,) if wait.how == "timed" else ()
    if wait.kind in ("Event", "Barrier"):
        call = functools.partial(wait.obj.wait, *args)
    else:
        call = functools.partial(method, *((True, *args) if args else ()))
    if raises:
        with pytest.raises(Interrupt):
            list(map(operator.call, [arrive, call]))
        wait.check_unused()
    elif wait.kind == "Barrier":
        with pytest.raises(Broken):
            list(map(operator.call, [arrive, call]))
    else:
        assert list(map(operator.call, [arrive, call])) == [0, True]
    assert ran == [1]
    assert queued(wait.obj) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_t14_handler_waits_on_the_same_object(impl: ModuleType, handle: Handle, kind: str) -> None:
    """A wait inside of a wait; the inner one times out, and the outer one goes on."""
    wait, results = Wait(impl, f"{kind} timed"), []
    if kind == "Barrier":
        wait.obj = impl.Barrier(3)

    def nested() -> None:
        if kind == "Barrier":
            results.append(wait.obj.n_waiting)
        else:
            results.append(wait.enter(0.02))

    handle(nested)
    kick = kick_when_parked(wait.obj)

    def end() -> None:
        kick.join()
        wait_until(lambda: results)
        if kind == "Barrier":
            other = start(wait.obj.wait, DEADLINE)
            wait.end()
            other.join()
        else:
            wait.end()

    ender = start(end)
    if kind == "Barrier":
        assert wait.obj.wait(DEADLINE) in (0, 1, 2)
    else:
        assert wait.enter() is True
    ender.join()
    assert results == [1 if kind == "Barrier" else False]
    assert queued(wait.obj) == 0


def test_signals_do_not_interrupt_other_threads(impl: ModuleType, handle: Handle) -> None:
    for kind in KINDS:
        wait = Wait(impl, f"{kind} untimed")
        threads: list[int] = []
        handle(lambda threads=threads: threads.append(threading.get_ident()))
        other = start(wait.enter)
        parked(wait.obj)
        signal.pthread_kill(other.ident, signal.SIGUSR1)
        wait_until(lambda threads=threads: threads)
        assert not other.done
        wait.end()
        assert other.join() is True
        assert threads == [threading.main_thread().ident]


# Signals at every moment.


@fails_on_stdlib(
    "an exception while the internal lock is taken back, or just before or after that",
    raises=(AssertionError, RuntimeError),
    strict=False,
)
@pytest.mark.parametrize("kind", ["Event", "Semaphore", "Barrier"])
def test_t32_signals_at_every_moment(impl: ModuleType, handle: Handle, kind: str) -> None:
    """Interrupted anywhere, a call has either had its effect or none; others are not disturbed."""
    event, semaphore, barrier = impl.Event(), impl.Semaphore(0), impl.Barrier(2)
    stop = threading.Event()
    armed, interrupts, returned, released = False, 0, 0, 0
    rng = random.Random(kind)
    old = sys.getswitchinterval()

    def raise_when_armed() -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupt

    def send() -> None:
        pause = 0.0
        while not stop.wait(pause):
            kick_main()
            pause = (pause + 0.00003) % 0.0012

    def disturb() -> None:
        nonlocal released
        rng = random.Random(kind + "x")
        while not stop.is_set():
            if kind == "Event":
                event.set()
                event.clear()
            elif kind == "Semaphore":
                n = rng.choice([1, 2])
                semaphore.release(n)
                released += n
            else:
                try:
                    barrier.wait(0.001)
                except Broken:
                    barrier.reset()
            time.sleep(rng.choice([0, 0.0001, 0.0005]))

    def call(timeout: float) -> Any:
        if kind == "Event":
            return map(event.wait, [timeout])
        if kind == "Semaphore":
            return map(semaphore.acquire, [True], [timeout])
        return map(barrier.wait, [timeout])

    handle(raise_when_armed)
    sender, disturber = start(send), start(disturb)
    sys.setswitchinterval(1e-5)
    results: list[Any] = []
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end or not interrupts or not returned:
            assert time.monotonic() < end + patience(event, 2)
            waits = call(rng.choice([0, 0.0001, 0.0005]))
            try:
                armed = True
                # No bytecode between the end of the call and the keeping of its result.
                results.extend(waits)
                armed = False
                returned += 1
            except Interrupt:
                interrupts += 1
            except Broken:
                armed = False
                returned += 1
                barrier.reset()
    finally:
        armed = False
        sys.setswitchinterval(old)
        stop.set()
        sender.join()
        disturber.join(patience(event, 1))
    print(f"{interrupts} interrupted, {returned} not; {len(results)} results")
    obj = {"Event": event, "Semaphore": semaphore, "Barrier": barrier}[kind]
    assert queued(obj) == 0
    if kind == "Event":
        assert set(results) <= {True, False}
        event.clear()
        assert event.wait(0.001) is False
    elif kind == "Semaphore":
        assert semaphore._value == released - results.count(True)
    else:
        barrier.reset()
        assert barrier.n_waiting == 0
        other = start(barrier.wait, DEADLINE)
        assert barrier.wait(DEADLINE) + other.join() == 1
