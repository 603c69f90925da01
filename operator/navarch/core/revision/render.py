"""What a MeshRevision becomes: its objects and those of its mesh, rendered once for each input.

Owns the memo of renderings. Must never decide whether an object may be applied yet. Invariant: what was
rendered once is returned again, so a rendered object must never be changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.istio.assets import Assets
from navarch.core.model.actions import Wave
from navarch.core.model.memo import Hashed, Latest, build_hashed
from navarch.core.model.refs import Manifest
from navarch.core.render.overlays import apply_overlays
from navarch.core.render.stages import _build_mesh_objects, build_revision_waves
from navarch.core.render.values import proxy_stamp
from navarch.core.revision.source import build_revision_input
from navarch.core.world.cluster import Environment


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a MeshRevision becomes: its own `waves`, those of its mesh (`tags`, then policies), and what its
    injector stamps on pods (`proxy`)."""

    waves: tuple[Wave, ...]
    mesh_waves: tuple[Wave, ...]
    proxy: str


def render(revision: Manifest, assets: Assets, environment: Environment) -> Rendered:
    """What a MeshRevision becomes, remembered by the hash of all that it is rendered from. Raises like
    build_revision_input."""
    metadata = {key: revision["metadata"].get(key) for key in ("name", "namespace", "labels")}
    place = f"{metadata['namespace']}/{metadata['name']}"
    source = build_hashed({"metadata": metadata, "spec": revision["spec"]}, place=place)
    return _render(source, assets, environment)


@Latest
def _render(revision: Hashed, assets: Assets, environment: Environment) -> Rendered:
    source = build_revision_input(revision.data, assets, environment)
    mesh_waves = tuple(
        Wave(name, apply_overlays(built, source.config.overlays or ())[0])
        for name, built in _build_mesh_objects(source, assets).items()
    )
    return Rendered(build_revision_waves(source, assets), mesh_waves, proxy_stamp(source, assets))


def count_renderings() -> dict[str, int]:
    """How many renderings were remembered, and how many had to be made."""
    return {"remembered": _render.hits, "made": _render.misses}
