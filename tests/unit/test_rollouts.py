"""Restarts of workloads: what a workload's own fields say, and what is planned and told of a mesh's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from navarch.api.dataplane import DataPlane, Window
from navarch.core.mesh.checks.dataplane import check_canaries_are_members, check_time_zones_are_known
from navarch.core.mesh.rollout import read_orders
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import ref_of
from navarch.core.model.restarts import Restart
from navarch.core.rollout.observed import Blocker, ObservedRollout, Workloads
from navarch.core.rollout.plan import Phase, RolloutPlan, plan_rollout
from navarch.core.rollout.standing import Standing, State, judge_workloads
from navarch.core.rollout.windows import find_opening
from navarch.core.world.cluster import Namespace
from navarch.core.world.proxies import ProxyPod, read_proxy_pod
from navarch.core.world.rollable import Rollable, next_mark, read_rollable
from navarch.gather.excerpts import shrink_workload
from navarch.kube.client import Client
from navarch.kube.errors import Unavailable
from navarch.kube.resources import resource_of
from navarch.kube.restarts import LONG, Refusals, Restarter
from navarch.kube.store import Store

from tests.support.memory import Memory
from tests.unit.observations import a_spec, an_observed_mesh

OLD, NEW = "1.30.1-aaaa", "1.31.1-bbbb"
NOW = "2026-11-30T12:00:00+00:00"
BEFORE = "2026-11-30T11:59:00Z"
AVAILABLE = "NewReplicaSetAvailable"
SAME_REVISION = {"currentRevision": "b", "updateRevision": "b"}
PARTITION = {"updateStrategy": {"rollingUpdate": {"partition": 1}}}
LONG_AGO = "2026-11-30T09:00:00Z"
APPLIED = {"manager": "navarch-rollouts", "operation": "Apply", "time": BEFORE, "fieldsV1": {}}


def a_workload(kind: str = "Deployment", **changes: Any) -> dict[str, Any]:
    """A workload of three pods that is rolled out; `changes` are merged into its parts."""
    counts = {
        "Deployment": {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
        "StatefulSet": {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
        "DaemonSet": {
            "desiredNumberScheduled": 3,
            "currentNumberScheduled": 3,
            "updatedNumberScheduled": 3,
            "numberAvailable": 3,
        },
    }
    template = {"metadata": {"labels": {"app": "web"}, "annotations": changes.get("template", {})}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "uid-web",
            "generation": 2,
            "annotations": changes.get("annotations", {}),
            "labels": changes.get("labels", {}),
            "managedFields": changes.get("fields", []),
        },
        "spec": {"replicas": 3, "template": template} | changes.get("spec", {}),
        "status": {"observedGeneration": 2} | counts[kind] | changes.get("status", {}),
    }


def progress(reason: str) -> dict[str, Any]:
    status = "False" if reason == "ProgressDeadlineExceeded" else "True"
    return {"type": "Progressing", "status": status, "reason": reason, "message": 'ReplicaSet "x" is stuck'}


@pytest.mark.parametrize(
    ("manifest", "rolled"),
    [
        (a_workload(), True),
        (a_workload(status={"observedGeneration": 1}), False),
        (a_workload(status={"updatedReplicas": 2}), False),
        (a_workload(status={"availableReplicas": 2}), False),
        (
            a_workload(status={"availableReplicas": 2, "conditions": [progress(AVAILABLE)]}),
            True,
        ),
        (a_workload("StatefulSet", status={"availableReplicas": 2}), False),
        (a_workload("StatefulSet", status={"availableReplicas": 2} | SAME_REVISION), True),
        (
            a_workload(
                "StatefulSet", status={"updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}
            ),
            False,
        ),
        (a_workload("DaemonSet"), True),
        (a_workload("DaemonSet", status={"updatedNumberScheduled": 2}), False),
    ],
)
def test_a_rollout_is_complete_as_its_controller_says(manifest: dict[str, Any], rolled: bool) -> None:
    assert read_rollable(manifest).rolled == rolled


@pytest.mark.parametrize(
    ("manifest", "refusal"),
    [
        (a_workload(), ""),
        (a_workload(spec={"paused": True}), "spec.paused is true"),
        (a_workload("StatefulSet", spec={"updateStrategy": {"type": "OnDelete"}}), "OnDelete"),
        (a_workload("DaemonSet", spec={"updateStrategy": {"type": "OnDelete"}}), "OnDelete"),
        (
            a_workload("StatefulSet", spec=PARTITION),
            "partition",
        ),
    ],
)
def test_a_workload_whose_pods_a_template_does_not_replace_says_why(
    manifest: dict[str, Any], refusal: str
) -> None:
    found = read_rollable(manifest).refusal
    assert refusal in found
    assert bool(found) == bool(refusal)


def test_who_changed_a_template_last_is_read_from_its_fields() -> None:
    theirs = {"manager": "helm", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {}}}}
    scaled = {
        "manager": "hpa",
        "operation": "Update",
        "time": NOW,
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    before, after = theirs | {"time": LONG_AGO}, theirs | {"time": "2026-11-30T11:59:30Z"}
    assert not read_rollable(a_workload(fields=[APPLIED, before, scaled])).edited
    assert read_rollable(a_workload(fields=[APPLIED, after])).edited
    assert read_rollable(a_workload(fields=[APPLIED, before])).restarted_at == BEFORE


def test_gateways_of_navarch_and_of_istiod_are_left_to_those_who_roll_them() -> None:
    for label in ("mesh.navarch.io/mesh-name", "gateway.networking.k8s.io/gateway-name"):
        assert read_rollable(a_workload(labels={label: "x"})).follows


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_only_one_that_was_restarted_is_said_to_lack_pods(kind: str) -> None:
    less = {"availableReplicas": 2, "numberUnavailable": 1}
    mark = {"mesh.navarch.io/rolled-for": NEW}
    assert read_rollable(a_workload(kind, status=less, template=mark)).lacking
    assert not read_rollable(a_workload(kind, template=mark)).lacking
    assert not read_rollable(a_workload(kind, status=less)).lacking


def test_a_mark_is_another_text_at_each_restart() -> None:
    workload = read_rollable(a_workload())
    marks = [next_mark(workload, NEW)]
    for _ in range(2):
        marks.append(next_mark(replace(workload, restarted_for=marks[-1]), NEW))
    assert marks == [NEW, f"{NEW}/2", f"{NEW}/3"]
    assert next_mark(replace(workload, restarted_for=f"{OLD}/7"), NEW) == NEW
    for odd in (f"{NEW}/", f"{NEW}/x", f"{NEW}/\u0663", f"{NEW}/\u00b2", f"{NEW}/0", f"{NEW}/{'9' * 10}"):
        assert next_mark(replace(workload, restarted_for=odd), NEW) == f"{NEW}/2"


def test_a_pod_names_what_makes_it_anew_and_whether_it_is_leaving() -> None:
    metadata = {
        "name": "web-5d-x",
        "namespace": "shop",
        "labels": {"pod-template-hash": "5d"},
        "annotations": {"istio.io/rev": "mesh", "mesh.navarch.io/proxy": OLD},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d", "controller": True}],
    }
    pod = read_proxy_pod({"metadata": metadata})
    assert pod is not None
    assert (pod.owner, pod.leaving) == ("Deployment/web", False)
    gone = read_proxy_pod({"metadata": metadata | {"deletionTimestamp": NOW}})
    assert gone is not None
    assert gone.leaving


def a_rollable(**changes: Any) -> Rollable:
    return replace(Rollable("Deployment", "shop", "web", "uid-web", rolled=True), **changes)


def observe(*workloads: Rollable, stamps: tuple[str, ...] = (OLD,), **changes: Any) -> ObservedRollout:
    pods = tuple(
        ProxyPod(w.namespace, f"{w.name}-{i}", "mesh", stamp, owner=f"{w.kind}/{w.name}")
        for w in workloads
        for i, stamp in enumerate(stamps)
    )
    policy = DataPlane(mode="Managed", waves=1)
    seen = ObservedRollout("uid", policy, NEW, "mesh", NOW, pods, Workloads(workloads))
    return replace(seen, **changes)


def judge(workload: Rollable, stamps: tuple[str, ...] = (OLD,), **changes: Any) -> Standing:
    (found,) = judge_workloads(observe(workload, stamps=stamps, **changes))
    return found


RESTARTED = {"restarted_for": NEW, "restarted_at": BEFORE}
OVERDUE = {"restarted_for": NEW, "restarted_at": LONG_AGO}


@pytest.mark.parametrize(
    ("changes", "stamps", "state"),
    [
        ({}, (OLD, NEW), State.WAITING),
        ({}, (NEW,), State.CURRENT),
        ({"rolled": False}, (NEW,), State.CURRENT),
        ({"rolled": False}, (OLD,), State.BLOCKED),
        ({"rolled": False, "stuck": "x"}, (OLD,), State.MANUAL),
        ({"refusal": "x"}, (OLD,), State.MANUAL),
        ({"order": "Never"}, (OLD,), State.MANUAL),
        ({"order": "nope"}, (OLD,), State.MANUAL),
        ({"order": "Last"}, (OLD,), State.WAITING),
        (RESTARTED | {"rolled": False}, (OLD, NEW), State.ROLLING),
        (RESTARTED | {"rolled": False}, (NEW,), State.ROLLING),
        # Its rollout is complete, and an injector of before gave some of the new pods the older proxy.
        (RESTARTED, (OLD, NEW), State.ROLLING),
        (OVERDUE, (OLD, NEW), State.FAILED),
        (RESTARTED, (NEW,), State.CURRENT),
        (RESTARTED | {"rolled": False, "stuck": "x"}, (OLD,), State.FAILED),
        (OVERDUE | {"rolled": False}, (OLD,), State.FAILED),
        (OVERDUE | {"rolled": False}, (NEW,), State.FAILED),
        (OVERDUE | {"rolled": False, "kind": "DaemonSet"}, (NEW,), State.CURRENT),
        (OVERDUE | {"rolled": False, "edited": True}, (NEW,), State.CURRENT),
        (OVERDUE | {"rolled": False, "edited": True}, (OLD,), State.BLOCKED),
        (OVERDUE | {"edited": True}, (OLD,), State.WAITING),
        (OVERDUE | {"rolled": False, "order": "Never"}, (OLD,), State.MANUAL),
        # What the message of a halt says: an opt-out ends it.
        (OVERDUE | {"rolled": False, "order": "Never"}, (NEW,), State.CURRENT),
        (RESTARTED | {"rolled": False, "stuck": "x", "order": "Never"}, (NEW,), State.CURRENT),
        (OVERDUE | {"rolled": False, "unsure": True}, (NEW,), State.CURRENT),
        (OVERDUE | {"rolled": False, "unsure": True}, (OLD,), State.FAILED),
        # Anybody may write managedFields: a moment that never comes is over.
        (RESTARTED | {"rolled": False, "restarted_at": "9999-12-31T23:59:59Z"}, (OLD,), State.FAILED),
        (RESTARTED | {"rolled": False, "restarted_at": "10000-01-01T11:59:59Z"}, (OLD,), State.FAILED),
        (RESTARTED | {"rolled": False, "restarted_at": "0001-01-01T00:00:00Z"}, (OLD,), State.FAILED),
        # Its pods say again and again that their proxies are older, and its owner rolls it out anew.
        (OVERDUE | {"restarted_for": f"{NEW}/4", "edited": True}, (OLD,), State.WAITING),
        (OVERDUE | {"restarted_for": f"{NEW}/5", "edited": True}, (OLD,), State.MANUAL),
        (OVERDUE | {"restarted_for": f"{NEW}/5", "rolled": False}, (OLD,), State.FAILED),
        (OVERDUE | {"restarted_for": f"{OLD}/5", "edited": True}, (OLD,), State.WAITING),
        ({"restarted_for": OLD, "restarted_at": BEFORE, "rolled": False}, (OLD,), State.BLOCKED),
        ({"restarted_for": OLD, "restarted_at": LONG_AGO, "rolled": False}, (OLD,), State.WAITING),
    ],
)
def test_where_a_workload_stands(changes: dict[str, Any], stamps: tuple[str, ...], state: State) -> None:
    assert judge(a_rollable(**changes), stamps).state is state


LONG_DONE = {"restarted_for": "1.29.1-zzzz", "restarted_at": LONG_AGO}
CANARIES = DataPlane(mode="Managed", waves=1, max_unavailable=3, canary_namespaces=["canary"])


@pytest.mark.parametrize(
    "changes", [{"kind": "DaemonSet"}, {"unsure": True}], ids=["a node is away", "it is being scaled"]
)
def test_what_looks_like_an_older_restart_that_never_ended_brings_nobody_out_of_turn(
    changes: dict[str, Any],
) -> None:
    many = [
        a_rollable(namespace=name, uid=name, rolled=False, **LONG_DONE | changes)
        for name in ("canary", "a", "b", "c", "d")
    ]
    plan = plan_rollout(observe(*many, policy=CANARIES))
    assert [r.ref.namespace for r in plan.restarts] == ["canary"]


def test_those_that_an_older_restart_broke_come_first_and_within_the_budget() -> None:
    broken = [a_rollable(namespace=f"n{i}", uid=str(i), rolled=False, **LONG_DONE) for i in range(5)]
    plan = plan_rollout(observe(*broken, a_rollable(namespace="canary", uid="c"), policy=CANARIES))
    assert [r.ref.namespace for r in plan.restarts] == ["n0", "n1", "n2"]
    narrow = CANARIES.model_copy(update={"max_unavailable": 1})
    assert len(plan_rollout(observe(*broken, policy=narrow)).restarts) == 1


def test_later_waves_wait_for_a_canary_whose_restart_for_an_older_target_goes_on() -> None:
    canary = a_rollable(namespace="canary", rolled=False, restarted_for=OLD, restarted_at=BEFORE)
    other = a_rollable(namespace="other", uid="o")
    plan = plan_rollout(observe(canary, other, policy=CANARIES))
    assert (plan.restarts, plan.wave) == ((), 1)
    assert plan.requeue_after == 540, "its deadline ends the wait"
    done = plan_rollout(observe(replace(canary, rolled=True), other, policy=CANARIES))
    assert [r.ref.namespace for r in done.restarts] == ["canary"]


def soak(*moved: Rollable, since: str = BEFORE, **changes: Any) -> RolloutPlan:
    """The plan where a canary is done, others are as given, and one waits for the second wave."""
    workloads = (a_rollable(namespace="canary", **OVERDUE), *moved, a_rollable(namespace="other", uid="o"))
    pods = tuple(
        ProxyPod(w.namespace, w.name, "mesh", NEW if w.restarted_for else OLD, owner=f"Deployment/{w.name}")
        for w in workloads
    )
    seen = observe(policy=CANARIES, workloads=Workloads(workloads), pods=pods)
    return plan_rollout(replace(seen, told_wave=2, told_since=since, **changes))


def test_no_clock_that_was_ahead_makes_a_wave_soak_for_years() -> None:
    assert soak().requeue_after == 240
    assert soak(since="2031-01-01T00:00:00+00:00").requeue_after == 300


def test_a_mark_that_navarch_has_not_written_does_not_begin_a_wave() -> None:
    copied = a_rollable(namespace="other", name="copied", uid="x", restarted_for=NEW)
    assert soak(copied).phase is Phase.SOAKING
    assert soak(replace(copied, restarted_at=BEFORE)).phase is Phase.ROLLING


@pytest.mark.parametrize("opted", [{"order": "Never"}, {}], ids=["workload", "namespace"])
def test_whoever_opts_out_keeps_nobody_waiting_by_pods_that_it_lacks(opted: dict[str, Any]) -> None:
    lacking = a_rollable(namespace="other", name="lacking", uid="x", lacking=True, **OVERDUE)
    held = soak(lacking)
    assert held.restarts == ()
    assert "mesh.navarch.io/rollout: Never" in held.why[0]
    orders = {} if opted else {"canary": "Never"}
    canary_lacks = replace(lacking, namespace="canary", **opted)
    assert soak(canary_lacks, since=LONG_AGO, orders=orders).restarts


def test_one_whose_controller_has_not_seen_it_or_tells_no_progress_is_not_sure() -> None:
    conditions = {"conditions": [progress(AVAILABLE)]}
    assert not read_rollable(a_workload(status=conditions)).unsure
    assert read_rollable(a_workload(status=conditions | {"observedGeneration": 1})).unsure
    assert read_rollable(a_workload()).unsure
    assert not read_rollable(a_workload("StatefulSet")).unsure


def test_what_is_not_restarted_by_a_template_is_left_to_its_owner() -> None:
    seen = observe()
    job = ProxyPod("shop", "job-1", "mesh", OLD, job="job")
    gateway = ProxyPod("shop", "ingress-1", "mesh", OLD, gateway="ingress", owner="Deployment/ingress")
    rollout = ProxyPod("shop", "x-1", "mesh", OLD, owner="CloneSet/x")
    leaving = ProxyPod("shop", "y-1", "mesh", OLD, owner="Deployment/y", leaving=True)
    (x, y) = sorted(judge_workloads(replace(seen, pods=(job, gateway, rollout, leaving))), key=str)
    assert {x.state, y.state} == {State.MANUAL, State.CURRENT}
    assert "Navarch restarts no CloneSet" in f"{x}{y}"


def test_a_disruption_budget_that_allows_none_holds_only_what_it_is_for() -> None:
    blocker = Blocker("shop", "tight", {"matchLabels": {"app": "web"}})
    labelled, other = a_rollable(labels=(("app", "web"),)), a_rollable(name="other", uid="uid-2")
    seen = observe(labelled, other)
    seen = replace(seen, workloads=replace(seen.workloads, blockers=(blocker,)))
    plan = plan_rollout(seen)
    assert [r.ref.name for r in plan.restarts] == ["other"]
    assert "PodDisruptionBudget tight" in " ".join(plan.why)


def test_one_that_cannot_be_restarted_leaves_its_place_to_others() -> None:
    one, two = a_rollable(), a_rollable(name="zwei", uid="uid-2")
    seen = observe(one, two)
    assert [r.ref.name for r in plan_rollout(seen).restarts] == ["web"]
    refused = replace(seen, workloads=replace(seen.workloads, refused={"uid-web": "taken back"}))
    plan = plan_rollout(refused)
    assert [r.ref.name for r in plan.restarts] == ["zwei"]
    assert plan.requeue_after is not None


def test_one_of_which_nobody_knows_whether_it_was_restarted_keeps_its_place() -> None:
    seen = observe(a_rollable(), a_rollable(name="zwei", uid="uid-2"))
    lost = replace(seen.workloads, refused={"uid-web": "no answer"}, unsure=frozenset({"uid-web"}))
    plan = plan_rollout(replace(seen, workloads=lost))
    assert (plan.restarts, plan.phase) == ((), Phase.WAITING)
    assert "no answer" in plan.why[0]
    assert plan.requeue_after is not None


def test_a_place_within_a_namespace_is_kept() -> None:
    late = a_rollable(name="a", uid="1", order="Last")
    first = a_rollable(name="z", uid="2", order="First")
    plain = a_rollable(name="m", uid="3")
    policy = DataPlane(mode="Managed", waves=1, max_unavailable=3, per_namespace_parallelism=3)
    assert [r.ref.name for r in plan_rollout(observe(late, first, plain, policy=policy)).restarts] == ["z"]


@pytest.mark.parametrize(
    ("changes", "phase", "word"),
    [
        ({"policy": DataPlane(mode="Managed", pause=True)}, Phase.PAUSED, "pause"),
        ({"hindrance": "spec.paused is true"}, Phase.WAITING, "spec.paused"),
        ({"target": ""}, Phase.WAITING, "not known"),
        ({"workloads": Workloads(gap="no right", forbidden=True)}, Phase.WAITING, "no right"),
        (
            {
                "policy": DataPlane(
                    mode="Managed",
                    windows=[Window(days=["Mon"], start="22:00", duration_minutes=60, time_zone="UTC")],
                ),
                "zones": {"UTC": UTC},
            },
            Phase.WAITING,
            "Mon 2026-11-30 22:00 UTC",
        ),
    ],
)
def test_what_keeps_restarts_from_beginning_is_told(changes: dict[str, Any], phase: Phase, word: str) -> None:
    plan = plan_rollout(observe(a_rollable(), **changes))
    assert plan.restarts == ()
    assert plan.phase is phase
    assert word in " ".join(plan.why)


def test_the_next_look_comes_when_a_window_opens() -> None:
    window = Window(days=["Mon"], start="22:00", duration_minutes=60, time_zone="UTC")
    policy = DataPlane(mode="Managed", windows=[window])
    plan = plan_rollout(observe(a_rollable(), policy=policy, zones={"UTC": UTC}))
    assert plan.requeue_after == timedelta(hours=10).total_seconds()


@pytest.mark.parametrize(
    ("local", "minutes", "opens", "closes"),
    [
        # The clocks go from 02:00 to 03:00: 02:30 does not exist.
        ("2026-03-29", 60, "2026-03-29T01:30:00+00:00", "2026-03-29T02:30:00+00:00"),
        # They go from 03:00 back to 02:00: 02:30 comes twice, and an hour that passes it is an hour.
        ("2026-10-25", 60, "2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"),
        ("2026-10-25", 180, "2026-10-25T00:30:00+00:00", "2026-10-25T03:30:00+00:00"),
    ],
)
def test_a_window_over_a_change_of_clocks_is_open_for_its_minutes(
    local: str, minutes: int, opens: str, closes: str
) -> None:
    window = Window(days=["Sun"], start="02:30", duration_minutes=minutes, time_zone="Europe/Berlin")
    zones = {"Europe/Berlin": ZoneInfo("Europe/Berlin")}
    midnight = datetime.fromisoformat(f"{local}T00:00:00+00:00")
    opening = find_opening([window], zones, midnight)
    assert opening is not None
    assert (opening.open, opening.at.isoformat()) == (False, opens)
    inside = find_opening([window], zones, opening.at)
    assert inside is not None
    assert (inside.open, inside.at.isoformat()) == (True, closes)


def test_an_unknown_time_zone_is_refused_with_its_place() -> None:
    windows = [{"start": "22:00", "durationMinutes": 60, "timeZone": "CEST/Berlin"}]
    spec = a_spec(upgrade={"dataPlane": {"mode": "Managed", "windows": windows}})
    (finding,) = check_time_zones_are_known(an_observed_mesh(spec=spec))
    assert (finding.reason, finding.severity) == (Reason.TIME_ZONE_UNKNOWN, Severity.ERROR)
    assert (finding.field, finding.value) == ("spec.upgrade.dataPlane.windows[0].timeZone", "CEST/Berlin")
    assert not list(check_time_zones_are_known(an_observed_mesh(spec=spec, zones={"CEST/Berlin": UTC})))


def test_a_canary_outside_of_the_mesh_is_told() -> None:
    spec = a_spec(upgrade={"dataPlane": {"mode": "Managed", "canaryNamespaces": ["elsewhere"]}})
    (finding,) = check_canaries_are_members(an_observed_mesh(spec=spec))
    assert finding.severity is Severity.WARNING
    assert finding.value == "elsewhere"


def test_a_refusal_is_forgotten_after_its_time() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    refusals.note("uid", "taken back", seconds=LONG)
    assert refusals.read({"uid", "other"}) == {"uid": "taken back"}
    now = LONG
    assert refusals.read({"uid"}) == {}


async def test_what_another_client_takes_back_is_told_and_not_written_again() -> None:
    memory = Memory()
    workload = a_workload()
    made = memory.put(workload)
    restarts = [Restart(ref_of(made), made["metadata"]["uid"], NEW)]
    store = Store(resource_of("apps/v1", "Deployment"), transform=shrink_workload)
    restarter = Restarter(cast(Client, memory), {"Deployment": store}, memory.world.refusals)
    assert await restarter.carry_out(restarts) is None
    (seen,) = store.list()
    assert seen["rollable"].restarted_for == NEW, "the next look sees what was written"
    memory.put(workload)
    sent = len(memory.requests)
    assert await restarter.carry_out(restarts) is not None
    assert len(memory.requests) == sent
    assert "took Navarch's restart back" in memory.world.refusals.read({restarts[0].uid})[restarts[0].uid]


class Deaf:
    """An API server that answers no write, or one status."""

    def __init__(self, status: int) -> None:
        self.status, self.asked = status, list[str]()

    async def apply(self, manifest: dict[str, Any], **how: Any) -> dict[str, Any]:
        self.asked.append(manifest["metadata"]["uid"])
        raise Unavailable("it says no more", status=self.status)


@pytest.mark.parametrize(("status", "asked"), [(0, ["a"]), (504, ["a"]), (500, ["a", "b"])])
async def test_after_a_write_that_is_not_answered_no_other_is_sent_by_the_same_plan(
    status: int, asked: list[str]
) -> None:
    server, refusals = Deaf(status), Refusals()
    restarts = plan_rollout(
        observe(
            *(a_rollable(name=uid, uid=uid) for uid in ("a", "b")),
            policy=CANARIES.model_copy(update={"per_namespace_parallelism": 2}),
        )
    ).restarts
    restarter = Restarter(cast(Client, server), {}, refusals)
    assert await restarter.carry_out(restarts) is not None
    assert server.asked == asked
    assert refusals.read_unsure({"a", "b"}) == ({"a"} if status != 500 else set())


def test_a_team_says_by_its_member_when_its_workloads_are_restarted_unless_the_annotation_does() -> None:
    members = tuple(
        {"metadata": {"namespace": name, "name": "default"}, "spec": {"restarts": said} if said else {}}
        for name, said in (("early", "First"), ("out", "Never"), ("plain", None), ("both", "First"))
    )
    namespaces = {
        name: Namespace(name, {}, order=order) for name, order in (("both", "Never"), ("own", "Last"))
    }
    observed = an_observed_mesh(members=members, namespaces=namespaces)
    assert read_orders(observed) == {"early": "First", "out": "Never", "both": "Never", "own": "Last"}
