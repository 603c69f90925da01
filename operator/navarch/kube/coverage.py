"""Whether our entry in managedFields still covers everything that we desire.

Owns the reading of fieldsV1. Changing or removing one of our fields takes it out of our entry, so a
leaf without an owner *is* the drift, while defaulting, quantities and other people's additions do not show.
Must never compare values but in the one place where the format is ambiguous (below). Pure.
Invariant: right after a server-side apply of a manifest, its entry covers it.

The format (structured-merge-diff): `f:<name>` a field, `k:<json>` an item of an associative list by its keys,
`v:<json>` a value of a set, `.` the item itself. `{}` below an item means that all of its fields were lost.
`{}` below the field of a map means either an atomic map, wholly ours, or an entry whose fields were all lost
(seen with PeerAuthentication's portLevelMtls): there the live value decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from navarch.core.model.ownership import own_fields
from navarch.core.model.refs import Manifest

_UNOWNED = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset({"name", "namespace", "uid", "resourceVersion"})
_DEFAULT_KEYS = {"protocol": "TCP"}
"""Keys of associative lists that the API server fills in: ports of Services and containers."""


def find_uncovered(manifest: Manifest, live: Mapping[str, Any], manager: str) -> Iterator[str]:
    """Paths of all leaves of `manifest` that `manager` does not own in `live`, in the manifest's order."""
    fields = own_fields(live, manager) or {}
    for name, value in manifest.items():
        if name == "metadata":
            owned = {key: item for key, item in value.items() if key not in _UNOWNED_METADATA}
            if owned:
                yield from _in_field(fields, name, owned, live, name)
        elif name not in _UNOWNED:
            yield from _in_field(fields, name, value, live, name)


def _in_field(parent: Mapping[str, Any], name: str, value: Any, live: Any, path: str) -> Iterator[str]:
    node = parent.get("f:" + name)
    below = live.get(name) if isinstance(live, Mapping) else None
    if node is None:
        yield path
    elif node:
        yield from _below(node, value, below, path)
    elif isinstance(value, Mapping) and not _contains(below, value):
        yield path


def _below(node: Mapping[str, Any], value: Any, live: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _in_field(node, name, item, live, f"{path}.{name}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _in_list(node, value, live, path)


def _in_list(node: Mapping[str, Any], items: Sequence[Any], live: Any, path: str) -> Iterator[str]:
    values = [json.loads(name[2:]) for name in node if name.startswith("v:")]
    keyed = [(json.loads(name[2:]), child) for name, child in node.items() if name.startswith("k:")]
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            if item not in values:
                yield f"{path}[{index}]"
            continue
        keys, child = next(((keys, child) for keys, child in keyed if _is_keyed(item, keys)), (None, None))
        if keys is None or child is None:
            yield f"{path}[{index}]"
        else:
            there = next((other for other in live or () if _is_keyed(other, keys)), None)
            yield from _below(child, item, there, f"{path}[{index}]")


def _is_keyed(item: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    return all(item.get(name, _DEFAULT_KEYS.get(name, value)) == value for name, value in keys.items())


def _contains(live: Any, desired: Any) -> bool:
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(_contains(live.get(k), v) for k, v in desired.items())
    return bool(live == desired)
