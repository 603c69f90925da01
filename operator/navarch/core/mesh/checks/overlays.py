"""Overlays: whether each patches one object that is rendered, of a kind and in a field that is open to it.

Owns the rules about spec.overlays. Must never pass a patch by which a mesh's labels, or what other rules
guard, would change. Invariant: an overlay that yields nothing is applied, and to something.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.problems import build_path
from navarch.api.spec import Overlay
from navarch.core.mesh.checks.layers import build_input, resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.render.overlays import build_finding, check_kinds, check_patches, is_refused, name_part
from navarch.core.render.stages import find_overlay_problems


def _own_overlays(content: MeshContent) -> list[Overlay]:
    return list(content.spec.overlays or ())


def check_overlay_kinds(content: MeshContent) -> Iterator[Finding]:
    """An overlay names a kind that lies in the mesh's namespace and grants nothing."""
    yield from check_kinds(_own_overlays(content), "spec")


def check_overlay_patches(content: MeshContent) -> Iterator[Finding]:
    """A patch touches nothing that Navarch finds its objects by, nor what other rules guard."""
    yield from check_patches(_own_overlays(content), "spec")


def check_overlays_apply(content: MeshContent) -> Iterator[Finding]:
    """Every overlay, a profile's too, finds its object, and may be merged into it.

    Free-form fields are left out of the rendering: no object's name depends on them, and other rules judge
    their shape.
    """
    config = resolved_config(content)
    if config is None or not config.overlays:
        return
    source = build_input(content, config.model_copy(update={"mesh_config": None, "values": None}))
    if source is None:
        return
    of_profiles = len(config.overlays) - len(_own_overlays(content))
    for problem in find_overlay_problems(source, content.assets):
        own = problem.index - of_profiles
        if own < 0 or not is_refused(problem.overlay):
            field = build_path("overlays", own, name_part(problem)) if own >= 0 else "spec.profiles"
            yield build_finding(problem, field)
