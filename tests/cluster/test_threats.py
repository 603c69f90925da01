"""Threats that docs/explanation/security.md names and that no other module tries on a real API server."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

import pytest
import yaml
from aiohttp import ClientError, ClientSession, ClientTimeout

from lab.cluster import Cluster
from tests.cluster.test_neighbours import another_namespace
from tests.polling import eventually
from tests.support.activity import is_leading
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.meshes import (
    build_mesh,
    edit,
    get_istiod,
    is_current,
    list_owned,
    read_condition,
    read_told,
    read_versions,
    wait_for,
)
from tests.support.operator import Operator
from tests.support.workloads import build_pod

# --- characters ---------------------------------------------------------------------------------------------


async def test_a_character_beyond_the_basic_plane_reaches_istiod_as_it_was_written(
    api: Api, lent: str
) -> None:
    """JSON has two escapes for such a character; server-side apply, which reads YAML, refuses both."""
    fresh, priority = lent, ["topology.istio.io/\U0001f600"]
    edit(api, fresh, meshConfig={"accessLogFormat": "\U0001f600 %START_TIME%\n"})
    await wait_for(api, fresh)
    (config,) = [o for o in list_owned(api, fresh) if o["metadata"]["name"] == f"istio-{fresh}-demo-inplace"]
    assert yaml.safe_load(config["data"]["mesh"])["accessLogFormat"] == "\U0001f600 %START_TIME%\n"
    edit(
        api, fresh, meshConfig={"localityLbSetting": {"failoverPriority": priority}, "accessLogFormat": None}
    )
    await wait_for(api, fresh)


# --- texts that a reader refuses ----------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "duration": ({"meshConfig": {"connectTimeout": "0s"}}, "MeshConfigInvalid"),
    "control character": ({"meshConfig": {"accessLogFormat": "a\x01b"}}, "InvalidSpec"),
    "ranges in values": (
        {"values": {"global": {"proxy": {"excludeIPRanges": "10.0.0.0/8\\"}}}},
        "ValuesInvalid",
    ),
    "a number that no pod can hold": (
        {"values": {"global": {"proxy": {"readinessPeriodSeconds": 3_000_000_000}}}},
        "ValuesInvalid",
    ),
    "shape": (
        {"values": {"gatewayClasses": {"istio": {"deployment": {"spec": {"replicas": "many"}}}}}},
        "ValuesInvalid",
    ),
}
"""What istiod, the agent or Kubernetes would refuse later, one for each check that refuses at once, and its
reason. Every text that a check refuses is in tests/unit/test_accepted.py."""


UNDO = {"meshConfig": None, "values": None}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_a_reader_would_refuse_later_never_reaches_it(api: Api, running: str, name: str) -> None:
    spec, reason = REFUSED[name]
    before = read_versions(list_owned(api, running))
    edit(api, running, **spec)
    told = await wait_for(api, running, condition="SpecAccepted", status="False", reason=reason)
    ready = read_condition(told, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert read_condition(told, "UpToDate")["status"] != "True"
    after = read_versions(list_owned(api, running))
    assert after == before, "nothing that istiod reads was changed"
    edit(api, running, **UNDO)
    await wait_for(api, running)


# --- injection without an istiod ----------------------------------------------------------------------------


async def test_no_pod_is_refused_for_an_istiod_that_has_no_service(api: Api, settled: str) -> None:
    quota = {"name": "none", "namespace": settled}
    hard = {"services": "0"}
    api.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": quota, "spec": {"hard": hard}})
    await eventually(lambda: (api.get("quota", settled, "none") or {}).get("status", {}).get("used"))
    async with another_namespace(api, f"{settled}-app", {"istio.io/rev": f"{settled}-demo"}) as apps:
        created = api.create(build_mesh(settled))
        mesh = await wait_for(api, settled, condition="Reconciled", status="False", reason="AdmissionDenied")
        assert read_condition(mesh, "Available")["status"] == "False"
        assert read_condition(mesh, "Ready")["reason"] == "AdmissionDenied"
        assert "exceeded quota: none" in read_condition(mesh, "Ready")["message"]
        api.create(build_pod(apps, "meanwhile"), dry_run=True)
        assert [o for o in list_owned(api, settled) if o["kind"] == "MutatingWebhookConfiguration"] == []
        api.delete("quota", settled, "none")
        await wait_for(api, settled)
        states = api.replay("mesh", settled, "demo", since=created["metadata"]["resourceVersion"])
        available = [read_condition(state, "Available").get("status") for state in states]
        assert available.index("True") == len(available) - available.count("True"), "and never before"


# --- a mesh that is paused ----------------------------------------------------------------------------------


async def test_a_foreign_image_of_a_paused_mesh_is_named_and_not_called_up_to_date(
    api: Api, light: Cluster, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    edit(api, settled, paused=True)
    await wait_for(api, settled, condition="Paused")
    istiod = get_istiod(api, settled)
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/x:1"}]
    api.patch("deployment", settled, istiod["metadata"]["name"], image)
    named = f"not as planned: Deployment {settled}/{istiod['metadata']['name']}"

    def is_told() -> bool:
        verdict = read_condition(api.get("mesh", settled, "demo"), "UpToDate")
        return verdict["status"] != "True" and named in verdict["message"]

    await eventually(is_told, what="the mesh is not called up to date, and says why")
    report = await asyncio.to_thread(navarch, "check", "-o", "json", kubeconfig=light.kubeconfig)
    about = [f for f in report.json["findings"] if settled in json.dumps(f["subject"])]
    assert [f for f in about if f["id"] == "Paused" and named in f["message"]], about
    edit(api, settled, paused=None)
    await wait_for(api, settled)
    (container,) = get_istiod(api, settled)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == istiod["spec"]["template"]["spec"]["containers"][0]["image"]


# --- what is said -------------------------------------------------------------------------------------------


def list_told(api: Api, mesh: Object) -> list[str]:
    """The statuses of Ready that Events told, in order."""
    events = api.list("event", mesh["metadata"]["namespace"])
    own = [e for e in events if e["regarding"].get("uid") == mesh["metadata"]["uid"]]
    own.sort(key=lambda e: (e.get("eventTime") or "", int(e["metadata"]["resourceVersion"])))
    return [told["Ready"] for e in own if "Ready" in (told := read_told(e["note"]))]


async def test_every_recovery_is_told_however_soon_it_follows_another(
    api: Api, operator: Operator, lent: str
) -> None:
    for number in range(1, 4):
        edit(api, lent, meshConfig={"connectTimeout": "0s"})
        await wait_for(api, lent, status="False", reason="MeshConfigInvalid")
        edit(api, lent, meshConfig=None)
        mesh = await wait_for(api, lent)
        await eventually(
            lambda mesh=mesh: list_told(api, mesh)[-1:] == ["True"],
            what=f"the newest Event about Ready says True after recovery {number}",
        )


async def test_odd_characters_in_a_pods_annotation_break_no_command_and_reach_no_terminal(
    api: Api, light: Cluster, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    async with another_namespace(api, f"{settled}-x", {"istio.io/rev": f"{settled}-demo"}) as apps:
        pod = build_pod(apps, "odd", labels={"service.istio.io/canonical-name": "odd"})
        pod["metadata"]["annotations"] = {
            "sidecar.istio.io/status": r'{"revision": "\ud800\u001b[2J\u009b31m"}',
            "istio.io/rev": "\x1b[2Jx",
            "sidecar.istio.io/inject": "false",
        }
        api.create(pod)
        pod = build_pod(apps, "odder", labels={"service.istio.io/canonical-name": "odder"})
        pod["metadata"]["annotations"] = {"istio.io/rev": "another", "mesh.navarch.io/proxy": "\x1b[2J\u202e"}
        pod["metadata"]["annotations"] |= {"sidecar.istio.io/inject": "false"}
        api.create(pod)
        mesh = await wait_for(api, settled, condition="UpToDate", status="False", reason="ProxiesMisplaced")
        assert f"{apps}/odder" in read_condition(mesh, "UpToDate")["message"]
        for command in (("check",), ("check", "-o", "json"), ("describe", "demo")):
            where = ("-n", settled) if command[0] == "describe" else ()
            ended = await asyncio.to_thread(navarch, *command, *where, kubeconfig=light.kubeconfig)
            assert "Traceback" not in ended.err, ended.err
            assert ended.code in (0, 1, 2), ended
            assert not {"\x1b", "\x9b", "\ud800"} & set(ended.out + ended.err)
        said = await asyncio.to_thread(navarch, "check", kubeconfig=light.kubeconfig)
        assert f"{apps}/odder" in said.out


async def test_a_pod_that_calls_itself_istiod_becomes_no_endpoint_of_the_mesh(api: Api, running: str) -> None:
    """Proxies and the API server would speak with it. A Service with upstream's selector is the control."""
    upstream = {"app": "istiod", "istio.io/rev": f"{running}-demo-inplace"}
    own = f"istiod-{running}-demo-inplace"
    api.create(build_pod(running, "impostor", labels=upstream))
    control: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "control"}}
    control["metadata"]["namespace"] = running
    api.create({**control, "spec": {"selector": upstream, "ports": [{"port": 15012}]}})
    try:
        await eventually(lambda: "impostor" in list_endpoints(api, running, "control"), what="the control's")
        assert "impostor" not in list_endpoints(api, running, own)
        assert list_endpoints(api, running, own), "istiod's own pods are"
    finally:
        api.delete("service", running, "control")
        api.delete("pod", running, "impostor")


def list_endpoints(api: Api, namespace: str, service: str) -> set[str]:
    """Names of the pods in a Service's EndpointSlices."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    found = api.request("GET", f"{path}?labelSelector=kubernetes.io/service-name%3D{service}")
    return {e["targetRef"]["name"] for each in found["items"] for e in each.get("endpoints") or ()}


async def test_a_first_installation_that_cannot_start_says_why_in_ready(
    api: Api, light: Cluster, settled: str
) -> None:
    api.create(build_mesh(settled, controlPlane={"placement": {"nodeSelector": {"no-such": "node"}}}))
    mesh = await wait_for(api, settled, status="False", reason="RolloutStuck")
    message = read_condition(mesh, "Ready")["message"]
    assert "node affinity/selector" in message
    assert "no istiod serves" in message
    assert read_condition(mesh, "Available")["status"] == "False"
    edit(api, settled, controlPlane=None)
    await wait_for(api, settled)


async def test_a_proxy_that_istiod_deployed_for_a_gateway_is_told_current_from_outdated(
    api: Api, settled: str
) -> None:
    """By the annotations that Navarch's template for Gateways gives, on a pod that refuses injection."""
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    revision = f"{settled}-demo-inplace"
    stamp = (api.get("revision", settled, revision) or {})["status"]["proxy"]
    async with another_namespace(api, f"{settled}-g", {"istio.io/rev": f"{settled}-demo"}) as place:

        def deploy(name: str, stamp: str) -> None:
            labels = {
                "gateway.networking.k8s.io/gateway-name": "front",
                "service.istio.io/canonical-name": "front",
                "sidecar.istio.io/inject": "false",
            }
            pod = build_pod(place, name, labels=labels)
            pod["metadata"]["annotations"] = {"istio.io/rev": revision, "mesh.navarch.io/proxy": stamp}
            api.create(pod)

        def read_summary() -> str:
            return str((api.get("mesh", settled, "demo") or {})["status"]["proxies"]["summary"])

        deploy("front-1", stamp)
        await eventually(lambda: read_summary() == "1/1", what="it is counted, and current")
        deploy("front-2", "1.31.0-older")
        await eventually(lambda: read_summary() == "1/2", what="the other one is outdated")
        mesh = await wait_for(api, settled, condition="UpToDate", status="False", reason="ProxiesOutdated")
        assert read_condition(mesh, "UpToDate")["message"].startswith("1 pod runs an older proxy")
        for name in ("front-1", "front-2"):
            api.delete("pod", place, name)
        await eventually(lambda: read_summary() == "0/0", what="both are gone")


# --- the operator's own port --------------------------------------------------------------------------------

SCRAPERS = 20
"""Clients that ask for /metrics without pause."""
EDITS = 5
RATIO = 4.0
"""By how much an edit may take longer meanwhile, and that it may take half a second more in any case."""


async def measure_edits(api: Api, namespace: str) -> float:
    """The median time from an edit until status speaks of it."""
    taken = []
    for number in range(EDITS):
        api.patch("mesh", namespace, "demo", {"spec": {"meshConfig": {"accessLogFile": f"/dev/{number}"}}})
        started = time.monotonic()
        await eventually(lambda: is_current(api.get("mesh", namespace, "demo")), every=0.005)
        taken.append(time.monotonic() - started)
    return statistics.median(taken)


async def test_scrapes_without_pause_delay_no_edit_and_cost_no_lease(
    api: Api, audit: Audit, operator: Operator, lent: str
) -> None:
    """Their number is bounded by what answers; what an edit may take is what it took without them."""
    alone = await measure_edits(api, lent)
    answered, stop = 0, asyncio.Event()

    async def scrape(session: ClientSession) -> None:
        nonlocal answered
        while not stop.is_set():
            try:
                async with session.get("/metrics") as answer:
                    answered += len(await answer.read()) > 0
            except ClientError:
                await asyncio.sleep(0.01)

    lease = api.get("lease", "navarch-system", "navarch")
    assert lease is not None
    base, limit = f"http://127.0.0.1:{operator.metrics_port}", ClientTimeout(total=60)
    async with ClientSession(base, timeout=limit) as session:
        scrapers = [asyncio.create_task(scrape(session)) for _ in range(SCRAPERS)]
        try:
            beside = await asyncio.to_thread(lambda: asyncio.run(measure_edits(api, lent)))
            probes = [await asyncio.to_thread(operator.fetch, "/livez") for _ in range(5)]
        finally:
            stop.set()
            await asyncio.gather(*scrapers)
    print(f"an edit alone {alone:.3f} s, beside {answered} scrapes {beside:.3f} s")
    assert answered > 10 * EDITS
    assert set(probes) == {(200, "ok")}
    assert beside < RATIO * alone + 0.5
    after = api.get("lease", "navarch-system", "navarch") or {}
    for field in ("holderIdentity", "acquireTime", "leaseTransitions"):
        assert after["spec"].get(field) == lease["spec"].get(field)
    assert is_leading(operator)
