"""The meshes of the cluster, as their neighbours see them.

Owns what a mesh holds (its MeshRevision says it), which tag it has already, and which Istio minors meshes
were accepted for. Must never decide who wins a conflict. Invariant: a tag that a mesh was given once is never
computed anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from navarch.core.istio.assets import Assets
from navarch.core.model.conditions import ConditionType, find_condition
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
        held = {mesh["metadata"]["uid"]: self._find_revision(mesh) for mesh in bodies}
        unheard = {mesh["metadata"]["uid"] for mesh in bodies if _was_refused(mesh)}
        refused = {uid for uid in unheard if held[uid] is None}
        fixed = {mesh["metadata"]["uid"]: self._recorded_tag(mesh) for mesh in bodies}
        # What is computed below is for meshes not in it.
        taken = frozenset(tag for uid, tag in fixed.items() if tag and uid not in refused)
        for mesh in bodies:
            metadata, uid = mesh["metadata"], mesh["metadata"]["uid"]
            revision = held[uid]
            tag = fixed[uid] or effective_tag(metadata["namespace"], metadata["name"], taken=taken)
            yield MeshSummary(
                waiting=revision is None,
                created=metadata["creationTimestamp"],
                uid=uid,
                namespace=metadata["namespace"],
                name=metadata["name"],
                tag=tag,
                default_tag=_holds_default(revision) or (asks_for_default(mesh) and uid not in unheard),
                refused=uid in refused,
            )

    def minors(self) -> tuple[str, ...]:
        """The Istio minors that meshes were accepted for, as far as the catalog knows them, sorted."""
        found = {self.minor_of(revision) for revision in self._stores["revisions"].list()}
        return tuple(sorted(found - {""}))

    def minor_of(self, manifest: Manifest) -> str:
        """The Istio minor of a mesh's or a revision's spec; empty where the catalog does not know it."""
        version = (manifest.get("spec") or {}).get("version", "")
        release = self._assets.catalog.find(version)
        return release.minor.name if release else ""

    def _find_revision(self, mesh: Manifest) -> Manifest | None:
        owner = _owner(mesh)
        revisions = self._stores["revisions"].list(owner.namespace)
        return next((r for r in revisions if owner.owns(r)), None)

    def _recorded_tag(self, mesh: Manifest) -> str:
        """The tag that a mesh has already; empty for one that has none yet."""
        recorded = (mesh.get("spec") or {}).get("tag") or (mesh.get("status") or {}).get("tag")
        if recorded:
            return str(recorded)
        owner = _owner(mesh)
        if (revision := self._find_revision(mesh)) is not None:
            return str(revision["spec"]["tag"])
        # A mesh that was restored from a backup has neither status nor revision yet.
        webhooks = (m for m in self._stores["MutatingWebhookConfiguration"].list() if owner.owns(m))
        tags = (m["metadata"]["labels"].get(ISTIO_TAG, "") for m in webhooks)
        return next((tag for tag in tags if tag not in ("", DEFAULT_TAG)), "")


def _owner(mesh: Manifest) -> Owner:
    metadata = mesh["metadata"]
    return Owner(metadata["namespace"], metadata["name"], metadata["uid"])


def asks_for_default(mesh: Manifest) -> bool:
    """Whether a mesh's spec asks for the tag `default`."""
    return (mesh.get("spec") or {}).get("defaultTag") is True


def _holds_default(revision: Manifest | None) -> bool:
    return revision is not None and bool((revision["spec"].get("members") or {}).get("default"))


def _was_refused(mesh: Manifest) -> bool:
    """Whether the mesh's present spec was looked at and refused."""
    verdict = find_condition(mesh, ConditionType.SPEC_ACCEPTED)
    return (
        verdict is not None
        and verdict["status"] == "False"
        and verdict["observedGeneration"] == mesh["metadata"].get("generation", 0)
    )
