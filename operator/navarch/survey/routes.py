"""Gateways and routes in the namespaces of meshes, and which pods serve them.

Owns the requests of this look. Must never decide. Invariant: each request that fails is a gap, and the look
goes on; of a kind that the cluster does not have there is nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from navarch.core.diagnosis.certificates import Credential
from navarch.core.diagnosis.observed import ObservedCluster
from navarch.core.diagnosis.pods import list_memberships
from navarch.core.diagnosis.report import Subject, subject_of
from navarch.core.diagnosis.routes import ObservedRoutes
from navarch.core.diagnosis.routing import (
    GATEWAY_CLASSES,
    GATEWAYS,
    ISTIO_GATEWAYS,
    ROUTES,
    VIRTUAL_SERVICES,
    Entrance,
    Listener,
    OpenPorts,
    read_gateway,
    read_istio_gateway,
    read_open_ports,
    read_route,
    read_virtual_service,
)
from navarch.core.membership.rule import is_member
from navarch.core.model.parent import GATEWAY, parent_of
from navarch.core.model.refs import Manifest, Ref, is_object_name
from navarch.gather.owned import WATCH_OF
from navarch.kube.errors import KubeError, NotFound
from navarch.survey.snapshot import Gap, explain
from navarch.survey.surroundings import Surveyor


@dataclass(frozen=True, slots=True)
class Places:
    """Namespaces that are asked about: those of meshes, and those of none, where no istiod looks."""

    inside: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()


def find_places(
    cluster: ObservedCluster, meshes: Sequence[Manifest], *, whole: bool, namespace: str
) -> Places:
    """The namespaces of these meshes; of those without a mesh all of them, or this one."""
    asked = {(m["metadata"]["namespace"], m["metadata"]["name"]) for m in meshes}
    inside: set[str] = set()
    outside = {name for name in cluster.namespaces or {} if whole or name == namespace}
    for mesh, membership in list_memberships(cluster):
        there = {
            n.name for n in (cluster.namespaces or {}).values() if is_member(membership, n.name, n.labels)
        }
        outside -= there
        inside |= there if (mesh.namespace, mesh.name) in asked else set()
    return Places(frozenset(inside), frozenset(outside))


@dataclass(frozen=True, slots=True)
class RouteSurveyor:
    """Makes these requests by a surveyor, whose gaps grow while it does."""

    surveyor: Surveyor

    async def observe(self, places: Places) -> ObservedRoutes:
        """Gateways and routes in these namespaces; routes of theirs may name Gateways of any."""
        inside, gaps = places.inside, len(self.surveyor.gaps)
        entrances = [
            *map(read_istio_gateway, await self._list(ISTIO_GATEWAYS, inside)),
            *map(read_gateway, await self._list(GATEWAYS, inside)),
        ]
        routes = [read_virtual_service(each) for each in await self._list(VIRTUAL_SERVICES, inside)]
        for crd in ROUTES:
            routes += map(read_route, await self._list(crd, inside))
        whole = len(self.surveyor.gaps) == gaps
        served = {entrance.subject: self._find_serving(entrance) for entrance in entrances}
        unserved = [e.subject for e in entrances if not served[e.subject] and not await self._has_pods(e)]
        named = tuple(route for route in routes if route.parents)
        opened = self._read_ports({subject for found in served.values() for subject in found})
        seen = ObservedRoutes(
            tuple(entrances),
            named,
            served,
            frozenset(unserved),
            whole,
            open=opened,
            outside=tuple(map(read_gateway, await self._list(GATEWAYS, places.outside))),
            classes=await self._list_classes(),
        )
        return replace(seen, credentials=tuple([each async for each in self._read_credentials(seen)]))

    async def _read_credentials(self, seen: ObservedRoutes) -> AsyncIterator[Credential]:
        """The Secrets of listeners that pods of ours serve, each read once, with the rights of whoever looks.
        Without the right one gap stands for all."""
        read: dict[Ref, Mapping[str, Any] | None] = {}
        for entrance, listener, namespace, name in _list_secrets(seen):
            ref = Ref("v1", "Secret", namespace, name)
            if ref not in read and not is_object_name(name):
                read[ref] = None
            elif ref not in read:
                try:
                    read[ref] = (await self.surveyor.client.get(ref)).get("data") or {}
                except NotFound:
                    read[ref] = None
                except KubeError as error:
                    where = Gap("get", f"secrets in namespace {namespace}", explain(error))
                    if where not in self.surveyor.gaps:
                        self.surveyor.gaps.append(where)
                    continue
            secret = Subject("Secret", namespace, name)
            yield Credential(entrance.subject, listener.name, listener.hosts, secret, read[ref])

    async def _list_classes(self) -> frozenset[str] | None:
        """Names of GatewayClasses; None where they may not be listed."""
        gaps = len(self.surveyor.gaps)
        found = await self.surveyor.list_custom(GATEWAY_CLASSES)
        names = frozenset(each["metadata"]["name"] for each in found)
        return names if len(self.surveyor.gaps) == gaps else None

    async def _list(self, crd: str, inside: Container[str]) -> list[Manifest]:
        found = await self.surveyor.list_custom(crd)
        return [each for each in found if each["metadata"].get("namespace") in inside]

    def _find_serving(self, entrance: Entrance) -> tuple[Subject, ...]:
        """The MeshGateways whose pods, or whose Service, a Gateway names."""
        stores = self.surveyor.snapshot.stores
        if not entrance.is_istios:
            names = {address.removesuffix(".svc.cluster.local") for address in entrance.addresses}
            there = map(subject_of, stores["gateways"].list())
            return tuple(sorted(s for s in there if f"{s.name}.{s.namespace}" in names))
        found = set()
        for pod in stores["istiods"].list():
            parent = parent_of(pod)
            if parent is not None and parent.kind == GATEWAY and _has(pod, entrance.selector):
                found.add(Subject(GATEWAY, parent.namespace, parent.name))
        return tuple(sorted(found))

    def _read_ports(self, gateways: Iterable[Subject]) -> Mapping[Subject, OpenPorts]:
        """The ports of the Services of MeshGateways."""
        store = self.surveyor.snapshot.stores[WATCH_OF["Service"]]
        services = ((g, store.get(Ref("v1", "Service", g.namespace, g.name))) for g in gateways)
        return {gateway: read_open_ports(service) for gateway, service in services if service is not None}

    async def _has_pods(self, entrance: Entrance) -> bool:
        """Whether any pod serves a Gateway that none of ours serves; also where that cannot be seen. Without
        a selector all pods do, and those of Gateway API's are made by istiod."""
        if not entrance.is_istios or not entrance.selector:
            return True
        labels = ",".join(f"{key}={value}" for key, value in sorted(entrance.selector.items()))
        pods = await self.surveyor.list_pods(labels)
        return pods is None or bool(pods)


def _list_secrets(seen: ObservedRoutes) -> Iterator[tuple[Entrance, Listener, str, str]]:
    """Namespace and name of each Secret that a listener names. Istio's own Gateways name one beside the pods
    that serve them."""
    for entrance in seen.entrances:
        places = sorted({gateway.namespace for gateway in seen.served.get(entrance.subject, ())})
        for listener in entrance.listeners:
            for name, namespace in listener.secrets:
                beside = places if entrance.is_istios else places and [entrance.subject.namespace]
                for place in [namespace] if namespace and places else beside:
                    yield entrance, listener, place, name


def _has(pod: Manifest, selector: Mapping[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
