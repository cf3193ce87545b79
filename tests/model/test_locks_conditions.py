"""Locks and conditions against a plain model of them, through random calls of several threads."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
from hypothesis.stateful import initialize
from model_machine import MOMENT, Machine, Operation, check, steps
from model_plain import BRIEF, FOREVER, PAST, PlainLock
from support import DEADLINE, is_ours

LIMITS = {
    "": ((), FOREVER),
    f"timeout={DEADLINE:g}": ((True, DEADLINE), FOREVER),
    "False": ((False,), PAST),
    "timeout=0": ((True, 0), PAST),
    "timeout=1e-9": ((True, 1e-9), BRIEF),
    f"timeout={MOMENT:g}": ((True, MOMENT), BRIEF),
}
"""The arguments of acquire(), and what they come to."""


def acquire(args: tuple[Any, ...], limit: str) -> Operation:
    timed = args == (True, DEADLINE)
    return Operation(lambda m: m.lock.acquire(*args), lambda p, t: p.acquire(t, limit, timed=timed))


def wrong(args: tuple[Any, ...], exception: type[BaseException]) -> Operation:
    return Operation(lambda m: m.lock.acquire(*args), lambda p, t: p.raises(t, exception))


LOCK = {f"acquire({name})": acquire(*limit) for name, limit in LIMITS.items()} | {
    "__enter__()": Operation(lambda m: m.lock.__enter__(), lambda p, t: p.acquire(t, scoped=True)),
    "release()": Operation(lambda m: m.lock.release(), lambda p, t: p.release(t)),
    "__exit__()": Operation(lambda m: m.lock.__exit__(None, None, None), lambda p, t: p.release(t)),
    "release(); acquire()": Operation(
        lambda m: (m.lock.release(), m.lock.acquire())[1], lambda p, t: p.release_and_acquire(t)
    ),
    "acquire(False, 1)": wrong((False, 1), ValueError),
    "acquire(timeout=-2)": wrong((True, -2), ValueError),
    "acquire(timeout=1e30)": wrong((True, 1e30), OverflowError),
}


class Locks(Machine):
    """A Lock or an RLock."""

    objects: list[Any]
    lock: Any
    conditions: tuple[Any, ...] = ()
    flag = 0  # what the predicates of wait_for() look at

    def __init__(self, impl: ModuleType, kind: str):
        super().__init__(impl)
        self.kind = kind

    def make(self, conditions: int) -> None:
        self.lock = getattr(self.impl, self.kind)()
        self.conditions = tuple(self.impl.Condition(self.lock) for _ in range(conditions))
        model = PlainLock(
            fifo=self.is_fifo,
            recursive=self.kind == "RLock",
            conditions=conditions,
            finds_deadlocks=is_ours(self.lock),
        )
        self.begin(model, self.lock, *self.conditions)

    def visible(self) -> dict[str, Any]:
        text = repr(self.lock)
        count = re.search(r"count=(\d+)", text)
        locked = not text.startswith("<unlocked")
        return {"locked": locked, "depth": int(count[1]) if count else int(locked)}

    def holder(self) -> int | None:
        return self.models[0].holder

    def let_go(self) -> Any:
        def release() -> None:
            self.flag = 1
            if self.lock.acquire(False):
                for cond in self.conditions:
                    cond.notify_all()
                self.lock.release()
                if self.kind == "Lock":
                    return
            self.lock.release()

        return release


class LockMachine(Locks):
    @initialize()
    def create(self) -> None:
        self.make(0)

    step = steps(LOCK, r"(release\(\); )?acquire\(\)|release\(\)")


def wait(cond: int, args: tuple[Any, ...], limit: str) -> Operation:
    return Operation(lambda m: m.conditions[cond].wait(*args), lambda p, t: p.wait(t, cond, limit))


def wait_for(cond: int, args: tuple[Any, ...], limit: str) -> Operation:
    return Operation(
        lambda m: m.conditions[cond].wait_for(lambda: m.flag, *args),
        lambda p, t: p.wait(t, cond, limit, "wait_for"),
    )


def notify(cond: int, *args: int) -> Operation:
    n = args[0] if args else 1
    return Operation(lambda m: m.conditions[cond].notify(*args), lambda p, t: p.notify(t, cond, n))


def notify_all(cond: int) -> Operation:
    return Operation(lambda m: m.conditions[cond].notify_all(), lambda p, t: p.notify(t, cond, 99))


def set_flag(value: int) -> Operation:
    return Operation(lambda m: setattr(m, "flag", value), lambda p, t: p.set_flag(t, value))


WAITS: list[tuple[int, tuple[Any, ...], str]] = [
    (0, (), FOREVER),
    (1, (), FOREVER),
    (0, (DEADLINE,), FOREVER),
    (0, (0,), PAST),
    (0, (-1,), PAST),
    (1, (1e-9,), BRIEF),
    (0, (MOMENT,), BRIEF),
]

CONDITION = (
    {name: LOCK[name] for name in ("acquire()", "acquire(False)", "release()", "__exit__()")}
    | {f"[{cond}].wait{args}": wait(cond, args, limit) for cond, args, limit in WAITS}
    | {
        f"[{cond}].wait_for(flag, *{args})": wait_for(cond, args, limit)
        for cond, args, limit in WAITS
    }
    | {f"[{cond}].notify{args}": notify(cond, *args) for cond in (0, 1) for args in [(), (2,)]}
    | {f"[0].notify({n})": notify(0, n) for n in (0, -1, 3)}
    | {f"[{cond}].notify_all()": notify_all(cond) for cond in (0, 1)}
    | {f"flag = {value}": set_flag(value) for value in (0, 7)}
)


class ConditionMachine(Locks):
    """Two conditions on one lock."""

    @initialize()
    def create(self) -> None:
        self.make(2)

    step = steps(CONDITION, r"acquire\(\)|release\(\)|.*wait\(\)|.*notify\(\)|.0..notify_all\(\)")

    def is_possible(self, possible: list[Any]) -> bool:
        # A wait of threading's that has timed out stays in the list until it has its lock back,
        # and takes notifications (T1).
        waiters = [waiter for model in possible for waiter in model.queue]
        late = any(waiter.call != "acquire" and not waiter.notified for waiter in waiters)
        return self.ours or not late


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_lock(impl: ModuleType, kind: str) -> None:
    check(lambda: LockMachine(impl, kind), 30)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_condition(impl: ModuleType, kind: str) -> None:
    check(lambda: ConditionMachine(impl, kind), 40)
