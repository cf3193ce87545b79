"""Signals that arrive while the main thread is inside a lock or a condition.

The main thread of the test process is the main thread of its interpreter, so the signals are real.
SIGALRM is the watchdog: it makes a test that hangs fail.
"""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
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
    make_lock,
    queued,
)
from support import (
    DEADLINE,
    SETTLE,
    held_elsewhere,
    is_ours,
    parked,
    start,
    try_in_thread,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("watchdog")

WAYS = [
    "Lock.acquire",
    "Lock.acquire timed",
    "Lock.with",
    "RLock.acquire",
    "RLock.acquire timed",
    "RLock.with",
    "Condition.acquire",
    "Condition.with",
]


def make_way(impl: ModuleType, name: str) -> tuple[Any, Any]:
    """An object of the type that a way begins with, and the object on which its users queue."""
    if name == "Condition":
        lock = impl.Lock()
        return impl.Condition(lock), lock
    lock = getattr(impl, name)()
    return lock, lock


def enter(lock: Any, how: str) -> bool:
    """Take `lock`; the last word of one of `WAYS` says how. Where `with` took it, it is free."""
    if how == "acquire":
        return lock.acquire()
    if how == "acquire timed":
        return lock.acquire(True, DEADLINE)
    with lock:
        return True


@pytest.mark.parametrize("way", WAYS)
def test_t14_handler_runs_at_once_in_acquire(
    impl: ModuleType, handle: Handle, way: str, record_property: Callable[[str, object], None]
) -> None:
    name, _, how = way.partition(".")
    lock, queue = make_way(impl, name)
    ran: list[float] = []
    with held_elsewhere(lock) as holder:
        # The lock becomes free only after the handler ran: a late handler is a hang.
        handle(lambda: (ran.append(time.monotonic()), holder.let_go()))
        kick = kick_when_parked(queue)
        assert enter(lock, how)
    delay = ran[0] - kick.join()
    if how != "with":
        lock.release()
    record_property("signal_delay_ms", delay * 1000)
    print(f"{impl.__name__} {way}: the handler ran after {delay * 1000:.3f} ms")
    assert delay < HANDLED_WITHIN


@pytest.mark.parametrize("way", WAYS)
def test_t14_raising_handler_leaves_nothing_held_or_queued(
    impl: ModuleType, handle: Handle, way: str
) -> None:
    name, _, how = way.partition(".")
    lock, queue = make_way(impl, name)
    handle(interrupt)
    with held_elsewhere(lock):
        for _ in range(3):
            kick = kick_when_parked(queue)
            with pytest.raises(Interrupt):
                enter(lock, how)
            assert queued(queue) == 0
            kick.join()
            assert not lock.acquire(False)
    assert try_in_thread(lock)
    assert lock.acquire(False)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


# T15: the deadline of a wait does not move when handlers run.


@pytest.mark.parametrize("what", ["Lock", "RLock", "Condition", "wait_for"])
def test_t15_handlers_do_not_move_the_deadline(impl: ModuleType, handle: Handle, what: str) -> None:
    timeout, every, enough = 0.2, 0.02, 200
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

    if what in ("Lock", "RLock"):
        lock = getattr(impl, what)()
        with held_elsewhere(lock):
            sender = start(send)
            began = time.monotonic()
            got = lock.acquire(timeout=timeout)
            took = time.monotonic() - began
            stop.set()
            sender.join()
    else:
        cond = impl.Condition()
        with cond:
            sender = start(send)
            began = time.monotonic()
            got = cond.wait(timeout) if what == "Condition" else cond.wait_for(bool, timeout)
            took = time.monotonic() - began
            stop.set()
            sender.join()
    assert got is False
    assert ran > 0
    assert took >= timeout - 0.005


# T13, T14: the handler uses the lock that the main thread waits for.


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t13_handler_tries_the_lock_that_main_waits_for(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    lock = make_lock(impl, kind)
    tried: list[object] = []
    with held_elsewhere(lock) as holder:

        def attempt() -> None:
            tried.append(lock.acquire(False))
            tried.append(lock.acquire(timeout=0.02))
            tried.append(lock.locked() if hasattr(lock, "locked") else True)
            tried.append("locked" in repr(lock))
            holder.let_go()

        handle(attempt)
        kick = kick_when_parked(lock)
        assert lock.acquire(timeout=DEADLINE)
        kick.join()
    assert tried == [False, False, True, True]
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
def test_t14_handler_takes_and_gives_back_the_lock_that_main_waits_for(
    impl: ModuleType, handle: Handle, kind: str, timed: bool
) -> None:
    lock = make_lock(impl, kind)
    with held_elsewhere(lock) as holder:

        def take() -> None:
            holder.let_go()
            assert lock.acquire(timeout=DEADLINE)
            lock.release()

        handle(take)
        kick = kick_when_parked(lock)
        assert lock.acquire(timeout=DEADLINE) if timed else lock.acquire()
        kick.join()
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_t14_handler_releases_the_lock_that_main_waits_for(
    impl: ModuleType, handle: Handle
) -> None:
    lock = impl.Lock()
    lock.acquire()
    handle(lock.release)
    kick = kick_when_parked(lock)
    assert lock.acquire(timeout=DEADLINE)
    assert lock.locked()
    lock.release()
    kick.join()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t14_lock_is_not_given_to_a_suspended_acquire(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    """Others can have the lock as long as the handler runs."""
    lock = make_lock(impl, kind)
    with held_elsewhere(lock) as holder:

        def others() -> None:
            holder.let_go()
            for _ in range(3):
                start(lambda: lock.acquire(timeout=5) and lock.release()).join()
                wait_until(lambda: try_in_thread(lock), 5, "the lock is free")

        handle(others)
        kick = kick_when_parked(lock)
        assert lock.acquire(timeout=DEADLINE)
        kick.join()
    lock.release()


def test_t14_handler_waits_for_another_lock(impl: ModuleType, handle: Handle) -> None:
    """One thread is queued twice: in acquire(), and in the acquire() of its handler."""
    outer, inner = impl.Lock(), impl.RLock()
    events: list[str] = []
    with held_elsewhere(outer) as outer_holder, held_elsewhere(inner) as inner_holder:

        def nested() -> None:
            events.append("handler")
            outer_holder.let_go()
            let_inner_go = start(lambda: (parked(inner), inner_holder.let_go()))
            assert inner.acquire(timeout=DEADLINE)
            events.append("inner")
            inner.release()
            let_inner_go.join()

        handle(nested)
        kick = kick_when_parked(outer)
        assert outer.acquire(timeout=DEADLINE)
        events.append("outer")
        kick.join()
    outer.release()
    assert events == ["handler", "inner", "outer"]
    assert queued(outer) == queued(inner) == 0


def test_t14_nested_deadlines_are_their_own(impl: ModuleType, handle: Handle) -> None:
    outer, inner = impl.Lock(), impl.Lock()
    inner_result: list[bool] = []
    with held_elsewhere(outer), held_elsewhere(inner):
        handle(lambda: inner_result.append(inner.acquire(timeout=0.05)))
        kick = kick_when_parked(outer)
        began = time.monotonic()
        assert outer.acquire(timeout=0.4) is False
        assert time.monotonic() - began >= 0.395
        kick.join()
    assert inner_result == [False]


def test_t14_signal_during_a_handler_that_waits(impl: ModuleType, handle: Handle) -> None:
    """The handler waits for the lock and is interrupted itself, several levels deep."""
    lock = impl.RLock()
    depth = 0
    with held_elsewhere(lock) as holder:

        def nested() -> None:
            nonlocal depth
            depth += 1
            if depth == 4:
                holder.let_go()
                return
            kick = kick_when_parked(lock, 1 if is_ours(lock) else 0)
            assert lock.acquire(timeout=DEADLINE)
            lock.release()
            kick.join()

        handle(nested)
        kick = kick_when_parked(lock)
        assert lock.acquire(timeout=DEADLINE)
        kick.join()
    assert depth == 4
    lock.release()
    assert not lock._is_owned()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t13_storm_of_handlers_that_try_the_lock(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    """Whatever point of acquire() and release() a handler interrupts, trying does not block."""
    lock = make_lock(impl, kind)
    cond = impl.Condition(impl.RLock())
    ran = 0

    def attempt() -> None:
        nonlocal ran
        ran += 1
        if lock.acquire(False):
            lock.release()
        if cond.acquire(False):
            cond.notify()
            cond.release()

    handle(attempt)
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.0005):
            kick_main()

    def contend() -> None:
        while not stop.is_set():
            with lock:
                pass
            with cond:
                cond.notify_all()

    helpers = [start(send), start(contend)]
    try:
        end = time.monotonic() + 0.3
        while time.monotonic() < end or ran < 20:
            assert lock.acquire(timeout=DEADLINE)
            lock.release()
            if lock.acquire(False):
                lock.release()
            with cond:
                cond.notify()
                cond.wait(0)
    finally:
        stop.set()
        for helper in helpers:
            helper.join()
    assert lock.acquire(False)
    lock.release()
    assert queued(lock) == queued(cond) == 0


def test_t14_handler_drops_the_last_references(impl: ModuleType, handle: Handle) -> None:
    held: dict[str, Any] = {}
    handle(lambda: (held.clear(), gc.collect()))

    def kick() -> None:
        # Holds no reference, so it cannot see that the main thread is parked.
        time.sleep(10 * SETTLE)
        kick_main(nudge=impl is threading)

    lock, cond = impl.Lock(), impl.Condition(impl.RLock())
    refs = [weakref.ref(lock), weakref.ref(cond)]
    lock.acquire()
    cond.acquire()

    held["lock"] = lock
    del lock
    kicker = start(kick)
    assert held["lock"].acquire(timeout=0.8) is False
    kicker.join()
    assert not held

    held["cond"] = cond
    del cond
    kicker = start(kick)
    assert held["cond"].wait(0.8) is False
    kicker.join()
    assert not held
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_signals_do_not_interrupt_other_threads(
    impl: ModuleType, handle: Handle, kind: str
) -> None:
    lock = make_lock(impl, kind)
    threads: list[int] = []
    handle(lambda: threads.append(threading.get_ident()))
    with held_elsewhere(lock) as holder:
        other = start(lambda: lock.acquire(timeout=DEADLINE) and lock.release() is None)
        parked(lock)
        signal.pthread_kill(other.ident, signal.SIGUSR1)
        wait_until(lambda: threads)
        assert not other.done
        holder.let_go()
        assert other.join() is True
    assert threads == [threading.main_thread().ident]


def test_t28_main_thread_keeps_its_place_in_a_queue(handle: Handle) -> None:
    """It leaves the queue for the handler, and comes back between the older and the younger."""
    from pyfastlock import Lock

    lock = Lock()
    order: list[str] = []
    handled = threading.Event()

    def take(name: str) -> None:
        with lock:
            order.append(name)

    def direct() -> None:
        older = start(take, "older")
        parked(lock)
        enter_main.set()
        parked(lock, 2)
        younger = start(take, "younger")
        parked(lock, 3)
        kick_main()
        assert handled.wait(DEADLINE)
        parked(lock, 3)
        time.sleep(0.005)  # from a millisecond on the lock is handed over: nobody is quicker
        lock.release()
        older.join()
        younger.join()

    enter_main = threading.Event()
    handle(handled.set)
    lock.acquire()
    director = start(direct)
    assert enter_main.wait(DEADLINE)
    take("main")
    director.join()
    assert order == ["older", "main", "younger"]


def test_handlers_run_in_the_main_thread_whoever_imports(impl: ModuleType) -> None:
    """The first to import `threading`, which 3.11 and 3.12 take for the main thread, is another."""
    check_script(
        """
import _thread, importlib, os, signal, sys, time
made = []
class Stop(Exception):
    pass
def handler(*_):
    raise Stop
signal.signal(signal.SIGALRM, handler)
def load():
    impl = importlib.import_module(IMPL)
    lock = impl.Lock()
    lock.acquire()
    made.append(lock)
    if impl.__name__ == "pyfastlock":
        while impl._core._waiters(lock) == 0:
            time.sleep(0.001)
    else:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGALRM)
_thread.start_new_thread(load, ())
while not made:
    time.sleep(0.001)
try:
    made[0].acquire()
except Stop:
    print("stopped")
""",
        impl,
        prelude="""\
import faulthandler
faulthandler.dump_traceback_later({limit}, exit=True)
IMPL = {impl!r}
""",
        output="stopped",
    )
