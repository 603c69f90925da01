"""When workloads of a mesh's namespaces may be restarted, as these say themselves.

Owns the reading of MeshMembers and of annotations. Must never compute a time: core/rollout does. Invariant:
what cannot be read is there as no window, and not left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from navarch.api.dataplane import Window
from navarch.api.windows import Windows, read_windows
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.refs import Manifest


def read_own_windows(observed: ObservedMesh) -> dict[str, tuple[Windows, ...]]:
    """By namespace what its MeshMember and its annotation say; both count."""
    said: defaultdict[str, list[Windows]] = defaultdict(list)
    for member in observed.members:
        if (windows := read_member_windows(member)) is not None:
            said[member["metadata"]["namespace"]].append(windows)
    for name, namespace in observed.namespaces.items():
        if namespace.windows:
            said[name].append(read_windows(namespace.windows))
    return {name: tuple(layers) for name, layers in said.items()}


def read_member_windows(member: Manifest) -> Windows | None:
    """The windows of a MeshMember; None where it says nothing. One that an older CRD let through may be
    unreadable."""
    written = (member.get("spec") or {}).get("restartWindows")
    if not written:
        return None
    try:
        return tuple(map(Window.model_validate, written))
    except (ValidationError, TypeError):
        return ()


def list_windows(observed: ObservedMesh) -> Iterator[Window]:
    """All windows beside the mesh's own."""
    for layers in read_own_windows(observed).values():
        yield from _flatten(layers)
    for workload in observed.workloads.rollables if observed.workloads is not None else ():
        if workload.windows:
            yield from read_windows(workload.windows)


def _flatten(layers: Iterable[Windows]) -> Iterator[Window]:
    for layer in layers:
        yield from layer
