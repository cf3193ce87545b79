"""The single-threaded operations, each defined once for the whole of ``benchmarks/``.

An operation is a statement and the names that it uses.  ``compile_loop`` turns it into a function
that runs the statement ``UNROLL`` times a loop, with the names as fast locals.  Every
implementation gets a code object of its own, so that the interpreter's inline caches specialise
for it alone.
"""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import repeat
from textwrap import indent
from typing import Any

from workloads import floor
from workloads.implementations import Implementation

UNROLL = 10
"""Copies of the statement in one turn of the compiled loop."""

Loop = Callable[[int], None]
"""Runs ``UNROLL`` operations for each of the loops asked for."""

Names = dict[str, object]
Prepare = Callable[[Implementation, ExitStack], Names]


@dataclass(frozen=True)
class Operation:
    """One statement, measured over every implementation that can do it.

    ``type`` is the factory that it needs, ``method`` a method that not every implementation and
    version has.  ``floor`` is the same shape of statement over ``floor.c``.  ``quick`` operations
    make up the short table.
    """

    group: str
    name: str
    statement: str
    type: str
    prepare: Prepare
    floor: str | None = None
    method: str | None = None
    timeout: bool = False
    quick: bool = False

    def supported(self, implementation: Implementation) -> bool:
        """Whether *implementation* can do this at all."""
        factory = getattr(implementation, self.type)
        if factory is None or (self.timeout and not implementation.timeouts):
            return False
        return self.method is None or hasattr(implementation.new(self.type), self.method)

    @contextmanager
    def prepared(self, implementation: Implementation) -> Iterator[Loop]:
        """The compiled loop over *implementation*; what it holds is released at the end."""
        with ExitStack() as stack:
            yield compile_loop(self.statement, self.prepare(implementation, stack))

    def floor_loop(self) -> Loop | None:
        """The loop over the floor, or None where this operation or this machine has none."""
        names = floor.names() if self.floor is not None else None
        if self.floor is None or names is None:
            return None
        return compile_loop(self.floor, names)


def compile_loop(statement: str, names: Mapping[str, object]) -> Loop:
    """A function of the number of loops that runs *statement* over *names*."""
    parameters = "".join(f", {name}" for name in names)
    body = indent("\n".join([statement] * UNROLL), " " * 8)
    source = f"def run(loops{parameters}):\n    for _ in repeat(None, loops):\n{body}\n"
    namespace: dict[str, Any] = {"repeat": repeat}
    exec(compile(source, f"<{statement}>", "exec"), namespace)
    return functools.partial(namespace["run"], **names)


def empty_loop() -> Loop:
    """The loop alone: what is subtracted from every figure."""
    return compile_loop("pass", {})


def _new(type_: str, name: str) -> Prepare:
    """A fresh, free object of *type_* called *name*."""

    def prepare(implementation: Implementation, _stack: ExitStack) -> Names:
        return {name: implementation.new(type_)}

    return prepare


def _factories(*types: str) -> Prepare:
    """The factories themselves, under their own names."""

    def prepare(implementation: Implementation, _stack: ExitStack) -> Names:
        return {type_: getattr(implementation, type_) for type_ in types}

    return prepare


def _entered(type_: str, name: str) -> Prepare:
    """An object of *type_* that the measuring thread holds."""

    def prepare(implementation: Implementation, stack: ExitStack) -> Names:
        held = implementation.new(type_)
        held.acquire()
        stack.callback(held.release)
        return {name: held}

    return prepare


def _set(type_: str, name: str) -> Prepare:
    """An object of *type_* that is set."""

    def prepare(implementation: Implementation, _stack: ExitStack) -> Names:
        event = implementation.new(type_)
        event.set()
        return {name: event}

    return prepare


def _held_elsewhere(type_: str, name: str) -> Prepare:
    """An object of *type_* that another, living thread holds."""

    def prepare(implementation: Implementation, stack: ExitStack) -> Names:
        held = implementation.new(type_)
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            held.acquire()
            holding.set()
            done.wait()
            held.release()

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        stack.callback(holder.join, 60)
        stack.callback(done.set)
        holding.wait()
        return {name: held}

    return prepare


def _nested(variable: str, depth: int) -> str:
    """*depth* with-blocks over *variable*, one inside the other."""
    lines = [f"{'    ' * level}with {variable}:" for level in range(depth)]
    return "\n".join(lines) + " pass"


def _with(type_: str, name: str) -> Operation:
    statement = _nested(name, 1)
    return Operation(
        "with-block",
        statement,
        statement,
        type_,
        _new(type_, name),
        _nested("empty", 1),
        quick=True,
    )


def _depth(depth: int) -> Operation:
    return Operation(
        "reentrant",
        f"with rlock: pass, depth {depth}",
        _nested("rlock", depth),
        "RLock",
        _new("RLock", "rlock"),
        _nested("empty", depth),
        quick=depth == 3,
    )


def _empty(type_: str, method: str = "enter") -> str:
    """The method of the floor that has the shape of *type_*'s methods."""
    return f"nothing.{method}" if type_ in ("Lock", "RLock") else "posing.call"


def _pair(group: str, name: str, type_: str, arguments: str) -> Operation:
    variable = name.split(".")[0]
    return Operation(
        group,
        name,
        f"{variable}.acquire({arguments})\n{variable}.release()",
        type_,
        _new(type_, variable),
        f"{_empty(type_, 'acquire')}({arguments})\n{_empty(type_)}()",
        timeout="timeout" in arguments,
        quick=group != "non-blocking" or type_ != "RLock",
    )


def _call(
    group: str,
    statement: str,
    type_: str,
    prepare: Prepare,
    *,
    name: str = "",
    floor: str | None = None,
    method: str | None = None,
    quick: bool = False,
) -> Operation:
    floor = floor or f"{_empty(type_)}()"
    return Operation(
        group, name or statement, statement, type_, prepare, floor, method=method, quick=quick
    )


OPERATIONS: tuple[Operation, ...] = (
    _with("RLock", "rlock"),
    _with("Lock", "lock"),
    _with("Condition", "condition"),
    _with("Semaphore", "semaphore"),
    _pair("acquire/release", "rlock.acquire(); rlock.release()", "RLock", ""),
    _pair("acquire/release", "lock.acquire(); lock.release()", "Lock", ""),
    _pair(
        "acquire/release",
        "semaphore.acquire(); semaphore.release()",
        "Semaphore",
        "",
    ),
    _pair(
        "acquire/release",
        "bounded.acquire(); bounded.release()",
        "BoundedSemaphore",
        "",
    ),
    *(_depth(depth) for depth in range(1, 6)),
    _pair("non-blocking", "rlock.acquire(False); release", "RLock", "False"),
    _pair("non-blocking", "lock.acquire(False); release", "Lock", "False"),
    _pair(
        "non-blocking",
        "semaphore.acquire(False); release",
        "Semaphore",
        "False",
    ),
    _call(
        "non-blocking, held",
        "rlock.acquire(False)",
        "RLock",
        _held_elsewhere("RLock", "rlock"),
        name="rlock.acquire(False), held",
        floor="nothing.acquire(False)",
    ),
    _call(
        "non-blocking, held",
        "lock.acquire(False)",
        "Lock",
        _held_elsewhere("Lock", "lock"),
        name="lock.acquire(False), held",
        floor="nothing.acquire(False)",
        quick=True,
    ),
    _pair("timed", "rlock.acquire(timeout=1); release", "RLock", "timeout=1"),
    _pair("timed", "lock.acquire(timeout=1); release", "Lock", "timeout=1"),
    _call("locked", "lock.locked()", "Lock", _new("Lock", "lock"), quick=True),
    _call("locked", "rlock.locked()", "RLock", _new("RLock", "rlock"), method="locked"),
    _call(
        "locked", "condition.locked()", "Condition", _new("Condition", "condition"), method="locked"
    ),
    _call("creation", "Lock()", "Lock", _factories("Lock"), floor="object()", quick=True),
    _call("creation", "RLock()", "RLock", _factories("RLock"), floor="object()", quick=True),
    _call(
        "creation",
        "Condition()",
        "Condition",
        _factories("Condition"),
        floor="object()",
        quick=True,
    ),
    _call(
        "creation",
        "Condition(Lock())",
        "Condition",
        _factories("Condition", "Lock"),
        floor="object()\nobject()",
    ),
    *(
        _call("creation", f"{type_}()", type_, _factories(type_), floor="object()", quick=True)
        for type_ in ("Event", "Semaphore", "BoundedSemaphore")
    ),
    _call("creation", "Barrier(2)", "Barrier", _factories("Barrier"), floor="object()", quick=True),
    _call(
        "condition",
        "condition.notify()",
        "Condition",
        _entered("Condition", "condition"),
        name="condition.notify(), nobody waits",
        quick=True,
    ),
    _call(
        "condition",
        "condition.notify_all()",
        "Condition",
        _entered("Condition", "condition"),
        name="condition.notify_all(), nobody waits",
    ),
    _call(
        "condition",
        "condition.wait(0)",
        "Condition",
        _entered("Condition", "condition"),
        floor="posing.call(0)",
        quick=True,
    ),
    _call(
        "event",
        "event.set()\nevent.is_set()\nevent.clear()",
        "Event",
        _new("Event", "event"),
        name="event.set(); is_set(); clear()",
        floor="posing.call()\nposing.call()\nposing.call()",
        quick=True,
    ),
    _call("event", "event.is_set()", "Event", _new("Event", "event")),
    _call(
        "event",
        "event.wait()",
        "Event",
        _set("Event", "event"),
        name="event.wait(), set",
        quick=True,
    ),
    _call(
        "event",
        "event.wait(0)",
        "Event",
        _new("Event", "event"),
        name="event.wait(0), not set",
        floor="posing.call(0)",
        quick=True,
    ),
    _call(
        "non-blocking, held",
        "semaphore.acquire(timeout=0)",
        "Semaphore",
        _entered("Semaphore", "semaphore"),
        name="semaphore.acquire(timeout=0), none free",
        floor="posing.call(timeout=0)",
        quick=True,
    ),
)
