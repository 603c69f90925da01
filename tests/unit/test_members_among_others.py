"""What a look at a member costs among others, whose namespace it is, and how often a claim is repeated."""

from __future__ import annotations

from typing import cast

from navarch.core.model.actions import Action
from navarch.core.model.claims import Claim
from navarch.core.model.labels import ISTIO_REV, MEMBER_OF
from navarch.core.model.naming import revision_name
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref
from navarch.gather.member import gather_member
from navarch.gather.mesh import gather_mesh
from navarch.kube.claims import Claims
from navarch.kube.client import Client
from navarch.kube.contest import AT_ONCE, LONGEST, Contests

from tests.support.members import build_member
from tests.support.memory import Memory, build_namespace

LABELS = {MEMBER_OF: "mesh.demo", ISTIO_REV: "mesh-demo"}


def join(memory: Memory, *names: str) -> None:
    """Members of the mesh `mesh/demo`."""
    for name in names:
        memory.put(build_namespace(name))
        memory.put(build_member(name, "mesh"))


async def visit(memory: Memory) -> int:
    """Objects that a look at the member of `front` takes out of the stores."""
    await gather_member(memory.world, "front", "default")
    before = memory.visited
    await gather_member(memory.world, "front", "default")
    return memory.visited - before


async def test_a_look_at_a_member_takes_as_many_objects_among_many_members_and_meshes_as_among_few() -> None:
    memory = Memory()
    await memory.add_mesh("mesh", scope="Members")
    join(memory, "front", "back")
    memory.put(build_namespace("front", rev="elsewhere"))
    few = await visit(memory)
    join(memory, *(f"n{number:03}" for number in range(200)))
    await memory.add_mesh("another")
    assert await visit(memory) == few
    observed = await gather_mesh(memory.world, "mesh", "demo")
    assert observed is not None
    assert len(observed.members) == 202
    memory.requests.clear()
    await gather_mesh(memory.world, "mesh", "demo")
    assert [r for r in memory.requests if "MeshMember" in r] == [], "members cost their mesh no request"


TAKERS = (
    ({"rev": "by-tag-demo"}, "by-tag/demo"),
    ({"rev": revision_name("by-tag-demo")}, "by-tag/demo"),
    ({"rev": "default"}, "by-tag/demo"),
    ({"injection": "enabled"}, "by-tag/demo"),
    ({"injection": "enabled", "rev": "mesh-demo"}, "by-tag/demo"),
    ({"injection": "disabled", "rev": "by-tag-demo"}, ""),
    ({"rev": "mesh-demo"}, ""),
    ({"rev": "of-members-demo"}, ""),
    ({"rev": "elsewhere"}, ""),
    ({}, ""),
)
"""Labels of a namespace whose member names mesh/demo, and which other mesh takes it by them."""


async def test_another_mesh_takes_a_namespace_by_the_rule_of_membership_alone() -> None:
    memory = Memory()
    await memory.add_mesh("mesh")
    await memory.add_mesh("by-tag", defaultTag=True)
    await memory.add_mesh("of-members", scope="Members")
    join(memory, "front")
    found = []
    for labels, _ in TAKERS:
        memory.put(build_namespace("front", **labels))
        found.append((labels, (await gather_member(memory.world, "front", "default")).taker))
    assert found == [*TAKERS]


# --- contests -----------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Duel:
    """A claim on a namespace, and a client that takes its labels off whenever they stand."""

    def __init__(self) -> None:
        self.memory, self.clock = Memory(), Clock()
        self.claims = Claims(cast(Client, self.memory), Contests(clock=self.clock))
        self.ref = Ref("v1", "Namespace", "", "front")
        self.uid = str(self.undo()["metadata"]["uid"])

    def undo(self) -> dict[str, object] | None:
        return self.memory.put(build_namespace("front"))

    def claim(self, *, stands: bool = False, **labels: str) -> Claim:
        return Claim(self.ref, self.uid, labels or LABELS, stands=stands)

    @property
    def writes(self) -> int:
        return sum(request.startswith("apply") for request in self.memory.requests)


async def test_a_claim_that_is_undone_ten_times_a_second_is_repeated_at_growing_intervals() -> None:
    duel = Duel()
    for _ in range(600):
        await duel.claims.settle(duel.claim())
        duel.undo()
        duel.clock.now += 0.1
    assert AT_ONCE < duel.writes <= AT_ONCE + 8, "of 600 times in a minute"
    fate, written = await duel.claims.settle(duel.claim())
    assert written is None
    assert (fate.outcome.action, fate.outcome.reason) == (Action.CONTESTED, Reason.OBJECT_CONTESTED)
    assert ISTIO_REV in fate.outcome.message
    assert fate.retry_after is not None
    assert 0 < fate.retry_after <= LONGEST


async def test_a_contest_is_told_of_a_claim_that_stands_until_it_is_over_and_costs_no_request() -> None:
    duel = Duel()
    for _ in range(AT_ONCE + 2):
        await duel.claims.settle(duel.claim())
        duel.undo()
    writes = duel.writes
    fate, _ = await duel.claims.settle(duel.claim(stands=True))
    assert fate.outcome.reason == Reason.OBJECT_CONTESTED
    duel.clock.now += 3600
    fate, _ = await duel.claims.settle(duel.claim(stands=True))
    assert fate.outcome.action is Action.UNCHANGED
    assert duel.writes == writes
    fate, written = await duel.claims.settle(duel.claim())
    assert written is not None, "and then it is put back at once again"


async def test_a_claim_of_other_labels_or_on_another_object_does_not_wait() -> None:
    duel = Duel()
    for _ in range(100):
        await duel.claims.settle(duel.claim())
        duel.undo()
    before = duel.writes
    await duel.claims.settle(duel.claim(other="x"))
    assert duel.writes == before + 1, "who leaves, or changes its mind, is another claim"


async def test_the_first_repair_is_drift_and_a_first_claim_is_none() -> None:
    duel = Duel()
    first, _ = await duel.claims.settle(duel.claim())
    assert not first.outcome.drift
    duel.undo()
    again, _ = await duel.claims.settle(duel.claim())
    assert again.outcome.drift
