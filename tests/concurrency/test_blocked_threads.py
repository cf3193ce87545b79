"""Blocked threads sleep: what the process uses of the processor while everybody waits."""

from __future__ import annotations

import time
from types import ModuleType

from support import parked, start

THREADS = 25
SECONDS = 1.0
LIMIT = 0.25
"""Of a second: a single thread that spins would use all of it, and more than once."""


def test_blocked_threads_use_no_cpu(impl: ModuleType) -> None:
    """Some wait for a lock, some for a notification, some with a timeout, and so does main."""
    lock, condition, timed = impl.Lock(), impl.Condition(), impl.RLock()
    lock.acquire()

    def wait_for_lock() -> None:
        with lock:
            pass

    def wait_for_notification() -> bool:
        with condition:
            return bool(condition.wait())

    def wait_with_timeout() -> bool:
        return bool(timed.acquire(timeout=600) and (timed.release() or True))

    timed.acquire()
    targets = (wait_for_lock, wait_for_notification, wait_with_timeout)
    threads = [start(target) for _ in range(THREADS) for target in targets]
    for primitive in (lock, condition, timed):
        parked(primitive, THREADS)
    begin = time.process_time()
    assert not lock.acquire(timeout=SECONDS)
    used = time.process_time() - begin
    lock.release()
    timed.release()
    with condition:
        condition.notify_all()
    for thread in threads:
        assert thread.join() in (None, True)
    assert used < LIMIT * SECONDS
