"""A gateway: its account, its workload, the Service before it.

Owns the objects of a MeshGateway. Must never name a container's image: the mesh's injector puts the proxy
into the pod, as it is configured at that moment, and takes the image of a pinned version from an annotation.
Invariants: the selector follows from the gateway's name alone, so that it never changes, and Deployment and
DaemonSet stand behind the Service together while one takes over from the other; a budget counts pods of the
Deployment alone, since with a DaemonSet's among them Kubernetes cannot work it out and lets none go; a
Deployment names a number of replicas only where the user does, so that any autoscaler may have it; a pod ends
no earlier than it has drained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from navarch.api.gateway import (
    DRAIN_SECONDS,
    GatewayAutoscaling,
    MeshGatewaySpec,
    ServicePort,
)
from navarch.core.istio.assets import Assets
from navarch.core.istio.roles import GATEWAY_ROLE
from navarch.core.model.labels import (
    GATEWAY_NAME,
    GATEWAY_UID,
    ISTIO_REV,
    MESH_UID,
    PROXY_IMAGE,
    RECREATED,
    RESTART,
    SIDECAR_INJECT,
)
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import dump_yaml, render_data
from navarch.core.render.marks import mark_template
from navarch.core.render.overlays import OverlayProblem, apply_overlays
from navarch.core.render.routes import describe_route, list_routes

COMPONENT = "gateway"
DEPLOYMENT, DAEMON_SET = "Deployment", "DaemonSet"
EXIT_ON_ZERO = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"
"""Variable by which a proxy that ends waits for its last connection (pilot-agent)."""
NETWORK_VIEW = "ISTIO_META_REQUESTED_NETWORK_VIEW"
"""Variable by which a proxy is told the endpoints of one network only."""
GRACE_BEYOND = 10
"""Seconds that a pod gets beyond its drain: for the agent to notice, and Envoy to end."""
_UTILIZATION = 80
_REQUESTS = {"requests": {"cpu": "100m", "memory": "128Mi"}}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EAST_WEST_PORTS = {"status-port": 15021, "tls": 15443, "tls-istiod": 15012, "tls-webhook": 15017}
"""Ports by which clusters of a mesh reach each other: health, workloads by SNI, istiod and its webhooks."""
NETWORK = "topology.istio.io/network"
"""Label by which istiod finds the gateways of a network."""
HEALTH_PORT = 15021
METRICS_PORTS = (15020, 15090)
_FIELDS = (
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "externalTrafficPolicy",
    "ipFamilyPolicy",
    "ipFamilies",
    "sessionAffinity",
    "allocateLoadBalancerNodePorts",
    "externalIPs",
)
"""Fields of spec.service that a Service has under the same name."""


Render: TypeAlias = Callable[..., Manifest]
"""Makes an object from a template of this folder and what else that reads."""


@dataclass(frozen=True, slots=True)
class GatewayInput:
    """What a gateway is rendered from. `tag` is its mesh's, `stamp` what that one's injector puts on pods
    now: a change of it rolls the pods. `pull_policy` is that of the mesh's proxies. It has to be said: the
    API server takes `image: auto` for one that is always pulled, and the injector keeps what a pod says.
    `recreated` says when pods without a proxy were made anew; empty for never. `image` is the proxy's where
    the gateway's version is pinned, and `stamp` then the pin's; empty for the mesh's. `replicas` is the
    number of pods that a Deployment begins with which takes over from a DaemonSet. `scaled` says that another
    client's autoscaler decides that number, whatever the spec says. `drain` are the seconds for which Envoy
    goes on with connections of a listener that changes; 0 for the mesh's."""

    parent: Parent
    spec: MeshGatewaySpec
    tag: str
    stamp: str
    pull_policy: str
    recreated: str = ""
    image: str = ""
    replicas: int | None = None
    scaled: bool = False
    drain: int = 0

    @property
    def name(self) -> str:
        """Name of the gateway and of its objects."""
        return self.parent.name

    @property
    def namespace(self) -> str:
        """Namespace of the gateway and of its objects."""
        return self.parent.namespace

    @property
    def selector(self) -> dict[str, str]:
        """What selects its pods, and never changes."""
        return {GATEWAY_NAME: self.name}

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its objects."""
        network = self.spec.network_gateway
        return {
            **self.parent.labels(component=COMPONENT),
            "app.kubernetes.io/part-of": "istio",
            "istio": self.name,
            **({NETWORK: network} if network else {}),
        }

    @property
    def ports(self) -> tuple[ServicePort, ...]:
        """Ports of its Service."""
        return list_ports(self.spec)


def list_ports(spec: MeshGatewaySpec) -> tuple[ServicePort, ...]:
    """Ports of a gateway's Service."""
    if spec.service and spec.service.ports:
        return tuple(spec.service.ports)
    default = _EAST_WEST_PORTS if spec.type == "EastWest" else _DEFAULT_PORTS
    return tuple(ServicePort(name=name, port=port) for name, port in default.items())


def build_objects(gateway: GatewayInput, assets: Assets) -> Iterator[Manifest]:
    """All objects of a gateway."""
    patched, _ = apply_overlays(_build_plain(gateway, assets), gateway.spec.overlays or ())
    yield from map(mark_template, patched)


def find_overlay_problems(gateway: GatewayInput, assets: Assets) -> tuple[OverlayProblem, ...]:
    """Overlays that match none of a gateway's objects, or may not be applied."""
    return apply_overlays(_build_plain(gateway, assets), gateway.spec.overlays or ())[1]


def _build_plain(gateway: GatewayInput, assets: Assets) -> Iterator[Manifest]:
    """All objects of a gateway, before its overlays."""

    def render(template: str, **context: Any) -> Manifest:
        path = f"gateway/{template}.yaml"
        return render_data(assets, path, **{"gateway": gateway, "labels": gateway.labels, **context})

    autoscaling = gateway.spec.autoscaling
    yield render("service-account")
    yield render("role-binding", name=f"{gateway.name}-gateway", role=GATEWAY_ROLE.name)
    yield _build_workload(gateway, render)
    yield _build_service(gateway, render)
    if gateway.spec.network_policy:
        rules = _build_ingress_rules(gateway.ports)
        yield render("network-policy", selector=gateway.selector, rules=rules)
    if autoscaling is not None:
        yield render("autoscaler", autoscaling=autoscaling, metrics=_build_metrics(autoscaling))
    if (autoscaling.min_replicas if autoscaling else gateway.spec.replicas or 1) > 1:  # never of a DaemonSet
        yield render("disruption-budget", selector=gateway.selector)
    for route in list_routes(gateway.spec):
        yield render("route", **describe_route(route, gateway=gateway.name, labels=gateway.labels))


def _build_metrics(autoscaling: GatewayAutoscaling) -> list[Mapping[str, Any]]:
    memory, others = autoscaling.target_memory_utilization, autoscaling.metrics or ()
    cpu = autoscaling.target_cpu_utilization or (None if memory or others else _UTILIZATION)
    targets = ((name, value) for name, value in (("cpu", cpu), ("memory", memory)) if value)
    return [
        *(
            {
                "type": "Resource",
                "resource": {
                    "name": name,
                    "target": {"type": "Utilization", "averageUtilization": value},
                },
            }
            for name, value in targets
        ),
        *others,
    ]


def workload_of(spec: MeshGatewaySpec) -> str:
    """The kind of a gateway's workload."""
    return spec.workload or DEPLOYMENT


def _build_rolling(gateway: GatewayInput) -> dict[str, Any]:
    """How many pods there are, and how they are replaced: a pod ends once its successor is ready."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    if workload_of(gateway.spec) == DAEMON_SET:
        return {"updateStrategy": rolling}
    replicas = None if gateway.scaled else gateway.spec.replicas or gateway.replicas
    return {**({"replicas": replicas} if replicas else {}), "strategy": rolling}


def _build_workload(gateway: GatewayInput, render: Render) -> Manifest:
    spec = gateway.spec
    drain, ahead = spec.termination_drain_seconds or DRAIN_SECONDS, spec.deregistration_seconds or 0
    return render(
        "workload",
        kind=workload_of(spec),
        rolling=_build_rolling(gateway),
        selector=gateway.selector,
        pull_policy=gateway.pull_policy,
        pod_labels=_build_pod_labels(gateway),
        pod_annotations=_build_pod_annotations(gateway, drain),
        grace_seconds=spec.termination_grace_period_seconds or ahead + drain + GRACE_BEYOND,
        lifecycle=_build_lifecycle(spec, ahead),
        placement=_build_placement(gateway),
        ports=_build_container_ports(gateway.ports),
        environment=_build_environment(spec),
        resources=_build_resources(spec),
    )


def _build_resources(spec: MeshGatewaySpec) -> dict[str, Any]:
    """Resources of the proxy; what is said to be empty is not there."""
    said = spec.resources.to_json() if spec.resources else _REQUESTS
    return {key: amounts for key, amounts in said.items() if amounts}


def _build_pod_annotations(gateway: GatewayInput, drain: int) -> dict[str, str]:
    proxy = gateway.spec.proxy
    config: dict[str, Any] = {"terminationDrainDuration": f"{drain}s"}
    if proxy and proxy.concurrency is not None:
        config["concurrency"] = proxy.concurrency
    if gateway.drain:
        config["drainDuration"] = f"{gateway.drain}s"
    return {
        "prometheus.io/path": "/stats/prometheus",
        "prometheus.io/port": "15020",
        "prometheus.io/scrape": "true",
        **(gateway.spec.annotations or {}),
        **({"sidecar.istio.io/logLevel": proxy.log_level} if proxy and proxy.log_level else {}),
        RESTART: gateway.stamp,
        **({PROXY_IMAGE: gateway.image} if gateway.image else {}),
        **({RECREATED: gateway.recreated} if gateway.recreated else {}),
        "inject.istio.io/templates": "gateway",
        "proxy.istio.io/config": dump_yaml(config),
    }


def _build_lifecycle(spec: MeshGatewaySpec, ahead: int) -> dict[str, Any]:
    """Hooks of the proxy; deregistration is one, beside which the schema has no other of its kind."""
    own = {"preStop": {"sleep": {"seconds": ahead}}} if ahead else {}
    return own | (spec.lifecycle.to_json() if spec.lifecycle else {})


def _build_environment(spec: MeshGatewaySpec) -> list[dict[str, str]]:
    own = {EXIT_ON_ZERO: "true"} if spec.exit_on_zero_connections else {}
    own |= {NETWORK_VIEW: spec.network_gateway} if spec.network_gateway else {}
    said = {variable.name: variable.value for variable in spec.environment or ()}
    return [{"name": name, "value": value} for name, value in (said | own).items()]


def _build_pod_labels(gateway: GatewayInput) -> dict[str, str]:
    """Labels of its pods, without uids: after a restore from a backup those are others, which is no reason to
    restart pods."""
    own = {key: value for key, value in gateway.labels.items() if key not in (MESH_UID, GATEWAY_UID)}
    return {
        **(gateway.spec.labels or {}),
        **own,
        ISTIO_REV: gateway.tag,
        SIDECAR_INJECT: "true",
        "istio.io/dataplane-mode": "none",
    }


def _build_placement(gateway: GatewayInput) -> dict[str, Any]:
    placement = gateway.spec.placement.to_json() if gateway.spec.placement else {}
    if workload_of(gateway.spec) == DAEMON_SET:
        return placement
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": gateway.selector},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    return {"topologySpreadConstraints": spread, **placement}


def _build_container_ports(ports: tuple[ServicePort, ...]) -> list[Mapping[str, Any]]:
    """The ports on which pods listen, each once: several ports of a Service may lead to one."""
    listening = {(port.target_port or port.port, port.protocol or "TCP"): None for port in ports}
    return [{"containerPort": number, "protocol": protocol} for number, protocol in listening]


def _build_ingress_rules(ports: tuple[ServicePort, ...]) -> list[Mapping[str, Any]]:
    """What a NetworkPolicy lets in: clients and health checks from anywhere, metrics from the cluster."""
    served = [(port["containerPort"], port["protocol"]) for port in _build_container_ports(ports)]
    anywhere = dict.fromkeys([*served, (HEALTH_PORT, "TCP")])
    return [
        {"ports": [{"port": number, "protocol": protocol} for number, protocol in anywhere]},
        {
            "from": [{"namespaceSelector": {}}],
            "ports": [{"port": number, "protocol": "TCP"} for number in METRICS_PORTS],
        },
    ]


def _build_service(gateway: GatewayInput, render: Render) -> Manifest:
    service = gateway.spec.service
    said = service.to_json() if service else {}
    return render(
        "service",
        labels={**(said.get("labels") or {}), **gateway.labels},
        annotations=said.get("annotations"),
        type=type_of(gateway.spec),
        selector=gateway.selector,
        ports=[_build_port(port) for port in gateway.ports],
        more={field: said[field] for field in _FIELDS if field in said},
    )


def type_of(spec: MeshGatewaySpec) -> str:
    """The type of a gateway's Service."""
    if spec.service and spec.service.type:
        return spec.service.type
    return "ClusterIP" if spec.type == "Egress" else "LoadBalancer"


def _build_port(port: ServicePort) -> dict[str, Any]:
    built = {
        "name": port.name,
        "port": port.port,
        "targetPort": port.target_port or port.port,
        "protocol": port.protocol or "TCP",
    }
    return built | ({"nodePort": port.node_port} if port.node_port else {})
