"""A mesh of scope Cluster on a real API server: every namespace is in it, no other mesh comes beside it, and
no namespace gets two roots.

The roots are what istiods write into ConfigMap istio-ca-root-cert; a watch of the test's own sees each.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from navarch.kube.client import Client
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.kube.store import Object

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace
from tests.polling import eventually
from tests.support.admission import TENANT, bind, say, submit
from tests.support.api import Api
from tests.support.members import ISTIO_REV, MEMBER_OF, build_member, read_labels, wait_for_member
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, wait_for
from tests.support.operator import Operator
from tests.support.workloads import build_pod, is_injected

ROOT = "istio-ca-root-cert"


class Roots:
    """The root certificates that each namespace has had, one after the other."""

    def __init__(self) -> None:
        self.seen: defaultdict[str, list[str]] = defaultdict(list)
        self.before: set[str] = set()

    def note(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (root := (new.get("data") or {}).get("root-cert.pem")):
            had = self.seen[new["metadata"]["namespace"]]
            if not had or had[-1] != root:
                had.append(root)

    def count_new(self) -> int:
        """How many different roots were written since the watch began."""
        return len({root for had in self.seen.values() for root in had} - self.before)

    def list_fought_over(self) -> dict[str, int]:
        """Namespaces in which a root came back after another one: two istiods write there."""
        return {place: len(had) for place, had in self.seen.items() if len(had) != len(set(had))}


@pytest.fixture
async def roots(client: Client) -> AsyncIterator[Roots]:
    """What is seen of them from here on."""
    roots = Roots()
    watch = Reflector(
        client, resource_of("v1", "ConfigMap"), field_selector=f"metadata.name={ROOT}", on_change=roots.note
    )
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.synced.wait(), 60)
    roots.before = {root for had in roots.seen.values() for root in had}
    yield roots
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def alone(api: Api, operator: Operator, fresh: str) -> str:
    """A namespace in a cluster without a mesh."""
    await eventually(lambda: api.list("mesh") == [], seconds=120, what="the meshes of other tests are gone")
    return fresh


async def wait_for_refusal(api: Api, namespace: str) -> str:
    """The message with which a mesh stands back."""
    mesh = await wait_for(api, namespace, condition="SpecAccepted", status="False")
    told = read_condition(mesh, "SpecAccepted")
    assert told["reason"] == "ScopeConflict"
    return str(told["message"])


async def test_every_namespace_is_in_a_mesh_of_the_cluster_and_labels_decide_about_sidecars(
    api: Api, alone: str, roots: Roots
) -> None:
    with a_mesh_namespace(api, f"{alone}-apps") as apps, a_mesh_namespace(api, f"{alone}-team") as team:
        api.create(build_mesh(alone, scope="Cluster"))
        await wait_for(api, alone)
        places = {ns["metadata"]["name"] for ns in api.list("namespace")}
        outside = {alone, "navarch-system", "navarch-probe"} | {p for p in places if p.startswith("kube-")}
        await eventually(
            lambda: (
                (api.get("mesh", alone, "demo") or {})["status"]["members"]["total"] == len(places - outside)
            ),
            seconds=30,
            what="all are counted",
        )
        await eventually(lambda: apps in roots.seen, seconds=30, what="the root is in a plain namespace")
        plain, asking = build_pod(apps, "app"), build_pod(apps, "asking")
        asking["metadata"]["labels"] = {
            **(asking["metadata"].get("labels") or {}),
            ISTIO_REV: f"{alone}-demo",
        }
        assert not is_injected(api.create(plain, dry_run=True))
        await eventually(
            lambda: is_injected(api.create(asking, dry_run=True)), what="a pod that asks is heard"
        )
        api.patch("namespace", "", apps, {"metadata": {"labels": {ISTIO_REV: f"{alone}-demo"}}})
        await eventually(
            lambda: is_injected(api.create(plain, dry_run=True)), what="a namespace that asks is"
        )

        api.create(build_member(team, alone, injection="Disabled"))
        await wait_for_member(api, team)
        assert read_labels(api, team) == {MEMBER_OF: f"{alone}.demo"}
        asking["metadata"] |= {"namespace": team}
        assert not is_injected(api.create(asking, dry_run=True)), "its MeshMember wants no sidecars"
        api.patch("member", team, "default", {"spec": {"injection": "Enabled"}})
        await eventually(
            lambda: is_injected(api.create(build_pod(team, "app"), dry_run=True)), what="now it does"
        )
        api.delete("member", team, "default")
        await eventually(lambda: api.get("member", team, "default") is None, seconds=60, what="it goes")
        assert read_labels(api, team) == {}
    assert (roots.list_fought_over(), roots.count_new()) == ({}, 1)


async def test_of_a_mesh_of_the_cluster_and_any_other_one_comes_up_and_the_other_names_it(
    api: Api, alone: str, roots: Roots
) -> None:
    with a_mesh_namespace(api, f"{alone}-b") as other:
        for namespace, scope in ((alone, {"scope": "Cluster"}), (other, {})):
            api.create(build_mesh(namespace, **scope))
        meshes = [alone, other]
        winner = await eventually(
            lambda: next((n for n in meshes if is_ready(api, n)), None), seconds=120, what="one comes up"
        )
        (loser,) = {*meshes} - {winner}
        assert f"mesh {winner}/demo" in await wait_for_refusal(api, loser)
        await eventually(
            lambda: list_owned(api, loser) == [], seconds=60, what="nothing of the other is there"
        )
        assert roots.count_new() == 1

        edit(api, winner, scope="Members")
        await wait_for(api, winner)
        edit(api, loser, scope="Members")
        await wait_for(api, loser)
        edit(api, winner, scope="Cluster")
        assert f"mesh {loser}/demo" in await wait_for_refusal(api, winner)
        edit(api, winner, scope="Members")
        await wait_for(api, winner)
    assert (roots.list_fought_over(), roots.count_new()) == ({}, 2)


def is_ready(api: Api, namespace: str) -> bool:
    mesh = api.get("mesh", namespace, "demo")
    return mesh is not None and read_condition(mesh, "Ready").get("status") == "True"


async def test_to_reach_every_namespace_takes_the_verb_host_in_all_of_them(
    api: Api, installed: Cluster, fresh: str
) -> None:
    narrow, wide = build_mesh(fresh, scope="Members"), build_mesh(fresh, scope="Cluster")
    hosted = build_mesh(fresh, scope="Cluster", hosting="Hosted")
    user = f"{TENANT}-{fresh}"
    for role in ("navarch-mesh-admin", "navarch-mesh-host"):
        api.create(bind(fresh, role, user=user))
    await eventually(lambda: submit(installed, narrow, user=user) == "", what="the roles are in force")
    for mesh in (wide, hosted):
        told = submit(installed, mesh, user=user)
        assert "spec.scope" in told
        assert "in all namespaces" in told
    api.create(wide | {"spec": wide["spec"] | {"paused": True}})
    kept = ("annotate", "meshcp", "demo", "-n", fresh, "a=b", "--dry-run=server")
    assert say(installed, *kept, user=user) == "", "what is there already may stay"
    freed = ("patch", "meshcp", "demo", "-n", fresh, "--type=merge", "--dry-run=server", "-p")
    assert say(installed, *freed, '{"spec":{"scope":"Members"}}', user=user) == "", "and may be given up"
    api.patch("mesh", fresh, "demo", {"spec": {"scope": "Members"}})
    assert "in all namespaces" in say(installed, *freed, '{"spec":{"scope":"Cluster"}}', user=user)
    everywhere = bind(fresh, "navarch-mesh-host", user=user)
    everywhere |= {"kind": "ClusterRoleBinding", "metadata": {"name": user}}
    api.create(everywhere)
    try:
        await eventually(
            lambda: say(installed, *freed, '{"spec":{"scope":"Cluster"}}', user=user) == "",
            what="a holder of host in all namespaces may",
        )
    finally:
        api.delete("clusterrolebinding", "", user)
