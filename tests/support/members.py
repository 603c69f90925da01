"""MeshMembers in tests: their manifests, and when they are ready."""

from __future__ import annotations

from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import is_current, read_condition

MEMBER_OF = "mesh.navarch.io/member-of"
ISTIO_REV = "istio.io/rev"


def build_member(namespace: str, mesh: str, **spec: object) -> Object:
    """A MeshMember of the mesh `demo` in namespace `mesh`."""
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshMember",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"controlPlaneRef": {"name": "demo", "namespace": mesh}, **spec},
    }


def read_labels(api: Api, namespace: str) -> dict[str, str]:
    """What of a namespace's labels says that it is in a mesh."""
    labels = (api.get("namespace", "", namespace) or {"metadata": {}})["metadata"].get("labels") or {}
    return {key: labels[key] for key in (MEMBER_OF, ISTIO_REV) if key in labels}


async def wait_for_member(
    api: Api, namespace: str, *, condition: str = "Ready", status: str = "True", reason: str = ""
) -> Object:
    """The member once a condition says so of its present spec."""

    def said() -> Object | None:
        found = api.get("member", namespace, "default")
        told = read_condition(found, condition)
        as_asked = told.get("status") == status and reason in ("", told.get("reason"))
        return found if is_current(found) and as_asked else None

    found: Object = await eventually(
        said, seconds=90, what=f"member {namespace}: {condition} is {status} {reason}"
    )
    return found
