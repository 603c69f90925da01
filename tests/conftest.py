"""Fixtures of all suites."""

import pytest

pytest_plugins = ["lab.pytest_plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`: tests marked `long` take their full length (`make soak`), not the one that fits into CI."""
    parser.addoption("--full", action="store_true", help="run tests marked `long` in their full length")
    parser.addoption("--performance", metavar="FILE", help="where to write what was measured (`make bench`)")
    parser.addoption("--measured-on", metavar="DATE", default="", help="the date to write beside it")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether a test marked `long` is to take its full length."""
    return bool(pytestconfig.getoption("--full"))
