"""The private attributes of the classes that the stdlib writes in Python, and the recipes that use
them.

An object of ours is opened when they are touched: from then on it has those of the stdlib's object.
"""

from __future__ import annotations

import collections
import copy
import io
import pickle
import random
import threading
import time

import pytest
from concurrency import check_script, fork, in_child, join_child, kick_when_parked, leave_child
from support import DEADLINE, is_open, parked, start, wait_until

import pyfastlock
from pyfastlock import _core, _methods

NAMES = {
    "Event": {"_cond": None, "_flag": False},
    "Semaphore": {"_cond": None, "_value": 1},
    "BoundedSemaphore": {"_cond": None, "_value": 1, "_initial_value": 1},
    "Barrier": {
        "_cond": None, "_parties": 2, "_action": None, "_timeout": None, "_state": 0, "_count": 0,
    },
}  # fmt: skip
ARGUMENTS = {"Barrier": (2,)}
EVERY = [
    pytest.param(kind, name, id=f"{kind}.{name}") for kind, names in NAMES.items() for name in names
]
every = pytest.mark.parametrize(("kind", "name"), EVERY)
every_kind = pytest.mark.parametrize("kind", NAMES)
semaphores = pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])


def make(module, kind):
    return getattr(module, kind)(*ARGUMENTS.get(kind, ()))


def is_ours(module):
    return module is pyfastlock


def waiting(obj):
    """How many threads wait in the condition of an object that is open."""
    return len(obj._cond._waiters)


# Reading, writing, deleting


@every
def test_read(impl, kind, name):
    obj = make(impl, kind)
    value = getattr(obj, name)
    if name == "_cond":
        assert type(value) is impl.Condition
        assert value is obj._cond
        assert isinstance(value._lock, type(impl.Lock()))
        assert not value._lock.locked()
        assert waiting(obj) == 0
    else:
        assert value == NAMES[kind][name]
        assert type(value) is type(NAMES[kind][name])
    if is_ours(impl):
        assert is_open(obj) == (name == "_cond")


@every_kind
def test_reading_what_is_public_does_not_open(kind):
    obj = make(pyfastlock, kind)
    for name in dir(type(obj)):
        if name in ("_cond", "__dict__", "__getstate__", "__reduce_ex__", "__reduce__"):
            continue
        getattr(obj, name)
    repr(obj)
    obj.x = 1
    assert obj.x == 1
    del obj.x
    assert not hasattr(obj, "y")
    object.__setattr__(obj, "z", 1)
    copy.copy(type(obj))
    assert not is_open(obj)
    vars(obj)
    assert is_open(obj)


@every
def test_write(impl, kind, name):
    obj = make(impl, kind)
    value = impl.Condition(impl.Lock()) if name == "_cond" else 1
    setattr(obj, name, value)
    assert getattr(obj, name) is value
    assert vars(obj)[name] is value
    assert set(vars(obj)) == set(NAMES[kind])


@every
def test_delete(impl, kind, name):
    obj = make(impl, kind)
    delattr(obj, name)
    assert name not in obj.__dict__ or (is_ours(impl) and name != "_cond")
    if name == "_cond":
        for look in (lambda: obj._cond, lambda: delattr(obj, "_cond")):
            with pytest.raises(AttributeError, match="_cond"):
                look()
    setattr(obj, name, 7)
    assert getattr(obj, name) == vars(obj)[name] == 7


@every_kind
def test_no_such_attribute(impl, kind):
    obj = make(impl, kind)
    for name in ("_no_such", "_waiters", "_lock"):
        with pytest.raises(AttributeError, match=f"'{kind}' object has no attribute '{name}'"):
            getattr(obj, name)
        with pytest.raises(AttributeError, match=name):
            delattr(obj, name)


@every
def test_an_object_without_init_has_none(impl, kind, name):
    cls = getattr(impl, kind)
    obj = cls.__new__(cls)
    for look in (lambda: getattr(obj, name), lambda: delattr(obj, name)):
        with pytest.raises(AttributeError, match=name):
            look()
    assert vars(obj) == {}
    setattr(obj, name, 7)
    assert vars(obj) == {name: 7}
    assert getattr(obj, name) == 7
    delattr(obj, name)
    assert vars(obj) == {}
    with pytest.raises(AttributeError, match=name):
        getattr(obj, name)


@every_kind
def test_dict(impl, kind):
    obj = make(impl, kind)
    obj.x = 1
    assert obj.__dict__ is vars(obj)
    assert {**vars(obj), "_cond": None} == {**NAMES[kind], "x": 1}
    assert set(NAMES[kind]) | {"x"} <= set(dir(obj))
    vars(obj)["y"] = 2
    assert obj.y == 2
    obj.__dict__.update(z=3)
    assert obj.z == 3


@every_kind
def test_another_dict(impl, kind):
    obj, other = make(impl, kind), make(impl, kind)
    obj.__dict__ = {**vars(other), "x": 1}
    assert obj._cond is other._cond
    assert obj.x == 1
    obj.__dict__ = {}
    with pytest.raises(AttributeError, match="_cond"):
        obj._cond  # noqa: B018


@every_kind
def test_the_numbers_of_the_dict_are_those_of_the_object(impl, kind):
    """Whatever changed before it was opened, and after."""
    obj = make(impl, kind)
    if kind == "Event":
        obj.set()
        assert (obj._flag, vars(obj)["_flag"]) == (True, True)
        obj.clear()
        assert (obj._flag, vars(obj)["_flag"]) == (False, False)
        vars(obj)["_flag"] = True
        assert obj.is_set()
    elif kind == "Barrier":
        obj.abort()
        assert obj._state == vars(obj)["_state"] != 0
        obj.reset()
        assert obj._state == vars(obj)["_state"] == 0
    else:
        obj.acquire()
        assert (obj._value, vars(obj)["_value"]) == (0, 0)
        obj.release()
        assert (obj._value, vars(obj)["_value"]) == (1, 1)
        vars(obj)["_value"] = 0
        assert obj.acquire(False) is False


@pytest.mark.parametrize("before", [False, True])
def test_a_flag_that_is_written(impl, before):
    event = impl.Event()
    if before:
        event.set()
    event._flag = not before
    assert event.is_set() is not before
    assert event.wait(0) is not before
    event._flag = before
    assert event.is_set() is before


@semaphores
def test_values_that_are_written(impl, kind):
    semaphore = getattr(impl, kind)(3)
    semaphore._value = 1
    assert semaphore.acquire(False)
    assert not semaphore.acquire(False)
    assert not semaphore.acquire(timeout=0.001)
    semaphore._value += 2
    with semaphore:
        assert semaphore._value == 1
    assert semaphore._value == 2
    assert repr(semaphore).endswith("value=2>" if kind == "Semaphore" else "value=2/3>")
    if kind == "BoundedSemaphore":
        semaphore._initial_value = 2
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release()
        semaphore._initial_value = 5
        semaphore.release(3)
        assert repr(semaphore).endswith("value=5/5>")


@every_kind
def test_methods_of_an_open_object(impl, kind):
    """They do what they did: the stdlib's own tests of the same calls, in short."""
    obj = make(impl, kind)
    obj._cond  # noqa: B018
    if kind == "Event":
        assert not obj.is_set()
        assert obj.wait(0.001) is False
        obj.set()
        assert obj.is_set()
        assert obj.wait() is True
        obj.clear()
        assert not obj.is_set()
        assert repr(obj).endswith(": unset>")
        with pytest.deprecated_call():
            assert obj.isSet() is False
    elif kind == "Barrier":
        other = start(obj.wait)
        wait_until(lambda: obj.n_waiting == 1)
        assert {obj.wait(), other.join()} == {0, 1}
        assert (obj.parties, obj.broken) == (2, False)
        obj.abort()
        assert obj.broken
        with pytest.raises(threading.BrokenBarrierError):
            obj.wait()
        obj.reset()
        assert not obj.broken
        with pytest.raises(threading.BrokenBarrierError):
            obj.wait(0.001)
    else:
        assert obj.acquire() is True
        assert obj.acquire(blocking=False) is obj.acquire(timeout=0.001) is False
        with pytest.raises(ValueError, match="can't specify timeout"):
            obj.acquire(False, 1)
        waiter = start(obj.acquire)
        wait_until(lambda: waiting(obj) == 1)
        obj.release()
        assert waiter.join() is True
        obj.release()
        with obj:
            assert obj._value == 0
        with pytest.raises(ValueError, match="n must be one or more"):
            obj.release(0)


# Copies


class Conditions(pickle.Pickler):
    """Keeps the conditions and locks aside, as a pickler that can share them does."""

    kept: dict

    def persistent_id(self, obj):
        if isinstance(obj, (threading.Condition, pyfastlock.Condition, *LOCKS)):
            self.kept[id(obj)] = obj
            return id(obj)
        return None


LOCKS = tuple(type(getattr(m, n)()) for m in (threading, pyfastlock) for n in ("Lock", "RLock"))


def round_trip(obj, protocol=pickle.DEFAULT_PROTOCOL):
    out = io.BytesIO()
    pickler = Conditions(out, protocol)
    pickler.kept = {}
    pickler.dump(obj)

    class Loader(pickle.Unpickler):
        def persistent_load(self, pid):
            return pickler.kept[pid]

    return Loader(io.BytesIO(out.getvalue())).load()


@every_kind
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_round_trips_of_the_state(impl, kind, protocol):
    obj = make(impl, kind)
    obj.x = [1]
    if kind == "Event":
        obj.set()
    elif kind != "Barrier":
        obj.acquire()
    _, arguments, state, *_ = obj.__reduce_ex__(protocol)
    assert arguments == (type(obj),)
    assert {**state, "_cond": None} == {**vars(obj), "_cond": None}
    assert set(state) == {*NAMES[kind], "x"}
    other = round_trip(obj, protocol)
    assert type(other) is type(obj)
    assert vars(other) == vars(obj)
    assert other._cond is obj._cond
    if kind == "Event":
        assert other.is_set()
        other.clear()
        assert obj.is_set()
    elif kind == "Barrier":
        third = start(other.wait)
        wait_until(lambda: other.n_waiting == 1)
        assert {other.wait(), third.join()} == {0, 1}
    else:
        assert not other.acquire(False)
        other.release()
        assert (other._value, obj._value) == (1, 0)


def test_getstate(impl):
    for kind in NAMES:
        state = make(impl, kind).__reduce_ex__(2)[2]
        assert set(state) == set(NAMES[kind])

    class Slotted(impl.Semaphore):
        __slots__ = ("a",)

    obj = Slotted(2)
    obj.a = 5
    other = copy.copy(obj)
    assert (other.a, other._value) == (5, 2)
    assert other._cond is obj._cond


def test_a_condition_is_pickled_with_its_lock(impl):
    class Child(impl.Condition):
        pass

    globals()["Child"] = Child
    Child.__qualname__ = "Child"
    try:
        for cond in (impl.Condition(), impl.Condition(impl.Lock())):
            state = cond.__reduce_ex__(2)[2]
            assert state["_lock"] is cond._lock
            other = impl.Condition.__new__(impl.Condition)
            if hasattr(other, "__setstate__"):
                other.__setstate__(state)
            else:
                vars(other).update(state)
            assert other._lock is cond._lock
            with other:
                assert not cond.acquire(False) or isinstance(cond._lock, type(impl.RLock()))
                assert other.wait(0.001) is False
    finally:
        del globals()["Child"]


# Opening while others wait


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_an_event_is_opened_while_others_wait(impl, timeout):
    event = impl.Event()
    waiters = [start(event.wait, timeout) for _ in range(3)]
    parked(event, 3)
    assert waiting(event) == 3
    if is_ours(impl):
        assert _core._waiters(event) == 0
    assert not event.is_set()
    event.set()
    assert [waiter.join() for waiter in waiters] == [True] * 3
    assert waiting(event) == 0


def test_a_pulse_of_an_event_that_was_opened_while_others_waited(impl):
    event = impl.Event()
    waiters = [start(event.wait) for _ in range(3)]
    parked(event, 3)
    with event._cond:
        event._flag = True
        event._cond.notify_all()
        event._flag = False
    assert [waiter.join() for waiter in waiters] == [True] * 3
    assert not event.is_set()


def test_an_opened_wait_times_out(impl):
    event, semaphore = impl.Event(), impl.Semaphore(0)
    for obj, wait in (
        (event, lambda: event.wait(0.3)),
        (semaphore, lambda: semaphore.acquire(timeout=0.3)),
    ):
        begun = time.monotonic()
        waiter = start(wait)
        parked(obj)
        obj._cond  # noqa: B018
        assert waiter.join() is False
        assert time.monotonic() - begun >= 0.3
        assert waiting(obj) == 0


@semaphores
@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_semaphore_is_opened_while_others_wait(impl, kind, timeout):
    semaphore = getattr(impl, kind)(3)
    for _ in range(3):
        semaphore.acquire()
    waiters = [start(semaphore.acquire, True, timeout) for _ in range(3)]
    parked(semaphore, 3)
    cond = semaphore._cond
    wait_until(lambda: len(cond._waiters) == 3)
    semaphore.release()
    wait_until(lambda: sum(waiter.done for waiter in waiters) == 1)
    assert semaphore._value == 0
    semaphore.release(2)
    assert [waiter.join() for waiter in waiters] == [True] * 3
    assert semaphore._value == 0


@semaphores
def test_permits_written_while_others_wait(impl, kind):
    semaphore = getattr(impl, kind)(2)
    semaphore.acquire()
    semaphore.acquire()
    waiters = [start(semaphore.acquire) for _ in range(2)]
    parked(semaphore, 2)
    with semaphore._cond:
        semaphore._value += 2
        semaphore._cond.notify(2)
    assert [waiter.join() for waiter in waiters] == [True, True]
    assert semaphore._value == 0


@pytest.mark.parametrize("how", ["wait", "abort", "reset", "timeout"])
def test_a_barrier_is_opened_while_others_wait(impl, how):
    barrier = impl.Barrier(3)
    waiters = [start(barrier.wait, 0.5 if how == "timeout" else None) for _ in range(2)]
    wait_until(lambda: barrier.n_waiting == 2)
    barrier._cond  # noqa: B018
    assert barrier.n_waiting == barrier._count <= 2
    if how == "wait":
        assert {barrier.wait(), *(waiter.join() for waiter in waiters)} == {0, 1, 2}
    else:
        if how != "timeout":
            getattr(barrier, how)()
        for waiter in waiters:
            with pytest.raises(threading.BrokenBarrierError):
                waiter.join()
        assert barrier.broken == (how != "reset")
    wait_until(lambda: barrier.n_waiting == 0)


def open_in_handler(obj):
    """What a handler does: it touches the inside, and the wait that it interrupted goes on."""
    obj._cond  # noqa: B018


@pytest.mark.parametrize("also", ["", "set", "pulse"])
def test_a_handler_opens_the_event_whose_wait_it_interrupts(impl, handle, watchdog, also):
    event = impl.Event()
    others = [start(event.wait) for _ in range(2)]
    parked(event, 2)

    def handler():
        with event._cond:
            event._flag = also != ""
            if also:
                event._cond.notify_all()
            if also == "pulse":
                event._flag = False

    handle(handler)
    kicker = kick_when_parked(event, 3)
    if also == "set":
        assert event.wait() is True
    elif also == "pulse":
        # The pulse finds those that wait; a wait that begins anew after the handler may miss it.
        event.wait(0.2)
    else:
        assert event.wait(0.2) is False
        event.set()
    kicker.join()
    assert [other.join() for other in others] == [True, True]


def test_a_handler_opens_the_semaphore_whose_wait_it_interrupts(impl, handle, watchdog):
    semaphore = impl.Semaphore(0)
    handle(lambda: open_in_handler(semaphore))
    kicker = kick_when_parked(semaphore)

    def give():
        kicker.join()
        wait_until(lambda: not is_ours(impl) or is_open(semaphore))
        wait_until(lambda: waiting(semaphore) == 1)
        semaphore.release()

    giver = start(give)
    assert semaphore.acquire() is True
    giver.join()
    assert semaphore._value == 0


def test_a_handler_opens_the_barrier_whose_wait_it_interrupts(impl, handle, watchdog):
    barrier = impl.Barrier(2)
    handle(lambda: open_in_handler(barrier))

    def arrive():
        kick_when_parked(barrier).join()
        wait_until(lambda: not is_ours(impl) or is_open(barrier))
        return barrier.wait()

    other = start(arrive)
    assert barrier.wait() == 0
    assert other.join() == 1
    wait_until(lambda: barrier.n_waiting == 0)


def test_a_handler_that_raises_after_it_opened(impl, handle, watchdog):
    class Stop(Exception):
        pass

    for obj, wait in [
        *((x, x.wait) for x in (impl.Event(), impl.Barrier(2))),
        *((x, x.acquire) for x in (impl.Semaphore(0),)),
    ]:

        def handler(obj=obj):
            obj._cond  # noqa: B018
            raise Stop

        handle(handler)
        kicker = kick_when_parked(obj)
        with pytest.raises(Stop):
            wait()
        kicker.join()
        assert waiting(obj) == 0


# Opening while others use it

ROUNDS = 150


def together(*functions):
    """Run the functions in a thread each, which begin at the same time; their results."""
    gate = threading.Barrier(len(functions))

    def run(function):
        gate.wait(DEADLINE)
        return function()

    return [thread.join() for thread in [start(run, function) for function in functions]]


def pause():
    """A random number of bytecodes."""
    for _ in range(random.randrange(60)):
        pass


def test_no_set_is_lost_to_opening(impl):
    for _ in range(ROUNDS):
        event = impl.Event()

        def touch(event=event):
            pause()
            return event._cond

        def put(event=event):
            pause()
            event.set()
            return event.is_set()

        def wait(event=event):
            return event.wait(DEADLINE)

        results = together(wait, wait, wait, wait, touch, touch, touch, put)
        assert results[:4] == [True] * 4
        assert results[4] is results[5] is results[6] is event._cond
        assert results[7] is True
        assert event._flag is True
        assert waiting(event) == 0


def test_no_clear_is_lost_to_opening(impl):
    for n in range(ROUNDS):
        event = impl.Event()
        event.set()

        def change(event=event):
            for _ in range(3):
                event.clear()
                event.set()
            event.clear()
            return event.is_set()

        def touch(event=event, n=n):
            pause()
            if n % 2:
                vars(event)
            else:
                event._cond  # noqa: B018

        assert together(change, touch, touch)[0] is False
        assert event._flag is vars(event)["_flag"] is False


@semaphores
def test_no_permit_is_lost_or_made_by_opening(impl, kind):
    for n in range(ROUNDS // 3):
        semaphore = getattr(impl, kind)(2)
        inside, most = [], []

        def use(semaphore=semaphore, inside=inside, most=most):
            for turn in range(12):
                if turn % 3:
                    assert semaphore.acquire()
                else:
                    assert semaphore.acquire(timeout=DEADLINE)
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                semaphore.release()

        def touch(semaphore=semaphore, n=n):
            for _ in range(3):
                pause()
            if n % 2:
                vars(semaphore)
            else:
                semaphore._cond  # noqa: B018

        together(*[use] * 6, touch, touch)
        assert max(most) <= 2
        assert semaphore._value == 2
        assert waiting(semaphore) == 0
        assert not inside


@semaphores
def test_a_free_permit_is_found_while_it_is_opened(impl, kind):
    """There are more than threads: nobody may be told that there is none."""
    for _ in range(ROUNDS // 3):
        semaphore = getattr(impl, kind)(8)

        def use(semaphore=semaphore):
            for _ in range(20):
                assert semaphore.acquire(False)
                assert semaphore.acquire(blocking=False) or semaphore._value < 8
                semaphore.release()
                semaphore.release()

        def touch(semaphore=semaphore):
            pause()
            return semaphore._cond

        together(*[use] * 3, touch)
        assert semaphore._value == 8


def test_opened_by_what_an_argument_runs(impl):
    """Python code that runs inside a call may open the object of the call."""
    semaphore = impl.Semaphore(1)

    class Opens:
        def __bool__(self):
            semaphore._cond  # noqa: B018
            return False

    assert semaphore.acquire(Opens()) is True
    assert semaphore.acquire(Opens()) is False
    semaphore = impl.Semaphore(1)

    class Number(int):
        def __lt__(self, other):
            semaphore._cond  # noqa: B018
            return super().__lt__(other)

    semaphore.release(Number(3))
    assert semaphore._value == 4
    event = impl.Event()

    class Seconds(float):
        def __gt__(self, other):
            event._cond  # noqa: B018
            return super().__gt__(other)

    assert event.wait(Seconds(0.01)) is False
    event = impl.Event()
    waiter = start(event.wait, Seconds(DEADLINE))
    parked(event._cond)
    event.set()
    assert waiter.join() is True


def test_a_barrier_is_opened_while_threads_arrive(impl):
    for _ in range(ROUNDS // 3):
        barrier = impl.Barrier(4)

        def touch(barrier=barrier):
            pause()
            return barrier._cond

        results = together(*[barrier.wait] * 4, touch, touch)
        assert sorted(results[:4]) == [0, 1, 2, 3]
        wait_until(lambda b=barrier: b.n_waiting == 0)
        assert sorted(together(*[barrier.wait] * 4)) == [0, 1, 2, 3]


# Forks


@every_kind
def test_fork_of_an_open_object(impl, kind):
    obj = make(impl, kind)
    obj._cond  # noqa: B018

    def check():
        if kind == "Event":
            obj.set()
            assert obj.wait(DEADLINE)
            obj._at_fork_reinit()
            assert obj.is_set()
        elif kind == "Barrier":
            other = start(obj.wait)
            assert {obj.wait(DEADLINE), other.join()} == {0, 1}
        else:
            assert obj.acquire(timeout=DEADLINE)
            waiter = start(obj.acquire)
            wait_until(lambda: waiting(obj) == 1)
            obj.release()
            assert waiter.join()

    in_child(check)
    check()


def test_fork_while_others_wait_in_an_event_that_was_opened(impl):
    event = impl.Event()
    waiter = start(event.wait)
    parked(event)
    with event._cond:
        pid = fork()
        if pid == 0:

            def check():
                event._at_fork_reinit()
                assert not event.is_set()
                event.set()
                assert event.wait(DEADLINE)

            leave_child(check)
        join_child(pid)
    assert not event.is_set()
    event.set()
    assert waiter.join() is True


# Conditions


def test_the_lock_is_set_once():
    class Child(pyfastlock.Condition):
        def __init__(self, lock):
            self._lock = lock
            self._waiters = collections.deque()

    lock = pyfastlock.Lock()
    child = Child(lock)
    assert child._lock is lock
    with child:
        assert lock.locked()
        assert child.wait(0.001) is False
    child._lock = lock
    for other in (pyfastlock.Lock(), threading.Lock(), None):
        with pytest.raises(AttributeError, match=r"make a new Condition\(lock\)|no attribute 'acq"):
            child._lock = other
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del child._lock
    assert child._lock is lock
    with pytest.raises(AttributeError, match="'acquire'"):
        Child(5)


def test_a_condition_without_init(impl):
    class Child(impl.Condition):
        def __init__(self):
            pass

    for cond in (Child(), impl.Condition.__new__(impl.Condition)):
        for call in (
            cond.notify,
            cond.notify_all,
            cond.wait,
            lambda c=cond: c.wait(0),
            lambda c=cond: c.__enter__(),
            lambda c=cond: c.acquire(),
            lambda c=cond: c._lock,
            lambda c=cond: repr(c),
        ):
            with pytest.raises(AttributeError, match=r"no attribute '(_lock|acquire|_waiters)'"):
                call()


def test_waiters_can_be_counted(impl):
    cond = impl.Condition()
    assert len(cond._waiters) == 0
    assert not cond._waiters

    def wait():
        with cond:
            return cond.wait(DEADLINE)

    waiters = [start(wait) for _ in range(3)]
    wait_until(lambda: len(cond._waiters) == 3)
    with cond:
        assert cond._waiters
        cond.notify(2)
        assert len(cond._waiters) == 1
        cond.notify_all()
        assert len(cond._waiters) == 0
    assert [waiter.join() for waiter in waiters] == [True] * 3


def test_waiters_may_be_emptied_where_they_are_empty(impl):
    cond = impl.Condition()
    cond._waiters = collections.deque()
    cond._waiters = type(cond._waiters)(*[cond] * is_ours(impl))
    with cond:
        assert cond.wait(0.001) is False
    assert len(cond._waiters) == 0


@pytest.mark.parametrize(
    "use", ["w.append(1)", "w.popleft()", "w.remove(1)", "w.clear()", "[*w]", "w[0]"]
)
def test_waiters_say_what_to_do_instead(use):
    cond = pyfastlock.Condition()
    with pytest.raises(AttributeError, match=r"by len\(\).* notify\(\) or notify_all\(\)"):
        exec(use, {"w": cond._waiters})


def test_waiters_cannot_be_replaced_while_somebody_waits():
    cond = pyfastlock.Condition()

    def wait():
        with cond:
            return cond.wait(DEADLINE)

    with pytest.raises(AttributeError, match=r"use notify\(\) or notify_all\(\)"):
        cond._waiters = collections.deque([1])
    waiter = start(wait)
    parked(cond)
    with pytest.raises(AttributeError, match=r"use notify\(\) or notify_all\(\)"):
        cond._waiters = collections.deque()
    with cond:
        cond.notify()
    assert waiter.join() is True


# Recipes

RECIPES = {
    "resizable semaphore": """
        class Resizable(m.Semaphore):
            def resize(self, n):
                with self._cond:
                    self._value += n
                    if n > 0:
                        self._cond.notify(n)

        s = Resizable(0)
        waiters = [start(s.acquire) for _ in range(3)]
        parked(s, 3)
        s.resize(3)
        assert [w.join() for w in waiters] == [True] * 3
        s.resize(1)
        assert s.acquire(False) and not s.acquire(False)
        s.release(2)
        s.resize(-1)
        assert s._value == 1
    """,
    "event that resets itself": """
        class AutoReset(m.Event):
            def wait(self, timeout=None):
                with self._cond:
                    got = self._flag or self._cond.wait(timeout)
                    if got:
                        self._flag = False
                    return got

        e = AutoReset()
        e.set()
        assert e.wait(1) is True
        assert not e.is_set()
        assert e.wait(0.001) is False
        w = start(e.wait)
        wait_until(lambda: len(e._cond._waiters) == 1)
        e.set()
        assert w.join() is True
        assert not e.is_set()
    """,
    "event of several": """
        # Each event of them also tells a common condition.
        class Part(m.Event):
            def __init__(self, common):
                super().__init__()
                self._cond = common

        common = m.Condition()
        parts = [Part(common) for _ in range(3)]

        def any_of():
            with common:
                assert common.wait_for(lambda: any(p._flag for p in parts), 30)
                return [p.is_set() for p in parts]

        w = start(any_of)
        wait_until(lambda: len(common._waiters) == 1)
        parts[1].set()
        assert w.join() == [False, True, False]
    """,
    "gauge of those who wait": """
        e, s, c = m.Event(), m.Semaphore(0), m.Condition()

        def wait():
            with c:
                c.wait(30)

        def gauge():
            return [len(x._waiters) for x in (c, e._cond, s._cond)]

        assert gauge() == [0, 0, 0]
        threads = [start(f) for f in (wait, wait, e.wait, s.acquire)]
        wait_until(lambda: gauge() == [2, 1, 1])
        with c:
            c.notify_all()
        e.set()
        s.release()
        for t in threads:
            t.join()
        assert gauge() == [0, 0, 0]
    """,
    "semaphore that tells how many are free": """
        b = m.BoundedSemaphore(5)
        b.acquire()
        assert (b._initial_value - b._value, b._value) == (1, 4)
        while b._value:
            b.acquire()
        assert not b.acquire(False)
        b.release(b._initial_value)
        assert b._value == 5
    """,
    "try to enter with a priority": """
        s = m.Semaphore(2)
        with s._cond:
            if s._value > 1:
                s._value -= 1
                mine = True
        assert mine and s._value == 1
        assert s.acquire(False) and not s.acquire(False)
    """,
    "lock of an event": """
        e = m.Event()
        with e._cond:
            w = start(e.set)
            assert not w.done and not e.is_set()
        w.join()
        assert e.is_set()
        assert e._cond.acquire(False)
        e._cond.release()
    """,
    "barrier that takes more": """
        class Growing(m.Barrier):
            def grow(self):
                with self._cond:
                    self._parties += 1

        b = Growing(1)
        assert b.wait() == 0
        b.grow()
        assert b.parties == 2
        w = start(b.wait)
        wait_until(lambda: b.n_waiting == 1)
        assert {b.wait(), w.join()} == {0, 1}
        done = []
        b._action = lambda: done.append(1)
        w = start(b.wait)
        b.wait()
        w.join()
        assert done == [1]
    """,
}


def indented(source):
    return "\n".join(line[8:] for line in source.splitlines())


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes(impl, recipe):
    exec(indented(RECIPES[recipe]), {**globals(), "m": impl})


def test_recipes_patched():
    """In one process, where the names of `threading` are ours."""
    calls = [f"exec({indented(source)!r}, globals())" for source in RECIPES.values()]
    check_script("\n".join(["impl.patch()", "import threading as m", *calls]))


# Semaphores that are opened while threads wait for them


def with_waiters(kind, acquire, count):
    """A semaphore without a permit, and threads that wait for one, in their order."""
    sema = getattr(pyfastlock, kind)(count)
    for _ in range(count):
        sema.acquire()
    threads = []
    for number in range(count):
        threads.append(start(acquire, sema, number))
        wait_until(lambda n=number: _core._waiters(sema) == n + 1)
    return sema, threads


@semaphores
def test_opening_keeps_the_order_of_those_who_wait(kind):
    for _ in range(10):
        order = []

        def acquire(sema, number, order=order):
            assert sema.acquire(timeout=DEADLINE)
            order.append(number)

        sema, threads = with_waiters(kind, acquire, 4)
        assert waiting(sema) == 4
        for number in range(4):
            sema.release()
            wait_until(lambda n=number, order=order: len(order) == n + 1)
        assert order == [0, 1, 2, 3]
        for thread in threads:
            thread.join()


@semaphores
def test_a_permit_goes_on_from_a_waiter_that_raises(kind):
    """It was notified after the opening, and nobody else was for the same permit."""

    class Interrupt(Exception):
        pass

    class Interrupted:
        def acquire(self, *_):
            raise Interrupt

    sema, (other,) = with_waiters(kind, lambda sema, _: sema.acquire(timeout=DEADLINE), 1)
    assert waiting(sema) == 1
    sema._value = 1  # a release whose notification went to the one that raises
    with pytest.raises(Interrupt):
        _methods.go_on_acquiring(Interrupted(), sema, None)
    assert other.join()
    assert sema._value == 0


# Code that runs in the middle of a call, and opens the object.


class Seconds:
    """A timeout that calls a function when it is read."""

    def __init__(self, seconds, function):
        self.seconds, self.function = seconds, function

    def __gt__(self, other):
        return self.seconds > other

    def __radd__(self, other):
        return other + self.seconds

    def __index__(self):
        self.function()
        return self.seconds


def test_an_event_is_opened_while_its_timeout_is_read():
    event = pyfastlock.Event()
    setter = start(lambda: (wait_until(lambda: is_open(event)), parked(event._cond), event.set()))
    assert event.wait(Seconds(int(DEADLINE), lambda: event._cond)) is True
    setter.join()


def test_an_event_is_opened_and_set_while_its_timeout_is_read():
    event = pyfastlock.Event()
    assert event.wait(Seconds(int(DEADLINE), lambda: setattr(event, "_flag", True))) is True


def test_a_barrier_is_opened_while_its_timeout_is_read():
    barrier = pyfastlock.Barrier(2)
    other = start(lambda: (wait_until(lambda: is_open(barrier)), barrier.wait(DEADLINE)))
    index = barrier.wait(Seconds(int(DEADLINE), lambda: barrier._cond))
    assert sorted([index, other.join()[1]]) == [0, 1]


@every_kind
def test_an_object_is_opened_while_it_is_opened(kind, monkeypatch):
    """The Condition of whoever is first stays."""
    obj = getattr(pyfastlock, kind)(*ARGUMENTS.get(kind, ()))
    make, opened = pyfastlock.Condition.__init__, []

    def open_and_make(self, lock=None):
        if not opened:
            opened.append(None)
            opened.append(obj._cond)
        make(self, lock)

    monkeypatch.setattr(pyfastlock.Condition, "__init__", open_and_make)
    cond = obj._cond
    assert cond is opened[1]
    assert obj._cond is cond


@every_kind
def test_a_dict_from_before_init_cannot_give_the_condition(kind):
    """Nobody knows of the object that somebody else has its __dict__."""
    cls = getattr(pyfastlock, kind)
    arguments = ARGUMENTS.get(kind, ())
    obj = cls.__new__(cls)
    inside = obj.__dict__
    obj.__init__(*arguments)
    inside["_cond"] = threading.Condition()
    name = "_flag" if kind == "Event" else "_count" if kind == "Barrier" else "_value"
    before = repr(obj)
    for touch in (
        lambda: obj._cond,
        lambda: setattr(obj, name, 0),
        lambda: delattr(obj, name),
        lambda: obj.__dict__,
        lambda: setattr(obj, "__dict__", {}),
        lambda: obj.__init__(*arguments),
        lambda: copy.copy(obj),
    ):
        with pytest.raises(RuntimeError, match="cannot be replaced through its __dict__"):
            touch()
    assert repr(obj) == before
    del inside["_cond"]
    assert type(obj._cond) is pyfastlock.Condition


def test_a_barrier_is_not_opened_while_its_action_runs():
    caught = []

    def act():
        with pytest.raises(AttributeError, match="while its action runs") as exc:
            barrier._cond  # noqa: B018 - the look opens
        caught.append(exc.type)

    barrier = pyfastlock.Barrier(1, act)
    assert barrier.wait() == 0
    assert caught == [AttributeError]
    assert type(barrier._cond) is pyfastlock.Condition
