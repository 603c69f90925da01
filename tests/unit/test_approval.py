"""Changes that wait for an approval: which do, what goes on meanwhile, and what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.mesh.approval import Hold, find_hold, tell_hold
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import MeshDecision, build_wanted_revision, plan_mesh
from navarch.core.mesh.status import summarise_mesh
from navarch.core.model.refs import Manifest

from tests.unit.observations import a_spec, an_observed_mesh

MANUAL = {"minor": "Manual", "patch": "Manual", "config": "Manual"}


def installed(*, version: str = "1.30.8", **spec: Any) -> ObservedMesh:
    """A mesh that serves this version with this spec."""
    observed = an_observed_mesh(spec=a_spec(version=version, **spec))
    revision = build_wanted_revision(observed)
    assert revision is not None
    served = {**revision, "status": {"version": version}}
    return replace(observed, revisions=(served,))


def edited(observed: ObservedMesh, approval: Any, *, annotation: str = "", **spec: Any) -> ObservedMesh:
    """The same mesh with another spec."""
    written = {**observed.body["spec"], "upgrade": {"approval": approval}, **spec}
    fresh = an_observed_mesh(spec=written)
    body = fresh.body
    if annotation:
        metadata = {**body["metadata"], "annotations": {"mesh.navarch.io/approved": annotation}}
        body = {**body, "metadata": metadata}
    return replace(fresh, body=body, revisions=observed.revisions)


def hold_of(observed: ObservedMesh) -> Hold | None:
    wanted = build_wanted_revision(observed)
    assert wanted is not None
    return find_hold(observed, wanted)


def planned_revision(observed: ObservedMesh) -> Manifest:
    decision: MeshDecision = plan_mesh(observed, ())
    assert decision.revision is not None
    return decision.revision


CHANGES = {
    "minor": {"version": "1.31.4"},
    "patch": {"version": "1.30.7"},
    "config": {"mtls": {"mode": "Strict"}},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("gate", CHANGES)
def test_a_change_waits_where_its_own_kind_asks_for_it(change: str, gate: str) -> None:
    hold = hold_of(edited(installed(), {gate: "Manual"}, **CHANGES[change]))
    assert (hold is not None) == (change == gate)
    if hold is not None:
        assert hold.change == change


def test_the_greatest_part_of_a_change_decides() -> None:
    both = {**CHANGES["minor"], **CHANGES["config"]}
    assert hold_of(edited(installed(), {"config": "Manual"}, **both)) is None
    hold = hold_of(edited(installed(), {"minor": "Manual"}, **both))
    assert hold is not None
    assert str(hold) == "Istio 1.30.8 to 1.31.4"


def test_nothing_waits_before_anything_has_served() -> None:
    observed = installed()
    unserved = replace(observed, revisions=tuple({**r, "status": {}} for r in observed.revisions))
    assert hold_of(edited(unserved, MANUAL, **CHANGES["minor"])) is None
    assert hold_of(edited(replace(observed, revisions=()), MANUAL, **CHANGES["minor"])) is None


def test_what_waits_is_not_applied_and_what_runs_is_kept_up() -> None:
    before = installed()
    waiting = edited(before, MANUAL, **CHANGES["minor"], **CHANGES["config"])
    assert planned_revision(waiting)["spec"] == before.revisions[0]["spec"]
    assert plan_mesh(waiting, ()).plan.waves


def test_an_approval_lets_this_change_through_and_no_other() -> None:
    before = installed()
    hold = hold_of(edited(before, MANUAL, **CHANGES["minor"]))
    assert hold is not None
    approved = edited(before, MANUAL, annotation=hold.hash, **CHANGES["minor"])
    assert hold_of(approved) is None
    assert planned_revision(approved)["spec"]["version"] == "1.31.4"
    another = hold_of(edited(before, MANUAL, annotation=hold.hash, version="1.31.3"))
    assert another is not None
    assert another.hash != hold.hash
    # The way back is another change, too.
    back = hold_of(edited(installed(version="1.31.4"), MANUAL, annotation=hold.hash, version="1.31.3"))
    assert back is not None


def test_who_belongs_to_the_mesh_does_not_wait() -> None:
    before = installed()
    waiting = edited(before, MANUAL, **CHANGES["minor"], defaultTag=True)
    spec = planned_revision(waiting)["spec"]
    assert spec["version"] == "1.30.8"
    assert spec["members"]["default"] is True


def test_what_waits_is_told_with_the_commands_that_look_at_it_and_approve_it() -> None:
    waiting = edited(installed(), MANUAL, **CHANGES["minor"])
    decision = plan_mesh(waiting, ())
    assert decision.hold is not None
    status = summarise_mesh(waiting, (), decision, None)
    assert status["plan"] == {
        "hash": decision.hold.hash,
        "change": "minor",
        "from": "1.30.8",
        "to": "1.31.4",
    }
    assert status["version"]["desired"] == "1.31.4"
    told = tell_hold(waiting, decision.hold)
    name, namespace = waiting.parent.name, waiting.parent.namespace
    assert f"`navarch plan {name} -n {namespace}`" in told
    assert f"`navarch approve {name} {decision.hold.hash} -n {namespace}`" in told
    free = edited(installed(), {}, **CHANGES["minor"])
    assert "plan" not in summarise_mesh(free, (), plan_mesh(free, ()), None)
