"""The operator is killed between the writes that make and remove a hosted mesh: the next run finishes them.

The short form kills early, where the namespace and its record come, and the long form after every write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from navarch.core.model.naming import hosted_namespace

from lab.cluster import Cluster
from tests.cluster.conftest import build_operator, remove_namespace
from tests.polling import eventually
from tests.support.activity import bring_up, wait_for_removals
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.kills import BOUND, SETTINGS, Stage, a_stage
from tests.support.meshes import build_mesh, list_owned
from tests.support.operator import Operator

EARLY = (2, 4)
"""Writes after which the short form kills: the first is the finalizer, then come namespace, MeshRevision and
inventory."""
MOST = 60


@pytest.fixture(scope="module")
async def stage(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, crds: object
) -> AsyncIterator[Stage]:
    """In place of the session's operator one behind a proxy, leading and at rest."""
    await wait_for_removals(api)
    operator.stop()
    async with a_stage(
        api, audit, installed, build_operator(installed, "killed-hosting", **SETTINGS)
    ) as stage:
        yield stage
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the session's operator is back")


async def kill(
    stage: Stage, writes: int, begin: Callable[[], object], until: Callable[[], bool], *, what: str
) -> bool:
    """Begin and kill; the next run finishes. Tells whether there were so many writes."""
    killed = await stage.kill_after(writes, begin, until=until, what=what)
    if killed:
        await bring_up(stage.operator, seconds=BOUND)
    await eventually(until, seconds=BOUND, every=0.1, what=f"{what}, killed after {writes} writes")
    return killed


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hosted_mesh_is_made_and_removed_whole_although_the_operator_is_killed_after_any_write(
    stage: Stage, full: bool
) -> None:
    api = stage.api
    for writes in range(1, MOST) if full else EARLY:
        namespace = f"hosted-{writes:03}"
        home = hosted_namespace(namespace, "demo")
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        mesh = build_mesh(namespace, hosting="Hosted", scope="Members")

        def make(mesh: dict[str, object] = mesh) -> object:
            return api.create(mesh)

        def is_ready(namespace: str = namespace) -> bool:
            return stage.is_ready(namespace)

        def remove(namespace: str = namespace) -> object:
            return api.delete("mesh", namespace, "demo")

        def is_gone(namespace: str = namespace, home: str = home) -> bool:
            return stage.is_gone(namespace) and api.get("namespace", "", home) is None

        made = await kill(stage, writes, make, is_ready, what="making")
        assert {o["metadata"].get("namespace", home) for o in list_owned(api, namespace)} == {home, namespace}
        removed = await kill(stage, writes, remove, is_gone, what="removing")
        assert list_owned(api, namespace) == []
        remove_namespace(api, namespace)
        if not (made or removed):
            break
        assert made or full
