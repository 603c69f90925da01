"""What server-side apply cannot do by itself: ports that another client renumbered, maps that are emptied.

Ports of Services and containers are keyed by number and protocol, and their names must be unique. A
renumbered port is a foreign item with our item's name, so applying ours beside it is refused. Of a map whose
fields were all ours, and which is to stay without any, the API server makes null, which the schema of a
custom resource refuses. Owns finding such places; pure. Must never name one that does not stand in the way.
Invariant: without what it names, what is desired can be applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_LIST = "ports"
_NUMBERS = ("port", "containerPort")
_NULL = '"null"'
"""In an answer: how the API server names the value that it made of such a map."""


def find_obstacles(desired: Any, live: Any, answer: str) -> Iterator[tuple[str, Any]]:
    """What has to go before `desired` can be applied, each with its JSON pointer, by what the API server
    answered when it was."""
    yield from find_collisions(desired, live)
    if _NULL in answer:
        yield from _find_emptied(desired, live)


def _find_emptied(desired: Any, live: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Maps of `live` that are to be there and to have nothing in them."""
    if not isinstance(desired, Mapping) or not isinstance(live, Mapping):
        return
    if live and not desired:
        yield path, live
    for name, value in desired.items():
        yield from _find_emptied(value, live.get(name), _point(path, name))


def find_collisions(desired: Any, live: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Items of `live` that have the name of a desired port and another key, each with its JSON pointer.

    The last one of a list comes first, so that they can be removed in the order given.
    """
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        for name, value in desired.items():
            below = _point(path, name)
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


def _point(path: str, name: Any) -> str:
    return f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"


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
