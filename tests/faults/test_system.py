"""Calls of the system fail below Python, and the time of day jumps: `interpose.c`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from interposed import check_interposed

MODULE = """
import errno, signal, pyfastlock
from pyfastlock import _core
SHORT = 0.001
with open("/proc/self/maps") as maps:
    lines = [line.split() for line in maps if line.rstrip().endswith(_core.__file__)]
ranges = [[int(end, 16) for end in line[0].split("-")] for line in lines]
calls.interpose_module(min(r[0] for r in ranges), max(r[1] for r in ranges))
"""

EACH_CALL = """
import gc, os, weakref

def held(lock):
    run_in_thread(lock.acquire)
    return lock

def cond(lock):
    condition = impl.Condition(lock)
    run_in_thread(condition.acquire)
    return condition

def locked(condition):
    return not run_in_thread(condition.acquire, False)

def try_rlock():
    lock = impl.RLock()
    def work():
        got = lock.acquire()
        lock.release()
        return got
    return work, lambda: not lock.locked() if hasattr(lock, "locked") else lock.acquire(False)

def waits(make, method, *args, after=lambda obj: queued(obj) == 0):
    obj = make()
    return lambda: getattr(obj, method)(*args), lambda: after(obj)

def named():
    lock = impl.Lock()
    impl.set_name(lock, "first")
    return lambda: impl.set_name(lock, "second"), lambda: _core._name(lock) in ("first", "second")

def planned():
    file = File()
    before = sys.getrefcount(file)
    def work():
        try:
            impl.dump_locks_later(3000, file=file)
        except RuntimeError as error:
            assert str(error) == "unable to start watchdog thread"
            raise MemoryError from None
    def check():
        impl.cancel_dump_locks_later()
        return sys.getrefcount(file) == before
    return work, check

def registered():
    done = []
    def work():
        try:
            impl.register(signal.SIGUSR1, 2)
        except OSError as error:
            assert error.errno == errno.EINVAL
            raise MemoryError from None
        done.append(True)
    return work, lambda: impl.unregister(signal.SIGUSR1) is bool(done)

class File:
    def fileno(self):
        return 2

def registered_again():
    first, second = File(), File()
    impl.register(signal.SIGUSR1, first)
    counts = lambda: (sys.getrefcount(first), sys.getrefcount(second))
    kept = counts()
    def work():
        try:
            impl.register(signal.SIGUSR1, second)
        except OSError:
            assert counts() == kept
            raise MemoryError from None
    return work, lambda: impl.unregister(signal.SIGUSR1)

foreign = lambda: cond(threading.Lock())
CASES = {
    "first RLock": try_rlock,
    "Lock": lambda: waits(lambda: held(impl.Lock()), "acquire", True, SHORT),
    "RLock": lambda: waits(lambda: held(impl.RLock()), "acquire", True, SHORT),
    "Condition": lambda: waits(lambda: cond(impl.Lock()), "wait", SHORT, after=locked),
    "Condition, no time": lambda: waits(lambda: cond(impl.Lock()), "wait", 0, after=locked),
    "wait_for": lambda: waits(lambda: cond(impl.Lock()), "wait_for", bool, SHORT, after=locked),
    "foreign": lambda: waits(foreign, "wait", SHORT, after=locked),
    "Event": lambda: waits(impl.Event, "wait", SHORT),
    "Semaphore": lambda: waits(lambda: impl.Semaphore(0), "acquire", True, SHORT),
    "Barrier": lambda: waits(lambda: impl.Barrier(1, int), "wait"),
    "set_name": named,
    "dump_locks_later": planned,
    "register": registered,
    "register again": registered_again,
}
failures = []

def attempt(make, n):
    # In a thread that is new, and so has no number yet; the main thread is another case.
    work, check = make()
    calls.interpose_fail(n)
    try:
        work()
        failed = False
    except MemoryError:
        failed = True
    finally:
        calls.interpose_fail(0)
    assert check(), (make, n)
    if failed:
        work()
        assert check(), (make, n)
        failures.append(n)
    return failed

for name, make in CASES.items():
    for where in (run_in_thread, lambda function, *args: function(*args)):
        n = 1
        while where(attempt, make, n):
            n += 1
            assert n < 20, name
        if where is run_in_thread:
            # Who wants a Lock does without a number for a moment, and gets one when it has to wait.
            assert (n >= 2) is (name != "Lock"), (name, "nothing has failed")

with open(os.devnull, "w") as file:
    kept = weakref.ref(file)
    calls.interpose_fail(1)
    try:
        pyfastlock.dump_locks_later(1000, file=file)
    except RuntimeError:
        failures.append(1)
    calls.interpose_fail(0)
    assert failures.pop() == 1
del file
gc.collect()
assert kept() is None, "a dump that cannot come keeps its file"

# A new thread needs memory for its number, and a place to keep it.
print("ok", len(failures) >= 2 * (len(CASES) - 1))
"""


def test_each_call_of_the_system_fails(tmp_path: Path) -> None:
    check_interposed(MODULE + EACH_CALL, tmp_path, "pyfastlock", "ok True")


CONTENTION = """
def fail(n, act):
    # Returns whether so many calls were made.
    calls.interpose_fail(n)
    try:
        act()
    except MemoryError:
        pass
    return calls.interpose_fail(0) >= n

def named(name):
    event = impl.Event()
    impl.set_name(event, name)
    event.wait(SHORT)
    return event

def count(report):
    return sum(lock.waits for lock in report.locks)

# A wait that nobody can note is counted.
early = impl.Event()
ACTS = {
    "wait": lambda events: early.wait(SHORT) or done.append(1),
    "make": lambda events: impl.Event(),
    "free": lambda events: events.clear(),
    "read": lambda events: report.locks,
}
lost = dict.fromkeys(ACTS, 0)
for name, act in ACTS.items():
    n, goes_on = 1, True
    while goes_on:
        done = []  # waits of "wait"
        with impl.contention() as report:
            events = [named("first"), named("second"), named("third")]
            goes_on = fail(n, lambda: act(events))
        lost[name] += report.lost
        waits = 3 + len(done) - (report.lost if name == "wait" else 0)
        assert count(report) == waits, (name, n, str(report))
        n += 1
    assert n > 2, name
assert lost == {"wait": 2, "make": 1, "free": 0, "read": 0}, lost

def part_of(event):
    # The part of the table that has the object's record.
    return (id(event) * 0x9E3779B97F4A7C15 & 2**64 - 1) >> 60

# Freed objects of too many names share a record.
with impl.contention() as report:
    made, freed = 0, [0] * 16
    while max(freed) < 512:
        freed[part_of(named(f"number {made}"))] += 1
        made += 1
    full = freed.index(512)
    for n in (2, 3, 1):
        events = [named(f"{n} fails")]
        made += 1
        while part_of(events[-1]) != full:
            events.append(named("elsewhere"))
            made += 1
        last = [events.pop()]
        assert fail(n, last.clear)
assert count(report) + report.lost == made, (count(report), report.lost, made)
print("ok", report.lost == 2)
"""


def test_each_call_fails_while_contention_is_recorded(tmp_path: Path) -> None:
    check_interposed(MODULE + CONTENTION, tmp_path, "pyfastlock", "ok True")


JUMPS = """
first = time.time()
calls.interpose_jumps(1)
assert abs(time.time() - first) > 3000
LONG = 3000
SHORT = 0.02
lock, rlock, event, semaphore = impl.Lock(), impl.RLock(), impl.Event(), impl.Semaphore(0)
cond = impl.Condition(impl.Lock())
bounded = impl.BoundedSemaphore(1)
bounded.acquire()

def wait_in(condition, timeout):
    with condition:
        return condition.wait(timeout)

def wait_for(timeout):
    with cond:
        return cond.wait_for(lambda: flags, timeout)

def arrive(timeout):
    try:
        return barrier.wait(timeout) >= 0
    except impl.BrokenBarrierError:
        barrier.reset()
        return False

def notify():
    with cond:
        flags.append(1)
        cond.notify_all()

flags = []
barrier = impl.Barrier(2)
run_in_thread(rlock.acquire)
lock.acquire()
timed = {
    "Lock": (lambda timeout: lock.acquire(timeout=timeout), lock.release),
    "Condition": (lambda timeout: wait_in(cond, timeout), notify),
    "wait_for": (wait_for, notify),
    "Event": (event.wait, event.set),
    "Semaphore": (lambda timeout: semaphore.acquire(timeout=timeout), semaphore.release),
    "BoundedSemaphore": (lambda timeout: bounded.acquire(timeout=timeout), bounded.release),
    "Barrier": (arrive, lambda: arrive(LONG)),
}
def in_time(call, timeout):
    begin = time.monotonic()
    assert not call(timeout)
    took = time.monotonic() - begin
    assert took > timeout * 0.9, took

for name, (wait, wake) in timed.items():
    flags.clear()
    in_time(wait, SHORT)
    in_time(lambda timeout: run_in_thread(wait, timeout), SHORT)
    waiter = start(wait, LONG)
    time.sleep(SHORT)
    assert not waiter.done, name
    wake()
    assert waiter.join(), name
in_time(lambda timeout: rlock.acquire(timeout=timeout), SHORT)
print("ok")
"""


def test_t39_time_of_day_jumps(impl: ModuleType, tmp_path: Path) -> None:
    """Every deadline is one of the monotonic clock."""
    check_interposed(JUMPS, tmp_path, impl, "ok")
