"""Builds without the GIL: importing us does not switch it on, and races do no harm.

The races run with the GIL too; there they find less.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from concurrency import check_script, make_lock, queued
from support import DEADLINE, FREE_THREADED, parked, start

THREADS = 4


def race(*bodies: Callable[[], object]) -> list[Any]:
    """Call the bodies in a thread each, as much at the same time as possible."""
    gate = threading.Barrier(len(bodies), timeout=DEADLINE)

    def run(body: Callable[[], object]) -> object:
        gate.wait()
        return body()

    return [thread.join() for thread in [start(run, body) for body in bodies]]


@pytest.fixture(autouse=True)
def switch_often() -> Any:
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(old)


@pytest.mark.skipif(not FREE_THREADED, reason="this build has a GIL")
def test_t38_import_does_not_switch_the_gil_on() -> None:
    # Without PYTHON_GIL in the environment, and warnings are errors.
    check_script(
        """
        assert not sys._is_gil_enabled()
        import pyfastlock
        assert not sys._is_gil_enabled()
        with pyfastlock.Lock(), pyfastlock.RLock(), pyfastlock.Condition():
            assert not sys._is_gil_enabled()
        """,
        "pyfastlock",
    )


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_mutual_exclusion(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    counter, rounds = [0], 1500

    def count() -> None:
        for n in range(rounds):
            if n % 3 == 0:
                with lock:
                    counter[0] += 1
            elif n % 3 == 1:
                assert lock.acquire(timeout=DEADLINE)
                counter[0] += 1
                lock.release()
            else:
                while not lock.acquire(False):
                    pass
                counter[0] += 1
                lock.release()

    race(*[count] * THREADS)
    assert counter == [rounds * THREADS]
    assert queued(lock) == 0
    assert lock.acquire(False)


def test_recursion_is_counted_per_thread(impl: ModuleType) -> None:
    lock = impl.RLock()
    counter = [0]

    def nest() -> None:
        for n in range(400):
            depth = 1 + n % 5
            for _ in range(depth):
                lock.acquire()
            counter[0] += 1
            if n % 7 == 0:
                state = lock._release_save()
                assert not lock._is_owned()
                lock._acquire_restore(state)
            for _ in range(depth):
                assert lock._is_owned()
                lock.release()
            assert not lock._is_owned()

    race(*[nest] * THREADS)
    assert counter == [400 * THREADS]


def test_one_condition_from_many_threads(impl: ModuleType) -> None:
    cond = impl.Condition()
    state = {"put": 0, "got": 0}
    rounds = 300

    def put() -> None:
        for n in range(rounds):
            with cond:
                state["put"] += 1
                cond.notify_all() if n % 5 == 0 else cond.notify()

    def get() -> None:
        for _ in range(rounds):
            with cond:
                assert cond.wait_for(lambda: state["put"] > state["got"], DEADLINE)
                state["got"] += 1

    race(put, put, get, get)
    assert state == {"put": 2 * rounds, "got": 2 * rounds}
    assert queued(cond) == 0


def test_t27_state_is_checked_again_after_each_wait(impl: ModuleType) -> None:
    """Woken waiters do not trust what they saw before they slept: one at a time gets in."""
    lock = impl.RLock()
    cond = impl.Condition(lock)
    inside, seen = 0, []

    def wait() -> None:
        nonlocal inside
        with cond:
            assert cond.wait(DEADLINE)
            inside += 1
            seen.append(inside)
            # Lets go of the lock in the middle: others get in and out.
            assert cond.wait(0.0001) in (True, False)
            inside -= 1
            seen.append(lock._is_owned())

    for _ in range(10):
        waiters = [start(wait) for _ in range(THREADS)]
        parked(cond, THREADS)
        with cond:
            cond.notify_all()
        for waiter in waiters:
            waiter.join()
        assert inside == 0
    assert all(seen)


def test_t27_no_critical_section_around_a_wait() -> None:
    """No object is locked by hand, or while its thread may wait: that would let go of it."""
    sources = Path(__file__).parents[2] / "csrc"
    if not sources.is_dir():
        pytest.skip("the C sources are not here")
    files = {path.name: path.read_text(encoding="utf-8") for path in sources.rglob("*.[ch]")}
    assert files
    compat = files.pop("compat.h")
    for text in (compat, *files.values()):
        assert not re.search(r"ob_mutex|PyMutex_Lock", text)
    for text in files.values():
        assert "Py_BEGIN_CRITICAL_SECTION" not in text
        for section in re.findall(
            r"BEGIN_CRITICAL_SECTION.*?END_CRITICAL_SECTION", text, re.DOTALL
        ):
            assert not re.search(r"wait|sleep|acquire|park|detach|Py_BEGIN_ALLOW", section)


def test_t22_creation_and_destruction_race(impl: ModuleType) -> None:
    shared: dict[int, Any] = {}

    def churn() -> int:
        for n in range(600):
            lock = impl.Lock() if n % 2 else impl.RLock()
            cond = impl.Condition(lock)
            shared[n % 8] = cond
            with cond:
                cond.notify()
                repr(cond)
            other = shared.get((n + 3) % 8)
            if other is not None and other.acquire(False):
                other.notify_all()
                other.release()
        return 1

    assert sum(race(*[churn] * THREADS)) == THREADS


def test_t22_bound_methods_race(impl: ModuleType) -> None:
    """The methods of one lock, looked up, kept, called and dropped by all threads."""
    lock, rlock = impl.Lock(), impl.RLock()
    cond = impl.Condition()

    def use() -> int:
        kept = []
        for n in range(500):
            for thing in (lock, rlock, cond):
                enter, leave = thing.__enter__, thing.__exit__
                enter()
                kept.append(leave if n % 2 else enter)
                leave(None, None, None)
            del kept[:-5]
        return 1

    assert sum(race(*[use] * THREADS)) == THREADS
    for thing in (lock, rlock, cond):
        assert thing.acquire(False)
        thing.release()


def test_t18_wrong_releases_race(impl: ModuleType) -> None:
    lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()

    def misuse() -> int:
        errors = 0
        for _ in range(300):
            for call in (lock.release, rlock.release, rlock._release_save, cond.notify):
                try:
                    call()
                except RuntimeError:
                    errors += 1
        return errors

    assert race(*[misuse] * THREADS) == [1200] * THREADS


# What the script below reads: private attributes that the types of ours have as descriptors.
PRIVATE = {
    "Event": ["_cond", "_flag"],
    "Semaphore": ["_cond", "_value"],
    "BoundedSemaphore": ["_cond", "_value", "_initial_value"],
    "Barrier": ["_cond", "_parties", "_action", "_timeout", "_state", "_count"],
    "Condition": ["_lock"],
}


@pytest.mark.parametrize("kind", list(PRIVATE))
@pytest.mark.parametrize("how", ["init", "use"])
def test_the_dict_is_replaced_while_others_look_into_it(
    impl: ModuleType, kind: str, how: str
) -> None:
    """The methods are looked up on the type: on an object, the interpreter itself looks into the
    __dict__, and up to 3.13 it may look into one that was just freed.

    __init__ gives an opened object another `_cond`, so who uses the object at the same time may
    wait for ever, as in `threading`.
    """
    check_script(
        f"""
        import threading, time
        cls, names = impl.{kind}, {PRIVATE[kind]!r}
        args = (1,) if {kind!r} == "Barrier" else ()
        current, end = [cls(*args)], time.monotonic() + {0.3 if FREE_THREADED else 0.05}

        def use(obj):
            repr(obj)
            if {kind!r} == "Event":
                cls.set(obj)
                cls.wait(obj, 0.0001)
                cls.clear(obj)
            elif {kind!r} != "Barrier" and cls.acquire(obj, timeout=0.0001):
                cls.release(obj)

        bodies = [
            lambda obj: setattr(obj, "__dict__", {{}}),
            lambda obj: setattr(obj, "__dict__", {{"a": 1}}),
            lambda obj: [getattr(obj, name, None) for name in names],
            *([lambda obj: cls.__init__(obj, *args)] if {how!r} == "init" else [use, use]),
            lambda obj: (time.sleep(0.0005), current.__setitem__(0, cls(*args))),
        ]

        def repeat(body):
            while time.monotonic() < end:
                try:
                    body(current[0])
                except (AttributeError, RuntimeError, ValueError):
                    pass  # as in threading: what it needs is not there any more

        sys.setswitchinterval(1e-6)
        for thread in [start(repeat, body) for body in bodies]:
            thread.join()
        """,
        impl,
    )
