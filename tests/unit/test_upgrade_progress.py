"""How far an upgrade is, by the status of a mesh: the word for it, what it means, and how it is drawn."""

from __future__ import annotations

import io
from typing import Any

import pytest
from navarch.cli.exits import Exit
from navarch.cli.progress import build_lines, determine_exit, print_json, print_lines
from navarch.core.diagnosis.progress import Pace, find_progress
from rich.console import Console

SINCE = "2026-11-30T10:00:00Z"
PLAN = {"hash": "ab12", "change": "minor", "from": "1.30.8", "to": "1.31.4"}


def condition(type_: str, status: str, reason: str = "AsExpected", message: str = "") -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": SINCE,
    }


def a_mesh(*conditions: dict[str, Any], spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A mesh that is as it should be, but for what is said."""
    usual = {c["type"]: c for c in (condition("Ready", "True"), condition("Progressing", "False", "Settled"))}
    return {
        "apiVersion": "mesh.navarch.io/v1alpha1",
        "kind": "MeshControlPlane",
        "metadata": {"namespace": "shop", "name": "prod", "generation": 2},
        "spec": spec or {},
        "status": {
            "observedGeneration": 2,
            "version": {"desired": "1.31.4", "active": "1.31.4"},
            "conditions": [*(usual | {c["type"]: c for c in conditions}).values()],
            **status,
        },
    }


def rollout(phase: str, **more: Any) -> dict[str, Any]:
    counts = {"total": 10, "updated": 4, "rolling": 1, "waiting": 3, "manual": 2}
    return {"target": "x", "phase": phase, "waves": 5, "wave": 2, "since": SINCE, **counts, **more}


UPGRADE = {"from": "a", "to": "b", "phase": "Proving", "since": SINCE, "waitingFor": "istiod is not ready"}
OUTDATED = {"total": 5, "current": 3, "outdated": 2, "summary": "3/5"}
CASES = [
    ({}, "Done", Pace.DONE, ""),
    ({"observedGeneration": 1}, "NotSeen", Pace.MOVING, "has not looked"),
    ({"conditions": []}, "NotSeen", Pace.MOVING, "has not looked"),
    ({"spec": {"paused": True}, "upgrade": UPGRADE}, "MeshPaused", Pace.STANDING, "spec.paused"),
    ({"c": [condition("SpecAccepted", "False", "X", "no such")]}, "Refused", Pace.STANDING, "no such"),
    ({"plan": PLAN}, "WaitingForApproval", Pace.STANDING, "ab12 (minor, Istio 1.30.8 to 1.31.4)"),
    (
        {
            "dataPlane": rollout("Waiting"),
            "c": [
                condition("UpToDate", "False", "RestartsNotPermitted", "kubectl create clusterrolebinding")
            ],
        },
        "NotPermitted",
        Pace.STANDING,
        "clusterrolebinding",
    ),
    ({"upgrade": UPGRADE}, "Proving", Pace.MOVING, "istiod is not ready"),
    ({"upgrade": UPGRADE | {"phase": "Held"}}, "Held", Pace.STANDING, "istiod is not ready"),
    ({"c": [condition("Ready", "False", "RolledBack", "given up")]}, "RolledBack", Pace.STANDING, "given up"),
    ({"c": [condition("Progressing", "True", "RollingOut", "1 of 2")]}, "RollingOut", Pace.MOVING, "1 of 2"),
    ({"dataPlane": rollout("Rolling"), "proxies": OUTDATED}, "Rolling", Pace.MOVING, ""),
    ({"dataPlane": rollout("Soaking")}, "Soaking", Pace.MOVING, ""),
    ({"dataPlane": rollout("Halted", waitingFor="web")}, "Halted", Pace.STANDING, "web"),
    ({"dataPlane": rollout("Done"), "proxies": OUTDATED}, "ProxiesOutdated", Pace.STANDING, "owners"),
    ({"proxies": OUTDATED}, "ProxiesOutdated", Pace.STANDING, "owners"),
    ({"c": [condition("Ready", "False", "Degraded", "a bad gateway")]}, "NotReady", Pace.STANDING, "a bad"),
]


@pytest.mark.parametrize(
    ("said", "phase", "pace", "waits"), CASES, ids=[f"{c[1]}-{n}" for n, c in enumerate(CASES)]
)
def test_a_mesh_has_one_word_for_what_is_under_way(
    said: dict[str, Any], phase: str, pace: Pace, waits: str
) -> None:
    mesh = a_mesh(*said.pop("c", ()), **said)
    found = find_progress(mesh)
    assert (found.phase, found.pace) == (phase, pace)
    assert waits in found.waiting_for
    codes = {Pace.DONE: Exit.OK, Pace.MOVING: Exit.ERRORS, Pace.STANDING: Exit.WARNINGS}
    assert determine_exit(mesh) == codes[pace]


def test_a_mesh_that_nobody_has_looked_at_is_not_done() -> None:
    mesh = a_mesh()
    del mesh["status"]
    assert find_progress(mesh).phase == "NotSeen"
    assert next(build_lines(mesh)).plain.endswith("Istio none yet: NotSeen")


def draw(mesh: dict[str, Any]) -> str:
    out = io.StringIO()
    print_lines([*build_lines(mesh)], Console(file=out, width=200))
    return out.getvalue()


def test_it_is_drawn_with_revisions_and_bars() -> None:
    revisions = [
        {"name": "shop-prod-1-30-8", "version": "1.30.8", "ready": True, "phase": "Active", "proxies": 12},
        {"name": "shop-prod-1-31-4", "version": "1.31.4", "ready": False, "phase": "Proving", "proxies": 0},
    ]
    version = {"desired": "1.31.4", "active": "1.30.8"}
    mesh = a_mesh(
        upgrade=UPGRADE, revisions=revisions, version=version, proxies=OUTDATED, dataPlane=rollout("Waiting")
    )
    assert draw(mesh).splitlines() == [
        "MeshControlPlane shop/prod: Istio 1.30.8 -> 1.31.4: Proving since 2026-11-30T10:00:00Z",
        "  istiod is not ready",
        "revision   shop-prod-1-30-8  1.30.8  Active  ready, 12 proxies",
        "revision   shop-prod-1-31-4  1.31.4  Proving  not ready, 0 proxies",
        "proxies    [##############----------] 3 of 5 are current",
        "workloads  [#########---------------] 4 of 10 are done, wave 2 of 5, 1 rolling, 3 waiting, 2 manual",
    ]


def test_what_others_wrote_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    mesh = a_mesh(upgrade=UPGRADE | {"waitingFor": "\x1b[2Jgone [red]x[/red]\nInfo: all is well"})
    assert "\x1b" not in draw(mesh)
    assert "[red]x[/red]\\nInfo" in draw(mesh)
    print_json(mesh)
    assert "\x1b" not in capsys.readouterr().out


def test_a_mesh_without_a_proxy_has_a_full_bar() -> None:
    assert "[########################] 0 of 0 are current" in draw(
        a_mesh(proxies={"total": 0, "current": 0, "outdated": 0, "summary": "0/0"})
    )
