"""`pytest --refleaks`: every test over our types, repeated, leaks no reference.

Only a debug build of the interpreter counts all references. Much like CPython's own `regrtest -R`,
this calls it a leak when the total grows in nearly every repetition: caches that fill and threads
that have not quite ended make it grow in some.

A test that starts a process does its work there, and what leaks there is not counted here: it is
run once. The summary says how many those were. Files in which nearly every test does so are left
out.
"""

from __future__ import annotations

import _thread
import faulthandler
import functools
import gc
import re
import sys
import time
from collections import Counter
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from _pytest.runner import runtestprotocol

ENOUGH = 1
"""How many repetitions in a row show that a test leaks nothing, where the total does not grow: one,
as for regrtest. What leaks each time has none."""

ELSEWHERE = {
    "test_main.py",
    "test_options.py",
    "test_packaging.py",
    "test_pytest_plugin.py",
    "model",
}
"""The files that are left out, and the folder: what hypothesis remembers grows."""

QUICK = 2
"""How many repetitions come first in which nothing is collected: it takes longer than most tests,
and in most of them the total is the same to the last reference."""

REPEATS = 20
"""How many repetitions decide otherwise."""

if sys.version_info >= (3, 13):
    clear_caches = sys._clear_internal_caches
else:
    clear_caches = sys._clear_type_cache

restarted = 0.0
"""When the watchdog was restarted last."""

counts: Counter[str] = Counter()
"""How many tests went which way."""


def count_processes(event: str, args: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        counts["processes"] += 1


def wait_for_threads(threads: int) -> None:
    """Wait until no more than `threads` threads run: join() returns a moment earlier."""
    deadline = time.monotonic() + 2.0
    while _thread._count() > threads and time.monotonic() < deadline:
        time.sleep(0.001)


def settle(threads: int) -> None:
    """Wait for threads, and let go of what is only cached, where the cache would keep on
    changing."""
    wait_for_threads(threads)
    re.purge()  # an expression with an address in it may be a new one each time
    # The cache of methods keeps the names that it was asked for.
    clear_caches()
    gc.collect()
    gc.collect()


def restart_watchdog(config: pytest.Config) -> None:
    """The limit of `faulthandler_timeout` is for one repetition, not for all of them.

    It takes a new thread, so where nothing takes long this is seldom done.
    """
    global restarted  # noqa: PLW0603 - there is one watchdog
    timeout = float(config.getini("faulthandler_timeout") or 0)
    if timeout > 0 and time.monotonic() - restarted > timeout / 10:
        restarted = time.monotonic()
        faulthandler.dump_traceback_later(
            timeout,
            file=config.stash[fault_handler_stderr_fd_key],
            exit=config.getini("faulthandler_exit_on_timeout"),
        )


def finished(finalizer: Any) -> bool:
    """Whether this is `fixture.finish` of a fixture that has ended: then it does nothing."""
    if not isinstance(finalizer, functools.partial):
        return False
    fixture = getattr(finalizer.func, "__self__", None)
    return isinstance(fixture, pytest.FixtureDef) and fixture.cached_result is None


def forget(item: Any) -> None:
    """Let go of what pytest keeps of each run of a test: what was captured and recorded; and, at
    the fixtures of a module or of the session, how the test's fixtures that use those end."""
    item._report_sections.clear()
    item.user_properties.clear()
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for definition in definitions:
            if any(map(finished, definition._finalizers)):
                kept = [f for f in definition._finalizers if not finished(f)]
                definition._finalizers[:] = kept


def run(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run the whole test with its fixtures. Returns the reports, which are not yet made public."""
    restart_watchdog(item.config)
    reports = runtestprotocol(item, False, nextitem)
    forget(item)
    return reports


def passed(reports: list[pytest.TestReport]) -> bool:
    return all(report.passed for report in reports)


def leaks(item: pytest.Item, nextitem: pytest.Item | None, threads: int) -> list[int]:
    """Repeat a test that has passed. Returns by how much the total of references grew in each
    repetition, if it grew in at least three quarters of them, or nothing.

    One repetition that fails ends it: chance is not what is looked for here.
    """
    wait_for_threads(threads)
    for _ in range(QUICK):
        before = sys.gettotalrefcount()  # type: ignore[attr-defined]
        if not passed(run(item, nextitem)):
            return []
        wait_for_threads(threads)
        if sys.gettotalrefcount() == before:  # type: ignore[attr-defined]
            return []
    deltas = [0] * REPEATS
    flat = 0
    settle(threads)
    # So that this number, too, is there before the first repetition.
    before = sys.gettotalrefcount()  # type: ignore[attr-defined]
    for i in range(REPEATS):
        before = sys.gettotalrefcount()  # type: ignore[attr-defined]
        if not passed(run(item, nextitem)):
            return []
        settle(threads)
        deltas[i] = sys.gettotalrefcount() - before  # type: ignore[attr-defined]
        flat = flat + 1 if deltas[i] <= 0 else 0
        if flat == ENOUGH:
            return []
    return deltas if sorted(deltas)[REPEATS // 4] > 0 else []


def pytest_configure() -> None:
    sys.addaudithook(count_processes)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """The first run is what is reported, and warms up. What leaks becomes an error at the end."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    threads, processes = _thread._count(), counts["processes"]
    reports = run(item, nextitem)
    if not passed(reports):
        counts["not passed"] += 1
    elif counts["processes"] > processes:
        counts["run once"] += 1
    else:
        counts["repeated"] += 1
        # The numbers are made beforehand, so that they do not count.
        pool = list(range(-1000, 1000))
        if found := leaks(item, nextitem, threads):
            reports[-1].outcome = "failed"
            reports[-1].longrepr = f"references leaked, in each repetition: {found}"
        del pool
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(
        f"--refleaks: {counts['repeated']} tests repeated, "
        f"{counts['run once']} run once as they start processes, "
        f"{counts['not passed']} did not pass (or were skipped)"
    )
