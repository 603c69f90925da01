"""Metrics of upgrades and restarts: one phase at a time, since when, and nothing once they are over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, get_args

import pytest
from navarch.api.dataplane import DataPlaneStatus
from navarch.api.upgrade import UpgradeStatus
from navarch.core.mesh.rollout import summarise_data_plane
from navarch.core.rollout.plan import Phase, RolloutPlan
from navarch.telemetry import metrics

from tests.unit.observations import an_observed_mesh

PLACE = "measured"
LONG_AGO, NOW = "2026-11-30T09:00:00+00:00", "2026-11-30T12:00:00+00:00"
COUNTS = {"updated": 4, "rolling": 1, "waiting": 2, "manual": 3}
HALTED = {"phase": "Halted", "phaseSince": LONG_AGO, **COUNTS}
HELD = {"phase": "Held", "since": LONG_AGO}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    metrics.forget("MeshControlPlane", PLACE, "demo")


def publish(**status: Any) -> None:
    metrics.set_conditions("MeshControlPlane", PLACE, "demo", {"conditions": [], **status})


def read(metric: str) -> dict[str, float]:
    """The values of a metric, by the label behind those that name the mesh."""
    return {
        "".join(value for name, value in sample.labels.items() if name not in ("namespace", "mesh")): (
            sample.value
        )
        for family in metrics.numbers.collect()
        for sample in family.samples
        if sample.name == metric and sample.labels["namespace"] == PLACE
    }


def test_of_all_phases_one_is_told_and_the_others_are_there() -> None:
    for phase in metrics.ROLLOUT_PHASES:
        publish(dataPlane=HALTED | {"phase": phase})
        told = read("navarch_rollout_phase")
        assert told == dict.fromkeys(metrics.ROLLOUT_PHASES, 0.0) | {phase: 1.0}
    publish(upgrade=HELD)
    assert read("navarch_upgrade_phase") == {"Proving": 0.0, "Held": 1.0}


def test_the_phases_of_the_metrics_are_those_of_status() -> None:
    def phases_of(model: type[Any]) -> tuple[str, ...]:
        return get_args(model.model_fields["phase"].annotation)

    assert phases_of(DataPlaneStatus) == metrics.ROLLOUT_PHASES
    assert set(metrics.ROLLOUT_PHASES) == {phase.value for phase in Phase}
    assert phases_of(UpgradeStatus) == metrics.UPGRADE_PHASES


def test_workloads_are_counted_by_state_and_the_age_of_a_phase_can_be_computed() -> None:
    publish(dataPlane=HALTED, upgrade=HELD)
    assert read("navarch_rollout_workloads") == COUNTS
    began = datetime.fromisoformat(LONG_AGO).timestamp()
    assert read("navarch_rollout_phase_start_timestamp_seconds") == {"": began}
    assert read("navarch_upgrade_start_timestamp_seconds") == {"": began}


def test_nothing_is_told_of_an_upgrade_or_of_restarts_that_are_no_more() -> None:
    publish(dataPlane=HALTED, upgrade=HELD)
    publish()
    names = ("phase", "phase_start_timestamp_seconds", "workloads")
    assert [read(f"navarch_rollout_{name}") for name in names] == [{}] * 3
    assert read("navarch_upgrade_phase") == read("navarch_upgrade_start_timestamp_seconds") == {}


def test_an_approval_that_waits_is_told_with_what_it_is_for_until_it_is_given() -> None:
    plan = {"hash": "0a1b2c3d4e5f", "change": "minor", "from": "1.30.8", "to": "1.31.4"}
    publish(plan=plan)
    assert read("navarch_approval_pending") == {"minor": 1.0}
    publish(plan=plan | {"change": "config"})
    assert read("navarch_approval_pending") == {"config": 1.0}
    publish()
    assert read("navarch_approval_pending") == {}


def since(told: Mapping[str, Any], phase: Phase) -> str:
    """What is written after this status, where the restarts are in this phase."""
    observed = an_observed_mesh(status={"dataPlane": told} if told else {}, now=NOW)
    return str(summarise_data_plane(observed, RolloutPlan(phase, 4))["phaseSince"])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"target": "", "phase": "Halted", "phaseSince": LONG_AGO}, LONG_AGO),
        ({"target": "", "phase": "Rolling", "phaseSince": LONG_AGO}, NOW),
        ({"target": "older", "phase": "Halted", "phaseSince": LONG_AGO}, NOW),
        ({"target": "", "phase": "Halted", "phaseSince": "yesterday"}, NOW),
        ({"target": "", "phase": "Halted"}, NOW),
        ({}, NOW),
    ],
)
def test_a_phase_has_its_time_until_it_or_what_is_rolled_out_changes(
    told: Mapping[str, Any], expected: str
) -> None:
    assert since(told, Phase.HALTED) == expected
