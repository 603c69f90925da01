"""Whether an object still says what we applied: each desired value against the live one.

Owns the comparison of values. Ownership in managedFields does not show a writer that uses our field manager's
name, and any client may use it. Must never need a request. Pure. Invariants: a changed value of a desired
leaf is always found; where the API server spells a value in its own way the answer may be a false alarm,
which a forced apply then settles without a write (kube/evidence.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from navarch.core.model.hashing import stable_hash
from navarch.core.model.quantities import parse_quantity
from navarch.core.model.refs import Manifest

DIGESTS = "digests"
"""Of a ConfigMap that is kept without its data: the hash of each value, by key."""
_ALL = ""
MOST_DIGESTS = 64
"""Keys of a ConfigMap that are kept as digests: more than any of ours has."""

_UNCOMPARED = frozenset({"apiVersion", "kind", "status"})
_OF_METADATA = ("labels", "annotations")
_QUANTITIES = frozenset({"limits", "requests"})
_QUANTITY = frozenset({"sizeLimit", "divisor", "averageValue"})

_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "webhooks": ("name",),
    "matchConditions": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists whose items have a key; every other list is compared item by item."""
_PORTS = ("containerPort", "port", "protocol")
_DEFAULTS = {"protocol": "TCP"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A place at which an object does not say what is wanted, and what it says there. `pointer` is the JSON
    pointer of something that is to be removed; empty where applying ours puts it right."""

    path: str
    live: Any
    pointer: str = ""


def digest_data(data: Mapping[str, Any]) -> dict[str, str]:
    """What is kept of a ConfigMap's data. Of one with more keys than any of ours, one digest of all."""
    if len(data) > MOST_DIGESTS:
        return {_ALL: _digest(data)}
    return {key: _digest(value) for key, value in data.items()}


def _digest(value: Any) -> str:
    return stable_hash(value, length=32)


def find_differences(manifest: Manifest, live: Mapping[str, Any]) -> Iterator[Difference]:
    """Where `live` does not say what `manifest` says, in the manifest's order. Data that is kept as digests
    is compared by them."""
    for name, value in manifest.items():
        if name == "metadata":
            for part in _OF_METADATA:
                yield from _differ(
                    value.get(part) or {}, live["metadata"].get(part) or {}, f"metadata.{part}"
                )
        elif name == "data" and DIGESTS in live:
            for key, text in value.items():
                found = live[DIGESTS].get(key, live[DIGESTS].get(_ALL))
                if found != _digest(text):
                    yield Difference(f"data.{key}", found)
        elif name not in _UNCOMPARED:
            yield from _differ(value, live.get(name), name)


def _differ(desired: Any, live: Any, path: str) -> Iterator[Difference]:
    if isinstance(desired, Mapping):
        if isinstance(live, Mapping):
            for name, value in desired.items():
                yield from _differ(value, live.get(name), f"{path}.{name}")
        elif not (is_empty(desired) and is_empty(live)):
            yield Difference(path, live)
    elif is_list(desired):
        yield from _differ_in_list(desired, live, path)
    elif not _is_equal(desired, live, path):
        yield Difference(path, live)


def _differ_in_list(desired: Sequence[Any], live: Any, path: str) -> Iterator[Difference]:
    there = [] if live is None else live
    keys = keys_of(path, desired)
    if not is_list(there) or (not keys and len(desired) != len(there)):
        yield Difference(path, live)
        return
    for index, item in enumerate(desired):
        other = find_item(there, item, keys) if keys else there[index]
        if other is None and item is not None:
            yield Difference(f"{path}[{index}]", None)
        else:
            yield from _differ(item, other, f"{path}[{index}]")


def keys_of(path: str, items: Sequence[Any]) -> tuple[str, ...]:
    """The fields that tell the items of a list apart; none where the list is compared as a whole."""
    name = path.rpartition(".")[2]
    if not all(isinstance(item, Mapping) for item in items):
        return ()
    # Only of Services and containers: a NetworkPolicy's ports are one value.
    keyed = name == "ports" and (path == "spec.ports" or "ontainers[" in path)
    return _PORTS if keyed else _KEYS.get(name, ())


def read_key(item: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    """What tells an item of a list apart, with the API server's defaults."""
    return tuple(item.get(name, _DEFAULTS.get(name)) for name in keys)


def find_item(items: Sequence[Any], wanted: Any, keys: Sequence[str]) -> Any:
    """The first item with the same key as `wanted`; None where there is none."""
    key = read_key(wanted, keys)
    return next((i for i in items if isinstance(i, Mapping) and read_key(i, keys) == key), None)


def _is_equal(desired: Any, live: Any, path: str) -> bool:
    if desired is None or live is None:
        return is_empty(desired) and is_empty(live)
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if desired == live:
        return True
    above, _, name = path.rpartition(".")
    is_quantity = name in _QUANTITY or above.rpartition(".")[2] in _QUANTITIES
    return is_quantity and _amount(desired) is not None and _amount(desired) == _amount(live)


def _amount(value: Any) -> Decimal | None:
    try:
        return parse_quantity(str(value))
    except (ArithmeticError, KeyError):
        return None


def is_empty(value: Any) -> bool:
    """Whether a value says as much as no value: the API server leaves such out, or puts them in."""
    return value is None or value in ("", {}, [])


def is_list(value: Any) -> bool:
    """Whether a value is a list of JSON."""
    return isinstance(value, Sequence) and not isinstance(value, str)
