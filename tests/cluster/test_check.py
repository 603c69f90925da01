"""`navarch check`, as a process, on a cluster of its own: what it says, and that it changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, a_running_operator, install
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.command import Ended, navarch
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import USER

NS = "shop"
ADMIN = "admin"


@dataclass(frozen=True)
class Place:
    """A cluster that may be spoilt."""

    cluster: Cluster
    api: Api
    audit: Audit

    async def check(self, *arguments: str, **more: Any) -> Ended:
        """`navarch check` as cluster-admin; what it wrote fails the test."""
        mark = self.audit.mark()
        command = ["check", *arguments]
        ended = await asyncio.to_thread(navarch, *command, kubeconfig=self.cluster.kubeconfig, **more)
        done = [r for r in self.audit.since(mark, user=ADMIN) if r.agent.startswith("navarch-cli")]
        assert done, f"no request of the command's: {ended}"
        assert [str(r) for r in done if r.verb not in ("get", "list") and not r.dry_run] == []
        return ended


@pytest.fixture(scope="module")
async def bare() -> AsyncIterator[Place]:
    """A cluster without Navarch."""
    with a_lab("check") as cluster:
        assert cluster.audit_log is not None
        yield Place(cluster, Api(cluster.kubeconfig), Audit(cluster.audit_log, USER))


async def test_a_cluster_without_navarch_is_fine_and_that_is_said(bare: Place) -> None:
    ended = await bare.check("-o", "json")
    assert (ended.code, ended.ids) == (0, {"NavarchNotInstalled"})
    assert ended.json["worst"] == "info"


@pytest.fixture(scope="module")
async def place(bare: Place) -> AsyncIterator[Place]:
    """The cluster with Navarch, an operator, and one mesh that is ready."""
    await install(bare.api)
    async with a_running_operator(bare.cluster):
        bare.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        bare.api.create(build_mesh(NS))
        await wait_for(bare.api, NS)
        yield bare


async def test_a_healthy_mesh_gives_no_finding_above_an_information(place: Place) -> None:
    ended = await place.check("-o", "json")
    assert ended.ids == {"UntestedKubernetes"}, ended
    assert ended.code == 0
    text = await place.check()
    assert "\x1b" not in text.out
    print(text.out)
