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
from bound_methods import KINDS, MAKE, METHODS, NONE, is_free
from concurrency import check_script
from support import (
    parked,
    run_in_thread,
    start,
)

import pyfastlock


@pytest.fixture(params=KINDS)
def make(impl, request):
    return functools.partial(MAKE[request.param], impl)


@pytest.fixture
def lock(make):
    return make()


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


def test_many_at_once_leave_no_memory_behind() -> None:
    lock = pyfastlock.Lock()

    def many() -> None:
        kept = [lock.__enter__ for _ in range(1000)]
        assert len(set(map(id, kept))) == 1000

    many()
    gc.collect()
    before = sys.getallocatedblocks()
    many()
    gc.collect()
    assert sys.getallocatedblocks() - before < 500
