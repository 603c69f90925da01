"""How a mesh goes from one version to the next, when it may change that, and with how many revisions.

Owns the rules about spec.upgrade.strategy and what follows from it. Must never decide which revisions go.
Invariants: a change of the strategy alone is refused only where it would take namespaces from the mesh; a
revision that is there in the version that is asked for may always be asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.upgrade import REVISION_BASED
from navarch.core.mesh.checks.version import find_asked_name, find_release
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.rollback import has_way_back, is_by_hand
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV
from navarch.core.model.messages import count, join
from navarch.core.model.naming import is_in_place
from navarch.core.model.reasons import Reason

MOST_REVISIONS = 4
"""Revisions of a mesh: one that serves, one that follows, and two whose pods were not restarted yet."""


FIELD = "spec.upgrade.strategy"


def check_no_namespace_names_the_revision(observed: ObservedMesh) -> Iterator[Finding]:
    """A mesh that leaves its revision that is updated in place has no namespace that names that revision: the
    next one's istiod would not look at it, and with the revision its sidecars would go."""
    serving, strategy = observed.active, observed.strategy
    if strategy != REVISION_BASED or not is_in_place(serving):
        return
    named = sorted(
        namespace.name
        for namespace in observed.namespaces.values()
        if namespace.labels.get(ISTIO_REV) == serving
        and ISTIO_INJECTION not in namespace.labels
        and not namespace.terminating
    )
    if named:
        commands = (
            f"kubectl label namespace {name} {ISTIO_REV}={observed.tag} --overwrite" for name in named
        )
        have = count(len(named), "namespace names", "namespaces name")
        yield Finding(
            Reason.REVISION_NAMED,
            FIELD,
            strategy,
            f"{have} revision {serving} in {ISTIO_REV}, which the next version would leave behind: "
            f"{join(named)}",
            f"label them with the tag, which restarts nothing: {join(commands)}",
        )


def check_the_one_in_place_is_free(observed: ObservedMesh) -> Iterator[Finding]:
    """The revision that is updated in place is not brought to another version for a tag that points to
    another one while pods use it: they would get an istiod that nobody chose for them."""
    name, release = find_asked_name(observed), find_release(observed)
    there = observed.find_revision(name)
    if observed.spec is None or release is None or there is None or not is_in_place(name):
        return
    pods = sum(proxy.revision == name for proxy in observed.census.counted)
    version = str(there["spec"]["version"])
    serves = observed.in_place or observed.active in ("", name)
    if serves or version == release.version or not pods or is_by_hand(observed):
        return
    yield Finding(
        Reason.REVISION_IN_USE,
        "spec.version",
        observed.spec.version,
        f"{name}, which would be updated to it, runs Istio {version} for "
        f"{count(pods, 'pod', 'pods')} that were not restarted since the tag moved to {observed.active}",
        f"restart their workloads first, or set {FIELD} to {REVISION_BASED}",
    )


def check_canaries_are_revisions(observed: ObservedMesh) -> Iterator[Finding]:
    """A change of the configuration comes up beside what serves only where revisions do."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    if upgrade is None or not upgrade.canary_config or observed.strategy == REVISION_BASED:
        return
    yield Finding(
        Reason.CANARY_IN_PLACE,
        "spec.upgrade.canaryConfig",
        "true",
        f"the mesh is updated in place, where no second istiod comes up ({FIELD})",
        f"set {FIELD} to {REVISION_BASED}, which restarts nothing, or remove it",
    )


def check_strategy_made_what_serves(observed: ObservedMesh) -> Iterator[Finding]:
    """While another strategy asks than made what serves, the spec says when it shows: at the next version."""
    serving, asked = observed.active, find_asked_name(observed)
    if asked != serving or is_by_hand(observed) or observed.find_revision(serving) is None:
        return
    if is_in_place(serving) == (observed.strategy != REVISION_BASED):
        return
    how = "in place" if is_in_place(serving) else "for its version alone"
    yield Finding(
        Reason.STRATEGY_PENDING,
        FIELD,
        observed.strategy,
        f"{serving}, which was made to be updated {how}, serves on as it is, and no pod is restarted",
        "nothing is to be done: the next version comes up beside it, and the tag moves when that is proved",
        Severity.INFO,
    )


def check_revisions_are_few(observed: ObservedMesh) -> Iterator[Finding]:
    """A further revision is made only while few are there: each is an istiod, kept for pods of its own."""
    asked = find_asked_name(observed)
    there = sorted(str(r["metadata"]["name"]) for r in observed.revisions)
    if observed.in_place or observed.spec is None or asked in ("", *there) or len(there) < MOST_REVISIONS:
        return
    serving, release = observed.find_revision(observed.active), find_release(observed)
    same = serving is not None and release is not None and serving["spec"]["version"] == release.version
    yield Finding(
        Reason.TOO_MANY_REVISIONS,
        "spec.upgrade.canaryConfig" if same else "spec.version",
        "true" if same else observed.spec.version,
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
