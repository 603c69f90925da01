"""What a cluster's administrators add to the catalog: patches of known minors, and digests of images.

Owns the form of the ConfigMaps that say it. Must never take anything away from what a release of Navarch
knows, nor add a minor: that takes templates. Invariant: of each ConfigMap and minor either all is taken or
nothing, and what is not taken is told, in sentences of bounded number and length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from navarch.core.istio.catalog import Catalog, Minor, is_version, ordinal_of
from navarch.core.istio.images import add_digest, digest_of
from navarch.core.model.messages import LISTED, shorten
from navarch.core.model.trees import read_key

KEY = "catalog.yaml"
"""Key of the ConfigMap under which the text stands."""

IMAGES = ("agentgateway", "pilot", "proxyv2")
VARIANTS = ("", "-debug", "-distroless")
"""Names of images are one of the first and one of the second."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REFERENCE = re.compile(
    r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[a-z0-9._-]+)+"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
"""An image with its registry, as container runtimes read it."""
_FIELDS = ("digests", "patches")
_SHOWN = 100
"""Characters of a value or a name in a sentence: more than any digest has."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One ConfigMap of the operator's namespace: its content, or why that cannot be read."""

    name: str
    content: Any
    error: str

    @property
    def where(self) -> str:
        """How a sentence about it begins."""
        return f"ConfigMap {self.name}, key {KEY}"


def read_extension(data: Mapping[str, str], name: str) -> Extension:
    """What ConfigMap `name` says."""
    content, error = read_key(data, KEY, name)
    if not error and not (isinstance(content, Mapping) and content):
        error = f'ConfigMap {name}, key {KEY}: it is not a map of minors of Istio, such as "1.31"'
    return Extension(name, content, error)


def extend_catalog(catalog: Catalog, extensions: Iterable[Extension]) -> Catalog:
    """The catalog with everything that can be taken of its extensions, in the order of their names; its
    problems say what could not."""
    minors = {minor.name: minor for minor in catalog.minors}
    problems = list(catalog.problems)
    for extension in sorted(extensions, key=lambda one: one.name):
        if extension.error:
            problems.append(extension.error)
            continue
        found: list[str] = []
        for name, entry in extension.content.items():
            if name not in minors:
                told = f"{_quote(name)} is no minor that this release of Navarch has templates for"
                found.append(f"{told}; it has {', '.join(minors)}. Upgrade Navarch for a newer one")
            elif wrong := list(_find_problems(minors[name], entry)):
                found += wrong
            else:
                minors[name] = _extend(minors[name], entry)
        problems += [f"{extension.where}: {problem}" for problem in found[:LISTED]]
        if (more := len(found) - LISTED) > 0:
            problems.append(f"{extension.where}: there are {more} problems more")
    return replace(catalog, minors=tuple(minors.values()), problems=tuple(problems))


def _quote(value: Any) -> str:
    return shorten(repr(value), _SHOWN)


def _extend(minor: Minor, entry: Mapping[str, Any]) -> Minor:
    patches = sorted({*minor.patches, *entry.get("patches", ())}, key=ordinal_of)
    known = {version: dict(images) for version, images in minor.images.items()}
    for version, images in entry.get("digests", {}).items():
        there = known.setdefault(version, {})
        there |= {name: add_digest(there.get(name, ""), digest) for name, digest in images.items()}
    return replace(minor, patches=tuple(patches), images=known)


def _find_problems(minor: Minor, entry: Any) -> Iterator[str]:
    """Why an entry cannot be taken, a sentence each."""
    if not isinstance(entry, Mapping):
        yield f"{minor.name}: it is not a map with {' and '.join(_FIELDS)}"
        return
    for key in entry:
        if key not in _FIELDS:
            nearest = next(iter(get_close_matches(key, _FIELDS, n=1)), "")
            meant = f"; did you mean {nearest}?" if nearest else f"; there are {' and '.join(_FIELDS)}"
            yield f"{minor.name}: there is no field {_quote(key)}{meant}"
    patches, digests = entry.get("patches", []), entry.get("digests", {})
    if not isinstance(patches, list):
        yield f'{minor.name}.patches: it is not a list of versions, such as ["{minor.name}.9"]'
        patches = []
    yield from _find_bad_patches(minor, patches)
    if not isinstance(digests, Mapping):
        yield f"{minor.name}.digests: it is not a map of versions"
        return
    for version, images in digests.items():
        shown = shorten(version, _SHOWN)
        where = f"{minor.name}.digests[{shown}]"
        if version not in (*minor.patches, *patches):
            yield f"{where}: {shown} is no known patch; add it to {minor.name}.patches"
        yield from _find_bad_digests(minor, version, images, where)


def _find_bad_patches(minor: Minor, patches: list[Any]) -> Iterator[str]:
    bad = False
    for index, patch in enumerate(patches):
        where = f"{minor.name}.patches[{index}]"
        if not isinstance(patch, str):
            bad = True
            yield f"{where}: {_quote(patch)} is not a text; put it in quotes"
        elif patch not in minor.patches and not (is_version(patch) and minor.is_after_newest(patch)):
            bad = True
            wanted = f"{minor.name} that is newer than {minor.patches[-1]}"
            yield f"{where}: {_quote(patch)} is no patch of {wanted}"
    newest = minor.patches[-1]
    if patches and not bad and max(map(ordinal_of, patches)) < ordinal_of(newest):
        yield (
            f"{minor.name}.patches: the newest of the list is older than {newest}, which this release of "
            "Navarch knows; leaving a patch out takes none away: bring the list up to date, or remove it"
        )


def _find_bad_digests(minor: Minor, version: str, images: Any, where: str) -> Iterator[str]:
    if not isinstance(images, Mapping):
        yield f"{where}: it is not a map of images"
        return
    known = [image + variant for image in IMAGES for variant in VARIANTS]
    for image, digest in images.items():
        there = digest_of(minor.images.get(version, {}).get(image, "")) or digest
        if image not in known:
            yield f"{where}.{shorten(image, _SHOWN)}: there is no such image; there are {', '.join(known)}"
        elif not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            yield f"{where}.{image}: {_quote(digest)} is not sha256: and 64 digits of 0-9 and a-f"
        elif there != digest:
            yield f"{where}.{image}: is {digest}, but {there} is known already; correct one of the two"
