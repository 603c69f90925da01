"""Fixtures of all suites."""

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import run
from tests.support.outcome import note_outcome

pytest_plugins = ["lab.pytest_plugin"]
DURATIONS = Path(__file__).parent / "durations.json"
"""How long each file took once: a hint in which order workers take them, and nothing else."""
# An example that is slow says how busy the machine is.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`: tests marked `long` take their full length (`make soak`), not the one that fits into CI."""
    parser.addoption("--full", action="store_true", help="run tests marked `long` in their full length")
    parser.addoption("--performance", metavar="FILE", help="where to write what was measured (`make bench`)")
    parser.addoption("--measured-on", metavar="DATE", default="", help="the date to write beside it")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether a test marked `long` is to take its full length."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def in_full(full: bool) -> None:
    """For a test that takes minutes, and whose core another one shows: `make soak` alone runs it."""
    if not full:
        pytest.skip("takes minutes on a busy machine: `make soak` runs it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fixtures may ask how their test has ended."""
    report = yield
    note_outcome(item, report)
    run.note_end(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol() -> None:
    """What a test waits for before it begins is none of its own time."""
    run.await_room()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    run.begin(item)


def pytest_configure(config: pytest.Config) -> None:
    """Where several processes make one run, each writes down how its tests ended; of xdist's the first."""
    if (folder := run.find_folder()) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(run.Recorder(folder))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run.choose(config, items)
    run.sort_by_duration(items, hints=DURATIONS, in_workers=hasattr(config, "workerinput"))
