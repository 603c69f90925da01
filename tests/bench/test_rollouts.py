"""Workloads of a whole cluster come to a newer proxy, while the operator is killed again and again, somebody
who is asked changes their mind, and the version changes in the middle, twice. What the API server tells of
each Deployment, one state after the other, is what counts."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from threading import Thread

import pytest
from navarch.api.dataplane import DataPlane
from navarch.core.rollout.observed import ObservedRollout, Workloads
from navarch.core.rollout.plan import plan_rollout
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.rollable import Rollable

from lab.builds import ISTIO_LINES
from tests.bench.conftest import Bed, Note, a_bed
from tests.bench.crowd import build_namespace
from tests.bench.measure import read_rss
from tests.cluster.test_rollouts import MARK, ROLE, build_deployment
from tests.polling import eventually
from tests.support.api import Object
from tests.support.kills import SETTINGS
from tests.support.operator import SYSTEM
from tests.support.workloads import is_rolled_out

SECTION = "Restarts"
NS, TAG = "rolling", "rolling-demo"
DEPLOYMENTS = "/apis/apps/v1/deployments"
LATEST = ISTIO_LINES[-1].versions[-1]
STEPS = [f"{LATEST.rpartition('.')[0]}.{patch}" for patch in range(int(LATEST.rpartition(".")[2]) + 1)][-3:]
"""Patches of one minor, one after the other."""
CANARIES = ["app-3", "app-5"]


@dataclass
class Instants:
    """Every state of every Deployment with a mark of Navarch's, in order. `most` is how many were in a
    restart at one instant, `crowded` the same within one namespace; `marks` are those that each has had, and
    `begun` the namespaces of all restarts in order."""

    most: int = 0
    crowded: int = 0
    marks: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    _moving: set[tuple[str, str]] = field(default_factory=set)

    def see(self, deployment: Object) -> None:
        metadata = deployment["metadata"]
        place = metadata["namespace"], metadata["name"]
        annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
        if mark := annotations.get(MARK):
            had = self.marks.setdefault(place, [])
            if mark not in had[-1:]:
                had.append(mark)
                self.begun.append(place[0])
            (self._moving.discard if is_rolled_out(deployment) else self._moving.add)(place)
        self.most = max(self.most, len(self._moving))
        self.crowded = max([self.crowded, *Counter(namespace for namespace, _ in self._moving).values()])


@asynccontextmanager
async def following(bed: Bed) -> AsyncIterator[Instants]:
    """Follows all Deployments until the block ends."""
    seen = Instants()
    listed = await bed.crowd.list(DEPLOYMENTS)
    for item in listed["items"]:
        seen.see(item)

    async def follow() -> None:
        async with await bed.crowd.watch(DEPLOYMENTS, listed["metadata"]["resourceVersion"]) as stream:
            async for line in stream.content:
                event = json.loads(line)
                assert event["type"] != "ERROR", event
                if event["type"] in ("ADDED", "MODIFIED"):
                    seen.see(event["object"])

    task = asyncio.create_task(follow())
    try:
        yield seen
        assert not task.done(), "every state was told"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Moody:
    """Somebody who is asked, and answers in turn yes, no answer, and yes."""

    def __init__(self, *answers: int) -> None:
        self.given = Counter[int]()
        moods, given = cycle(answers), self.given

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                status = next(moods)
                given[status] += 1
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test counts."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
async def bed() -> AsyncIterator[Bed]:
    async with a_bed("rollouts", **SETTINGS) as bed:
        group = "rbac.authorization.k8s.io"
        bed.api.create(
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": ROLE},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ROLE},
                "subjects": [{"kind": "ServiceAccount", "name": "navarch", "namespace": SYSTEM}],
            }
        )
        yield bed


def build_workloads(names: list[str], pods: int) -> Iterator[Object]:
    for name in names:
        made = build_deployment(name, "web")
        yield {**made, "spec": {**made["spec"], "replicas": pods}}


def read_plane(bed: Bed) -> Object:
    mesh = bed.api.get("mesh", NS, "demo") or {}
    return dict((mesh.get("status") or {}).get("dataPlane") or {})


def read_census(bed: Bed) -> Object:
    mesh = bed.api.get("mesh", NS, "demo") or {}
    return dict((mesh.get("status") or {}).get("proxies") or {})


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_rollout_keeps_its_budget_at_every_instant_whatever_happens(
    bed: Bed, note: Note, full: bool
) -> None:
    namespaces, pods, budget = (1000, 10, 50) if full else (10, 1, 4)
    names = [f"app-{number}" for number in range(namespaces)]
    board = Moody(204, 503, 204, 204)
    policy = {
        "mode": "Managed",
        "canaryNamespaces": CANARIES,
        "waves": 3,
        "soakSeconds": 0,
        "maxUnavailable": budget,
        "gates": {"webhooks": [{"name": "board", "url": board.url}]},
    }
    await bed.make_mesh(NS, version=STEPS[0], upgrade={"strategy": "InPlace", "dataPlane": policy})
    await bed.crowd.create(build_namespace(name, TAG) for name in names)
    await bed.crowd.create(build_workloads(names, pods))
    census = {"total": namespaces * pods, "current": namespaces * pods, "outdated": 0}

    def are_all_current() -> bool:
        return census.items() <= read_census(bed).items()

    await eventually(are_all_current, seconds=1800, every=0.5, what="all pods are injected")
    mark, kills = bed.audit.mark(), 0
    async with following(bed) as seen:

        async def go_on(restarts: int, what: str) -> None:
            """Until so many restarts were seen, with a SIGKILL in between."""
            nonlocal kills
            await eventually(lambda: len(seen.begun) >= restarts, seconds=900, every=0.1, what=what)
            bed.operator.kill()
            kills += 1
            bed.operator.start()

        for step, part in zip(STEPS[1:], (0.2, 0.6), strict=True):
            bed.api.patch("mesh", NS, "demo", {"spec": {"version": step}})
            await go_on(len(seen.begun) + int(part * namespaces), f"some workloads come to {step}")
        await eventually(
            lambda: read_plane(bed).get("phase") == "Done" and are_all_current(),
            seconds=1800,
            every=0.5,
            what="all workloads are done",
        )
    board.close()
    restarts = [w for w in bed.audit.writes(mark) if "fieldManager=navarch-rollouts" in w.uri]
    status = [
        w for w in bed.audit.writes(mark) if (w.resource, w.subresource) == ("meshcontrolplanes", "status")
    ]
    assert seen.most <= budget
    assert seen.crowded == 1
    assert {place for place, _ in seen.marks} == set(names), "nobody is left out"
    assert set(seen.begun[: len(CANARIES)]) == set(CANARIES), "canaries come first"
    assert len({marks[-1] for marks in seen.marks.values()}) == 1
    assert len(restarts) == len(seen.begun) == sum(len(marks) for marks in seen.marks.values())
    assert all(len(marks) == len(set(marks)) for marks in seen.marks.values()), "one write for each target"
    assert board.given[503], "it was not known once at least"
    what = f"{namespaces} namespaces and {namespaces * pods} pods"
    nobody = "`updateWorkloads` is declared and read by nobody"
    most = f"workloads in a restart at one instant, {what}"
    note(SECTION, most, str(seen.most), bound=f"{budget}", sail=nobody)
    moved = f"{len(restarts)} for {len(seen.begun)} restarts, {len(status)} of status"
    note(SECTION, f"writes of that, {kills} SIGKILLs, two versions on the way", moved, bound="one a restart")
    note(SECTION, "memory (RSS) after it", f"{read_rss(bed.operator.pid):.0f} MiB")


def observe_crowd(workloads: int) -> ObservedRollout:
    """So many workloads of ten pods each, one in a namespace, a tenth of which have the newer proxy."""
    names = [(f"app-{number}", "new" if number % 10 == 0 else "old") for number in range(workloads)]
    pods = (
        ProxyPod(name, f"web-{at}", "demo", stamp, owner="Deployment/web")
        for name, stamp in names
        for at in range(10)
    )
    seen = (Rollable("Deployment", name, "web", name, rolled=True) for name, _ in names)
    policy = DataPlane.model_validate({"mode": "Managed", "maxUnavailable": 50})
    now = "2026-11-30T12:00:00+00:00"
    return ObservedRollout("uid", policy, "new", "demo", now, tuple(pods), Workloads(tuple(seen)))


def time_plan(observed: ObservedRollout) -> float:
    """Seconds of CPU that a plan takes, the quickest of five."""

    def once() -> float:
        began = time.process_time()
        assert plan_rollout(observed).restarts
        return time.process_time() - began

    return min(once() for _ in range(5))


def test_what_it_costs_to_plan_restarts_grows_as_the_pods_do(note: Note, full: bool) -> None:
    few, many = time_plan(observe_crowd(100)), time_plan(observe_crowd(1000))
    note(SECTION, "CPU to plan restarts of 10000 pods in 1000 namespaces", f"{many:.3f} s", bound="2 s")
    note(SECTION, "the same, by that of a tenth of them", f"{many / few:.1f} x", bound="20 x")
    assert many < 20 * few
    assert many < 2 or not full
