"""The meshes of the cluster, as their neighbours see them.

Owns what a mesh holds (its MeshRevision says it), which tag it has already, which Istio minors meshes were
accepted for, and which meshes concern another one. Must never decide who wins a conflict. Invariants: a tag
that a mesh was given once is never computed anew; the checks say the same of the meshes that concern a mesh
as of all meshes; how many others there are does not matter to what a look costs.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from navarch.api import controlplane, upgrade
from navarch.api.meta import API_VERSION
from navarch.core.istio.assets import Assets
from navarch.core.membership.rule import read_member_of, read_put_out
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import ISTIO_TAG
from navarch.core.model.naming import DEFAULT_TAG, IN_PLACE, effective_tag, is_in_place, revision_name
from navarch.core.model.parent import Parent, identify, parent_of
from navarch.core.model.refs import Manifest, Ref
from navarch.core.model.scope import (
    asks_for_cluster,
    holds_anything,
    holds_cluster,
    reaches_cluster,
    read_members,
)
from navarch.core.model.tags import list_tags, read_tag
from navarch.core.world.neighbours import MeshSummary
from navarch.kube.store import Store

_INJECTORS = "MutatingWebhookConfiguration"


def by_parent(manifest: Manifest) -> Iterator[Parent]:
    """The parent whose labels an object carries, whichever uid it has."""
    if parent := parent_of(manifest):
        yield parent.any_uid


def by_tag(manifest: Manifest) -> Iterator[str]:
    """The tags that a mesh has or may get: where none is recorded with it, one of two is computed."""
    yield from list_tags(manifest)


def by_revision_tag(manifest: Manifest) -> Iterator[str]:
    """The tag that a MeshRevision was made for."""
    yield str((manifest.get("spec") or {}).get("tag", ""))


def by_webhook_tag(manifest: Manifest) -> Iterator[str]:
    """The tag that a webhook configuration stands for."""
    if tag := (manifest["metadata"].get("labels") or {}).get(ISTIO_TAG):
        yield tag


def by_default(manifest: Manifest) -> Iterator[bool]:
    """True for a mesh that asks for the tag `default`."""
    if asks_for_default(manifest):
        yield True


def by_members_default(manifest: Manifest) -> Iterator[bool]:
    """True for a MeshRevision that holds the tag `default`."""
    if _holds_default(manifest):
        yield True


def by_scope(manifest: Manifest) -> Iterator[bool]:
    """True for a mesh that asks for every namespace, and for a MeshRevision that may reach them all."""
    if asks_for_cluster(manifest) or reaches_cluster(manifest):
        yield True


def by_version(manifest: Manifest) -> Iterator[str]:
    """The Istio version that a MeshRevision asks for."""
    yield str((manifest.get("spec") or {}).get("version", ""))


@dataclass(frozen=True, slots=True)
class _Taken(Container[str]):
    """The tags that meshes have, but for those that were refused; `own` counts as it is here."""

    reader: NeighbourReader
    own: Mapping[str, Manifest]

    def __contains__(self, tag: object) -> bool:
        claimants = self.reader.find_claimants([str(tag)], self.own)
        return any(self.reader.has_recorded(mesh, str(tag)) for mesh in claimants)


class NeighbourReader:
    """Reads the meshes from `stores`."""

    def __init__(self, stores: Mapping[str, Store], assets: Assets) -> None:
        self._meshes, self._revisions = stores["meshes"], stores["revisions"]
        self._injectors = stores[_INJECTORS]
        self._assets = assets

    def summarise(self, bodies: Iterable[Manifest]) -> Iterator[MeshSummary]:
        """Meshes as their neighbours see them. Of these bodies what they say counts, of others the store."""
        own = {mesh["metadata"]["uid"]: mesh for mesh in bodies}
        return (self._summarise(mesh, own) for mesh in own.values())

    def summarise_own(self, body: Manifest) -> MeshSummary:
        """For itself a mesh counts by its present spec, not by what it holds or was refused."""
        (summary,) = self.summarise([body])
        asked = read_member_of(body)
        default, cluster = asks_for_default(body), asks_for_cluster(body)
        return replace(summary, default_tag=default, refused=False, member_of=asked, cluster=cluster)

    def find_rivals(self, body: Manifest, own: MeshSummary, places: Collection[str]) -> Iterator[MeshSummary]:
        """The other meshes that a mesh's decisions depend on: in its namespace, or one of these `places`;
        with its tag, or one that makes a revision of that name; where it asks for the tag `default`, those
        that have or want it; those that have or want every namespace, and where it does itself, all."""
        known = {own.uid: body}
        tags = (own.tag, revision_name(own.tag), own.tag.removesuffix(IN_PLACE))
        found = {mesh["metadata"]["uid"]: mesh for mesh in self.find_claimants(tags, known)}
        for place in {own.namespace, *places}:
            found |= {mesh["metadata"]["uid"]: mesh for mesh in self._meshes.list(place)}
        if own.default_tag:
            found |= {mesh["metadata"]["uid"]: mesh for mesh in self._find_default()}
        of_cluster = self._meshes.list() if own.cluster else self._find_of_cluster()
        found |= {mesh["metadata"]["uid"]: mesh for mesh in of_cluster}
        return (self._summarise(mesh, known) for uid, mesh in found.items() if uid != own.uid)

    def find_claimants(self, tags: Collection[str], own: Mapping[str, Manifest]) -> Iterator[Manifest]:
        """The meshes that may have one of these tags; those of `own`, by uid, in any case."""
        found: list[Manifest] = [*self._meshes.find(by_tag, *tags)]
        for store, read in ((self._revisions, by_revision_tag), (self._injectors, by_webhook_tag)):
            found += self._find_parents(store.find(read, *tags))
        yield from ({mesh["metadata"]["uid"]: mesh for mesh in found} | dict(own)).values()

    def _find_default(self) -> Iterator[Manifest]:
        yield from self._meshes.find(by_default, True)
        yield from self._find_parents(self._revisions.find(by_members_default, True))

    def _find_of_cluster(self) -> Iterator[Manifest]:
        yield from self._meshes.find(by_scope, True)
        yield from self._find_parents(self._revisions.find(by_scope, True))

    def _find_parents(self, objects: Iterable[Manifest]) -> Iterator[Manifest]:
        for parent in filter(None, map(parent_of, objects)):
            mesh = self._meshes.get(Ref(API_VERSION, controlplane.KIND, parent.namespace, parent.name))
            if mesh is not None:
                yield mesh

    def has_recorded(self, mesh: Manifest, tag: str) -> bool:
        """Whether a mesh has this tag already, and was not refused."""
        return self._recorded_tag(mesh) == tag and not self._is_refused(mesh)

    def _summarise(self, mesh: Manifest, own: Mapping[str, Manifest]) -> MeshSummary:
        metadata, revisions = mesh["metadata"], self._list_revisions(mesh)
        revision = revisions[0] if revisions else None
        namespace, name = metadata["namespace"], metadata["name"]
        tag = self._recorded_tag(mesh) or effective_tag(namespace, name, taken=_Taken(self, own))
        holds = any(map(holds_cluster, revisions))
        return MeshSummary(
            waiting=revision is None,
            created=metadata["creationTimestamp"],
            uid=metadata["uid"],
            namespace=namespace,
            name=name,
            tag=tag,
            default_tag=any(map(_holds_default, revisions))
            or (asks_for_default(mesh) and not _was_refused(mesh)),
            refused=self._is_refused(mesh),
            member_of=read_member_of(mesh) if revision is None else _holds_member_of(revision),
            hosted=(mesh.get("spec") or {}).get("hosting") == controlplane.HOSTED,
            cluster=holds or (asks_for_cluster(mesh) and not _was_refused(mesh)),
            holds_cluster=holds,
            holds_any=any(map(holds_anything, revisions)),
            asks_default=asks_for_default(mesh),
            in_place=is_served_in_place(mesh, revisions),
            revisions=tuple(sorted(str(r["metadata"]["name"]) for r in revisions)),
            active=str((mesh.get("status") or {}).get("activeRevision") or ""),
            put_out=read_put_out(mesh),
        )

    def minors(self) -> tuple[str, ...]:
        """The Istio minors that meshes were accepted for, as far as the catalog knows them, sorted."""
        found = {self._find_minor(version) for version in self._revisions.values(by_version)}
        return tuple(sorted(found - {""}))

    def minor_of(self, manifest: Manifest) -> str:
        """The Istio minor of a mesh's or a revision's spec; empty where the catalog does not know it."""
        return self._find_minor((manifest.get("spec") or {}).get("version", ""))

    def _find_minor(self, version: Any) -> str:
        release = self._assets.catalog.find(version)
        return release.minor.name if release else ""

    def _is_refused(self, mesh: Manifest) -> bool:
        """Whether a mesh holds nothing, and its present spec was refused."""
        return _was_refused(mesh) and self._find_revision(mesh) is None

    def _find_revision(self, mesh: Manifest) -> Manifest | None:
        return next(iter(self._list_revisions(mesh)), None)

    def _list_revisions(self, mesh: Manifest) -> list[Manifest]:
        parent = identify(mesh)
        return [r for r in self._revisions.list(parent.namespace) if parent.owns(r)]

    def _recorded_tag(self, mesh: Manifest) -> str:
        """The tag that a mesh has already; empty for one that has none yet."""
        if written := read_tag(mesh):
            return written
        if (revision := self._find_revision(mesh)) is not None:
            return str(revision["spec"]["tag"])
        # A mesh that was restored from a backup has neither status nor revision yet.
        parent = identify(mesh)
        webhooks = self._injectors.find(by_parent, parent.any_uid)
        tags = (webhook["metadata"]["labels"].get(ISTIO_TAG, "") for webhook in webhooks)
        return next((tag for tag in tags if tag not in ("", DEFAULT_TAG)), "")


def _holds_member_of(revision: Manifest) -> str:
    """The same of what a mesh was accepted for."""
    return str(read_members(revision).get("memberOf") or "")


def is_served_in_place(mesh: Manifest, revisions: Iterable[Manifest]) -> bool:
    """Whether the revision that serves a mesh is one that is updated in place: by its name, or that of what
    is there before any serves; else by what the spec asks for."""
    told = str((mesh.get("status") or {}).get("activeRevision") or "")
    names = (told, *(str(r["metadata"]["name"]) for r in revisions))
    if serving := next(filter(None, names), ""):
        return is_in_place(serving)
    asked = ((mesh.get("spec") or {}).get("upgrade") or {}).get("strategy")
    return bool(asked != upgrade.REVISION_BASED)


def asks_for_default(mesh: Manifest) -> bool:
    """Whether a mesh's spec asks for the tag `default`."""
    return (mesh.get("spec") or {}).get("defaultTag") is True


def _holds_default(revision: Manifest | None) -> bool:
    return revision is not None and bool(read_members(revision).get("default"))


def _was_refused(mesh: Manifest) -> bool:
    """Whether the mesh's present spec was looked at and refused."""
    verdict = find_condition(mesh, ConditionType.SPEC_ACCEPTED)
    return (
        verdict is not None
        and verdict["status"] == "False"
        and verdict["observedGeneration"] == mesh["metadata"].get("generation", 0)
    )
