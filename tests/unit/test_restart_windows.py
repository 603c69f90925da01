"""Windows of namespaces and workloads: what is left of the mesh's, and whom they keep waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from navarch.api.dataplane import DataPlane, Window
from navarch.api.windows import LONGEST, read_windows
from navarch.core.member.checks import check_restart_windows
from navarch.core.mesh.windows import list_windows, read_own_windows
from navarch.core.model.accepted import determine_accepted
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason
from navarch.core.rollout.narrowing import Closed, Narrowing
from navarch.core.rollout.observed import ObservedRollout, Workloads
from navarch.core.rollout.plan import Phase, plan_rollout
from navarch.core.world.cluster import Namespace
from navarch.core.world.rollable import Rollable
from navarch.gather.excerpts import shrink_namespace, shrink_workload
from navarch.gather.rollout import find_zones

from tests.unit.members import a_member
from tests.unit.observations import a_spec, an_observed_mesh
from tests.unit.test_rollouts import NOW, a_workload, observe

BERLIN, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
ZONES = {"Europe/Berlin": BERLIN, "UTC": UTC}
KEY = "mesh.navarch.io/restart-windows"


def a_window(start: str, minutes: int, *days: str, zone: str = "UTC") -> Window:
    return Window.model_validate(write(start, minutes, *days, zone=zone))


def write(start: str, minutes: int, *days: str, zone: str = "UTC") -> dict[str, Any]:
    named = {"days": list(days)} if days else {}
    return {"start": start, "durationMinutes": minutes, "timeZone": zone, **named}


OPEN, LATER = a_window("11:00", 120), a_window("20:00", 60)
"""It is noon on a Monday."""
NEVER = "its own restart windows are never open together with those of the mesh"


def opens(when: str, at: str) -> Closed:
    return Closed(f"its own restart windows open on {when}", datetime.fromisoformat(at))


@pytest.mark.parametrize(
    ("mesh", "layers", "expected"),
    [
        ([], [], None),
        ([LATER], [], None),
        ([], [(OPEN,)], None),
        ([OPEN], [(OPEN,)], None),
        ([], [(LATER, OPEN)], None),
        ([], [(OPEN,), (OPEN,)], None),
        ([], [(LATER,)], opens("Mon 2026-11-30 20:00 UTC", "2026-11-30T20:00:00+00:00")),
        ([], [(OPEN,), (LATER,)], Closed(NEVER)),
        # What is open alone is not open together.
        ([a_window("12:30", 60)], [(OPEN,)], opens("Mon 2026-11-30 12:30 UTC", "2026-11-30T12:30:00+00:00")),
        ([a_window("19:30", 60)], [(LATER,)], opens("Mon 2026-11-30 20:00 UTC", "2026-11-30T20:00:00+00:00")),
        ([a_window("21:00", 60)], [(LATER,)], Closed(NEVER)),
        ([a_window("10:00", 600, "Sat")], [(a_window("10:00", 600, "Sun"),)], Closed(NEVER)),
        # Two that follow each other are one, over midnight and between zones.
        (
            [a_window("22:00", 240, "Fri")],
            [(a_window("23:30", 120, "Fri", zone="Europe/Berlin"),)],
            opens("Fri 2026-12-04 23:30 Europe/Berlin", "2026-12-04T22:30:00+00:00"),
        ),
        ([], [()], Closed("its own restart windows cannot be read")),
        ([], [(OPEN,), ()], Closed("its own restart windows cannot be read")),
        (
            [],
            [(a_window("11:00", 120, zone="Mars/Olympus"),)],
            Closed("its own restart windows cannot be read: no time zone is named Mars/Olympus"),
        ),
        # One that can be read is enough.
        ([], [(a_window("11:00", 120, zone="Mars/Olympus"), OPEN)], None),
    ],
)
def test_restarts_begin_where_the_windows_of_all_are_open(
    mesh: Sequence[Window], layers: Sequence[tuple[Window, ...]], expected: Closed | None
) -> None:
    assert Narrowing(mesh, ZONES, datetime.fromisoformat(NOW)).find_closed(layers) == expected


def test_a_change_of_the_clocks_moves_the_time_that_is_in_both() -> None:
    """02:30 in Berlin does not exist on that day, and is half past one in UTC."""
    mesh, own = [a_window("01:00", 60, "Sun")], (a_window("02:30", 60, "Sun", zone="Europe/Berlin"),)
    found = Narrowing(mesh, ZONES, datetime.fromisoformat("2026-03-28T12:00:00+00:00")).find_closed([own])
    assert found is not None
    assert found.at == datetime.fromisoformat("2026-03-29T01:30:00+00:00")


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ('[{"start": "11:00", "durationMinutes": 120, "timeZone": "UTC"}]', (OPEN,)),
        (
            '[{"days":["Sat","Sun"],"start":"02:00","durationMinutes":60,"timeZone":"Europe/Berlin"}]',
            (a_window("02:00", 60, "Sat", "Sun", zone="Europe/Berlin"),),
        ),
        ("", ()),
        ("[]", ()),
        ("null", ()),
        ("Sat 02:00", ()),
        ('{"start": "11:00", "durationMinutes": 120, "timeZone": "UTC"}', ()),
        ('[{"start": "25:00", "durationMinutes": 120, "timeZone": "UTC"}]', ()),
        ('[{"start": "11:00", "durationMinutes": 120, "timeZone": "UTC", "weeks": 2}]', ()),
        ('[{"start": "11:00", "durationMinutes": 120, "timeZone": "UTC"}' * 2, ()),
        ("[" * LONGEST, ()),
    ],
)
def test_an_annotation_says_windows_as_the_spec_does_or_none(text: str, windows: tuple[Window, ...]) -> None:
    assert read_windows(text) == windows


def test_an_annotation_that_is_too_long_is_cut_and_never_read_by_half() -> None:
    one = '{"start":"11:00","durationMinutes":120,"timeZone":"UTC"}'
    text = f"[{','.join([one] * 60)}]"
    metadata = {"name": "shop", "annotations": {KEY: text}}
    seen = shrink_namespace({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})["windows"]
    assert len(seen) == LONGEST
    assert read_windows(seen) == ()
    kept = shrink_workload(a_workload(annotations={KEY: text}))["rollable"]
    assert kept.windows == seen


def test_member_and_annotation_both_count_and_all_their_zones_are_looked_for() -> None:
    said = {
        "early": [write("11:00", 120)],
        "both": [write("20:00", 60)],
        "broken": [{"start": 5}],
        "mute": None,
    }
    members = tuple(
        {"metadata": {"namespace": name, "name": "default"}, "spec": {"restartWindows": windows}}
        for name, windows in said.items()
    )
    text = '[{"start": "11:00", "durationMinutes": 120, "timeZone": "Europe/Berlin"}]'
    namespaces = {name: Namespace(name, {}, windows=text) for name in ("both", "own")}
    workload = Rollable(
        "Deployment", "own", "web", "uid", rolled=True, windows=text.replace("Berlin", "Rome")
    )
    observed = an_observed_mesh(members=members, namespaces=namespaces, workloads=Workloads((workload,)))
    berlin = (a_window("11:00", 120, zone="Europe/Berlin"),)
    assert read_own_windows(observed) == {
        "early": ((OPEN,),),
        "both": ((LATER,), berlin),
        "broken": ((),),
        "own": (berlin,),
    }
    assert find_zones(list_windows(observed)).keys() == {"UTC", "Europe/Berlin", "Europe/Rome"}


def a_crowd(own: Mapping[str, tuple[Window, ...]], **policy: Any) -> ObservedRollout:
    """A workload in each of four namespaces, which are in two waves."""
    workloads = [
        Rollable("Deployment", name, "web", f"uid-{name}", rolled=True) for name in ("a", "b", "c", "d")
    ]
    waves = {"waves": 2, "maxUnavailable": 10, "perNamespaceParallelism": 1, "soakSeconds": 0}
    seen = observe(*workloads, policy=DataPlane.model_validate({"mode": "Managed", **waves, **policy}))
    layers = {name: (layer,) for name, layer in own.items()}
    return replace(
        seen, orders={"c": "Last", "d": "Last", "a": "First", "b": "First"}, windows=layers, zones=ZONES
    )


def restarted(observed: ObservedRollout) -> list[str]:
    return [restart.ref.namespace for restart in plan_rollout(observed).restarts]


def finish(observed: ObservedRollout, *names: str) -> ObservedRollout:
    """The proxies of these namespaces are current."""
    pods = tuple(replace(p, proxy=observed.target) if p.namespace in names else p for p in observed.pods)
    return replace(observed, pods=pods)


def test_a_namespace_that_is_closed_keeps_neither_its_wave_nor_later_ones_waiting() -> None:
    observed = a_crowd({"a": (LATER,)})
    plan = plan_rollout(observed)
    assert [r.ref.namespace for r in plan.restarts] == ["b"]
    assert plan.why == (
        "not yet: Deployment a/web: its own restart windows open on Mon 2026-11-30 20:00 UTC",
    )
    assert plan.requeue_after == 8 * 3600
    observed = finish(observed, "b")
    assert restarted(observed) == ["c", "d"]
    plan = plan_rollout(finish(observed, "b", "c", "d"))
    assert (plan.phase, plan.restarts, plan.requeue_after) == (Phase.WAITING, (), 8 * 3600)
    evening = replace(finish(observed, "b"), now="2026-11-30T20:00:00+00:00")
    assert restarted(evening) == ["a"], "its turn comes before that of later waves"


def test_one_that_is_never_open_is_told_and_looked_at_now_and_then() -> None:
    plan = plan_rollout(finish(a_crowd({"a": ()}), "b", "c", "d"))
    assert (plan.phase, plan.restarts, plan.requeue_after) == (Phase.WAITING, (), 30)
    assert plan.why == ("not yet: Deployment a/web: its own restart windows cannot be read",)


def test_a_canary_that_is_closed_comes_first_all_the_same() -> None:
    observed = a_crowd({"a": (LATER,)}, canaryNamespaces=["a"])
    plan = plan_rollout(observed)
    assert (plan.phase, plan.wave, plan.restarts) == (Phase.WAITING, 1, ())
    assert "a/web: its own restart windows open on" in plan.why[-1]
    assert plan.requeue_after == 8 * 3600
    assert restarted(replace(observed, now="2026-11-30T20:00:00+00:00")) == ["a"]


def test_a_canary_that_is_never_open_keeps_nobody_waiting() -> None:
    assert restarted(a_crowd({"a": ()}, canaryNamespaces=["a"])) == ["b"]


def test_a_workloads_own_windows_close_it_and_not_its_neighbour() -> None:
    text = '[{"start": "20:00", "durationMinutes": 60, "timeZone": "UTC"}]'
    quiet = Rollable("Deployment", "shop", "quiet", "uid-quiet", rolled=True, windows=text)
    web = Rollable("Deployment", "shop", "web", "uid-web", rolled=True)
    observed = replace(observe(quiet, web), zones=ZONES)
    assert [r.ref.name for r in plan_rollout(observed).restarts] == ["web"]
    assert [
        r.ref.name for r in plan_rollout(replace(observed, now="2026-11-30T20:30:00+00:00")).restarts
    ] == ["quiet"]


def test_windows_of_the_mesh_hold_for_those_who_narrow_them() -> None:
    observed = a_crowd({"a": (OPEN,)}, windows=[write("20:00", 60)])
    plan = plan_rollout(observed)
    assert (plan.phase, plan.restarts) == (Phase.WAITING, ())
    assert plan.requeue_after == 8 * 3600
    assert restarted(replace(observed, now="2026-11-30T20:00:00+00:00")) == ["b"]


def find_warnings(windows: Any, *, mesh: Any = None) -> list[Finding]:
    observed = a_member({"restartWindows": windows})
    upgrade = {"dataPlane": {"mode": "Managed", "windows": mesh}} if mesh else {}
    known = {**(observed.mesh or {}), "spec": a_spec(upgrade=upgrade)}
    return [*check_restart_windows(replace(observed, mesh=known, now=NOW, zones=ZONES))]


def test_a_member_tells_windows_that_cannot_be_read_and_stays_a_member() -> None:
    assert find_warnings([write("11:00", 60)]) == []
    (found,) = find_warnings([write("11:00", 60), write("11:00", 60, zone="Mars/Olympus")])
    assert (found.reason, found.field) == (Reason.TIME_ZONE_UNKNOWN, "spec.restartWindows[1].timeZone")
    assert determine_accepted([found]).status == "True"


def test_a_member_tells_windows_that_are_never_open_with_those_of_its_mesh() -> None:
    (found,) = find_warnings([write("11:00", 60, "Mon")], mesh=[write("11:00", 60, "Tue")])
    assert found.reason is Reason.WINDOWS_NEVER_OPEN
    assert determine_accepted([found]).reason is Reason.WINDOWS_NEVER_OPEN
    assert find_warnings([write("11:00", 60, "Mon")], mesh=[write("10:00", 90)]) == []
