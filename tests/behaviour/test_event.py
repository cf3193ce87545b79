"""Event: what it does, over `threading.Event` and over ours."""

from __future__ import annotations

import gc
import time
import warnings
import weakref

import pytest
from support import DEADLINE, parked, run_in_thread, start, wait_until


def parked_on(event, n=1):
    """Wait until `n` threads wait for the event (the stdlib's has a Condition in it)."""
    parked(getattr(event, "_cond", event), n)


@pytest.fixture
def event(impl):
    return impl.Event()


def test_is_clear_at_first(event):
    assert event.is_set() is False
    assert event.wait(0) is False


def test_set_and_clear(event):
    for _ in range(3):
        assert event.set() is None
        assert event.is_set() is True
        assert event.wait() is True
        assert event.clear() is None
        assert event.is_set() is False


def test_set_twice_and_clear_twice(event):
    event.clear()
    assert not event.is_set()
    event.set()
    event.set()
    assert event.is_set()
    event.clear()
    assert not event.is_set()
    event.clear()
    assert not event.is_set()


@pytest.mark.parametrize("timeout", [None, 0, -1, 0.001, 1000, "not looked at"])
def test_wait_when_set_returns_at_once(event, timeout):
    event.set()
    assert event.wait(timeout) is True
    assert event.wait(timeout=timeout) is True
    assert event.is_set()


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, 1e-10, False])
def test_a_timeout_of_nearly_nothing(event, timeout):
    assert event.wait(timeout) is False
    assert event.wait(timeout=timeout) is False


@pytest.mark.parametrize("timeout", [0.01, 0.05])
def test_timeout_passes(event, timeout):
    before = time.monotonic()
    assert event.wait(timeout) is False
    assert time.monotonic() - before >= timeout
    assert not event.is_set()


@pytest.mark.parametrize("timeout", [(), (None,), (DEADLINE,)])
def test_set_wakes_who_waits(event, timeout):
    waiter = start(event.wait, *timeout)
    parked_on(event)
    assert not waiter.done
    event.set()
    assert waiter.join() is True
    assert event.is_set()
    parked_on(event, 0)


def test_timeout_max(impl, event):
    waiter = start(event.wait, impl.TIMEOUT_MAX)
    parked_on(event)
    event.set()
    assert waiter.join() is True


@pytest.mark.parametrize("waiters", [2, 50])
def test_set_wakes_all(event, waiters):
    threads = [start(event.wait, DEADLINE) for _ in range(waiters)]
    parked_on(event, waiters)
    event.set()
    assert [thread.join() for thread in threads] == [True] * waiters


@pytest.mark.parametrize("waiters", [1, 20])
def test_t31_set_and_clear_wakes_all_who_wait(event, waiters):
    """They return True, although the event is clear when they run."""
    for _ in range(5):
        threads = [start(event.wait, DEADLINE) for _ in range(waiters)]
        parked_on(event, waiters)
        event.set()
        event.clear()
        assert [thread.join() for thread in threads] == [True] * waiters
        assert not event.is_set()
        assert event.wait(0) is False


def test_clear_does_not_wake(event):
    waiter = start(event.wait)
    parked_on(event)
    event.clear()
    event.clear()
    parked_on(event)
    assert not waiter.done
    event.set()
    assert waiter.join() is True


def test_who_comes_after_clear_waits(event):
    event.set()
    event.clear()
    waiter = start(event.wait)
    parked_on(event)
    event.set()
    assert waiter.join() is True


def test_a_wait_that_times_out_leaves_nothing_behind(event):
    for _ in range(50):
        assert event.wait(0.0005) is False
    parked_on(event, 0)
    event.set()
    assert event.is_set()
    assert event.wait(0) is True
    event.clear()
    assert event.wait(0) is False


def test_one_times_out_and_another_waits_on(event):
    patient = start(event.wait)
    parked_on(event)
    assert event.wait(0.01) is False
    parked_on(event)
    event.set()
    assert patient.join() is True


def test_another_thread_sees_it(event):
    run_in_thread(event.set)
    assert event.is_set()
    run_in_thread(event.clear)
    assert not event.is_set()
    event.set()
    assert run_in_thread(event.wait) is True
    assert run_in_thread(event.is_set) is True


def test_two_events_are_independent(impl):
    first, second = impl.Event(), impl.Event()
    first.set()
    assert not second.is_set()
    second.set()
    first.clear()
    assert second.is_set()


def test_many_events(impl):
    events = [impl.Event() for _ in range(2000)]
    for event in events[::3]:
        event.set()
    assert [event.is_set() for event in events] == [i % 3 == 0 for i in range(2000)]


def test_ping_pong(impl):
    ping, pong = impl.Event(), impl.Event()

    def answer():
        for _ in range(100):
            assert ping.wait(DEADLINE)
            ping.clear()
            pong.set()

    thread = start(answer)
    for _ in range(100):
        ping.set()
        assert pong.wait(DEADLINE)
        pong.clear()
    thread.join()
    assert not ping.is_set()
    assert not pong.is_set()


# isSet


def test_is_set_has_a_deprecated_name(event):
    for expected in (False, True):
        with pytest.warns(DeprecationWarning, match="isSet") as caught:
            assert event.isSet() is expected
        assert [str(warning.message) for warning in caught] == [
            "isSet() is deprecated, use is_set() instead"
        ]
        assert [warning.filename for warning in caught] == [__file__], "the line that calls it"
        event.set()


def test_the_deprecation_may_be_an_error(event):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="is deprecated, use is_set"):
            event.isSet()


def test_the_deprecated_name_calls_the_other(impl):
    class Child(impl.Event):
        def is_set(self):
            return "child"

    child = Child()
    with pytest.warns(DeprecationWarning, match="isSet"):
        assert child.isSet() == "child"
    event = impl.Event()
    event.is_set = lambda: "instance"
    with pytest.warns(DeprecationWarning, match="isSet"):
        assert event.isSet() == "instance"


def test_an_exception_in_what_the_deprecated_name_calls(impl):
    class Child(impl.Event):
        def is_set(self):
            raise LookupError

    with pytest.warns(DeprecationWarning, match="isSet"):
        with pytest.raises(LookupError):
            Child().isSet()


# _at_fork_reinit


@pytest.mark.parametrize("is_set", [False, True])
def test_at_fork_reinit_keeps_the_flag(event, is_set):
    if is_set:
        event.set()
    assert event._at_fork_reinit() is None
    assert event.is_set() is is_set
    assert event.wait(0) is is_set
    event.clear()
    waiter = start(event.wait)
    parked_on(event)
    event.set()
    assert waiter.join() is True


# Attributes, subclasses, references


def test_attributes(event):
    assert vars(event).keys() <= {"_cond", "_flag"}
    event.name = "x"
    assert event.name == "x"
    assert event.__dict__["name"] == "x"
    event.__dict__ = {**vars(event), "other": 1}
    assert event.other == 1
    del event.name
    assert not hasattr(event, "name")
    event.set()
    assert event.is_set()


def test_a_method_can_be_replaced_on_one_object(impl, event):
    event.set = lambda: "replaced"
    assert event.set() == "replaced"
    assert not event.is_set()
    del event.set
    event.set()
    assert event.is_set()


def test_subclass(impl):
    class Child(impl.Event):
        def __init__(self, x, *, y=0):
            super().__init__()
            self.x, self.y = x, y

        def set(self):
            super().set()
            self.x += 1

    child = Child(1, y=2)
    assert isinstance(child, impl.Event)
    assert (child.x, child.y) == (1, 2)
    assert not child.is_set()
    waiter = start(child.wait)
    parked_on(child)
    child.set()
    assert waiter.join() is True
    assert child.is_set()
    assert child.x == 2
    child.clear()
    assert child.wait(0) is False


def test_subclass_with_slots(impl):
    class Child(impl.Event):
        __slots__ = ("x",)

    child = Child()
    child.x = 1
    child.y = 2
    child.set()
    assert (child.x, child.y, child.is_set()) == (1, 2, True)


def test_several_bases(impl):
    class Mixin:
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mixed = True

    class Child(Mixin, impl.Event):
        pass

    child = Child()
    assert child.mixed
    child.set()
    assert child.is_set()


def test_init_again_clears(impl):
    for event in (impl.Event(), type("Child", (impl.Event,), {})()):
        event.set()
        assert event.__init__() is None
        assert not event.is_set()
        event.set()
        assert event.is_set()


def test_init_again_makes_a_new_one(impl):
    """Whoever waits goes on waiting on the old condition; nothing else wakes them."""
    event = impl.Event()
    event.set()
    event.__init__()
    assert not event.is_set()
    waiter = start(event.wait, DEADLINE)
    old = event._cond
    parked(old)
    event.__init__()
    assert event._cond is not old
    event.set()
    assert len(old._waiters) == 1
    with old:
        old.notify_all()
    assert waiter.join() is True
    assert event.is_set()


def test_a_subclass_that_does_not_call_init(impl):
    class Child(impl.Event):
        def __init__(self):
            pass

    for event in (Child(), impl.Event.__new__(impl.Event)):
        for call in (event.set, event.clear, event.is_set, lambda e=event: e.wait(0), event.wait):
            with pytest.raises(AttributeError, match=r"no attribute '_(cond|flag)'"):
                call()
        impl.Event.__init__(event)
        assert event.wait(0) is False
        event.set()
        assert event.wait() is True


def test_new_takes_any_arguments(impl):
    """As object.__new__ does where __init__ is overridden; __init__ looks at them."""

    class Child(impl.Event):
        def __init__(self, x, y=None):
            super().__init__()

    assert Child(1, y=2).wait(0) is False


def test_weak_references(event):
    dead = []
    reference = weakref.ref(event, dead.append)
    assert reference() is event
    assert weakref.getweakrefcount(event) == 1
    assert weakref.WeakSet([event]).pop() is event


def test_weak_reference_dies_with_the_event(impl):
    for cls in (impl.Event, type("Child", (impl.Event,), {})):
        event = cls()
        dead = []
        reference = weakref.ref(event, dead.append)
        event.set()
        del event
        gc.collect()
        assert reference() is None
        assert dead == [reference]


def test_cycles_are_collected(impl):
    for cls in (impl.Event, type("Child", (impl.Event,), {})):
        event = cls()
        assert gc.is_tracked(event)
        event.self = event
        event.bound = event.set
        reference = weakref.ref(event)
        del event
        gc.collect()
        assert reference() is None


def test_a_cycle_with_a_finalizer(impl):
    seen = []

    class Child(impl.Event):
        def __del__(self):
            self.set()
            seen.append(self.is_set())

    child = Child()
    child.self = child
    del child
    gc.collect()
    assert seen == [True]


def test_a_long_chain_is_destroyed(impl):
    """No recursion as deep as the chain is long."""
    event = None
    for _ in range(100_000):
        after, event = event, impl.Event()
        event.after = after
    del event, after
    gc.collect()


def test_referents_are_what_it_has(event):
    event.x = marker = object()
    assert marker in gc.get_referents(*gc.get_referents(event), event)


def test_always_true_and_equal_to_itself_only(impl, event):
    assert event
    assert event == event
    assert event != impl.Event()
    assert len({event, impl.Event(), event}) == 2


def test_the_event_lives_while_a_thread_waits(impl):
    """The waiter's reference keeps it."""
    event = impl.Event()
    waiter = start(event.wait)
    parked_on(event)
    reference = weakref.ref(event)
    event.set()
    del event
    assert waiter.join() is True
    wait_until(lambda: reference() is None)
