"""Gateways and routes in the namespaces of meshes, and which pods serve them.

Owns the requests of this look. Must never decide. Invariant: each request that fails is a gap, and the look
goes on; of a kind that the cluster does not have there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from navarch.core.diagnosis.report import Subject, subject_of
from navarch.core.diagnosis.routes import ObservedRoutes
from navarch.core.diagnosis.routing import (
    GATEWAYS,
    ISTIO_GATEWAYS,
    ROUTES,
    VIRTUAL_SERVICES,
    Entrance,
    read_gateway,
    read_istio_gateway,
    read_route,
    read_virtual_service,
)
from navarch.core.model.parent import GATEWAY, parent_of
from navarch.core.model.refs import Manifest
from navarch.survey.surroundings import Surveyor


@dataclass(frozen=True, slots=True)
class RouteSurveyor:
    """Makes these requests by a surveyor, whose gaps grow while it does."""

    surveyor: Surveyor

    async def observe(self, namespaces: Iterable[str]) -> ObservedRoutes:
        """Gateways and routes in these namespaces; routes of theirs may name Gateways of any."""
        inside, gaps = {*namespaces}, len(self.surveyor.gaps)
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
        named = tuple(route for route in routes if route.entrances)
        return ObservedRoutes(tuple(entrances), named, served, frozenset(unserved), whole)

    async def _list(self, crd: str, inside: set[str]) -> list[Manifest]:
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

    async def _has_pods(self, entrance: Entrance) -> bool:
        """Whether any pod serves a Gateway that none of ours serves; also where that cannot be seen. Without
        a selector all pods do, and those of Gateway API's are made by istiod."""
        if not entrance.is_istios or not entrance.selector:
            return True
        labels = ",".join(f"{key}={value}" for key, value in sorted(entrance.selector.items()))
        pods = await self.surveyor.list_pods(labels)
        return pods is None or bool(pods)


def _has(pod: Manifest, selector: Mapping[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
