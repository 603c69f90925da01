"""Rules about values.gatewayClasses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.mesh.checks import gateways, run_checks, shapes
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.reasons import Reason

from tests.unit.observations import a_spec, an_observed_mesh, ask, only

HARMLESS: dict[str, Any] = {
    "deployment": {
        "metadata": {"labels": {"team": "edge"}},
        "spec": {
            "replicas": 3,
            "strategy": {"rollingUpdate": {"maxSurge": 1}},
            "template": {
                "metadata": {
                    "annotations": {
                        "a": "b",
                        "prometheus.io/scrape": "false",
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
                    }
                },
                "spec": {
                    "containers": [{"name": "istio-proxy", "resources": {"requests": {"cpu": "1"}}}],
                    "nodeSelector": {"role": "edge"},
                },
            },
        },
    },
    "horizontalPodAutoscaler": {
        "metadata": {"labels": {"app.kubernetes.io/part-of": "edge"}},
        "spec": {
            "minReplicas": 2,
            "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu"}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    },
    "podDisruptionBudget": {
        "metadata": {"annotations": {"owner": "edge"}},
        "spec": {"minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    },
    "service": {
        "metadata": {
            "labels": {"team": "edge"},
            "annotations": {
                "a": "b",
                "service.beta.kubernetes.io/aws-load-balancer-type": "nlb",
                "service.kubernetes.io/topology-mode": "Auto",
                "external-dns.alpha.kubernetes.io/hostname": "shop.example.com",
                "cloud.google.com/l4-rbs": "enabled",
                "metallb.io/address-pool": "edge",
            },
        },
        "spec": {"type": "LoadBalancer", "ports": [{"port": 443}]},
    },
    "serviceAccount": {"metadata": {"labels": {"team": "edge"}}},
}


def with_classes(classes: Any) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(values={"gatewayClasses": classes}))


def in_pod(spec: Any) -> dict[str, Any]:
    return {"istio": {"deployment": {"spec": {"template": {"spec": spec}}}}}


def test_gateways_may_be_placed_sized_and_exposed() -> None:
    assert not run_checks(with_classes({"istio": HARMLESS, "istio-waypoint": HARMLESS}))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"containers": [{"name": "istio-proxy", "image": "mine"}]}, "containers[0].image"),
        ({"containers": [{"name": "mine", "resources": {}}]}, "containers[0]"),
        ({"containers": "mine"}, "containers"),
        ({"initContainers": [{"name": "mine"}]}, "initContainers"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "volumes"),
        ({"hostNetwork": True}, "hostNetwork"),
        ({"serviceAccountName": "mine"}, "serviceAccountName"),
        ({"$patch": "replace"}, "$patch"),
    ],
)
def test_a_mesh_brings_nothing_of_its_own_into_gateways(spec: Any, field: str) -> None:
    finding = only(gateways.check_gateway_classes_reach, with_classes(in_pod(spec)))
    expected = f"spec.values.gatewayClasses.istio.deployment.spec.template.spec.{field}"
    assert (finding.reason, finding.field) == (Reason.FIELD_REFUSED, expected)


@pytest.mark.parametrize(
    ("kind", "patch", "field"),
    [
        ("service", {"spec": {"externalIPs": ["192.0.2.1"]}}, "service.spec.externalIPs"),
        ("service", {"spec": {"selector": {"app": "other"}}}, "service.spec.selector"),
        ("serviceAccount", {"imagePullSecrets": [{"name": "x"}]}, "serviceAccount.imagePullSecrets"),
        ("deployment", {"spec": {"template": "text"}}, "deployment.spec.template"),
    ],
)
def test_a_mesh_reaches_no_further_than_the_gateways_own_traffic(kind: str, patch: Any, field: str) -> None:
    finding = only(gateways.check_gateway_classes_reach, with_classes({"istio": {kind: patch}}))
    assert (finding.reason, finding.field) == (
        Reason.FIELD_REFUSED,
        f"spec.values.gatewayClasses.istio.{field}",
    )


def find_refused(kind: str, patch: Any) -> list[str]:
    """Paths below the kind that are refused for their reach."""
    start = f"spec.values.gatewayClasses.istio.{kind}."
    found = [f for f in run_checks(with_classes({"istio": {kind: patch}})) if f.field.startswith(start)]
    assert {f.reason for f in found} <= {Reason.FIELD_REFUSED}
    return [f.field.removeprefix(start) for f in found]


@pytest.mark.parametrize(
    ("kind", "patch", "refused"),
    [
        (
            "horizontalPodAutoscaler",
            {"spec": {"maxReplicas": 0, "scaleTargetRef": {"kind": "Deployment", "name": "payments"}}},
            ["spec.scaleTargetRef"],
        ),
        (
            "podDisruptionBudget",
            {"spec": {"selector": {"$patch": "replace"}, "maxUnavailable": 0}},
            ["spec.selector"],
        ),
        ("podDisruptionBudget", {"status": {}}, ["status"]),
        ("horizontalPodAutoscaler", {"spec": None}, ["spec"]),  # it would take away a profile's words
    ],
)
def test_a_mesh_reaches_no_further_than_what_its_gateways_scale_and_guard(
    kind: str, patch: Any, refused: list[str]
) -> None:
    assert find_refused(kind, patch) == refused


@pytest.mark.parametrize(
    ("kind", "patch", "refused"),
    [
        ("horizontalPodAutoscaler", {"spec": {"metrics": [{"$patch": "delete"}]}}, "spec.metrics[0].$patch"),
        (
            "service",
            {"spec": {"ports": [{"$setElementOrder/x": [], "port": 1}]}},
            "spec.ports[0].$setElementOrder/x",
        ),
        ("deployment", {"spec": {"strategy": {"$retainKeys": ["type"]}}}, "spec.strategy.$retainKeys"),
        ("deployment", {"$patch": "delete"}, "$patch"),
        ("podDisruptionBudget", {"spec": {"$patch": "replace"}}, "spec.$patch"),
        ("service", {"metadata": {"labels": {"$patch": "replace/x"}}}, "metadata.labels.$patch"),
    ],
)
def test_a_mesh_reaches_no_further_by_a_directive_wherever_it_stands(
    kind: str, patch: Any, refused: str
) -> None:
    assert find_refused(kind, patch) == [refused]


@pytest.mark.parametrize(
    ("kind", "labels", "annotations"),
    [
        *(
            (kind, {f"{domain}/a": "x"}, {f"{domain}/a": "x"})
            for kind in ("deployment", "horizontalPodAutoscaler", "podDisruptionBudget", "service")
            for domain in (
                "istio.io",
                "sidecar.istio.io",
                "gateway.istio.io",
                "mesh.navarch.io",
                "autoscaling.alpha.kubernetes.io",
                "app.kubernetes.io",
                "node.k8s.io",
            )
        ),
        ("service", {"service.kubernetes.io/headless": ""}, {"networking.istio.io/exportTo": "*"}),
        ("deployment", {"sidecar.istio.io/inject": "true"}, {"keel.sh/policy": "all"}),
    ],
)
def test_a_mesh_reaches_no_further_by_what_it_writes_on_objects(
    kind: str, labels: dict[str, str], annotations: dict[str, str]
) -> None:
    expected = [
        *(f"metadata.labels.{k}" for k in labels),
        *(f"metadata.annotations.{k}" for k in annotations),
    ]
    assert find_refused(kind, {"metadata": {"labels": labels, "annotations": annotations}}) == expected


@pytest.mark.parametrize("role", ["eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account", "any"])
def test_a_mesh_reaches_no_further_by_its_gateways_accounts(role: str) -> None:
    metadata = {"labels": {"azure.workload.identity/use": "true"}, "annotations": {role: "x"}}
    assert find_refused("serviceAccount", {"metadata": metadata}) == [
        "metadata.labels.azure.workload.identity/use",
        "metadata.annotations",
    ]


@pytest.mark.parametrize(
    "annotation",
    [
        "sidecar.istio.io/proxyImage",
        "sidecar.istio.io/userVolume",
        "sidecar.istio.io/userVolumeMount",
        "sidecar.istio.io/bootstrapOverride",
        "inject.istio.io/templates",
        "istio.io/rev",
        "iam.amazonaws.com/role",
        "vault.hashicorp.com/agent-inject",
        "container.apparmor.security.beta.kubernetes.io/istio-proxy",
        "k8s.v1.cni.cncf.io/networks",
        "service.beta.kubernetes.io/on-services-only",
    ],
)
def test_a_mesh_reaches_no_further_by_what_it_writes_on_pods(annotation: str) -> None:
    metadata = {"labels": {"app": "payments"}, "annotations": {annotation: "x"}}
    patch = {"spec": {"template": {"metadata": metadata}}}
    where = "spec.template.metadata"
    assert find_refused("deployment", patch) == [f"{where}.labels", f"{where}.annotations.{annotation}"]


def test_a_profile_may_do_more() -> None:
    profile = {"values": {"gatewayClasses": in_pod({"hostNetwork": True})}}
    observed = an_observed_mesh(spec=a_spec(profiles=["edge"]))
    assert not run_checks(replace(observed, profiles={"edge": profile}))


@pytest.mark.parametrize(
    ("classes", "field"),
    [
        ({"Istio_": {}}, "spec.values.gatewayClasses.Istio_"),
        ({"a" * 64: {}}, f"spec.values.gatewayClasses.{'a' * 64}"),
        ({"istio": "text"}, "spec.values.gatewayClasses.istio"),
        ({"istio": {"daemonSet": {}}}, "spec.values.gatewayClasses.istio.daemonSet"),
        ({"istio": {"service": "spec: {}"}}, "spec.values.gatewayClasses.istio.service"),
        (
            {"istio": {"service": {"metadata": {"name": "x"}}}},
            "spec.values.gatewayClasses.istio.service.metadata.name",
        ),
        ({"istio": {"service": {"metadata": []}}}, "spec.values.gatewayClasses.istio.service.metadata"),
    ],
)
def test_what_istiod_would_stumble_over_is_an_error(classes: Any, field: str) -> None:
    finding = only(gateways.check_gateway_classes_shapes, with_classes(classes))
    assert (finding.reason, finding.field) == (Reason.VALUES_INVALID, field)
    run_checks(with_classes(classes))  # and rendering, which other rules do, does not fail of it


def test_what_a_profile_brings_in_is_told_as_such() -> None:
    profile = {"values": {"gatewayClasses": {"istio": {"daemonSet": {}}}}}
    observed = replace(an_observed_mesh(spec=a_spec(profiles=["edge"])), profiles={"edge": profile})
    finding = only(gateways.check_gateway_classes_shapes, observed)
    assert (finding.reason, finding.field) == (Reason.VALUES_INVALID, "spec.profiles")
    assert "values.gatewayClasses.istio.daemonSet of a profile" in finding.message


def test_classes_that_are_no_map_are_told_once_and_break_nothing() -> None:
    found = [f for f in run_checks(with_classes(["istio"])) if f.reason is Reason.VALUES_INVALID]
    assert [f.field for f in found] == ["spec.values.gatewayClasses"]


@pytest.mark.parametrize(
    ("values", "path", "remedy"),
    [
        (
            {"gatewayClasses": {"istio": {"deployment": {"spec": {"replicas": "three"}}}}},
            "gatewayClasses.istio.deployment.spec.replicas",
            "make it a whole number",
        ),
        (
            {"gatewayClasses": {"istio": {"service": {"spec": {"ports": [{"port": "80"}]}}}}},
            "gatewayClasses.istio.service.spec.ports[0].port",
            "make it a whole number",
        ),
        (
            {"gatewayClasses": {"istio": {"service": {"metadata": {"labels": {"team": True}}}}}},
            "gatewayClasses.istio.service.metadata.labels.team",
            "make it a text",
        ),
        (
            {"gatewayClasses": {"istio": {"podDisruptionBudget": {"spec": {"minAvailable": 1.5}}}}},
            "gatewayClasses.istio.podDisruptionBudget.spec.minAvailable",
            "make it a whole number or a text",
        ),
        (
            {"sidecarInjectorWebhook": {"reinvocationPolicy": "Sometimes"}},
            "sidecarInjectorWebhook.reinvocationPolicy",
            "make it Never or IfNeeded",
        ),
        (
            {"sidecarInjectorWebhook": {"aliases": {"a": "sidecar"}}},
            "sidecarInjectorWebhook.aliases.a",
            "make it a list",
        ),
    ],
)
def test_a_shape_that_istios_definition_leaves_open_is_held_against_its_type(
    values: dict[str, Any], path: str, remedy: str
) -> None:
    finding = only(shapes.check_shapes, an_observed_mesh(spec=a_spec(values=values)))
    assert (finding.reason, finding.field) == (Reason.VALUES_INVALID, f"spec.values.{path}")
    assert finding.remedy.startswith(remedy)
    profiled = an_observed_mesh(spec=a_spec(profiles=["a"]), profiles={"a": {"values": values}})
    of_profile = only(shapes.check_shapes, profiled)
    assert of_profile.field == "spec.profiles"
    assert f"values.{path} of a profile" in of_profile.message


@pytest.mark.parametrize(
    ("webhook", "path"),
    [
        ({"alwaysInjectSelector": [{"matchLabels": {"a": 1}}]}, "alwaysInjectSelector[0].matchLabels.a"),
        ({"neverInjectSelector": [{"matchExpressions": {}}]}, "neverInjectSelector[0].matchExpressions"),
        ({"injectedAnnotations": {"a": True}}, "injectedAnnotations.a"),
        ({"templates": {"mine": {"spec": {}}}}, "templates.mine"),
    ],
)
def test_a_profiles_injection_webhook_is_held_against_its_types(webhook: dict[str, Any], path: str) -> None:
    profile = {"values": {"sidecarInjectorWebhook": webhook}}
    observed = an_observed_mesh(spec=a_spec(profiles=["a"]), profiles={"a": profile})
    finding = only(shapes.check_shapes, observed)
    assert f"values.sidecarInjectorWebhook.{path} of a profile is not" in finding.message


def test_a_shape_that_another_rule_tells_of_is_told_once() -> None:
    for values in (
        {"gatewayClasses": {"istio": {"service": "x"}}},
        {"gatewayClasses": "x"},
        {"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": "x"}},
        {"sidecarInjectorWebhook": []},
    ):
        found = run_checks(an_observed_mesh(spec=a_spec(values=values)))
        fields = [finding.field for finding in found if finding.reason is Reason.VALUES_INVALID]
        assert len(fields) == 1


def test_what_is_harmless_has_its_shape() -> None:
    values = {"gatewayClasses": {"istio": HARMLESS}}
    assert not list(ask(shapes.check_shapes, an_observed_mesh(spec=a_spec(values=values))))
