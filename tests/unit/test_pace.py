"""How often a status is written: at once what clients wait for, once per period what changes by itself."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from navarch.controllers.pace import PERIOD, Pace
from navarch.core.mesh import status as of_a_mesh
from navarch.core.model.urgency import is_urgent
from navarch.core.revision import status as of_a_revision


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_write_goes_at_once_and_the_next_after_the_period() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.find_wait("one") is None
    pace.note("one")
    clock.now += 2
    assert pace.find_wait("one") == PERIOD - 2
    assert pace.find_wait("another") is None
    clock.now += PERIOD - 2
    assert pace.find_wait("one") is None


@given(st.lists(st.floats(0, 2 * PERIOD), max_size=40))
def test_writes_lie_a_period_apart_and_after_the_given_wait_one_is_due(gaps: list[float]) -> None:
    clock = Clock()
    pace = Pace(clock)
    written: list[float] = []
    for gap in gaps:
        clock.now += gap
        if (wait := pace.find_wait("one")) is not None:
            assert 0 < wait < PERIOD + 1e-6
            clock.now += wait
            assert pace.find_wait("one") is None
        assert not written or clock.now - written[-1] > PERIOD - 0.1
        pace.note("one")
        written.append(clock.now)


def test_meshes_that_are_gone_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    for number in range(5000):
        pace.note(str(number))
        clock.now += 0.1
    assert len(pace._written) <= 1000
    assert pace.find_wait("4999") is not None


def a_status(generation: int = 1, proxies: int = 0, **conditions: str) -> dict[str, Any]:
    told = [
        {"type": kind, "status": status.partition(" ")[0], "reason": status, "message": str(proxies)}
        for kind, status in conditions.items()
    ]
    return {"observedGeneration": generation, "conditions": told, "proxies": {"total": proxies}}


def test_readiness_and_the_look_at_an_edit_are_news_and_numbers_and_progress_are_not() -> None:
    kind, before = of_a_mesh.AWAITED, a_status(Ready="False", Available="False")
    assert is_urgent(kind, {}, before)
    assert is_urgent(kind, before, a_status(Ready="True", Available="True"))
    assert is_urgent(kind, before, a_status(generation=2, Ready="False", Available="False"))
    assert is_urgent(kind, a_status(DependenciesReady="True"), a_status(DependenciesReady="False"))
    assert not is_urgent(kind, before, a_status(Ready="False Progressing", Available="True"))


def test_whether_a_mesh_has_proxies_is_news_and_how_many_is_not() -> None:
    kind, none, one, many = of_a_mesh.AWAITED, a_status(), a_status(proxies=1), a_status(proxies=40)
    assert is_urgent(kind, none, many), "from now on the mesh may not be deleted"
    assert is_urgent(kind, one, none), "and from now on it may"
    assert not is_urgent(kind, one, many)
    assert not is_urgent(kind, {**none, "proxies": {}}, none)


def test_the_mesh_waits_for_each_condition_of_its_revision_and_for_the_stamp() -> None:
    kind, before = of_a_revision.AWAITED, a_status(Ready="False", Available="False")
    assert is_urgent(kind, before, a_status(Ready="False", Available="True"))
    assert is_urgent(kind, before, a_status(Ready="False", Available="False NoReplica"))
    assert is_urgent(kind, before, {**before, "proxy": "1.31.1-a"})
    assert not is_urgent(kind, before, {**before, "version": "1.31.1"})


def test_a_condition_that_is_no_longer_true_is_told_at_once_and_one_that_becomes_true_may_wait() -> None:
    kind, before = of_a_mesh.AWAITED, a_status(Ready="True", UpToDate="True")
    assert is_urgent(kind, before, a_status(Ready="True", UpToDate="False"))
    assert not is_urgent(kind, a_status(Ready="True", UpToDate="False"), before)
    assert not is_urgent(kind, a_status(Progressing="True"), a_status(Progressing="False"))
