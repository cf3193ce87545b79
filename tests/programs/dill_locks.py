"""dill saves locks by their type, and what is built over them by its `__dict__`."""

from __future__ import annotations

import _thread
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import dill
import pytest

KINDS: dict[str, Callable[[], Any]] = {
    "Lock": threading.Lock,
    "RLock": threading.RLock,
    "Condition": threading.Condition,
    "Condition over a Lock": lambda: threading.Condition(threading.Lock()),
    "Event": threading.Event,
    "Semaphore": threading.Semaphore,
    "BoundedSemaphore": lambda: threading.BoundedSemaphore(2),
    "Barrier": lambda: threading.Barrier(2),
    "Queue": queue.Queue,
    "PriorityQueue": queue.PriorityQueue,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_trip(kind: str) -> None:
    original = KINDS[kind]()
    copies = dill.loads(dill.dumps({"one": original, "same": original}))
    assert isinstance(copies["one"], type(original))
    assert copies["one"] is copies["same"]
    assert copies["one"] is not original


# Not of these two: up to Python 3.13, nobody can take the copy that dill makes of a free RLock.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("RLock", "Condition")])
def test_a_copy_works(kind: str) -> None:
    copy = dill.copy(KINDS[kind]())
    if isinstance(copy, queue.Queue):
        copy.put(1)
        assert copy.get(timeout=1) == 1
    elif isinstance(copy, threading.Event):
        copy.set()
        assert copy.wait(0)
    elif isinstance(copy, threading.Barrier):
        other = threading.Thread(target=copy.wait, args=(30,))
        other.start()
        assert copy.wait(30) in (0, 1)
        other.join()
    else:
        assert copy.acquire(timeout=1)
        copy.release()


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("module", [threading, _thread], ids=["threading", "_thread"])
def test_a_lock_is_as_it_was(module: Any, locked: bool) -> None:
    lock = module.allocate_lock() if module is _thread else threading.Lock()
    if locked:
        lock.acquire()
    assert dill.loads(dill.dumps(lock)).locked() == locked


@pytest.mark.parametrize("module", [threading, _thread], ids=["threading", "_thread"])
def test_an_rlock_is_as_it_was(module: Any) -> None:
    lock = module.RLock()
    assert not dill.copy(lock)._is_owned()
    with lock, lock:
        copy = dill.copy(lock)
        assert copy._is_owned()
        assert "count=2" in repr(copy)


def test_values() -> None:
    event = threading.Event()
    event.set()
    assert dill.copy(event).is_set()
    semaphore = dill.copy(threading.Semaphore(2))
    assert [semaphore.acquire(False) for _ in range(3)] == [True, True, False]
    assert dill.copy(threading.Barrier(3)).parties == 3
    filled: queue.Queue[int] = queue.Queue()
    filled.put(7)
    assert dill.copy(filled).get(timeout=1) == 7


def test_a_closure_and_an_object() -> None:
    lock = threading.Lock()

    class Counter:
        def __init__(self) -> None:
            self.changed = threading.Condition(threading.Lock())
            self.count = 0

        def add(self) -> int:
            with lock, self.changed:
                self.count += 1
                self.changed.notify_all()
                return self.count

    counter = dill.loads(dill.dumps(Counter(), recurse=True))
    assert counter.add() == 1
    assert counter.add() == 2


def test_a_process_that_is_not_patched_loads_them() -> None:
    saved = dill.dumps([threading.Lock(), threading.RLock()])
    program = """
import sys, _thread, dill
lock, rlock = dill.loads(sys.stdin.buffer.read())
assert type(lock) is _thread.LockType, lock
assert type(rlock) is _thread.RLock, rlock
assert "pyfastlock" not in sys.modules
"""
    subprocess.run([sys.executable, "-E", "-c", program], input=saved, check=True, timeout=60)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition", "Event", "Semaphore"])
def test_pickle_refuses_still(kind: str) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(KINDS[kind]())


@pytest.mark.parametrize("name", ["test_threads", "test_extendpickle", "test_classdef"])
def test_its_own_tests(name: str) -> None:
    """They are programs."""
    done = subprocess.run(
        [sys.executable, "-m", f"dill.tests.{name}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
