"""Pools of processes, as celery starts them: their semaphore is a subclass of threading's."""

from __future__ import annotations

import threading
from typing import Any

import billiard
import pytest
from billiard.pool import LaxBoundedSemaphore

LIMIT_S = 40


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("putlocks", [False, True])
def test_a_pool(method: str, putlocks: bool) -> None:
    pool: Any = billiard.get_context(method).Pool(2, putlocks=putlocks)
    try:
        results = [pool.apply_async(square, (number,)) for number in range(20)]
        assert [result.get(LIMIT_S) for result in results] == [n * n for n in range(20)]
        assert pool.map_async(square, range(4)).get(LIMIT_S) == [0, 1, 4, 9]
        pool.close()
    finally:
        pool.terminate()
        pool.join()


def test_its_semaphore() -> None:
    semaphore = LaxBoundedSemaphore(1)
    assert semaphore.acquire(False)
    assert not semaphore.acquire(False)
    semaphore.grow()
    assert semaphore.acquire(False)
    waiting = threading.Thread(target=semaphore.acquire)
    waiting.start()
    semaphore.release()
    waiting.join(LIMIT_S)
    assert not waiting.is_alive()
    for _ in range(5):
        semaphore.release()
    assert [semaphore.acquire(False) for _ in range(3)] == [True, True, False]
    semaphore.clear()
    assert semaphore.acquire(False)


def pass_barrier(barrier: Any) -> None:
    barrier.wait(LIMIT_S)


def test_a_barrier() -> None:
    context = billiard.get_context("fork")
    barrier = context.Barrier(2)
    process = context.Process(target=pass_barrier, args=(barrier,))
    process.start()
    assert barrier.wait(LIMIT_S) in (0, 1)
    process.join(LIMIT_S)
    assert process.exitcode == 0
