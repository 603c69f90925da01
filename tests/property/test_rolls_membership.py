"""Rolls over random clusters: plans are carried out until nothing is left to do, then the cluster is judged.

Judged by the one rule of membership: what the rolls brought in belongs to their mesh and to no other, what
no roll asks for belongs to none, and no MeshMember of a team's was touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from navarch.api.roll import ALL
from navarch.core.membership.rule import Membership, is_member
from navarch.core.membership.selectors import matches
from navarch.core.model.labels import ISTIO_REV, MEMBER_OF
from navarch.core.model.naming import name_members
from navarch.core.world.cluster import Namespace

from tests.unit.rolls import OURS, READY, a_member, a_roll, pending, plan

MESHES = ("shop", "ops")
NAMES = ("a", "b", "c", "kube-x", "openshift-y", "navarch-system", *MESHES)
teams = st.sampled_from(("x", "y"))
selectors = st.one_of(
    st.builds(lambda team: {"matchLabels": {"team": team}}, teams),
    st.builds(
        lambda key, operator: {"matchExpressions": [{"key": key, "operator": operator}]},
        st.sampled_from(("team", ISTIO_REV, MEMBER_OF)),
        st.sampled_from(("Exists", "DoesNotExist")),
    ),
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "members": st.lists(st.sampled_from((*NAMES, "late", ALL)), unique=True, max_size=5),
        "memberSelectors": st.lists(selectors, min_size=1, max_size=2),
    },
)
labels = st.fixed_dictionaries({}, optional={"team": teams, ISTIO_REV: st.just("by-hand")})
clusters = st.dictionaries(st.sampled_from(NAMES), labels, min_size=3)
own_members = st.dictionaries(st.sampled_from(("a", "b", "c")), st.sampled_from(MESHES), max_size=2)


@dataclass
class Cluster:
    """Namespaces with their labels, and MeshMembers by namespace."""

    namespaces: dict[str, dict[str, str]]
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    def observe(self, mesh: str, spec: Mapping[str, Any]) -> Any:
        """What the roll beside a mesh sees."""
        places = [self._place(name) for name in self.namespaces]
        observed = a_roll(namespace=mesh, spec=spec, namespaces=places, members=[*self.members.values()])
        return replace(observed, holds=dict.fromkeys(MESHES, "mesh"))

    def _place(self, name: str) -> Namespace:
        """A namespace with the labels of its membership, as the member's claim puts them there."""
        joined = self.labels_of_member(name)
        return Namespace(name, {**joined, **self.namespaces[name]}, claimed=tuple(sorted(joined)))

    def labels_of_member(self, name: str) -> dict[str, str]:
        member = self.members.get(name)
        if member is None or name in MESHES:
            return {}
        mesh = member["spec"]["controlPlaneRef"]["namespace"]
        rev = {} if ISTIO_REV in self.namespaces[name] else {ISTIO_REV: f"{mesh}-mesh"}
        return {MEMBER_OF: name_members(mesh, "mesh"), **rev}

    def carry_out(self, mesh: str, spec: Mapping[str, Any]) -> bool:
        """One look of a roll; whether it changed anything."""
        before, todo = dict(self.members), plan(self.observe(mesh, spec))
        for wanted in todo.objects():
            name = wanted["metadata"]["namespace"]
            assert name in self.namespaces, "nothing is made in a namespace that is not there"
            there = self.members.get(name)
            assert there is None or there["metadata"]["labels"] == wanted["metadata"]["labels"]
            made = {"uid": f"made-{name}", "generation": 1, "managedFields": [OURS]}
            status = {"conditions": [READY]}
            self.members[name] = {
                **wanted, "metadata": {**wanted["metadata"], **made}, "status": status
            }  # fmt: skip
        for ref in todo.prune:
            del self.members[ref.namespace]
        return self.members != before


def settle(cluster: Cluster, rolls: Mapping[str, Mapping[str, Any]]) -> None:
    for _ in range(4):
        changed = [cluster.carry_out(mesh, spec) for mesh, spec in rolls.items()]
        if not any(changed):
            return
    raise AssertionError("the rolls never settle")


def is_asked(spec: Mapping[str, Any], name: str, own: Mapping[str, str]) -> bool:
    """Whether a spec means a namespace whose owner wrote these labels."""
    names = spec.get("members", ())
    chosen = any(matches(selector, own) for selector in spec.get("memberSelectors", ()))
    return ALL in names or name in names or chosen


@given(clusters, specs, specs, specs, own_members)
def test_rolls_settle_and_each_namespace_belongs_to_the_mesh_whose_roll_came_first(
    namespaces: dict[str, dict[str, str]],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    later: Mapping[str, Any],
    teams_own: Mapping[str, str],
) -> None:
    own = {name: mesh for name, mesh in teams_own.items() if name in namespaces}
    cluster = Cluster(namespaces, {name: a_member(name, mesh) for name, mesh in own.items()})
    theirs = dict(cluster.members)
    rolls = {"shop": first, "ops": second}
    for at in ("shop", "ops"):
        settle(cluster, {at: rolls[at]})
    settle(cluster, rolls)
    judge(cluster, rolls, theirs, precedence=("shop", "ops"))
    rolls["shop"] = later
    settle(cluster, {"shop": later})
    settle(cluster, rolls)
    assert {n: m for n, m in cluster.members.items() if n in theirs} == theirs
    settle(cluster, {"shop": {}, "ops": {}})
    assert cluster.members == theirs, "with the rolls all goes that they have made, and nothing else"


def judge(
    cluster: Cluster,
    rolls: Mapping[str, Mapping[str, Any]],
    theirs: Mapping[str, Any],
    *,
    precedence: tuple[str, ...],
) -> None:
    for name, own in cluster.namespaces.items():
        place = {**own, **cluster.labels_of_member(name)}
        inside = [mesh for mesh in MESHES if name not in MESHES and is_member(membership(mesh), name, place)]
        if name in theirs:
            wanted = [theirs[name]["spec"]["controlPlaneRef"]["namespace"]]
        elif name.startswith(("kube-", "openshift-", "navarch-")) or name in MESHES:
            wanted = []
        else:
            wanted = [mesh for mesh in precedence if is_asked(rolls[mesh], name, own)][:1]
        assert inside == wanted
        for mesh in inside:
            assert name not in pending(cluster.observe(mesh, rolls[mesh]))


def membership(mesh: str) -> Membership:
    """A mesh of scope Members."""
    return Membership(mesh, (f"{mesh}-mesh",), member_of=name_members(mesh, "mesh"))


def test_a_mesh_that_is_made_in_a_member_takes_its_namespace_out_of_the_roll() -> None:
    cluster = Cluster({"a": {}, "b": {}})
    settle(cluster, {"shop": {"members": ["*"]}})
    assert set(cluster.members) == {"a", "b"}
    observed = replace(cluster.observe("shop", {"members": ["*"]}), holds={"b": "new"})
    assert [ref.namespace for ref in plan(observed).prune] == ["b"]
