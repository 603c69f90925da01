"""Rules about values.gatewayClasses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.checks import gateways, run_checks
from navarch.core.observed import ObservedMesh
from navarch.core.reasons import Reason

from tests.unit.observations import a_spec, an_observed_mesh, only

HARMLESS: dict[str, Any] = {
    "deployment": {
        "metadata": {"labels": {"team": "edge"}},
        "spec": {
            "replicas": 3,
            "strategy": {"rollingUpdate": {"maxSurge": 1}},
            "template": {
                "metadata": {"annotations": {"a": "b"}},
                "spec": {
                    "containers": [{"name": "istio-proxy", "resources": {"requests": {"cpu": "1"}}}],
                    "nodeSelector": {"role": "edge"},
                },
            },
        },
    },
    "horizontalPodAutoscaler": {"spec": {"maxReplicas": 9}},
    "podDisruptionBudget": {"spec": {"minAvailable": 1}},
    "service": {"metadata": {"annotations": {"a": "b"}}, "spec": {"type": "LoadBalancer"}},
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
