"""One gateway as its reconcile has to see it.

Owns the composition of the aspects into ObservedGateway. Must never decide, and never write. Invariant: for a
settled gateway, gathering costs one request: the gateway itself, read fresh; and what is due of certificates,
where they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from navarch.api import gateway
from navarch.api.gateway import MeshGatewaySpec
from navarch.api.meta import API_VERSION
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.membership.rule import is_member, read_membership
from navarch.core.model.parent import identify
from navarch.core.model.refs import Manifest, Ref
from navarch.gather.autoscalers import gather_autoscalers
from navarch.gather.certificates import Place, read_labels
from navarch.gather.neighbours import by_parent
from navarch.gather.reference import find_mesh, find_revision
from navarch.gather.specs import parse_spec
from navarch.gather.watches import ROUTES
from navarch.gather.workload import read_pod, read_problems
from navarch.gather.world import World
from navarch.kube.errors import NotFound, Unserved


async def gather_gateway(world: World, namespace: str, name: str) -> ObservedGateway | None:
    """A gateway and everything its reconcile depends on; None when it is gone."""
    ref = Ref(API_VERSION, gateway.KIND, namespace, name)
    try:
        body = await world.client.get(ref)
    except (NotFound, Unserved):
        if (known := world.stores["gateways"].get(ref)) is not None:
            world.stores["gateways"].discard(ref, known["metadata"]["uid"])
        return None
    world.stores["gateways"].observe(body, own=True)
    world.orphans.remember(identify(body).any_uid)
    spec, error = parse_spec(MeshGatewaySpec, body)
    mesh = find_mesh(world, read_reference(body))
    parent = replace(identify(body), mesh=read_reference(body))
    inventory = world.owned.inventory(parent)
    owned = tuple(world.owned.objects(parent, inventory))
    pods = world.stores["istiods"].find(by_parent, parent.any_uid)
    names = sorted(pod["metadata"]["name"] for pod in pods)
    revision = find_revision(world, mesh)
    observed = ObservedGateway(
        environment=world.environment,
        assets=world.assets,
        parent=parent,
        body=body,
        spec=spec,
        spec_error=error,
        namespace=world.cluster.namespace(namespace),
        mesh=mesh,
        revision=revision,
        owned=owned,
        pods=tuple(sorted(filter(None, map(read_pod, pods)), key=lambda pod: pod.name)),
        proxies=tuple(world.cluster.proxies_named(namespace, names)),
        now=world.now(),
        roles=world.cluster.roles(),
        inventory=inventory,
        kinds=await world.kinds.gather(),
        kind_deleted=await world.orphans.find_kind_deletion(body),
        serves_routes=world.stores[ROUTES.name].served,
    )
    place = Place(namespace, name, read_labels(observed.workload), _find_inside(world, revision))
    return replace(
        observed,
        problems=read_problems(observed.workload, pods),
        certificates=await world.certificates.gather(place),
        autoscalers=await gather_autoscalers(world.client, spec, observed.workload, owned),
    )


def read_reference(body: Manifest) -> tuple[str, str]:
    """Namespace and name of the mesh that a gateway names."""
    reference = (body.get("spec") or {}).get("controlPlaneRef") or {}
    return str(reference.get("namespace") or body["metadata"]["namespace"]), str(reference.get("name", ""))


def _find_inside(world: World, revision: Manifest | None) -> Callable[[str], bool]:
    """Whether a namespace, by its name, belongs to a mesh."""
    if revision is None:
        return lambda _: False
    mesh = read_membership(revision, probe=world.environment.probe_namespace)

    def is_inside(name: str) -> bool:
        namespace = world.cluster.namespace(name)
        return is_member(mesh, name, namespace.labels if namespace else {})

    return is_inside


def by_mesh(body: Manifest) -> Iterator[tuple[str, str]]:
    """The mesh that a gateway names."""
    yield read_reference(body)
