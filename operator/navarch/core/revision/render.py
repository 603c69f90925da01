"""What a MeshRevision becomes: its objects and those of its mesh, rendered once for each input.

Owns the memo of renderings. Must never decide whether an object may be applied yet. Invariants: what was
rendered once is returned again, equal to the byte, so a rendered object must never be changed; texts that
many meshes have are kept once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from navarch.core.istio.assets import Assets
from navarch.core.model.actions import Wave
from navarch.core.model.compact import compact
from navarch.core.model.memo import Hashed, Latest, build_hashed
from navarch.core.model.refs import Manifest
from navarch.core.render.overlays import apply_overlays
from navarch.core.render.stages import _build_mesh_objects, build_revision_waves
from navarch.core.render.values import proxy_stamp
from navarch.core.revision.source import build_revision_input
from navarch.core.world.cluster import Environment

LARGE = 4096
"""Characters from which on a text is kept in parts."""
_ALL = 1024 * 1024
"""Characters of a text of which one is kept."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a MeshRevision becomes: its own `waves`, those of its mesh (`tags`, then policies), and what its
    injector stamps on pods (`proxy`)."""

    waves: tuple[Wave, ...]
    mesh_waves: tuple[Wave, ...]
    proxy: str


@dataclass(frozen=True, slots=True)
class _Parts:
    """A large text, cut where the mesh's stamp stands: injection templates are 70 KiB, and differ by nothing
    else between meshes of a version."""

    texts: tuple[str, ...]


def render(revision: Manifest, assets: Assets, environment: Environment) -> Rendered:
    """What a MeshRevision becomes, remembered by the hash of all that it is rendered from. Raises like
    build_revision_input."""
    metadata = {key: revision["metadata"].get(key) for key in ("name", "namespace", "labels")}
    place = f"{metadata['namespace']}/{metadata['name']}"
    source = build_hashed({"metadata": metadata, "spec": revision["spec"]}, place=place)
    kept: Rendered = _render(source, assets, environment)
    return replace(kept, waves=_change(kept.waves, _join, kept.proxy))


@Latest
def _render(revision: Hashed, assets: Assets, environment: Environment) -> Rendered:
    source = build_revision_input(revision.data, assets, environment)
    mesh_waves = tuple(
        Wave(name, apply_overlays(built, source.config.overlays or ())[0])
        for name, built in _build_mesh_objects(source, assets).items()
    )
    stamp = proxy_stamp(source, assets)
    waves = build_revision_waves(source, assets)
    return Rendered(_change(waves, _cut, stamp), _change(mesh_waves, _cut, stamp), stamp)


def _change(
    waves: Iterable[Wave], change: Callable[[Manifest, str], Manifest], stamp: str
) -> tuple[Wave, ...]:
    return tuple(replace(wave, objects=tuple(change(o, stamp) for o in wave.objects)) for wave in waves)


def _cut(manifest: Manifest, stamp: str) -> Manifest:
    """An object as it is kept: texts that are the same for many meshes are kept once."""
    if manifest["kind"] == "ConfigMap" and isinstance(data := manifest.get("data"), Mapping):
        large = {
            key: _Parts(tuple(map(sys.intern, text.split(stamp))))
            for key, text in data.items()
            if type(text) is str and len(text) > LARGE
        }
        manifest = {**manifest, "data": {**data, **large}}
    return cast(Manifest, compact(manifest, longest=_ALL))


def _join(manifest: Manifest, stamp: str) -> Manifest:
    """An object as it was rendered."""
    data = manifest.get("data")
    if manifest["kind"] != "ConfigMap" or not isinstance(data, Mapping):
        return manifest
    whole = {k: stamp.join(v.texts) if isinstance(v, _Parts) else v for k, v in data.items()}
    return {**manifest, "data": whole}


def count_renderings() -> dict[str, int]:
    """How many renderings were remembered, and how many had to be made."""
    return {"remembered": _render.hits, "made": _render.misses}
