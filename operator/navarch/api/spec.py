"""The parts of a mesh's specification that a revision is built from.

Owns the vocabulary shared by MeshControlPlane (as a user writes it) and MeshRevision (as it was resolved).
Must never hold a default that a later release may change: an absent field means "what the profile says".
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.authority import CertificateAuthority
from navarch.api.meta import JSONObject, LabelValue, Model, Name, Quantity, build_rule
from navarch.api.networkpolicies import NetworkPolicies
from navarch.api.refused import OVERLAY_KINDS

LogLevel = Literal["trace", "debug", "info", "warning", "error", "critical", "off"]
Domain = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253)
]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?$", max_length=20)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=253)]


class Trust(Model):
    """Whose identities the mesh believes."""

    domain: Domain | None = Field(
        None, description="Trust domain of the mesh's identities. Default: cluster.local."
    )
    additional_domains: list[Domain] | None = Field(
        None,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Trust domains whose identities are accepted as if they were this mesh's own.",
    )


class MutualTLS(Model):
    """How proxies of the mesh talk to each other."""

    mode: Literal["Strict", "Permissive"] | None = Field(
        None,
        description="Strict refuses plaintext in the whole mesh, Permissive accepts both; each makes a "
        "mesh-wide PeerAuthentication. Default: none is made, and Istio's own default (permissive) holds.",
    )
    minimum_protocol_version: Literal["TLSv1_2", "TLSv1_3"] | None = Field(
        None, description="Lowest TLS version between proxies. Default: TLSv1_2."
    )
    cipher_suites: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(
        None,
        max_length=64,
        description="Cipher suites offered between proxies with TLS 1.2. Default: Istio's.",
    )


class ResourceAmounts(Model):
    """Amounts of compute resources."""

    cpu: Quantity | None = Field(
        None, description="Processor time in cores, or thousandths of one with the suffix m."
    )
    memory: Quantity | None = Field(None, description="Memory in bytes, usually with the suffix Mi or Gi.")


def _within_limit(resource: str) -> JSONObject:
    both = " && ".join(f"has(self.{side}) && has(self.{side}.{resource})" for side in ("requests", "limits"))
    return build_rule(
        f"!({both}) || quantity(self.requests.{resource}).compareTo(quantity(self.limits.{resource})) <= 0",
        field=f".requests.{resource}",
        message=f"more than limits.{resource} allows; raise the limit or lower the request",
        shown=f"self.requests.{resource}",
    )


class Resources(Model):
    """Compute resources of one container."""

    model_config = ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [_within_limit("cpu"), _within_limit("memory")]}
    )

    requests: ResourceAmounts | None = Field(None, description="What the scheduler sets aside.")
    limits: ResourceAmounts | None = Field(None, description="What the container may use at most.")


class TrafficCapture(Model):
    """Which traffic of a pod goes through its proxy. Lists are Istio's comma-separated strings."""

    mode: Literal["Redirect", "TProxy", "None"] | None = Field(
        None, description="How traffic is captured. Default: Redirect."
    )
    include_inbound_ports: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="Inbound ports that are captured; * means all. Default: *."
    )
    exclude_inbound_ports: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="Inbound ports that are not captured. Default: none."
    )
    include_outbound_ip_ranges: Annotated[str, Field(max_length=4096)] | None = Field(
        None,
        alias="includeOutboundIPRanges",
        description="Outbound CIDR ranges that are captured. Default: *.",
    )
    exclude_outbound_ip_ranges: Annotated[str, Field(max_length=4096)] | None = Field(
        None,
        alias="excludeOutboundIPRanges",
        description="Outbound CIDR ranges that are not captured. Default: none.",
    )
    exclude_outbound_ports: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="Outbound ports that are not captured. Default: none."
    )


class AccessLog(Model):
    """Proxies' access log."""

    file: Annotated[str, Field(max_length=4096)] | None = Field(
        None,
        description="Path that requests are logged to, /dev/stdout for the container's log. Default: no log.",
    )
    encoding: Literal["TEXT", "JSON"] | None = Field(None, description="Encoding of a line. Default: TEXT.")
    format: Annotated[str, Field(max_length=16384)] | None = Field(
        None, description="Envoy format string of a line. Default: Istio's."
    )


class Proxy(Model):
    """Sidecars and the other proxies made by injection. A change applies to pods when they restart."""

    log_level: LogLevel | None = Field(None, description="Envoy's log level. Default: warning.")
    component_log_level: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="Envoy's log level by component, `name:level,…`. Default: misc:error."
    )
    resources: Resources | None = Field(
        None, description="Compute resources of a sidecar. Default: the profile's."
    )
    lifecycle: JSONObject | None = Field(
        None, description="Container lifecycle hooks of a sidecar, as in a pod. Default: Istio's."
    )
    hold_application_until_proxy_starts: bool | None = Field(
        None, description="Whether applications start only after their proxy is ready. Default: false."
    )
    readiness_period_seconds: Annotated[int, Field(ge=1, le=300)] | None = Field(
        None, description="Seconds between two readiness probes of a proxy. Default: 15."
    )
    traffic_capture: TrafficCapture | None = Field(None, description="Which traffic goes through the proxy.")
    access_log: AccessLog | None = Field(None, description="Where and how proxies log requests.")
    native_sidecars: bool | None = Field(
        None,
        description="Whether sidecars are init containers that restart (Kubernetes' native sidecars). "
        "Default: Istio decides by the version of the nodes.",
    )


class Autoscaling(Model):
    """Bounds of istiod's HorizontalPodAutoscaler."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= "
                    "self.maxReplicas",
                    field=".minReplicas",
                    message="more than maxReplicas; raise maxReplicas or lower minReplicas",
                    shown="self.minReplicas",
                )
            ]
        }
    )

    min_replicas: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Minimum number of istiods. Default: 1."
    )
    max_replicas: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Maximum number of istiods. Default: 5."
    )
    target_cpu_utilization: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None,
        alias="targetCPUUtilization",
        description="Average CPU use aimed at, in percent of requests. Default: 80.",
    )
    enabled: bool | None = Field(None, description="Whether the autoscaler exists. Default: true.")


class Placement(Model):
    """Where istiod may run, in the terms of a pod's spec."""

    node_selector: dict[str, LabelValue] | None = Field(
        None, max_length=64, description="Labels a node must have."
    )
    tolerations: list[JSONObject] | None = Field(
        None, max_length=64, description="Taints that are tolerated."
    )
    affinity: JSONObject | None = Field(None, description="Affinity and anti-affinity.")
    topology_spread_constraints: list[JSONObject] | None = Field(
        None, max_length=16, description="How replicas spread over the cluster."
    )
    priority_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="Priority class of the pods."
    )


class PodDisruptionBudget(Model):
    """istiod's PodDisruptionBudget; only where two replicas are guaranteed, else it would block drains."""

    enabled: bool | None = Field(None, description="Whether it exists. Default: true.")
    min_available: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="Replicas that an eviction must leave. Default: 1."
    )


class EnvVar(Model):
    """One environment variable of istiod."""

    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=32768)] = Field(description="Its value.")


class ControlPlaneLogging(Model):
    """What istiod logs."""

    level: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="Level by scope, `scope:level,…`. Default: default:info."
    )
    json_: bool | None = Field(None, alias="json", description="Whether lines are JSON. Default: false.")


class ControlPlane(Model):
    """istiod itself. A change rolls it, with a surge."""

    replicas: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Number of istiods where the autoscaler is off. Default: 1."
    )
    autoscaling: Autoscaling | None = Field(None, description="istiod's HorizontalPodAutoscaler.")
    resources: Resources | None = Field(
        None, description="Compute resources of istiod. Default: 500m CPU, 2Gi memory."
    )
    placement: Placement | None = Field(None, description="Where istiod may run.")
    pod_disruption_budget: PodDisruptionBudget | None = Field(
        None, description="istiod's PodDisruptionBudget."
    )
    environment: Annotated[list[EnvVar], Field(max_length=128)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Environment variables of istiod.",
    )
    logging: ControlPlaneLogging | None = Field(None, description="What istiod logs.")
    network_policy: bool | None = Field(
        None, description="Whether a NetworkPolicy limits istiod's pods to their own ports. Default: false."
    )
    gateway_controller: bool | None = Field(
        None,
        description="Whether istiod deploys gateways and waypoints for Gateways of Gateway API. With false, "
        "its account may make no Deployments, Services and ServiceAccounts, and may write no webhook "
        "configuration but the mesh's own. Default: true.",
    )


class PullSecret(Model):
    """A reference to a Secret in the namespace of the pod."""

    name: Name = Field(description="Name of the Secret.")


Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]


class ImageDigests(Model):
    """The digest of each image, of the variant that is in use."""

    agentgateway: Digest | None = Field(None, description="Agentgateway's.")
    pilot: Digest | None = Field(None, description="istiod's.")
    proxyv2: Digest | None = Field(
        None,
        description="The sidecars', gateways' and waypoints', and that of their init containers. A pod that "
        "asks for another variant by annotation gets this one.",
    )


class Images(Model):
    """Where images come from."""

    hub: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="Registry and path before the image's name. Default: the catalog's."
    )
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=128)] | None = Field(
        None, description="Tag of every image. Default: the version."
    )
    digests: ImageDigests | None = Field(
        None,
        description="Digests of images: an image that has one is pulled by it, with the tag beside it for "
        "people. Default: what the catalog has of the version, unless `tag` is set.",
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="When images are pulled. Default: Kubernetes decides by the tag."
    )
    pull_secrets: list[PullSecret] | None = Field(
        None,
        max_length=16,
        description="Secrets with registry credentials, in istiod's and in every member namespace.",
    )


class OverlayTarget(Model):
    """Which rendered object an overlay patches."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    f"self.kind in {list(OVERLAY_KINDS)}",
                    field=".kind",
                    message="an overlay may patch only what the mesh renders inside its own namespace, and "
                    f"no roles; choose one of {', '.join(OVERLAY_KINDS)}",
                    shown="self.kind",
                    reason="FieldValueForbidden",
                )
            ]
        }
    )

    kind: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)] = Field(
        description="Kind of the object; cluster-scoped kinds are refused."
    )
    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Name of the object.")


class Overlay(Model):
    """A JSON Merge Patch (RFC 7386) on one rendered object: the last resort."""

    target: OverlayTarget = Field(description="Which rendered object is patched.")
    patch: JSONObject = Field(
        description="The patch. It may not touch apiVersion, kind, or the name, namespace and Navarch's own "
        "labels and annotations in metadata."
    )


class RevisionConfig(Model):
    """Everything that shapes a control plane: a profile's, the user's, or the resolved sum."""

    trust: Trust | None = Field(None, description="Whose identities the mesh believes.")
    certificate_authority: CertificateAuthority | None = Field(
        None, description="Who makes the certificates by which proxies of the mesh know each other."
    )
    mtls: MutualTLS | None = Field(None, description="How proxies of the mesh talk to each other.")
    proxy: Proxy | None = Field(
        None,
        description="Sidecars and the other proxies made by injection. After an edit running sidecars are "
        "outdated until they are restarted; Gateways that istiod deployed roll by themselves, all at once.",
    )
    control_plane: ControlPlane | None = Field(None, description="istiod itself.")
    network_policies: NetworkPolicies | None = Field(
        None, description="Who reaches the control plane, and the mesh's members, over the network."
    )
    images: Images | None = Field(None, description="Where images come from.")
    mesh_config: JSONObject | None = Field(
        None,
        description="Istio's MeshConfig, for what has no field here. docs/reference/power.md says which "
        "fields every editor of the mesh may write, and docs/reference/refused.md which no one may.",
    )
    values: JSONObject | None = Field(
        None,
        description="Istio's injection values (what templates read as .Values), for what has no field here. "
        "docs/reference/power.md says which every editor of the mesh may write, and "
        "docs/reference/refused.md which no one may.",
    )
    overlays: list[Overlay] | None = Field(
        None, max_length=64, description="JSON Merge Patches on rendered namespaced objects, in order."
    )
