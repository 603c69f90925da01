"""Istio's releases as Navarch knows them, from versions.yaml.

Owns versions, where images come from, and what differs between minors. Must never ask the network or a clock.
Invariant: nothing outside this module compares Istio versions to decide how something is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

Ordinal: TypeAlias = tuple[int, ...]
API, ISTIO = "istio.io/api", "istio.io/istio"
"""Go modules."""


def ordinal_of(version: str) -> Ordinal:
    """A dotted version as numbers that compare: `1.31` -> (1, 31). Raises ValueError for anything else."""
    return tuple(int(part) for part in version.split("."))


@dataclass(frozen=True, slots=True)
class Features:
    """What differs between minors; each field is one row of versions.yaml, where it is explained."""

    listener_sets: bool
    otel_resource_attributes: bool
    default_tag_webhook_suffixed: bool
    proxy_init_image: bool
    canonical_name_trimmed: bool
    fips_godebug: bool
    agentgateway: bool
    agentgateway_waypoint: bool
    gateway_listener_protocols: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """An exact Go module; `hash` is go.sum's."""

    path: str
    version: str
    hash: str

    def __str__(self) -> str:
        return f"{self.path}@{self.version}"


@dataclass(frozen=True, slots=True)
class Minor:
    """One minor of Istio. Kubernetes versions are (major, minor); `patches` are ascending. `api` is where its
    CRDs and MeshConfig come from."""

    name: str
    patches: tuple[str, ...]
    hub: str
    kubernetes_minimum: Ordinal
    kubernetes_newest: Ordinal
    end_of_life: bool
    api: Pin
    features: Features


@dataclass(frozen=True, slots=True)
class Release:
    """One exact version."""

    version: str
    minor: Minor


@dataclass(frozen=True, slots=True)
class Catalog:
    """All releases, minors ascending. `values` is where the definition of all minors' values comes from."""

    minors: tuple[Minor, ...]
    values: Pin

    def find(self, version: str) -> Release | None:
        """The release that `1.31` (its newest patch) or `1.31.1` names; None when the catalog has no such
        thing."""
        for minor in self.minors:
            if version == minor.name:
                return Release(minor.patches[-1], minor)
            if version in minor.patches:
                return Release(version, minor)
        return None

    @property
    def versions(self) -> tuple[str, ...]:
        """Every exact version, ascending."""
        return tuple(patch for minor in self.minors for patch in minor.patches)


def _build_features(minor: str, rows: Mapping[str, Mapping[str, Any]]) -> Features:
    since = {name: ordinal_of(row["since"]) for name, row in rows.items()}
    names = {field.name: _camel(field.name) for field in fields(Features)}
    if unknown := since.keys() ^ set(names.values()):
        raise ValueError(f"features of versions.yaml and of the code differ: {sorted(unknown)}")
    return Features(**{name: ordinal_of(minor) >= since[key] for name, key in names.items()})


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def build_catalog(data: Mapping[str, Any]) -> Catalog:
    """The catalog from the content of versions.yaml. Raises KeyError or ValueError when it is malformed."""
    minors = (
        Minor(
            name=name,
            patches=tuple(sorted(row["patches"], key=ordinal_of)),
            hub=row["hub"],
            kubernetes_minimum=ordinal_of(row["kubernetes"]["minimum"]),
            kubernetes_newest=ordinal_of(row["kubernetes"]["newest"]),
            end_of_life=row["endOfLife"],
            api=Pin(API, row["api"]["version"], row["api"]["hash"]),
            features=_build_features(name, data["features"]),
        )
        for name, row in data["minors"].items()
    )
    values = Pin(ISTIO, data["values"]["version"], data["values"]["hash"])
    return Catalog(tuple(sorted(minors, key=lambda minor: ordinal_of(minor.name))), values)
