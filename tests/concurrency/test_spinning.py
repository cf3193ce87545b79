"""Waits that spin before they sleep: switched off, on one processor, and in a forked child.

How the spinning itself works is tested without Python, in c/test_spin.c.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TURNS = 400
LIMIT = 50

PING_PONG = f"""\
import resource, sys, threading
import pyfastlock

events = pyfastlock.Event(), pyfastlock.Event()
turns = [0, 0]

def play(me):
    for _ in range({TURNS}):
        assert events[me].wait(30)
        events[me].clear()
        turns[me] += 1
        events[1 - me].set()

def slept():
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

def ping_pong():
    events[0].set()
    before = slept()
    threads = [threading.Thread(target=play, args=(me,)) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns == [{TURNS}, {TURNS}]
    return slept() - before
"""


def run(program: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PING_PONG + program],
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=os.environ | environment,
    ).stdout


def test_switched_off_a_wait_sleeps_at_once() -> None:
    """Most waits sleep.

    Where a woken thread takes the place of its waker, the waker finds its event set when it runs
    again: one sleep a turn, not two. A turn of two threads has none only where one of them was
    kept from running between two lines.
    """
    assert int(run("print(ping_pong())", PYFASTLOCK_SPIN="0")) > TURNS // 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no sched_setaffinity() here")
@pytest.mark.parametrize("when", ["before", "after"])
def test_one_processor(when: str) -> None:
    """Given before the import, and taken away afterwards: two threads take turns at it."""
    restrict = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program = "ping_pong()\n" + "turns[:] = 0, 0\n" * (when == "after")
    if when == "before":
        program = restrict + program
    else:
        program += restrict + "ping_pong()\n"
    assert run(program + "print(turns)") == f"[{TURNS}, {TURNS}]\n"


def test_t34_a_child_spins_like_its_parent() -> None:
    """Forked while others spin: the child's own threads hand over to each other."""
    program = """\
import os
stop = False
def spin():
    lock = pyfastlock.Lock()
    lock.acquire()
    while not stop:
        lock.acquire(timeout=0.00005)
spinners = [threading.Thread(target=spin) for _ in range(4)]
for thread in spinners:
    thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        ping_pong()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for thread in spinners:
    thread.join()
print("done")
"""
    assert run(program, PYTHONWARNINGS="ignore::DeprecationWarning") == "done\n"
