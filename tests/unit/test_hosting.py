"""The namespace of a hosted control plane: whose it is, and what waits for it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from navarch.api.controlplane import HOSTED_FORM
from navarch.api.power.guarded import find_guarded
from navarch.api.power.hosting import BUILT_IN, FREE_WHEN_HOSTED
from navarch.api.power.rules import Power
from navarch.api.power.spec import SPEC
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.model.naming import hosted_namespace
from navarch.core.model.ownership import NOTHING, Inventory, Record, claims_parent, is_proved
from navarch.core.model.parent import Parent, parent_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.render.components import hosting
from navarch.core.render.components.istiod import HOSTED_ENVIRONMENT
from navarch.core.revision.observed import ObservedRevision
from navarch.core.revision.plan import plan_revision
from navarch.core.world.cluster import Environment
from navarch.core.world.hosting import Home, read_home
from navarch.core.world.kinds import ServedKinds

from tests.golden.rendering import environment_of, render_mesh
from tests.unit.observations import OURS, PARENT, a_spec, an_observed_mesh, assets
from tests.unit.test_planner import established, names

HOSTED = a_spec(hosting="Hosted", scope="Members")
HOME = hosted_namespace(PARENT.namespace, PARENT.name)


def a_namespace(**metadata: Any) -> Manifest:
    """The Namespace as it stands in the cluster, without what proves that it is ours."""
    (wanted,) = hosting.build_objects(PARENT)
    return {**wanted, "metadata": {**wanted["metadata"], "uid": "uid-home", **metadata}}


def in_place(namespace: str) -> Manifest:
    labels = PARENT.labels(component="istiod", revision="shop-mesh-inplace")
    metadata = {"name": "istiod-shop-mesh-inplace", "namespace": namespace, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}


def test_the_name_of_a_hosted_namespace_has_a_form_of_its_own_for_every_mesh() -> None:
    found = {hosted_namespace(*mesh) for mesh in (("a", "b-c"), ("a-b", "c"), ("a", "b"), ("b", "a"))}
    assert len(found) == 4
    assert all(re.fullmatch(HOSTED_FORM, name) for name in found)


@pytest.mark.parametrize(("place", "named"), [(HOME, True), ("shop", True), ("other", False)])
def test_labels_name_a_mesh_beside_it_and_where_it_is_hosted_and_nowhere_else(
    place: str, named: bool
) -> None:
    assert (parent_of(in_place(place)) == PARENT) is named


def test_the_place_where_another_mesh_is_hosted_is_no_place_of_this_one() -> None:
    assert parent_of(in_place(hosted_namespace("shop", "another"))) is None


def test_a_namespace_is_ours_by_our_entry_or_its_record_and_never_by_its_labels() -> None:
    found = a_namespace()
    record = Record(ref_of(found), "uid-home", "hosting")
    assert not claims_parent(found, PARENT)
    assert not is_proved(found, PARENT, NOTHING)
    assert is_proved(found, PARENT, Inventory(records={record.ref: record}))
    assert is_proved(a_namespace(managedFields=OURS), PARENT, NOTHING)
    assert not is_proved(a_namespace(managedFields=OURS, name="navarch-other"), PARENT, NOTHING)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "is not there"),
        ({}, "is not there"),
        ({"managedFields": OURS}, ""),
        ({"managedFields": OURS, "deletionTimestamp": "2026-10-01T12:00:00Z"}, "is being deleted"),
    ],
)
def test_a_revision_waits_for_its_namespace_and_touches_nothing_meanwhile(
    metadata: dict[str, Any] | None, said: str
) -> None:
    mesh = an_observed_mesh(spec=HOSTED)
    body = build_wanted_revision(mesh)
    assert body is not None
    owned = () if metadata is None else (a_namespace(**metadata),)
    plan = plan_revision(
        ObservedRevision(
            environment=Environment((1, 35), "navarch-system", "navarch-probe"),
            assets=assets(),
            parent=PARENT,
            body={**body, "metadata": {**body["metadata"], "generation": 1}},
            mesh=mesh.body,
            namespace=mesh.namespace,
            owned=(),
            roles=mesh.roles,
            home=read_home(PARENT, owned, NOTHING),
        )
    ).plan
    places = {o["metadata"]["namespace"] for o in plan.objects() if "namespace" in o["metadata"]}
    assert places == (set() if said else {HOME})
    assert bool(said) is any(said in waiting.message for waiting in plan.waiting if said)
    assert not plan.prune


def test_a_mesh_makes_its_namespace_before_its_revision() -> None:
    observed = an_observed_mesh(spec=HOSTED, crds=established())
    plan = plan_mesh(observed, ()).plan
    assert names(plan) == ["crds", "hosting"]
    assert HOME in plan.waiting[0].message
    there = an_observed_mesh(spec=HOSTED, crds=established(), owned=(a_namespace(managedFields=OURS),))
    assert names(plan_mesh(there, ()).plan) == ["crds", "hosting", "revision"]


def test_a_control_plane_comes_to_no_tenant_because_a_crd_is_older() -> None:
    spec = {"properties": {"mesh": {}, "tag": {}, "version": {}, "strategy": {}, "members": {}, "config": {}}}
    older = ServedKinds(schemas={"MeshRevision": {"properties": {"spec": spec}}})
    assert build_wanted_revision(an_observed_mesh(spec=HOSTED, kinds=older)) is None
    assert build_wanted_revision(an_observed_mesh(kinds=older)) is not None


def test_a_home_that_is_there_is_no_obstacle() -> None:
    assert Home(HOME, exists=True).obstacle is None
    assert Home(HOME, exists=False).obstacle is not None
    another = Parent(PARENT.kind, "shop", "x")
    assert not read_home(another, [a_namespace(managedFields=OURS)], NOTHING).exists
    assert Ref("v1", "Namespace", "", HOME) == ref_of(a_namespace())


@pytest.mark.parametrize(
    ("spec", "guarded"),
    [
        ({"version": "1.31", "hosting": "Hosted", "scope": "Members"}, []),
        ({"version": "1.31", "hosting": "Hosted", "scope": "Members", "profiles": ["production"]}, []),
        ({"hosting": "Hosted", "scope": "Members", "profiles": ["production", "x"]}, ["profiles"]),
        ({"hosting": "Hosted", "scope": "Members", "tag": "x"}, ["tag"]),
        ({"hosting": "Hosted"}, []),
        ({"hosting": "InNamespace", "scope": "Members", "version": "1.31"}, ["version", "scope", "hosting"]),
        ({"version": "1.31"}, ["version"]),
        ({"hosting": "Hosted", "controlPlane": {"replicas": 9}}, ["controlPlane"]),
    ],
)
def test_what_an_editor_of_a_hosted_mesh_may_write(spec: dict[str, Any], guarded: list[str]) -> None:
    assert sorted(".".join(path) for path in find_guarded(spec, {})) == sorted(guarded)


def test_what_is_free_in_a_hosted_mesh_is_guarded_in_another_and_its_profiles_are_the_built_in_ones() -> None:
    assert all(SPEC[path].power is Power.GUARDED for path in FREE_WHEN_HOSTED)
    assert set(BUILT_IN) == set(assets().profiles)


def test_a_hosted_istiod_has_what_keeps_its_power_unless_a_host_says_otherwise() -> None:
    hosted = {"hosting": "Hosted", "scope": "Members"}
    assert environment_of(render_mesh(hosted)).items() >= HOSTED_ENVIRONMENT.items()
    assert environment_of(render_mesh()).keys().isdisjoint(HOSTED_ENVIRONMENT)
    said = {"environment": [{"name": name, "value": "true"} for name in HOSTED_ENVIRONMENT]}
    told = environment_of(render_mesh({**hosted, "controlPlane": said}))
    assert [told[name] for name in HOSTED_ENVIRONMENT] == ["true", "true"]


@pytest.mark.parametrize("name", HOSTED_ENVIRONMENT)
def test_nobody_without_host_sets_what_keeps_a_hosted_istiods_power(name: str) -> None:
    said = {"controlPlane": {"environment": [{"name": name, "value": "true"}]}}
    hosted = {"hosting": "Hosted", "scope": "Members"}
    assert {path[0] for path in find_guarded({**hosted, **said}, hosted)} == {"controlPlane"}
