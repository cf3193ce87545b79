"""Barrier: what it does, over `threading.Barrier` and over ours."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from support import DEADLINE, start, wait_until

import pyfastlock
from pyfastlock import _core

BROKEN = threading.BrokenBarrierError


def waiting_at(barrier, n=1):
    """Wait until `n` threads wait at the barrier."""
    wait_until(lambda: barrier.n_waiting == n)
    if isinstance(barrier, pyfastlock.Barrier):
        wait_until(lambda: _core._waiters(barrier) == n)


def arrive(barrier, n, *arguments):
    """Threads that wait at the barrier, in this order."""
    threads = []
    for i in range(n):
        threads.append(start(barrier.wait, *arguments))
        waiting_at(barrier, i + 1)
    return threads


def outcomes(threads):
    """What each returned, or the class of what it raised."""
    found = []
    for thread in threads:
        try:
            found.append(thread.join())
        except BROKEN as error:
            found.append(type(error))
    return found


def test_the_error_is_the_stdlibs(impl):
    assert impl.BrokenBarrierError is threading.BrokenBarrierError


def test_attributes_of_a_new_one(impl):
    for barrier in (impl.Barrier(3), impl.Barrier(parties=3), impl.Barrier(3, None, None)):
        assert barrier.parties == 3
        assert barrier.n_waiting == 0
        assert barrier.broken is False
        assert [type(x) for x in (barrier.parties, barrier.n_waiting)] == [int, int]


def test_of_one(impl):
    barrier = impl.Barrier(1)
    for _ in range(5):
        assert barrier.wait() == 0
        assert barrier.wait(0) == 0
        assert barrier.n_waiting == 0
    assert not barrier.broken


@pytest.mark.parametrize("parties", [2, 3, 10])
def test_t33_all_go_on_when_the_last_arrives(impl, parties):
    barrier = impl.Barrier(parties)
    for _ in range(5):
        threads = arrive(barrier, parties - 1)
        assert not any(thread.done for thread in threads)
        assert barrier.n_waiting == parties - 1
        index = barrier.wait()
        # In the order in which they came.
        assert [*outcomes(threads), index] == list(range(parties))
        wait_until(lambda: barrier.n_waiting == 0)
        assert not barrier.broken


@pytest.mark.parametrize("parties", [2, 5])
def test_t33_each_index_is_given_once(impl, parties):
    barrier = impl.Barrier(parties)
    rounds = 40

    def work():
        return [barrier.wait(DEADLINE) for _ in range(rounds)]

    threads = [start(work) for _ in range(parties)]
    for indices in zip(*(thread.join() for thread in threads), strict=True):
        assert sorted(indices) == list(range(parties))
    assert barrier.n_waiting == 0
    assert not barrier.broken


def test_nobody_is_a_round_ahead(impl):
    barrier = impl.Barrier(4)
    rounds = [0] * 4

    def work(i):
        for n in range(50):
            rounds[i] = n
            barrier.wait(DEADLINE)
            assert min(rounds) >= n
            barrier.wait(DEADLINE)

    threads = [start(work, i) for i in range(4)]
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("timeout", [DEADLINE, None])
def test_a_timeout_that_is_not_needed(impl, timeout):
    barrier = impl.Barrier(2)
    threads = arrive(barrier, 1, timeout)
    assert barrier.wait(timeout=timeout) == 1
    assert outcomes(threads) == [0]


def test_timeout_max(impl):
    barrier = impl.Barrier(2, timeout=impl.TIMEOUT_MAX)
    threads = arrive(barrier, 1)
    assert barrier.wait(impl.TIMEOUT_MAX) == 1
    assert outcomes(threads) == [0]


# The timeout


@pytest.mark.parametrize("timeout", [0.01, 0.05, 0, -1, 1e-10, False])
def test_a_timeout_breaks_it(impl, timeout):
    barrier = impl.Barrier(2)
    before = time.monotonic()
    with pytest.raises(BROKEN) as caught:
        barrier.wait(timeout)
    assert caught.value.args == ()
    assert time.monotonic() - before >= timeout
    assert barrier.broken
    assert barrier.n_waiting == 0
    with pytest.raises(BROKEN):
        barrier.wait()


def test_t33_the_timeout_of_one_breaks_all(impl):
    barrier = impl.Barrier(5)
    threads = arrive(barrier, 3)
    with pytest.raises(BROKEN):
        barrier.wait(0.01)
    assert outcomes(threads) == [BROKEN] * 3
    assert barrier.broken
    assert barrier.n_waiting == 0


def test_t33_the_default_timeout(impl):
    for barrier in (impl.Barrier(2, None, 0.01), impl.Barrier(2, timeout=0.01)):
        before = time.monotonic()
        with pytest.raises(BROKEN):
            barrier.wait()
        assert time.monotonic() - before >= 0.01
        assert barrier.broken
    barrier = impl.Barrier(2, timeout=0.01)
    with pytest.raises(BROKEN):
        barrier.wait(None)


def test_t33_a_timeout_overrides_the_default(impl):
    barrier = impl.Barrier(2, timeout=0.001)
    threads = arrive(barrier, 1, DEADLINE)
    time.sleep(0.01)
    assert barrier.wait(DEADLINE) == 1
    assert outcomes(threads) == [0]
    barrier = impl.Barrier(2, timeout=DEADLINE)
    with pytest.raises(BROKEN):
        barrier.wait(0.001)


@pytest.mark.parametrize("default", [False, True])
def test_t33_the_timeout_counts_though_the_barrier_lacked_only_one(impl, default):
    """Two come together where one was missing: the other waits for the next round, not for ever."""

    def work(barrier, together):
        together.wait(DEADLINE)
        return barrier.wait() if default else barrier.wait(0.005)

    for _ in range(20):
        barrier, together = impl.Barrier(2, timeout=0.005 if default else None), impl.Barrier(2)
        threads = arrive(barrier, 1, DEADLINE)
        threads += [start(work, barrier, together) for _ in range(2)]
        waited, *found = outcomes(threads)
        assert waited == 0
        assert sorted(map(str, found)) == ["1", str(BROKEN)]


def test_the_default_timeout_of_the_last_is_not_needed(impl):
    barrier = impl.Barrier(2, timeout=0)
    threads = arrive(barrier, 1, DEADLINE)
    assert barrier.wait() == 1
    assert outcomes(threads) == [0]


# The action


def test_the_action_is_called_once_in_each_round(impl):
    calls = []
    barrier = impl.Barrier(3, lambda: calls.append(threading.get_ident()))
    for n in range(1, 5):
        threads = arrive(barrier, 2)
        assert len(calls) == n - 1
        assert barrier.wait() == 2
        assert len(calls) == n
        assert outcomes(threads) == [0, 1]
    # By the last to arrive.
    assert set(calls) == {threading.get_ident()}


def test_the_action_is_called_without_arguments_before_all_go_on(impl):
    gone, seen = [], []

    def action(*args, **kwargs):
        seen.append((args, kwargs, list(gone)))

    barrier = impl.Barrier(2, action=action)

    def work():
        barrier.wait()
        gone.append(1)

    thread = start(work)
    waiting_at(barrier)
    barrier.wait()
    thread.join()
    assert seen == [((), {}, [])]


def test_the_result_of_the_action_does_not_matter(impl):
    for result in (None, False, 5, LookupError):
        assert impl.Barrier(1, lambda result=result: result).wait() == 0


class FalseAction:
    called = False

    def __bool__(self):
        return False

    def __call__(self):
        self.called = True


@pytest.mark.parametrize("action", [None, 0, "", [], FalseAction()])
def test_an_action_that_is_false_is_none(impl, action):
    barrier = impl.Barrier(1, action)
    assert barrier.wait() == 0
    if isinstance(action, FalseAction):
        assert not action.called


def test_t33_an_action_that_raises_breaks_it(impl):
    def action():
        raise LookupError("x")

    barrier = impl.Barrier(3, action)
    threads = arrive(barrier, 2)
    with pytest.raises(LookupError, match="x"):
        barrier.wait()
    assert outcomes(threads) == [BROKEN] * 2
    assert barrier.broken
    assert barrier.n_waiting == 0
    with pytest.raises(BROKEN):
        barrier.wait()


def test_an_action_that_cannot_be_called_breaks_it(impl):
    barrier = impl.Barrier(1, action=1)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        barrier.wait()
    assert barrier.broken


def test_an_action_whose_truth_cannot_be_told_breaks_it(impl):
    class Odd:
        def __bool__(self):
            raise LookupError

    barrier = impl.Barrier(1, Odd())
    with pytest.raises(LookupError):
        barrier.wait()
    assert barrier.broken


def test_the_action_sees_the_barrier(impl):
    seen = []

    def action():
        seen.append((barrier.parties, barrier.n_waiting, barrier.broken))

    barrier = impl.Barrier(2, action)
    threads = arrive(barrier, 1)
    barrier.wait()
    assert outcomes(threads) == [0]
    assert seen == [(2, 2, False)]


def test_after_an_action_that_raised_reset_repairs_it(impl):
    fail = [True]

    def action():
        if fail:
            fail.pop()
            raise LookupError

    barrier = impl.Barrier(2, action)
    threads = arrive(barrier, 1)
    with pytest.raises(LookupError):
        barrier.wait()
    assert outcomes(threads) == [BROKEN]
    barrier.reset()
    threads = arrive(barrier, 1)
    assert barrier.wait() == 1
    assert outcomes(threads) == [0]


def test_t33_the_action_waits_for_its_own_barrier():
    """The stdlib deadlocks; here it is a RuntimeError, which breaks the barrier as any other."""
    barrier = pyfastlock.Barrier(2, lambda: barrier.wait(DEADLINE))
    threads = arrive(barrier, 1)
    with pytest.raises(RuntimeError, match="the action of a barrier cannot wait for it"):
        barrier.wait()
    assert outcomes(threads) == [BROKEN]
    assert barrier.broken


def test_t33_an_action_that_gets_over_that_error():
    caught = []

    def action():
        try:
            barrier.wait()
        except RuntimeError as error:
            caught.append(str(error))

    barrier = pyfastlock.Barrier(1, action)
    for n in range(1, 4):
        assert barrier.wait() == 0
        assert len(caught) == n


def test_an_action_may_wait_for_another_barrier(impl):
    inner = impl.Barrier(1)
    barrier = impl.Barrier(2, inner.wait)
    threads = arrive(barrier, 1)
    assert barrier.wait() == 1
    assert outcomes(threads) == [0]


def test_t33_the_action_aborts_its_own_barrier():
    """The stdlib deadlocks. The wait of those whose barrier is gone has failed."""

    def action():
        barrier.abort()

    barrier = pyfastlock.Barrier(2, action)
    threads = arrive(barrier, 1)
    with pytest.raises(BROKEN):
        barrier.wait()
    assert outcomes(threads) == [BROKEN]
    assert barrier.broken


def test_t33_the_action_resets_its_own_barrier():
    def action():
        barrier.reset()

    barrier = pyfastlock.Barrier(2, action)
    threads = arrive(barrier, 1)
    with pytest.raises(BROKEN):
        barrier.wait()
    assert outcomes(threads) == [BROKEN]
    assert not barrier.broken
    assert barrier.n_waiting == 0


@pytest.mark.parametrize("method", ["abort", "reset"])
def test_t33_abort_and_reset_do_not_wait_for_the_action(method):
    """In the stdlib they wait for the lock, which the action holds."""
    acting, go_on = threading.Event(), threading.Event()

    def action():
        acting.set()
        assert go_on.wait(DEADLINE)

    barrier = pyfastlock.Barrier(2, action)
    threads = arrive(barrier, 1)
    last = start(barrier.wait)
    assert acting.wait(DEADLINE)
    getattr(barrier, method)()
    # Those who waited do not wait for it either; the one that acts has to.
    assert outcomes(threads) == [BROKEN]
    assert not last.done
    assert barrier.broken is (method == "abort")
    assert barrier.n_waiting == 0
    if method == "reset":
        threads = arrive(barrier, 1)
    go_on.set()
    with pytest.raises(BROKEN):
        last.join()
    if method == "reset":
        # What began in between is not disturbed by the end of the old action.
        waiting_at(barrier)
        go_on.set()
        assert barrier.wait() == 1
        assert outcomes(threads) == [0]


def test_t33_who_comes_during_the_action_belongs_to_the_next_round(impl):
    acting, go_on = threading.Event(), threading.Event()

    def action():
        acting.set()
        assert go_on.wait(DEADLINE)

    barrier = impl.Barrier(2, action)
    first = arrive(barrier, 1)
    last = start(barrier.wait)
    assert acting.wait(DEADLINE)
    late = start(barrier.wait, DEADLINE)
    time.sleep(0.02)
    assert not late.done
    go_on.set()
    assert outcomes([*first, last]) == [0, 1]
    waiting_at(barrier)
    assert barrier.wait() == 1
    assert late.join() == 0


def test_t33_a_wait_does_not_time_out_during_the_action(impl):
    """All have arrived: it is only the action that takes long."""
    barrier = impl.Barrier(2, lambda: time.sleep(0.3))
    threads = arrive(barrier, 1, 0.2)
    try:
        index = barrier.wait()
    except BROKEN:
        pytest.skip("this machine was too slow for this test: the first had timed out before")
    assert index == 1
    assert outcomes(threads) == [0]
    assert not barrier.broken


# abort and reset


def test_abort(impl):
    barrier = impl.Barrier(3)
    threads = arrive(barrier, 2)
    assert barrier.abort() is None
    assert outcomes(threads) == [BROKEN] * 2
    assert barrier.broken is True
    assert barrier.n_waiting == 0
    for _ in range(2):
        with pytest.raises(BROKEN):
            barrier.wait()
        with pytest.raises(BROKEN):
            barrier.wait(0)
    barrier.abort()
    assert barrier.broken


def test_abort_when_nobody_waits(impl):
    barrier = impl.Barrier(1)
    barrier.abort()
    with pytest.raises(BROKEN):
        barrier.wait()
    assert barrier.broken


def test_t33_reset(impl):
    barrier = impl.Barrier(3)
    threads = arrive(barrier, 2)
    assert barrier.reset() is None
    assert outcomes(threads) == [BROKEN] * 2
    assert barrier.broken is False
    assert barrier.n_waiting == 0
    threads = arrive(barrier, 2)
    assert barrier.wait() == 2
    assert outcomes(threads) == [0, 1]


def test_reset_when_nobody_waits(impl):
    barrier = impl.Barrier(2)
    barrier.reset()
    barrier.reset()
    assert not barrier.broken
    threads = arrive(barrier, 1)
    assert barrier.wait() == 1
    assert outcomes(threads) == [0]


def test_t33_reset_repairs(impl):
    barrier = impl.Barrier(2)
    for _ in range(3):
        threads = arrive(barrier, 1)
        barrier.abort()
        assert outcomes(threads) == [BROKEN]
        assert barrier.broken
        barrier.reset()
        assert not barrier.broken
        threads = arrive(barrier, 1)
        assert barrier.wait() == 1
        assert outcomes(threads) == [0]


def test_reset_after_a_timeout(impl):
    barrier = impl.Barrier(2)
    with pytest.raises(BROKEN):
        barrier.wait(0)
    barrier.reset()
    threads = arrive(barrier, 1)
    assert barrier.wait() == 1
    assert outcomes(threads) == [0]


def test_t33_abort_and_reset_are_over_when_they_return(impl):
    """Those who are sent away need not have gone."""
    for _ in range(20):
        barrier = impl.Barrier(3)
        threads = arrive(barrier, 2)
        barrier.abort()
        barrier.reset()
        left = (barrier.broken, barrier.n_waiting)
        state = repr(barrier)
        assert outcomes(threads) == [BROKEN] * 2
        assert left == (False, 0)
        assert state.endswith("waiters=0/3>")


# Attributes, subclasses, references


def test_attributes(impl):
    barrier = impl.Barrier(1)
    barrier.name = "x"
    assert barrier.__dict__["name"] == "x"
    del barrier.name
    assert not hasattr(barrier, "name")
    assert barrier.wait() == 0


def test_subclass(impl):
    class Child(impl.Barrier):
        def __init__(self, x, *, y=0):
            super().__init__(2, self.act, timeout=DEADLINE)
            self.x, self.y = x, y

        def act(self):
            self.x += 1

        def wait(self, timeout=None):
            return super().wait(timeout) + 10

    child = Child(1, y=2)
    assert (child.x, child.y, child.parties) == (1, 2, 2)
    thread = start(child.wait)
    waiting_at(child)
    assert child.wait() == 11
    assert thread.join() == 10
    assert child.x == 2


def test_subclass_that_only_has_a_name(impl):
    Child = type("Child", (impl.Barrier,), {})  # noqa: N806
    assert Child(3).parties == Child(parties=3).parties == 3
    calls = []
    assert Child(1, lambda: calls.append(1)).wait() == 0
    assert Child(action=lambda: calls.append(2), parties=1).wait() == 0
    assert calls == [1, 2]
    with pytest.raises(BROKEN):
        Child(2, None, 0.001).wait()


def test_subclass_with_slots(impl):
    class Child(impl.Barrier):
        __slots__ = ("x",)

    child = Child(1)
    child.x = 1
    child.y = 2
    assert (child.x, child.y, child.wait()) == (1, 2, 0)


def test_several_bases(impl):
    class Mixin:
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mixed = True

    class Child(Mixin, impl.Barrier):
        pass

    child = Child(parties=1)
    assert child.mixed
    assert child.wait() == 0


def test_without_init_it_has_nothing(impl):
    class Child(impl.Barrier):
        def __init__(self):
            pass

    for barrier in (Child(), impl.Barrier.__new__(impl.Barrier)):
        for use in (
            barrier.wait,
            lambda: barrier.wait(0),  # noqa: B023
            barrier.abort,
            barrier.reset,
            lambda: barrier.parties,  # noqa: B023
            lambda: barrier.n_waiting,  # noqa: B023
            lambda: barrier.broken,  # noqa: B023
            lambda: repr(barrier),  # noqa: B023
        ):
            with pytest.raises(AttributeError, match=r"object has no attribute '_"):
                use()
        impl.Barrier.__init__(barrier, 1)
        assert not barrier.broken
        assert barrier.wait() == 0


def test_init_again_makes_another_barrier_of_it(impl):
    first, second = [], []
    for cls in (impl.Barrier, type("Child", (impl.Barrier,), {})):
        barrier = cls(1, lambda: first.append(1))
        assert barrier.wait() == 0
        barrier.__init__(1, lambda: second.append(1), 7)
        assert barrier.parties == 1
        assert barrier.wait() == 0
        with pytest.raises(TypeError):
            barrier.__init__()
        assert barrier.wait() == 0
    assert (len(first), len(second)) == (2, 4)


def test_weak_references(impl):
    barrier = impl.Barrier(2)
    dead = []
    reference = weakref.ref(barrier, dead.append)
    assert reference() is barrier
    assert weakref.WeakSet([barrier]).pop() is barrier
    del barrier
    gc.collect()
    assert reference() is None
    assert dead == [reference]


def test_cycles_are_collected(impl):
    for cls in (impl.Barrier, type("Child", (impl.Barrier,), {})):
        barrier = cls(2)
        assert gc.is_tracked(barrier)
        barrier.self = barrier
        barrier.bound = barrier.wait
        reference = weakref.ref(barrier)
        del barrier
        gc.collect()
        assert reference() is None


@pytest.mark.parametrize("where", ["action", "timeout"])
def test_cycles_through_its_arguments_are_collected(impl, where):
    class Holder(list):
        pass

    for cls in (impl.Barrier, type("Child", (impl.Barrier,), {})):
        holder = Holder()
        barrier = cls(2, **{where: holder})
        holder.append(barrier)
        references = weakref.ref(barrier), weakref.ref(holder)
        del barrier, holder
        gc.collect()
        assert [reference() for reference in references] == [None, None]


def test_it_keeps_its_arguments_and_lets_go_of_them(impl):
    class Action:
        def __call__(self):
            pass

    action, timeout = Action(), type("Float", (float,), {})(5)
    references = [weakref.ref(action), weakref.ref(timeout)]
    barrier = impl.Barrier(1, action, timeout)
    del action, timeout
    gc.collect()
    assert all(reference() is not None for reference in references)
    assert barrier.wait() == 0
    assert {type(reference()) for reference in references} <= {
        type(x)
        for x in gc.get_referents(barrier) + [y for x in gc.get_referents(barrier)
                                              for y in gc.get_referents(x)]
    }  # fmt: skip
    del barrier
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_the_action_may_destroy_what_it_stands_in(impl):
    """The last reference to the barrier and to the action goes away during the action."""
    barriers = []
    seen = []

    def action():
        barriers.clear()
        gc.collect()
        seen.append(1)

    barriers.append(impl.Barrier(1, action))
    assert barriers[0].wait() == 0
    assert seen == [1]


def test_a_cycle_with_a_finalizer(impl):
    seen = []

    class Child(impl.Barrier):
        def __del__(self):
            seen.append(self.wait())

    child = Child(1, lambda: None)
    child.self = child
    del child
    gc.collect()
    assert seen == [0]


def test_a_long_chain_is_destroyed(impl):
    """No recursion as deep as the chain is long."""
    for link in ("dict", "action"):
        barrier = None
        for _ in range(100_000):
            if link == "dict":
                after, barrier = barrier, impl.Barrier(2)
                barrier.after = after
            else:
                after, barrier = barrier, impl.Barrier(2, barrier)
        del barrier, after
        gc.collect()


def test_always_true_and_equal_to_itself_only(impl):
    barrier = impl.Barrier(2)
    assert barrier
    assert barrier == barrier
    assert barrier != impl.Barrier(2)
    assert len({barrier, impl.Barrier(2), barrier}) == 2
