"""How far an upgrade of a mesh is: of the control plane, and of the proxies after it.

Owns the one word for it, and what that word means to whoever waits. Must never read anything but the mesh
itself: its status says all of this. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest


class Pace(StrEnum):
    """Whether it goes on by itself."""

    DONE = "Done"
    MOVING = "Moving"
    STANDING = "Standing"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a mesh stands. `phase` is a word for it, `waiting_for` what is missing, `since` a moment; the
    last two are empty where nobody knows."""

    phase: str
    pace: Pace
    waiting_for: str = ""
    since: str = ""


_ROLLOUT = {
    "Waiting": Pace.MOVING,
    "Rolling": Pace.MOVING,
    "Soaking": Pace.MOVING,
    "Halted": Pace.STANDING,
    "Paused": Pace.STANDING,
}
"""Phases of status.dataPlane; `Done` is none that is waited for."""


def find_progress(mesh: Manifest) -> Progress:
    """What is under way in a mesh: what has to come first before what comes after it."""
    status = mesh.get("status") or {}
    found = chain(
        _find_held(mesh, status),
        _find_control_plane(mesh, status),
        _find_proxies(mesh, status),
        _find_trouble(mesh),
    )
    return next(found, Progress("Done", Pace.DONE))


def _find_held(mesh: Manifest, status: Mapping[str, Any]) -> Iterator[Progress]:
    """Why nothing is tried of what the spec asks for."""
    if status.get("observedGeneration", 0) < mesh["metadata"].get("generation", 0):
        yield Progress("NotSeen", Pace.MOVING, "the operator has not looked at the present spec yet")
    if (mesh.get("spec") or {}).get("paused"):
        yield Progress("MeshPaused", Pace.STANDING, "spec.paused is true: nothing is written")
    accepted = find_condition(mesh, ConditionType.SPEC_ACCEPTED)
    if accepted is not None and accepted["status"] == "False":
        yield _tell("Refused", Pace.STANDING, accepted)
    if plan := status.get("plan"):
        change = f"{plan['change']}, Istio {plan['from']} to {plan['to']}"
        yield Progress("WaitingForApproval", Pace.STANDING, f"approval of {plan['hash']} ({change})")


def _find_control_plane(mesh: Manifest, status: Mapping[str, Any]) -> Iterator[Progress]:
    if upgrade := status.get("upgrade"):
        pace = Pace.STANDING if upgrade["phase"] == "Held" else Pace.MOVING
        yield Progress(upgrade["phase"], pace, upgrade.get("waitingFor", ""), upgrade["since"])
    ready = find_condition(mesh, ConditionType.READY)
    if ready is not None and ready["reason"] == Reason.ROLLED_BACK:
        yield _tell("RolledBack", Pace.STANDING, ready)
    progressing = find_condition(mesh, ConditionType.PROGRESSING)
    if progressing is not None and progressing["status"] == "True":
        yield _tell("RollingOut", Pace.MOVING, progressing)


def _find_proxies(mesh: Manifest, status: Mapping[str, Any]) -> Iterator[Progress]:
    rollout, current = status.get("dataPlane") or {}, find_condition(mesh, ConditionType.UP_TO_DATE)
    if current is not None and current["reason"] == Reason.RESTARTS_NOT_PERMITTED:
        yield _tell("NotPermitted", Pace.STANDING, current)
    if rollout.get("phase") in _ROLLOUT:
        phase = rollout["phase"]
        since = rollout.get("phaseSince") or rollout.get("since", "")
        yield Progress(phase, _ROLLOUT[phase], rollout.get("waitingFor", ""), since)
    if (status.get("proxies") or {}).get("outdated"):
        waits = "owners of workloads: their pods keep the proxy that they have until they are restarted"
        yield Progress("ProxiesOutdated", Pace.STANDING, waits)


def _find_trouble(mesh: Manifest) -> Iterator[Progress]:
    ready = find_condition(mesh, ConditionType.READY)
    if ready is None:
        yield Progress("NotSeen", Pace.MOVING, "the operator has not looked at the mesh yet")
    elif ready["status"] != "True":
        yield _tell("NotReady", Pace.STANDING, ready)


def _tell(phase: str, pace: Pace, condition: Mapping[str, Any]) -> Progress:
    return Progress(phase, pace, str(condition["message"]), str(condition["lastTransitionTime"]))
