"""The mesh that an object of ours names, and the revision that serves it, from the stores.

Owns these two looks for every kind that names a mesh. Must never ask the API server. Invariant: a revision is
the mesh's own, and not another mesh's of that tag.
"""

from __future__ import annotations

from navarch.api import revision
from navarch.api.meta import API_VERSION
from navarch.core.model.naming import revision_name
from navarch.core.model.parent import MESH, parent_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.removal import is_torn_down
from navarch.gather.world import World


def find_mesh(world: World, reference: tuple[str, str]) -> Manifest | None:
    """The MeshControlPlane of this namespace and name."""
    return world.stores["meshes"].get(Ref(API_VERSION, MESH, *reference))


def find_standing_mesh(world: World, reference: tuple[str, str]) -> Manifest | None:
    """The same, unless nothing but its object is left."""
    mesh = find_mesh(world, reference)
    return None if mesh is None or is_torn_down(mesh) else mesh


def find_revision(world: World, mesh: Manifest | None) -> Manifest | None:
    """The MeshRevision to which a mesh's tag points."""
    tag = ((mesh or {}).get("status") or {}).get("tag")
    if mesh is None or not tag:
        return None
    active = str((mesh.get("status") or {}).get("activeRevision") or "")
    for name in filter(None, (active, revision_name(str(tag)))):
        ref = Ref(API_VERSION, revision.KIND, mesh["metadata"]["namespace"], name)
        found = world.stores["revisions"].get(ref)
        named = parent_of(found) if found is not None else None
        if named is not None and named.name == ref_of(mesh).name:
            return found
    return None


def name_revisions(world: World, serving: Manifest | None) -> frozenset[str]:
    """The names of all revisions of the mesh in which this one serves: those that retire still have pods."""
    parent = parent_of(serving) if serving is not None else None
    if serving is None or parent is None:
        return frozenset()
    return frozenset(r["metadata"]["name"] for r in world.owned.revisions(parent))


def find_held(world: World, namespace: str) -> str:
    """The name of the mesh that a namespace holds; empty for none."""
    return next((mesh["metadata"]["name"] for mesh in world.stores["meshes"].list(namespace)), "")
