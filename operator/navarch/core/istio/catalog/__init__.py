"""Istio's releases as Navarch knows them, from versions.yaml.

Owns versions, where images come from, and what differs between minors. Must never ask the network or a clock.
Invariant: nothing outside this module compares Istio versions to decide how something is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

Ordinal: TypeAlias = tuple[int, ...]
API, ISTIO, GATEWAY_API = "istio.io/api", "istio.io/istio", "sigs.k8s.io/gateway-api"
"""Go modules."""
Ranges: TypeAlias = Mapping[str, tuple[Ordinal, Ordinal]]
"""Of which bundles of Gateway API an istiod reads a CRD, by its plural: from the first to the second version,
empty for no bound."""


def ordinal_of(version: str) -> Ordinal:
    """A dotted version as numbers that compare: `1.31` -> (1, 31). Raises ValueError for anything else."""
    return tuple(int(part) for part in version.split("."))


def is_version(text: str) -> bool:
    """Whether a text is a dotted version at all: one that ordinal_of reads, and that a status has room
    for."""
    return re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,2}", text) is not None


def read_bundle(text: str) -> Ordinal | None:
    """The version of a bundle of Gateway API: `v1.5.1` -> (1, 5, 1), and a candidate is as the release, as
    istiod has it. None for what is no version."""
    found = re.fullmatch(r"v?([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4})(?:[-+][0-9A-Za-z.+-]*)?", text)
    return ordinal_of(found[1]) if found else None


def dotted(ordinal: Ordinal) -> str:
    """Numbers as a version: (1, 31) -> `1.31`."""
    return ".".join(map(str, ordinal))


@dataclass(frozen=True, slots=True)
class Features:
    """What differs between minors; each field is one row of versions.yaml, where it is explained."""

    listener_sets: bool
    otel_resource_attributes: bool
    default_tag_webhook_suffixed: bool
    proxy_init_image: bool
    fips_godebug: bool
    agentgateway: bool
    agentgateway_ca: bool
    agentgateway_waypoint: bool
    gateway_listener_protocols: bool
    go_reads_cpu_limit: bool
    x_backends: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """An exact Go module; `hash` is go.sum's."""

    path: str
    version: str
    hash: str

    def __str__(self) -> str:
        return f"{self.path}@{self.version}"


Images: TypeAlias = Mapping[str, Mapping[str, str]]
"""What is known of images: exact version -> the image's name, with its variant if it has one -> its digest,
or the whole reference of the image that takes its place."""


@dataclass(frozen=True, slots=True)
class Minor:
    """One minor of Istio. Kubernetes versions are (major, minor); `patches` are ascending. `preview` says
    what was seen of a minor that was neither compared with Istio's own nor run; empty for all others. `api`
    is where its CRDs and MeshConfig come from, `values` the name of the definition of its values, and
    `gateway_api` says which of Gateway API's CRDs its istiod reads, `gateway_api_alpha` beside which it
    becomes ready with the switch for alpha versions."""

    name: str
    patches: tuple[str, ...]
    hub: str
    kubernetes_minimum: Ordinal
    kubernetes_newest: Ordinal
    end_of_life: bool
    preview: str
    api: Pin
    values: str
    images: Images
    features: Features
    gateway_api: Ranges
    gateway_api_alpha: Ranges

    def is_after_newest(self, version: str) -> bool:
        """Whether an exact version is a patch of this minor newer than any that is known."""
        ordinal = ordinal_of(version)
        proper = len(ordinal) == 3 and dotted(ordinal) == version
        return proper and dotted(ordinal[:2]) == self.name and ordinal > ordinal_of(self.patches[-1])


@dataclass(frozen=True, slots=True)
class Release:
    """One exact version."""

    version: str
    minor: Minor

    @property
    def is_known(self) -> bool:
        """Whether the catalog lists this very patch."""
        return self.version in self.minor.patches

    @property
    def images(self) -> Mapping[str, str]:
        """Digests or references of this version's images, as far as they are known."""
        return self.minor.images.get(self.version, {})


@dataclass(frozen=True, slots=True)
class Catalog:
    """All releases, minors ascending. `values` are the modules of definitions of values, by name; `problems`
    say what in the cluster's own extensions of the catalog is left out, and why. Of a `closed` one meshes may
    run only images whose references it has. `gateway_api` is the module with Gateway API's CRDs.
    `removed_variables` says from which minor on an istiod does not read a variable any more."""

    minors: tuple[Minor, ...]
    values: Mapping[str, Pin]
    gateway_api: Pin
    problems: tuple[str, ...] = ()
    closed: bool = False
    removed_variables: Mapping[str, Ordinal] = field(default_factory=dict)

    def find(self, version: str) -> Release | None:
        """The release that `1.31` (its newest patch) or `1.31.1` names; a patch of a known minor that is
        newer than any known one counts, so that a security fix needs no release of ours. None when there is
        no such thing."""
        for minor in self.minors:
            if version == minor.name:
                return Release(minor.patches[-1], minor)
            if version in minor.patches or (is_version(version) and minor.is_after_newest(version)):
                return Release(version, minor)
        return None

    @property
    def versions(self) -> tuple[str, ...]:
        """Every exact version, ascending."""
        return tuple(patch for minor in self.minors for patch in minor.patches)


def _build_features(minor: str, rows: Mapping[str, Mapping[str, Any]]) -> Features:
    since = {name: ordinal_of(row["since"]) for name, row in rows.items()}
    names = {each.name: _camel(each.name) for each in fields(Features)}
    if unknown := since.keys() ^ set(names.values()):
        raise ValueError(f"features of versions.yaml and of the code differ: {sorted(unknown)}")
    return Features(**{name: ordinal_of(minor) >= since[key] for name, key in names.items()})


def _build_ranges(minor: str, rows: Mapping[str, list[Mapping[str, str]]]) -> Ranges:
    def bound(row: Mapping[str, str], name: str) -> Ordinal:
        return ordinal_of(row[name]) if name in row else ()

    own = {
        plural: [r for r in found if ordinal_of(minor) >= ordinal_of(r["since"])]
        for plural, found in rows.items()
    }
    return {
        plural: (bound(found[-1], "minimum"), bound(found[-1], "maximum"))
        for plural, found in own.items()
        if found
    }


_ACRONYMS = {"ca": "CA", "cpu": "CPU"}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(_ACRONYMS.get(part, part.title()) for part in rest)


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
            preview=row.get("preview", ""),
            api=Pin(API, row["api"]["version"], row["api"]["hash"]),
            values=row["values"],
            images=row.get("digests", {}),
            features=_build_features(name, data["features"]),
            gateway_api=_build_ranges(name, data["gatewayAPI"]["reads"]),
            gateway_api_alpha=_build_ranges(name, data["gatewayAPI"]["alpha"]),
        )
        for name, row in data["minors"].items()
    )
    values = {name: Pin(ISTIO, pin["version"], pin["hash"]) for name, pin in data["values"].items()}
    module = data["gatewayAPI"]["module"]
    return Catalog(
        tuple(sorted(minors, key=lambda minor: ordinal_of(minor.name))),
        values,
        Pin(GATEWAY_API, module["version"], module["hash"]),
        removed_variables={
            n: ordinal_of(row["since"]) for n, row in data.get("removedVariables", {}).items()
        },
    )
