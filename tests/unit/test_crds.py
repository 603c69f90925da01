"""The schema of our kinds: structural, bounded, described; and refused where it could not be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from navarch.api.export import RESOURCES, build_crd, build_resource_schema, build_schema
from navarch.api.meta import Model, build_rule, quote_cel
from pydantic import ConfigDict, Field

Schema = dict[str, Any]


def walk(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema inside a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from walk(schema[key], path + mark)


NODES = [
    pytest.param(node, id=path)
    for resource in RESOURCES
    for field in ("spec", "status")
    for path, node in walk(build_resource_schema(resource)["properties"][field], f"{resource.kind}.{field}")
]


@pytest.mark.parametrize("node", NODES)
def test_every_part_of_the_schema_is_structural_and_bounded(node: Schema) -> None:
    assert not node.keys() & {"$ref", "anyOf", "title", "default", "const"}
    assert node["type"] in {"string", "integer", "boolean", "object", "array"}
    match node["type"]:
        case "string":
            assert "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        case "integer":
            assert "minimum" in node
        case "array":
            assert "maxItems" in node
            assert node["x-kubernetes-list-type"] in {"atomic", "set", "map"}
            for key in node.get("x-kubernetes-list-map-keys", ()):
                assert key in node["items"]["required"]
        case "object":
            free = node.get("x-kubernetes-preserve-unknown-fields", False)
            assert free or "properties" in node or "maxProperties" in node


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_field_is_described(resource: Any) -> None:
    for path, node in walk(build_resource_schema(resource), resource.kind):
        for name, child in node.get("properties", {}).items():
            assert name == "metadata" or child["description"].endswith("."), f"{path}.{name}"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_rule_says_what_to_do_and_shows_the_value(resource: Any) -> None:
    for _, node in walk(build_resource_schema(resource), resource.kind):
        for rule in node.get("x-kubernetes-validations", ()):
            assert "; " in rule["message"]
            assert rule["messageExpression"].startswith("'%s: ")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_short_names_and_categories_do_not_collide_with_well_known_ones(resource: Any) -> None:
    names = build_crd(resource)["spec"]["names"]
    assert not {*names["shortNames"], *names["categories"]} & {"mcp", "all", "istio-io"}


def test_json_names_are_those_that_the_model_reads() -> None:
    for resource in RESOURCES:
        properties = build_schema(resource.spec)["properties"]
        assert set(properties) == {field.alias or name for name, field in resource.spec.model_fields.items()}


def test_a_union_of_types_is_an_error_and_not_a_missing_rule() -> None:
    class Loose(Model):
        either: int | str | None = Field(None, description="Either.")

    with pytest.raises(ValueError, match=r"Loose\.either: a union"):
        build_schema(Loose)


def test_a_default_is_an_error_since_it_could_never_change() -> None:
    class Settled(Model):
        size: int = Field(3, description="Size.")

    with pytest.raises(ValueError, match=r"Settled\.size: a default"):
        build_schema(Settled)


def test_a_keyword_without_a_place_in_the_schema_is_an_error() -> None:
    class Odd(Model):
        even: Annotated[int, Field(multiple_of=2)] = Field(description="Even.")

    with pytest.raises(ValueError, match=r"Odd\.even: multipleOf"):
        build_schema(Odd)


def test_rules_of_a_model_stand_wherever_the_model_is_used() -> None:
    class Inner(Model):
        model_config = ConfigDict(
            json_schema_extra={"x-kubernetes-validations": [build_rule("self.a > 1", message="small; grow")]}
        )
        a: int = Field(description="A.")

    class Outer(Model):
        inner: list[Inner] | None = Field(None, description="Inner ones.")

    schema = build_schema(Outer)["properties"]["inner"]
    assert schema["items"]["x-kubernetes-validations"][0]["rule"] == "self.a > 1"
    assert schema["description"] == "Inner ones."


def test_text_of_a_rule_survives_quotes_and_percent_signs() -> None:
    rule = build_rule("self.a", message="not 100% 'right'; see \\n", shown="self.a")
    assert rule["messageExpression"] == r"'%s: not 100%% \'right\'; see \\n'.format([self.a])"
    assert quote_cel("a\nb") == r"'a\nb'"
