"""One gateway with a real Envoy, everything that goes through it, and what clients see while it is changed.

Clients send each request once: one that was cut has failed. What goes through Istio's Gateway and through
that of Gateway API is asked for in turn, and beside it are downloads that take four seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from lab.builds import ISTIO_LINES, NEWEST_ISTIO, find_source
from lab.certificates import build_authority
from lab.cluster import Cluster
from scripts.demo.installation import apply_documents
from tests.node import edge as edges
from tests.node.callers import Seen, Settings
from tests.node.chart import NAME as CHART
from tests.node.chart import build_chart_gateway
from tests.node.conftest import make_mesh, remove_mesh
from tests.node.edge import API, MUTUAL, NAME, WWW, Edge
from tests.node.kubelet import signal_kubelet
from tests.node.programs import Backend, Caller, backend, caller, load
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.gateways import wait_for_gateway
from tests.support.guides import list_commands, run_command
from tests.support.workloads import ask, restart, wait_for_deployments

NAMES = {"namespace: shop": "namespace: edge-apps", "-n shop": "-n edge-apps"}
"""The namespace in place of the guide's."""
HELD = ("socket", "stream", "bytes")
PINNED, LEAVING = "pinned", "leaving"
"""Gateways beside the one of all tests."""
OLD, NEW = (line.versions[-1] for line in ISTIO_LINES[-2:])


@contextmanager
def gateway_api(cluster: Cluster) -> Iterator[None]:
    """The CRDs of Gateway API, as Istio's newest minor is built with them."""
    folder = find_source(NEWEST_ISTIO.module, "sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    files = [part for path in sorted(folder.glob("*.k8s.io_*s.yaml")) for part in ("-f", str(path))]
    cluster.run("apply", "--server-side", *files, timeout=60)
    try:
        yield
    finally:
        cluster.run("delete", *files, timeout=60)


@pytest.fixture(scope="module")
def behind(operator: Cluster) -> Iterator[Backend]:
    with backend(operator) as running:
        yield running


@pytest.fixture(scope="module")
async def edge(
    operator: Cluster, api: Api, behind: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Edge]:
    folder, authority = tmp_path_factory.mktemp("edge"), build_authority(common_name="authority")
    (folder / "ca.pem").write_bytes(authority.certificate)
    with gateway_api(operator):
        mesh = await make_mesh(operator, api, "edge", version=OLD)
        try:
            yield await make_edge(Edge(mesh, "", folder, authority), behind)
        finally:
            remove_mesh(mesh)


async def make_edge(made: Edge, behind: Backend) -> Edge:
    """The gateway with its routes, once every one of them is in force."""
    namespace, cluster = made.namespace, made.mesh.cluster
    for name, host in (("web", WWW), ("mutual", MUTUAL), ("api", API)):
        made.replace_certificate(name, host)
    apply_documents(
        cluster, [*edges.build_backend(namespace, behind.address), edges.build_ingress(made.mesh)]
    )
    apply_documents(cluster, list(edges.build_routes(namespace)))
    gateway = await wait_for_gateway(made.api, namespace, NAME)
    (guided,) = list_commands("gateways.md", "A Gateway on the pods of a MeshGateway")
    run_command(cluster, guided, names={**NAMES, "ingress.shop": f"ingress.{namespace}"})
    made = Edge(made.mesh, gateway["status"]["addresses"][0], made.folder, made.authority)
    for host in (WWW, API):
        with caller(cluster, "requests", made.settings(host, connections=1)) as one:
            await one.see_more(1)
    return made


async def try_once(edge: Edge, settings: Settings) -> Seen:
    """What becomes of the first request."""
    with caller(edge.mesh.cluster, "requests", settings) as one:
        await eventually(lambda: one.seen.done or one.seen.failures, seconds=30, every=0.1)
        return one.end()


async def test_a_secret_is_replaced_and_new_handshakes_see_the_new_certificate_and_none_fails(
    edge: Edge,
) -> None:
    with caller(edge.mesh.cluster, "requests", edge.settings(WWW, connections=4, fresh=True)) as asked:
        await asked.see_more(50)
        (old,) = asked.seen.certificates
        new = edge.replace_certificate()
        await eventually(lambda: asked.seen.last == new, seconds=60, what="the new certificate")
        await asked.see_more(20)
        before = asked.seen.certificates[old]
        await asked.see_more(100)
        seen = asked.end()
    assert seen.failures == []
    assert set(seen.certificates) == {old, new}
    assert seen.certificates[old] == before
    assert seen.certificates[new] >= 100


async def test_at_a_mutual_host_only_a_client_with_a_certificate_of_the_authority_is_let_in(
    edge: Edge,
) -> None:
    known = edge.write_client("client", edge.authority)
    unknown = edge.write_client("stranger", edges.build_authority_of_clients())
    known_one = await try_once(edge, edge.settings(MUTUAL, certificate=known, connections=1))
    without, another = [
        await try_once(edge, edge.settings(MUTUAL, connections=1, certificate=shown))
        for shown in ("", unknown)
    ]
    assert known_one.done
    assert known_one.failures == []
    # The gateway has shown its certificate, and then ended the handshake.
    assert [(one.done, bool(one.certificates)) for one in (without, another)] == [(0, True), (0, True)]


def start_held(edge: Edge, stack: ExitStack) -> dict[str, Caller]:
    """A WebSocket, a gRPC stream and a connection of TCP."""
    ports = {"bytes": 9000}
    return {
        kind: stack.enter_context(
            caller(edge.mesh.cluster, kind, edge.settings(WWW, port=ports.get(kind, 443)))
        )
        for kind in HELD
    }


async def test_streams_go_on_while_a_rolled_gateway_drains_and_those_that_are_left_are_cut_at_its_end(
    edge: Edge,
) -> None:
    with ExitStack() as stack:
        stack.enter_context(load(edge.mesh.cluster, **edge.load()))
        ended, left = start_held(edge, stack), start_held(edge, stack)
        held = [*ended.values(), *left.values()]
        for one in held:
            await one.see_more(3)
        before = edge.list_names()
        edge.edit(labels={**edges.EDGE, "roll": "streams"})
        await eventually(
            lambda: all("deletionTimestamp" in p["metadata"] for p in edge.list_pods() if is_of(p, before)),
            seconds=120,
            every=0.1,
            what="the earlier pod is told to end",
        )
        for one in held:
            await one.see_more(10)
        assert [one.seen.ended for one in held] == [""] * len(held)
        told = {kind: one.end().ended for kind, one in ended.items()}
        await edge.wait_until_replaced(before)
        for one in left.values():
            await eventually(lambda one=one: one.seen.ended, seconds=60, what=f"the end of {one.kind}")
        cut = {kind: one.end().ended for kind, one in left.items()}
    print(f"ended: {told}; cut: {cut}")
    assert told == {"socket": "closed: 1000", "stream": "OK", "bytes": "closed"}
    # Without a close frame: the client notes it when it reads, or finds its connection gone when it writes.
    assert cut["socket"].startswith(("cut: close code 1006", "cut: ClientConnectionResetError"))
    assert cut["stream"] == "UNAVAILABLE"
    assert cut["bytes"].startswith("cut: ")


def is_of(pod: dict[str, dict[str, str]], names: set[str]) -> bool:
    return pod["metadata"]["name"] in names


async def test_no_request_fails_while_routes_change_and_the_kubelet_is_started_again(edge: Edge) -> None:
    cluster, namespace = edge.mesh.cluster, edge.namespace
    with load(cluster, **edge.load()) as asked:
        await asked.see_more(100)
        signal_kubelet(cluster, "KILL")
        for number in range(5):
            apply_documents(cluster, [edges.build_http_route(namespace, number=str(number))])
            await asked.see_more(100)
        await eventually(
            lambda: ask(cluster, namespace, edge.mesh.url).ok, seconds=60, every=1, what="the kubelet is back"
        )
        await asked.see_more(200)
        assert len(edge.list_names()) == 1


def list_ready(edge: Edge) -> int:
    deployment = edge.api.get("deployment", edge.namespace, NAME) or {}
    return int(deployment.get("status", {}).get("readyReplicas", 0))


async def test_no_request_fails_while_the_gateways_autoscaler_makes_four_pods_of_one_and_one_of_four(
    edge: Edge, behind: Backend
) -> None:
    target = {"type": "AverageValue", "averageValue": "10"}
    metric = {"type": "External", "external": {"metric": {"name": "load"}, "target": target}}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    behind.set_metric(10)
    api = edges.build_metrics_api(edge.namespace)
    apply_documents(edge.mesh.cluster, [api])
    try:
        bounds = {"minReplicas": 1, "maxReplicas": 4, "metrics": [metric], "behavior": behavior}
        with load(edge.mesh.cluster, **edge.load()) as asked:
            edge.edit(replicas=None, autoscaling=bounds)
            for load_now, pods in ((40, 4), (10, 1)):
                behind.set_metric(load_now)
                await eventually(
                    lambda pods=pods: list_ready(edge) == len(edge.list_names()) == pods,
                    seconds=120,
                    every=0.5,
                    what=f"the autoscaler makes {pods} pods",
                )
                await asked.see_more(200)
    finally:
        edge.mesh.cluster.run("delete", "apiservice", api["metadata"]["name"])
        edge.edit(replicas=1, autoscaling=None)


def read_version(edge: Edge, name: str) -> str:
    """Of which version all pods of a gateway are, as its status says."""
    return str((edge.api.get("gateway", edge.namespace, name) or {})["status"].get("version"))


async def test_no_request_fails_while_the_next_minor_comes_to_a_gateway_and_later_to_a_pinned_one(
    edge: Edge,
) -> None:
    assert edge.list_versions() == {OLD}
    before, cluster = edge.list_names(), edge.mesh.cluster
    async with edge.beside(PINNED, version=OLD) as address:
        held = edge.list_names(name=PINNED)
        few = edge.load(WWW, address=address, connections=4)
        with load(cluster, **edge.load()) as asked, load(cluster, **few) as of_pinned:
            await of_pinned.see_more(20)
            edge.mesh.edit(version=NEW)
            await edge.mesh.wait_for(seconds=180)
            await eventually(
                lambda: read_version(edge, NAME) == NEW, seconds=120, what="the gateway follows its mesh"
            )
            await edge.wait_until_replaced(before)
            await asked.see_more(100)
            await of_pinned.see_more(20)
            assert edge.list_names(name=PINNED) == held
            assert edge.list_versions(PINNED) == {OLD}
            edge.edit(name=PINNED, version=None)
            await edge.wait_until_replaced(held, PINNED)
            await of_pinned.see_more(20)
            assert read_version(edge, PINNED) == NEW
        assert edge.list_versions() == edge.list_versions(PINNED) == {NEW}


def read_told(pod: Object) -> datetime | None:
    """When a pod was told to end."""
    metadata = pod["metadata"]
    if "deletionTimestamp" not in metadata:
        return None
    latest = datetime.fromisoformat(metadata["deletionTimestamp"])
    return latest - timedelta(seconds=metadata["deletionGracePeriodSeconds"])


async def test_a_gateway_that_exits_at_zero_ends_with_its_last_connection_and_another_waits_without_any(
    edge: Edge,
) -> None:
    """Its drain would last ten minutes, longer than anything here waits."""
    cluster = edge.mesh.cluster
    lasting = {"exitOnZeroConnections": True, "terminationDrainSeconds": 600}
    async with edge.beside(LEAVING, **lasting) as address:
        (waits,), (leaves,) = edge.list_pods(), edge.list_pods(name=LEAVING)
        last = edge.settings(WWW, address=address, port=9000)
        with (
            load(cluster, **edge.load(WWW, address=address)) as asked,
            caller(cluster, "bytes", last) as held,
        ):
            await held.see_more(3)
            for name in (NAME, LEAVING):
                edge.edit(name=name, labels={**edges.EDGE, "roll": "zero"})
            told = [await wait_until_told(edge, pod) for pod in (waits, leaves)]
            await edge.wait_until_replaced({waits["metadata"]["name"]})
            assert datetime.now(UTC) - told[0] > timedelta(seconds=edges.DRAIN - 1), "nobody was connected"
            await asked.see_more(100)
            await held.see_more(10)
            assert held.seen.ended == ""
            assert leaves["metadata"]["name"] in edge.list_names(name=LEAVING)
            assert held.end().ended == "closed"
            await edge.wait_until_replaced({leaves["metadata"]["name"]}, LEAVING)
            await asked.see_more(100)


async def wait_until_told(edge: Edge, pod: Object) -> datetime:
    """When a pod was told to end, once it was."""
    found: datetime = await eventually(
        lambda: read_told(edge.api.get("pod", edge.namespace, pod["metadata"]["name"]) or pod),
        seconds=120,
        every=0.1,
        what="the earlier pod is told to end",
    )
    return found


async def test_the_public_charts_deployment_cuts_downloads_when_it_is_rolled(edge: Edge) -> None:
    """The control: the same clients, and a gateway as Istio's chart makes it. It drains for five seconds."""
    cluster, namespace = edge.mesh.cluster, edge.namespace
    apply_documents(cluster, build_chart_gateway(namespace, edge.mesh.tag, labels=edges.EDGE))
    await wait_for_deployments(edge.api, namespace, (CHART,))
    service = edge.api.get("service", namespace, CHART) or {}
    settings = edge.load(address=service["spec"]["clusterIP"])
    with caller(cluster, "downloads", settings["downloads"]) as asked:
        await asked.see_more(4)
        before = edge.list_names("app=chart")
        restart(cluster, namespace, CHART)
        await eventually(
            lambda: before.isdisjoint(edge.list_names("app=chart")),
            seconds=120,
            what="the earlier pod is gone",
        )
        seen = asked.end()
    print(f"downloads: {seen.done} answered, {len(seen.failures)} failed {seen.failures[:1]}")
    cluster.run("-n", namespace, "delete", "deployment", CHART)
    assert seen.failures
