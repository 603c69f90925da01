"""Fixtures of all suites."""

from collections.abc import Generator

import pytest

from tests.support.outcome import note_outcome

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fixtures may ask how their test has ended."""
    report = yield
    note_outcome(item, report)
    return report
