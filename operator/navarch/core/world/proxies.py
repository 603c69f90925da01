"""The census: what a pod's own metadata says about its proxy.

Owns the reading of Istio's and our annotations on pods. Must never need a pod's spec or status.
Invariant: a pod that no control plane injected is not counted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from navarch.core.model.labels import ISTIO_REV, PROXY, SIDECAR_INJECT, SIDECAR_STATUS
from navarch.core.model.refs import Manifest

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""A revision is the value of a label."""


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """A pod with a proxy. `revision` injected it; `proxy` is our annotation's value, empty on other meshes'
    pods."""

    namespace: str
    name: str
    revision: str
    proxy: str


@dataclass(frozen=True, slots=True)
class BarePod:
    """A running pod without a proxy, that nothing of its own keeps from being injected."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Census:
    """The proxies that concern one mesh. `counted` were injected by it and run in its namespaces; `outside`
    say that it injected them and run elsewhere (their namespace left, or the pod's owner wrote the
    annotations); `of_others` run in its namespaces and were injected by another control plane."""

    counted: tuple[ProxyPod, ...] = ()
    outside: tuple[ProxyPod, ...] = ()
    of_others: tuple[ProxyPod, ...] = ()


def read_bare_pod(pod: Manifest) -> BarePod | None:
    """A pod that should have been injected where its namespace asks for it, None where it has a proxy or
    refuses one: by sidecar.istio.io/inject as label or annotation, by a revision of its own, or because it
    uses the node's network (pkg/kube/inject/inject.go, injectRequired)."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    refuses = "false" in (labels.get(SIDECAR_INJECT), annotations.get(SIDECAR_INJECT))
    if read_proxy_pod(pod) is not None or refuses or ISTIO_REV in labels or spec.get("hostNetwork"):
        return None
    return BarePod(metadata["namespace"], metadata["name"])


def read_proxy_pod(pod: Manifest) -> ProxyPod | None:
    """The proxy of a pod, None where there is none.

    The revision is in annotation sidecar.istio.io/status, else in annotation istio.io/rev
    (pkg/kube/inject/inject.go writes both). What is no label's value is no revision: JSON can say characters
    that no API server takes, and a status that quotes them would never be written.
    """
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    try:
        revision = json.loads(annotations[SIDECAR_STATUS])["revision"]
    except (KeyError, TypeError, ValueError, RecursionError):  # whatever a user may write there
        revision = ""
    for name in (revision, annotations.get(ISTIO_REV, "")):
        if isinstance(name, str) and _NAME.fullmatch(name):
            return ProxyPod(metadata["namespace"], metadata["name"], name, annotations.get(PROXY, ""))
    return None
