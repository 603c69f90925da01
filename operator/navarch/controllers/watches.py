"""What the operator watches, and how little of it is kept.

Owns the list of watch streams: their number does not depend on the number of namespaces or meshes.
Must never keep a Secret. Invariant: whatever a decision reads is either here or fetched by gather().
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from navarch.core.certificates import fingerprint_bundle
from navarch.core.labels import MESH_NAME, PROFILE
from navarch.core.proxies import read_proxy_pod

Object = dict[str, Any]
ROOT_CONFIG_MAP = "istio-ca-root-cert"
ROOT = "fingerprint"


def _keep(manifest: Object) -> Object:
    return manifest


def _shrink(manifest: Object, **more: Any) -> Object:
    metadata = manifest["metadata"]
    kept = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
        if key in metadata
    }
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": kept, **more}


def shrink_namespace(manifest: Object) -> Object:
    """Of a Namespace: name, labels, whether it is being deleted."""
    return _shrink(manifest)


def shrink_proxy_pod(manifest: Object) -> Object:
    """Of a pod with a proxy: who injected it and what it was stamped with; not its labels."""
    shrunk = _shrink(manifest, proxy=read_proxy_pod(manifest))
    shrunk["metadata"].pop("labels", None)
    return shrunk


def shrink_root(manifest: Object) -> Object:
    """Of a root ConfigMap: the fingerprint of its certificates."""
    pem = (manifest.get("data") or {}).get("root-cert.pem", "")
    return _shrink(manifest, **{ROOT: fingerprint_bundle(pem.encode())})


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch stream. `namespace` empty means the whole cluster."""

    name: str
    api_version: str
    kind: str
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
    in_operator_namespace: bool = False
    transform: Callable[[Object], Object] = _keep


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

WATCHES = (
    Watch("meshes", "mesh.navarch.io/v1beta1", "MeshControlPlane"),
    Watch("revisions", "mesh.navarch.io/v1beta1", "MeshRevision"),
    *(Watch(kind, api_version, kind, label_selector=MESH_NAME) for api_version, kind in OWNED_KINDS),
    *(Watch(kind, "admissionregistration.k8s.io/v1", kind) for kind in WEBHOOK_KINDS),
    Watch("crds", "apiextensions.k8s.io/v1", "CustomResourceDefinition", metadata_only=True),
    Watch("namespaces", "v1", "Namespace", metadata_only=True, transform=shrink_namespace),
    Watch("istiods", "v1", "Pod", label_selector=MESH_NAME),
    Watch(
        "proxies",
        "v1",
        "Pod",
        label_selector="service.istio.io/canonical-name",
        metadata_only=True,
        transform=shrink_proxy_pod,
    ),
    Watch(
        "roots",
        "v1",
        "ConfigMap",
        label_selector="istio.io/config=true",
        field_selector=f"metadata.name={ROOT_CONFIG_MAP}",
        transform=shrink_root,
    ),
    Watch("profiles", "v1", "ConfigMap", label_selector=PROFILE, in_operator_namespace=True),
)
