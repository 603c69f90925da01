"""A user's MeshConfig and values against Istio's own definitions of them.

Owns the comparison. istiod ignores unknown fields silently, and keeps the last good configuration when it
cannot read a new one (pkg/util/protomarshal, pkg/config/mesh, pkg/kube/inject), so neither would ever show.
Must never know a field's name: the definitions are descriptors compiled from Istio's modules. Invariant: what
passes without a problem is read by istiod whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from navarch.core.istio.validation.grammar import parse_duration

MESH_CONFIG = "istio.mesh.v1alpha1.MeshConfig"

MESH_NETWORKS = "istio.mesh.v1alpha1.MeshNetworks"
VALUES = "istio.operator.v1alpha1.Values"

_OWN_JSON = "google.protobuf."
"""Messages of this package have JSON forms of their own (a Duration is a string) and are read whole."""


_INT_OR_STRING = "IntOrString"
"""The one message of Istio's for which it has a reader of its own (operator/pkg/apis)."""

HINTED = 20
"""Unknown names that are compared with known ones; a user reads no more, and each comparison takes time."""

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

_FRACTIONS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)

_WORDS = {
    "BoolValue": "true or false",
    "DoubleValue": "a number",
    "Duration": "a duration, such as 5s",
    "FloatValue": "a number",
    "Int32Value": "a whole number",
    "Int64Value": "a whole number",
    "IntOrString": "a whole number or a text",
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
    """One field that istiod would not take as it stands. `path` starts below the root, `nearest` is a known
    name that an unknown one may stand for, empty when there is none."""

    kind: Kind
    path: str
    value: str
    message: str
    nearest: str = field(default="", compare=False)


@lru_cache(maxsize=8)
def load_definition(descriptors: bytes, message: str) -> Descriptor:
    """A message of these descriptors, made when it is first needed, and once: nothing of minors that no mesh
    runs is ever in memory."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return pool.FindMessageTypeByName(message)


def find_problems(
    tree: Mapping[str, Any], descriptors: bytes, message: str = MESH_CONFIG
) -> Iterator[Problem]:
    """Everything in `tree` that the message of these descriptors has no place for."""
    return _walk_message(load_definition(descriptors, message), tree, "", iter(range(HINTED)))


def _walk_message(message: Descriptor, data: Any, path: str, hints: Iterator[int]) -> Iterator[Problem]:
    if not isinstance(data, Mapping):
        yield Problem(Kind.WRONG_TYPE, path, _show(data), f"is not a map of {message.name}'s fields")
        return
    known = {name: field for field in message.fields for name in (field.json_name, field.name)}
    for key, value in data.items():
        where = f"{path}.{key}" if path else str(key)
        field = known.get(str(key))
        if field is None:
            names = known if next(hints, None) is not None else ()
            nearest = next(iter(get_close_matches(str(key), names, n=1)), "")
            yield Problem(Kind.UNKNOWN, where, _show(value), f"{message.name} has no such field", nearest)
        elif value is not None:
            yield from _walk_field(message, field, value, where, hints)


def _walk_field(
    message: Descriptor, field: FieldDescriptor, value: Any, path: str, hints: Iterator[int]
) -> Iterator[Problem]:
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        entry = nested.fields_by_name["value"].message_type
        if entry is None or has_own_json(entry) or not isinstance(value, Mapping):
            yield from _parse(message, field, value, path)
        else:
            for key, item in value.items():
                yield from _walk_message(entry, item, f"{path}[{key}]", hints)
    elif nested is None or has_own_json(nested):
        yield from _parse(message, field, value, path)
    elif not field.is_repeated:
        yield from _walk_message(nested, value, path, hints)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _walk_message(nested, item, f"{path}[{index}]", hints)
    else:
        yield Problem(Kind.WRONG_TYPE, path, _show(value), "is not a list")


def has_own_json(message: Descriptor) -> bool:
    """Whether a message is written in JSON as something else than a map of its fields."""
    return message.full_name.startswith(_OWN_JSON) or message.name == _INT_OR_STRING


def _parse(message: Descriptor, field: FieldDescriptor, value: Any, path: str) -> Iterator[Problem]:
    if not is_readable(message, field, value):
        yield Problem(Kind.WRONG_TYPE, path, _show(value), f"is not {_wanted(field)}")


def is_readable(message: Descriptor, field: FieldDescriptor, value: Any) -> bool:
    """As protobuf's JSON has it, but for what istiod's reader (golang/protobuf, jsonpb) does otherwise."""
    name = field.message_type.name if field.message_type is not None else ""
    if name == "Duration":
        return isinstance(value, str) and parse_duration(value) is not None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name == _INT_OR_STRING:
        return whole or isinstance(value, str)
    if field.enum_type is not None and not field.is_repeated:
        return whole or (isinstance(value, str) and value in field.enum_type.values_by_name)
    if isinstance(value, bool) and (field.cpp_type in _FRACTIONS or name in ("DoubleValue", "FloatValue")):
        return False
    try:
        json_format.ParseDict({field.json_name: value}, message_factory.GetMessageClass(message)())
    except (json_format.ParseError, TypeError):
        return False
    return True


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
