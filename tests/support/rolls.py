"""MeshMemberRolls in tests: their manifests, and when they are ready."""

from __future__ import annotations

from collections.abc import Callable

from tests.polling import eventually
from tests.support import reasons
from tests.support.api import Api, Object
from tests.support.meshes import is_current, read_condition


def build_roll(namespace: str, *members: str, **spec: object) -> Object:
    """A MeshMemberRoll beside the mesh of a namespace."""
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshMemberRoll",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {**({"members": [*members]} if members else {}), **spec},
    }


def read_pending(roll: Object) -> dict[str, str]:
    """Why each namespace is no member yet. The reasons count as read by a test."""
    told = {entry["namespace"]: entry["reason"] for entry in roll["status"].get("pending") or ()}
    for reason in told.values():
        reasons.record(reason)
    return told


async def wait_for_roll(
    api: Api,
    namespace: str,
    *,
    condition: str = "Ready",
    status: str = "True",
    reason: str = "",
    until: Callable[[Object], bool] = lambda _: True,
) -> Object:
    """The roll once a condition says so of its present spec."""

    def said() -> Object | None:
        found = api.get("roll", namespace, "default")
        told = read_condition(found, condition)
        as_asked = told.get("status") == status and reason in ("", told.get("reason"))
        return found if found and is_current(found) and as_asked and until(found) else None

    found: Object = await eventually(
        said, seconds=90, what=f"roll {namespace}: {condition} is {status} {reason}"
    )
    return found
