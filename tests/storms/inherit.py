"""What a forked child does with what it has inherited, and with what it makes itself."""

from __future__ import annotations

import os
import random
import threading
import time
from types import ModuleType
from typing import Any

from limits import PATIENCE
from throng import ActionFailed, Things, queued, use_together


def use_inherited(things: Things, rng: random.Random) -> None:
    """Use, in a child, what threads that are not there hold and wait for.

    A lock that one of them holds is never free again; whatever does not need one works at once.
    """
    for exclusion in (things.lock, things.rlock):
        if exclusion.lock.acquire(False):
            exclusion.inside()
            if rng.random() < 0.3:
                hand_over(exclusion.lock)
            else:
                exclusion.lock.release()
        elif exclusion.lock.acquire(True, 0.001):
            raise AssertionError("a lock that nobody releases was released")
    for tokens in things.tokens:
        if tokens.cond.acquire(False):
            tokens.cond.notify_all()
            if tokens.cond.wait(0.0005):
                raise AssertionError("wait() returned True, and nobody is there who could notify")
            tokens.cond.release()
    if things.never.wait(0.0005):
        raise AssertionError("wait() for an event that is never set returned True")
    things.event.set()
    if not things.event.wait(0):
        raise AssertionError("wait() for an event that is set returned False")
    things.event.clear()
    before = things.semaphore._value
    things.semaphore.release(2)
    if things.semaphore._value != before + 2:
        raise AssertionError(f"{things.semaphore._value} permits after {before} and 2")
    while things.semaphore.acquire(False):
        before -= 1
    if before != -2 or things.semaphore.acquire(True, 0.0005):
        raise AssertionError("a semaphore has lost or made permits")
    while things.bounded.acquire(False):
        pass
    things.bounded.release()
    try:
        # Those who have arrived are not there, and nobody who is could end its action.
        things.barrier.wait(0.0005)
    except (threading.BrokenBarrierError, ActionFailed):
        pass
    except RuntimeError as error:
        if "action" not in str(error):  # this thread runs it, and a signal handler forked
            raise
    things.barrier.reset()
    if things.barrier.n_waiting != 0 or things.barrier.broken:
        raise AssertionError("somebody waits who is not there")
    for slot in things.slots:
        if slot.acquire(False):
            slot.release()
    things.slots.clear()
    if rng.random() < 0.3:
        make_usable(things)
        use_together(things)


def hand_over(lock: Any) -> None:
    """Release a lock, which this thread holds, while another one waits for it."""

    def take() -> None:
        lock.acquire()
        lock.release()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while queued(lock) == 0 and time.monotonic() < deadline:
        if not type(lock).__module__.startswith("pyfastlock"):
            break
        time.sleep(0.0001)
    lock.release()
    while hasattr(lock, "_is_owned") and lock._is_owned():
        lock.release()  # the thread may have held it already, where a signal handler forked
    thread.join(PATIENCE)
    if thread.is_alive():
        raise AssertionError("a lock was released, and the thread that waits for it sleeps on")


def make_usable(things: Things) -> None:
    """Free the locks that threads hold which are not there, as `threading` itself does."""
    things.lock.lock._at_fork_reinit()
    things.rlock.lock._at_fork_reinit()
    things.loose._at_fork_reinit()
    for tokens in things.tokens:
        tokens.cond._at_fork_reinit()


def use_everything(impl: ModuleType, things: Things, rng: random.Random) -> None:
    """All that a forked child does: with the old, with the new, now and then with a grandchild."""
    use_inherited(things, rng)
    if rng.random() < 0.3:
        use_together(Things(impl))
    if rng.random() < 0.1:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                use_together(Things(impl))
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise AssertionError(f"the grandchild's status is {status}")
    if threading.active_count() > 4:
        raise AssertionError("threads of the parent are said to be there")
