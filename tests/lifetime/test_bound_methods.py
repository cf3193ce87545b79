"""How long `__enter__` and `__exit__` as objects live, and what they keep alive.

They do as the bound methods of any C type do, over the stdlib's locks too.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import sys
import threading
import types
import weakref

import pytest
from bound_methods import KINDS, MAKE, METHODS, NONE, address, dead, is_free, works
from support import (
    DEBUG_BUILD,
    FREE_THREADED,
    parked,
    start,
    wait_until,
)

import pyfastlock


@pytest.fixture(params=KINDS)
def make(impl, request):
    return functools.partial(MAKE[request.param], impl)


@pytest.fixture
def lock(make):
    return make()


# Life


def test_outlives_the_name(make):
    enter = make().__enter__
    gc.collect()
    assert works(enter)


def test_outlives_the_name_many_times(make):
    for _ in range(100):
        assert works(make().__enter__)


def test_called_at_once_on_a_temporary(make):
    for _ in range(100):
        assert make().__enter__() is True
        with make() as value:
            assert value is True


def test_both_outlive_the_name(make):
    lock = make()
    first, second = lock.__enter__, lock.__exit__
    reference, where = weakref.ref(lock), id(lock)
    del lock
    gc.collect()
    assert not dead(reference)
    assert address(first) == where
    assert address(second) == where
    assert works(first)
    del first
    gc.collect()
    assert not dead(reference)
    assert address(second) == where
    del second
    gc.collect()
    assert dead(reference)


@pytest.mark.parametrize("name", METHODS)
def test_a_bound_method_keeps_the_lock_alive(make, name):
    lock = make()
    with lock:
        pass
    method = getattr(lock, name)
    reference, where = weakref.ref(lock), id(lock)
    del lock
    gc.collect()
    assert not dead(reference)
    assert address(method) == where
    again = getattr(method.__self__, name)
    del method
    gc.collect()
    assert address(again) == where
    del again
    gc.collect()
    assert dead(reference)


def test_alive_again_and_again(make):
    """The lock is nearly dead and comes back through a method, many times."""
    lock = make()
    for _ in range(50):
        method = lock.__enter__
        del lock
        lock = method.__self__
        del method
        with lock:
            assert not is_free(lock)
        method = lock.__exit__
        del lock
        lock = method.__self__
        del method
    assert is_free(lock)


@pytest.mark.parametrize("kind", ["Condition", "Condition(Lock)"])
@pytest.mark.parametrize("names", [["__enter__"], ["__exit__"], METHODS, ["wait", "__enter__"]])
@pytest.mark.parametrize("used", [False, True])
def test_a_cycle_through_bound_methods_is_collected(impl, kind, names, used):
    cond = MAKE[kind](impl)
    for name in names:
        setattr(cond, f"kept {name}", getattr(cond, name))
    if used:
        with cond:
            pass
    reference = weakref.ref(cond)
    del cond
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("kind", ["Condition", "Condition(Lock)"])
def test_a_cycle_that_is_still_reachable_lives(impl, kind):
    """Holding the method keeps the Condition and its attributes alive, as often as it comes to
    that."""
    cond = MAKE[kind](impl)
    cond.f = cond.__enter__
    cond.payload = {"a"}
    cond.itself = cond
    reference, where = weakref.ref(cond), id(cond)
    kept = cond.f
    del cond
    for name in METHODS * 3:
        gc.collect()
        gc.collect()
        assert address(kept) == where
        assert vars(kept.__self__)["payload"] == {"a"}
        assert id(kept.__self__.itself) == where
        assert works(kept.__self__.f)
        kept = getattr(kept.__self__, name)
    del kept
    gc.collect()
    assert dead(reference)


@pytest.mark.parametrize("kind", ["Condition", "Condition(Lock)"])
def test_a_weak_reference_to_a_cycle_that_is_still_reachable(impl, kind):
    cond = MAKE[kind](impl)
    cond.itself = cond
    reference = weakref.ref(cond)
    kept = cond.__enter__
    del cond
    gc.collect()
    assert not dead(reference)
    assert works(kept)
    del kept
    gc.collect()
    assert dead(reference)


@pytest.mark.parametrize("kind", ["Condition", "Condition(Lock)"])
def test_attributes_live_as_long_as_a_bound_method(impl, kind):
    class Payload:
        pass

    cond = MAKE[kind](impl)
    cond.payload = Payload()
    payload = weakref.ref(cond.payload)
    kept = cond.__exit__
    del cond
    gc.collect()
    assert kept.__self__.payload is payload()
    del kept
    gc.collect()
    assert payload() is None


def test_a_cycle_through_a_list_is_collected(make):
    """Locks that the garbage collector may not know: the list and the methods are in a cycle
    with a Condition only."""
    cond = make()
    if not hasattr(cond, "__dict__"):
        pytest.skip("without a __dict__ it is in no cycle")
    cond.methods = [cond.__enter__, cond.__exit__, {"x": cond.__enter__}]
    reference = weakref.ref(cond)
    del cond
    gc.collect()
    assert reference() is None


def test_a_finalizer_in_the_garbage_uses_them(impl):
    """Everything is in one cycle; a finalizer takes the lock by a kept method."""
    done = []

    class Last:
        def __init__(self, cond):
            self.cond = cond
            self.enter, self.leave = cond.__enter__, cond.__exit__

        def __del__(self):
            done.append(self.enter())
            done.append(self.leave(*NONE))
            with self.cond:
                done.append(self.cond.wait(0))

    cond = impl.Condition()
    cond.last = Last(cond)
    del cond
    gc.collect()
    assert done == [True, None, False]


def test_resurrected_by_a_finalizer(impl):
    saved = []

    class Last:
        def __init__(self, cond):
            self.enter = cond.__enter__

        def __del__(self):
            saved.append(self.enter)

    cond = impl.Condition()
    cond.last = Last(cond)
    reference = weakref.ref(cond)
    del cond
    gc.collect()
    assert works(saved[0])
    saved[0].__self__.last = None
    saved.clear()
    gc.collect()
    assert dead(reference)


def test_a_weakref_callback_sees_the_lock_gone(make):
    lock = make()
    with lock:
        pass
    seen = []
    reference = weakref.ref(lock, lambda r: seen.append(r()))
    method = lock.__enter__
    del lock
    gc.collect()
    assert seen == []
    del method
    gc.collect()
    assert seen == [None]
    assert reference() is None


def test_deleted_inside_its_block(make):
    """The with-statement keeps what it needs to leave."""
    for _ in range(100):
        lock = make()
        reference = weakref.ref(lock)
        with lock:
            del lock
            gc.collect(0)
            assert reference() is not None
            assert not is_free(reference())


def test_used_after_many_blocks(lock):
    enter, leave = lock.__enter__, lock.__exit__
    for _ in range(100_000):
        with lock:
            pass
    assert enter() is True
    assert not is_free(lock)
    assert leave(*NONE) is None
    assert enter.__self__ is leave.__self__ is lock
    assert lock.__enter__ == enter


@pytest.mark.parametrize("kind", ["RLock", "Condition"])
@pytest.mark.parametrize("name", METHODS)
def test_subclass_outlives_its_name(impl, kind, name):
    lock = type("Child", (type(MAKE[kind](impl)),), {})()
    kept = getattr(lock, name)
    reference = weakref.ref(lock)
    del lock
    gc.collect()
    assert not dead(reference)
    assert works(kept.__self__.__enter__)
    del kept
    gc.collect()
    assert dead(reference)


@pytest.mark.parametrize("kind", ["RLock", "Condition"])
def test_subclass_instances_in_cycles_are_collected(impl, kind):
    cls = type("Child", (type(MAKE[kind](impl)),), {})
    lock = cls()
    with lock:
        lock.enter, lock.leave = lock.__enter__, lock.__exit__
    reference = weakref.ref(lock)
    del lock
    gc.collect()
    assert reference() is None


# References


def total():
    gc.collect()
    return sys.gettotalrefcount()


@pytest.mark.skipif(FREE_THREADED, reason="reference counts are split and deferred there")
def test_the_count_of_references_is_exact(lock):
    with lock:
        pass
    before = sys.getrefcount(lock)
    for _ in range(300):
        with lock:
            assert sys.getrefcount(lock) >= before
    assert sys.getrefcount(lock) == before
    for _ in range(300):
        lock.__enter__()
        lock.__exit__(*NONE)
        type(lock).__enter__(lock)
        type(lock).__exit__(lock, *NONE)
    assert sys.getrefcount(lock) == before
    kept = [(lock.__enter__, lock.__exit__) for _ in range(100)]
    del kept
    gc.collect()
    assert sys.getrefcount(lock) == before


@pytest.mark.skipif(FREE_THREADED, reason="reference counts are split and deferred there")
def test_the_count_of_references_to_a_method(lock):
    method = lock.__enter__
    with lock:
        pass
    before = sys.getrefcount(method)
    for _ in range(300):
        with lock:
            pass
        method()
        lock.__exit__(*NONE)
    assert sys.getrefcount(method) == before


def blocks(lock, make):
    for _ in range(300):
        with lock:
            pass


def calls(lock, make):
    for _ in range(300):
        lock.__enter__()
        lock.__exit__(*NONE)


def through_the_class(lock, make):
    cls = type(lock)
    for _ in range(300):
        cls.__enter__(lock)
        cls.__exit__(lock, *NONE)


def kept_methods(lock, make):
    methods = [(lock.__enter__, lock.__exit__) for _ in range(300)]
    for enter, leave in methods:
        enter()
        leave(*NONE)


def short_lived(lock, make):
    for _ in range(300):
        other = make()
        with other:
            pass
        enter = other.__enter__
        del other
        enter()


def wrong_calls(lock, make):
    for _ in range(300):
        with contextlib.suppress(TypeError):
            lock.__exit__(x=1)
        with contextlib.suppress(TypeError):
            lock.__enter__(x=1)
        with contextlib.suppress(TypeError):
            type(lock).__enter__()
        with contextlib.suppress(RuntimeError):
            lock.__exit__(*NONE)


def compared(lock, make):
    for _ in range(300):
        assert lock.__enter__ == lock.__enter__
        repr(lock.__exit__)
        hash(lock.__exit__)
        assert lock.__exit__.__self__ is lock


@pytest.mark.skipif(not DEBUG_BUILD, reason="only a debug build counts all references")
@pytest.mark.parametrize(
    "body",
    [blocks, calls, through_the_class, kept_methods, short_lived, wrong_calls, compared],
)
def test_the_total_of_references_stays(make, body):
    lock = make()
    body(lock, make)
    body(lock, make)
    grown = []
    for _ in range(3):
        before = total()
        body(lock, make)
        grown.append(total() - before)
    assert min(map(abs, grown)) < 50, grown


# References, as threading counts them


def counts(record, lock):
    """`record()` notes the number of references to the lock, with-blocks and all."""
    record()
    with lock:
        record()
    record()
    for _ in range(2):
        with contextlib.suppress(LookupError), lock:
            record()
            raise LookupError
        record()


def counts_in_nested_blocks(record, lock):
    if not isinstance(lock, type(threading.Lock())) and "RLock" in type(lock).__name__:
        with lock:
            record()
            with lock, lock:
                record()
                with lock:
                    record()
            record()
    record()


def counts_of_forwarded_methods(record, lock):
    kept = [lock.__enter__]
    record()
    kept += [lock.__enter__, lock.__exit__] * 20
    record()
    kept[0]()
    record()
    kept[2](*NONE)
    record()
    del kept[10:]
    record()
    with lock:
        record()
        kept.clear()
        record()
    record()


def counts_of_an_exit_stack(record, lock):
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock)
        record()
    record()


def counts_through_the_class(record, lock):
    cls = type(lock)
    enter = functools.partial(cls.__enter__, lock)
    record()
    enter()
    cls.__exit__(lock, *NONE)
    record()
    del enter
    record()


@pytest.mark.skipif(FREE_THREADED, reason="reference counts are split and deferred there")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        counts,
        counts_in_nested_blocks,
        counts_of_forwarded_methods,
        counts_of_an_exit_stack,
        counts_through_the_class,
    ],
)
def test_references_are_counted_as_in_threading(kind, body):
    def counted(module):
        lock = MAKE[kind](module)
        idle, noted = sys.getrefcount(lock), []
        body(lambda: noted.append(sys.getrefcount(lock) - idle), lock)
        return noted

    for _ in range(3):
        assert counted(pyfastlock) == counted(threading)


@pytest.mark.skipif(FREE_THREADED, reason="reference counts are split and deferred there")
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_who_waits_at_the_entry_has_references(kind):
    """Each of the threads counts as often as over threading: by its `with` and by its frame."""

    def counted(module):
        lock = MAKE[kind](module)

        def enter(locks):
            with locks.pop():
                pass

        idle = sys.getrefcount(lock)
        threads = []
        noted = []
        with lock:
            for n in range(1, 4):
                locks = [lock]
                threads.append(start(enter, locks))
                wait_until(lambda locks=locks: not locks)
                parked(lock, n)
                del locks
                noted.append(wait_until(lambda n=n: refs_of(lock, idle + n)))
        for thread in threads:
            thread.join()
        assert sys.getrefcount(lock) == idle
        return noted

    def refs_of(lock, least):
        return sys.getrefcount(lock) > least and sys.getrefcount(lock) - least

    assert counted(pyfastlock) == counted(threading)


@pytest.mark.parametrize("waits", [False, True])
def test_a_registry_of_weak_values_keeps_what_is_in_use(make, waits):
    """A lock for each key, which lives as long as somebody is in its block or waits for it."""
    registry = weakref.WeakValueDictionary({"key": make()})
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with registry.setdefault("key", make()):
            inside.set()
            leave.wait(30)

    def enter():
        with registry["key"]:
            pass

    threads = [start(hold)]
    assert inside.wait(30)
    if waits:
        threads.append(start(enter))
        lock = registry["key"]
        parked(getattr(lock, "_lock", lock))
        del lock
    for _ in range(3):
        gc.collect()
        assert not registry.setdefault("key", make()).acquire(False)
    leave.set()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not registry


def test_a_registry_that_drops_what_has_no_references(make):
    locks = {"key": make()}
    idle = sys.getrefcount(locks["key"])
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with locks["key"]:
            inside.set()
            leave.wait(30)

    thread = start(hold)
    assert inside.wait(30)
    used = sys.getrefcount(locks["key"])
    leave.set()
    thread.join()
    assert used > idle


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_collector_finds_the_references(kind):
    def found(module):
        lock = MAKE[kind](module)
        kept = [lock.__enter__, lock.__exit__]
        for method in kept:
            assert any(method is referrer for referrer in gc.get_referrers(lock))
            assert any(lock is referent for referent in gc.get_referents(method))
        with lock:
            referrers = gc.get_referrers(lock)
        return sum(isinstance(referrer, types.BuiltinMethodType) for referrer in referrers)

    assert found(pyfastlock) == found(threading)


@pytest.mark.parametrize("name", METHODS)
def test_weak_references_to_a_method(lock, name):
    seen = []
    reference = weakref.ref(getattr(lock, name))
    assert dead(reference)
    method = getattr(lock, name)
    reference = weakref.ref(method, seen.append)
    alive = [dead(reference), weakref.getweakrefcount(method), len(seen)]
    del method
    again = getattr(lock, name)
    assert alive == [False, 1, 0]
    assert dead(reference)
    assert seen == [reference]
    assert weakref.getweakrefcount(again) == 0


def test_a_callback_collects_garbage_and_uses_locks(make):
    """It runs while the method, or its lock, ends."""
    lock, other = make(), make()
    seen = []

    def use(_):
        gc.collect()
        enter = other.__enter__
        with make():
            gc.collect()
        enter()
        other.__exit__(*NONE)
        seen.append(is_free(other))

    method = lock.__enter__
    references = [weakref.ref(method, use), weakref.ref(lock, use)]
    del method
    assert seen == [True]
    method = lock.__exit__
    del lock
    assert seen == [True]
    del method
    assert seen == [True, True]
    assert [reference() for reference in references] == [None, None]
    with other:
        assert not is_free(other)


@pytest.mark.parametrize("name", METHODS)
def test_weak_method(lock, name):
    if not inspect.ismethod(getattr(lock, name)):
        with pytest.raises(TypeError):
            weakref.WeakMethod(getattr(lock, name))
        return
    reference = weakref.WeakMethod(getattr(lock, name))
    assert reference() == getattr(lock, name)
    assert reference().__self__ is lock


def test_many_methods_in_a_chain(impl):
    """Each Condition has a method of the next one; the first one's end is the end of all."""
    first = condition = impl.Condition(impl.Lock())
    for _ in range(20_000):
        condition.next = impl.Condition(impl.Lock()).__enter__
        condition = condition.next.__self__
    last = weakref.ref(condition)
    del condition
    assert last() is not None
    del first
    gc.collect()
    assert last() is None


def test_the_collector_runs_at_every_allocation(make):
    """It finds the methods in every state."""
    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(30):
            locks = [make() for _ in range(3)]
            kept = [(lock.__enter__, lock.__exit__, [lock]) for lock in locks]
            with locks[0]:
                kept.append([kept])
                with locks[1]:
                    del kept[1:]
                assert not is_free(locks[0])
            assert all(is_free(lock) for lock in locks)
    finally:
        gc.set_threshold(*thresholds)
