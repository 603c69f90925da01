"""The waves of a mesh: Istio's CRDs, its MeshRevision, tags and policies.

Owns their order. Must never decide whether a wave may be applied yet: that needs to know what is ready.
Invariant: equal inputs give equal waves.
"""

from __future__ import annotations

from navarch.core.istio.assets import Assets
from navarch.core.model.actions import Wave
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest
from navarch.core.render.components import crds, hosting
from navarch.core.revision.manifest import is_hosted
from navarch.core.revision.render import render
from navarch.core.world.cluster import Environment


def build_mesh_waves(
    revision: Manifest,
    assets: Assets,
    environment: Environment,
    *,
    crd_minor: str | None,
    pointed: Manifest | None,
    beside: tuple[Manifest, ...] = (),
) -> tuple[Wave, ...]:
    """crds (of `crd_minor`; none when it is None), the namespace of a hosted control plane, revision (the
    MeshRevision itself, and those `beside` it), tags, and policies. The last two are those of `pointed`, the
    MeshRevision to which the tag is to point, and may be applied only once that is ready; without one there
    are none."""
    parent = parent_of(revision) if is_hosted(revision) else None
    return (
        Wave("crds", crds.build_objects(crd_minor, assets) if crd_minor else ()),
        *([Wave("hosting", hosting.build_objects(parent))] if parent else []),
        Wave("revision", (revision, *beside)),
        *(render(pointed, assets, environment).mesh_waves if pointed is not None else ()),
    )
