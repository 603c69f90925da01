"""Which workloads have to be restarted to get the proxy that a mesh is about to inject.

Owns the sum over pods, and why. Must never restate when a proxy is current: world/proxies.py says that.
Invariant: each pod counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from navarch.core.diagnosis.workloads import Workload
from navarch.core.world.proxies import Pins, ProxyPod, is_current


@dataclass(frozen=True, slots=True, order=True)
class Restart:
    """A workload with pods whose proxies are not those that the mesh will inject: `pods` of `total`. `by`
    says who replaces them."""

    namespace: str
    kind: str
    name: str
    pods: int
    total: int
    by: str
    why: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a part of the plan."""
        place = {"namespace": self.namespace, "kind": self.kind, "name": self.name}
        return {**place, "pods": self.pods, "total": self.total, "by": self.by, "why": list(self.why)}


BY_NAVARCH, BY_ROLLOUT, BY_HAND = "Navarch", "rollout", "hand"
"""Who replaces pods: Navarch those of its gateways; a rollout restart, which somebody has to ask for; for
bare pods and Jobs only whoever made them."""


def find_restarts(
    proxies: Iterable[tuple[ProxyPod, Workload]], *, stamp: str, pins: Pins
) -> tuple[Restart, ...]:
    """The workloads among these pods with a proxy other than `stamp`, which the mesh will inject, or than
    their gateway's pin."""
    old: defaultdict[Workload, list[ProxyPod]] = defaultdict(list)
    total: defaultdict[Workload, int] = defaultdict(int)
    for proxy, workload in proxies:
        total[workload] += 1
        if not is_current(proxy, {proxy.revision: stamp}, pins):
            old[workload].append(proxy)
    return tuple(
        sorted(
            Restart(
                workload.namespace,
                workload.kind,
                workload.name,
                len(pods),
                total[workload],
                _find_actor(workload, pods),
                tuple(sorted({_explain(pod, stamp) for pod in pods})),
            )
            for workload, pods in old.items()
        )
    )


def _find_actor(workload: Workload, pods: Iterable[ProxyPod]) -> str:
    if all(pod.gateway for pod in pods):
        return BY_NAVARCH
    return BY_HAND if workload.manual else BY_ROLLOUT


def _explain(proxy: ProxyPod, stamp: str) -> str:
    """Why a proxy is not what the mesh will inject. A stamp is a version, a dash, and a hash of what needs a
    restart."""
    if not proxy.proxy:
        return "another control plane injected it, or a release of Navarch that wrote no version"
    old, new = (text.rpartition("-")[0] for text in (proxy.proxy, stamp))
    return f"Istio {old} to {new}" if old != new else "the configuration that proxies start with changes"
