"""What the operator watches, and which keys a change leads to.

Owns the list of watch streams: their number does not depend on the number of namespaces or meshes.
Must never watch Secrets. Invariants: all that a decision reads is either here or fetched by gather(), and its
row says which keys follow; no object takes more memory than its watch's bound, with any content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from navarch.api import controlplane, gateway, gatewayroutes, member, revision, roll
from navarch.api.meta import API_VERSION
from navarch.core.istio.roles import ROLE_LABELS
from navarch.core.model.labels import CATALOG, GATEWAY_CLASS_DEFAULTS, INVENTORY, MESH_NAME, PROFILE
from navarch.gather.crds import shrink_crd
from navarch.gather.excerpts import (
    Object,
    shrink_catalog,
    shrink_gateway_defaults,
    shrink_inventory,
    shrink_istiod_pod,
    shrink_mesh_config,
    shrink_namespace,
    shrink_owned,
    shrink_profile,
    shrink_proxy_pod,
    shrink_role,
    shrink_root,
)
from navarch.gather.policies import shrink_peer_policy
from navarch.kube.client import PAGE
from navarch.kube.shelf import MIB, Bound
from navarch.kube.store import Store
from navarch.triggers.edits import is_edit
from navarch.triggers.keys import (
    Dependents,
    Mapper,
    asks_for_routes,
    by_change,
    by_state,
    keys_for_inventory,
    keys_for_owned,
)

ROOT_CONFIG_MAP = "istio-ca-root-cert"
SMALL_PAGE = 50
"""Objects of the first page of a kind that tenants can write: later pages grow where they are small."""


class Role(Enum):
    """What the objects of a watch are to the operator."""

    OWN = auto()
    """A kind of ours, whole: each object has a key of its own."""
    OWNED = auto()
    """A kind that meshes have objects of, whole: they carry the labels of a mesh."""
    SHARED = auto()
    """A kind that the operator writes for all meshes, whole: Istio's CRDs."""
    LOOKED_AT = auto()
    """Parts of a kind, under a name of their own: read, and never written through this watch."""


def _is_always(old: Object | None, new: Object | None) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch stream. `keys` maps a change to what has to be looked at, `is_edit` says whether a change may
    be urgent; `namespace` empty means the whole cluster."""

    name: str
    api_version: str
    kind: str
    role: Role
    keys: Mapper
    is_edit: Callable[[Object | None, Object | None], bool] = _is_always
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
    in_operator_namespace: bool = False
    transform: Callable[[Object], Object] = lambda manifest: manifest
    bound: Bound = field(default_factory=Bound)
    page: int = PAGE
    wanted_by: Callable[[Object], bool] | None = None
    """Whether one of our gateways asks for a kind that a cluster may lack, and whose coming no CRD tells of:
    while none does, the API server is hardly ever asked for it."""
    asked_by: Callable[[Object], bool] | None = None
    """Whether one of our meshes asks for a kind that the operator may not read without a right that is given
    for its sake: while none does, it is not watched at all."""
    crd: str = ""
    """The CustomResourceDefinition without which a kind is not asked for."""


OWNED_KINDS = (
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("security.istio.io/v1", "PeerAuthentication"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
)
WEBHOOK_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

_BY_LABELS = by_state(lambda _, manifest: keys_for_owned(manifest))
_BY_NAMESPACE = by_state(Dependents.keys_for_namespaced)

# The largest spec that is accepted takes about 1 MiB; what is larger is read anew where it matters.
MESHES = Watch(
    "meshes",
    API_VERSION,
    controlplane.KIND,
    Role.OWN,
    by_change(Dependents.keys_for_mesh),
    is_edit=is_edit,
    bound=Bound(object=2 * MIB),
    page=SMALL_PAGE,
)
REVISIONS = Watch(
    "revisions",
    API_VERSION,
    revision.KIND,
    Role.OWN,
    by_change(Dependents.keys_for_revision),
    bound=Bound(object=2 * MIB),
)
GATEWAYS = Watch(
    "gateways",
    API_VERSION,
    gateway.KIND,
    Role.OWN,
    Dependents.asks_for_gateway,
    is_edit=is_edit,
    bound=Bound(object=MIB),
    page=SMALL_PAGE,
)
MEMBERS = Watch(
    "members",
    API_VERSION,
    member.KIND,
    Role.OWN,
    Dependents.asks_for_member,
    is_edit=is_edit,
    bound=Bound(object=64 * 1024),
    page=SMALL_PAGE,
)
# The largest spec that the schema takes has about 200 KiB, its status 40.
ROLLS = Watch(
    "rolls",
    API_VERSION,
    roll.KIND,
    Role.OWN,
    by_change(Dependents.keys_for_roll),
    is_edit=is_edit,
    bound=Bound(object=512 * 1024),
    page=SMALL_PAGE,
)
CRDS = Watch(
    "crds",
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    Role.SHARED,
    by_state(Dependents.keys_for_crd),
    metadata_only=True,
    transform=shrink_crd,
)
NAMESPACES = Watch(
    "namespaces",
    "v1",
    "Namespace",
    Role.LOOKED_AT,
    Dependents.asks_for_namespace,
    metadata_only=True,
    transform=shrink_namespace,
    bound=Bound(object=16 * 1024),
    page=SMALL_PAGE,
)
HOMES = Watch(
    "homes",
    "v1",
    "Namespace",
    Role.OWNED,
    by_state(Dependents.keys_for_home),
    label_selector=MESH_NAME,
    transform=shrink_owned,
    bound=Bound(object=16 * 1024),
    page=SMALL_PAGE,
)
PROXIES = Watch(
    "proxies",
    "v1",
    "Pod",
    Role.LOOKED_AT,
    by_state(Dependents.asks_for_proxy),
    label_selector="service.istio.io/canonical-name",
    # The pods of finished jobs keep their annotations and have no proxy any more.
    field_selector="status.phase!=Succeeded,status.phase!=Failed",
    metadata_only=True,
    transform=shrink_proxy_pod,
    bound=Bound(object=4 * 1024),
    page=SMALL_PAGE,
)
ROUTES = Watch(
    gatewayroutes.KIND,
    gatewayroutes.API_VERSION,
    gatewayroutes.KIND,
    Role.OWNED,
    _BY_LABELS,
    label_selector=MESH_NAME,
    transform=shrink_owned,
    page=SMALL_PAGE,
    wanted_by=asks_for_routes,
)

MESH_CONFIGS = Watch(
    "mesh-configs",
    "v1",
    "ConfigMap",
    Role.LOOKED_AT,
    by_state(Dependents.keys_for_mesh_config),
    label_selector="operator.istio.io/component=Pilot",
    transform=shrink_mesh_config,
    bound=Bound(object=16 * 1024),
    page=SMALL_PAGE,
)

WATCHES = (
    MESHES,
    REVISIONS,
    GATEWAYS,
    MEMBERS,
    ROLLS,
    *(
        Watch(
            kind,
            api_version,
            kind,
            Role.OWNED,
            _BY_LABELS,
            label_selector=MESH_NAME,
            transform=shrink_owned,
            page=SMALL_PAGE,
        )
        for api_version, kind in OWNED_KINDS
    ),
    ROUTES,
    *(
        Watch(
            kind,
            "admissionregistration.k8s.io/v1",
            kind,
            Role.OWNED,
            by_state(Dependents.keys_for_webhook),
        )
        for kind in WEBHOOK_KINDS
    ),
    CRDS,
    NAMESPACES,
    HOMES,
    Watch(
        "istiods",
        "v1",
        "Pod",
        Role.LOOKED_AT,
        _BY_LABELS,
        label_selector=MESH_NAME,
        transform=shrink_istiod_pod,
        bound=Bound(object=32 * 1024),
        page=SMALL_PAGE,
    ),
    Watch(
        "istiod-roles",
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        Role.LOOKED_AT,
        by_state(Dependents.keys_for_role),
        label_selector=",".join(f"{key}={value}" for key, value in sorted(ROLE_LABELS.items())),
        transform=shrink_role,
    ),
    PROXIES,
    Watch(
        "roots",
        "v1",
        "ConfigMap",
        Role.LOOKED_AT,
        _BY_NAMESPACE,
        label_selector="istio.io/config=true",
        field_selector=f"metadata.name={ROOT_CONFIG_MAP}",
        transform=shrink_root,
        bound=Bound(object=4 * 1024),
        page=SMALL_PAGE,
    ),
    Watch(
        "catalogs",
        "v1",
        "ConfigMap",
        Role.LOOKED_AT,
        by_state(Dependents.keys_for_catalog),
        label_selector=CATALOG,
        in_operator_namespace=True,
        transform=shrink_catalog,
        bound=Bound(object=MIB),
        page=SMALL_PAGE,
    ),
    Watch(
        "profiles",
        "v1",
        "ConfigMap",
        Role.LOOKED_AT,
        by_state(Dependents.all_meshes),
        label_selector=PROFILE,
        in_operator_namespace=True,
        transform=shrink_profile,
        bound=Bound(object=MIB),
        page=SMALL_PAGE,
    ),
    Watch(
        "gateway-defaults",
        "v1",
        "ConfigMap",
        Role.LOOKED_AT,
        _BY_NAMESPACE,
        label_selector=GATEWAY_CLASS_DEFAULTS,
        metadata_only=True,
        transform=shrink_gateway_defaults,
    ),
    MESH_CONFIGS,
    Watch(
        "peer-policies",
        "security.istio.io/v1",
        "PeerAuthentication",
        Role.LOOKED_AT,
        _BY_NAMESPACE,
        transform=shrink_peer_policy,
        bound=Bound(object=4 * 1024),
        page=SMALL_PAGE,
    ),
    Watch(
        "inventories",
        "v1",
        "ConfigMap",
        Role.LOOKED_AT,
        by_state(lambda _, manifest: keys_for_inventory(manifest)),
        label_selector=INVENTORY,
        in_operator_namespace=True,
        transform=shrink_inventory,
    ),
)

OWNED = tuple(watch for watch in WATCHES if watch.role is Role.OWNED)
OF_A_MESH = (*OWNED, REVISIONS, GATEWAYS)
"""Watches of everything that carries the labels of one mesh."""


def stores_of_owned(stores: Mapping[str, Store]) -> dict[tuple[str, str], Store]:
    """Of the stores by a watch's name, those that hold whole kinds of ours, by (API group, kind)."""
    whole = (stores[watch.name] for watch in WATCHES if watch.role is not Role.LOOKED_AT)
    return {(store.resource.group, store.resource.kind): store for store in whole}
