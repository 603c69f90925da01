"""What is kept of the objects that are watched: how little of each, and under which names.

Owns these excerpts. Must never keep a Secret, or what another client may make as large as it likes.
Invariant: an excerpt depends on its object alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from navarch.api.windows import LONGEST as LONGEST_WINDOWS
from navarch.core.istio.catalog.extension import read_extension
from navarch.core.istio.images import TO_BE_INJECTED
from navarch.core.istio.roles import hash_rules
from navarch.core.mesh.profiles import read_profile
from navarch.core.model.claims import find_claimed
from navarch.core.model.labels import GATEWAY_CLASS_DEFAULTS, ROLLOUT, TRIAL, WINDOWS, component_of
from navarch.core.model.parent import MESH, parent_of
from navarch.core.model.trees import read_tree
from navarch.core.trust.reading import fingerprint_bundle
from navarch.core.world.argo import read_rollout
from navarch.core.world.proxies import ProxyPod, read_proxy_pod
from navarch.core.world.rollable import read_rollable
from navarch.kube import inventory
from navarch.kube.inventory import CONTENT
from navarch.kube.values import DIGESTS, digest_data

Object = dict[str, Any]
ROOT = "fingerprint"
RULES = "hashes"
CLASS = "class"
UNINJECTED = "uninjected"
INJECTED_BY = "injectedBy"
CLAIMED = "claimed"
ORDER = "order"
OPEN = "windows"
ROLLABLE = "rollable"
CLOSED = "closed"
DISCOVERY = "discovery"
LONGEST_NAME = 253
"""Characters of the longest name that Kubernetes takes: a longer value names nothing."""
LONGEST_KIND = 64
"""Characters of a kind, and a slash."""


KEPT = (
    *("name", "namespace", "uid", "resourceVersion", "labels"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
"""Of the metadata of an object that is not kept whole."""


def shrink(manifest: Object, **more: Any) -> Object:
    """What is kept of the metadata of an object, and `more`."""
    metadata = manifest["metadata"]
    kept = {key: metadata[key] for key in KEPT if key in metadata}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": kept, **more}


def shrink_namespace(manifest: Object) -> Object:
    """Of a Namespace: name, labels, whether it is being deleted, which labels a MeshMember holds, and when
    its workloads may be restarted."""
    annotations = manifest["metadata"].get("annotations") or {}
    order = str(annotations.get(ROLLOUT, ""))[:LONGEST_NAME]
    windows = str(annotations.get(WINDOWS, ""))[:LONGEST_WINDOWS]
    said = {key: text for key, text in ((ORDER, order), (OPEN, windows)) if text}
    return shrink(manifest, **{CLAIMED: find_claimed(manifest)}, **said)


def is_of_trial(manifest: Mapping[str, Any]) -> bool:
    """Whether a pod is the proxy with which a mesh tries a revision. A policy guards the labels of meshes."""
    parent = parent_of(manifest)
    return parent is not None and parent.kind == MESH and component_of(manifest) == TRIAL


def shrink_proxy_pod(manifest: Object) -> Object:
    """Of a pod with a proxy: who injected it and what it was stamped with; not its labels. Of one with which
    a revision is tried nothing: it is no workload of the mesh."""
    proxy = None if is_of_trial(manifest) else read_proxy_pod(manifest)
    if proxy is not None:
        # There are thousands, and few namespaces, revisions and stamps: each is kept once.
        texts = (proxy.namespace, proxy.revision, proxy.proxy, proxy.gateway, proxy.job)
        namespace, revision, stamp, gateway, job = (sys.intern(text[:LONGEST_NAME]) for text in texts)
        owner = sys.intern(proxy.owner[: LONGEST_NAME + LONGEST_KIND])
        proxy = ProxyPod(
            namespace, proxy.name, revision, stamp, gateway, job, proxy.bare, owner, proxy.leaving
        )
    shrunk = shrink(manifest, proxy=proxy)
    _without_labels(shrunk)
    shrunk["metadata"]["namespace"] = sys.intern(manifest["metadata"]["namespace"])
    return shrunk


def shrink_workload(manifest: Object) -> Object:
    """Of a workload of others: how far its rollout is, and what was restarted; not its template."""
    return _without_labels(shrink(manifest, **{ROLLABLE: read_rollable(manifest)}))


def shrink_rollout(manifest: Object) -> Object:
    """The same of a Rollout of Argo Rollouts."""
    return _without_labels(shrink(manifest, **{ROLLABLE: read_rollout(manifest)}))


def shrink_budget(manifest: Object) -> Object:
    """Of a PodDisruptionBudget: which pods it is for, where it allows none of them to be disrupted."""
    status = manifest.get("status") or {}
    closed = status.get("disruptionsAllowed") == 0 and int(status.get("expectedPods", 0)) > 0
    selector = (manifest.get("spec") or {}).get("selector")
    return _without_labels(shrink(manifest, **{CLOSED: selector if closed else None}))


def shrink_root(manifest: Object) -> Object:
    """Of a root ConfigMap: the fingerprint of its certificates."""
    pem = (manifest.get("data") or {}).get("root-cert.pem", "")
    return _without_labels(shrink(manifest, **{ROOT: fingerprint_bundle(pem.encode())}))


def shrink_istiod_pod(manifest: Object) -> Object:
    """Of a pod of ours: its labels, when it ends, what its status says of readiness, whether it was made
    without the proxy that it asks for, and who injected one with which a revision is tried. Of a pod that
    only has our labels in a namespace without a mesh: nothing but its name."""
    if not parent_of(manifest):
        return shrink(manifest, status={})
    status = manifest.get("status") or {}
    kept = {
        k: status[k]
        for k in ("phase", "conditions", "containerStatuses", "initContainerStatuses")
        if k in status
    }
    containers = (manifest.get("spec") or {}).get("containers") or ()
    more: Object = {UNINJECTED: True} if any(c.get("image") == TO_BE_INJECTED for c in containers) else {}
    if is_of_trial(manifest) and (proxy := read_proxy_pod(manifest)) is not None:
        more[INJECTED_BY] = proxy.revision[:LONGEST_NAME]
    return shrink(manifest, status=kept, **more)


def shrink_profile(manifest: Object) -> Object:
    """Of a user profile: its content, read once for all meshes, or why it cannot be read."""
    content, error = read_profile(manifest.get("data") or {}, manifest["metadata"]["name"])
    return _without_labels(shrink(manifest, content=content, error=error))


def _without_labels(shrunk: Object) -> Object:
    shrunk["metadata"].pop("labels", None)
    return shrunk


def shrink_catalog(manifest: Object) -> Object:
    """Of an extension of the catalog: what it says, read once for all meshes."""
    extension = read_extension(manifest.get("data") or {}, manifest["metadata"]["name"])
    return _without_labels(shrink(manifest, extension=extension))


def shrink_owned(manifest: Object) -> Object:
    """An object of ours whole, a ConfigMap with digests in place of its data, which may be a megabyte; of one
    that only bears our labels elsewhere, nothing but its name and labels."""
    if not parent_of(manifest):
        return shrink(manifest)
    if manifest["kind"] != "ConfigMap":
        return manifest
    kept = {key: value for key, value in manifest.items() if key not in ("data", "binaryData")}
    return {**kept, DIGESTS: digest_data(manifest.get("data") or {})}


def shrink_gateway_defaults(manifest: Object) -> Object:
    """Of a ConfigMap that istiod may deploy gateways with: its name, and the class that it is for."""
    classes = str((manifest["metadata"].get("labels") or {}).get(GATEWAY_CLASS_DEFAULTS, ""))
    return _without_labels(shrink(manifest, **{CLASS: classes[:63]}))


def shrink_mesh_config(manifest: Object) -> Object:
    """Of a ConfigMap of Istio's chart: the discoverySelectors of a MeshConfig, an empty list where it has
    none, None where it cannot be read or is no MeshConfig. Anybody can write such a ConfigMap."""
    config, _ = read_tree(str((manifest.get("data") or {}).get("mesh", "")), "mesh")
    selectors = (config.get("discoverySelectors") or []) if isinstance(config, dict) else None
    readable = isinstance(selectors, list) and all(isinstance(each, dict) for each in selectors)
    return shrink(manifest, **{DISCOVERY: selectors if readable else None})


def shrink_inventory(manifest: Object) -> Object:
    """Of an inventory: what it says, read once."""
    return shrink(manifest, **{CONTENT: inventory.shrink_inventory(manifest.get("data") or {})})


def shrink_role(manifest: Object) -> Object:
    """Of a role that came with the installation: its name, and its rules as hashes."""
    return shrink(manifest, **{RULES: hash_rules(manifest.get("rules") or ())})
