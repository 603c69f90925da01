"""What a mesh says of its members, and what leads a change of one to its mesh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.api.controlplane import MOST_PENDING
from navarch.core.membership.rule import is_member
from navarch.core.mesh.checks.foreign import check_foreign_istio
from navarch.core.mesh.checks.neighbours import check_namespaces_are_its_own
from navarch.core.mesh.members import determine_members, summarise_members, view_members
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.mesh.status import determine_mesh
from navarch.core.model.conditions import ConditionType
from navarch.core.model.findings import Severity
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Namespace
from navarch.engine.key import Key
from navarch.triggers.keys import MEMBER_DELAY, Ask, Dependents
from navarch.triggers.known import Known

from tests.unit.observations import a_spec, a_webhook, an_observed_mesh, only

MESH_KEY = Key("MeshControlPlane", "shop", "mesh")


def said(namespace: str, status: str = "", reason: str = "AsExpected", *, seen: int = 1) -> dict[str, Any]:
    """A MeshMember of the mesh, generation 1, with its condition Ready; without one where `status` is
    empty."""
    ready = {"type": "Ready", "status": status, "reason": reason, "observedGeneration": seen, "message": ""}
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshMember",
        "metadata": {"name": "default", "namespace": namespace, "generation": 1},
        "spec": {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}},
        "status": {"conditions": [ready]} if status else {},
    }


def with_members(*members: dict[str, Any], **labelled: dict[str, str]) -> ObservedMesh:
    """A mesh without a scope, with these MeshMembers, and namespaces with labels."""
    observed = an_observed_mesh()
    places = {name: Namespace(name, labels) for name, labels in labelled.items()}
    return replace(observed, members=members, namespaces={**observed.namespaces, **places})


def test_a_namespace_of_the_platform_counts_as_no_member_whatever_its_labels_say() -> None:
    tag = {"istio.io/rev": "shop-mesh"}
    crowd = {f"kube-x{number}": tag for number in range(3)}
    assert view_members(with_members(**crowd)) == ()


def test_a_namespace_counts_once_by_its_member_or_else_by_its_label() -> None:
    tag = {"istio.io/rev": "shop-mesh"}
    observed = with_members(said("front", "True"), said("back"), front=tag, old=tag, alien={})
    views = view_members(observed)
    assert [(v.namespace, v.ready) for v in views] == [
        ("back", "Unknown"),
        ("front", "True"),
        ("old", "True"),
    ]
    assert summarise_members(views) == {
        "total": 3,
        "ready": 2,
        "pending": [{"namespace": "back", "reason": "NotYetDetermined"}],
        "summary": "2/3",
    }


@pytest.mark.parametrize("scope", [None, "Members", "Cluster"])
def test_what_a_mesh_puts_out_is_no_member_of_it_in_any_scope_and_its_own_namespace_stays(
    scope: str | None,
) -> None:
    said_of_scope = {"scope": scope} if scope else {}
    spec = a_spec(excludedNamespaces=["front", "later", "shop"], **said_of_scope)
    labels = {"istio.io/rev": "shop-mesh", "mesh.navarch.io/member-of": "shop.mesh"}
    observed = an_observed_mesh(spec=spec)
    places = {name: Namespace(name, labels) for name in ("front", "back", "shop")}
    observed = replace(observed, members=(said("front", "True"),), namespaces=places)
    mesh = find_effective_membership(observed)
    assert [is_member(mesh, name, labels) for name in ("front", "later", "back", "shop")] == [
        False,
        False,
        True,
        True,
    ]
    assert [view.namespace for view in view_members(observed)] == ["back"]
    wanted = build_wanted_revision(observed)
    assert wanted is not None
    assert {"front", "later"} <= {*wanted["spec"]["members"]["excluded"]}
    assert "shop" not in wanted["spec"]["members"]["excluded"]


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ([], ("True", "AsExpected")),
        ([said("a", "True")], ("True", "AsExpected")),
        ([said("a", "True"), said("b", "False", "LabelConflict")], ("False", "MembersNotReady")),
        ([said("a", "True"), said("b")], ("True", "AsExpected")),
        ([said("a", "False", "LabelConflict", seen=0)], ("True", "AsExpected")),
        ([said("a", "True"), said("b", "Unknown", "Paused")], ("Unknown", "MembersNotReady")),
        ([said("a", "False", "OfALaterRelease"), said("b")], ("False", "MembersNotReady")),
    ],
)
def test_members_are_ready_when_none_says_otherwise(
    members: list[dict[str, Any]], verdict: tuple[str, str]
) -> None:
    told = determine_members(view_members(with_members(*members)))
    assert (told.status, told.reason.value) == verdict


def test_no_member_makes_its_mesh_unready() -> None:
    def judge(observed: ObservedMesh) -> Any:
        return determine_mesh(observed, (), plan_mesh(observed, ()), None)[ConditionType.READY]

    assert judge(with_members(said("a", "False", "LabelConflict"))) == judge(with_members())


def test_what_is_said_of_many_members_has_a_bound() -> None:
    views = view_members(with_members(*(said(f"n{i:03}", "False", "LabelConflict") for i in range(200))))
    told = summarise_members(views)
    assert (told["total"], told["ready"], len(told["pending"])) == (200, 0, MOST_PENDING)
    message = determine_members(views).message
    assert "200 of 200" in message
    assert "and 195 more" in message


def test_a_mesh_names_namespaces_that_are_anothers_by_a_member() -> None:
    labels = {"istio.io/rev": "shop-mesh", "mesh.navarch.io/member-of": "other.mesh"}
    own = {**labels, "mesh.navarch.io/member-of": "shop.mesh"}
    finding = only(check_namespaces_are_its_own, with_members(front=labels, mine=own))
    assert (finding.reason, finding.severity) == (Reason.NAMESPACE_SHARED, Severity.WARNING)
    assert "front (a member of other/mesh)" in finding.message
    assert "mine" not in finding.message
    by_member = replace(an_observed_mesh(spec=a_spec(scope="Members")), namespaces={})
    (summary,) = by_member.meshes
    by_member = replace(by_member, meshes=(replace(summary, member_of="shop.mesh"),))
    assert [*check_namespaces_are_its_own(by_member)] == []


def test_a_foreign_webhook_that_selects_the_tag_is_refused_whatever_its_own_labels_say() -> None:
    expression = {"key": "istio.io/rev", "operator": "In", "values": ["shop-mesh"]}
    asks = {"x.istio.io": {"matchExpressions": [expression]}}
    finding = only(check_foreign_istio, replace(an_observed_mesh(), webhooks=(a_webhook("x", entries=asks),)))
    assert finding.reason is Reason.FOREIGN_ISTIO
    assert "istio.io/rev=shop-mesh" in finding.message
    of_all = a_webhook("y", entries={"y.istio.io": {}})
    assert [*check_foreign_istio(replace(an_observed_mesh(), webhooks=(of_all,)))] == []


def build_dependents() -> Dependents:
    """Those of a cluster with the mesh, another one, and 200 members of it."""
    others = [said(f"n{i:03}", "True") for i in range(200)]
    meshes = [
        {"kind": "MeshControlPlane", "metadata": {"namespace": namespace, "name": "mesh"}}
        for namespace in ("shop", "other")
    ]
    return Dependents(Known([*meshes, *others]), find_namespace=lambda _: None)


def test_a_member_leads_to_its_mesh_a_little_later_and_only_when_what_the_mesh_says_changes() -> None:
    dependents, before = build_dependents(), said("n001", "True")
    own = Ask(Key("MeshMember", "n001", "default"))
    later = Ask(MESH_KEY, MEMBER_DELAY)
    unready = said("n001", "False", "LabelConflict")
    assert {*dependents.asks_for_member(before, unready)} == {own, later}
    counted = {**before, "status": {**before["status"], "proxies": {"total": 9}}}
    assert {*dependents.asks_for_member(before, counted)} == {own}, "a census is the member's own affair"
    assert {*dependents.asks_for_member(None, before)} == {own, later}
    assert {*dependents.asks_for_member(before, None)} == {own, later}


def test_the_event_of_one_namespace_leads_to_no_other_member() -> None:
    dependents = build_dependents()

    def a_namespace(**labels: str) -> dict[str, Any]:
        return {"kind": "Namespace", "metadata": {"name": "n001", "labels": labels}}

    keys = {*dependents.keys_for_namespace(a_namespace(), a_namespace(team="x"))}
    assert keys == {Key("MeshMember", "n001", "default")}
    joined = a_namespace(**{"mesh.navarch.io/member-of": "shop.mesh"})
    assert {*dependents.keys_for_namespace(a_namespace(), joined)} == {*keys, MESH_KEY}


def test_a_revision_leads_to_its_mesh_s_members_only_when_they_see_a_difference() -> None:
    dependents = build_dependents()
    labels = Parent("MeshControlPlane", "shop", "mesh", "u").labels(component="revision", revision="r")
    metadata = {"namespace": "shop", "name": "r", "labels": labels}
    spec = {"tag": "shop-mesh", "members": {"memberOf": "shop.mesh"}, "config": {"meshConfig": {}}}
    before = {"kind": "MeshRevision", "metadata": metadata, "spec": spec, "status": {"proxy": "1"}}

    def count(old: dict[str, Any] | None, **new: Any) -> int:
        keys = {*dependents.keys_for_revision(old, {**before, **new})}
        return sum(key.kind == "MeshMember" for key in keys)

    logged = {**spec, "config": {"meshConfig": {"accessLogFile": "/dev/stdout"}}}
    assert count(before, spec=logged, status={"proxy": "1", "conditions": []}) == 0
    everyone = count(None)
    assert everyone > 0
    isolated = {**spec, "config": {"networkPolicies": {"isolateMembers": True}}}
    seen = ({"status": {"proxy": "2"}}, {"spec": isolated}, {"spec": {**spec, "members": {"memberOf": ""}}})
    assert [count(before, **new) for new in seen] == [everyone] * 3


def test_what_a_mesh_says_of_its_members_leads_to_no_gateway_and_no_member() -> None:
    dependents = build_dependents()
    mesh = {"kind": "MeshControlPlane", "metadata": {"namespace": "shop", "name": "mesh"}, "spec": {}}
    gateway = {
        "kind": "MeshGateway",
        "metadata": {"namespace": "shop", "name": "front"},
        "spec": {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}},
    }
    dependents.known.change(None, gateway)

    def state(ready: str, total: int) -> dict[str, Any]:
        condition = {"type": "MembersReady", "status": ready, "reason": "AsExpected", "message": ""}
        return {**mesh, "status": {"conditions": [condition], "members": {"total": total}}}

    assert {*dependents.keys_for_mesh(state("True", 1), state("False", 2))} == {MESH_KEY}


def test_whom_a_mesh_puts_out_leads_to_its_members_and_to_its_roll() -> None:
    dependents = build_dependents()
    roll = {"kind": "MeshMemberRoll", "metadata": {"namespace": "shop", "name": "default"}, "spec": {}}
    dependents.known.change(None, roll)
    mesh = {"kind": "MeshControlPlane", "metadata": {"namespace": "shop", "name": "mesh"}, "spec": {}}
    woken = {*dependents.keys_for_mesh(mesh, {**mesh, "spec": {"excludedNamespaces": ["front"]}})}
    assert {"MeshMember", "MeshMemberRoll"} <= {key.kind for key in woken}
