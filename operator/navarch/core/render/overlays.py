"""Overlays: JSON Merge Patches (RFC 7386) of the user's on rendered objects, the last resort.

Owns which objects and fields they may reach, of a mesh and of a gateway. Must never patch what lies outside
a namespace, nor what an object or its pods are found by. Invariant: objects that no overlay names come back
as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.api.problems import build_path
from navarch.api.refused import OVERLAY_KINDS, REFUSED_PATCH, Path, find_refused
from navarch.api.spec import Overlay
from navarch.core.model.findings import Finding
from navarch.core.model.labels import GROUP
from navarch.core.model.merging import merge
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest

_METADATA = (("metadata", "labels"), ("metadata", "annotations"))
_GUARDED: tuple[Path, ...] = (
    *REFUSED_PATCH,
    *((*above, *part, "") for above in ((), ("spec", "template")) for part in _METADATA),
)
"""Paths above which a patch may put nothing but a map: anything else replaces the whole of what is there."""
TEMPLATES = "inject.istio.io/templates"
"""Annotation of pods that names what istiod makes of them."""
_PROTECTED = ("name", "namespace", "generateName", "ownerReferences", "finalizers")


@dataclass(frozen=True, slots=True)
class OverlayProblem:
    """An overlay that was not applied: `index` in the resolved list, and why in one sentence."""

    index: int
    overlay: Overlay
    reason: Reason
    message: str


def apply_overlays(
    objects: Iterable[Manifest], overlays: Sequence[Overlay]
) -> tuple[tuple[Manifest, ...], tuple[OverlayProblem, ...]]:
    """The objects with every overlay merged into the one it names (RFC 7386), in order, and those that were
    not."""
    patched = list(objects)
    problems = []
    for index, overlay in enumerate(overlays):
        hits = [place for place, manifest in enumerate(patched) if _is_target(manifest, overlay)]
        refusal = _refusal(overlay, [patched[place] for place in hits])
        if refusal is not None:
            problems.append(OverlayProblem(index, overlay, *refusal))
            continue
        for place in hits:
            patched[place] = merge(patched[place], overlay.patch)
    return tuple(patched), tuple(problems)


def _is_target(manifest: Manifest, overlay: Overlay) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"]) == (overlay.target.kind, overlay.target.name)


def _refusal(overlay: Overlay, targets: Sequence[Manifest]) -> tuple[Reason, str] | None:
    """Why an overlay is not applied to what it matches."""
    target = f"{overlay.target.kind} {overlay.target.name}"
    if not targets:
        return Reason.OVERLAY_UNMATCHED, f"no {target} is rendered"
    if any("namespace" not in manifest["metadata"] for manifest in targets):
        return Reason.OVERLAY_REFUSED, f"{target} is cluster-scoped"
    if touched := _find_protected(overlay.patch, targets[0]):
        return Reason.OVERLAY_REFUSED, f"the patch of {target} touches {touched}, which is Navarch's own"
    return None


def _find_protected(patch: Mapping[str, Any], target: Manifest) -> str:
    """The first path of a patch that no overlay may touch, empty when there is none."""
    metadata = patch.get("metadata", {})
    if not isinstance(metadata, Mapping):
        return "metadata"
    touched = [key for key in ("apiVersion", "kind", "status") if key in patch]
    touched += [f"metadata.{key}" for key in _PROTECTED if key in metadata]
    touched += _find_own_entries(metadata, "labels", set(target["metadata"].get("labels", {})))
    touched += _find_own_entries(metadata, "annotations", set())
    pods = _find_map(target, "spec", "template", "metadata")
    of_pods = _find_map(patch, "spec", "template", "metadata")
    own = {"labels": set(pods.get("labels", {})), "annotations": {TEMPLATES} & {*pods.get("annotations", {})}}
    for key, entries in own.items():
        touched += [f"spec.template.{path}" for path in _find_own_entries(of_pods, key, entries)]
    return next(iter(touched), "")


def _find_map(tree: Any, *path: str) -> Mapping[str, Any]:
    for step in path:
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else {}


def _find_own_entries(metadata: Mapping[str, Any], key: str, own: set[str]) -> list[str]:
    """Labels or annotations of a patch that are in `own` or under Navarch's prefix."""
    entries = metadata.get(key, {})
    if not isinstance(entries, Mapping):
        return [f"metadata.{key}"]
    return [f"metadata.{key}[{entry}]" for entry in entries if entry in own or entry.startswith(f"{GROUP}/")]


def check_kinds(overlays: Sequence[Overlay], root: str) -> Iterator[Finding]:
    """An overlay names a kind that lies in a namespace and grants nothing; `root` is above the list."""
    for index, overlay in enumerate(overlays):
        if overlay.target.kind not in OVERLAY_KINDS:
            yield Finding(
                Reason.OVERLAY_REFUSED,
                build_path("overlays", index, "target", "kind", root=root),
                overlay.target.kind,
                "is refused: it is cluster-scoped, or grants rights, or is not rendered",
                f"choose one of {', '.join(OVERLAY_KINDS)}",
            )


def check_patches(overlays: Sequence[Overlay], root: str) -> Iterator[Finding]:
    """A patch touches nothing that Navarch finds its objects by, nor what other rules guard."""
    for index, overlay in enumerate(overlays):
        place = build_path("overlays", index, "patch", root=root)
        for path, value, why in find_refused(overlay.patch, REFUSED_PATCH):
            message, _, remedy = why.rpartition("; ")
            field = build_path(*path, root=place)
            yield Finding(Reason.OVERLAY_REFUSED, field, shorten(value), f"is refused: {message}", remedy)
        for path, value in _find_replaced(overlay.patch):
            message = (
                "is refused: it would replace the whole map, with what Navarch finds its objects by or guards"
            )
            field = build_path(*path, root=place)
            yield Finding(Reason.OVERLAY_REFUSED, field, shorten(value), message, "patch single keys of it")


def _find_replaced(patch: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Maps with guarded content that the patch would replace as a whole, with null for instance."""
    for above in dict.fromkeys(path[:depth] for path in _GUARDED for depth in range(1, len(path))):
        node: Any = patch
        for step in above:
            node = node.get(step, {}) if isinstance(node, Mapping) else {}
        if not isinstance(node, Mapping):
            yield above, node


def is_refused(overlay: Overlay) -> bool:
    """Whether an overlay is refused whatever is rendered."""
    return (
        overlay.target.kind not in OVERLAY_KINDS
        or any(find_refused(overlay.patch, REFUSED_PATCH))
        or any(_find_replaced(overlay.patch))
    )


def build_finding(problem: OverlayProblem, field: str) -> Finding:
    """What is said of an overlay that was not applied; `field` is where it stands."""
    target, unmatched = problem.overlay.target, problem.reason is Reason.OVERLAY_UNMATCHED
    remedy = "name an object that is rendered, or remove the overlay" if unmatched else ""
    value = f"{target.kind} {target.name}"
    return Finding(problem.reason, field, value, problem.message, remedy or "take that out of the patch")


def name_part(problem: OverlayProblem) -> str:
    """Which part of an overlay is to blame."""
    return "target" if problem.reason is Reason.OVERLAY_UNMATCHED else "patch"
