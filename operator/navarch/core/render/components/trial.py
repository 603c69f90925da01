"""The trial proxy: one pod that takes what a new revision sends before the mesh's tag moves to it.

Owns its account and its workload. Must never name a container's image: the revision's own injector puts the
proxy into the pod, and the pod only says that it is a sidecar, whose listeners and clusters are those that
members get, where the template for a pod of a proxy alone makes a gateway, which without a Gateway has none.
Invariants: it captures no traffic and serves nobody; its account is bound to nothing; whatever is tried anew
has another template, so that a pod speaks of one input of one istiod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.istio.assets import Assets
from navarch.core.istio.images import choose_pull_policy
from navarch.core.model.labels import COMPONENT, ISTIO_REV, MESH_UID, RESTART, SIDECAR_INJECT, TRIAL
from navarch.core.model.naming import TRIAL_NAMES
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import render_data
from navarch.core.render.marks import mark_template
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import build_values

CANONICAL_NAME = TRIAL_NAMES.removesuffix("-")
"""Without it the injector would make a label of the workload's name, which may be longer than labels are."""
REQUESTS = {"cpu": "10m", "memory": "64Mi"}
"""For the seconds that it takes; its limits are those of the mesh's proxies, since it is sent as much."""


def build_objects(revision: RevisionInput, assets: Assets, *, attempt: str) -> Iterator[Manifest]:
    """Account and workload, in the mesh's own namespace: there the mesh's root is, and the revision's own
    webhook takes the pod. `attempt` names what is tried."""
    values, images = build_values(revision, assets)["global"]["proxy"], revision.config.images
    labels = revision.parent.labels(component=TRIAL)
    common = {"names": revision.names, "namespace": revision.root, "labels": labels}
    selector = {COMPONENT: TRIAL, ISTIO_REV: revision.name}
    yield render_data(assets, "trial/service-account.yaml", **common)
    yield mark_template(
        render_data(
            assets,
            "trial/workload.yaml",
            **common,
            selector=selector,
            pod_labels=build_pod_labels(revision, labels),
            pod_annotations={"inject.istio.io/templates": "gateway", RESTART: attempt},
            placement=_build_placement(revision),
            pull_policy=choose_pull_policy(images.to_json() if images else {}),
            args=["proxy", "sidecar", "--domain", f"$(POD_NAMESPACE).svc.{values['clusterDomain']}"],
            # Another mode needs rights that the pod has not, or takes the ports of Services.
            environment=[{"name": "ISTIO_META_INTERCEPTION_MODE", "value": "REDIRECT"}],
            resources=_build_resources(values["resources"]),
        )
    )


def build_pod_labels(revision: RevisionInput, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of its pod: without the mesh's uid, which a restore from a backup changes."""
    own = {key: value for key, value in labels.items() if key != MESH_UID}
    return {
        **own,
        ISTIO_REV: revision.name,
        SIDECAR_INJECT: "true",
        "istio.io/dataplane-mode": "none",
        "service.istio.io/canonical-name": CANONICAL_NAME,
    }


def _build_resources(of_proxies: Mapping[str, Any]) -> dict[str, Any]:
    limits = of_proxies.get("limits") or {}
    return {"requests": REQUESTS, **({"limits": limits} if limits else {})}


def _build_placement(revision: RevisionInput) -> dict[str, Any]:
    """The nodes on which istiod may run; not how its replicas keep apart."""
    control_plane = revision.config.control_plane
    placement = control_plane.placement if control_plane is not None else None
    said = placement.to_json() if placement is not None else {}
    affinity = {k: v for k, v in (said.get("affinity") or {}).items() if k == "nodeAffinity"}
    kept = {key: said[key] for key in ("nodeSelector", "tolerations") if said.get(key)}
    return {**kept, **({"affinity": affinity} if affinity else {})}
