"""What the operator watches, how little of it is kept, and which keys a change leads to.

Owns the list of watch streams: their number does not depend on the number of namespaces or meshes.
Must never keep a Secret. Invariants: all that a decision reads is either here or fetched by gather(), and its
row says which keys follow; no object takes more memory than its watch's bound, with any content.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from navarch.api import controlplane, gateway, member, revision
from navarch.api.meta import API_VERSION
from navarch.core.istio.catalog.extension import read_extension
from navarch.core.istio.certificates import fingerprint_bundle
from navarch.core.istio.images import TO_BE_INJECTED
from navarch.core.istio.roles import ROLE_LABELS, hash_rules
from navarch.core.mesh.profiles import read_profile
from navarch.core.model.claims import find_claimed
from navarch.core.model.labels import APPLIED, CATALOG, GATEWAY_CLASS_DEFAULTS, INVENTORY, MESH_NAME, PROFILE
from navarch.core.model.parent import parent_of
from navarch.core.world.proxies import ProxyPod, read_proxy_pod
from navarch.gather.policies import shrink_peer_policy
from navarch.kube import inventory
from navarch.kube.client import PAGE
from navarch.kube.inventory import CONTENT
from navarch.kube.shelf import MIB, Bound
from navarch.kube.store import Store
from navarch.kube.values import DIGESTS, digest_data
from navarch.triggers.keys import (
    Dependents,
    Mapper,
    by_change,
    by_state,
    is_edit,
    keys_for_inventory,
    keys_for_owned,
)

Object = dict[str, Any]
ROOT_CONFIG_MAP = "istio-ca-root-cert"
ROOT = "fingerprint"
RULES = "hashes"
CLASS = "class"
UNINJECTED = "uninjected"
CLAIMED = "claimed"
SMALL_PAGE = 50
"""Objects of the first page of a kind that tenants can write: later pages grow where they are small."""
LONGEST_NAME = 253
"""Characters of the longest name that Kubernetes takes: a longer value names nothing."""


KEPT = (
    *("name", "namespace", "uid", "resourceVersion", "labels"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
"""Of the metadata of an object that is not kept whole."""


def _shrink(manifest: Object, **more: Any) -> Object:
    metadata = manifest["metadata"]
    kept = {key: metadata[key] for key in KEPT if key in metadata}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": kept, **more}


def shrink_namespace(manifest: Object) -> Object:
    """Of a Namespace: name, labels, whether it is being deleted, and which labels a MeshMember holds."""
    return _shrink(manifest, **{CLAIMED: find_claimed(manifest)})


def shrink_proxy_pod(manifest: Object) -> Object:
    """Of a pod with a proxy: who injected it and what it was stamped with; not its labels."""
    proxy = read_proxy_pod(manifest)
    if proxy is not None:
        # There are thousands, and few namespaces, revisions and stamps: each is kept once.
        few = (proxy.namespace, proxy.revision[:LONGEST_NAME], proxy.proxy[:LONGEST_NAME], proxy.gateway)
        namespace, revision, stamp, gateway = map(sys.intern, few)
        proxy = ProxyPod(namespace, proxy.name, revision, stamp, gateway)
    shrunk = _shrink(manifest, proxy=proxy)
    _without_labels(shrunk)
    shrunk["metadata"]["namespace"] = sys.intern(manifest["metadata"]["namespace"])
    return shrunk


def shrink_root(manifest: Object) -> Object:
    """Of a root ConfigMap: the fingerprint of its certificates."""
    pem = (manifest.get("data") or {}).get("root-cert.pem", "")
    return _without_labels(_shrink(manifest, **{ROOT: fingerprint_bundle(pem.encode())}))


def shrink_istiod_pod(manifest: Object) -> Object:
    """Of a pod of ours: its labels, when it ends, what its status says of readiness, and whether it was made
    without the proxy that it asks for. Of a pod that only has our labels in a namespace without a mesh:
    nothing but its name."""
    if not parent_of(manifest):
        return _shrink(manifest, status={})
    status = manifest.get("status") or {}
    kept = {
        k: status[k]
        for k in ("phase", "conditions", "containerStatuses", "initContainerStatuses")
        if k in status
    }
    containers = (manifest.get("spec") or {}).get("containers") or ()
    bare = {UNINJECTED: True} if any(c.get("image") == TO_BE_INJECTED for c in containers) else {}
    return _shrink(manifest, status=kept, **bare)


def shrink_profile(manifest: Object) -> Object:
    """Of a user profile: its content, read once for all meshes, or why it cannot be read."""
    content, error = read_profile(manifest.get("data") or {}, manifest["metadata"]["name"])
    return _without_labels(_shrink(manifest, content=content, error=error))


def shrink_crd(manifest: Object) -> Object:
    """Of a CRD: its metadata, without the annotations of others: they hold whole schemas."""
    metadata = manifest["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k == APPLIED}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _without_labels(shrunk: Object) -> Object:
    shrunk["metadata"].pop("labels", None)
    return shrunk


def shrink_catalog(manifest: Object) -> Object:
    """Of an extension of the catalog: what it says, read once for all meshes."""
    extension = read_extension(manifest.get("data") or {}, manifest["metadata"]["name"])
    return _without_labels(_shrink(manifest, extension=extension))


def shrink_owned(manifest: Object) -> Object:
    """An object of ours whole, a ConfigMap with digests in place of its data, which may be a megabyte; of one
    that only bears our labels elsewhere, nothing but its name and labels."""
    if not parent_of(manifest):
        return _shrink(manifest)
    if manifest["kind"] != "ConfigMap":
        return manifest
    kept = {key: value for key, value in manifest.items() if key not in ("data", "binaryData")}
    return {**kept, DIGESTS: digest_data(manifest.get("data") or {})}


def shrink_gateway_defaults(manifest: Object) -> Object:
    """Of a ConfigMap that istiod may deploy gateways with: its name, and the class that it is for."""
    classes = str((manifest["metadata"].get("labels") or {}).get(GATEWAY_CLASS_DEFAULTS, ""))
    return _without_labels(_shrink(manifest, **{CLASS: classes[:63]}))


def shrink_inventory(manifest: Object) -> Object:
    """Of an inventory: what it says, read once."""
    return _shrink(manifest, **{CONTENT: inventory.shrink_inventory(manifest.get("data") or {})})


def shrink_role(manifest: Object) -> Object:
    """Of a role that came with the installation: its name, and its rules as hashes."""
    return _shrink(manifest, **{RULES: hash_rules(manifest.get("rules") or ())})


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


OWNED_KINDS = (
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
    by_state(Dependents.keys_for_revision),
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
    by_change(Dependents.keys_for_member),
    is_edit=is_edit,
    bound=Bound(object=64 * 1024),
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
    by_change(Dependents.keys_for_namespace),
    metadata_only=True,
    transform=shrink_namespace,
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

WATCHES = (
    MESHES,
    REVISIONS,
    GATEWAYS,
    MEMBERS,
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
