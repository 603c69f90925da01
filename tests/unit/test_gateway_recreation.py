"""Pods of a gateway that were made without a proxy: found, made anew, at bounded intervals, and told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.gateway.status import summarise_gateway
from navarch.core.model.actions import Outcome
from navarch.core.model.labels import FORCE_DELETE, RECREATED, TEMPLATE
from navarch.core.world.workload import WorkloadPod
from navarch.gather.excerpts import shrink_istiod_pod
from navarch.gather.workload import read_pod

from tests.unit.gateways import NOW, a_gateway, find, settled, verdicts, without_proof


def template_of(observed: ObservedGateway) -> dict[str, Any]:
    template: dict[str, Any] = find(build_gateway(observed), "Deployment")["spec"]["template"]["metadata"]
    return template


def with_stuck(observed: ObservedGateway, *names: str, template: str = "") -> ObservedGateway:
    """The same gateway with pods without a proxy, of its present template unless said."""
    made_from = template or template_of(observed)["labels"][TEMPLATE]
    pods = tuple(WorkloadPod(name, made_from, uninjected=True) for name in names)
    return replace(observed, pods=pods)


def carried_out(observed: ObservedGateway) -> ObservedGateway:
    """What is seen after the plan was applied: the pods were replaced, and are without a proxy again."""
    again = settled(observed)
    return with_stuck(again, *(f"{pod.name}x" for pod in observed.pods))


def test_a_pod_whose_image_was_never_filled_in_is_known_by_it() -> None:
    labels = find(build_gateway(a_gateway()), "Deployment")["metadata"]["labels"]
    for image, expected in (("auto", True), ("registry.example.com/proxyv2:1.31.1", False)):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "front", "uid": "u", "labels": labels},
            "spec": {"containers": [{"name": "istio-proxy", "image": image}]},
        }
        read = read_pod(shrink_istiod_pod(pod))
        assert read is not None
        assert read.uninjected is expected


def test_pods_without_a_proxy_are_made_anew_by_another_template_and_it_stays_so() -> None:
    before = settled(a_gateway())
    stuck = with_stuck(before, "ingress-1")
    assert template_of(stuck)["annotations"][RECREATED] == f"{NOW} 1"
    assert template_of(stuck)["labels"][TEMPLATE] != template_of(before)["labels"][TEMPLATE]
    mended = replace(settled(stuck), pods=())
    assert template_of(mended) == template_of(settled(stuck)), "no further roll once pods have their proxy"
    assert verdicts(mended)["Ready"] == ("True", "AsExpected")


def test_pods_of_an_older_template_and_those_that_end_already_are_left_to_the_roll() -> None:
    observed = settled(a_gateway())
    for pods in (
        with_stuck(observed, "old", template="other").pods,
        (replace(with_stuck(observed, "ending").pods[0], deadline=NOW),),
    ):
        seen = replace(observed, pods=pods)
        assert RECREATED not in template_of(seen)["annotations"]
        assert verdicts(seen)["UpToDate"] == ("True", "AsExpected")


def test_nothing_is_made_anew_while_injection_is_unproved_and_this_is_told() -> None:
    observed = without_proof(with_stuck(settled(a_gateway()), "ingress-1"))
    assert RECREATED not in template_of(observed)["annotations"]
    assert verdicts(observed)["Ready"] == ("False", "GatewayNotInjected")
    status = summarise_gateway(observed, (), plan_gateway(observed, ()), Outcome())
    (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
    assert "ingress-1" in ready["message"]
    assert "InjectionReady" in ready["message"]


def test_attempts_have_growing_intervals_that_end_at_one_an_hour() -> None:
    observed = carried_out(with_stuck(settled(a_gateway()), "ingress-1"))
    waits = []
    for number in range(2, 12):
        said = template_of(observed)["annotations"][RECREATED]
        wait = plan_gateway(observed, run_checks(observed)).requeue_after
        assert wait is not None
        early, due = (datetime.fromisoformat(observed.now) + timedelta(seconds=s) for s in (wait - 1, wait))
        assert template_of(replace(observed, now=early.isoformat()))["annotations"][RECREATED] == said
        observed = replace(observed, now=due.isoformat())
        assert template_of(observed)["annotations"][RECREATED] == f"{observed.now} {number}"
        observed = carried_out(observed)
        waits.append(wait / 60)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_an_attempt_long_after_the_last_begins_with_the_shortest_interval() -> None:
    observed = carried_out(with_stuck(settled(a_gateway()), "ingress-1"))
    later = replace(observed, now=(datetime.fromisoformat(NOW) + timedelta(days=1)).isoformat())
    assert template_of(later)["annotations"][RECREATED] == f"{later.now} 1"


def test_what_another_client_wrote_into_the_template_is_not_believed() -> None:
    observed = settled(a_gateway())
    deployment = find(observed.owned, "Deployment")
    template = deployment["spec"]["template"]
    for words in (
        *("", "soon 3", "2026-10-01T12:00:00Z", "2026-10-01T12:00:00Z many", "2026-10-01 3"),
        *("9999-12-31T23:59:59Z 3", f"2026-10-01T12:00:00Z {'9' * 5000}"),
    ):
        metadata = {**template["metadata"], "annotations": {RECREATED: words}}
        spec = {**deployment["spec"], "template": {**template, "metadata": metadata}}
        owned = [o for o in observed.owned if o["kind"] != "Deployment"]
        seen = replace(observed, owned=(*owned, {**deployment, "spec": spec}))
        assert RECREATED not in template_of(seen)["annotations"]


def test_an_attempt_that_is_yet_to_come_is_none() -> None:
    observed = with_stuck(settled(a_gateway()), "ingress-1")
    deployment = find(observed.owned, "Deployment")
    template = deployment["spec"]["template"]
    ahead = {**template["metadata"], "annotations": {RECREATED: "2099-01-01T00:00:00Z 3"}}
    spec = {**deployment["spec"], "template": {**template, "metadata": ahead}}
    owned = [o for o in observed.owned if o["kind"] != "Deployment"]
    seen = replace(observed, owned=(*owned, {**deployment, "spec": spec}))
    assert template_of(seen)["annotations"][RECREATED] == f"{NOW} 1"


# --- what else waits for no proof, and what a deletion of the kind does ------------------------------------


def test_the_service_is_put_right_while_injection_is_unproved_and_pods_are_not_touched() -> None:
    observed = settled(a_gateway())
    wanted = a_gateway({"labels": {"tier": "edge"}, "service": {"externalTrafficPolicy": "Local"}})
    waiting = without_proof(replace(wanted, owned=observed.owned))
    plan = plan_gateway(waiting, run_checks(waiting))
    assert plan.waiting
    assert plan.prune == ()
    assert {o["kind"] for o in plan.objects()} == {"ServiceAccount", "RoleBinding", "Service"}
    assert find(plan.objects(), "Service")["spec"]["externalTrafficPolicy"] == "Local"
    without_role = replace(waiting, roles={})
    kinds = {o["kind"] for o in plan_gateway(without_role, run_checks(without_role)).objects()}
    assert kinds == {"ServiceAccount", "Service"}


def test_a_gateway_that_goes_only_with_its_kind_serves_on_unless_an_annotation_insists() -> None:
    observed = settled(a_gateway())
    metadata = {**observed.body["metadata"], "deletionTimestamp": NOW}
    going = replace(observed, body={**observed.body, "metadata": metadata}, kind_deleted=NOW)
    plan = plan_gateway(going, ())
    assert (plan.waves, plan.prune) == ((), ())
    assert verdicts(going)["Deleting"] == ("True", "KindDeleted")
    metadata = {**metadata, "annotations": {FORCE_DELETE: "true"}}
    insisted = replace(going, body={**observed.body, "metadata": metadata})
    assert [ref.kind for ref in plan_gateway(insisted, ()).prune] == ["Deployment"]
