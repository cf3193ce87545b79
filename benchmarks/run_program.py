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
    import resource
    import threading
    import time
    from dataclasses import asdict

    import programs

    ours = threading.Condition.__module__.startswith("pyfastlock")
    programs.check("patched", ours, side == "patched")
    faulthandler.dump_traceback_later(programs.LIMIT_S, exit=True)
    program, operations = programs.by_name(name), int(size)
    program.function(max(programs.CLIENTS, operations // WARM_UP))
    before = resource.getrusage(resource.RUSAGE_SELF)
    cpu, wall = time.process_time(), time.perf_counter()
    program.function(operations)
    cost = programs.Cost(
        operations=operations,
        seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        switches=resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before.ru_nvcsw,
    )
    print(json.dumps(asdict(cost)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
