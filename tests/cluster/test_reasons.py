"""Whether every reason of status was reached on a real API server, and read there by a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from navarch.core.diagnosis.advice.authority import OF_AUTHORITIES
from navarch.core.model.reasons import Reason

from tests.support import run
from tests.support.reasons import list_read

pytestmark = pytest.mark.last

ELSEWHERE = {
    # only Events carry these
    Reason.ANOTHER_INSTALLATION: "tests/cluster/test_installations.py",
    Reason.DRIFT_REPAIRED: "tests/cluster/test_drift.py",
    Reason.GATEWAY_API_NOT_INSTALLED: "tests/cluster/test_gateway_api.py",
    Reason.METRICS_CERTIFICATE_INVALID: "tests/cluster/test_metrics_access.py",
    Reason.OBJECT_REMOVED: "tests/cluster/test_ownership.py",
    Reason.UPGRADED: "tests/cluster/test_edits.py",
    # only `navarch ca verify` says these
    **dict.fromkeys(OF_AUTHORITIES, "tests/support/broken_authorities.py"),
}
"""Reasons that no status can show in the light lab, and what tests them instead."""


@pytest.fixture
def everything(request: pytest.FixtureRequest) -> None:
    """Skips unless all of this folder's tests ran before."""
    folder = Path(__file__).parent
    ran = {item.path.name for item in request.session.items} | run.list_files("tests/cluster")
    left_out = sorted(path.name for path in folder.glob("test_*.py") if path.name not in ran)
    if left_out or request.config.option.keyword:
        pytest.skip(f"judges the whole folder; left out: {', '.join(left_out) or 'what -k deselected'}")


def test_every_reason_was_read_from_status(everything: None) -> None:
    assert {str(r) for r in Reason} - list_read() - {str(r) for r in ELSEWHERE} == set()


@pytest.mark.parametrize(("reason", "file"), [pytest.param(r, f, id=str(r)) for r, f in ELSEWHERE.items()])
def test_a_reason_that_no_status_can_show_here_is_tested_elsewhere(reason: Reason, file: str) -> None:
    text = (Path(__file__).parents[2] / file).read_text()
    assert reason.value in text or f"Reason.{reason.name}" in text
