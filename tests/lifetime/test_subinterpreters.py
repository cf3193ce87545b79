"""Several interpreters in one process: with a GIL of their own, and sharing one.

Each script runs in a process of its own, which ends while nothing of it is left in ours.
"""

from __future__ import annotations

import sys

import pytest
from concurrency import check_script
from subinterpreters import API, needs_subinterpreters, own_gil

pytestmark = needs_subinterpreters

USE = '''
USE = PATH + """
import pyfastlock, time
lock, rlock, cond = pyfastlock.Lock(), pyfastlock.RLock(), pyfastlock.Condition()
assert type(lock).__name__ == "Lock"
with lock:
    assert lock.locked()
    assert not lock.acquire(timeout=0.001)
with rlock, rlock:
    assert rlock._is_owned()
with cond:
    assert not cond.wait(0.001)
    cond.notify_all()
try:
    rlock.release()
except RuntimeError:
    pass
else:
    raise AssertionError
event, barrier = pyfastlock.Event(), pyfastlock.Barrier(1)
semaphore = pyfastlock.BoundedSemaphore(2)
assert not event.wait(0.001)
event.set()
assert event.wait() and repr(event).endswith("set>")
event.clear()
with semaphore, semaphore:
    assert not semaphore.acquire(timeout=0.001)
for wrong, number in (semaphore.release, 1), (pyfastlock.Semaphore, -1), (pyfastlock.Barrier, 0):
    try:
        wrong(number)
    except ValueError:
        pass
    else:
        raise AssertionError
assert barrier.wait() == 0
import threading
assert pyfastlock.BrokenBarrierError is threading.BrokenBarrierError
broken = pyfastlock.Barrier(2)
try:
    broken.wait(0.001)
except threading.BrokenBarrierError:
    pass
else:
    raise AssertionError
"""
'''


def check(own_gil: bool, source: str) -> None:
    check_script(API + USE + f"OWN_GIL = {own_gil}\n" + source)


@own_gil
def test_t37_import_use_and_destroy(own_gil: bool) -> None:
    check(
        own_gil,
        """
for _ in range(5):
    interpreter = create(OWN_GIL)
    run(interpreter, USE)
    destroy(interpreter)
exec(USE)
""",
    )


@own_gil
def test_t37_first_imported_in_a_subinterpreter(own_gil: bool) -> None:
    """And only then in the main one, which goes on when the first is gone."""
    check_script(
        API
        + USE
        + f"OWN_GIL = {own_gil}\n"
        + """
assert "pyfastlock" not in sys.modules
first = create(OWN_GIL)
run(first, USE)
exec(USE)
destroy(first)
exec(USE)
# Signals still interrupt the main thread of the main interpreter.
import pyfastlock
from concurrency import kick_when_parked
class Interrupt(Exception): pass
def interrupt(*_): raise Interrupt
signal.signal(signal.SIGUSR1, interrupt)
lock = pyfastlock.Lock()
lock.acquire()
kick = kick_when_parked(lock)
try:
    lock.acquire(timeout=15)
except Interrupt:
    pass
else:
    raise AssertionError("not interrupted")
kick.join()
""",
        "threading",
    )


@own_gil
def test_t37_several_at_once_have_types_of_their_own(own_gil: bool) -> None:
    check(
        own_gil,
        """
KINDS = ["Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"]
KINDS.append("BrokenBarrierError")
interpreters = [create(OWN_GIL) for _ in range(4)]
read, write = os.pipe()
for interpreter in interpreters:
    run(interpreter, USE + f'''
import os
for kind in {KINDS}:
    os.write({write}, b"%d " % id(getattr(pyfastlock, kind)))
''')
ids = set(os.read(read, 10000).split())
ids |= {b"%d" % id(getattr(impl, kind)) for kind in KINDS}
assert len(ids) == 5 * len(KINDS), ids
destroy(interpreters.pop(1))
for interpreter in interpreters:
    run(interpreter, USE)
for interpreter in interpreters:
    destroy(interpreter)
exec(USE)
""",
    )


@own_gil
def test_t37_destroyed_while_a_lock_is_held(own_gil: bool) -> None:
    check(
        own_gil,
        """
for _ in range(3):
    interpreter = create(OWN_GIL)
    run(interpreter, USE + "lock.acquire(); rlock.acquire(); rlock.acquire(); cond.acquire()")
    run(interpreter, "semaphore.acquire(); event.set(); broken.abort()")
    destroy(interpreter)
lock = impl.RLock()
with lock:
    assert lock._is_owned()
exec(USE)
""",
    )


@own_gil
def test_t37_destroyed_with_objects_in_cycles_and_finalizers(own_gil: bool) -> None:
    check(
        own_gil,
        """
interpreter = create(OWN_GIL)
run(interpreter, USE + '''
class Keeps(pyfastlock.Condition):
    def __del__(self, lock=lock):
        with lock, self:
            self.notify()
keeps = Keeps(rlock)
keeps.self = keeps
keeps.bound = keeps.acquire, lock.__enter__, rlock.__exit__
class Late:
    def __del__(self, rlock=rlock, event=event, semaphore=semaphore, barrier=barrier):
        with rlock, semaphore:
            event.set()
            barrier.wait()
sys.late = Late()
for cls, arguments in (
    (pyfastlock.Event, ()), (pyfastlock.BoundedSemaphore, ()), (pyfastlock.Barrier, (1, list)),
):
    class Cycle(cls):
        pass
    cycle = Cycle(*arguments)
    cycle.self, cycle.bound = cycle, cycle.__repr__
''')
destroy(interpreter)
exec(USE)
""",
    )


since_313 = pytest.mark.skipif(
    sys.version_info < (3, 13),
    reason="an interpreter that another thread has used hangs when it ends, before Python 3.13",
)


@since_313
@own_gil
def test_t37_threads_in_several_interpreters(own_gil: bool) -> None:
    """Interpreters at work in threads of their own, each with its locks in the same buckets."""
    check(
        own_gil,
        """
BUSY = USE + '''
for n in range(3000):
    with lock, rlock, cond, semaphore:
        cond.notify()
        event.set()
        event.clear()
        barrier.wait()
for n in range(30):
    with cond:
        cond.wait(0.0002)
    lock.acquire()
    lock.acquire(timeout=0.0002)
    lock.release()
    event.wait(0.0002)
    with semaphore, semaphore:
        semaphore.acquire(timeout=0.0002)
'''
interpreters = [create(OWN_GIL) for _ in range(3)]
threads = [start(run, interpreter, BUSY) for interpreter in interpreters]
threads.append(start(exec, BUSY))
for thread in threads:
    thread.join(15)
for interpreter in interpreters:
    destroy(interpreter)
""",
    )


@since_313
def test_t37_threads_that_block_inside_a_subinterpreter() -> None:
    """With threads of the subinterpreter itself, which wait for and notify one another."""
    check(
        False,
        """
interpreter = create(OWN_GIL)
run(interpreter, USE + '''
import threading
woken = []
meet = pyfastlock.Barrier(4, timeout=15)
permits = pyfastlock.Semaphore(0)
def wait():
    with cond:
        woken.append(cond.wait(15))
    assert event.wait(15)
    assert permits.acquire(timeout=15)
    woken.append(meet.wait() < 4)
from pyfastlock import _core
threads = [threading.Thread(target=wait) for _ in range(3)]
for thread in threads:
    thread.start()
while _core._waiters(cond) < 3:
    time.sleep(0.001)
with cond:
    cond.notify_all()
while _core._waiters(event) < 3:
    time.sleep(0.001)
event.set()
while _core._waiters(permits) < 3:
    time.sleep(0.001)
permits.release(3)
meet.wait()
for thread in threads:
    thread.join(15)
assert woken == [True] * 6, woken
''')
destroy(interpreter)
""",
    )
