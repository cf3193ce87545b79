"""Events, semaphores and barriers against plain models, through random calls of several threads."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import strategies
from hypothesis.stateful import initialize, precondition, rule
from model_machine import MOMENT, Machine, Operation, check, steps, threads
from model_plain import BRIEF, FOREVER, PAST, PlainBarrier, PlainEvent, PlainSemaphore
from support import DEADLINE

WAITS: dict[str, tuple[tuple[Any, ...], str]] = {
    "": ((), FOREVER),
    f"{DEADLINE:g}": ((DEADLINE,), FOREVER),
    "0": ((0,), PAST),
    "-1": ((-1,), PAST),
    "1e-9": ((1e-9,), BRIEF),
    f"{MOMENT:g}": ((MOMENT,), BRIEF),
}
"""The arguments of wait(), and what they come to."""


def open_up(machine: Machine) -> None:
    """Look at the attribute with which an object of ours begins to run threading's code; those who
    wait for the object wait on it from then on."""
    cond = getattr(machine.objects[0], "_cond", machine.objects[0])
    machine.inner = cond._lock
    machine.objects[0] = cond


# From then on the order in which threads go on is that of threading.
OPEN = Operation(open_up, lambda p, t: (setattr(p, "fifo", False), p.returns(t, None)))

# --- Events ---


def wait(args: tuple[Any, ...], limit: str) -> Operation:
    return Operation(lambda m: m.event.wait(*args), lambda p, t: p.wait(t, limit))


EVENT = {f"wait({name})": wait(*limit) for name, limit in WAITS.items()} | {
    "set()": Operation(lambda m: m.event.set(), lambda p, t: p.assign(t, True)),
    "clear()": Operation(lambda m: m.event.clear(), lambda p, t: p.assign(t, False)),
    "set(); clear()": Operation(
        lambda m: (m.event.set(), m.event.clear())[1], lambda p, t: p.assign(t, True, False)
    ),
    "_cond": OPEN,
}


class EventMachine(Machine):
    event: Any

    @initialize()
    def create(self) -> None:
        self.event = self.impl.Event()
        self.begin(PlainEvent(fifo=self.is_fifo), self.event)

    step = steps(EVENT, r"wait\(\)|set.*|clear\(\)")

    def visible(self) -> dict[str, Any]:
        return {"is_set": self.event.is_set()}

    def let_go(self) -> Any:
        return self.event.set


# --- Semaphores ---


def acquire(args: tuple[Any, ...], limit: str) -> Operation:
    return Operation(lambda m: m.semaphore.acquire(*args), lambda p, t: p.acquire(t, limit))


def release(n: int) -> Operation:
    return Operation(lambda m: m.semaphore.release(n), lambda p, t: p.release(t, n))


def release_and_try(n: int) -> Operation:
    return Operation(
        lambda m: (m.semaphore.release(n), m.semaphore.acquire(False))[1],
        lambda p, t: p.release_and_try(t, n),
    )


SEMAPHORE = (
    {
        f"acquire(timeout={name})": acquire((True, *args), limit)
        for name, (args, limit) in WAITS.items()
    }
    | {f"release({n})": release(n) for n in (0, 1, 2, 3)}
    | {f"release({n}); acquire(False)": release_and_try(n) for n in (1, 2)}
    | {
        "acquire()": acquire((), FOREVER),
        "acquire(False)": acquire((False,), PAST),
        "acquire(False, 1)": Operation(
            lambda m: m.semaphore.acquire(False, 1), lambda p, t: p.raises(t, ValueError)
        ),
        "__enter__()": Operation(lambda m: m.semaphore.__enter__(), lambda p, t: p.acquire(t)),
        "__exit__()": Operation(
            lambda m: m.semaphore.__exit__(None, None, None), lambda p, t: p.release(t)
        ),
        "release()": Operation(lambda m: m.semaphore.release(), lambda p, t: p.release(t)),
        "_cond": OPEN,
    }
)


class SemaphoreMachine(Machine):
    semaphore: Any

    def __init__(self, impl: ModuleType, kind: str):
        super().__init__(impl)
        self.kind = kind

    @initialize(value=strategies.integers(0, 3))
    def create(self, value: int) -> None:
        bounded = self.kind == "BoundedSemaphore"
        value = max(value, int(bounded))  # with the bound 0 nobody could let go who waits
        self.semaphore = getattr(self.impl, self.kind)(value)
        model = PlainSemaphore(fifo=self.is_fifo, value=value, bounded=bounded)
        self.begin(model, self.semaphore)

    step = steps(SEMAPHORE, r"acquire\(\)|release.*")

    def visible(self) -> dict[str, Any]:
        return {"value": self.semaphore._value}

    def let_go(self) -> Any:
        return self.semaphore.release


# --- Barriers ---


def arrive(args: tuple[Any, ...], limit: str) -> Operation:
    return Operation(lambda m: m.barrier.wait(*args), lambda p, t: p.wait(t, limit))


BARRIER = {f"wait({name})": arrive(*limit) for name, limit in WAITS.items()} | {
    "abort()": Operation(lambda m: m.barrier.abort(), lambda p, t: p.abort(t)),
    "reset()": Operation(lambda m: m.barrier.reset(), lambda p, t: p.reset(t)),
}

ACTIONS = [None, "return", "raise"]
"""What the action may do on both sides; threading's holds a lock that others need."""

OUR_ACTIONS = [*ACTIONS, "abort", "reset", *["stop"] * 5]


class BarrierMachine(Machine):
    barrier: Any

    def action(self) -> None:
        match self.models[0].action:
            case "raise":
                raise ZeroDivisionError
            case "abort":
                self.barrier.abort()
            case "reset":
                self.barrier.reset()
            case "stop":
                self.worker().act()

    def start_with(self, parties: int, action: str | None) -> None:
        model = PlainBarrier(fifo=True, parties=parties, action=action)
        self.barrier = self.impl.Barrier(parties, self.action if action else None)
        self.begin(model, self.barrier)

    step = steps(BARRIER, r"wait\(\)|reset.*")
    step_too = step_also = step  # more often than the other rules

    def is_possible(self, possible: list[Any]) -> bool:
        # Guests with a limit are a race, unless each is alone.
        guests = possible[0].guests
        return len(guests) < 2 or all(guest.limit == FOREVER for guest in guests)

    def visible(self) -> dict[str, Any]:
        return {"broken": self.barrier.broken, "waiting": self.barrier.n_waiting}

    def let_go(self) -> Any:
        return self.barrier.abort


class StdlibBarrierMachine(BarrierMachine):
    @initialize(parties=strategies.integers(1, 3), action=strategies.sampled_from(ACTIONS))
    def create(self, parties: int, action: str | None) -> None:
        self.start_with(parties, action)


class OurBarrierMachine(BarrierMachine):
    """Others may use the barrier while its action runs."""

    @initialize(parties=strategies.integers(1, 3), action=strategies.sampled_from(OUR_ACTIONS))
    def create(self, parties: int, action: str | None) -> None:
        self.start_with(parties, action)

    @rule(thread=threads, well=strategies.booleans())
    def end_action(self, thread: int, well: bool) -> None:
        acting = sorted(self.models[0].acting())
        if not acting:
            return
        actor = acting[thread % len(acting)]
        possible = self.possible(lambda model: model.end_action(actor, well=well))
        step = f"# thread {actor}: its action {'returns' if well else 'raises'}"
        self.tell(step)
        self.workers[actor].end_action(well=well)
        self.settle(possible, step)

    @precondition(lambda self: self.models[0].action in ACTIONS)
    @rule(thread=threads)
    def open_up(self, thread: int) -> None:
        """From then on the rules for an action are those of threading."""
        self.perform(thread, "_cond", OPEN)


def test_event(impl: ModuleType) -> None:
    check(lambda: EventMachine(impl), 30)


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_semaphore(impl: ModuleType, kind: str) -> None:
    check(lambda: SemaphoreMachine(impl, kind), 30)


def test_barrier(impl: ModuleType) -> None:
    machine = OurBarrierMachine if impl.__name__ == "pyfastlock" else StdlibBarrierMachine
    check(lambda: machine(impl), 40)
