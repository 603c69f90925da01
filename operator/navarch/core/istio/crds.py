"""Which Istio CRDs a cluster needs, and whether those that are not ours to write will do.

Owns the comparison of minors and of CustomResourceDefinitions. Must never propose to change a foreign one.
Invariant: a CRD never lacks anything of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from navarch.core.istio.catalog import ordinal_of
from navarch.core.model.refs import Manifest


def find_newest(minors: Iterable[str]) -> str | None:
    """The highest of some Istio minors (`1.31`); None of none."""
    return max(minors, key=ordinal_of, default=None)


def find_missing(wanted: Manifest, actual: Manifest) -> str:
    """The first thing of `wanted` that `actual` has not: a served version, or a field of one by path; else
    empty."""
    served = {v["name"]: v for v in actual["spec"]["versions"] if v.get("served")}
    for version in wanted["spec"]["versions"]:
        name = version["name"]
        if name not in served:
            return f"version {name}"
        missing = next(_walk(_schema(version), _schema(served[name]), name), "")
        if missing:
            return f"field {missing}"
    return ""


def _schema(version: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = version.get("schema", {}).get("openAPIV3Schema", {})
    return schema


def _walk(wanted: Mapping[str, Any], actual: Mapping[str, Any], path: str) -> Iterator[str]:
    if actual.get("x-kubernetes-preserve-unknown-fields"):
        return
    there = actual.get("properties") or {}
    for name, schema in (wanted.get("properties") or {}).items():
        if name not in there:
            yield f"{path}.{name}"
        else:
            yield from _walk(schema, there[name], f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(wanted.get(key), dict) and isinstance(actual.get(key), dict):
            yield from _walk(wanted[key], actual[key], path)
