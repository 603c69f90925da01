"""Metrics of many meshes, without the meshes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

from navarch.controllers.kinds import KINDS
from navarch.core.model.actions import Action, ObjectOutcome, Outcome
from navarch.core.model.refs import Ref
from navarch.telemetry import metrics

SINCE = "2026-11-30T10:00:00Z"
STATES = ("updated", "rolling", "waiting", "manual")
"""Of workloads in status.dataPlane."""


def note(number: int) -> None:
    """All that there may be to tell of a mesh, its revision and a gateway."""
    place = f"many-{number}"
    outcome = Outcome(
        tuple(
            ObjectOutcome(Ref("v1", "Service", place, "x"), action, drift=drift)
            for action, drift in product(Action, (False, True))
        )
    )
    for name, kind in KINDS.items():
        status = {
            "conditions": [{"type": each.value, "status": "True"} for each in kind.conditions],
            "proxies": {"total": 10, "current": 9, "outdated": 1},
            "components": [{"name": "istiod", "ready": 1, "desired": 1}],
            "members": {"total": 3, "ready": 2},
            "dataPlane": {"phase": "Rolling", "phaseSince": SINCE} | dict.fromkeys(STATES, 1),
            "upgrade": {"phase": "Proving", "since": SINCE},
            "certificates": [{"namespace": place, "name": "cert", "notAfter": "2026-12-06T10:00:00Z"}],
        }
        if name == "MeshRevision":
            del status["proxies"], status["components"]
        metrics.set_conditions(name, place, "x", status)
        metrics.count_outcome(name, place, "x", outcome)


def forget(number: int) -> None:
    for name in KINDS:
        metrics.forget(name, f"many-{number}", "x")


@contextmanager
def told_of(meshes: int) -> Iterator[None]:
    """Within it there are metrics of so many meshes."""
    for number in range(meshes):
        note(number)
    try:
        yield
    finally:
        for number in range(meshes):
            forget(number)
