"""Rollouts of Argo Rollouts: what their fields say, where they stand, and how they are restarted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from navarch.core.model.refs import Ref
from navarch.core.model.restarts import ARGO, Restart
from navarch.core.rollout.plan import plan_rollout
from navarch.core.rollout.standing import State
from navarch.core.world.argo import read_rollout
from navarch.core.world.proxies import find_owner, read_proxy_pod
from navarch.core.world.rollable import Rollable
from navarch.gather.excerpts import shrink_rollout
from navarch.kube.client import Client
from navarch.kube.errors import Conflict
from navarch.kube.resources import resource_of
from navarch.kube.restarts import Refusals, Restarter
from navarch.kube.store import Store

from tests.unit.test_rollouts import BEFORE, LONG_AGO, NEW, NOW, OLD, OVERDUE, RESTARTED, judge, observe

API = "argoproj.io/v1alpha1"
MARK = "mesh.navarch.io/rolled-for"
HEALTHY = {
    "observedGeneration": "2",
    "phase": "Healthy",
    "currentPodHash": "5d",
    "stableRS": "5d",
    "replicas": 3,
    "updatedReplicas": 3,
    "availableReplicas": 3,
}
OURS = {
    "manager": "navarch-rollouts",
    "operation": "Apply",
    "time": BEFORE,
    "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{MARK}": {}}}, "f:spec": {"f:restartAt": {}}},
}


def a_rollout(**changes: Any) -> dict[str, Any]:
    """A Rollout of three pods that is healthy; `changes` are merged into its parts."""
    return {
        "apiVersion": API,
        "kind": ARGO,
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "uid-web",
            "generation": 2,
            "resourceVersion": "5",
            "annotations": changes.get("annotations", {}),
            "managedFields": changes.get("fields", []),
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "tier": "front"}}},
        }
        | changes.get("spec", {}),
        "status": HEALTHY | changes.get("status", {}),
    }


def theirs(field: str, at: str) -> dict[str, Any]:
    return {"manager": "kubectl", "operation": "Update", "time": at, "fieldsV1": {"f:spec": {field: {}}}}


DONE = {"spec": {"restartAt": LONG_AGO}, "status": {"restartedAt": LONG_AGO}}


@pytest.mark.parametrize(
    ("changes", "rolled"),
    [
        ({}, True),
        (DONE, True),
        # What was written by another client in another form of the same moment.
        ({"spec": {"restartAt": "2026-11-30T10:00:00+01:00"}, "status": {"restartedAt": LONG_AGO}}, True),
        ({"spec": {"restartAt": LONG_AGO}}, False),
        ({"spec": {"restartAt": NOW}, "status": {"restartedAt": LONG_AGO}}, False),
        ({"status": {"observedGeneration": "1"}}, False),
        ({"status": {"observedGeneration": "7f9c"}}, False),
        ({"status": {"currentPodHash": "6e", "phase": "Paused"}}, False),
        ({"status": {"stableRS": "", "currentPodHash": ""}}, False),
        ({"status": {"phase": "Progressing"}}, False),
        ({"status": {"phase": None}}, False),
        # Blue-green: pods of the version before run for scaleDownDelaySeconds.
        ({"status": {"replicas": 6}}, False),
    ],
)
def test_a_rollout_is_complete_when_it_is_promoted_healthy_and_restarted(
    changes: dict[str, Any], rolled: bool
) -> None:
    assert read_rollout(a_rollout(**changes)).rolled == rolled


@pytest.mark.parametrize(
    ("spec", "refusal"),
    [
        ({}, ""),
        ({"paused": True}, "spec.paused is true"),
        ({"replicas": 1}, "it has one pod"),
        ({"replicas": None}, "it has one pod"),
    ],
)
def test_a_rollout_that_a_restart_would_harm_says_why(spec: dict[str, Any], refusal: str) -> None:
    found = read_rollout(a_rollout(spec=spec)).refusal
    assert refusal in found
    assert bool(found) == bool(refusal)


def test_one_that_its_controller_calls_degraded_is_stuck_in_its_words() -> None:
    said = {"phase": "Degraded", "message": "RolloutAborted: Rollout aborted update\nto revision 2"}
    assert (
        read_rollout(a_rollout(status=said)).stuck == "RolloutAborted: Rollout aborted update to revision 2"
    )
    assert read_rollout(a_rollout(status=said | {"observedGeneration": "1"})).stuck == ""


def test_a_restart_is_navarchs_while_its_moment_stands_and_its_doing_until_an_update_begins() -> None:
    mark = {MARK: NEW}
    read = read_rollout(a_rollout(annotations=mark, fields=[OURS, theirs("f:template", LONG_AGO)], **DONE))
    assert (read.restarted_for, read.restarted_at, read.edited) == (NEW, BEFORE, False)
    for other in ("f:template", "f:restartAt"):
        after = theirs(other, "2026-11-30T11:59:30Z")
        assert read_rollout(a_rollout(annotations=mark, fields=[OURS, after], **DONE)).edited
    # workloadRef: the template that changed is another object's.
    changing = {"status": DONE["status"] | {"currentPodHash": "6e", "phase": "Progressing"}}
    assert read_rollout(a_rollout(annotations=mark, fields=[OURS], **DONE | changing)).edited
    taken = OURS | {"fieldsV1": {"f:metadata": {"f:annotations": {f"f:{MARK}": {}}}}}
    overwritten = read_rollout(a_rollout(annotations=mark, fields=[taken, theirs("f:restartAt", NOW)]))
    assert (overwritten.restarted_for, overwritten.restarted_at, overwritten.edited) == ("", "", False)


def test_budgets_find_a_rollouts_pods_also_where_its_template_is_a_deployments() -> None:
    assert read_rollout(a_rollout()).labels == (("app", "web"), ("tier", "front"))
    referring = {"template": None, "workloadRef": {"kind": "Deployment", "name": "web"}}
    assert read_rollout(a_rollout(spec=referring)).labels == (("app", "web"),)


@pytest.mark.parametrize(
    ("label", "name", "owner"),
    [
        ("rollouts-pod-template-hash", "web-5d", ("Rollout", "web")),
        ("pod-template-hash", "web-5d", ("Deployment", "web")),
        # An Experiment's ReplicaSet has a name of its own.
        ("rollouts-pod-template-hash", "web-canary", ("ReplicaSet", "web-canary")),
        ("app", "web-5d", ("ReplicaSet", "web-5d")),
    ],
)
def test_a_pod_belongs_to_what_made_its_replicaset(label: str, name: str, owner: tuple[str, str]) -> None:
    metadata = {
        "name": "web-5d-x",
        "namespace": "shop",
        "labels": {label: "5d"},
        "annotations": {"istio.io/rev": "mesh"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": name, "controller": True}],
    }
    assert find_owner({"metadata": metadata}) == owner
    proxy = read_proxy_pod({"metadata": metadata})
    assert proxy is not None
    assert proxy.owner == "/".join(owner)


def a_rollable(**changes: Any) -> Rollable:
    return replace(Rollable(ARGO, "shop", "web", "uid-web", rolled=True), **changes)


OF_ANOTHER = {"restarted_for": OLD, "rolled": False}


@pytest.mark.parametrize(
    ("changes", "stamps", "state"),
    [
        ({}, (OLD,), State.WAITING),
        ({"rolled": False}, (OLD,), State.BLOCKED),
        ({"rolled": False, "stuck": "RolloutAborted"}, (OLD,), State.MANUAL),
        ({"refusal": "spec.paused is true"}, (OLD,), State.MANUAL),
        ({"order": "Never"}, (OLD,), State.MANUAL),
        (RESTARTED | {"rolled": False}, (OLD, NEW), State.ROLLING),
        (RESTARTED | {"rolled": False}, (NEW,), State.ROLLING),
        (RESTARTED, (NEW,), State.CURRENT),
        (RESTARTED | {"rolled": False, "stuck": "x"}, (NEW,), State.FAILED),
        (OVERDUE | {"rolled": False}, (OLD, NEW), State.FAILED),
        # All pods are new: what is lost afterwards is none of the restart's.
        (OVERDUE | {"rolled": False}, (NEW,), State.CURRENT),
        (OVERDUE | {"rolled": False, "stuck": "x"}, (NEW,), State.CURRENT),
        # An update by its owner is under way.
        (OVERDUE | {"rolled": False, "edited": True}, (OLD, NEW), State.BLOCKED),
        # A restart for a target that is no longer wanted: it replaces no pod while one does not come up.
        (OF_ANOTHER | {"restarted_at": BEFORE}, (OLD,), State.BLOCKED),
        (OF_ANOTHER | {"restarted_at": BEFORE, "stuck": "x"}, (OLD,), State.MANUAL),
        (OF_ANOTHER | {"restarted_at": LONG_AGO}, (OLD,), State.MANUAL),
    ],
)
def test_where_a_rollout_stands(changes: dict[str, Any], stamps: tuple[str, ...], state: State) -> None:
    assert judge(a_rollable(**changes), stamps).state is state


def test_one_of_a_kind_that_may_not_be_looked_at_is_left_to_its_owner_and_says_why() -> None:
    seen = observe(a_rollable())
    unread = replace(seen.workloads, rollables=(), unread={ARGO: "Navarch may not look at Rollouts"})
    plan = plan_rollout(replace(seen, workloads=unread))
    assert not plan.restarts
    assert plan.why == (
        "to be restarted by their owners: Rollout shop/web: Navarch may not look at Rollouts",
    )


def test_a_restart_of_a_rollout_names_the_moment_of_the_look() -> None:
    (restart,) = plan_rollout(observe(a_rollable())).restarts
    assert restart == Restart(Ref(API, ARGO, "shop", "web"), "uid-web", NEW, "2026-11-30T12:00:00Z")


class Owned:
    """An API server that has a Rollout of which another client owns fields."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields
        self.asked: list[bool] = []

    async def apply(self, manifest: dict[str, Any], *, manager: str, force: bool = False) -> dict[str, Any]:
        self.asked.append(force)
        assert manager == "navarch-rollouts"
        assert manifest["spec"] == {"restartAt": "2026-11-30T12:00:00Z"}
        assert manifest["metadata"]["annotations"] == {MARK: NEW}
        assert "template" not in manifest["spec"]
        if self.fields and not force:
            causes = tuple(
                {"reason": "FieldManagerConflict", "field": field, "message": 'conflict with "kubectl"'}
                for field in self.fields
            )
            raise Conflict("conflict", status=409, causes=causes)
        return a_rollout(annotations={MARK: NEW}, fields=[OURS], spec={"restartAt": "2026-11-30T12:00:00Z"})


@pytest.mark.parametrize(
    ("fields", "asked", "refused"),
    [
        ((), [False], ""),
        # Somebody has restarted it before: that moment has passed.
        ((".spec.restartAt",), [False, True], ""),
        ((".spec.restartAt", f".metadata.annotations.{MARK}"), [False], "takes no field"),
    ],
)
async def test_the_moment_of_an_earlier_restart_is_taken_over_and_nothing_else(
    fields: tuple[str, ...], asked: list[bool], refused: str
) -> None:
    server, refusals = Owned(*fields), Refusals()
    store = Store(resource_of(API, ARGO), transform=shrink_rollout)
    restarter = Restarter(cast(Client, server), {ARGO: store}, refusals)
    restarts = plan_rollout(observe(a_rollable())).restarts
    again = await restarter.carry_out(restarts)
    assert server.asked == asked
    if refused:
        assert again is not None
        assert refused in refusals.read({"uid-web"})["uid-web"]
    else:
        assert again is None
        (kept,) = store.list()
        assert kept["rollable"].restarted_for == NEW
