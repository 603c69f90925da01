"""Which workloads have to be restarted to get the proxy that a mesh is about to inject.

Owns the sum over pods, and why. Must never restate when a proxy is current: world/proxies.py says that.
Invariant: each pod counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.api.dataplane import DataPlane
from navarch.api.windows import Windows
from navarch.core.diagnosis.workloads import Workload
from navarch.core.model.messages import join
from navarch.core.rollout.waves import count_waves, find_wave, is_opted_out
from navarch.core.rollout.windows import describe_window
from navarch.core.world.proxies import Pins, ProxyPod, is_current
from navarch.core.world.rollable import API_VERSIONS


@dataclass(frozen=True, slots=True, order=True)
class Restart:
    """A workload with pods whose proxies are not those that the mesh will inject: `pods` of `total`. `by`
    says who replaces them, and `when` and `wave`, of those that Navarch restarts in waves, in which one."""

    namespace: str
    kind: str
    name: str
    pods: int
    total: int
    by: str
    why: tuple[str, ...]
    when: str = ""
    wave: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a part of the plan."""
        place = {"namespace": self.namespace, "kind": self.kind, "name": self.name}
        when = {"when": self.when} if self.when else {}
        return {**place, "pods": self.pods, "total": self.total, "by": self.by, **when, "why": list(self.why)}


BY_NAVARCH, BY_ISTIOD = "Navarch", "istiod"
BY_WAVES, BY_ROLLOUT, BY_HAND = "waves", "rollout", "hand"
"""Who replaces pods: Navarch those of its gateways, and in waves those of workloads where the mesh asks for
that; istiod those of the Gateways that it deploys, all of them with its next look; a rollout restart, which
somebody has to ask for; for bare pods and Jobs only whoever made them."""


@dataclass(frozen=True, slots=True)
class Waves:
    """Where Navarch restarts workloads: its policy, the mesh's uid, and what namespaces say
    of their place and of their windows. What workloads say themselves is not known to the command."""

    policy: DataPlane
    mesh: str
    orders: Mapping[str, str]
    windows: Mapping[str, tuple[Windows, ...]] = field(default_factory=dict)

    def find(self, workload: Workload) -> int:
        """The wave of a workload; 0 where its owner restarts it."""
        order = self.orders.get(workload.namespace, "")
        if workload.kind not in API_VERSIONS or is_opted_out(order):
            return 0
        return find_wave(self.policy, self.mesh, workload.namespace, order)

    def describe(self, namespace: str, wave: int) -> str:
        """When the workloads of a namespace are restarted, in words."""
        place = f"wave {wave} of {count_waves(self.policy)}"
        own = [_describe(layer) for layer in self.windows.get(namespace, ())]
        return join([place, *map(describe_window, self.policy.windows or ()), *own])


def _describe(windows: Windows) -> str:
    told = " or ".join(map(describe_window, windows))
    return f"only while its namespace's are open: {told or 'these cannot be read'}"


def find_restarts(
    proxies: Iterable[tuple[ProxyPod, Workload]], *, stamp: str, pins: Pins, waves: Waves | None = None
) -> tuple[Restart, ...]:
    """The workloads among these pods with a proxy other than `stamp`, which the mesh will inject, or than
    their gateway's pin. Without `waves` their owners restart them."""
    old: defaultdict[Workload, list[ProxyPod]] = defaultdict(list)
    total: defaultdict[Workload, int] = defaultdict(int)
    for proxy, workload in proxies:
        total[workload] += 1
        if not is_current(proxy, {proxy.revision: stamp}, pins):
            old[workload].append(proxy)
    return tuple(
        sorted(
            _build_restart(workload, pods, total[workload], stamp=stamp, waves=waves)
            for workload, pods in old.items()
        )
    )


def _build_restart(
    workload: Workload, pods: list[ProxyPod], total: int, *, stamp: str, waves: Waves | None
) -> Restart:
    of_gateway = all(pod.gateway for pod in pods)
    wave = waves.find(workload) if waves is not None and not of_gateway and not workload.entrance else 0
    by = BY_HAND if workload.manual else BY_ISTIOD if workload.entrance else BY_ROLLOUT
    by = BY_NAVARCH if of_gateway else by
    return Restart(
        workload.namespace,
        workload.kind,
        workload.name,
        len(pods),
        total,
        BY_WAVES if wave else by,
        tuple(sorted({_explain(pod, stamp) for pod in pods})),
        waves.describe(workload.namespace, wave) if waves is not None and wave else "",
        wave,
    )


def _explain(proxy: ProxyPod, stamp: str) -> str:
    """Why a proxy is not what the mesh will inject. A stamp is a version, a dash, and a hash of what needs a
    restart."""
    if not proxy.proxy:
        return "another control plane injected it, or a release of Navarch that wrote no version"
    old, new = (text.rpartition("-")[0] for text in (proxy.proxy, stamp))
    return f"Istio {old} to {new}" if old != new else "the configuration that proxies start with changes"
