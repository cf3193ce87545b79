"""What the module leaves with the interpreter to be called around each fork."""

from __future__ import annotations

import os

import pytest
from concurrency import check_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def test_t35_handlers_of_forks_do_not_grow_with_the_objects() -> None:
    """One set of handlers for the package, none for an object; those of C are counted by nobody,
    and are set once for the process (`init_once` in core/fork.c)."""
    check_script(
        """
        import os
        registered, register = [], os.register_at_fork
        def count(**handlers):
            registered.append(handlers)
            register(**handlers)
        os.register_at_fork = count
        import pyfastlock
        assert len(registered) == 1, registered
        for _ in range(200):
            kept = [pyfastlock.Lock(), pyfastlock.RLock(), pyfastlock.Condition()]
            kept += [pyfastlock.Event(), pyfastlock.Semaphore(), pyfastlock.BoundedSemaphore()]
            kept.append(pyfastlock.Barrier(2))
            with kept[1], kept[2]:
                kept[2].wait(0)
        for _ in range(20):
            pyfastlock.patch()
            pyfastlock.unpatch()
            pid = fork()
            if pid == 0:
                leave_child(pyfastlock.Lock)
            join_child(pid)
        assert len(registered) == 1, registered
        """,
        "threading",
    )
