"""What an installation grants: istiod's roles for every minor of the catalog, and what is left to be granted
mesh by mesh.

Owns the question which permissions the operator needs beyond its own use (escalation prevention: a user
creates only roles whose rights the user holds). Must never list a rule itself. Invariant: a role that is
rendered for a mesh is covered, and one that a mesh binds is among those of the installation.
"""

from __future__ import annotations

from navarch.api.meta import API_VERSION, JSONObject
from navarch.api.rbac import collect_grants, merge_rules
from navarch.core.istio.assets import Assets
from navarch.core.istio.roles import GATEWAY_ROLE, build_roles
from navarch.core.model.refs import Manifest
from navarch.core.offline import build_offline
from navarch.core.render.components.istiod import build_role
from navarch.core.world.cluster import Environment

_NAMESPACE, _PROBE = "navarch-system", "navarch-probe"


def list_roles(assets: Assets) -> list[Manifest]:
    """The ClusterRoles that meshes bind, for all minors."""
    minors = (minor.name for minor in assets.catalog.minors)
    of_istiods = (role for minor in minors for role in build_roles(assets, minor))
    return [build_role(role, assets) for role in (*of_istiods, GATEWAY_ROLE)]


def build_grants(assets: Assets) -> list[JSONObject]:
    """The union of the rules of all roles that are made for a mesh, over all minors, for any name."""
    environment = Environment(kubernetes=(1, 32), operator_namespace=_NAMESPACE, probe_namespace=_PROBE)
    grants = collect_grants(
        manifest
        for minor in assets.catalog.minors
        for manifest in build_offline(_build_mesh(minor.name), assets, environment).objects
    )
    return merge_rules({**rule, "resourceNames": []} for rule in grants)


def _build_mesh(version: str) -> JSONObject:
    return {
        "apiVersion": API_VERSION,
        "kind": "MeshControlPlane",
        "metadata": {"name": "mesh", "namespace": "mesh"},
        "spec": {"version": version, "defaultTag": True, "controlPlane": {"gatewayController": False}},
    }
