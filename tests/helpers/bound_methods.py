"""What the tests of `__enter__` and `__exit__` as objects share."""

from __future__ import annotations

from support import try_in_thread

KINDS = ["Lock", "RLock", "Condition", "Condition(Lock)"]
MAKE = {
    "Lock": lambda m: m.Lock(),
    "RLock": lambda m: m.RLock(),
    "Condition": lambda m: m.Condition(),
    "Condition(Lock)": lambda m: m.Condition(m.Lock()),
}
METHODS = ["__enter__", "__exit__"]
NONE = (None, None, None)


def is_free(lock):
    return try_in_thread(lock)


# An assert statement may keep what it looked at alive until the test ends. Where life matters
# these look instead, and return nothing but numbers and truths.


def address(method):
    return id(method.__self__)


def works(enter):
    """Whether the lock can be taken by `enter`, and given back."""
    return enter() is True and not is_free(enter.__self__) and leave(enter.__self__)


def leave(lock):
    lock.__exit__(*NONE)
    return is_free(lock)


def dead(reference):
    return reference() is None
