"""The comparison sees what matters, and only that: without this, agreement would prove nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from navarch.core.model.refs import Manifest

from tests.upstream.combinations import COMBINATIONS
from tests.upstream.comparison import Gap, find_gaps, join_rights
from tests.upstream.rendering import render_ours
from tests.upstream.semantics import canonical_quantity

RENDERED = {c.name: render_ours(c) for c in COMBINATIONS[1:]}
OBJECTS = list(
    {
        manifest["kind"]: manifest
        for name in ("the default tag", "a network policy", "two to seven replicas", "placement")
        for manifest in RENDERED[name]
    }.values()
)
TEXTS = ("mesh", "meshNetworks", "config", "values", "original-values", "merged-values")


def compare(one: Manifest, other: Manifest) -> list[Gap]:
    return list(find_gaps([one], [other], namespace="north", plurals={}))


def walk(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """The path of every leaf but what the object is found by, and texts that are parsed."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from walk(item, *path, key)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from walk(item, *path, index)
    elif path not in {("kind",), ("metadata", "name")} and path[-1] not in TEXTS:
        yield path


def altered(manifest: Manifest, path: tuple[Any, ...]) -> Manifest:
    """A copy whose leaf at `path` is another one of the same type."""
    other = copy.deepcopy(manifest)
    *above, last = path
    node: Any = other
    for step in above:
        node = node[step]
    value = node[last]
    if isinstance(value, bool):
        node[last] = not value
    elif isinstance(value, int):
        node[last] = value + 1
    else:
        node[last] = f"{value}x" if isinstance(value, str) else {"x": "y"}
    return other


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda manifest: str(manifest["kind"]))
def test_a_change_of_any_leaf_is_a_gap(manifest: Manifest) -> None:
    unseen = [path for path in walk(manifest) if not compare(manifest, altered(manifest, path))]
    assert not unseen


@pytest.mark.parametrize("name", sorted(RENDERED.keys() - {"the usual providers, said with nothing"}))
def test_each_wish_changes_what_is_rendered(name: str) -> None:
    others = [objects for other, objects in RENDERED.items() if other != name]
    assert RENDERED[name] not in others


@pytest.mark.parametrize(
    ("one", "other"), [("2000m", "2"), ("1024Mi", "1Gi"), ("1", 1), ("0.5", "500m"), ("1k", "1000")]
)
def test_one_quantity_has_many_spellings(one: Any, other: Any) -> None:
    assert canonical_quantity(one) == canonical_quantity(other)


@pytest.mark.parametrize(("one", "other"), [("1Gi", "1G"), ("100m", "100"), ("1", "2")])
def test_different_quantities_stay_different(one: str, other: str) -> None:
    assert canonical_quantity(one) != canonical_quantity(other)


def role(*rules: Mapping[str, list[str]]) -> Manifest:
    return {"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": list(rules)}


def rule(group: str, resources: list[str], verbs: list[str]) -> Mapping[str, list[str]]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def test_rules_are_compared_as_permissions() -> None:
    apart = role(rule("a", ["x"], ["get"]), rule("a", ["y"], ["get"]))
    assert not compare(apart, role(rule("a", ["y", "x"], ["get"])))
    assert compare(apart, role(rule("a", ["x"], ["get"])))


def test_a_star_of_upstream_stands_for_the_kinds_that_istio_knows() -> None:
    star, known = role(rule("a", ["*"], ["get"])), {"a": ["x", "y"]}

    def gaps(*resources: str) -> list[str]:
        ours = role(rule("a", list(resources), ["get"]))
        return [gap.path for gap in find_gaps([star], [ours], namespace="n", plurals=known)]

    assert gaps("x", "y") == []
    assert gaps("x") == ["rules[a/y:get]"]
    assert gaps("x", "y", "z") == ["rules[a/z:get]"]


def test_an_object_that_one_side_lacks_is_a_gap() -> None:
    missing = list(find_gaps([role()], [], namespace="n", plurals={}))
    extra = list(find_gaps([], [role()], namespace="n", plurals={}))
    assert [(gap.where, gap.upstream, gap.ours) for gap in (*missing, *extra)] == [
        ("ClusterRole x", "(an object)", None),
        ("ClusterRole x", None, "(an object)"),
    ]


def bind(kind: str, role_name: str, account: str = "istiod-blue") -> Manifest:
    return {
        "kind": f"{kind}Binding",
        "metadata": {"name": f"{role_name}-x"},
        "roleRef": {"kind": "ClusterRole", "name": role_name},
        "subjects": [{"kind": "ServiceAccount", "name": account}],
    }


def named(name: str, *rules: Mapping[str, list[str]]) -> Manifest:
    return {**role(*rules), "metadata": {"name": name}}


def test_rights_are_compared_by_account_and_reach_and_not_by_role() -> None:
    read, write, near = rule("a", ["x"], ["get"]), rule("b", ["y"], ["patch"]), rule("c", ["z"], ["get"])
    other = named("reader", read)
    one = [
        other,
        named("all", read, write),
        bind("ClusterRole", "all"),
        named("near", near),
        bind("Role", "near"),
        bind("ClusterRole", "reader", "somebody"),
    ]
    apart = [
        other,
        named("first", read),
        named("second", write),
        named("near", near),
        *(bind("ClusterRole", name) for name in ("first", "second")),
        bind("Role", "near"),
        bind("ClusterRole", "reader", "somebody"),
    ]
    sides = join_rights(one), join_rights(apart)
    assert list(find_gaps(*sides, namespace="n", plurals={})) == []
    fewer = join_rights([o for o in apart if "second" not in o["metadata"]["name"]])
    (gap,) = find_gaps(sides[0], fewer, namespace="n", plurals={})
    assert gap.where == "ClusterRole istiod"
    swapped = [*apart[:-4], bind("Role", "first"), bind("Role", "second"), *apart[-2:-1]]
    with pytest.raises(AssertionError, match="rights of each reach"):
        join_rights(swapped)
