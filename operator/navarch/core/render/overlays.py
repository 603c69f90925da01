"""Overlays: JSON Merge Patches (RFC 7386) of the user's on rendered objects, the last resort.

Owns which objects and fields they may reach. Must never patch what lies outside the mesh's namespace, nor
what an object is found by. Invariant: objects that no overlay names come back as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.api.spec import Overlay
from navarch.core.model.labels import GROUP
from navarch.core.model.merging import merge
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest

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
    return next(iter(touched), "")


def _find_own_entries(metadata: Mapping[str, Any], key: str, own: set[str]) -> list[str]:
    """Labels or annotations of a patch that are in `own` or under Navarch's prefix."""
    entries = metadata.get(key, {})
    if not isinstance(entries, Mapping):
        return [f"metadata.{key}"]
    return [f"metadata.{key}[{entry}]" for entry in entries if entry in own or entry.startswith(f"{GROUP}/")]
