"""Which type of certificate authority a mesh may ask for.

Owns the rules about spec.certificateAuthority. Must never decide what is made: core/trust does. Invariant: a
mesh that runs keeps the root that its proxies trust.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.authority import CACERTS, MANAGED, SELF_SIGNED
from navarch.api.meta import ROOT_GENERATION, ROOT_STRATEGY
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.mesh.rotation import read_generation
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason
from navarch.core.revision.manifest import has_managed_authority
from navarch.core.trust.position import is_issued_by
from navarch.core.trust.rotation import Strategy

FIELD = "spec.certificateAuthority.type"
_ANNOTATION = "metadata.annotations[{}]"


def _read_type(observed: ObservedMesh) -> str:
    """The type that spec and profiles ask for."""
    if observed.spec is None:
        return SELF_SIGNED
    config = resolve_mesh(observed.parent, observed.spec, observed.assets, profiles=observed.profiles)
    authority = config.certificate_authority if config is not None else None
    return (authority and authority.type) or SELF_SIGNED


def check_authority_stays(observed: ObservedMesh) -> Iterator[Finding]:
    """A managed authority is not given up: istiod would make a root that no proxy trusts."""
    asked = _read_type(observed)
    if asked != MANAGED and any(map(has_managed_authority, observed.revisions)):
        yield Finding(
            Reason.AUTHORITY_FIXED,
            FIELD,
            asked,
            f"the mesh has a certificate authority of type {MANAGED}, and its proxies would lose trust in "
            "each other with another one",
            f"put {MANAGED} back; for another authority make another mesh",
        )


def check_root_is_named(observed: ObservedMesh) -> Iterator[Finding]:
    """The annotations that ask for another root mean one, and the mesh has roots of Navarch's."""
    annotations = observed.body["metadata"].get("annotations") or {}
    asked, way = annotations.get(ROOT_GENERATION), annotations.get(ROOT_STRATEGY)
    managed = _read_type(observed) == MANAGED
    if asked is not None and not (managed and read_generation(observed.body)):
        yield Finding(
            Reason.ROOT_UNKNOWN,
            _ANNOTATION.format(ROOT_GENERATION),
            asked,
            "no root has this number" if managed else "Navarch makes no roots for this mesh",
            "write the number of the root, beginning with 1"
            if managed
            else f"set {FIELD} to {MANAGED}, or remove the annotation",
            Severity.WARNING,
        )
    if way is not None and way != Strategy.EMERGENCY:
        yield Finding(
            Reason.ROOT_UNKNOWN,
            _ANNOTATION.format(ROOT_STRATEGY),
            way,
            f"it says {Strategy.EMERGENCY} or is not there",
            "remove the annotation; spec.certificateAuthority.managed.rotation.strategy says how else",
            Severity.WARNING,
        )


def check_cacerts_are_free(observed: ObservedMesh) -> Iterator[Finding]:
    """A mesh becomes managed only where no Secret of another takes its place."""
    seen = observed.authority
    if seen is None or seen.cacerts is None or _read_type(observed) != MANAGED:
        return
    root = seen.roots[-1].certificate if seen.roots else None
    restored = root is not None and is_issued_by(seen.cacerts.authority, root)
    if seen.cacerts.ours or restored or any(map(has_managed_authority, observed.revisions)):
        return
    yield Finding(
        Reason.FOREIGN_AUTHORITY,
        FIELD,
        MANAGED,
        f"Secret {seen.home}/{CACERTS} is there and is not Navarch's; it was left untouched",
        "leave the type unset, which keeps that Secret in force; in a namespace in which no mesh runs, and "
        "no proxy trusts its root, you may remove it instead",
    )
