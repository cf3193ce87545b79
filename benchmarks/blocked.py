"""Processor time that blocked threads use: nobody should wake up before there is something to do.

    python benchmarks/blocked.py [--threads N] [--seconds S]

N threads wait for a lock, N for a notification, and the main thread waits with a timeout of S
seconds.  Prints the processor time of the whole process meanwhile, for threading and for ours, each
in a fresh process.
"""

import argparse
import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any


def measure(module: Any, threads: int, seconds: float) -> float:
    """CPU seconds of this process while everybody waits for *seconds*."""
    lock, condition = module.Lock(), module.Condition()
    lock.acquire()

    def wait_for_lock() -> None:
        with lock:
            pass

    def wait_for_notification() -> None:
        with condition:
            condition.wait()

    waiting = [
        threading.Thread(target=target, daemon=True)
        for _ in range(threads)
        for target in (wait_for_lock, wait_for_notification)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)  # until all of them have gone to sleep
    begin = time.process_time()
    lock.acquire(timeout=seconds)
    used = time.process_time() - begin
    lock.release()
    with condition:
        condition.notify_all()
    for thread in waiting:
        thread.join(10)
    return used


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="default: 2")
    parser.add_argument("--module", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.module:
        module = importlib.import_module(options.module)
        print(measure(module, options.threads, options.seconds))
        return 0
    print(f"CPU time of {2 * options.threads} blocked threads and the main thread:")
    for name in ("threading", "pyfastlock"):
        command = [sys.executable, __file__, "--module", name]
        command += ["--threads", str(options.threads), "--seconds", str(options.seconds)]
        used = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        print(f"  {name:<12} {float(used.stdout) * 1e3:6.2f} ms in {options.seconds:g} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
