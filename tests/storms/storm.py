"""What the storms share: their options, the watchdog, the lines of life and the last line.

A storm that finds something says what and where every thread stands, and ends with a status that
is not 0. Each thread of a storm counts its steps: one whose count stands still hangs, and a hang
is a failure. Two watch over that: a thread in Python, and `faulthandler` in case no thread can run
Python any more.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import random
import signal
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from limits import CHILD_LIMIT, HANG, PATIENCE

LIFE = 5.0
"""Seconds between two lines of life."""

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class Storm:
    """One run: what it was asked for, its threads, and what it has counted."""

    def __init__(self, title: str | None, *, operations: int | None = None):
        parser = argparse.ArgumentParser(
            description=(title or "").partition("\n")[0], allow_abbrev=False
        )
        parser.add_argument("--seconds", type=float, help="how long it goes on (60)")
        parser.add_argument(
            "--operations", type=int, default=operations, help="until that many, not for a time"
        )
        parser.add_argument("--seed", type=int, help="repeats the choices of a run, not its timing")
        parser.add_argument("--impl", default="pyfastlock", choices=["pyfastlock", "threading"])
        self.add_options(parser)
        options = parser.parse_args()
        self.options = options
        # A time that was asked for goes before the number of operations that is usual.
        self.seconds = options.seconds or (1e9 if options.operations else 60.0)
        self.operations = options.operations or (1 << 62)
        if options.seconds and options.operations == operations:
            self.operations = 1 << 62
        self.seed = random.randrange(2**32) if options.seed is None else options.seed
        self.impl = importlib.import_module(options.impl)
        self.name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        self.stop = threading.Event()
        self.figures: dict[str, int] = {}
        self._seeds = random.Random(self.seed)
        self._steps: dict[str, list[int]] = {}
        self._ended = 0
        self._mutex = threading.Lock()
        self._began = time.monotonic()
        self._over = threading.Event()
        faulthandler.enable()
        warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
        self.main_steps = self.steps("main")
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._watchdog.start()
        self.say(f"seed {self.seed}, {options.impl}, Python {sys.version.split()[0]}")

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """For a storm that has options of its own."""

    def say(self, text: str) -> None:
        print(f"{self.name}: {text}", flush=True)

    def rng(self) -> random.Random:
        """A new source of choices, which depends on the seed alone."""
        return random.Random(self._seeds.random())

    def count(self, what: str, number: int = 1) -> None:
        """Only one thread counts a thing."""
        self.figures[what] = self.figures.get(what, 0) + number

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def taken(self) -> int:
        """How many steps all threads have taken together."""
        return self._ended + sum(steps[0] for steps in list(self._steps.values()))

    def is_over(self) -> bool:
        return self.elapsed >= self.seconds or self.taken() >= self.operations

    # Threads

    def steps(self, name: str) -> list[int]:
        """The count of a thread: it adds to its only item. The watchdog looks at it from now on."""
        self._steps[name] = [0]
        return self._steps[name]

    def forget(self, name: str) -> None:
        """The watchdog looks at this thread no more; its steps are not lost."""
        with self._mutex:
            self._ended += self._steps.pop(name)[0]

    def start(self, name: str, run: Callable[..., None], *args: Any) -> threading.Thread:
        """Start a thread. An exception in it is a failure of the storm."""
        steps = self.steps(name)

        def body() -> None:
            try:
                run(*args, steps)
            except BaseException:
                self.fail(f"{name} failed", traceback.format_exc())
            self.forget(name)

        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    def join(self, threads: Iterable[threading.Thread]) -> None:
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.fail(f"{thread.name} does not end")
            self.main_steps[0] += 1

    # The watchdog

    def _watch(self) -> None:
        seen: dict[str, tuple[int, float]] = {}
        told = armed = self._began
        faulthandler.dump_traceback_later(3 * HANG, exit=True)
        while not self._over.wait(0.1):
            now = time.monotonic()
            current = dict(self._steps)
            seen = {name: seen[name] for name in seen if name in current}
            for name, steps in current.items():
                if name not in seen or seen[name][0] != steps[0]:
                    seen[name] = steps[0], now
                elif now - seen[name][1] > HANG:
                    self.fail(f"{name} has hung for {HANG:g} s, after {steps[0]} steps")
            if now - told > LIFE:
                told = now
                self.say(f"{self.elapsed:.0f} s, {self.summary()}")
            if now - armed > HANG / 4:
                armed = now
                faulthandler.dump_traceback_later(3 * HANG, exit=True)
        faulthandler.cancel_dump_traceback_later()

    # The end

    def summary(self) -> str:
        figures = [f"{number:,} {what}" for what, number in list(self.figures.items())]
        return ", ".join([f"{self.taken():,} steps", *figures])

    def fail(self, what: str, details: str = "") -> NoReturn:
        """Say what was found and where every thread stands, and end the process."""
        faulthandler.cancel_dump_traceback_later()
        self.say(f"FOUND: {what} (--seed {self.seed})\n{details}")
        sys.stdout.flush()
        faulthandler.dump_traceback(all_threads=True)
        self.say(f"{self.elapsed:.1f} s, {self.summary()}, 1 failure: {what}")
        os._exit(1)

    def check(self, truth: object, what: str) -> None:
        if not truth:
            self.fail(what, "".join(traceback.format_stack()[:-1]))

    def end(self) -> None:
        """The last line."""
        self._over.set()
        self._watchdog.join()
        version = sys.version.split()[0] + ("t" if FREE_THREADED else "")
        self.say(f"{self.elapsed:.1f} s on {version}, {self.summary()}, 0 failures")


class Children:
    """Child processes of this one: every one ends in time, with status 0."""

    def __init__(self, storm: Storm):
        self.storm = storm
        self.running: dict[int, float] = {}

    def fork(self, run: Callable[[], object]) -> int:
        """Fork a child that calls `run`, and then ends without any cleaning up."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                limit_child()
                run()
                status = 0
            except BaseException:
                report_in_child()
            finally:
                os._exit(status)
        self.running[pid] = time.monotonic()
        return pid

    def reap(self, most: int = 0) -> None:
        """Wait until at most `most` children run."""
        while True:
            for pid, began in list(self.running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del self.running[pid]
                    code = os.waitstatus_to_exitcode(status)
                    self.storm.check(code == 0, f"a forked child ended with {code}")
                elif time.monotonic() - began > CHILD_LIMIT + 10:
                    os.kill(pid, signal.SIGKILL)
                    self.storm.fail(f"the forked child {pid} hangs")
            if len(self.running) <= most:
                return
            time.sleep(0.001)


def limit_child() -> None:
    """A child that hangs says where, and ends by SIGALRM. Its parent's signals are not for it."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(CHILD_LIMIT)


def report_in_child() -> None:
    """Without a buffer, whose lock some thread of the parent may have held."""
    os.write(2, traceback.format_exc().encode())
