"""`__enter__` and `__exit__` as objects: `with` looks up a bound method, however it is made.

On some versions `with` gets callables that are used again and again instead of new ones. Nobody
must be able to tell: these tests say what a bound method of a C type does, over the stdlib too.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import inspect
import operator
import pickle
import sys
import threading
import types
import weakref

import pytest
from concurrency import check_script
from support import (
    DEBUG_BUILD,
    FREE_THREADED,
    parked,
    run_in_thread,
    start,
    try_in_thread,
    wait_until,
)

import pyfastlock

KINDS = ["Lock", "RLock", "Condition", "Condition(Lock)"]
MAKE = {
    "Lock": lambda m: m.Lock(),
    "RLock": lambda m: m.RLock(),
    "Condition": lambda m: m.Condition(),
    "Condition(Lock)": lambda m: m.Condition(m.Lock()),
}
METHODS = ["__enter__", "__exit__"]
NONE = (None, None, None)


@pytest.fixture(params=KINDS)
def make(impl, request):
    return functools.partial(MAKE[request.param], impl)


@pytest.fixture
def lock(make):
    return make()


def is_free(lock):
    return try_in_thread(lock)


# An assert statement may keep what it looked at alive until the test ends. Where life matters
# these look instead, and return nothing but numbers and truths.


def address(method):
    return id(method.__self__)


def works(enter):
    """Whether the lock can be taken by `enter`, and given back."""
    return enter() is True and not is_free(enter.__self__) and leave(enter.__self__)


def leave(lock):
    lock.__exit__(*NONE)
    return is_free(lock)


def dead(reference):
    return reference() is None


# Called on their own


def test_called_directly(lock):
    assert lock.__enter__() is True
    assert not is_free(lock)
    assert lock.__exit__(None, None, None) is None
    assert is_free(lock)


def test_kept_and_called_later(lock):
    enter, leave = lock.__enter__, lock.__exit__
    for _ in range(3):
        assert enter() is True
        assert not is_free(lock)
        assert leave(*NONE) is None
        assert is_free(lock)


def test_through_the_class(lock):
    cls = type(lock)
    assert cls.__enter__(lock) is True
    assert not is_free(lock)
    assert cls.__exit__(lock, None, None, None) is None
    assert is_free(lock)


def test_through_the_class_kept(lock):
    enter, leave = type(lock).__enter__, type(lock).__exit__
    for _ in range(3):
        assert enter(lock) is True
        assert leave(lock, *NONE) is None
    assert is_free(lock)


def test_through_the_descriptor(lock):
    cls = type(lock)
    for name, arguments in (("__enter__", ()), ("__exit__", NONE)):
        descriptor = inspect.getattr_static(lock, name)
        assert descriptor.__get__(lock, cls)(*arguments) in (True, None)
    assert is_free(lock)
    assert inspect.getattr_static(cls, "__enter__").__get__(None, cls)(lock) is True
    assert cls.__dict__["__exit__"](lock, *NONE) is None
    assert is_free(lock)


def test_exceptions_pass_through_exit(lock):
    lock.__enter__()
    error = LookupError()
    assert not lock.__exit__(LookupError, error, error.__traceback__)
    assert is_free(lock)


def test_exit_stack(lock, make):
    others = [make() for _ in range(5)]
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(lock) is True
        for other in others:
            stack.enter_context(other)
        assert not is_free(lock)
        assert not any(is_free(other) for other in others)
    assert is_free(lock)
    assert all(is_free(other) for other in others)
    with contextlib.ExitStack() as stack:
        lock.__enter__()
        stack.push(lock)
        with pytest.raises(LookupError):
            with contextlib.ExitStack() as inner:
                inner.enter_context(others[0])
                raise LookupError
        assert is_free(others[0])
        later = stack.pop_all()
    assert not is_free(lock)
    later.close()
    assert is_free(lock)


def test_callbacks(lock):
    assert functools.partial(lock.__enter__)() is True
    assert operator.methodcaller("__exit__", *NONE)(lock) is None
    assert list(map(type(lock).__enter__, [lock])) == [True]
    assert run_in_thread(is_free, lock) is False
    assert functools.reduce(lambda f, _: f, [1], lock.__exit__)(*NONE) is None
    assert is_free(lock)


def test_in_another_thread(make):
    lock = make()
    enter, leave = lock.__enter__, lock.__exit__

    def body():
        for _ in range(100):
            assert enter() is True
            assert leave(*NONE) is None

    run_in_thread(body)
    assert is_free(lock)


def test_blocks_and_wakes(make):
    lock = make()
    enter = lock.__enter__
    lock.acquire()
    waiter = start(lambda: (enter(), lock.__exit__(*NONE))[0])
    parked(getattr(lock, "_lock", lock))
    lock.__exit__(*NONE)
    assert waiter.join() is True
    assert is_free(lock)


@pytest.mark.parametrize("held", [False, True])
def test_wrong_calls_change_nothing(lock, held):
    if held:
        lock.acquire()
    for call in (
        lambda: lock.__enter__(x=1),
        lambda: lock.__exit__(x=1),
        lambda: lock.__exit__(None, None, None, x=1),
        lambda: type(lock).__enter__(),
        lambda: type(lock).__exit__(),
    ):
        with pytest.raises(TypeError):
            call()
    assert is_free(lock) is not held


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_not_for_other_objects(impl, kind):
    cls = type(MAKE[kind](impl))
    for method, arguments in ((cls.__enter__, ()), (cls.__exit__, NONE)):
        for wrong in (None, 1, object(), "lock", cls, impl.Condition()):
            with pytest.raises(TypeError, match=r"doesn't apply to|requires a"):
                method(wrong, *arguments)
    with pytest.raises(TypeError):
        cls.__dict__["__enter__"].__get__(1, int)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_not_for_other_classes(impl, kind):
    """A class that has them among its attributes."""
    cls = type(MAKE[kind](impl))

    class Borrower:
        __enter__ = vars(cls)["__enter__"]
        __exit__ = vars(cls)["__exit__"]

    for name in METHODS:
        with pytest.raises(TypeError, match="doesn't apply to"):
            getattr(Borrower(), name)
    with pytest.raises(TypeError, match="doesn't apply to"):
        with Borrower():
            pass


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


# Subclasses


@pytest.mark.parametrize("kind", ["RLock", "Condition"])
@pytest.mark.parametrize("overridden", [["__enter__"], ["__exit__"], METHODS, []])
def test_subclass(impl, kind, overridden):
    base = type(MAKE[kind](impl))
    calls = []

    def enter(self):
        calls.append("enter")
        return base.__enter__(self)

    def leave(self, *args):
        calls.append("exit")
        return super(cls, self).__exit__(*args)

    both = {"__enter__": enter, "__exit__": leave}
    cls = type("Child", (base,), {name: both[name] for name in overridden})
    lock = cls()
    for _ in range(3):
        with lock as value:
            assert value is True
            assert not is_free(lock)
        assert is_free(lock)
    assert calls == [name.strip("_") for name in METHODS if name in overridden] * 3
    base.__enter__(lock)
    assert not is_free(lock)
    base.__exit__(lock, *NONE)
    assert is_free(lock)


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


@pytest.mark.parametrize("kind", ["RLock", "Condition"])
def test_subclass_with_slots(impl, kind):
    cls = type("Child", (type(MAKE[kind](impl)),), {"__slots__": ("f",)})
    lock = cls()
    lock.f = lock.__exit__
    with lock:
        assert not is_free(lock)
    lock.__enter__()
    lock.f(*NONE)
    assert is_free(lock)


@pytest.mark.parametrize("kind", ["RLock", "Condition"])
def test_super(impl, kind):
    class Child(type(MAKE[kind](impl))):
        def twice(self):
            with super() as proxy:
                raise AssertionError(f"super() is no context manager: {proxy}")

        def enter(self):
            method = super().__enter__
            assert method.__self__ is self
            return method()

        def leave(self):
            return super().__exit__(*NONE)

    lock = Child()
    assert lock.enter() is True
    assert not is_free(lock)
    assert lock.leave() is None
    assert is_free(lock)
    with pytest.raises((TypeError, AttributeError)):
        lock.twice()
    assert is_free(lock)


# As objects


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
@pytest.mark.parametrize("name", METHODS)
def test_attributes(kind, name):
    lock = MAKE[kind](pyfastlock)
    method = getattr(lock, name)
    assert method.__self__ is lock
    assert method.__name__ == name
    assert method.__qualname__ == f"{kind}.{name}"
    assert inspect.getdoc(method)
    assert callable(method)
    written_in_python = kind == "Condition"  # in `threading`
    assert inspect.ismethod(method) is written_in_python
    assert inspect.isbuiltin(method) is not written_in_python
    assert inspect.signature(method) is not None
    with pytest.raises((AttributeError, TypeError)):
        method.__self__ = None
    with pytest.raises((AttributeError, TypeError)):
        method.anything = 1
    unbound = getattr(type(lock), name)
    assert unbound.__name__ == name
    assert unbound.__qualname__ == f"{kind}.{name}"
    assert inspect.isfunction(unbound) is written_in_python
    assert inspect.ismethoddescriptor(unbound) is not written_in_python
    if not written_in_python:
        assert unbound.__objclass__ is type(lock)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
@pytest.mark.parametrize("name", METHODS)
def test_repr(kind, name):
    lock = MAKE[kind](pyfastlock)
    bound, unbound = getattr(lock, name), getattr(type(lock), name)
    if kind == "Condition":
        assert repr(bound) == f"<bound method Condition.{name} of {lock!r}>"
        assert repr(unbound) == f"<function Condition.{name} at {hex(id(unbound))}>"
    else:
        at = hex(id(lock))
        assert repr(bound) == f"<built-in method {name} of pyfastlock.{kind} object at {at}>"
        assert repr(unbound) == f"<method '{name}' of 'pyfastlock.{kind}' objects>"


def test_equality_and_hash(make):
    lock, other = make(), make()
    for name in METHODS:
        method = getattr(lock, name)
        assert method == getattr(lock, name)
        assert not method != getattr(lock, name)  # noqa: SIM202
        assert hash(method) == hash(getattr(lock, name))
        assert method != getattr(other, name)
        assert not method == getattr(other, name)  # noqa: SIM201
        assert method != lock
        assert method != name
        assert {method: 1}[getattr(lock, name)] == 1
        with pytest.raises(TypeError):
            _ = method < getattr(lock, name)
    assert lock.__enter__ != lock.__exit__
    assert lock.__enter__ != lock.release
    assert len({lock.__enter__, lock.__enter__, lock.__exit__, other.__enter__}) == 3


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("name", METHODS)
def test_copying_goes_the_way_of_the_lock(impl, kind, name):
    method = getattr(MAKE[kind](impl), name)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(method)
    assert copy.copy(method) == method
    assert copy.deepcopy(method) == method, "a builtin method is its own copy"


@pytest.mark.parametrize("name", METHODS)
def test_true(lock, name):
    assert getattr(lock, name)
    assert getattr(type(lock), name)


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


def test_one_lock_in_many_threads(make):
    """The methods are looked up and dropped by many threads at once."""
    lock = make()
    inside = []

    def body():
        for _ in range(500):
            with lock:
                inside.append(1)
                assert len(inside) == 1
                inside.pop()
            enter, leave = lock.__enter__, lock.__exit__
            assert enter() is True
            assert leave(*NONE) is None

    threads = [start(body) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert is_free(lock)


def test_short_lived_locks_in_many_threads(make):
    shared = [make() for _ in range(4)]

    def body():
        for i in range(500):
            enter = shared[i % 4].__enter__
            leave = enter.__self__.__exit__
            enter()
            shared[i % 4] = make()
            leave(*NONE)

    threads = [start(body) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert all(is_free(lock) for lock in shared)


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


# Profiles


def events(kind, module, use):
    """The events of C functions in `use(lock)`: kind, name, and whether it is the lock's."""
    lock = MAKE[kind](module)
    use(lock)  # what is to be imported and cached
    seen = []

    def profile(frame, event, argument):
        if event.startswith("c_"):
            owner = getattr(argument, "__self__", None)
            seen.append((event, argument.__name__, owner is lock))

    sys.setprofile(profile)
    try:
        use(lock)
    finally:
        sys.setprofile(None)
    return [event for event in seen if event[1] != "setprofile"]


def use_block(lock):
    with lock:
        pass


def use_block_that_raises(lock):
    with contextlib.suppress(LookupError), lock:
        raise LookupError


def use_methods(lock):
    lock.__enter__()
    lock.__exit__(None, None, None)


def use_kept_methods(lock):
    enter, leave = lock.__enter__, lock.__exit__
    enter()
    leave(None, None, None)


def use_class(lock):
    type(lock).__enter__(lock)
    type(lock).__exit__(lock, None, None, None)


def use_exit_stack(lock):
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock)


def use_badly(lock):
    with contextlib.suppress(RuntimeError):
        lock.__exit__(None, None, None)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize(
    "use",
    [
        use_block,
        use_block_that_raises,
        use_methods,
        use_kept_methods,
        use_class,
        use_exit_stack,
        use_badly,
    ],
)
def test_profile_functions_see_the_calls(kind, use):
    for _ in range(3):
        ours = events(kind, pyfastlock, use)
        assert ours == events(kind, threading, use)
        assert ours or use is use_block_that_raises


def test_a_method_from_before_the_profile_equals_one_from_within(lock):
    before = [lock.__enter__, lock.__exit__]
    sys.setprofile(lambda *_: None)
    try:
        within = [lock.__enter__, lock.__exit__]
    finally:
        sys.setprofile(None)
    assert before == within
    assert within == before
    assert not before != within  # noqa: SIM202
    assert list(map(hash, before)) == list(map(hash, within))
    assert before[0] != within[1]
    assert within[0] != before[1]
    assert len({*before, *within}) == 2


# Like an ordinary one


@pytest.mark.parametrize("name", METHODS)
def test_nobody_can_tell(lock, name):
    method, plain = getattr(lock, name), getattr(lock, "notify", lock._at_fork_reinit)
    assert method.__class__ is plain.__class__
    assert isinstance(method, type(plain))
    for test in (inspect.isbuiltin, inspect.ismethod, inspect.isroutine, inspect.isfunction):
        assert test(method) is test(plain)
    assert dir(method) == dir(plain)
    texts = []
    for target in (method, plain):
        with pytest.raises(AttributeError) as caught:
            target.anything = 1
        texts.append(str(caught.value))
        with pytest.raises(AttributeError) as caught:
            _ = target.anything
        texts.append(str(caught.value))
        with pytest.raises(AttributeError) as caught:
            del target.anything
        texts.append(str(caught.value))
    assert texts[:3] == texts[3:]


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


# Those that are not in use

OURS = type(pyfastlock.Lock().__enter__)
only_with_own_methods = pytest.mark.skipif(
    OURS is types.BuiltinMethodType, reason="there are ordinary ones only"
)


def not_in_use():
    found = [found for found in gc.get_objects() if type(found) is OURS]
    return [method for method in found if "not in use" in repr(method)]


@only_with_own_methods
def test_methods_that_are_not_in_use_do_no_harm():
    with pyfastlock.Lock():
        pass
    found = not_in_use()
    assert len(found) >= 2
    for method in found:
        assert hash(method) == hash(method)
        assert method == method
        assert method != pyfastlock.Lock().__enter__
        assert pyfastlock.Lock().__enter__ != method
        assert isinstance(method, OURS)
        assert not isinstance(method, types.BuiltinMethodType)
        assert method.__class__ is OURS
        assert gc.get_referents(method)
        assert weakref.ref(method)() is method
        for arguments in ((), NONE, (1,)):
            with pytest.raises(ReferenceError):
                method(*arguments)
        with pytest.raises(AttributeError):
            _ = method.__self__
        with pytest.raises(AttributeError):
            method.anything = 1
        with pytest.raises(ReferenceError):
            copy.copy(method)


@only_with_own_methods
def test_a_method_that_somebody_has_is_not_used_again():
    """Otherwise a list of all objects would keep a lock alive that was used after it was made."""
    lock = pyfastlock.Lock()
    with lock:
        pass
    found = not_in_use()
    before = sys.getrefcount(lock)
    kept = [lock.__enter__ for _ in range(100)]
    with lock:
        assert sys.getrefcount(lock) == before + 101
        assert not {id(method) for method in found} & {id(method) for method in kept}
    kept.clear()
    assert sys.getrefcount(lock) == before
    assert all("not in use" in repr(method) for method in found)


@only_with_own_methods
def test_they_are_few():
    lock = pyfastlock.Lock()
    gc.collect()
    before = len(gc.get_objects())
    kept = [lock.__enter__ for _ in range(1000)]
    assert len(gc.get_objects()) >= before + 900
    kept.clear()
    assert len(gc.get_objects()) < before + 100


@only_with_own_methods
def test_the_type_makes_ordinary_methods():
    """As weakref.WeakMethod asks of it."""
    lock = pyfastlock.Lock()
    made = type(lock.__enter__)(len, [1, 2])
    assert type(made) is types.MethodType
    assert made() == 2
    with pytest.raises(TypeError):
        type(lock.__enter__)()


def test_the_types_end_with_their_module():
    """A second copy of the module: nothing of it is left, whatever state its methods were in."""
    check_script(
        """
        import gc, importlib.util, weakref
        spec = importlib.util.find_spec("pyfastlock._core")
        def left():
            modules = [type(found).__module__ for found in gc.get_objects()]
            return sum(module.startswith("pyfastlock") for module in modules)
        before = left()
        for _ in range(3):
            core = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(core)
            assert core.Lock is not impl.Lock
            types = [weakref.ref(getattr(core, name)) for name in ("Lock", "RLock", "Condition")]
            locks = [reference()() for reference in types]
            for lock in locks:
                for _ in range(3):
                    with lock:
                        pass
            kept = [lock.__enter__ for lock in locks for _ in range(20)]
            vars(locks[2])["cycle"] = kept
            del core, lock, locks
            gc.collect()
            assert all(reference() for reference in types)
            assert kept[-1]() is True
            del kept
            gc.collect()
            gc.collect()  # locks keep their types, and the collector does not know locks
            assert not any(reference() for reference in types)
            assert left() <= before
        """
    )
