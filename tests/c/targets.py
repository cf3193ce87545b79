"""Builds the C tests for other processors, compilers and C libraries, and runs them.

python tests/c/targets.py [NAME ...]   those that are named, or all

Programs for other processors run under qemu's user mode. A target whose compiler or emulator is
missing is left out, and its line says which packages have it; one that was named must be there.
What a target prints goes into build/NAME.log.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"
LIMIT_S = 1800


@dataclass(frozen=True)
class Target:
    compiler: str
    packages: str
    emulator: str = ""

    def missing(self) -> list[str]:
        """The programs that are not here."""
        commands = [self.compiler.split()[0], *self.emulator.split()[:1]]
        missing = [command for command in commands if not shutil.which(command)]
        return missing or ([] if self.links() else [f"{self.compiler}'s C library"])

    def links(self) -> bool:
        command = [*self.compiler.split(), "-x", "c", "-", "-o", "/dev/null"]
        program = b"#include <errno.h>\nint main(void) { return errno; }\n"
        tried = subprocess.run(command, input=program, capture_output=True, check=False)
        return tried.returncode == 0


def emulated(triple: str, processor: str, package: str) -> Target:
    return Target(
        f"{triple}-gcc",
        f"gcc-{triple.replace('_', '-')} libc6-dev-{package}-cross qemu-user",
        f"qemu-{processor} -L /usr/{triple}",
    )


# gcc-multilib has the 32-bit libraries, and a link to the headers: the link is not there beside
# compilers for other processors, whose packages exclude this one.
TARGETS = {
    "clang": Target("clang", "clang"),
    "musl": Target("musl-gcc", "musl-tools"),
    "i386": Target("gcc -m32 -idirafter /usr/include/x86_64-linux-gnu", "gcc-multilib"),
    "aarch64": emulated("aarch64-linux-gnu", "aarch64", "arm64"),
    "riscv64": emulated("riscv64-linux-gnu", "riscv64", "riscv64"),
    "armhf": emulated("arm-linux-gnueabihf", "arm", "armhf"),
    "ppc64le": emulated("powerpc64le-linux-gnu", "ppc64le", "ppc64el"),
    "s390x": emulated("s390x-linux-gnu", "s390x", "s390x"),
}


def run(name: str, target: Target) -> tuple[bool, str]:
    """Whether the tests pass there, and what is to be said of it."""
    log = BUILD / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    command = [
        *("make", "--no-print-directory", "-C", str(HERE), f"TARGET={name}"),
        *(f"CC={target.compiler}", f"UNDER={target.emulator}"),
        f"SAN={'qemu' if target.emulator else 'none'}",
    ]
    begin = time.monotonic()
    with log.open("w") as output:
        try:
            status = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
    begun = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("==")]
    seconds = time.monotonic() - begin
    if status == 0 and begun:
        return True, f"passed, {len(begun)} programs, {seconds:.0f} s"
    return False, f"FAILED (status {status}) after {begun[-1:] or 'no program'}; {log}"


def main(names: list[str]) -> int:
    if unknown := set(names) - set(TARGETS):
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
        return 2
    failed = ran = 0
    for name in names or TARGETS:
        target = TARGETS[name]
        if missing := target.missing():
            reason = f"no {', no '.join(missing)} (packages: {target.packages})"
            print(f"{'FAILED' if names else 'SKIPPED'} {name}: {reason}", flush=True)
            failed += bool(names)
            continue
        passed, text = run(name, target)
        ran += 1
        failed += not passed
        print(f"{name:8} {text}", flush=True)
        if not passed:
            with (BUILD / f"{name}.log").open(errors="replace") as log:
                print(*deque(log, 12), sep="")
    return bool(failed or not ran)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
