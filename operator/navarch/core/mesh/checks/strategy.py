"""How a mesh goes from one version to the next: as it began, and with a few revisions at a time.

Owns the rules about spec.upgrade.strategy and what follows from it. Must never decide which revisions go.
Invariants: a mesh without a MeshRevision may choose; a revision that is there may always be asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.mesh.checks.version import find_asked_name
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.rollback import has_way_back, is_by_hand
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason

MOST_REVISIONS = 4
"""Revisions of a mesh: one that serves, one that follows, and two whose pods were not restarted yet."""


def check_strategy_is_kept(observed: ObservedMesh) -> Iterator[Finding]:
    """The strategy is the one under which the mesh's MeshRevisions were made."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    asked, recorded = upgrade.strategy if upgrade is not None else None, observed.recorded_strategy
    if not asked or not recorded or asked == recorded:
        return
    yield Finding(
        Reason.STRATEGY_FIXED,
        "spec.upgrade.strategy",
        asked,
        f"the mesh was made with {recorded}, and this release of Navarch cannot change that while it runs",
        f"set it to {recorded}, or remove it; for {asked} make another mesh in another namespace and move "
        "the members there",
    )


def check_revisions_are_few(observed: ObservedMesh) -> Iterator[Finding]:
    """A further revision is made only while few are there: each is an istiod, kept for pods of its own."""
    asked = find_asked_name(observed)
    there = sorted(str(r["metadata"]["name"]) for r in observed.revisions)
    if observed.in_place or observed.spec is None or asked in ("", *there) or len(there) < MOST_REVISIONS:
        return
    yield Finding(
        Reason.TOO_MANY_REVISIONS,
        "spec.version",
        observed.spec.version,
        f"would make one revision more than {MOST_REVISIONS}: {join(there)}",
        "restart the workloads that still use the older ones, and wait until these are gone",
    )


def check_rollback_leads_somewhere(observed: ObservedMesh) -> Iterator[Finding]:
    """What is to be gone back to is known; else the spec counts as it stands."""
    if not is_by_hand(observed) or has_way_back(observed, find_asked_name(observed)):
        return
    yield Finding(
        Reason.NOTHING_TO_GO_BACK_TO,
        "spec.upgrade.rollback",
        "true",
        "no version and configuration that was proved before the present one is known; the mesh follows the "
        "rest of its spec",
        "remove it, and put the spec back as it was",
        Severity.WARNING,
    )
