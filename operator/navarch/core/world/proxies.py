"""The census: what a pod's own metadata says about its proxy.

Owns the reading of Istio's and our annotations on pods. Must never need a pod's spec or status.
Invariant: a pod that no control plane injected is not counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from navarch.core.model.labels import ISTIO_REV, PROXY, SIDECAR_STATUS
from navarch.core.model.refs import Manifest


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """A pod with a proxy. `revision` injected it; `proxy` is our annotation's value, empty on other meshes'
    pods."""

    namespace: str
    name: str
    revision: str
    proxy: str


def read_proxy_pod(pod: Manifest) -> ProxyPod | None:
    """The proxy of a pod, None where there is none.

    The revision is in annotation sidecar.istio.io/status, else in annotation istio.io/rev
    (pkg/kube/inject/inject.go writes both).
    """
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    try:
        revision = json.loads(annotations[SIDECAR_STATUS])["revision"]
    except (KeyError, TypeError, ValueError, RecursionError):  # whatever a user may write there
        revision = annotations.get(ISTIO_REV, "")
    if not revision:
        return None
    return ProxyPod(metadata["namespace"], metadata["name"], str(revision), annotations.get(PROXY, ""))
