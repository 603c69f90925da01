"""A message of Istio's as its reader would hold it: one spelling per field, numbers as numbers.

Owns the normal form that rules are written against: names as in JSON, durations in nanoseconds, wrapped and
quoted numbers as numbers, enumerations by name; what the reader ignores or cannot read is left out
(definitions.py reports it). Also owns fields of which one silently wins: both spellings of one field, and two
members of a choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from navarch.core.istio.definitions import has_own_json, is_readable
from navarch.core.istio.validation.grammar import parse_duration

Tree: TypeAlias = Mapping[str, Any]

_WHOLE = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)
_WHOLE_WRAPPERS = ("Int32Value", "Int64Value", "UInt32Value", "UInt64Value")


@dataclass(frozen=True, slots=True)
class Violation:
    """One value that a reader of Istio's refuses. `path` starts below the root, in the form `a.b[0].c`;
    `message` is the end of a sentence whose subject is the field, `remedy` says what to do; a `warning` does
    not stop istiod, which only logs it."""

    path: str
    value: str
    message: str
    remedy: str
    warning: bool = False


def build_violation(path: str, value: Any, message: str, remedy: str = "") -> Violation:
    """A violation with the remedy that fits most."""
    return Violation(path, show(value), message, remedy or "correct the value, or leave it out")


def show(value: Any) -> str:
    """A value of the normal form in a message; numbers that were durations are shown by the caller."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def join_path(path: str, step: str) -> str:
    """A path with one more name."""
    return f"{path}.{step}" if path else step


def read_message(message: Descriptor, data: Any) -> dict[str, Any]:
    """The normal form of a message; empty for what is no map."""
    if not isinstance(data, Mapping):
        return {}
    tree: dict[str, Any] = {}
    for field in message.fields:
        value = data.get(field.json_name, data.get(field.name))
        if value is not None and (read := _read_field(message, field, value)) is not None:
            tree[field.json_name] = read
    return tree


def _read_field(message: Descriptor, field: FieldDescriptor, value: Any) -> Any:
    nested = field.message_type
    if nested is None or has_own_json(nested):
        return _read_plain(field, value) if is_readable(message, field, value) else None
    if nested.GetOptions().map_entry:
        return _read_map(nested.fields_by_name["value"].message_type, value)
    if not field.is_repeated:
        return read_message(nested, value) if isinstance(value, Mapping) else None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [read_message(nested, item) for item in value]
    return None


def _read_map(entry: Descriptor | None, value: Any) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    if entry is None:
        return {str(key): item for key, item in value.items() if item is not None}
    return {str(key): read_message(entry, item) for key, item in value.items()}


def _read_plain(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    name = field.message_type.name if field.message_type is not None else ""
    if name == "Duration":
        return parse_duration(value)
    if name in _WHOLE_WRAPPERS or (not name and field.cpp_type in _WHOLE):
        return int(value)
    if field.enum_type is not None and not isinstance(value, str):
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    return value


def find_contests(message: Descriptor, data: Any, path: str = "") -> Iterator[Violation]:
    """Fields that are given twice, in both spellings, and choices of which more than one is made."""
    if not isinstance(data, Mapping):
        return
    for field in message.fields:
        present = [
            name for name in dict.fromkeys((field.json_name, field.name)) if data.get(name) is not None
        ]
        if len(present) > 1:
            where = join_path(path, present[1])
            said = f"is ignored, for {present[0]} says the same in the other spelling"
            yield build_violation(where, data[present[1]], said, f"remove {where}")
        for name in present[:1]:
            yield from _find_nested_contests(field, data[name], join_path(path, name))
    for choice in message.oneofs:
        made = [name for field in choice.fields for name in (field.json_name, field.name) if name in data]
        made = [name for name in dict.fromkeys(made) if data[name] is not None]
        for name in made[:-1]:
            where = join_path(path, name)
            said = f"is ignored, for {made[-1]} beside it is another answer to the same question"
            yield build_violation(where, data[name], said, f"remove {where} or {join_path(path, made[-1])}")


def _find_nested_contests(field: FieldDescriptor, value: Any, path: str) -> Iterator[Violation]:
    nested = field.message_type
    if nested is None or has_own_json(nested):
        return
    if nested.GetOptions().map_entry:
        entry = nested.fields_by_name["value"].message_type
        if entry is not None and isinstance(value, Mapping):
            for key, item in value.items():
                yield from find_contests(entry, item, f"{path}[{key}]")
    elif not field.is_repeated:
        yield from find_contests(nested, value, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from find_contests(nested, item, f"{path}[{index}]")
