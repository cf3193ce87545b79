"""Runs one of the programs in this process and prints what it took, as JSON.

    python benchmarks/run_program.py stdlib|patched SIZE NAME

A patched process calls ``pyfastlock.patch()`` before it imports anything else that knows of
``threading``.  The program runs once with a twentieth of the size, so that imports and the
interpreter's own warming up are not measured, and then once with the clocks on.
"""

import sys

WARM_UP = 20


def main(side: str, size: str, name: str) -> int:
    """The command; returns its exit status."""
    if side == "patched":
        import pyfastlock

        pyfastlock.patch()
    import faulthandler
    import json
    import threading
    from dataclasses import asdict

    from workloads import programs
    from workloads.sample import Stopwatch

    ours = threading.Condition.__module__.startswith("pyfastlock")
    programs.check("patched", ours, side == "patched")
    faulthandler.dump_traceback_later(programs.LIMIT_S, exit=True)
    program, operations = programs.by_name(name), int(size)
    program.function(max(programs.CLIENTS, operations // WARM_UP))
    with Stopwatch() as watch:
        program.function(operations)
    print(json.dumps(asdict(watch.sample(operations))))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
