"""`navarch describe`: one mesh with all that it consists of.

Owns the requests of this look: events, and which workload a pod belongs to. Must never judge: what is wrong
is a checkup's. Invariant: who may read the mesh gets a tree; what else may not be read is missing from it
and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from navarch.core.diagnosis.node import Node
from navarch.core.diagnosis.tree import EventNote, Portrait, build_tree
from navarch.core.diagnosis.workloads import Workload
from navarch.core.gateway.address import find_addresses
from navarch.core.membership.rule import build_membership, take_census
from navarch.core.model.conditions import ConditionType, is_true
from navarch.core.model.labels import GATEWAY_API_NAME
from navarch.core.model.refs import Manifest, Ref
from navarch.core.world.proxies import ProxyPod, find_owner
from navarch.gather.excerpts import Object, shrink_proxy_pod
from navarch.gather.gateway import read_reference
from navarch.gather.member import by_mesh as by_mesh_of_member
from navarch.gather.owned import WATCH_OF
from navarch.gather.watches import PROXIES, WATCHES, Watch
from navarch.kube.errors import KubeError
from navarch.kube.resources import resource_of
from navarch.survey.checkup import MeshNotFound, Scope, tell_missing
from navarch.survey.session import Session, Target, open_session
from navarch.survey.snapshot import Gap, explain

EVENTS = 10
"""How many Events are shown, the last ones; and of how many members that are not ready they are asked for."""
WORKLOAD = "workload"


def keep_workload(manifest: Object) -> Object:
    """Of a pod with a proxy: what a reconcile keeps of it, and what would make the pod again."""
    return {**shrink_proxy_pod(manifest), WORKLOAD: read_workload(manifest)}


def read_workload(pod: Manifest) -> Workload:
    """What a pod belongs to."""
    metadata = pod["metadata"]
    kind, name = find_owner(pod)
    entrance = (metadata.get("labels") or {}).get(GATEWAY_API_NAME, "") if kind == "Deployment" else ""
    return Workload(metadata["namespace"], kind, name, entrance)


def list_watches() -> Iterator[Watch]:
    """The operator's watches, by which also the workload of each proxy is kept."""
    for watch in WATCHES:
        yield replace(watch, transform=keep_workload) if watch is PROXIES else watch


async def describe(target: Target, name: str, *, namespace: str) -> Node:
    """The tree of a mesh. Raises MeshNotFound where there is none, or more than one, of that name."""
    async with open_session(target, namespace=namespace, watches=list_watches()) as session:
        scope = Scope(namespace, name)
        found = [mesh for mesh in session.snapshot.stores["meshes"].list() if scope.has(mesh)]
        if not found:
            raise MeshNotFound(tell_missing(scope, session.snapshot))
        if len(found) > 1:
            names = ", ".join(sorted(m["metadata"]["namespace"] for m in found))
            raise MeshNotFound(f"there are meshes of the name {name} in {names}: choose one with -n")
        mesh = found[0]
        checkup = session.start_checkup()
        report = await checkup.run(Scope(mesh["metadata"]["namespace"], name))
        examined = next(iter(checkup.examined), None)
        revisions = examined.revisions if examined else tuple(checkup.list_revisions(mesh))
        place = (mesh["metadata"]["namespace"], mesh["metadata"]["name"])
        gateways = tuple(g for g in session.snapshot.stores["gateways"].list() if read_reference(g) == place)
        members = session.snapshot.stores["members"].find(by_mesh_of_member, place)
        pending = [m for m in members if not _is_ready(m)][:EVENTS]
        waiting = list(_list_unreached(session, gateways))[:EVENTS]
        objects = [mesh, *revisions, *gateways, *waiting, *pending]
        portrait = Portrait(
            mesh=examined.body if examined else mesh,
            revisions=revisions,
            rolls=session.snapshot.stores["rolls"].list(place[0]),
            proxies=tuple(list_proxies(session, mesh, {r["metadata"]["name"] for r in revisions})),
            diagnoses=report.diagnoses,
            events=await _list_events(session, checkup.gaps, objects),
            gateways=gateways,
            members=members,
            routes=checkup.routes,
            narrowed=next((g.narrowed for g in session.snapshot.gaps if g.what == "pods"), ""),
        )
        return build_tree(portrait)


def _list_unreached(session: Session, gateways: Iterable[Manifest]) -> Iterator[Manifest]:
    """The Services of gateways that have no address: a cloud's controller says there what it lacks."""
    services = session.snapshot.stores[WATCH_OF["Service"]]
    for gateway in gateways:
        found = services.get(
            Ref("v1", "Service", gateway["metadata"]["namespace"], gateway["metadata"]["name"])
        )
        if found is not None and not find_addresses(found):
            yield {"kind": "Service", **found}


def _is_ready(member: Manifest) -> bool:
    return is_true((member.get("status") or {}).get("conditions") or (), ConditionType.READY)


def list_proxies(
    session: Session, mesh: Manifest, revisions: set[str]
) -> Iterator[tuple[ProxyPod, Workload]]:
    """The mesh's pods, by the rule of its census; the session's watches are `list_watches`."""
    world = session.world
    namespaces = {ns.name: ns for ns in world.cluster.namespaces()}
    summary = next(m for m in world.neighbours.summarise([mesh]))
    membership = build_membership(
        summary.namespace,
        summary.tag,
        default=summary.default_tag,
        member_of=summary.member_of,
        cluster=summary.cluster,
        in_place=summary.in_place,
        probe=world.environment.probe_namespace,
    )
    injected: dict[ProxyPod, Workload] = {
        pod["proxy"]: pod[WORKLOAD] for pod in session.snapshot.stores["proxies"].list() if pod["proxy"]
    }
    for proxy in take_census(membership, namespaces, injected, revisions=revisions).counted:
        yield proxy, injected[proxy]


async def _list_events(session: Session, gaps: list[Gap], objects: list[Manifest]) -> tuple[EventNote, ...]:
    """The last Events about these objects. They are read by the API's older name, which can select by uid."""
    notes: list[EventNote] = []
    for manifest in objects:
        metadata = manifest["metadata"]
        try:
            listing = await session.client.list(
                resource_of("v1", "Event"),
                namespace=metadata["namespace"],
                field_selector=f"involvedObject.uid={metadata['uid']}",
            )
        except KubeError as error:
            gaps.append(Gap("list", "events", explain(error)))
            continue
        notes += (_read_event(event, f"{manifest['kind']} {metadata['name']}") for event in listing.items)
    return take_last(notes)


def take_last(notes: Iterable[EventNote]) -> tuple[EventNote, ...]:
    """The last Events in their order, which fractions of a second decide; shown are whole seconds."""
    last = sorted(notes, key=lambda note: note.at)[-EVENTS:]
    return tuple(replace(note, at=note.at[:19] + "Z") for note in last)


def _read_event(event: Object, about: str) -> EventNote:
    at = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return EventNote(
        at,
        event.get("type", ""),
        event.get("reason", ""),
        about,
        event.get("message", ""),
        event.get("reportingComponent") or (event.get("source") or {}).get("component", ""),
    )
