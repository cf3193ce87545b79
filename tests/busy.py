"""Run pytest on a busy machine: beside loops that use whatever processor they get.

    python tests/busy.py [--loops N] [PYTEST'S ARGUMENTS...]

A test that relies on how quickly a thread runs fails here. The loops end with this process, also
where it is killed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--loops", type=int, default=4, help="how many there are (4)")
    known, rest = parser.parse_known_args()
    command = [sys.executable, "-c", LOOP, str(os.getpid())]
    loops = [subprocess.Popen(command) for _ in range(known.loops)]
    try:
        status = subprocess.run([sys.executable, "-m", "pytest", *rest], check=False).returncode
        ended = [loop.poll() for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    if any(code is not None for code in ended):
        print(f"{sys.argv[0]}: the machine was not busy, a loop has ended: {ended}")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
