"""The parts of a gateway's settings: its Service, its autoscaler, its proxies.

Owns their fields and the rules within one part. Must never refer to the gateway or its mesh. Invariant: lists
are bounded, so that their rules stay within the API server's budget.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.meta import CIDR, JSONObject, LabelValue, Model, Name, build_rule

Port = Annotated[int, Field(ge=1, le=65535)]
AnnotationValue = Annotated[str, Field(max_length=4096)]

Address = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+$", max_length=45)]

RESERVED_PORTS = (15000, 15001, 15004, 15006, 15008, 15020, 15053, 15090)
"""Ports on which a proxy listens for purposes of its own (Istio's "Ports used by Istio"). 15021, its health,
may be served: load balancers ask there."""


class ServicePort(Model):
    """One port of a gateway's Service."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    f"!((has(self.targetPort) ? self.targetPort : self.port) in {list(RESERVED_PORTS)})",
                    field=".targetPort",
                    message="the proxy uses this port itself; choose another one",
                    shown="string(has(self.targetPort) ? self.targetPort : self.port)",
                )
            ]
        }
    )

    name: Name = Field(description="Name of the port, unique in the Service.")
    port: Port = Field(description="Port at which clients reach the Service.")
    target_port: Port | None = Field(
        None,
        description="Port on which the gateway's pods listen: that of an Istio Gateway's server. "
        "Default: port.",
    )
    protocol: Literal["TCP", "UDP"] | None = Field(None, description="Protocol. Default: TCP.")
    node_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Port on every node, for NodePort and LoadBalancer. Default: Kubernetes chooses."
    )


_NUMBER = "p.port + (has(p.protocol) && p.protocol == 'UDP' ? 65536 : 0)"
_DISTINCT = "all(keys, keys.all(key, keys.indexOf(key) == keys.lastIndexOf(key)))"
"""Whether the one list in a list has nothing twice. A mesh can hold 48 gateways of 64 ports, and a comparison
of all pairs in CEL took the API server seconds."""


_OF_BALANCERS = ("loadBalancerSourceRanges", "allocateLoadBalancerNodePorts")


def _build_balancer_rule(field: str) -> JSONObject:
    return build_rule(
        f"!has(self.{field}) || !has(self.type) || self.type == 'LoadBalancer'",
        field=f".{field}",
        message="only a Service of type LoadBalancer has it; set type: LoadBalancer, or leave it out",
        shown="self.type",
    )


class GatewayService(Model):
    """The Service by which clients reach a gateway."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    f"!has(self.ports) || [self.ports.map(p, {_NUMBER})].{_DISTINCT}",
                    field=".ports",
                    message="two ports have one number and protocol; give each its own number",
                    shown="string(self.ports.size())",
                ),
                build_rule(
                    "!has(self.ports) || "
                    f"[self.ports.filter(p, has(p.nodePort)).map(p, p.nodePort)].{_DISTINCT}",
                    field=".ports",
                    message="two ports have one nodePort; give each its own, or leave it out",
                    shown="string(self.ports.size())",
                ),
                build_rule(
                    "!has(self.ports) || !has(self.type) || self.type != 'ClusterIP' || "
                    "self.ports.all(p, !has(p.nodePort))",
                    field=".ports",
                    message="a Service of type ClusterIP has no nodePort; set type: NodePort, or leave "
                    "nodePort out",
                    shown="string(self.ports.size())",
                ),
                build_rule(
                    "!has(self.ipFamilies) || self.ipFamilies.size() < 2 || (has(self.ipFamilyPolicy) && "
                    "self.ipFamilyPolicy != 'SingleStack')",
                    field=".ipFamilies",
                    message="two families need ipFamilyPolicy: PreferDualStack or RequireDualStack; set it, "
                    "or name one family",
                    shown="string(self.ipFamilies.size())",
                ),
                build_rule(
                    "!has(self.loadBalancerClass) || !has(self.type) || self.type == 'LoadBalancer'",
                    field=".loadBalancerClass",
                    message="only a Service of type LoadBalancer has a class; set type: LoadBalancer",
                    shown="self.loadBalancerClass",
                ),
                *(_build_balancer_rule(field) for field in _OF_BALANCERS),
                build_rule(
                    "!has(self.externalTrafficPolicy) || !has(self.type) || self.type != 'ClusterIP'",
                    field=".externalTrafficPolicy",
                    message="traffic from outside comes to a NodePort or LoadBalancer only; set type",
                    shown="self.externalTrafficPolicy",
                ),
            ]
        }
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = Field(
        None, description="Type of the Service. Default: ClusterIP for Egress, LoadBalancer for others."
    )
    ports: Annotated[list[ServicePort], Field(min_length=1, max_length=64)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Ports. Default: http (80) and https (443); for EastWest status-port (15021), "
        "tls (15443), tls-istiod (15012) and tls-webhook (15017).",
    )
    annotations: dict[str, AnnotationValue] | None = Field(
        None, max_length=64, description="Annotations of the Service, for the cloud's load balancer."
    )
    labels: dict[str, LabelValue] | None = Field(
        None, max_length=32, description="More labels of the Service, for what looks for Services by label."
    )
    load_balancer_class: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="Which implementation of load balancers serves it. Default: the cluster's."
    )
    load_balancer_source_ranges: list[CIDR] | None = Field(
        None, max_length=256, description="Addresses from which clients may come. Default: all."
    )
    external_traffic_policy: Literal["Cluster", "Local"] | None = Field(
        None,
        description="Local keeps the client's address and uses pods of the node that got the request. "
        "Default: Cluster.",
    )
    address_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        None,
        description="Seconds after which a Service of type LoadBalancer without an address is told as one "
        "that gets none, with what is known of why. Default: 300.",
    )
    external_ips: Annotated[list[Address], Field(max_length=16)] | None = Field(
        None,
        alias="externalIPs",
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Addresses of nodes at which clients reach it too, where something outside of Kubernetes "
        "routes these to nodes. Needs the verb host in the namespace. Default: none.",
    )
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = Field(
        None,
        alias="ipFamilyPolicy",
        description="Whether it has addresses of both families. Default: SingleStack.",
    )
    ip_families: Annotated[list[Literal["IPv4", "IPv6"]], Field(min_length=1, max_length=2)] | None = Field(
        None,
        alias="ipFamilies",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Families of its addresses, the first one first; that one cannot be changed. Default: "
        "the cluster's.",
    )
    session_affinity: Literal["None", "ClientIP"] | None = Field(
        None, description="ClientIP sends a client's connections to one pod. Default: None."
    )
    allocate_load_balancer_node_ports: bool | None = Field(
        None,
        description="Whether a Service of type LoadBalancer has NodePorts, too, which many load balancers "
        "need. Default: true.",
    )


class GatewayAutoscaling(Model):
    """A gateway's HorizontalPodAutoscaler."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    "self.minReplicas <= self.maxReplicas",
                    field=".minReplicas",
                    message="more than maxReplicas; raise maxReplicas or lower minReplicas",
                    shown="self.minReplicas",
                )
            ]
        }
    )

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Fewest pods.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Most pods.")
    target_cpu_utilization: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None,
        alias="targetCPUUtilization",
        description="Average CPU use aimed at, in percent of requests. Default: 80 where nothing else is "
        "aimed at.",
    )
    target_memory_utilization: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Average use of memory aimed at, in percent of requests. Default: it is not."
    )
    metrics: Annotated[list[JSONObject], Field(max_length=16)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="More metrics, as in spec.metrics of a HorizontalPodAutoscaler of autoscaling/v2.",
    )
    behavior: JSONObject | None = Field(
        None, description="How fast it scales, as in spec.behavior of a HorizontalPodAutoscaler."
    )


class GatewayProxy(Model):
    """The proxies of a gateway. A change rolls its pods."""

    log_level: Literal["info", "warning", "error", "critical", "off"] | None = Field(
        None,
        description="Envoy's log level. Lower ones log what requests carry, and are for the mesh's own "
        "spec.proxy. Default: the mesh's.",
    )
    concurrency: Annotated[int, Field(ge=0, le=1024)] | None = Field(
        None, description="Threads of Envoy; 0 takes one for each CPU. Default: the mesh's."
    )


class GatewayLifecycle(Model):
    """Hooks of a gateway's proxies, in the words of a container's spec.lifecycle."""

    post_start: JSONObject | None = Field(None, description="What is done once the container runs.")
    pre_stop: JSONObject | None = Field(
        None,
        description="What is done before the container is told to end. Of the pod's grace it takes its part, "
        "so raise terminationGracePeriodSeconds by it.",
    )
