"""Functions that trace and profile, and which use locks themselves, between all steps."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from concurrency import check_script


@pytest.mark.parametrize("how", ["settrace", "setprofile", "monitoring"])
def test_t42_tracing_functions_use_the_locks(impl: ModuleType, how: str) -> None:
    if how == "monitoring" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is new in 3.12")
    check_script(
        f"""
        how = {how!r}
        THREADS, ROUNDS = 4, 50
        spy, seen = impl.RLock(), [0]
        lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
        event, semaphore, barrier = impl.Event(), impl.BoundedSemaphore(2), impl.Barrier(THREADS)
        counted = [0, 0, 0]

        def look(*_):
            with spy:
                seen[0] += 1
            return look

        def use():
            for _ in range(ROUNDS):
                with lock:
                    counted[0] += 1
                with rlock, rlock:
                    counted[1] += 1
                with cond:
                    counted[2] += 1
                    cond.notify()
                    cond.wait(0.0001)
                with semaphore:
                    event.set()
                    event.clear()
                    event.wait(0.0001)
                barrier.wait(DEADLINE)

        if how == "monitoring":
            import sys
            events = sys.monitoring.events
            sys.monitoring.use_tool_id(3, "the test")
            for one in (events.LINE, events.CALL, events.C_RETURN, events.PY_RETURN):
                sys.monitoring.register_callback(3, one, look)
            for code in (use.__code__,):
                sys.monitoring.set_local_events(3, code, events.LINE | events.CALL)
            body = use
        else:
            def body():
                getattr(sys, how)(look)
                use()
                getattr(sys, how)(None)

        threads = [start(body) for _ in range(THREADS)]
        for thread in threads:
            thread.join()
        assert counted == [THREADS * ROUNDS] * 3, counted
        assert seen[0] > THREADS * ROUNDS * 4, seen
        assert queued(cond) == queued(event) == queued(semaphore) == queued(barrier) == 0
        assert semaphore.acquire(False) and semaphore.acquire(False)
        for free in (lock, rlock, cond, spy):
            assert try_in_thread(free)
        """,
        impl,
    )
