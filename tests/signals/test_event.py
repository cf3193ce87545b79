"""Signals that arrive while the main thread waits for an event."""

from __future__ import annotations

from types import ModuleType

import pytest
from concurrency import (
    Handle,
    Interrupt,
    kick_when_parked,
    queued,
)
from support import (
    DEADLINE,
    run_in_thread,
    start,
)

PATIENT = 3 * DEADLINE
"""Longer than the watchdog: the end of its time makes no lost wake-up good."""

pytestmark = pytest.mark.usefixtures("watchdog")


@pytest.mark.parametrize("where", ["handler", "thread"])
def test_t31_pulse_while_a_handler_runs_is_not_missed(
    impl: ModuleType, handle: Handle, where: str
) -> None:
    event = impl.Event()

    def pulse() -> None:
        event.set()
        event.clear()

    handle(pulse if where == "handler" else lambda: run_in_thread(pulse))
    kick = kick_when_parked(event)
    assert event.wait(PATIENT) is True
    kick.join()
    assert not event.is_set()


def test_t31_pulse_and_exception_in_a_handler(impl: ModuleType, handle: Handle) -> None:
    """The exception wins, and the other waiters have seen the pulse."""
    event = impl.Event()

    def pulse() -> None:
        event.set()
        event.clear()
        raise Interrupt

    handle(pulse)
    others = [start(event.wait, PATIENT) for _ in range(3)]
    kick = kick_when_parked(event, 4)
    with pytest.raises(Interrupt):
        event.wait(PATIENT)
    kick.join()
    assert [other.join() for other in others] == [True] * 3
    assert queued(event) == 0
