"""Wrong calls, and odd ones that are right: the running interpreter's `threading` is the judge.

Each call of the tables is made on both sides, on fresh objects in the same state, and has to end
in the same way: the same value, or an exception of the same type with the same text (the name of
the type that the text starts with is ours, of course). A call that raises leaves the object as it
was. Where we differ on purpose, DIFFERENT says why.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import support
from calls import call_with_more_behind, normalised, outcome

import pyfastlock

MAKE: dict[str, Callable[[ModuleType], Any]] = {
    "Lock": lambda m: m.Lock(),
    "RLock": lambda m: m.RLock(),
    "Condition": lambda m: m.Condition(),
    "Condition(Lock)": lambda m: m.Condition(m.Lock()),
}

# Every call here gets a timeout that ends it, or fails, whatever the state.
ACQUIRE = [
    "x.acquire(1, 2, 3)",
    "x.acquire(1, 2, 3, 4)",
    "x.acquire(True, 1, 2)",
    "x.acquire(1, 2, timeout=3)",
    "x.acquire(1, 2, 3, timeout=3)",
    "x.acquire(y=1)",
    "x.acquire(y=True)",
    "x.acquire(y=False)",
    "x.acquire(False, y=1)",
    "x.acquire(False, -1, y=1)",
    "x.acquire(False, block=1)",
    "x.acquire(**{'': 1})",
    "x.acquire(**{'Blocking': 1})",
    "x.acquire(**{'\\udc80': 1})",
    "x.acquire(True, blocking=True)",
    "x.acquire(True, 1, blocking=True)",
    "x.acquire(True, 1, timeout=1)",
    "x.acquire(False, timeout=0)",
    "x.acquire(False, 0)",
    "x.acquire(False, 0.0)",
    "x.acquire(False, -0.0)",
    "x.acquire(False, 1)",
    "x.acquire(False, 1.5)",
    "x.acquire(False, True)",
    "x.acquire(False, -2)",
    "x.acquire(False, -0.5)",
    "x.acquire(False, nan)",
    "x.acquire(False, inf)",
    "x.acquire(False, TIMEOUT_MAX + 1)",
    "x.acquire(False, 'x')",
    "x.acquire(False, None)",
    "x.acquire(blocking=False, timeout=5)",
    "x.acquire(timeout=5, blocking=False)",
    "x.acquire(0, 0)",
    "x.acquire(timeout=-2)",
    "x.acquire(timeout=-2.0)",
    "x.acquire(timeout=-100)",
    "x.acquire(timeout=-0.5)",
    "x.acquire(timeout=-1.5)",
    "x.acquire(timeout=-1e-10)",
    "x.acquire(timeout=-1e300)",
    "x.acquire(timeout=-2**31)",
    "x.acquire(timeout=-2**63)",
    "x.acquire(timeout=-2**63 - 1)",
    "x.acquire(timeout=-2**64)",
    "x.acquire(timeout=-2**1000)",
    "x.acquire(timeout=nan)",
    "x.acquire(timeout=-nan)",
    "x.acquire(timeout=FloatChild(nan))",
    "x.acquire(timeout=inf)",
    "x.acquire(timeout=-inf)",
    "x.acquire(timeout=int(TIMEOUT_MAX) + 1)",
    "x.acquire(timeout=TIMEOUT_MAX + 1)",
    "x.acquire(timeout=TIMEOUT_MAX * 2)",
    "x.acquire(timeout=2**63)",
    "x.acquire(timeout=2**63 - 1)",
    "x.acquire(timeout=2**64)",
    "x.acquire(timeout=2**1000)",
    "x.acquire(timeout=1e18)",
    "x.acquire(timeout=1e19)",
    "x.acquire(timeout=1e300)",
    "x.acquire(timeout=IntChild(2**63))",
    "x.acquire(timeout='x')",
    "x.acquire(timeout='1')",
    "x.acquire(timeout=b'1')",
    "x.acquire(timeout=None)",
    "x.acquire(timeout=[])",
    "x.acquire(timeout=1j)",
    "x.acquire(timeout=object)",
    "x.acquire(timeout=Fraction(1, 64))",
    "x.acquire(timeout=Decimal('0.01'))",
    "x.acquire(timeout=Fraction(0))",
    "x.acquire(timeout=Decimal('nan'))",
    "x.acquire(False, timeout=Fraction(-1))",
    "x.acquire(False, timeout=Decimal(-1))",
    "x.acquire(timeout=AsFloat())",
    "x.acquire(timeout=BrokenIndex())",
    "x.acquire(BrokenBool())",
    "x.acquire(BrokenBool(), timeout=nan)",
    "x.acquire(BrokenBool(), 'x')",
]

# These may take the lock: they are made on a free one only.
ACQUIRE_FREE = [
    "x.acquire()",
    "x.acquire(True)",
    "x.acquire(1)",
    "x.acquire(-1)",
    "x.acquire(False)",
    "x.acquire(0)",
    "x.acquire(blocking=True)",
    "x.acquire(blocking=False)",
    "x.acquire(True, -1)",
    "x.acquire(False, -1)",
    "x.acquire(False, -1.0)",
    "x.acquire(False, timeout=-1)",
    "x.acquire(timeout=-1, blocking=False)",
    "x.acquire(timeout=-1)",
    "x.acquire(timeout=-1.0)",
    "x.acquire(timeout=-True)",
    "x.acquire(timeout=0)",
    "x.acquire(timeout=0.0)",
    "x.acquire(timeout=-0.0)",
    "x.acquire(timeout=1e-10)",
    "x.acquire(timeout=5e-324)",
    "x.acquire(timeout=True)",
    "x.acquire(timeout=False)",
    "x.acquire(timeout=Index())",
    "x.acquire(timeout=IntChild(1))",
    "x.acquire(timeout=FloatChild(1))",
    "x.acquire(timeout=BrokenFloat(1))",
    "x.acquire(timeout=TIMEOUT_MAX)",
    "x.acquire(timeout=int(TIMEOUT_MAX))",
    "x.acquire(timeout=TIMEOUT_MAX - 1)",
    "x.acquire(timeout=TIMEOUT_MAX + 0.5)",
    "x.acquire(timeout=2**31)",
    "x.acquire(timeout=2**32)",
    "x.acquire('x')",
    "x.acquire('')",
    "x.acquire(None)",
    "x.acquire([])",
    "x.acquire(1.0)",
    "x.acquire(0.0)",
    "x.acquire(2**31)",
    "x.acquire(2**32)",
    "x.acquire(2**64)",
    "x.acquire(-2**64)",
    "x.acquire(object())",
    "x.acquire(Index())",
    "x.acquire(BrokenIndex())",
]

METHODS = [
    "x.release(1)",
    "x.release(1, 2)",
    "x.release(y=1)",
    "x._at_fork_reinit(1)",
    "x._at_fork_reinit(y=1)",
    "x.__enter__(y=1)",
    "x.__enter__(1, 2, y=1)",
    "x.__exit__(t=None)",
    "x.__exit__(None, None, None, t=None)",
]

# Up to 3.14 the stdlib takes and ignores any positional arguments here.
CONTEXT_FREE = ["x.__enter__(1)", "x.__enter__(None, None)"]
CONTEXT_HELD = [
    "x.__exit__()",
    "x.__exit__(None)",
    "x.__exit__(None, None)",
    "x.__exit__(None, None, None)",
    "x.__exit__(None, None, None, None)",
    "x.__exit__(1, 2, 3)",
]

NOT_HELD = [
    "x.release()",
    "x.__exit__()",
    "x.__exit__(None, None, None)",
]

THROUGH_THE_CLASS = [
    "type(x).acquire()",
    "type(x).acquire(1)",
    "type(x).acquire(None, 1, 2, 3)",
    "type(x).acquire(object(), blocking=False)",
    "type(x).release()",
    "type(x).release(1)",
    "type(x).__enter__()",
    "type(x).__enter__(1)",
    "type(x).__exit__()",
    "type(x).__exit__(None, None, None, None)",
    "type(x)._at_fork_reinit()",
    "type(x)._at_fork_reinit(1)",
    "type(x).acquire(self=x)",
    "type(x).__enter__(self=x)",
]

LOCK = [
    "x.locked(1)",
    "x.locked(y=1)",
    "x.acquire_lock(1, 2, 3)",
    "x.acquire_lock(y=1)",
    "x.acquire_lock(False, 1)",
    "x.acquire_lock(timeout=nan)",
    "x.release_lock(1)",
    "x.release_lock(y=1)",
    "x.locked_lock(1)",
    "x._is_owned()",
    "x._release_save()",
    "x._acquire_restore((1, 1))",
    "x._recursion_count()",
    "x.no_such_method()",
    "type(x).locked()",
    "type(x).locked(1)",
]

RLOCK = [
    "x._is_owned(1)",
    "x._is_owned(y=1)",
    "x._release_save(1)",
    "x._release_save(y=1)",
    "x.no_such_method()",
    "x.acquire_lock()",
    "type(x)._is_owned()",
    "type(x)._is_owned(1)",
    "type(x)._release_save(1)",
    "type(x)._acquire_restore()",
    "type(x)._acquire_restore(1)",
]
# The first releases of 3.11 have no _recursion_count(), where ours always does.
if hasattr(threading.RLock(), "_recursion_count"):
    RLOCK += ["x._recursion_count(1)", "x._recursion_count(y=1)"]

RESTORE = [
    "x._acquire_restore()",
    "x._acquire_restore(1)",
    "x._acquire_restore(None)",
    "x._acquire_restore('ab')",
    "x._acquire_restore(b'ab')",
    "x._acquire_restore({})",
    "x._acquire_restore({1: 1, 2: 2})",
    "x._acquire_restore([])",
    "x._acquire_restore(())",
    "x._acquire_restore((1,))",
    "x._acquire_restore([1])",
    "x._acquire_restore((1, 2, 3))",
    "x._acquire_restore((1, 2), 3)",
    "x._acquire_restore(1, 2)",
    "x._acquire_restore(state=(1, 2))",
    "x._acquire_restore(('a', 2))",
    "x._acquire_restore((None, 2))",
    "x._acquire_restore((1.5, 2))",
    "x._acquire_restore((1, 'a'))",
    "x._acquire_restore((1, None))",
    "x._acquire_restore((1, 1.5))",
    "x._acquire_restore(('a', 'b'))",
    "x._acquire_restore(((1, 2), 2))",
    "x._acquire_restore((BrokenIndex(), 1))",
    "x._acquire_restore((1, BrokenIndex()))",
]

CONDITION = [
    "x.wait(1, 2)",
    "x.wait(1, 2, 3)",
    "x.wait(y=1)",
    "x.wait(1, y=1)",
    "x.wait(0, timeout=0)",
    "x.wait(0, 1, timeout=0)",
    "x.wait('x')",
    "x.wait(b'1')",
    "x.wait([])",
    "x.wait(())",
    "x.wait({})",
    "x.wait(1j)",
    "x.wait(object)",
    "x.wait(Index())",
    "x.wait(AsFloat())",
    "x.wait(BrokenIndex())",
    "x.wait(BrokenFloat(1))",
    "x.wait(BrokenFloat(0))",
    "x.wait(Fraction(1, 64))",
    "x.wait(Fraction(0))",
    "x.wait(Decimal('0.01'))",
    "x.wait(Decimal(0))",
    "x.wait(inf)",
    "x.wait(-inf)",
    "x.wait(1e18)",
    "x.wait(1e19)",
    "x.wait(1e300)",
    "x.wait(-1e300)",
    "x.wait(2**63)",
    "x.wait(2**64)",
    "x.wait(-2**63 - 1)",
    "x.wait(-2**64)",
    "x.wait(2**1000)",
    "x.wait(-2**1000)",
    "x.wait(int(TIMEOUT_MAX) + 1)",
    "x.wait(TIMEOUT_MAX + 1)",
    "x.wait(0)",
    "x.wait(0.0)",
    "x.wait(-0.0)",
    "x.wait(False)",
    "x.wait(-1)",
    "x.wait(-1.0)",
    "x.wait(-5)",
    "x.wait(-True)",
    "x.wait(1e-10)",
    "x.wait(5e-324)",
    "x.wait(-1e-10)",
    "x.wait(timeout=0)",
    "x.wait(timeout=0.001)",
    "x.wait(timeout='x')",
    "x.wait(FloatChild(0.001))",
    "x.wait(IntChild(0))",
    "x.notify(1, 2)",
    "x.notify(y=1)",
    "x.notify(1, n=1)",
    "x.notify(n=1, m=1)",
    "x.notify()",
    "x.notify(0)",
    "x.notify(-1)",
    "x.notify(n=5)",
    "x.notify(1.5)",
    "x.notify(nan)",
    "x.notify(inf)",
    "x.notify(True)",
    "x.notify(2**31)",
    "x.notify(2**64)",
    "x.notify(-2**64)",
    "x.notify('x')",
    "x.notify(None)",
    "x.notify([])",
    "x.notify(n='a')",
    "x.notify_all()",
    "x.notify_all(1)",
    "x.notify_all(n=1)",
    "x.notifyAll()",
    "x.notifyAll(1)",
    "x.notifyAll(n=1)",
    "x.wait_for()",
    "x.wait_for(timeout=0)",
    "x.wait_for(y=1)",
    "x.wait_for(true, y=1)",
    "x.wait_for(true, 1, 2)",
    "x.wait_for(true, 1, timeout=1)",
    "x.wait_for(true, 1, predicate=true)",
    "x.wait_for(predicate=true)",
    "x.wait_for(1)",
    "x.wait_for(None)",
    "x.wait_for('x', 0)",
    "x.wait_for(len, 0)",
    "x.wait_for(true, 'x')",
    "x.wait_for(true, -5)",
    "x.wait_for(true, inf)",
    "x.wait_for(false, 'x')",
    "x.wait_for(false, b'x')",
    "x.wait_for(false, [])",
    "x.wait_for(false, AsFloat())",
    "x.wait_for(false, Index())",
    "x.wait_for(false, BrokenIndex())",
    "x.wait_for(false, Decimal('0.01'))",
    "x.wait_for(false, inf)",
    "x.wait_for(false, -inf)",
    "x.wait_for(false, 1e300)",
    "x.wait_for(false, 2**64)",
    "x.wait_for(false, 2**1024)",
    "x.wait_for(false, TIMEOUT_MAX + 1)",
    "x.wait_for(false, 0)",
    "x.wait_for(false, 0.0)",
    "x.wait_for(false, -1)",
    "x.wait_for(false, 1e-10)",
    "x.wait_for(false, 0.001)",
    "x.wait_for(false, FloatChild(0.001))",
    "x.wait_for(predicate=false, timeout=0)",
    "x.wait_for(lambda: BrokenBool(), 0)",
    "x._at_fork_reinit(1)",
    "x._is_owned(1)",
    "x._release_save(1)",
    "x.no_such_method()",
]

CONSTRUCTORS = [
    "m.Lock(1)",
    "m.Lock(1, 2)",
    "m.Lock(None)",
    "m.Lock(y=1)",
    "m.Lock(1, y=1)",
    "m.RLock(1)",
    "m.RLock(1, 2)",
    "m.RLock(y=1)",
    "m.RLock(1, y=1)",
    "m.Condition(None, None)",
    "m.Condition(None, None, None)",
    "m.Condition(None, lock=None)",
    "m.Condition(lock=None, y=1)",
    "m.Condition(y=1)",
    "m.Condition(m.Lock(), y=1)",
    "m.Condition(1)",
    "m.Condition(0)",
    "m.Condition('x')",
    "m.Condition(object())",
    "m.Condition(lock=1)",
    "m.Condition(False)",
    "m.Condition([])",
    "type('S', (type(m.Lock()),), {})",
    "type('S', (type(m.RLock()),), {})()",
    "type('S', (type(m.RLock()),), {})(1)",
    "type('S', (type(m.RLock()),), {})(y=1)",
    "type('S', (type(m.RLock()),), {'__init__': lambda self, y: None})(1)",
    "type('S', (type(m.RLock()),), {'__init__': lambda self, y: None})(y=1)",
    "type('S', (m.Condition,), {})(None, None)",
    "type('S', (m.Condition,), {})(lock=1)",
    "type('S', (m.Condition,), {'__init__': lambda self, a, b: None})(1, 2)",
    "type(m.RLock()).__new__()",
    "type(m.RLock()).__new__(1)",
    "type(m.RLock()).__new__(int)",
]

ATTRIBUTES = [
    "setattr(x, 'y', 1)",
    "setattr(x, 'acquire', 1)",
    "setattr(x, 'release', 1)",
    "setattr(x, '__enter__', 1)",
    "setattr(x, '__class__', int)",
    "delattr(x, 'acquire')",
    "delattr(x, 'y')",
    "setattr(type(x), 'y', 1)",
    "setattr(type(x), 'acquire', 1)",
    "delattr(type(x), 'acquire')",
    "x.__dict__",
    "x < x",
    "x + 1",
    "x()",
    "len(x)",
    "iter(x)",
    "int(x)",
]

NAN = "the stdlib returns at once or spins for ever; here NaN is a ValueError everywhere"
DIFFERENT: dict[str, str] = {
    "x.wait(nan)": NAN,
    "x.wait(timeout=-nan)": NAN,
    "x.wait(FloatChild(nan))": NAN,
    "x.wait_for(false, nan)": NAN,
    "x.wait_for(false, timeout=FloatChild(nan))": NAN,
}


def state(x: Any) -> str:
    """All that a lock or a Condition has: held or not, owner, depth, waiters. Its repr tells."""
    return re.sub(r"\b[Ll]ock object", "lock object", normalised(repr(x)))


def table(*groups: tuple[str, str, list[str]]) -> list[Any]:
    """Every call, for each kind of object, in all the states that the groups name for it."""
    rows: dict[tuple[str, str], list[str]] = {}
    for kinds, held, calls in groups:
        for kind in kinds.split(", "):
            for call in calls:
                rows.setdefault((kind, call), []).append(held)
    return [
        pytest.param(kind, call, states, id=f"{kind} {call}")
        for (kind, call), states in rows.items()
    ]


LOCKS = "Lock, RLock"
CONDITIONS = "Condition, Condition(Lock)"
ALL = f"{LOCKS}, {CONDITIONS}"


def prepared(module: ModuleType, kind: str, held: str) -> Any:
    x = MAKE[kind](module)
    if held == "held":
        x.acquire()
    elif held == "twice":
        x.acquire()
        x.acquire()
    return x


@pytest.mark.parametrize(
    ("kind", "call", "states"),
    table(
        (ALL, "free", ACQUIRE),
        (ALL, "held", ACQUIRE),
        ("RLock, Condition", "twice", ACQUIRE),
        (ALL, "free", ACQUIRE_FREE),
        ("RLock, Condition", "held", ACQUIRE_FREE),
        (ALL, "free", METHODS),
        (ALL, "held", METHODS),
        (ALL, "free", CONTEXT_FREE),
        (ALL, "held", CONTEXT_HELD),
        (ALL, "free", NOT_HELD),
        (LOCKS, "free", THROUGH_THE_CLASS),
        ("Lock", "free", LOCK),
        ("Lock", "held", LOCK),
        ("RLock", "free", RLOCK),
        ("RLock", "held", RLOCK),
        ("RLock, Condition", "free", RESTORE),
        ("RLock, Condition", "free", ["x._release_save()"]),
        (CONDITIONS, "free", CONDITION),
        (CONDITIONS, "held", CONDITION),
        ("Condition", "twice", CONDITION),
    ),
)
def test_call(kind: str, call: str, states: list[str]) -> None:
    for held in states:
        theirs, ours = prepared(threading, kind, held), prepared(pyfastlock, kind, held)
        before = state(ours)
        expected = outcome(threading, theirs, call)
        assert (held, *outcome(pyfastlock, ours, call)) == (held, *expected)
        after = state(theirs) if expected.kind == "returned" else before
        assert (held, state(ours)) == (held, after)


def test_state_tells_apart() -> None:
    """What the tests above look at does change."""
    seen = set()
    for kind in MAKE:
        for held in ("free", "held", "twice")[: 3 if kind in ("RLock", "Condition") else 2]:
            x, y = prepared(threading, kind, held), prepared(pyfastlock, kind, held)
            assert state(x) == state(y)
            seen.add(state(x))
    assert len(seen) == 10


@pytest.mark.parametrize("call", CONSTRUCTORS)
def test_constructor(call: str) -> None:
    assert outcome(pyfastlock, None, call) == outcome(threading, None, call)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("call", ATTRIBUTES)
def test_attributes(kind: str, call: str) -> None:
    theirs, ours = MAKE[kind](threading), MAKE[kind](pyfastlock)
    before = state(ours)
    assert outcome(pyfastlock, ours, call) == outcome(threading, theirs, call)
    assert state(ours) == before


@pytest.mark.parametrize("kind", ["Condition", "Condition(Lock)"])
@pytest.mark.parametrize("held", ["held", "twice"])
@pytest.mark.parametrize("call", DIFFERENT)
def test_nan_is_an_error_for_a_condition_too(kind: str, held: str, call: str) -> None:
    if kind == "Condition(Lock)" and held == "twice":
        held = "held"
    x = prepared(pyfastlock, kind, held)
    before = state(x)
    lock = threading.Lock()
    expected = outcome(threading, lock, "x.acquire(timeout=nan)")
    assert expected.kind == "ValueError"
    assert outcome(pyfastlock, x, call) == expected
    assert state(x) == before


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("arguments", ["1", "1, 2", "y=1"])
def test_locked_takes_no_arguments(kind: str, arguments: str) -> None:
    """`locked` is here on every version; the text is that of the stdlib's Lock."""
    expected = outcome(threading, threading.Lock(), f"x.locked({arguments})")
    assert expected.kind == "TypeError"
    assert outcome(pyfastlock, MAKE[kind](pyfastlock), f"x.locked({arguments})") == expected


@pytest.mark.parametrize("kind", MAKE)
def test_release_of_what_another_thread_holds(kind: str) -> None:
    """Only the owner releases an RLock; anybody releases a Lock."""
    seen = []
    for module in (threading, pyfastlock):
        x = MAKE[kind](module)
        released = threading.Event()
        holder = support.start(lambda x=x, e=released: (x.acquire(), e.wait(support.DEADLINE)))
        support.wait_until(lambda x=x: not support.try_in_thread(x))
        seen.append((outcome(module, x, "x.release()"), support.try_in_thread(x)))
        released.set()
        holder.join()
    assert seen[1] == seen[0]


@pytest.mark.parametrize("kind", ["Condition", "Condition(Lock)"])
@pytest.mark.parametrize(
    "call",
    [
        "x.wait()",
        "x.wait(0)",
        "x.wait(nan)",
        "x.wait('x')",
        "x.wait(-1)",
        "x.wait_for(false)",
        "x.wait_for(false, 1)",
        "x.notify()",
        "x.notify('x')",
        "x.notify(0)",
        "x.notify_all()",
    ],
)
def test_condition_without_the_lock(kind: str, call: str) -> None:
    """The lock is free; or another thread holds it (a Condition over a Lock cannot tell)."""
    theirs, ours = MAKE[kind](threading), MAKE[kind](pyfastlock)
    expected = outcome(threading, theirs, call)
    assert expected.kind == "RuntimeError"
    assert outcome(pyfastlock, ours, call) == expected
    assert support.try_in_thread(ours)
    if kind == "Condition":
        with support.held_elsewhere(theirs), support.held_elsewhere(ours):
            expected = outcome(threading, theirs, call)
            assert expected.kind == "RuntimeError"
            assert outcome(pyfastlock, ours, call) == expected
            assert not support.try_in_thread(ours)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_what_lies_behind_the_arguments_is_none(kind: str) -> None:
    """acquire() is not acquire(False), also where False follows in memory."""
    lock = MAKE[kind](pyfastlock)
    with support.held_elsewhere(lock) as holder:
        waiter = support.start(call_with_more_behind, type(lock).acquire, lock, False)
        support.parked(lock)
        holder.let_go()
        assert waiter.join() is True


def test_the_owner_is_normalised_and_nothing_else() -> None:
    text = "_thread.RLock.acquire() takes 1; cannot release un-acquired lock"
    assert normalised(text) == "OWNER.acquire() takes 1; cannot release un-acquired lock"
    assert normalised("lock expected 0 arguments") == normalised("Lock expected 0 arguments")
    assert normalised("release unlocked lock") == "release unlocked lock"
    assert normalised("'pyfastlock.Lock' object") == normalised("'_thread.lock' object")
