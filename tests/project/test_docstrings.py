"""No public name lacks a part of its docstring, and the stub has the same ones.

The parts: a signature; the meaning; every argument by its name; the exceptions, where there are
any; the function of `threading` that it mirrors, where there is one.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from stub_docstrings import with_docstrings

import pyfastlock

STUB = Path(__file__).resolve().parents[2] / "pyfastlock" / "_core.pyi"

CLASSES = ("Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier")
FUNCTIONS = (
    "patch",
    "patched",
    "unpatch",
    "unreached",
    "waits",
    "deadlocks",
    "dump_locks",
    "dump_locks_later",
    "cancel_dump_locks_later",
    "register",
    "unregister",
    "contention",
    "start_contention",
    "stop_contention",
    "set_name",
)
SHOWN = (
    "Wait",
    "Deadlock",
    "DeadlockError",
    "ContentionReport",
    "Contention",
    "WaitingCall",
    "Place",
)
"""Classes that a program gets from us and does not make; `threading` has nothing like them."""
ALSO = {"__enter__", "__exit__", "__getstate__"}
"""What is documented of the names with an underscore, beside those that `threading` has."""

ANOTHER_NAME = re.compile(r"(An obsolete name of|Deprecated: use) \w+\(\)\.\n")
MIRRORS = re.compile(r"^Mirrors (.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
MIRRORED = re.compile(r"\b((?:threading|object)\.[\w.]*\w)")
OF_PYTHON = re.compile(r"of Python 3\.(\d+)")

NO_EXCEPTION = {
    "Lock", "RLock", "Event",
    "Lock.locked", "RLock.locked", "Event.set", "Event.clear", "Event.is_set",
    "Barrier.reset", "Barrier.abort", "Barrier.parties", "Barrier.n_waiting", "Barrier.broken",
    "Lock._at_fork_reinit", "RLock._at_fork_reinit", "Condition._at_fork_reinit",
    "Event._at_fork_reinit", "RLock._is_owned", "RLock._recursion_count", "Condition._is_owned",
    "Condition.__getstate__", "Event.__getstate__", "Semaphore.__getstate__",
    "Barrier.__getstate__", "unpatch", "unreached", "waits", "deadlocks",
    "cancel_dump_locks_later",
}  # fmt: skip
"""What raises nothing of its own, whatever it is given."""


def standard(name: str) -> Any:
    """An object of the standard library's class."""
    return threading.Barrier(1) if name == "Barrier" else getattr(threading, name)()


def members(name: str) -> list[str]:
    """The methods and properties of our class that a user may look up."""
    theirs = standard(name)
    return [
        member
        for member, value in vars(getattr(pyfastlock, name)).items()
        if not member.startswith("_")
        or member in ALSO
        # Not what threading's own code does on an opened object, and no attribute of that.
        or (callable(value) and not member.startswith("__") and hasattr(theirs, member))
        if getattr(value, "__module__", None) != "threading"
    ]


NAMES = [
    *CLASSES,
    *(f"{name}.{member}" for name in CLASSES for member in members(name)),
    *FUNCTIONS,
]


def found(name: str) -> Any:
    """What a name of NAMES stands for."""
    owner, _, member = name.partition(".")
    value = getattr(pyfastlock, owner)
    return vars(value)[member] if member else value


def doc(name: str) -> str:
    return inspect.getdoc(found(name)) or ""


def test_all_names_are_tried() -> None:
    assert {*CLASSES, *FUNCTIONS, *SHOWN, "BrokenBarrierError", "TIMEOUT_MAX", "__version__"} == {
        *pyfastlock.__all__
    } - {"get_ident"}
    assert len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_the_meaning_comes_first(name: str) -> None:
    first = doc(name).partition("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*[.]", first, re.DOTALL), first
    assert all(len(line) <= 96 for line in doc(name).splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_named(name: str) -> None:
    value = found(name)
    if not callable(value):
        assert inspect.isdatadescriptor(value)
        return
    arguments = [argument for argument in inspect.signature(value).parameters if argument != "self"]
    if arguments == ["exc_type", "exc_value", "exc_tb"]:
        arguments = ["exc_info"]  # the three together, in the signature of other versions
    if ANOTHER_NAME.match(doc(name)):
        return
    described = re.findall(r"^((?:\w+, )*\w+): ", doc(name), re.MULTILINE)
    assert ", ".join(described).split(", ") == (arguments or [""])


@pytest.mark.parametrize(
    ("shown", "attributes"),
    [
        *((shown, shown.__slots__) for shown in (pyfastlock.Wait, pyfastlock.Contention)),
        *((shown, shown.__slots__) for shown in (pyfastlock.WaitingCall, pyfastlock.Place)),
        (pyfastlock.DeadlockError, ("cycle",)),
        (pyfastlock.Deadlock, ("suspected",)),
        (pyfastlock.ContentionReport, ("locks", "seconds", "lost")),
    ],
)
def test_what_is_shown_names_its_attributes(shown: type, attributes: tuple[str, ...]) -> None:
    described = re.findall(r"^(\w+): ", inspect.getdoc(shown) or "", re.MULTILINE)
    assert described == list(attributes)


@pytest.mark.parametrize("name", NAMES)
def test_the_exceptions_are_named(name: str) -> None:
    raises = re.search(r"^Raises \w", doc(name), re.MULTILINE)
    if not ANOTHER_NAME.match(doc(name)):
        assert (raises is None) == (name in NO_EXCEPTION)


@pytest.mark.parametrize("name", NAMES)
def test_what_waits_names_what_ends_it_at_exit(name: str) -> None:
    waits = re.fullmatch(r"\w+\.(acquire|wait)|Semaphore\.__enter__", name)
    waits_itself = waits is not None and name != "Condition.acquire"
    assert ("PythonFinalizationError" in doc(name)) == waits_itself


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FUNCTIONS])
def test_what_is_mirrored_is_there(name: str) -> None:
    owner, _, member = name.partition(".")
    mirrors = MIRRORS.findall(doc(name))
    assert len(mirrors) == 1, doc(name)
    mirrored = MIRRORED.findall(mirrors[0])
    if member == "__getstate__":
        assert mirrored == ["object.__getstate__"]
        return
    ours = [path for path in mirrored if path.split(".")[1] == owner]
    assert len(ours) == 1, mirrored
    assert ours[0].count(".") == name.count(".") + 1
    since = OF_PYTHON.search(mirrors[0])
    if member and not (since and sys.version_info < (3, int(since[1]))):
        theirs = standard(owner)
        if member == "_recursion_count" and not hasattr(theirs, member):
            return  # only some versions have it
        assert getattr(theirs, ours[0].split(".")[2]) == getattr(theirs, member)


@pytest.mark.skipif(not STUB.is_file(), reason="needs the checkout, not only its tests")
def test_the_stub_has_the_same_docstrings() -> None:
    """`make stub` puts them there."""
    stub = STUB.read_text(encoding="utf-8")
    assert squeezed(stub) == squeezed(with_docstrings(stub))


def squeezed(text: str) -> str:
    """Without empty lines, which the formatter sets."""
    return re.sub(r"\n\s*\n", "\n", text)
