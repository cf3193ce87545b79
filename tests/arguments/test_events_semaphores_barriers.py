"""Wrong calls of Event, the semaphores and Barrier: as test_locks_conditions.py does for the locks.

Each call is made on both sides, on fresh objects in the same state, and has to end in the same way
and to leave them in the same state. The stdlib looks at a timeout only where it has to wait, and so
do we. Where we differ on purpose, a test says so.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from calls import NAMES, call_with_more_behind, normalised, outcome
from concurrency import check_script
from support import parked, start, wait_until

import pyfastlock

Make = Callable[[ModuleType], Any]


def broken(m: ModuleType) -> Any:
    barrier = m.Barrier(2)
    barrier.abort()
    return barrier


def set_event(m: ModuleType) -> Any:
    event = m.Event()
    event.set()
    return event


def bounded(m: ModuleType, bound: int, value: int) -> Any:
    semaphore = m.BoundedSemaphore(bound)
    while semaphore._value > value:
        assert semaphore.acquire()
    return semaphore


EVENTS: dict[str, Make] = {"clear": lambda m: m.Event(), "set": set_event}
SEMAPHORES: dict[str, Make] = {
    "empty": lambda m: m.Semaphore(0),
    "one": lambda m: m.Semaphore(),
    "three": lambda m: m.Semaphore(3),
    "bounded, empty": lambda m: bounded(m, 2, 0),
    "bounded, one of two": lambda m: bounded(m, 2, 1),
    "bounded, full": lambda m: bounded(m, 2, 2),
    "bounded, none at all": lambda m: bounded(m, 0, 0),
}
BARRIERS: dict[str, Make] = {
    "of one": lambda m: m.Barrier(1),
    "of two": lambda m: m.Barrier(2, timeout=0.001),
    "broken": broken,
}

# Timeouts that end a wait at once, or are wrong.
TIMEOUTS = [
    "0",
    "0.0",
    "-0.0",
    "False",
    "-1",
    "-1.0",
    "-5",
    "-True",
    "-1e-10",
    "-1e300",
    "-inf",
    "-2**63 - 1",
    "-2**64",
    "5e-324",
    "1e-10",
    "0.001",
    "FloatChild(0.001)",
    "FloatChild(0)",
    "IntChild(0)",
    "IntChild(-1)",
    "inf",
    "1e18",
    "1e19",
    "1e300",
    "2**63",
    "2**64",
    "2**1000",
    "2**1024",
    "-2**1024",
    "IntChild(2**63)",
    "int(TIMEOUT_MAX) + 1",
    "TIMEOUT_MAX + 1",
    "TIMEOUT_MAX * 2",
    "'x'",
    "'1'",
    "b'1'",
    "[]",
    "()",
    "{}",
    "1j",
    "object",
    "object()",
    "Index()",
    "AsFloat()",
    "BrokenIndex()",
    "BrokenFloat(1)",
    "BrokenFloat(0)",
    "Fraction(0)",
    "Fraction(-1, 2)",
    "Fraction(1, 2000)",
    "Fraction(2**70)",
    "Decimal(0)",
    "Decimal(1)",
]

NOT_A_METHOD = ["x.no_such_method()", "x.no_such_attribute", "x()", "len(x)", "iter(x)", "x + 1"]

EVENT = [
    *(f"x.wait({timeout})" for timeout in TIMEOUTS),
    *(f"x.wait(timeout={timeout})" for timeout in ("0", "0.001", "-1", "'x'", "inf", "2**64")),
    "x.wait(1, 2)",
    "x.wait(1, 2, 3)",
    "x.wait(y=1)",
    "x.wait(1, y=1)",
    "x.wait(0, timeout=0)",
    "x.wait(0, 1, timeout=0)",
    "x.wait(self=1)",
    "x.wait(**{'': 1})",
    "x.wait(**{'Timeout': 1})",
    "x.wait(**{'\\udc80': 1})",
    *(
        f"x.{method}({arguments})"
        for method in ("set", "clear", "is_set", "isSet", "_at_fork_reinit")
        for arguments in ("", "1", "None", "1, 2", "y=1", "1, y=1", "self=1", "timeout=1")
    ),
    "x.acquire()",
    "x.release()",
    "x.__enter__()",
    "iter(x)",
    "bool(x)",
    *NOT_A_METHOD,
]

SEMAPHORE = [
    *(f"x.acquire(True, {timeout})" for timeout in TIMEOUTS),
    *(f"x.acquire(timeout={timeout})" for timeout in TIMEOUTS),
    *(f"x.acquire(False, {timeout})" for timeout in TIMEOUTS),
    "x.acquire(False, nan)",
    "x.acquire(False)",
    "x.acquire(0)",
    "x.acquire(0.0)",
    "x.acquire('')",
    "x.acquire([])",
    "x.acquire(None)",
    "x.acquire(False, None)",
    "x.acquire(blocking=False)",
    "x.acquire(blocking=0, timeout=None)",
    "x.acquire(blocking=False, timeout=5)",
    "x.acquire(timeout=5, blocking=False)",
    "x.acquire(1, 0)",
    "x.acquire('x', 0)",
    "x.acquire([1], 0)",
    "x.acquire(-1, 0)",
    "x.acquire(2**100, 0)",
    "x.acquire(nan, 0)",
    "x.acquire(object(), timeout=0)",
    "x.acquire(BrokenBool())",
    "x.acquire(BrokenBool(), 0)",
    "x.acquire(BrokenBool(), 'x')",
    "x.acquire(1, 2, 3)",
    "x.acquire(1, 2, 3, 4)",
    "x.acquire(1, 2, timeout=3)",
    "x.acquire(1, 2, 3, timeout=3)",
    "x.acquire(y=1)",
    "x.acquire(False, y=1)",
    "x.acquire(False, None, y=1)",
    "x.acquire(False, block=1)",
    "x.acquire(True, blocking=True)",
    "x.acquire(True, 1, blocking=True)",
    "x.acquire(True, 1, timeout=1)",
    "x.acquire(self=1)",
    "x.acquire(**{'': 1})",
    "x.acquire(**{'Blocking': 1})",
    "x.acquire(**{'\\udc80': 1})",
    "x.__enter__(False)",
    "x.__enter__(True, 0)",
    "x.__enter__(timeout=0)",
    "x.__enter__(timeout='x')",
    "x.__enter__(False, 1)",
    "x.__enter__(1, 2, 3)",
    "x.__enter__(y=1)",
    "x.__enter__(1, blocking=1)",
    "x.__exit__()",
    "x.__exit__(None)",
    "x.__exit__(None, None)",
    "x.__exit__(None, None, None)",
    "x.__exit__(1, 2, 3)",
    "x.__exit__(None, None, None, None)",
    "x.__exit__(t=None, v=None, tb=None)",
    "x.__exit__(None, None, tb=None)",
    "x.__exit__(None, None, None, tb=None)",
    "x.__exit__(None, None, y=None)",
    "x.__exit__(None, None, None, y=None)",
    "x.release()",
    "x.release(1)",
    "x.release(2)",
    "x.release(3)",
    "x.release(n=1)",
    "x.release(n=2)",
    "x.release(True)",
    "x.release(IntChild(1))",
    "x.release(0)",
    "x.release(-1)",
    "x.release(n=0)",
    "x.release(False)",
    "x.release(0.5)",
    "x.release(-1.5)",
    "x.release(-inf)",
    "x.release(-2**64)",
    "x.release(-2**1000)",
    "x.release('x')",
    "x.release('1')",
    "x.release(b'1')",
    "x.release(None)",
    "x.release([])",
    "x.release(())",
    "x.release(1j)",
    "x.release(object())",
    "x.release(Index())",
    "x.release(BrokenIndex())",
    "x.release(AsFloat())",
    "x.release(Fraction(1, 2))",
    "x.release(Decimal(0))",
    "x.release(BrokenFloat(0))",
    "x.release(1, 2)",
    "x.release(1, n=1)",
    "x.release(y=1)",
    "x.release(1, y=1)",
    "x.release(self=1)",
    "x.release(**{'\\udc80': 1})",
    "x.locked()",
    "x.wait()",
    *NOT_A_METHOD,
]

BARRIER = [
    *(f"x.wait({timeout})" for timeout in TIMEOUTS),
    *(f"x.wait(timeout={timeout})" for timeout in ("0", "0.001", "-1", "'x'", "inf", "2**64")),
    "x.wait()",
    "x.wait(None)",
    "x.wait(timeout=None)",
    "x.wait(1, 2)",
    "x.wait(1, 2, 3)",
    "x.wait(y=1)",
    "x.wait(1, y=1)",
    "x.wait(0, timeout=0)",
    "x.wait(self=1)",
    "x.wait(**{'\\udc80': 1})",
    *(
        f"x.{method}({arguments})"
        for method in ("reset", "abort")
        for arguments in ("", "1", "None", "1, 2", "y=1", "1, y=1", "self=1", "timeout=1")
    ),
    "x.parties",
    "x.n_waiting",
    "x.broken",
    "x.parties()",
    "x.n_waiting()",
    "x.broken()",
    "x.acquire()",
    "x.__enter__()",
    *NOT_A_METHOD,
]

CONSTRUCTORS = [
    "m.Event(1)",
    "m.Event(None)",
    "m.Event(1, 2)",
    "m.Event(y=1)",
    "m.Event(1, y=1)",
    "m.Event(self=1)",
    "m.Event().__init__(1)",
    "m.Event().__init__(y=1)",
    *(
        f"m.{kind}({arguments})"
        for kind in ("Semaphore", "BoundedSemaphore")
        for arguments in (
            "",
            "0",
            "5",
            "value=5",
            "IntChild(5)",
            "-1",
            "value=-1",
            "-True",
            "-2**64",
            "-2**1000",
            "-0.5",
            "-1.5",
            "-inf",
            "Fraction(-1, 2)",
            "Decimal(-1)",
            "IntChild(-1)",
            "'x'",
            "'1'",
            "b'1'",
            "None",
            "value=None",
            "[]",
            "()",
            "{}",
            "1j",
            "object",
            "object()",
            "Index()",
            "AsFloat()",
            "BrokenIndex()",
            "1, 2",
            "1, 2, 3",
            "1, value=1",
            "y=1",
            "1, y=1",
            "value=1, y=1",
            "self=1",
            "**{'': 1}",
            "**{'\\udc80': 1}",
        )
    ),
    *(
        f"m.Barrier({arguments})"
        for arguments in (
            "",
            "1",
            "5",
            "parties=5",
            "IntChild(5)",
            "True",
            "2, None, None",
            "2, None",
            "2, print, 1",
            "2, timeout=1",
            "2, action=print",
            "2, action=1",
            "2, 'x', 'x'",
            "2, timeout='x'",
            "2, timeout=-1",
            "action=None",
            "timeout=1",
            "2, None, None, None",
            "2, None, None, timeout=1",
            "2, parties=2",
            "2, None, action=None",
            "y=1",
            "2, y=1",
            "parties=2, y=1",
            "self=1",
            "2, **{'\\udc80': 1}",
        )
    ),
    # The same through a subclass.
    *(
        f"type('S', (m.{kind},), {{}})({arguments})"
        for kind in ("Event", "Semaphore", "BoundedSemaphore", "Barrier")
        for arguments in ("", "-1", "'x'", "1, 2, 3, 4", "y=1", "2, y=1", "value=3", "parties=3")
        if kind != "Barrier" or arguments not in ("-1", "'x'")  # see WRONG_PARTIES
    ),
    *(
        f"type('S', (m.{kind},), {{'__init__': lambda self, y: None}})({arguments})"
        for kind in ("Event", "Semaphore", "BoundedSemaphore", "Barrier")
        for arguments in ("1", "y=1", "", "1, 2")
    ),
]

WRONG_PARTIES = [
    "0",
    "-1",
    "False",
    "-True",
    "0.5",
    "-1.5",
    "-inf",
    "-2**64",
    "-2**1000",
    "IntChild(0)",
    "Fraction(1, 2)",
    "Decimal(0)",
    "'x'",
    "'1'",
    "b'1'",
    "None",
    "[]",
    "()",
    "{}",
    "1j",
    "object",
    "object()",
    "Index()",
    "AsFloat()",
    "BrokenIndex()",
]


def state(x: Any) -> str:
    """All that there is to see: the repr tells."""
    return normalised(repr(x))


def compare(make: Make, call: str, name: str = "") -> None:
    theirs, ours = make(threading), make(pyfastlock)
    before = state(ours)
    assert (name, before) == (name, state(theirs))
    expected = outcome(threading, theirs, call)
    assert (name, *outcome(pyfastlock, ours, call)) == (name, *expected)
    assert (name, state(ours)) == (name, state(theirs))
    if expected.kind not in ("returned", "BrokenBarrierError"):
        assert (name, state(ours)) == (name, before)


@pytest.mark.parametrize("call", dict.fromkeys(EVENT))
def test_event(call: str) -> None:
    for name, make in EVENTS.items():
        compare(make, call, name)


@pytest.mark.parametrize("call", dict.fromkeys(SEMAPHORE))
def test_semaphore(call: str) -> None:
    for name, make in SEMAPHORES.items():
        compare(make, call, name)


@pytest.mark.parametrize("call", dict.fromkeys(BARRIER))
def test_barrier(call: str) -> None:
    for name, make in BARRIERS.items():
        compare(make, call, name)


@pytest.mark.parametrize("call", dict.fromkeys(CONSTRUCTORS))
def test_constructor(call: str) -> None:
    assert outcome(pyfastlock, None, call) == outcome(threading, None, call)


@pytest.mark.parametrize("parties", WRONG_PARTIES)
@pytest.mark.parametrize("call", ["m.Barrier({})", "m.Barrier(parties={}, action=print)"])
@pytest.mark.parametrize("subclass", [False, True], ids=["", "subclass"])
def test_wrong_parties(call: str, parties: str, subclass: bool) -> None:
    """Before 3.13 the stdlib takes any object, and a barrier of none then waits for ever."""
    call = call.format(parties)
    if subclass:
        call = call.replace("m.Barrier", "type('S', (m.Barrier,), {})")
    result = outcome(pyfastlock, None, call)
    if sys.version_info >= (3, 13):
        assert result == outcome(threading, None, call)
    else:
        compared = outcome(threading, None, f"{parties} < 1")
        if compared.kind == "returned":
            assert compared.value is True
            assert result == ("ValueError", "parties must be >= 1", ())
        else:
            assert result == compared


def test_the_states_differ() -> None:
    """What the tests above compare does change."""
    for states in (EVENTS, SEMAPHORES, BARRIERS):
        seen = set()
        for make in states.values():
            assert state(make(threading)) == state(make(pyfastlock))
            seen.add(state(make(pyfastlock)))
        assert len(seen) == len(states)


def test_a_barrier_at_which_somebody_waits() -> None:
    """A wrong call leaves the thread that waits where it is; see also what is not looked at."""
    for call in ("x.wait(1, 2)", "x.wait(y=1)", "x.reset(1)", "x.abort(y=1)"):
        results = []
        for module in (threading, pyfastlock):
            barrier = module.Barrier(2)
            waiter = start(barrier.wait)
            wait_until(lambda b=barrier: b.n_waiting == 1)
            before = state(barrier)
            results.append(outcome(module, barrier, call))
            assert state(barrier) == before
            # The last one does not wait, and so its timeout is not looked at.
            results.append(outcome(module, barrier, "x.wait('x')"))
            assert waiter.join() == 0
        assert results[0] == results[2]
        assert results[0].kind == "TypeError"
        assert results[1] == results[3] == ("returned", 1, ())


@pytest.mark.parametrize("timeout", ["'x'", "[]", "object()", "2**64", "inf", "AsFloat()"])
def test_a_wrong_default_timeout_of_a_barrier(timeout: str) -> None:
    """It is found by those who wait."""
    compare(lambda m: eval(f"m.Barrier(2, timeout={timeout})", {**NAMES, "m": m}), "x.wait()")
    compare(lambda m: eval(f"m.Barrier(2, None, {timeout})", {**NAMES, "m": m}), "x.wait(0)")
    compare(lambda m: eval(f"m.Barrier(1, timeout={timeout})", {**NAMES, "m": m}), "x.wait()")


# Where we differ


@pytest.mark.parametrize(
    ("states", "calls"),
    [
        pytest.param(EVENTS, ["x.wait({})", "x.wait(timeout={})"], id="Event"),
        pytest.param(
            SEMAPHORES,
            ["x.acquire(True, {})", "x.acquire(timeout={})", "x.__enter__(1, {})"],
            id="Semaphore",
        ),
        pytest.param(BARRIERS, ["x.wait({})", "x.wait(timeout={})"], id="Barrier"),
        pytest.param(
            {
                "of one": lambda m: m.Barrier(1, timeout=float("nan")),
                "of two": lambda m: m.Barrier(2, None, float("nan")),
            },
            ["x.wait()", "x.wait(None)", "x.wait(timeout=None)"],
            id="default of a Barrier",
        ),
    ],
)
@pytest.mark.parametrize("nan", ["nan", "-nan", "FloatChild(nan)"])
def test_t32_nan_is_an_error_everywhere(
    states: dict[str, Make], calls: list[str], nan: str
) -> None:
    """The stdlib returns at once or spins for ever, or does not look; here it is a ValueError."""
    expected = outcome(threading, threading.Lock(), f"x.acquire(timeout={nan})")
    assert expected.kind == "ValueError"
    for name, make in states.items():
        for call in calls:
            x = make(pyfastlock)
            before = state(x)
            assert (name, *outcome(pyfastlock, x, call.format(nan))) == (name, *expected)
            assert (name, state(x)) == (name, before)


NOT_AN_INT = ["1.0", "1.5", "2.0", "nan", "inf", "FloatChild(1)", "Fraction(1)", "Decimal(2)"]


@pytest.mark.parametrize("number", NOT_AN_INT)
@pytest.mark.parametrize(
    "call",
    [
        "m.Semaphore({})",
        "m.Semaphore(value={})",
        "m.BoundedSemaphore({})",
        "type('S', (m.Semaphore,), {{}})({})",
        "m.Barrier({})",
        "m.Barrier(parties={})",
    ],
)
def test_t32_t33_numbers_are_ints(call: str, number: str) -> None:
    """The stdlib takes what can be compared: a Semaphore(1.5), of which 0.5 is left in the end."""
    expected = outcome(threading, None, f"range({number})")
    assert expected.kind == "TypeError"
    assert outcome(pyfastlock, None, call.format(number)) == expected


@pytest.mark.parametrize("number", NOT_AN_INT)
@pytest.mark.parametrize("call", ["x.release({})", "x.release(n={})"])
def test_t32_releases_are_of_ints(call: str, number: str) -> None:
    expected = outcome(threading, None, f"range({number})")
    for make in SEMAPHORES.values():
        x = make(pyfastlock)
        before = state(x)
        assert outcome(pyfastlock, x, call.format(number)) == expected
        assert state(x) == before


MOST = 2**62 - 1


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_t32_a_semaphore_has_at_most_so_many_permits(kind: str) -> None:
    """The stdlib's has no limit but the memory."""
    cls = getattr(pyfastlock, kind)
    x = cls(MOST)
    assert x._value == MOST
    x.acquire()
    assert x._value == MOST - 1
    x.release()
    assert x._value == MOST
    for value in (MOST + 1, 2**63 - 1, 2**64 - 1, 2**64, 2**64 + 1, 2**1000):
        for make in (cls, type("S", (cls,), {})):
            with pytest.raises(OverflowError, match="semaphore initial value is too large"):
                make(value)


@pytest.mark.parametrize("n", [1, 2, MOST, MOST + 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**70])
def test_t32_a_release_of_too_many(n: int) -> None:
    x = pyfastlock.Semaphore(MOST)
    with pytest.raises(OverflowError, match="the semaphore's value would be too large"):
        x.release(n)
    assert x._value == MOST
    x = pyfastlock.BoundedSemaphore(MOST)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        x.release(n)
    assert x._value == MOST
    x = pyfastlock.Semaphore(1)
    if n < MOST:
        x.release(n)
        assert x._value == n + 1
    else:
        with pytest.raises(OverflowError, match="the semaphore's value would be too large"):
            x.release(n)
        assert x._value == 1


@pytest.mark.parametrize("parties", [MOST + 1, 2**64 - 1, 2**64, 2**64 + 1, 2**70])
def test_t33_a_barrier_has_at_most_so_many_parties(parties: int) -> None:
    for cls in (pyfastlock.Barrier, type("S", (pyfastlock.Barrier,), {})):
        with pytest.raises(OverflowError):
            cls(parties)


class OddIndex:
    """It says one thing to a comparison and another to whoever wants an int."""

    def __init__(self, index: int):
        self.index = index

    def __lt__(self, other: object) -> bool:
        return False

    def __index__(self) -> int:
        return self.index


@pytest.mark.parametrize("index", [-1, -5, -(2**70)])
def test_a_number_that_contradicts_itself(index: int) -> None:
    for cls in (pyfastlock.Semaphore, pyfastlock.BoundedSemaphore, pyfastlock.Barrier):
        with pytest.raises((OverflowError, ValueError)):
            cls(OddIndex(index))
    with pytest.raises((OverflowError, ValueError)):
        pyfastlock.Barrier(OddIndex(0))
    x = pyfastlock.Semaphore(1)
    with pytest.raises((OverflowError, ValueError)):
        x.release(OddIndex(index))
    assert x._value == 1


def test_an_index_that_fails() -> None:
    class Odd(OddIndex):
        def __index__(self) -> int:
            raise ZeroDivisionError

    for cls in (pyfastlock.Semaphore, pyfastlock.BoundedSemaphore, pyfastlock.Barrier):
        with pytest.raises(ZeroDivisionError):
            cls(Odd(1))
    x = pyfastlock.Semaphore(1)
    with pytest.raises(ZeroDivisionError):
        x.release(Odd(1))
    assert x._value == 1


class FailingComparison(OddIndex):
    def __lt__(self, other: object) -> bool:
        raise ZeroDivisionError


def test_a_comparison_that_fails() -> None:
    for cls in (pyfastlock.Semaphore, pyfastlock.BoundedSemaphore, pyfastlock.Barrier):
        with pytest.raises(ZeroDivisionError):
            cls(FailingComparison(1))
    x = pyfastlock.Semaphore(1)
    with pytest.raises(ZeroDivisionError):
        x.release(FailingComparison(1))
    assert x._value == 1


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("Event", "__repr__"),
        ("Semaphore", "__repr__"),
        ("BoundedSemaphore", "__repr__"),
        ("Barrier", "__repr__"),
    ],
)
def test_slots_of_the_class_want_an_object_of_it(kind: str, call: str) -> None:
    """As all code in C. The stdlib's functions look for their attributes."""
    method = getattr(getattr(pyfastlock, kind), call)
    # A BoundedSemaphore is a Semaphore; a Semaphore is no BoundedSemaphore.
    others = [1, None, object(), threading.Event(), threading.Semaphore(), pyfastlock.Lock()]
    if kind == "BoundedSemaphore" and call != "acquire":
        others.append(pyfastlock.Semaphore())
    if kind != "Event":
        others.append(pyfastlock.Event())
    for arguments in [(), *((other,) for other in others), (others[0], 1, 2, 3, 4)]:
        with pytest.raises(TypeError):
            method(*arguments)


NO_OBJECT_OF_IT = ["", "1", "None", "object()", "1, 2, 3, 4, 5", "self=1", "x=1"]


@pytest.mark.parametrize("arguments", NO_OBJECT_OF_IT)
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Event", "set clear is_set isSet wait _at_fork_reinit"),
        ("Semaphore", "acquire release __enter__ __exit__"),
        ("BoundedSemaphore", "acquire release __enter__ __exit__"),
        ("Barrier", "wait reset abort"),
        ("Condition", "wait wait_for notify notify_all notifyAll __enter__ __exit__ _is_owned"),
    ],
)
def test_methods_of_the_class_on_something_else(kind: str, names: str, arguments: str) -> None:
    """The same error as that of the stdlib's functions, which look for their attributes."""
    for name in names.split():
        call = f"m.{kind}.{name}({arguments})"
        results = [outcome(module, None, call) for module in (threading, pyfastlock)]
        assert results[0] == results[1]
        assert results[0].kind in ("TypeError", "AttributeError")


@pytest.mark.parametrize("kind", ["Event", "Semaphore", "BoundedSemaphore", "Barrier"])
def test_new_of_another_class(kind: str) -> None:
    cls = getattr(pyfastlock, kind)
    theirs = getattr(threading, kind)
    for arguments in ((), (1,)):
        with pytest.raises(TypeError) as expected:
            theirs.__new__(*arguments)
        with pytest.raises(TypeError) as caught:
            cls.__new__(*arguments)
        assert str(caught.value) == str(expected.value)
    # The stdlib's is object.__new__, which makes an object of any class.
    for other in (int, pyfastlock.Lock):
        with pytest.raises(TypeError):
            cls.__new__(other)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Barrier", "parties"),
        ("Barrier", "n_waiting"),
        ("Barrier", "broken"),
    ],
)
def test_read_only(kind: str, name: str) -> None:
    for module in (threading, pyfastlock):
        x = getattr(module, kind)(2)
        before = getattr(x, name)
        with pytest.raises(AttributeError):
            setattr(x, name, 5)
        with pytest.raises(AttributeError):
            delattr(x, name)
        assert getattr(x, name) == before
        assert name not in vars(x)


@pytest.mark.parametrize("kind", ["Event", "Semaphore", "BoundedSemaphore", "Barrier"])
@pytest.mark.parametrize("value", [1, None, "x", []])
def test_a_dict_that_is_none(kind: str, value: object) -> None:
    results = []
    for module in (threading, pyfastlock):
        x = getattr(module, kind)(*[2] * (kind == "Barrier"))
        with pytest.raises(TypeError) as caught:
            x.__dict__ = value
        results.append(str(caught.value))
    assert results[0] == results[1]


def test_what_lies_behind_the_arguments_is_none() -> None:
    """acquire() is not acquire(False), also where False follows in memory."""
    semaphore = pyfastlock.Semaphore(0)
    waiter = start(call_with_more_behind, pyfastlock.Semaphore.acquire, semaphore, False)
    parked(semaphore)
    semaphore.release()
    assert waiter.join() is True


OUT_OF_MEMORY = """
import _testcapi, os
made = [type("Child", (cls,), {})(*args) for cls, args in (
    (impl.Condition, ()), (impl.Event, ()), (impl.Semaphore, ()), (impl.Barrier, (2,)))]
def attempt(obj, i):
    _testcapi.set_nomemory(i, i + 1)
    try:
        obj.__init__(1, 2, 3, 4)
    except BaseException as error:
        return error
    finally:
        _testcapi.remove_mem_hooks()

for obj in made:
    for i in range(60):
        try:
            outcome = attempt(obj, i)
        except MemoryError as error:  # it was this program's own allocation
            outcome = error
        assert type(outcome) in (MemoryError, TypeError), (i, outcome)
os._exit(0)  # builds without the GIL may hang at their exit after this, over `threading`, too
"""


def test_out_of_memory_in_a_wrong_call() -> None:
    """The error stays what it is; the interpreter's debug builds abort where it is overlooked."""
    pytest.importorskip("_testcapi", reason="NOT RUN: there is no _testcapi")
    check_script(OUT_OF_MEMORY)
