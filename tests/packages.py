"""Runs the threaded part of well-known packages' own tests with `threading` patched.

    python tests/packages.py --folder FOLDER [--quick] [--jobs N] [NAME...]

Each package below is installed, by the interpreter that runs this script, into a virtual
environment of its own in FOLDER, which stays for the next time.  Its tests come from its sdist,
or stand in tests/programs/ where it has none that are of use.  They are run twice: plain, and
patched (`python -m pyfastlock -m pytest`, in an environment that also patches every interpreter
which the tests start themselves).  What is printed and what counts is as in whole_programs.py: a
test that passes plain has to pass patched.

A package that cannot be installed on this interpreter is SKIPPED, with the reason; but some must be
there.  pyfastlock itself is the one that is installed where this script runs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import compared_runs
from compared_runs import Outcomes, compare

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"

TEST_TOOLS = ("pytest>=9.0,<10", "pytest-timeout>=2.4,<3")
TEST_LIMIT_S = 40
"""For each test: it is a failure then, and shows where its threads stand."""

INSTALL_LIMIT_S = 300


@dataclass(frozen=True)
class Package:
    """What is installed, and which tests are run."""

    name: str
    version: str = ""
    needs: tuple[str, ...] = ()
    """What its tests need besides."""
    from_source: tuple[str, ...] = ()
    """What of that has no wheels, and is quick to build."""
    tests: tuple[str, ...] = ()
    """Files or folders below `folder` of its sdist; without any it is not downloaded."""
    folder: str = "."
    program: str = ""
    """A file of tests/programs/."""
    options: tuple[str, ...] = ()
    """For pytest."""
    limit_s: int = 120
    """For one run of all its tests."""
    quick: bool = False

    @property
    def requirements(self) -> tuple[str, ...]:
        own = (f"{self.name}=={self.version}",) if self.version else ()
        return (*own, *self.needs, *TEST_TOOLS)


# The ones that take longest begin first.
PACKAGES = (
    Package(
        "celery",
        "5.7.0",
        needs=("pytest-celery", "pytest-click", "pytest-subtests", "psutil"),
        tests=(
            "t/unit/concurrency",
            "t/unit/worker/test_worker.py",
            "t/unit/worker/test_loops.py",
            "t/unit/worker/test_consumer.py",
            "t/unit/worker/test_strategy.py",
            "t/unit/worker/test_state.py",
            "t/unit/utils/test_threads.py",
            "t/unit/utils/test_timer2.py",
        ),
        limit_s=300,
    ),
    Package(
        "billiard",
        "4.3.2",
        needs=("psutil",),
        tests=("t/unit",),
        limit_s=240,
    ),
    Package(
        "SQLAlchemy",
        "2.1.9",
        tests=("test/engine/test_pool.py", "test/base/test_utils.py"),
        limit_s=240,
    ),
    Package(
        "diskcache",
        "5.6.3",
        tests=("tests/test_recipes.py", "tests/test_core.py"),
    ),
    Package(
        "Pebble",
        "5.2.3",
        tests=(
            "test/test_concurrent_thread.py",
            "test/test_thread_pool.py",
            "test/test_asynchronous_thread.py",
        ),
    ),
    Package(
        "anyio",
        "4.16.0",
        needs=(
            *("trio", "trustme", "psutil", "pytest-mock", "blockbuster", "hypothesis"),
            "exceptiongroup",
        ),
        from_source=("forbiddenfruit",),
        tests=(
            "tests/test_from_thread.py",
            "tests/test_to_thread.py",
            "tests/test_synchronization.py",
        ),
    ),
    Package(
        "watchdog",
        "7.1.0",
        tests=(
            "tests/test_observer.py",
            "tests/test_event_debouncer.py",
            "tests/test_delayed_queue.py",
            "tests/test_skip_repeats_queue.py",
        ),
    ),
    Package(
        "urllib3",
        "2.8.0",
        needs=(*("h2", "httpx", "hypercorn", "pysocks", "quart", "quart-trio", "trio", "trustme"),),
        tests=(
            "test/test_connectionpool.py",
            "test/test_collections.py",
            "test/test_poolmanager.py",
            "test/test_queue_monkeypatch.py",
            "test/with_dummyserver/test_connectionpool.py",
        ),
        # Where no network answers, its tests leave sockets behind, which end the run as a whole.
        options=("-W", "ignore::ResourceWarning"),
    ),
    Package(
        "prometheus_client",
        "0.26.0",
        tests=("tests/test_core.py", "tests/test_multiprocess.py"),
    ),
    Package(
        "waitress",
        "3.0.2",
        tests=(
            "tests/test_task.py",
            "tests/test_server.py",
            "tests/test_channel.py",
            "tests/test_trigger.py",
        ),
    ),
    Package("DBUtils", "3.2.0", tests=("tests",)),
    # The tests of what its locks are used for; those of their own speed are left out.
    Package(
        "janus",
        "2.0.0",
        needs=("pytest-asyncio", "pytest-codspeed"),
        tests=(
            "tests/test_async.py",
            "tests/test_mixed.py",
            "tests/test_sync.py",
        ),
    ),
    Package("Pykka", "4.5.0", needs=("pytest-mock",), tests=("tests",), quick=True),
    Package(
        "cachetools",
        "8.0.2",
        tests=("tests/test_threading.py", "tests/test_cached.py", "tests/test_cachedmethod.py"),
        quick=True,
    ),
    Package(
        "trio",
        "0.35.0",
        needs=("trustme", "pyopenssl"),
        # The wheel has its tests. They are coroutines, which its plugin runs.
        options=(
            *("-p", "trio._tests.pytest_plugin", "--pyargs"),
            *("trio._tests.test_threads", "trio._core._tests.test_thread_cache"),
        ),
    ),
    Package("billiard-pools", needs=("billiard==4.3.2",), program="billiard_pool.py", quick=True),
    Package("dill-locks", needs=("dill==0.4.1",), program="dill_locks.py", quick=True),
    Package("trio-threads", needs=("trio==0.35.0",), program="trio_threads.py", quick=True),
    Package("gevent", "26.9.0", program="green_threads.py", quick=True),
    Package("eventlet", "0.41.3", program="green_threads.py", quick=True),
    Package("standard-library", program="standard_library.py", quick=True),
)

EXPECTED: dict[str, str] = {}
"""Tests that fail patched and need not pass, with the reason: "package: test" is the key."""


class Unavailable(Exception):
    """A package cannot be installed here."""


def pip(*arguments: str) -> None:
    """Run this interpreter's pip; Unavailable with the last thing that it says if it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    # SQLAlchemy's sdist would be compiled just to read its metadata.
    environment = {**os.environ, "DISABLE_SQLALCHEMY_CEXT": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip {arguments[0]} took more than {INSTALL_LIMIT_S} s") from None
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise Unavailable((errors or done.stderr.splitlines() or ["no reason told"])[-1])


class Suite:
    """A package's tests, in an environment of their own."""

    def __init__(self, package: Package, folder: Path) -> None:
        self.package = package
        self.folder = folder / package.name
        self.sdists = folder.parent.parent / "sdists"
        self.python = self.folder / "venv" / "bin" / "python"
        self.limit_s = package.limit_s

    def prepare(self) -> None:
        self.install()
        sdist = self.sdist() if self.package.tests else None
        for kind in ("plain", "patched"):
            place = self.folder / kind
            shutil.rmtree(place, ignore_errors=True)
            (place / "site").mkdir(parents=True)
            shutil.copy(HERE / "packages_plugin.py", place / "site")
            if kind == "patched":
                (place / "site" / "sitecustomize.py").write_text(compared_runs.PATCHING)
            (place / "tests").mkdir()
            # Where the package has no configuration for pytest, ours is not taken.
            (place / "tests" / "pytest.ini").write_text("[pytest]\n")
            if sdist:
                with tarfile.open(sdist) as archive:
                    archive.extractall(place / "tests", filter="data")
                (unpacked,) = (path for path in (place / "tests").iterdir() if path.is_dir())
                unpacked.rename(place / "tests" / "sdist")
            if self.package.program:
                shutil.copy(PROGRAMS / self.package.program, place / "tests")

    def install(self) -> None:
        made = self.folder / "made"
        wanted = json.dumps(self.package.requirements)
        if not made.exists() or made.read_text() != wanted:
            made.unlink(missing_ok=True)
            venv.create(self.folder / "venv", clear=True, symlinks=True, with_pip=False)
            # What has no wheel for this interpreter would take a compiler and much time.
            pip(
                *("--python", str(self.python), "install", "--only-binary", ":all:"),
                *(f"--no-binary={name}" for name in self.package.from_source),
                *self.package.requirements,
            )
            made.write_text(wanted)
        spec = importlib.util.find_spec("pyfastlock")
        if spec is None or spec.origin is None:
            raise SystemExit("packages.py: pyfastlock is not installed")
        base = {"base": str(self.folder / "venv"), "platbase": str(self.folder / "venv")}
        link = Path(sysconfig.get_paths("venv", vars=base)["platlib"], "pyfastlock")
        link.unlink(missing_ok=True)
        link.symlink_to(Path(spec.origin).parent)

    def sdist(self) -> Path:
        """Download it if it is not there; all interpreters share it."""
        place = self.sdists / f"{self.package.name}-{self.package.version}"
        if not place.exists():
            self.sdists.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.sdists) as work:
                pip(
                    *("download", "--no-deps", "--no-binary", ":all:", "--dest", f"{work}/new"),
                    f"{self.package.name}=={self.package.version}",
                )
                try:
                    Path(work, "new").rename(place)
                except OSError:  # another run of this script was faster
                    if not place.exists():
                        raise
        (sdist,) = place.glob("*.tar.gz")
        return sdist

    def run(self, kind: str, names: Iterable[str] = ()) -> Outcomes:
        """Run these tests, or all."""
        place = self.folder / kind / "tests"
        cwd = place / "sdist" / self.package.folder if self.package.tests else place
        program = (str(place / self.package.program),) if self.package.program else ()
        command = [
            *(str(self.python), "-P", "-X", "faulthandler"),
            *(("-m", "pyfastlock") if kind == "patched" else ()),
            *("-m", "pytest", "-p", "packages_plugin", "-p", "no:cacheprovider", "--quiet"),
            *("--override-ini=addopts=", "--continue-on-collection-errors"),
            *(f"--timeout={TEST_LIMIT_S}", "--override-ini=timeout_method=signal"),
            # This would end the limit of the plugin.
            "--override-ini=faulthandler_timeout=0",
            *self.package.options,
            *self.package.tests,
            *program,
        ]
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            results = Path(work, "results")
            return compared_runs.run(
                command,
                results,
                self.limit_s,
                cwd,
                PYTHONPATH=str(self.folder / kind / "site"),
                PACKAGES_RUN=json.dumps([str(results), self.limit_s, kind, list(names)]),
            )

    def compare(self, plain: Outcomes, patched: Outcomes) -> bool:
        own = f"{self.package.name}: "
        expected = {
            key.removeprefix(own): reason for key, reason in EXPECTED.items() if key.startswith(own)
        }
        title = f"{self.package.name} {self.package.version}".strip()
        return compare(title, plain, patched, self.run, expected)


def main() -> int:
    names = {package.name: package for package in PACKAGES}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(names))
    parser.add_argument("--folder", type=Path, required=True, help="for what is installed")
    parser.add_argument("--quick", action="store_true", help="only those that take least")
    parser.add_argument(
        "--jobs",
        type=int,
        default=int(os.environ.get("JOBS", "0")) or 2 * (os.cpu_count() or 1),
        help="how many processes side by side (JOBS in the environment; these tests mostly wait)",
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in names:
            parser.error(f"no package {name}; there are {', '.join(names)}")
    wanted = [names[name] for name in options.names] or [
        package for package in PACKAGES if package.quick or not options.quick
    ]

    good = True
    ran = 0
    begin = time.monotonic()
    options.folder.mkdir(parents=True, exist_ok=True)
    suites = [Suite(package, options.folder.resolve()) for package in wanted]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as executor:
        prepared = [executor.submit(suite.prepare) for suite in suites]
        runs = [
            [executor.submit(run_prepared, suite, done, kind) for kind in ("plain", "patched")]
            for suite, done in zip(suites, prepared, strict=True)
        ]
        for suite, both in zip(suites, runs, strict=True):
            try:
                plain, patched = (run.result() for run in both)
            except Unavailable as reason:
                version = sys.version.split()[0]
                print(f"SKIPPED {suite.package.name}: not to be had for {version}: {reason}")
                continue
            ran += 1
            good = suite.compare(plain, patched) and good
            sys.stdout.flush()
    verdict = "no difference that is not expected" if good else "there are DIFFERENCES"
    seconds = time.monotonic() - begin
    print(f"{ran} of {len(suites)} packages: {verdict}; {seconds:.0f} s on {sys.version}")
    return 0 if good and ran else 1


def run_prepared(suite: Suite, prepared: concurrent.futures.Future[None], kind: str) -> Outcomes:
    # The pool takes its work in order, so that what is waited for here has at least begun.
    prepared.result()
    return suite.run(kind)


if __name__ == "__main__":
    sys.exit(main())
