"""Forks: in the child only the thread that forked is left, and every lock must be usable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from types import ModuleType
from typing import Any

import pytest
from concurrency import (
    Interrupt,
    check_script,
    fork,
    ignore_signal,
    in_child,
    join_child,
    kick_when_parked,
    leave_child,
    make_lock,
    on_signal,
    patience,
    queued,
)
from support import (
    DEADLINE,
    fails_on_stdlib,
    held_elsewhere,
    is_ours,
    parked,
    run_in_thread,
    start,
    try_in_thread,
    wait_until,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

OURS = ["Lock", "RLock"]


def use(lock: Any) -> None:
    """Take and give back a free lock in every way, here and in a new thread."""
    assert lock.acquire(False)
    lock.release()
    assert lock.acquire(timeout=1)
    assert not run_in_thread(lambda: lock.acquire(timeout=0.01))
    waiter = start(lambda: lock.acquire(timeout=DEADLINE) and lock.release() is None)
    parked(lock)
    lock.release()
    assert waiter.join() is True
    with lock:
        pass
    assert queued(lock) == 0


def use_condition(cond: Any) -> None:
    """Wait and notify, in the calling thread and in a new one."""

    def wait() -> bool:
        with cond:
            return cond.wait(DEADLINE)

    with cond:
        assert cond.wait(0.01) is False
    waiter = start(wait)
    parked(cond)
    with cond:
        cond.notify(1)
    assert waiter.join() is True
    notifier = start(lambda: (parked(cond), cond.acquire(), cond.notify_all(), cond.release()))
    with cond:
        assert cond.wait(DEADLINE) is True
    notifier.join()
    assert queued(cond) == 0


@pytest.mark.parametrize("kind", OURS)
def test_t34_fork_with_a_free_lock(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)
    use(lock)
    in_child(lambda: use(lock))
    use(lock)


@pytest.mark.parametrize("kind", OURS)
def test_t14_t34_lock_held_by_another_thread_at_fork(impl: ModuleType, kind: str) -> None:
    lock = make_lock(impl, kind)

    def child() -> None:
        assert "unlocked" not in repr(lock)
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.02) is False
        lock._at_fork_reinit()
        assert "unlocked" in repr(lock)
        use(lock)

    with held_elsewhere(lock):
        in_child(child)
        assert lock.acquire(False) is False
    use(lock)


def test_t34_condition_held_by_another_thread_at_fork(impl: ModuleType) -> None:
    cond = impl.Condition()

    def child() -> None:
        assert cond.acquire(False) is False
        cond._at_fork_reinit()
        use_condition(cond)

    with held_elsewhere(cond):
        in_child(child)
    use_condition(cond)


def test_t34_rlock_held_by_the_forking_thread(impl: ModuleType) -> None:
    lock = impl.RLock()

    def child() -> None:
        assert lock._is_owned()
        assert not run_in_thread(lambda: lock.acquire(timeout=0.01))
        lock.acquire()
        for _ in range(3):
            assert lock._is_owned()
            lock.release()
        assert not lock._is_owned()
        with pytest.raises(RuntimeError):
            lock.release()
        use(lock)

    with lock, lock:
        in_child(child)
        assert lock._is_owned()
    assert not lock._is_owned()
    use(lock)


def test_t34_lock_held_by_the_forking_thread(impl: ModuleType) -> None:
    lock = impl.Lock()

    def child() -> None:
        assert lock.acquire(False) is False
        lock.release()
        use(lock)

    with lock:
        in_child(child)
    use(lock)


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("waiters", [1, 5])
def test_t34_lock_with_waiters_at_fork(impl: ModuleType, kind: str, waiters: int) -> None:
    """The waiters do not exist in the child: a release there must not give them the lock."""
    lock = make_lock(impl, kind)

    def child() -> None:
        assert queued(lock) == 0
        lock.release()
        use(lock)

    lock.acquire()
    threads = [
        start(lambda: lock.acquire(timeout=DEADLINE) and lock.release() is None)
        for _ in range(waiters)
    ]
    parked(lock, waiters)
    in_child(child)
    lock.release()
    assert [thread.join() for thread in threads] == [True] * waiters
    use(lock)


@fails_on_stdlib("a notification in the child goes to a waiter that was left behind")
@pytest.mark.parametrize("kind", ["Lock", "RLock", "foreign"])
def test_t34_condition_with_waiters_at_fork(impl: ModuleType, kind: str) -> None:
    cond = impl.Condition(make_lock(impl, kind))

    def wait() -> bool:
        with cond:
            return cond.wait(DEADLINE)

    def child() -> None:
        if is_ours(cond):
            assert queued(cond) == 0
        before = queued(cond)
        waiter = start(wait)
        wait_until(lambda: queued(cond) == before + 1)
        with cond:
            cond.notify(1)
        wait_until(lambda: waiter.done, patience(cond))
        assert waiter.join() is True
        use_condition(cond)

    threads = [start(wait) for _ in range(2)]
    parked(cond, 2)
    try:
        in_child(child)
    finally:
        with cond:
            cond.notify_all()
        assert [thread.join() for thread in threads] == [True] * 2
    use_condition(cond)


def test_t34_condition_with_notified_waiters_at_fork(impl: ModuleType) -> None:
    """Notified, and queued for the lock that the forking thread holds."""
    lock = impl.Lock()
    cond = impl.Condition(lock)

    def wait() -> bool:
        with cond:
            return cond.wait(DEADLINE)

    def child() -> None:
        assert queued(lock) == 0
        cond.release()
        use(lock)

    threads = [start(wait) for _ in range(3)]
    parked(cond, 3)
    cond.acquire()
    cond.notify_all()
    in_child(child)
    cond.release()
    assert [thread.join() for thread in threads] == [True] * 3


@pytest.mark.parametrize("kind", OURS)
def test_t34_fork_in_a_thread(impl: ModuleType, kind: str) -> None:
    """The thread that forked is the main thread of the child, and signals interrupt it there."""
    lock = make_lock(impl, kind)
    cond = impl.Condition(impl.RLock())

    handled: list[int] = []

    def interrupt(signum: int, _: object) -> None:
        handled.append(signum)
        raise Interrupt

    def child() -> None:
        assert threading.current_thread() is threading.main_thread()
        use(lock)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGUSR2, interrupt)
        main = threading.get_ident()

        def kick(obj: Any) -> None:
            before = len(handled)
            parked(obj)
            signal.pthread_kill(main, signal.SIGUSR2)
            while not is_ours(obj) and len(handled) == before:
                # The stdlib misses a signal that arrives a moment before the thread sleeps.
                time.sleep(0.02)
                signal.pthread_kill(main, signal.SIGUSR1)

        run_in_thread(lock.acquire)
        kicker = start(kick, lock)
        with pytest.raises(Interrupt):
            lock.acquire(timeout=DEADLINE)
        kicker.join()
        kicker = start(kick, cond)
        with cond, pytest.raises(Interrupt):
            cond.wait(DEADLINE)
        kicker.join()

    run_in_thread(lambda: in_child(child))
    use(lock)


def test_t19_t36_owners_of_the_child_are_its_own(impl: ModuleType) -> None:
    """A thread that the child starts is not the owner of what a thread of the parent held."""
    lock = impl.RLock()

    def child() -> None:
        for _ in range(20):
            assert not run_in_thread(lambda: lock._is_owned() or lock.acquire(False))

    with held_elsewhere(lock):
        if impl is threading:
            pytest.skip("a new thread may have the ident of one that the parent still has")
        in_child(child)


def test_t36_preexec_fn_uses_what_the_parent_holds(impl: ModuleType) -> None:
    """`subprocess` calls it in a forked child, where the thread that forked is the owner."""
    rlock, lock = impl.RLock(), impl.Lock()

    def before_exec() -> None:
        assert rlock._is_owned()
        rlock.release()
        use(rlock)
        lock._at_fork_reinit()
        use(lock)

    with held_elsewhere(lock), rlock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads
        subprocess.run([sys.executable, "-c", ""], preexec_fn=before_exec, check=True)


def test_t34_fork_in_a_child(impl: ModuleType) -> None:
    lock = impl.RLock()
    cond = impl.Condition(lock)

    def grandchild() -> None:
        assert lock._is_owned()
        lock.release()
        use(lock)
        use_condition(cond)

    def child() -> None:
        assert lock._is_owned()
        in_child(grandchild)
        lock.release()
        use(lock)

    with lock:
        in_child(child)


def test_t34_at_fork_handlers_use_the_locks(impl: ModuleType) -> None:
    check_script(
        """
        lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()

        def reinit():
            for thing in (lock, rlock, cond):
                thing._at_fork_reinit()

        os.register_at_fork(before=lambda: (lock.acquire(), rlock.acquire(), cond.acquire()),
                            after_in_parent=lambda: (lock.release(), rlock.release(),
                                                     cond.release()),
                            after_in_child=reinit)
        for _ in range(3):
            pid = fork()
            if pid == 0:
                def child():
                    for thing in (lock, rlock, cond):
                        assert thing.acquire(False)
                        thing.release()
                leave_child(child)
            join_child(pid)
            for thing in (lock, rlock, cond):
                assert thing.acquire(False)
                thing.release()
        """,
        impl,
    )


def test_t34_reinit_keeps_weak_references_and_identity(impl: ModuleType) -> None:
    for kind in OURS:
        lock = make_lock(impl, kind)
        cond = impl.Condition(lock)
        lock.acquire()
        lock._at_fork_reinit()
        with cond:
            cond.notify()
        lock.acquire()
        cond._at_fork_reinit()
        with cond:
            assert cond.wait(0) is False


def test_t34_forks_while_other_threads_use_everything(impl: ModuleType) -> None:
    """At any moment a fork may happen: also while another thread is inside of a queue."""
    locks = [impl.Lock() for _ in range(4)] + [impl.RLock() for _ in range(4)]
    cond = impl.Condition()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            for lock in locks:
                if lock.acquire(timeout=0.0001):
                    lock.release()
            with cond:
                cond.notify()
                cond.wait(0.0001)

    def child() -> None:
        fresh, fresh_cond = impl.RLock(), impl.Condition()
        use(fresh)
        with fresh_cond:
            assert fresh_cond.wait(0.001) is False
        for lock in locks:
            assert lock.acquire(timeout=0.0001) in (True, False)
            lock._at_fork_reinit()
            assert lock.acquire(False)
        cond._at_fork_reinit()
        with cond:
            cond.notify_all()
            assert cond.wait(0.001) is False

    threads = [start(busy) for _ in range(3)]
    try:
        for _ in range(12):
            in_child(child)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for lock in locks:
        use(lock)


# T14: the handler of a signal forks.


@pytest.mark.parametrize("kind", ["Lock", "RLock", "foreign"])
def test_t14_fork_in_a_handler_that_interrupts_wait(
    impl: ModuleType, kind: str, forking_handler: list[int]
) -> None:
    """In both processes the wait goes on, to its deadline in the child."""
    cond = impl.Condition(make_lock(impl, kind))
    cond.acquire()
    kicker = kick_when_parked(cond)
    began = time.monotonic()
    try:
        woken = cond.wait(0.25)
    finally:
        took = time.monotonic() - began

        def child() -> None:
            assert woken is False
            assert took >= 0.245
            assert not try_in_thread(cond)
            cond.release()
            use_condition(cond)

        if forking_handler == [0]:
            leave_child(child)
    kicker.join()
    join_child(*forking_handler)
    assert woken is False
    assert not try_in_thread(cond)
    cond.release()
    use_condition(cond)


@pytest.mark.parametrize("kind", OURS)
def test_t14_fork_in_a_handler_that_interrupts_acquire(
    impl: ModuleType, kind: str, forking_handler: list[int]
) -> None:
    """The child gives up at the deadline: nobody is left who could release the lock."""
    lock = make_lock(impl, kind)
    with held_elsewhere(lock) as holder:
        kicker = kick_when_parked(lock)
        got = None
        try:
            got = lock.acquire(timeout=0.25)
        finally:

            def child() -> None:
                assert got is False
                assert queued(lock) == 0
                lock._at_fork_reinit()
                use(lock)

            if forking_handler == [0]:
                leave_child(child)
        kicker.join()
        join_child(*forking_handler)
        assert got is False
        holder.let_go()
    use(lock)


@fails_on_stdlib(
    "acquire() stays with what the lock was before",
    when=sys.version_info < (3, 14),
    strict=False,
)
@pytest.mark.parametrize("kind", OURS)
def test_t14_handler_forks_and_makes_the_lock_free_in_the_child(
    impl: ModuleType, kind: str
) -> None:
    """The acquire that the handler interrupted succeeds in the child, and then in the parent."""
    lock = make_lock(impl, kind)
    pids: list[int] = []

    def fork_and_reinit() -> None:
        pids.append(fork())
        if pids == [0]:
            lock._at_fork_reinit()

    on_signal(fork_and_reinit)
    with held_elsewhere(lock) as holder:
        kicker = kick_when_parked(lock)
        releaser = start(lambda: (wait_until(lambda: pids), holder.let_go()))
        got = None
        try:
            got = lock.acquire(timeout=patience(lock, 0.5 if sys.version_info < (3, 14) else 10))
        finally:

            def child() -> None:
                assert got is True
                lock.release()
                use(lock)

            if pids == [0]:
                leave_child(child)
        ignore_signal()
        kicker.join()
        releaser.join()
        join_child(*pids)
        assert got is True
        lock.release()
    use(lock)


@pytest.mark.parametrize("kind", OURS)
def test_t14_handler_forks_and_raises(impl: ModuleType, kind: str) -> None:
    """Nothing is held and nobody queued, in both processes."""
    lock = make_lock(impl, kind)
    cond = impl.Condition(make_lock(impl, kind))
    pids: list[int] = []

    def fork_and_raise() -> None:
        pids.append(fork())
        raise Interrupt

    on_signal(fork_and_raise)
    with held_elsewhere(lock):
        kicker = kick_when_parked(lock)
        with pytest.raises(Interrupt):
            lock.acquire(timeout=DEADLINE)

        def child() -> None:
            assert queued(lock) == 0
            assert not lock.acquire(False)

        if pids == [0]:
            leave_child(child)
        kicker.join()
        join_child(pids.pop())

    cond.acquire()
    kicker = kick_when_parked(cond)
    with pytest.raises(Interrupt):
        cond.wait(DEADLINE)

    def waiting_child() -> None:
        assert queued(cond) == 0
        cond.release()
        use_condition(cond)

    if pids == [0]:
        leave_child(waiting_child)
    kicker.join()
    join_child(pids.pop())
    ignore_signal()
    cond.release()
    use_condition(cond)
