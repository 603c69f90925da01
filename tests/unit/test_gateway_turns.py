"""Gateways of a mesh whose proxies change: they roll one after the other, and nobody's edit waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.plan import plan_gateway
from navarch.core.gateway.status import summarise_gateway
from navarch.core.gateway.turn import find_turn
from navarch.core.model.actions import Outcome
from navarch.core.model.labels import RESTART
from navarch.core.model.moments import format_moment, read_moment

from tests.unit.gateways import STAMP, a_gateway, find, pinned, settled, told, with_mesh
from tests.unit.observations import NOW

AFTER = "1.31.2-def"


def among(observed: ObservedGateway, *names: str) -> ObservedGateway:
    """The same gateway, in a mesh whose status lists these gateways of its namespace."""
    mesh = dict(observed.mesh or {})
    listed = [{"namespace": "front", "name": name, "ready": True, "reason": "AsExpected"} for name in names]
    return replace(observed, mesh={**mesh, "status": {**mesh["status"], "gateways": listed}})


def looked(observed: ObservedGateway) -> dict[str, Any]:
    findings = run_checks(observed)
    return summarise_gateway(observed, findings, plan_gateway(observed, findings), Outcome())


def after_a_look(observed: ObservedGateway) -> ObservedGateway:
    return replace(observed, body={**observed.body, "status": looked(observed)})


def later(observed: ObservedGateway, seconds: float) -> ObservedGateway:
    now = read_moment(observed.now)
    assert now is not None
    return replace(observed, now=format_moment(now + timedelta(seconds=seconds)))


def stamp_in(observed: ObservedGateway) -> str:
    workload = find(plan_gateway(observed, run_checks(observed)).objects(), "Deployment")
    return str(workload["spec"]["template"]["metadata"]["annotations"][RESTART])


def changed(*before: str) -> ObservedGateway:
    """A gateway that runs, after its mesh's proxies have changed; the mesh lists `before` as well."""
    there = after_a_look(settled(among(a_gateway(), *before, "ingress")))
    return with_mesh(there, "1.31.2", stamp=AFTER)


def test_the_first_gateway_of_a_mesh_rolls_at_once() -> None:
    assert stamp_in(changed()) == AFTER
    assert stamp_in(changed("later", "or-last")) == AFTER, "these come after it"


@pytest.mark.parametrize(
    ("before", "seconds"), [(["a"], 15), (["a", "b", "c"], 45), ([f"a{n}" for n in range(99)], 600)]
)
def test_each_further_one_waits_for_its_turn_and_says_so(before: list[str], seconds: int) -> None:
    observed = changed(*before)
    assert stamp_in(observed) == "1.31.1-abc"
    plan = plan_gateway(observed, run_checks(observed))
    assert plan.requeue_after == seconds
    at = format_moment(read_moment(NOW) + timedelta(seconds=seconds))  # type: ignore[operator]
    assert looked(observed)["turn"] == {"proxy": AFTER, "at": at}
    assert f"they are replaced at {at}" in told(observed, "UpToDate")
    waiting = after_a_look(observed)
    assert stamp_in(later(waiting, seconds - 1)) == "1.31.1-abc"
    assert stamp_in(later(waiting, seconds)) == AFTER


def drain_in(observed: ObservedGateway) -> int:
    """Seconds for which its Envoy goes on with connections of a listener that changes."""
    workload = find(plan_gateway(observed, run_checks(observed)).objects(), "Deployment")
    config = yaml.safe_load(workload["spec"]["template"]["metadata"]["annotations"]["proxy.istio.io/config"])
    return int(config["drainDuration"].removesuffix("s"))


def lasting(drain: str | None) -> dict[str, Any]:
    return {"meshConfig": {"defaultConfig": {"drainDuration": drain}}} if drain else {}


@pytest.mark.parametrize(("drain", "least", "most"), [(None, 45, 67), ("10s", 10, 15), ("1m", 60, 90)])
def test_gateways_of_a_mesh_do_not_cut_connections_at_the_same_moment(
    drain: str | None, least: int, most: int
) -> None:
    """istio#58100: a change of listeners drained all gateways of a tier for one and the same time."""

    def drain_of(name: str) -> int:
        gateway = a_gateway()
        named = replace(gateway, parent=replace(gateway.parent, name=name))
        return drain_in(with_mesh(named, "1.31.1", stamp=STAMP, **lasting(drain)))

    found = {name: drain_of(name) for name in map("edge-{}".format, range(60))}
    assert set(found.values()) <= set(range(least, most + 1))
    assert len(set(found.values())) > (most - least) / 2
    assert found == {name: drain_of(name) for name in found}, "a gateway keeps its own"


def test_a_time_of_the_mesh_that_changes_rolls_no_gateway_before_its_turn() -> None:
    there = after_a_look(settled(among(a_gateway(), "a", "ingress")))
    waiting = with_mesh(there, "1.31.2", stamp=AFTER, **lasting("600s"))
    assert stamp_in(waiting) == "1.31.1-abc"
    assert drain_in(waiting) == drain_in(there) < 600
    assert drain_in(later(after_a_look(waiting), 15)) >= 600


def test_a_turn_that_has_come_stays_so_until_the_workload_has_the_proxy() -> None:
    come = later(after_a_look(changed("a")), 20)
    again = later(after_a_look(come), 1)
    assert stamp_in(again) == AFTER, "its write may have failed"
    done = settled(again)
    assert find_turn(done) is None
    assert "turn" not in looked(done)


def test_a_second_change_while_one_waits_is_a_turn_of_its_own() -> None:
    waiting = later(after_a_look(changed("a")), 10)
    again = with_mesh(waiting, "1.31.3", stamp="1.31.3-ghi")
    assert looked(again)["turn"]["proxy"] == "1.31.3-ghi"
    assert stamp_in(later(after_a_look(again), 14)) == "1.31.1-abc"


def edited(observed: ObservedGateway) -> ObservedGateway:
    metadata = {**observed.body["metadata"], "generation": 4}
    return replace(observed, body={**observed.body, "metadata": metadata})


@pytest.mark.parametrize("told", [False, True])
def test_an_edit_of_the_gateway_waits_for_no_turn(told: bool) -> None:
    observed = changed("a", "b")
    at_once = edited(after_a_look(observed) if told else observed)
    assert stamp_in(at_once) == AFTER
    assert stamp_in(after_a_look(at_once)) == AFTER, "its write may have failed"


def test_a_gateway_that_is_new_or_pinned_waits_for_none() -> None:
    assert find_turn(among(a_gateway(), "a", "ingress")) is None
    assert find_turn(settled(among(pinned("1.31.1"), "a", "ingress"))) is None


@pytest.mark.parametrize("at", ["", "soon", "2026-01-01T00:00:00", "9999-01-01T00:00:00Z", 5])
def test_what_somebody_wrote_into_status_keeps_no_gateway_back_for_long(at: object) -> None:
    observed = changed("a")
    status = {**observed.body["status"], "turn": {"proxy": AFTER, "at": at}}
    turn = find_turn(replace(observed, body={**observed.body, "status": status}))
    assert turn is not None
    assert turn.waits <= 600
