"""Restarts of workloads by Navarch, on real controllers: the right that it takes, canaries first, one at a
time, a halt and its end, an opt-out, what MeshMembers say of their place, and a SIGKILL in the middle. What
the audit log says is what counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import assert_quiet, remove_namespace
from tests.polling import eventually
from tests.support import argo
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit, Request
from tests.support.command import Ended, navarch
from tests.support.members import build_member, wait_for_member
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import SYSTEM, Operator
from tests.support.workloads import ECHO, create_namespace, is_rolled_out, wait_for_deployments

ROLE = "navarch-rollouts"
MARK = "mesh.navarch.io/rolled-for"
KEPT = ("late", "kept")
WORKLOADS = [("late", "api"), KEPT, ("late", "web"), ("early", "first"), ("end", "tail"), ("out", "left")]
ORDERS = {"late": "First", "end": "Last", "out": "Never"}
"""What MeshMembers say of their namespaces: the first and the last wave after the canaries, or none."""


def build_deployment(namespace: str, name: str) -> Object:
    """A Deployment of one pod."""
    pod = {"containers": [{"name": "app", "image": ECHO}], "terminationGracePeriodSeconds": 0}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@pytest.fixture
def granted(api: Api) -> Iterator[Object]:
    """The binding that an administrator makes, which is not there before a test makes it."""
    group = "rbac.authorization.k8s.io"
    yield {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ROLE},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": "navarch", "namespace": SYSTEM}],
    }
    api.delete("clusterrolebinding", "", ROLE)


def list_restarts(audit: Audit, mark: int) -> list[Request]:
    """The writes by Navarch's field manager of restarts, in order."""
    return [r for r in audit.writes(mark) if "fieldManager=navarch-rollouts" in r.uri]


def order(api: Api, namespace: str, name: str, value: str | None) -> None:
    """What a Deployment says of its restarts by Navarch."""
    patch = {"metadata": {"annotations": {"mesh.navarch.io/rollout": value}}}
    api.patch("deployment", namespace, name, patch)


class Board:
    """Somebody who is asked before more workloads are restarted, on loopback."""

    def __init__(self) -> None:
        self.status = 503
        self.heard: list[Object] = []
        asked = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(asked.status)
                self.end_headers()
                if asked.status != 204:
                    self.wfile.write(b"ask again")

            def log_message(self, *_: object) -> None:
                """Nothing: a test tells what it heard."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}/may-it"

    def __enter__(self) -> Board:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def find_waiting(api: Api, namespace: str, words: str) -> Object | None:
    """The mesh, once its rollout says that it waits for this."""
    mesh = api.get("mesh", namespace, "demo") or {}
    told = ((mesh.get("status") or {}).get("dataPlane") or {}).get("waitingFor", "")
    return mesh if words in told else None


def read_mark(api: Api, namespace: str, name: str) -> str:
    template = (api.get("deployment", namespace, name) or {})["spec"]["template"]["metadata"]
    return str((template.get("annotations") or {}).get(MARK, ""))


def assert_one_at_a_time(audit: Audit, mark: int, old: dict[tuple[str, str], str]) -> None:
    """The old pod of each workload was gone before the next one was restarted."""
    requests = audit.everybody(mark)
    restarts = [(r.namespace, r.name, at) for at, r in enumerate(requests) if "navarch-rollouts" in r.uri]
    for (namespace, name, began), (_, _, following) in pairwise(restarts):
        gone = [
            at
            for at, r in enumerate(requests)
            if (r.verb, r.resource, r.name) == ("delete", "pods", old[namespace, name])
        ]
        assert gone, f"{namespace}/{name} was never replaced"
        assert began < gone[0] < following, f"{namespace}/{name} was still being replaced"


async def test_workloads_come_to_a_newer_proxy_one_by_one_through_a_halt_and_a_kill(
    api: Api, audit: Audit, light: Cluster, operator: Operator, granted: Object, fresh: str
) -> None:
    names = {place: f"{fresh}-{place}" for place in ("late", "early", "end", "out")}
    late, early, end, out = names.values()

    async def ask(*words: str) -> Ended:
        action, *options = words
        arguments = ("upgrade", action, "demo", "-n", fresh, *options)
        return await asyncio.to_thread(navarch, *arguments, kubeconfig=light.kubeconfig)

    stack = ExitStack()
    workloads = [(names[place], name) for place, name in WORKLOADS]
    policy = {"mode": "Managed", "canaryNamespaces": [early], "waves": 2, "soakSeconds": 1}
    api.create(build_mesh(fresh, upgrade={"dataPlane": policy}))
    await wait_for(api, fresh)
    await wait_for(api, fresh, condition="SpecAccepted", reason="CanaryNotAMember")
    try:
        await create_namespace(api, early, {"istio.io/rev": f"{fresh}-demo"})
        for place, value in ORDERS.items():
            await create_namespace(api, names[place])
            api.create(build_member(names[place], fresh, restarts=value))
            await wait_for_member(api, names[place])
        for namespace, name in workloads:
            api.create(build_deployment(namespace, name))
        for namespace in names.values():
            await wait_for_deployments(api, namespace, [n for ns, n in workloads if ns == namespace])
        api.patch(
            "deployment", late, "kept", {"metadata": {"annotations": {"mesh.navarch.io/rollout": "Never"}}}
        )
        old = {
            (ns, pod["metadata"]["labels"]["app"]): pod["metadata"]["name"]
            for ns in names.values()
            for pod in api.list("pod", ns)
        }
        mark = audit.mark()

        # Without the right nothing is restarted, and the command that gives it is told.
        edit(api, fresh, proxy={"logLevel": "debug"})
        told = await wait_for(
            api, fresh, condition="UpToDate", status="False", reason="RestartsNotPermitted", seconds=90
        )
        message = read_condition(told, "UpToDate")["message"]
        assert f"kubectl create clusterrolebinding {ROLE}" in message
        assert list_restarts(audit, mark) == []

        # With it nothing begins during a pause, nor while a window cannot be read.
        assert (await ask("pause")).code == 0
        twice = await ask("pause")
        assert (twice.code, "is true already" in twice.err) == (1, True)
        quota = {"pods": str(len([w for w in workloads if w[0] == late]))}
        api.create(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"namespace": late, "name": "full"},
                "spec": {"hard": quota},
            }
        )
        api.create(granted)
        await wait_for(api, fresh, condition="UpToDate", status="False", reason="RestartsWaiting", seconds=90)
        stands = await ask("status", "-o", "json")
        assert (stands.code, stands.json["phase"], stands.json["pace"]) == (1, "Paused", "Standing")
        window = {"start": "00:00", "durationMinutes": 1440, "timeZone": "Mars/Olympus"}
        edit(api, fresh, upgrade={"dataPlane": {"windows": [window]}})
        await wait_for(api, fresh, condition="SpecAccepted", status="False", reason="TimeZoneUnknown")
        assert (await ask("resume")).code == 0
        assert list_restarts(audit, mark) == []

        # Then the canary comes first; nobody is asked before, and nothing comes after it while somebody who
        # is asked gives no answer, or says no.
        board = Board()
        stack.enter_context(board)
        gates = {"webhooks": [{"name": "board", "url": board.url}]}
        open_now = [window | {"timeZone": "UTC"}]
        edit(api, fresh, upgrade={"dataPlane": {"windows": open_now, "gates": gates}})
        await wait_for(api, fresh, condition="UpToDate", status="False", reason="RestartsWaiting", seconds=90)
        told = await eventually(
            lambda: find_waiting(api, fresh, "gate webhook/board: it answered 503: ask again"),
            seconds=90,
            what="the gate that does not know is told",
        )
        assert [(g["name"], g["state"]) for g in told["status"]["dataPlane"]["gates"]] == [
            ("proxies", "Passed"),
            ("webhook/board", "Unknown"),
        ]
        board.status = 403
        await wait_for(api, fresh, condition="UpToDate", status="False", reason="RestartsHalted", seconds=90)
        assert [(r.namespace, r.name) for r in list_restarts(audit, mark)] == [(early, "first")]
        assert board.heard[0]["namespaces"] == [early]
        assert (await ask("status")).code == 1

        # A process that is killed then is followed by one that goes on once the answer is another.
        operator.kill()
        board.status = 204
        operator.start()
        await eventually(operator.is_ready, seconds=60, what="the operator is back")

        # One that cannot make its new pod is waited for, and stops the others when it is given up.
        await eventually(lambda: read_mark(api, late, "api"), seconds=120, what="api is restarted")
        await wait_for(api, fresh, condition="UpToDate", status="False", reason="ProxiesRolling", seconds=90)
        shorter = build_deployment(late, "api") | {"spec": {"progressDeadlineSeconds": 4}}
        api.apply(shorter, manager="impatient")
        halted = await wait_for(
            api, fresh, condition="UpToDate", status="False", reason="RestartsHalted", seconds=120
        )
        message = read_condition(halted, "UpToDate")["message"]
        assert f"Deployment {late}/api: ProgressDeadlineExceeded" in message
        assert halted["status"]["dataPlane"]["phase"] == "Halted"
        assert [(r.namespace, r.name) for r in list_restarts(audit, mark)] == [
            (early, "first"),
            (late, "api"),
        ]

        # When the cause is gone it goes on by itself, to what is to come last, and leaves out what opted out.
        api.delete("quota", late, "full")
        done = await eventually(lambda: find_done(api, fresh), seconds=120, what="the rollout is done")
        plane = done["status"]["dataPlane"]
        assert (plane["total"], plane["updated"], plane["manual"], plane["waves"]) == (6, 4, 2, 3)
        assert f"{late}/kept: it has mesh.navarch.io/rollout: Never" in plane["waitingFor"]
        assert f"{out}/left: restarts of its namespace: Never" in plane["waitingFor"]
        restarted = [(r.namespace, r.name) for r in list_restarts(audit, mark)]
        assert restarted == [(early, "first"), (late, "api"), (late, "web"), (end, "tail")]
        assert not read_mark(api, late, "kept")
        assert all(is_rolled_out(api.get("deployment", ns, name)) for ns, name in workloads)
        assert_one_at_a_time(audit, mark, old)

        # What was left out follows when its owner lets it.
        api.patch(
            "deployment", late, "kept", {"metadata": {"annotations": {"mesh.navarch.io/rollout": None}}}
        )
        await eventually(lambda: read_mark(api, late, "kept"), seconds=90, what="the workload is restarted")
        assert not read_mark(api, out, "left")
        api.patch("member", out, "default", {"spec": {"restarts": None}})
        await eventually(lambda: read_mark(api, out, "left"), seconds=90, what="the last one is restarted")
        await wait_for(api, fresh, condition="UpToDate", seconds=90)
        await assert_quiet(api, audit, operator, fresh, "demo")
    finally:
        stack.close()
        for namespace in names.values():
            remove_namespace(api, namespace)


async def test_a_rollout_of_argo_is_restarted_by_its_moment_where_there_is_such_a_kind(
    api: Api, audit: Audit, operator: Operator, granted: Object, fresh: str
) -> None:
    apps, mark = f"{fresh}-apps", audit.mark()
    api.create(granted)
    api.create(build_mesh(fresh, upgrade={"dataPlane": {"mode": "Managed", "waves": 1, "soakSeconds": 0}}))
    await wait_for(api, fresh)
    try:
        await create_namespace(api, apps, {"istio.io/rev": f"{fresh}-demo"})
        api.create(build_deployment(apps, "plain"))

        # Without such a kind all else goes on, and the API server is never asked for it.
        await eventually(
            lambda: find_counted(api, fresh, total=1, updated=1), seconds=90, what="one workload"
        )
        assert [r for r in audit.since(mark) if r.group == "argoproj.io" or "argoproj" in r.uri] == []

        # The kind comes later, with a Rollout that its owner has restarted before, and one that is paused.
        async with argo.rollouts_served(api):
            await argo.start_rollout(api, apps, "web")
            await argo.start_rollout(api, apps, "held", paused=True)
            before = "2026-01-01T10:00:00Z"
            api.patch("rollout", apps, "web", {"spec": {"restartAt": before}})
            argo.tell(api, apps, "web", "Healthy", restartedAt=before)
            await eventually(lambda: find_counted(api, fresh, total=3, updated=3), seconds=90, what="all")
            old = {pod["metadata"]["name"] for pod in argo.list_ready(api, apps, "web")}
            (made,) = (api.get("replicaset", apps, f"web-{argo.HASH}"),)
            mark = audit.mark()
            api.create(build_member(apps, fresh, restartWindows=[open_in(hours=12)]))
            await wait_for_member(api, apps)
            edit(api, fresh, proxy={"logLevel": "debug"})
            await assert_own_windows_hold(api, audit, fresh, apps, mark)
            rollout = await eventually(
                lambda: find_restarted(api, apps, "web"), seconds=120, what="restarted"
            )
            assert rollout["spec"]["restartAt"] > before
            assert MARK not in str(rollout["spec"]["template"])
            assert {pod["metadata"]["name"] for pod in argo.list_ready(api, apps, "web")} == old
            await argo.carry_out_restart(api, apps, "web")

            done = await eventually(lambda: find_done(api, fresh), seconds=120, what="the rollout is done")
            plane = done["status"]["dataPlane"]
            assert (plane["total"], plane["updated"], plane["manual"]) == (3, 2, 1)
            assert f"Rollout {apps}/held: spec.paused is true" in plane["waitingFor"]
            pods = argo.list_ready(api, apps, "web")
            assert not old & {pod["metadata"]["name"] for pod in pods}
            assert {pod["metadata"]["annotations"]["mesh.navarch.io/proxy"] for pod in pods} == {
                plane["target"]
            }
            (kept,) = (api.get("replicaset", apps, f"web-{argo.HASH}"),)
            assert made is not None
            assert kept is not None
            assert (kept["metadata"]["uid"], kept["spec"]) == (made["metadata"]["uid"], made["spec"])
            assert sorted(r.name for r in list_restarts(audit, mark) if r.code < 400) == ["plain", "web"]
            await assert_quiet(api, audit, operator, fresh, "demo")
        await eventually(
            lambda: find_counted(api, fresh, total=1, updated=1), seconds=90, what="they are gone"
        )
        api.delete("member", apps, "default")
        await eventually(lambda: api.get("member", apps, "default") is None, seconds=60, what="it has left")
    finally:
        remove_namespace(api, apps)


def open_in(*, hours: int) -> Object:
    """A window of an hour that opens so many hours from now."""
    start = datetime.now(UTC) + timedelta(hours=hours)
    return {"start": f"{start:%H:%M}", "durationMinutes": 60, "timeZone": "UTC"}


async def assert_own_windows_hold(api: Api, audit: Audit, mesh: str, namespace: str, mark: int) -> None:
    """While what a namespace says of its windows is closed, or cannot be read, nothing in it is restarted,
    and that is told; at the end it says nothing that closes them."""
    key = "mesh.navarch.io/restart-windows"
    always = {"start": "00:00", "durationMinutes": 1440, "timeZone": "UTC"}

    async def waits(told: str, *, no_more: str = "never") -> None:
        def is_told() -> bool:
            plane = (api.get("mesh", mesh, "demo") or {})["status"].get("dataPlane") or {}
            said = plane.get("waitingFor", "")
            return plane.get("phase") == "Waiting" and told in said and no_more not in said

        await eventually(is_told, seconds=90, what=told)
        assert list_restarts(audit, mark) == []

    await waits("its own restart windows open on ")
    lost = {"spec": {"restartWindows": [always | {"timeZone": "Mars/Olympus"}]}}
    api.patch("member", namespace, "default", lost)
    await wait_for_member(api, namespace, condition="SpecAccepted", reason="TimeZoneUnknown")
    await waits("no time zone is named Mars/Olympus")
    api.patch("namespace", "", namespace, {"metadata": {"annotations": {key: "at night"}}})
    api.patch("member", namespace, "default", {"spec": {"restartWindows": [always]}})
    await waits("its own restart windows cannot be read", no_more="Mars")
    api.patch("namespace", "", namespace, {"metadata": {"annotations": {key: None}}})


def find_counted(api: Api, namespace: str, **counts: int) -> Object | None:
    """The mesh, where its status counts workloads so."""
    mesh = api.get("mesh", namespace, "demo")
    told = ((mesh or {}).get("status") or {}).get("dataPlane") or {}
    return mesh if counts.items() <= told.items() else None


def find_restarted(api: Api, namespace: str, name: str) -> Object | None:
    """A Rollout that Navarch has restarted."""
    rollout = api.get("rollout", namespace, name) or {}
    return rollout if MARK in (rollout["metadata"].get("annotations") or {}) else None


def find_injectors(api: Api, namespace: str) -> set[str]:
    """The revisions whose sidecars run in a namespace."""
    pods = [pod["metadata"] for pod in api.list("pod", namespace)]
    return {pod["annotations"]["istio.io/rev"] for pod in pods if "deletionTimestamp" not in pod}


async def test_another_configuration_reaches_the_canary_namespace_alone_and_goes_back_from_there(
    api: Api, audit: Audit, operator: Operator, granted: Object, fresh: str
) -> None:
    late, early = f"{fresh}-late", f"{fresh}-early"
    policy = {"mode": "Managed", "canaryNamespaces": [early], "waves": 1, "soakSeconds": 3600}
    upgrade = {"strategy": "RevisionBased", "canaryConfig": True, "inactiveRevisionGracePeriodSeconds": 0}
    api.create(granted)
    api.create(build_mesh(fresh, upgrade={**upgrade, "dataPlane": policy}))
    first = (await wait_for(api, fresh))["status"]["activeRevision"]
    try:
        for namespace in (late, early):
            await create_namespace(api, namespace, {"istio.io/rev": f"{fresh}-demo"})
            api.create(build_deployment(namespace, "app"))
            await wait_for_deployments(api, namespace, ["app"])
        await wait_for(api, fresh, condition="UpToDate")
        mark = audit.mark()
        edit(api, fresh, controlPlane={"logging": {"level": "default:debug"}})
        await eventually(
            lambda: list_restarts(audit, mark) and find_injectors(api, early) != {first},
            seconds=90,
            what="the canary is restarted",
        )
        await eventually(lambda: len(api.list("revision", fresh)) == 2, what="there are two revisions")
        (second,) = {r["metadata"]["name"] for r in api.list("revision", fresh)} - {first}
        assert second.startswith(f"{first}-")
        await eventually(lambda: find_injectors(api, early) == {second}, what="it has the new sidecar")
        assert find_injectors(api, late) == {first}
        deployment = ("deployments", f"istiod-{first}")
        assert deployment not in {(r.resource, r.name) for r in audit.writes(mark)}

        edit(api, fresh, upgrade={"rollback": True})
        await wait_for(api, fresh, status="False", reason="RolledBack")
        await eventually(
            lambda: [r["metadata"]["name"] for r in api.list("revision", fresh)] == [first],
            seconds=120,
            what="the canary is back, and the second revision gone",
        )
        assert find_injectors(api, early) | find_injectors(api, late) == {first}
        assert deployment not in {(r.resource, r.name) for r in audit.writes(mark)}
        assert {(r.namespace, r.name) for r in list_restarts(audit, mark)} == {(early, "app")}
        await assert_quiet(api, audit, operator, fresh, "demo")
    finally:
        for namespace in (late, early):
            remove_namespace(api, namespace)


PROMETHEUS = {"url": "http://prometheus.monitoring:9090"}
QUERY = {"name": "q", "query": "up", "min": "1"}
WINDOW = {"start": "22:00", "durationMinutes": 60, "timeZone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"waves": 0}, "waves"),
        ({"maxUnavailable": 0}, "maxUnavailable"),
        ({"maxUnavailable": 2, "perNamespaceParallelism": 3}, "raise maxUnavailable, or lower this"),
        ({"gates": {"webhooks": [{"name": "w", "url": "ftp://x"}]}}, "url"),
        ({"gates": {"webhooks": [{"name": "w", "url": "http://user:secret@x/"}]}}, "url"),
        (
            {"gates": {"prometheus": PROMETHEUS | {"queries": [{"name": "q", "query": "up"}]}}},
            "set min, max or both",
        ),
        (
            {"gates": {"prometheus": PROMETHEUS | {"queries": [QUERY | {"min": "1", "max": "0.5"}]}}},
            "raise max, or lower min",
        ),
        ({"gates": {"prometheus": PROMETHEUS | {"queries": [QUERY | {"min": "NaN"}]}}}, "min"),
        ({"gates": {"prometheus": PROMETHEUS | {"queries": [QUERY, QUERY]}}}, "Duplicate value"),
        ({"onFailure": "Panic"}, "onFailure"),
        ({"windows": [WINDOW | {"days": []}]}, "days"),
        ({"windows": [WINDOW | {"start": "24:00"}]}, "start"),
        ({"windows": [WINDOW | {"durationMinutes": 0}]}, "durationMinutes"),
        ({"windows": [WINDOW | {"timeZone": "/etc/passwd"}]}, "timeZone"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_field(
    api: Api, installed: object, policy: Object, told: str
) -> None:
    mesh = build_mesh("default", upgrade={"dataPlane": {"mode": "Managed", **policy}})
    with pytest.raises(Refused, match=told):
        api.create(mesh, dry_run=True)


def find_done(api: Api, namespace: str) -> Object | None:
    mesh = api.get("mesh", namespace, "demo")
    told = ((mesh or {}).get("status") or {}).get("dataPlane") or {}
    return mesh if told.get("phase") == "Done" else None
