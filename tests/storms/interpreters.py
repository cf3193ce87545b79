"""Interpreters in one process that come, work and end, while threads of others wait in theirs.

Each is used by threads of its own. Their waiters stand in the same queues as those of all other
interpreters. Where the version has it (3.12), most of them have a GIL of their own.

Before Python 3.13 an interpreter whose threads use locks of its own may only be made, used and
ended by one thread, since its end otherwise hangs; the locks do not matter there.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import threading
from pathlib import Path
from typing import Any

from storm import Storm
from throng import Throng

HOSTS = 4
"""Threads that make interpreters: so many of these are there at once."""

try:
    import _interpreters as api  # type: ignore[import-not-found]

    def create(own_gil: bool) -> Any:
        return api.create("isolated" if own_gil else "legacy")

    run = api.exec
except ModuleNotFoundError:
    import _xxsubinterpreters as api  # type: ignore[import-not-found]

    def create(own_gil: bool) -> Any:
        return api.create(isolated=own_gil)

    run = api.run_string

PROGRAM = """
import sys
sys.path[:] = {path!r}
import importlib, random, threading, time, weakref
from throng import Things, User, use_together
impl = importlib.import_module({impl!r})
rng = random.Random({seed!r})
things = Things(impl)
for _ in range(rng.randrange(4)):
    use_together(things)

# Users contend.
stop = threading.Event()
users = [User(things, random.Random(rng.random())) for _ in range(rng.choice([0, 4]))]
threads = [threading.Thread(target=user.run, args=(stop, [0])) for user in users]
for thread in threads:
    thread.start()

# Others wait, without a timeout, while interpreters end.
results = []
locks = [impl.Lock(), impl.RLock()]
conds = [impl.Condition(), impl.Condition(impl.Lock()), impl.Condition(threading.Lock())]
event, semaphore, barrier = impl.Event(), impl.Semaphore(0), impl.Barrier(2)
def wait(cond):
    with cond:
        here.append(None)
        results.append(cond.wait())
def take(lock):
    here.append(None)
    results.append(lock.acquire())
    lock.release()
here = []
waits = [lambda lock=lock: take(lock) for lock in locks]
waits += [lambda cond=cond: wait(cond) for cond in conds]
waits.append(lambda: results.append(event.wait()))
waits.append(lambda: results.append(semaphore.acquire()))
waits.append(lambda: results.append(barrier.wait() < 2))
for lock in locks:
    lock.acquire()
waiting = [threading.Thread(target=wait) for wait in waits]
for thread in waiting:
    thread.start()
time.sleep(rng.choice([0, 0.001, 0.01, 0.05]))
while len(here) < len(locks) + len(conds):
    time.sleep(0.001)
for lock in locks:
    lock.release()
for cond in conds:
    with cond:
        cond.notify()
event.set()
semaphore.release()
results.append(barrier.wait() < 2)
for thread in waiting:
    thread.join(20)
    assert not thread.is_alive(), (results, waits)
assert results == [True] * 9, results
stop.set()
while any(thread.is_alive() for thread in threads):
    things.barrier.abort()
    time.sleep(0.001)
for thread in threads:
    thread.join()

# It leaves locks that are held, in cycles, and what uses them in its end.
class Late:
    def __del__(self, lock=locks[1], cond=conds[0], event=event):
        with lock, cond:
            cond.notify_all()
            event.set()
sys.late = Late()
cycle = [locks, conds, barrier, weakref.ref(event), Late()]
cycle.append(cycle)
locks[0].acquire()
things.rlock.lock.acquire()
"""


class Hosts:
    """Threads that make interpreters, use them and end them."""

    def __init__(self, storm: Storm):
        self.storm = storm
        self.mutex = threading.Lock()
        spec = importlib.util.find_spec(storm.options.impl)
        assert spec is not None
        assert spec.origin is not None
        self.path = [str(Path(__file__).parent), str(Path(spec.origin).parents[1]), *sys.path]

    def once(self, rng: random.Random) -> None:
        own_gil = sys.version_info >= (3, 12) and rng.random() < 0.8
        program = PROGRAM.format(path=self.path, impl=self.storm.options.impl, seed=rng.random())
        interpreter = create(own_gil)
        failed = run(interpreter, program)
        self.storm.check(failed is None, f"the program of an interpreter failed: {failed}")
        api.destroy(interpreter)
        with self.mutex:
            self.storm.count("interpreters")
            self.storm.count("with a GIL of their own", own_gil)

    def run(self, rng: random.Random, steps: list[int]) -> None:
        first = True
        while first or not self.storm.is_over():
            self.once(rng)
            steps[0] += 1
            first = False


def main() -> None:
    storm = Storm(__doc__)
    throng = Throng(storm, users=4)
    hosts = Hosts(storm)
    threads = [storm.start(f"host {n}", hosts.run, storm.rng()) for n in range(HOSTS)]
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.05)
        threads[-1].join(0.05)
        storm.main_steps[0] += 1
    throng.end()
    storm.end()


if __name__ == "__main__":
    main()
