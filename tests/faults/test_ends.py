"""Every type is used when something ends: threads that hold, finalizers, weak references,
the collector, atexit, the end of the modules.

One table of all types for all of these; what is special in one type is in `lifetime/` and
`concurrency/`.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from types import ModuleType

import pytest
from concurrency import check_script, queued
from support import DEADLINE, held_elsewhere, is_ours, parked, run_in_thread, start

# Threads that end as holders.


def leave() -> None:
    pass


def leave_by_exception() -> None:
    raise SystemExit


ENDINGS = {"return": leave, "SystemExit": leave_by_exception, "_thread.exit": _thread.exit}


def die_holding(acquire: Callable[[], object], end: Callable[[], None]) -> None:
    """A thread takes something, and ends as `end` makes it."""

    def body() -> None:
        acquire()
        end()

    thread = start(body)
    thread.thread.join(DEADLINE)
    assert not thread.thread.is_alive()
    try:
        thread.join()
    except SystemExit:
        assert end is not leave


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("kind", ["Lock", "Condition over a Lock", "Semaphore", "BoundedSemaphore"])
def test_t19_what_a_dead_thread_holds_is_released_by_another(
    impl: ModuleType, kind: str, end: str
) -> None:
    lock = impl.Condition(impl.Lock()) if kind.startswith("Cond") else getattr(impl, kind)()
    die_holding(lock.acquire, ENDINGS[end])
    assert not lock.acquire(False)
    waiter = start(lambda: lock.acquire(timeout=DEADLINE))
    parked(lock if kind[0] != "C" else lock._lock)
    lock.release()
    assert waiter.join() is True
    lock.release()
    assert lock.acquire(False)
    assert queued(lock) == 0


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("kind", ["RLock", "Condition"])
@pytest.mark.parametrize("depth", [1, 3])
def test_t19_what_a_dead_thread_owns_stays_owned(
    impl: ModuleType, kind: str, depth: int, end: str
) -> None:
    lock = getattr(impl, kind)()
    waiting = []

    def take() -> None:
        for _ in range(depth):
            lock.acquire()
        waiting.append(start(lambda: lock.acquire(timeout=0.2)))
        parked(lock if kind == "RLock" else lock._lock)

    die_holding(take, ENDINGS[end])
    assert waiting[0].join() is False
    assert not lock.acquire(False)
    # threading's goes by an identity, which a new thread may have got.
    assert not is_ours(lock) or not run_in_thread(lock.acquire, False)
    with pytest.raises(RuntimeError):
        lock.release()
    if kind == "Condition":
        for call in (lock.notify, lock.notify_all, lambda: lock.wait(0)):
            with pytest.raises(RuntimeError):
                call()
    lock._at_fork_reinit() if kind == "RLock" else lock._lock._at_fork_reinit()
    with held_elsewhere(lock, depth):
        assert not lock.acquire(False)
    assert lock.acquire(timeout=DEADLINE)


def test_t19_a_thread_dies_between_wait_and_notify(impl: ModuleType) -> None:
    """Others wait in the condition whose lock it has: they are notified when the lock is free."""
    cond = impl.Condition(impl.Lock())

    def wait() -> bool:
        with cond:
            return cond.wait(DEADLINE)

    waiters = [start(wait) for _ in range(3)]
    parked(cond, 3)
    die_holding(lambda: (cond.acquire(), cond.notify(2)), leave)
    assert not any(waiter.done for waiter in waiters)
    cond.notify()  # the lock has no owner: anybody may
    cond.release()
    assert [waiter.join() for waiter in waiters] == [True] * 3
    assert queued(cond) == 0


# What uses all types when something ends. `late` is true where threads do not run any more.

USE = """
import atexit, gc, os, weakref

class Held:
    pass

made = Held()
made.lock, made.rlock, made.cond = impl.Lock(), impl.RLock(), impl.Condition()
made.plain = impl.Condition(impl.Lock())
made.event, made.semaphore, made.bounded = impl.Event(), impl.Semaphore(1), impl.BoundedSemaphore(1)
made.one, made.two = impl.Barrier(1), impl.Barrier(2)
busy = impl.Lock()
busy.acquire()
counts = []

def use(made=made, busy=busy, counts=counts, late=False, error=impl.BrokenBarrierError, len=len):
    short = 0 if late else 0.0001
    with made.lock:
        assert not made.lock.acquire(False)
    with made.rlock, made.rlock:
        made.rlock._acquire_restore(made.rlock._release_save())
    for cond in (made.cond, made.plain):
        with cond:
            cond.notify()
            cond.notify_all()
            assert cond.wait(short) is False
            assert cond.wait_for(counts.__len__, short) in (0, len(counts))
    if late:
        assert not busy.acquire(False)
    else:
        assert not busy.acquire(timeout=short)
    made.event.set()
    assert made.event.wait()
    made.event.clear()
    assert made.event.wait(short) is False
    for semaphore in (made.semaphore, made.bounded):
        with semaphore:
            assert not semaphore.acquire(False)
            assert late or not semaphore.acquire(timeout=short)
    assert made.one.wait() == 0
    try:
        made.two.wait(short)
    except error:
        assert made.two.broken
    made.two.reset()
    made.two.abort()
    made.two.reset()
    repr(made.lock), repr(made.cond), repr(made.event), repr(made.semaphore), repr(made.two)
    counts.append(1)

class User:
    def __init__(self, late=False, use=use):
        self.call = use
        self.late = late
    def __del__(self):
        self.call(late=self.late)

class Target:
    pass

def woken():
    # Somebody waits for each of them, and is woken where `wake` runs.
    lock, event, semaphore = impl.Lock(), impl.Event(), impl.Semaphore(0)
    cond, barrier = impl.Condition(), impl.Barrier(2)
    lock.acquire()
    def wait():
        with cond:
            return cond.wait(DEADLINE)
    waits = [lambda: lock.acquire(timeout=DEADLINE), lambda: event.wait(DEADLINE),
             lambda: semaphore.acquire(timeout=DEADLINE), wait, lambda: barrier.wait(DEADLINE) >= 0]
    threads = [start(wait) for wait in waits]
    for obj in (lock, event, semaphore, cond):
        parked(obj)
    wait_until(lambda: barrier.n_waiting)
    def wake():
        lock.release()
        event.set()
        event.clear()
        semaphore.release()
        with cond:
            cond.notify()
        barrier.wait(DEADLINE)
        counts.append(1)
    return threads, wake

def check(threads, count):
    assert [thread.join() for thread in threads] == [True] * 5
    assert len(counts) == count, counts
"""

WHEN = {
    "__del__": """
        User()
        threads, wake = woken()
        class Waker:
            def __del__(self):
                wake()
        Waker()
        check(threads, 2)
    """,
    "weak references": """
        threads, wake = woken()
        target = Target()
        references = [weakref.ref(target, lambda _: use()), weakref.ref(target, lambda _: wake())]
        weakref.finalize(target, use)
        del target
        check(threads, 3)
    """,
    "the collector": """
        threads, wake = woken()
        cycle = [User(), Target()]
        cycle.append(cycle)
        weakref.finalize(cycle[1], wake)
        del cycle
        gc.collect()
        check(threads, 2)
    """,
    "atexit": """
        threads, wake = woken()
        @atexit.register
        def last():
            use()
            wake()
            check(threads, 2)
            os.write(1, b"ok")
    """,
    "the end of the modules": """
        sys.modules["late"] = User(late=True)
        class Last:
            def __del__(self, counts=counts, write=os.write):
                write(1, b"ok" if len(counts) == 1 else b"not used")
            use = use
        late = sys.modules["late"]
        late.call = lambda late, use=use, last=Last(): use(late=late)
        del late
    """,
    "exceptions": """
        def fail():
            keep = User()
            raise ValueError
        for _ in range(3):
            try:
                fail()
            except ValueError as error:
                kept = error
            kept = None
        assert len(counts) == 3
    """,
}


@pytest.mark.parametrize("when", WHEN)
def test_t23_every_type_is_used_when_something_ends(impl: ModuleType, when: str) -> None:
    source = "\n".join(line[8:] for line in WHEN[when].splitlines())
    ends_late = when in ("atexit", "the end of the modules")
    check_script(USE + source, impl, output="ok" if ends_late else "")


def test_t23_the_collector_comes_in_at_every_allocation() -> None:
    """What it runs uses the objects whose calls it has interrupted. (threading's would hang.)"""
    check_script(
        USE
        + """
pokes = []

def poke():
    # What never waits, whatever it has interrupted; it leaves all as it was.
    for lock in (made.lock, made.semaphore, made.bounded):
        if lock.acquire(False):
            lock.release()
    with made.rlock, made.cond:
        made.cond.notify_all()
    was_set = made.event.is_set()
    made.event.set()
    was_set or made.event.clear()
    assert made.one.wait() == 0
    made.two.reset()
    made.cond.locked() if hasattr(made.cond, "locked") else None
    pokes.append(1)

class Again:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        poke()

def count(what=pokes):
    Again()
    return len(what)

gc.set_threshold(1, 1, 1)
for _ in range(30):
    Again()
    use()
    with made.rlock, made.cond:
        Again()
        made.cond.wait_for(count, 0.0001)
    Again()
    vars(impl.Event()), vars(impl.Semaphore()), vars(impl.Barrier(1))
    [impl.Condition(), impl.Event(), impl.Barrier(2)]
gc.set_threshold(700, 10, 10)
gc.collect()
assert len(pokes) >= 100, len(pokes)
assert queued(made.event) == queued(made.two) == 0
use()
"""
    )


def test_t25_daemon_threads_that_hold_and_wait_at_the_end(impl: ModuleType) -> None:
    """Each type is held by one and waited for by another; the interpreter ends all the same."""
    check_script(
        USE
        + """
held = [impl.Lock(), impl.RLock(), impl.Condition(), impl.Semaphore(1), impl.BoundedSemaphore(1)]
holding = []
def hold(lock):
    with lock:
        holding.append(lock)
        busy.acquire()
def wait_with(cond):
    with cond:
        cond.wait()
def take(lock):
    with lock:
        os.write(1, b"got it")
held_by = [start(hold, lock) for lock in held]
wait_until(lambda: len(holding) == len(held))
threads = [start(take, lock) for lock in held for _ in range(2)]
threads += [start(made.event.wait), start(made.two.wait), start(wait_with, made.plain)]
for lock in held:
    parked(lock if not hasattr(lock, "_lock") else lock._lock, 2)
wait_until(lambda: made.two.n_waiting)
os.write(1, b"end")
""",
        impl,
        output="end",
    )
