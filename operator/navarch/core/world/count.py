"""Proxies counted: which are as their mesh injects them now, and which of the others nothing makes anew.

Owns the counting for a mesh and for a member alike. Must never decide which pods are counted, nor when a
proxy is current: membership/rule.py and world/proxies.py say that. Invariants: `total` is `current` and
`outdated` together; `manual` ones are some of those outdated or misplaced; what is listed is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from navarch.api.member import MOST_WORKLOADS
from navarch.core.model.messages import join
from navarch.core.world.proxies import Pins, ProxyPod, is_current


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """What pods belong to that no rollout replaces: a Job, or a Pod without a controller."""

    namespace: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class ProxyCount:
    """Pods with a proxy: `total` with one of the mesh, `outdated` those of them that a restart would change,
    `misplaced` those with another control plane's. `manual` counts the pods of both that no rollout replaces,
    by what they belong to."""

    total: int
    outdated: int
    misplaced: int
    manual: tuple[tuple[Owner, int], ...]

    @property
    def current(self) -> int:
        """Pods with the proxy that the mesh injects now."""
        return self.total - self.outdated

    @property
    def by_hand(self) -> int:
        """Pods that no rollout replaces."""
        return sum(pods for _, pods in self.manual)

    @property
    def replaceable(self) -> int:
        """Pods with another proxy than the mesh injects now that a rollout replaces."""
        return self.outdated + self.misplaced - self.by_hand

    @property
    def listed(self) -> tuple[tuple[Owner, int], ...]:
        """The first of those to be replaced by hand, as many as status has room for."""
        return self.manual[:MOST_WORKLOADS]


def count_pods(
    proxies: Sequence[ProxyPod],
    of_others: Sequence[ProxyPod],
    *,
    stamps: Mapping[str, str] | None,
    pins: Pins,
) -> ProxyCount:
    """The count of these proxies of a mesh, and of those that other control planes injected in its place;
    `stamps` is what each revision injects now (None while that is unknown: then nothing is outdated), `pins`
    what gateways are pinned to."""
    outdated = [p for p in proxies if stamps is not None and not is_current(p, stamps, pins)]
    owners = (find_owner(proxy) for proxy in (*outdated, *of_others))
    manual = Counter(owner for owner in owners if owner is not None)
    return ProxyCount(len(proxies), len(outdated), len(of_others), tuple(sorted(manual.items())))


def find_owner(proxy: ProxyPod) -> Owner | None:
    """What a pod belongs to that no rollout replaces; None for others."""
    if proxy.bare:
        return Owner(proxy.namespace, "Pod", proxy.name)
    return Owner(proxy.namespace, "Job", proxy.job) if proxy.job else None


def tell_by_hand(manual: Iterable[tuple[Owner, int]], *, within: str = "") -> Iterator[str]:
    """What becomes of pods that no rollout replaces, by the names of what they belong to; those of namespace
    `within` are named without it."""
    names: dict[str, list[str]] = {"Pod": [], "Job": []}
    for owner, _ in manual:
        local = owner.namespace == within
        names[owner.kind].append(owner.name if local else f"{owner.namespace}/{owner.name}")
    if names["Pod"]:
        yield f"delete these pods and create them again, which nothing else does: {join(names['Pod'])}"
    if names["Job"]:
        yield f"wait for these Jobs to end, or run them again: {join(names['Job'])}"
