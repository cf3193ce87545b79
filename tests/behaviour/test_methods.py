"""The methods of the classes that the stdlib writes in Python are functions.

They can be bound, kept, inspected, pickled, replaced and watched as functions of `threading` can.
"""

from __future__ import annotations

import copy
import functools
import gc
import importlib.util
import inspect
import pickle
import re
import sys
import threading
import types
import weakref
from unittest import mock

import pytest
from calls import normalised
from concurrency import check_script
from support import DEADLINE, FREE_THREADED, is_open, parked, start

import pyfastlock

METHODS = {
    "Condition": [
        "__init__", "__enter__", "__exit__", "wait", "wait_for", "notify", "notify_all",
        "notifyAll", "_is_owned", "_release_save", "_acquire_restore", "_at_fork_reinit",
    ],
    "Event": ["__init__", "set", "clear", "is_set", "isSet", "wait", "_at_fork_reinit"],
    "Semaphore": ["__init__", "acquire", "release", "__enter__", "__exit__"],
    "BoundedSemaphore": ["__init__", "acquire", "release", "__enter__", "__exit__"],
    "Barrier": ["__init__", "wait", "reset", "abort"],
}  # fmt: skip
ARGUMENTS = {"Barrier": (2,)}
EVERY = [
    pytest.param(kind, name, id=f"{kind}.{name}")
    for kind, names in METHODS.items()
    for name in names
]
OF_THE_LOCK = {"_is_owned", "_release_save", "_acquire_restore"}
"""Those that an object of the stdlib's Condition has from its lock, where that has them."""


def make(module, kind):
    return getattr(module, kind)(*ARGUMENTS.get(kind, ()))


def bind(obj, name):
    """`obj.name`; of the stdlib's Condition its own, not that of its lock."""
    return getattr(type(obj), name).__get__(obj, type(obj))


every = pytest.mark.parametrize(("kind", "name"), EVERY)
every_kind = pytest.mark.parametrize("kind", METHODS)


# What they are


@every
def test_functions(impl, kind, name):
    function = getattr(getattr(impl, kind), name)
    assert inspect.isfunction(function)
    assert inspect.isroutine(function)
    assert not inspect.ismethod(function)
    assert not inspect.isbuiltin(function)
    assert not inspect.ismethoddescriptor(function)
    assert isinstance(function, types.FunctionType)
    assert callable(function)


@every
def test_functions_have_what_the_stdlibs_have(kind, name):
    theirs = getattr(getattr(threading, kind), name)
    ours = getattr(getattr(pyfastlock, kind), name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__defaults__ == theirs.__defaults__
    assert ours.__kwdefaults__ == theirs.__kwdefaults__
    assert ours.__annotations__ == theirs.__annotations__
    assert ours.__qualname__ == theirs.__qualname__
    assert ours.__name__ == theirs.__name__
    assert ours.__closure__ is None or name == "__init__"
    code, expected = ours.__code__, theirs.__code__
    assert code.co_name == expected.co_name
    assert code.co_argcount == expected.co_argcount
    assert code.co_flags & inspect.CO_VARARGS == expected.co_flags & inspect.CO_VARARGS
    count = code.co_argcount
    assert code.co_varnames[:count] == expected.co_varnames[:count]
    assert ours.__module__ == "pyfastlock"
    assert repr(ours).startswith(f"<function {ours.__qualname__} at 0x")
    assert inspect.getfullargspec(ours) == inspect.getfullargspec(theirs)


@every
def test_bound_methods(impl, kind, name):
    obj = make(impl, kind)
    method = bind(obj, name)
    assert type(method) is types.MethodType
    assert inspect.ismethod(method)
    assert inspect.isroutine(method)
    assert method.__self__ is obj
    assert method.__func__ is getattr(type(obj), name)
    assert method.__name__ == method.__func__.__name__
    assert method.__qualname__ == method.__func__.__qualname__
    assert method.__doc__ == method.__func__.__doc__
    if not (kind == "Condition" and name in OF_THE_LOCK):
        assert isinstance(getattr(obj, name), types.MethodType)
        assert getattr(obj, name) == method
        assert repr(getattr(obj, name)).startswith(f"<bound method {method.__qualname__} of ")


@every
def test_equality_of_bound_methods(impl, kind, name):
    obj, other = make(impl, kind), make(impl, kind)
    first, second = bind(obj, name), bind(obj, name)
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)
    assert first != bind(other, name)
    assert len({first, second, bind(other, name)}) == 2
    assert first != types.MethodType(len, obj)


@every
def test_weak_methods(impl, kind, name):
    obj = make(impl, kind)
    dead = []
    weak = weakref.WeakMethod(bind(obj, name), dead.append)
    assert weak() == bind(obj, name)
    assert weak() is not None
    del obj
    gc.collect()
    assert weak() is None
    assert dead == [weak]


def test_weak_references_to_functions(impl):
    function = impl.Event.set
    assert weakref.ref(function)() is function


@every_kind
def test_functions_of_the_class(impl, kind):
    """inspect finds each of them, and those of the stdlib that objects use when they are open."""
    names = {name for name, _ in inspect.getmembers(getattr(impl, kind), inspect.isfunction)}
    theirs = {name for name, _ in inspect.getmembers(getattr(threading, kind), inspect.isfunction)}
    assert set(METHODS[kind]) <= names
    if kind == "Condition":  # which has these instead of what its __init__ would copy
        theirs |= {"__getstate__", "__setstate__"} & names
    assert names - theirs == set()
    assert theirs - names <= {"__repr__"}


def test_one_function_with_two_names(impl):
    for cls in (impl.Semaphore, impl.BoundedSemaphore):
        assert cls.__enter__ is cls.acquire
        assert vars(impl.Semaphore)["__enter__"] is vars(impl.Semaphore)["acquire"]
    assert "acquire" not in vars(impl.BoundedSemaphore)
    assert impl.BoundedSemaphore.acquire is impl.Semaphore.acquire
    assert impl.BoundedSemaphore.release is not impl.Semaphore.release


def test_functions_are_called_as_functions_are():
    """Without a tuple for the arguments, and without a bound method in between."""
    flags = (1 << 11) | (1 << 17)  # Py_TPFLAGS_HAVE_VECTORCALL, Py_TPFLAGS_METHOD_DESCRIPTOR
    assert types.FunctionType.__flags__ & flags == flags
    assert type(pyfastlock.Event.set).__flags__ & flags == flags


def test_the_collector_finds_what_a_function_keeps():
    assert threading.Event.set in gc.get_referents(pyfastlock.Event.set)


# What is done with functions


@every
def test_pickling_functions(impl, kind, name):
    function = getattr(getattr(impl, kind), name)
    for protocol in range(4, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(function, protocol)) is function
    assert copy.copy(function) is function
    assert copy.deepcopy(function) is function


def test_pickling_bound_methods(impl):
    """They are pickled as getattr(object, name), if the object can be."""

    class Child(impl.Event):
        def __reduce__(self):
            return (make, (impl, "Event"))

    obj = Child()
    method, arguments = obj.set.__reduce__()
    assert method is getattr
    assert arguments == (obj, "set")
    assert copy.copy(obj.set).__func__ is impl.Event.set
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(impl.Event().set)
    with pytest.raises(TypeError, match="pickle"):
        copy.deepcopy(impl.Event().set)


def test_attributes_of_functions(impl, monkeypatch):
    monkeypatch.setattr(impl.Event.set, "tag", 5, raising=False)
    assert impl.Event.set.tag == 5
    assert impl.Event().set.tag == 5
    assert vars(impl.Event.set)["tag"] == 5
    monkeypatch.undo()
    assert not hasattr(impl.Event.set, "tag")
    with pytest.raises(AttributeError):
        impl.Event().set.tag = 1


def test_partial_methods_and_wrappers(impl):
    class Child(impl.Event):
        poll = functools.partialmethod(impl.Event.wait, 0)

        @functools.wraps(impl.Event.wait)
        def wait(self, *args, **kwargs):
            self.waited = True
            return super().wait(*args, **kwargs)

        raise_flag = impl.Event.set

    child = Child()
    assert child.poll() is False
    assert not hasattr(child, "waited")
    child.raise_flag()
    assert child.poll() is True
    assert child.wait(timeout=0) is True
    assert child.waited
    assert Child.wait.__wrapped__ is impl.Event.wait
    assert inspect.signature(Child.wait) == inspect.signature(threading.Event.wait)
    assert Child.wait.__doc__ == impl.Event.wait.__doc__
    assert inspect.unwrap(Child.wait) is impl.Event.wait
    assert functools.partial(impl.Event.wait, child, timeout=0)() is True
    assert [function(child) for function in (impl.Event.clear, impl.Event.is_set)] == [None, False]


def test_functions_bound_by_hand(impl):
    event = impl.Event()
    impl.Event.set.__get__(event)()
    assert event.is_set()
    types.MethodType(impl.Event.clear, event)()
    assert impl.Event.is_set(event) is False
    assert impl.Event.set.__get__(None, impl.Event) is impl.Event.set
    assert impl.Event.wait(event, 0) is impl.Event.wait(self=event, timeout=0) is False
    assert impl.Event.set(self=event) is None
    assert event.is_set()
    assert impl is threading or not is_open(event)
    assert list(map(impl.Event.is_set, [event])) == [True]


def test_connecting_as_a_signal_library_does(impl):
    """A receiver is kept weakly, and called with keywords that it accepts."""

    class Signal:
        def __init__(self):
            self.receivers = {}

        def connect(self, receiver):
            key = (id(receiver.__self__), id(receiver.__func__))
            self.receivers[key] = weakref.WeakMethod(receiver, lambda _: self.receivers.pop(key))

        def send(self):
            return [receiver()() for receiver in list(self.receivers.values())]

    signal, event, condition = Signal(), impl.Event(), impl.Condition()
    signal.connect(event.set)
    signal.connect(event.set)
    signal.connect(condition.__enter__)
    assert len(signal.receivers) == 2
    assert signal.send() == [None, True]
    condition.release()
    assert event.is_set()
    del event
    gc.collect()
    assert len(signal.receivers) == 1
    del condition
    gc.collect()
    assert signal.send() == []


@pytest.mark.parametrize("instance", [False, True])
def test_autospec_knows_the_signatures(impl, instance):
    def spec(kind):
        double = mock.create_autospec(getattr(impl, kind), instance=instance)
        return double if instance else double(*ARGUMENTS.get(kind, ()))

    event, semaphore, condition = spec("Event"), spec("Semaphore"), spec("Condition")
    event.wait(3)
    event.wait(timeout=3)
    event.set()
    semaphore.acquire(True, timeout=1)
    condition.wait_for(print, timeout=1)
    condition.notify(2)
    for call in (
        lambda: event.wait(1, 2),
        lambda: event.wait(seconds=1),
        lambda: event.set(1),
        lambda: semaphore.acquire(1, 2, 3),
        lambda: semaphore.release(count=1),
        condition.wait_for,
        lambda: condition.notify(1, 2),
        lambda: spec("Barrier").wait(1, 2),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(AttributeError):
        event.no_such_method()


@pytest.mark.parametrize("kind", METHODS)
def test_autospec_of_a_class_knows_the_constructor(impl, kind):
    double = mock.create_autospec(getattr(impl, kind))
    double(*ARGUMENTS.get(kind, ()))
    with pytest.raises(TypeError):
        double(1, 2, 3, 4, 5)
    with pytest.raises(TypeError):
        double(no_such=1)


# Other objects


class Duck:
    """It has what an Event has."""

    def __init__(self, impl):
        self._cond = impl.Condition(impl.Lock())
        self._flag = False
        self._value = 1
        self._initial_value = 1


def test_methods_on_what_has_the_attributes(impl):
    duck = Duck(impl)
    assert impl.Event.is_set(duck) is False
    assert impl.Event.wait(duck, 0.001) is False
    impl.Event.set(duck)
    assert duck._flag is True
    assert impl.Event.is_set(duck) is impl.Event.wait(duck) is True
    impl.Event.clear(duck)
    assert duck._flag is False
    assert impl.Semaphore.acquire(duck, False) is True
    assert impl.Semaphore.acquire(duck, timeout=0.001) is False
    impl.BoundedSemaphore.release(duck)
    with pytest.raises(ValueError, match="released too many times"):
        impl.BoundedSemaphore.release(duck)
    impl.Semaphore.release(duck, 3)
    assert duck._value == 4
    waiter = start(impl.Event.wait, duck, DEADLINE)
    parked(duck._cond)
    impl.Event.set(duck)
    assert waiter.join() is True


def test_init_on_any_object(impl):
    duck = Duck.__new__(Duck)
    impl.Event.__init__(duck)
    assert duck._flag is False
    impl.Semaphore.__init__(duck, 7)
    assert duck._value == 7


def test_init_of_an_event_on_an_object_of_a_class_made_before():
    """A class over the stdlib's Event, made before the names were replaced, that says the name."""

    class Old(threading.Event):
        def __init__(self):
            pyfastlock.Event.__init__(self)

    old = Old()
    assert not old.is_set()
    old.set()
    assert old.is_set()
    assert pyfastlock.Event.is_set(old) is True
    assert pyfastlock.Event.wait(old, 0) is True

    class OldSemaphore(threading.Semaphore):
        def __init__(self):
            pyfastlock.Semaphore.__init__(self, 2)

    semaphore = OldSemaphore()
    with semaphore:
        assert semaphore._value == 1


def test_classes_made_before_and_after_patching():
    check_script(
        """
        import threading

        class Old(threading.Event):
            def __init__(self):
                threading.Event.__init__(self)

        class OldCondition(threading.Condition):
            def __init__(self, lock=None):
                threading.Condition.__init__(self, lock)

        impl.patch()
        old = Old()
        assert old.wait(0) is False
        old.set()
        assert old.wait() is True
        assert type(old._cond) is impl.Condition
        condition = OldCondition()
        with condition:
            assert condition.wait(0.001) is False
            condition.notify_all()
        assert isinstance(threading.Event().set.__func__, type(run_script))
        import pickle
        assert pickle.loads(pickle.dumps(threading.Event.set)) is threading.Event.set
        assert pickle.loads(pickle.dumps(threading.Condition.__enter__)) is impl.Condition.__enter__
        """
    )


WRONG_CALLS = [
    ("Event", "set(1)"), ("Event", "set(x=1)"), ("Event", "wait(1, 2)"), ("Event", "wait(x=1)"),
    ("Event", "wait(1, timeout=1)"), ("Event", "isSet(1)"), ("Event", "__init__(1)"),
    ("Semaphore", "acquire(1, 2, 3)"), ("Semaphore", "acquire(x=1)"),
    ("Semaphore", "release(1, 2)"), ("Semaphore", "__exit__()"), ("Semaphore", "__exit__(1, 2)"),
    ("Semaphore", "__enter__(1, 2, 3)"),
    ("Semaphore", "__init__(1, 2)"), ("Semaphore", "__init__(x=1)"),
    ("BoundedSemaphore", "release(1, 2)"), ("BoundedSemaphore", "release(x=1)"),
    ("BoundedSemaphore", "__init__(1, 2)"),
    ("Condition", "wait(1, 2)"), ("Condition", "wait_for()"), ("Condition", "notify(1, 2)"),
    ("Condition", "notify_all(1)"), ("Condition", "notifyAll(x=1)"), ("Condition", "__enter__(1)"),
    ("Condition", "__init__(1, 2)"), ("Condition", "_at_fork_reinit(1)"),
    ("Barrier", "wait(1, 2)"), ("Barrier", "reset(1)"), ("Barrier", "abort(x=1)"),
    ("Barrier", "__init__()"), ("Barrier", "__init__(1, 2, 3, 4)"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize(("kind", "call"), WRONG_CALLS)
@pytest.mark.parametrize("how", ["bound", "unbound", "kept", "subclass"])
def test_wrong_calls(kind, call, how):
    """The running version's own exception and text, however the method is reached."""
    name = re.match(r"\w+", call)[0]
    results = []
    for module in (threading, pyfastlock):
        base = getattr(module, kind)
        cls = type("Child", (base,), {}) if how == "subclass" else base
        obj = cls(*ARGUMENTS.get(kind, ()))
        if how == "unbound":
            text = f"cls.{call}".replace("(", "(obj, ", 1)
        elif how == "kept":
            text = call.replace(name, "kept", 1)
        else:
            text = f"obj.{call}"
        with pytest.raises(TypeError) as caught:
            eval(text, {"obj": obj, "cls": cls, "kept": bind(obj, name)})
        results.append(normalised(str(caught.value)))
    assert results[0] == results[1]


# Profilers


CALLS = [
    ("Event", "set()"), ("Event", "clear()"), ("Event", "is_set()"), ("Event", "wait(0)"),
    ("Semaphore", "acquire()"), ("Semaphore", "release()"), ("Semaphore", "__enter__()"),
    ("Semaphore", "__exit__(None, None, None)"), ("BoundedSemaphore", "acquire()"),
    ("Condition", "__enter__()"), ("Condition", "notify_all()"), ("Condition", "wait(0)"),
    ("Condition", "wait_for(bool, 0)"), ("Condition", "notify()"),
    ("Barrier", "reset()"), ("Barrier", "abort()"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "call"), CALLS)
@pytest.mark.parametrize("how", ["bound", "unbound", "kept", "subclass"])
def test_profilers_see_a_call_of_a_function(impl, kind, call, how):
    name = re.match(r"\w+", call)[0]
    base = getattr(impl, kind)
    cls = type("Child", (base,), {}) if how == "subclass" else base
    obj = cls(*ARGUMENTS.get(kind, ()))
    if kind == "Condition":
        obj.acquire()
    kept = bind(obj, name)
    text = {"unbound": f"cls.{call}".replace("(", "(obj, ", 1), "kept": call.replace(name, "kept")}
    code = compile(text.get(how, f"obj.{call}"), "profiled", "eval")
    seen = []

    def profile(frame, event, arg):
        seen.append((event, frame.f_code.co_name))

    sys.setprofile(profile)
    try:
        eval(code, {"obj": obj, "cls": cls, "kept": kept})
    finally:
        sys.setprofile(None)
    expected = base.acquire.__name__ if name == "__enter__" and "Sema" in kind else name
    assert ("call", expected) in seen
    assert ("return", expected) in seen
    assert seen.index(("call", expected)) < seen.index(("return", expected))


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_profilers_see_calls_of_c_functions_for_the_locks(impl, kind):
    lock = getattr(impl, kind)()
    seen = []

    def profile(frame, event, arg):
        seen.append((event, getattr(arg, "__name__", None)))

    sys.setprofile(profile)
    try:
        lock.acquire()
        lock.release()
    finally:
        sys.setprofile(None)
    calls = [one for one in seen if one[1] in ("acquire", "release")]
    assert calls == [
        (event, name) for name in ("acquire", "release") for event in ("c_call", "c_return")
    ]


def test_t42_profilers_see_exceptions_pass(impl):
    semaphore = impl.BoundedSemaphore()
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append((event, frame.f_code.co_name)))
    try:
        with pytest.raises(ValueError, match="too many times"):
            semaphore.release()
    finally:
        sys.setprofile(None)
    assert ("call", "release") in seen
    assert ("return", "release") in seen
    assert semaphore._value == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_t42_monitoring_sees_the_calls(impl):
    event, semaphore, condition = impl.Event(), impl.Semaphore(), impl.Condition()
    tool, seen = 3, []
    monitoring = sys.monitoring

    def on_call(code, offset, function, arg):
        if code is watched.__code__:
            seen.append(function)

    def watched():
        event.set()
        event.wait(0)
        semaphore.acquire()
        condition.acquire()
        condition.notify_all()
        condition.release()

    monitoring.use_tool_id(tool, "test")
    try:
        monitoring.register_callback(tool, monitoring.events.CALL, on_call)
        monitoring.set_local_events(tool, watched.__code__, monitoring.events.CALL)
        watched()
    finally:
        monitoring.set_local_events(tool, watched.__code__, 0)
        monitoring.register_callback(tool, monitoring.events.CALL, None)
        monitoring.free_tool_id(tool)
    names = [function.__name__ for function in seen]
    assert names == ["set", "wait", "acquire", "acquire", "notify_all", "release"]
    assert seen[0] in (impl.Event.set, event.set)
    assert inspect.isfunction(getattr(seen[0], "__func__", seen[0]))


# Replacing


class Replaced:
    """A function in the place of a method; keeps the calls, and may call what was there."""

    def __init__(self, cls, name, result=None, *, through=False):
        self.calls = []
        original = getattr(cls, name)

        def function(self_, *args, **kwargs):
            self.calls.append((args, kwargs))
            return original(self_, *args, **kwargs) if through else result

        self.function = function


@pytest.fixture(params=["class", "subclass", "instance"])
def replace(request, monkeypatch):
    """`replace(obj, name, function)`: the object, or one like it, with another method."""

    def replace(obj, name, function):
        if request.param == "class":
            monkeypatch.setattr(type(obj), name, function)
        elif request.param == "subclass":
            obj = type("Child", (type(obj),), {name: function})()
        else:
            monkeypatch.setattr(obj, name, types.MethodType(function, obj), raising=False)
        return obj

    return replace


CALLED = [
    pytest.param(
        "Condition", "wait", lambda c, calls: c.wait_for(lambda: calls, 0.01), id="wait_for"
    ),
    pytest.param("Condition", "notify", lambda c, _: c.notify_all(), id="notify_all"),
    pytest.param("Condition", "notify_all", lambda c, _: c.notifyAll(), id="notifyAll"),
    pytest.param("Event", "is_set", lambda e, _: e.isSet(), id="isSet"),
    pytest.param(
        "Semaphore", "release", lambda s, _: s.__exit__(None, None, None), id="Semaphore.__exit__"
    ),
    pytest.param(
        "BoundedSemaphore",
        "release",
        lambda s, _: s.__exit__(1, 2, 3),
        id="BoundedSemaphore.__exit__",
    ),
]


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize(("kind", "name", "call"), CALLED)
def test_methods_call_replaced_methods(impl, kind, name, call, replace, monkeypatch):
    """As the stdlib's, which are written in Python; and the first one again when it is back."""
    replaced = Replaced(getattr(impl, kind), name, "replaced")
    obj = make(impl, kind)
    if kind == "Condition":
        with obj:
            call(obj, [])
    changed = replace(obj, name, replaced.function)
    if kind == "Condition":
        changed.acquire()
    result = call(changed, replaced.calls)
    assert len(replaced.calls) == 1
    expected = {"wait": replaced.calls, "is_set": "replaced"}
    assert result == expected.get(name)
    if changed is obj:
        monkeypatch.undo()
        if "Bounded" in kind:
            with pytest.raises(ValueError, match="too many times"):
                call(obj, [])
        else:
            call(obj, [])
        assert len(replaced.calls) == 1


def test_a_with_block_calls_a_replaced_release(impl, replace):
    for kind in ("Semaphore", "BoundedSemaphore"):
        replaced = Replaced(getattr(impl, kind), "release", through=True)
        semaphore = replace(make(impl, kind), "release", replaced.function)
        for n in (1, 2):
            with semaphore:
                assert semaphore._value == 0
            assert semaphore._value == 1
            assert len(replaced.calls) == n
        del semaphore


def test_a_with_block_calls_the_class(impl, monkeypatch):
    """What is replaced in the class, not what the instance has."""
    semaphore, condition = impl.Semaphore(), impl.Condition()
    for obj in (semaphore, condition):
        obj.__enter__ = obj.__exit__ = None
        with obj:
            pass
    entered = []

    def entered_by(self):
        entered.append(self)

    for obj in (semaphore, condition):
        monkeypatch.setattr(type(obj), "__enter__", entered_by)
        monkeypatch.setattr(type(obj), "__exit__", lambda self, *args: entered.append(args))
        with obj as nothing:
            assert nothing is None
    assert entered == [semaphore, (None,) * 3, condition, (None,) * 3]
    monkeypatch.undo()
    with semaphore:
        assert semaphore._value == 0
    with condition:
        assert condition._is_owned()


def test_acquire_replaced_in_the_base(impl):
    """A BoundedSemaphore inherits acquire; __enter__ is another name of the first one."""
    semaphore = impl.BoundedSemaphore()
    with mock.patch.object(impl.Semaphore, "acquire", return_value="mocked") as acquire:
        assert semaphore.acquire() == "mocked"
        assert impl.BoundedSemaphore().acquire(False) == "mocked"
        with semaphore:
            assert semaphore._value == 0
    assert acquire.call_args_list == [mock.call(), mock.call(False)]
    assert semaphore.acquire() is True
    assert semaphore._value == 0


@every
def test_mock_patch(impl, kind, name):
    cls = getattr(impl, kind)
    obj = make(impl, kind)
    original = vars(cls).get(name)
    with mock.patch.object(cls, name, return_value=None) as double:
        if name == "__init__":
            cls(*ARGUMENTS.get(kind, ()))
            assert double.call_args == mock.call(*ARGUMENTS.get(kind, ()))
        else:
            getattr(cls, name)(1, 2, 3)
            assert double.call_args == mock.call(1, 2, 3)
    assert vars(cls).get(name) is original
    with mock.patch.object(cls, name, autospec=True) as double:
        if name == "__init__":
            double.return_value = None
            made = cls(*ARGUMENTS.get(kind, ()))
            assert double.call_args == mock.call(made, *ARGUMENTS.get(kind, ()))
        elif not (kind == "Condition" and name in OF_THE_LOCK | {"__exit__"}):
            with pytest.raises(TypeError):
                getattr(obj, name)(1, 2, 3, 4)
    assert vars(cls).get(name) is original
    make(impl, kind)


def test_mock_patch_by_name(impl):
    event = impl.Event()
    with mock.patch(f"{impl.__name__}.Event.wait", return_value=42) as wait:
        assert event.wait(1) == 42
        assert impl.Event().wait() == 42
    assert wait.call_count == 2
    assert event.wait(0) is False
    with mock.patch(f"{impl.__name__}.Event", autospec=True) as double:
        assert isinstance(double(), mock.NonCallableMock)


def test_methods_deleted_and_put_back(impl):
    for kind, name in (("Event", "set"), ("Condition", "notify"), ("Semaphore", "release")):
        cls = getattr(impl, kind)
        obj = make(impl, kind)
        original = vars(cls)[name]
        delattr(cls, name)
        try:
            with pytest.raises(AttributeError, match=name):
                getattr(obj, name)
            with pytest.raises(AttributeError, match=name):
                getattr(make(impl, kind), name)
            if kind == "Condition":
                with obj, pytest.raises(AttributeError, match=name):
                    obj.notify_all()
            if kind == "Semaphore":
                obj.acquire()
                with pytest.raises(AttributeError, match=name):
                    obj.__exit__(None, None, None)
        finally:
            setattr(cls, name, original)
        if kind == "Condition":
            with obj:
                obj.notify_all()
        else:
            getattr(obj, name)()
        assert vars(cls)[name] is original


def test_init_replaced(impl, monkeypatch):
    first = impl.Event.__init__
    made = []

    def init(self, *args):
        made.append(self)
        first(self)
        self.extra = args

    monkeypatch.setattr(impl.Event, "__init__", init)
    event = impl.Event(1, 2)
    assert made == [event]
    assert event.extra == (1, 2)
    event.set()
    assert event.is_set()
    monkeypatch.undo()
    with pytest.raises(TypeError):
        impl.Event(1, 2)
    assert not hasattr(impl.Event(), "extra")


def test_new_replaced(impl):
    """In a process of its own: type() goes on being stricter when __new__ is deleted again."""
    check_script(
        """
        made = []

        def new(cls, *args, **kwargs):
            made.append(cls)
            return object.__new__(cls)

        impl.Semaphore.__new__ = new
        assert impl.Semaphore(3)._value == 3
        assert impl.BoundedSemaphore(2)._value == 2
        assert made == [impl.Semaphore, impl.BoundedSemaphore]
        del impl.Semaphore.__new__
        assert impl.Semaphore()._value == 1
        assert len(made) == 2
        """,
        impl,
    )


def test_replacing_while_others_call(impl):
    """The method is there or it is not; each call finds one of the two."""
    event = impl.Event()
    first, stop = impl.Event.is_set, []

    def call():
        seen = set()
        while not stop:
            seen.add(event.is_set())
        return seen

    callers = [start(call) for _ in range(3)]
    for _ in range(200):
        impl.Event.is_set = lambda self: "replaced"
        impl.Event.is_set = first
    stop.append(True)
    for caller in callers:
        assert caller.join() <= {False, "replaced"}
    assert event.is_set() is False


def test_super_and_inherited_calls(impl):
    class Child(impl.Condition):
        def __init__(self):
            super().__init__(impl.Lock())
            self.seen = []

        def __enter__(self):
            self.seen.append("enter")
            return super().__enter__()

        def __exit__(self, *args):
            self.seen.append("exit")
            return super().__exit__(*args)

        def wait(self, timeout=None):
            self.seen.append("wait")
            return super().wait(timeout)

        def notify(self, n=1):
            self.seen.append(("notify", n))
            return super().notify(n)

    child = Child()
    with child:
        assert child.wait_for(lambda: "wait" in child.seen, 0.001)
        child.notify_all()
    assert child.seen == ["enter", "wait", ("notify", 0), "exit"]


@pytest.mark.skipif(FREE_THREADED, reason="the types of such a build do not go with their module")
def test_a_method_goes_with_its_module():
    """Weak references learn of it; another copy of the module has methods of its own."""
    spec = pyfastlock._core.__spec__
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    seen = []
    reference = weakref.ref(vars(copy.Event)["set"], seen.append)
    del copy
    gc.collect()
    gc.collect()
    assert reference() is None
    assert seen == [reference]


@pytest.mark.skipif(FREE_THREADED, reason="the types of such a build do not go with their module")
def test_a_weak_reference_that_is_made_while_the_module_goes():
    """The collector has dealt with the others by then."""
    spec = pyfastlock._core.__spec__
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    seen = []

    class Last:
        def __del__(self):
            seen.append(weakref.ref(vars(self.core.Event)["set"]))

    copy.last = Last()
    copy.last.core = copy
    del copy
    gc.collect()
    gc.collect()
    assert [reference() for reference in seen] == [None]
