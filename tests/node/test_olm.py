"""Navarch as OLM installs it, on a real node: from an image of its bundle that a Job unpacks, as a pod by
digest under PodSecurity `restricted`; and what its examples become there.

The tests are in the order in which a person would do these things.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from navarch.core.istio.images import NAMES

from lab import cluster as clusters
from lab.builds import ISTIO_VERSIONS
from lab.cluster import CHECKOUT
from lab.images.base import ISTIO_HUB
from lab.images.operator import OPERATOR, ensure_operator_archive
from lab.node import cluster as node_cluster
from lab.node import olm as node_olm
from lab.node.cluster import load_by_digest
from scripts import olm
from tests.node.conftest import PROFILES
from tests.node.test_gateways import build_route
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.hub import Hub
from tests.support.members import wait_for_member
from tests.support.meshes import is_current, read_condition, wait_for
from tests.support.operator import SYSTEM
from tests.support.workloads import ask, is_ready, load_profile, start_apps

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("in_full")]
MESH, NAME, APPS, OUTSIDE = "mesh", "demo", "shop", "outside"
VERSION = ISTIO_VERSIONS[-1]


@dataclass(frozen=True)
class Installed:
    """Navarch, installed by OLM, and the images that it was installed from."""

    hub: Hub
    image: str
    bundle: str
    csv: str

    @property
    def api(self) -> Api:
        return self.hub.api


@pytest.fixture(scope="module")
async def installed() -> AsyncIterator[Installed]:
    """A node lab of this module's own: the session's has an operator that was installed by kubectl."""
    if clusters.is_current():
        pytest.skip("CLUSTER=current: these tests bring an OLM of their own")
    name = f"test-node-olm-{os.getpid()}"
    try:
        cluster = node_cluster.up(name)
        hub = Hub(cluster, Api(cluster.kubeconfig), node_olm.add(cluster))
        image = load_by_digest(cluster, ensure_operator_archive(CHECKOUT))[OPERATOR]
        # As a tool that mirrors a bundle would: the images that meshes run are the lab's.
        related = {f"{each}-{VERSION}": f"{ISTIO_HUB}/{each}:{VERSION}" for each in NAMES}
        release = replace(olm.build_release(), image=image, related=related)
        files = olm.build_bundle_files(release)
        bundle = node_olm.load_bundle(cluster, files, files["bundle.Containerfile"])
        release = replace(release, bundle_image=bundle)
        await hub.install(release)
        yield Installed(hub, image, bundle, release.name)
    finally:
        node_cluster.down(name)


def test_the_bundle_was_unpacked_from_its_image_by_olms_job(installed: Installed) -> None:
    found = json.loads(installed.hub.cluster.run("get", "jobs", "-n", "olm", "-o", "json"))["items"]
    (job,) = found
    images = {c["image"] for c in job["spec"]["template"]["spec"]["initContainers"]}
    assert installed.bundle in images
    assert job["status"]["succeeded"] == 1


def test_the_operator_is_a_pod_by_digest_in_a_restricted_namespace(installed: Installed) -> None:
    namespace = installed.api.get("namespace", "", SYSTEM) or {}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = installed.api.list("pod", SYSTEM, labels="app.kubernetes.io/name=navarch")
    assert len(pods) == 2
    for pod in pods:
        assert is_ready(pod)
        assert pod["spec"]["containers"][0]["image"] == installed.image
        assert "@sha256:" in installed.image
        names = {each["name"] for each in pod["spec"]["containers"][0]["env"]}
        assert "OPERATOR_CONDITION_NAME" in names


def read_examples(installed: Installed) -> list[Object]:
    """`alm-examples`, as the console of OpenShift offers them."""
    csv = installed.hub.read("clusterserviceversion", installed.csv)
    examples: list[Object] = json.loads(csv["metadata"]["annotations"]["alm-examples"])
    return examples


async def test_the_examples_are_accepted_as_they_are_and_the_mesh_becomes_ready(installed: Installed) -> None:
    api, examples = installed.api, read_examples(installed)
    kinds = {"MeshControlPlane", "MeshGateway", "MeshMember", "MeshMemberRoll", "MeshRevision"}
    assert {each["kind"] for each in examples} == kinds
    for namespace in sorted({each["metadata"]["namespace"] for each in examples}):
        installed.hub.cluster.run("create", "namespace", namespace)
    # A MeshRevision is what Navarch makes of the mesh: the example shows one, and is not applied.
    for example in examples:
        if example["kind"] != "MeshRevision":
            api.create(example)
    await wait_for(api, MESH, NAME, seconds=240)
    member = next(each for each in examples if each["kind"] == "MeshMember")
    await wait_for_member(api, member["metadata"]["namespace"])
    (made,) = api.list("revision", MESH)
    shown = next(each for each in examples if each["kind"] == "MeshRevision")
    assert made["metadata"]["name"] == shown["metadata"]["name"]
    assert made["spec"].keys() >= shown["spec"].keys()
    (istiod,) = (p for p in api.list("pod", MESH, labels="app=istiod") if is_ready(p))
    assert istiod["spec"]["containers"][0]["image"] == f"{ISTIO_HUB}/pilot:{VERSION}"


async def test_requests_go_through_the_examples_gateway_into_the_mesh(installed: Installed) -> None:
    """The gateway as it is, in a mesh with the profile for the lab's Envoy: that is not Istio's build of it,
    and refuses configuration with filters that only this one has, so no proxy would become ready."""
    api, cluster = installed.api, installed.hub.cluster
    api.apply(load_profile())
    api.patch("mesh", MESH, NAME, {"spec": {"profiles": PROFILES}})
    await wait_for(api, MESH, NAME, seconds=240)

    def is_the_gateway_ready() -> bool:
        gateway = api.get("gateway", MESH, "ingress")
        return is_current(gateway) and read_condition(gateway, "Ready")["status"] == "True"

    await eventually(is_the_gateway_ready, seconds=240, every=0.5, what="the gateway is ready")
    await start_apps(api, APPS, f"{MESH}-{NAME}", outside=OUTSIDE)
    inside = ask(cluster, APPS, f"http://server.{APPS}/")
    assert inside.ok, inside.text
    assert f"URI=spiffe://cluster.local/ns/{APPS}/sa/client" in inside.text
    for manifest in build_route(APPS):
        if manifest["kind"] == "Gateway":
            manifest["metadata"]["namespace"] = MESH
        else:
            manifest["spec"]["gateways"] = [f"{MESH}/ingress"]
        api.create(manifest)
    url = f"http://ingress.{MESH}/"
    see = lambda count=1: ask(cluster, OUTSIDE, url, client="stranger", count=count)  # noqa: E731
    await eventually(lambda: see().ok, seconds=120, every=1, what="the route is in force")
    through = see(5)
    assert through.ok, through.text
    assert f"URI=spiffe://cluster.local/ns/{MESH}/sa/" in through.text
