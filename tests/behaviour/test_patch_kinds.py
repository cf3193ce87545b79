"""What isinstance() says of locks while `threading` is patched: those of `_thread` are ours too."""

from __future__ import annotations

import _thread
import abc
import re
import threading
from collections.abc import Iterator
from typing import Any, Generic, TypeVar
from unittest import mock

import pytest
from concurrency import check_script
from subinterpreters import API, needs_subinterpreters, own_gil
from support import run_in_thread

import pyfastlock

LOCK = type(_thread.allocate_lock())
RLOCK = type(_thread.RLock())
THEIRS = {"Lock": LOCK, "RLock": RLOCK}
OURS: dict[str, Any] = {"Lock": pyfastlock.Lock, "RLock": pyfastlock.RLock}
EARLY = {"Lock": _thread.allocate_lock(), "RLock": threading.RLock()}
KINDS = list(OURS)
OTHER = {"Lock": "RLock", "RLock": "Lock"}

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    pyfastlock.unpatch()
    assert threading.RLock is not pyfastlock.RLock


class Child(pyfastlock.RLock):
    pass


class GrandChild(Child):
    pass


@each_kind
def test_a_lock_says_that_it_is_the_standard_librarys(kind: str) -> None:
    lock = OURS[kind]()
    for patched in (False, True, False):
        if patched:
            pyfastlock.patch()
        else:
            pyfastlock.unpatch()
        for each in (lock, OURS[kind]()):
            assert each.__class__ is (THEIRS[kind] if patched else OURS[kind])
            assert (each.__class__.__module__ == "_thread") is patched
            assert type(each) is OURS[kind]
            assert isinstance(each, OURS[kind])
            assert isinstance(each, THEIRS[kind]) is patched
            assert not isinstance(each, THEIRS[OTHER[kind]])
            assert not isinstance(each, OURS[OTHER[kind]])


@each_kind
def test_locks_that_are_the_standard_librarys(kind: str) -> None:
    fresh = {"Lock": _thread.allocate_lock, "RLock": _thread.RLock}[kind]
    for patched in (False, True, False):
        if patched:
            pyfastlock.patch()
        else:
            pyfastlock.unpatch()
        for each in (EARLY[kind], fresh()):
            assert isinstance(each, OURS[kind]) is patched
            assert not isinstance(each, OURS[OTHER[kind]])
            assert isinstance(each, THEIRS[kind])
            assert each.__class__ is THEIRS[kind]
        assert issubclass(THEIRS[kind], OURS[kind]) is patched
        assert not issubclass(THEIRS[kind], OURS[OTHER[kind]])
        assert issubclass(OURS[kind], OURS[kind])
        assert not issubclass(OURS[kind], THEIRS[kind])


@each_kind
def test_by_the_names_of_threading(kind: str) -> None:
    with pyfastlock.patched():
        cls = type(getattr(threading, kind)())
        assert isinstance(EARLY[kind], cls)
        assert isinstance(EARLY[kind], getattr(threading, kind))
        assert isinstance(getattr(threading, kind)(), cls)
        assert isinstance(getattr(threading, kind)(), getattr(threading, kind))
        assert isinstance(threading.Lock(), _thread.LockType)
        assert isinstance(threading.RLock(), _thread.RLock)


def test_the_kinds_that_programs_ask_for() -> None:
    def kinds() -> list[bool]:
        types = (type(threading.Lock()), type(threading.RLock()))
        internal = threading._active_limbo_lock  # type: ignore[attr-defined]
        locks = (internal, threading.Lock(), threading.RLock(), _thread.RLock(), object(), types)
        return [isinstance(lock, types) for lock in locks]

    expected = kinds()
    assert expected == [True] * 4 + [False] * 2
    with pyfastlock.patched():
        assert kinds() == expected
    assert kinds() == expected


def test_trio() -> None:
    """It asserts at its import that an RLock is written in C, and starts nothing otherwise."""
    trio = pytest.importorskip("trio")
    version = trio.__version__
    check_script(
        f"""
        impl.patch()
        import trio, threading
        assert trio.__version__ == {version!r}
        assert threading.RLock().__class__.__module__ == "_thread"
        async def main():
            return await trio.to_thread.run_sync(lambda: 42)
        assert trio.run(main) == 42
        """
    )


@each_kind
@pytest.mark.parametrize("value", [None, 1, "", [], int, object(), type, Generic])
def test_other_objects(kind: str, value: object) -> None:
    for patch in (pyfastlock.unpatch, pyfastlock.patch):
        patch()
        assert not isinstance(value, OURS[kind])
        assert not isinstance(pyfastlock.Event(), OURS[kind])
        assert not issubclass(int, OURS[kind])
        assert not issubclass(type, OURS[kind])
        if not isinstance(value, type):
            with pytest.raises(TypeError):
                issubclass(value, OURS[kind])  # type: ignore[arg-type]


@each_kind
def test_what_lies_about_its_class(kind: str) -> None:
    """`__class__` counts in isinstance(), as always; so do mocks."""

    class Liar:
        def __init__(self, cls: Any) -> None:
            self.cls = cls

        @property
        def __class__(self) -> Any:
            return self.cls

    for patched in (False, True):
        if patched:
            pyfastlock.patch()
        assert isinstance(Liar(OURS[kind]), OURS[kind])
        assert isinstance(Liar(THEIRS[kind]), OURS[kind]) is patched
        assert isinstance(mock.Mock(spec=OURS[kind]), OURS[kind])
        assert isinstance(mock.Mock(spec=THEIRS[kind]), OURS[kind]) is patched


def test_an_error_of_class_is_raised() -> None:
    class Broken:
        @property
        def __class__(self) -> Any:
            raise LookupError

    for patch in (pyfastlock.unpatch, pyfastlock.patch):
        patch()
        for cls in OURS.values():
            with pytest.raises(LookupError):
                isinstance(Broken(), cls)


def test_subclasses_say_what_they_are() -> None:
    for patch in (pyfastlock.unpatch, pyfastlock.patch):
        patch()
        for cls in (Child, GrandChild):
            lock = cls()
            assert lock.__class__ is cls is type(lock)
            assert isinstance(lock, pyfastlock.RLock)
            assert isinstance(lock, Child)
            assert not isinstance(lock, pyfastlock.Lock)
            assert not isinstance(lock, RLOCK)
            assert issubclass(cls, pyfastlock.RLock)
            assert not issubclass(cls, pyfastlock.Lock)
        assert not isinstance(Child(), GrandChild)
        for lock in (pyfastlock.RLock(), pyfastlock.Lock(), *EARLY.values(), 1, None):
            assert not isinstance(lock, Child)
        for cls in (pyfastlock.RLock, RLOCK, LOCK, int):
            assert not issubclass(cls, Child)
        assert issubclass(GrandChild, Child)


def test_subclasses_of_what_patch_has_put_there() -> None:
    with pyfastlock.patched():

        class Here(threading.RLock):  # type: ignore[misc,valid-type]
            pass

        assert isinstance(Here(), threading.RLock)
        assert not isinstance(EARLY["RLock"], Here)
        assert not isinstance(threading.RLock(), Here)
        assert Here().__class__ is Here
    assert isinstance(Here(), pyfastlock.RLock)


T = TypeVar("T")


def test_subclasses_with_other_bases() -> None:
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def method(self) -> None: ...

    class Both(pyfastlock.RLock, Abstract):
        pass

    class Concrete(Both):
        def method(self) -> None: ...

    class Typed(pyfastlock.RLock, Generic[T]):
        pass

    class Told(pyfastlock.RLock):
        told: dict[str, object]

        def __init_subclass__(cls, **arguments: object) -> None:
            cls.told = arguments

    class Teller(Told, x=1):
        pass

    for cls in (Both, Concrete, Typed, Teller):
        lock = cls()  # a lock in C is made whatever is abstract, as over _thread.RLock
        with lock:
            assert not run_in_thread(lock.acquire, False)
    assert Teller.told == {"x": 1}
    assert isinstance(Concrete(), Abstract)
    assert not isinstance(pyfastlock.RLock(), Abstract)
    Abstract.register(int)
    assert isinstance(1, Abstract)
    assert not isinstance(1, Both)
    Both.register(str)
    assert isinstance("", Both)
    assert isinstance("", Abstract)
    assert not isinstance("", pyfastlock.RLock)
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        type("X", (pyfastlock.RLock,), {}, x=1)


def test_abstract_subclasses_are_as_over_the_standard_librarys() -> None:
    def made(base: Any) -> bool:
        body = {"method": abc.abstractmethod(lambda self: None)}
        try:
            cls = abc.ABCMeta("Abstract", (base,), body)
            return isinstance(cls(), base) and isinstance(cls(), cls)
        except TypeError:
            return False

    assert made(pyfastlock.RLock) == made(RLOCK)


@each_kind
def test_class_cannot_be_assigned(kind: str) -> None:
    """The text is that of the running version."""
    texts = []
    for lock in (OURS[kind](), THEIRS[kind].__call__() if kind == "RLock" else EARLY[kind]):
        for value in (int, object(), type(lock), None):
            with pytest.raises(TypeError) as caught:
                lock.__class__ = value
            texts.append(re.sub(r"pyfastlock\.|_thread\.", "", str(caught.value)))
        with pytest.raises(TypeError) as caught:
            del lock.__class__
        texts.append(str(caught.value))
    half = len(texts) // 2
    assert [text.lower() for text in texts[:half]] == [text.lower() for text in texts[half:]]


def test_class_of_subclasses_can_be_assigned() -> None:
    class Other(pyfastlock.RLock):
        pass

    lock: Any = Child()
    lock.__class__ = Other
    assert type(lock) is lock.__class__ is Other
    with lock:
        assert not run_in_thread(lock.acquire, False)


@each_kind
@pytest.mark.parametrize("arguments", [(1,), (None,), (1, 2)])
def test_new_takes_no_arguments(kind: str, arguments: tuple[object, ...]) -> None:
    def outcome(function: Any) -> str:
        try:
            function()
        except TypeError as error:
            return str(error)
        return ""

    cls = OURS[kind]
    ours = outcome(lambda: cls.__new__(cls, *arguments))
    if kind == "RLock":
        assert ours == outcome(lambda: RLOCK.__new__(RLOCK, *arguments))
    else:
        assert ours == outcome(lambda: threading.Lock(*arguments))
        assert ours
    assert type(cls.__new__(cls)) is cls


def test_the_metaclass() -> None:
    meta: Any = type(pyfastlock.RLock)
    assert issubclass(meta, abc.ABCMeta)
    assert type(pyfastlock.Lock) is meta
    assert pyfastlock.RLock.__class__ is meta
    assert type(Child) is meta
    assert repr(pyfastlock.RLock) == "<class 'pyfastlock.RLock'>"
    for name in ("__instancecheck__", "__subclasscheck__"):
        check = getattr(pyfastlock.RLock, name)
        for arguments in ((), (1, 2)):
            with pytest.raises(TypeError):
                check(*arguments)
        with pytest.raises(TypeError):
            check(x=1)
    unrelated = meta("Unrelated", (), {})
    assert isinstance(unrelated(), unrelated)
    assert not isinstance(pyfastlock.RLock(), unrelated)
    assert not isinstance(unrelated(), pyfastlock.RLock)


def test_many_threads() -> None:
    """isinstance() while others patch and unpatch: right before and after, and never an error."""
    stop = threading.Event()
    answers: set[bool] = set()

    def ask() -> None:
        while not stop.is_set():
            answers.add(isinstance(EARLY["Lock"], pyfastlock.Lock))
            answers.add(isinstance(pyfastlock.RLock(), RLOCK))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(2000):
            with pyfastlock.patched():
                assert isinstance(EARLY["Lock"], type(threading.Lock()))
            assert not isinstance(EARLY["Lock"], pyfastlock.Lock)
    finally:
        stop.set()
        thread.join()
    assert answers <= {False, True}


@needs_subinterpreters
@own_gil
def test_t37_each_interpreter_on_its_own(own_gil: bool) -> None:
    check_script(
        API
        + f"OWN_GIL = {own_gil}\n"
        + """
impl.patch()
fresh = create(OWN_GIL)
run(fresh, PATH + '''
import _thread, threading, pyfastlock
early = _thread.allocate_lock()
assert not isinstance(early, pyfastlock.Lock)
assert not isinstance(pyfastlock.RLock(), _thread.RLock)
assert pyfastlock.RLock().__class__ is pyfastlock.RLock
pyfastlock.patch()
assert isinstance(early, type(threading.Lock()))
assert isinstance(threading.RLock(), _thread.RLock)
class Child(threading.RLock):
    pass
assert not isinstance(early, Child)
''')
import _thread
assert impl.RLock().__class__ is type(_thread.RLock())
impl.unpatch()
assert impl.RLock().__class__ is impl.RLock
run(fresh, "assert isinstance(threading.RLock(), _thread.RLock)")
destroy(fresh)
assert impl.RLock().__class__ is impl.RLock
"""
    )
