"""Rules about pods that have no sidecar although their namespace or they themselves ask for one.

Owns one named generator for each rule. Must never look anything up. Invariant: each pod is told by at most
one rule, with the command that gives it a sidecar.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from navarch.core.diagnosis.labels import (
    explain_lost,
    find_lost_namespaces,
    find_named,
    read_wish,
)
from navarch.core.diagnosis.observed import ObservedCluster, diagnose, list_names
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.membership.exclusions import exclude
from navarch.core.membership.injection import Injector, find_injectors
from navarch.core.membership.rule import Membership, build_membership, is_injected
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV
from navarch.core.model.messages import count
from navarch.core.model.naming import DEFAULT_TAG
from navarch.core.world.cluster import Namespace
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import AskingPod


def list_memberships(observed: ObservedCluster) -> Iterator[tuple[MeshSummary, Membership]]:
    """Each mesh with what makes a namespace its member."""
    environment, meshes = observed.environment, observed.meshes or ()
    for mesh in meshes:
        own = build_membership(
            mesh.namespace,
            mesh.tag,
            default=mesh.default_tag,
            probe=environment.probe_namespace,
            member_of=mesh.member_of,
            cluster=mesh.cluster,
            in_place=mesh.in_place,
        )
        yield (
            mesh,
            exclude(
                own,
                operator_namespace=environment.operator_namespace,
                meshes=meshes,
                namespaces=observed.namespaces or {},
                home=mesh.home,
                put_out=mesh.put_out,
            ),
        )


def check_pods_are_injected(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Where a namespace's labels ask for a mesh of Navarch's, its pods have a sidecar."""
    yield from (diagnosis for _, diagnosis in find_bare_namespaces(observed))


def find_bare_namespaces(observed: ObservedCluster) -> Iterator[tuple[MeshSummary, Diagnosis]]:
    """Namespaces of a mesh in which pods have no sidecar, each with that mesh."""
    bare: defaultdict[str, list[str]] = defaultdict(list)
    lost = find_lost_namespaces(observed)
    for pod in observed.bare or ():
        if pod.namespace not in lost:
            bare[pod.namespace].append(pod.name)
    for mesh, membership in list_memberships(observed):
        for name, pods in bare.items():
            namespace = (observed.namespaces or {}).get(name)
            if namespace is None or read_wish(namespace) is None:
                continue
            if not is_injected(membership, name, namespace.labels):
                continue
            have = count(len(pods), "pod has", "pods have")
            message = (
                f"{have} no sidecar although the namespace belongs to mesh "
                f"{mesh.namespace}/{mesh.name}: {list_names(sorted(pods))}; most likely they started before "
                f"it was labelled: kubectl -n {name} rollout restart deployment"
            )
            yield mesh, diagnose(Sign.PODS_NOT_INJECTED, Subject("Namespace", "", name), message)


def check_pods_ask_where_it_counts(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No pod asks for injection by itself in a namespace where a mesh of Navarch's does not hear it."""
    yield from (diagnosis for _, diagnosis in find_asking_pods(observed))


def find_asking_pods(observed: ObservedCluster) -> Iterator[tuple[MeshSummary | None, Diagnosis]]:
    """Pods without a sidecar that ask for one by themselves, by namespace and by what they ask with; each
    with the mesh that they name, None where they name none. Where the namespace itself asks, other rules
    tell."""
    if observed.webhooks is None or not observed.meshes:
        return
    asking: defaultdict[tuple[str, AskingPod], list[str]] = defaultdict(list)
    for pod in observed.asking or ():
        asking[pod.namespace, pod.without_name()].append(pod.name)
    for (name, pod), pods in asking.items():
        namespace = (observed.namespaces or {}).get(name)
        if namespace is None or namespace.terminating or read_wish(namespace) is not None:
            continue
        mesh = find_named(observed.meshes).get(pod.revision or DEFAULT_TAG)
        taker = next(find_injectors(namespace, pod.labels, observed.webhooks), None)
        told = _tell_taker(taker, name) if taker else _tell_refusal(observed, namespace, pod, mesh)
        ask = count(len(pods), "pod without a sidecar asks", "pods without a sidecar ask")
        message = f"{ask} for one by {pod.wish}, {told}"
        message = f"{message}. Pods: {list_names(sorted(pods))}"
        yield mesh, diagnose(Sign.PODS_ASK_FOR_INJECTION, Subject("Namespace", "", name), message)


def _tell_taker(taker: Injector, namespace: str) -> str:
    """That a webhook takes pods with such labels, so that these started before it did."""
    restart = f"kubectl -n {namespace} rollout restart deployment"
    if taker.parent is not None:
        mesh = f"{taker.parent.namespace}/{taker.parent.name}"
        return f"and most likely started before mesh {mesh} injected pods: {restart}"
    revision = f" (revision {taker.revision})" if taker.revision else ""
    name = f"MutatingWebhookConfiguration {taker.webhook}"
    return (
        f"and {name}, which is not Navarch's{revision}, takes such pods: "
        "once restarted they run the sidecar of that Istio, and belong to no mesh of Navarch's"
    )


def _tell_refusal(
    observed: ObservedCluster, namespace: Namespace, pod: AskingPod, mesh: MeshSummary | None
) -> str:
    """Why no webhook takes such pods, and what gives them a sidecar."""
    if why := explain_lost(observed, namespace.name):
        return f"and never get one here: {why}; run them in another namespace"
    meshes = observed.meshes or ()
    own = next((m for m in meshes if m.namespace == namespace.name), None)
    if own is not None:
        label = f"{ISTIO_REV}={own.tag}"
        return f"which no webhook takes in the namespace of a mesh; label them {label} in their templates"
    why = "an annotation selects no pod" if pod.annotated else "a mesh injects in its own namespaces only"
    tags = [m.tag for m in (mesh,) if m] or sorted(m.tag for m in meshes)
    tag = tags[0] if len(tags) == 1 else "TAG"
    choice = "" if len(tags) == 1 else f" (tags of meshes are {list_names(tags)})"
    labels = f"{ISTIO_REV}={tag}"
    if ISTIO_INJECTION in namespace.labels:
        labels = f"{ISTIO_INJECTION}- {labels}"
    return (
        f"and no webhook takes them: {why}; kubectl label namespace {namespace.name} {labels}{choice}, then "
        f"kubectl -n {namespace.name} rollout restart deployment"
    )
