"""The kinds we speak to, and where the API server serves them.

A static table instead of discovery: what we use is known when the program is written, and discovery fails
as a whole when one aggregated API is down. Must never grow logic. Invariant: a (group, kind) appears once.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.api import export, meta
from navarch.core.model.refs import Ref


@dataclass(frozen=True, slots=True)
class Resource:
    """How one kind is addressed."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def builtin(self) -> bool:
        """Whether every API server serves it, without anybody's CRD."""
        return "." not in self.group or self.group.endswith(".k8s.io")

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or its subresource."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, name, subresource]
        return "/".join(part for part in parts if part)


def _table(api_version: str, *rows: tuple[str, str], namespaced: bool = True) -> list[Resource]:
    return [Resource(api_version, kind, plural, namespaced) for kind, plural in rows]


RESOURCES: tuple[Resource, ...] = (
    *_table("v1", ("Namespace", "namespaces"), ("Node", "nodes"), namespaced=False),
    *_table(
        "v1",
        ("ConfigMap", "configmaps"),
        ("Endpoints", "endpoints"),
        ("Event", "events"),
        ("Pod", "pods"),
        ("ResourceQuota", "resourcequotas"),
        ("Secret", "secrets"),
        ("Service", "services"),
        ("ServiceAccount", "serviceaccounts"),
    ),
    *_table(
        "apps/v1", ("DaemonSet", "daemonsets"), ("Deployment", "deployments"), ("ReplicaSet", "replicasets")
    ),
    *_table("apps/v1", ("StatefulSet", "statefulsets")),
    *_table("argoproj.io/v1alpha1", ("Rollout", "rollouts")),
    *_table("autoscaling/v2", ("HorizontalPodAutoscaler", "horizontalpodautoscalers")),
    *_table("batch/v1", ("CronJob", "cronjobs"), ("Job", "jobs")),
    *_table("coordination.k8s.io/v1", ("Lease", "leases")),
    *_table("discovery.k8s.io/v1", ("EndpointSlice", "endpointslices")),
    *_table("events.k8s.io/v1", ("Event", "events")),
    *_table("networking.k8s.io/v1", ("NetworkPolicy", "networkpolicies")),
    *_table("policy/v1", ("PodDisruptionBudget", "poddisruptionbudgets")),
    *_table("rbac.authorization.k8s.io/v1", ("Role", "roles"), ("RoleBinding", "rolebindings")),
    *_table(
        "rbac.authorization.k8s.io/v1",
        ("ClusterRole", "clusterroles"),
        ("ClusterRoleBinding", "clusterrolebindings"),
        namespaced=False,
    ),
    *_table(
        "admissionregistration.k8s.io/v1",
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
        namespaced=False,
    ),
    *_table(
        "apiextensions.k8s.io/v1", ("CustomResourceDefinition", "customresourcedefinitions"), namespaced=False
    ),
    *_table(
        "authorization.k8s.io/v1", ("SelfSubjectAccessReview", "selfsubjectaccessreviews"), namespaced=False
    ),
    *_table("authorization.k8s.io/v1", ("SubjectAccessReview", "subjectaccessreviews"), namespaced=False),
    *_table(
        "authentication.k8s.io/v1",
        ("SelfSubjectReview", "selfsubjectreviews"),
        ("TokenReview", "tokenreviews"),
        namespaced=False,
    ),
    *_table(meta.API_VERSION, *((own.kind, own.plural) for own in export.RESOURCES)),
    *_table("security.istio.io/v1", ("AuthorizationPolicy", "authorizationpolicies")),
    *_table("security.istio.io/v1", ("PeerAuthentication", "peerauthentications")),
    *_table("security.istio.io/v1", ("RequestAuthentication", "requestauthentications")),
    *_table(
        "networking.istio.io/v1",
        ("DestinationRule", "destinationrules"),
        ("Gateway", "gateways"),
        ("ServiceEntry", "serviceentries"),
        ("Sidecar", "sidecars"),
        ("VirtualService", "virtualservices"),
    ),
    *_table("networking.istio.io/v1alpha3", ("EnvoyFilter", "envoyfilters")),
    *_table("operators.coreos.com/v2", ("OperatorCondition", "operatorconditions")),
    *_table("route.openshift.io/v1", ("Route", "routes")),
    *_table("telemetry.istio.io/v1", ("Telemetry", "telemetries")),
    *_table("extensions.istio.io/v1alpha1", ("WasmPlugin", "wasmplugins")),
)

_BY_KIND = {(resource.group, resource.kind): resource for resource in RESOURCES}


def resource_of(api_version: str, kind: str) -> Resource:
    """The resource of a kind. Raises KeyError for one that is not in the table."""
    resource = _BY_KIND[api_version.rpartition("/")[0], kind]
    if resource.api_version == api_version:
        return resource
    return Resource(api_version, kind, resource.plural, resource.namespaced)


def resource_for(ref: Ref) -> Resource:
    """The resource of the kind that a reference names."""
    return resource_of(ref.api_version, ref.kind)
