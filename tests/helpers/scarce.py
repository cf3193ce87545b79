"""Calls during which the interpreter's N-th allocation fails, for N = 1, 2, 3 and so on.

For scripts (`concurrency.run_script`), because a lack of memory in the interpreter itself may hurt
anything. A `Case` is one call on one object. After a call that has raised MemoryError the object
has to be as before it or as after it, and the same call has to succeed.
"""

from __future__ import annotations

import _testcapi
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from support import forget_threads

UNHARMED = 12
"""So many calls in a row without a MemoryError end the search: the last allocations may be some
whose failure the interpreter bears in silence."""

NEVER = 10**9
"""A first failure that does not come."""

MOST = 2000
"""More allocations than any of these calls makes."""

clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
"""The cache of methods keeps the names that it was asked for."""

REPEATS = 20
"""How often each failure is repeated where references are counted."""

injected = 0
"""How many MemoryErrors there have been."""

tried = 0
"""How many calls have been tried."""


class Case(NamedTuple):
    """`call(obj)` on a new `obj = make()`, then `check(obj)` whether it went well or not."""

    make: Callable[[], Any]
    call: Callable[[Any], object]
    check: Callable[[Any], object] = lambda obj: None
    raises: type[BaseException] | None = None
    lost: tuple[type[BaseException], ...] = ()
    """What may come instead of a MemoryError."""
    again: bool = True
    """Whether it can be called again where it has failed."""


def attempt(call: Callable[[Any], object], obj: Any, first: int, last: int) -> BaseException | None:
    """Call it while allocations fail: from number `first` to `last`, which is 0 for all."""
    _testcapi.set_nomemory(first, last)
    try:
        call(obj)
    except BaseException as error:
        _testcapi.remove_mem_hooks()
        return error
    finally:
        _testcapi.remove_mem_hooks()
    return None


def loses_failures() -> bool:
    """Whether the interpreter itself loses such a failure when it raises an exception: then it says
    that the exception is missing."""
    free = threading.Lock()
    errors = [attempt(lambda o: o.release(), free, n, n + 1) for n in range(UNHARMED)]
    return any(isinstance(error, SystemError) for error in errors)


LOST = (SystemError,) if loses_failures() else ()
"""What comes instead of a MemoryError then."""


def call_with(case: Case, first: int, last: int) -> bool:
    """Call it, then call it again where it has failed. Returns whether it failed."""
    global injected  # noqa: PLW0603
    obj = case.make()
    error = attempt(case.call, obj, first, last)
    expected = isinstance(error, case.raises) if case.raises else error is None
    failed = not expected and isinstance(
        error, (MemoryError, *case.lost, *(LOST if case.raises else ()))
    )
    injected += failed
    assert failed or expected, (first, error)
    if failed and case.again:
        # What it has left behind must not hinder a second call.
        error = attempt(case.call, obj, NEVER, 0)
        assert isinstance(error, case.raises) if case.raises else error is None, (first, error)
    del error
    case.check(obj)
    is_instance = type(obj).__weakrefoffset__ and not isinstance(obj, type)
    reference = weakref.ref(obj) if is_instance and case.again else None
    del obj
    if reference is not None and reference() is not None:
        gc.collect()
        assert reference() is None, first
    return failed


def leak(case: Case, first: int) -> int:
    """By how many references each of several failures makes the total grow, at least.

    Not for objects that threads wait for: those are still there afterwards."""
    before = 0
    for n in range(REPEATS + 1):
        obj = case.make()
        if not all(thread.done for thread in forget_threads()):
            return 0
        attempt(case.call, obj, first, first + 1)
        obj = None
        if n == 0:
            clear_caches()
            before = sys.gettotalrefcount()
    clear_caches()
    if sys.gettotalrefcount() - before >= REPEATS:
        gc.collect()  # it takes long: only where there may be a leak
    return (sys.gettotalrefcount() - before) // REPEATS


def try_case(name: str, case: Case, count_references: bool) -> None:
    """The first allocation fails, then the second one, and so on."""
    global tried  # noqa: PLW0603
    tried += 1
    unharmed = 0
    for first in range(MOST):
        try:
            failed = call_with(case, first, first + 1)
            if count_references:
                leaked = leak(case, first)
                assert leaked <= 0, f"{leaked} references are left"
        except BaseException as error:
            raise AssertionError(f"{name}, allocation {first}: {error!r}") from error
        forget_threads()
        unharmed = 0 if failed else unharmed + 1
        if unharmed >= UNHARMED:
            return
    raise AssertionError(f"{name}: more than {MOST} allocations")


def run(groups: dict[str, dict[str, Case]], *, count_references: bool = False) -> None:
    """Try all of them, and say how much that was."""
    # A thread that is woken runs when the call is over, and does not lack memory, too.
    sys.setswitchinterval(10)
    gc.collect()
    gc.freeze()
    for group, cases in groups.items():
        for name, case in cases.items():
            try_case(f"{group}: {name}", case, count_references)
    print(f"{injected} MemoryErrors in {tried} calls")
