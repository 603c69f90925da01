"""Everything that is read from files once and then never changes, as one value.

Owns what the pure core needs of the package's data. Must never read anything: navarch.assets does.
Invariant: two objects built from one Assets value see the same templates, versions and CRDs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from navarch.core.istio.catalog import Catalog
from navarch.core.istio.catalog.related import relate_catalog
from navarch.core.model.refs import Manifest

BASE_PROFILE = "default"
"""The built-in profile below all others: no configuration lacks a field that it sets."""
MAY_BE_EMPTY = frozenset({"resources"})
"""Parts of a configuration that are complete without any of the base profile's content."""


class CRDSets(Mapping[str, tuple[Manifest, ...]]):
    """Istio's CRDs by minor, from the JSON of each set: parsed when first asked for, and then the same
    dictionaries each time. A set takes four times its text's memory, and few clusters see more than one."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._texts = texts
        self._parsed: dict[str, tuple[Manifest, ...]] = {}
        self._names: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """The names of all CRDs of all minors. No set is kept for them, nor made: what is read of one beyond
        its name is dropped at once."""
        if not self._names:
            sets = (json.loads(text, object_hook=_keep_name) for text in self._texts.values())
            self._names = frozenset(crd["metadata"]["name"] for crds in sets for crd in crds)
        return self._names

    def __getitem__(self, minor: str) -> tuple[Manifest, ...]:
        if minor not in self._parsed:
            self._parsed[minor] = tuple(json.loads(self._texts[minor]))
        return self._parsed[minor]

    def __contains__(self, minor: object) -> bool:
        return minor in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _keep_name(part: dict[str, Any]) -> dict[str, Any]:
    return {key: part[key] for key in ("metadata", "name") if key in part}


@dataclass(frozen=True, slots=True, eq=False)
class Assets:
    """`templates` by path below templates/; by minor `crds` (Istio's), `mesh_descriptors` (a serialised
    FileDescriptorSet with MeshConfig) and `values_descriptors` (one with values); `profiles` are the built-in
    ones by name. Compared and hashed by identity."""

    templates: Mapping[str, str]
    catalog: Catalog
    crds: CRDSets
    mesh_descriptors: Mapping[str, bytes]
    values_descriptors: Mapping[str, bytes]
    profiles: Mapping[str, Mapping[str, Any]]


def relate_assets(assets: Assets, variables: Mapping[str, str], *, only: bool) -> Assets:
    """The data with the images that an environment names (catalog/related.py)."""
    return replace(assets, catalog=relate_catalog(assets.catalog, variables, only=only))
