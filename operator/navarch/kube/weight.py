"""What an object costs in memory, and what is left of one that costs too much.

Owns both measures. Must never look at what a field means beyond the metadata that decisions read. Pure.
Invariants: what `reduce_object` returns weighs no more than `most`, or is the frame of the object, which
weighs at most a few KiB; a reduced object has the shape of the whole one (a map stays a map).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from navarch.core.model import labels as known
from navarch.core.model.labels import FINALIZER
from navarch.core.model.ownership import fields_of

Object: TypeAlias = dict[str, Any]

IDENTITY = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)
KNOWN = frozenset(
    {
        known.APPLIED,
        known.COMPONENT,
        known.CRD_MINOR,
        known.FORCE_DELETE,
        known.GATEWAY_CLASS_DEFAULTS,
        known.ISTIO_INJECTION,
        known.ISTIO_REV,
        known.ISTIO_TAG,
        known.MANAGED_BY,
        known.MESH_NAME,
        known.MESH_NAMESPACE,
        known.MESH_UID,
        known.NAMESPACE_NAME,
        known.PROFILE,
        known.PROXY,
        known.PROXY_IMAGE,
        known.REREAD,
        known.RESTART,
        known.REVISION,
        known.ROLL_NAME,
        known.ROLL_NAMESPACE,
        known.ROLL_UID,
        known.SIDECAR_INJECT,
    }
)
"""Labels and annotations that decisions read: the last that an object loses."""
LONGEST = 512
"""Characters of a label or annotation of a reduced object; a longer one is left out."""
_STEPS = ((64, 4096), (16, 1024), (4, 256))
"""Entries of a map or list, and characters of a text, that each further reduction leaves."""
_DEEPEST = 24
_SCALARS = frozenset({str, int, bool, float, bytes, type(None)})
_OTHER = 200
"""Bytes that a value of another type is taken for."""


def weigh(value: Any) -> int:
    """Bytes that a tree of JSON values and records takes in this process, about."""
    total, stack = 0, [value]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        kind = type(node)
        if kind is str and len(node) > LONGEST:
            if id(node) in seen:
                continue  # an alias of YAML: one text in many places
            seen.add(id(node))
        if kind is dict or isinstance(node, Mapping):
            total += sys.getsizeof(node) + sum(map(sys.getsizeof, node))
            stack.extend(node.values())
        elif kind is list or kind is tuple:
            total += sys.getsizeof(node)
            stack.extend(node)
        elif kind in _SCALARS:
            total += sys.getsizeof(node)
        elif dataclasses.is_dataclass(node):
            total += sys.getsizeof(node)
            stack += (getattr(node, part.name) for part in dataclasses.fields(node))
        else:
            total += _OTHER
    return total


def reduce_object(obj: Object, most: int) -> Object:
    """What is kept of an object that weighs more than `most` bytes.

    First the labels and annotations go that neither decisions read nor our own apply wrote; then maps, lists
    and texts are cut ever shorter; at last everything but the frame goes.
    """
    trimmed = {**obj, "metadata": _trim(obj["metadata"])}
    if weigh(trimmed) <= most:
        return trimmed
    metadata = trimmed["metadata"]
    for width, length in _STEPS:
        body = {key: value for key, value in trimmed.items() if key != "metadata"}
        reduced = {**_cut(body, width, length, _DEEPEST), "metadata": metadata}
        if weigh(reduced) <= most:
            return reduced
    return build_frame(obj)


def build_frame(obj: Object) -> Object:
    """Name, identity, and the labels and annotations that decisions read; nothing else."""
    metadata = obj["metadata"]
    kept = {key: metadata[key] for key in IDENTITY if key in metadata}
    for field in ("labels", "annotations"):
        if metadata.get(field):
            kept[field] = dict(_read_known(metadata[field], KNOWN))
    if FINALIZER in (metadata.get("finalizers") or ()):
        kept["finalizers"] = [FINALIZER]
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept}


def _read_known(entries: Mapping[str, str], keys: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from ((k, v) for k, v in entries.items() if k in keys and len(v) <= LONGEST)


def _trim(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without what others may add to it in any number."""
    kept = {key: metadata[key] for key in IDENTITY if key in metadata}
    fields: Any = {}
    if entries := metadata.get("managedFields"):
        kept["managedFields"] = entries  # of ours alone: the store has dropped the others'
        fields = (fields_of(entries[0]).get("f:metadata") or {}) if len(entries) == 1 else {}
    for field in ("labels", "annotations"):
        if metadata.get(field):
            own = {str(name)[2:] for name in fields.get(f"f:{field}") or () if str(name).startswith("f:")}
            kept[field] = dict(_read_known(metadata[field], KNOWN | own))
    if metadata.get("finalizers"):
        others = [name for name in metadata["finalizers"] if name != FINALIZER][:8]
        kept["finalizers"] = [*({FINALIZER} & {*metadata["finalizers"]}), *others]
    return kept


def _cut(value: Any, width: int, length: int, depth: int) -> Any:
    if isinstance(value, Mapping):
        if depth == 0:
            return {}
        first = (item for item, _ in zip(value.items(), range(width), strict=False))
        return {key[:length]: _cut(below, width, length, depth - 1) for key, below in first}
    if isinstance(value, (list, tuple)):
        return [_cut(below, width, length, depth - 1) for below in value[:width]] if depth else []
    return value[:length] if isinstance(value, str) else value
