"""From the Secret with the root of a certificate authority to the mesh whose it is.

Owns this mapping. Must never read anything of a Secret but its metadata. Invariant: a mesh hears of its
root's Secret by the namespace of its control plane, whichever mesh made it there, and of no other.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.model.labels import HOME
from navarch.engine.key import Key
from navarch.triggers.keys import Dependents
from navarch.triggers.known import By, Object


def keys_for_root(dependents: Dependents, manifest: Object) -> Iterator[Key]:
    """The meshes with their control plane in the namespace whose root it is."""
    home = (manifest["metadata"].get("labels") or {}).get(HOME, "")
    yield from dependents.known.find(By.MESH_IN, home)
