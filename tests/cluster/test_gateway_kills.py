"""The operator is killed after single writes of a gateway's life: the next run ends where an undisturbed one
does, with no write more.

One life after the other, all on one mesh: a gateway is made, edited, gets another kind of workload, and is
deleted. In each of these steps the operator gets SIGKILL after n writes. The short form has two lives, killed
after a random write of each step's first half and of its second half; the long form has one for each n.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import build_operator, remove_namespace
from tests.polling import eventually
from tests.support.activity import bring_up, count_reconciles, wait_for_removals, wait_for_rest
from tests.support.api import Api
from tests.support.audit import Audit, Request
from tests.support.gateways import Serving, build_gateway, list_objects
from tests.support.kills import BOUND, SETTINGS, Stage, a_stage
from tests.support.meshes import build_mesh, is_current, read_condition
from tests.support.operator import Operator
from tests.support.witness import find_left, find_written

MESH = "gateway-kills"
BEFORE: Mapping[str, Any] = {"replicas": 2, "networkPolicy": True}
EDIT: Mapping[str, Any] = {
    "labels": {"tier": "edge"},
    "networkPolicy": None,
    "replicas": None,
    "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
    "service": {"type": "ClusterIP"},
}
"""It changes workload and Service, adds an autoscaler and removes a policy."""
KIND: Mapping[str, Any] = {"workload": "DaemonSet", "autoscaling": None}
NEVER = 10**6
HANDOVER = "fieldManager=navarch-replicas"


@dataclass(frozen=True)
class Step:
    """A part of a gateway's life: what is asked, and the kinds that the gateway has of its own afterwards."""

    name: str
    begin: Callable[[Api, str], object]
    kinds: frozenset[str]


COMMON = frozenset({"ServiceAccount", "RoleBinding", "Service"})
OF_BEFORE = COMMON | {"Deployment", "PodDisruptionBudget", "NetworkPolicy"}
OF_EDIT = COMMON | {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
STEPS = (
    Step("creation", lambda api, name: api.create(build_gateway(MESH, MESH, name, **BEFORE)), OF_BEFORE),
    Step("edit", lambda api, name: api.patch("gateway", MESH, name, {"spec": EDIT}), OF_EDIT),
    Step("kind", lambda api, name: api.patch("gateway", MESH, name, {"spec": KIND}), COMMON | {"DaemonSet"}),
    Step("deletion", lambda api, name: api.delete("gateway", MESH, name), frozenset()),
)


@dataclass(frozen=True)
class Life:
    """What became of a gateway: how many writes each step took by the proxy's count, which steps were cut
    short, and each step's writes of the gateway's objects."""

    totals: Mapping[str, int]
    killed: frozenset[str]
    objects: Mapping[str, Counter[tuple[str, str, str]]]


@pytest.fixture(scope="module")
async def stage(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, crds: object
) -> AsyncIterator[Stage]:
    """In place of the session's operator one behind a proxy, and a mesh that is Ready."""
    await wait_for_removals(api)
    operator.stop()
    async with a_stage(api, audit, installed, build_operator(installed, "killed", **SETTINGS)) as stage:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MESH}})
        api.create(build_mesh(MESH))
        await eventually(lambda: stage.is_ready(MESH), seconds=BOUND, every=0.1, what="the mesh is ready")
        await wait_for_rest(stage.operator)
        yield stage
        remove_namespace(api, MESH)
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the session's operator is back")


def is_done(stage: Stage, step: Step, name: str) -> bool:
    gateway = stage.api.get("gateway", MESH, name)
    if not step.kinds:
        return gateway is None
    return is_current(gateway) and read_condition(gateway, "Ready").get("status") == "True"


def count_objects(requests: Sequence[Request], name: str) -> Counter[tuple[str, str, str]]:
    """Writes of a gateway's own objects, by verb, resource and name: neither of its status nor of what is
    recorded of it. That the number of pods is handed over is left out: once more it changes nothing."""
    own = (
        r
        for r in requests
        if r.namespace == MESH and r.name.startswith(name) and r.code < 300 and HANDOVER not in r.uri
    )
    return Counter((r.verb, r.resource, r.name.replace(name, "NAME")) for r in own if not r.subresource)


async def assert_quiet(stage: Stage, name: str) -> None:
    """Another look writes nothing of the gateway; what its mesh counts comes a few seconds later."""
    mark, before = stage.audit.mark(), count_reconciles(stage.operator)
    stage.api.patch("gateway", MESH, name, {"metadata": {"annotations": {"look": f"again {mark}"}}})
    await eventually(lambda: count_reconciles(stage.operator) > before, seconds=BOUND, what="another look")
    await wait_for_rest(stage.operator)
    assert [str(write) for write in stage.audit.writes(mark) if name in write.uri] == []


async def take(stage: Stage, step: Step, name: str, writes: int) -> tuple[bool, list[Request]]:
    """One step, killed after so many writes where it has as many, and finished by the next run."""
    mark = stage.audit.mark()
    killed = await stage.kill_after(
        writes,
        lambda: step.begin(stage.api, name),
        until=lambda: is_done(stage, step, name),
        what=f"{step.name} of {name}",
    )
    if killed:
        await bring_up(stage.operator, seconds=BOUND)
    what = f"{step.name} of {name} is done"
    await eventually(lambda: is_done(stage, step, name), seconds=BOUND, every=0.1, what=what)
    await wait_for_rest(stage.operator, seconds=BOUND)
    assert {o["kind"] for o in list_objects(stage.api, MESH, name)} == step.kinds
    return killed, stage.audit.writes(mark)


async def live(stage: Stage, name: str, writes: Mapping[str, int]) -> Life:
    """A gateway's whole life; `writes` says after how many the operator is killed in each step."""
    totals, killed, objects = {}, set(), {}
    serving: Serving | None = None
    written: list[Request] = []
    for step in STEPS:
        cut, requests = await take(stage, step, name, writes.get(step.name, NEVER))
        totals[step.name] = stage.proxy.writes
        killed |= {step.name} if cut else set()
        objects[step.name] = count_objects(requests, name)
        written += requests
        if step.kinds:
            await assert_quiet(stage, name)
        serving = serving or Serving(stage.api, MESH, name)
        if step.kinds:
            assert min(serving.count()) >= BEFORE["replicas"], f"{step.name}: pods that serve"
    own = [r for r in written if r.namespace == MESH and r.name.startswith(name)]
    assert [*find_left(stage.api, find_written(own))] == [], "nothing is left of it, labelled or not"
    assert stage.is_ready(MESH)
    return Life(totals, frozenset(killed), objects)


def choose_lives(totals: Mapping[str, int], *, full: bool) -> Iterator[Mapping[str, int]]:
    """After how many writes to kill in each step, life by life."""
    if full:
        yield from (dict.fromkeys(totals, writes) for writes in count(1))
    yield {name: random.randint(1, total) for name, total in totals.items()}


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_gateway_s_life_killed_after_any_write_is_finished_by_the_next_run_with_no_write_more(
    stage: Stage, full: bool
) -> None:
    wanted = await live(stage, "whole", {})
    assert not wanted.killed
    print(f"writes of an undisturbed life: {wanted.totals}, of its objects {wanted.objects}")
    kills = 0
    for number, writes in enumerate(choose_lives(wanted.totals, full=full)):
        print(f"life {number} is killed after {writes}")
        found = await live(stage, f"cut-{number:02}", writes)
        kills += len(found.killed)
        for step in STEPS:
            more = found.objects[step.name] - wanted.objects[step.name]
            assert not more, f"{step.name}, killed after {writes[step.name]}: beyond an undisturbed run's"
        if not found.killed:
            break
    else:
        assert not full
    assert kills > len(STEPS) // 2, "a control: the operator was killed"
