"""Fixtures and options of the whole test suite."""

from __future__ import annotations

import gc
import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import support

from pyfastlock import _waits

IMPLEMENTATIONS = [
    pytest.param("threading", id="stdlib"),
    pytest.param("pyfastlock", id="pyfastlock"),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test: the same test runs over `threading` and over `pyfastlock`."""
    return importlib.import_module(request.param)


@pytest.fixture
def watchdog() -> Iterator[None]:
    """Where the main thread hangs, SIGALRM makes the test fail."""

    def hang(*_: object) -> None:
        raise AssertionError("the main thread hangs")

    old = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, 2 * support.DEADLINE)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[], object]], None]]:
    """`handle(fn)`: from now on SIGUSR1 calls `fn()` in the main thread."""
    from concurrency import ignore_signal, on_signal

    yield on_signal
    ignore_signal()


@pytest.fixture
def forking_handler() -> Iterator[list[int]]:
    """SIGUSR1 forks in the main thread; the list gets the pid, or 0 in the child."""
    from concurrency import fork, ignore_signal, on_signal

    pids: list[int] = []
    on_signal(lambda: pids.append(fork()))
    yield pids
    ignore_signal()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refleaks",
        action="store_true",
        help="repeat every test over our types and fail where the total of references grows "
        "(debug builds of the interpreter only)",
    )
    parser.addoption(
        "--reports",
        type=Path,
        metavar="FOLDER",
        help="fail each test during which a sanitizer writes a report into this folder",
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As in a job in the background; every program that a test starts would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--refleaks"):
        if not support.DEBUG_BUILD:
            raise pytest.UsageError("--refleaks needs a debug build of the interpreter")
        import refleaks

        config.pluginmanager.register(refleaks)
    if (folder := config.getoption("--reports")) is not None:
        import reports_plugin

        config.pluginmanager.register(reports_plugin.Reports(folder))
    config.addinivalue_line(
        "markers",
        "fails_on_stdlib(reason, raises, when, strict, run): shows a defect of the standard "
        "library; see support.fails_on_stdlib",
    )


left_out_key = pytest.StashKey[int]()

WITHOUT_STDLIB = (
    "it has races of its own without the GIL"
    if support.FREE_THREADED
    else "ordinary builds run it, in a third of the time"
    if support.DEBUG_BUILD
    else ""
)
"""Why the tests over `threading` are left out, as they would show nothing; empty where they run."""


def on_stdlib(item: pytest.Item) -> bool:
    """Whether `item` is a test over the `threading` side of `impl`."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("impl") == "threading"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if WITHOUT_STDLIB:
        stdlib = [item for item in items if on_stdlib(item)]
        config.hook.pytest_deselected(items=stdlib)
        items[:] = [item for item in items if not on_stdlib(item)]
        config.stash[left_out_key] = len(stdlib)
    if config.getoption("--refleaks"):
        import refleaks

        elsewhere = [item for item in items if refleaks.ELSEWHERE & set(item.path.parts[-2:])]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    for item in items:
        for mark in item.iter_markers("fails_on_stdlib"):
            callspec = getattr(item, "callspec", None)
            if callspec is None or "impl" not in callspec.params:
                raise pytest.UsageError(f"{item.nodeid}: fails_on_stdlib needs the impl fixture")
            if on_stdlib(item) and mark.kwargs["when"]:
                item.add_marker(
                    pytest.mark.xfail(
                        reason=mark.kwargs["reason"],
                        raises=mark.kwargs["raises"],
                        strict=mark.kwargs["strict"],
                        run=mark.kwargs["run"],
                    )
                )
        # Even with the GIL it has some, which are not ours to mend: its side gets another chance.
        if on_stdlib(item):
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_collection_finish() -> None:
    """What is there now stays: the many gc.collect() of the tests need not look at it."""
    gc.collect()
    gc.freeze()
    # No test has made a lock yet, so what is frozen knows none.
    _waits.FROZEN_BEFORE = gc.get_freeze_count()


outcome_key = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.stash[outcome_key] = report.passed
    return report


@pytest.fixture(autouse=True)
def no_stray_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that passed has joined every thread that it started with `support.start`."""
    support.forget_threads()
    yield
    threads = support.forget_threads()
    if not request.node.stash.get(outcome_key, False):
        return
    for thread in threads:
        if not thread.done:
            raise AssertionError(f"{thread.name} still runs; it is at\n{thread.stack()}")
        if not thread.observed:
            thread.join()


def pytest_unconfigure() -> None:
    """The last line of `make test-model`."""
    machine = sys.modules.get("model_machine")
    if machine is not None and machine.EXAMPLES:
        print(machine.summary())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left_out = config.stash.get(left_out_key, 0)
    if left_out:
        terminalreporter.write_line(f"SKIPPED [{left_out}] threading's side: {WITHOUT_STDLIB}")
    for report in terminalreporter.stats.get("skipped", []):
        # Only a skip of the whole file has the file's own node id.
        if report.nodeid.endswith("test_stdlib_suite.py"):
            terminalreporter.write_sep(
                "!", "NOT RUN: the stdlib's own tests of the locks", red=True
            )
            terminalreporter.write_line(str(report.longrepr[-1]), red=True)
