"""JSON that is nested deeper than Python's parser goes, and JSON that is read as YAML."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from navarch.kube.wire import DEEPEST, dump, parse


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


@given(st.text(st.characters(exclude_categories=())))
@example("😀")
@example("\ud800")
@example("\x00\x7f\x85\u2028\ufeff\ufffe\uffff")
def test_what_is_written_means_the_same_as_json_and_as_yaml(text: str) -> None:
    whole = re.sub("[\ud800-\udfff]", "\ufffd", text)
    written = dump({text: [text, 1, None, True]})
    expected = {whole: [whole, 1, None, True]}
    assert json.loads(written) == expected
    assert yaml.safe_load(written) == expected
