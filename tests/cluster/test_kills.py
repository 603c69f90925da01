"""The operator is killed after every single write of an install, an edit and a deletion: the next run
finishes it.

A proxy lets exactly n writes through, one after the other, and keeps the answer of the last from the
operator; then the process gets SIGKILL. One run for each n, until the work is done without a kill. The short
form takes a spread of all n that begins at a random one; the long form takes all.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from navarch.assets import load_assets

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, build_operator, install, remove_namespace
from tests.polling import eventually
from tests.support.activity import bring_up, count_reconciles, wait_for_removals, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.kills import BOUND, SETTINGS, Stage, a_stage
from tests.support.meshes import build_mesh, edit, read_versions
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.witness import Name, find_left, find_written, list_labelled, name_objects

SHORT = 3
"""Kills of each operation in the short form."""
BEFORE: dict[str, Any] = {
    "version": "1.30",
    "mtls": {"mode": "Strict"},
    "controlPlane": {"autoscaling": {"minReplicas": 2}},
}
AFTER: dict[str, Any] = {
    "version": "1.31",
    "mtls": None,
    "controlPlane": {"networkPolicy": True, "autoscaling": {"enabled": False}},
}
"""An edit that changes nearly all objects, adds one (a network policy) and removes three (the autoscaler, the
budget and the policy)."""
GONE: Object = {"metadata": {"name": "users", "resourceVersion": "gone"}}
STRANGERS = ("configmap", "secret", "serviceaccount", "peerauthentication")


@dataclass(frozen=True)
class Operation:
    """What is begun, and by what one sees that it is done; `prepare` comes first, undisturbed."""

    name: str
    begin: Callable[[Api, str], object]
    is_done: Callable[[Stage, str], bool]
    prepare: Callable[[Api, str], object] | None = None


INSTALL = Operation("install", lambda api, ns: api.create(build_mesh(ns, **BEFORE)), Stage.is_ready)
EDIT = Operation("edit", lambda api, ns: edit(api, ns, **AFTER), Stage.is_ready, prepare=INSTALL.begin)
DELETION = Operation(
    "deletion", lambda api, ns: api.delete("mesh", ns, "demo"), Stage.is_gone, prepare=INSTALL.begin
)


def is_succeeded(stage: Stage, namespace: str) -> bool:
    """Whether the newer revision serves, and the older one is gone."""
    revisions = stage.api.list("revision", namespace)
    mesh = stage.api.get("mesh", namespace, "demo") or {}
    active = (mesh.get("status") or {}).get("activeRevision")
    return [r["metadata"]["name"] for r in revisions] == [active] and stage.is_ready(namespace)


REVISIONS: dict[str, Any] = {"strategy": "RevisionBased", "inactiveRevisionGracePeriodSeconds": 0}
UPGRADE = Operation(
    "upgrade",
    lambda api, ns: edit(api, ns, version="1.31"),
    is_succeeded,
    prepare=lambda api, ns: api.create(build_mesh(ns, **BEFORE, upgrade=REVISIONS)),
)


@dataclass(frozen=True)
class Trace:
    """What an operation has left and removed, comparable between namespaces."""

    names: set[Name]
    removed: set[tuple[str, str]]


@pytest.fixture(scope="module")
async def stage(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, crds: object
) -> AsyncIterator[Stage]:
    """In place of the session's operator one behind a proxy, leading and at rest."""
    await wait_for_removals(api)
    operator.stop()
    async with a_stage(api, audit, installed, build_operator(installed, "killed", **SETTINGS)) as stage:
        # The first mesh of a cluster brings Istio's CRDs up to date: done before anything is counted.
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kill-first"}})
        api.create(build_mesh("kill-first"))
        await eventually(lambda: stage.is_ready("kill-first"), seconds=BOUND, every=0.1)
        await wait_for_rest(stage.operator)
        yield stage
        remove_namespace(api, "kill-first")
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the session's operator is back")


def put_strangers(api: Api, namespace: str) -> None:
    """A namespace with things in it that are not ours."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    user: Object = {"apiVersion": "v1", "metadata": {"namespace": namespace, "name": "users"}}
    istio = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "spec": {}}
    api.create({**user, "kind": "ConfigMap", "data": {"mesh": "mine"}})
    api.create({**user, "kind": "Secret", "stringData": {"key": "mine"}})
    api.create({**user, "kind": "ServiceAccount"})
    api.create({**user, **istio})


def read_strangers(api: Api, namespace: str) -> dict[tuple[str, str], str]:
    return read_versions([{**(api.get(k, namespace, "users") or GONE), "kind": k} for k in STRANGERS])


def read_crds(api: Api) -> dict[str, str]:
    return {o["metadata"]["name"]: o["metadata"]["uid"] for o in api.list("crd")}


async def run(stage: Stage, operation: Operation, namespace: str, writes: int) -> tuple[bool, Trace]:
    """One run with a kill, and the next one that finishes it; what must not have changed is looked at."""
    mark = stage.audit.mark()
    crds, strangers = read_crds(stage.api), read_strangers(stage.api, namespace)
    killed = await stage.kill_after(
        writes,
        lambda: operation.begin(stage.api, namespace),
        until=lambda: operation.is_done(stage, namespace),
        what=operation.name,
    )
    if killed:
        started = time.monotonic()
        await bring_up(stage.operator, seconds=BOUND)
        await eventually(
            lambda: operation.is_done(stage, namespace), seconds=BOUND, every=0.1, what=f"{namespace} is done"
        )
        await wait_for_rest(stage.operator, seconds=BOUND)
        print(f"{operation.name}: killed after {writes}, done {time.monotonic() - started:.1f} s later")
    requests = stage.list_requests(mark, namespace)
    labelled = list_labelled(stage.api, namespace)
    uids = {o["metadata"]["uid"] for o in labelled} | {
        o["metadata"]["uid"] for o in stage.api.list("mesh", namespace)
    }
    # What proves that these are ours: it goes when nothing of the mesh is left.
    inventory = stage.api.get("configmap", SYSTEM, f"inventory.{namespace}.demo")
    uids |= {inventory["metadata"]["uid"]} if inventory else set()
    orphans = [o for o in find_left(stage.api, find_written(requests)) if o["metadata"]["uid"] not in uids]
    assert orphans == [], "written by the operator, and not to be found by a mesh's labels"
    assert read_strangers(stage.api, namespace) == strangers
    assert read_crds(stage.api) == crds
    removed = {
        (r.resource, r.name.replace(namespace, "NS")) for r in requests if r.verb == "delete" and r.code < 300
    }
    return killed, Trace(name_objects(labelled, namespace), removed)


def choose_writes(total: int, *, full: bool) -> Iterator[int]:
    """After how many writes to kill: all numbers without end, or the first, the last and a spread between."""
    if full:
        yield from count(1)
    step = max(1, round(total / (SHORT - 2)))
    first = random.randrange(2, max(3, min(2 + step, total)))
    print(f"{total} writes; killed after 1, {total}, and each {step}th from {first}")
    yield from sorted({1, *range(first, total, step), total})


async def survive(stage: Stage, operation: Operation, *, full: bool) -> None:
    """After any number of writes, the next run ends where an undisturbed one does."""
    namespace = f"{operation.name}-000"
    await prepare(stage, operation, namespace)
    killed, wanted = await run(stage, operation, namespace, 10**6)
    assert not killed
    total = stage.proxy.writes
    used = [namespace]
    for writes in choose_writes(total, full=full):
        namespace = f"{operation.name}-{writes:03}"
        used.append(namespace)
        await prepare(stage, operation, namespace)
        killed, found = await run(stage, operation, namespace, writes)
        assert found.names == wanted.names
        assert found.removed <= wanted.removed
        if not killed:
            break
    else:
        assert not full
    await assert_all_quiet(stage, used)
    for namespace in used:
        remove_namespace(stage.api, namespace)
    await wait_for_removals(stage.api)


async def prepare(stage: Stage, operation: Operation, namespace: str) -> None:
    put_strangers(stage.api, namespace)
    if operation.prepare is not None:
        operation.prepare(stage.api, namespace)
        await eventually(lambda: stage.is_ready(namespace), seconds=BOUND, every=0.1, what="prepared")
        await wait_for_rest(stage.operator, seconds=BOUND)


async def assert_all_quiet(stage: Stage, namespaces: list[str]) -> None:
    """Another look at all meshes writes nothing."""
    meshes = [m for ns in namespaces for m in stage.api.list("mesh", ns)]
    # An autoscaler that came before its Deployment looks again, and scales, after 15 seconds.
    await eventually(
        lambda: all(is_scaled(stage.api, ns) for ns in namespaces), seconds=BOUND, every=0.2, what="scaled"
    )
    for mesh in meshes:
        namespace = mesh["metadata"]["namespace"]
        await eventually(lambda: stage.is_ready(namespace), seconds=BOUND, every=0.1, what=namespace)  # noqa: B023
    await wait_for_rest(stage.operator, seconds=BOUND)
    mark, before = stage.audit.mark(), count_reconciles(stage.operator)
    for mesh in meshes:
        metadata = mesh["metadata"]
        again = {"metadata": {"annotations": {"look": "again"}}}
        stage.api.patch("mesh", metadata["namespace"], metadata["name"], again)
    await eventually(
        lambda: count_reconciles(stage.operator) >= before + len(meshes), seconds=BOUND, what="another look"
    )
    await wait_for_rest(stage.operator)
    assert [str(write) for write in stage.audit.writes(mark)] == []


def is_scaled(api: Api, namespace: str) -> bool:
    """Whether every Deployment has as many replicas as its autoscaler asks for, and they are there."""
    return all(
        deployment.get("status", {}).get("availableReplicas", 0) >= scaler["spec"]["minReplicas"]
        for scaler in api.list("hpa", namespace)
        if (deployment := api.get("deployment", namespace, scaler["spec"]["scaleTargetRef"]["name"]))
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_an_installation_killed_after_any_write_is_finished_by_the_next_run(
    stage: Stage, full: bool
) -> None:
    await survive(stage, INSTALL, full=full)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_an_edit_killed_after_any_write_is_finished_by_the_next_run(stage: Stage, full: bool) -> None:
    await survive(stage, EDIT, full=full)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_an_upgrade_to_another_revision_killed_after_any_write_is_finished_by_the_next_run(
    stage: Stage, full: bool
) -> None:
    await survive(stage, UPGRADE, full=full)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_deletion_killed_after_any_write_is_finished_by_the_next_run(
    stage: Stage, full: bool
) -> None:
    await survive(stage, DELETION, full=full)


# --- the first mesh of a cluster ---------------------------------------------------------------------------


@asynccontextmanager
async def empty_stage() -> AsyncIterator[Stage]:
    """A cluster of its own, without Istio's CRDs, and an operator in it."""
    with a_lab("killed-first") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        assert cluster.audit_log is not None
        replica = build_operator(cluster, "killed", **SETTINGS)
        async with a_stage(api, Audit(cluster.audit_log, USER), cluster, replica) as stage:
            yield stage


def read_istio_crds(api: Api) -> dict[str, str]:
    return {name: uid for name, uid in read_crds(api).items() if name.endswith(".istio.io")}


async def empty(stage: Stage, namespace: str) -> None:
    """The cluster as before its first mesh: without it, without Istio's CRDs, and with an operator that never
    saw either."""
    remove_namespace(stage.api, namespace)
    await wait_for_removals(stage.api)
    stage.operator.stop()
    for name in read_istio_crds(stage.api):
        stage.api.delete("crd", "", name)
    await eventually(
        lambda: not read_istio_crds(stage.api), seconds=BOUND, every=0.1, what="no CRDs of Istio"
    )
    await bring_up(stage.operator, seconds=BOUND)


async def install_first(stage: Stage, namespace: str, writes: int) -> tuple[dict[str, str], dict[str, str]]:
    """The CRDs when the operator was killed, and when the next run has finished the first mesh."""
    stage.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    stage.proxy.allow(writes)
    # Without an autoscaler, whose second look comes after 15 seconds.
    stage.api.create(build_mesh(namespace, version="1.30", controlPlane={"autoscaling": {"enabled": False}}))
    await eventually(stage.proxy.frozen.is_set, seconds=BOUND, every=0.05, what=f"{writes} writes")
    stage.operator.kill()
    then = read_istio_crds(stage.api)
    stage.proxy.thaw()
    await bring_up(stage.operator, seconds=BOUND)
    await eventually(lambda: stage.is_ready(namespace), seconds=BOUND, every=0.1, what=f"{namespace} is done")
    await wait_for_rest(stage.operator, seconds=BOUND)
    return then, read_istio_crds(stage.api)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_cluster_s_first_mesh_killed_amid_istio_s_crds_is_finished_by_the_next_run(
    full: bool,
) -> None:
    wanted = {crd["metadata"]["name"] for crd in load_assets().crds["1.30"]}
    amid = random.randrange(4, len(wanted))
    seen: set[int] = set()
    async with empty_stage() as stage:
        for writes in range(1, len(wanted) + 4) if full else (amid, len(wanted) + 1):
            namespace, mark = f"first-{writes:03}", stage.audit.mark()
            then, now = await install_first(stage, namespace, writes)
            seen.add(len(then))
            assert now.keys() == wanted
            assert now | then == now, "what was there is not made again"
            assert [str(r) for r in stage.audit.writes(mark) if r.verb == "delete"] == []
            await assert_all_quiet(stage, [namespace])
            await empty(stage, namespace)
    print(f"CRDs that were there when the operator was killed: {sorted(seen)} of {len(wanted)}")
    assert seen & set(range(1, len(wanted))), "killed amid them"
