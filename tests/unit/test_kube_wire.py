"""JSON that is nested deeper than Python's parser goes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from navarch.kube.wire import DEEPEST, parse


def nested(levels: int, opening: str, closing: str) -> str:
    return opening * levels + '"]}\\"{[ x"' + closing * levels


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, (dict, list)) and value:
        depth += 1
        value = value["a"] if isinstance(value, dict) else value[0]
    return depth


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]"), ('[{"a":', "}]")])
def test_what_is_nested_too_deep_reads_as_null_and_everything_beside_it_as_it_is(
    opening: str, closing: str
) -> None:
    deep = nested(5000, opening, closing)
    with pytest.raises(RecursionError):
        json.loads(deep)
    beside = {"x": [1, "{[\\", {"y": None}], "z": "}"}
    text = (
        f'{{"before": {json.dumps(beside)}, "deep": {deep}, "again": {deep}, "after": {json.dumps(beside)}}}'
    )
    for sent in (text, text.encode()):
        read = parse(sent)
        assert list(read) == ["before", "deep", "again", "after"]
        assert read["before"] == read["after"] == beside
        assert depth_of(read["deep"]) == depth_of(read["again"]) == DEEPEST - 1


def test_json_as_usual_is_read_as_it_is_and_what_is_none_is_refused() -> None:
    assert parse('{"a": [1]}') == {"a": [1]}
    assert depth_of(parse(nested(DEEPEST + 50, "[", "]"))) == DEEPEST + 50
    with pytest.raises(ValueError, match="Expecting"):
        parse("no json")
