"""What the types say about themselves: repr, copying, documentation, signatures, identity."""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import io
import pickle
import pydoc
import re
import sys
import threading
import types
from importlib import metadata

import pytest
from support import held_elsewhere, run_in_thread, start, wait_until

import pyfastlock

KINDS = ["Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"]
WITHOUT_A_LOCK = KINDS[3:]
"""Those that the stdlib writes in Python, with a Condition inside."""
COPIED = ["Condition", *WITHOUT_A_LOCK]
"""Those that the stdlib writes in Python."""
ARGUMENTS = {"Barrier": (2,)}
PUBLIC = {
    "Lock": ["acquire", "release", "locked", "acquire_lock", "release_lock", "locked_lock"],
    "RLock": ["acquire", "release", "locked"],
    "Condition": [
        "acquire", "release", "locked", "wait", "wait_for", "notify", "notify_all", "notifyAll",
    ],
    "Event": ["set", "clear", "is_set", "isSet", "wait"],
    "Semaphore": ["acquire", "release"],
    "BoundedSemaphore": ["acquire", "release"],
    "Barrier": ["wait", "reset", "abort"],
}  # fmt: skip
PRIVATE = {
    "Lock": ["__enter__", "__exit__", "_at_fork_reinit"],
    "RLock": [
        "__enter__", "__exit__", "_at_fork_reinit",
        "_is_owned", "_release_save", "_acquire_restore", "_recursion_count",
    ],
    "Condition": [
        "__enter__", "__exit__", "_at_fork_reinit",
        "_is_owned", "_release_save", "_acquire_restore",
    ],
    "Event": ["_at_fork_reinit"],
    "Semaphore": ["__enter__", "__exit__"],
    "BoundedSemaphore": ["__enter__", "__exit__"],
    "Barrier": [],
}  # fmt: skip
PROPERTIES = {
    "Semaphore": ["_value"],
    "BoundedSemaphore": ["_value", "_initial_value"],
    "Barrier": ["parties", "n_waiting", "broken"],
}
EVERY_METHOD = [
    pytest.param(kind, name, id=f"{kind}.{name}")
    for kind in KINDS
    for name in PUBLIC[kind] + PRIVATE[kind]
]
EXPECTED = {
    "acquire": "(blocking=True, timeout=-1)",
    "acquire_lock": "(blocking=True, timeout=-1)",
    "wait": "(timeout=None)",
    "wait_for": "(predicate, timeout=None)",
    "notify": "(n=1)",
    "RLock._acquire_restore": "(state, /)",
    "Condition._acquire_restore": "(x)",
    "Semaphore.acquire": "(blocking=True, timeout=None)",
    "Semaphore.__enter__": "(blocking=True, timeout=None)",
    "Semaphore.release": "(n=1)",
    "BoundedSemaphore.acquire": "(blocking=True, timeout=None)",
    "BoundedSemaphore.__enter__": "(blocking=True, timeout=None)",
    "BoundedSemaphore.release": "(n=1)",
}


def make(module, kind):
    return getattr(module, kind)(*ARGUMENTS.get(kind, ()))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def obj(impl, kind):
    return make(impl, kind)


# repr


def type_name(obj):
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def test_repr_of_a_lock(impl):
    lock = impl.Lock()
    rest = f"{type_name(lock)} object at {hex(id(lock))}>"
    assert repr(lock) == f"<unlocked {rest}"
    with lock:
        assert repr(lock) == str(lock) == f"<locked {rest}"
        assert run_in_thread(repr, lock) == f"<locked {rest}"
    assert repr(lock) == f"<unlocked {rest}"


@pytest.mark.parametrize("depth", [1, 2, 1000])
def test_repr_of_an_rlock(impl, depth):
    lock = impl.RLock()
    free = f"<unlocked {type_name(lock)} object owner=0 count=0 at {hex(id(lock))}>"
    assert repr(lock) == free
    for _ in range(depth):
        lock.acquire()
    held = free.replace("unlocked", "locked").replace("count=0", f"count={depth}")

    def by(owner):
        if impl is threading and owner > sys.maxsize:
            owner -= 2 * (sys.maxsize + 1)  # it is shown with a sign where a long has 32 bits
        return held.replace("owner=0", f"owner={owner}")

    assert repr(lock) == by(threading.get_ident())
    assert run_in_thread(repr, lock) == by(threading.get_ident())
    for _ in range(depth):
        lock.release()
    assert repr(lock) == free
    with held_elsewhere(lock, depth) as holder:
        assert repr(lock) == by(holder.ident)
    assert repr(lock) == free


def test_repr_of_a_condition(impl):
    for lock in (impl.Lock(), impl.RLock(), threading.Lock()):
        cond = impl.Condition(lock)
        assert repr(cond) == f"<Condition({lock!r}, 0)>"
        with cond:
            assert repr(cond) == f"<Condition({lock!r}, 0)>"
            assert "<locked" in repr(cond)
    cond = impl.Condition()
    assert re.fullmatch(r"<Condition\(<unlocked \w+\.RLock object owner=0 .*>, 0\)>", repr(cond))


def test_repr_of_subclasses(impl):
    class Child(type(impl.RLock())):
        pass

    class CondChild(impl.Condition):
        pass

    lock = Child()
    assert re.fullmatch(
        rf"<unlocked [\w.]*Child object owner=0 count=0 at {hex(id(lock))}>", repr(lock)
    )
    assert repr(CondChild(lock)) == f"<Condition({lock!r}, 0)>"


SYNC_REPRS = [
    ("Event", (), "", "unset"),
    ("Event", (), "x.set()", "set"),
    ("Event", (), "x.set(); x.clear()", "unset"),
    ("Semaphore", (), "", "value=1"),
    ("Semaphore", (0,), "", "value=0"),
    ("Semaphore", (10**18,), "", "value=1000000000000000000"),
    ("Semaphore", (2,), "x.acquire()", "value=1"),
    ("Semaphore", (2,), "x.release(5)", "value=7"),
    ("BoundedSemaphore", (), "", "value=1/1"),
    ("BoundedSemaphore", (0,), "", "value=0/0"),
    ("BoundedSemaphore", (10**18,), "x.acquire()", f"value={10**18 - 1}/{10**18}"),
    ("BoundedSemaphore", (3,), "x.acquire(); x.acquire()", "value=1/3"),
    ("Barrier", (1,), "", "waiters=0/1"),
    ("Barrier", (1,), "x.wait()", "waiters=0/1"),
    ("Barrier", (10**9,), "", "waiters=0/1000000000"),
    ("Barrier", (2,), "x.abort()", "broken"),
    ("Barrier", (2,), "x.abort(); x.reset()", "waiters=0/2"),
]


class Outer:
    """Has a class for the test of the names of nested ones."""

    def __new__(cls, base):
        class Inner(base):
            pass

        return Inner


@pytest.mark.parametrize(("kind", "arguments", "calls", "expected"), SYNC_REPRS)
def test_repr_of_those_without_a_lock(impl, kind, arguments, calls, expected):
    base = getattr(impl, kind)
    nested = Outer(base)
    odd = type("Ünï %s %n", (base,), {"__module__": "a.b"})
    assert nested.__qualname__ == "Outer.__new__.<locals>.Inner"
    names = {base: f"{impl.__name__}.{kind}", odd: "a.b.Ünï %s %n"}
    names[nested] = f"{__name__}.{nested.__qualname__}"
    for cls, name in names.items():
        x = cls(*arguments)
        exec(calls)
        assert repr(x) == str(x) == f"<{name} at {id(x):#x}: {expected}>"


def test_repr_of_a_barrier_at_which_somebody_waits(impl):
    barrier = impl.Barrier(3)
    waiters = []
    for n in (1, 2):
        waiters.append(start(barrier.wait))
        wait_until(lambda n=n: barrier.n_waiting == n)
        assert repr(barrier).endswith(f": waiters={n}/3>")
    barrier.wait()
    for waiter in waiters:
        waiter.join()
    wait_until(lambda: repr(barrier).endswith(": waiters=0/3>"))


def test_repr_of_a_class_without_a_module(impl):
    """Whatever the names are, it says something, or raises what they raise."""

    class Meta(type):
        lost = False

        @property
        def __module__(cls):
            if cls.lost:
                raise LookupError
            return "a.b"

    for kind in WITHOUT_A_LOCK:
        cls = Meta("Child", (getattr(impl, kind),), {})
        x = cls(*ARGUMENTS.get(kind, ()))
        Meta.lost = True
        with pytest.raises(LookupError):
            repr(x)
        Meta.lost = False
        assert repr(x).startswith("<a.b.Child at 0x")
        cls = type("Child", (getattr(impl, kind),), {"__module__": 5})
        assert repr(cls(*ARGUMENTS.get(kind, ()))).startswith("<5.Child at 0x")


def test_our_names():
    for kind in KINDS:
        cls = getattr(pyfastlock, kind)
        assert cls.__module__ == "pyfastlock"
        assert cls.__name__ == cls.__qualname__ == kind
        assert repr(cls) == f"<class 'pyfastlock.{kind}'>"
        assert type(make(pyfastlock, kind)) is cls


# Copies


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_raises(obj, protocol):
    # The two oldest protocols look for the class first, where the stdlib's is not found.
    errors = TypeError if protocol >= 2 else (TypeError, pickle.PicklingError)
    with pytest.raises(errors, match=r"[Cc]an(not|'t) pickle"):
        pickle.dumps(obj, protocol)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("function", [copy.copy, copy.deepcopy])
def test_copying_a_lock_raises(impl, kind, function):
    with pytest.raises(TypeError, match=r"cannot pickle '.*' object"):
        function(getattr(impl, kind)())


@pytest.mark.parametrize("kind", ["Condition", *WITHOUT_A_LOCK])
def test_copying_deeply_raises(impl, kind):
    for cls in (getattr(impl, kind), type("Child", (getattr(impl, kind),), {})):
        with pytest.raises(TypeError, match=r"cannot pickle '.*' object"):
            copy.deepcopy(cls(*ARGUMENTS.get(kind, ())))


@pytest.mark.parametrize("kind", COPIED)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_subclasses_raises(impl, kind, protocol, monkeypatch):
    cls = type("Child", (getattr(impl, kind),), {"__module__": __name__})
    monkeypatch.setitem(globals(), "Child", cls)
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(Child=cls))
    obj = cls(*ARGUMENTS.get(kind, ()))
    obj.x = 1
    errors = TypeError if protocol >= 2 else (TypeError, pickle.PicklingError)
    with pytest.raises(errors, match=r"[Cc]an(not|'t) pickle"):
        pickle.dumps(obj, protocol)


@pytest.mark.parametrize("kind", COPIED)
def test_a_copy_shares_the_lock(impl, kind):
    """It has the attributes of the original, its condition among them, and numbers of its own."""
    for cls in (getattr(impl, kind), type("Child", (getattr(impl, kind),), {})):
        obj = cls(*ARGUMENTS.get(kind, ()))
        obj.x = []
        other = copy.copy(obj)
        assert type(other) is cls
        assert other is not obj
        assert other.x is obj.x
        name = "_lock" if kind == "Condition" else "_cond"
        assert getattr(other, name) is getattr(obj, name)
        other.y = 2
        assert not hasattr(obj, "y")


def test_a_copy_of_a_condition_can_be_waited_for(impl):
    cond = impl.Condition(impl.Lock())
    other = copy.copy(cond)
    with cond:
        assert other.acquire(False) is False
        assert other.wait(0.001) is False
        other.notify_all()
    assert not cond._lock.locked()


def test_copies_of_an_event_and_of_semaphores(impl):
    event = impl.Event()
    event.set()
    other = copy.copy(event)
    assert other.is_set()
    other.clear()
    assert event.is_set()
    for kind in ("Semaphore", "BoundedSemaphore"):
        semaphore = getattr(impl, kind)(3)
        semaphore.acquire()
        other = copy.copy(semaphore)
        assert other._value == 2
        assert other.acquire(False)
        assert (other._value, semaphore._value) == (1, 2)


@pytest.mark.parametrize("kind", WITHOUT_A_LOCK)
def test_a_subclass_may_say_how_to_pickle_it(impl, kind):
    module, name = impl.__name__, kind
    cls = type(
        "Child",
        (getattr(impl, kind),),
        {"__reduce__": lambda self: (find, (module, name))},
    )
    obj = cls(*ARGUMENTS.get(kind, ()))
    assert type(pickle.loads(pickle.dumps(obj))) is getattr(impl, kind)
    assert type(copy.copy(obj)) is getattr(impl, kind)


def find(module, name):
    return make(importlib.import_module(module), name)


def test_copying_an_rlock_of_a_subclass_raises():
    """The stdlib's says the same, of its own class."""

    class Child(pyfastlock.RLock):
        pass

    obj = Child()
    obj.x = 1
    for function in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot pickle"):
            function(obj)


# Identity


def test_identity(impl, kind):
    obj, other = make(impl, kind), make(impl, kind)
    assert obj == obj
    assert obj != other
    assert not obj == other  # noqa: SIM201
    assert hash(obj) == hash(obj)
    assert len({obj, other, obj}) == 2
    before = hash(obj)
    with obj if hasattr(obj, "__enter__") else contextlib.nullcontext():
        assert hash(obj) == before
        assert {obj: 1}[obj] == 1
        assert obj != other
    with pytest.raises(TypeError, match="not supported between instances"):
        _ = obj < other


# Documentation


@pytest.mark.parametrize(("kind", "name"), EVERY_METHOD)
def test_every_method_has_a_docstring(kind, name):
    cls = getattr(pyfastlock, kind)
    for method in (getattr(cls, name), getattr(make(pyfastlock, kind), name)):
        doc = inspect.getdoc(method)
        assert doc
        assert doc[0].isupper()
        assert not doc.startswith(f"{name}("), "the signature has been taken out"
        assert "--\n" not in doc


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in PROPERTIES.items() for name in names]
)
def test_every_property_has_a_docstring(kind, name):
    doc = inspect.getdoc(getattr(getattr(pyfastlock, kind), name))
    assert doc
    assert doc[0].isupper()


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_has_a_docstring(kind):
    doc = inspect.getdoc(getattr(pyfastlock, kind))
    assert doc
    assert not doc.startswith(f"{kind}(")
    assert f"threading.{kind}" in doc


def test_the_module_has_a_docstring():
    assert inspect.getdoc(pyfastlock)


@pytest.mark.parametrize(("kind", "name"), EVERY_METHOD)
def test_signature(kind, name):
    cls = getattr(pyfastlock, kind)
    bound = inspect.signature(getattr(make(pyfastlock, kind), name))
    unbound = inspect.signature(getattr(cls, name))
    first, *rest = unbound.parameters.values()
    assert first.name == "self"
    assert rest == list(bound.parameters.values())
    if name == "__exit__":
        bound.bind(None, None, None)
    else:
        assert str(bound) == EXPECTED.get(f"{kind}.{name}", EXPECTED.get(name, "()"))


@pytest.mark.parametrize(("kind", "name"), EVERY_METHOD)
def test_signature_is_the_stdlibs(kind, name):
    """Wherever the stdlib's has one: its C types do not before 3.13."""
    # An object of the stdlib's Condition has that of its lock; its class has a function.
    of_the_class = (kind, name) == ("Condition", "_acquire_restore")
    theirs = getattr(make(threading, kind) if not of_the_class else threading.Condition, name, None)
    if theirs is None:
        pytest.skip(f"this version's {kind} does not have {name}")
    try:
        expected = inspect.signature(theirs)
    except ValueError:
        pytest.skip("this version's has no signature")
    ours = make(pyfastlock, kind) if not of_the_class else pyfastlock.Condition
    assert inspect.signature(getattr(ours, name)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Lock", "()"),
        ("RLock", "()"),
        ("Condition", "(lock=None)"),
        ("Event", "()"),
        ("Semaphore", "(value=1)"),
        ("BoundedSemaphore", "(value=1)"),
        ("Barrier", "(parties, action=None, timeout=None)"),
    ],
)
def test_signature_of_the_constructors(kind, expected):
    assert str(inspect.signature(getattr(pyfastlock, kind))) == expected
    if kind in WITHOUT_A_LOCK:
        assert str(inspect.signature(getattr(threading, kind))) == expected


@pytest.mark.parametrize(("kind", "name"), EVERY_METHOD)
def test_text_signature(kind, name):
    """What is written in C has one; a function has none."""
    method = getattr(getattr(pyfastlock, kind), name)
    if inspect.isfunction(method):
        assert not hasattr(method, "__text_signature__")
    else:
        assert method.__text_signature__.startswith("($self")
        assert method.__text_signature__.endswith(")")


@pytest.mark.parametrize("kind", KINDS)
def test_help(kind):
    cls = getattr(pyfastlock, kind)
    obj = make(pyfastlock, kind)
    names = PUBLIC[kind] + PRIVATE[kind]
    methods = [getattr(x, name) for x in (cls, obj) for name in names]
    for thing in (cls, obj, *methods):
        out = io.StringIO()
        pydoc.Helper(output=out)(thing)
        assert len(out.getvalue()) > 40
    text = pydoc.render_doc(cls, renderer=pydoc.plaintext)
    for name in PUBLIC[kind] + PROPERTIES.get(kind, []):
        assert name in text or name.startswith("_")


def test_help_on_the_module():
    assert "RLock" in pydoc.render_doc(pyfastlock, renderer=pydoc.plaintext)


# Attributes


def test_dir(impl, kind):
    names = dir(make(impl, kind))
    for name in PUBLIC[kind] + PRIVATE[kind] + PROPERTIES.get(kind, []):
        newer = name in ("locked", "_recursion_count")  # as of 3.14, and of a late 3.11
        assert name in names or (impl is threading and newer)


@pytest.mark.parametrize("kind", KINDS)
def test_dir_has_all_that_the_stdlibs_has(kind):
    """Nothing that somebody may use there is missing here."""
    theirs = set(dir(make(threading, kind)))
    ours = set(dir(make(pyfastlock, kind)))
    of_python_classes = {"__static_attributes__", "__firstlineno__", "__annotations__"}
    of_python_classes |= {"__annotate_func__", "__annotations_cache__"}
    internal = {"__weakref__", "__slotnames__"}
    if kind == "Barrier":
        internal |= {"_cond"}
    if kind == "Barrier":
        internal |= {"_action", "_timeout", "_parties", "_state", "_count"}
        internal |= {"_enter", "_exit", "_release", "_wait", "_break"}
    assert theirs - ours <= of_python_classes | internal


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_public_beyond_the_stdlibs(kind):
    ours = {name for name in dir(getattr(pyfastlock, kind)) if not name.startswith("_")}
    properties = {name for name in PROPERTIES.get(kind, []) if not name.startswith("_")}
    assert ours == set(PUBLIC[kind]) | properties


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_locks_are_immutable(impl, kind):
    cls = type(getattr(impl, kind)())
    for change in (
        lambda: setattr(cls, "x", 1),
        lambda: setattr(cls, "acquire", None),
        lambda: delattr(cls, "acquire"),
    ):
        with pytest.raises(TypeError, match=r"immutable type '\w+\.\w+'"):
            change()


@pytest.mark.parametrize("kind", COPIED)
def test_the_other_classes_can_be_changed(impl, kind, monkeypatch):
    cls = getattr(impl, kind)
    obj = make(impl, kind)
    monkeypatch.setattr(cls, "x", 1, raising=False)
    assert obj.x == 1
    monkeypatch.undo()
    assert not hasattr(obj, "x")
    name = PUBLIC[kind][-1]
    method = getattr(cls, name)
    monkeypatch.delattr(cls, name)
    assert getattr(cls, name, None) is not method
    monkeypatch.undo()
    assert getattr(cls, name) is method


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_locks_have_no_dict(impl, kind):
    lock = getattr(impl, kind)()
    with pytest.raises(AttributeError):
        lock.x = 1
    assert not hasattr(lock, "__dict__")


@pytest.mark.parametrize("kind", ["Condition", *WITHOUT_A_LOCK])
def test_the_others_have_a_dict(impl, kind):
    obj = make(impl, kind)
    obj.x = 1
    assert obj.__dict__["x"] == 1
    vars(obj)["y"] = 2
    assert obj.y == 2
    with pytest.raises(AttributeError):
        obj.z  # noqa: B018


@pytest.mark.parametrize("kind", WITHOUT_A_LOCK)
def test_class(impl, kind):
    obj = make(impl, kind)
    assert obj.__class__ is type(obj) is getattr(impl, kind)
    assert isinstance(getattr(impl, kind), type)


def test_condition_shows_its_lock(impl):
    lock = impl.Lock()
    assert impl.Condition(lock)._lock is lock
    assert isinstance(impl.Condition()._lock, type(impl.RLock()))


def test_condition_keeps_its_lock():
    cond = pyfastlock.Condition()
    with pytest.raises((AttributeError, TypeError)):
        cond._lock = threading.Lock()
    with pytest.raises((AttributeError, TypeError)):
        del cond._lock
    with cond:
        assert cond._is_owned()


# The module


def test_module_attributes():
    assert pyfastlock.TIMEOUT_MAX == threading.TIMEOUT_MAX
    assert type(pyfastlock.TIMEOUT_MAX) is float
    assert pyfastlock.get_ident is threading.get_ident
    assert pyfastlock.__version__ == metadata.version("pyfastlock")
    assert pyfastlock.BrokenBarrierError is threading.BrokenBarrierError
    assert {*KINDS, "BrokenBarrierError", "TIMEOUT_MAX", "get_ident"} <= set(pyfastlock.__all__)
    for name in pyfastlock.__all__:
        assert getattr(pyfastlock, name) is not None


def test_import_star():
    names: dict[str, object] = {}
    exec("from pyfastlock import *", names)
    assert names["RLock"] is pyfastlock.RLock
    assert not {n for n in names if n.startswith("_")} - {"__builtins__", "__version__"}


def test_import_patches_nothing():
    for kind in KINDS:
        assert getattr(threading, kind) is not getattr(pyfastlock, kind)
    assert type(threading.Lock()).__module__ == "_thread"


def test_nobody_waits_for_a_number():
    with pytest.raises(TypeError, match="nobody waits for a int"):
        pyfastlock._core._waiters(3)
