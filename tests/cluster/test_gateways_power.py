"""What the API server refuses of a MeshGateway, field by field, and of whom.

TENANT may write MeshGateways and does not hold the verb `host`. Requests are dry runs, but for what a test
changes afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from navarch.api.power.overlays import (
    GATEWAY_FREE_PATCH,
    GATEWAY_LIKE_PODS,
    REFUSED_PATCH,
    is_free_patch,
)
from navarch.core.model.merging import merge

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace
from tests.golden.rendering import render_gateway
from tests.polling import eventually
from tests.support.admission import TENANT, bind, nest, refusal, say, submit
from tests.support.api import Api, Object, Refused
from tests.support.gateways import build_gateway
from tests.support.meshes import build_mesh

HOOK = {"exec": {"command": ["true"]}}
PORTS = [{"name": f"p{n}", "port": 1000 + n} for n in range(65)]


def overlay(kind: str, patch: Any, name: str = "ingress") -> Object:
    return {"target": {"kind": kind, "name": name}, "patch": patch}


@pytest.fixture(scope="module")
def shop(api: Api, guarded: Cluster) -> Iterator[str]:
    """A namespace of TENANT, without a mesh: nothing is made of what stands in it."""
    with a_mesh_namespace(api, "gateway-power") as name:
        api.create(bind(name, "navarch-mesh-admin"))
        yield name


@pytest.fixture(scope="module")
async def tenant(api: Api, shop: str) -> Api:
    """TENANT's client."""
    client = api.impersonating(TENANT)
    await eventually(lambda: refusal(client, build_gateway(shop, shop)) == "", seconds=30, what="the role")
    return client


def tell(client: Api, namespace: str, spec: Object) -> str:
    """What a client is told about a dry run of a merge patch of the gateway's spec."""
    path = client.path("gateway", namespace, "ingress")
    try:
        client.request("PATCH", f"{path}?dryRun=All", {"spec": spec}, media="application/merge-patch+json")
    except Refused as refused:
        return str(refused)
    return ""


PATCHES: list[tuple[str, Any]] = [
    *((kind, {"spec": {field: "x"}}) for kind, tree in GATEWAY_FREE_PATCH.items() for field in tree["spec"]),
    *((kind, {}) for kind in ("Deployment", "Service", "ServiceAccount", "NetworkPolicy")),
    ("Deployment", {"spec": {"strategy": None, "minReadySeconds": 3}}),
    ("Deployment", {"spec": None}),
    ("Deployment", {"spec": "x"}),
    ("Deployment", {"spec": {"strategy": {"type": "Recreate"}, "paused": True}}),
    ("Deployment", {"spec": {"template": {"spec": {"hostNetwork": True}}}}),
    ("Deployment", {"spec": {"minAvailable": 1}}),
    ("Deployment", {"metadata": {"annotations": {"a": "b"}}, "spec": {"minReadySeconds": 3}}),
    ("PodDisruptionBudget", {"spec": {"minReadySeconds": 1}}),
    ("Service", {"spec": {"externalIPs": ["192.0.2.1"]}}),
    ("Service", {"spec": {"ports": []}}),
    ("NetworkPolicy", {"spec": {"ingress": [{}]}}),
    ("ServiceAccount", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "x"}}}),
    ("HorizontalPodAutoscaler", {"spec": {"maxReplicas": 3}}),
]


@pytest.mark.parametrize(("kind", "patch"), PATCHES, ids=str)
def test_admission_and_the_table_agree_on_which_overlays_take_the_verb_host(
    api: Api, tenant: Api, shop: str, kind: str, patch: Any
) -> None:
    gateway = build_gateway(shop, shop, overlays=[overlay(kind, patch)])
    assert refusal(api, gateway) == "", "an administrator of the cluster may"
    said = refusal(tenant, gateway)
    assert (said == "") == is_free_patch(kind, patch)
    assert not said or all(word in said for word in ("spec.overlays", TENANT, "meshcontrolplanes/host"))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"lifecycle": {"preStop": HOOK}}, "spec.lifecycle"),
        ({"service": {"type": "ClusterIP", "externalIPs": ["192.0.2.1"]}}, "spec.service.externalIPs"),
        ({"type": "EastWest", "networkGateway": "network-1"}, "spec.networkGateway"),
    ],
)
def test_hooks_and_external_addresses_take_the_verb_host_and_may_be_taken_away_without(
    api: Api, tenant: Api, shop: str, spec: Object, field: str
) -> None:
    said = refusal(tenant, build_gateway(shop, shop, **spec))
    assert f"{field} set by {TENANT}" in said
    api.create(build_gateway(shop, shop, **spec))
    try:
        assert tell(tenant, shop, {"replicas": 3}) == "", "what stands there is no change"
        away = {"lifecycle": None, "service": None, "networkGateway": None, "type": "Ingress"}
        assert tell(tenant, shop, away) == ""
    finally:
        api.delete("gateway", shop, "ingress")


LIKE_PODS: list[tuple[Object, str]] = [
    ({"labels": {"app": "web"}}, "spec.labels"),
    ({"placement": {"priorityClassName": "system-cluster-critical"}}, "spec.placement.priorityClassName"),
]


def test_every_field_that_takes_the_right_to_create_pods_is_tried() -> None:
    assert {field for _, field in LIKE_PODS} == {f"spec.{'.'.join(path)}" for path in GATEWAY_LIKE_PODS}


@pytest.mark.parametrize(("spec", "field"), LIKE_PODS)
async def test_labels_and_priority_take_the_right_to_create_pods_and_may_be_taken_away_without(
    api: Api, tenant: Api, shop: str, spec: Object, field: str
) -> None:
    gateway = build_gateway(shop, shop, **spec)
    said = refusal(tenant, gateway)
    assert f"{field} set by {TENANT}" in said
    assert "the right to create pods" in said
    maker = "maker-of-pods"
    for role in ("navarch-mesh-admin", "edit"):
        api.apply(bind(shop, role, user=maker))
    client = api.impersonating(maker)
    await eventually(lambda: refusal(client, gateway) == "", seconds=30, what="who may make pods may")
    api.create(gateway)
    try:
        assert tell(tenant, shop, {"replicas": 3}) == "", "what stands there is no change"
        assert tell(tenant, shop, dict.fromkeys(spec)) == ""
        more = {"labels": {"more": "x"}, "placement": {"priorityClassName": "more"}}
        assert f"{field} set by" in tell(tenant, shop, {key: more[key] for key in spec})
        assert tell(tenant, shop, {"placement": {"nodeSelector": {"a": "b"}}}) == ""
    finally:
        api.delete("gateway", shop, "ingress")


def test_overlays_of_a_holder_of_host_are_changed_and_taken_away_by_holders_only(
    api: Api, tenant: Api, shop: str
) -> None:
    held = overlay("Deployment", {"spec": {"template": {"spec": {"dnsPolicy": "Default"}}}})
    free = overlay("Deployment", {"spec": {"minReadySeconds": 3}})
    api.create(build_gateway(shop, shop, overlays=[held]))
    try:
        assert tell(tenant, shop, {"overlays": [free, held, free]}) == ""
        changed = overlay("Deployment", {"spec": {"template": {"spec": {"dnsPolicy": "None"}}}})
        for overlays in ([], [changed], [held, held], None):
            assert "spec.overlays set by" in tell(tenant, shop, {"overlays": overlays})
            assert tell(api, shop, {"overlays": overlays}) == ""
    finally:
        api.delete("gateway", shop, "ingress")


def test_null_in_an_overlay_outlives_a_replacement_and_server_side_apply_and_no_merge_patch(
    api: Api, guarded: Cluster, shop: str
) -> None:
    """Which clients' null takes a field away: docs/how-to/mesh-gateways.md says so."""
    path = f"{api.path('gateway', shop)}/ingress"

    def build(least: int) -> Object:
        patch = {"spec": {"maxUnavailable": None, "minAvailable": least}}
        return build_gateway(shop, shop, overlays=[overlay("PodDisruptionBudget", patch)])

    def kept(gateway: Object | None) -> bool:
        spec = (gateway or {})["spec"]["overlays"][0]["patch"]["spec"]
        return "maxUnavailable" in spec

    ssa = "fieldManager=test&force=true"
    told: dict[str, bool] = {}
    try:
        guarded.run("apply", "-f", "-", stdin=json.dumps(build(1)))
        told["kubectl apply, new"] = kept(api.get("gateway", shop, "ingress"))
        guarded.run("apply", "-f", "-", stdin=json.dumps(build(2)))
        told["kubectl apply, changed"] = kept(api.get("gateway", shop, "ingress"))
        guarded.run("replace", "-f", "-", stdin=json.dumps(build(3)))
        told["replace"] = kept(api.get("gateway", shop, "ingress"))
        media = "application/apply-patch+yaml"
        told["server-side"] = kept(api.request("PATCH", f"{path}?{ssa}", build(4), media=media))
        told["merge patch"] = kept(
            api.request("PATCH", path, {"spec": build(5)["spec"]}, media="application/merge-patch+json")
        )
    finally:
        api.delete("gateway", shop, "ingress")
    assert told == {
        "kubectl apply, new": False,
        "kubectl apply, changed": False,
        "replace": True,
        "server-side": True,
        "merge patch": False,
    }


@pytest.mark.parametrize("path", sorted(REFUSED_PATCH), ids=".".join)
def test_what_no_patch_may_touch_is_refused_to_everybody_by_its_path(
    api: Api, shop: str, path: tuple[str, ...]
) -> None:
    said = refusal(api, build_gateway(shop, shop, overlays=[overlay("Deployment", nest(path, "x"))]))
    assert f"spec.overlays of Deployment ingress: {'.'.join(path)} in a patch is refused" in said
    assert REFUSED_PATCH[path] in said


@pytest.mark.parametrize("kind", ["ClusterRole", "Role", "RoleBinding", "Secret", "Pod"])
def test_overlays_on_kinds_with_rights_or_without_a_namespace_are_refused(
    api: Api, shop: str, kind: str
) -> None:
    said = refusal(api, build_gateway(shop, shop, overlays=[overlay(kind, {})]))
    assert "spec.overlays[0].target.kind" in said
    assert kind in said


def test_a_mesh_brings_its_gateways_no_more_than_its_editor_may(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    def edit(gateways: Any) -> str:
        command = ("patch", "meshcp", "demo", "-n", tenancy, "--type=merge", "--dry-run=server", "-p")
        return say(guarded, *command, json.dumps({"spec": {"gateways": gateways}}))

    held = overlay("Deployment", {"spec": {"template": {"spec": {"dnsPolicy": "Default"}}}})
    free = overlay("Service", {"spec": {"trafficDistribution": "PreferClose"}})
    api.create(build_mesh(tenancy, paused=True))
    assert edit({"ingress": [{"name": "front", "overlays": [free]}], "defaults": {"overlays": [free]}}) == ""
    for bad in ({"overlays": [held]}, {"lifecycle": {"postStart": HOOK}}):
        for key in ("ingress", "egress"):
            assert "spec.gateways of front set by" in edit({key: [{"name": "front", **bad}]})
        said = edit({"defaults": bad})
        assert f"spec.gateways.defaults.{next(iter(bad))} set by" in said
        assert "meshcontrolplanes/host" in said
    assert "of front" in edit({"eastWest": [{"name": "front", "networkGateway": "network-1"}]})
    for spec, field in LIKE_PODS:
        assert "spec.gateways of front set by" in edit({"egress": [{"name": "front", **spec}]})
        said = edit({"defaults": spec})
        assert f"{field.replace('spec.', 'spec.gateways.defaults.')} set by" in said
        assert "the right to create pods" in said
    kept = {"name": "front", "overlays": [held], "service": {"externalIPs": ["192.0.2.1"]}}
    api.patch("mesh", tenancy, "demo", {"spec": {"gateways": {"ingress": [kept]}}})
    assert edit({"ingress": [{**kept, "replicas": 3}, {"name": "other"}]}) == "", "what stands is no change"
    assert "of front" in edit({"ingress": [{**kept, "overlays": []}]})
    assert "of front" in edit({"ingress": [{**kept, "service": {"externalIPs": ["192.0.2.2"]}}]})
    assert edit({"ingress": None}) == "", "to take the gateway away takes nothing more"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(
            {"service": {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}},
            ("spec.service.ports", "Duplicate value"),
            id="two ports of one name",
        ),
        pytest.param(
            {"service": {"ports": PORTS}}, ("spec.service.ports", "65", "64"), id="more ports than 64"
        ),
        pytest.param(
            {"lifecycle": {"preStop": HOOK}, "deregistrationSeconds": 5},
            ("spec.lifecycle.preStop", "5", "leave one of them out"),
            id="two hooks of one kind",
        ),
        pytest.param(
            {"service": {"externalIPs": ["no-address"]}},
            ("spec.service.externalIPs[0]", "no-address"),
            id="an address that is none",
        ),
    ],
)
def test_what_no_gateway_can_be_is_refused_with_field_value_and_remedy(
    api: Api, guarded: Cluster, shop: str, spec: Object, words: tuple[str, ...]
) -> None:
    said = refusal(api, build_gateway(shop, shop, **spec))
    for word in words:
        assert word in said


def test_sixty_four_ports_are_taken(api: Api, guarded: Cluster, shop: str) -> None:
    assert refusal(api, build_gateway(shop, shop, service={"ports": PORTS[:64]})) == ""


def test_no_workload_of_others_takes_the_label_by_which_a_gateways_service_finds_its_pods(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    labels = {"app": "web", "mesh.navarch.io/gateway-name": "ingress"}
    api.create(bind(tenancy, "edit"))
    containers = [{"name": "web", "image": "example.invalid/web"}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": tenancy, "labels": labels},
        "spec": {"containers": containers},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": tenancy},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    for manifest, where in ((pod, "metadata.labels"), (deployment, "spec.template.metadata.labels")):
        said = submit(guarded, manifest)
        assert f"{where}: " in said
        assert "mesh.navarch.io/gateway-name" in said
        assert "Services would send" in said
    pod["metadata"]["labels"] = {"app": "web"}  # type: ignore[index]
    assert submit(guarded, pod) == ""


def test_a_gateways_pod_for_low_ports_is_admitted_where_pod_security_is_restricted(
    api: Api, guarded: Cluster
) -> None:
    """The rendered pod, with what the injection template gives to it: image, user and sysctl."""
    (deployment,) = (o for o in render_gateway() if o["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    assert template["spec"]["containers"][0]["ports"][0]["containerPort"] == 80
    name = "restricted-edge"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        api.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ingress", "namespace": name}}
        )
        injected = {
            "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
        }
        spec = merge(template["spec"], injected)
        proxy = merge(
            template["spec"]["containers"][0],
            {"image": "example.invalid/proxyv2", "securityContext": {"runAsUser": 1337, "runAsGroup": 1337}},
        )
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "edge", "namespace": name}}
        assert refusal(api, {**pod, "spec": {**spec, "containers": [proxy]}}) == ""
        unconfined = merge(spec, {"securityContext": {"seccompProfile": None}})
        assert "seccompProfile" in refusal(api, {**pod, "spec": {**unconfined, "containers": [proxy]}})
    finally:
        api.delete("namespace", "", name)
