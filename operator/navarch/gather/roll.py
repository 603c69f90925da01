"""One roll as its reconcile has to see it.

Owns the composition of the aspects into ObservedRoll. Must never decide, and never write. Invariant: for a
settled roll, gathering costs one request: the roll itself, read fresh.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api import member, roll
from navarch.api.meta import API_VERSION
from navarch.api.roll import MeshMemberRollSpec
from navarch.core.model.ownership import NOTHING, is_proved
from navarch.core.model.parent import identify
from navarch.core.model.refs import Manifest, Ref
from navarch.core.model.removal import is_torn_down
from navarch.core.roll.entries import asks_for_all, list_entries
from navarch.core.roll.observed import ObservedRoll
from navarch.core.world.cluster import Namespace
from navarch.gather.reference import find_held, find_revision
from navarch.gather.specs import parse_spec
from navarch.gather.world import World
from navarch.kube.errors import NotFound, Unserved


async def gather_roll(world: World, namespace: str, name: str) -> ObservedRoll | None:
    """A roll and everything its reconcile depends on; None when it is gone."""
    ref = Ref(API_VERSION, roll.KIND, namespace, name)
    try:
        body = await world.client.get(ref)
    except (NotFound, Unserved):
        if (known := world.stores["rolls"].get(ref)) is not None:
            world.stores["rolls"].discard(ref, known["metadata"]["uid"])
        return None
    world.stores["rolls"].observe(body, own=True)
    parent = identify(body)
    world.orphans.remember(parent.any_uid)
    spec, error = parse_spec(MeshMemberRollSpec, body)
    places = {place.name: place for place in _find_meant(world, spec)}
    members = world.stores["members"]
    found = {n: members.get(Ref(API_VERSION, member.KIND, n, member.NAME)) for n in places}
    return ObservedRoll(
        environment=world.environment,
        parent=parent,
        body=body,
        spec=spec,
        spec_error=error,
        mesh=find_mesh_beside(world, namespace),
        namespaces=places,
        holds={
            n: held
            for n in (*places, *(entry.name for entry in list_entries(spec)))
            if (held := find_held(world, n))
        },
        members={n: body for n, body in found.items() if body is not None},
        own=tuple(o for o in world.owned.objects(parent, NOTHING) if is_proved(o, parent, NOTHING)),
        now=world.now(),
        kinds=await world.kinds.gather(),
        kind_deleted=await world.orphans.find_kind_deletion(body),
    )


def find_mesh_beside(world: World, namespace: str) -> Manifest | None:
    """The mesh of a namespace: of several the one that is installed, else the oldest."""
    meshes = [mesh for mesh in world.stores["meshes"].list(namespace) if not is_torn_down(mesh)]
    return min(meshes, key=lambda mesh: (find_revision(world, mesh) is None, *_age(mesh)), default=None)


def _age(mesh: Manifest) -> tuple[str, str]:
    return mesh["metadata"]["creationTimestamp"], mesh["metadata"]["uid"]


def _find_meant(world: World, spec: MeshMemberRollSpec | None) -> Iterator[Namespace]:
    """The namespaces that a spec may mean: those that it names, and all where it does not say names alone."""
    if spec is not None and (spec.member_selectors or asks_for_all(spec)):
        yield from world.cluster.namespaces()
        return
    for name in dict.fromkeys(entry.name for entry in list_entries(spec)):
        if (found := world.cluster.namespace(name)) is not None:
            yield found
