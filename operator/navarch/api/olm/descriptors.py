"""Descriptors of every field of our kinds, from which OpenShift's console draws forms and pages.

Owns how a schema becomes descriptors. Must never name a field itself. Invariant: each field of the schema
(but those of a condition, which the console draws as a table) has exactly one descriptor, in the schema's
order; a list of objects is followed into its first element, which is how the console names the fields of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.export import build_schema
from navarch.api.meta import JSONObject, Resource

_UI = "urn:alm:descriptor:com.tectonic.ui:"
_CONDITIONS = "urn:alm:descriptor:io.kubernetes.conditions"
_TEXT = "urn:alm:descriptor:text"
_WIDGETS = {"boolean": "booleanSwitch", "integer": "number", "number": "number", "string": "text"}
_RESOURCES = frozenset({"requests", "limits"})


def build_spec_descriptors(resource: Resource) -> list[JSONObject]:
    """One descriptor for each field of spec; those that are not required are behind "Advanced"."""
    schema = build_schema(resource.spec)
    required = set(schema.get("required", ()))
    return [
        _describe(path, field, [*_choose_widget(path, field), *_choose_place(path, required)])
        for path, field in _walk(schema)
    ]


def build_status_descriptors(resource: Resource) -> list[JSONObject]:
    """One descriptor for each field of status; conditions are drawn as the console's own table."""
    schema = build_schema(resource.status)
    return [
        _describe(path, field, [_CONDITIONS if path == "conditions" else _TEXT])
        for path, field in _walk(schema)
        if not path.startswith("conditions[")
    ]


def _walk(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, field
        items = field.get("items", {})
        yield from _walk(field, f"{path}.")
        yield from _walk(items, f"{path}[0].")


def _describe(path: str, field: Mapping[str, Any], markers: list[str]) -> JSONObject:
    return {
        "path": path,
        "displayName": _title(path),
        "description": field["description"],
        "x-descriptors": markers,
    }


def _title(path: str) -> str:
    """The last word of a path as a title: `includeOutboundIPRanges` is `Include Outbound IP Ranges`."""
    name = re.sub(r"\[0\]$", "", path.rpartition(".")[2])
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+", name)
    return " ".join(word if word.isupper() else word.capitalize() for word in words)


def _choose_widget(path: str, field: Mapping[str, Any]) -> Iterator[str]:
    if values := field.get("enum"):
        yield from (f"{_UI}select:{value}" for value in values)
    elif field["type"] == "array":
        yield f"{_UI}arrayFieldGroup:{path}"
    elif field["type"] == "object":
        is_resources = field.get("properties", {}).keys() == _RESOURCES
        yield f"{_UI}resourceRequirements" if is_resources else f"{_UI}fieldGroup:{path}"
    else:
        yield _UI + _WIDGETS[field["type"]]


def _choose_place(path: str, required: set[str]) -> Iterator[str]:
    parent = path.rpartition(".")[0]
    if parent:
        group = "arrayFieldGroup" if parent.endswith("]") else "fieldGroup"
        yield f"{_UI}{group}:{parent.removesuffix('[0]')}"
    if re.split(r"[.\[]", path, maxsplit=1)[0] not in required:
        yield f"{_UI}advanced"
