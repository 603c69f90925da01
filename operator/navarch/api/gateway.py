"""MeshGateway: one gateway of a mesh, in a namespace that belongs to the mesh.

Owns what may be asked of a gateway. Must never hold a field that decides what runs in the gateway's pods or
what they mount: that follows from the mesh. Invariant: every condition of a gateway is in status from the
first reconcile.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.gatewayparts import (
    AnnotationValue,
    GatewayAutoscaling,
    GatewayLifecycle,
    GatewayProxy,
    GatewayService,
    ServicePort,
)
from navarch.api.gatewayroutes import MOST_ROUTES, GatewayOpenShift, RouteStatus
from navarch.api.meta import Column, Conditions, JSONObject, LabelValue, Model, Name, Resource, build_rule
from navarch.api.spec import EnvVar, Overlay, Placement, Resources, Version

__all__ = [
    "KIND",
    "LONGEST_NAME",
    "PLURAL",
    "RESERVED_LABELS",
    "RESOURCE",
    "GatewayAutoscaling",
    "GatewayProxy",
    "GatewayService",
    "GatewaySettings",
    "GatewayTarget",
    "MeshGatewaySpec",
    "MeshGatewayStatus",
    "ServicePort",
]

KIND = "MeshGateway"
PLURAL = "meshgateways"
LONGEST_NAME = 50
"""Characters of a gateway's name: names of pods and of their ReplicaSet add to it."""

RESERVED_LABELS = ("istio.io", "navarch.io", "kubernetes.io", "k8s.io")
"""Domains of label keys that decide injection, identity, or whose an object is."""


class ControlPlaneRef(Model):
    """Names a MeshControlPlane."""

    name: Name = Field(description="Name of the MeshControlPlane.")
    namespace: Name | None = Field(None, description="Its namespace. Default: the gateway's own.")


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
_WORKLOAD_RULE = build_rule(
    "!has(self.workload) || self.workload != 'DaemonSet' || (!has(self.replicas) && !has(self.autoscaling))",
    field=".workload",
    message="a DaemonSet has one pod on each node that placement allows; remove replicas and autoscaling, or "
    "set workload: Deployment",
    shown="self.workload",
)


DRAIN_SECONDS = 30
"""Seconds for which a pod that ends goes on with its connections, unless said."""
_NETWORK_RULE = build_rule(
    "(self.type == 'EastWest') == has(self.networkGateway)",
    field=".networkGateway",
    message="a gateway of type EastWest serves one network, and others serve none; set networkGateway for "
    "EastWest, and leave it out for Ingress and Egress",
    shown="has(self.networkGateway) ? self.networkGateway : self.type",
)
_GRACE_RULE = build_rule(
    "!has(self.terminationGracePeriodSeconds) || self.terminationGracePeriodSeconds >= "
    f"(has(self.terminationDrainSeconds) ? self.terminationDrainSeconds : {DRAIN_SECONDS}) + "
    "(has(self.deregistrationSeconds) ? self.deregistrationSeconds : 0)",
    field=".terminationGracePeriodSeconds",
    message="less than terminationDrainSeconds and deregistrationSeconds together, so that pods would be "
    "killed with open connections; raise it, or leave it out",
    shown="self.terminationGracePeriodSeconds",
)


_BALANCED = (
    "(has({0}.service) && has({0}.service.type) ? {0}.service.type == 'LoadBalancer' : {0}.type != 'Egress')"
)
_CLASS = "(has({0}.service) && has({0}.service.loadBalancerClass) ? {0}.service.loadBalancerClass : 'unset')"
_FAMILIES = "(has({0}.service) && has({0}.service.ipFamilies))"
_OTHER_GATEWAY = (
    "Kubernetes cannot change it in place, and clients get another address with it; make another gateway "
    "with it, move clients there, and remove this one"
)


def _build_in_place_rule(field: str, same: str, shown: str) -> JSONObject:
    return build_rule(
        same, field=f".service.{field}", message=_OTHER_GATEWAY, shown=shown, reason="FieldValueForbidden"
    )


_CLASS_RULE = _build_in_place_rule(
    "loadBalancerClass",
    f"!({_BALANCED.format('self')} && {_BALANCED.format('oldSelf')}) || "
    f"{_CLASS.format('self')} == {_CLASS.format('oldSelf')}",
    _CLASS.format("self"),
)
_FAMILY_RULE = _build_in_place_rule(
    "ipFamilies",
    f"!{_FAMILIES.format('self')} || !{_FAMILIES.format('oldSelf')} || "
    "self.service.ipFamilies[0] == oldSelf.service.ipFamilies[0]",
    "self.service.ipFamilies[0]",
)
_HOOK_RULE = build_rule(
    "!has(self.lifecycle) || !has(self.lifecycle.preStop) || !has(self.deregistrationSeconds) || "
    "self.deregistrationSeconds == 0",
    field=".lifecycle.preStop",
    message="deregistrationSeconds is a preStop hook as well, and a container has one; leave one of them out",
    shown="self.deregistrationSeconds",
)


class GatewaySettings(Model):
    """What may be asked of a gateway, wherever it is written down."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [_REPLICAS_RULE, _WORKLOAD_RULE, _GRACE_RULE, _HOOK_RULE]
        }
    )

    version: Version | None = Field(
        None,
        description="Version of Istio to which its proxies are pinned: a minor, which follows its newest "
        "patch (`1.30`), or exact (`1.30.8`). Not newer than the mesh's control plane, and at most one minor "
        "older. Default: the mesh's, which rolls the pods with each of its upgrades.",
    )

    labels: dict[str, LabelValue] | None = Field(
        None,
        max_length=32,
        description="More labels of the pods, by which a Gateway's selector finds them. Needs the right to "
        "create pods in the namespace. Each pod has `istio: <name>` without that.",
    )
    annotations: dict[str, AnnotationValue] | None = Field(
        None,
        max_length=32,
        description="More annotations of the pods: keys without a domain, and those of collectors of logs "
        "and metrics and of autoscalers of nodes. Others are refused, since they decide what webhooks and "
        "controllers make of a pod.",
    )
    service: GatewayService | None = Field(None, description="The Service by which clients reach it.")
    workload: Literal["Deployment", "DaemonSet"] | None = Field(
        None,
        description="What makes the pods: a Deployment with a number of them, or a DaemonSet with one on "
        "each node that placement allows. After a change both run until the pods of the new one are ready. "
        "Default: Deployment.",
    )
    replicas: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="Number of pods. Default: one at first, and then what an autoscaler of this spec, one of "
        "others or `kubectl scale` makes of it.",
    )
    autoscaling: GatewayAutoscaling | None = Field(
        None, description="Bounds of an autoscaler. Default: there is none."
    )
    resources: Resources | None = Field(
        None,
        description="Compute resources of a pod's proxy; empty requests or limits of a gateway of a mesh "
        "take away those of spec.gateways.defaults. Default: 100m CPU and 128Mi memory requested.",
    )
    placement: Placement | None = Field(
        None, description="Where pods may run. Default: spread over nodes and zones."
    )
    termination_drain_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        None,
        description="Seconds for which a pod that ends goes on with the connections it has. Default: 30.",
    )
    deregistration_seconds: Annotated[int, Field(ge=0, le=600)] | None = Field(
        None,
        description="Seconds for which a pod that is told to end serves on as before, until load balancers "
        "have taken it out; it drains after them. Default: 0.",
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=4300)] | None = Field(
        None,
        description="Seconds after which a pod that has not ended is killed. Default: deregistrationSeconds, "
        "terminationDrainSeconds and 10 more.",
    )
    exit_on_zero_connections: bool | None = Field(
        None,
        description="Whether a pod that ends goes on until it has no connection any more, instead of for "
        "terminationDrainSeconds; terminationGracePeriodSeconds bounds it. Default: false.",
    )
    network_gateway: Annotated[LabelValue, Field(min_length=1)] | None = Field(
        None,
        description="For EastWest: the network whose workloads are reached from other networks through this "
        "gateway, as in topology.istio.io/network.",
    )
    network_policy: bool | None = Field(
        None,
        description="Whether a NetworkPolicy lets in nothing but the ports of the Service, health checks "
        "and, from within the cluster, the collection of metrics. Default: false.",
    )
    proxy: GatewayProxy | None = Field(None, description="The gateway's proxies.")
    environment: Annotated[list[EnvVar], Field(max_length=32)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Environment variables of the proxies: those that every editor of a mesh may set for all "
        "of its proxies, which docs/reference/power.md lists.",
    )
    lifecycle: GatewayLifecycle | None = Field(
        None,
        description="Hooks of the proxies. Needs the verb host in the namespace. Default: the mesh's, "
        "which are Istio's unless it says otherwise.",
    )
    openshift: GatewayOpenShift | None = Field(
        None, description="What it has on OpenShift beside the rest. Default: nothing."
    )
    overlays: Annotated[list[Overlay], Field(max_length=16)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="JSON Merge Patches on the gateway's objects, in order: the last resort. "
        "docs/reference/power.md says what they may hold without the verb host, and "
        "docs/reference/refused.md what they may never.",
    )


class GatewayTarget(Model):
    """Which gateway of which mesh it is."""

    control_plane_ref: ControlPlaneRef = Field(
        description="The mesh. The gateway's namespace has to belong to it. Immutable."
    )
    type: Literal["Ingress", "Egress", "EastWest"] = Field(
        description="Ingress: traffic from outside comes in; Egress: traffic of the mesh goes out; EastWest: "
        "traffic of the mesh comes in from another network."
    )


class MeshGatewaySpec(GatewaySettings, GatewayTarget):
    """The gateway that is wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                _REF_RULE,
                _REPLICAS_RULE,
                _WORKLOAD_RULE,
                _GRACE_RULE,
                _HOOK_RULE,
                _NETWORK_RULE,
                _CLASS_RULE,
                _FAMILY_RULE,
            ]
        }
    )


class CertificateStatus(Model):
    """A Secret that a listener names, and when what it holds ends."""

    namespace: Annotated[str, Field(max_length=63)] = Field(description="Namespace of the Secret.")
    name: Annotated[str, Field(max_length=253)] = Field(description="Name of the Secret.")
    not_after: Annotated[str, Field(max_length=32)] = Field(
        json_schema_extra={"format": "date-time"},
        description="Until when every certificate of its chain is valid.",
    )


class Turn(Model):
    """When a gateway of several takes over the mesh's proxies."""

    proxy: str = Field(max_length=128, description="What its pods are to carry in mesh.navarch.io/restart.")
    at: str = Field(
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When its pods are replaced: gateways of a mesh do not all drain at the same time.",
    )


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
        description="Addresses at which clients reach it: hosts of its Routes that a router has admitted, "
        "then those of the load balancer, else of the Service.",
    )
    routes: list[RouteStatus] | None = Field(
        None,
        max_length=MOST_ROUTES,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Its Routes, where it asks for some.",
    )
    certificates: list[CertificateStatus] | None = Field(
        None,
        max_length=32,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["namespace", "name"],
        },
        description="Certificates of its listeners, as far as the operator reads them: those that end first.",
    )
    revision: str | None = Field(
        None, max_length=253, description="Revision of the mesh whose proxies it runs."
    )
    version: str | None = Field(
        None, max_length=20, description="Exact version of Istio that all of its pods run."
    )
    proxy: str | None = Field(
        None,
        max_length=63,
        description="With spec.version: what tells its pods that are current, by their annotation "
        "mesh.navarch.io/restart.",
    )
    ready: int | None = Field(None, ge=0, description="Pods that are ready.")
    desired: int | None = Field(None, ge=0, description="Pods that are wanted.")
    outdated: int | None = Field(
        None,
        ge=0,
        description="Pods with a proxy of another version or configuration than spec.version, or else the "
        "mesh, asks for.",
    )
    turn: Turn | None = Field(
        None,
        description="When it rolls after a change of the mesh's proxies; absent once it has.",
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
        Column("Pinned", ".spec.version", "Version to which it is pinned; empty for the mesh's.", wide=True),
        Column(
            "Message", '.status.conditions[?(@.type=="Ready")].message', "What is wrong, in words.", wide=True
        ),
    ),
    rules=(
        build_rule(
            f"self.metadata.name.size() <= {LONGEST_NAME} && !self.metadata.name.contains('.') && "
            "self.metadata.name.matches('^[a-z]')",
            message="pods and a Service are named after the gateway; choose a name of at most "
            f"{LONGEST_NAME} characters that begins with a letter and has no dots",
            shown="'metadata.name: ' + self.metadata.name",
        ),
    ),
)
