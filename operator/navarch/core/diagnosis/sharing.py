"""What an Istio of others has in common with meshes of Navarch.

Owns the comparison of a foreign control plane's reach with the members of our meshes. Must never judge labels
of webhooks: the meshes' own checks do (ForeignIstio, TagConflict, DefaultTagConflict). Invariant: of an
unknown reach nothing is claimed.

An istiod writes its root certificate into ConfigMap istio-ca-root-cert of every namespace that its
discoverySelectors select, and of all of them where it has none (pilot/pkg/bootstrap, namespace controller);
two that reach one namespace overwrite each other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.core.diagnosis.installations import Installation, Installer
from navarch.core.membership.rule import NEVER_MEMBERS, build_membership, is_member
from navarch.core.membership.selectors import matches
from navarch.core.model.labels import NAMESPACE_NAME
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Namespace
from navarch.core.world.neighbours import MeshSummary

LISTED = 5


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A mesh of Navarch, and the namespaces that belong to it."""

    mesh: MeshSummary
    members: frozenset[str]


def find_members(mesh: MeshSummary, namespaces: Mapping[str, Namespace], *, probe: str) -> frozenset[str]:
    """The namespaces of a mesh by their labels."""
    membership = build_membership(
        mesh.namespace,
        mesh.tag,
        default=mesh.default_tag,
        probe=probe,
        excluded=(*NEVER_MEMBERS, *mesh.put_out),
        member_of=mesh.member_of,
        cluster=mesh.cluster,
        in_place=mesh.in_place,
    )
    return frozenset(n.name for n in namespaces.values() if is_member(membership, n.name, n.labels))


def find_reach(
    config: Mapping[str, Any], namespace: str, namespaces: Mapping[str, Namespace]
) -> frozenset[str]:
    """The namespaces that an istiod with this MeshConfig looks at, its own included."""
    selectors: Sequence[Mapping[str, Any]] = config.get("discoverySelectors") or ({},)
    return frozenset({namespace}) | {
        n.name
        for n in namespaces.values()
        if any(matches(selector, {NAMESPACE_NAME: n.name, **n.labels}) for selector in selectors)
    }


def read_members(rolls: Iterable[Manifest], namespace: str) -> frozenset[str]:
    """The namespaces that Maistra's member rolls of one control plane name."""
    names = {namespace}
    for roll in rolls:
        if roll["metadata"]["namespace"] == namespace:
            names |= {*((roll.get("spec") or {}).get("members") or ())}
            names |= {*((roll.get("status") or {}).get("members") or ())}
    return frozenset(names)


def find_shared(
    installation: Installation, reach: frozenset[str] | None, neighbours: Iterable[Neighbour]
) -> Iterator[str]:
    """What one foreign control plane shares with our meshes, a sentence each."""
    for neighbour in neighbours:
        mesh = neighbour.mesh
        name = f"mesh {mesh.namespace}/{mesh.name}"
        if installation.namespace == mesh.namespace:
            yield f"it is in the namespace of {name}"
        if installation.revision and installation.revision in mesh.names:
            yield f"it has the revision of {name}"
        common = sorted((reach or frozenset()) & neighbour.members)
        if common:
            listed = ", ".join(common[:LISTED]) + ("" if len(common) <= LISTED else ", …")
            yield f"{_tell_reach(installation)} {listed} of {name}"


def _tell_reach(installation: Installation) -> str:
    if installation.installer is Installer.MAISTRA:
        return "its member roll names"
    return "its istiod writes its root certificate into"
