"""Semaphore and BoundedSemaphore: what they do, over `threading` and over ours."""

from __future__ import annotations

import gc
import time
import weakref
from collections import Counter

import pytest
from support import DEADLINE, parked, run_in_thread, start, wait_until

import pyfastlock

KINDS = ["Semaphore", "BoundedSemaphore"]


def parked_on(semaphore, n=1):
    """Wait until `n` threads wait for a permit (the stdlib's has a Condition in it)."""
    parked(getattr(semaphore, "_cond", semaphore), n)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make(impl, kind):
    return getattr(impl, kind)


def empty(make, bound=1):
    """One that has no free permit."""
    semaphore = make(bound)
    for _ in range(bound):
        assert semaphore.acquire()
    return semaphore


def test_has_one_at_first(make):
    semaphore = make()
    assert semaphore._value == 1
    assert semaphore.acquire() is True
    assert semaphore._value == 0
    assert semaphore.acquire(False) is False
    assert semaphore.release() is None
    assert semaphore._value == 1


@pytest.mark.parametrize("value", [0, 1, 2, 7, 1000, True])
def test_has_as_many_as_are_wanted(make, value):
    for semaphore in (make(value), make(value=value)):
        assert semaphore._value == value
        for left in reversed(range(value)):
            assert semaphore.acquire(blocking=False) is True
            assert semaphore._value == left
        assert semaphore.acquire(blocking=False) is False
        assert semaphore.acquire(timeout=0) is False
        assert semaphore._value == 0
        for _ in range(value):
            semaphore.release()
        assert semaphore._value == value


def test_value_is_an_int(make):
    assert type(make()._value) is int
    assert type(make(5)._value) is int
    assert type(pyfastlock.Semaphore(True)._value) is int
    assert type(pyfastlock.BoundedSemaphore(True)._initial_value) is int


@pytest.mark.parametrize("blocking", [True, 1, "x", [0], 0.5])
def test_blocking_is_anything_that_is_true(make, blocking):
    semaphore = make(1)
    assert semaphore.acquire(blocking) is True
    assert semaphore.acquire(blocking, 0) is False
    assert semaphore.acquire(blocking=blocking, timeout=0.001) is False


@pytest.mark.parametrize("blocking", [False, 0, "", [], None, 0.0])
def test_not_blocking(make, blocking):
    semaphore = make(1)
    assert semaphore.acquire(blocking) is True
    assert semaphore.acquire(blocking) is False
    assert semaphore.acquire(blocking=blocking) is False
    assert semaphore.acquire(blocking, None) is False
    semaphore.release()
    assert semaphore.acquire(blocking=blocking, timeout=None) is True


@pytest.mark.parametrize("timeout", [None, 0, -1, 0.001, 1000, "not looked at"])
def test_acquire_of_a_free_one_returns_at_once(make, timeout):
    semaphore = make(3)
    assert semaphore.acquire(True, timeout) is True
    assert semaphore.acquire(timeout=timeout) is True
    assert semaphore.__enter__(timeout=timeout) is True
    assert semaphore._value == 0


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, 1e-10, False, -(10**10)])
def test_a_timeout_of_nearly_nothing(make, timeout):
    semaphore = empty(make)
    assert semaphore.acquire(True, timeout) is False
    assert semaphore.acquire(timeout=timeout) is False
    assert semaphore._value == 0


@pytest.mark.parametrize("timeout", [0.01, 0.05])
def test_timeout_passes(make, timeout):
    semaphore = empty(make)
    before = time.monotonic()
    assert semaphore.acquire(timeout=timeout) is False
    assert time.monotonic() - before >= timeout
    semaphore.release()
    assert semaphore._value == 1


@pytest.mark.parametrize("arguments", [(), (True,), (True, None), (True, DEADLINE)])
def test_release_wakes_who_waits(make, arguments):
    semaphore = empty(make)
    waiter = start(semaphore.acquire, *arguments)
    parked_on(semaphore)
    assert not waiter.done
    semaphore.release()
    assert waiter.join() is True
    assert semaphore._value == 0
    parked_on(semaphore, 0)


def test_timeout_max(impl, make):
    semaphore = empty(make)
    waiter = start(semaphore.acquire, timeout=impl.TIMEOUT_MAX)
    parked_on(semaphore)
    semaphore.release()
    assert waiter.join() is True


def test_any_thread_releases(make):
    semaphore = empty(make)
    assert run_in_thread(semaphore.release) is None
    assert semaphore._value == 1
    assert run_in_thread(semaphore.acquire) is True
    assert semaphore._value == 0


@pytest.mark.parametrize("n", [1, 2, 5])
def test_t32_release_of_some_wakes_as_many(make, n):
    semaphore = empty(make, 5)
    waiters = [start(semaphore.acquire, timeout=DEADLINE) for _ in range(5)]
    parked_on(semaphore, 5)
    assert semaphore.release(n) is None
    parked_on(semaphore, 5 - n)
    wait_until(lambda: sum(waiter.done for waiter in waiters) == n)
    assert semaphore._value == 0
    if n < 5:
        semaphore.release(n=5 - n)
    assert [waiter.join() for waiter in waiters] == [True] * 5
    assert semaphore._value == 0


def test_t32_release_of_more_than_wait(make):
    semaphore = empty(make, 5)
    waiters = [start(semaphore.acquire) for _ in range(2)]
    parked_on(semaphore, 2)
    semaphore.release(5)
    assert [waiter.join() for waiter in waiters] == [True] * 2
    assert semaphore._value == 3


@pytest.mark.parametrize("n", [1, 2, 100])
def test_release_of_some_when_nobody_waits(impl, n):
    semaphore = impl.Semaphore(0)
    semaphore.release(n)
    assert semaphore._value == n
    semaphore.release(n=n)
    assert semaphore._value == 2 * n


@pytest.mark.parametrize("n", [0, -1, -5, False, -(2**70)])
def test_release_of_none_or_less_raises(make, n):
    for semaphore in (make(2), empty(make, 2)):
        before = semaphore._value
        with pytest.raises(ValueError, match="n must be one or more"):
            semaphore.release(n)
        with pytest.raises(ValueError, match="n must be one or more"):
            semaphore.release(n=n)
        assert semaphore._value == before


def test_a_semaphore_grows(impl):
    semaphore = impl.Semaphore(1)
    for value in range(2, 50):
        semaphore.release()
        assert semaphore._value == value


# The bound


@pytest.mark.parametrize("bound", [0, 1, 2, 10])
def test_t32_the_bound_is_kept(impl, bound):
    semaphore = impl.BoundedSemaphore(bound)
    assert semaphore._initial_value == bound
    for _ in range(3):
        with pytest.raises(ValueError, match="Semaphore released too many times"):
            semaphore.release()
        assert semaphore._value == semaphore._initial_value == bound
    if bound:
        semaphore.acquire()
        semaphore.release()
        with pytest.raises(ValueError, match="Semaphore released too many times"):
            semaphore.release()
        assert semaphore._value == bound


@pytest.mark.parametrize(("taken", "n"), [(0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (3, 1000)])
def test_t32_a_release_beyond_the_bound_does_nothing(impl, taken, n):
    semaphore = impl.BoundedSemaphore(3)
    for _ in range(taken):
        semaphore.acquire()
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        semaphore.release(n)
    assert semaphore._value == 3 - taken
    if taken:
        semaphore.release(taken)
    assert semaphore._value == 3


def test_t32_a_release_beyond_the_bound_wakes_nobody(impl):
    semaphore = empty(impl.BoundedSemaphore, 2)
    waiter = start(semaphore.acquire)
    parked_on(semaphore)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        semaphore.release(3)
    parked_on(semaphore)
    assert not waiter.done
    assert semaphore._value == 0
    semaphore.release(2)
    assert waiter.join() is True
    assert semaphore._value == 1


def test_a_bounded_one_is_a_semaphore(impl):
    assert issubclass(impl.BoundedSemaphore, impl.Semaphore)
    assert not issubclass(impl.Semaphore, impl.BoundedSemaphore)
    assert isinstance(impl.BoundedSemaphore(), impl.Semaphore)
    assert not isinstance(impl.Semaphore(), impl.BoundedSemaphore)
    assert impl.BoundedSemaphore.__mro__ == (impl.BoundedSemaphore, impl.Semaphore, object)
    assert not hasattr(impl.Semaphore(), "_initial_value")


def test_the_methods_of_a_semaphore_work_on_a_bounded_one(impl):
    semaphore = impl.BoundedSemaphore(2)
    semaphore.acquire()
    assert impl.Semaphore.release(semaphore) is None
    assert semaphore._value == 2
    assert impl.Semaphore.acquire(semaphore) is True
    assert semaphore._value == 1


def test_the_bound_holds_for_the_inherited_release_too():
    """In the stdlib this makes a bounded one that has more than its bound."""
    semaphore = pyfastlock.BoundedSemaphore(2)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        pyfastlock.Semaphore.release(semaphore)
    assert semaphore._value == 2


# The context manager


def test_context_manager(make):
    semaphore = make(2)
    with semaphore as value:
        assert value is True
        assert semaphore._value == 1
        with semaphore:
            assert semaphore._value == 0
            assert not semaphore.acquire(False)
        assert semaphore._value == 1
    assert semaphore._value == 2


def test_context_manager_releases_on_exception_and_passes_it_on(make):
    semaphore = make()
    with pytest.raises(LookupError):
        with semaphore:
            raise LookupError
    assert semaphore._value == 1


def test_context_manager_waits(make):
    semaphore = empty(make)

    def enter():
        with semaphore as value:
            return value, semaphore._value

    waiter = start(enter)
    parked_on(semaphore)
    semaphore.release()
    assert waiter.join() == (True, 0)
    assert semaphore._value == 1


def test_enter_and_exit(make):
    semaphore = make(2)
    assert semaphore.__enter__() is True
    assert semaphore.__enter__(False) is True
    assert semaphore.__enter__(False) is False
    assert semaphore.__enter__(True, 0) is False
    assert semaphore.__enter__(blocking=True, timeout=0.001) is False
    assert semaphore.__exit__(None, None, None) is None
    assert semaphore.__exit__(LookupError, LookupError(), tb=None) is None
    assert semaphore._value == 2


def test_leaving_a_with_block_that_was_released_inside(impl):
    semaphore = impl.Semaphore()
    with semaphore:
        semaphore.release()
    assert semaphore._value == 2
    semaphore = impl.BoundedSemaphore()
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        with semaphore:
            semaphore.release()
    assert semaphore._value == 1


def test_the_exception_of_exit_has_that_of_the_block_as_context(impl):
    semaphore = impl.BoundedSemaphore()
    with pytest.raises(ValueError, match="too many times") as caught:
        with semaphore:
            semaphore.release()
            raise LookupError
    assert isinstance(caught.value.__context__, LookupError)


# Several threads


@pytest.mark.parametrize("waiters", [1, 5, 50])
def test_every_waiter_gets_one(make, waiters):
    semaphore = empty(make)
    inside = []

    def take():
        with semaphore:
            inside.append(1)
            assert len(inside) == 1
            inside.pop()
            return True

    threads = [start(take) for _ in range(waiters)]
    parked_on(semaphore, waiters)
    semaphore.release()
    assert [thread.join() for thread in threads] == [True] * waiters
    assert semaphore._value == 1


@pytest.mark.parametrize("permits", [1, 3])
def test_no_more_inside_than_permits(make, permits):
    semaphore = make(permits)
    inside = Counter()
    most = []

    def work(i):
        for _ in range(50):
            with semaphore:
                inside[i] = 1
                most.append(sum(list(inside.values())))
                inside[i] = 0

    threads = [start(work, i) for i in range(6)]
    for thread in threads:
        thread.join()
    assert max(most) <= permits
    assert semaphore._value == permits


def test_t32_a_wait_that_times_out_takes_nothing(make):
    semaphore = empty(make)
    for _ in range(50):
        assert semaphore.acquire(timeout=0.0005) is False
    parked_on(semaphore, 0)
    semaphore.release()
    assert semaphore._value == 1
    assert semaphore.acquire(False) is True
    assert semaphore.acquire(False) is False


def test_t32_one_times_out_and_another_waits_on(make):
    semaphore = empty(make)
    patient = start(semaphore.acquire)
    parked_on(semaphore)
    assert semaphore.acquire(timeout=0.01) is False
    parked_on(semaphore)
    semaphore.release()
    assert patient.join() is True
    assert semaphore._value == 0


def test_a_signal_between_two(make):
    """As a semaphore of no permits is used: one thread tells another that something is there."""
    ready, done = empty(make), empty(make)
    items = []

    def consume():
        got = []
        for _ in range(100):
            assert ready.acquire(timeout=DEADLINE)
            got.append(items.pop())
            done.release()
        return got

    consumer = start(consume)
    for i in range(100):
        items.append(i)
        ready.release()
        assert done.acquire(timeout=DEADLINE)
    assert consumer.join() == list(range(100))


def test_two_are_independent(make):
    first, second = make(2), make(3)
    with first, second:
        assert (first._value, second._value) == (1, 2)
        with second:
            assert (first._value, second._value) == (1, 1)
    assert (first._value, second._value) == (2, 3)


def test_many(make):
    semaphores = [make(i % 5) for i in range(2000)]
    assert [semaphore._value for semaphore in semaphores] == [i % 5 for i in range(2000)]
    for semaphore in semaphores:
        semaphore.acquire(False)
    assert [semaphore._value for semaphore in semaphores] == [
        max(i % 5 - 1, 0) for i in range(2000)
    ]


# Attributes and subclasses


def test_attributes(make):
    semaphore = make()
    assert vars(semaphore).keys() <= {"_cond", "_value", "_initial_value"}
    semaphore.name = "x"
    assert semaphore.name == "x"
    assert semaphore.__dict__["name"] == "x"
    del semaphore.name
    assert not hasattr(semaphore, "name")
    with semaphore:
        assert semaphore._value == 0


def test_with_uses_a_release_of_the_instance(make):
    semaphore = make()
    calls = []
    semaphore.release = lambda: calls.append(semaphore._value)
    with semaphore:
        pass
    assert calls == [0]
    assert semaphore._value == 0
    del semaphore.release
    semaphore.release()
    assert semaphore._value == 1
    with semaphore:
        pass
    assert calls == [0]
    assert semaphore._value == 1
    vars(semaphore)["release"] = lambda: calls.append("dict")
    with semaphore:
        pass
    assert calls == [0, "dict"]
    semaphore.__dict__ = {"release": lambda: calls.append("new dict"), **vars(make())}
    semaphore.__exit__(None, None, None)
    assert calls == [0, "dict", "new dict"]


def test_with_uses_the_release_of_a_subclass(make):
    class Child(make):
        calls = 0

        def release(self, n=1):
            self.calls += 1
            super().release(n)

    child = Child(2)
    with child:
        assert child._value == 1
    assert child._value == 2
    assert child.calls == 1
    child.__enter__()
    assert child.__exit__(None, None, None) is None
    assert child.calls == 2


def test_what_an_overridden_release_returns_or_raises(make):
    class Returns(make):
        def release(self, n=1):
            super().release(n)
            return True  # which would swallow the exception of the block

    class Raises(make):
        def release(self, n=1):
            raise KeyError

    with pytest.raises(LookupError):
        with Returns():
            raise LookupError
    with pytest.raises(KeyError):
        with Raises():
            pass


def test_with_does_not_use_the_acquire_of_a_subclass(make):
    """The stdlib says `__enter__ = acquire` in the class."""

    class Child(make):
        def acquire(self, blocking=True, timeout=None):
            raise AssertionError

    child = Child()
    with child:
        assert child._value == 0
    assert child._value == 1


def test_subclass(make):
    class Child(make):
        def __init__(self, x, *, y=0):
            super().__init__(3)
            self.x, self.y = x, y

        def acquire(self, blocking=True, timeout=None):
            self.x += 1
            return super().acquire(blocking, timeout)

    child = Child(1, y=2)
    assert (child.x, child.y, child._value) == (1, 2, 3)
    for _ in range(3):
        assert child.acquire() is True
    assert child.acquire(False) is False
    assert child.x == 5
    waiter = start(make.acquire, child)
    parked_on(child)
    child.release()
    assert waiter.join() is True


def test_subclass_that_only_has_a_name(make):
    for arguments in ((), (5,)):
        child = type("Child", (make,), {})(*arguments)
        assert child._value == (arguments or (1,))[0]
        with child:
            assert child._value == (arguments or (1,))[0] - 1
    assert type("Child", (make,), {})(value=7)._value == 7


def test_a_subclass_of_the_bounded_one_is_bounded(impl):
    class Child(impl.BoundedSemaphore):
        pass

    child = Child(2)
    assert child._initial_value == 2
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        child.release()
    with child:
        with pytest.raises(ValueError, match="Semaphore released too many times"):
            child.release(2)
    assert child._value == 2


def test_subclass_with_slots(make):
    class Child(make):
        __slots__ = ("x",)

    child = Child(2)
    child.x = 1
    child.y = 2
    with child:
        assert (child.x, child.y, child._value) == (1, 2, 1)


def test_several_bases(make):
    class Mixin:
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mixed = True

    class Child(Mixin, make):
        pass

    child = Child(value=2)
    assert child.mixed
    assert child._value == 2


def test_without_init_it_cannot_be_used(impl, make):
    class Child(make):
        def __init__(self):
            pass

    for semaphore in (Child(), make.__new__(make), make.__new__(Child)):
        for call in (
            semaphore.acquire,
            lambda x=semaphore: x.acquire(False),
            lambda x=semaphore: x.acquire(blocking=False),
            lambda x=semaphore: x.acquire(timeout=0),
            lambda x=semaphore: x.acquire(timeout=0.01),
            semaphore.release,
            lambda x=semaphore: x.release(1),
            lambda x=semaphore: x.release(2),
            semaphore.__enter__,
            lambda x=semaphore: x.__exit__(None, None, None),
            lambda x=semaphore: x._value,
            lambda x=semaphore: x._cond,
        ):
            with pytest.raises(AttributeError, match=r"no attribute '_(cond|value)'"):
                call()
        make.__init__(semaphore, 2)
        assert semaphore._value == 2
        with semaphore:
            assert semaphore._value == 1


def test_init_again_makes_a_new_one(make):
    for semaphore in (make(2), type("Child", (make,), {})(2)):
        semaphore.acquire()
        semaphore.__init__(5)
        assert semaphore._value == getattr(semaphore, "_initial_value", 5) == 5
        with pytest.raises(ValueError, match="must be >= 0"):
            semaphore.__init__(-1)
        assert semaphore._value == 5
        semaphore.__init__()
        assert semaphore._value == 1
        semaphore.acquire()
        semaphore.release()
        if hasattr(semaphore, "_initial_value"):
            assert semaphore._initial_value == 1
            with pytest.raises(ValueError, match="released too many times"):
                semaphore.release()


def test_an_init_that_failed_may_be_repeated(make):
    cls = type("Child", (make,), {"__init__": lambda self: None})
    semaphore = cls()
    with pytest.raises(ValueError, match="must be >= 0"):
        make.__init__(semaphore, -1)
    make.__init__(semaphore, 3)
    assert semaphore._value == 3


def test_a_bounded_one_made_by_the_init_of_the_other(impl):
    """It has no bound until it is given one."""
    cls = impl.BoundedSemaphore
    semaphore = cls.__new__(cls)
    impl.Semaphore.__init__(semaphore, 1)
    with pytest.raises(AttributeError, match="'_initial_value'"):
        semaphore.release()
    assert semaphore._value == 1
    semaphore._initial_value = 2
    semaphore.release()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    assert semaphore._value == 2


# References


def test_weak_references(make):
    semaphore = make()
    dead = []
    reference = weakref.ref(semaphore, dead.append)
    assert reference() is semaphore
    assert weakref.WeakSet([semaphore]).pop() is semaphore
    semaphore.acquire()
    del semaphore
    gc.collect()
    assert reference() is None
    assert dead == [reference]


def test_cycles_are_collected(make):
    for cls in (make, type("Child", (make,), {})):
        semaphore = cls(2)
        assert gc.is_tracked(semaphore)
        semaphore.self = semaphore
        semaphore.bound = semaphore.release
        reference = weakref.ref(semaphore)
        del semaphore
        gc.collect()
        assert reference() is None


def test_a_cycle_with_a_finalizer(make):
    seen = []

    class Child(make):
        def __del__(self):
            with self:
                seen.append(self._value)

    child = Child()
    child.self = child
    del child
    gc.collect()
    assert seen == [0]


def test_a_long_chain_is_destroyed(make):
    """No recursion as deep as the chain is long."""
    semaphore = None
    for _ in range(100_000):
        after, semaphore = semaphore, make()
        semaphore.after = after
    del semaphore, after
    gc.collect()


def test_always_true_and_equal_to_itself_only(make):
    semaphore = make(0)
    assert semaphore
    assert semaphore == semaphore
    assert semaphore != make(0)
    assert len({semaphore, make(), semaphore}) == 2


def test_no_unrelated_methods(make):
    semaphore = make()
    for name in ("locked", "wait", "notify", "_at_fork_reinit", "_is_owned"):
        assert not hasattr(semaphore, name)


def test_a_condition_over_a_semaphore():
    """It has acquire and release: a Condition takes it for a lock (the stdlib's, before 3.14)."""
    semaphore = pyfastlock.Semaphore(1)
    cond = pyfastlock.Condition(semaphore)
    with cond:
        assert semaphore._value == 0
        assert cond.wait(0.001) is False
        assert semaphore._value == 0
        cond.notify()
    assert semaphore._value == 1
