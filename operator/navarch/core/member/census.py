"""The proxies in a member's namespace: which are the mesh's present ones, and which of the others nothing
makes anew.

Owns the counting. Must never restate when a proxy is current: world/proxies.py says that. Invariant: `total`
is `current` and `outdated` together; `manual` ones are some of those outdated or misplaced.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from navarch.api.member import MOST_WORKLOADS
from navarch.core.member.observed import ObservedMember
from navarch.core.world.proxies import ProxyPod, is_current


@dataclass(frozen=True, slots=True)
class MemberCensus:
    """Pods with a proxy: `total` with one of the mesh, `outdated` those of them that a restart would change,
    `misplaced` those with another control plane's. `manual` counts the pods of both that no rollout replaces,
    by kind and name of what they belong to."""

    total: int
    outdated: int
    misplaced: int
    manual: tuple[tuple[tuple[str, str], int], ...]

    @property
    def replaceable(self) -> int:
        """Pods with another proxy than the mesh injects now that a rollout replaces."""
        return self.outdated + self.misplaced - self.count_manual()

    def count_manual(self) -> int:
        """Pods that no rollout replaces."""
        return sum(pods for _, pods in self.manual)

    def to_json(self) -> dict[str, Any]:
        """status.proxies."""
        current = self.total - self.outdated
        workloads = [
            {"kind": kind, "name": name, "pods": pods} for (kind, name), pods in self.manual[:MOST_WORKLOADS]
        ]
        return {
            "total": self.total,
            "current": current,
            "outdated": self.outdated,
            "misplaced": self.misplaced,
            "manual": self.count_manual(),
            **({"manualWorkloads": workloads} if workloads else {}),
            "summary": f"{current}/{self.total}",
        }


def count_proxies(observed: ObservedMember) -> MemberCensus:
    """The census of a member's namespace. While the mesh injects nothing yet, nothing is outdated."""
    outdated: list[ProxyPod] = []
    if observed.stamp:
        stamps = {proxy.revision: observed.stamp for proxy in observed.proxies}
        outdated = [proxy for proxy in observed.proxies if not is_current(proxy, stamps, observed.pins)]
    owners = (_find_owner(proxy) for proxy in (*outdated, *observed.of_others))
    manual = Counter(owner for owner in owners if owner is not None)
    return MemberCensus(
        len(observed.proxies), len(outdated), len(observed.of_others), tuple(sorted(manual.items()))
    )


def _find_owner(proxy: ProxyPod) -> tuple[str, str] | None:
    """What a pod belongs to that no rollout replaces; None for others."""
    if proxy.bare:
        return "Pod", proxy.name
    return ("Job", proxy.job) if proxy.job else None
