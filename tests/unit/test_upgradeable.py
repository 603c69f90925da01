"""What OLM is told of whether it may replace the operator now."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.controllers.upgradeable import build_condition, is_said, tell_replaced

NOW = "2026-11-29T00:00:00Z"


def a_revision(name: str, *, status: str = "True", reason: str = "RollingOut") -> dict[str, Any]:
    condition = {"type": "Progressing", "status": status, "reason": reason, "message": ""}
    return {"metadata": {"namespace": "mesh", "name": name}, "status": {"conditions": [condition]}}


def test_the_revisions_whose_istiod_is_being_replaced_are_named_in_order() -> None:
    assert (
        tell_replaced([a_revision("b"), a_revision("a")])
        == "istiod is being replaced: MeshRevision mesh/a; mesh/b"
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [("False", "Settled"), ("True", "RolloutStuck"), ("True", "Progressing"), ("Unknown", "RollingOut")],
)
def test_what_may_last_for_ever_or_is_no_rollout_holds_nothing_back(status: str, reason: str) -> None:
    assert tell_replaced([a_revision("a", status=status, reason=reason)]) == ""


def test_a_revision_without_a_status_holds_nothing_back() -> None:
    assert tell_replaced([{"metadata": {"namespace": "mesh", "name": "new"}}]) == ""


def test_a_condition_is_written_only_when_it_would_say_something_else() -> None:
    waits, free = build_condition("istiod is being replaced: mesh/a", NOW), build_condition("", NOW)
    assert (waits["status"], free["status"]) == ("False", "True")
    assert is_said({}, free)
    assert not is_said({}, waits)
    assert is_said({**waits, "lastTransitionTime": "2020-01-01T00:00:00Z"}, waits)
    assert not is_said(waits, free)
    assert not is_said(waits, build_condition("istiod is being replaced: mesh/b", NOW))
