"""One mesh as its reconcile has to see it.

Owns the composition of the aspects into ObservedMesh. Must never decide, and never write. Invariants: for a
settled mesh, gathering costs one request: the mesh itself, read fresh; of other meshes it looks at those
alone that its own decisions depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.core.membership.rule import build_membership, is_member, take_census
from navarch.core.mesh.authority import find_targets
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.proof import find_candidate
from navarch.core.mesh.rollout import ask_gates
from navarch.core.mesh.succession import list_revisions
from navarch.core.mesh.windows import list_windows
from navarch.core.model.parent import MESH, Parent, identify
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.trust.evidence import Targets
from navarch.core.world.proxies import Census
from navarch.core.world.trial import TrialPod
from navarch.gather.authority import gather_authority
from navarch.gather.crds import read_gateway_api, read_standard_gateway_api
from navarch.gather.gateway import by_mesh
from navarch.gather.member import by_mesh as by_mesh_of_member
from navarch.gather.neighbours import by_parent
from navarch.gather.rollout import gather_workloads, read_zones
from navarch.gather.specs import parse_spec
from navarch.gather.workload import read_trial_pod
from navarch.gather.world import World
from navarch.kube.errors import NotFound, Unserved
from navarch.kube.resources import resource_of


async def gather_mesh(world: World, namespace: str, name: str) -> ObservedMesh | None:
    """A mesh and everything its reconcile depends on; None when it is gone."""
    try:
        body = await world.client.get(Ref(API_VERSION, MESH, namespace, name))
    except NotFound:
        _forget(world, namespace, name)
        return None
    except Unserved:
        if world.owned.is_installed(resource_of(API_VERSION, MESH)):
            raise
        _forget(world, namespace, name)
        return None
    world.stores["meshes"].observe(body, own=True)
    world.orphans.remember(Parent(MESH, namespace, name))
    return await observe_mesh(world, body)


def _forget(world: World, namespace: str, name: str) -> None:
    """The mesh is gone, whether or not the watch has told of it."""
    for mesh in world.stores["meshes"].list(namespace):
        if mesh["metadata"]["name"] == name:
            world.stores["meshes"].discard(ref_of(mesh), mesh["metadata"]["uid"])


async def observe_mesh(world: World, body: Manifest) -> ObservedMesh:
    """Everything that a reconcile of the mesh `body` would depend on, whether or not it is in the cluster
    yet."""
    namespace = body["metadata"]["namespace"]
    parent = identify(body)
    spec, error = parse_spec(MeshControlPlaneSpec, body)
    own = world.neighbours.summarise_own(body)
    default, probe = bool((body.get("spec") or {}).get("defaultTag")), world.environment.probe_namespace
    membership = build_membership(
        namespace,
        own.tag,
        default=default,
        probe=probe,
        member_of=own.member_of,
        cluster=own.cluster,
        in_place=own.in_place,
    )
    namespaces = {ns.name: ns for ns in world.cluster.claimed(membership)}
    minors = world.neighbours.minors()
    revisions = world.owned.revisions(parent)
    inventory = world.owned.inventory(parent)
    owned = tuple(world.owned.objects(parent, inventory))
    profiles, profile_errors = world.cluster.profiles()
    webhooks = tuple(world.cluster.webhooks_about(own))
    observed = ObservedMesh(
        environment=world.environment,
        assets=world.assets,
        parent=parent,
        body=body,
        spec=spec,
        spec_error=error,
        meshes=tuple(sorted([own, *world.neighbours.find_rivals(body, own, namespaces)])),
        namespaces=namespaces,
        profiles=profiles,
        profile_errors=profile_errors,
        owned=owned,
        inventory=inventory,
        gateway_defaults=world.owned.gateway_defaults(parent, own.home, owned, inventory),
        peer_policies=world.owned.peer_policies(parent, owned, inventory),
        revisions=revisions,
        webhooks=webhooks,
        foreign_configs=tuple(world.cluster.foreign_configs(webhooks)),
        crds=await world.crds.gather(tuple(sorted({*minors, world.neighbours.minor_of(body)} - {""}))),
        crd_minors=minors,
        census=Census(),
        root=world.cluster.root(namespace),
        probe=None,
        now=world.now(),
        kind_deleted=await world.orphans.find_kind_deletion(body),
        roles=world.cluster.roles(),
        kinds=await world.kinds.gather(),
        gateways=world.stores["gateways"].find(by_mesh, (namespace, parent.name)),
        members=world.stores["members"].find(by_mesh_of_member, (namespace, parent.name)),
        gateway_api=read_gateway_api(world.stores["crds"], world.assets.catalog),
        authority=gather_authority(world.stores, own.home),
        standard_gateway_api=read_standard_gateway_api(world.stores["crds"], world.assets.catalog),
    )
    observed = replace(observed, census=_take_census(world, observed))
    workloads = gather_workloads(world, spec, {pod.namespace for pod in observed.census.counted})
    observed = replace(observed, workloads=workloads)
    zones = read_zones(spec, list_windows(observed) if workloads is not None else ())
    targets = find_targets(observed)
    trust, bundles = world.trust.read(parent.uid, targets), _gather_bundles(world, observed, targets)
    observed = replace(observed, zones=zones, trust=trust, bundles=bundles)
    observed = replace(
        observed,
        gates=world.gatekeeper.read(parent.uid, ask_gates(observed)),
        probe=await world.prober.probe(observed),
        asked_probe=await world.prober.probe_asked(observed),
        trial=tuple(_gather_trial(world, observed)),
    )
    return replace(observed, asked_validation=await world.prober.validate_asked(observed))


def _gather_bundles(world: World, observed: ObservedMesh, targets: Targets | None) -> dict[str, str]:
    """The roots by which pods trust istiod, while they change."""
    if targets is None:
        return {}
    names = {observed.parent.namespace, *(pod.namespace for pod in targets.pods)}
    return {name: world.cluster.root(name) for name in sorted(names)}


def _gather_trial(world: World, observed: ObservedMesh) -> Iterator[TrialPod]:
    """The pods of the proxy with which a revision is tried; none while there is nothing to try."""
    if find_candidate(observed) is not None:
        pods = world.stores["istiods"].find(by_parent, observed.parent.any_uid)
        yield from filter(None, map(read_trial_pod, pods))


def _take_census(world: World, observed: ObservedMesh) -> Census:
    mesh = find_effective_membership(observed)
    members = [name for name, ns in observed.namespaces.items() if is_member(mesh, name, ns.labels)]
    names = {revision["metadata"]["name"] for revision in observed.revisions}
    if not observed.in_place:
        names |= {*list_revisions(observed)}
    proxies = world.cluster.proxies_of(names, {observed.parent.namespace, *members})
    return take_census(mesh, observed.namespaces, proxies, revisions=names)
