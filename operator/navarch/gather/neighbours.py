"""The meshes of the cluster, as their neighbours see them.

Owns which tag a mesh has already, and which Istio minors all meshes ask for. Must never decide who wins a
conflict. Invariant: a tag that a mesh was given once is never computed anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from navarch.core.istio.assets import Assets
from navarch.core.model.labels import ISTIO_TAG, Owner
from navarch.core.model.naming import DEFAULT_TAG, effective_tag
from navarch.core.model.refs import Manifest
from navarch.core.world.neighbours import MeshSummary
from navarch.kube.store import Store


class NeighbourReader:
    """Reads the meshes from `stores`."""

    def __init__(self, stores: Mapping[str, Store], assets: Assets) -> None:
        self._stores = stores
        self._assets = assets

    def summarise(self, bodies: Collection[Manifest]) -> Iterator[MeshSummary]:
        """Meshes as their neighbours see them."""
        fixed = {mesh["metadata"]["uid"]: self._recorded_tag(mesh) for mesh in bodies}
        taken = frozenset(filter(None, fixed.values()))  # what is computed below is for meshes not in it
        for mesh in bodies:
            metadata, spec = mesh["metadata"], mesh.get("spec") or {}
            uid = metadata["uid"]
            tag = fixed[uid] or effective_tag(metadata["namespace"], metadata["name"], taken=taken)
            yield MeshSummary(
                metadata["creationTimestamp"],
                uid,
                metadata["namespace"],
                metadata["name"],
                tag,
                spec.get("defaultTag") is True,
            )

    def minors(self, bodies: Iterable[Manifest]) -> tuple[str, ...]:
        """The Istio minors that these meshes ask for, as far as the catalog knows them, sorted."""
        return tuple(sorted({minor for mesh in bodies if (minor := self._minor_of(mesh))}))

    def _minor_of(self, mesh: Manifest) -> str:
        version = (mesh.get("spec") or {}).get("version", "")
        release = self._assets.catalog.find(version)
        return release.minor.name if release else ""

    def _recorded_tag(self, mesh: Manifest) -> str:
        """The tag that a mesh has already; empty for one that has none yet."""
        recorded = (mesh.get("spec") or {}).get("tag") or (mesh.get("status") or {}).get("tag")
        if recorded:
            return str(recorded)
        metadata = mesh["metadata"]
        owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
        for revision in self._stores["revisions"].list(owner.namespace):
            if owner.owns(revision):
                return str(revision["spec"]["tag"])
        # A mesh that was restored from a backup has neither status nor revision yet.
        webhooks = (m for m in self._stores["MutatingWebhookConfiguration"].list() if owner.owns(m))
        tags = (m["metadata"]["labels"].get(ISTIO_TAG, "") for m in webhooks)
        return next((tag for tag in tags if tag not in ("", DEFAULT_TAG)), "")
