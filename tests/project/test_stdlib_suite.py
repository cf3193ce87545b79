"""The running interpreter's own tests of the locks, over our types.

CPython keeps them in `test.lock_tests`, as classes that take the type under test. Some
distributions leave the `test` package out: then this file is skipped, and the summary of the run
says so in red (see `pytest_terminal_summary` in conftest.py).
"""

from __future__ import annotations

import unittest

import pytest

import pyfastlock

try:
    from test import lock_tests
except ImportError as error:
    pytest.skip(f"this interpreter has no test.lock_tests: {error}", allow_module_level=True)


class TestLock(lock_tests.LockTests):
    locktype = staticmethod(pyfastlock.Lock)


class TestRLock(lock_tests.RLockTests):
    locktype = staticmethod(pyfastlock.RLock)


class TestConditionAsRLock(lock_tests.RLockTests):
    """A Condition over its default lock offers the API of that lock."""

    locktype = staticmethod(pyfastlock.Condition)

    @unittest.skip("a Condition takes an argument, its lock (the stdlib skips it for its own)")
    def test_constructor_noargs(self):
        raise AssertionError

    @unittest.skip("a Condition has no _recursion_count() (the stdlib skips it for its own)")
    def test_recursion_count(self):
        raise AssertionError


class TestCondition(lock_tests.ConditionTests):
    condtype = staticmethod(pyfastlock.Condition)


class TestEvent(lock_tests.EventTests):
    eventtype = staticmethod(pyfastlock.Event)

    def test_at_fork_reinit(self):
        """The stdlib's looks for the lock inside: ours has none. What has to hold is that an event
        that a fork left as it was can be used."""
        event = self.eventtype()
        event.set()
        event._at_fork_reinit()
        assert event.is_set()
        event.clear()
        assert not event.wait(0)


class TestSemaphore(lock_tests.SemaphoreTests):
    semtype = staticmethod(pyfastlock.Semaphore)


class TestBoundedSemaphore(lock_tests.BoundedSemaphoreTests):
    semtype = staticmethod(pyfastlock.BoundedSemaphore)


class TestBarrier(lock_tests.BarrierTests):
    barriertype = staticmethod(pyfastlock.Barrier)


CASES = [
    TestLock,
    TestRLock,
    TestConditionAsRLock,
    TestCondition,
    TestEvent,
    TestSemaphore,
    TestBoundedSemaphore,
    TestBarrier,
]


@pytest.mark.parametrize("case", CASES)
def test_the_classes_bring_tests(case):
    """The classes above inherit tests: an empty base class would pass unnoticed."""
    assert len(unittest.TestLoader().getTestCaseNames(case)) >= 6
