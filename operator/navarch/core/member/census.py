"""The proxies in a member's namespace, as the member's status counts them.

Owns the form of that part of the status. Must never count itself: world/count.py does, for meshes as well.
Invariant: while the mesh injects nothing yet, nothing is outdated.
"""

from __future__ import annotations

from typing import Any

from navarch.core.member.observed import ObservedMember
from navarch.core.world.count import ProxyCount, count_pods


def count_proxies(observed: ObservedMember) -> ProxyCount:
    """The count of a member's namespace."""
    stamps = {proxy.revision: observed.stamp for proxy in observed.proxies} if observed.stamp else None
    return count_pods(observed.proxies, observed.of_others, stamps=stamps, pins=observed.pins)


def summarise_proxies(counted: ProxyCount) -> dict[str, Any]:
    """status.proxies."""
    workloads = [{"kind": owner.kind, "name": owner.name, "pods": pods} for owner, pods in counted.listed]
    return {
        "total": counted.total,
        "current": counted.current,
        "outdated": counted.outdated,
        "misplaced": counted.misplaced,
        "manual": counted.by_hand,
        **({"manualWorkloads": workloads} if workloads else {}),
        "summary": f"{counted.current}/{counted.total}",
    }
