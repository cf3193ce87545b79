"""Builds the extension module pyfastlock._core; all the rest of the project is in pyproject.toml.

PYFASTLOCK_DEV=1 in the environment makes a developer build: warnings are errors, assertions are on.
SOURCE_DATE_EPOCH there makes two builds of the same sources equal, byte by byte.
"""

import sys

import setuptools

REFUSAL = "pyfastlock cannot be built here: {}."

# An old pip does not ask for pyproject.toml's requirements, and `--no-build-isolation` meets none.
# This stands before the import of what an old setuptools or Python lacks; for the same reason the
# file keeps to the syntax of Python 3.8.
if sys.version_info < (3, 11):  # noqa: UP036
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit("error: " + REFUSAL.format(f"this is Python {found}; use 3.11 or newer"))
if int(setuptools.__version__.partition(".")[0]) < 77:
    found = f"setuptools {setuptools.__version__} is too old"
    update = f"{sys.executable} -m pip install 'setuptools>=77'"
    sys.exit("error: " + REFUSAL.format(f"{found}; update it by {update}"))

import gzip
import os
import re
import sysconfig
import tarfile
import tempfile
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.errors import CompileError, LinkError, SetupError

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]

SOURCES = [
    "csrc/module.c",
    "csrc/platform/attached.c",
    "csrc/platform/clock.c",
    "csrc/platform/cpu.c",
    "csrc/platform/fatal.c",
    "csrc/platform/futex.c",
    "csrc/platform/nap.c",
    "csrc/platform/text.c",
    "csrc/platform/probe.c",
    "csrc/platform/timed_cond.c",
    "csrc/park/condvar.c",
    "csrc/park/futex.c",
    "csrc/core/lot/back_off.c",
    "csrc/core/lot/bucket.c",
    "csrc/core/lot/give_way.c",
    "csrc/core/lot/parking_lot.c",
    "csrc/core/lot/spin.c",
    "csrc/core/lot/waiter.c",
    "csrc/core/mutex.c",
    "csrc/core/rmutex.c",
    "csrc/core/cond.c",
    "csrc/core/deadlock.c",
    "csrc/core/dump.c",
    "csrc/core/dump_later.c",
    "csrc/core/dump_signal.c",
    "csrc/core/event.c",
    "csrc/core/sema.c",
    "csrc/core/barrier.c",
    "csrc/core/fork.c",
    "csrc/core/lock_word.c",
    "csrc/core/lockable.c",
    "csrc/core/probes.c",
    "csrc/core/thread.c",
    "csrc/py/args.c",
    "csrc/py/block.c",
    "csrc/py/bound.c",
    "csrc/py/method.c",
    "csrc/types/kind.c",
    "csrc/types/locking.c",
    "csrc/types/lock.c",
    "csrc/types/rlock.c",
    "csrc/types/condition.c",
    "csrc/types/condition_lock.c",
    "csrc/types/condition_replaced.c",
    "csrc/types/condition_wait.c",
    "csrc/types/contention.c",
    "csrc/types/contention_record.c",
    "csrc/types/contention_records.c",
    "csrc/types/foreign.c",
    "csrc/types/instance.c",
    "csrc/types/inside.c",
    "csrc/types/event.c",
    "csrc/types/names.c",
    "csrc/types/place.c",
    "csrc/types/semaphore.c",
    "csrc/types/semaphore_type.c",
    "csrc/types/dump.c",
    "csrc/types/waits.c",
    "csrc/types/barrier.c",
    "csrc/types/barrier_type.c",
]
# For what knows no Python: as in pyconfig.h, and whether the interpreter has a GIL.
DEFINES = [
    ("_GNU_SOURCE", "1"),
    ("FL_RUNTIME_LOCK", "0" if sysconfig.get_config_var("Py_GIL_DISABLED") else "1"),
]
COMPILE_ARGS = ["-std=c11", "-O3", "-fvisibility=hidden", "-pthread"]
LINK_ARGS = ["-pthread"]

# The names of functions stay, for a debugger's backtrace; lines and variables are a megabyte, so
# only who asks for them by -g gets them: CFLAGS=-g pip install --no-binary pyfastlock pyfastlock
ASKED = f"{os.environ.get('CC', '')} {os.environ.get('CFLAGS', '')}"
if not re.search(r"(^|\s)-g", ASKED):
    LINK_ARGS.append("-Wl,-S")

if os.environ.get("PYFASTLOCK_DEV", "0") not in ("", "0"):
    LINK_ARGS = ["-pthread"]
    COMPILE_ARGS += ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-UNDEBUG"]
    # CPython's own headers are not ours to mend.  A debug build's may be links to the release
    # build's, and a compiler that resolves the links of system headers would take its pyconfig.h.
    if not sysconfig.get_config_var("Py_DEBUG"):
        COMPILE_ARGS += ["-isystem", sysconfig.get_path("include")]

# What has to compile and link before the build starts, and what it means when it doesn't.
PROBES = {
    "int main(void) { return 0; }": (
        "there is no working C11 compiler ({compiler} was tried); install gcc or clang, "
        "or name one in the environment variable CC"
    ),
    """
    #include <pthread.h>
    static void *run(void *arg) { return arg; }
    int main(void) { pthread_t t; return pthread_create(&t, 0, run, 0) || pthread_join(t, 0); }
    """: ("the platform has no POSIX threads (pthread.h); install the C library's headers"),
    """
    #include <Python.h>
    int main(void) { return 0; }
    """: (
        "Python.h is missing; install the interpreter's headers, "
        "from a package such as python3-dev or python3-devel"
    ),
}


# Links where the processor has a 64-bit compare-and-swap, or with libatomic.
ATOMIC_PROBE = """
#include <stdatomic.h>
#include <stdint.h>
static _Atomic(uint64_t) word;
int main(void) { uint64_t seen = 0; return !atomic_compare_exchange_strong(&word, &seen, 1); }
"""


class BuildExt(build_ext):
    """build_ext that stops with one sentence where the extension can't be built."""

    def run(self):
        if os.name != "posix":
            self.stop(
                f"it needs POSIX threads, and this platform is {sys.platform}; "
                "use threading's locks, or WSL"
            )
        if sys.implementation.name != "cpython":
            self.stop(
                f"it is made for CPython, and this is {sys.implementation.name}; "
                "use threading's locks there"
            )
        super().run()

    def build_extensions(self):
        for program, reason in PROBES.items():
            if not self.can_build(program):
                self.stop(reason.format(compiler=" ".join(self.compiler.compiler[:1])))
        if not self.can_build(ATOMIC_PROBE):
            if not self.can_build(ATOMIC_PROBE, ["atomic"]):
                self.stop(
                    "the processor has no 64-bit compare-and-swap, and libatomic is missing; "
                    "install it, from a package such as libatomic1 or libatomic"
                )
            self.compiler.add_library("atomic")
        version = self.distribution.get_version()
        for extension in self.extensions:
            extension.define_macros.append(("PYFASTLOCK_VERSION", f'"{version}"'))
        super().build_extensions()

    def can_build(self, program, libraries=()):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=COMPILE_ARGS
                )
                self.compiler.link_executable(
                    objects,
                    "probe",
                    output_dir=folder,
                    libraries=list(libraries),
                    extra_postargs=LINK_ARGS,
                )
            except (CompileError, LinkError):
                return False
        return True

    def stop(self, reason):
        raise SetupError(REFUSAL.format(reason))


class Sdist(sdist):
    """sdist that packs the same files into the same bytes, where SOURCE_DATE_EPOCH is set."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owner):  # noqa: A002
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar" or root_dir is not None:
            return super().make_archive(base_name, format, root_dir, base_dir, **owner)
        name = f"{base_name}.tar.gz"
        with open(name, "wb") as file, gzip.GzipFile("", "wb", 9, file, int(epoch)) as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                for path in sorted(path for path in Path(base_dir).rglob("*") if path.is_file()):
                    member = tarfile.TarInfo(path.as_posix())
                    member.size = path.stat().st_size
                    member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                    member.mtime = int(epoch)
                    with path.open("rb") as content:
                        tar.addfile(member, content)
        return name


LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def for_the_index(text, source, version):
    """The README as a package index shows it, where no file lies beside it.

    Its links lead to the files of this version at `source`, the project's public address. Without
    one, their texts stay, and pictures go.
    """

    def absolute(match):
        picture, label, target = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        if source is None:
            return "" if picture else label
        if target.startswith("#"):
            target = f"README.md{target}"
        return f"{picture}[{label}]({source}/{'raw' if picture else 'blob'}/v{version}/{target})"

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(absolute, part) for part in parts[::2]]
    return "".join(parts)


setup(
    long_description=for_the_index(
        Path("README.md").read_text(encoding="utf-8"),
        PROJECT.get("urls", {}).get("Source"),
        PROJECT["version"],
    ),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "pyfastlock._core",
            SOURCES,
            depends=sorted(map(str, Path("csrc").rglob("*.h"))),
            include_dirs=["csrc"],
            define_macros=DEFINES,
            extra_compile_args=COMPILE_ARGS,
            extra_link_args=LINK_ARGS,
        )
    ],
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
)
