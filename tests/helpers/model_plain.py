"""Plain models of the types: who holds what, who waits and in which order, who is let go.

A model is told which thread calls what, one call at a time. It runs no thread: a call that has to
wait is an entry of a list. After each call it says which threads' calls have ended, with what
result, and how many threads wait for what. The next call comes when all that is over.

Where it is not specified who is first, a model asks `choose`, and `outcomes` has it do everything
that may happen.

A wait with a limit is FOREVER, or it is over before the next call begins: PAST began with no time
left, BRIEF has a moment. So a model needs no clock.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pyfastlock import DeadlockError

THREADS = 4

FOREVER, PAST, BRIEF = "forever", "past", "brief"

Result = tuple[str, Any]
"""How a call ended: ("returns", value) or ("raises", type of the exception)."""


class Choices:
    """Makes the choices of `script`, and then the first one each time."""

    def __init__(self, script: tuple[int, ...] = ()):
        self.script = script
        self.made: list[tuple[int, int]] = []

    def __call__(self, n: int) -> int:
        place = len(self.made)
        choice = self.script[place] if place < len(self.script) else 0
        self.made.append((choice, n))
        return choice


class Model:
    """What all models have in common."""

    def __init__(self, *, fifo: bool):
        self.fifo = fifo  # who waited longest is first; otherwise anybody may be
        self.ended: dict[int, Result] = {}  # the calls that have ended since `outcomes` began
        self.timed = False  # a wait was to time out meanwhile, after it may have been queued
        self.choose: Callable[[int], int] = Choices()

    def returns(self, thread: int, value: Any) -> None:
        assert thread not in self.ended
        self.ended[thread] = ("returns", value)

    def raises(self, thread: int, exception: type[BaseException]) -> None:
        assert thread not in self.ended
        self.ended[thread] = ("raises", exception)

    def first(self, n: int) -> int:
        """Which of `n` that wait in a queue is first."""
        return 0 if self.fifo else self.choose(n)

    def waiting(self) -> tuple[int, ...]:
        """How many threads are queued on each of the objects."""
        raise NotImplementedError

    def acting(self) -> frozenset[int]:
        """The threads whose call runs code of ours that does not end by itself."""
        return frozenset()

    def visible(self) -> dict[str, Any]:
        """What can be seen from outside, without waiting."""
        raise NotImplementedError


Kind = TypeVar("Kind", bound=Model)


def outcomes(model: Kind, act: Callable[[Kind], None]) -> list[Kind]:
    """All that may come of `act(model)`; each is another model, and `model` stays as it is."""
    found: list[Kind] = []
    scripts: list[tuple[int, ...]] = [()]
    while scripts:
        choices = Choices(scripts.pop())
        other = copy.deepcopy(model)
        other.ended, other.timed, other.choose = {}, False, choices
        act(other)
        other.choose = Choices()
        found.append(other)
        made = [choice for choice, _ in choices.made]
        for place in range(len(choices.script), len(made)):
            alternatives = range(1, choices.made[place][1])
            scripts += [(*made[:place], choice) for choice in alternatives]
    return found


@dataclass(frozen=True)
class Waiter:
    """A thread that waits for a lock, perhaps for a notification before that."""

    thread: int
    call: str
    cond: int = 0
    depth: int = 1
    notified: bool = False
    limit: str = FOREVER
    scoped: bool = False  # what it takes it holds for a block, and so waits for itself in vain


class PlainLock(Model):
    """A Lock, or an RLock if it is `recursive`, and conditions on it."""

    def __init__(
        self, *, fifo: bool, recursive: bool, conditions: int = 0, finds_deadlocks: bool = False
    ):
        super().__init__(fifo=fifo)
        self.recursive = recursive
        self.finds_deadlocks = finds_deadlocks
        self.scoped = False
        self.holder: int | None = None
        self.depth = 0
        self.queue: list[Waiter] = []
        self.conditions: list[list[Waiter]] = [[] for _ in range(conditions)]
        self.flag = 0  # what the predicates of wait_for() look at
        self.hurried: Waiter | None = None  # one that comes back for the lock during this call

    def waiting(self) -> tuple[int, ...]:
        return (len(self.queue), *map(len, self.conditions))

    def visible(self) -> dict[str, Any]:
        return {"locked": self.holder is not None, "depth": self.depth}

    def is_owned(self, thread: int) -> bool:
        return self.holder == thread if self.recursive else self.holder is not None

    # --- The lock ---

    def take(self, waiter: Waiter) -> None:
        """The waiter takes the lock, which is free."""
        assert self.holder is None
        self.holder, self.depth, self.scoped = waiter.thread, waiter.depth, waiter.scoped
        if waiter.call == "acquire":
            self.returns(waiter.thread, True)
        elif waiter.call == "wait":
            self.returns(waiter.thread, waiter.notified)
        elif self.flag or waiter.limit != FOREVER:
            self.returns(waiter.thread, self.flag)
        else:
            self.conditions[waiter.cond].append(replace(waiter, notified=False))
            self.let_go()

    def let_go(self) -> None:
        """The lock is released for good, and goes to somebody else."""
        self.holder, self.depth = None, 0
        if self.hurried and (not self.queue or self.choose(2)):
            waiter, self.hurried = self.hurried, None
            self.take(waiter)
        elif self.queue:
            self.take(self.queue.pop(self.first(len(self.queue))))

    def acquire(
        self, thread: int, limit: str = FOREVER, *, scoped: bool = False, timed: bool = False
    ) -> None:
        waiter = Waiter(thread, "acquire", scoped=scoped)
        waits_for_itself = self.scoped and self.holder == thread
        if self.recursive and self.holder == thread:
            self.depth += 1
            self.returns(thread, True)
        elif self.holder is None:
            self.take(waiter)
        elif limit == FOREVER and not timed and waits_for_itself and self.finds_deadlocks:
            self.raises(thread, DeadlockError)
        elif limit == FOREVER:
            self.queue.append(waiter)
        else:
            self.timed = True
            self.returns(thread, False)

    def undo(self, thread: int) -> bool:
        """release(); whether that was right."""
        if not self.is_owned(thread):
            self.raises(thread, RuntimeError)
            return False
        self.depth -= 1
        if self.depth == 0:
            self.let_go()
        return True

    def release(self, thread: int) -> None:
        if self.undo(thread):
            self.returns(thread, None)

    def release_and_acquire(self, thread: int) -> None:
        """In one breath: the thread may be quicker than whoever waits."""
        if self.is_owned(thread) and self.depth == 1:
            self.holder, self.depth = None, 0
            self.hurried = Waiter(thread, "acquire")
            self.come_back()
        elif self.undo(thread):
            self.acquire(thread)

    def come_back(self) -> None:
        """The lock is free. Whoever hurried gets it, or waits for it."""
        self.let_go()
        if self.hurried:
            self.queue.append(self.hurried)
            self.hurried = None

    # --- The conditions ---

    def wait(self, thread: int, cond: int, limit: str = FOREVER, call: str = "wait") -> None:
        if call == "wait_for" and self.flag:
            self.returns(thread, self.flag)
        elif not self.is_owned(thread):
            self.raises(thread, RuntimeError)
        elif limit == FOREVER:
            self.conditions[cond].append(Waiter(thread, call, cond, self.depth))
            self.let_go()
        else:
            self.timed = True
            self.hurried = Waiter(thread, call, cond, self.depth, limit=limit)
            self.come_back()

    def notify(self, thread: int, cond: int, n: int) -> None:
        if not self.is_owned(thread):
            self.raises(thread, RuntimeError)
            return
        n = min(max(n, 0), len(self.conditions[cond]))
        self.queue += [replace(waiter, notified=True) for waiter in self.conditions[cond][:n]]
        del self.conditions[cond][:n]
        self.returns(thread, None)

    def set_flag(self, thread: int, value: int) -> None:
        self.flag = value
        self.returns(thread, None)


class PlainEvent(Model):
    """An Event."""

    def __init__(self, *, fifo: bool):
        super().__init__(fifo=fifo)
        self.flag = False
        self.queue: list[int] = []

    def waiting(self) -> tuple[int, ...]:
        return (len(self.queue),)

    def visible(self) -> dict[str, Any]:
        return {"is_set": self.flag}

    def wait(self, thread: int, limit: str = FOREVER) -> None:
        if self.flag or limit != FOREVER:
            self.timed = not self.flag
            self.returns(thread, self.flag)
        else:
            self.queue.append(thread)

    def assign(self, thread: int, *values: bool) -> None:
        """set() and clear(), in one breath."""
        for self.flag in values:
            if self.flag:
                for waiter in self.queue:
                    self.returns(waiter, True)
                self.queue.clear()
        self.returns(thread, None)


class PlainSemaphore(Model):
    """A Semaphore, or a BoundedSemaphore if there is a `bound`."""

    def __init__(self, *, fifo: bool, value: int, bounded: bool):
        super().__init__(fifo=fifo)
        self.value = value
        self.bound = value if bounded else None
        self.queue: list[int] = []

    def waiting(self) -> tuple[int, ...]:
        return (len(self.queue),)

    def visible(self) -> dict[str, Any]:
        return {"value": self.value}

    def acquire(self, thread: int, limit: str = FOREVER) -> None:
        if self.value:
            self.value -= 1
            self.returns(thread, True)
        elif limit == FOREVER:
            self.queue.append(thread)
        else:
            self.timed = True
            self.returns(thread, False)

    def add(self, thread: int, n: int) -> bool:
        """Add `n` permits, without giving them to those who wait. Whether that was right."""
        if n < 1 or (self.bound is not None and self.value + n > self.bound):
            self.raises(thread, ValueError)
            return False
        self.value += n
        return True

    def deal(self) -> None:
        """Whoever waits takes what there is."""
        while self.queue and self.value:
            self.take(self.first(len(self.queue)))

    def take(self, place: int) -> None:
        self.value -= 1
        self.returns(self.queue.pop(place), True)

    def release(self, thread: int, n: int = 1) -> None:
        if self.add(thread, n):
            self.deal()
            self.returns(thread, None)

    def release_and_try(self, thread: int, n: int) -> None:
        """In one breath: the thread may be quicker than those who wait. Then one of those whom the
        permits would have been for, any of them, goes on waiting."""
        if self.add(thread, n):
            if len(self.queue) >= self.value and self.choose(2):
                self.deal()
                self.returns(thread, False)
            else:
                self.value -= 1
                while self.queue and self.value:
                    woken = min(len(self.queue), n if self.fifo else THREADS)
                    self.take(self.choose(woken))
                    n -= 1
                self.returns(thread, True)


@dataclass(frozen=True)
class Guest:
    """A thread that came to a barrier while its action ran."""

    thread: int
    limit: str


class PlainBarrier(Model):
    """A Barrier. `action` is what its action does:

    None        there is none
    "return"    nothing
    "raise"     raises ZeroDivisionError
    "abort", "reset"    calls that method of the barrier
    "stop"      goes on until `end_action`
    """

    def __init__(self, *, fifo: bool, parties: int, action: str | None):
        super().__init__(fifo=fifo)
        self.parties = parties
        self.action = action
        self.broken = False
        self.queue: list[int] = []
        self.guests: list[Guest] = []
        self.actor: int | None = None  # the thread that runs the action of this generation
        self.late: set[int] = set()  # those that run the action of one before

    def waiting(self) -> tuple[int, ...]:
        return (len(self.queue) + len(self.guests),)

    def acting(self) -> frozenset[int]:
        return frozenset(self.late) | ({self.actor} - {None})

    def visible(self) -> dict[str, Any]:
        return {"broken": self.broken, "waiting": len(self.queue) + (self.actor is not None)}

    def wait(self, thread: int, limit: str = FOREVER) -> None:
        if self.broken:
            self.raises(thread, threading.BrokenBarrierError)
        elif self.actor is not None:
            self.guests.append(Guest(thread, limit))
        elif len(self.queue) + 1 == self.parties:
            self.complete(thread)
        elif limit == FOREVER:
            self.queue.append(thread)
        else:
            self.timed = True
            self.begin_anew(broken=True)
            self.raises(thread, threading.BrokenBarrierError)

    def complete(self, thread: int) -> None:
        """The last one is there."""
        if self.action == "stop":
            self.actor = thread
        elif self.action in {"raise", "abort"}:
            self.begin_anew(broken=True)
            wrong = self.action == "raise"
            self.raises(thread, ZeroDivisionError if wrong else threading.BrokenBarrierError)
        elif self.action == "reset":
            self.begin_anew(broken=False)
            self.raises(thread, threading.BrokenBarrierError)
        else:
            self.let_all_go(thread)

    def let_all_go(self, last: int) -> None:
        for place, thread in enumerate(self.queue):
            self.returns(thread, place)
        self.returns(last, self.parties - 1)
        self.queue.clear()
        self.admit_guests()

    def begin_anew(self, *, broken: bool) -> None:
        """Those who wait find it broken."""
        for thread in self.queue:
            self.raises(thread, threading.BrokenBarrierError)
        self.queue.clear()
        self.broken = broken
        if self.actor is not None:
            self.late.add(self.actor)
        self.admit_guests()

    def admit_guests(self) -> None:
        """No action runs any more. Guests arrive, in any order."""
        self.actor = None
        guests, self.guests = self.guests, []
        while guests:
            guest = guests.pop(self.choose(len(guests)))
            self.wait(guest.thread, guest.limit)

    def abort(self, thread: int) -> None:
        self.begin_anew(broken=True)
        self.returns(thread, None)

    def reset(self, thread: int) -> None:
        self.begin_anew(broken=False)
        self.returns(thread, None)

    def end_action(self, actor: int, *, well: bool) -> None:
        """The action that `actor` runs returns, or raises ZeroDivisionError."""
        current = actor == self.actor
        self.actor = None if current else self.actor
        self.late.discard(actor)
        if not well:
            if current:
                self.begin_anew(broken=True)
            self.raises(actor, ZeroDivisionError)
        elif current:
            self.let_all_go(actor)
        else:
            self.raises(actor, threading.BrokenBarrierError)
