"""The package's data, with what the cluster adds to the catalog.

Owns the question when it has to be put together anew. Must never decide what an extension means. Invariant:
while no extension changes, the answer is the very same value, so that nothing remembered by it is lost.
"""

from __future__ import annotations

from dataclasses import replace

from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog.extension import extend_catalog
from navarch.kube.store import Store


class ExtendedAssets:
    """`built_in` is the package's own data, `store` the ConfigMaps that extend its catalog."""

    def __init__(self, built_in: Assets, store: Store) -> None:
        self._built_in, self._store = built_in, store
        self._read: frozenset[tuple[str, str]] = frozenset()
        self._assets = built_in

    def read(self) -> Assets:
        """The data as the store has it now."""
        extensions = self._store.list()
        versions = frozenset((e["metadata"]["uid"], e["metadata"]["resourceVersion"]) for e in extensions)
        if versions != self._read:
            catalog = extend_catalog(self._built_in.catalog, [e["extension"] for e in extensions])
            self._assets = replace(self._built_in, catalog=catalog) if extensions else self._built_in
            self._read = versions
        return self._assets
