"""From a Secret of a certificate authority to the mesh whose it is.

Owns this mapping. Must never read anything of a Secret but its metadata. Invariant: a mesh hears of the
Secret beside its istiods, and of its root's, whoever changes them.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.model.labels import MESH_NAME, MESH_NAMESPACE
from navarch.core.model.parent import MESH, Parent
from navarch.engine.key import Key
from navarch.triggers.keys import Dependents
from navarch.triggers.known import Object, key_of_parent


def keys_for_authority(dependents: Dependents, manifest: Object) -> Iterator[Key]:
    """The mesh that the Secret names, and the one in its namespace."""
    labels = manifest["metadata"].get("labels") or {}
    if labels.get(MESH_NAMESPACE) and labels.get(MESH_NAME):
        yield key_of_parent(Parent(MESH, labels[MESH_NAMESPACE], labels[MESH_NAME]))
    yield from dependents.keys_for_namespaced(manifest)
