"""Upstream's rendering and ours side by side: every gap between two sets of objects.

Owns how objects find each other: by kind and role, which is the name without revision, tag and namespace;
the rights of istiod's account count as one object for each reach.
Must never judge a gap. Invariant: equal sets have none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.upstream.differences import OBJECT
from tests.upstream.semantics import Meaning, meaning_of

NAMESPACE, NAME, TAG = "north", "mesh", "blue"
REVISION = f"{TAG}-inplace"
REACHES = ("ClusterRole", "Role")
Plurals: TypeAlias = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class Gap:
    """One difference: `path` in the object of this kind and role (empty: the object itself), and what is
    there on either side; None where there is nothing."""

    where: str
    path: str
    upstream: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: upstream {self.upstream!r}, ours {self.ours!r}"


def role_of(manifest: Mapping[str, Any], namespace: str) -> str:
    """Kind and role of an object, like `Service istiod` and `Service istiod-revision-tag-TAG`."""
    name = manifest["metadata"]["name"].removesuffix(f"-{namespace}")
    name = name.replace(f"-{REVISION}", "")
    return f"{manifest['kind']} {re.sub(rf'-{TAG}$', '-TAG', name)}"


def join_rights(
    objects: Iterable[Mapping[str, Any]], account: str = "istiod", reaches: Collection[str] = REACHES
) -> list[Mapping[str, Any]]:
    """The objects with one ClusterRole and one Role in place of all roles and bindings of an account, whose
    name begins so: what it may do is compared, and not by which objects. Upstream makes the roles for each
    installation; ours come with the operator, and a mesh binds them."""
    objects = list(objects)
    roles = {(o["kind"], o["metadata"]["name"]): o for o in objects if o["kind"] in ("ClusterRole", "Role")}
    granted: dict[str, list[Any]] = {reach: [] for reach in reaches}
    joined: set[tuple[str, str]] = set()
    for binding in objects:
        if binding["kind"] in ("ClusterRoleBinding", "RoleBinding") and _is_of(binding, account):
            kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
            joined |= {(kind, name), (binding["kind"], binding["metadata"]["name"])}
            granted[binding["kind"].removesuffix("Binding")] += roles[kind, name]["rules"]
    assert all(granted.values()), f"{account} has rights of each reach"
    others = [o for o in objects if (o["kind"], o["metadata"]["name"]) not in joined]
    return others + [{"kind": k, "metadata": {"name": account}, "rules": r} for k, r in granted.items()]


def _is_of(binding: Mapping[str, Any], account: str) -> bool:
    return any(subject["name"].startswith(account) for subject in binding["subjects"])


def _index(objects: Iterable[Mapping[str, Any]], namespace: str) -> dict[str, Meaning]:
    roles: dict[str, Meaning] = {}
    for manifest in objects:
        role = role_of(manifest, namespace)
        if role in roles:
            raise AssertionError(f"two objects with the role {role}")
        roles[role] = meaning_of(manifest)
    return roles


def find_gaps(
    upstream: Iterable[Mapping[str, Any]],
    ours: Iterable[Mapping[str, Any]],
    *,
    namespace: str,
    plurals: Plurals,
) -> Iterator[Gap]:
    """Every gap between two renderings of one mesh in `namespace`; `plurals` are the resources that Istio
    knows of each API group, for upstream's roles say `*` of some."""
    theirs, mine = _index(upstream, namespace), _index(ours, namespace)
    for role in sorted({*theirs, *mine}):
        if role not in theirs:
            yield Gap(role, "", None, OBJECT)
        elif role not in mine:
            yield Gap(role, "", OBJECT, None)
        else:
            yield from _compare(role, _expand(theirs[role], plurals), mine[role])


def _compare(role: str, theirs: Meaning, mine: Meaning) -> Iterator[Gap]:
    for path in sorted({*theirs, *mine}):
        upstream, ours = theirs.get(path), mine.get(path)
        if (upstream != ours or type(upstream) is not type(ours)) and not _is_covered(path, theirs):
            yield Gap(role, path, upstream, ours)


_PERMISSION = re.compile(r"^rules\[([^/]*)/([^:]*):([^]]*)\]$")


def _is_covered(path: str, theirs: Meaning) -> bool:
    """Whether a permission of ours is one of those that upstream grants with a `*`."""
    found = _PERMISSION.match(path)
    if found is None or path in theirs:
        return False
    group, resource, verb = found.groups()
    return f"rules[{group}/*:{verb}]" in theirs or f"rules[{group}/{resource}:*]" in theirs


def _expand(meaning: Meaning, plurals: Plurals) -> Meaning:
    """`*` for all resources of a group becomes those that Istio has of it."""
    expanded: Meaning = {}
    for path, value in meaning.items():
        found = _PERMISSION.match(path)
        if found and found[2] == "*" and found[1] in plurals:
            expanded |= {f"rules[{found[1]}/{plural}:{found[3]}]": True for plural in plurals[found[1]]}
        else:
            expanded[path] = value
    return expanded
