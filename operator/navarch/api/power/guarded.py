"""Which of a mesh's changes need the verb `host`, as one algorithm over the tables.

Owns how tables become maps that are compared key by key; the policy `host` says the same in CEL
(api/admission/host.py). Invariant: a field that no table frees is guarded, a value of another type than its
field's too, and what is put back as it was is never a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from navarch.api.controlplane import HOSTED
from navarch.api.power.hosting import FREE_WHEN_HOSTED
from navarch.api.power.meshconfig import MESH_CONFIG
from navarch.api.power.rules import Path, Power, Rule, Table, to_snake
from navarch.api.power.spec import SPEC
from navarch.api.power.values import VALUES

Tree: TypeAlias = Mapping[str, Any]

FREE_FORMS: Mapping[str, Table] = {"meshConfig": MESH_CONFIG, "values": VALUES}
"""Fields of the spec that keep what is written there, with the table of each."""


MOST_KEYS = 300
"""Keys of a map that is compared key by key; a larger one is guarded as a whole. CEL compares 30,000 keys for
longer than the API server waits (seen on 1.37), and no map of Istio's has a third of these."""


@dataclass(frozen=True, slots=True)
class Container:
    """A map of a free-form field in which some keys are free: those by themselves (both spellings), and the
    maps below it that are looked into (in JSON's spelling only; protobuf's is guarded as a whole)."""

    path: Path
    free: Mapping[str, Rule]
    inner: tuple[str, ...]


def list_containers(table: Table) -> list[Container]:
    """Maps in which something is free, from the top down."""
    freed = {path: rule for path, rule in table.items() if rule.power is Power.FREE}
    paths = {path[:end] for path in freed for end in range(len(path))}
    return [
        Container(
            path,
            {name: rule for at, rule in freed.items() if at[:-1] == path for name in _spell(at[-1])},
            tuple(sorted(at[-1] for at in paths if at and at[:-1] == path)),
        )
        for path in sorted(paths, key=lambda path: (len(path), path))
    ]


def _spell(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((name, to_snake(name))))


def find_guarded(new: Tree, old: Tree) -> Iterator[Path]:
    """Paths below spec whose change needs `host`, from one spec to another."""
    freed = FREE_WHEN_HOSTED if new.get("hosting") == HOSTED else {}
    for path, rule in SPEC.items():
        after, before = _get(new, path), _get(old, path)
        if not is_same(after, before) and not _is_free(freed.get(path, rule), after):
            yield path
    for name, table in FREE_FORMS.items():
        for container in list_containers(table):
            after, before = (_get_map(tree, (name, *container.path)) for tree in (new, old))
            if max(len(after), len(before)) > MOST_KEYS:
                if not is_same(after, before):
                    yield (name, *container.path)
                continue
            for key in _find_changed(container, after, before):
                yield (name, *container.path, key)


def _find_changed(container: Container, new: Tree, old: Tree) -> Iterator[str]:
    for key, value in new.items():
        inside = key in container.inner and isinstance(value, Mapping)
        rule = container.free.get(key)
        same = key in old and is_same(old[key], value)
        if not (inside or same or (rule is not None and _is_free(rule, value))):
            yield key
    for key, value in old.items():
        inside = key in container.inner and isinstance(value, Mapping)
        rule = container.free.get(key)
        if key not in new and not inside and not (rule is not None and is_removable(rule)):
            yield key


def is_removable(rule: Rule) -> bool:
    """Whether a free field may be left out as well."""
    return rule.allowed is None or None in rule.allowed


def _is_free(rule: Rule, value: Any) -> bool:
    if rule.power is not Power.FREE:
        return False
    if rule.kind is not None:
        return type(value) is rule.kind
    return rule.allowed is None or any(is_same(value, allowed) for allowed in rule.allowed)


def is_same(one: Any, other: Any) -> bool:
    """Equality of JSON as CEL has it: true is not 1, but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def _get(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree


def _get_map(tree: Any, path: Path) -> Tree:
    found = _get(tree, path)
    return found if isinstance(found, Mapping) else {}
