"""What is worth knowing before a mesh is upgraded: each finding with input that is wrong and that is fine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pb2
from navarch.cli.plan import print_text
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import OF_SIGNS, Sign
from navarch.core.diagnosis.upgrade import run_rules_of_upgrade
from navarch.core.diagnosis.upgrade.filters import takes
from navarch.core.diagnosis.upgrade.observed import (
    Around,
    Node,
    ObservedUpgrade,
    PlacedPod,
    StoredCRD,
    find_upgrade,
    read_autoscaler,
    read_budget,
    read_configuration,
    read_node,
    read_pod,
)
from navarch.core.istio.deprecations import INSTEAD, MESSAGES, UNMARKED, find_deprecated_of, find_removed
from navarch.core.preview.preview import Preview
from navarch.core.world.proxies import Census, ProxyPod
from rich.console import Console

from tests.unit.observations import PARENT, a_revision, a_spec, an_observed_mesh, assets

REVISION = a_revision("1.30.8", serving="1.30.8")
INSIDE = frozenset({"shop", "apps"})
ROOM = Node("one", {}, {"cpu": Decimal(8), "memory": Decimal(2) ** 34, "pods": Decimal(110)})


def an_upgrade(
    around: Around | None = None, *, running: str = "1.30.8", census: Census | None = None, **spec: Any
) -> ObservedUpgrade:
    """From 1.30.8 to 1.31.4, or as `spec` and `running` say."""
    revisions = (a_revision(running, serving=running),)
    wanted = a_spec(**{"version": "1.31.4", **spec})
    status = {"activeRevision": revisions[0]["metadata"]["name"]}
    mesh = an_observed_mesh(spec=wanted, status=status, revisions=revisions, census=census or Census())
    found = find_upgrade(mesh, INSIDE, around or Around())
    assert found is not None
    return found


def an_object(
    kind: str, crd: str, spec: Mapping[str, Any], *, namespace: str = "apps", version: str = "v1"
) -> Any:
    group = crd.partition(".")[2]
    metadata = {"name": "it", "namespace": namespace}
    manifest = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": metadata, "spec": spec}
    return read_configuration(crd, manifest)


def a_filter(*patches: Mapping[str, Any], namespace: str = "apps", name: str = "it") -> Any:
    crd = "envoyfilters.networking.istio.io"
    found = an_object(
        "EnvoyFilter", crd, {"configPatches": list(patches)}, namespace=namespace, version="v1alpha3"
    )
    return replace(found, subject=Subject("EnvoyFilter", namespace, name))


def a_patch(pin: str = "", operation: str = "INSERT_FIRST", anchor: str = "", **more: Any) -> dict[str, Any]:
    chain = {"filterChain": {"filter": {"name": "envoy.filters.network.http_connection_manager"}}}
    if anchor:
        chain["filterChain"]["filter"]["subFilter"] = {"name": anchor}
    match: dict[str, Any] = {"context": "SIDECAR_INBOUND", "listener": chain}
    if pin:
        match["proxy"] = {"proxyVersion": pin}
    return {"applyTo": "HTTP_FILTER", "match": match, "patch": {"operation": operation}} | more


def a_pod(name: str, *, namespace: str = "apps", **more: Any) -> dict[str, Any]:
    """A pod with a sidecar of the mesh."""
    annotations = {"istio.io/rev": REVISION["metadata"]["name"]}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "web"}, "annotations": annotations}
    spec = {"nodeName": "one", "containers": [{"resources": {"requests": {"cpu": "100m"}}}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | more.pop("metadata", {}),
        "spec": spec | more,
    }


def an_istiod(cpu: str = "500m", memory: str = "2Gi", **more: Any) -> PlacedPod:
    labels = {**PARENT.labels(component="istiod"), "app": "istiod", "pod-template-hash": "6f"}
    owner = {"kind": "ReplicaSet", "name": "istiod-shop-6f", "controller": True}
    metadata = {"name": "istiod-shop-6f-x", "namespace": "shop", "labels": labels, "ownerReferences": [owner]}
    containers = [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]
    return read_pod(
        {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": "one", "containers": containers} | more}
    )


def a_budget(**spec: Any) -> Any:
    status = spec.pop("status", {"expectedPods": 2, "desiredHealthy": 2})
    metadata = {"name": "web", "namespace": "apps"}
    selector = {"selector": {"matchLabels": {"app": "web"}}}
    return read_budget(
        {"kind": "PodDisruptionBudget", "metadata": metadata, "spec": selector | spec, "status": status}
    )


def a_scaler(current: int, most: int, *, least: int = 1, target: str = "istiod-shop") -> Any:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": target},
        "minReplicas": least,
        "maxReplicas": most,
    }
    metadata = {"name": target, "namespace": "shop"}
    status = {"currentReplicas": current, "desiredReplicas": current}
    return read_autoscaler(
        {"kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec, "status": status}
    )


def with_configuration(*found: Any, **spec: Any) -> ObservedUpgrade:
    return an_upgrade(Around(configuration=found), **spec)


VS, DR = "virtualservices.networking.istio.io", "destinationrules.networking.istio.io"
MIRROR = {"http": [{"mirror": {"host": "b"}, "mirrorPercent": 3}]}
PODS = (read_pod(a_pod("web-1")), read_pod(a_pod("web-2")))
NEWER = Census(counted=(ProxyPod("apps", "web-1", "shop-mesh-inplace", "1.30.8-abc"),))
V1ALPHA1 = StoredCRD("telemetries.telemetry.istio.io", ("v1", "v1beta9"))
GRPC = StoredCRD("grpcroutes.gateway.networking.k8s.io", ("v1alpha2", "v1"), "v1.0.0")
KNOWN = {GRPC.name: frozenset({"v1"})}
CASES: dict[Sign, tuple[ObservedUpgrade, str, Subject]] = {
    Sign.STORED_VERSION_DROPPED: (
        an_upgrade(Around(crds=(V1ALPHA1,))),
        "version v1beta9 of telemetries.telemetry.istio.io, which the CRD of Istio 1.31 does not have",
        Subject("CustomResourceDefinition", "", V1ALPHA1.name),
    ),
    Sign.STORED_VERSION_OF_GATEWAY_API_DROPPED: (
        an_upgrade(Around(crds=(GRPC,), bundle="v1.5.1", bundles=KNOWN)),
        "version v1alpha2 of grpcroutes.gateway.networking.k8s.io, which Gateway API v1.5.1 does not have",
        Subject("CustomResourceDefinition", "", GRPC.name),
    ),
    Sign.CONFIGURATION_REMOVED: (
        with_configuration(an_object("VirtualService", VS, {"http": [{"old": 1, "retries": {"tries": 2}}]})),
        "Istio 1.31.4 has no such field, and ignores it: http[0].old",
        Subject("VirtualService", "apps", "it"),
    ),
    Sign.CONFIGURATION_DEPRECATED: (
        with_configuration(an_object("VirtualService", VS, MIRROR)),
        "uses what Istio 1.31.4 deprecates: http[0].mirrorPercent (mirrorPercentage takes its place)",
        Subject("VirtualService", "apps", "it"),
    ),
    Sign.ENVOY_FILTER_PINNED: (
        with_configuration(a_filter(a_patch(r"^1\.30.*"))),
        r"takes proxies of 1.30.8 and not of 1.31.4, by proxyVersion ^1\.30.*",
        Subject("EnvoyFilter", "apps", "it"),
    ),
    Sign.ENVOY_FILTER_RELATIVE: (
        with_configuration(a_filter(a_patch(operation="INSERT_AFTER", anchor="envoy.filters.http.cors"))),
        "none of that name: INSERT_AFTER envoy.filters.http.cors",
        Subject("EnvoyFilter", "apps", "it"),
    ),
    Sign.PROXIES_TOO_NEW: (
        an_upgrade(census=NEWER, version="1.30.5"),
        "1 pod runs a proxy that is newer than 1.30.5: 1.30.8 (apps)",
        Subject("MeshControlPlane", "shop", "mesh"),
    ),
    Sign.DISRUPTION_FORBIDDEN: (
        an_upgrade(Around(pods=PODS, budgets=(a_budget(),))),
        "lets none of 2 pods of mesh shop/mesh go: web-1, web-2",
        Subject("PodDisruptionBudget", "apps", "web"),
    ),
    Sign.AUTOSCALER_AT_MAXIMUM: (
        an_upgrade(Around(pods=(an_istiod(),), autoscalers=(a_scaler(5, 5),))),
        "Deployment istiod-shop has as many pods as it may have (5)",
        Subject("HorizontalPodAutoscaler", "shop", "istiod-shop"),
    ),
    Sign.NO_ROOM_FOR_SURGE: (
        an_upgrade(Around(pods=(an_istiod(cpu="5"),), nodes=(ROOM,))),
        "istiod in namespace shop, which asks for 5000m of CPU and 2048Mi of memory; 1 node of 1 would take",
        Subject("MeshControlPlane", "shop", "mesh"),
    ),
}


def only(upgrade: ObservedUpgrade) -> Diagnosis:
    (found,) = run_rules_of_upgrade(upgrade)
    return found


@pytest.mark.parametrize("sign", CASES)
def test_what_an_upgrade_meets_is_said_with_its_own_id_object_and_remedy(sign: Sign) -> None:
    upgrade, message, subject = CASES[sign]
    found = only(upgrade)
    assert (found.id, found.subject) == (sign.value, subject)
    assert message in found.message
    assert (found.severity, found.remedy) == (OF_SIGNS[sign].severity, OF_SIGNS[sign].remedy)
    assert found.remedy.endswith(".")


def test_every_sign_of_an_upgrade_has_a_case() -> None:
    assert {sign for sign in Sign if sign.doc.startswith("Before an upgrade: ")} == {*CASES}


ELSEWHERE = a_budget(selector={"matchLabels": {"app": "other"}})
FINE: Mapping[str, ObservedUpgrade] = {
    "nothing around": an_upgrade(),
    "stored versions that stay": an_upgrade(
        Around(crds=(StoredCRD(VS, ("v1alpha3", "v1beta1", "v1")), StoredCRD("other.example.com", ("v9",))))
    ),
    "a Gateway API that is as new as any known": an_upgrade(
        Around(crds=(replace(GRPC, bundle="v1.5.1"),), bundle="v1.5.1", bundles=KNOWN)
    ),
    "an object of another namespace": with_configuration(
        an_object("VirtualService", VS, {**MIRROR, "old": 1}, namespace="theirs"),
        a_filter(a_patch(r"^1\.30.*", "REMOVE", "x"), namespace="theirs"),
    ),
    "fields that are read": with_configuration(
        an_object("VirtualService", VS, {"http": [{"mirrorPercentage": {"value": 3}}]}),
        an_object("DestinationRule", DR, {"trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}}),
        an_object("Gateway", "gateways.networking.istio.io", {"servers": [{"port": {"number": 80}}]}),
    ),
    "an EnvoyFilter for both versions": with_configuration(a_filter(a_patch(r"^1\.3[01]\..*"))),
    "an EnvoyFilter with its counterpart": with_configuration(
        a_filter(a_patch(r"^1\.30.*")), a_filter(a_patch(r"^1\.31.*"), name="next")
    ),
    "an EnvoyFilter for another version": with_configuration(a_filter(a_patch(r"^1\.20.*"))),
    "a filter before the router": with_configuration(
        a_filter(a_patch(operation="INSERT_BEFORE", anchor="envoy.filters.http.router"))
    ),
    "a filter that is put first": with_configuration(a_filter(a_patch(operation="INSERT_FIRST", anchor="x"))),
    "an EnvoyFilter without sense": with_configuration(a_filter({"match": "all"}, {"patch": None})),
    "proxies that are older": an_upgrade(census=NEWER),
    "a budget that lets one go": an_upgrade(
        Around(pods=PODS, budgets=(a_budget(status={"expectedPods": 2, "desiredHealthy": 1}), ELSEWHERE))
    ),
    "a budget that was not counted yet": an_upgrade(
        Around(pods=PODS, budgets=(a_budget(status={}, maxUnavailable=1),))
    ),
    "an autoscaler with room": an_upgrade(Around(pods=(an_istiod(),), autoscalers=(a_scaler(4, 5),))),
    "an autoscaler of a fixed number": an_upgrade(
        Around(pods=(an_istiod(),), autoscalers=(a_scaler(2, 2, least=2),))
    ),
    "an autoscaler of something else": an_upgrade(
        Around(pods=(an_istiod(),), autoscalers=(a_scaler(5, 5, target="web"),))
    ),
    "room on a node": an_upgrade(Around(pods=(an_istiod(),), nodes=(ROOM,))),
    "nodes that may not be listed": an_upgrade(Around(pods=(an_istiod(cpu="9"),), nodes=None)),
    "variables that are read": an_upgrade(
        controlPlane={"environment": [{"name": "PILOT_ENABLE_IP_AUTOALLOCATE", "value": "true"}]}
    ),
}


@pytest.mark.parametrize("case", FINE)
def test_nothing_is_said_of_what_is_fine(case: str) -> None:
    assert list(run_rules_of_upgrade(FINE[case])) == []


@pytest.mark.parametrize(
    ("running", "wanted"), [("1.31.4", "1.31"), ("1.31.4", "1.31.4"), ("1.31.4", "1.99")]
)
def test_without_another_version_there_is_no_upgrade(running: str, wanted: str) -> None:
    mesh = an_observed_mesh(spec=a_spec(version=wanted), revisions=(a_revision(running, serving=running),))
    assert find_upgrade(mesh, INSIDE, Around()) is None
    assert find_upgrade(an_observed_mesh(spec=a_spec(version=wanted)), INSIDE, Around()) is None


# --- configuration -----------------------------------------------------------------------------------------


def test_deprecated_fields_of_the_meshs_own_configuration_are_told_with_the_mesh() -> None:
    found = only(an_upgrade(meshConfig={"defaultConfig": {"zipkinAddress": "zipkin:9411"}}))
    assert (found.id, found.subject.kind) == (Sign.CONFIGURATION_DEPRECATED, "MeshControlPlane")
    assert "defaultConfig.zipkinAddress" in found.message


def test_a_variable_is_told_where_the_new_istiod_does_not_read_it_any_more() -> None:
    environment = [{"name": "PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY", "value": "false"}]
    found = only(an_upgrade(controlPlane={"environment": environment}))
    assert (found.id, found.subject.kind) == (Sign.CONFIGURATION_REMOVED, "MeshControlPlane")
    patch = an_upgrade(version="1.30.8", running="1.30.3", controlPlane={"environment": environment})
    assert list(run_rules_of_upgrade(patch)) == []


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("VirtualService", {"http": [{}, {"mirror_percent": 3}]}, "http[1].mirror_percent (mirrorPercentage"),
        ("VirtualService", {"http": [{"corsPolicy": {"allowOrigin": ["*"]}}]}, "allowOrigin (allowOrigins"),
        ("VirtualService", {"http": [{"fault": {"delay": {"percent": 1}}}]}, "fault.delay.percent"),
        (
            "DestinationRule",
            {"trafficPolicy": {"loadBalancer": {"simple": "LEAST_CONN"}}},
            "simple=LEAST_CONN",
        ),
        (
            "DestinationRule",
            {"subsets": [{"trafficPolicy": {"outlierDetection": {"consecutiveErrors": 1}}}]},
            "subsets[0].trafficPolicy.outlierDetection.consecutiveErrors (consecutive5xxErrors",
        ),
        (
            "DestinationRule",
            {"trafficPolicy": {"loadBalancer": {"warmupDurationSecs": "5s"}}},
            "warmupDurationSecs (warmup.duration",
        ),
        ("Gateway", {"servers": [{"port": {"targetPort": 8080}}]}, "servers[0].port.targetPort"),
        ("Sidecar", {"ingress": [{"port": {"targetPort": 8080}}]}, "ingress[0].port.targetPort"),
    ],
)
def test_a_deprecated_field_is_found_where_it_is(kind: str, spec: Any, told: str) -> None:
    (found,) = find_deprecated_of(kind, spec, assets().mesh_descriptors["1.31"])
    assert told in str(found)


@pytest.mark.parametrize(
    "spec", [None, "text", [1], {"http": "text"}, {"http": [None, 3]}, {"http": {"a": 1}}]
)
def test_what_is_no_object_of_istios_is_walked_without_an_error(spec: Any) -> None:
    assert list(find_deprecated_of("VirtualService", spec, assets().mesh_descriptors["1.31"])) == []
    assert list(find_deprecated_of("Gateway", spec, assets().mesh_descriptors["1.31"])) == []


@pytest.mark.parametrize("minor", [minor.name for minor in assets().catalog.minors])
def test_what_takes_the_place_of_a_field_is_said_of_every_one_that_istio_deprecates(minor: str) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(assets().mesh_descriptors[minor]).file
    marked = set(UNMARKED)
    for file in files:
        if file.package == "istio.networking.v1alpha3":
            for message in file.message_type:
                marked |= {*_list_marked(message, f"{file.package}.{message.name}")}
    assert marked == {*INSTEAD}
    names = {f"{f.package}.{m.name}" for f in files for m in f.message_type}
    assert set(MESSAGES.values()) <= names


def _list_marked(message: Any, path: str) -> Any:
    yield from (f"{path}.{field.name}" for field in message.field if field.options.deprecated)
    for enum in message.enum_type:
        yield from (f"{path}.{enum.name}.{v.name}" for v in enum.value if v.options.deprecated)
    for nested in message.nested_type:
        yield from _list_marked(nested, f"{path}.{nested.name}")


def test_fields_are_held_against_lists_maps_and_what_is_free_in_a_schema() -> None:
    text = {"type": "string"}
    schema = {
        "properties": {
            "list": {"items": {"properties": {"known": text}}},
            "map": {"additionalProperties": {"properties": {"known": text}}},
            "free": {"x-kubernetes-preserve-unknown-fields": True},
        }
    }
    spec = yaml.safe_load("{list: [{known: a}, {new: b}], map: {any: {new: c}}, free: {new: d}, new: e}")
    assert list(find_removed(spec, schema)) == ["list[1].new", "map.any.new", "new"]


# --- EnvoyFilters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pin", "taken"),
    [
        (r"^1\.31.*", True),
        (r"1\.3", True),
        (r"^1\.30", False),
        (r"^(1\.30|1\.31)\.", True),
        (r"(", None),
        (r"(?=1)", None),
        (r"(1)\1", None),
        (r"((((((((.*)*)*)*)*)*)*)*)x", None),
        (r"(.*){1000}x", None),
        ("1" * 201, None),
    ],
)
def test_an_expression_for_versions_is_read_as_istiod_reads_it_or_not_at_all(
    pin: str, taken: bool | None
) -> None:
    assert takes(pin, "1.31.4") is taken


def test_an_expression_that_is_not_judged_is_told() -> None:
    found = only(with_configuration(a_filter(a_patch("(.*){1000}x"))))
    assert found.id == Sign.ENVOY_FILTER_PINNED
    assert "was not found out" in found.message


# --- room --------------------------------------------------------------------------------------------------


def test_a_pod_takes_what_the_scheduler_counts() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu, "memory": "nonsense"}}} | more

    spec = {
        "containers": [container("100m"), container("200m"), {}],
        "initContainers": [container("50m", restartPolicy="Always"), container("900m"), container("1m")],
        "overhead": {"cpu": "10m"},
    }
    pod = read_pod({"metadata": {"name": "a", "namespace": "b"}, "spec": spec})
    assert pod.requests == {"cpu": Decimal("0.96"), "pods": 1}


TAINT = {"key": "only", "value": "mesh", "effect": "NoSchedule"}
TOLERATION = {"key": "only", "operator": "Equal", "value": "mesh", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("node", "pod", "fits"),
    [
        ({"spec": {"unschedulable": True}}, {}, False),
        ({"spec": {"taints": [TAINT]}}, {}, False),
        ({"spec": {"taints": [TAINT]}}, {"tolerations": [TOLERATION]}, True),
        ({"spec": {"taints": [TAINT]}}, {"tolerations": [{"operator": "Exists"}]}, True),
        ({"spec": {"taints": [TAINT]}}, {"tolerations": [{**TOLERATION, "value": "x"}]}, False),
        ({"spec": {"taints": [{**TAINT, "effect": "PreferNoSchedule"}]}}, {}, True),
        ({}, {"nodeSelector": {"disk": "ssd"}}, True),
        ({}, {"nodeSelector": {"disk": "hdd"}}, False),
        ({"status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "1"}}}, {}, False),
        ({"status": {"allocatable": {"cpu": "1", "memory": "16Gi", "pods": "9"}}}, {}, True),
        ({"status": {"allocatable": {"cpu": "999m", "memory": "16Gi", "pods": "9"}}}, {}, False),
    ],
)
def test_a_node_has_room_where_the_scheduler_would_put_a_pod(
    node: dict[str, Any], pod: dict[str, Any], fits: bool
) -> None:
    status = {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"}}
    body = {"metadata": {"name": "one", "labels": {"disk": "ssd"}}, "status": status} | node
    upgrade = an_upgrade(Around(pods=(an_istiod(**pod),), nodes=(read_node(body),)))
    assert {d.id for d in run_rules_of_upgrade(upgrade)} == (set() if fits else {Sign.NO_ROOM_FOR_SURGE})


REVISIONS = {"strategy": "RevisionBased"}
SMALL = replace(ROOM, allocatable={"cpu": Decimal("1.5"), "memory": Decimal(2) ** 34, "pods": Decimal(110)})
OTHER = replace(SMALL, name="two")


def beside(replicas: int) -> dict[str, Any]:
    """A new revision of so many istiods."""
    fixed = {"replicas": replicas, "autoscaling": {"enabled": False}}
    return {"upgrade": REVISIONS, "controlPlane": fixed}


@pytest.mark.parametrize(
    ("nodes", "spec", "told"),
    [
        # One istiod of 500m runs on node one: it has room for two more, and node two for three.
        ((SMALL,), beside(2), ""),
        ((SMALL,), beside(3), "room for 2 of 3 pods more"),
        ((SMALL,), {"controlPlane": {"replicas": 3, "autoscaling": {"enabled": False}}}, ""),
        ((SMALL, OTHER), beside(5), ""),
        ((SMALL, OTHER), beside(6), "room for 5 of 6 pods"),
        (
            (SMALL,),
            {"upgrade": REVISIONS, "controlPlane": {"autoscaling": {"minReplicas": 3, "maxReplicas": 9}}},
            "room for 2 of 3 pods more of istiod in namespace shop, of which each asks for 500m of CPU and "
            "2048Mi of memory; 1 node of 1 would take it",
        ),
        (
            (replace(OTHER, unschedulable=True),),
            beside(1),
            "no node has room for one pod more",
        ),
    ],
)
def test_a_revision_that_comes_up_beside_another_needs_room_for_all_of_its_istiods(
    nodes: tuple[Node, ...], spec: Mapping[str, Any], told: str
) -> None:
    found = list(run_rules_of_upgrade(an_upgrade(Around(pods=(an_istiod(),), nodes=nodes), **spec)))
    assert [d.id for d in found] == ([Sign.NO_ROOM_FOR_SURGE] if told else [])
    assert all(told in d.message for d in found)


def test_a_revision_that_is_there_already_needs_no_room_for_all_of_its_istiods() -> None:
    """The way back, and a version that was asked for before."""
    around = Around(pods=(an_istiod(),), nodes=(SMALL,))
    upgrade = an_upgrade(around, **beside(9))
    there = a_revision("1.31.4", serving="1.31.4")
    there["metadata"]["name"] = "shop-mesh-1-31-4"
    both = replace(upgrade.mesh, revisions=(*upgrade.mesh.revisions, there))
    assert only(upgrade).id == Sign.NO_ROOM_FOR_SURGE
    assert list(run_rules_of_upgrade(replace(upgrade, mesh=both))) == []


def test_pods_that_no_rollout_surges_take_room_and_ask_for_none() -> None:
    everywhere = replace(an_istiod(cpu="9"), deployment="")
    upgrade = an_upgrade(Around(pods=(everywhere,), nodes=(ROOM,)))
    assert list(run_rules_of_upgrade(upgrade)) == []
    full = an_upgrade(Around(pods=(replace(everywhere, node="one"), an_istiod()), nodes=(ROOM,)))
    assert only(full).id == Sign.NO_ROOM_FOR_SURGE


# --- the plan ----------------------------------------------------------------------------------------------


def test_a_plan_shows_a_finding_about_another_object_with_its_name_and_remedy() -> None:
    mesh = Subject("MeshControlPlane", "shop", "mesh")
    own = only(CASES[Sign.NO_ROOM_FOR_SURGE][0])
    other = only(CASES[Sign.DISRUPTION_FORBIDDEN][0])
    out = StringIO()
    print_text([Preview(mesh, diagnoses=(own, other))], Console(file=out, width=2000, no_color=True))
    assert f"NoRoomForSurge  {own.message}\n        do: {own.remedy}\n" in out.getvalue()
    assert f"DisruptionForbidden  PodDisruptionBudget apps/web: {other.message}\n" in out.getvalue()
