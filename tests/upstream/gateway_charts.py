"""One gateway as the public gateway chart renders it and as we do, from what each takes for the same wish.

Owns the wishes and the two calls. Must never change what either side gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from navarch.core.istio.roles import GATEWAY_ROLE
from navarch.core.model.merging import merge
from navarch.core.model.refs import Manifest

from lab.builds import IstioLine
from tests.golden.rendering import render_gateway
from tests.upstream.comparison import REVISION, TAG, Gap, find_gaps, join_rights
from tests.upstream.istioctl import render_chart
from tests.upstream.semantics import LOADER

NAMESPACE, NAME = "edge", "public"
PORTS = [
    {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
    {"name": "quic", "port": 443, "targetPort": 8443, "protocol": "UDP", "nodePort": 30443},
]
BEHAVIOR = {"scaleDown": {"stabilizationWindowSeconds": 60}}
BUDGET = {"maxUnavailable": 1}
PLACEMENT: dict[str, Any] = {
    "nodeSelector": {"role": "edge"},
    "tolerations": [{"key": "edge", "operator": "Exists"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"tier": "edge"}},
                    },
                }
            ]
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
}


@dataclass(frozen=True, slots=True)
class GatewayWish:
    """One wish, in values of the chart and in the spec of a MeshGateway."""

    name: str
    upstream: Mapping[str, Any]
    ours: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


def _service(**both: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"service": both}, {"service": both}


def _build_wishes() -> Iterator[GatewayWish]:
    parts = (
        ("ingress", {}, {}),
        ("egress", {"service": {"type": "ClusterIP"}}, {"type": "Egress"}),
        ("east-west", {"networkGateway": "net-1"}, {"type": "EastWest", "networkGateway": "net-1"}),
        (
            "autoscaled",
            {
                "autoscaling": {
                    "minReplicas": 2,
                    "maxReplicas": 4,
                    "targetCPUUtilizationPercentage": 60,
                    "targetMemoryUtilizationPercentage": 70,
                    "autoscaleBehavior": BEHAVIOR,
                },
                "podDisruptionBudget": BUDGET,
            },
            {
                "autoscaling": {
                    "minReplicas": 2,
                    "maxReplicas": 4,
                    "targetCPUUtilization": 60,
                    "targetMemoryUtilization": 70,
                    "behavior": BEHAVIOR,
                }
            },
        ),
        (
            "a fixed number of pods",
            {"autoscaling": {"enabled": False}, "replicaCount": 3, "podDisruptionBudget": BUDGET},
            {"replicas": 3},
        ),
        (
            "the service",
            *_service(
                type="LoadBalancer",
                ports=PORTS,
                annotations={"cloud.example.com/scheme": "internal"},
                loadBalancerClass="example.com/own",
                loadBalancerSourceRanges=["192.0.2.0/24"],
                externalTrafficPolicy="Local",
                ipFamilyPolicy="PreferDualStack",
                ipFamilies=["IPv4", "IPv6"],
                allocateLoadBalancerNodePorts=False,
            ),
        ),
        ("placement", PLACEMENT, {"placement": PLACEMENT}),
        ("a network policy", {"global": {"networkPolicy": {"enabled": True}}}, {"networkPolicy": True}),
        (
            "pods",
            {
                "labels": {"team": "web"},
                "podAnnotations": {"note": "mine"},
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                "env": {"ISTIO_META_DNS_CAPTURE": "true"},
                "terminationGracePeriodSeconds": 90,
                "imagePullPolicy": "IfNotPresent",
            },
            {
                "labels": {"team": "web"},
                "annotations": {"note": "mine"},
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                "environment": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}],
                "terminationGracePeriodSeconds": 90,
            },
        ),
    )
    whole: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name, upstream, ours in parts:
        yield GatewayWish(name, upstream, ours)
        if name not in ("egress", "east-west", "a fixed number of pods"):
            whole = (merge(whole[0], upstream), merge(whole[1], ours))
    yield GatewayWish("many of these at once", *whole)


WISHES = tuple(_build_wishes())


def render_upstream_gateway(wish: GatewayWish, line: IstioLine) -> list[Manifest]:
    """What the chart `gateway` of a minor renders."""
    values = merge({"revision": REVISION}, wish.upstream)
    text = render_chart(line, "gateway", release=NAME, namespace=NAMESPACE, values=values)
    return [manifest for manifest in yaml.load_all(text, LOADER) if manifest]


def find_gateway_gaps(wish: GatewayWish, line: IstioLine) -> list[Gap]:
    """Every gap between the two renderings of a wish."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": GATEWAY_ROLE.name},
        "rules": [dict(rule) for rule in GATEWAY_ROLE.rules],
    }
    ours = render_gateway(wish.ours, namespace=NAMESPACE, name=NAME, mesh=("north", "mesh"), tag=TAG)
    sides = (render_upstream_gateway(wish, line), [*ours, role])
    theirs, mine = (join_rights(side, NAME, ("Role",)) for side in sides)
    return list(find_gaps(theirs, mine, namespace=NAMESPACE, plurals={}))
