"""Which fields Istio has deprecated, and what it no longer has: in MeshConfig, and in its own kinds.

Owns the reading of that mark from Istio's definitions, and the few words on what takes a field's place. Must
never know a minor: definitions and CRDs of the minor in question are handed in. Invariant: a field that only
another minor deprecates yields nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from navarch.core.istio.definitions import MESH_CONFIG, has_own_json, load_definition

_NETWORKING = "istio.networking.v1alpha3"
MESSAGES: Mapping[str, str] = {
    "DestinationRule": f"{_NETWORKING}.DestinationRule",
    "ProxyConfig": "istio.networking.v1beta1.ProxyConfig",
    "VirtualService": f"{_NETWORKING}.VirtualService",
    "WorkloadEntry": f"{_NETWORKING}.WorkloadEntry",
    "WorkloadGroup": f"{_NETWORKING}.WorkloadGroup",
}
"""The kinds whose definition comes with MeshConfig's, since it refers to it."""
UNMARKED = frozenset({f"{_NETWORKING}.LoadBalancerSettings.warmup_duration_secs"})
"""Fields that only a comment calls deprecated (networking/v1alpha3/destination_rule.proto)."""
OF_OTHERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Gateway": (("servers", "port", "targetPort"),),
    "Sidecar": (("ingress", "port", "targetPort"), ("egress", "port", "targetPort")),
}
"""The same of kinds whose definitions are not at hand (networking/v1alpha3/gateway.proto, sidecar.proto)."""
INSTEAD: Mapping[str, str] = {
    f"{_NETWORKING}.CorsPolicy.allow_origin": "allowOrigins",
    f"{_NETWORKING}.HTTPFaultInjection.Delay.percent": "percentage",
    f"{_NETWORKING}.HTTPRoute.mirror_percent": "mirrorPercentage",
    f"{_NETWORKING}.LoadBalancerSettings.ConsistentHashLB.minimum_ring_size": "ringHash.minimumRingSize",
    f"{_NETWORKING}.LoadBalancerSettings.SimpleLB.LEAST_CONN": "LEAST_REQUEST",
    f"{_NETWORKING}.LoadBalancerSettings.warmup_duration_secs": "warmup.duration",
    f"{_NETWORKING}.OutlierDetection.consecutive_errors": "consecutive5xxErrors",
}
"""What takes the place of a field, or of a value."""


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A deprecated field, or value, in use. `path` starts below the root; `instead` is empty where Istio
    names nothing."""

    path: str
    instead: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.instead} takes its place)" if self.instead else self.path


def find_deprecated(tree: Any, descriptors: bytes, message: str = MESH_CONFIG) -> Iterator[Deprecation]:
    """Every field of `tree` that the message of these descriptors deprecates."""
    yield from _walk(load_definition(descriptors, message), tree, "")


def find_deprecated_of(kind: str, spec: Any, descriptors: bytes) -> Iterator[Deprecation]:
    """The same of an object of Istio's, by its kind."""
    if kind in MESSAGES:
        yield from find_deprecated(spec, descriptors, MESSAGES[kind])
    for steps in OF_OTHERS.get(kind, ()):
        yield from (Deprecation(path) for path in _follow(spec, steps, ""))


def _follow(data: Any, steps: tuple[str, ...], path: str) -> Iterator[str]:
    """The places that a path of names leads to, through lists."""
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _follow(item, steps, f"{path}[{index}]")
    elif not steps:
        yield path
    elif isinstance(data, Mapping) and data.get(steps[0]) is not None:
        yield from _follow(data[steps[0]], steps[1:], f"{path}.{steps[0]}" if path else steps[0])


def _walk(message: Descriptor, data: Any, path: str) -> Iterator[Deprecation]:
    if not isinstance(data, Mapping):
        return
    known = {name: field for field in message.fields for name in (field.json_name, field.name)}
    for key, value in data.items():
        field = known.get(str(key))
        if field is None or value is None:
            continue
        where = f"{path}.{key}" if path else str(key)
        if field.GetOptions().deprecated or field.full_name in UNMARKED:
            yield Deprecation(where, INSTEAD.get(field.full_name, ""))
        else:
            yield from _walk_field(field, value, where)


def _walk_field(field: FieldDescriptor, value: Any, path: str) -> Iterator[Deprecation]:
    nested = field.message_type
    if field.enum_type is not None:
        found = field.enum_type.values_by_name.get(value) if isinstance(value, str) else None
        if found is not None and found.GetOptions().deprecated:
            name = f"{field.enum_type.full_name}.{found.name}"
            yield Deprecation(f"{path}={value}", INSTEAD.get(name, ""))
    elif nested is None or has_own_json(nested):
        return
    elif nested.GetOptions().map_entry:
        entry = nested.fields_by_name["value"].message_type
        if entry is not None and isinstance(value, Mapping):
            for key, item in value.items():
                yield from _walk(entry, item, f"{path}[{key}]")
    elif field.is_repeated:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _walk(nested, item, f"{path}[{index}]")
    else:
        yield from _walk(nested, value, path)


def find_removed(spec: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every field of `spec` that the schema of a CRD does not have."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    if isinstance(spec, Mapping) and (properties or isinstance(others, Mapping)):
        for key, value in spec.items():
            where = f"{path}.{key}" if path else str(key)
            below = properties.get(key, others)
            if isinstance(below, Mapping):
                yield from find_removed(value, below, where)
            elif below is None or below is False:
                yield where
    elif isinstance(spec, list) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(spec):
            yield from find_removed(item, schema["items"], f"{path}[{index}]")
