"""What meshes may be granted: the rules of every role that is rendered, for every minor of the catalog.

Owns the question which permissions the operator needs beyond its own use (escalation prevention: nobody
creates a role with more than they hold). Must never list a rule itself. Invariant: a role that is rendered is
covered.
"""

from __future__ import annotations

from navarch.api.meta import API_VERSION, JSONObject
from navarch.api.rbac import collect_grants
from navarch.core.istio.assets import Assets
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment

_NAMESPACE, _PROBE = "navarch-system", "navarch-probe"


def build_grants(assets: Assets) -> list[JSONObject]:
    """The union of the rules of all roles of a mesh, over all versions, as one canonical list."""
    environment = Environment(kubernetes=(1, 32), operator_namespace=_NAMESPACE, probe_namespace=_PROBE)
    return collect_grants(
        manifest
        for version in assets.catalog.versions
        for manifest in build_offline(_build_mesh(version), assets, environment).objects
    )


def _build_mesh(version: str) -> JSONObject:
    return {
        "apiVersion": API_VERSION,
        "kind": "MeshControlPlane",
        "metadata": {"name": "mesh", "namespace": "mesh"},
        "spec": {"version": version, "defaultTag": True},
    }
