"""One member as its reconcile has to see it.

Owns the composition of the aspects into ObservedMember. Must never decide, and never write. Invariant: for a
settled member, gathering costs one request: the member itself, read fresh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from navarch.api import member
from navarch.api.member import MeshMemberSpec
from navarch.api.meta import API_VERSION
from navarch.core.member.checks import read_mesh_windows
from navarch.core.member.observed import ObservedMember
from navarch.core.membership.rule import is_member, read_membership
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV
from navarch.core.model.naming import DEFAULT_TAG, IN_PLACE
from navarch.core.model.parent import Parent, identify, parent_of
from navarch.core.model.refs import Manifest, Ref
from navarch.core.world.cluster import Namespace
from navarch.core.world.proxies import read_pins
from navarch.gather.neighbours import by_members_default, by_revision_tag
from navarch.gather.reference import find_held, find_revision, find_standing_mesh, name_revisions
from navarch.gather.rollout import find_zones
from navarch.gather.specs import parse_spec
from navarch.gather.world import World
from navarch.kube.errors import NotFound


async def gather_member(world: World, namespace: str, name: str) -> ObservedMember:
    """A member, or what is left of one, and everything its reconcile depends on. Raises Unserved where the
    cluster does not have the kind: then nothing is known of any member."""
    ref = Ref(API_VERSION, member.KIND, namespace, name)
    try:
        body = await world.client.get(ref)
    except NotFound:
        if (known := world.stores["members"].get(ref)) is not None:
            world.stores["members"].discard(ref, known["metadata"]["uid"])
        return await observe_member(world, namespace, None)
    world.stores["members"].observe(body)
    return await observe_member(world, namespace, body)


async def observe_member(world: World, namespace: str, body: Manifest | None) -> ObservedMember:
    """Everything that a reconcile of the member `body` of a namespace depends on."""
    spec, error = parse_spec(MeshMemberSpec, body) if body is not None else (None, "")
    mesh = find_standing_mesh(world, read_reference(body)) if body is not None else None
    revision, place = find_revision(world, mesh), world.cluster.namespace(namespace)
    parent = identify_member(namespace, body)
    inventory = world.owned.inventory(parent)
    names = name_revisions(world, revision)
    proxies = tuple(world.cluster.proxies_in(namespace)) if names else ()
    return ObservedMember(
        environment=world.environment,
        assets=world.assets,
        parent=parent,
        namespace=namespace,
        body=body,
        spec=spec,
        spec_error=error,
        place=place,
        holds=find_held(world, namespace),
        mesh=mesh,
        taker=_find_taker(world, place, mesh) if place is not None else "",
        revision=revision,
        owned=tuple(world.owned.objects(parent, inventory)),
        inventory=inventory,
        stamp=str(((revision or {}).get("status") or {}).get("proxy") or ""),
        proxies=tuple(proxy for proxy in proxies if proxy.revision in names),
        of_others=tuple(proxy for proxy in proxies if proxy.revision not in names),
        pins=read_pins(world.stores["gateways"].list(namespace)),
        now=world.now(),
        kinds=await world.kinds.gather(),
        kind_deleted=await world.orphans.find_kind_deletion(body) if body is not None else "",
        zones=find_zones(
            [*(spec.restart_windows or () if spec is not None else ()), *read_mesh_windows(mesh)]
        ),
        webhooks=tuple(sorted(str(w.ref) for w in world.cluster.calls(namespace) if w.parent is None)),
    )


def _find_taker(world: World, place: Namespace, mesh: Manifest | None) -> str:
    """A mesh, other than the one that its member names, to which a namespace belongs by its labels."""
    value, store = place.labels.get(ISTIO_REV, ""), world.stores["revisions"]
    found = [*store.find(by_revision_tag, value, value.removesuffix(IN_PLACE))] if value else []
    if value == DEFAULT_TAG or ISTIO_INJECTION in place.labels:
        found += store.find(by_members_default, True)
    for revision in found:
        membership, parent = (
            read_membership(revision, probe=world.environment.probe_namespace),
            parent_of(revision),
        )
        if parent is None or (mesh is not None and identify(mesh).any_uid == parent.any_uid):
            continue
        if membership.by_tag and is_member(membership, place.name, place.labels):
            return f"{parent.namespace}/{parent.name}"
    return ""


def by_mesh(body: Manifest) -> Iterator[tuple[str, str]]:
    """The mesh that a member names."""
    yield read_reference(body)


def identify_member(namespace: str, body: Manifest | None) -> Parent:
    """A member as the parent of its objects, also one that is gone."""
    if body is None:
        return Parent(member.KIND, namespace, member.NAME)
    return replace(identify(body), mesh=read_reference(body))


def read_reference(body: Manifest) -> tuple[str, str]:
    """Namespace and name of the mesh that a member names."""
    reference = (body.get("spec") or {}).get("controlPlaneRef") or {}
    return str(reference.get("namespace", "")), str(reference.get("name", ""))
