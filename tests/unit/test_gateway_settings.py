"""What may be asked of a gateway: what it becomes in the objects, and what is refused, with what remedy."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from navarch.api.power.variables import GUARDED_VARIABLES, PROXY_FREE, PROXY_REFUSED
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.plan import build_gateway
from navarch.core.gateway.status import add_remedy
from navarch.core.model.conditions import Verdict
from navarch.core.model.reasons import Reason

from tests.unit.gateways import a_gateway, find


def pod_of(spec: dict[str, Any]) -> Any:
    return find(build_gateway(a_gateway(spec)), "Deployment")["spec"]["template"]


def proxy_of(spec: dict[str, Any]) -> Any:
    (container,) = pod_of(spec)["spec"]["containers"]
    return container


def refusals(spec: dict[str, Any]) -> list[str]:
    return [str(finding) for finding in run_checks(a_gateway(spec))]


# --- pods --------------------------------------------------------------------------------------------------


def test_annotations_of_the_user_reach_pods_and_replace_none_that_the_gateway_needs() -> None:
    plain = pod_of({})["metadata"]["annotations"]
    said = {"team": "edge", "prometheus.io/scrape": "false"}
    assert pod_of({"annotations": said})["metadata"]["annotations"] == plain | said
    assert refusals({"annotations": said}) == []


@pytest.mark.parametrize(
    "key",
    [
        "inject.istio.io/templates",
        "proxy.istio.io/config",
        "sidecar.istio.io/proxyImage",
        "mesh.navarch.io/restart",
        "container.apparmor.security.beta.kubernetes.io/istio-proxy",
        "k8s.v1.cni.cncf.io/networks",
        "vault.hashicorp.com/agent-inject",
        "iam.amazonaws.com/role",
    ],
)
def test_annotations_that_decide_what_a_pod_runs_or_reaches_are_refused_by_name(key: str) -> None:
    (told,) = refusals({"annotations": {key: "x", "team": "edge"}})
    assert told.startswith(f"spec.annotations[{key}]: 'x': ")
    assert "keys without a domain" in told


@pytest.mark.parametrize(
    ("spec", "hook_seconds", "grace"),
    [
        ({}, None, 40),
        ({"deregistrationSeconds": 20}, 20, 60),
        ({"deregistrationSeconds": 20, "terminationDrainSeconds": 100}, 20, 130),
        ({"deregistrationSeconds": 20, "terminationGracePeriodSeconds": 50}, 20, 50),
        ({"deregistrationSeconds": 0}, None, 40),
    ],
)
def test_a_pod_serves_until_it_is_deregistered_then_drains_and_is_killed_no_earlier(
    spec: dict[str, Any], hook_seconds: int | None, grace: int
) -> None:
    pod = pod_of(spec)["spec"]
    hook = proxy_of(spec).get("lifecycle")
    assert hook == (None if hook_seconds is None else {"preStop": {"sleep": {"seconds": hook_seconds}}})
    assert pod["terminationGracePeriodSeconds"] == grace


def test_log_level_threads_and_variables_reach_the_proxy() -> None:
    spec = {
        "proxy": {"logLevel": "info", "concurrency": 0},
        "exitOnZeroConnections": True,
        "environment": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}],
    }
    annotations = pod_of(spec)["metadata"]["annotations"]
    assert annotations["sidecar.istio.io/logLevel"] == "info"
    config = yaml.safe_load(annotations["proxy.istio.io/config"])
    assert (config["terminationDrainDuration"], config["concurrency"]) == ("30s", 0)
    assert proxy_of(spec)["env"] == [
        {"name": "ISTIO_META_DNS_CAPTURE", "value": "true"},
        {"name": "EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "value": "true"},
    ]
    assert refusals(spec) == []
    assert "env" not in proxy_of({})


def test_of_all_variables_that_are_known_those_are_free_that_every_editor_of_a_mesh_may_set() -> None:
    own = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"
    for name in {*PROXY_FREE, *PROXY_REFUSED, *GUARDED_VARIABLES, "NOT_KNOWN"}:
        told = refusals({"environment": [{"name": name, "value": "true"}]})
        assert (told == []) is (name in PROXY_FREE and name != own), name
        assert all(text.startswith(f"spec.environment[{name}]: 'true': ") for text in told)
    (text,) = refusals({"environment": [{"name": own, "value": "true"}]})
    assert text.endswith("use spec.exitOnZeroConnections")
    (text,) = refusals({"environment": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "yes"}]})
    assert text.endswith("set true or false")


def test_ports_of_a_service_that_lead_to_one_port_of_the_pods_name_it_once() -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "alt", "port": 81, "targetPort": 8080},
        {"name": "dns", "port": 81, "targetPort": 8080, "protocol": "UDP"},
    ]
    assert proxy_of({"service": {"ports": ports}})["ports"] == [
        {"containerPort": 8080, "protocol": "TCP"},
        {"containerPort": 8080, "protocol": "UDP"},
    ]


# --- scaling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "targets"),
    [
        ({}, [("cpu", 80)]),
        ({"targetCPUUtilization": 60}, [("cpu", 60)]),
        ({"targetMemoryUtilization": 70}, [("memory", 70)]),
        ({"targetCPUUtilization": 60, "targetMemoryUtilization": 70}, [("cpu", 60), ("memory", 70)]),
    ],
)
def test_an_autoscaler_aims_at_what_is_said_and_at_cpu_where_nothing_is(
    said: dict[str, Any], targets: list[tuple[str, int]]
) -> None:
    spec = {"autoscaling": {"minReplicas": 1, "maxReplicas": 4, **said}}
    metrics = find(build_gateway(a_gateway(spec)), "HorizontalPodAutoscaler")["spec"]["metrics"]
    found = [(m["resource"]["name"], m["resource"]["target"]["averageUtilization"]) for m in metrics]
    assert found == targets


def test_other_metrics_and_the_pace_of_scaling_are_the_autoscalers_own_words() -> None:
    metric = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue"}}}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    spec = {"autoscaling": {"minReplicas": 1, "maxReplicas": 4, "metrics": [metric], "behavior": behavior}}
    autoscaler = find(build_gateway(a_gateway(spec)), "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["metrics"] == [metric]
    assert autoscaler["behavior"] == behavior


# --- networks ----------------------------------------------------------------------------------------------


def test_an_east_west_gateway_is_its_networks_gateway_to_istiod_and_sees_that_network_alone() -> None:
    spec = {"type": "EastWest", "networkGateway": "net-1"}
    objects = build_gateway(a_gateway(spec))
    service = find(objects, "Service")
    label = "topology.istio.io/network"
    assert service["metadata"]["labels"][label] == pod_of(spec)["metadata"]["labels"][label] == "net-1"
    assert [(p["name"], p["port"]) for p in service["spec"]["ports"]] == [
        ("status-port", 15021),
        ("tls", 15443),
        ("tls-istiod", 15012),
        ("tls-webhook", 15017),
    ]
    assert service["spec"]["type"] == "LoadBalancer"
    assert proxy_of(spec)["env"] == [{"name": "ISTIO_META_REQUESTED_NETWORK_VIEW", "value": "net-1"}]
    assert label not in service["spec"]["selector"]
    assert all(label not in o["metadata"]["labels"] for o in build_gateway(a_gateway()))
    (told,) = refusals({"labels": {label: "net-2"}})
    assert "identity" in told


def test_a_network_policy_lets_in_what_the_service_serves_and_metrics_from_the_cluster_only() -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "alt", "port": 81, "targetPort": 8080},
        {"name": "quic", "port": 443, "protocol": "UDP"},
    ]
    spec = {"networkPolicy": True, "service": {"ports": ports}}
    objects = build_gateway(a_gateway(spec))
    policy = find(objects, "NetworkPolicy")["spec"]
    assert policy["podSelector"] == find(objects, "Deployment")["spec"]["selector"]
    clients, metrics = policy["ingress"]
    assert "from" not in clients
    assert [(p["port"], p["protocol"]) for p in clients["ports"]] == [
        (8080, "TCP"),
        (443, "UDP"),
        (15021, "TCP"),
    ]
    assert metrics["from"] == [{"namespaceSelector": {}}]
    assert [p["port"] for p in metrics["ports"]] == [15020, 15090]
    assert policy["policyTypes"] == ["Ingress"]
    assert "NetworkPolicy" not in {o["kind"] for o in build_gateway(a_gateway())}


# --- the Service -------------------------------------------------------------------------------------------


def test_labels_of_the_user_reach_the_service_and_replace_none_of_navarchs() -> None:
    plain = find(build_gateway(a_gateway()), "Service")["metadata"]["labels"]
    said = find(build_gateway(a_gateway({"service": {"labels": {"tier": "edge"}}})), "Service")
    assert said["metadata"]["labels"] == plain | {"tier": "edge"}
    (told,) = refusals({"service": {"labels": {"mesh.navarch.io/mesh-name": "other"}}})
    assert told.startswith("spec.service.labels[mesh.navarch.io/mesh-name]: 'other': ")


def test_families_affinity_and_node_ports_of_a_service_are_as_said() -> None:
    said = {
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
        "sessionAffinity": "ClientIP",
        "allocateLoadBalancerNodePorts": False,
    }
    service = find(build_gateway(a_gateway({"service": said})), "Service")["spec"]
    assert {field: service[field] for field in said} == said


@pytest.mark.parametrize(
    ("service", "field"),
    [
        ({"loadBalancerClass": "x"}, "loadBalancerClass"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, "loadBalancerSourceRanges"),
        ({"externalTrafficPolicy": "Local"}, "externalTrafficPolicy"),
        ({"ports": [{"name": "http", "port": 80, "nodePort": 30080}]}, "ports[].nodePort"),
    ],
)
def test_what_a_service_of_the_default_type_cannot_have_is_refused_with_the_type_that_can(
    service: dict[str, Any], field: str
) -> None:
    (told,) = refusals({"type": "Egress", "service": service})
    assert told.startswith(f"spec.service.{field}: ")
    assert "set spec.service.type" in told
    assert refusals({"type": "Egress", "service": {**service, "type": "LoadBalancer"}}) == []
    assert refusals({"type": "Ingress", "service": service}) == []


def test_what_the_api_server_refuses_is_told_with_what_helps() -> None:
    refused = "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    taken = f"Service front/ingress: {refused}"
    assert add_remedy(Verdict("False", Reason.APPLY_FAILED, taken)).message == (
        f"{taken}; choose another nodePort in spec.service.ports, or leave it out"
    )
    assert add_remedy(Verdict("True", Reason.RECONCILED)).message == ""
