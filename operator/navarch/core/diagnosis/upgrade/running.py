"""Rules about what runs while a mesh is upgraded: proxies, budgets of disruption, autoscalers, and room.

Owns one named generator for each rule. Must never look anything up. Invariant: what was not looked at (None)
yields nothing here: the gap itself is told.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from navarch.core.diagnosis.observed import diagnose, list_names
from navarch.core.diagnosis.report import Diagnosis
from navarch.core.diagnosis.signs import Sign
from navarch.core.diagnosis.upgrade.observed import Amounts, Node, ObservedUpgrade, PlacedPod
from navarch.core.istio.catalog import ordinal_of
from navarch.core.membership.selectors import matches
from navarch.core.mesh.checks.capacity import count_replicas
from navarch.core.mesh.choice import choose_name
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.model.messages import count, join
from navarch.core.model.parent import GATEWAY, MESH
from navarch.core.world.proxies import read_pins

_VERSION = re.compile(r"([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})-")
"""How a proxy's stamp begins (core/render/values.py, proxy_stamp)."""
_MIB = Decimal(2) ** 20


def check_no_proxy_is_newer(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """No proxy is newer than the control plane that it is going to have. That proxies are too old the mesh's
    own checks tell, and those of pinned gateways too."""
    version, mesh = upgrade.release.version, upgrade.mesh
    if not mesh.in_place:
        return  # proxies stay with the istiod of their own version
    pins = read_pins(mesh.gateways)
    newer: defaultdict[str, set[str]] = defaultdict(set)
    pods = 0
    for proxy in mesh.census.counted:
        found = _VERSION.match(proxy.proxy)
        pinned = (proxy.namespace, proxy.gateway) in pins
        if found and not pinned and ordinal_of(found[1]) > ordinal_of(version):
            newer[found[1]].add(proxy.namespace)
            pods += 1
    if newer:
        told = join(f"{of} ({join(sorted(places))})" for of, places in sorted(newer.items()))
        run = count(pods, "pod runs a proxy that is", "pods run proxies that are")
        yield diagnose(Sign.PROXIES_TOO_NEW, upgrade.subject, f"{run} newer than {version}: {told}")


def _list_pods(upgrade: ObservedUpgrade) -> Iterator[PlacedPod]:
    """The pods of the mesh: those with its proxies, its istiods, and its gateways."""
    names = {revision["metadata"]["name"] for revision in upgrade.mesh.revisions}
    for pod in upgrade.around.pods or ():
        injected = pod.proxy is not None and pod.proxy.revision in names and pod.namespace in upgrade.inside
        if injected or upgrade.has(pod.parent):
            yield pod


def check_pods_may_be_disrupted(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """Every PodDisruptionBudget lets one pod of the mesh go at a time."""
    by_namespace: defaultdict[str, list[PlacedPod]] = defaultdict(list)
    for pod in _list_pods(upgrade):
        by_namespace[pod.namespace].append(pod)
    for budget in upgrade.around.budgets or ():
        if not budget.keeps or budget.selector is None:
            continue
        pods = [p.name for p in by_namespace[budget.subject.namespace] if matches(budget.selector, p.labels)]
        if pods:
            of = count(len(pods), "pod", "pods")
            message = f"lets none of {of} of {upgrade.name} go: {list_names(sorted(pods))}"
            yield diagnose(Sign.DISRUPTION_FORBIDDEN, budget.subject, message)


def check_autoscalers_have_room(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """No autoscaler of an istiod or a gateway of the mesh is at its maximum."""
    targets = {
        (pod.namespace, pod.deployment)
        for pod in upgrade.around.pods or ()
        if pod.deployment and upgrade.has(pod.parent)
    }
    for scaler in upgrade.around.autoscalers or ():
        place = (scaler.subject.namespace, scaler.target)
        if place in targets and scaler.least < scaler.most <= scaler.wanted:
            message = (
                f"Deployment {scaler.target} has as many pods as it may have ({scaler.most}), and none to "
                f"spare when every proxy of {upgrade.name} connects anew"
            )
            yield diagnose(Sign.AUTOSCALER_AT_MAXIMUM, scaler.subject, message)


# --- room --------------------------------------------------------------------------------------------------


def check_nodes_have_room(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """Nodes have room for what an upgrade adds to what runs, each workload by itself: one pod more of each
    istiod that is changed where it stands and of each gateway, since a new one is ready before an old one
    ends; and all pods of an istiod that comes up beside another. Node selectors and taints are heeded,
    affinity is not."""
    nodes, pods = upgrade.around.nodes, upgrade.around.pods
    if not nodes or pods is None:
        return
    free = {node.name: _find_free(node, pods) for node in nodes}
    wanted: dict[str, PlacedPod] = {}
    for pod in pods:
        if upgrade.has(pod.parent) and pod.deployment and (name := _tell_workload(pod)):
            before = wanted.get(name)
            if before is None or _rank(pod.requests) > _rank(before.requests):
                wanted[name] = pod
    for name, pod in sorted(wanted.items()):
        added = _count_added(upgrade, pod)
        takers = [node for node in nodes if _takes(node, pod)]
        room = sum(_count_fitting(pod.requests, free[node.name]) for node in takers)
        if room >= added:
            continue
        told = f"no node has room for one pod more of {name}, which asks for"
        if added > 1:
            told = f"nodes have room for {room} of {added} pods more of {name}, of which each asks for"
        amounts = _tell_amounts(pod.requests)
        would = f"{count(len(takers), 'node', 'nodes')} of {len(nodes)} would take it"
        yield diagnose(Sign.NO_ROOM_FOR_SURGE, upgrade.subject, f"{told} {amounts}; {would}")


def _count_added(upgrade: ObservedUpgrade, pod: PlacedPod) -> int:
    """For how many pods like this one there has to be room at once. A rollout goes on with one at a time,
    however many it would like to add."""
    mesh = upgrade.mesh
    assert mesh.spec is not None
    assert pod.parent is not None
    if pod.parent.kind == GATEWAY or mesh.find_revision(choose_name(mesh, upgrade.release.version)):
        return 1
    config = resolve_mesh(mesh.parent, mesh.spec, mesh.assets, profiles=mesh.profiles)
    return count_replicas(config.control_plane) if config and config.control_plane else 1


def _tell_workload(pod: PlacedPod) -> str:
    """What a pod is of, in a message; empty for pods that no rollout surges."""
    parent = pod.parent
    if parent is not None and parent.kind == GATEWAY:
        return f"MeshGateway {parent.namespace}/{parent.name}"
    of_istiod = parent is not None and parent.kind == MESH and pod.labels.get("app") == "istiod"
    return f"istiod in namespace {pod.namespace}" if of_istiod else ""


def _find_free(node: Node, pods: Iterable[PlacedPod]) -> dict[str, Decimal]:
    free = dict(node.allocatable)
    for pod in pods:
        if pod.node == node.name:
            for name, amount in pod.requests.items():
                if name in free:
                    free[name] -= amount
    return free


def _takes(node: Node, pod: PlacedPod) -> bool:
    """Whether a pod may be put on a node at all."""
    labelled = all(node.labels.get(key) == value for key, value in pod.node_selector.items())
    effective = (t for t in node.taints if t.get("effect") in ("NoSchedule", "NoExecute"))
    return (
        labelled
        and not node.unschedulable
        and all(any(_tolerates(each, taint) for each in pod.tolerations) for taint in effective)
    )


def _tolerates(toleration: Mapping[str, object], taint: Mapping[str, object]) -> bool:
    """As the scheduler has it (component-helpers, core/v1)."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    same = toleration.get("key") == taint.get("key")
    return same and (toleration.get("value") or "") == (taint.get("value") or "")


def _count_fitting(requests: Amounts, free: Amounts) -> int:
    """How many pods of these requests find room; each takes a place at least, so the number is finite."""
    asked = ((name, amount) for name, amount in requests.items() if amount > 0)
    return max(0, min(int(free.get(name, Decimal(0)) // amount) for name, amount in asked))


def _rank(requests: Amounts) -> tuple[Decimal, Decimal]:
    return requests.get("cpu", Decimal(0)), requests.get("memory", Decimal(0))


def _tell_amounts(requests: Amounts) -> str:
    cpu, memory = _rank(requests)
    return f"{int(cpu * 1000)}m of CPU and {int(memory / _MIB)}Mi of memory"
