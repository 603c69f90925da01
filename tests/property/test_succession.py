"""Random meshes with several revisions: where the tag points, what stays, what goes, and how it ends.

What moves by itself between two looks (an istiod that comes up, pods that are restarted) is drawn at random;
what the operator does about it is the function under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.mesh.succession import Standing, Succession, determine_succession
from navarch.core.model.actions import Waiting
from navarch.core.model.naming import Names, revision_name
from navarch.core.model.refs import Ref

NOW = "2026-10-01T12:00:00Z"
GRACE = 300.0
NAMES = ("a", "b", "c", "d")
LACKING = (Waiting(Ref("v1", "Pod", "", "x"), "it is not ready"),)

names = st.sampled_from(NAMES)
moments = st.sampled_from(
    ("", NOW, "2026-10-01T11:54:59Z", "2026-10-01T11:55:01Z", "2027-01-01T00:00:00Z", "soon", "2026-10-01")
)
standings = st.builds(
    Standing, names, available=st.booleans(), served=st.booleans(), used=st.booleans(), idle=moments
)
meshes = st.lists(standings, unique_by=lambda standing: standing.name, max_size=4)
lacks = st.sampled_from(((), LACKING))


def decide(mesh: list[Standing], asked: str, active: str, missing: tuple[Waiting, ...]) -> Succession:
    return determine_succession(mesh, asked=asked, active=active, missing=missing, grace=GRACE, now=NOW)


@given(mesh=meshes, asked=names, active=names | st.just(""), missing=lacks)
def test_the_tag_moves_to_no_revision_that_lacks_a_proof_while_another_one_serves(
    mesh: list[Standing], asked: str, active: str, missing: tuple[Waiting, ...]
) -> None:
    succession = decide(mesh, asked, active, missing)
    if active and active != asked:
        assert succession.target == (active if missing else asked)
    else:
        assert succession.target == asked


@given(mesh=meshes, asked=names, active=names | st.just(""), missing=lacks)
def test_what_serves_is_asked_for_or_is_used_stays_and_nothing_goes_while_none_is_available(
    mesh: list[Standing], asked: str, active: str, missing: tuple[Waiting, ...]
) -> None:
    succession = decide(mesh, asked, active, missing)
    assert {asked, succession.target, *filter(None, (active,))} <= succession.stays
    assert {s.name for s in mesh if s.used} <= succession.stays
    serving = next((s for s in mesh if s.name == active), None)
    if serving is None or not serving.available:
        assert {s.name for s in mesh} <= succession.stays
        assert not succession.idle


@given(mesh=meshes, asked=names, active=names, missing=lacks)
def test_what_nothing_uses_goes_after_its_grace_and_what_never_served_at_once(
    mesh: list[Standing], asked: str, active: str, missing: tuple[Waiting, ...]
) -> None:
    mesh = [replace(s, available=True) if s.name == active else s for s in mesh]
    if active not in {s.name for s in mesh}:
        mesh = [*mesh, Standing(active, available=True)]
    succession = decide(mesh, asked, active, missing)
    for standing in mesh:
        if standing.name in (asked, active) or standing.used:
            assert standing.name not in succession.idle
            continue
        over = standing.idle == "2026-10-01T11:54:59Z"
        assert (standing.name in succession.stays) == (standing.served and not over)
        if standing.name in succession.stays:
            assert succession.idle[standing.name] in (standing.idle, NOW)
            assert succession.wait is not None
            assert 0 < succession.wait <= GRACE


@given(mesh=meshes, asked=names, active=names | st.just(""), missing=lacks)
def test_a_look_that_follows_at_once_decides_the_same(
    mesh: list[Standing], asked: str, active: str, missing: tuple[Waiting, ...]
) -> None:
    first = decide(mesh, asked, active, missing)
    there = [replace(s, idle=first.idle.get(s.name, "")) for s in mesh if s.name in first.stays]
    second = decide(there, asked, active, missing)
    assert (second.stays, second.target) == (first.stays, first.target)
    assert second.idle == first.idle


@given(
    versions=st.lists(names, min_size=1, max_size=6),
    fates=st.dictionaries(names, st.booleans(), max_size=4),
)
def test_a_mesh_ends_with_the_version_that_is_asked_for_last_or_with_what_served_before(
    versions: list[str], fates: Mapping[str, bool]
) -> None:
    """Versions are asked for one after the other; `fates` says which istiods come up. Pods follow the tag."""
    there: dict[str, Standing] = {"first": Standing("first", available=True, served=True)}
    active = "first"
    for asked in versions:
        there.setdefault(asked, Standing(asked))
        for _ in range(3):
            comes_up = fates.get(asked, True)
            there[asked] = replace(there[asked], available=comes_up, served=comes_up)
            mesh = [replace(s, used=s.name == active) for s in there.values()]
            succession = decide(mesh, asked, active, () if comes_up else LACKING)
            assert there[succession.target].available
            active = succession.target
            idle = succession.idle
            there = {n: replace(s, idle=idle.get(n, "")) for n, s in there.items() if n in succession.stays}
    assert active == versions[-1] or not fates.get(versions[-1], True)
    served_or_asked = {name for name, standing in there.items() if standing.served} | {versions[-1]}
    assert set(there) <= served_or_asked


tags = st.from_regex(r"[a-c](-?[a-c0-3]){0,6}", fullmatch=True)
forms = st.sampled_from(("", "1.30.3", "1.31.0", "0.1.2"))
namespaces = st.from_regex(r"([a-c0-3]-?){0,5}[a-c0-3]", fullmatch=True)
pieces = st.sampled_from(("a", "b", "1", "2", "inplace", "1-30-3", "0-1-2"))
joined = st.lists(pieces, min_size=1, max_size=5).map("-".join)


@given(
    first=st.tuples(tags | joined, forms, namespaces | joined),
    second=st.tuples(tags | joined, forms, namespaces | joined),
)
def test_two_revisions_never_share_a_name_in_the_scope_of_the_cluster(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    one, other = (Names(ns, revision_name(tag, version)) for tag, version, ns in (first, second))
    if (one.namespace, one.revision) == (other.namespace, other.revision):
        return
    assert one.validator != other.validator
    assert one.injector != other.injector
    assert one.cluster_binding("navarch-istiod-1.31-b254b10b") != other.cluster_binding(
        "navarch-istiod-1.31-b254b10b"
    )
