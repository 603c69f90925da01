"""Meshes in tests: their manifests, their conditions, what they left in the cluster."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.polling import eventually
from tests.support import platforms, reasons
from tests.support.api import Api, Object

OWNED = (
    "deployment",
    "service",
    "serviceaccount",
    "configmap",
    "hpa",
    "pdb",
    "networkpolicy",
    "role",
    "rolebinding",
    "clusterrole",
    "clusterrolebinding",
    "mwc",
    "vwc",
    "peerauthentication",
    "revision",
)


_TOLD = re.compile(r"(?P<types>[A-Za-z, ]+?) (?:is|are) now (?P<status>True|False|Unknown)(?::|$)")


def read_told(note: str) -> dict[str, str]:
    """What an Event's note says of conditions: the new status of each; nothing where it speaks of other
    things."""
    told = _TOLD.match(note)
    return dict.fromkeys(re.split(r", | and ", told["types"]), told["status"]) if told else {}


def build_mesh(namespace: str, name: str = "demo", *, version: str = "1.31", **spec: Any) -> Object:
    """A MeshControlPlane; `spec` in camelCase."""
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshControlPlane",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"version": version, **spec},
    }


def read_condition(mesh: Object | None, kind: str) -> Object:
    """A condition of an object; an empty one when there is none. Its reason counts as read by a test."""
    found = _find_condition(mesh, kind)
    if found:
        reasons.record(found["reason"])
    return found


def _find_condition(mesh: Object | None, kind: str) -> Object:
    conditions = ((mesh or {}).get("status") or {}).get("conditions") or []
    found: Object = next((c for c in conditions if c["type"] == kind), {})
    return found


def is_current(mesh: Object | None) -> bool:
    """Whether status speaks of the spec as it is."""
    if mesh is None or "status" not in mesh:
        return False
    return bool(mesh["status"].get("observedGeneration") == mesh["metadata"]["generation"])


async def wait_for(
    api: Api,
    namespace: str,
    name: str = "demo",
    *,
    condition: str = "Ready",
    status: str = "True",
    reason: str = "",
    seconds: float = 60,
) -> Object:
    """The mesh, once a condition of its present generation has a status (and a reason)."""
    seen: Object = {}

    def look() -> Object | None:
        nonlocal seen
        seen = api.get("mesh", namespace, name) or {}
        found = _find_condition(seen, condition)
        right = found.get("status") == status and reason in ("", found.get("reason"))
        return seen if right and is_current(seen) else None

    try:
        mesh = await eventually(look, seconds=seconds, every=0.1)
    except AssertionError:
        conditions = (seen.get("status") or {}).get("conditions") or []
        told = "\n".join(f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions)
        raise AssertionError(f"{namespace}/{name}: not {condition}={status} {reason}:\n{told}") from None
    read_condition(mesh, condition)
    if (condition, status) == ("Ready", "True"):
        platforms.meet(str(mesh["status"]["version"]["active"]))  # type: ignore[index]
    return mesh  # type: ignore[return-value]


def list_owned(api: Api, namespace: str, name: str = "demo") -> list[Object]:
    """Everything in the cluster that carries the mesh's labels."""
    labels = f"mesh.navarch.io/mesh-namespace={namespace},mesh.navarch.io/mesh-name={name}"
    return [o for kind in OWNED for o in api.list(kind, labels=labels)]


def edit(api: Api, namespace: str, name: str = "demo", **spec: Any) -> Object:
    """Merge `spec` into a mesh's own; returns the object as edited."""
    return api.patch("mesh", namespace, name, {"spec": spec})


def get_istiod(api: Api, namespace: str, name: str = "demo") -> Object:
    """istiod's Deployment of a mesh that was not given a tag."""
    found = api.get("deployment", namespace, f"istiod-{namespace}-{name}-inplace")
    assert found is not None, f"{namespace}: no istiod"
    return found


def read_versions(objects: list[Object]) -> dict[tuple[str, str], str]:
    """The resourceVersion of each object. Of autoscalers what others than their controller write: it writes
    their status at times of its own, 15 seconds after their creation for one."""
    return {(o["kind"], o["metadata"]["name"]): _read_version(o) for o in objects}


def _read_version(manifest: Object) -> str:
    if manifest["kind"] == "HorizontalPodAutoscaler":
        metadata = {key: manifest["metadata"].get(key) for key in ("uid", "labels", "annotations")}
        return json.dumps([metadata, manifest["spec"]], sort_keys=True)
    return str(manifest["metadata"]["resourceVersion"])
