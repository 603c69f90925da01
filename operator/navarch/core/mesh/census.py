"""What the census of a mesh says: how many proxies are current, and which run where they should not.

Owns the counting and the verdict on proxies. Must never decide which pods are counted: membership/rule.py
does. Invariant: a pod outside of the mesh's namespaces changes a message at most, never a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.conditions import Verdict
from navarch.core.model.messages import count, join
from navarch.core.model.reasons import Reason
from navarch.core.world.count import ProxyCount, count_pods, tell_by_hand
from navarch.core.world.proxies import ProxyPod, read_pins


def count_proxies(observed: ObservedMesh) -> dict[str, Any]:
    """status.proxies: the census of the mesh's proxies, from the pods' own annotations."""
    census, counted = observed.census, _count(observed)
    gateways = sum(is_of_own_gateway(observed, proxy) for proxy in census.counted)
    workloads = [
        {"namespace": owner.namespace, "kind": owner.kind, "name": owner.name, "pods": pods}
        for owner, pods in counted.listed
    ]
    return {
        "total": counted.total,
        "current": counted.current,
        "outdated": counted.outdated,
        "misplaced": len(census.outside) + counted.misplaced,
        "manual": counted.by_hand,
        **({"manualWorkloads": workloads} if workloads else {}),
        **({"gateways": gateways} if gateways else {}),
        "summary": f"{counted.current}/{counted.total}",
    }


def _count(observed: ObservedMesh) -> ProxyCount:
    """The proxies in the mesh's namespaces. Who wrote the mesh's annotations on pods elsewhere is unknown:
    those are counted as misplaced and named nowhere else."""
    stamps = {
        r["metadata"]["name"]: (r.get("status") or {}).get("proxy", "")
        for r in observed.revisions
        if observed.in_place or r["metadata"]["name"] == observed.active
    }
    census = observed.census
    return count_pods(census.counted, census.of_others, stamps=stamps, pins=read_pins(observed.gateways))


def is_of_own_gateway(observed: ObservedMesh, proxy: ProxyPod) -> bool:
    """Whether a pod is one of a gateway that the mesh has made: it goes with the mesh."""
    own = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in observed.own_gateways}
    return bool(proxy.gateway) and (proxy.namespace, proxy.gateway) in own


def determine_proxies(observed: ObservedMesh) -> Verdict:
    """Whether every proxy of the mesh is current, and every proxy in its namespaces is the mesh's."""
    counted = _count(observed)
    if counted.outdated:
        have = count(counted.outdated, "pod runs", "pods run")
        restart = ["restart the workloads to update them"] if counted.replaceable else []
        remedies = "; ".join((*restart, *tell_by_hand(counted.manual)))
        return Verdict("False", Reason.PROXIES_OUTDATED, f"{have} an older proxy; {remedies}")
    census = observed.census
    outside = tell_outside(census.outside)
    if census.of_others:
        told = [tell_of_others(census.of_others), *([outside] if outside else [])]
        return Verdict("False", Reason.PROXIES_MISPLACED, "; ".join(told))
    return Verdict("True", Reason.AS_EXPECTED, outside)


def _restart(proxies: Iterable[ProxyPod]) -> str:
    names = sorted({p.namespace for p in proxies})
    return join(f"kubectl -n {name} rollout restart deployment" for name in names)


def tell_of_others(proxies: Sequence[ProxyPod]) -> str:
    """What is wrong with pods in the mesh's namespaces whose proxy another control plane injected."""
    revisions = join(sorted({p.revision for p in proxies}))
    pods = join(f"{p.namespace}/{p.name}" for p in proxies)
    return (
        f"{len(proxies)} pods in the mesh's namespaces run the proxy of another control plane ({revisions}): "
        f"{pods}. Their namespace holds this mesh's root certificate now, so they cannot reconnect to their "
        f"own istiod, and mutual TLS with this mesh fails; restart them: {_restart(proxies)}"
    )


def tell_outside(proxies: Sequence[ProxyPod]) -> str:
    """What is wrong with pods outside of the mesh's namespaces that say that it injected them; empty for
    none."""
    if not proxies:
        return ""
    pods = join(f"{p.namespace}/{p.name}" for p in proxies)
    say = count(len(proxies), "pod says that it runs", "pods say that they run")
    return (
        f"outside the mesh's namespaces {say} its proxy: {pods}. istiod no longer looks at their namespace; "
        f"bring it into the mesh again, or restart them: {_restart(proxies)}"
    )
