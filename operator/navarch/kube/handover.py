"""The number of replicas, handed over when an autoscaler takes it from us.

Owns the field manager `navarch-replicas`. When the desired Deployment names no number any more while our
entry still owns it, server-side apply would take the field out and defaulting would put 1 there: the control
plane would shrink to one pod until the autoscaler looks. So another manager owns the live number first, and
the field stays when we let go of it. The autoscaler's own writes then take it from that manager, which never
writes again. Pure. Must never name any other field.
Invariant: applying a handover changes no field of the Deployment but its managedFields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.core.model.refs import Manifest
from navarch.kube.coverage import own_fields

REPLICAS_MANAGER = "navarch-replicas"


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
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "uid")}
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }
