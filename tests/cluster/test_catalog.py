"""Versions that a release of Navarch does not know by itself: newer patches, what the cluster adds to the
catalog, and a minor that is a preview. In a lab of its own, for the catalog is every mesh's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, a_mesh_namespace, a_running_operator, assert_quiet, install
from tests.golden.rendering import NEWEST
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, edit, get_istiod, read_condition, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.workloads import build_pod, create_namespace

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
HUB = "registry.istio.io/release"


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    with a_lab("catalog") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def api(lab: Cluster) -> Api:
    return Api(lab.kubeconfig)


@pytest.fixture(scope="module")
def audit(lab: Cluster) -> Audit:
    assert lab.audit_log is not None
    return Audit(lab.audit_log, USER)


@pytest.fixture(scope="module")
async def operator(lab: Cluster, api: Api) -> AsyncIterator[Operator]:
    await install(api)
    async with a_running_operator(lab) as process:
        yield process


@pytest.fixture(scope="module")
async def mesh(api: Api, operator: Operator) -> AsyncIterator[str]:
    """A mesh of the newest patch of 1.31 that the release knows."""
    with a_mesh_namespace(api, "catalog") as namespace:
        api.create(build_mesh(namespace))
        await wait_for(api, namespace)
        yield namespace


def build_extension(content: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "more", "namespace": SYSTEM, "labels": {"mesh.navarch.io/catalog": ""}},
        "data": {"catalog.yaml": content if isinstance(content, str) else yaml.safe_dump(content)},
    }


def image_of(api: Api, namespace: str) -> str:
    image: str = get_istiod(api, namespace)["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


async def wait_for_version(api: Api, namespace: str, version: str) -> Object:
    def serves() -> Object | None:
        found = api.get("mesh", namespace, "demo") or {}
        return found if found["status"]["version"] == {"desired": version, "active": version} else None

    found = await eventually(serves, seconds=60, every=0.1, what=f"{namespace} serves {version}")
    assert found is not None
    return await wait_for(api, namespace)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "ConfigMap more, key catalog.yaml: it is not YAML"),
        ({"1.31": {"patches": "1.31.97"}}, "1.31.patches: it is not a list of versions"),
        ({"1.31": {"patches": ["1.31.0"]}}, f"the newest of the list is older than {NEWEST}"),
        ({"1.31": {"digests": {NEWEST: {"pilot": "sha256:1"}}}}, "'sha256:1' is not sha256: and 64 digits"),
        ({"1.99": {"patches": ["1.99.0"]}}, "'1.99' is no minor that this release of Navarch has templates"),
    ],
)
async def test_an_extension_that_cannot_be_taken_is_told_and_changes_nothing(
    api: Api, mesh: str, content: Any, told: str
) -> None:
    image = image_of(api, mesh)
    api.create(build_extension(content))
    found = await wait_for(api, mesh, condition="SpecAccepted", reason="CatalogInvalid")
    assert told in read_condition(found, "SpecAccepted")["message"]
    assert read_condition(found, "Ready")["status"] == "True"
    assert image_of(api, mesh) == image
    api.delete("configmap", SYSTEM, "more")
    await eventually(
        lambda: read_condition(api.get("mesh", mesh, "demo"), "SpecAccepted")["reason"] != "CatalogInvalid",
        what="nothing is told any more",
    )


async def test_a_minor_follows_a_patch_that_the_cluster_adds_and_stays_there_when_it_is_taken_back(
    api: Api, audit: Audit, operator: Operator, mesh: str
) -> None:
    digests = {"pilot": ONE, "proxyv2": OTHER}
    api.create(build_extension({"1.31": {"patches": ["1.31.97"], "digests": {"1.31.97": digests}}}))
    found = await wait_for_version(api, mesh, "1.31.97")
    assert read_condition(found, "SpecAccepted")["reason"] != "PatchUntested"
    assert image_of(api, mesh) == f"{HUB}/pilot:1.31.97@{ONE}"
    injector = api.get("configmap", mesh, f"istio-sidecar-injector-{mesh}-demo-inplace") or {}
    assert f"{HUB}/proxyv2:1.31.97@{OTHER}" in injector["data"]["values"]
    await assert_quiet(api, audit, operator, mesh, "demo")

    api.patch("configmap", SYSTEM, "more", build_extension({"1.31": {"patches": ["1.31.97"]}}))
    await eventually(lambda: image_of(api, mesh) == f"{HUB}/pilot:1.31.97", seconds=60, what="no digest")

    api.delete("configmap", SYSTEM, "more")
    found = await wait_for(api, mesh, condition="SpecAccepted", reason="PatchUntested")
    assert "means 1.31.97, which runs" in read_condition(found, "SpecAccepted")["message"]
    assert found["status"]["version"] == {"desired": "1.31.97", "active": "1.31.97"}
    await wait_for(api, mesh)
    await assert_quiet(api, audit, operator, mesh, "demo")


async def test_a_patch_newer_than_any_known_one_is_installed_with_a_warning(
    api: Api, audit: Audit, operator: Operator, mesh: str
) -> None:
    edit(api, mesh, version="1.31.99")
    found = await wait_for_version(api, mesh, "1.31.99")
    accepted = read_condition(found, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "PatchUntested")
    assert f"is newer than {NEWEST}, the newest patch of 1.31 known here" in accepted["message"]
    assert image_of(api, mesh) == f"{HUB}/pilot:1.31.99"
    await assert_quiet(api, audit, operator, mesh, "demo")


async def test_a_preview_is_installed_with_a_warning_and_its_own_crds(
    api: Api, audit: Audit, operator: Operator, mesh: str
) -> None:
    edit(api, mesh, version="1.32")
    found = await wait_for_version(api, mesh, "1.32.0")
    accepted = read_condition(found, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "VersionPreview")
    assert "they have run no istiod of it" in accepted["message"]
    crd = api.get("crd", "", "destinationrules.networking.istio.io") or {}
    assert crd["metadata"]["labels"]["mesh.navarch.io/istio-minor"] == "1.32"
    await assert_quiet(api, audit, operator, mesh, "demo")


@pytest.mark.parametrize("version", ["1.29", "1.30"])
async def test_a_pod_whose_name_is_cut_at_a_dot_is_admitted_on_older_minors(
    api: Api, operator: Operator, version: str
) -> None:
    """Istio's own templates of these minors leave the dot at the end, which is no label."""
    name, namespace = "a" * 62 + ".bbbbb", f"names-{version.replace('.', '-')}"
    with a_mesh_namespace(api, namespace):
        api.create(build_mesh(namespace, version=version))
        await wait_for(api, namespace)
        apps = f"{namespace}-apps"
        try:
            await create_namespace(api, apps, {"istio.io/rev": f"{namespace}-demo"})
            asked = build_pod(apps, name)
            asked["metadata"]["labels"] = {}
            pod = api.request("POST", f"{api.path('pod', apps)}?dryRun=All", asked)
            assert pod["metadata"]["labels"]["service.istio.io/canonical-name"] == "a" * 62
        finally:
            api.delete("namespace", "", apps)
