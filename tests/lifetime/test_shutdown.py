"""The end of the interpreter: atexit, finalizers, and the order in which modules go."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from concurrency import check_script


def test_locks_in_atexit(impl: ModuleType) -> None:
    check_script(
        """
import atexit
lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
@atexit.register
def at_exit():
    with lock, rlock, cond:
        assert not cond.wait(0.001)
        cond.notify_all()
    print("at exit")
lock.acquire()
lock.release()
""",
        impl,
        output="at exit",
    )


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_finalizers_use_locks(impl: ModuleType, held: bool) -> None:
    """__del__ of objects that live until the modules are torn down."""
    check_script(
        f"""
import os
lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
class Late:
    def __init__(self, name):
        self.name = name
    def __del__(self, rlock=rlock, lock=lock, cond=cond, write=os.write):
        with rlock, cond:
            cond.notify_all()
            assert cond.wait(0) is False
        got = lock.acquire(False)
        if got:
            lock.release()
        assert got is not {held}
        repr(lock), repr(rlock), repr(cond)
        write(1, self.name)
a_global = Late(b"global ")
sys.modules["a module"] = Late(b"module ")
cycle = Late(b"cycle ")
cycle.cycle = cycle
if {held}:
    lock.acquire()
    rlock.acquire()
print("end", flush=True)
""",
        impl,
        prelude=SORTED_PRELUDE,
        output="end\ncycle global module",
    )


# What is written after "end" comes in an order that differs between versions: it is sorted.
SORTED_PRELUDE = """\
import faulthandler, importlib, os, subprocess, sys, time
faulthandler.dump_traceback_later({limit}, exit=True)
if "--inner" not in sys.argv:
    done = subprocess.run([*sys.orig_argv, "--inner"], stdout=subprocess.PIPE, text=True)
    first, _, rest = done.stdout.partition("\\n")
    print(first, " ".join(sorted(rest.split())), sep="\\n")
    sys.exit(done.returncode)
impl = importlib.import_module({impl!r})
"""


def test_locks_outlive_the_module(impl: ModuleType) -> None:
    """Locks, and a lock's methods, work without their module."""
    check_script(
        """
import gc
name = impl.__name__
lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
enter = rlock.__enter__
for module in [m for m in sys.modules if m.partition(".")[0] == "pyfastlock"]:
    del sys.modules[module]
impl = None
gc.collect()
with lock, rlock, cond:
    cond.notify()
    assert not cond.wait(0.001)
enter()
rlock.release()
try:
    rlock.release()
except RuntimeError:
    pass
else:
    raise AssertionError
waiter = start(lambda: lock.acquire(timeout=5))
waiter.join()
del lock, rlock, cond, enter
gc.collect()
""",
        impl,
    )


def test_imported_twice() -> None:
    """Two copies of the module: each takes the other's locks for foreign ones that work."""
    check_script(
        """
import gc
first = impl
for module in [m for m in sys.modules if m.partition(".")[0] == "pyfastlock"]:
    del sys.modules[module]
import pyfastlock as second
assert second is not first
for make in (first.Lock, first.RLock, second.Lock, second.RLock):
    for module in (first, second):
        cond = module.Condition(make())
        woken = []
        def wait():
            with cond:
                woken.append(cond.wait(DEADLINE))
        waiter = start(wait)
        wait_until(lambda: module._core._waiters(cond) == 1)
        with cond:
            cond.notify()
        waiter.join()
        assert woken == [True]
del first, impl, make, module, cond
gc.collect()
second.Lock().acquire()
""",
        "pyfastlock",
    )


def test_blocked_thread_that_is_not_a_daemon(impl: ModuleType) -> None:
    """The interpreter waits for it, and it ends when atexit's turn has not come yet."""
    check_script(
        """
cond = impl.Condition()
state = []
def wait():
    with cond:
        cond.wait_for(lambda: state, DEADLINE)
        print("notified")
def notify():
    threading.main_thread().join()
    with cond:
        state.append(1)
        cond.notify_all()
threads = [threading.Thread(target=wait), threading.Thread(target=notify)]
for thread in threads:
    thread.start()
del thread, threads
""",
        impl,
        output="notified",
    )


def test_sys_exit_while_everything_is_held(impl: ModuleType) -> None:
    check_script(
        """
lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
with lock, rlock, rlock, cond:
    print("bye")
    sys.exit(0)
""",
        impl,
        output="bye",
    )


VERY_LATE = """
import os
class Late:
    def __init__(self, *calls):
        self.calls = calls
    def __del__(self, write=os.write, BaseException=BaseException, type=type, repr=repr):
        for call in self.calls:
            try:
                result = repr(call())
            except BaseException as exc:
                result = type(exc).__name__
            write(1, result.encode() + b" ")
"""
"""`sys.late = Late(f, ...)` calls them when the contents of all modules, `sys` last, are gone."""

REFUSED = "PythonFinalizationError" if sys.version_info >= (3, 13) else "RuntimeError"


def test_t26_wait_without_end_is_refused_to_the_last() -> None:
    """Also when the interpreter cannot be asked any more whether it ends by way of `sys`."""
    check_script(
        VERY_LATE
        + """
lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition(impl.Lock())
event, semaphore, barrier = impl.Event(), impl.Semaphore(0), impl.Barrier(2)
foreign = impl.Condition(threading.Lock())
start(rlock.acquire).join()
lock.acquire()
cond.acquire()
foreign.acquire()
sys.late = Late(
    lock.acquire, rlock.acquire, cond.wait, event.wait, semaphore.acquire, barrier.wait,
    foreign.wait,
)
""",
        output=" ".join([REFUSED] * 7),
    )


def test_what_need_not_wait_is_not_refused_at_exit() -> None:
    check_script(
        VERY_LATE
        + """
lock, rlock, cond = impl.Lock(), impl.RLock(), impl.Condition()
event, semaphore = impl.Event(), impl.Semaphore(1)
event.set()
rlock.acquire()
cond.acquire()
one, acts, broken = impl.Barrier(1), impl.Barrier(1, lambda: None), impl.Barrier(2)
broken.abort()
sys.late = Late(
    lock.acquire, rlock.acquire, event.wait, semaphore.acquire, lambda wait=cond.wait: wait(0),
    one.wait, acts.wait, broken.wait, lambda wait=impl.Barrier(2).wait: wait(0),
)
""",
        output="True True True True False 0 0 BrokenBarrierError BrokenBarrierError",
    )


def test_t25_guest_of_an_action_that_never_ends_at_exit() -> None:
    """Its timeout does not count yet, and nobody ends its wait."""
    check_script(
        VERY_LATE
        + """
running = threading.Event()
barrier = impl.Barrier(1, lambda: (running.set(), time.sleep(1000)))
threading.Thread(target=barrier.wait, daemon=True).start()
assert running.wait(DEADLINE)
sys.late = Late(lambda wait=barrier.wait: wait(0.01))
""",
        output=REFUSED,
    )


def test_arguments_that_the_standard_library_judges_at_exit(impl: ModuleType) -> None:
    """They are good or bad as before, though the modules that know are empty."""
    check_script(
        VERY_LATE
        + """
rlock, event = impl.RLock(), impl.Event()
sys.late = Late(
    lambda acquire=rlock.acquire: acquire(2),
    lambda acquire=rlock.acquire: acquire(1, 2, 3),
    lambda wait=event.wait: wait(1, 2, 3),
)
""",
        impl,
        output="True TypeError TypeError",
    )


def test_module_level_globals_go_in_any_order(impl: ModuleType) -> None:
    """Conditions before their locks, locks before their conditions, types before either."""
    check_script(
        """
import types
lock = impl.RLock()
for n, names in enumerate(["lcb", "clb", "bcl", "blc", "cbl", "lbc"]):
    module = types.ModuleType(f"module{n}")
    sys.modules[module.__name__] = module
    lock = impl.RLock()
    cond = impl.Condition(lock)
    things = {"l": lock, "c": cond, "b": cond.wait_for}
    for name in names:
        setattr(module, name, things[name])
    class Sub(impl.Condition):
        pass
    module.sub = Sub(lock)
    module.sub.module = module
""",
        impl,
    )
