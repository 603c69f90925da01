"""From an observed member to its plan: which labels its namespace has, or loses.

Owns what joining and leaving are. Must never act or look anything up. Invariants: a namespace carries the
labels of one mesh at most; one whose member is gone, refused, or without its mesh carries none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from navarch.core.member.isolation import build_waves, find_surplus
from navarch.core.member.observed import ObservedMember
from navarch.core.model.actions import Plan, Waiting
from navarch.core.model.claims import Claim
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, MEMBER_OF
from navarch.core.model.naming import name_members
from navarch.core.model.refs import Ref, ref_of
from navarch.core.model.removal import REMOVAL_REQUEUE
from navarch.core.model.requeue import LABELS_REQUEUE, SAFETY_REQUEUE


def plan_member(observed: ObservedMember, findings: Sequence[Finding]) -> Plan:
    """What is to be done for a member now."""
    if observed.place is None:
        return Plan(observed.parent)
    wanted = build_labels(observed) if is_accepted(findings) and not observed.deleting else {}
    waiting: tuple[Waiting, ...] = ()
    if not wanted and observed.mesh is not None and not observed.deleting and is_accepted(findings):
        ref = ref_of(observed.mesh)
        waiting = (Waiting(ref, f"{ref} has not been installed yet"),)
    claim = build_claim(observed, wanted)
    claims = (claim,) if wanted or not claim.stands else ()
    # A member that waits for its mesh may have been one before: what it has stays meanwhile.
    waves = build_waves(observed, joined=bool(wanted))
    gone = () if waiting else find_surplus(observed, joined=bool(wanted))
    requeue = SAFETY_REQUEUE if waiting else REMOVAL_REQUEUE if gone else None
    if requeue is None and has_others_labels(observed):
        requeue = LABELS_REQUEUE
    return Plan(observed.parent, waves, gone, waiting, requeue, claims=claims)


def has_others_labels(observed: ObservedMember) -> bool:
    """Whether the namespace of a member carries a label of another client's by which meshes take
    namespaces."""
    place = observed.place
    if place is None or observed.body is None:
        return False
    return any(key in place.labels and key not in place.claimed for key in (ISTIO_INJECTION, ISTIO_REV))


def build_labels(observed: ObservedMember) -> dict[str, str]:
    """The labels of a member's namespace; none while its mesh has no tag yet."""
    if observed.mesh is None or observed.spec is None or not observed.tag:
        return {}
    metadata = observed.mesh["metadata"]
    joined = {MEMBER_OF: name_members(metadata["namespace"], metadata["name"])}
    return joined if observed.spec.injection == "Disabled" else {**joined, ISTIO_REV: observed.tag}


def build_claim(observed: ObservedMember, labels: Mapping[str, str]) -> Claim:
    """The labels as they are put on the namespace that was seen."""
    place = observed.place
    assert place is not None
    ref = Ref("v1", "Namespace", "", observed.namespace)
    exclusive = frozenset({MEMBER_OF})
    stands = is_settled(observed, labels)
    return Claim(ref, place.uid, labels, exclusive=exclusive, stands=stands)


def is_settled(observed: ObservedMember, wanted: Mapping[str, str]) -> bool:
    """Whether the namespace has the wanted labels by a claim of ours, and no more of them."""
    place = observed.place
    if place is None:
        return True
    if not wanted and MEMBER_OF in place.labels:
        return False
    return set(place.claimed) == set(wanted) and all(place.labels.get(k) == v for k, v in wanted.items())
