"""Parts of the standard library that are built from `threading`'s classes, or change them."""

from __future__ import annotations

import _thread
import logging
import logging.handlers
import multiprocessing
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest

LIMIT_S = 30


def pass_barrier(barrier: Any, passed: Any) -> None:
    barrier.wait(LIMIT_S)
    passed.put(barrier.wait(LIMIT_S))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_barrier(method: str) -> None:
    """Its class is a subclass of threading.Barrier that never calls `__init__`."""
    context: Any = multiprocessing.get_context(method)
    barrier, passed = context.Barrier(3), context.Queue()
    others = [context.Process(target=pass_barrier, args=(barrier, passed)) for _ in range(2)]
    for process in others:
        process.start()
    assert barrier.wait(LIMIT_S) in range(3)
    mine = barrier.wait(LIMIT_S)
    assert {mine, passed.get(timeout=LIMIT_S), passed.get(timeout=LIMIT_S)} == {0, 1, 2}
    for process in others:
        process.join(LIMIT_S)
        assert process.exitcode == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_barrier_that_breaks(method: str) -> None:
    barrier = multiprocessing.get_context(method).Barrier(2)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken
    assert (barrier.parties, barrier.n_waiting) == (2, 0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_queue_and_pool(method: str) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map_async(abs, range(-4, 4)).get(LIMIT_S) == [4, 3, 2, 1, 0, 1, 2, 3]
    with context.Manager() as manager:
        event = manager.Event()
        event.set()
        assert event.wait(LIMIT_S)
        condition = manager.Condition()
        with condition:
            assert not condition.wait(0.01)
        assert manager.Barrier(1).wait(LIMIT_S) == 0


def test_a_patched_method() -> None:
    event = threading.Event()
    with mock.patch("threading.Event.wait", return_value="waited") as wait:
        assert event.wait(5) == "waited"
        assert threading.Event().wait() == "waited"
    assert wait.mock_calls == [mock.call(5), mock.call()]
    assert event.wait(0) is False


def test_an_autospecced_patched_method() -> None:
    condition = threading.Condition()
    with mock.patch.object(threading.Condition, "wait", autospec=True, return_value=True) as wait:
        with condition:
            assert condition.wait_for(lambda: wait.called, 1)
    assert wait.call_args.args[0] is condition


def test_a_method_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    acquired = []
    acquire = threading.Semaphore.acquire

    def counting(self: threading.Semaphore, *args: Any, **kwargs: Any) -> bool:
        acquired.append(self)
        return acquire(self, *args, **kwargs)

    monkeypatch.setattr(threading.Semaphore, "acquire", counting)
    semaphore = threading.Semaphore()
    assert semaphore.acquire()
    assert acquired == [semaphore]


def test_autospecs() -> None:
    for kind in (threading.Event, threading.Condition, threading.Semaphore):
        assert mock.create_autospec(kind, instance=True) is not None
    with pytest.raises(TypeError):
        mock.create_autospec(threading.Event, instance=True).wait(1, 2, 3)


def test_kinds_of_locks() -> None:
    lock_types = (type(threading.Lock()), type(threading.RLock()))
    made_early = threading.current_thread()._started._cond._lock  # type: ignore[attr-defined]
    for lock in (threading.Lock(), threading.RLock(), _thread.allocate_lock(), _thread.RLock()):
        assert isinstance(lock, lock_types)
    assert isinstance(made_early, lock_types)
    assert isinstance(threading.Lock(), _thread.LockType)
    assert isinstance(threading.RLock(), _thread.RLock)
    assert not isinstance(threading.Condition(), lock_types)


def test_the_waiters_of_a_queue() -> None:
    filled: queue.Queue[int] = queue.Queue()
    with ThreadPoolExecutor(2) as executor:
        both = [executor.submit(filled.get, timeout=LIMIT_S) for _ in range(2)]
        until = time.monotonic() + LIMIT_S
        while len(filled.not_empty._waiters) < 2:  # type: ignore[attr-defined]
            assert time.monotonic() < until
            time.sleep(0.001)
        filled.put(1)
        filled.put(2)
        assert sorted(one.result(LIMIT_S) for one in both) == [1, 2]


def test_logging_in_threads() -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    logger = logging.Logger("programs")
    logger.addHandler(logging.handlers.QueueHandler(records))
    kept: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    listener = logging.handlers.QueueListener(records, Keeping())
    listener.start()
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(logger.warning, map(str, range(100))))
    listener.stop()
    assert sorted(kept, key=int) == [str(number) for number in range(100)]
