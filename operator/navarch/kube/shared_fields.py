"""Fields of ours that another field manager owns as well, and how they become ours alone.

Owns the arithmetic of fieldsV1. A value that two managers own stays when one of them lets go of it: after a
restore (`kubectl create`, `kubectl apply` of what `navarch render` prints) nothing that we leave out later
would ever go. Must never take from a manager what is not ours, nor touch entries of subresources. Pure.
Invariant: after the patch no other manager owns a field that our entry has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.model.ownership import MANAGER, fields_of, own_fields

_OURS = f"{MANAGER}-"
"""How our managers for other purposes begin."""


def find_shared(live: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of other managers, reduced to what they share with ours."""
    ours = own_fields(live)
    if not ours:
        return
    for entry in live["metadata"].get("managedFields") or ():
        if _is_other(entry) and (common := _intersect(fields_of(entry), ours)):
            yield {"manager": entry.get("manager"), "operation": entry.get("operation"), "fieldsV1": common}


def build_release(live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A JSON patch that leaves our fields to us alone; `live` has its whole managedFields."""
    ours = own_fields(live) or {}
    entries: list[dict[str, Any]] = []
    for entry in live["metadata"].get("managedFields") or ():
        if not _is_other(entry):
            entries.append(dict(entry))
        elif rest := _subtract(fields_of(entry), ours):
            entries.append({**entry, "fieldsV1": rest})
    metadata = live["metadata"]
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
    ]


def _is_other(entry: Mapping[str, Any]) -> bool:
    manager = entry.get("manager") or ""
    is_ours = manager.startswith(_OURS) or (manager == MANAGER and entry.get("operation") == "Apply")
    return bool(manager) and not is_ours and not entry.get("subresource")


def _intersect(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    common: dict[str, Any] = {}
    for name, node in theirs.items():
        if name == "." or name not in ours:
            continue
        below = _intersect(node, ours[name])
        if below or not node or not ours[name]:
            common[name] = below
    return common


def _subtract(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    for name, node in theirs.items():
        if name not in ours:
            rest[name] = node
        elif node and ours[name] and (below := _subtract(node, ours[name])):
            rest[name] = below
    return {} if rest.keys() == {"."} else rest
