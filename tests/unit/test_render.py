"""With any value an object keeps its shape, and YAML reads back what was written."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
import yaml
from jinja2 import TemplateError, UndefinedError
from navarch.core.render.engine import dump_yaml, render_data, render_text

from tests.golden.rendering import ASSETS

NASTY = [
    "plain",
    "",
    " ",
    "a: b",
    "- x",
    "#",
    '"',
    "'",
    "\\",
    "{{ x }}",
    "null",
    "yes",
    "1e3",
    "0o17",
    "1_000",
    "0x1F",
    "~",
    "2026-01-01",
    "é",
    "\u2028",
    "\x7f",
    "\0",
    "\0000",
    "\x85",
    "\ufeff",
    "😀",
    "a\nb",
    "\ta\n b\n",
    "!tag",
    "&a",
    "*a",
    "%x",
    "@x",
    ".5",
]


def with_template(text: str, path: str = "x.yaml") -> Any:
    """Assets with one more template."""
    return replace(ASSETS, templates={**ASSETS.templates, path: text})


@pytest.mark.parametrize("text", NASTY)
def test_a_text_comes_back_from_a_template_as_it_was(text: str) -> None:
    assets = with_template("key: {{ text }}\nlist: [{{ text }}]\nmap: { {{ text }}: {{ text }} }\n")
    assert render_data(assets, "x.yaml", text=text) == {"key": text, "list": [text], "map": {text: text}}


@pytest.mark.parametrize("value", [0, 1.5, True, [], {}, {"a": [1, "x", {"b": False}]}])
def test_a_value_of_any_type_comes_back_as_it_was(value: Any) -> None:
    assert render_data(with_template("key: {{ value }}\n"), "x.yaml", value=value) == {"key": value}


def test_values_stand_where_each_was_printed() -> None:
    text = (
        "{% for key, value in pairs %}\n{{ key }}: { a: {{ value }}, b: {{ 1 }}, c: fixed }\n{% endfor %}\n"
    )
    pairs = [(f"k{number}", {"z": number, "a": None}) for number in range(12)]
    found = render_data(with_template(text), "x.yaml", pairs=pairs)
    assert found == {key: {"a": value, "b": 1, "c": "fixed"} for key, value in pairs}


def test_an_object_shares_nothing_with_its_values_nor_with_another_object() -> None:
    assets, value = with_template("key: {{ value }}\nlist: [fixed]\n"), {"a": ["x"]}
    first, second = (render_data(assets, "x.yaml", value=value) for _ in range(2))
    first["key"]["a"].append("y")
    first["list"].append("y")
    assert second == {"key": {"a": ["x"]}, "list": ["fixed"]}
    assert value == {"a": ["x"]}


def test_objects_of_one_shape_are_read_as_yaml_once() -> None:
    assets, reads = with_template("once: {{ value }}\n{% if more %}\nmore: 1\n{% endif %}\n"), 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal reads
        reads += event == "call" and frame.f_code is yaml.load.__code__

    sys.setprofile(note)
    try:
        for value in NASTY:
            for more in (False, True):
                render_data(assets, "x.yaml", value=value, more=more)
    finally:
        sys.setprofile(None)
    assert reads == 2


def test_a_name_that_the_context_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="missing"):
        render_data(with_template("key: {{ missing }}\n"), "x.yaml")
    with pytest.raises(UndefinedError, match="missing"):
        render_text(with_template("[[ missing ]]", "x.tpl"), "x.tpl")


def test_a_template_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TemplateError, match="nowhere"):
        render_data(ASSETS, "nowhere.yaml")


def test_a_text_for_istiod_keeps_gos_own_braces() -> None:
    text = "{{ .Go }} [[ x ]]\n[% if flag %]\nyes\n[% endif %]\n"
    assert render_text(with_template(text, "x.tpl"), "x.tpl", x="y", flag=True) == "{{ .Go }} y\nyes\n"


def test_what_is_not_a_number_is_no_value() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render_data(with_template("key: {{ value }}\n"), "x.yaml", value=float("nan"))


@pytest.mark.parametrize("text", NASTY)
def test_a_dumped_text_is_read_back_as_the_same_text(text: str) -> None:
    assert yaml.safe_load(dump_yaml({"key": text, "list": [text]})) == {"key": text, "list": [text]}


@pytest.mark.parametrize("text", ["1e3", "0o17", "y", "n", "no", "on", "1:30", ".inf", "012", "-1"])
def test_a_text_that_another_yaml_takes_for_something_else_is_quoted(text: str) -> None:
    assert dump_yaml([text]).strip() in (f'- "{text}"', f"- '{text}'")
