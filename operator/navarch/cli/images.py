"""Which images meshes need, for people who copy them to a mirror.

Owns what `navarch images` lists. Must never ask a registry or a cluster. Invariant: what a mesh runs that
asks for nothing special is always among them, by digest where it is known.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.api.related import name_variable
from navarch.cli.inputs import InputError
from navarch.core.istio.catalog import Catalog, Release
from navarch.core.istio.catalog.extension import IMAGES, VARIANTS
from navarch.core.istio.images import NAMES, refer_release


def find_images(catalog: Catalog, versions: Iterable[str], *, every: bool) -> list[dict[str, str]]:
    """The images of these versions, of all known ones where none is named; each with the variable that tells
    the operator of its copy. Raises InputError for a version that is not known."""
    releases = [find_release(catalog, version) for version in [*versions] or catalog.versions]
    names = [image + variant for image in IMAGES for variant in VARIANTS] if every else NAMES
    return [
        {"image": refer_release(release, name), "variable": name_variable(f"{name}-{release.version}")}
        for release in {release.version: release for release in releases}.values()
        for name in names
        if release.minor.features.agentgateway or not name.startswith("agentgateway")
    ]


def find_release(catalog: Catalog, version: str) -> Release:
    """The release that `--version` names. Raises InputError for one that is not known."""
    release = catalog.find(version)
    if release is None:
        known = ", ".join(minor.name for minor in catalog.minors)
        raise InputError(f"--version {version}: Istio {version} is not known here; there are {known}")
    return release
