"""What an archive holds: which lists are asked for, and which of their objects stay.

Owns these tables. Must never name Secrets. Invariant: a kind of ours is here as soon as it is one
(api/export.py), and so is each kind that meshes have objects of (gather/watches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from navarch.api.export import RESOURCES
from navarch.api.meta import API_VERSION, GROUP
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, MEMBER_OF, MESH_NAME
from navarch.core.model.refs import Manifest
from navarch.gather.watches import OWNED_KINDS, ROUTES, WEBHOOK_KINDS
from navarch.kube.resources import Resource, resource_of
from navarch.survey.surroundings import CONFIGURATION, FOREIGN_CRDS, MEMBER_ROLLS, OPERATOR

PODS = resource_of("v1", "Pod")
EVENTS = resource_of("v1", "Event")
NAMESPACES = resource_of("v1", "Namespace")
CRDS = resource_of("apiextensions.k8s.io/v1", "CustomResourceDefinition")
DEPLOYMENTS = resource_of("apps/v1", "Deployment")
_RBAC = "rbac.authorization.k8s.io/v1"
_ADMISSION = "admissionregistration.k8s.io/v1"
_OLM = "operators.coreos.com"
SUBSCRIPTIONS = Resource(f"{_OLM}/v1alpha1", "Subscription", "subscriptions")
CATALOGS = Resource(f"{_OLM}/v1alpha1", "CatalogSource", "catalogsources")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list that is asked for, and which of its objects stay."""

    resource: Resource
    labels: str = ""
    namespace: str = ""
    keep: Callable[[Manifest], bool] = lambda _: True


def is_near_meshes(namespace: Manifest) -> bool:
    """Whether a namespace's labels ask for a proxy, or say that it is in a mesh: of these it is told who is a
    member of what."""
    return bool({ISTIO_REV, ISTIO_INJECTION, MEMBER_OF} & {*(namespace["metadata"].get("labels") or {})})


def _is_named_navarch(manifest: Manifest) -> bool:
    return "navarch" in manifest["metadata"]["name"]


def _is_no_copy(csv: Manifest) -> bool:
    """Whether a ClusterServiceVersion is not one that OLM copied here from another namespace."""
    return "olm.copiedFrom" not in (csv["metadata"].get("labels") or {})


OF_THE_CLUSTER = (
    *(Wanted(resource_of(API_VERSION, own.kind)) for own in RESOURCES),
    *(Wanted(resource_of(*kind), labels=MESH_NAME) for kind in OWNED_KINDS),
    Wanted(resource_of(ROUTES.api_version, ROUTES.kind), labels=MESH_NAME),
    *(Wanted(resource_of(_ADMISSION, kind)) for kind in WEBHOOK_KINDS),
    Wanted(resource_of(_ADMISSION, "ValidatingAdmissionPolicy")),
    Wanted(resource_of(_ADMISSION, "ValidatingAdmissionPolicyBinding")),
    Wanted(resource_of(_RBAC, "ClusterRole"), labels=OPERATOR),
    Wanted(resource_of(_RBAC, "ClusterRoleBinding"), labels=OPERATOR),
    Wanted(DEPLOYMENTS, labels=OPERATOR),
    Wanted(PODS, labels=MESH_NAME),
    Wanted(resource_of("apps/v1", "ReplicaSet"), labels=MESH_NAME),
    Wanted(resource_of("discovery.k8s.io/v1", "EndpointSlice"), labels=MESH_NAME),
    Wanted(NAMESPACES, keep=is_near_meshes),
    Wanted(Resource(f"{_OLM}/v1", "Operator", "operators", False), keep=_is_named_navarch),
    Wanted(
        Resource("olm.operatorframework.io/v1", "ClusterExtension", "clusterextensions", False),
        keep=_is_named_navarch,
    ),
)
"""What is asked of the whole cluster: objects of ours, and made for them, and what they depend on."""

_AT_HOME = (
    *(("v1", kind) for kind in ("ConfigMap", "Pod", "ResourceQuota", "Service", "ServiceAccount")),
    *(("apps/v1", kind) for kind in ("Deployment", "ReplicaSet")),
    ("coordination.k8s.io/v1", "Lease"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    *((_RBAC, kind) for kind in ("Role", "RoleBinding")),
    (f"{_OLM}/v2", "OperatorCondition"),
)
_OF_OLM = (
    Wanted(SUBSCRIPTIONS),
    Wanted(Resource(f"{_OLM}/v1alpha1", "InstallPlan", "installplans")),
    Wanted(Resource(f"{_OLM}/v1", "OperatorGroup", "operatorgroups")),
    Wanted(Resource(f"{_OLM}/v1alpha1", "ClusterServiceVersion", "clusterserviceversions"), keep=_is_no_copy),
)


def list_home(namespace: str) -> Iterator[Wanted]:
    """What is asked of a namespace in which Navarch is installed."""
    for api_version, kind in _AT_HOME:
        yield Wanted(resource_of(api_version, kind), namespace=namespace)
    for wanted in _OF_OLM:
        yield Wanted(wanted.resource, namespace=namespace, keep=wanted.keep)


def list_place(namespace: str) -> Iterator[Wanted]:
    """What is asked of another namespace in which an object of ours lies."""
    yield Wanted(resource_of("v1", "ResourceQuota"), namespace=namespace)


def is_told_crd(name: str) -> bool:
    """Whether a CRD is read whole: ours, Istio's, those of Gateway API and of other installers."""
    return name.partition(".")[2] in (GROUP, *CONFIGURATION) or name in (*FOREIGN_CRDS, MEMBER_ROLLS)
