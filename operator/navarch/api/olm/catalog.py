"""The file-based catalog: the package, its channels, and each release's bundle.

Owns the upgrade graph. Must never drop a release that is in the catalog. Invariant: within a channel each
release replaces the one before it, and a release that is added again takes its own place.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
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
    """The catalog with a release at the head of its channels. `manifests` are the bundle's objects."""
    known = [dict(blob) for blob in catalog]
    bundles = {blob["name"]: blob for blob in known if blob["schema"] == "olm.bundle"}
    channels = {blob["name"]: blob["entries"] for blob in known if blob["schema"] == "olm.channel"}
    for channel in release.channels:
        entries = channels.get(channel, [])
        if all(entry["name"] != release.name for entry in entries):
            channels[channel] = [*entries, _build_entry(release, entries)]
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


def _build_entry(release: Release, others: list[JSONObject]) -> JSONObject:
    entry: JSONObject = {"name": release.name}
    if others:
        first = others[0]["name"].removeprefix(f"{PACKAGE}.v")
        entry |= {"replaces": others[-1]["name"], "skipRange": f">={first} <{release.version}"}
    return entry


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
