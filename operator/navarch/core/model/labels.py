"""Labels and annotations by which Navarch finds what it owns.

Owns every key under `mesh.navarch.io/`. Must never be bypassed: a label written anywhere else is a bug.
Invariant: every object of ours carries the labels of its parent (core/model/parent.py); that it carries them
proves nothing (core/model/ownership.py).
"""

from __future__ import annotations

from navarch.api import meta
from navarch.core.model.refs import Manifest

GROUP = meta.GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"

MESH_NAMESPACE = f"{GROUP}/mesh-namespace"

MESH_NAME = f"{GROUP}/mesh-name"

MESH_UID = f"{GROUP}/mesh-uid"

GATEWAY_NAMESPACE = f"{GROUP}/gateway-namespace"

GATEWAY_NAME = f"{GROUP}/gateway-name"

GATEWAY_UID = f"{GROUP}/gateway-uid"

ROLL_NAMESPACE = meta.ROLL_NAMESPACE

ROLL_NAME = meta.ROLL_NAME

ROLL_UID = f"{GROUP}/roll-uid"

MEMBER_NAMESPACE = f"{GROUP}/member-namespace"

MEMBER_NAME = f"{GROUP}/member-name"

MEMBER_UID = f"{GROUP}/member-uid"

COMPONENT = f"{GROUP}/component"

REVISION = f"{GROUP}/revision"

CRD_MINOR = f"{GROUP}/istio-minor"
"""Label on Istio's CRDs that Navarch made: the minor whose set they are. CRDs serve all meshes and carry no
mesh's labels."""

PROFILE = f"{GROUP}/profile"

INVENTORY = f"{GROUP}/inventory"
"""Label on the ConfigMaps of the operator's namespace that say which objects a mesh has."""

AUTHORITY = f"{GROUP}/certificate-authority"
"""Label on the Secrets of a managed authority: which part it is, `root` or `intermediate`."""

HOME = f"{GROUP}/control-plane-namespace"
"""Label on a root's Secret: the namespace of the control plane whose root it is."""

GENERATION = meta.ROOT_GENERATION

TRUST = f"{GROUP}/trust"
"""Label on a MeshRevision: fingerprint of the roots that its istiod is to start with, once there was more
than one. A running istiod takes no other ones."""

ORIGIN = f"{GROUP}/root-origin"
"""Label on a root's Secret: Made by Navarch, or Adopted from istiod."""

CATALOG = f"{GROUP}/catalog"
"""Label on ConfigMaps of the operator's namespace that add patches and digests to the catalog of Istio."""

APPLIED = f"{GROUP}/applied"
"""Annotation: hash of the manifest as it was last applied; half of the evidence that an object is up to
date."""

PROXY = f"{GROUP}/proxy"
"""Annotation on every injected pod: `<version>-<hash of what needs a restart>`; what the census reads."""

PROXY_IMAGE = "sidecar.istio.io/proxyImage"
"""Istio's annotation by which a pod names its proxy's image: on pods of gateways that have a version of their
own."""

TRIAL = "trial"
"""The component of the proxy with which a revision is tried."""
MESH_COMPONENTS = frozenset({"crds", "hosting", "revision", "tags", "policies", "gateways", TRIAL})
"""Components that belong to the mesh as a whole; all others belong to one revision."""

REREAD = f"{GROUP}/reread"
"""Annotation on a webhook: when it was written once more because the API server went by an older state of
it."""

IDLE = f"{GROUP}/idle"
"""Annotation on a MeshRevision: since when nothing uses a revision to which its mesh's tag does not point."""

REDIRECTED = f"{GROUP}/redirected"
"""Annotation on a revision's injector: when the path of the webhooks was changed last, so that the API server
leaves its connections to an istiod that ends."""

RECREATED = f"{GROUP}/recreated"
"""Annotation on a gateway's pods: when pods without a proxy were made anew last, and how many times in a
row."""

RESTART = f"{GROUP}/restart"
"""Annotation on istiod's pods: hash of what istiod reads only when it starts. On a gateway's pods: the stamp
of the proxy that they are to run."""

TEMPLATE = f"{GROUP}/template"
"""Label on the pods of istiod and of gateways: hash of the pod template that they were made from. It tells
pods of an older template from current ones, terminating ones included, which a Deployment's status leaves
out."""
FORCE_DELETE = meta.FORCE_DELETE

APPROVED = meta.APPROVED

RETRY = meta.RETRY

ROLLED_BACK = f"{GROUP}/rolled-back"
"""Annotation on a MeshRevision that stands at an earlier input than its mesh asks for: what was given up, and
why, as JSON."""

FINALIZER = meta.FINALIZER

MEMBER_OF = meta.MEMBER_OF

ROLLED_FOR = f"{GROUP}/rolled-for"
"""Annotation on the pod template of a workload that Navarch restarted, or on a Rollout of Argo itself: the
stamp of the proxy that its pods are to get."""

ROLLOUT = f"{GROUP}/rollout"
"""Annotation on a namespace or a workload: Never, First or Last, where Navarch restarts workloads."""

WINDOWS = f"{GROUP}/restart-windows"
"""Annotation on a namespace or a workload: when Navarch may restart it, as JSON (api/windows.py)."""

SCOPE = f"{GROUP}/scope"
"""Label on the MeshRevision to whose mesh every namespace belongs: it stays until no istiod reaches them all
any more. By it the API server is asked whether there is one."""

ISTIO_REV = "istio.io/rev"

ISTIO_TAG = "istio.io/tag"

ISTIO_INJECTION = "istio-injection"

SIDECAR_INJECT = "sidecar.istio.io/inject"

SIDECAR_STATUS = "sidecar.istio.io/status"

GATEWAY_CLASS_DEFAULTS = "gateway.istio.io/defaults-for-class"
"""Label on ConfigMaps beside istiod: the class whose Gateways are deployed with them."""

GATEWAY_API = "gateway.networking.k8s.io"
"""The group of Gateway API's kinds."""

GATEWAY_API_NAME = f"{GATEWAY_API}/gateway-name"
"""Label on pods that istiod deployed: the Gateway of Gateway API."""

NAMESPACE_NAME = "kubernetes.io/metadata.name"


def crd_labels(minor: str) -> dict[str, str]:
    """The labels of an Istio CRD, which belongs to the cluster and to no mesh."""
    return {MANAGED_BY: "navarch", COMPONENT: "crds", CRD_MINOR: minor}


def component_of(manifest: Manifest) -> str:
    """The component that an object of ours belongs to; empty for others."""
    return str((manifest["metadata"].get("labels") or {}).get(COMPONENT, ""))


def revision_of(manifest: Manifest) -> str:
    """The revision that an object of ours belongs to; empty where it belongs to the mesh as a whole."""
    return str((manifest["metadata"].get("labels") or {}).get(REVISION, ""))
