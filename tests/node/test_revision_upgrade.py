"""From one minor of Istio to the next and back, revision beside revision: real istiods, agents and Envoys of
both, traffic, pods that are created all the while, workloads that Navarch restarts, and an operator that is
killed in the middle. A new version whose proxies refuse what istiod sends them: it does not take over, or,
where only those of a workload do, gives way by itself to the one before it. And a mesh that changes its
strategy there and back, through a kubelet that ends amid restarts and an istiod that ends when it has just
taken over."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from lab.builds import ISTIO_LINES
from lab.cluster import Cluster
from lab.node.cluster import enter
from tests.node.conftest import Mesh, kill_operators, make_mesh, remove_mesh
from tests.node.kubelet import signal_kubelet
from tests.node.streams import pods, streams
from tests.node.teams import wait_for_census
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import read_condition
from tests.support.operator import SYSTEM
from tests.support.workloads import (
    create_namespace,
    find_proxy,
    is_ready,
    is_rolled_out,
    restart,
    wait_for_deployments,
)

OLD, NEW = (line.versions[-1] for line in ISTIO_LINES[-2:])
ROLE = "navarch-rollouts"
_numbers = itertools.count(1)
UPGRADE = {
    "strategy": "RevisionBased",
    "inactiveRevisionGracePeriodSeconds": 3600,
    "dataPlane": {"mode": "Managed", "waves": 1, "soakSeconds": 0},
}


@pytest.fixture
async def older(operator: Cluster, api: Api) -> AsyncIterator[Mesh]:
    group = "rbac.authorization.k8s.io"
    api.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ROLE},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": "navarch", "namespace": SYSTEM}],
        }
    )
    # The namespace of the test before may not be gone yet.
    name = f"aside{next(_numbers)}"
    made = await make_mesh(operator, api, name, version=OLD, mtls={"mode": "Strict"}, upgrade=UPGRADE)
    try:
        yield made
    finally:
        api.delete("clusterrolebinding", "", ROLE)
        remove_mesh(made)


def list_versions(mesh: Mesh, *, ready: bool = True) -> set[str]:
    """Of which versions there are istiods: ready ones, or in any state."""
    pods = mesh.api.list("pod", mesh.namespace, labels="app=istiod")
    counted = [pod for pod in pods if is_ready(pod) or not ready]
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in counted}


TRIAL = "mesh.navarch.io/component=trial"


def build_poison(namespace: str, version: str) -> Object:
    """An EnvoyFilter for the proxies of one version, whose clusters no Envoy takes."""
    match = {"context": "ANY", "proxy": {"proxyVersion": f"^{version.replace('.', '[.]')}.*"}}
    patch = {"operation": "MERGE", "value": {"connect_timeout": "-1s"}}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "poison", "namespace": namespace},
        "spec": {"configPatches": [{"applyTo": "CLUSTER", "match": match, "patch": patch}]},
    }


def read_trial(mesh: Mesh) -> str:
    """What the proxy says with which the new revision is tried; empty before it runs."""
    pods = mesh.api.list("pod", mesh.namespace, labels=TRIAL)
    running = [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]
    return "".join(mesh.cluster.run("logs", "-n", mesh.namespace, name) for name in running)


def find_waiting(mesh: Mesh, words: str) -> Object | None:
    """The mesh, once its upgrade says that it waits for this."""
    found = mesh.api.get("mesh", mesh.namespace, mesh.name) or {}
    told = ((found.get("status") or {}).get("upgrade") or {}).get("waitingFor", "")
    return found if words in told else None


async def wait_for_server(mesh: Mesh, version: str, *, revision: str = "", seconds: float = 120) -> None:
    """Until the server's pods, and no others, have the proxy of a version, and are ready; with `revision`
    that which this one injected."""

    def has_it() -> bool:
        pods = mesh.api.list("pod", mesh.apps, labels="app=server")
        images = {find_proxy(pod)["image"].rpartition(":")[2] for pod in pods}
        injectors = {pod["metadata"]["annotations"]["istio.io/rev"] for pod in pods}
        as_wanted = images == {version} and (not revision or injectors == {revision})
        return as_wanted and all(map(is_ready, pods))

    what = f"the server has the proxy of {version} {revision}"
    await eventually(has_it, seconds=seconds, every=0.5, what=what)


def read_target(mesh: Mesh) -> str:
    """The revision to which the API server sends pods that carry the mesh's tag."""
    webhook = mesh.api.get("mwc", "", f"istio-revision-tag-{mesh.tag}") or {}
    (name,) = {entry["clientConfig"]["service"]["name"] for entry in webhook["webhooks"]}
    return str(name).removeprefix("istiod-")


_CRASH = """
for process in /proc/[0-9]*; do
  if [ "$(cat $process/comm 2>/dev/null)" = pilot-discovery ] &&
      tr '\\0' '\\n' < $process/environ | grep -qx REVISION={revision}; then
    kill -KILL ${{process#/proc/}} && echo ${{process#/proc/}}
  fi
done
"""


def crash_istiods(mesh: Mesh, revision: str) -> None:
    """SIGKILL to the processes of a revision's istiods."""
    assert enter(mesh.cluster, "sh", "-c", _CRASH.format(revision=revision)).split()


def has_come_back(mesh: Mesh, revision: str) -> bool:
    """Whether the istiods of a revision were started again and are ready."""
    pods = mesh.api.list("pod", mesh.namespace, labels=f"app=istiod,istio.io/rev={revision}")
    restarts = [status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]]
    return bool(restarts) and min(restarts) > 0 and all(map(is_ready, pods))


async def label_by_hand(mesh: Mesh) -> Mesh:
    """A namespace whose pods are sent to the revision in place by a webhook that nobody proves, as where a
    label, or a tag, is moved by hand; as that mesh's."""
    name = f"{mesh.namespace}-by-hand"
    await create_namespace(mesh.api, name)
    tag = mesh.api.get("mwc", "", f"istio-revision-tag-{mesh.tag}") or {}
    entry = tag["webhooks"][0]
    service = {**entry["clientConfig"]["service"], "name": mesh.istiod}
    entry |= {
        "name": "by-hand.example.com",
        "clientConfig": {**entry["clientConfig"], "service": service},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "objectSelector": {},
    }
    kind = {"apiVersion": tag["apiVersion"], "kind": tag["kind"], "metadata": {"name": name}}
    mesh.api.create({**kind, "webhooks": [entry]})
    return replace(mesh, apps=name)


def is_being_restarted(mesh: Mesh) -> bool:
    """Whether Navarch has begun to restart the server, and that is not done."""
    found = mesh.api.get("deployment", mesh.apps, "server") or {}
    annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
    return "mesh.navarch.io/rolled-for" in annotations and not is_rolled_out(found)


def read_istiods(mesh: Mesh) -> set[str]:
    """The uids of istiod's pods."""
    return {pod["metadata"]["uid"] for pod in mesh.api.list("pod", mesh.namespace, labels="app=istiod")}


@pytest.mark.timeout(1200)
async def test_a_minor_comes_up_beside_the_other_takes_over_and_gives_way_again_without_a_request_lost(
    older: Mesh, api: Api
) -> None:
    await wait_for_census(older, current=2, outdated=0)
    # Requests are sent from the client's pod: one that is replaced would end those of the test itself.
    stays = {"metadata": {"annotations": {"mesh.navarch.io/rollout": "Never"}}}
    api.patch("deployment", older.apps, "client", stays)
    api.create(build_poison(older.namespace, NEW))
    with streams(older) as seen:
        await eventually(lambda: seen.requests and seen.proxies[OLD], seconds=60, what="both streams flow")
        older.edit(version=NEW)
        await eventually(
            lambda: NEW in list_versions(older, ready=False), seconds=90, every=0.05, what="both are there"
        )
        kill_operators(older.cluster)
        refused = "config received from XDS server, but was rejected"
        await eventually(
            lambda: refused in read_trial(older), seconds=240, every=0.5, what="an Envoy refuses what it gets"
        )
        found = await eventually(
            lambda: find_waiting(older, f"kubectl logs -n {older.namespace} istio-trial-"),
            seconds=90,
            what="status says how to see what it refuses",
        )
        assert (found["status"]["version"]["active"], seen.proxies[NEW]) == (OLD, 0)
        (waiting,) = api.list("pod", older.namespace, labels=TRIAL)
        assert not is_ready(waiting)
        api.delete("envoyfilter", older.namespace, "poison")

        found = await older.wait_for(seconds=240)
        assert found["status"]["version"] == {"desired": NEW, "active": NEW}
        await wait_for_server(older, NEW)
        assert list_versions(older) == {OLD, NEW}, "the older one is kept for the way back"
        assert api.list("deployment", older.namespace, labels=TRIAL) == []

        older.edit(upgrade={"rollback": True})
        found = await older.wait_for(status="False", reason="RolledBack", seconds=240)
        assert found["status"]["version"] == {"desired": NEW, "active": OLD}
        before = seen.proxies[OLD]
        await eventually(lambda: seen.proxies[OLD] > before, seconds=60, what="pods get the older proxy")
        await wait_for_server(older, OLD)

        older.edit(upgrade={"rollback": None, "inactiveRevisionGracePeriodSeconds": 0})
        await older.wait_for(seconds=240)
        await wait_for_server(older, NEW)
        served = seen.requests
        await eventually(lambda: seen.requests > served, seconds=60, what="requests reach the new server")
    print(f"{seen.requests} requests; {seen.pods} pods: {dict(seen.proxies)}, refused {len(seen.refusals)}")
    assert seen.failures == []
    assert (seen.bare, seen.refusals) == (0, [])
    assert set(seen.proxies) == {OLD, NEW}
    assert OLD in list_versions(older), "the client's proxy is connected to it"
    restart(older.cluster, older.apps, "client")
    await wait_for_deployments(api, older.apps, ("client",))
    await eventually(lambda: list_versions(older) == {NEW}, seconds=180, what="what nothing uses is gone")
    found = await wait_for_census(older, current=2, outdated=0)
    assert read_condition(found, "UpToDate")["status"] == "True"


@pytest.mark.timeout(1200)
async def test_proxies_that_refuse_their_configuration_take_the_mesh_back_by_itself(
    older: Mesh, api: Api
) -> None:
    await wait_for_census(older, current=2, outdated=0)
    stays = {"metadata": {"annotations": {"mesh.navarch.io/rollout": "Never"}}}
    api.patch("deployment", older.apps, "client", stays)
    api.create(build_poison(older.apps, NEW))
    older.edit(upgrade={"dataPlane": {"onFailure": "Rollback"}})
    with streams(older) as seen:
        await eventually(lambda: seen.requests and seen.proxies[OLD], seconds=60, what="both streams flow")
        older.edit(version=NEW)
        halted = await older.wait_for("UpToDate", "False", reason="RestartsHalted", seconds=300)
        assert "refuses its clusters" in read_condition(halted, "UpToDate")["message"]
        (gate,) = halted["status"]["dataPlane"]["gates"]
        assert (gate["name"], gate["state"]) == ("proxies", "Failed")
        found = await older.wait_for(status="False", reason="RolledBack", seconds=300)
        assert "gate proxies:" in read_condition(found, "UpToDate")["message"]
        assert found["status"]["version"] == {"desired": NEW, "active": OLD}
        await wait_for_server(older, OLD)
        await older.wait_for("UpToDate", "False", reason="RolledBack")

        api.delete("envoyfilter", older.apps, "poison")
        again = {"metadata": {"annotations": {"mesh.navarch.io/retry": "1"}}}
        api.patch("mesh", older.namespace, older.name, again)
        await older.wait_for(seconds=240)
        await wait_for_server(older, NEW)
        served = seen.requests
        await eventually(lambda: seen.requests > served, seconds=60, what="requests reach the new server")
    print(f"{seen.requests} requests; {seen.pods} pods: {dict(seen.proxies)}, refused {len(seen.refusals)}")
    assert seen.failures == []
    assert (seen.bare, seen.refusals) == (0, [])


@pytest.mark.timeout(1200)
async def test_a_mesh_changes_its_strategy_and_tries_a_configuration_whoever_ends_amid_that(
    older: Mesh, api: Api
) -> None:
    await wait_for_census(older, current=2, outdated=0)
    stays = {"metadata": {"annotations": {"mesh.navarch.io/rollout": "Never"}}}
    api.patch("deployment", older.apps, "client", stays)
    before = read_istiods(older)
    with streams(older) as seen:
        await eventually(lambda: seen.requests and seen.proxies[OLD], seconds=60, what="both streams flow")
        older.edit(upgrade={"strategy": "InPlace"})
        await older.wait_for("SpecAccepted", reason="StrategyPending")
        assert read_istiods(older) == before, "the change alone starts and ends nothing"

        by_hand = await label_by_hand(older)
        with pods(by_hand) as control:
            older.edit(version=NEW)
            await eventually(lambda: control.refusals, seconds=60, every=0.05, what="the control is refused")
        api.delete("mwc", "", by_hand.apps)
        api.delete("namespace", "", by_hand.apps)
        await eventually(
            lambda: read_target(older) == older.revision, seconds=240, every=0.02, what="the tag has moved"
        )
        kill_operators(older.cluster)
        await eventually(lambda: is_being_restarted(older), seconds=240, every=0.05, what="the wave began")
        signal_kubelet(older.cluster, "KILL")
        await wait_for_server(older, NEW, revision=older.revision, seconds=300)
        found = await older.wait_for(seconds=240)
        assert found["status"]["version"] == {"desired": NEW, "active": NEW}
        assert found["status"]["activeRevision"] == read_target(older) == older.revision

        older.edit(upgrade={"strategy": "RevisionBased", "canaryConfig": True}, proxy={"logLevel": "info"})
        await eventually(
            lambda: read_target(older) != older.revision, seconds=240, every=0.02, what="the tag has moved"
        )
        tried = read_target(older)
        assert tried.startswith(f"{older.tag}-{NEW.replace('.', '-')}-"), "of this version, with digits"
        refused = len(seen.refusals)
        crash_istiods(older, tried)
        await eventually(lambda: has_come_back(older, tried), seconds=120, every=0.2, what="it came back")
        injected = seen.proxies[NEW]
        await eventually(lambda: seen.proxies[NEW] > injected + 5, seconds=60, what="pods are injected again")
        dark = len(seen.refusals)
        await wait_for_server(older, NEW, revision=tried, seconds=300)
        found = await older.wait_for(seconds=240)
        assert found["status"]["activeRevision"] == read_target(older) == tried
        served = seen.requests
        await eventually(lambda: seen.requests > served, seconds=60, what="requests reach the new server")
    print(f"{seen.requests} requests; {seen.pods} pods: {dict(seen.proxies)}, refused {len(seen.refusals)}")
    assert seen.failures == []
    assert (seen.bare, refused) == (0, 0)
    assert len(seen.refusals) == dark, "none but while the only istiod of the tag did not run"
    assert set(seen.proxies) == {OLD, NEW}
