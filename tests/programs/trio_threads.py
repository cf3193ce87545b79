"""trio starts, and calls functions in threads and out of them."""

from __future__ import annotations

import threading

import trio

LIMIT_S = 30


def test_a_thread() -> None:
    async def main() -> tuple[int, int]:
        with trio.fail_after(LIMIT_S):
            return await trio.to_thread.run_sync(threading.get_ident), threading.get_ident()

    there, here = trio.run(main)
    assert there != here


def test_back_from_threads() -> None:
    async def add(numbers: list[int], number: int) -> None:
        numbers.append(number)

    async def main() -> list[int]:
        numbers: list[int] = []
        limiter = trio.CapacityLimiter(3)

        def work(number: int) -> None:
            trio.from_thread.run(add, numbers, number)
            trio.from_thread.run_sync(numbers.append, -number)

        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                for number in range(1, 21):
                    nursery.start_soon(
                        lambda number: trio.to_thread.run_sync(work, number, limiter=limiter),
                        number,
                    )
        return numbers

    numbers = trio.run(main)
    assert sorted(numbers) == [*range(-20, 0), *range(1, 21)]


def test_a_lock_held_by_a_thread() -> None:
    lock = threading.Lock()

    async def main() -> int:
        count = 0

        def work() -> None:
            nonlocal count
            for _ in range(100):
                with lock:
                    count += 1

        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(trio.to_thread.run_sync, work)
        return count

    assert trio.run(main) == 800
