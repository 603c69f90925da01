"""A user's MeshConfig against Istio's own definition of it, minor by minor.

Owns the comparison. istiod ignores unknown fields silently and keeps the last good configuration when it
cannot read a new one (pkg/util/protomarshal, pkg/config/mesh), so neither would ever show. Must never know a
field's name: the definition is the descriptor compiled from istio.io/api. Invariant: what passes without a
problem is read by istiod whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

MESH_CONFIG = "istio.mesh.v1alpha1.MeshConfig"
_OWN_JSON = "google.protobuf."
"""Messages of this package have JSON forms of their own (a Duration is a string) and are read whole."""

_SCALARS = {
    FieldDescriptor.CPPTYPE_BOOL: "BoolValue",
    FieldDescriptor.CPPTYPE_DOUBLE: "DoubleValue",
    FieldDescriptor.CPPTYPE_FLOAT: "FloatValue",
    FieldDescriptor.CPPTYPE_INT32: "Int32Value",
    FieldDescriptor.CPPTYPE_INT64: "Int64Value",
    FieldDescriptor.CPPTYPE_STRING: "StringValue",
    FieldDescriptor.CPPTYPE_UINT32: "UInt32Value",
    FieldDescriptor.CPPTYPE_UINT64: "UInt64Value",
}
_WORDS = {
    "BoolValue": "true or false",
    "DoubleValue": "a number",
    "Duration": "a duration in seconds, such as 5s",
    "FloatValue": "a number",
    "Int32Value": "a whole number",
    "Int64Value": "a whole number",
    "StringValue": "a text (in quotes where it looks like a number)",
    "Struct": "a map",
    "UInt32Value": "a whole number from 0",
    "UInt64Value": "a whole number from 0",
}


class Kind(StrEnum):
    """What is wrong with a field."""

    WRONG_TYPE = "wrong-type"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that istiod would not take as it stands. `path` starts below meshConfig, `nearest` is a known
    name that an unknown one may stand for, empty when there is none."""

    kind: Kind
    path: str
    value: str
    message: str
    nearest: str = ""


@lru_cache(maxsize=8)
def _load(descriptors: bytes) -> Descriptor:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return pool.FindMessageTypeByName(MESH_CONFIG)


def find_problems(mesh_config: Mapping[str, Any], descriptors: bytes) -> Iterator[Problem]:
    """Everything in `mesh_config` that MeshConfig of the minor with these `descriptors` has no place for."""
    return _walk_message(_load(descriptors), mesh_config, "")


def _walk_message(message: Descriptor, data: Any, path: str) -> Iterator[Problem]:
    if not isinstance(data, Mapping):
        yield Problem(Kind.WRONG_TYPE, path, _show(data), f"is not a map of {message.name}'s fields")
        return
    known = {name: field for field in message.fields for name in (field.json_name, field.name)}
    for key, value in data.items():
        where = f"{path}.{key}" if path else str(key)
        field = known.get(str(key))
        if field is None:
            nearest = next(iter(get_close_matches(str(key), [f.json_name for f in message.fields], n=1)), "")
            yield Problem(Kind.UNKNOWN, where, _show(value), f"{message.name} has no such field", nearest)
        elif value is not None:
            yield from _walk_field(message, field, value, where)


def _walk_field(message: Descriptor, field: FieldDescriptor, value: Any, path: str) -> Iterator[Problem]:
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        entry = nested.fields_by_name["value"].message_type
        if entry is None or entry.full_name.startswith(_OWN_JSON) or not isinstance(value, Mapping):
            yield from _parse(message, field, value, path)
        else:
            for key, item in value.items():
                yield from _walk_message(entry, item, f"{path}[{key}]")
    elif nested is None or nested.full_name.startswith(_OWN_JSON):
        yield from _parse(message, field, value, path)
    elif not field.is_repeated:
        yield from _walk_message(nested, value, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _walk_message(nested, item, f"{path}[{index}]")
    else:
        yield Problem(Kind.WRONG_TYPE, path, _show(value), "is not a list")


def _parse(message: Descriptor, field: FieldDescriptor, value: Any, path: str) -> Iterator[Problem]:
    try:
        json_format.ParseDict({field.json_name: value}, message_factory.GetMessageClass(message)())
    except (json_format.ParseError, TypeError):
        yield Problem(Kind.WRONG_TYPE, path, _show(value), f"is not {_wanted(field)}")


def _wanted(field: FieldDescriptor) -> str:
    """What a field takes, in words."""
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        return f"a map whose values are each {_wanted_item(nested.fields_by_name['value'])}"
    return f"a list of which each is {_wanted_item(field)}" if field.is_repeated else _wanted_item(field)


def _wanted_item(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return f"one of {', '.join(value.name for value in field.enum_type.values)}"
    name = field.message_type.name if field.message_type is not None else _SCALARS[field.cpp_type]
    return _WORDS.get(name, name)


def _show(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
