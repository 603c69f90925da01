"""Navarch's own kinds as the cluster serves them: its CRDs may be of another release than the operator.

Owns what is left out of our own objects where an older CRD has no field for it: the API server would refuse
the whole object. Must never look a CRD up. Invariant: where the CRDs lack nothing, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REMEDY = "apply the CRDs of the operator's release: `navarch manifests` prints them"


@dataclass(frozen=True, slots=True)
class ServedKinds:
    """`lacks` says of each CRD that is older than the operator what it lacks; `schemas` are theirs, by
    kind."""

    lacks: tuple[str, ...] = ()
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def fit(self, kind: str, part: str, content: dict[str, Any]) -> dict[str, Any]:
        """A part of an object (`spec`, `status`) without the fields that its kind has not here."""
        schema = self.schemas.get(kind)
        if not schema:
            return content
        fitted: dict[str, Any] = _fit(content, (schema.get("properties") or {}).get(part) or {})
        return fitted


CURRENT = ServedKinds()


def _fit(content: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(content, Mapping):
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            return content
        fields, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        if isinstance(rest, Mapping):
            return {key: _fit(value, fields.get(key, rest)) for key, value in content.items()}
        return {key: _fit(value, fields[key]) for key, value in content.items() if key in fields}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_fit(item, schema.get("items") or {}) for item in content]
    return content
