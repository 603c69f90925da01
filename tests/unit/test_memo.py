"""What is remembered: for each place the latest result, and no more of them than was said."""

from __future__ import annotations

from typing import Any

from navarch.core.model.hashing import hash_rendered, stable_hash
from navarch.core.model.memo import REMEMBERED, Hashed, Last, Latest, build_hashed


def test_a_result_is_made_once_while_nothing_differs() -> None:
    made: list[Any] = []

    @Latest
    def double(asked: Hashed, factor: int) -> int:
        made.append(asked.data)
        return int(asked.data["x"]) * factor

    one = build_hashed({"x": 1}, place="a")
    assert [double(one, 2), double(build_hashed({"x": 1}, place="a"), 2)] == [2, 2]
    assert double(one, 3) == 3, "another argument"
    assert double(build_hashed({"x": 1}, place="b"), 2) == 2
    assert len(made) == 3
    assert (double.hits, double.misses) == (1, 3)


def test_a_place_that_changes_all_the_time_takes_nothing_from_others() -> None:
    made: list[str] = []

    @Latest
    def note(asked: Hashed) -> str:
        made.append(asked.place)
        return asked.place

    rested = [build_hashed({}, place=f"rested-{number}") for number in range(REMEMBERED - 1)]
    for asked in rested:
        note(asked)
    for number in range(10 * REMEMBERED):
        note(build_hashed({"number": number}, place="busy"))
    made.clear()
    for asked in rested:
        note(asked)
    assert made == []


def test_of_more_places_than_are_remembered_the_longest_unused_goes() -> None:
    @Latest
    def same(asked: Hashed) -> Any:
        return asked.data

    places = [build_hashed({}, place=str(number)) for number in range(REMEMBERED + 1)]
    for asked in places:
        same(asked)
    same(places[1])
    same(places[0])
    assert (same.hits, same.misses) == (1, REMEMBERED + 2)


def test_the_last_result_is_for_the_very_arguments_and_not_for_equal_ones() -> None:
    @Last
    def count(tree: dict[str, int], *more: dict[str, int]) -> int:
        return sum(map(len, (tree, *more)))

    one, same = {"a": 1}, {"a": 1}
    assert [count(one), count(one), count(one, same), count(same), count(one)] == [1, 1, 2, 1, 1]
    assert count.misses == 4


def test_a_rendered_object_is_hashed_once_while_few_others_are() -> None:
    objects = [{"kind": "ConfigMap", "data": {"key": str(number)}} for number in range(1000)]
    assert [hash_rendered(manifest) for manifest in objects] == [*map(stable_hash, objects)]
    assert hash_rendered(objects[-1]) is hash_rendered(objects[-1])
    assert hash_rendered({**objects[0], "kind": "Secret"}) != hash_rendered(objects[0])


def test_an_object_never_gets_the_hash_of_one_that_lay_in_its_place() -> None:
    """CPython gives the place of an object that is gone to the next one, and with it its id()."""
    places: set[int] = set()
    reused = 0
    for number in range(2000):
        manifest = {"kind": "ConfigMap", "data": {"key": str(number)}}
        reused += id(manifest) in places
        places.add(id(manifest))
        assert hash_rendered(manifest) == stable_hash(manifest)
    assert reused > 100, "places were used again"
