"""PeerAuthentications that hold for a whole mesh.

Owns what is kept of each. Must never judge which of several rules: the checks do. Invariant: of one with a
selector nothing is kept but its name.
"""

from __future__ import annotations

from typing import Any

from navarch.core.model.labels import ISTIO_REV
from navarch.core.world.cluster import PeerPolicy

POLICY = "policy"


def shrink_peer_policy(manifest: dict[str, Any]) -> dict[str, Any]:
    """Of a PeerAuthentication without a selector: what decides whether it rules; of others: the name."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    policy = None
    if not (spec.get("selector") or {}).get("matchLabels"):
        mode = str((spec.get("mtls") or {}).get("mode", ""))
        revision = (metadata.get("labels") or {}).get(ISTIO_REV)
        policy = PeerPolicy(metadata["name"], metadata["creationTimestamp"], mode, revision)
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": kept,
        POLICY: policy,
    }
