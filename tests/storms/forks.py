"""A storm of forks in every way, while other threads hold, wait, time out and are notified.

`os.fork`, from the main thread and from others at the same time; `multiprocessing` with each of its
ways to start a process; `subprocess` with a `preexec_fn`. The child uses what it has inherited, and
what it makes itself, if it is a fork; a fresh process uses everything.
"""

from __future__ import annotations

import importlib
import multiprocessing
import random
import subprocess
import sys
import threading
import time
from types import ModuleType

from inherit import use_everything
from limits import CHILD_LIMIT
from storm import Children, Storm, limit_child, report_in_child
from throng import Things, Throng, use_together

things: Things
"""What the throng uses; a forked child finds it here."""


def in_fork(impl: str, seed: float) -> None:
    """What `multiprocessing` calls in a fork."""
    limit_child()
    use_everything(importlib.import_module(impl), things, random.Random(seed))


def in_fresh_process(impl: str, seed: float) -> None:
    """What it calls in a process that has inherited nothing, with threads of its own."""
    limit_child()
    module: ModuleType = importlib.import_module(impl)
    for _ in range(3):
        use_together(Things(module))


class Forks:
    """What the main thread does."""

    def __init__(self, storm: Storm):
        self.storm = storm
        self.rng = storm.rng()
        self.children = Children(storm)
        self.processes: list[tuple[str, multiprocessing.process.BaseProcess, float]] = []
        self.fresh = 0.0

    def fork(self) -> None:
        seed = self.rng.random()
        self.children.fork(lambda: use_everything(self.storm.impl, things, random.Random(seed)))
        self.storm.count("os.fork")

    def start_process(self, way: str) -> None:
        run = in_fork if way == "fork" else in_fresh_process
        args = self.storm.options.impl, self.rng.random()
        process = multiprocessing.get_context(way).Process(target=run, args=args)  # type: ignore[attr-defined]
        process.start()
        self.processes.append((way, process, time.monotonic()))

    def run_program(self) -> None:
        seed = self.rng.random()

        def before_exec() -> None:
            try:
                limit_child()
                use_everything(self.storm.impl, things, random.Random(seed))
            except BaseException:
                report_in_child()
                raise

        status = subprocess.run(
            ["/bin/sh", "-c", "exit 7"],
            check=False,
            preexec_fn=before_exec,
            timeout=CHILD_LIMIT + 10,
        ).returncode
        self.storm.check(status == 7, f"a program with a preexec_fn ended with {status}")
        self.storm.count("preexec_fn")

    def reap(self, most: int) -> None:
        self.children.reap(most)
        while True:
            for way, process, began in list(self.processes):
                if process.exitcode is not None:
                    self.storm.check(
                        process.exitcode == 0,
                        f"a process of multiprocessing's {way} ended with {process.exitcode}",
                    )
                    self.storm.count(f"multiprocessing {way}")
                    process.join()
                    self.processes.remove((way, process, began))
                elif time.monotonic() - began > CHILD_LIMIT + 10:
                    process.kill()
                    self.storm.fail(f"a process of multiprocessing's {way} hangs")
            if len(self.processes) <= most:
                return
            time.sleep(0.001)

    def run(self) -> None:
        storm = self.storm
        # Each way comes once, however short the storm is.
        todo = ["fork", "forkserver", "spawn"]
        while todo or not storm.is_over():
            self.reap(2)
            what = self.rng.random()
            if todo:
                self.start_process(todo.pop())
            elif what < 0.5:
                self.fork()
            elif what < 0.75:
                self.run_program()
            elif what < 0.97:
                self.start_process("fork")
            else:
                self.start_process(self.rng.choice(["forkserver", "spawn"]))
            storm.main_steps[0] += 1
            time.sleep(self.rng.choice([0, 0.0005, 0.002]))
        self.run_program()
        self.reap(0)


def fork_too(storm: Storm, rng: random.Random, stop: threading.Event, steps: list[int]) -> None:
    """A thread that forks while the main thread does."""
    children = Children(storm)
    while not stop.is_set():
        children.reap(1)
        seed = rng.random()
        children.fork(
            lambda seed=seed: use_everything(storm.impl, things, random.Random(seed))  # type: ignore[misc]
        )
        storm.count("os.fork by a thread")
        steps[0] += 1
        time.sleep(rng.choice([0.001, 0.005, 0.02]))
    children.reap()


def main() -> None:
    global things  # noqa: PLW0603 - a forked child looks there
    storm = Storm(__doc__)
    throng = Throng(storm)
    things = throng.things
    stop = threading.Event()
    forker = storm.start("forker", fork_too, storm, storm.rng(), stop)
    forks = Forks(storm)
    forks.run()
    stop.set()
    storm.join([forker])
    throng.end()
    storm.end()


if __name__ == "__main__":
    sys.exit(main())
