"""Gateways as nodes of the tree, each with the routes that come in through it: MeshGateways, and those of
Gateway API that istiod deploys.

Owns the words about a gateway. Must never find anything wrong itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from navarch.core.diagnosis.node import Node, Trouble
from navarch.core.diagnosis.observed import list_names
from navarch.core.diagnosis.report import subject_of
from navarch.core.diagnosis.routes import ObservedRoutes
from navarch.core.diagnosis.routing import Entrance, Route
from navarch.core.diagnosis.workloads import Tally, Workload
from navarch.core.model.messages import count
from navarch.core.model.parent import GATEWAY, parent_of
from navarch.core.model.refs import Manifest


def name_gateway(namespace: str, name: str) -> str:
    """How a node of a gateway is called."""
    return f"{namespace}/{name}"


def build_gateway(
    gateway: Manifest, routes: ObservedRoutes, told: Mapping[tuple[str, str], list[Trouble]]
) -> Node:
    """A MeshGateway with the Gateways that its pods serve."""
    metadata, status = gateway["metadata"], gateway.get("status") or {}
    name = name_gateway(metadata["namespace"], metadata["name"])
    facts = {
        "type": gateway["spec"].get("type", ""),
        "version": status.get("version", ""),
        "ready": status.get("ready", 0),
        "desired": status.get("desired", 0),
        "addresses": list(status.get("addresses") or ()),
        "inline": parent_of(gateway) is not None,
    }
    summary = f"{facts['type']}{', made by the mesh' if facts['inline'] else ''}"
    summary += f", {facts['ready']} of {facts['desired']} pods ready"
    summary += f", at {', '.join(facts['addresses'])}" if facts["addresses"] else ", no address yet"
    entrances = routes.served_by(subject_of(gateway))
    children = tuple(_build_entrance(each, routes.attached(each)) for each in entrances)
    return Node(GATEWAY, name, summary, facts, tuple(told.get((GATEWAY, name), ())), children)


def build_deployed(routes: ObservedRoutes, counted: Mapping[Workload, Tally]) -> Iterator[Node]:
    """The Gateways for which istiod deployed pods that are in the mesh's census, waypoints among them."""
    pods: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for workload, census in counted.items():
        if workload.entrance:
            pods[workload.namespace, workload.entrance] += census
    for entrance in routes.entrances:
        there = pods.get((entrance.subject.namespace, entrance.subject.name))
        if there is not None and not entrance.is_istios and not entrance.addresses:
            node = _build_entrance(entrance, routes.attached(entrance))
            summary = f"{node.summary}; pods that istiod deployed: {there}"
            yield replace(node, summary=summary, facts={**node.facts, **there.to_json()})


def _build_entrance(entrance: Entrance, routes: Sequence[Route]) -> Node:
    """A Gateway with the routes that are attached to it; what is wrong with either stands at the mesh, since
    several gateways may have them."""
    ports = ", ".join(f"{listener.port} {listener.protocol}" for listener in entrance.listeners)
    children = tuple(
        Node(
            route.subject.kind,
            name_gateway(route.subject.namespace, route.subject.name),
            list_names(sorted({match.host for match in route.matches})),
            {"hosts": sorted({match.host for match in route.matches})},
        )
        for route in routes
    )
    name = name_gateway(entrance.subject.namespace, entrance.subject.name)
    facts = {"ports": [listener.port for listener in entrance.listeners], "routes": len(routes)}
    summary = f"ports {ports}; {count(len(routes), 'route', 'routes')}"
    return Node(entrance.subject.kind, name, summary, facts, (), children)
