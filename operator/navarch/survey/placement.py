"""`navarch describe namespace/NAME` and `pod/NAME`: what a pod there would get, and what runs.

Owns the requests of this look. Must never judge: core/diagnosis does. Invariant: it takes the rights to read
the namespace or the pod; what else may not be read is missing from the tree and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.diagnosis.cluster import run_rules_of_namespace
from navarch.core.diagnosis.node import Node
from navarch.core.diagnosis.observed import ObservedCluster, diagnose
from navarch.core.diagnosis.placement import ObservedPlace, PodView, build_place, build_pod
from navarch.core.diagnosis.pods import list_memberships
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.membership.injection import PodShape, Policy, list_injecting
from navarch.core.membership.rule import is_member
from navarch.core.membership.selectors import matches
from navarch.core.model.labels import NAMESPACE_NAME
from navarch.core.model.refs import Manifest, Ref
from navarch.core.model.trees import read_tree
from navarch.core.world.cluster import Namespace, Webhook
from navarch.core.world.proxies import read_proxy_pod
from navarch.gather.cluster import read_namespace
from navarch.gather.watches import SMALL_PAGE
from navarch.kube.errors import KubeError, NotFound
from navarch.kube.resources import resource_of
from navarch.survey.checkup import MeshNotFound
from navarch.survey.description import read_workload
from navarch.survey.session import Session, Target, open_session
from navarch.survey.snapshot import Gap, explain
from navarch.survey.surroundings import Surveyor

PROXY_CONTAINER = "istio-proxy"
INJECTOR_CONFIG = "istio-sidecar-injector"
LOOKED_FOR = ("mutatingwebhookconfigurations", "namespaces", "pods")
"""What the tree is made of, as gaps name it."""


async def describe_namespace(target: Target, name: str) -> Node:
    """The tree of a namespace. Raises MeshNotFound where there is none of that name."""
    async with open_session(target, namespace=name) as session:
        return build_place(await _observe(session, name))


async def describe_pod(target: Target, name: str, *, namespace: str) -> Node:
    """The tree of a pod. Raises MeshNotFound where there is none of that name."""
    async with open_session(target, namespace=namespace) as session:
        try:
            manifest = await session.client.get(Ref("v1", "Pod", namespace, name))
        except NotFound as error:
            raise MeshNotFound(f"there is no pod {name} in namespace {namespace}") from error
        return build_pod(await _observe(session, namespace, pods=False), read_pod(manifest))


async def _observe(session: Session, name: str, *, pods: bool = True) -> ObservedPlace:
    surveyor = Surveyor(session.client, session.snapshot, session.world)
    cluster = await surveyor.observe(whole=False, namespace=name, pods=pods)
    place = await _find_namespace(session, name)
    gaps = [*session.snapshot.gaps, *surveyor.gaps]
    views = None
    if pods:
        try:
            listing = await session.client.list(resource_of("v1", "Pod"), namespace=name, limit=SMALL_PAGE)
            views = tuple(map(read_pod, listing.items))
        except KubeError as error:
            gaps.append(Gap("list", "pods", explain(error)))
    return ObservedPlace(
        place,
        meshes=tuple(_list_meshes(cluster, place)),
        webhooks=cluster.webhooks,
        policies=await _read_policies(session, place, cluster.webhooks or ()),
        pods=views,
        diagnoses=tuple(_judge(cluster, place, gaps)) if pods else (),
    )


async def _find_namespace(session: Session, name: str) -> Namespace:
    """A namespace as the snapshot has it, or, where namespaces may not be listed, by itself."""
    if found := session.world.cluster.namespace(name):
        return found
    if session.snapshot.has("namespaces"):
        raise MeshNotFound(f"there is no namespace {name}")
    try:
        return read_namespace(await session.client.get(Ref("v1", "Namespace", "", name)))
    except NotFound as error:
        raise MeshNotFound(f"there is no namespace {name}") from error


def _list_meshes(cluster: ObservedCluster, place: Namespace) -> Iterator[str]:
    for mesh, membership in list_memberships(cluster):
        if is_member(membership, place.name, place.labels):
            yield f"{mesh.namespace}/{mesh.name}"


def _judge(cluster: ObservedCluster, place: Namespace, gaps: list[Gap]) -> Iterator[Diagnosis]:
    """What is wrong with the namespace, and what of all this could not be looked at."""
    subject = Subject("Namespace", "", place.name)
    yield from (d for d in run_rules_of_namespace(cluster, place.name) if d.subject == subject)
    for gap in dict.fromkeys(gaps):
        if gap.what.startswith(LOOKED_FOR) and not gap.narrowed:
            yield diagnose(Sign.NOT_LOOKED_AT, subject, str(gap))


def read_pod(manifest: Manifest) -> PodView:
    """A pod as the tree shows it."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    shape = PodShape(
        metadata.get("labels") or {}, metadata.get("annotations") or {}, bool(spec.get("hostNetwork"))
    )
    native = any(c.get("name") == PROXY_CONTAINER for c in spec.get("initContainers") or ())
    proxy = read_proxy_pod(manifest)
    return PodView(
        metadata["name"], shape, read_workload(manifest), proxy, native=native and proxy is not None
    )


async def _read_policies(
    session: Session, place: Namespace, webhooks: tuple[Webhook, ...]
) -> dict[str, Policy]:
    """What the configuration of each injector says that may take pods of a namespace. One that cannot be
    read counts as the usual one."""
    labels = {**place.labels, NAMESPACE_NAME: place.name}
    found: dict[str, Policy] = {}
    for webhook in webhooks:
        homes = {e.service for e in list_injecting(webhook) if matches(e.namespace_selector, labels)}
        if webhook.revision in found or not any(homes):
            continue
        suffix = f"-{webhook.revision}" if webhook.revision not in ("", "default") else ""
        ref = Ref("v1", "ConfigMap", max(homes), f"{INJECTOR_CONFIG}{suffix}")
        try:
            config = await session.client.get(ref)
        except KubeError:
            continue
        tree, _ = read_tree(str((config.get("data") or {}).get("config", "")), "config")
        if isinstance(tree, Mapping):
            found[webhook.revision] = read_policy(tree)
    return found


def read_policy(config: Mapping[str, Any]) -> Policy:
    """The part of an injector's configuration that decides whether it injects."""
    never, always = (
        tuple(s for s in config.get(key) or () if isinstance(s, Mapping))
        for key in ("neverInjectSelector", "alwaysInjectSelector")
    )
    return Policy(config.get("policy", "enabled") == "enabled", never, always)
