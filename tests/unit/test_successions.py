"""Upgrades from revision to revision, look by look, in a cluster in memory: what each look has done to it,
and that an operator killed after any write is followed by one that ends in the same place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from navarch.core.istio.assets import Assets, CRDSets
from navarch.core.membership.selectors import matches
from navarch.core.mesh.proof import tell_unready
from navarch.core.model.labels import IDLE, NAMESPACE_NAME, REVISION
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest, Ref
from navarch.engine.key import Key
from navarch.kube.store import Object

from tests.support.memory import MESH, Memory, build_namespace, build_root_config
from tests.support.meshes import build_mesh, read_condition
from tests.unit.observations import assets

OLD, NEW = (assets().catalog.find(minor).version for minor in ("1.30", "1.31"))  # type: ignore[union-attr]
NS, TAG = "shop", "shop-demo"
UPGRADE = {"strategy": "RevisionBased", "inactiveRevisionGracePeriodSeconds": 0}
ROUNDS = 8


def named(version: str) -> str:
    return f"{TAG}-{version.replace('.', '-')}"


@cache
def small_assets() -> Assets:
    """The assets with CRDs that have no schema: they are copied with each cluster."""
    texts = {
        minor: json.dumps([{**crd, "spec": {**crd["spec"], "versions": []}} for crd in found]).encode()
        for minor, found in assets().crds.items()
    }
    return replace(assets(), crds=CRDSets(texts))


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class Cluster(Memory):
    """A cluster in which istiods may stay down, and the operator may be killed; pods are injected by the
    webhook that takes them."""

    def __init__(self) -> None:
        super().__init__(data=small_assets())
        self.down: set[str] = set()
        self.left: int | None = None
        self.deleted: list[str] = []

    def restart(self) -> Cluster:
        """The same cluster, and another process."""
        other = Cluster()
        other.down = self.down
        for manifest in [*self.objects.values()]:
            other.keep(manifest)
        return other

    def keep(self, manifest: Object) -> None:
        """An object as it is, its uid included."""
        metadata = manifest["metadata"]
        key = (manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        self.objects[key] = {"metadata": metadata}
        made = self.put(manifest)
        self.objects[key] = {**made, "metadata": {**made["metadata"], "uid": metadata["uid"]}}

    def _count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def _live(self, manifest: Object) -> Object:
        made = super()._live(manifest)
        revision = (manifest["metadata"].get("labels") or {}).get(REVISION)
        if manifest["kind"] == "Deployment" and revision in self.down:
            return {**made, "status": {"observedGeneration": 9, "replicas": 1, "updatedReplicas": 1}}
        return made

    async def apply(self, manifest: Manifest, **how: Any) -> Object:
        if manifest["kind"] != "CustomResourceDefinition":  # those belong to no upgrade
            self._count()
        return await super().apply(manifest, **how)

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Object:
        if manifest["kind"] != "Pod":
            if not dry_run:
                self._count()
            return await super().create(manifest, dry_run=dry_run)
        revision = self.find_injector(manifest["metadata"]["labels"]["istio.io/rev"])
        annotations = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
        spec = {"containers": [*manifest["spec"]["containers"], {"name": "istio-proxy"}]}
        return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}, "spec": spec}

    async def delete(self, ref: Ref, **how: Any) -> Object:
        self._count()
        self.deleted.append(f"{ref.kind}/{ref.name}")
        if ref.kind == "Deployment":
            for pod in [o for o in self.list_kind("Pod") if o["metadata"]["name"].startswith(ref.name)]:
                self.remove(Ref("v1", "Pod", ref.namespace, pod["metadata"]["name"]))
        return await super().delete(ref, **how)

    def find_injector(self, value: str) -> str:
        """The revision to which the API server sends a pod with this label."""
        takers = {
            entry["clientConfig"]["service"]["name"].removeprefix("istiod-")
            for kind, _, _ in self.objects
            if kind == "MutatingWebhookConfiguration"
            for hook in self.list_kind(kind)
            for entry in hook["webhooks"]
            if f'"{value}"' in json.dumps(entry["objectSelector"])
        }
        (taker,) = takers
        return taker

    def list_kind(self, kind: str) -> list[Object]:
        return [o for (found, _, _), o in self.objects.items() if found == kind]

    def list_names(self) -> set[tuple[str, str, str]]:
        return {name for name in self.objects if name[0] != "Event"}

    @property
    def mesh(self) -> Object:
        return self.objects[MESH, NS, "demo"]

    def list_revisions(self) -> list[str]:
        return sorted(o["metadata"]["name"] for o in self.list_kind("MeshRevision"))

    def list_of(self, revision: str) -> list[str]:
        """The objects of a revision, the MeshRevision included."""
        return sorted(
            f"{kind}/{name}"
            for (kind, _, name), o in self.objects.items()
            if parent_of(o) is not None
            and ((o["metadata"].get("labels") or {}).get(REVISION) == revision or name == revision)
        )

    def edit(self, **spec: Any) -> None:
        self.put({**self.mesh, "spec": {**self.mesh["spec"], **spec}})

    def come_up(self, revision: str) -> None:
        """The istiod of a revision becomes available."""
        self.down.discard(revision)
        there = self.objects["Deployment", NS, f"istiod-{revision}"]
        self.put(self._live(there))

    async def settle(self) -> None:
        """Looks, until one writes nothing."""
        for _ in range(ROUNDS):
            before = len(self.requests)
            await self.meshes.reconcile(Key(MESH, NS, "demo"))
            for name in self.list_revisions():
                await self.revisions.reconcile(Key("MeshRevision", NS, name))
            if not [r for r in self.requests[before:] if r.startswith(("apply", "delete"))]:
                return


def put_pod(cluster: Cluster, revision: str) -> None:
    annotations = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
    labels = {"service.istio.io/canonical-name": "web"}
    metadata = {"name": "web", "namespace": NS, "labels": labels, "annotations": annotations}
    cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}})


def fill(cluster: Cluster, **spec: Any) -> Cluster:
    """The cluster with a mesh of the older version that no look has seen."""
    cluster.put(build_namespace(NS))
    cluster.put(build_root_config(NS))
    cluster.put(build_mesh(NS, **{"version": "1.30", "upgrade": UPGRADE, "mtls": {"mode": "Strict"}, **spec}))
    return cluster


async def a_mesh(**spec: Any) -> Cluster:
    """The same, settled."""
    cluster = fill(Cluster(), **spec)
    await cluster.settle()
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", cluster.mesh["status"]
    return cluster


def tell(cluster: Cluster) -> tuple[str, list[str]]:
    return cluster.mesh["status"]["activeRevision"], cluster.list_revisions()


async def test_the_tag_moves_to_a_revision_that_serves_and_what_nothing_uses_goes() -> None:
    cluster = await a_mesh()
    assert cluster.list_revisions() == [named(OLD)]
    before = cluster.objects["MutatingWebhookConfiguration", "", f"istio-revision-tag-{TAG}"]
    cluster.edit(version="1.31")
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])
    assert cluster.find_injector(TAG) == named(NEW)
    assert cluster.list_of(named(OLD)) == []
    after = cluster.objects["MutatingWebhookConfiguration", "", f"istio-revision-tag-{TAG}"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert read_condition(cluster.mesh, "Ready")["status"] == "True"


async def test_an_istiod_that_does_not_come_up_leaves_what_serves_as_it_is() -> None:
    cluster = await a_mesh()
    before = {name: cluster.objects[name] for name in cluster.objects if named(OLD) in json.dumps(name)}
    cluster.down = {named(NEW)}
    cluster.edit(version="1.31")
    await cluster.settle()
    assert tell(cluster) == (named(OLD), sorted([named(OLD), named(NEW)]))
    assert cluster.find_injector(TAG) == named(OLD)
    now = {name: cluster.objects[name] for name in before}
    assert [k for k, v in now.items() if v.get("spec") != before[k].get("spec")] == []
    assert [k for k, v in now.items() if k[0] != "MeshRevision" and v != before[k]] == []
    cluster = cluster.restart()  # which writes a status at once
    await cluster.settle()
    progressing = read_condition(cluster.mesh, "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("True", "Upgrading"), progressing["message"]
    assert cluster.mesh["status"]["upgrade"]["phase"] == "Proving"
    assert read_condition(cluster.mesh, "Available")["status"] == "True"
    cluster.come_up(named(NEW))
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])


async def test_a_revision_with_pods_stays_and_is_the_way_back() -> None:
    cluster = await a_mesh()
    put_pod(cluster, named(OLD))
    cluster.edit(version="1.31")
    await cluster.settle()
    assert tell(cluster) == (named(NEW), sorted([named(OLD), named(NEW)]))
    assert cluster.mesh["status"]["proxies"]["outdated"] == 1
    cluster.edit(version="1.30")
    await cluster.settle()
    assert tell(cluster) == (named(OLD), [named(OLD)])
    cluster.edit(version="1.29")
    await cluster.settle()
    assert read_condition(cluster.mesh, "SpecAccepted")["reason"] == "Downgrade"


async def test_a_revision_that_is_not_used_waits_for_the_end_of_its_grace_period() -> None:
    cluster = await a_mesh()
    cluster.edit(version="1.31", upgrade={"strategy": "RevisionBased"})
    await cluster.settle()
    assert tell(cluster) == (named(NEW), sorted([named(OLD), named(NEW)]))
    annotations = cluster.objects["MeshRevision", NS, named(OLD)]["metadata"]["annotations"]
    assert annotations[IDLE]
    requests = len(cluster.requests)
    await cluster.settle()
    writes = [r for r in cluster.requests[requests:] if not r.startswith("get ")]
    assert writes == [], "a second look writes nothing"
    cluster.edit(version="1.30")
    await cluster.settle()
    assert cluster.mesh["status"]["activeRevision"] == named(OLD)
    assert IDLE not in cluster.objects["MeshRevision", NS, named(OLD)]["metadata"]["annotations"]


async def test_a_refused_edit_amid_an_upgrade_takes_nothing_away() -> None:
    cluster = await a_mesh()
    cluster.down = {named(NEW)}
    cluster.edit(version="1.31")
    await cluster.settle()
    cluster.edit(version="9.9")
    await cluster.settle()
    assert tell(cluster) == (named(OLD), sorted([named(OLD), named(NEW)]))
    cluster.come_up(named(NEW))
    await cluster.settle()
    assert tell(cluster) == (named(OLD), sorted([named(OLD), named(NEW)])), "nothing is asked for"


async def test_a_tag_whose_webhook_was_deleted_amid_an_upgrade_comes_back_where_it_was() -> None:
    cluster = await a_mesh()
    cluster.down = {named(NEW)}
    cluster.edit(version="1.31")
    await cluster.settle()
    cluster.remove(
        Ref(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            "",
            f"istio-revision-tag-{TAG}",
        )
    )
    await cluster.settle()
    assert cluster.find_injector(TAG) == named(OLD)


def count_writes() -> Iterator[int]:
    yield from range(1, 200)


async def test_an_upgrade_killed_after_any_write_ends_as_one_that_was_not() -> None:
    before = await a_mesh(defaultTag=True)
    whole = before.restart()
    whole.edit(version="1.31")
    await whole.settle()
    wanted = whole.list_names()
    for writes in count_writes():
        cluster = before.restart()
        cluster.edit(version="1.31")
        cluster.left = writes
        try:
            await cluster.settle()
        except Killed:
            killed = True
        else:
            killed = False
        pointed = cluster.find_injector(TAG)
        assert pointed in cluster.list_revisions(), "the tag never points to nothing"
        assert f"Deployment/istiod-{pointed}" in cluster.list_of(pointed)
        other = cluster.restart()
        await other.settle()
        assert other.list_names() ^ wanted == set(), writes
        assert tell(other) == (named(NEW), [named(NEW)])
        if not killed:
            break
    else:
        pytest.fail("there was no end of writes")
    assert writes > 20


# --- the default tag ----------------------------------------------------------------------------------------

WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def list_callers(cluster: Cluster, kind: str, place: dict[str, str]) -> list[str]:
    """The istiods that the API server calls for an object without labels in a namespace with these, once for
    each webhook that takes it."""
    return [
        entry["clientConfig"]["service"]["name"]
        for configuration in cluster.list_kind(kind)
        for entry in configuration["webhooks"]
        if matches(entry.get("namespaceSelector"), {NAMESPACE_NAME: "apps", **place})
        and matches(entry.get("objectSelector"), {})
    ]


def assert_only_what_serves_is_called(cluster: Cluster) -> None:
    """By each label that leads to the mesh one webhook takes a pod; configuration goes to the same istiod."""
    serving = f"istiod-{cluster.mesh['status']['activeRevision']}"
    for place in PLACES:
        assert list_callers(cluster, WEBHOOKS[0], place) == [serving], place
        assert {*list_callers(cluster, WEBHOOKS[1], place)} == {serving}, place


PLACES = ({"istio-injection": "enabled"}, {"istio.io/rev": "default"}, {"istio.io/rev": TAG})
PATCHES = assets().catalog.find("1.31").minor.patches  # type: ignore[union-attr]
IN_PLACE = {"strategy": "InPlace"}


class Watched(Cluster):
    """A cluster that notes when no webhook takes a pod, or configuration, of the mesh."""

    gaps: list[str]

    def note_gaps(self, after: str) -> None:
        if any(not list_callers(self, kind, place) for kind in WEBHOOKS for place in PLACES):
            self.gaps.append(after)

    async def apply(self, manifest: Manifest, **how: Any) -> Object:
        made = await super().apply(manifest, **how)
        self.note_gaps(f"apply {manifest['kind']}")
        return made

    async def delete(self, ref: Ref, **how: Any) -> Object:
        gone = await super().delete(ref, **how)
        self.note_gaps(f"delete {ref}")
        return gone


@pytest.mark.parametrize("upgrade", [UPGRADE, IN_PLACE], ids=["by revision", "in place"])
@pytest.mark.parametrize(("first", "then"), [PATCHES[:2], (OLD, NEW)], ids=["patch", "minor"])
async def test_the_owner_of_the_default_tag_goes_on_and_at_no_moment_is_it_called_by_none(
    upgrade: dict[str, Any], first: str, then: str
) -> None:
    """Also of what calls the older istiod nothing is left, though that is there for the way back."""
    cluster = Watched()
    fill(cluster, defaultTag=True, version=first, upgrade=upgrade)
    cluster.gaps = []
    await cluster.settle()
    assert_only_what_serves_is_called(cluster)
    put_pod(cluster, cluster.mesh["status"]["activeRevision"])
    cluster.gaps.clear()
    cluster.edit(version=then)
    await cluster.settle()
    assert cluster.mesh["status"]["version"]["active"] == then
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", cluster.mesh["status"]
    assert cluster.gaps == []
    assert_only_what_serves_is_called(cluster)


async def test_an_installation_killed_after_any_write_is_upgraded_like_one_that_was_not() -> None:
    whole = await a_mesh(defaultTag=True, upgrade=IN_PLACE)
    whole.edit(version="1.31")
    await whole.settle()
    for writes in count_writes():
        cluster = fill(Cluster(), defaultTag=True, upgrade=IN_PLACE)
        cluster.left = writes
        try:
            await cluster.settle()
        except Killed:
            killed = True
        else:
            killed = False
        other = cluster.restart()
        other.edit(version="1.31")
        await other.settle()
        assert other.list_names() ^ whole.list_names() == set(), writes
        assert other.mesh["status"]["version"]["active"] == NEW
        assert_only_what_serves_is_called(other)
        if not killed:
            break
    else:
        pytest.fail("there was no end of writes")
    assert writes > 10


def test_a_pod_that_does_not_start_is_named_before_the_istiod_that_is_not_available() -> None:
    def told(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
        return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1}

    ready = told("Ready", "False", "NoReplicaAvailable", "0 of 1 pods")
    stuck = told("Progressing", "True", "RolloutStuck", "pod istiod-x: ErrImagePull: not found")
    refused = told("Reconciled", "False", "ApplyFailed", "exceeded quota")
    revision: Manifest = {"metadata": {"generation": 1}, "status": {"conditions": [ready]}}
    assert tell_unready(revision) == "0 of 1 pods"
    revision["status"]["conditions"].append(stuck)
    assert "ErrImagePull" in tell_unready(revision)
    revision["status"]["conditions"].append(refused)
    assert tell_unready(revision) == "exceeded quota"
    revision["metadata"]["generation"] = 2
    assert "nothing is known" in tell_unready(revision)
