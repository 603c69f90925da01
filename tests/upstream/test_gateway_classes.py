"""Two meshes in one cluster, with the real istiod of each: they share the GatewayClasses, and no Gateway.

What decides is the namespace: an istiod looks at namespaces of its mesh alone, and of what is in them at that
which names its revision or tag.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from navarch.core.grants import list_roles
from navarch.core.world.proxies import read_proxy_pod
from navarch.gather.watches import PROXIES

from lab.builds import NEWEST_ISTIO
from lab.cluster import Cluster, service_account_kubeconfig
from tests.golden.rendering import ASSETS, stamp_of
from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.istiod import Object, run_istiod
from tests.upstream.gateways import API_VERSION, build_gateway, set_up_crds
from tests.upstream.installations import Setting, build_configuration, render_ours

ACCESS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
CLASSES = ("istio", "istio-waypoint")
OUTSIDE = "of-no-mesh"


@dataclass(frozen=True)
class Mesh:
    """A mesh, and a namespace with its tag. Each has proxies of its own kind, so that their stamps differ."""

    namespace: str
    tag: str
    member: str
    log_level: str

    @property
    def revision(self) -> str:
        return f"{self.tag}-inplace"

    @property
    def account(self) -> str:
        return f"istiod-{self.revision}"

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.account}"

    def render(self) -> list[Object]:
        spec = {
            "proxy": {"logLevel": self.log_level},
            "controlPlane": {"environment": [{"name": "PILOT_ENABLE_AMBIENT", "value": "true"}]},
        }
        return render_ours(Setting(spec=spec), namespace=self.namespace, tag=self.tag)


MESHES = (
    Mesh("classes-a", "north", "shop-north", "warning"),
    Mesh("classes-b", "south", "shop-south", "debug"),
)


def create_gateway(
    api: Api, namespace: str, name: str, *, waypoint: bool = False, revision: str = ""
) -> None:
    gateway_class = "istio-waypoint" if waypoint else "istio"
    listener = ("mesh", 15008, "HBONE") if waypoint else ("http", 80, "HTTP")
    metadata = {"namespace": namespace, "labels": {"istio.io/rev": revision} if revision else {}}
    gateway = build_gateway(name, gateway_class, listener, metadata=metadata)
    api.request("POST", f"/apis/{API_VERSION}/namespaces/{namespace}/gateways", gateway)


def list_classes(api: Api) -> dict[str, Object]:
    found = api.request("GET", f"/apis/{API_VERSION}/gatewayclasses")["items"]
    return {each["metadata"]["name"]: each for each in found}


def remove_classes(api: Api) -> None:
    """Those that an istiod of another test made."""
    for name in list_classes(api):
        api.request("DELETE", f"/apis/{API_VERSION}/gatewayclasses/{name}", {})


def list_deployed(api: Api, namespace: str) -> dict[str, Object]:
    found = api.list("deployment", namespace, labels="gateway.istio.io/managed")
    return {each["metadata"]["name"]: each for each in found}


@pytest.fixture(scope="module")
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    """Gateway API, two meshes' rights and tags, a namespace in each mesh, where a Gateway is there before any
    istiod, and one in none."""
    api = Api(cluster.kubeconfig)
    await set_up_crds(api, NEWEST_ISTIO)
    remove_classes(api)
    labels = {mesh.member: {"istio.io/rev": mesh.tag} for mesh in MESHES} | {OUTSIDE: {}}
    for name, own in ({mesh.namespace: {} for mesh in MESHES} | labels).items():
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": own}})
    for role in list_roles(ASSETS):
        api.apply(role)
    for mesh in MESHES:
        for manifest in mesh.render():
            name = f"istiod-revision-tag-{mesh.tag}"
            if manifest["kind"] in ACCESS or manifest["metadata"]["name"] == name:
                api.apply(manifest)
        create_gateway(api, mesh.member, "early")
    yield api
    for namespace in labels:
        for gateway in api.request("GET", f"/apis/{API_VERSION}/namespaces/{namespace}/gateways")["items"]:
            name = gateway["metadata"]["name"]
            api.request("DELETE", f"/apis/{API_VERSION}/namespaces/{namespace}/gateways/{name}", {})


@pytest.fixture(scope="module")
def istiods(api: Api, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Both at the same time, with the rights of their own accounts; where their logs are."""
    with ExitStack() as running:
        logs = []
        for mesh in MESHES:
            configuration = build_configuration(
                mesh.render(), namespace=mesh.namespace, revision=mesh.revision
            )
            kubeconfig = service_account_kubeconfig(cluster, mesh.namespace, mesh.account)
            folder = tmp_path_factory.mktemp(mesh.tag)
            logs.append(running.enter_context(run_istiod(kubeconfig, configuration, folder)).log)
        yield logs


async def test_each_gateway_is_deployed_by_the_istiod_of_its_namespace_s_mesh_alone(
    api: Api, cluster: Cluster, istiods: list[Path]
) -> None:
    north, south = MESHES
    audit = Audit(cluster.audit_log or Path(), north.user)
    mark = audit.mark()
    create_gateway(api, OUTSIDE, "web")
    create_gateway(api, north.member, "astray", revision=south.tag)
    for mesh in MESHES:
        create_gateway(api, mesh.member, "web")
        create_gateway(api, mesh.member, "way", waypoint=True)
    wanted = {"early-istio", "web-istio", "way"}
    await eventually(
        lambda: all(list_deployed(api, mesh.member).keys() >= wanted for mesh in MESHES),
        seconds=60,
        what=f"both deploy their Gateways, see {istiods}",
    )
    # What was asked for first was seen by both when they had deployed what came last.
    assert [list_deployed(api, mesh.member).keys() for mesh in MESHES] == [wanted, wanted]
    assert list_deployed(api, OUTSIDE) == {}
    for mesh, other in ((north, south), (south, north)):
        reached = {r.namespace for r in audit.since(mark, user=mesh.user) if r.is_write and r.code < 300}
        assert mesh.member in reached
        assert not reached & {other.member, other.namespace, OUTSIDE}


async def test_pods_of_gateways_are_in_the_census_of_their_mesh_and_current_by_its_stamp(
    api: Api, istiods: list[Path]
) -> None:
    stamps = []
    for mesh in MESHES:
        stamp = stamp_of(mesh.render())
        stamps.append(stamp)
        for name, deployment in list_deployed(api, mesh.member).items():
            pod = deployment["spec"]["template"]
            assert PROXIES.label_selector in pod["metadata"]["labels"], "the watch selects by it"
            placed = {**pod, "metadata": {**pod["metadata"], "namespace": mesh.member, "name": name}}
            proxy = read_proxy_pod(placed)
            assert proxy is not None
            assert (proxy.revision, proxy.proxy, proxy.gateway) == (mesh.revision, stamp, ""), name
    assert len({*stamps}) == len(MESHES), "or it would not show whose template was used"


async def test_two_meshes_do_not_write_their_classes_in_turns(
    api: Api, cluster: Cluster, istiods: list[Path]
) -> None:
    def are_accepted() -> bool:
        classes = list_classes(api)
        conditions = (
            condition
            for name in CLASSES
            for condition in ((classes.get(name) or {}).get("status") or {}).get("conditions") or ()
        )
        return [c["status"] for c in conditions if c["type"] == "Accepted"] == ["True"] * len(CLASSES)

    await eventually(are_accepted, seconds=60, what=f"the classes are accepted, see {istiods}")
    audit = Audit(cluster.audit_log or Path(), MESHES[0].user)
    # Each istiod that sees another's word change what it wrote would answer at once. Both have worked on
    # something newer, twice, when the log is read.
    mark = audit.mark()
    for name in ("later", "last"):
        for mesh in MESHES:
            create_gateway(api, mesh.member, name)
        await eventually(
            lambda name=name: all(f"{name}-istio" in list_deployed(api, m.member) for m in MESHES), seconds=60
        )
    written = [
        str(r)
        for mesh in MESHES
        for r in audit.since(mark, user=mesh.user)
        if r.resource == "gatewayclasses" and r.is_write
    ]
    assert written == []
