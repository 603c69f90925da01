"""Gateways with a version of their own, and the version that their mesh asks for.

Owns what a mesh says of both together. Must never refuse a mesh for the sake of a gateway that it has not
made. Invariant: a mesh asks of its own gateways no version that its istiod could not have as a proxy.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.gateway import KIND
from navarch.api.inline import TYPES
from navarch.core.istio.skew import explain_skew, find_pinned, is_too_old, suggest_pin
from navarch.core.mesh.checks.version import FIELD, find_release
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.gateways import find_inside
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_gateways
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import ref_of


def check_pinned_gateways(content: MeshContent) -> Iterator[Finding]:
    """The versions of the mesh's own gateways are known, and within the skew to the mesh's."""
    gateways = resolve_gateways(content.parent, content.spec, content.assets, profiles=content.profiles)
    said = gateways.to_json() if gateways is not None and content.release is not None else {}
    default = (said.get("defaults") or {}).get("version", "")
    for key in TYPES:
        for entry in said.get(key) or ():
            if version := entry.get("version", default):
                field = f"spec.gateways.{key}[{entry['name']}].version"
                yield from _check(content, field, version)


def _check(content: MeshContent, field: str, version: str) -> Iterator[Finding]:
    assert content.release is not None
    mesh = content.release.version
    release = find_pinned(content.assets.catalog, version, control_plane=mesh)
    if release is None:
        message = "this release of Navarch does not know that version of Istio"
        yield Finding(Reason.UNKNOWN_VERSION, field, version, message, suggest_pin(mesh))
    elif why := explain_skew(release.version, mesh):
        yield Finding(Reason.VERSION_OUTSIDE_SKEW, field, version, why, suggest_pin(mesh))


def check_gateways_can_follow(observed: ObservedMesh) -> Iterator[Finding]:
    """No gateway of others in the mesh's namespaces is pinned to a minor that the mesh's does not support. It
    is a warning: a gateway must not hold a mesh back."""
    release = find_release(observed)
    pinned = [g for g in observed.gateways if (g.get("spec") or {}).get("version")]
    if observed.spec is None or release is None or not pinned:
        return
    own, inside = {ref_of(g) for g in observed.own_gateways}, find_inside(observed)
    catalog, behind = observed.assets.catalog, []
    for gateway in pinned:
        ref, version = ref_of(gateway), str(gateway["spec"]["version"])
        found = find_pinned(catalog, version, control_plane=release.version)
        old = found is not None and is_too_old(found.version, release.version)
        if old and ref not in own and inside(ref.namespace):
            behind.append(f"{KIND} {ref.namespace}/{ref.name} ({version})")
    if behind:
        message = f"gateways are pinned to more than one minor below it: {join(sorted(behind))}"
        remedy = "change their spec.version, or leave it out, before the mesh goes on"
        yield Finding(
            Reason.VERSION_LEAVES_SKEW, FIELD, observed.spec.version, message, remedy, Severity.WARNING
        )
