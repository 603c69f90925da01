"""From an observed roll to its plan: which MeshMembers it makes, and which of its own it removes.

Owns what joining and leaving by a roll are. Must never touch a MeshMember that it did not make, nor wait for
one to go. Invariants: a namespace that cannot be joined keeps no other from joining or leaving; a plan makes
AT_ONCE MeshMembers at most, and the change of each leads to the next look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.api.member import KIND, NAME
from navarch.api.meta import API_VERSION
from navarch.core.model.actions import Plan, Waiting, Wave
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.roll.observed import ObservedRoll
from navarch.core.roll.places import build_reference, find_asked, is_left, list_candidates

COMPONENT = "members"
AT_ONCE = 200
"""MeshMembers that one look makes or removes, so that status tells how far a large roll is."""
NEXT_LOOK = 1.0
"""Seconds after which the rest is made or removed."""


def plan_roll(observed: ObservedRoll, findings: Sequence[Finding]) -> Plan:
    """What is to be done for a roll now."""
    parent = observed.parent
    leaving = [*_find_leaving(observed)]
    prune = tuple(sorted(ref_of(member) for member in leaving[:AT_ONCE]))
    rest = NEXT_LOOK if len(leaving) > AT_ONCE else None
    if observed.is_being_deleted or not is_accepted(findings):
        return Plan(parent, prune=prune, requeue_after=rest, independent=True)
    candidates = list_candidates(observed)
    there = {member["metadata"]["namespace"] for member in observed.own}
    new = [each for each in candidates if each.is_made and each.namespace not in there]
    later = {each.namespace for each in new[AT_ONCE:]}
    names = [each.namespace for each in candidates if each.is_made and each.namespace not in later]
    wanted = tuple(build_member(observed, name) for name in names)
    waves = (Wave(COMPONENT, wanted),) if wanted else ()
    rest = NEXT_LOOK if later else rest
    waiting = tuple(_find_waiting(observed, later))
    return Plan(parent, waves, prune, waiting, requeue_after=rest, independent=True)


def build_member(observed: ObservedRoll, namespace: str) -> Manifest:
    """The MeshMember of a namespace. What its team adds, such as spec.injection, is the team's."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": observed.parent.labels(component=COMPONENT),
        },
        "spec": {"controlPlaneRef": build_reference(observed)},
    }


def _find_leaving(observed: ObservedRoll) -> Iterator[Manifest]:
    """The roll's own MeshMembers that are to go and have not been asked to."""
    if observed.spec is None and not observed.deleting:
        return
    asked = find_asked(observed)
    for member in observed.own:
        if "deletionTimestamp" in member["metadata"]:
            continue
        if observed.deleting or is_left(observed, member, asked):
            yield member


def _find_waiting(observed: ObservedRoll, later: set[str]) -> Iterator[Waiting]:
    if later and observed.mesh is not None:
        yield Waiting(ref_of(observed.mesh), f"{len(later)} more MeshMembers are made next")
