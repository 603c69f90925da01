"""How many samples there are of many meshes, that none is there twice, and what rendering them costs."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import pytest
from navarch.core.model.actions import Outcome
from navarch.telemetry import metrics
from navarch.telemetry.objects import MOST
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.crowd import forget, note

FEW, MANY = 50, 500
OF_A_MESH = 200
"""Samples of a mesh with its revision and one gateway, at the most: each condition has three, and of what is
done with objects there is one for each outcome."""


@dataclass(frozen=True)
class Told:
    """Samples and seconds of a rendering: of nothing, of one mesh, of few and of many; and once they are
    gone."""

    samples: dict[int, int]
    seconds: dict[int, float]
    left: int
    lines: list[str]
    ours: list[str]
    the_librarys: list[str]
    """The metrics that are written without the library, and as the library writes them."""


def render() -> list[str]:
    return metrics.render().decode().splitlines()


def count_samples() -> int:
    return sum(not line.startswith("#") for line in render())


def measure() -> float:
    """Seconds of this thread for one rendering: what others do on the machine does not count."""
    started = time.thread_time()
    metrics.render()
    return time.thread_time() - started


@pytest.fixture(scope="module")
def told() -> Told:
    samples, seconds, done = {}, {}, 0
    for number in (0, 1, FEW, MANY):
        for mesh in range(done, number):
            note(mesh)
            note(mesh)
        done = number
        samples[number], seconds[number] = count_samples(), min(measure() for _ in range(2))
    lines = render()
    registry = CollectorRegistry()
    registry.register(metrics.numbers)
    registry.register(metrics.conditions)
    texts = [metrics.numbers.render() + metrics.conditions.render(), generate_latest(registry)]
    for mesh in range(MANY):
        forget(mesh)
    return Told(samples, seconds, count_samples(), lines, *(text.decode().splitlines() for text in texts))


def test_samples_grow_with_meshes_by_a_fixed_number_and_go_with_them(told: Told) -> None:
    of_one = told.samples[1] - told.samples[0]
    print(f"{of_one} samples of a mesh with a gateway, {told.samples[0]} beside")
    assert 50 < of_one <= OF_A_MESH
    assert told.samples[MANY] - told.samples[0] == MANY * of_one
    assert told.left == told.samples[0]


def test_no_sample_and_no_metric_is_there_twice(told: Told) -> None:
    names = Counter(line.rsplit(" ", 1)[0] for line in told.lines if not line.startswith("#"))
    assert [name for name, times in names.items() if times > 1] == []
    types = [line for line in told.lines if line.startswith("# TYPE")]
    assert len(set(types)) == len(types)


def test_rendering_costs_by_the_number_of_meshes_and_no_more(told: Told) -> None:
    few, many = (told.seconds[number] - told.seconds[0] for number in (FEW, MANY))
    print(f"rendered: {FEW} meshes {few:.3f} s, {MANY} meshes {many:.3f} s of CPU")
    assert many < 3 * few * MANY / FEW


def test_what_is_written_without_the_library_is_what_it_would_write(told: Told) -> None:
    assert len(told.ours) > MANY
    assert told.ours == told.the_librarys


def test_who_makes_any_number_of_objects_in_a_namespace_adds_a_bounded_number_of_samples() -> None:
    status = {"conditions": [{"type": f"C{n}", "status": "True"} for n in range(9)]}
    kind, crowd = "MeshGateway", [f"gateway-{n}" for n in range(4 * MOST)]
    before = count_samples()

    def tell(namespace: str, name: str) -> None:
        metrics.set_conditions(kind, namespace, name, status)
        metrics.count_outcome(kind, namespace, name, Outcome())

    def measured(namespace: str) -> set[str]:
        lines = (
            line for line in render() if f'namespace="{namespace}"' in line and "navarch_condition" in line
        )
        return {line.split('name="')[1].split('"')[0] for line in lines}

    try:
        for name in crowd:
            tell("crowded", name)
        tell("quiet", "ingress")
        assert measured("crowded") == {*crowd[:MOST]}
        assert measured("quiet") == {"ingress"}
        assert count_samples() - before <= (MOST + 1) * 40
        assert f"navarch_unmeasured_objects {3 * MOST}.0" in render()
        metrics.forget(kind, "crowded", crowd[0])
        tell("crowded", crowd[-1])
        assert measured("crowded") == {*crowd[1:MOST], crowd[-1]}
    finally:
        for name in crowd:
            metrics.forget(kind, "crowded", name)
        metrics.forget(kind, "quiet", "ingress")
    assert count_samples() == before
    assert "navarch_unmeasured_objects 0.0" in render()
