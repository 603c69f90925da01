"""Both kinds of a gateway's workload, and how one takes over from the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.gateway.recreation import find_uninjected
from navarch.core.gateway.status import summarise_gateway
from navarch.core.model.actions import Outcome
from navarch.core.model.labels import TEMPLATE
from navarch.core.model.ownership import is_conceivable
from navarch.core.model.refs import Manifest
from navarch.core.world.workload import WorkloadPod, determine_rollout
from navarch.gather.workload import read_problems

from tests.unit.gateways import NOW, a_gateway, applied, find, on_nodes, settled, told, verdicts

DAEMON_SET = {"workload": "DaemonSet"}
HANDED = {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}


def plan_kinds(observed: ObservedGateway) -> tuple[set[str], set[str]]:
    """Kinds that are applied, and kinds that are removed."""
    plan = plan_gateway(observed, run_checks(observed))
    return {o["kind"] for o in plan.objects()}, {ref.kind for ref in plan.prune}


def changed(before: Mapping[str, Any], after: Mapping[str, Any], **status: Any) -> ObservedGateway:
    """A gateway whose spec was changed when all was settled; `status` is that of the new workload, which is
    not there yet without one."""
    was = settled(a_gateway(before))
    running = {"DaemonSet": on_nodes(2), "Deployment": of_pods(2)}
    owned = tuple({**o, "status": running.get(o["kind"], o["status"])} for o in was.owned)
    observed = replace(a_gateway(after), owned=owned, proxies=was.proxies)
    if not status:
        return observed
    # Once it is there it is rendered without a number of pods, and keeps the one it has.
    first = applied(find_workload(observed), **status)
    there = applied(find_workload(replace(observed, owned=(*owned, first))), **status)
    spec = {**first["spec"], **there["spec"]}
    return replace(observed, owned=(*owned, {**there, "spec": spec}))


def find_workload(observed: ObservedGateway) -> Manifest:
    (found,) = [o for o in build_gateway(observed) if o["kind"] in ("Deployment", "DaemonSet")]
    return found


def of_pods(count: int, *, ready: int | None = None) -> dict[str, int]:
    """The status of a Deployment."""
    ready = count if ready is None else ready
    counts = {"replicas": count, "updatedReplicas": count, "readyReplicas": ready, "availableReplicas": ready}
    return {"observedGeneration": 1, **counts}


# --- a DaemonSet -------------------------------------------------------------------------------------------


def test_a_daemon_set_is_rolled_with_a_surge_and_has_neither_number_budget_nor_spread() -> None:
    objects = build_gateway(a_gateway(DAEMON_SET))
    assert [o["kind"] for o in objects] == ["ServiceAccount", "RoleBinding", "DaemonSet", "Service"]
    workload = find(objects, "DaemonSet")
    assert is_conceivable(workload)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    assert workload["spec"]["updateStrategy"] == rolling
    assert workload["spec"].keys() == {"updateStrategy", "selector", "template"}
    assert "topologySpreadConstraints" not in workload["spec"]["template"]["spec"]


def test_both_kinds_have_the_same_pods_behind_the_same_service_and_a_mark_of_their_own() -> None:
    one, two = build_gateway(a_gateway()), build_gateway(a_gateway(DAEMON_SET))
    assert find(one, "Service") == find(two, "Service")
    deployment, daemon_set = find(one, "Deployment")["spec"], find(two, "DaemonSet")["spec"]
    selector = find(one, "Service")["spec"]["selector"]
    assert deployment["selector"] == daemon_set["selector"] == {"matchLabels": selector}
    templates = [spec["template"] for spec in (deployment, daemon_set)]
    labels = [{**template["metadata"]["labels"]} for template in templates]
    marks = {each.pop(TEMPLATE) for each in labels}
    assert labels[0] == labels[1]
    assert len(marks) == 2
    assert templates[0]["spec"]["containers"] == templates[1]["spec"]["containers"]


def test_where_pods_run_is_said_alike_for_both_kinds() -> None:
    placement = {"nodeSelector": {"role": "edge"}, "tolerations": [{"operator": "Exists"}]}
    pod = find(build_gateway(a_gateway({**DAEMON_SET, "placement": placement})), "DaemonSet")["spec"][
        "template"
    ]
    assert pod["spec"]["nodeSelector"] == placement["nodeSelector"]
    assert pod["spec"]["tolerations"] == placement["tolerations"]


def test_a_budget_counts_pods_of_deployments_alone() -> None:
    budget = find(build_gateway(a_gateway({"replicas": 2})), "PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchExpressions"] == [
        {"key": "pod-template-hash", "operator": "Exists"}
    ]


def test_a_settled_daemon_set_is_ready_and_tells_its_pods() -> None:
    observed = settled(a_gateway(DAEMON_SET))
    assert verdicts(observed)["Ready"] == ("True", "AsExpected")
    assert verdicts(observed)["Progressing"] == ("False", "Settled")
    status = summarise_gateway(observed, (), plan_gateway(observed, ()), Outcome())
    assert (status["ready"], status["desired"], status["version"]) == (1, 1, "1.31.1")


@pytest.mark.parametrize(
    ("status", "replaced", "complete", "words"),
    [
        (on_nodes(3), True, True, ""),
        (on_nodes(3, updated=2), False, False, "2 of 3 nodes have an updated pod, 3 available"),
        (on_nodes(3, ready=1), True, False, "3 of 3 nodes have an updated pod, 1 available"),
        ({**on_nodes(3, updated=1, ready=1), "currentNumberScheduled": 1}, False, False, "2 none"),
        (on_nodes(0), False, False, "no node takes its pods: see spec.placement"),
        ({**on_nodes(3), "observedGeneration": 0}, False, False, "3 of 3"),
        ({}, False, False, "0 of 0"),
    ],
)
def test_the_rollout_of_a_daemon_set_is_read_from_its_nodes(
    status: dict[str, int], replaced: bool, complete: bool, words: str
) -> None:
    rollout = determine_rollout(applied(find_workload(a_gateway(DAEMON_SET)), **status))
    assert (rollout.replaced, rollout.complete) == (replaced, complete)
    assert words in rollout.message
    assert bool(rollout.message) is not complete


def test_problems_of_a_daemon_sets_pods_make_its_rollout_stuck() -> None:
    observed = settled(a_gateway(DAEMON_SET))
    half = applied(find_workload(observed), **on_nodes(2, ready=1))
    pulling = {"reason": "ErrImagePull", "message": "no such image"}
    pod = {
        "metadata": {"name": "ingress-2"},
        "status": {"containerStatuses": [{"name": "istio-proxy", "state": {"waiting": pulling}}]},
    }
    rest = tuple(o for o in observed.owned if o["kind"] != "DaemonSet")
    stuck = replace(observed, owned=(*rest, half), problems=read_problems(half, [pod]))
    assert verdicts(stuck)["Progressing"] == ("True", "RolloutStuck")
    assert "ErrImagePull" in told(stuck, "Progressing")
    assert verdicts(stuck)["Available"] == ("True", "AsExpected"), "one pod serves"


def test_pods_of_a_daemon_set_that_have_no_proxy_are_made_anew() -> None:
    observed = settled(a_gateway(DAEMON_SET))
    mark = find_workload(observed)["spec"]["template"]["metadata"]["labels"][TEMPLATE]
    bare = (WorkloadPod("ingress-1", mark, uninjected=True),)
    assert find_uninjected(observed.workload, bare) == ("ingress-1",)
    stuck = replace(observed, pods=bare)
    assert verdicts(stuck)["Ready"] == ("False", "GatewayNotInjected")
    before, after = (find_workload(each)["spec"]["template"] for each in (observed, stuck))
    assert before != after


# --- one takes over from the other -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "new", "old"),
    [
        ({"replicas": 2}, DAEMON_SET, "DaemonSet", {"Deployment", "PodDisruptionBudget"}),
        (HANDED, DAEMON_SET, "DaemonSet", {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"}),
        (DAEMON_SET, {"replicas": 2}, "Deployment", {"DaemonSet"}),
        (DAEMON_SET, HANDED, "Deployment", {"DaemonSet"}),
        (DAEMON_SET, {}, "Deployment", {"DaemonSet"}),
    ],
)
def test_what_went_before_goes_once_every_pod_of_the_new_workload_is_ready(
    before: dict[str, Any], after: dict[str, Any], new: str, old: set[str]
) -> None:
    done, half = (
        {"DaemonSet": (on_nodes(2), on_nodes(2, ready=1)), "Deployment": (of_pods(2), of_pods(2, ready=1))}
    )[new]
    for observed in (changed(before, after), changed(before, after, **half)):
        applied_kinds, removed = plan_kinds(observed)
        assert new in applied_kinds
        assert not old & applied_kinds, "what goes is left as it is"
        assert removed == set()
        assert verdicts(observed)["Progressing"][0] == "True"
        assert verdicts(observed)["UpToDate"] == ("False", "Progressing")
        assert verdicts(observed)["Available"][0] == "True", "what went before serves"
        (former,) = old & {"Deployment", "DaemonSet"}
        assert f"{former} front/ingress stays until then" in told(observed, "Progressing")
    there = changed(before, after, **done)
    assert plan_kinds(there)[1] == old
    assert "goes" in told(there, "Progressing")


def test_a_daemon_set_that_no_node_takes_never_takes_over() -> None:
    observed = changed({"replicas": 2}, DAEMON_SET, **on_nodes(0))
    assert plan_kinds(observed)[1] == set()
    assert "no node takes its pods" in told(observed, "Progressing")
    assert verdicts(observed)["Available"][0] == "True"


def test_a_workload_that_is_there_with_another_template_has_not_taken_over() -> None:
    there = changed({"replicas": 2}, DAEMON_SET, **on_nodes(2))
    newer = replace(there, revision={**(there.revision or {}), "status": {"proxy": "1.31.2-def"}})
    assert plan_kinds(newer)[1] == set()
    assert plan_kinds(there)[1] != set(), "a control"


def test_a_change_that_is_taken_back_leaves_what_runs_and_removes_what_had_begun() -> None:
    begun = changed({"replicas": 2}, DAEMON_SET, **on_nodes(2, ready=1))
    back = replace(a_gateway({"replicas": 2}), owned=begun.owned)
    counts = of_pods(2)
    owned = tuple(
        applied(find_workload(back), **counts) if o["kind"] == "Deployment" else o for o in back.owned
    )
    assert plan_kinds(replace(back, owned=owned))[1] == {"DaemonSet"}


def test_no_workload_goes_while_pods_of_the_new_one_would_not_be_injected() -> None:
    observed = changed({"replicas": 2}, DAEMON_SET)
    mesh = {**(observed.mesh or {}), "status": {"tag": "shop-mesh", "conditions": []}}
    unproved = replace(observed, mesh=mesh)
    assert plan_kinds(unproved) == ({"ServiceAccount", "RoleBinding", "Service"}, set())


@pytest.mark.parametrize(
    ("spec", "ready", "expected"),
    [
        ({}, 5, 5),
        ({}, 0, 1),
        ({"replicas": 2}, 5, 2),
        (HANDED, 5, 4),
        (HANDED, 3, 3),
        (HANDED, 1, 2),
    ],
)
def test_a_deployment_begins_with_no_fewer_pods_than_the_daemon_set_has_within_its_bounds(
    spec: dict[str, Any], ready: int, expected: int
) -> None:
    was = settled(a_gateway(DAEMON_SET))
    owned = tuple(
        {**o, "status": on_nodes(5, ready=ready)} if o["kind"] == "DaemonSet" else o for o in was.owned
    )
    observed = replace(a_gateway(spec), owned=owned)
    first = find_workload(observed)
    assert first["spec"]["replicas"] == expected
    later = replace(observed, owned=(*owned, applied(first, **of_pods(expected))))
    assert find_workload(later)["spec"].get("replicas") == spec.get("replicas"), "then it is left alone"


def test_a_gateway_that_is_deleted_amid_a_change_loses_both_workloads_first() -> None:
    begun = changed({"replicas": 2}, DAEMON_SET, **on_nodes(2, ready=1))
    metadata = {**begun.body["metadata"], "deletionTimestamp": NOW}
    going = replace(begun, body={**begun.body, "metadata": metadata})
    plan = plan_gateway(going, ())
    assert {ref.kind for ref in plan.prune} == {"Deployment", "DaemonSet", "PodDisruptionBudget"}


# --- the Service -------------------------------------------------------------------------------------------


def test_a_gateway_is_not_ready_by_the_address_of_a_service_that_is_yet_to_change() -> None:
    before = settled(a_gateway({"service": {"type": "LoadBalancer"}}))
    after = replace(a_gateway({"service": {"type": "NodePort"}}), owned=before.owned)
    assert verdicts(before)["Ready"] == ("True", "AsExpected")
    assert verdicts(after)["Ready"] == ("False", "Progressing")
    assert "Service front/ingress is being applied" in told(after, "Ready")
