"""Who reaches a mesh's control plane and its members: what the policies let in, and when there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.member.checks import run_checks
from navarch.core.member.observed import ObservedMember
from navarch.core.member.plan import plan_member
from navarch.core.member.status import is_released
from navarch.core.membership.rule import read_membership
from navarch.core.membership.selectors import build_discovery_selectors, matches
from navarch.core.model.actions import Plan
from navarch.core.model.ownership import MANAGER, is_conceivable
from navarch.core.model.parent import MEMBER, Parent, parent_of
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.render.components.networkpolicies import NAME
from navarch.engine.key import Key
from navarch.triggers.keys import keys_for_owned

from tests.golden.rendering import find_one, render_mesh
from tests.support.managed import build_managed
from tests.unit.members import a_member, joined
from tests.unit.observations import NOW

ISOLATED = {"manage": True, "isolateMembers": True}


def a_revision(policies: Mapping[str, Any] | None, *, scope: str = "Members") -> Manifest:
    """A MeshRevision of the mesh shop/mesh that was accepted with these policies."""
    of = {"memberOf": "shop.mesh"} if scope else {}
    config = {"networkPolicies": policies} if policies is not None else {}
    members = {"default": False, "excluded": ["kube-system"], **of}
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshRevision",
        "metadata": {"namespace": "shop", "name": "shop-mesh-inplace"},
        "spec": {"tag": "shop-mesh", "members": members, "config": config},
    }


def isolated(policies: Mapping[str, Any] | None = None, *, scope: str = "Members") -> ObservedMember:
    """A namespace that has joined a mesh with these policies."""
    revision = a_revision({**ISOLATED, **(policies or {})}, scope=scope)
    return replace(joined(a_member()), revision=revision)


def plan_of(observed: ObservedMember) -> Plan:
    return plan_member(observed, run_checks(observed))


def policy_of(observed: ObservedMember) -> Manifest:
    (policy,) = plan_of(observed).objects()
    return policy


def with_policy(observed: ObservedMember) -> ObservedMember:
    """The same once its policy was made."""
    policy = policy_of(observed)
    entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {}}
    made = {**policy, "metadata": {**policy["metadata"], "uid": "uid-policy", "managedFields": [entry]}}
    return replace(observed, owned=(made,))


def lets_in(policy: Manifest, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether pods of another namespace with these labels reach pods that the policy selects."""
    told = {**labels, "kubernetes.io/metadata.name": namespace}
    peers = [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
    return any("namespaceSelector" in peer and matches(peer["namespaceSelector"], told) for peer in peers)


# --- the control plane --------------------------------------------------------------------------------------


def rules_of(**policies: Any) -> dict[int, Any]:
    """From where istiod's ports are reached; None from anywhere."""
    spec = find_one(render_mesh({"networkPolicies": {"manage": True, **policies}}), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"], "nothing is said of egress"
    return {port["port"]: rule.get("from") for rule in spec["ingress"] for port in rule["ports"]}


def test_the_control_plane_is_reached_on_the_ports_that_a_mesh_needs_and_on_no_other() -> None:
    rules = rules_of()
    assert set(rules) == {15012, 15017}
    assert rules[15017] is None, "the API server's address is not known"
    assert len(rules[15012]) == 2, "the mesh's own namespace, and those with its tag"


def test_metrics_and_configuration_without_tls_are_for_those_who_are_named() -> None:
    rules = rules_of(
        monitoringNamespaces=["watch"], plaintextDiscovery=True, webhookSources=["10.0.0.0/28", "fd00::/64"]
    )
    assert set(rules) == {15010, 15012, 15014, 15017}
    assert rules[15010] == rules[15012]
    sources = [{"ipBlock": {"cidr": "10.0.0.0/28"}}, {"ipBlock": {"cidr": "fd00::/64"}}]
    assert rules[15017] == sources
    assert rules[15014][-2:] == sources, "the API server asks for the gates of restarts"
    assert len(rules[15014]) == 3


def test_the_managed_policy_stands_in_place_of_the_wider_one() -> None:
    def policies(**spec: Any) -> list[Manifest]:
        return [o for o in render_mesh(spec) if o["kind"] == "NetworkPolicy"]

    (wide,) = policies(controlPlane={"networkPolicy": True})
    (narrow,) = policies(controlPlane={"networkPolicy": True}, networkPolicies={"manage": True})
    assert ref_of(wide) == ref_of(narrow)
    assert wide["spec"] != narrow["spec"]
    assert policies(networkPolicies={"manage": False, "isolateMembers": True}) == []


OPERATOR = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "navarch-system"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "navarch"}},
}


def test_the_operator_is_let_in_where_it_asks_for_certificates_while_a_root_is_replaced() -> None:
    def ingress(**spec: Any) -> list[dict[str, Any]]:
        made = render_mesh({"networkPolicies": {"manage": True}, **spec})
        (policy,) = (o for o in made if o["kind"] == "NetworkPolicy")
        return list(policy["spec"]["ingress"])

    rule = {"from": [OPERATOR], "ports": [{"port": 15012, "protocol": "TCP"}]}
    assert rule in ingress(**build_managed())
    assert rule not in ingress()
    revision = a_revision(ISOLATED)
    config = {**revision["spec"]["config"], **build_managed()}
    managed = {**revision, "spec": {**revision["spec"], "config": config}}
    policy = policy_of(replace(isolated(), revision=managed))
    assert OPERATOR in policy["spec"]["ingress"][0]["from"]
    assert OPERATOR not in policy_of(isolated())["spec"]["ingress"][0]["from"]


# --- members ------------------------------------------------------------------------------------------------


def test_an_isolated_namespace_lets_in_its_mesh_and_nothing_else() -> None:
    policy = policy_of(isolated())
    assert policy["metadata"]["namespace"] == "front"
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert {"podSelector": {}} in policy["spec"]["ingress"][0]["from"], "its own pods, before it has joined"
    assert lets_in(policy, "back", {"mesh.navarch.io/member-of": "shop.mesh"})
    assert lets_in(policy, "shop", {}), "the mesh's own namespace, with its gateways"
    assert not lets_in(policy, "back", {"mesh.navarch.io/member-of": "other.mesh"})
    assert not lets_in(policy, "back", {"istio.io/rev": "shop-mesh"}), "a label that anybody may write"
    assert not lets_in(policy, "back", {})


def test_of_a_mesh_without_scope_the_policy_follows_its_rule_of_membership() -> None:
    observed = isolated(scope="")
    assert observed.revision is not None
    policy = policy_of(observed)
    selectors = build_discovery_selectors(read_membership(observed.revision, probe="navarch-probe"))
    peers = policy["spec"]["ingress"][0]["from"]
    assert [peer["namespaceSelector"] for peer in peers if "namespaceSelector" in peer] == selectors
    assert lets_in(policy, "back", {"istio.io/rev": "shop-mesh"})
    assert not lets_in(policy, "kube-system", {"istio.io/rev": "shop-mesh"})


def test_monitoring_and_webhook_callers_are_let_in_where_they_are_named() -> None:
    named = {"monitoringNamespaces": ["watch"], "monitoringLabels": {"team": "watch"}}
    policy = policy_of(isolated({**named, "webhookSources": ["10.0.0.0/28"]}))
    assert lets_in(policy, "watch", {})
    assert lets_in(policy, "else", {"team": "watch"})
    assert not lets_in(policy, "else", {"team": "other"})
    assert {"ipBlock": {"cidr": "10.0.0.0/28"}} in policy["spec"]["ingress"][0]["from"]
    empty = policy_of(isolated({"monitoringNamespaces": [], "monitoringLabels": {}}))
    assert not lets_in(empty, "else", {}), "an empty selector would let in every namespace"


@pytest.mark.parametrize("label", ["mesh.navarch.io/gateway-name", "gateway.networking.k8s.io/gateway-name"])
def test_pods_of_gateways_are_spared(label: str) -> None:
    selector = policy_of(isolated())["spec"]["podSelector"]
    assert not matches(selector, {label: "edge"})
    assert matches(selector, {"app": "edge"})


def test_a_policy_is_made_with_the_labels_and_is_not_touched_when_another_namespace_joins() -> None:
    joining = replace(a_member(), revision=a_revision(ISOLATED))
    plan = plan_of(joining)
    assert [o["metadata"]["name"] for o in plan.objects()] == [NAME]
    assert plan.claims
    settled = with_policy(isolated())
    assert plan_of(settled).prune == ()
    assert policy_of(settled) == policy_of(isolated()) == policy_of(joining)


@pytest.mark.parametrize("policies", [None, {}, {"manage": True}, {"isolateMembers": True}])
def test_a_policy_goes_when_it_is_not_asked_for_any_more(policies: Mapping[str, Any] | None) -> None:
    settled = with_policy(isolated())
    plan = plan_of(replace(settled, revision=a_revision(policies)))
    assert [ref.name for ref in plan.prune] == [NAME]
    assert [*plan.objects()] == []


@pytest.mark.parametrize("how", ["deleted", "gone", "namespace deleted", "mesh gone", "holds a mesh"])
def test_a_policy_goes_with_the_membership(how: str) -> None:
    settled = with_policy(isolated())
    assert settled.body is not None
    assert settled.place is not None
    body = {**settled.body, "metadata": {**settled.body["metadata"], "deletionTimestamp": NOW}}
    left = {
        "deleted": replace(settled, body=body),
        "gone": replace(settled, body=None, spec=None, mesh=None, revision=None),
        "namespace deleted": replace(settled, place=replace(settled.place, terminating=True)),
        "mesh gone": replace(settled, mesh=None, revision=None),
        "holds a mesh": replace(settled, holds="mesh"),
    }[how]
    plan = plan_of(left)
    assert [ref.name for ref in plan.prune] == [NAME]
    assert plan.requeue_after is not None, "what was removed is looked at once more"
    assert not is_released(joined(left)), "the policy still stands"
    assert is_released(replace(joined(left), owned=())) is (how == "deleted")


def test_what_is_not_known_makes_and_removes_no_policy() -> None:
    settled = with_policy(isolated())
    assert settled.mesh is not None
    unread = replace(settled, revision=None)
    assert (plan_of(unread).prune, [*plan_of(unread).objects()]) == ((), [])
    without_tag = replace(unread, mesh={**settled.mesh, "status": {}})
    assert plan_of(without_tag).prune == (), "a mesh that was restored has no status yet"


def test_a_namespace_that_is_gone_is_not_waited_for() -> None:
    settled = with_policy(isolated())
    assert settled.body is not None
    body = {**settled.body, "metadata": {**settled.body["metadata"], "deletionTimestamp": NOW}}
    gone = replace(settled, body=body, place=None)
    assert plan_of(gone).prune == ()
    assert is_released(gone)


def test_a_policy_names_its_member_and_leads_to_it() -> None:
    policy = policy_of(isolated())
    assert parent_of(policy) == Parent(MEMBER, "front", "default", "uid-member")
    assert is_conceivable(policy)
    assert [*keys_for_owned(policy)] == [Key(MEMBER, "front", "default")]
    assert policy["metadata"]["labels"]["mesh.navarch.io/mesh-name"] == "mesh", "by this it is watched"


@pytest.mark.parametrize(("label", "value"), [("member-name", "other"), ("member-namespace", "back")])
def test_a_forged_policy_leads_to_no_member(label: str, value: str) -> None:
    """A key of a member that cannot exist would take a namespace out of its mesh."""
    policy = policy_of(isolated())
    labels = {**policy["metadata"]["labels"], f"mesh.navarch.io/{label}": value}
    assert [*keys_for_owned({**policy, "metadata": {**policy["metadata"], "labels": labels}})] == []
