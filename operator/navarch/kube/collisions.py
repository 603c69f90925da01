"""Ports that another client renumbered: the one edit that server-side apply cannot repair by itself.

Ports of Services and containers are keyed by number and protocol, and their names must be unique. A
renumbered port is a foreign item with our item's name, so applying ours beside it is refused. Owns finding
such items; pure. Must never name an item that does not stand in the way of one of ours.
Invariant: without what it names, the desired ports can be applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_LIST = "ports"
_NUMBERS = ("port", "containerPort")


def find_collisions(desired: Any, live: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Items of `live` that have the name of a desired port and another key, each with its JSON pointer.

    The last one of a list comes first, so that they can be removed in the order given.
    """
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        for name, value in desired.items():
            below = f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if name == _LIST and isinstance(value, Sequence) and isinstance(live.get(name), Sequence):
                yield from _in_ports(value, live[name], below)
            else:
                yield from find_collisions(value, live.get(name), below)
    elif _is_list(desired) and _is_list(live):
        named = {item.get("name"): index for index, item in enumerate(live) if isinstance(item, Mapping)}
        for item in desired:
            index = named.get(item.get("name")) if isinstance(item, Mapping) else None
            if index is not None:
                yield from find_collisions(item, live[index], f"{path}/{index}")


def build_removal(found: Iterable[tuple[str, object]]) -> list[dict[str, object]]:
    """A JSON patch that removes what stands at these pointers, if it still does."""
    operations: list[dict[str, object]] = []
    for pointer, item in found:
        operations += [{"op": "test", "path": pointer, "value": item}, {"op": "remove", "path": pointer}]
    return operations


def _in_ports(desired: Sequence[Any], live: Sequence[Any], path: str) -> Iterator[tuple[str, Any]]:
    # An overlay may have put anything there; what the API server refuses is its own affair.
    named = (item for item in desired if isinstance(item, Mapping))
    wanted = {item["name"]: _key(item) for item in named if "name" in item}
    for index in reversed(range(len(live))):
        name = live[index].get("name")
        if name in wanted and wanted[name] != _key(live[index]):
            yield f"{path}/{index}", live[index]


def _key(port: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*(port.get(number) for number in _NUMBERS), port.get("protocol", "TCP"))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
