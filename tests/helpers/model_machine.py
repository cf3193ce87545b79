"""State machines that drive real threads and a plain model through the same calls.

A machine has one object (a lock may have conditions) and a few threads. In each step an idle thread
makes one call. The model says what may come of it. Then the machine waits until each thread has
either ended its call or is queued, and compares: which calls have ended, how, who waits for what,
and what can be seen from outside. So the order of the calls is the program's and not the system's.

Ours tell how many threads are queued, which shows at once that a thread sleeps although it should
have been woken. `threading`'s locks do not tell. There the machine waits for what the model says,
which is enough to show that the model is right.
"""

from __future__ import annotations

import itertools
import os
import queue
import re
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, Phase, configuration, note, settings, strategies
from hypothesis.errors import HypothesisWarning
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from model_plain import THREADS, Model, Result, outcomes
from support import DEBUG_BUILD, SETTLE, is_ours, stdlib_condition

QUIET = 1.0
"""Seconds after which a state in which every thread sleeps does not change by itself any more."""

PATIENCE = 10.0
"""Seconds after which what has to happen has failed to."""

MOMENT = 0.001
"""Seconds that a brief wait has."""

EXAMPLES = int(os.environ.get("PYFASTLOCK_MODEL_EXAMPLES") or 0)
"""How many programs each machine runs; 0 is for a few, which are the same each time."""

PHASES = [Phase.generate, Phase.shrink]
"""What hypothesis does; tests/mutation leaves out what makes a program shorter."""

TRACE = bool(os.environ.get("PYFASTLOCK_MODEL_TRACE"))
"""Whether each step is printed before it is done, for a program that ends the process."""


class Limit:
    """How long to wait for what has to happen.

    On a busy machine that may take seconds. Once it has not happened, the same is tried hundreds of
    times, to find a shorter program for it: then patience is of no use.
    """

    seconds = PATIENCE

    @classmethod
    def reached(cls) -> None:
        cls.seconds = 1.0


class Worker:
    """A thread that makes one call at a time."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self.orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.idle = True
        self.acting = False
        self.result: Result | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (call := self.inbox.get()) is not None:
            try:
                result = ("returns", call())
            except BaseException as exc:
                result = ("raises", type(exc))
            del call
            self.result = result

    def begin(self, call: Callable[[], Any]) -> None:
        assert self.idle
        self.idle, self.result = False, None
        self.inbox.put(call)

    def act(self) -> None:
        """What the thread does in an action that goes on until it is told to end."""
        self.acting = True
        if not self.orders.get():
            raise ZeroDivisionError

    def end_action(self, *, well: bool) -> None:
        self.acting = False
        self.orders.put(well)

    @property
    def busy(self) -> bool:
        return not self.idle and self.result is None


class Operation:
    """A call: how the real thing does it, and the model."""

    def __init__(self, real: Callable[[Any], Any], plain: Callable[[Any, int], None]):
        self.real = real
        self.plain = plain


counts: Counter[str] = Counter()
"""How much has been done."""

idle_crews: list[list[Worker]] = []
"""Threads of machines that have come to a good end."""


class Machine(RuleBasedStateMachine):
    """One object, the threads, and all the states in which the model may be."""

    def __init__(self, impl: ModuleType):
        super().__init__()
        self.impl = impl
        self.models: list[Any] = []
        self.objects: list[Any] = []
        self.inner: Any = None  # the lock of the first one, where nothing else uses it
        self.workers = idle_crews.pop() if idle_crews else [Worker() for _ in range(THREADS)]

    @property
    def ours(self) -> bool:
        return is_ours(self.objects[0])

    @property
    def is_fifo(self) -> bool:
        """Whether threads are let go in the order in which they have come."""
        return self.impl.__name__ == "pyfastlock"

    def begin(self, model: Model, *objects: Any) -> None:
        counts["programs"] += 1
        self.models = [model]
        self.objects = list(objects)

    # --- What the real thing shows ---

    def visible(self) -> dict[str, Any]:
        """As the model's."""
        raise NotImplementedError

    def waiting(self) -> tuple[int | None, ...]:
        """How many threads are queued on each object; None where it does not tell."""
        if self.ours:
            from pyfastlock import _core

            first, *others = map(_core._waiters, self.objects)
            return (first + (_core._waiters(self.inner) if self.inner else 0), *others)
        conditions = map(stdlib_condition, self.objects)
        return tuple(None if cond is None else len(cond._waiters) for cond in conditions)

    def snapshot(self) -> tuple[Any, ...]:
        acting = frozenset(i for i, worker in enumerate(self.workers) if worker.acting)
        ended = {
            i: worker.result
            for i, worker in enumerate(self.workers)
            if not worker.idle and worker.result is not None
        }
        return ended, self.waiting(), acting, self.visible()

    def is_quiet(self, seen: tuple[Any, ...]) -> bool:
        """Whether every thread sleeps or has ended its call. Only ours can tell."""
        ended, waiting, acting, _ = seen
        busy = sum(not worker.idle for worker in self.workers) - len(ended)
        return self.ours and sum(waiting) + len(acting) == busy

    @staticmethod
    def fits(model: Model, seen: tuple[Any, ...]) -> bool:
        ended, waiting, acting, visible = seen
        return (
            repr(ended) == repr(dict(sorted(model.ended.items())))
            and all(real in (None, n) for real, n in zip(waiting, model.waiting(), strict=True))
            and acting == model.acting()
            and visible == model.visible()
        )

    # --- Steps ---

    def tell(self, line: str) -> None:
        """Write what is about to be done: beside the calls of a program that fails, which name a
        thread by its place among those that are idle."""
        note(line)
        if TRACE:
            print(line, file=sys.__stderr__, flush=True)

    def worker(self) -> Worker:
        """The calling thread."""
        me = threading.get_ident()
        return next(worker for worker in self.workers if worker.thread.ident == me)

    def holder(self) -> int | None:
        """The thread whose calls matter most."""
        return None

    def idle(self) -> list[int]:
        """The idle threads; the one first whose calls matter most."""
        idle = [i for i, worker in enumerate(self.workers) if worker.idle]
        return sorted(idle, key=lambda i: (i != self.holder(), i))

    def perform(self, thread: int, name: str, operation: Operation) -> None:
        """One of the idle threads makes the call. The last one makes none that may wait: somebody
        has to let the others go."""
        idle = self.idle()
        thread = idle[thread % len(idle)]
        possible = self.possible(lambda model: operation.plain(model, thread))
        may_wait = any(thread not in model.ended for model in possible)
        if (may_wait and len(idle) == 1) or not self.is_possible(possible):
            return
        counts["calls"] += 1
        self.tell(f"# thread {thread}: {name}")
        self.workers[thread].begin(lambda: operation.real(self))
        self.settle(possible, f"thread {thread}: {name}")

    def is_possible(self, possible: list[Any]) -> bool:
        """Whether a call that has this outcome may be made: not where the real thing is known to be
        wrong, or where too much depends on who is quicker."""
        return True

    def possible(self, act: Callable[[Any], None]) -> list[Any]:
        found = [after for model in self.models for after in outcomes(model, act)]
        return list({repr(vars(model) | {"choose": None}): model for model in found}.values())

    def settle(self, possible: list[Any], step: str) -> None:
        """Wait until the real thing is in one of the possible states; fail when it is in another
        one."""
        deadline = time.monotonic() + Limit.seconds
        pause = 0.0
        timed = any(model.timed for model in possible)
        quiet: Any = None
        quiet_since = 0.0
        while True:
            seen = self.snapshot()
            fitting = [model for model in possible if self.fits(model, seen)]
            if fitting and not self.ours and len(possible) > 1:
                time.sleep(SETTLE / 4)  # another one may be on its way
            if fitting and self.snapshot() == seen:
                break
            is_late = time.monotonic() > deadline
            if timed or not self.is_quiet(seen):
                quiet = None
            elif seen != quiet:
                quiet, quiet_since = seen, time.monotonic()
            # A thread that is queued and has not let go of its lock yet looks as one that sleeps.
            is_over = quiet is not None and time.monotonic() > quiet_since + QUIET
            if is_late or is_over:
                Limit.reached()
                raise AssertionError(self.difference(possible, seen, step))
            time.sleep(pause)
            pause = min(pause + 0.00002, 0.001)
        self.models = fitting
        for thread in seen[0]:
            self.workers[thread].idle = True

    def difference(self, possible: list[Any], seen: tuple[Any, ...], step: str) -> str:
        ended, waiting, acting, visible = seen
        lines = [f"{step}:", f"  ended {ended}, queued {waiting}, acting {set(acting)}, {visible}"]
        for model in possible:
            wanted = f"{dict(sorted(model.ended.items()))}, queued {model.waiting()}"
            lines.append(f"  not {wanted}, acting {set(model.acting())}, {model.visible()}")
        return "\n".join(lines)

    # --- The end ---

    def let_go(self) -> Callable[[], Any]:
        """What an idle thread calls to let another one go."""
        raise NotImplementedError

    def sleepers(self) -> int:
        return sum(worker.busy for worker in self.workers)

    def teardown(self) -> None:
        """Whoever waits is let go, also after a failure, where there may be no way to do it.

        One after the other: threading's locks may not be released by one thread while they are
        being handed to another one.
        """
        deadline = time.monotonic() + Limit.seconds
        for worker in itertools.cycle(self.workers):
            if not self.sleepers() or time.monotonic() > deadline:
                break
            if worker.acting:
                worker.end_action(well=True)
            if not worker.busy:
                worker.idle = True
                before = self.sleepers()
                worker.begin(self.let_go())
                moment = time.monotonic() + SETTLE / 4
                while worker.busy or (
                    worker.result == ("returns", None)
                    and self.sleepers() == before
                    and time.monotonic() < moment
                ):
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.0001)
        if self.sleepers():
            for worker in self.workers:
                worker.inbox.put(None)
        else:
            for worker in self.workers:
                worker.idle = True
            idle_crews.append(self.workers)


threads = strategies.sampled_from([0, 0, 0, *range(THREADS)])
"""Which of the idle threads makes a call: the first one more often."""


def steps(operations: dict[str, Operation], often: str) -> Any:
    """A rule: a thread makes one of the calls. The names of those that are made more often match
    the expression `often`."""
    names = [name for name in operations for _ in range(4 if re.fullmatch(often, name) else 1)]

    @rule(thread=threads, call=strategies.sampled_from(names))
    def step(self: Machine, thread: int, call: str) -> None:
        self.perform(thread, call, operations[call])

    return step


def summary() -> str:
    """What has been done, in one line."""
    return (
        f"model: {counts['calls']} calls in {counts['programs']} programs on {counts['machines']} "
        f"machines, {counts['failed']} failed"
    )


def check(machine: Callable[[], Machine], examples: int) -> None:
    """Run the machine on that many programs, or on as many as the environment says."""
    configuration.set_hypothesis_home_dir(os.devnull)
    Limit.seconds = PATIENCE
    counts["machines"] += 1
    counts["failed"] += 1  # until it has not
    with warnings.catch_warnings():
        # On Python 3.15 it takes a generator of its own for one that nobody keeps.
        warnings.simplefilter("ignore", HypothesisWarning)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES or max(1, examples // (4 if DEBUG_BUILD else 1)),
                stateful_step_count=30,
                derandomize=not EXAMPLES,
                database=None,
                deadline=None,
                phases=PHASES,
                suppress_health_check=list(HealthCheck),
            ),
        )
    counts["failed"] -= 1
