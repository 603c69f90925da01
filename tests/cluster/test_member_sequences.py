"""Joins, leaves, moves, deletions, edits by hand and kills of the operator in random order: in the end each
namespace has the labels that the objects describe, and no others.

Each round is a sequence of its own with a seed that a failure names; the long form has thirty.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, build_operator
from tests.polling import eventually
from tests.support.activity import bring_up, wait_for_removals
from tests.support.api import Api, Object, Refused
from tests.support.kills import SETTINGS
from tests.support.members import ISTIO_REV, MEMBER_OF, build_member, read_labels
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import Operator
from tests.support.rolls import build_roll

ROUNDS, FEW = 30, 4
STEPS = 12
OF_A_ROLL = "mesh.navarch.io/roll-namespace"
MESHES = ("sequence-a", "sequence-b")
"""The first has a roll."""
PLACES = tuple(f"sequence-{name}" for name in ("w", "x", "y", "z"))


@dataclass
class Scene:
    """The cluster that the steps work on; `operator` may be dead between two steps."""

    api: Api
    operator: Operator
    done: list[str] = field(default_factory=list)

    async def step(self, dice: random.Random) -> None:
        """One change of one of the kinds that people and accidents make."""
        steps = (self.join, self.join, self.leave, self.choose, self.tamper, self.strip, self.hold, self.kill)
        chosen, place = dice.choice((*steps, self.recreate)), dice.choice(PLACES)
        self.done.append(f"{chosen.__name__} {place}")
        with suppress(Refused):  # what another step has made impossible
            await chosen(place, dice)

    async def join(self, place: str, dice: random.Random) -> None:
        """Also a move, where the member of the other mesh has just been deleted."""
        self.api.create(build_member(place, dice.choice(MESHES)))

    async def leave(self, place: str, _: random.Random) -> None:
        self.api.delete("member", place, "default")

    async def choose(self, _: str, dice: random.Random) -> None:
        """Another roll, or none."""
        names = dice.sample(PLACES, dice.randint(0, len(PLACES)))
        if not names:
            self.api.delete("roll", MESHES[0], "default")
        elif self.api.get("roll", MESHES[0], "default") is None:
            self.api.create(build_roll(MESHES[0], *names))
        else:
            self.api.patch("roll", MESHES[0], "default", {"spec": {"members": names}})

    async def tamper(self, place: str, dice: random.Random) -> None:
        """As an administrator: the policies keep others from it."""
        forged = dice.choice(({MEMBER_OF: None}, {ISTIO_REV: None}, {MEMBER_OF: f"{MESHES[1]}.demo"}))
        self.api.patch("namespace", "", place, {"metadata": {"labels": forged}})

    async def strip(self, place: str, _: random.Random) -> None:
        bare = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
        self.api.patch("namespace", "", place, bare)

    async def hold(self, place: str, _: random.Random) -> None:
        """The finalizer is taken off, so that the member may go before it was cleaned up after."""
        self.api.patch("member", place, "default", {"metadata": {"finalizers": None}})
        self.api.delete("member", place, "default")

    async def kill(self, _: str, __: random.Random) -> None:
        if self.operator.is_running():
            self.operator.kill()
        else:
            self.operator.start()

    async def recreate(self, place: str, _: random.Random) -> None:
        if not self.operator.is_running():
            self.operator.start()
        self.api.delete("namespace", "", place)
        await eventually(
            lambda: self.api.get("namespace", "", place) is None, seconds=60, what=f"{place} goes"
        )
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})

    def find_wrong(self) -> list[str]:
        """What is not as the objects describe it."""
        roll = self.api.get("roll", MESHES[0], "default")
        if roll is not None and "deletionTimestamp" in roll["metadata"]:
            return ["the roll goes"]
        asked = ((roll or {}).get("spec") or {}).get("members") or []
        return [f"{place}: {told}" for place in PLACES if (told := self._find_wrong(place, place in asked))]

    def _find_wrong(self, place: str, is_asked: bool) -> str:
        member = self.api.get("member", place, "default")
        if member is not None and "deletionTimestamp" in member["metadata"]:
            return "its member goes"
        made = member is not None and OF_A_ROLL in (member["metadata"].get("labels") or {})
        if (is_asked and member is None) or (made and not is_asked):
            return "the roll says otherwise"
        labels, wanted = read_labels(self.api, place), build_wanted(member)
        return "" if labels == wanted else f"{labels} in place of {wanted}"


def build_wanted(member: Object | None) -> dict[str, str]:
    """The labels of a namespace with this member."""
    if member is None:
        return {}
    mesh = member["spec"]["controlPlaneRef"]["namespace"]
    return {MEMBER_OF: f"{mesh}.demo", ISTIO_REV: f"{mesh}-demo"}


@pytest.fixture
def namespaces(api: Api, installed: Cluster) -> Iterator[None]:
    with ExitStack() as stack:
        for name in (*MESHES, *PLACES):
            stack.enter_context(a_mesh_namespace(api, name))
        yield
        api.delete("roll", MESHES[0], "default")


@pytest.fixture
async def scene(api: Api, operator: Operator, installed: Cluster, namespaces: None) -> AsyncIterator[Scene]:
    """Two meshes that are Ready, and in place of the session's operator one that may be killed."""
    await wait_for_removals(api)
    operator.stop()
    scene = Scene(api, build_operator(installed, "killed-members", **SETTINGS))
    await bring_up(scene.operator)
    for name in MESHES:
        api.create(build_mesh(name, scope="Members"))
    for name in MESHES:
        await wait_for(api, name)
    yield scene
    if not scene.operator.is_running():
        scene.operator.start()
    api.delete("roll", MESHES[0], "default")
    for place in PLACES:
        api.delete("member", place, "default")
    await eventually(lambda: not scene.find_wrong(), seconds=60, what="all have left")
    scene.operator.stop()
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the session's operator is back")


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_after_any_sequence_each_namespace_is_as_the_objects_describe(scene: Scene, full: bool) -> None:
    for seed in range(ROUNDS if full else FEW):
        scene.done.clear()
        dice = random.Random(seed)
        for _ in range(STEPS):
            await scene.step(dice)
        if not scene.operator.is_running():
            scene.operator.start()
        wrong: list[str] = []

        def is_right(wrong: list[str] = wrong) -> bool:
            wrong[:] = scene.find_wrong()
            return not wrong

        try:
            await eventually(is_right, seconds=90, every=0.2, what=f"seed {seed}")
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {wrong} after {scene.done}") from error
