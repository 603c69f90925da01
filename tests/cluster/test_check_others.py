"""`navarch check` names the Istios that it finds, who installed them, and what they share with a mesh.

What istioctl prints is applied to a cluster of its own; Sail's and Maistra's kinds are minimal ones that have
the names, groups and fields of the real ones.
"""

from __future__ import annotations

import asyncio
import copy
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import builds
from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, install
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.command import Ended, navarch
from tests.support.meshes import build_mesh

NS = "shop"
SYSTEM = "istio-system"
VERSION = "1.31.0"


@dataclass(frozen=True)
class Place:
    """A cluster with one mesh, to which no operator ever came, and which others may furnish."""

    cluster: Cluster
    api: Api

    async def check(self) -> Ended:
        return await asyncio.to_thread(navarch, "check", "-o", "json", kubeconfig=self.cluster.kubeconfig)

    async def installations(self) -> list[Object]:
        found: list[Object] = (await self.check()).json["installations"]
        return found

    @contextmanager
    def furnished(self, *manifests: Object, manager: str = "kubectl") -> Iterator[None]:
        """These objects are there while the block runs."""
        for manifest in manifests:
            self.api.apply(manifest, manager=manager)
        try:
            yield
        finally:
            for manifest in reversed(manifests):
                self.api.request("DELETE", path_of(manifest), {"propagationPolicy": "Background"})


def path_of(manifest: Object, plural: str = "") -> str:
    """Where an object is served; of our own CRDs the plural is the kind's lower case and an s."""
    metadata, version = manifest["metadata"], manifest["apiVersion"]
    plural = plural or f"{manifest['kind'].lower()}s"
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    where = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{root}{where}/{plural}/{metadata['name']}"


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Place]:
    with a_lab("others") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        for name in (NS, SYSTEM):
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        api.create(build_mesh(NS))
        yield Place(cluster, api)


@pytest.fixture(scope="module")
def istioctl() -> Path:
    """The lab's istioctl; the node suite builds it, if it is not there yet."""
    (recipe,) = [r for r in builds.recipes("node") if r.name == f"istioctl-{VERSION}"]
    path = builds.place(recipe)
    return path if path.exists() else builds.ensure("node")[recipe.name]


@pytest.fixture(scope="module")
def generated(istioctl: Path) -> list[Object]:
    """What istioctl prints for a control plane of revision `canary`, without CRDs and gateways."""
    flags = ("profile=minimal", "revision=canary", f"tag={VERSION}", "hub=istio.invalid")
    command = [str(istioctl), "manifest", "generate", *(word for flag in flags for word in ("--set", flag))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    manifests = [m for m in yaml.safe_load_all(done.stdout) if m]
    return [m for m in manifests if m["kind"] in ("ConfigMap", "Deployment", "MutatingWebhookConfiguration")]


def with_annotations(manifests: list[Object], **annotations: str) -> list[Object]:
    """The same manifests with more annotations."""
    copies = copy.deepcopy(manifests)
    for manifest in copies:
        manifest["metadata"].setdefault("annotations", {}).update(annotations)
    return copies


def with_selectors(manifests: list[Object]) -> list[Object]:
    """The same manifests; istiod looks at namespaces of team `theirs` only."""
    copies = copy.deepcopy(manifests)
    (config,) = [m for m in copies if m["metadata"]["name"] == "istio-canary"]
    mesh = yaml.safe_load(config["data"]["mesh"]) or {}
    mesh["discoverySelectors"] = [{"matchLabels": {"team": "theirs"}}]
    config["data"]["mesh"] = yaml.safe_dump(mesh)
    return copies


async def test_a_cluster_without_another_istio_names_none(place: Place) -> None:
    assert await place.installations() == []


async def test_what_istioctl_prints_is_named_and_warned_of_where_it_reaches_into_a_mesh(
    place: Place, generated: list[Object]
) -> None:
    with place.furnished(*generated):
        ended = await place.check()
    (found,) = ended.json["installations"]
    assert (found["installer"], found["namespace"], found["revision"]) == ("istioctl", SYSTEM, "canary")
    assert (found["version"], found["name"]) == (VERSION, "Deployment istiod-canary")
    assert found["evidence"] == "manifests of Istio's charts without a Helm release"
    found = {f["subject"]["kind"]: f for f in ended.find("AnotherIstioShares")}
    assert found.keys() == {"Deployment", "MeshControlPlane"}, "it is told on both sides"
    assert found["Deployment"]["severity"] == "warning"
    assert f"writes its root certificate into {NS} of mesh {NS}/demo" in found["Deployment"]["message"]
    assert f"ConfigMap {SYSTEM}/istio-canary" in found["MeshControlPlane"]["message"]
    assert found["MeshControlPlane"]["conditions"] == ["SpecAccepted"]
    with place.furnished(*with_selectors(generated)):
        ended = await place.check()
    assert ended.find("AnotherIstioShares") == []
    (finding,) = ended.find("AnotherIstio")
    assert finding["severity"] == "info"
    assert finding["subject"] == {"kind": "Deployment", "namespace": SYSTEM, "name": "istiod-canary"}


async def test_istioctls_own_mark_is_its_field_manager(place: Place, generated: list[Object]) -> None:
    with place.furnished(*with_selectors(generated), manager="istio-operator"):
        (found,) = await place.installations()
    assert (found["installer"], found["evidence"]) == ("istioctl", "installed by istioctl itself")


async def test_a_helm_release_is_named_with_its_record_whose_content_nobody_read(
    place: Place, generated: list[Object]
) -> None:
    marks = {"meta.helm.sh/release-name": "pilot", "meta.helm.sh/release-namespace": SYSTEM}
    released = with_annotations(with_selectors(generated), **marks)
    with place.furnished(*released, manager="helm"):
        (found,) = await place.installations()
        assert (found["installer"], found["evidence"]) == ("Helm", "release pilot, whose record was not seen")
        records = [
            build_record("pilot", 1, "superseded"),
            build_record("pilot", 2, "deployed"),
            build_record("pilot", "newest", "forged"),
        ]
        with place.furnished(*records, manager="helm"):
            (found,) = await place.installations()
    assert (found["installer"], found["evidence"]) == ("Helm", "release pilot, deployed")


def build_record(release: str, version: int | str, status: str) -> Object:
    """A release as Helm keeps it; what it holds is no valid record, so reading it would fail."""
    labels = {"owner": "helm", "name": release, "version": str(version), "status": status}
    name = f"sh.helm.release.v1.{release}.v{version}"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": labels},
        "type": "helm.sh/release.v1",
        "data": {"release": ""},
    }


# --- other operators ---------------------------------------------------------------------------------------


def build_crd(group: str, kind: str, *, namespaced: bool, version: str) -> Object:
    """A CRD that takes anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
            ],
        },
    }


async def create(api: Api, manifest: Object) -> Object:
    """Create an object as soon as its kind is served."""
    path = path_of(manifest).rpartition("/")[0]

    def is_created() -> Object | None:
        try:
            return dict(api.request("POST", path, manifest))
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    made = await eventually(is_created, seconds=30, every=0.2, what="the kind is served")
    return made  # type: ignore[return-value]


def build_custom(api_version: str, kind: str, name: str, namespace: str = "", **body: Any) -> Object:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    owners = body.pop("owners", None)
    if owners:
        metadata["ownerReferences"] = owners
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


async def test_sails_revisions_are_named_once_whether_or_not_they_run(
    place: Place, generated: list[Object]
) -> None:
    crds = [
        build_crd("sailoperator.io", kind, namespaced=False, version="v1")
        for kind in ("Istio", "IstioRevision")
    ]
    with place.furnished(*crds):
        asked = {"version": "v1.28.0", "namespace": SYSTEM}
        istio = await create(place.api, build_custom("sailoperator.io/v1", "Istio", "canary", spec=asked))
        (found,) = await place.installations()
        assert (found["installer"], found["name"], found["version"]) == ("Sail", "Istio canary", "v1.28.0")
        owner = {"apiVersion": "sailoperator.io/v1", "kind": "Istio", "name": "canary"}
        owners = [owner | {"uid": istio["metadata"]["uid"]}]
        manifest = build_custom("sailoperator.io/v1", "IstioRevision", "canary", spec=asked, owners=owners)
        revision = await create(place.api, manifest)
        deployed = copy.deepcopy(with_selectors(generated))
        owner = {"apiVersion": "sailoperator.io/v1", "kind": "IstioRevision", "name": "canary"}
        for manifest in deployed:
            manifest["metadata"]["ownerReferences"] = [owner | {"uid": revision["metadata"]["uid"]}]
        with place.furnished(*deployed, manager="sail-operator"):
            (found,) = await place.installations()
    assert (found["installer"], found["name"]) == ("Sail", "IstioRevision canary")
    assert (found["namespace"], found["revision"], found["version"]) == (SYSTEM, "canary", "v1.28.0")
    await eventually(lambda: not list_crds(place.api, "sailoperator.io"), seconds=30, what="Sail is gone")


def list_crds(api: Api, group: str) -> list[Object]:
    return [crd for crd in api.list("crd") if crd["spec"]["group"] == group]


async def test_a_control_plane_of_maistras_is_named_with_the_members_that_it_shares(place: Place) -> None:
    kinds = (("ServiceMeshControlPlane", "v2"), ("ServiceMeshMemberRoll", "v1"))
    crds = [build_crd("maistra.io", kind, namespaced=True, version=version) for kind, version in kinds]
    with place.furnished(*crds):
        plane = build_custom(
            "maistra.io/v2", "ServiceMeshControlPlane", "basic", SYSTEM, spec={"version": "v2.6"}
        )
        await create(place.api, plane)
        ended = await place.check()
        (found,) = ended.json["installations"]
        assert (found["installer"], found["namespace"], found["version"]) == ("Maistra", SYSTEM, "v2.6")
        assert (found["revision"], found["shares"]) == ("basic", [])
        roll = build_custom(
            "maistra.io/v1", "ServiceMeshMemberRoll", "default", SYSTEM, spec={"members": [NS, "other"]}
        )
        await create(place.api, roll)
        ended = await place.check()
    (finding,) = ended.find("AnotherIstioShares")
    assert finding["subject"] == {"kind": "ServiceMeshControlPlane", "namespace": SYSTEM, "name": "basic"}
    assert f"its member roll names {NS} of mesh {NS}/demo" in finding["message"]
