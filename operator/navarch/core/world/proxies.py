"""The census: what a pod's own metadata says about its proxy.

Owns the reading of Istio's and our annotations on pods. Must never need a pod's spec or status.
Invariant: a pod that no control plane injected is not counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from navarch.core.model.labels import (
    ISTIO_REV,
    MESH_NAME,
    PROXY,
    PROXY_IMAGE,
    RESTART,
    SIDECAR_INJECT,
    SIDECAR_STATUS,
)
from navarch.core.model.parent import GATEWAY, parent_of
from navarch.core.model.refs import Manifest
from navarch.core.model.restarts import ARGO
from navarch.core.world.argo import TEMPLATE_HASH

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""A revision is the value of a label."""


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """A pod with a proxy. `revision` injected it; `proxy` is our annotation's value, empty on other meshes'
    pods: the injector's, or that of the template of a gateway whose version is pinned. `gateway` is the
    MeshGateway of its namespace that it belongs to, empty for none. `job` is the Job that it belongs to, and
    `bare` says that it has no controller: no rollout replaces these pods. `owner` is what does of all others,
    as `<kind>/<name>`, and `leaving` says that the pod is being deleted."""

    namespace: str
    name: str
    revision: str
    proxy: str
    gateway: str = ""
    job: str = ""
    bare: bool = False
    owner: str = ""
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class BarePod:
    """A running pod without a proxy, that nothing of its own keeps from being injected."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class AskingPod:
    """A running pod without a proxy that asks for one by itself: by its labels istio.io/rev (`revision`) and
    sidecar.istio.io/inject (`inject`), empty where it has none, or by the annotation of the latter name
    alone."""

    namespace: str
    name: str
    revision: str = ""
    inject: str = ""

    @property
    def annotated(self) -> bool:
        """Whether an annotation is all that it asks with: webhooks select by labels."""
        return not self.revision and self.inject != "true"

    @property
    def labels(self) -> dict[str, str]:
        """The labels that webhooks look at."""
        pairs = {ISTIO_REV: self.revision, SIDECAR_INJECT: self.inject}
        return {key: value for key, value in pairs.items() if value}

    @property
    def wish(self) -> str:
        """By what it asks, as it stands in the pod."""
        if self.annotated:
            return f"annotation {SIDECAR_INJECT}=true"
        if self.revision:
            return f"label {ISTIO_REV}={self.revision}"
        return f"label {SIDECAR_INJECT}={self.inject}"

    def without_name(self) -> AskingPod:
        """What it has in common with others that ask alike."""
        return replace(self, name="")


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
    metadata = pod["metadata"]
    if _cannot_be_injected(pod) or ISTIO_REV in (metadata.get("labels") or {}):
        return None
    return BarePod(metadata["namespace"], metadata["name"])


def read_asking_pod(pod: Manifest) -> AskingPod | None:
    """A pod without a proxy that asks for one by itself; None for others."""
    metadata = pod["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    revision, inject = labels.get(ISTIO_REV, ""), labels.get(SIDECAR_INJECT, "")
    asks = revision or (inject or annotations.get(SIDECAR_INJECT)) == "true"
    if not asks or _cannot_be_injected(pod):
        return None
    return AskingPod(metadata["namespace"], metadata["name"], revision, inject)


def _cannot_be_injected(pod: Manifest) -> bool:
    """Whether a pod has a proxy, refuses one (the label counts before the annotation), or cannot have one,
    because it uses the node's network."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    asked = labels.get(SIDECAR_INJECT, annotations.get(SIDECAR_INJECT))
    return read_proxy_pod(pod) is not None or asked == "false" or bool(spec.get("hostNetwork"))


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
    except (KeyError, TypeError, ValueError, RecursionError):  # a user may write anything there
        revision = ""
    for name in (revision, annotations.get(ISTIO_REV, "")):
        if isinstance(name, str) and _NAME.fullmatch(name):
            gateway = _find_gateway(pod)
            pinned = gateway and PROXY_IMAGE in annotations
            stamp = annotations.get(RESTART if pinned else PROXY, "")
            owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
            job = str(owner["name"]) if owner is not None and owner["kind"] == "Job" else ""
            whose = "" if job or owner is None else "/".join(find_owner(pod))
            return ProxyPod(
                metadata["namespace"],
                metadata["name"],
                name,
                stamp,
                gateway,
                job,
                bare=owner is None,
                owner=whose,
                leaving="deletionTimestamp" in metadata,
            )
    return None


_MAKERS = (("pod-template-hash", "Deployment"), (TEMPLATE_HASH, ARGO))
"""Labels of pods with the hash of their template, and what makes ReplicaSets whose names end with it."""


def find_owner(pod: Manifest) -> tuple[str, str]:
    """Kind and name of what makes a pod anew; of a pod without a controller its own. The name of a
    Deployment, or of a Rollout of Argo Rollouts, is its ReplicaSet's without the hash of the template."""
    metadata = pod["metadata"]
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return "Pod", metadata["name"]
    for label, kind in _MAKERS if owner["kind"] == "ReplicaSet" else ():
        template = (metadata.get("labels") or {}).get(label, "")
        if template and owner["name"].endswith(f"-{template}"):
            return kind, owner["name"].removesuffix(f"-{template}")
    return owner["kind"], owner["name"]


Pins: TypeAlias = Mapping[tuple[str, str], str]
"""What stands on the current pods of gateways whose version is pinned, by their namespace and name."""


def read_pins(gateways: Iterable[Manifest]) -> dict[tuple[str, str], str]:
    """The pins among these MeshGateways, by what their status says."""
    return {
        (g["metadata"]["namespace"], g["metadata"]["name"]): str((g.get("status") or {}).get("proxy", ""))
        for g in gateways
        if (g.get("spec") or {}).get("version")
    }


def is_current(proxy: ProxyPod, stamps: Mapping[str, str], pins: Pins) -> bool:
    """Whether a proxy is what its gateway's pin asks for, or else what its revision, by name, stamps now."""
    wanted = pins.get((proxy.namespace, proxy.gateway)) or stamps.get(proxy.revision)
    return bool(proxy.proxy) and proxy.proxy == wanted


def _find_gateway(pod: Manifest) -> str:
    """The MeshGateway that a pod is of. Without the label of a mesh, which a policy guards, everybody could
    write the others."""
    parent, labels = parent_of(pod), pod["metadata"].get("labels") or {}
    return parent.name if parent is not None and parent.kind == GATEWAY and MESH_NAME in labels else ""
