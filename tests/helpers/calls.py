"""Calls that are written as text, and what came of them: for the tests of bad arguments."""

from __future__ import annotations

import ctypes
import re
import threading
import warnings
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any, NamedTuple


class Index:
    def __index__(self) -> int:
        return 1


class BrokenIndex:
    def __index__(self) -> int:
        raise ZeroDivisionError("broken index")


class AsFloat:
    def __float__(self) -> float:
        return 1.0


class BrokenFloat(float):
    def __gt__(self, other: object) -> bool:
        raise ZeroDivisionError("broken comparison")


class BrokenBool:
    def __bool__(self) -> bool:
        raise ZeroDivisionError("broken bool")


class FloatChild(float):
    pass


class IntChild(int):
    pass


NAMES: dict[str, Any] = {
    "__name__": __name__,  # the module of the classes that are made
    "nan": float("nan"),
    "inf": float("inf"),
    "TIMEOUT_MAX": threading.TIMEOUT_MAX,
    "Fraction": Fraction,
    "Decimal": Decimal,
    "Index": Index,
    "BrokenIndex": BrokenIndex,
    "AsFloat": AsFloat,
    "BrokenFloat": BrokenFloat,
    "BrokenBool": BrokenBool,
    "FloatChild": FloatChild,
    "IntChild": IntChild,
    "true": lambda: True,
    "false": lambda: False,
}


class Outcome(NamedTuple):
    kind: str
    value: object
    warned: tuple[tuple[str, str], ...]


def normalised(text: str) -> str:
    """`text` with the name of our type, or of the stdlib's, replaced by OWNER."""
    text = re.sub(r"\b(_thread|threading|pyfastlock)\.(?=\w)", "", text)
    text = re.sub(r"\ballocate_lock\(", "lock(", text)
    text = re.sub(r"(?<!lambda)\b0x[0-9a-f]+\b", "ADDRESS", text)
    return re.sub(r"\b(lock|RLock|Lock|Condition)(?=[.(']|\b expected \d)", "OWNER", text)


def outcome(module: ModuleType, x: object, call: str) -> Outcome:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            value: object = eval(call, {**NAMES, "m": module, "x": x})
        except Exception as error:
            kind, value = type(error).__name__, normalised(str(error))
        else:
            kind = "returned"
            if not isinstance(value, (bool, int, type(None))):
                value = normalised(type(value).__name__)
    return Outcome(kind, value, tuple((w.category.__name__, str(w.message)) for w in warned))


vectorcall = ctypes.PYFUNCTYPE(
    ctypes.py_object,
    ctypes.py_object,
    ctypes.POINTER(ctypes.py_object),
    ctypes.c_size_t,
    ctypes.c_void_p,
)(("PyObject_Vectorcall", ctypes.pythonapi))


def call_with_more_behind(method: object, obj: object, more: object) -> object:
    """`method(obj)`, where `more` lies in memory behind the one argument."""
    return vectorcall(method, (ctypes.py_object * 2)(obj, more), 1, None)
