"""The trees of `navarch describe namespace/NAME` and `pod/NAME`: what a pod there would get and why, and what
runs.

Owns their shape and words. Must never decide what a pod gets: membership/injection.py does. Invariant: what a
pod runs is read from the pod alone, what it would get from the namespace, the pod's labels and the webhooks,
so the two may differ, and that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.core.diagnosis.node import Node, Trouble
from navarch.core.diagnosis.report import Diagnosis
from navarch.core.diagnosis.workloads import Workload
from navarch.core.membership.injection import Injection, Injector, PodShape, Policy, determine_injection
from navarch.core.model.labels import SIDECAR_INJECT
from navarch.core.model.messages import count, join
from navarch.core.world.cluster import Namespace, Webhook
from navarch.core.world.proxies import ProxyPod

SHAPES: Mapping[str, PodShape] = {
    "a pod without labels": PodShape(),
    f"a pod with {SIDECAR_INJECT}=true": PodShape({SIDECAR_INJECT: "true"}),
}
"""Pods that are asked about in a namespace, whatever runs in it; the others only where they get something
else than the first."""


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod that is there: what decides what it would get, and the proxy that it runs, None for none.
    `native` says that the proxy is one of its init containers."""

    name: str
    shape: PodShape
    workload: Workload
    proxy: ProxyPod | None = None
    native: bool = False


@dataclass(frozen=True, slots=True)
class ObservedPlace:
    """Everything that the trees depend on. `meshes` are those to which the namespace belongs by their rule
    (namespace/name), `webhooks` and `pods` None where they may not be listed."""

    namespace: Namespace
    meshes: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] | None = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)
    pods: tuple[PodView, ...] | None = ()
    diagnoses: tuple[Diagnosis, ...] = ()

    def ask(self, shape: PodShape) -> Injection | None:
        """What a pod of this shape would get; None where that cannot be known."""
        if self.webhooks is None:
            return None
        return determine_injection(self.namespace, shape, self.webhooks, policies=self.policies)


def build_place(observed: ObservedPlace) -> Node:
    """The tree of a namespace."""
    whose = f"mesh {join(observed.meshes)}" if observed.meshes else "no mesh of Navarch's"
    return Node(
        "Namespace",
        observed.namespace.name,
        f"belongs to {whose}",
        {"meshes": list(observed.meshes)},
        tuple(Trouble(d.id, d.severity, d.message, d.remedy) for d in observed.diagnoses),
        (*_build_shapes(observed), *_build_pods(observed)),
    )


def build_pod(observed: ObservedPlace, pod: PodView) -> Node:
    """The tree of one pod."""
    injection = observed.ask(pod.shape)
    runs = Node("Injection", "now", f"runs {_tell_proxy(pod)}", _read_proxy(pod))
    facts = {"restart": _is_to_be_restarted(pod, injection)}
    told = "a restart changes which revision it runs" if facts["restart"] else "a restart changes no revision"
    return Node(
        "Pod",
        f"{observed.namespace.name}/{pod.name}",
        "" if injection is None else told,
        facts,
        (),
        (runs, *_build_injection("if the pod were made anew", injection)),
    )


def _build_shapes(observed: ObservedPlace) -> Iterator[Node]:
    first: Injection | None = None
    for name, shape in SHAPES.items():
        injection = observed.ask(shape)
        if first is None or injection is None or injection.injectors != first.injectors:
            yield from _build_injection(f"of {name}", injection)
        first = first or injection


def _build_injection(name: str, injection: Injection | None) -> Iterator[Node]:
    if injection is None:
        return
    injector = injection.injector
    facts = {
        "revision": injection.revision,
        "tag": injector.tag if injector else "",
        "mesh": _name_mesh(injector) if injector else "",
        "webhook": injector.webhook if injector else "",
        "entry": injector.entry if injector else "",
        "asks": injection.wish.value,
        "by": injection.wish.by,
        "refusal": injection.refusal,
    }
    yield Node("Injection", name, tell_injection(injection), facts)


def tell_injection(injection: Injection) -> str:
    """What a pod gets, and why."""
    injector = injection.injector
    if injector is None:
        return f"no sidecar: {injection.refusal}"
    mesh = _name_mesh(injector)
    whose = f"of mesh {mesh}" if mesh else "of an Istio that is not Navarch's"
    by = f", which tag {injector.tag} stands for" if injector.tag else ""
    why = f": {injection.wish.by}" if injection.wish.value else ""
    told = f"a sidecar of revision {injector.revision or 'without a name'} {whose}{by}{why}"
    rest = [other.webhook for other in injection.injectors[1:]]
    if rest:
        told += f"; {join(rest)} would inject it, too, and comes later by name"
    if injector.unread:
        told += f"; if the API server finds {join(injector.unread)}"
    return told


def _name_mesh(injector: Injector) -> str:
    return f"{injector.parent.namespace}/{injector.parent.name}" if injector.parent else ""


def _build_pods(observed: ObservedPlace) -> Iterator[Node]:
    if not observed.pods:
        return
    by_workload: dict[Workload, list[PodView]] = {}
    for pod in sorted(observed.pods, key=lambda p: (p.workload, p.name)):
        by_workload.setdefault(pod.workload, []).append(pod)
    children = tuple(
        Node(workload.kind, workload.name, "; ".join(_tell_pods(observed, pods)), _sum_up(observed, pods))
        for workload, pods in by_workload.items()
    )
    yield Node("Pods", "pods", f"{len(observed.pods)} in all", _sum_up(observed, observed.pods), (), children)


def _tell_pods(observed: ObservedPlace, pods: Sequence[PodView]) -> Iterator[str]:
    """The pods of a workload that are alike, and what they would get where that is something else."""
    alike = Counter((_tell_proxy(pod), _tell_change(pod, observed.ask(pod.shape))) for pod in pods)
    for (runs, change), number in alike.items():
        yield f"{count(number, 'pod runs', 'pods run')} {runs}{change}"


def _sum_up(observed: ObservedPlace, pods: Sequence[PodView]) -> dict[str, object]:
    restart = sum(_is_to_be_restarted(pod, observed.ask(pod.shape)) for pod in pods)
    revisions = Counter(pod.proxy.revision if pod.proxy else "" for pod in pods)
    return {"pods": len(pods), "revisions": dict(sorted(revisions.items())), "restart": restart}


def _tell_proxy(pod: PodView) -> str:
    if pod.proxy is None:
        return "no sidecar"
    return f"revision {pod.proxy.revision}" + (" as a native sidecar" if pod.native else "")


def _read_proxy(pod: PodView) -> dict[str, object]:
    return {"revision": pod.proxy.revision if pod.proxy else "", "native": pod.native}


def _is_to_be_restarted(pod: PodView, injection: Injection | None) -> bool:
    """Whether a pod runs another revision than it would get. What a gateway runs is its MeshGateway's to
    say."""
    if injection is None or (pod.proxy is not None and pod.proxy.gateway):
        return False
    return injection.revision != (pod.proxy.revision if pod.proxy else "")


def _tell_change(pod: PodView, injection: Injection | None) -> str:
    if injection is None or not _is_to_be_restarted(pod, injection):
        return ""
    if injection.injector is None:
        return f", and would get no sidecar: {injection.refusal}"
    return f", and would get revision {injection.revision}"
