"""A real Prometheus scrapes a running operator over HTTPS, and alerts fire and end with what really happens.

The delivered rules, in a shorter time; for the real times see test_rules.py.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from navarch.api.meta import ROOT_GENERATION as GENERATION
from navarch.api.monitoring.alerts import ALERTS
from navarch.telemetry.certificates import build_self_signed

from lab.cluster import Cluster
from scripts.files import ROOT
from tests.cluster.conftest import a_lab, build_operator, install
from tests.cluster.test_gateway_certificates import bind, build_listener, put_secret
from tests.cluster.test_rollouts import ROLE as ROLLOUTS_ROLE
from tests.cluster.test_rollouts import build_deployment
from tests.cluster.test_upgrades import NOWHERE, UPGRADE
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.faults import Late, Proxy, Reset, Seen
from tests.support.gateways import build_gateway
from tests.support.managed import build_managed, get_root
from tests.support.meshes import build_mesh, edit, wait_for
from tests.support.operator import SYSTEM, Operator
from tests.support.prometheus import Prometheus, a_prometheus, shorten
from tests.support.scraping import bind_reader, request_token
from tests.support.workloads import build_pod, create_namespace, is_injected, wait_for_deployments

PACE = {
    "NavarchApiServerUnreachable": 6.0,
    "NavarchDriftReturns": 1.5,
    "NavarchWriteFails": 1.5,
    "NavarchOperatorNotLive": 3.0,
}
"""Seconds that stand for a minute where 0.3 are too few: between two requests or two looks lie several, those
at an object that is changed again and again come at growing intervals, and a busy machine takes half a minute
for each of three starts of the operator."""
READERS = "readers"
NAMES = {alert.id: alert.name for alert in ALERTS}
seen: set[str] = set()
"""Ids of alerts that fired."""


@dataclass
class World:
    """A lab, an operator behind a proxy, and a Prometheus that trusts the operator's certificate."""

    cluster: Cluster
    api: Api
    proxy: Proxy
    operator: Operator
    prometheus: Prometheus
    folder: Path
    """Where the operator's certificate is."""

    async def fires(self, alert: str, **labels: str) -> None:
        """Waits until an alert fires."""
        await eventually(
            lambda: self.prometheus.is_firing(NAMES[alert], **labels),
            seconds=180,
            every=0.3,
            what=f"{alert} {labels} fires; {self.prometheus.log}",
        )
        seen.add(alert)

    async def ends(self, alert: str, **labels: str) -> None:
        """Waits until it does not any more."""
        await eventually(
            lambda: not self.prometheus.is_firing(NAMES[alert], **labels),
            seconds=240,
            every=0.3,
            what=f"{alert} {labels} ends",
        )


@pytest.fixture(scope="module")
async def world(tools: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("prometheus")
    mount(folder, days=0)
    with a_lab("alerts") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        await create_namespace(api, READERS)
        await eventually(lambda: api.get("serviceaccount", READERS, "default"), what="it has an account")
        bind_reader(api, READERS)
        (folder / "token").write_text(request_token(cluster, READERS))
        settings = {
            "metrics_plain": "false",
            "metrics_certificate": str(folder),
            "resync_seconds": "10",
            "certificate_seconds": "2",
        }
        operator = build_operator(cluster, **settings)
        scraped = {
            "scheme": "https",
            "honor_labels": True,
            "authorization": {"credentials_file": str(folder / "token")},
            "tls_config": {"ca_file": str(folder / "tls.crt"), "server_name": "localhost"},
            "static_configs": [{"targets": [f"127.0.0.1:{operator.metrics_port}"]}],
        }
        delivered = yaml.safe_load((ROOT / "deploy" / "monitoring" / "rules.yaml").read_text())
        rules = shorten(delivered, PACE, usual=0.3)
        with (
            Proxy(cluster, operator.kubeconfig) as proxy,
            a_prometheus(tools["prometheus"], folder, scraped=scraped, rules=rules) as prometheus,
        ):
            operator.kubeconfig = proxy.kubeconfig
            operator.start()
            try:
                await eventually(operator.is_ready, seconds=180, what=f"ready, see {operator.log}")
                yield World(cluster, api, proxy, operator, prometheus, folder)
            finally:
                operator.stop()


async def test_the_operator_is_scraped_over_https_with_a_token_and_a_certificate_that_is_verified(
    world: World,
) -> None:
    await eventually(
        lambda: [target["health"] for target in world.prometheus.list_targets()] == ["up"],
        seconds=120,
        every=0.3,
        what=f"scraped: {world.prometheus.list_targets()}",
    )
    await world.ends("no-leader")
    assert world.prometheus.query("rules")["groups"][0]["rules"][0]["health"] in ("ok", "unknown")


async def test_of_two_scrapes_no_sample_is_there_twice(world: World) -> None:
    def count_scrapes() -> int:
        found = world.prometheus.query("query?query=count_over_time(up[1h])")["result"]
        return int(found[0]["value"][1]) if found else 0

    await eventually(lambda: count_scrapes() >= 2, seconds=120, every=0.3, what="scraped twice")
    assert world.prometheus.query("query?query=scrape_samples_scraped")["result"][0]["value"][1] != "0"
    for what in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        assert world.prometheus.read_own(f"prometheus_target_scrapes_sample_{what}_total") == 0


async def make(world: World, namespace: str, **spec: object) -> None:
    await create_namespace(world.api, namespace)
    world.api.create(build_mesh(namespace, **spec))


async def test_alerts_on_meshes_fire_and_end_with_their_situations(world: World) -> None:
    api = world.api
    of = {name: {"namespace": name, "name": "demo"} for name in ("broken", "drifting", "foreign", "leaving")}
    await create_namespace(api, "foreign")
    config = {"metadata": {"name": "istio-foreign-demo-inplace", "namespace": "foreign"}, "data": {"a": "b"}}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", **config})
    api.create(build_mesh("foreign"))
    await make(world, "broken", version="1.99")
    for name in ("drifting", "leaving", "aging"):
        await make(world, name)
    await create_namespace(api, "lone")
    api.create(build_gateway("lone", "nowhere"))
    await world.fires("mesh-not-ready", **of["broken"])
    await world.fires("gateway-not-ready", namespace="lone", name="ingress")
    await world.fires("write-fails", **of["foreign"], kind="MeshControlPlane")
    for name in ("drifting", "leaving", "aging"):
        await wait_for(api, name)
    place, kept = ("leaving", "istio-leaving-demo-inplace"), {"finalizers": ["example.com/kept"]}
    api.patch("configmap", *place, {"metadata": kept})
    api.delete("mesh", "leaving", "demo")
    await age_a_proxy(api)
    with drift(api, "drifting"):
        await world.fires("drift-returns", **of["drifting"], kind="MeshControlPlane")
        await world.fires("deletion-does-not-end", **of["leaving"], kind="MeshControlPlane")
        await world.fires("proxies-outdated", namespace="aging", mesh="demo")
    # One that serves, and is not as it is asked to be, wakes nobody; nor does an approval that waits.
    edit(api, "aging", profiles=["nowhere"])
    await world.fires("mesh-not-as-asked", namespace="aging", name="demo")
    assert not world.prometheus.is_firing(NAMES["mesh-not-ready"], namespace="aging")
    approval = {"approval": {"config": "Manual"}}
    edit(api, "aging", profiles=None, upgrade=approval, proxy={"logLevel": "debug"})
    await world.fires("approval-waits", namespace="aging", mesh="demo", change="config")
    api.patch("mesh", "aging", "demo", {"spec": {"upgrade": None}})
    api.patch("configmap", *place, {"metadata": {"finalizers": None}})
    api.delete("pod", "aging-apps", "app")
    api.delete("configmap", "foreign", "istio-foreign-demo-inplace")
    api.delete("gateway", "lone", "ingress")
    api.patch("mesh", "broken", "demo", {"spec": {"version": "1.31"}})
    await world.ends("drift-returns", **of["drifting"])
    await world.ends("deletion-does-not-end", **of["leaving"])
    await world.ends("proxies-outdated", namespace="aging")
    await world.ends("approval-waits", namespace="aging")
    await world.ends("mesh-not-as-asked", namespace="aging")
    await world.ends("write-fails", **of["foreign"])
    await world.ends("gateway-not-ready", namespace="lone")
    await world.ends("mesh-not-ready", **of["broken"])


async def test_an_upgrade_that_is_held_and_restarts_that_are_halted_are_told_until_they_go_on(
    world: World,
) -> None:
    api, halting, apps, held = world.api, "halting", "halting-apps", "held"
    world.cluster.run(
        *("create", "clusterrolebinding", ROLLOUTS_ROLE, f"--clusterrole={ROLLOUTS_ROLE}"),
        f"--serviceaccount={SYSTEM}:navarch",
    )
    policy = {"mode": "Managed", "workloadDeadlineSeconds": 10}
    await make(world, halting, upgrade={"dataPlane": policy})
    await make(world, held, version="1.30", upgrade=UPGRADE)
    await create_namespace(api, apps, {"istio.io/rev": "halting-demo"})
    await wait_for(api, halting)
    api.create(build_deployment(apps, "web"))
    await wait_for_deployments(api, apps, ["web"])
    # A second pod beside the first one is refused, and a new istiod fits on no node.
    quota = {"metadata": {"name": "full", "namespace": apps}, "spec": {"hard": {"pods": "1"}}}
    api.create({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    edit(api, halting, proxy={"logLevel": "debug"})
    await wait_for(api, held)
    edit(api, held, version="1.31", controlPlane=NOWHERE)
    await world.fires("upgrade-held", namespace=held, mesh="demo")
    await world.fires("rollout-halted", namespace=halting, mesh="demo")
    api.delete("quota", apps, "full")
    edit(api, held, version="1.30", controlPlane={"placement": None})
    await world.ends("rollout-halted", namespace=halting)
    await world.ends("upgrade-held", namespace=held)


async def age_a_proxy(api: Api) -> None:
    """A pod gets a proxy, and then the mesh gets another configuration of proxies."""
    await create_namespace(api, "aging-apps", {"istio.io/rev": "aging-demo"})
    api.create(build_pod("aging-apps", "app"))
    await eventually(lambda: is_injected(api.get("pod", "aging-apps", "app") or {}), what="it has a proxy")
    api.patch("mesh", "aging", "demo", {"spec": {"proxy": {"resources": {"requests": {"cpu": "11m"}}}}})


@contextmanager
def drift(api: Api, namespace: str) -> Iterator[None]:
    """Another client changes an object of the mesh twice a second."""
    over = threading.Event()

    def change() -> None:
        while not over.wait(0.5):
            with suppress(Refused):
                api.patch("configmap", namespace, f"istio-{namespace}-demo-inplace", {"data": {"mesh": ""}})

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def without_rights(role: Object) -> Object:
    """The operator's role without the rights on admission policies."""
    kept = [r for r in role["rules"] if "validatingadmissionpolicies" not in r.get("resources", ())]
    return {"rules": kept}


async def test_a_policy_that_cannot_be_put_back_is_told_until_it_can(world: World) -> None:
    (role,) = (
        m
        for m in yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text())
        if (m["kind"], m["metadata"]["name"]) == ("ClusterRole", "navarch")
    )
    world.api.patch("clusterrole", "", "navarch", without_rights(role))
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/revisions.mesh.navarch.io"
    world.api.request("DELETE", path)
    world.operator.stop()  # without the right it does not even hear of it: as after an upgrade by halves
    world.operator.start()
    await world.fires("policies-missing")
    world.api.patch("clusterrole", "", "navarch", {"rules": role["rules"]})
    await world.ends("policies-missing")


def mount(folder: Path, *, days: int) -> None:
    """A certificate that was made so many days ago, of the 90 for which it is valid."""
    certificate, key = build_self_signed(["localhost"], now=datetime.now(UTC) - timedelta(days=days))
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(certificate)


async def test_a_certificate_that_nobody_renews_is_told_until_it_is_renewed(world: World) -> None:
    mount(world.folder, days=85)
    await world.fires("metrics-certificate-expires")
    mount(world.folder, days=0)
    await world.ends("metrics-certificate-expires")


async def test_a_gateways_certificate_that_ends_soon_is_told_until_it_is_renewed(world: World) -> None:
    api, place = world.api, "edge"
    await create_namespace(api, place)
    ingress = {"name": "ingress", "service": {"type": "NodePort"}}
    api.create(build_mesh(place, gateways={"ingress": [ingress]}))
    await wait_for(api, place)
    bind(api, place)
    put_secret(api, place, days=5)
    api.create(build_listener(place))
    await world.fires("gateway-certificate-expires", namespace=place, name="ingress")
    put_secret(api, place, days=90)
    await world.ends("gateway-certificate-expires", namespace=place)


async def test_a_root_that_is_lost_and_one_that_does_not_come_are_told_until_that_ends(world: World) -> None:
    api, place = world.api, "rootless"
    await make(world, place, **build_managed())
    await wait_for(api, place, condition="CertificateAuthorityHealthy")
    root = get_root(api, place) or {}
    api.delete("secret", SYSTEM, root["metadata"]["name"])
    await world.fires("certificate-authority-unhealthy", namespace=place, name="demo")
    api.create({**root, "metadata": {key: root["metadata"][key] for key in ("name", "namespace", "labels")}})
    await world.ends("certificate-authority-unhealthy", namespace=place)
    # Nobody of this lab shows what it trusts.
    api.patch("mesh", place, "demo", {"metadata": {"annotations": {GENERATION: "2"}}})
    await world.fires("root-rotation-waits", namespace=place, mesh="demo", phase="Preparing")
    api.patch("mesh", place, "demo", {"metadata": {"annotations": {GENERATION: None}}})
    await world.ends("root-rotation-waits", namespace=place)


async def test_a_queue_that_stands_still_is_told_until_it_moves(world: World) -> None:
    def is_look(request: Seen) -> bool:
        return request.method == "GET" and "/meshcontrolplanes/" in request.path

    with world.proxy.inflict(Late(20), is_look):
        await world.fires("queue-stuck")
    await world.ends("queue-stuck")


async def test_an_api_server_out_of_reach_is_told_by_metrics_that_are_still_read(world: World) -> None:
    with world.proxy.inflict(Reset()):
        await world.fires("api-server-unreachable")
        assert [target["health"] for target in world.prometheus.list_targets()] == ["up"]
    await world.ends("api-server-unreachable")


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
async def test_without_an_operator_nobody_leads_and_one_that_restarts_is_told(world: World) -> None:
    world.operator.stop()
    await world.fires("no-leader")
    for _ in range(3):
        world.operator.start()
        await eventually(
            lambda: [target["health"] for target in world.prometheus.list_targets()] == ["up"],
            seconds=120,
            every=0.2,
            what="scraped",
        )
        world.operator.stop()
    world.operator.start()
    await world.fires("operator-not-live")
    await world.ends("no-leader")
    await world.ends("operator-not-live")


def test_every_alert_fired(request: pytest.FixtureRequest, full: bool) -> None:
    if len([item for item in request.session.items if item.path == Path(__file__)]) < 10:
        pytest.skip("judges all tests of this file")
    in_full_only = set() if full else {"no-leader", "operator-not-live"}
    assert seen | in_full_only == NAMES.keys()
