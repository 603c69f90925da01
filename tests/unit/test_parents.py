"""Parents of more than one kind, shown with a kind that Navarch does not have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.core.model import ownership, parent
from navarch.core.model.ownership import (
    NOTHING,
    Inventory,
    Record,
    claims_parent,
    inventory_name,
    is_conceivable,
    is_foreign_label,
    is_named,
    is_proved,
    parent_of_inventory,
    restate,
)
from navarch.core.model.parent import MESH, Parent, ParentKind, Place, identify, parent_of
from navarch.core.model.refs import ref_of
from navarch.engine.key import Key
from navarch.kube.inventory import read_inventory, render_inventory
from navarch.triggers.keys import keys_for_inventory, keys_for_owned

BOAT = "Boat"
ROW = ParentKind("example.com/boat-namespace", "example.com/boat-name", "example.com/boat-uid")
NAMES = st.from_regex(r"[a-z]([a-z.-]{0,8}[a-z])?", fullmatch=True)
NAMESPACES = st.from_regex(r"[a-z]([a-z-]{0,8}[a-z])?", fullmatch=True)


@pytest.fixture(autouse=True)
def boats(monkeypatch: pytest.MonkeyPatch) -> None:
    _add(monkeypatch, ROW)


def _add(monkeypatch: pytest.MonkeyPatch, row: ParentKind) -> None:
    kinds = {BOAT: row, **{k: v for k, v in parent.PARENT_KINDS.items() if k != BOAT}}
    monkeypatch.setattr(parent, "PARENT_KINDS", kinds)
    monkeypatch.setattr(ownership, "PARENT_KINDS", kinds)
    world = {**ownership.CLOSED_WORLD, BOAT: {"hull": frozenset({"Deployment"})}}
    monkeypatch.setattr(ownership, "CLOSED_WORLD", world)


def build(
    of: Parent, *, namespace: str = "", kind: str = "Deployment", applied: bool = False
) -> dict[str, Any]:
    entry = {"manager": "navarch", "operation": "Apply", "fieldsV1": {}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "name": "it",
            "namespace": namespace or of.namespace,
            "uid": "1",
            "labels": of.labels(component="hull"),
            "managedFields": [entry] if applied else [],
        },
    }


def test_an_object_names_the_kind_of_its_parent_by_the_keys_of_its_labels() -> None:
    ship, mesh = Parent(BOAT, "sea", "one", "u"), Parent(MESH, "sea", "one", "u")
    assert parent_of(build(ship)) == ship
    assert parent_of(build(mesh)) == mesh
    assert not ship.owns(build(mesh))
    assert is_foreign_label(build(mesh), ship)
    assert not is_foreign_label(build(Parent(BOAT, "sea", "one", "dead")), ship)


def test_a_parent_is_identified_by_its_own_object() -> None:
    body = {"kind": BOAT, "metadata": {"namespace": "sea", "name": "one", "uid": "u"}}
    assert identify(body) == Parent(BOAT, "sea", "one", "u")
    assert identify({"kind": BOAT, "metadata": {"name": "default"}}) == Parent(BOAT, "", "default")


def test_each_kind_of_parent_has_a_closed_world_of_its_own() -> None:
    ship = Parent(BOAT, "sea", "one", "u")
    assert is_conceivable(build(ship))
    assert not is_conceivable(build(ship, kind="Secret"))
    assert not is_conceivable(build(Parent(MESH, "sea", "one", "u")))


def test_the_labels_of_a_parent_count_in_its_namespace_only() -> None:
    ship = Parent(BOAT, "sea", "one", "u")
    assert parent_of(build(ship, namespace="port", applied=True)) is None


def test_where_objects_may_lie_anywhere_labels_alone_count_beside_the_parent_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _add(monkeypatch, ParentKind(ROW.namespace, ROW.name, ROW.uid, Place.ANY_NAMESPACE))
    ship = Parent(BOAT, "sea", "one", "u")
    forged, applied = build(ship, namespace="port"), build(ship, namespace="port", applied=True)
    assert parent_of(forged) == ship  # its key is looked at: that harms nothing
    assert (is_named(forged, ship), claims_parent(forged, ship)) == (False, False)
    assert not is_proved(forged, ship, NOTHING)
    assert (is_named(applied, ship), claims_parent(applied, ship)) == (True, True)
    assert is_proved(applied, ship, NOTHING)
    assert is_named(build(ship), ship)
    assert not is_proved(build(ship), ship, NOTHING)


def test_a_change_of_an_object_leads_to_its_parent_in_its_parents_lane() -> None:
    (key,) = keys_for_owned(build(Parent(BOAT, "sea", "one", "u")))
    assert key == Key(BOAT, "sea", "one", "sea")


@given(NAMESPACES, NAMES, st.sampled_from((BOAT, MESH)))
def test_the_name_of_an_inventory_says_whose_it_is(namespace: str, name: str, kind: str) -> None:
    whose = Parent(kind, namespace, name)
    assert parent_of_inventory(inventory_name(whose)) == whose


def test_an_inventory_of_any_kind_is_read_as_it_was_written_and_wakes_its_parent() -> None:
    ship = Parent(BOAT, "sea", "one", "u")
    made = build(ship)
    inventory = Inventory("u", "crd", {ref_of(made): Record(ref_of(made), "1", "hull")})
    assert read_inventory(render_inventory(ship, inventory)) == (ship, inventory)
    (key,) = keys_for_inventory({"metadata": {"name": inventory_name(ship)}})
    assert (key.kind, key.namespace, key.name) == (BOAT, "sea", "one")


def test_a_recorded_object_without_labels_gets_those_of_its_own_parent_back() -> None:
    ship = Parent(BOAT, "sea", "one", "u")
    bare = build(ship)
    bare["metadata"]["labels"] = {"other": "label"}
    restated = restate(bare, ship, Record(ref_of(bare), "1", "hull"))
    assert parent_of(restated) == Parent(BOAT, "sea", "one")
    assert restated["metadata"]["labels"]["other"] == "label"
