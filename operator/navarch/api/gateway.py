"""MeshGateway: one gateway of a mesh, in a namespace that belongs to the mesh.

Owns what may be asked of a gateway. Must never hold a field that decides what runs in the gateway's pods or
what they mount: that follows from the mesh. Invariant: every condition of a gateway is in status from the
first reconcile.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.meta import Column, Conditions, Model, Name, Resource, build_rule
from navarch.api.spec import LabelValue, Placement, Resources

KIND = "MeshGateway"
PLURAL = "meshgateways"
LONGEST_NAME = 50
"""Characters of a gateway's name: names of pods and of their ReplicaSet add to it."""

Port = Annotated[int, Field(ge=1, le=65535)]
CIDR = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", max_length=49)]
AnnotationValue = Annotated[str, Field(max_length=4096)]

RESERVED_PORTS = (15000, 15001, 15004, 15006, 15008, 15020, 15053, 15090)
"""Ports on which a proxy listens for purposes of its own (Istio's "Ports used by Istio"). 15021, its health,
may be served: load balancers ask there."""
RESERVED_LABELS = ("istio.io", "navarch.io", "kubernetes.io", "k8s.io")
"""Domains of label keys that decide injection, identity, or whose an object is."""


class ControlPlaneRef(Model):
    """Names a MeshControlPlane."""

    name: Name = Field(description="Name of the MeshControlPlane.")
    namespace: Name | None = Field(None, description="Its namespace. Default: the gateway's own.")


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


_PROTOCOL = "(has({0}.protocol) ? {0}.protocol : 'TCP')"


class GatewayService(Model):
    """The Service by which clients reach a gateway."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    "!has(self.ports) || self.ports.all(a, self.ports.exists_one(b, a.port == b.port && "
                    f"{_PROTOCOL.format('a')} == {_PROTOCOL.format('b')}))",
                    field=".ports",
                    message="two ports have one number and protocol; give each its own number",
                    shown="string(self.ports.size())",
                ),
                build_rule(
                    "!has(self.loadBalancerClass) || !has(self.type) || self.type == 'LoadBalancer'",
                    field=".loadBalancerClass",
                    message="only a Service of type LoadBalancer has a class; set type: LoadBalancer",
                    shown="self.loadBalancerClass",
                ),
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
        None, description="Type of the Service. Default: LoadBalancer for Ingress, ClusterIP for Egress."
    )
    ports: Annotated[list[ServicePort], Field(min_length=1, max_length=64)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Ports. Default: http (80) and https (443).",
    )
    annotations: dict[str, AnnotationValue] | None = Field(
        None, max_length=64, description="Annotations of the Service, for the cloud's load balancer."
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
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = Field(
        None,
        alias="ipFamilyPolicy",
        description="Whether it has addresses of both families. Default: SingleStack.",
    )


class GatewayAutoscaling(Model):
    """Bounds of a gateway's HorizontalPodAutoscaler."""

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
        description="Average CPU use aimed at, in percent of requests. Default: 80.",
    )


_REF_RULE = build_rule(
    "self.controlPlaneRef == oldSelf.controlPlaneRef",
    field=".controlPlaneRef",
    message="a gateway stays with its mesh; make another gateway for the other mesh, and remove this one",
    shown="self.controlPlaneRef.name",
    reason="FieldValueForbidden",
)
_REPLICAS_RULE = build_rule(
    "!has(self.replicas) || !has(self.autoscaling)",
    field=".replicas",
    message="the autoscaler decides the number of pods; remove replicas, or autoscaling",
    shown="self.replicas",
)


class GatewaySettings(Model):
    """What may be asked of a gateway, wherever it is written down."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_REPLICAS_RULE]})

    labels: dict[str, LabelValue] | None = Field(
        None,
        max_length=32,
        description="More labels of the pods, by which a Gateway's selector finds them. Each pod has `istio: "
        "<name>` without that.",
    )
    service: GatewayService | None = Field(None, description="The Service by which clients reach it.")
    replicas: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Number of pods where there is no autoscaling. Default: 1."
    )
    autoscaling: GatewayAutoscaling | None = Field(
        None, description="Bounds of an autoscaler. Default: there is none."
    )
    resources: Resources | None = Field(
        None, description="Compute resources of a pod's proxy. Default: 100m CPU and 128Mi memory requested."
    )
    placement: Placement | None = Field(
        None, description="Where pods may run. Default: spread over nodes and zones."
    )
    termination_drain_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        None,
        description="Seconds for which a pod that ends goes on with the connections it has. Default: 30.",
    )


class GatewayTarget(Model):
    """Which gateway of which mesh it is."""

    control_plane_ref: ControlPlaneRef = Field(
        description="The mesh. The gateway's namespace has to belong to it. Immutable."
    )
    type: Literal["Ingress", "Egress"] = Field(
        description="Ingress: traffic from outside comes in; Egress: traffic of the mesh goes out."
    )


class MeshGatewaySpec(GatewaySettings, GatewayTarget):
    """The gateway that is wanted."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_REF_RULE, _REPLICAS_RULE]})


class MeshGatewayStatus(Model):
    """What was seen."""

    observed_generation: int | None = Field(
        None, ge=0, description="metadata.generation that status speaks of."
    )
    conditions: Conditions | None = Field(None, description="The gateway's state, aspect by aspect.")
    addresses: list[Annotated[str, Field(max_length=253)]] | None = Field(
        None,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Addresses at which clients reach it: of the load balancer, else of the Service.",
    )
    revision: str | None = Field(
        None, max_length=253, description="Revision of the mesh whose proxies it runs."
    )
    version: str | None = Field(None, max_length=20, description="Exact version of Istio that it runs.")
    ready: int | None = Field(None, ge=0, description="Pods that are ready.")
    desired: int | None = Field(None, ge=0, description="Pods that are wanted.")
    outdated: int | None = Field(
        None, ge=0, description="Pods with a proxy of another version or configuration than the mesh has."
    )


RESOURCE = Resource(
    kind=KIND,
    plural=PLURAL,
    short_names=("meshgw",),
    description="One gateway of a mesh: traffic comes in, or goes out, through its pods.",
    spec=MeshGatewaySpec,
    status=MeshGatewayStatus,
    columns=(
        Column("Mesh", ".spec.controlPlaneRef.name", "MeshControlPlane that it belongs to."),
        Column("Type", ".spec.type", "Which way traffic goes."),
        Column(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether it serves as its spec asks."
        ),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not."),
        Column("Address", ".status.addresses[0]", "First address at which clients reach it."),
        Column("Pods", ".status.ready", "Pods that are ready.", type="integer"),
        Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", type="date"),
        Column("Version", ".status.version", "Exact version of Istio that it runs.", wide=True),
        Column(
            "Message", '.status.conditions[?(@.type=="Ready")].message', "What is wrong, in words.", wide=True
        ),
    ),
    rules=(
        build_rule(
            f"self.metadata.name.size() <= {LONGEST_NAME} && !self.metadata.name.contains('.')",
            message="pods and a Service are named after the gateway; choose a name of at most "
            f"{LONGEST_NAME} characters and no dots",
            shown="'metadata.name: ' + self.metadata.name",
        ),
    ),
)
