"""Gateway API's CRDs: which an istiod reads, and which Navarch writes where it is told to install them.

Owns the reading of a bundle's version and channel, and the choice of what is written. Must never propose to
go back, to mix two bundles, or to take a version away in which objects are stored. Invariant: where one CRD
keeps Navarch from writing, none is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from navarch.core.istio.catalog import Ranges, dotted, read_bundle
from navarch.core.model.labels import COMPONENT, GATEWAY_API, MANAGED_BY
from navarch.core.model.refs import Manifest

GROUPS = (GATEWAY_API, "gateway.networking.x-k8s.io")
VERSION, CHANNEL = f"{GATEWAY_API}/bundle-version", f"{GATEWAY_API}/channel"
"""Annotations that each of these CRDs has."""
STANDARD = "standard"
OWN: Mapping[str, str] = {MANAGED_BY: "navarch", COMPONENT: "gateway-api"}
"""Labels of those that Navarch wrote."""


class Install(StrEnum):
    """What the operator does about these CRDs. IF_ABSENT installs them in a cluster that has none, and leaves
    them alone from then on; MANAGED also brings them up to date and puts back what is changed."""

    NEVER = "Never"
    IF_ABSENT = "IfAbsent"
    MANAGED = "Managed"


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """One channel of one version, as Navarch writes it. `crds` by name."""

    version: str
    channel: str
    crds: Mapping[str, Manifest]


@dataclass(frozen=True, slots=True)
class Found:
    """A CRD of these groups that the cluster has. `stored` are the versions in which objects may be stored,
    `current` says whether it is as the bundle has it."""

    name: str
    version: str
    channel: str
    ours: bool
    stored: tuple[str, ...] = ()
    current: bool = False
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be written, by name, and what keeps Navarch from it, a sentence each."""

    writes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


def is_of_gateway_api(name: str) -> bool:
    """Whether a CRD of this name is one of Gateway API's."""
    return name.endswith(tuple(f".{group}" for group in GROUPS))


def build_bundle(crds: Sequence[Manifest]) -> Bundle:
    """The bundle from the CRDs of its channel."""
    annotations = crds[0]["metadata"]["annotations"]
    return Bundle(
        annotations[VERSION], annotations[CHANNEL], {c["metadata"]["name"]: _label(c) for c in crds}
    )


def _label(crd: Manifest) -> Manifest:
    metadata = crd["metadata"]
    labels = {**(metadata.get("labels") or {}), **OWN}
    kept = {"name": metadata["name"], "annotations": metadata["annotations"], "labels": labels}
    return {**{key: value for key, value in crd.items() if key != "status"}, "metadata": kept}


def read_crd(live: Manifest, wanted: Manifest | None = None) -> Found:
    """What there is to know of a CRD; of one that is read without its content, less."""
    metadata = live["metadata"]
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    return Found(
        name=metadata["name"],
        version=str(annotations.get(VERSION, "")),
        channel=str(annotations.get(CHANNEL, "")),
        ours=OWN.items() <= labels.items(),
        stored=tuple((live.get("status") or {}).get("storedVersions") or ()),
        current=wanted is not None and _covers(wanted, live),
        terminating="deletionTimestamp" in metadata,
    )


def _covers(wanted: Any, live: Any) -> bool:
    """Whether all that is wanted is there, lists and versions without an addition."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return all(
            live.get(key) == value if key == "versions" else _covers(value, live.get(key))
            for key, value in wanted.items()
        )
    return bool(wanted == live)


def choose(install: Install, bundle: Bundle, found: Mapping[str, Found]) -> Choice:
    """What is to be written in a cluster that has these CRDs of Gateway API's groups."""
    missing = tuple(name for name in bundle.crds if name not in found)
    if install is Install.NEVER:
        return Choice()
    if install is Install.IF_ABSENT:
        same = (bundle.version, bundle.channel)
        begun = all(crd.ours and (crd.version, crd.channel) == same for crd in found.values())
        return Choice(missing if begun else ())
    obstacles = tuple(_find_obstacles(bundle, found))
    if obstacles:
        return Choice(obstacles=obstacles)
    changed = (n for n in bundle.crds if n in found and not found[n].current and not found[n].terminating)
    return Choice((*missing, *changed))


def _find_obstacles(bundle: Bundle, found: Mapping[str, Found]) -> Iterator[str]:
    own = read_bundle(bundle.version) or ()
    for name, crd in sorted(found.items()):
        version = read_bundle(crd.version)
        if version is not None and version > own:
            yield f"{name} is of {crd.version}, which is newer than {bundle.version}"
        elif name not in bundle.crds or (crd.ours and not (crd.version and crd.channel)):
            continue  # another channel's, or one of ours whose annotations were taken away
        elif version is None:
            yield f"{name} does not say in annotation {VERSION} which version it is of"
        elif crd.channel not in (STANDARD, bundle.channel):
            yield (
                f"{name} is of channel {crd.channel or 'unknown'}, and {bundle.channel} may lack fields that "
                "are in use"
            )
        elif lost := sorted({*crd.stored} - {v["name"] for v in bundle.crds[name]["spec"]["versions"]}):
            yield (
                f"{name} may have objects stored in version {', '.join(lost)}, which {bundle.version} does "
                "not have: write them anew, and take that version out of status.storedVersions"
            )


@dataclass(frozen=True, slots=True)
class Ignored:
    """A CRD of Gateway API that an istiod goes by; `reads` says which versions it would read."""

    name: str
    version: str
    reads: str


def find_awaited(ranges: Ranges, versions: Mapping[str, str]) -> Iterator[Ignored]:
    """For which CRDs an istiod waits in vain that reads alpha versions. `versions` are the bundles of those
    of the standard channel that the cluster has, by plural."""
    for plural, (_, maximum) in ranges.items():
        said = versions.get(plural, "")
        version = read_bundle(said)
        if maximum and version and version > maximum:
            yield Ignored(f"{plural}.{GATEWAY_API}", said, f"v{dotted(maximum)} and older")


def find_ignored(ranges: Ranges, versions: Mapping[str, str]) -> Iterator[Ignored]:
    """Which CRDs an istiod ignores that reads these ranges. `versions` are the bundles of those that the
    cluster has, by plural."""
    for plural, (minimum, maximum) in ranges.items():
        said = versions.get(plural)
        if said is None:
            continue
        version = read_bundle(said)
        bounds = [f"v{dotted(minimum)} and newer"] if minimum else []
        bounds += [f"v{dotted(maximum)} and older"] if maximum else []
        if version is None or version < minimum or (maximum and version > maximum):
            yield Ignored(f"{plural}.{GATEWAY_API}", said, " and ".join(bounds))
