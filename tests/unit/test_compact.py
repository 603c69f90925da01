"""What is shared between trees: all that is equal, and nothing that is not."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from navarch.core.model import compact as module
from navarch.core.model.compact import compact
from navarch.core.model.plain_yaml import PlainDumper
from navarch.core.render.engine import dump_yaml
from navarch.kube.weight import weigh

SCALARS = st.none() | st.booleans() | st.sampled_from((0, 1, 2, 0.0, -0.0, 1.0, "", "a", "b", "1"))
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=12,
)


def spell(tree: Any) -> str:
    """Everything that a tree says, the order of fields and the types of numbers included."""
    return json.dumps(tree)


@given(trees=st.lists(TREES, max_size=8))
def test_a_compact_tree_equals_its_source_after_any_earlier_trees(trees: list[Any]) -> None:
    before = [spell(tree) for tree in trees]
    assert [spell(compact(tree)) for tree in trees] == before
    assert [spell(tree) for tree in trees] == before, "what came is left as it is"


def test_a_map_that_says_the_same_twice_is_shared_too() -> None:
    twice = '{"mine": %d, "both": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}'
    first, second = (compact(json.loads(twice % number)) for number in (1, 2))
    assert first["both"] is second["both"]
    assert first["both"]["limits"] is first["both"]["requests"]


def test_equal_parts_of_two_trees_are_one_and_others_are_not() -> None:
    def build(name: str) -> Any:
        return json.loads(json.dumps({"name": name, "ports": [{"port": 15012, "tls": True}], "x": {"y": 1}}))

    first, second = compact(build("one")), compact(build("two"))
    assert first["ports"] is second["ports"]
    assert first["x"] is second["x"]
    assert first is not second
    assert compact({"y": True}) is not first["x"]


def test_what_is_remembered_is_bounded_and_what_is_used_stays() -> None:
    used = compact({"used": {"by": "all"}})
    for number in range(3 * module._REMEMBERED):
        compact({"used": {"by": "all"}, "by one": {"number": number}})
    assert len(module._known) <= module._REMEMBERED
    assert compact({"used": {"by": "all"}})["used"] is used["used"]


def test_what_is_remembered_keeps_nothing_large_of_a_tree_that_is_gone() -> None:
    """Neither a wide map below a small one, nor a long text, nor a number of many digits."""
    module._known.clear()
    for number in range(50):
        wide = {f"{number} {field}": "v" * 60 for field in range(2000)}
        compact({"name": number, "labels": wide, "below": {"list": [*wide]}, "note": f"{number}" * 10_000})
        compact({"n" * 10_000: number, "digits": [number * 10**3000]})
    assert weigh([*module._known.values()]) < 64 * 1024, "of 20 MB"


@given(trees=st.lists(TREES, max_size=6))
def test_what_stands_twice_in_one_tree_is_written_in_full(trees: list[Any]) -> None:
    for tree in map(compact, trees):
        assert "&id" not in dump_yaml(tree) + yaml.dump(tree, Dumper=PlainDumper)
        assert yaml.safe_load(yaml.dump(tree, Dumper=PlainDumper)) == tree
