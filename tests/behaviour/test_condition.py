"""Condition: what it does, over `threading.Condition` and over ours, over every kind of lock."""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
import warnings
import weakref

import pytest
from conditions import finished, notify_all, waiting
from support import (
    DEADLINE,
    fails_on_stdlib,
    held_elsewhere,
    parked,
    run_in_thread,
    start,
    try_in_thread,
    wait_until,
)

LOCKS = {
    "default": lambda m: (),
    "Lock": lambda m: (m.Lock(),),
    "RLock": lambda m: (m.RLock(),),
}
RECURSIVE = ["default", "RLock"]


@pytest.fixture(params=LOCKS)
def cond(impl, request):
    """A Condition over each lock of its own module."""
    return impl.Condition(*LOCKS[request.param](impl))


@pytest.fixture(params=RECURSIVE)
def recursive(impl, request):
    """A Condition over each recursive lock of its own module."""
    return impl.Condition(*LOCKS[request.param](impl))


# The lock


def test_acquire_and_release(cond):
    assert cond.acquire() is True
    assert cond._is_owned() is True
    assert not try_in_thread(cond)
    assert cond.release() is None
    assert cond._is_owned() is False
    assert try_in_thread(cond)


def test_context_manager(cond):
    with cond as value:
        assert value is True
        assert cond._is_owned()
        assert not try_in_thread(cond)
    assert try_in_thread(cond)
    with pytest.raises(LookupError):
        with cond:
            raise LookupError
    assert try_in_thread(cond)


def test_acquire_passes_its_arguments_on(cond):
    with held_elsewhere(cond):
        assert cond.acquire(False) is False
        assert cond.acquire(blocking=False) is False
        assert cond.acquire(timeout=0.01) is False
        assert cond.acquire(True, 0.01) is False
    assert cond.acquire(True, timeout=5) is True


@fails_on_stdlib(
    "Condition.locked() is new in 3.14", raises=AttributeError, when=sys.version_info < (3, 14)
)
def test_locked(cond):
    assert cond.locked() is False
    with cond:
        assert cond.locked() is True
        assert run_in_thread(cond.locked) is True
    assert cond.locked() is False


def test_the_default_lock_is_recursive(recursive):
    with recursive, recursive:
        assert recursive.acquire(False) is True
        recursive.release()
        assert recursive._is_owned()
    assert try_in_thread(recursive)


def test_a_condition_over_a_lock_is_not_recursive(impl):
    cond = impl.Condition(impl.Lock())
    with cond:
        assert cond.acquire(False) is False
        assert run_in_thread(cond._is_owned) is True, "a Lock does not know its owner"


def test_none_makes_a_new_recursive_lock(impl):
    cond, other = impl.Condition(None), impl.Condition(lock=None)
    assert cond._lock is not other._lock
    with cond, cond:
        assert type(cond._lock) is type(impl.RLock())
        assert not try_in_thread(cond)
        assert try_in_thread(other)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_lock_and_the_condition_are_one(impl, kind):
    lock = getattr(impl, kind)()
    cond = impl.Condition(lock)
    assert cond._lock is lock
    with lock:
        assert cond._is_owned()
        cond.notify()
        assert cond.wait(0) is False
        assert not try_in_thread(cond)
    with cond:
        assert not try_in_thread(lock)
    assert try_in_thread(lock)
    with impl.Condition(lock=lock):
        assert not try_in_thread(lock)


def test_the_lock_stays_alive(impl):
    cond = impl.Condition(impl.Lock())
    reference = weakref.ref(cond._lock)
    gc.collect()
    with cond:
        assert reference() is cond._lock
    del cond
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_release_save_and_acquire_restore(recursive, times):
    for _ in range(times):
        recursive.acquire()
    state = recursive._release_save()
    assert try_in_thread(recursive)
    assert not recursive._is_owned()
    assert recursive._acquire_restore(state) is None
    for _ in range(times):
        assert recursive._is_owned()
        recursive.release()
    assert not recursive._is_owned()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        recursive._release_save()


def test_release_save_and_acquire_restore_over_a_lock(impl):
    cond = impl.Condition(impl.Lock())
    cond.acquire()
    state = cond._release_save()
    assert state is None
    assert try_in_thread(cond)
    assert cond._acquire_restore(state) is None
    assert not try_in_thread(cond)


def test_at_fork_reinit(cond):
    cond.acquire()
    cond._at_fork_reinit()
    assert try_in_thread(cond)
    with cond:
        cond.notify_all()
        assert cond.wait(0) is False


# wait


@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, -1, -0.5, False, 1e-10, 0.01])
def test_wait_times_out(cond, timeout):
    with cond:
        before = time.monotonic()
        assert cond.wait(timeout) is False
        assert time.monotonic() - before >= timeout
        assert cond._is_owned()
    parked(cond, 0)
    assert try_in_thread(cond)


@pytest.mark.parametrize("timeout", [None, 30, 30.5, threading.TIMEOUT_MAX])
def test_wait_is_notified(cond, timeout):
    (waiter,) = waiting(cond, 1, lambda: (cond.wait(timeout), cond._is_owned()))
    assert try_in_thread(cond), "a thread that waits has released the lock"
    with cond:
        cond.notify()
        assert not waiter.done
    assert waiter.join() == (True, True)
    assert try_in_thread(cond)


@pytest.mark.parametrize("times", [1, 2, 1000])
@pytest.mark.parametrize("timeout", [None, 0, 0.01])
def test_t05_wait_restores_the_depth(recursive, times, timeout):
    def body():
        for _ in range(times):
            recursive.acquire()
        result = recursive.wait(timeout)
        for _ in range(times):
            assert recursive._is_owned()
            recursive.release()
        assert not recursive._is_owned()
        return result

    waiter = start(body)
    if timeout is None:
        parked(recursive)
        notify_all(recursive)
    assert waiter.join() is (timeout is None)
    assert try_in_thread(recursive)


def test_wait_and_notify_need_the_lock(cond):
    for call in (cond.wait, lambda: cond.wait(0), lambda: cond.wait_for(lambda: False)):
        with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
            call()
    for call in (cond.notify, cond.notify_all):
        with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
            call()
    parked(cond, 0)
    assert try_in_thread(cond)


def test_a_notification_is_not_kept(cond):
    with cond:
        cond.notify(5)
        cond.notify_all()
        assert cond.wait(0.01) is False


def test_many_waits_leave_nothing_behind(cond):
    with cond:
        for _ in range(200):
            assert cond.wait(0.0001) is False
    parked(cond, 0)
    (waiter,) = waiting(cond)
    with cond:
        cond.notify()
    assert waiter.join() is True


# notify


@pytest.mark.parametrize(
    ("n", "woken"),
    [
        (1, 1), (2, 2), (5, 5), (6, 5), (1000, 5), (2**31, 5), (2**32, 5), (2**63, 5), (2**100, 5),
        (0, 0), (-1, 0), (-(2**100), 0), (True, 1), (False, 0),
        (0.5, 1), (1.0, 1), (1.5, 2), (-0.5, 0), (float("inf"), 5), (float("-inf"), 0),
        (float("nan"), 0),
    ],
)  # fmt: skip
def test_t06_notify_n(impl, n, woken):
    cond = impl.Condition()
    threads = waiting(cond, 5)
    with cond:
        cond.notify(n)
    ended = finished(threads, woken)
    parked(cond, 5 - woken)
    assert ended == threads[:woken], "those who have waited the longest"
    assert sum(t.done for t in threads) == woken
    notify_all(cond)
    assert [t.join() for t in threads] == [True] * 5


@pytest.mark.parametrize("n", ["x", None, [], 1j])
def test_notify_a_wrong_number_wakes_nobody(cond, n):
    threads = waiting(cond, 2)
    with cond:
        with pytest.raises(TypeError):
            cond.notify(n)
        assert cond._is_owned()
    parked(cond, 2)
    assert not any(t.done for t in threads)
    notify_all(cond)
    assert [t.join() for t in threads] == [True, True]


def test_notify_wakes_in_the_order_of_arrival(cond):
    order = []

    def body(i):
        with cond:
            assert cond.wait(DEADLINE)
            order.append(i)

    threads = []
    for i in range(5):
        threads.append(start(body, i))
        parked(cond, i + 1)
    for i in range(5):
        with cond:
            cond.notify()
        wait_until(lambda i=i: len(order) == i + 1)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("waiters", [0, 1, 5, 50])
def test_notify_all(cond, waiters):
    threads = waiting(cond, waiters, in_order=False)
    with cond:
        assert cond.notify_all() is None
        assert not any(t.done for t in threads)
    assert [t.join() for t in threads] == [True] * waiters
    parked(cond, 0)


@pytest.mark.parametrize("waiters", [0, 3])
def test_notify_all_by_its_old_name(impl, waiters):
    cond = impl.Condition()
    threads = waiting(cond, waiters)
    with cond:
        with pytest.warns(DeprecationWarning, match="use notify_all") as warned:
            cond.notifyAll()
    assert [w.filename for w in warned] == [__file__]
    assert [t.join() for t in threads] == [True] * waiters


def test_the_old_name_as_an_error(impl):
    """The warning may be an exception: then nobody is notified."""
    cond = impl.Condition()
    threads = waiting(cond, 1)
    with cond, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            cond.notifyAll()
    parked(cond, 1)
    notify_all(cond)
    assert threads[0].join() is True


def test_notified_twice_before_the_release(cond):
    """Two notifications in one block reach two waiters."""
    threads = waiting(cond, 3)
    with cond:
        cond.notify()
        cond.notify()
    finished(threads, 2)
    parked(cond, 1)
    assert [t.done for t in threads] == [True, True, False]
    notify_all(cond)
    for thread in threads:
        assert thread.join() is True


def test_a_notified_thread_waits_for_the_lock(cond):
    (waiter,) = waiting(cond, 1, lambda: cond.wait(30))
    cond.acquire()
    cond.notify()
    assert not waiter.done
    assert cond._is_owned()
    cond.release()
    assert waiter.join() is True


def test_notify_and_wait_again_in_one_block(cond):
    """A thread that notifies and then waits does not take its own notification."""
    (first,) = waiting(cond, 1)
    with cond:
        cond.notify()
        assert cond.wait(0.05) is False
    assert first.join() is True


# wait_for


@pytest.mark.parametrize("timeout", [(), (None,), (0,), (5,), (-1,)])
def test_wait_for_what_is_true_already(cond, timeout):
    with cond:
        for value in (True, 1, "yes", [1], object()):
            assert cond.wait_for(lambda value=value: value, *timeout) is value
            assert cond._is_owned()


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.01, False])
def test_wait_for_what_never_becomes_true(cond, timeout):
    with cond:
        for value in (False, 0, "", [], None):
            before = time.monotonic()
            assert cond.wait_for(lambda value=value: value, timeout) is value
            assert time.monotonic() - before >= timeout
            assert cond._is_owned()
    parked(cond, 0)


def test_wait_for_what_is_true_does_not_need_the_lock(cond):
    assert cond.wait_for(lambda: "yes") == "yes"
    assert try_in_thread(cond)


@pytest.mark.parametrize("timeout", [None, 30])
def test_wait_for_a_value(cond, timeout):
    items = []
    asked = []

    def predicate():
        assert cond._is_owned()
        asked.append(len(items))
        return items if len(items) == 3 else []

    (waiter,) = waiting(cond, 1, lambda: cond.wait_for(predicate, timeout))
    for i in range(3):
        parked(cond)
        with cond:
            items.append(i)
            cond.notify()
        wait_until(lambda i=i: len(asked) >= i + 2)
    assert waiter.join() is items
    assert asked == [0, 1, 2, 3]


def test_t11_wait_for_keeps_its_deadline_through_notifications(cond):
    stop = threading.Event()

    def notifier():
        count = 0
        while not stop.is_set():
            with cond:
                cond.notify_all()
            count += 1
        return count

    noise = start(notifier)
    asked = []
    with cond:
        before = time.monotonic()
        assert cond.wait_for(lambda: asked.append(1), 0.2) is None
        assert 0.2 <= time.monotonic() - before < DEADLINE
        assert cond._is_owned()
    stop.set()
    assert noise.join() > 0


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_t11_predicate_raises(recursive, calls):
    """At once, or after so many notifications: the lock is held as before, nobody is queued."""
    done = []

    def predicate():
        if len(done) == calls:
            raise LookupError("from the predicate")
        done.append(1)
        return False

    def body():
        with recursive, recursive:
            with pytest.raises(LookupError, match="from the predicate"):
                recursive.wait_for(predicate, 30)
            assert recursive._is_owned()
            recursive.release()
            assert recursive._is_owned()
            recursive.acquire()
        assert not recursive._is_owned()

    waiter = start(body)
    for i in range(calls):
        wait_until(lambda i=i: len(done) == i + 1)
        parked(recursive)
        notify_all(recursive)
    waiter.join()
    parked(recursive, 0)
    assert try_in_thread(recursive)


class Untrue:
    def __bool__(self):
        raise LookupError("no truth in it")


def test_t11_predicate_whose_result_has_no_truth(cond):
    with cond:
        with pytest.raises(LookupError, match="no truth"):
            cond.wait_for(Untrue, 30)
        assert cond._is_owned()
    assert try_in_thread(cond)


def test_t11_predicate_that_notifies(cond):
    """Its notifications go to others: the thread itself does not wait yet."""
    (other,) = waiting(cond)
    asked = []

    def predicate():
        asked.append(1)
        cond.notify_all()
        return len(asked) > 5

    with cond:
        assert cond.wait_for(predicate, 0.05) is False
        assert cond._is_owned()
    assert other.join() is True
    assert len(asked) == 2


def test_t11_predicate_that_waits(cond):
    asked = []

    def predicate():
        asked.append(cond.wait(0.001))
        return len(asked) == 3

    def body():
        with cond:
            return cond.wait_for(predicate, DEADLINE)

    waiter = start(body)
    wait_until(lambda: (notify_all(cond), waiter.done)[1])
    assert waiter.join() is True
    assert len(asked) == 3
    assert try_in_thread(cond)


def test_t11_predicate_that_uses_another_condition_of_the_lock(impl):
    lock = impl.RLock()
    first, second = impl.Condition(lock), impl.Condition(lock)
    with first:
        assert first.wait_for(lambda: second.wait_for(lambda: False, 0.001), 0.01) is False
        assert first._is_owned()
    assert try_in_thread(lock)


def test_predicate_gets_no_arguments(cond):
    with cond:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            cond.wait_for(lambda x: x, 0)
        assert cond._is_owned()


# Several conditions on one lock


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_t10_a_notification_reaches_its_own_condition_only(impl, kind):
    lock = getattr(impl, kind)()
    conds = [impl.Condition(lock) for _ in range(3)]
    threads = [waiting(cond, 2) for cond in conds]
    with conds[1]:
        conds[1].notify()
        conds[1].notify()
    for thread in threads[1]:
        assert thread.join() is True
    for i in (0, 2):
        parked(conds[i], 2)
        assert not any(t.done for t in threads[i])
    with lock:
        conds[0].notify_all()
        conds[2].notify_all()
    for thread in threads[0] + threads[2]:
        assert thread.join() is True
    assert try_in_thread(lock)


@pytest.mark.parametrize("missing", ["acquire", "release"])
def test_a_lock_must_have(impl, missing):
    class Half:
        locked = None

    setattr(Half, "release" if missing == "acquire" else "acquire", lambda self: None)
    with pytest.raises(
        AttributeError, match=re.escape(f"'Half' object has no attribute '{missing}'")
    ):
        impl.Condition(Half())


# Objects


def test_instances_have_a_dict(impl):
    cond = impl.Condition()
    cond.name = "x"
    assert vars(cond)["name"] == "x"
    cond.__dict__.update(other=1)
    assert cond.other == 1
    del cond.name
    with pytest.raises(AttributeError):
        _ = cond.name


def test_attributes_by_the_methods_of_object(impl):
    class Child(impl.Condition):
        def __setattr__(self, name, value):
            object.__setattr__(self, name, value)

        def __delattr__(self, name):
            object.__delattr__(self, name)

    for cond in (Child(), impl.Condition()):
        cond.name = "x"
        object.__setattr__(cond, "other", 1)
        assert vars(cond)["name"] == "x"
        assert cond.other == 1
        del cond.name
        object.__delattr__(cond, "other")
        assert not {"name", "other"} & set(vars(cond))
        cond.__dict__ = {"new": 2}
        assert cond.new == 2


def test_weak_references(cond):
    reference = weakref.ref(cond)
    assert reference() is cond
    assert weakref.WeakSet([cond]).pop() is cond


def test_weak_reference_dies_with_the_condition(impl):
    cond = impl.Condition()
    reference = weakref.ref(cond)
    cond.acquire()
    del cond
    gc.collect()
    assert reference() is None


def test_a_cycle_is_collected(impl):
    cond = impl.Condition()
    cond.itself = cond
    cond.method = cond.wait
    reference = weakref.ref(cond)
    del cond
    gc.collect()
    assert reference() is None


def test_a_cycle_through_a_foreign_lock_is_collected(impl):
    class Child(type(impl.RLock())):
        pass

    lock = Child()
    cond = lock.cond = impl.Condition(lock)
    reference = weakref.ref(cond)
    del lock, cond
    gc.collect()
    assert reference() is None


def test_is_a_type(impl):
    assert isinstance(impl.Condition, type)
    assert type(impl.Condition()) is impl.Condition
    assert impl.Condition().__class__ is impl.Condition


def test_subclass_with_another_wait(impl):
    """wait_for() waits by wait(), also by one that is overridden."""

    class Child(impl.Condition):
        waits = 0

        def wait(self, timeout=None):
            self.waits += 1
            assert timeout is None or isinstance(timeout, (int, float))
            return super().wait(0.001)

    cond = Child()
    with cond:
        assert cond.wait() is False
        assert cond.waits == 1
        assert cond.wait_for(lambda: cond.waits >= 4) is True
        assert cond.waits == 4
        assert cond.wait_for(lambda: cond.waits >= 6, 30) is True
        assert cond.waits == 6


def test_instance_with_another_wait(impl):
    cond = impl.Condition()
    waits = []
    cond.wait = waits.append
    with cond:
        assert cond.wait_for(lambda: len(waits) == 3, 1) is True
    assert len(waits) == 3


@pytest.mark.parametrize("timeout", [30, None], ids=repr)
def test_another_wait_gets_the_timeout_and_then_what_is_left_of_it(impl, timeout):
    cond = impl.Condition()
    waits = []
    cond.wait = waits.append
    with cond:
        assert cond.wait_for(lambda: len(waits) == 3, timeout) is True
    assert waits[0] is timeout
    if timeout is None:
        assert waits == [None, None, None]
    else:
        assert timeout > waits[1] > waits[2] > 0


def test_subclass_with_another_notify(impl):
    """notify_all() notifies by notify(), notifyAll() by notify_all(), also if overridden."""

    class Child(impl.Condition):
        def notify(self, n=1):
            self.notified = n
            super().notify(n)

    class GrandChild(Child):
        def notify_all(self):
            self.all = True
            super().notify_all()

    cond = GrandChild()
    (waiter,) = waiting(cond)
    with cond:
        with pytest.warns(DeprecationWarning, match="use notify_all"):
            cond.notifyAll()
    assert cond.all is True
    assert cond.notified >= 1
    assert waiter.join() is True


def test_subclass_with_another_context_manager(impl):
    class Child(impl.Condition):
        def __enter__(self):
            super().__enter__()
            return self

        def __exit__(self, kind, value, traceback):
            super().__exit__(kind, value, traceback)
            return kind is LookupError

    cond = Child()
    with cond as value:
        assert value is cond
        assert cond._is_owned()
        assert cond.wait(0) is False
        raise LookupError
    assert not cond._is_owned()
    with pytest.raises(KeyError):
        with cond:
            raise KeyError
    assert try_in_thread(cond)


def test_subclass_with_another_init(impl):
    class Child(impl.Condition):
        def __init__(self, name, *, lock=None):
            super().__init__(lock)
            self.name = name

    lock = impl.Lock()
    cond = Child("x", lock=lock)
    assert cond.name == "x"
    with cond:
        assert lock.locked()
        assert cond.wait(0) is False
    other = Child("y")
    with other, other:
        assert other._is_owned()


def test_subclass_over_a_lock_is_notified(impl):
    class Child(impl.Condition):
        pass

    cond = Child(impl.Lock())
    threads = waiting(cond, 3)
    with cond:
        cond.notify(2)
    finished(threads, 2)
    notify_all(cond)
    assert [t.join() for t in threads] == [True] * 3


def test_always_true(cond):
    assert cond
    with cond:
        assert cond


def test_destroyed_while_held(impl):
    """It goes at once, and so does its lock; the lock stays held where somebody else has it."""
    for _ in range(100):
        cond = impl.Condition()
        assert not cond._is_owned()
        cond.acquire()
        references = weakref.ref(cond), weakref.ref(cond._lock)
        del cond
        assert [reference() for reference in references] == [None, None]
    lock = impl.Lock()
    impl.Condition(lock).acquire()
    assert lock.locked()


def test_repr_counts_the_waiters(impl):
    cond = impl.Condition(impl.Lock())
    assert repr(cond) == f"<Condition({cond._lock!r}, 0)>"
    threads = waiting(cond, 3)
    assert repr(cond) == f"<Condition({cond._lock!r}, 3)>"
    with cond:
        cond.notify()
        assert repr(cond) == f"<Condition({cond._lock!r}, 2)>"
        assert "locked" in repr(cond)
    notify_all(cond)
    for thread in threads:
        thread.join()
    assert repr(cond) == f"<Condition({cond._lock!r}, 0)>"


def test_a_wait_without_init(impl):
    """A subclass forgot it, and says that it owns the lock."""

    class Forgetful(impl.Condition):
        def __init__(self):
            pass

        def _is_owned(self):
            return True

    for timeout in (None, 0, 0.01):
        with pytest.raises(AttributeError):
            Forgetful().wait(timeout)
