"""The file-based catalog: the package, its channels, and each release's bundle.

Owns the upgrade graph. Must never drop a release that is in the catalog. Invariant: within a channel each
release replaces the next older one, in whichever order they were added.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from navarch.api.export import RESOURCES
from navarch.api.meta import GROUP, VERSION, JSONObject
from navarch.api.olm import listing
from navarch.api.olm.release import CHANNEL, PACKAGE, Release

_CSV_KIND = "ClusterServiceVersion"
_SHOWN = (
    *("displayName", "description", "installModes", "keywords", "links", "maintainers", "maturity"),
    *("minKubeVersion", "provider"),
)
"""Fields of a ClusterServiceVersion that a catalog repeats, so that consoles need not pull the bundle."""


def extend_catalog(
    catalog: Iterable[Mapping[str, Any]], release: Release, manifests: Iterable[Mapping[str, Any]]
) -> list[JSONObject]:
    """The catalog with a release at its place in its channels: at the head, unless they have a newer one.
    `manifests` are the bundle's objects."""
    known = [dict(blob) for blob in catalog]
    bundles = {blob["name"]: blob for blob in known if blob["schema"] == "olm.bundle"}
    channels = {blob["name"]: blob["entries"] for blob in known if blob["schema"] == "olm.channel"}
    for channel in release.channels:
        there = {entry["name"]: entry for entry in channels.get(channel, [])}
        channels[channel] = _chain({release.name: {"name": release.name}, **there})
    bundles[release.name] = build_bundle_blob(release, manifests)
    return [
        {
            "schema": "olm.package",
            "name": PACKAGE,
            "defaultChannel": CHANNEL,
            "description": listing.SUMMARY,
            "icon": listing.build_icon(),
        },
        *(
            {"schema": "olm.channel", "package": PACKAGE, "name": name, "entries": entries}
            for name, entries in sorted(channels.items())
        ),
        *(blob for _, blob in sorted(bundles.items())),
    ]


def _chain(entries: Mapping[str, JSONObject]) -> list[JSONObject]:
    """The entries of a channel from the oldest release to the newest, whatever came into it last: a later
    patch of an older minor must not become the head."""
    names = sorted(entries, key=_order)
    chained = [entries[names[0]]]
    for before, name in pairwise(names):
        reach = f">={_version_of(names[0])} <{_version_of(name)}"
        chained.append({**entries[name], "replaces": before, "skipRange": reach})
    return chained


def _version_of(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.v")


def _order(name: str) -> tuple[Any, ...]:
    """Where a release stands among others, as semantic versioning says: 0.2.0-rc.2, 0.2.0-rc.10, 0.2.0."""
    numbers, _, before = _version_of(name).partition("+")[0].partition("-")
    parts = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in before.split(".")]
    return (*map(int, numbers.split(".")), not before, parts)


def build_bundle_blob(release: Release, manifests: Iterable[Mapping[str, Any]]) -> JSONObject:
    """A release's bundle: what consoles show of it beside its image, or, as long as it has none, every
    object itself."""
    objects = list(manifests)
    csv = next(each for each in objects if each["kind"] == _CSV_KIND)
    properties = [
        _build_property("olm.package", {"packageName": PACKAGE, "version": release.version}),
        *(
            _build_property("olm.gvk", {"group": GROUP, "kind": resource.kind, "version": VERSION})
            for resource in RESOURCES
        ),
    ]
    if release.bundle_image:
        properties.append(_build_property("olm.csv.metadata", _build_metadata(csv)))
    else:
        properties += [_build_property("olm.bundle.object", {"data": _encode(each)}) for each in objects]
    blob: JSONObject = {"schema": "olm.bundle", "name": release.name, "package": PACKAGE}
    blob |= {"image": release.bundle_image, "properties": properties}
    related = [{"name": "bundle", "image": release.bundle_image}] if release.bundle_image else []
    return blob | {"relatedImages": [*related, *csv["spec"]["relatedImages"]]}


def _build_metadata(csv: Mapping[str, Any]) -> JSONObject:
    kept = ("name", "version", "kind", "displayName", "description")
    owned = csv["spec"]["customresourcedefinitions"]["owned"]
    return {
        "annotations": csv["metadata"]["annotations"],
        "apiServiceDefinitions": {},
        "crdDescriptions": {"owned": [{key: each[key] for key in kept} for each in owned]},
        "labels": csv["metadata"]["labels"],
        **{key: csv["spec"][key] for key in _SHOWN},
    }


def _build_property(kind: str, value: JSONObject) -> JSONObject:
    return {"type": kind, "value": value}


def _encode(manifest: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(manifest, separators=(",", ":")).encode()).decode()
