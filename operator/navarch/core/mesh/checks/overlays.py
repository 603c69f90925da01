"""Overlays: whether each patches one object that is rendered, of a kind and in a field that is open to it.

Owns the rules about spec.overlays. Must never pass a patch by which a mesh's labels, or what other rules
guard, would change. Invariant: an overlay that yields nothing is applied, and to something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.problems import build_path
from navarch.api.refused import OVERLAY_KINDS, REFUSED_PATCH, Path, find_refused
from navarch.api.spec import Overlay
from navarch.core.mesh.checks.layers import build_input, resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.stages import find_overlay_problems

_METADATA = (("metadata", "labels"), ("metadata", "annotations"))
_GUARDED: tuple[Path, ...] = (
    *REFUSED_PATCH,
    *((*above, *part, "") for above in ((), ("spec", "template")) for part in _METADATA),
)
"""Paths above which a patch may put nothing but a map: anything else replaces the whole of what is there."""


def _own_overlays(content: MeshContent) -> list[Overlay]:
    return list(content.spec.overlays or ())


def check_overlay_kinds(content: MeshContent) -> Iterator[Finding]:
    """An overlay names a kind that lies in the mesh's namespace and grants nothing."""
    for index, overlay in enumerate(_own_overlays(content)):
        if overlay.target.kind not in OVERLAY_KINDS:
            yield Finding(
                Reason.OVERLAY_REFUSED,
                build_path("overlays", index, "target", "kind"),
                overlay.target.kind,
                "is refused: it is cluster-scoped, or grants rights, or is not rendered for a mesh",
                f"choose one of {', '.join(OVERLAY_KINDS)}",
            )


def _find_replaced(patch: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Maps with guarded content that the patch would replace as a whole, with null for instance."""
    for above in dict.fromkeys(path[:depth] for path in _GUARDED for depth in range(1, len(path))):
        node: Any = patch
        for step in above:
            node = node.get(step, {}) if isinstance(node, Mapping) else {}
        if not isinstance(node, Mapping):
            yield above, node


def check_overlay_patches(content: MeshContent) -> Iterator[Finding]:
    """A patch touches nothing that Navarch finds its objects by, nor what other rules guard."""
    for index, overlay in enumerate(_own_overlays(content)):
        root = build_path("overlays", index, "patch")
        for path, value, why in find_refused(overlay.patch, REFUSED_PATCH):
            message, _, remedy = why.rpartition("; ")
            field = build_path(*path, root=root)
            yield Finding(Reason.OVERLAY_REFUSED, field, shorten(value), f"is refused: {message}", remedy)
        for path, value in _find_replaced(overlay.patch):
            message = (
                "is refused: it would replace the whole map, with what Navarch finds its objects by or guards"
            )
            remedy = "patch single keys of it"
            field = build_path(*path, root=root)
            yield Finding(Reason.OVERLAY_REFUSED, field, shorten(value), message, remedy)


def _is_refused(overlay: Overlay) -> bool:
    return (
        overlay.target.kind not in OVERLAY_KINDS
        or any(find_refused(overlay.patch, REFUSED_PATCH))
        or any(_find_replaced(overlay.patch))
    )


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
        own, target = problem.index - of_profiles, problem.overlay.target
        if own >= 0 and _is_refused(problem.overlay):
            continue
        unmatched = problem.reason is Reason.OVERLAY_UNMATCHED
        part = "target" if unmatched else "patch"
        yield Finding(
            problem.reason,
            build_path("overlays", own, part) if own >= 0 else "spec.profiles",
            f"{target.kind} {target.name}",
            problem.message,
            "name an object that `navarch render` prints, or remove the overlay"
            if unmatched
            else "take that out of the patch",
        )
