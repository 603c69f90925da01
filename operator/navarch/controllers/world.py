"""gather(): what the stores and a few requests say, as the frozen values the core decides on.

Owns the translation from Kubernetes' objects to the records of core/world and core/*/observed.py. Must never
decide, and never write. Invariant: for a settled mesh, gathering costs one request: the mesh itself, read fresh.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from navarch.api import controlplane
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.meta import API_VERSION, GROUP
from navarch.controllers.crds import CRDInspector
from navarch.controllers.probe import Prober
from navarch.controllers.problems import gather_problems
from navarch.controllers.watches import OWNED_KINDS, ROOT, ROOT_CONFIG_MAP, WATCHES, WEBHOOK_KINDS
from navarch.core.istio.assets import Assets
from navarch.core.istio.certificates import fingerprint_bundle
from navarch.core.membership.rule import find_counted
from navarch.core.mesh.membership import find_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.labels import (
    ISTIO_REV,
    ISTIO_TAG,
    MESH_NAME,
    MESH_NAMESPACE,
    Owner,
    owner_of,
    revision_of,
)
from navarch.core.model.naming import DEFAULT_TAG, effective_tag
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.revision.observed import ObservedRevision
from navarch.core.world.cluster import Environment, Namespace, Webhook, WebhookEntry
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.workload import PodProblem, determine_rollout, find_deployment
from navarch.kube.client import Client
from navarch.kube.errors import NotFound, Unserved
from navarch.kube.resources import Resource, resource_of
from navarch.kube.store import Store

KIND_REF = Ref(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "",
    f"{controlplane.PLURAL}.{GROUP}",
)
REMEMBERED = 10_000
"""Webhook configurations that are kept as they were read."""


class World:
    """The cluster as the stores know it. `now` gives the time as RFC 3339 with whole seconds."""

    def __init__(
        self,
        client: Client,
        stores: Mapping[str, Store],
        assets: Assets,
        *,
        environment: Environment,
        now: Callable[[], str],
        orphan_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._stores = stores
        self.now = now
        self._crds = CRDInspector(client, stores["crds"], assets)
        self._seen: dict[tuple[str, str], str] = {}
        self._lost: dict[tuple[str, str], float] = {}
        self._orphan_seconds, self._clock = orphan_seconds, clock
        self._read: dict[str, tuple[str, Webhook]] = {}
        self.prober = Prober(client)
        self.assets = assets
        self.environment = environment

    async def gather_mesh(self, namespace: str, name: str) -> ObservedMesh | None:
        """A mesh and everything its reconcile depends on; None when it is gone."""
        try:
            body = await self._client.get(Ref(API_VERSION, controlplane.KIND, namespace, name))
        except NotFound:
            self._forget(namespace, name)
            return None
        except Unserved:
            if self._is_installed(resource_of(API_VERSION, controlplane.KIND)):
                raise
            self._forget(namespace, name)
            return None
        self._stores["meshes"].observe(body)
        self._seen[namespace, name] = self._find_kind_uid()
        self._lost.pop((namespace, name), None)
        return await self.observe(body)

    async def observe(self, body: Manifest) -> ObservedMesh:
        """Everything that a reconcile of the mesh `body` would depend on, whether or not it is in the cluster
        yet."""
        namespace = body["metadata"]["namespace"]
        owner = Owner(namespace, body["metadata"]["name"], body["metadata"]["uid"])
        spec, error = _parse_spec(body)
        # The fresh body counts, whatever the store has of this mesh: it may be behind, or know of a deletion.
        bodies = {mesh["metadata"]["uid"]: mesh for mesh in self._stores["meshes"].list()} | {owner.uid: body}
        minors = tuple(sorted({m for mesh in bodies.values() if (m := self._minor_of(mesh))}))
        revisions = tuple(r for r in self._stores["revisions"].list(namespace) if owner.owns(r))
        names = {r["metadata"]["name"] for r in revisions}
        profiles, profile_errors = self._read_profiles()
        observed = ObservedMesh(
            environment=self.environment,
            assets=self.assets,
            owner=owner,
            body=body,
            spec=spec,
            spec_error=error,
            meshes=tuple(sorted(self.summarise(bodies.values()))),
            namespaces={ns.name: ns for ns in self.namespaces()},
            profiles=profiles,
            profile_errors=profile_errors,
            owned=tuple(self._owned(owner)),
            revisions=revisions,
            webhooks=tuple(self.webhooks()),
            crds=await self._crds.gather(minors),
            crd_minors=minors,
            proxies=(),
            root=self._root(namespace),
            probe=None,
            now=self.now(),
            kind_deleted=await self._find_kind_deletion(body),
        )
        found = [p for p in self.proxies() if p.revision in names]
        proxies = tuple(find_counted(find_membership(observed), observed.namespaces, found))
        return replace(observed, proxies=proxies, probe=await self.prober.probe(observed))

    async def find_orphans(self, namespace: str, name: str) -> tuple[Manifest, ...]:
        """What is left of a mesh that went under our eyes without having been cleaned up after. Objects
        whose mesh was never there are none: a backup restores them before it, perhaps. Nor are those whose
        mesh went with its kind: that was nobody's wish for this mesh."""
        if (namespace, name) not in self._seen:
            return ()
        owner = Owner(namespace, name, "")
        revisions = (r for r in self._stores["revisions"].list(namespace) if owner.owns(r))
        orphans = (*self._owned(owner), *revisions)
        if not orphans or not await self._is_kind_as_it_was(self._seen[namespace, name]):
            self._seen.pop((namespace, name), None)
            self._lost.pop((namespace, name), None)
            return ()
        return orphans

    def find_grace(self, namespace: str, name: str) -> float:
        """For how many seconds more the objects of a mesh that is gone are kept for whoever restores it."""
        now = self._clock()
        return self._lost.setdefault((namespace, name), now) + self._orphan_seconds - now

    async def _read_kind(self) -> Manifest | None:
        try:
            return await self._client.get(KIND_REF, metadata_only=True)
        except NotFound:
            return None

    async def _is_kind_as_it_was(self, uid: str) -> bool:
        kind = await self._read_kind()
        return kind is not None and kind["metadata"]["uid"] == uid and not _deletion_of(kind)

    async def _find_kind_deletion(self, body: Manifest) -> str:
        """When the deletion of the kind itself was asked for; read fresh, since the watch may tell of it
        after it told of the mesh."""
        if not _deletion_of(body):
            return ""
        kind = await self._read_kind()
        return _deletion_of(kind) if kind is not None else ""

    def _find_kind_uid(self) -> str:
        stored = self._stores["crds"].get(KIND_REF)
        return str(stored["metadata"]["uid"]) if stored is not None else ""

    async def find_unseen(self, owner: Owner) -> tuple[Manifest, ...]:
        """What the API server has of a mesh beyond what the stores know; written through, so that the next
        look sees it. One request for each kind: for the end of a mesh only."""
        selector = f"{MESH_NAMESPACE}={owner.namespace},{MESH_NAME}={owner.name}"
        found: list[Manifest] = []
        for watch in WATCHES:
            if watch.name not in (*WEBHOOK_KINDS, *(kind for _, kind in OWNED_KINDS), "revisions"):
                continue
            resource = resource_of(watch.api_version, watch.kind)
            namespace = owner.namespace if resource.namespaced else ""
            try:
                listing = await self._client.list(resource, namespace=namespace, label_selector=selector)
            except Unserved:
                if resource.builtin or self._is_installed(resource):
                    raise
                continue
            for manifest in listing.items:
                self._stores[watch.name].observe(manifest)
                found.append(manifest)
        return tuple(found)

    def _is_installed(self, resource: Resource) -> bool:
        """Whether the cluster has the CRD of a kind: then a 404 does not mean that there are no objects."""
        name = f"{resource.plural}.{resource.group}"
        return any(crd["metadata"]["name"] == name for crd in self._stores["crds"].list())

    def _forget(self, namespace: str, name: str) -> None:
        for mesh in self._stores["meshes"].list(namespace):
            if mesh["metadata"]["name"] == name:
                self._stores["meshes"].discard(ref_of(mesh), mesh["metadata"]["uid"])

    async def gather_revision(self, namespace: str, name: str) -> ObservedRevision | None:
        """A revision and everything its reconcile depends on; None when it is gone or not ours."""
        body = self._stores["revisions"].get(Ref(API_VERSION, "MeshRevision", namespace, name))
        owner = owner_of(body) if body else None
        if body is None or owner is None:
            return None
        mesh = self._stores["meshes"].get(Ref(API_VERSION, controlplane.KIND, namespace, owner.name))
        owned = tuple(o for o in self._owned(owner) if revision_of(o) == name)
        deployment = find_deployment(owned, name)
        problems: tuple[PodProblem, ...] = ()
        if deployment is not None and not determine_rollout(deployment).complete:
            pods = [p for p in self._stores["istiods"].list(namespace) if revision_of(p) == name]
            problems = await gather_problems(self._client, deployment, pods)
        return ObservedRevision(
            environment=self.environment,
            assets=self.assets,
            owner=owner,
            body=body,
            mesh=mesh,
            namespace=next((ns for ns in self.namespaces() if ns.name == namespace), None),
            owned=owned,
            problems=problems,
            now=self.now(),
        )

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

    def _recorded_tag(self, mesh: Manifest) -> str:
        """The tag that a mesh has already: what it was given once is never computed anew."""
        recorded = (mesh.get("spec") or {}).get("tag") or (mesh.get("status") or {}).get("tag")
        if recorded:
            return str(recorded)
        metadata = mesh["metadata"]
        owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
        for revision in self._stores["revisions"].list(owner.namespace):
            if owner.owns(revision):
                return str(revision["spec"]["tag"])
        # A mesh that was restored from a backup has neither status nor revision yet.
        tags = (m["metadata"]["labels"].get(ISTIO_TAG, "") for m in self._own_webhooks(owner))
        return next((tag for tag in tags if tag not in ("", DEFAULT_TAG)), "")

    def _own_webhooks(self, owner: Owner) -> Iterator[Manifest]:
        yield from (m for m in self._stores["MutatingWebhookConfiguration"].list() if owner.owns(m))

    def _minor_of(self, mesh: Manifest) -> str:
        version = (mesh.get("spec") or {}).get("version", "")
        release = self.assets.catalog.find(version)
        return release.minor.name if release else ""

    def _owned(self, owner: Owner) -> Iterator[Manifest]:
        for kind in (*(kind for _, kind in OWNED_KINDS), *WEBHOOK_KINDS):
            store = self._stores[kind]
            near = store.list(owner.namespace if store.resource.namespaced else None)
            yield from (o for o in near if owner.owns(o))

    def namespaces(self) -> Iterator[Namespace]:
        """All namespaces of the cluster."""
        for manifest in self._stores["namespaces"].list():
            metadata = manifest["metadata"]
            yield Namespace(
                metadata["name"], metadata.get("labels") or {}, terminating="deletionTimestamp" in metadata
            )

    def proxies(self) -> Iterator[ProxyPod]:
        """All pods with a proxy, whoever injected it."""
        yield from (p["proxy"] for p in self._stores["proxies"].list() if p["proxy"] is not None)

    def webhooks(self) -> Iterator[Webhook]:
        """All webhook configurations, anybody's."""
        for kind in WEBHOOK_KINDS:
            yield from map(self._read_webhook, self._stores[kind].list())

    def _read_webhook(self, manifest: Manifest) -> Webhook:
        """A webhook as it was read before, unless it changed: its certificates are parsed once, and not at
        every look of every mesh, whosever they are and however many."""
        uid, version = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
        known = self._read.get(uid)
        if known is None or known[0] != version:
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            known = self._read[uid] = (version, read_webhook(manifest))
        return known[1]

    def _root(self, namespace: str) -> str:
        found = self._stores["roots"].get(Ref("v1", "ConfigMap", namespace, ROOT_CONFIG_MAP))
        return str(found[ROOT]) if found else ""

    def _read_profiles(self) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
        profiles: dict[str, Mapping[str, Any]] = {}
        errors: dict[str, str] = {}
        for manifest in self._stores["profiles"].list():
            if manifest["error"]:
                errors[manifest["metadata"]["name"]] = manifest["error"]
            else:
                profiles[manifest["metadata"]["name"]] = manifest["content"]
        return profiles, errors


def _deletion_of(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("deletionTimestamp") or "")


def _parse_spec(body: Manifest) -> tuple[MeshControlPlaneSpec | None, str]:
    try:
        return MeshControlPlaneSpec.model_validate(body.get("spec") or {}), ""
    except ValidationError as error:
        return None, "; ".join(
            f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )


def read_webhook(manifest: Manifest) -> Webhook:
    """A webhook configuration as the core sees it."""
    labels = manifest["metadata"].get("labels") or {}
    return Webhook(
        ref=ref_of(manifest),
        owner=owner_of(manifest),
        revision=labels.get(ISTIO_REV, ""),
        tag=labels.get(ISTIO_TAG, ""),
        entries=tuple(_read_entry(entry) for entry in manifest.get("webhooks") or ()),
        generation=int(manifest["metadata"].get("generation") or 0),
    )


def _read_entry(entry: Mapping[str, Any]) -> WebhookEntry:
    bundle = entry["clientConfig"].get("caBundle") or ""
    return WebhookEntry(
        name=entry["name"],
        ca_bundle=fingerprint_bundle(base64.b64decode(bundle)) if bundle else "",
        failure_policy=entry.get("failurePolicy", ""),
        namespace_selector=entry.get("namespaceSelector") or {},
        object_selector=entry.get("objectSelector") or {},
    )
