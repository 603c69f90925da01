"""The NetworkPolicy of a member's namespace: whether there is one, and what goes.

Owns what joining and leaving mean for it. Must never act or look anything up. Invariants: what the mesh was
accepted for last decides, so that no refused or unread spec makes or removes a policy; a namespace that does
not belong to the mesh has none.
"""

from __future__ import annotations

from navarch.api.networkpolicies import NetworkPolicies
from navarch.core.member.observed import ObservedMember
from navarch.core.membership.rule import read_membership
from navarch.core.model.actions import Wave
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.removal import find_removable
from navarch.core.render.components.networkpolicies import build_member_policy
from navarch.core.revision.manifest import has_managed_authority


def build_waves(observed: ObservedMember, *, joined: bool) -> tuple[Wave, ...]:
    """The policy of a namespace that belongs to a mesh which isolates its members."""
    policies = read_policies(observed.revision)
    if not joined or observed.revision is None or not isolates(policies):
        return ()
    mesh = read_membership(observed.revision, probe=observed.environment.probe_namespace)
    asked_by = observed.environment.operator_namespace if has_managed_authority(observed.revision) else ""
    policy = build_member_policy(observed.parent, mesh, policies, observed.assets, asked_by=asked_by)
    return (Wave("isolation", (policy,)),)


def find_surplus(observed: ObservedMember, *, joined: bool) -> tuple[Ref, ...]:
    """What of a member's objects is not wanted. While nothing is known of the mesh's revision, what a member
    of it has stays; of a namespace that is gone nothing is left."""
    if observed.place is None or (joined and observed.revision is None):
        return ()
    wanted = {ref_of(o) for wave in build_waves(observed, joined=joined) for o in wave.objects}
    refs = [ref_of(o) for o in find_removable(observed.parent, observed.inventory, observed.owned)]
    return tuple(order_for_removal([ref for ref in refs if ref not in wanted]))


def isolates(policies: NetworkPolicies) -> bool:
    """Whether members have a policy."""
    return bool(policies.manage and policies.isolate_members)


def read_policies(revision: Manifest | None) -> NetworkPolicies:
    """What a mesh was accepted for."""
    config = ((revision or {}).get("spec") or {}).get("config") or {}
    return NetworkPolicies.model_validate(config.get("networkPolicies") or {})
