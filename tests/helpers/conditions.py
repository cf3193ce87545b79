"""Threads that wait on a condition: starting them, notifying them, and seeing which have ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support import DEADLINE, Started, parked, start, wait_until


def waiting(
    cond: Any, n: int = 1, wait: Callable[[], Any] | None = None, in_order: bool = True
) -> list[Started]:
    """`n` threads that are in `cond.wait()`, in the order in which they began to wait."""

    def body() -> Any:
        cond.acquire()
        try:
            return wait() if wait else cond.wait()
        finally:
            cond.release()

    threads = []
    for i in range(n):
        threads.append(start(body))
        if in_order:
            parked(cond, i + 1)
    parked(cond, n)
    return threads


def finished(threads: list[Started], n: int) -> list[Started]:
    """Wait until `n` of the threads have ended, and return them."""
    wait_until(lambda: sum(t.done for t in threads) >= n, message=f"{n} threads end")
    return [t for t in threads if t.done]


def notify_all(cond: Any) -> None:
    assert cond.acquire(True, DEADLINE)
    cond.notify_all()
    cond.release()
