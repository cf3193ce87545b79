"""How objects of the classes that the stdlib writes in Python are made, and what their subclasses
may do."""

from __future__ import annotations

import abc
import collections
import dataclasses
import gc
import sys
import threading
import types
import typing
import weakref

import pytest
from support import FREE_THREADED, is_open, start

import pyfastlock

KINDS = ["Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"]
ARGUMENTS = {"Barrier": (2,)}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def base(impl, kind):
    return getattr(impl, kind)


@pytest.fixture
def arguments(kind):
    return ARGUMENTS.get(kind, ())


def works(obj):
    """Whether an object of one of the classes, fresh from its __init__, does what it is for."""
    if hasattr(obj, "notify"):
        with obj:
            obj.notify_all()
            return obj.wait(0.001) is False
    if hasattr(obj, "is_set"):
        before = obj.is_set()
        obj.set()
        return not before and obj.wait() and obj.is_set()
    if hasattr(obj, "release"):
        taken = obj.acquire(), obj.acquire(False)
        obj.release()
        return taken == (True, False) and obj.acquire(timeout=0)
    other = start(obj.wait)
    return {obj.wait(), other.join()} == {0, 1}


def test_the_class(impl, kind, base, arguments):
    assert type(base) is type
    assert base.__bases__ == ((object,) if kind != "BoundedSemaphore" else (impl.Semaphore,))
    assert base.__new__ is object.__new__
    assert works(base(*arguments))
    assert works(type.__call__(base, *arguments))


def test_object_new(base, arguments):
    for obj in (object.__new__(base), base.__new__(base), base.__new__(base, *arguments)):
        assert type(obj) is base
        obj.__init__(*arguments)
        assert works(obj)
    obj = object.__new__(base)
    base.__init__(obj, *arguments)
    assert works(obj)


def test_new_looks_at_no_arguments(base, arguments):
    obj = base.__new__(base, 1, 2, x=3)
    obj.__init__(*arguments)
    assert works(obj)


def test_an_object_without_init_can_be_looked_at_and_dropped(base):
    obj = base.__new__(base)
    reference = weakref.ref(obj)
    obj.x = obj
    assert vars(obj)["x"] is obj
    with pytest.raises(AttributeError):
        repr(obj)
    del obj
    gc.collect()
    assert reference() is None


def test_abstract_subclasses(base, arguments):
    class Abstract(base, abc.ABC):
        @abc.abstractmethod
        def on_ready(self):
            raise NotImplementedError

    class Concrete(Abstract):
        def on_ready(self):
            return "ready"

    with pytest.raises(TypeError, match="abstract"):
        Abstract(*arguments)
    for new in (Abstract.__new__, object.__new__):
        with pytest.raises(TypeError, match="abstract"):
            new(Abstract)
    obj = Concrete(*arguments)
    assert obj.on_ready() == "ready"
    assert works(obj)
    assert isinstance(obj, Abstract)
    abc.ABC.register(base)
    assert issubclass(base, abc.ABC)


def test_extra_arguments(base, arguments):
    class Child(base):
        def __init__(self, name, *args, loop=None, **kwargs):
            self.name = name
            self.loop = loop
            super().__init__(*args, **kwargs)

    obj = Child("a", *arguments, loop=1)
    assert (obj.name, obj.loop) == ("a", 1)
    assert works(obj)
    with pytest.raises(TypeError):
        Child("a", *arguments, no_such=1)
    with pytest.raises(TypeError):
        Child()


@pytest.mark.parametrize("first", ["before", "after"])
def test_attributes_before_and_after_init(base, arguments, first):
    class Child(base):
        def __init__(self):
            if first == "before":
                self.x = []
            super().__init__(*arguments)
            if first == "after":
                self.x = []

    obj = Child()
    assert obj.x == []
    ours = base.__module__ == "pyfastlock"
    assert not (ours and is_open(obj))
    assert works(obj)
    assert not (ours and is_open(obj))


def test_init_subclass_with_arguments(base, arguments):
    seen = []

    class Child(base):
        def __init_subclass__(cls, *, tag, **kwargs):
            super().__init_subclass__(**kwargs)
            seen.append((cls.__name__, tag))
            cls.tag = tag

    class Grandchild(Child, tag="t"):
        pass

    assert seen == [("Grandchild", "t")]
    assert Grandchild(*arguments).tag == "t"
    assert works(Grandchild(*arguments))
    with pytest.raises(TypeError):
        type("Untagged", (Child,), {})
    with pytest.raises(TypeError):
        types.new_class("Wrong", (base,), {"tag": 1})


def test_generic_subclasses(base, arguments):
    item = typing.TypeVar("item")

    class Child(base, typing.Generic[item]):
        value: item

    assert Child[int].__origin__ is Child
    obj = Child[int](*arguments)
    assert obj.__orig_class__ == Child[int]
    assert works(obj)
    assert works(Child(*arguments))
    for cleanup in typing._cleanups:  # its caches keep what was subscripted
        cleanup()


def test_a_metaclass(base, arguments):
    class Meta(type):
        made = 0

        def __call__(cls, *args, **kwargs):
            Meta.made += 1
            return super().__call__(*args, **kwargs)

    class Child(base, metaclass=Meta):
        pass

    assert works(Child(*arguments))
    assert Meta.made == 1


def test_slots(base, arguments):
    class Child(base):
        __slots__ = ("a", "b")

    class Grandchild(Child):
        __slots__ = ("c",)

        def __init__(self, *args):
            self.c = 3
            super().__init__(*args)

    for cls in (Child, Grandchild):
        obj = cls(*arguments)
        obj.a, obj.z = 1, 2
        assert (obj.a, obj.z) == (1, 2)
        assert not hasattr(obj, "b")
        assert works(obj)
        assert weakref.ref(obj)() is obj
    assert obj.c == 3


@pytest.mark.parametrize("slot", ["__dict__", "__weakref__"])
def test_slots_that_are_there_already(impl, kind, slot):
    texts = []
    for module in (threading, pyfastlock):
        with pytest.raises(TypeError) as caught:
            type("Child", (getattr(module, kind),), {"__slots__": (slot,)})
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_attributes_through_object(base, arguments):
    obj = base(*arguments)
    object.__setattr__(obj, "x", 1)
    assert object.__getattribute__(obj, "x") == obj.x == 1
    object.__delattr__(obj, "x")
    with pytest.raises(AttributeError, match="no attribute 'x'"):
        object.__getattribute__(obj, "x")
    with pytest.raises(AttributeError, match=r"no attribute 'x'|^x$"):
        object.__delattr__(obj, "x")
    assert works(obj)


def test_private_attributes_through_object(impl):
    event = impl.Event()
    object.__setattr__(event, "_flag", True)
    assert event.is_set()
    assert object.__getattribute__(event, "_flag") is True
    semaphore = impl.Semaphore(0)
    object.__setattr__(semaphore, "_value", 1)
    assert semaphore.acquire(False)
    assert object.__getattribute__(semaphore, "_cond").acquire(False)
    semaphore._cond.release()


def test_attribute_hooks(base, arguments):
    """Whatever a subclass does with attributes, the object keeps working."""

    class Child(base):
        def __setattr__(self, name, value):
            self.__dict__.setdefault("set_names", []).append(name)
            super().__setattr__(name, value)

        def __getattr__(self, name):
            if name.startswith("made_"):
                return name
            raise AttributeError(name)

        def __getattribute__(self, name):
            return super().__getattribute__(name)

    obj = Child(*arguments)
    obj.x = 1
    assert obj.set_names[-1] == "x"
    assert obj.made_up == "made_up"
    with pytest.raises(AttributeError):
        obj.no_such  # noqa: B018
    assert works(obj)


def test_several_plain_bases(base, arguments):
    class First:
        def __init__(self, *args, **kwargs):
            self.first = True
            super().__init__(*args, **kwargs)

    class Slotted:
        __slots__ = ()

    class Last:
        def hello(self):
            return "hello"

    class Child(First, Slotted, base, Last):
        pass

    obj = Child(*arguments)
    assert obj.first
    assert obj.hello() == "hello"
    assert works(obj)
    assert [cls for cls in Child.__mro__ if cls is base] == [base]


def test_protocols_and_dataclasses(impl):
    @typing.runtime_checkable
    class Settable(typing.Protocol):
        def set(self) -> None: ...

    assert isinstance(impl.Event(), Settable)
    assert not isinstance(impl.Semaphore(), Settable)

    @dataclasses.dataclass(eq=False)
    class Job(impl.Event):
        name: str = "job"
        tags: list = dataclasses.field(default_factory=list)

        def __post_init__(self):
            super().__init__()

    job = Job("a")
    assert job.tags == []
    assert dataclasses.fields(job)[0].name == "name"
    assert works(job)

    class Named(collections.UserString, impl.Semaphore):
        def __init__(self, text):
            collections.UserString.__init__(self, text)
            impl.Semaphore.__init__(self, 1)

    assert Named("abc").upper() == "ABC"
    assert works(Named("abc"))


def test_new_in_a_subclass(base, arguments):
    class Child(base):
        def __new__(cls, *args, **kwargs):
            obj = super().__new__(cls)
            obj.made = args
            return obj

    obj = Child(*arguments)
    assert obj.made == arguments
    assert works(obj)

    class Singleton(base):
        _one = None

        def __new__(cls, *args):
            if cls._one is None:
                cls._one = super().__new__(cls)
            return cls._one

        def __init__(self):
            if not hasattr(self, "ready"):
                super().__init__(*arguments)
                self.ready = True

    assert Singleton() is Singleton()
    assert works(Singleton())

    class Elsewhere(base):
        def __new__(cls):
            return 5

    assert Elsewhere() == 5


def test_init_without_super(impl):
    """A class may give its objects what the methods use, as multiprocessing.Barrier does."""

    class OwnEvent(impl.Event):
        def __init__(self):
            self._cond = impl.Condition()
            self._flag = False

    class OwnSemaphore(impl.Semaphore):
        def __init__(self):
            self._cond = impl.Condition(impl.Lock())
            self._value = 1

    class OwnBounded(impl.BoundedSemaphore):
        def __init__(self):
            self._cond = impl.Condition(impl.Lock())
            self._value = self._initial_value = 1

    class OwnCondition(impl.Condition):
        def __init__(self):
            self._lock = impl.Lock()
            self._waiters = collections.deque()

        def acquire(self, *args):
            return self._lock.acquire(*args)

        def release(self):
            self._lock.release()

    for cls in (OwnEvent, OwnSemaphore, OwnBounded, OwnCondition):
        assert works(cls())


def test_attributes_of_the_inside_before_init(impl):
    """They are what __init__ makes of them."""

    class Child(impl.Event):
        def __init__(self):
            self._flag = True
            self._cond = None
            super().__init__()

    assert Child()._flag is False
    assert Child()._cond is not None
    assert works(Child())

    class ByFlag(impl.Event):
        def __init__(self):
            self._flag = True
            super().__init__()

    child = ByFlag()
    assert child._flag is False
    with child._cond:
        assert child._flag is False
    assert vars(child)["_flag"] is False
    assert works(child)

    for cls in (impl.Semaphore, impl.BoundedSemaphore):

        class ByValue(cls):
            def __init__(self):
                self._value = 7
                super().__init__()

        child = ByValue()
        assert vars(child)["_value"] == child._value == 1
        assert works(ByValue())


def test_a_property_over_the_inside(impl):
    """A subclass may have its own _value or _flag: the methods use that."""

    class Watched(impl.Semaphore):
        @property
        def _value(self):
            return self.__dict__["value"]

        @_value.setter
        def _value(self, value):
            self.__dict__.setdefault("seen", []).append(value)
            self.__dict__["value"] = value

    semaphore = Watched(2)
    semaphore.acquire()
    semaphore.release(2)
    assert semaphore.seen == [2, 1, 3]
    assert semaphore._value == 3

    class Slotted(impl.Event):
        __slots__ = ("_flag",)

    event = Slotted()
    assert event._flag is False
    assert "_flag" not in vars(event)
    assert works(event)
    assert event._flag is True

    class Default(impl.Event):
        _flag = True

    event = Default()
    assert not event.is_set()
    del event._flag
    assert event.is_set()


def test_class_assignment(base, arguments):
    first = type("First", (base,), {"hello": lambda self: "first"})
    second = type("Second", (base,), {"hello": lambda self: "second"})
    obj = first(*arguments)
    obj.x = 1
    obj.__class__ = second
    assert obj.hello() == "second"
    assert obj.x == 1
    assert works(obj)
    obj = base(*arguments)
    obj.__class__ = first
    assert obj.hello() == "first"
    assert works(obj)
    obj = first(*arguments)
    obj.__class__ = base
    assert type(obj) is base
    assert works(obj)


def test_class_assignment_changes_the_methods(impl):
    class Child(impl.Semaphore):
        def release(self, n=1):
            super().release(2 * n)

    semaphore = impl.Semaphore()
    with semaphore:
        semaphore.__class__ = Child
    assert semaphore._value == 2
    semaphore.__class__ = impl.Semaphore
    with semaphore:
        pass
    assert semaphore._value == 2


def test_references_to_subclasses(base, arguments):
    class Child(base):
        pass

    obj = Child(*arguments)
    obj.me = obj
    works(obj)
    reference, of_class = weakref.ref(obj), weakref.ref(Child)
    del obj, Child
    gc.collect()
    assert reference() is None
    gc.collect()
    # 3.13 without the GIL keeps every class for ever, once a thread has been started.
    assert of_class() is None or FREE_THREADED


# Where we differ: the types have data of their own


CONFLICTS = [
    ("Event", "Semaphore"), ("Event", "Condition"), ("Event", "Barrier"),
    ("Condition", "Semaphore"), ("Condition", "BoundedSemaphore"), ("Barrier", "Condition"),
    ("Semaphore", "Barrier"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), CONFLICTS)
def test_two_of_the_types_as_bases(first, second):
    """The stdlib's may be mixed; as they are written, only one of them works in the end."""
    assert type("Both", (getattr(threading, first), getattr(threading, second)), {})
    with pytest.raises(TypeError, match="multiple bases have instance lay-out conflict"):
        type("Both", (getattr(pyfastlock, first), getattr(pyfastlock, second)), {})


@pytest.mark.parametrize("other", [dict, list, int, Exception, threading.local])
@pytest.mark.parametrize("kind", KINDS)
def test_a_builtin_type_as_another_base(kind, other):
    assert type("Both", (getattr(threading, kind), other), {})
    with pytest.raises(TypeError, match="multiple bases have instance lay-out conflict"):
        type("Both", (getattr(pyfastlock, kind), other), {})


@pytest.mark.parametrize("kind", KINDS)
def test_assignment_of_another_class(kind):
    class Plain:
        pass

    theirs, ours = (getattr(m, kind)(*ARGUMENTS.get(kind, ())) for m in (threading, pyfastlock))
    theirs.__class__ = Plain
    with pytest.raises(TypeError, match="object layout differs"):
        ours.__class__ = Plain


def test_a_semaphore_and_its_bounded_child_can_be_mixed(impl):
    class Both(impl.BoundedSemaphore, impl.Semaphore):
        pass

    assert works(Both())


def test_size():
    """An object is a few words; what it has inside is made when it is touched."""
    for kind in KINDS:
        obj = getattr(pyfastlock, kind)(*ARGUMENTS.get(kind, ()))
        assert sys.getsizeof(obj) < 150
        assert not is_open(obj)
