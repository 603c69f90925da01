"""Which of Istio's CRDs the cluster needs for all its meshes.

Owns the choice of the one minor. Must never propose to downgrade or to overwrite foreign CRDs. Invariant: the
choice never goes back while the CRDs stand.
"""

from __future__ import annotations

from navarch.core.istio.crds import find_newest
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.world.cluster import CRDOwner


def find_crd_minor(observed: ObservedMesh) -> str | None:
    """The Istio minor whose CRDs are to be applied: the highest that any mesh asks for or that is there
    already.

    None when they are not ours to write: they are somebody else's, or a newer release of Navarch has applied
    a minor that this one does not know (a set is never downgraded).
    """
    if any(crd.owner is CRDOwner.FOREIGN for crd in observed.crds):
        return None
    present = {crd.minor for crd in observed.crds if crd.minor}
    newest = find_newest({*observed.crd_minors, *present})
    return newest if newest in observed.assets.crds else None


def find_wanted_crds(observed: ObservedMesh) -> list[str]:
    """Names of the CRDs that the meshes of the cluster need, sorted."""
    minor = find_crd_minor(observed) or find_newest(observed.crd_minors)
    return sorted(crd["metadata"]["name"] for crd in observed.assets.crds.get(minor or "", ()))
