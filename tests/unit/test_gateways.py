"""A MeshGateway: what it becomes, what it waits for, what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from navarch.core.gateway.address import find_addresses
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.gateway.status import CONDITIONS, is_released, summarise_gateway
from navarch.core.istio.roles import GATEWAY_ROLE
from navarch.core.model.actions import Outcome
from navarch.core.model.labels import MESH_NAME, MESH_NAMESPACE
from navarch.core.model.ownership import is_conceivable
from navarch.core.model.parent import parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Namespace
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.workload import WorkloadPod

from tests.unit.gateways import NOW, PARENT, TAG, a_gateway, find, settled, told, verdicts, without_proof

# --- what it becomes ---------------------------------------------------------------------------------------


def test_a_gateway_is_an_account_a_workload_and_a_service_all_of_which_it_could_have() -> None:
    objects = build_gateway(a_gateway())
    assert [o["kind"] for o in objects] == ["ServiceAccount", "RoleBinding", "Deployment", "Service"]
    for manifest in objects:
        assert parent_of(manifest) == PARENT
        assert is_conceivable(manifest)
        labels = manifest["metadata"]["labels"]
        assert (labels[MESH_NAMESPACE], labels[MESH_NAME]) == ("shop", "mesh")


def test_its_pods_are_injected_as_gateways_by_the_meshs_tag_and_name_no_image() -> None:
    template = find(build_gateway(a_gateway()), "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"]["istio.io/rev"] == TAG
    assert template["metadata"]["labels"]["istio"] == "ingress"
    assert template["metadata"]["annotations"]["inject.istio.io/templates"] == "gateway"
    assert [c["image"] for c in template["spec"]["containers"]] == ["auto"]
    assert not any(key.endswith("-uid") for key in template["metadata"]["labels"])


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({}, "IfNotPresent"),
        ({"tag": "custom"}, "IfNotPresent"),
        ({"tag": "latest"}, "Always"),
        ({"tag": "latest", "pullPolicy": "Never"}, "Never"),
        ({"pullPolicy": "Always"}, "Always"),
    ],
)
def test_its_image_is_pulled_as_the_mesh_says_and_not_as_that_of_a_name_without_a_tag(
    images: dict[str, str], expected: str
) -> None:
    observed = a_gateway()
    revision: dict[str, Any] = dict(observed.revision or {})
    revision["spec"] = {**revision["spec"], "config": {"images": images}}
    template = find(build_gateway(replace(observed, revision=revision)), "Deployment")["spec"]["template"]
    assert [c["imagePullPolicy"] for c in template["spec"]["containers"]] == [expected]


def test_what_selects_pods_follows_from_the_gateways_name_alone() -> None:
    plain = build_gateway(a_gateway())
    other = build_gateway(
        a_gateway(
            {
                "type": "Egress",
                "labels": {"tier": "edge"},
                "replicas": 4,
                "service": {"ports": [{"name": "tcp", "port": 9000}]},
            }
        )
    )
    for kind in ("Deployment", "Service"):
        one, two = (find(objects, kind)["spec"]["selector"] for objects in (plain, other))
        assert one == two


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ({"replicas": 1}, set()),
        ({"replicas": 2}, {"PodDisruptionBudget"}),
        ({"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}, {"HorizontalPodAutoscaler"}),
        (
            {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}},
            {"HorizontalPodAutoscaler", "PodDisruptionBudget"},
        ),
    ],
)
def test_a_budget_exists_only_where_two_pods_are_guaranteed_and_never_blocks_every_drain(
    spec: dict[str, Any], kinds: set[str]
) -> None:
    objects = build_gateway(a_gateway(spec))
    assert {o["kind"] for o in objects} & {"PodDisruptionBudget", "HorizontalPodAutoscaler"} == kinds
    assert find(objects, "Deployment")["spec"].get("replicas") == spec.get("replicas")
    for budget in (o for o in objects if o["kind"] == "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("seconds", [1, 30, 3600])
def test_a_pod_gets_more_time_to_end_than_it_drains(seconds: int) -> None:
    template = find(build_gateway(a_gateway({"terminationDrainSeconds": seconds})), "Deployment")["spec"][
        "template"
    ]
    config = template["metadata"]["annotations"]["proxy.istio.io/config"]
    assert f"{seconds}s" in config
    assert template["spec"]["terminationGracePeriodSeconds"] > seconds


def test_a_roll_keeps_every_pod_until_its_successor_is_ready() -> None:
    strategy = find(build_gateway(a_gateway()), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert strategy["maxUnavailable"] == 0


@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [
        ("Ingress", None, "LoadBalancer"),
        ("Egress", None, "ClusterIP"),
        ("Ingress", "NodePort", "NodePort"),
    ],
)
def test_the_type_of_a_service_follows_from_the_direction_unless_said(
    kind: str, said: str | None, expected: str
) -> None:
    spec = {"type": kind} | ({"service": {"type": said}} if said else {})
    assert find(build_gateway(a_gateway(spec)), "Service")["spec"]["type"] == expected


def test_what_is_said_of_the_service_reaches_it() -> None:
    said = {
        "type": "LoadBalancer",
        "ports": [{"name": "https", "port": 443, "targetPort": 8443, "nodePort": 30443}],
        "annotations": {"cloud.example.com/scheme": "internal"},
        "loadBalancerClass": "example.com/nlb",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local",
        "ipFamilyPolicy": "PreferDualStack",
    }
    service = find(build_gateway(a_gateway({"service": said})), "Service")
    assert service["metadata"]["annotations"] == said["annotations"]
    for field in said.keys() - {"ports", "annotations"}:
        assert service["spec"][field] == said[field]
    port = {"name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP", "nodePort": 30443}
    assert service["spec"]["ports"] == [port]


def test_another_proxy_of_the_mesh_changes_the_pods_template_and_nothing_else() -> None:
    before = a_gateway()
    after = replace(before, revision={**(before.revision or {}), "status": {"proxy": "1.31.2-def"}})
    changed = [
        one["kind"]
        for one, two in zip(build_gateway(before), build_gateway(after), strict=True)
        if one != two
    ]
    assert changed == ["Deployment"]


# --- what it waits for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "word"),
    [
        (a_gateway(revision=None), "not been installed"),
        (without_proof(a_gateway()), "InjectionReady"),
        (a_gateway(roles={}), GATEWAY_ROLE.name),
    ],
    ids=["no revision", "injection unproved", "no role"],
)
def test_no_pod_is_made_before_it_would_be_injected(observed: ObservedGateway, word: str) -> None:
    plan = plan_gateway(observed, run_checks(observed))
    assert list(plan.objects()) == []
    assert word in " ".join(w.message for w in plan.waiting)
    assert plan.requeue_after is not None
    assert verdicts(observed)["Ready"][0] == "False"


def test_rights_are_given_only_after_the_account_was_found_to_be_the_gateways_own() -> None:
    observed = a_gateway()
    kinds = [[o["kind"] for o in wave.objects] for wave in plan_gateway(observed, run_checks(observed)).waves]
    assert kinds == [["ServiceAccount"], ["RoleBinding"], ["Deployment", "Service"]]


def test_a_settled_gateway_is_kept_up_while_its_mesh_cannot_inject() -> None:
    observed = without_proof(settled(a_gateway()))
    plan = plan_gateway(observed, run_checks(observed))
    assert plan.waiting == ()
    assert {o["kind"] for o in plan.objects()} >= {"Deployment", "Service"}
    assert verdicts(observed)["Ready"] == ("True", "AsExpected")


def test_a_gateway_without_a_mesh_says_so_and_what_runs_is_left() -> None:
    observed = replace(settled(a_gateway()), mesh=None, revision=None)
    (finding,) = run_checks(observed)
    assert finding.reason is Reason.MESH_NOT_FOUND
    assert "shop/mesh" in str(finding)
    assert "the reference says no other" not in str(finding)
    (finding,) = run_checks(replace(a_gateway({"controlPlaneRef": {"name": "mesh"}}), mesh=None))
    assert "in the gateway's own namespace, and the reference says no other" in str(finding)
    plan = plan_gateway(observed, [finding])
    assert (plan.waves, plan.prune) == ((), ())


@pytest.mark.parametrize(
    ("labels", "member"),
    [
        ({"istio.io/rev": TAG}, True),
        ({}, False),
        ({"istio.io/rev": "another"}, False),
        ({"istio-injection": "enabled"}, False),
    ],
)
def test_a_gateway_stands_in_a_namespace_of_its_mesh_or_nowhere(labels: dict[str, str], member: bool) -> None:
    findings = run_checks(a_gateway(labels=labels))
    assert [f.reason for f in findings] == ([] if member else [Reason.NOT_A_MEMBER])
    if not member:
        assert f"kubectl label namespace front istio.io/rev={TAG}" in str(findings[0])


@pytest.mark.parametrize(
    "key", ["istio", "istio.io/rev", "sidecar.istio.io/inject", "mesh.navarch.io/x", "app.kubernetes.io/name"]
)
def test_labels_that_decide_injection_or_identity_are_refused_by_name(key: str) -> None:
    (finding,) = run_checks(a_gateway({"labels": {key: "other", "tier": "edge", "notistio.io/x": "y"}}))
    assert finding.reason is Reason.FIELD_REFUSED
    assert f"spec.labels[{key}]" in str(finding)


def test_what_is_not_wanted_any_more_is_removed() -> None:
    many = settled(a_gateway({"replicas": 2}))
    one = replace(a_gateway(), owned=many.owned)
    plan = plan_gateway(one, run_checks(one))
    assert [ref.kind for ref in plan.prune] == ["PodDisruptionBudget"]


def deleted(observed: ObservedGateway, **changes: Any) -> ObservedGateway:
    going = {**observed.body["metadata"], "deletionTimestamp": NOW}
    return replace(observed, body={**observed.body, "metadata": going}, **changes)


def test_a_gateway_that_is_deleted_drains_before_its_service_goes_and_then_its_finalizer() -> None:
    whole = settled(a_gateway({"replicas": 2, "networkPolicy": True}))
    first = plan_gateway(deleted(whole), ())
    assert {ref.kind for ref in first.prune} == {"Deployment", "PodDisruptionBudget"}
    rest = tuple(o for o in whole.owned if o["kind"] not in ("Deployment", "PodDisruptionBudget"))
    pods = (WorkloadPod("ingress-1", "t", deadline="2026-10-01T12:00:40Z", leaving=NOW),)
    draining = deleted(whole, owned=rest, pods=pods)
    second = plan_gateway(draining, ())
    assert second.prune == ()
    assert "ingress-1 still drains, until 2026-10-01T12:00:40Z" in second.waiting[0].message
    assert not is_released(draining, second)
    assert second.waiting[0].message in told(draining, "Deleting")
    third = plan_gateway(deleted(whole, owned=rest), ())
    assert {ref.kind for ref in third.prune} == {"Service", "ServiceAccount", "RoleBinding", "NetworkPolicy"}
    gone = deleted(whole, owned=())
    assert is_released(gone, plan_gateway(gone, ()))


def test_a_pod_on_a_node_that_is_dead_holds_no_deletion_up() -> None:
    whole = settled(a_gateway())
    rest = tuple(o for o in whole.owned if o["kind"] != "Deployment")
    dead = (WorkloadPod("ingress-1", "t", deadline="2026-10-01T11:00:00Z"),)
    assert plan_gateway(deleted(whole, owned=rest, pods=dead), ()).waiting == ()


def test_finalizers_that_hold_a_deleted_service_are_named() -> None:
    whole = settled(a_gateway())
    service = find(whole.owned, "Service")
    finalizer = "service.kubernetes.io/load-balancer-cleanup"
    metadata = {**service["metadata"], "deletionTimestamp": NOW, "finalizers": [finalizer]}
    observed = deleted(whole, owned=({**service, "metadata": metadata},))
    assert f"Service front/ingress is held by its finalizers {finalizer}" in told(observed, "Deleting")
    assert not is_released(observed, plan_gateway(observed, ()))


# --- what is said ------------------------------------------------------------------------------------------


def test_every_condition_is_there_from_the_first_look_on() -> None:
    for observed in (a_gateway(), a_gateway(spec=None, spec_error="spec.type: bad"), a_gateway(mesh=None)):
        assert set(verdicts(observed)) == {kind.value for kind in CONDITIONS}


def test_a_settled_gateway_is_ready_and_tells_version_address_and_pods() -> None:
    observed = settled(a_gateway())
    assert verdicts(observed)["Ready"] == ("True", "AsExpected")
    plan = plan_gateway(observed, ())
    status = summarise_gateway(observed, (), plan, Outcome())
    told = {key: status[key] for key in ("addresses", "version", "revision", "ready", "desired", "outdated")}
    assert told == {
        "addresses": ["10.0.0.1"],
        "version": "1.31.1",
        "revision": "shop-mesh-inplace",
        "ready": 1,
        "desired": 1,
        "outdated": 0,
    }
    again = replace(observed, body={**observed.body, "status": status}, now="2026-10-02T00:00:00Z")
    assert summarise_gateway(again, (), plan, Outcome()) == status


def test_a_load_balancer_without_an_address_is_a_reason_and_says_what_helps() -> None:
    observed = settled(a_gateway(), address="")
    assert verdicts(observed)["Ready"] == ("False", "AddressPending")
    assert verdicts(observed)["Available"] == ("False", "AddressPending")


def without_address(*, minutes: int, **changes: Any) -> ObservedGateway:
    """A settled gateway whose load balancer has no address after so many minutes."""
    observed = settled(a_gateway(), address="")
    made = (datetime.fromisoformat(NOW) - timedelta(minutes=minutes)).isoformat()
    service = find(observed.owned, "Service")
    metadata = {**service["metadata"], "creationTimestamp": made, **changes.pop("metadata", {})}
    rest = tuple(o for o in observed.owned if o["kind"] != "Service")
    changed = {**service, "metadata": metadata, "spec": {**service["spec"], **changes}}
    return replace(observed, owned=(*rest, changed))


@pytest.mark.parametrize(
    ("observed", "reason", "words"),
    [
        (without_address(minutes=4), "AddressPending", "NodePort"),
        (without_address(minutes=6), "AddressMissing", "most likely no load balancers"),
        (without_address(minutes=6, loadBalancerClass="a.example/b"), "AddressMissing", "a.example/b"),
        (
            without_address(
                minutes=6, metadata={"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}
            ),
            "AddressMissing",
            "quota or rights",
        ),
    ],
)
def test_a_load_balancer_that_gets_no_address_in_time_is_told_with_why_and_what_helps(
    observed: ObservedGateway, reason: str, words: str
) -> None:
    assert verdicts(observed)["Ready"] == ("False", reason)
    assert words in told(observed, "Ready")


def test_the_time_for_an_address_is_waited_for_once() -> None:
    waiting = without_address(minutes=4)
    after = plan_gateway(waiting, ()).requeue_after
    assert after == 61
    later = replace(waiting, now=(datetime.fromisoformat(NOW) + timedelta(seconds=after)).isoformat())
    assert verdicts(later)["Ready"] == ("False", "AddressMissing")
    assert plan_gateway(later, ()).requeue_after is None


def test_pods_with_an_older_proxy_are_counted_and_named_by_a_condition() -> None:
    observed = settled(a_gateway())
    old = (*observed.proxies, ProxyPod("front", "ingress-0", "shop-mesh-inplace", "1.31.0-old"))
    observed = replace(observed, proxies=old)
    assert verdicts(observed)["UpToDate"] == ("False", "ProxiesOutdated")
    status = summarise_gateway(observed, (), plan_gateway(observed, ()), Outcome())
    assert status["outdated"] == 1
    assert "version" not in status


def test_a_namespace_that_is_being_deleted_is_held_by_no_gateway_of_a_paused_mesh() -> None:
    there = settled(a_gateway())
    body = {**there.body, "metadata": {**there.body["metadata"], "deletionTimestamp": NOW}}
    paused = {**(there.mesh or {}), "spec": {"paused": True}}
    ending = Namespace("front", {"istio.io/rev": TAG}, terminating=True)
    left = replace(there, body=body, mesh=paused, namespace=ending)
    gone = replace(left, owned=(), proxies=())
    other = replace(gone, namespace=there.namespace)
    for observed, released in ((left, False), (gone, True), (other, False)):
        assert is_released(observed, plan_gateway(observed, run_checks(observed))) is released
    assert verdicts(left)["Deleting"] == ("True", "Removing")


def test_a_paused_mesh_holds_its_gateways() -> None:
    observed = settled(a_gateway())
    paused = replace(observed, mesh={**(observed.mesh or {}), "spec": {"paused": True}})
    assert verdicts(paused)["Reconciled"] == ("Unknown", "Paused")


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"spec": {"type": "ClusterIP", "clusterIPs": ["10.1.1.1", "fd00::1"]}}, ["10.1.1.1", "fd00::1"]),
        ({"spec": {"type": "NodePort", "clusterIP": "10.1.1.1"}}, ["10.1.1.1"]),
        ({"spec": {"type": "LoadBalancer", "clusterIP": "10.1.1.1"}}, []),
        (
            {
                "spec": {"type": "LoadBalancer"},
                "status": {"loadBalancer": {"ingress": [{"hostname": "a.example.com"}, {"ip": "9.9.9.9"}]}},
            },
            ["a.example.com", "9.9.9.9"],
        ),
    ],
)
def test_addresses_are_those_at_which_clients_reach_it(service: Manifest, expected: list[str]) -> None:
    assert find_addresses(service) == expected
