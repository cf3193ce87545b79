"""What is compared: the standard library, fastrlock and ours, behind one shape."""

import functools
import sys
import sysconfig
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
NAMES = ("stdlib", "fastrlock", "ours")
TYPES = ("Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier")
ARGUMENTS = {"Barrier": (2,)}
"""What a type has to be called with, if anything."""


@dataclass(frozen=True)
class Implementation:
    """One row of factories; None where the implementation has no such type."""

    name: str
    Lock: Callable[[], Any] | None = None
    RLock: Callable[[], Any] | None = None
    Condition: Callable[..., Any] | None = None
    Event: Callable[[], Any] | None = None
    Semaphore: Callable[..., Any] | None = None
    BoundedSemaphore: Callable[..., Any] | None = None
    Barrier: Callable[..., Any] | None = None
    timeouts: bool = True  # acquire() takes a timeout

    def new(self, type_: str) -> Any:
        """A free object of *type_*; raises TypeError where there is no such type."""
        return getattr(self, type_)(*ARGUMENTS.get(type_, ()))


class MissingError(Exception):
    """An implementation that cannot be measured here; the text says why."""


def _all_of(name: str, module: Any) -> Implementation:
    return Implementation(name, **{type_: getattr(module, type_) for type_ in TYPES})


def _fastrlock() -> Implementation:
    if FREE_THREADED:
        # It does not declare itself safe without the GIL: importing it would switch the GIL on
        # again for the whole process, and with that change what the others are measured at.
        raise MissingError("fastrlock does not support free-threaded interpreters")
    if find_spec("fastrlock") is None:
        raise MissingError("fastrlock is not installed")
    from fastrlock.rlock import FastRLock

    return Implementation("fastrlock", RLock=FastRLock, timeouts=False)


def _ours() -> Implementation:
    import pyfastlock

    return _all_of("ours", pyfastlock)


@functools.cache
def get(name: str) -> Implementation:
    """The implementation called *name*; raises MissingError where it cannot be measured."""
    match name:
        case "stdlib":
            return _all_of(name, threading)
        case "fastrlock":
            return _fastrlock()
        case "ours":
            return _ours()
    raise ValueError(name)


def available() -> list[Implementation]:
    """Every implementation that can be measured on this interpreter, the stdlib first."""
    absent = missing()
    return [get(name) for name in NAMES if name not in absent]


def missing() -> dict[str, str]:
    """Why an implementation cannot be measured here, by its name."""
    reasons = {}
    for name in NAMES:
        try:
            get(name)
        except MissingError as reason:
            reasons[name] = str(reason)
    return reasons


def gil_enabled() -> bool:
    """Whether this process runs with the GIL now."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()
