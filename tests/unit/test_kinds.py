"""One table has all that is chosen by kind, and nothing is missing from it."""

from __future__ import annotations

from itertools import chain

import pytest
from navarch.api.export import RESOURCES
from navarch.api.meta import API_VERSION
from navarch.controllers.kinds import KINDS
from navarch.core.model.actions import Action, ObjectOutcome, Outcome
from navarch.core.model.conditions import ConditionType
from navarch.core.model.refs import Ref
from navarch.engine.key import Key
from navarch.gather.watches import WATCHES, Role
from navarch.kube.resources import resource_of
from navarch.telemetry import metrics
from navarch.triggers.keys import Dependents
from navarch.triggers.known import Known

from tests.support.crowd import SINCE, STATES


def test_every_kind_of_ours_has_a_row_and_every_watch_of_them_belongs_to_one() -> None:
    assert [*KINDS] == [resource.kind for resource in RESOURCES]
    own = [watch for watch in WATCHES if watch.role is Role.OWN]
    assert [kind.watch for kind in KINDS.values()] == own
    for name, kind in KINDS.items():
        assert (kind.watch.api_version, kind.watch.kind) == (API_VERSION, name)
        assert resource_of(API_VERSION, name).plural == kind.resource.plural


@pytest.mark.parametrize("name", KINDS)
def test_what_is_awaited_is_a_condition_of_the_kind(name: str) -> None:
    assert set(KINDS[name].awaited.conditions) <= set(KINDS[name].conditions)


def test_every_condition_is_of_a_kind() -> None:
    assert {condition for kind in KINDS.values() for condition in kind.conditions} == set(ConditionType)


@pytest.mark.parametrize("name", KINDS)
def test_a_change_of_an_object_leads_to_its_own_key(name: str) -> None:
    manifest = {"kind": name, "metadata": {"namespace": "ns", "name": "x"}}
    keys = KINDS[name].watch.keys
    dependents = Dependents(Known(), find_namespace=lambda _: None)
    assert Key(name, "ns", "x") in [ask.key for ask in keys(dependents, None, manifest)]
    assert Key(name, "ns", "x") in [ask.key for ask in keys(dependents, manifest, None)]


def read_series(name: str) -> set[str]:
    """Names of the metrics that have a sample about an object in the namespace."""
    return {
        sample.name
        for family in chain(
            metrics.REGISTRY.collect(), metrics.numbers.collect(), metrics.conditions.collect()
        )
        for sample in family.samples
        if sample.labels.get("namespace") == name
    }


def list_labelled() -> set[object]:
    """Every metric whose series name an object of ours."""
    found = (m for m in vars(metrics).values() if not isinstance(m, type))
    return {m for m in found if "namespace" in getattr(m, "_labelnames", ())}


def test_nothing_is_measured_of_objects_that_are_gone() -> None:
    place = "gone"
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "proxies": {"total": 3, "current": 2, "outdated": 1},
        "components": [{"name": "istiod", "ready": 1, "desired": 1}],
        "members": {"total": 2, "ready": 1},
        "dataPlane": {"phase": "Halted", "phaseSince": SINCE} | dict.fromkeys(STATES, 1),
        "upgrade": {"phase": "Held", "since": SINCE},
        "plan": {"change": "minor"},
        "certificates": [{"namespace": place, "name": "cert", "notAfter": "2026-12-06T10:00:00Z"}],
        "certificateAuthority": {
            "type": "Managed",
            "root": {"notAfter": "2026-12-06T10:00:00Z"},
            "rotation": {"phase": "Preparing"},
        },
    }
    drifted = ObjectOutcome(Ref("v1", "Service", place, "x"), Action.CONFIGURED, drift=True)
    for name in KINDS:
        for object_name in ("x", "y"):
            metrics.set_conditions(name, place, object_name, status)
            metrics.count_outcome(name, place, object_name, Outcome((drifted,)))
    assert len(read_series(place)) == len(list_labelled()), "every metric that names objects is among them"
    for name in KINDS:
        metrics.forget(name, place, "x")
    assert len(read_series(place)) == len(list_labelled()), "the others stay"
    for name in KINDS:
        metrics.forget(name, place, "y")
        metrics.forget(name, place, "never seen")
    assert read_series(place) == set()
