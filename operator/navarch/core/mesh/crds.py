"""Which of Istio's CRDs the cluster needs for all its meshes.

Owns the choice of the one minor. Must never propose to downgrade or to overwrite foreign CRDs. Invariant: the
choice never goes back while the CRDs stand.
"""

from __future__ import annotations

from navarch.core.istio.crds import find_newest
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import CRDOwner


def find_crd_minor(observed: ObservedMesh, revision: Manifest | None) -> str | None:
    """The Istio minor whose CRDs are to be applied: the highest that any mesh was accepted for (this one for
    `revision`) or that is there already. What a mesh asks for and was refused moves nothing.

    None when they are not ours to write: they are foreign, or a newer release of Navarch has applied a minor
    that this one does not know (a set is never downgraded).
    """
    if any(crd.owner is CRDOwner.FOREIGN for crd in observed.crds):
        return None
    present = {crd.minor for crd in observed.crds if crd.minor}
    newest = find_newest({*_accepted(observed, revision), *present})
    return newest if newest in observed.assets.crds else None


def find_wanted_crds(observed: ObservedMesh, revision: Manifest | None) -> list[str]:
    """Names of the CRDs that the meshes of the cluster need, sorted."""
    minor = find_crd_minor(observed, revision) or find_newest(_accepted(observed, revision))
    return sorted(crd["metadata"]["name"] for crd in observed.assets.crds.get(minor or "", ()))


def _accepted(observed: ObservedMesh, revision: Manifest | None) -> set[str]:
    release = observed.assets.catalog.find(revision["spec"]["version"]) if revision is not None else None
    return {*observed.crd_minors, *([release.minor.name] if release else [])}
