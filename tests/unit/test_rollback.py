"""What is not proved in time is given up, and what was proved last is in force again: look by look, in a
cluster in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.plan import MeshDecision, plan_mesh
from navarch.core.mesh.rollback import read_return
from navarch.core.revision.proof import hash_input
from navarch.core.rollout.gates import SETTLED, Gate, GateState
from navarch.engine.key import Key
from navarch.gather.mesh import gather_mesh
from navarch.kube.store import Object

from tests.support.memory import MESH, REVISION, build_namespace, build_root_config
from tests.support.meshes import build_mesh, read_condition
from tests.unit.observations import assets
from tests.unit.test_successions import TAG, Cluster, Killed, named, put_pod, tell
from tests.unit.test_successions import a_mesh as a_mesh_of_revisions

OLD, NEW = (assets().catalog.find(minor).version for minor in ("1.30", "1.31"))  # type: ignore[union-attr]
OTHER = "1.31.3"
NS, NAME = "shop", "shop-demo-inplace"
BAD = "level-of-an-istiod-that-never-starts"


class InPlace(Cluster):
    """A cluster in which an istiod whose Deployment holds one of the texts in `bad` never becomes ready."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: set[str] = set()

    def restart(self) -> InPlace:
        other = InPlace()
        other.bad, other.now = self.bad, self.now
        for manifest in [*self.objects.values()]:
            other.keep(manifest)
        return other

    def _live(self, manifest: Object) -> Object:
        made = super()._live(manifest)
        if manifest["kind"] == "Deployment" and any(text in json.dumps(manifest) for text in self.bad):
            counts = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
            return {**made, "status": {"observedGeneration": 9, **counts}}
        return made

    def wait(self, seconds: float) -> None:
        moment = datetime.fromisoformat(self.now) + timedelta(seconds=seconds)
        self.now = moment.isoformat().replace("+00:00", "Z")

    @property
    def revision(self) -> Object:
        return self.objects[REVISION, NS, NAME]

    async def tell(self) -> InPlace:
        """The same cluster as another process sees it, which writes a status at once."""
        other = self.restart()
        await other.settle()
        return other

    def count_changes(self) -> int:
        """Applies of the MeshRevision."""
        return sum(r == f"apply MeshRevision {NS}/{NAME} " for r in self.requests)


async def a_mesh(**upgrade: Any) -> InPlace:
    """A settled mesh of the older version."""
    cluster = InPlace()
    cluster.put(build_namespace(NS))
    cluster.put(build_root_config(NS))
    cluster.put(build_mesh(NS, version="1.30", upgrade={"strategy": "InPlace", **upgrade}))
    await cluster.settle()
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", cluster.mesh["status"]
    return cluster


async def a_failed_upgrade() -> InPlace:
    """The same, after an upgrade that was given up."""
    cluster = await a_mesh()
    cluster.bad = {f"pilot:{NEW}"}
    cluster.edit(version="1.31")
    await cluster.settle()
    cluster.wait(601)
    await cluster.settle()
    return cluster


async def test_what_is_proved_is_recorded_and_nothing_else() -> None:
    cluster = await a_mesh()
    first = cluster.revision
    assert [p["version"] for p in first["status"]["proved"]] == [OLD]
    assert "attempt" not in first["status"]
    cluster.bad = {f"pilot:{NEW}"}
    cluster.edit(version="1.31")
    await cluster.settle()
    told = cluster.revision["status"]
    assert told["proved"] == first["status"]["proved"]
    assert told["attempt"] == {"hash": hash_input(cluster.revision["spec"]), "since": cluster.now}
    cluster.bad = set()
    cluster.come_up(NAME)
    await cluster.settle()
    told = cluster.revision["status"]
    assert [p["version"] for p in told["proved"]] == [NEW, OLD]
    assert "attempt" not in told
    assert json.loads(told["proved"][0]["config"]) == cluster.revision["spec"]["config"]
    requests = len(cluster.requests)
    await cluster.settle()
    assert [r for r in cluster.requests[requests:] if not r.startswith("get ")] == []


async def test_until_the_deadline_an_upgrade_is_tried_and_looked_at_again_when_it_is_over() -> None:
    cluster = await a_mesh()
    cluster.bad = {f"pilot:{NEW}"}
    cluster.edit(version="1.31")
    await cluster.settle()
    cluster.wait(590)
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == NEW
    due = await cluster.revisions.reconcile(Key(REVISION, NS, NAME))
    assert 0 < due.seconds <= 10  # type: ignore[union-attr]
    assert read_condition(cluster.mesh, "Available")["status"] == "True"


async def test_an_upgrade_that_is_not_proved_in_time_goes_back_once_and_stays_there() -> None:
    cluster = await a_mesh()
    before, changes = cluster.revision, cluster.count_changes()
    cluster.bad = {f"pilot:{NEW}"}
    cluster.edit(version="1.31")
    await cluster.settle()
    cluster.wait(601)
    await cluster.settle()
    assert cluster.revision["spec"] == before["spec"]
    assert cluster.count_changes() == changes + 2, "there, and back"
    cluster = await cluster.tell()
    ready, settled = (read_condition(cluster.mesh, c) for c in ("Ready", "Progressing"))
    assert (ready["status"], ready["reason"]) == ("False", "RolledBack"), ready
    assert (settled["status"], settled["reason"]) == ("False", "Settled"), settled
    assert read_condition(cluster.mesh, "UpToDate")["reason"] == "RolledBack"
    assert f"Istio {NEW} was not available in 600 s" in ready["message"]
    assert "navarch rollback demo -n shop --retry" in ready["message"]
    assert cluster.mesh["status"]["version"] == {"desired": NEW, "active": OLD}
    for _ in range(3):
        cluster.wait(3600)
        cluster = cluster.restart()
        await cluster.settle()
        assert cluster.count_changes() == 0, "another process has nothing to change"
    assert cluster.revision["spec"] == before["spec"]


async def test_another_spec_is_tried_and_so_is_the_same_once_more_when_the_mesh_is_told_to() -> None:
    cluster = await a_failed_upgrade()
    changes = cluster.count_changes()
    cluster.edit(mtls={"mode": "Strict"})
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == NEW, "another spec"
    cluster.wait(601)
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == OLD
    assert cluster.count_changes() == changes + 2
    cluster.put(
        {
            **cluster.mesh,
            "metadata": {**cluster.mesh["metadata"], "annotations": {"mesh.navarch.io/retry": "1"}},
        }
    )
    cluster.bad = set()
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == NEW
    assert read_condition(cluster.mesh, "Ready")["status"] == "True"
    assert read_return(cluster.revision) is None


async def test_to_put_the_spec_back_ends_it() -> None:
    cluster = await a_failed_upgrade()
    cluster.edit(version="1.30")
    await cluster.settle()
    assert read_condition(cluster.mesh, "Ready")["status"] == "True"
    assert read_return(cluster.revision) is None
    cluster.edit(version="1.31")
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == NEW, "tried anew"


async def test_a_refused_edit_leaves_what_was_given_up_as_it_is() -> None:
    cluster = await a_failed_upgrade()
    changes = cluster.count_changes()
    cluster.edit(version="9.9")
    await cluster.settle()
    assert read_condition(cluster.mesh, "Ready")["reason"] == "UnknownVersion"
    cluster.edit(version="1.31")
    await cluster.settle()
    assert read_condition(cluster.mesh, "Ready")["reason"] == "RolledBack"
    assert cluster.count_changes() == changes


async def test_an_operator_killed_at_any_write_of_the_way_back_ends_where_another_does() -> None:
    before = await a_mesh()
    before.bad = {f"pilot:{NEW}"}
    before.edit(version="1.31")
    await before.settle()
    before.wait(601)
    for writes in range(40):
        cluster = before.restart()
        cluster.left = writes
        try:
            await cluster.settle()
        except Killed:
            killed = True
        else:
            killed = False
        other = cluster.restart()
        await other.settle()
        assert other.revision["spec"]["version"] == OLD
        assert other.count_changes() + cluster.count_changes() == 1, writes
        last = await other.tell()
        assert read_condition(last.mesh, "Ready")["reason"] == "RolledBack", writes
        assert last.count_changes() == 0
        if not killed:
            break
    else:
        pytest.fail("there was no end of writes")
    assert writes > 3


async def test_no_time_passes_while_the_mesh_is_paused() -> None:
    cluster = await a_mesh()
    cluster.bad = {f"pilot:{NEW}"}
    cluster.edit(version="1.31")
    await cluster.settle()
    cluster.edit(paused=True)
    await cluster.settle()
    cluster.wait(3600)
    cluster.edit(paused=False)
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == NEW
    cluster.wait(601)
    await cluster.settle()
    assert cluster.revision["spec"]["version"] == OLD


async def test_a_first_installation_that_does_not_come_up_is_waited_for() -> None:
    cluster = InPlace()
    cluster.bad = {f"pilot:{OLD}"}
    cluster.put(build_namespace(NS))
    cluster.put(build_root_config(NS))
    cluster.put(build_mesh(NS, version="1.30"))
    await cluster.settle()
    cluster.wait(3600)
    await cluster.settle()
    assert read_condition(cluster.revision, "Progressing")["reason"] == "RollingOut"
    assert "proved" not in cluster.revision["status"]


async def test_the_spec_can_ask_for_the_way_back_and_it_is_held_to_until_it_does_no_more() -> None:
    cluster = await a_mesh(approval={"config": "Manual"})
    before = cluster.revision["spec"]
    cluster.edit(version="1.31")
    await cluster.settle()
    upgrade = cluster.mesh["spec"]["upgrade"]
    cluster.edit(upgrade={**upgrade, "rollback": True})
    await cluster.settle()
    assert cluster.revision["spec"] == before
    cluster = await cluster.tell()
    ready = read_condition(cluster.mesh, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RolledBack")
    assert "spec.upgrade.rollback is true" in ready["message"]
    assert [p["version"] for p in cluster.revision["status"]["proved"]] == [OLD, NEW]
    cluster.edit(version="1.30")  # what it runs with already
    await cluster.settle()
    assert cluster.revision["spec"] == before
    cluster.edit(upgrade=upgrade)
    await cluster.settle()
    assert cluster.revision["spec"] == before
    assert read_condition(cluster.mesh, "Ready")["status"] == "True"


async def test_a_way_back_where_nothing_was_before_is_told_and_changes_nothing() -> None:
    cluster = await a_mesh()
    before = cluster.revision["spec"]
    cluster.edit(upgrade={"rollback": True})
    await cluster.settle()
    accepted = read_condition(cluster.mesh, "SpecAccepted")
    assert accepted["status"] == "True"
    assert "spec.upgrade.rollback" in accepted["message"]
    assert cluster.revision["spec"] == before
    assert cluster.mesh["kind"] == MESH


async def test_from_revision_to_revision_the_way_back_leads_to_the_one_before_and_needs_no_new_istiod() -> (
    None
):
    cluster = await a_mesh_of_revisions()
    put_pod(cluster, named(OLD))
    cluster.edit(version="1.31")
    await cluster.settle()
    assert tell(cluster) == (named(NEW), sorted([named(OLD), named(NEW)]))
    upgrade = cluster.mesh["spec"]["upgrade"]
    before = len(cluster.requests)
    cluster.edit(upgrade={**upgrade, "rollback": True})
    await cluster.settle()
    assert cluster.find_injector(TAG) == named(OLD)
    assert cluster.list_revisions() == [named(OLD)], "nothing uses the newer one"
    assert not [r for r in cluster.requests[before:] if r.startswith("apply Deployment shop/istiod-")]
    other = cluster.restart()
    await other.settle()
    assert not [r for r in other.requests if r.startswith("delete") or r.endswith(f"{named(OLD)} ")]
    assert read_condition(other.mesh, "Ready")["reason"] == "RolledBack"
    assert other.mesh["status"]["version"] == {"desired": NEW, "active": OLD}
    other.edit(upgrade=upgrade)
    await other.settle()
    assert other.find_injector(TAG) == named(NEW)
    assert other.list_revisions() == sorted([named(OLD), named(NEW)])


BACK = {"mode": "Managed", "onFailure": "Rollback"}
TROUBLE = "0.2 is more than 0.01"


async def decide_beside_a_gate(cluster: Cluster, *, lasting: float = SETTLED) -> MeshDecision:
    """What a look decides that finds a gate failed for so many seconds."""
    observed = await gather_mesh(cluster.world, NS, "demo")
    assert observed is not None
    gate = Gate("query/errors", GateState.FAILED, TROUBLE, since=lasting, failing=0)
    return plan_mesh(replace(observed, gates=(gate,)), run_checks(observed))


async def test_a_gate_that_fails_once_workloads_have_moved_takes_the_mesh_back_and_it_stays_there() -> None:
    cluster = await a_mesh(dataPlane=BACK)
    cluster.edit(version="1.31")
    await cluster.settle()
    soon = await decide_beside_a_gate(cluster, lasting=SETTLED - 1)
    assert (soon.returned, soon.revision and soon.revision["spec"]["version"]) == (None, NEW)
    decision = await decide_beside_a_gate(cluster)
    assert decision.revision is not None
    assert decision.revision["spec"]["version"] == OLD
    await cluster.applier.apply(decision.plan)

    other = await (await cluster.tell()).tell()
    assert other.revision["spec"]["version"] == OLD
    ready = read_condition(other.mesh, "Ready")
    assert ready["reason"] == "RolledBack", ready
    assert f"gate query/errors: {TROUBLE}" in ready["message"]
    again = await decide_beside_a_gate(other)
    assert again.revision is not None
    assert again.revision["spec"]["version"] == OLD, "a way back is not turned round"
    upgrade = other.mesh["spec"]["upgrade"]
    other.edit(version="1.31", upgrade={**upgrade, "progressDeadlineSeconds": 60})
    await other.settle()
    assert other.revision["spec"]["version"] == OLD, "the same input is not tried again"
    other.edit(version="1.31", proxy={"logLevel": "debug"})
    await other.settle()
    assert other.revision["spec"]["version"] == NEW


@pytest.mark.parametrize("by_hand", [False, True], ids=["by a gate", "by hand"])
async def test_the_way_back_from_a_third_revision_leads_past_the_one_that_was_given_up(by_hand: bool) -> None:
    cluster = await a_mesh_of_revisions()
    upgrade = {"strategy": "RevisionBased", "inactiveRevisionGracePeriodSeconds": 300, "dataPlane": BACK}
    cluster.edit(upgrade=upgrade)
    put_pod(cluster, named(OLD))
    cluster.edit(version="1.31")
    await cluster.settle()
    assert cluster.find_injector(TAG) == named(NEW)
    await cluster.applier.apply((await decide_beside_a_gate(cluster)).plan)
    before = cluster.restart()
    await before.settle()
    assert before.find_injector(TAG) == named(OLD)
    before.edit(version=OTHER)
    await before.settle()
    back = before.restart()
    await back.settle()
    assert tell(back) == (named(OTHER), sorted(map(named, (OLD, NEW, OTHER))))
    if by_hand:
        back.edit(upgrade={**upgrade, "rollback": True})
        await back.settle()
        assert back.find_injector(TAG) == named(OLD)
        return
    decision = await decide_beside_a_gate(back)
    assert decision.revision is not None
    assert decision.revision["metadata"]["name"] == named(OLD)


async def test_a_gate_that_halts_takes_nothing_back() -> None:
    cluster = await a_mesh(dataPlane={"mode": "Managed"})
    cluster.edit(version="1.31")
    await cluster.settle()
    assert (await decide_beside_a_gate(cluster, lasting=9999)).returned is None


async def test_from_revision_to_revision_a_gate_takes_the_tag_back_and_what_moved_is_outdated_again() -> None:
    cluster = await a_mesh_of_revisions()
    upgrade = cluster.mesh["spec"]["upgrade"]
    cluster.edit(upgrade={**upgrade, "dataPlane": BACK})
    put_pod(cluster, named(OLD))
    cluster.edit(version="1.31")
    await cluster.settle()
    stays = next(pod for pod in cluster.list_kind("Pod") if pod["metadata"]["name"] == "web")
    old = cluster.objects[REVISION, NS, named(OLD)]["status"]["proxy"]
    stamped = {**stays["metadata"]["annotations"], "mesh.navarch.io/proxy": old}
    cluster.put({**stays, "metadata": {**stays["metadata"], "name": "stays", "annotations": stamped}})
    put_pod(cluster, named(NEW))
    assert cluster.find_injector(TAG) == named(NEW)
    decision = await decide_beside_a_gate(cluster)
    assert decision.returned is not None
    await cluster.applier.apply(decision.plan)
    before = cluster.restart()
    await before.settle()
    other = before.restart()
    await other.settle()
    assert tell(other) == (named(OLD), sorted([named(OLD), named(NEW)]))
    assert read_condition(other.mesh, "Ready")["reason"] == "RolledBack"
    assert other.mesh["status"]["proxies"]["outdated"] == 1, "only what moved"
    other.edit(version="1.30")
    await other.settle()
    assert all(read_return(r) is None for r in other.list_kind(REVISION))
    other.edit(version="1.31")
    await other.settle()
    assert other.find_injector(TAG) == named(NEW), "asked for anew, it is tried anew"
