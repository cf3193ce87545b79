"""The pytest plugin: ``pytest --pyfastlock`` runs the tests on pyfastlock's locks.

Every run of pytest imports this module.  It is no part of the package, so without the option it
imports nothing of that.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("pyfastlock").addoption(
        "--pyfastlock",
        action="store_true",
        help="run the tests on pyfastlock's locks: a test that deadlocks fails, and who waits for "
        "which lock is printed where a test takes too long",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    if early_config.known_args_namespace.pyfastlock:
        from pyfastlock import _pytest

        _pytest.begin(early_config)
