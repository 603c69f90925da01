"""istioctl against our meshes: every invocation that docs/how-to/use-istioctl.md promises, and every one that
it says does not work.

The shared mesh has a tag of its own; a second one owns the default tag. Neither is in istio-system, so
istioctl must be told where the control plane is, and which revision.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import Cluster
from tests.golden.rendering import NEWEST
from tests.node.conftest import PROFILES, Mesh, remove_mesh
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.istioctl import VERSION, Istioctl, Told
from tests.support.meshes import build_mesh, edit
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

LOST: Object = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "lost", "namespace": "shop"},
    "spec": {
        "hosts": ["lost.example.org"],
        "gateways": ["nowhere"],
        "http": [{"route": [{"destination": {"host": "server.shop.svc.cluster.local"}}]}],
    },
}
"""What analyze must find: it is valid, and names a gateway that is not there."""


@pytest.fixture(scope="module")
def istioctl(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Istioctl:
    return Istioctl(mesh.cluster, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def flags(mesh: Mesh) -> tuple[str, ...]:
    """What a command that talks to istiod must be told."""
    return "--istioNamespace", mesh.namespace, "--revision", mesh.revision


async def start_pod(api: Api, namespace: str, labels: dict[str, str]) -> None:
    """One injected pod, ready, in a new namespace with these labels."""
    await create_namespace(api, namespace, labels)
    api.create(build_pod(namespace, "lone"))
    what = f"{namespace}/lone is ready"
    pod = await eventually(
        lambda: (found := api.get("pod", namespace, "lone")) and is_ready(found) and found,
        seconds=90,
        every=0.3,
        what=what,
    )
    assert is_injected(pod)


@pytest.fixture(scope="module")
async def default(operator: Cluster, api: Api, mesh: Mesh) -> AsyncIterator[Mesh]:
    """A second mesh, which owns the default tag, with a pod in a namespace that names no mesh."""
    made = Mesh(api, operator, "reserve", "demo", apps="reserve-apps")
    try:
        await create_namespace(api, made.namespace)
        api.create(build_mesh(made.namespace, profiles=PROFILES, defaultTag=True))
        await made.wait_for()
        await start_pod(api, made.apps, {"istio-injection": "enabled"})
        yield made
    finally:
        remove_mesh(made)


@pytest.fixture(scope="module")
async def pinned(api: Api, mesh: Mesh) -> AsyncIterator[str]:
    """A namespace that names the shared mesh's revision instead of its tag, with a pod."""
    try:
        await start_pod(api, "pinned", {"istio.io/rev": mesh.revision})
        yield "pinned"
    finally:
        api.delete("namespace", "", "pinned")


@pytest.fixture(scope="module")
def client(api: Api, mesh: Mesh) -> str:
    """The injected client's pod, as istioctl names pods."""
    pods = api.list("pod", mesh.apps, labels="app=client")
    return next(f"{pod['metadata']['name']}.{mesh.apps}" for pod in pods if is_ready(pod))


def read_messages(told: Told) -> list[dict[str, Any]]:
    """What `analyze -o json` found."""
    found: list[dict[str, Any]] = told.json() if told.out.strip() else []
    return found


def read_inside(api: Api, namespaces: set[str]) -> set[str]:
    """`name.namespace` of the injected pods of these namespaces."""
    pods = [pod for namespace in namespaces for pod in api.list("pod", namespace)]
    return {f"{p['metadata']['name']}.{p['metadata']['namespace']}" for p in pods if is_injected(p)}


# --- proxy-status ---------------------------------------------------------------------------------------


async def test_proxy_status_shows_every_proxy_of_the_mesh_in_sync(
    istioctl: Istioctl, flags: tuple[str, ...], mesh: Mesh, api: Api, pinned: str
) -> None:
    inside = read_inside(api, {mesh.apps, pinned})
    assert len(inside) == 3

    def rows_in_sync() -> list[list[str]]:
        rows = istioctl.ask("proxy-status", "--verbosity", "1", *flags).rows
        in_sync = all(row.count("SYNCED") >= 4 and "STALE" not in " ".join(row) for row in rows)
        return rows if in_sync and {row[0] for row in rows} == inside else []

    rows = await eventually(rows_in_sync, seconds=60, every=1, what="every proxy of the mesh, all SYNCED")
    istiods = {pod["metadata"]["name"] for pod in mesh.list_istiods()}
    assert {next(word for word in row if word.startswith("istiod-")) for row in rows} <= istiods


def test_proxy_status_of_one_pod_compares_it_with_istiod(
    istioctl: Istioctl, flags: tuple[str, ...], client: str
) -> None:
    told = istioctl.ask("proxy-status", client, *flags)
    assert len(re.findall(r"\w+ Match", told.out)) >= 3, told.text


@pytest.mark.parametrize("given", [(), ("namespace",), ("revision",), ("namespace", "tag")], ids=" ".join)
def test_without_namespace_and_revision_istioctl_finds_no_istiod(
    istioctl: Istioctl, mesh: Mesh, given: tuple[str, ...]
) -> None:
    words = {
        "namespace": ("--istioNamespace", mesh.namespace),
        "revision": ("--revision", mesh.revision),
        "tag": ("--revision", mesh.tag),
    }
    told = istioctl.run("proxy-status", *(word for name in given for word in words[name]))
    assert told.code == 1
    assert "no running Istio pods" in told.err


def test_without_flags_version_tells_only_its_own(istioctl: Istioctl, mesh: Mesh) -> None:
    assert istioctl.ask("version").out.splitlines() == [f"client version: {VERSION}"]


def test_the_owner_of_the_default_tag_needs_no_revision(istioctl: Istioctl, default: Mesh, api: Api) -> None:
    there = ("--istioNamespace", default.namespace)
    assert {row[0] for row in istioctl.ask("proxy-status", *there).rows} == read_inside(api, {default.apps})
    assert f"control plane version: {NEWEST}" in istioctl.ask("version", *there).out


def test_the_namespace_can_be_given_once_for_all_by_the_environment(istioctl: Istioctl, mesh: Mesh) -> None:
    env = {"ISTIOCTL_ISTIONAMESPACE": mesh.namespace}
    assert istioctl.ask("proxy-status", "--revision", mesh.revision, env=env).rows


# --- proxy-config ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("clusters", r"server\.shop\.svc\.cluster\.local +80 .* outbound +EDS"),
        ("listeners", r"0\.0\.0\.0 +80 .*Route: 80"),
        ("routes", r"server\.shop\.svc\.cluster\.local:80"),
        ("endpoints", r":8080 +HEALTHY +OK +outbound\|80\|\|server\.shop\.svc\.cluster\.local"),
        ("secret", r"(?s)default +Cert Chain +ACTIVE +true.*ROOTCA +CA +ACTIVE +true"),
        ("log", r"(?m)^ *admin: warning"),
        ("bootstrap", r'"discoveryAddress": "istiod-mesh-demo-inplace\.mesh\.svc:15012"'),
    ],
)
def test_proxy_config_needs_no_flags(istioctl: Istioctl, client: str, what: str, wanted: str) -> None:
    told = istioctl.ask("proxy-config", what, client)
    assert re.search(wanted, told.out), told.out


# --- analyze --------------------------------------------------------------------------------------------


def test_analyze_finds_nothing_wrong_with_a_cluster_of_two_meshes(
    istioctl: Istioctl, flags: tuple[str, ...], mesh: Mesh, default: Mesh, pinned: str
) -> None:
    ours = {mesh.namespace, mesh.apps, mesh.outside, default.namespace, default.apps, pinned}
    for scope in ((), flags):
        messages = read_messages(istioctl.ask("analyze", "--all-namespaces", "-o", "json", *scope))
        # Other tests' namespaces are in the cluster too, and mean to be odd.
        found = [m for m in messages if ours.intersection(re.split("[ /.]", m["origin"]))]
        assert {(message["level"], message["code"]) for message in found} <= {("Info", "IST0102")}
        told = {message["origin"].removeprefix("Namespace ") for message in found}
        assert {mesh.namespace, default.namespace, mesh.outside} <= told
        assert told.isdisjoint({mesh.apps, default.apps, pinned})


def test_analyze_has_no_word_about_namespaces_that_are_labelled_for_a_mesh(
    istioctl: Istioctl, flags: tuple[str, ...], mesh: Mesh, default: Mesh, pinned: str
) -> None:
    for namespace in (mesh.apps, default.apps, pinned):
        for scope in ((), flags):
            told = istioctl.ask("analyze", "--namespace", namespace, *scope)
            assert "No validation issues found" in told.err, told.text


ENTRY: Object = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "ServiceEntry",
    "metadata": {"name": "outer", "namespace": "shop"},
    "spec": {"hosts": ["outer.example.org"], "ports": [{"number": 9000, "name": "tcp", "protocol": "TCP"}]},
}
"""It lacks an address, unless MeshConfig says that proxies allocate one."""


def test_analyze_takes_the_mesh_config_that_it_is_handed(
    istioctl: Istioctl, flags: tuple[str, ...], mesh: Mesh, api: Api, tmp_path: Path
) -> None:
    found = api.get("configmap", mesh.namespace, f"istio-{mesh.revision}") or {}
    config = yaml.safe_load(found["data"]["mesh"])
    metadata = {"ISTIO_META_DNS_CAPTURE": "true", "PILOT_ENABLE_IP_AUTOALLOCATE": "true"}
    config["defaultConfig"]["proxyMetadata"] = metadata
    file, entry = tmp_path / "mesh.yaml", tmp_path / "entry.yaml"
    entry.write_text(yaml.safe_dump(ENTRY))
    file.write_text(yaml.safe_dump(config))
    analyze = ("analyze", "--namespace", mesh.apps, str(entry), *flags)
    assert "IST0134" in istioctl.ask(*analyze).out
    assert "IST0134" not in istioctl.ask(*analyze, "--meshConfigFile", str(file)).out


@pytest.fixture
def lost(api: Api, mesh: Mesh) -> Iterator[Object]:
    yield api.create(LOST)
    path = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/lost"
    api.request("DELETE", path, {"propagationPolicy": "Background"})


def test_analyze_finds_a_virtual_service_without_its_gateway(
    istioctl: Istioctl, flags: tuple[str, ...], mesh: Mesh, lost: Object
) -> None:
    told = istioctl.run("analyze", "--namespace", mesh.apps, *flags)
    assert told.code != 0
    assert 'Error [IST0101] (VirtualService shop/lost) Referenced gateway not found: "nowhere"' in told.out
    found = read_messages(istioctl.ask("analyze", "--namespace", mesh.apps, "-o", "json", *flags))
    (error,) = [message for message in found if message["level"] == "Error"]
    assert (error["code"], error["origin"]) == ("IST0101", "VirtualService shop/lost")


# --- tag, version ---------------------------------------------------------------------------------------


def test_tag_list_shows_each_tag_its_revision_and_its_namespaces(
    istioctl: Istioctl, mesh: Mesh, default: Mesh, api: Api
) -> None:
    labelled = [ns["metadata"]["name"] for ns in api.list("namespace", labels=f"istio.io/rev={mesh.tag}")]
    assert mesh.apps in labelled
    for scope in ((), ("--istioNamespace", mesh.namespace)):
        found = istioctl.ask("tag", "list", "-o", "json", *scope).json()
        tags = {tag["tag"]: (tag["revision"], sorted(tag["namespaces"])) for tag in found}
        assert tags == {
            mesh.tag: (mesh.revision, sorted(labelled)),
            default.tag: (default.revision, []),
            "default": (default.revision, []),  # istioctl looks for istio.io/rev alone
        }


async def test_a_tag_of_ours_that_istioctl_removes_comes_back(
    istioctl: Istioctl, mesh: Mesh, api: Api
) -> None:
    istioctl.ask("tag", "remove", mesh.tag, "--skip-confirmation", "--istioNamespace", mesh.namespace)
    await eventually(
        lambda: (
            mesh.tag in istioctl.ask("tag", "list").out
            and api.get("mwc", "", f"istio-revision-tag-{mesh.tag}")
        ),
        seconds=30,
        every=0.5,
        what="the tag is back",
    )
    await mesh.wait_for()


async def test_a_tag_that_istioctl_sets_is_left_to_istioctl(istioctl: Istioctl, mesh: Mesh, api: Api) -> None:
    """It carries the labels of the mesh's webhook, which istioctl copies, and was not made by Navarch."""
    there = ("--istioNamespace", mesh.namespace)
    try:
        istioctl.ask("tag", "set", "extra", "--revision", mesh.revision, *there)
        name = f"istio-revision-tag-extra-{mesh.namespace}"
        assert api.get("mwc", "", name)
        edit(api, mesh.namespace, mesh.name, meshConfig={"accessLogFile": "/dev/stdout"})
        await mesh.wait_for()
        assert api.get("mwc", "", name)
        edit(api, mesh.namespace, mesh.name, meshConfig=None)
        await mesh.wait_for()
    finally:
        istioctl.run("tag", "remove", "extra", "--skip-confirmation", *there)
    assert (await mesh.wait_for())["status"]["proxies"]["total"] >= 2


def test_version_shows_control_plane_and_proxies(
    istioctl: Istioctl, flags: tuple[str, ...], mesh: Mesh, pinned: str
) -> None:
    told = istioctl.ask("version", "-o", "json", *flags).json()
    assert told["clientVersion"]["version"] == VERSION
    (istiod,) = told["meshVersion"]
    assert (istiod["Revision"], istiod["Info"]["version"]) == (mesh.revision, NEWEST)
    assert {one["IstioVersion"] for one in told["dataPlaneVersion"]} == {NEWEST}
    assert f"data plane version: {NEWEST} (3 proxies)" in istioctl.ask("version", *flags).out


# --- the rest that only reads ---------------------------------------------------------------------------


def test_precheck_finds_nothing_in_the_way(istioctl: Istioctl, flags: tuple[str, ...], default: Mesh) -> None:
    assert "No issues found" in istioctl.ask("x", "precheck", *flags).err


def test_describe_needs_the_namespace_alone(istioctl: Istioctl, mesh: Mesh, client: str) -> None:
    told = istioctl.ask("x", "describe", "pod", client, "--istioNamespace", mesh.namespace)
    assert f"Pod Revision: {mesh.revision}" in told.out
    assert "Workload mTLS mode: STRICT" in told.out
    assert istioctl.run("x", "describe", "pod", client).code == 1
    service = istioctl.ask("x", "describe", "service", f"server.{mesh.apps}", "-i", mesh.namespace)
    assert "Port: http 80/HTTP targets pod port 8080" in service.out


def test_check_inject_names_the_webhook_that_injects(istioctl: Istioctl, mesh: Mesh, default: Mesh) -> None:
    labels = ("--namespace", default.apps, "--labels", "app=any")
    for told, tag in (
        (istioctl.ask("x", "check-inject", "--namespace", mesh.apps, "-l", "app=any"), mesh.tag),
        (istioctl.ask("x", "check-inject", *labels), f"default-{default.namespace}"),
    ):
        injecting = [row[0] for row in told.rows if "✔" in " ".join(row)]
        assert injecting == [f"istio-revision-tag-{tag}"], told.out


def test_injector_list_shows_the_image_of_each_mesh(istioctl: Istioctl, mesh: Mesh, default: Mesh) -> None:
    told = istioctl.ask("x", "injector", "list").out
    assert re.search(rf"{mesh.apps} +{mesh.revision} +{mesh.revision}: 2", told), told
    wanted = (
        rf"{mesh.apps} +istio-revision-tag-{mesh.tag} +{mesh.revision} +"
        rf"{re.escape(f'lab.local/istio/proxyv2:{NEWEST}')}"
    )
    assert re.search(wanted, told), told


def test_authz_check_lists_the_policies_of_a_pod(istioctl: Istioctl, client: str) -> None:
    assert "AuthorizationPolicy" in istioctl.ask("x", "authz", "check", client).out


def test_validate_judges_files_without_a_cluster(istioctl: Istioctl, tmp_path: Path) -> None:
    file = tmp_path / "lost.yaml"
    file.write_text(yaml.safe_dump(LOST))
    assert "is valid" in istioctl.ask("validate", "-f", str(file)).err
    file.write_text(yaml.safe_dump({**LOST, "spec": {"hosts": []}}))
    assert istioctl.run("validate", "-f", str(file)).code != 0


def test_kube_inject_takes_our_templates(istioctl: Istioctl, flags: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(build_pod("shop", "by-hand")))
    told = istioctl.ask("kube-inject", "-f", str(file), *flags)
    assert is_injected(next(yaml.safe_load_all(told.out)))


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (("remote-clusters",), r"Kubernetes +synced +istiod-mesh-demo-inplace-"),
        (("admin", "log"), r"ads +ads debugging +info"),
        (("x", "internal-debug", "syncz"), r'"proxy": "client-[^"]+\.shop"'),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_istiod_answers_istioctl(
    istioctl: Istioctl, flags: tuple[str, ...], command: tuple[str, ...], wanted: str
) -> None:
    told = istioctl.ask(*command, *flags)
    assert re.search(wanted, told.out), told.text
    assert istioctl.run(*command).code == 1
