"""The number of replicas where an autoscaler has it: how it comes to the autoscaler, and that it is not zero.

Owns the field manager `navarch-replicas`. When the desired Deployment names no number any more while our
entry still owns it, server-side apply would take the field out and defaulting would put 1 there: the control
plane would shrink to one pod until the autoscaler looks. So another manager owns the live number first, and
the field stays when we let go of it. The autoscaler's own writes then take it from that manager, which never
writes again. An autoscaler leaves a workload alone that has no replicas (ScalingDisabled), so that one scaled
to zero would stay there: it gets the autoscaler's own minimum back. Pure. Must never name any other field.
Invariant: applying a handover changes no field of the Deployment but its managedFields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from navarch.core.model.ownership import own_fields
from navarch.core.model.refs import Manifest, Ref, ref_of

REPLICAS_MANAGER = "navarch-replicas"

Floors: TypeAlias = Mapping[Ref, int]
"""The least replicas of each Deployment that an autoscaler scales."""


def find_floors(manifests: Iterable[Manifest]) -> Floors:
    """What the autoscalers among `manifests` keep up. One that may scale to zero itself keeps up nothing."""
    floors: dict[Ref, int] = {}
    for manifest in manifests:
        if manifest["kind"] != "HorizontalPodAutoscaler":
            continue
        target, least = manifest["spec"]["scaleTargetRef"], manifest["spec"].get("minReplicas", 1)
        if not isinstance(least, int):
            continue  # an overlay's: the API server refuses such an autoscaler
        floors[Ref(target["apiVersion"], target["kind"], ref_of(manifest).namespace, target["name"])] = least
    return floors


def build_floor(manifest: Manifest, live: Mapping[str, Any], floors: Floors) -> Manifest | None:
    """What to apply as REPLICAS_MANAGER to a Deployment that was scaled to zero under an autoscaler with a
    minimum; None where it was not."""
    least = floors.get(ref_of(manifest), 0)
    spec = manifest.get("spec") or {}
    if "replicas" in spec or least < 1 or (live.get("spec") or {}).get("replicas") != 0:
        return None
    return _build(manifest, live, least)


def build_handover(manifest: Manifest, live: Mapping[str, Any], manager: str) -> Manifest | None:
    """What to apply as REPLICAS_MANAGER before `manager` applies `manifest`; None where it is not needed.

    Applied without force it is refused when the number is not the live one any more.
    """
    spec = manifest.get("spec")
    if manifest["kind"] != "Deployment" or not isinstance(spec, Mapping) or "replicas" in spec:
        return None
    owned = (own_fields(live, manager) or {}).get("f:spec") or {}
    replicas = (live.get("spec") or {}).get("replicas")
    if "f:replicas" not in owned or replicas is None:
        return None
    return _build(manifest, live, replicas)


def _build(manifest: Manifest, live: Mapping[str, Any], replicas: int) -> Manifest:
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {key: live["metadata"][key] for key in ("name", "namespace", "uid")},
        "spec": {"replicas": replicas},
    }
