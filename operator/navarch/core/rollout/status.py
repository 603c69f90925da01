"""What is said of the restarts of a mesh's workloads.

Owns status.dataPlane. Must never decide anything: the plan does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.core.model.messages import join, shorten
from navarch.core.rollout.gates import Gate
from navarch.core.rollout.plan import RolloutPlan
from navarch.core.rollout.standing import State

LONGEST = 4096
"""Characters of status.dataPlane.waitingFor."""


def summarise_rollout(
    plan: RolloutPlan, *, target: str, since: str, gates: Iterable[Gate] = ()
) -> dict[str, Any]:
    """status.dataPlane of a plan whose phase has lasted since then."""
    asked = [_summarise(gate) for gate in gates]
    counts = {state: len(plan.list(state)) for state in State}
    told = join(plan.why)
    return {
        "target": target,
        "phase": plan.phase.value,
        "phaseSince": since,
        **({"wave": plan.wave, "since": plan.since} if plan.wave else {}),
        "waves": plan.waves,
        "total": len(plan.standings),
        "updated": counts[State.CURRENT],
        "rolling": counts[State.ROLLING] + counts[State.FAILED],
        "waiting": counts[State.WAITING] + counts[State.BLOCKED],
        "manual": counts[State.MANUAL],
        **({"gates": asked} if asked else {}),
        **({"waitingFor": shorten(told, LONGEST)} if told else {}),
    }


def _summarise(gate: Gate) -> dict[str, str]:
    told = {"message": gate.message} if gate.message else {}
    return {"name": gate.name, "state": gate.state.value, **told}
