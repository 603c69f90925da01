"""No namespace ever has two roots: meshes of which some take every namespace, and operators that see late.

Two operators work on one cluster at the same time, with no Lease between them and with watches that may tell
of nothing for as long as they like; each looks in the middle of the other's looks. That is worse than
anything that the Lease allows. Istiods are what stands: the MeshConfig of each says which namespaces it would
write its root into.

Invariants: at no time do two istiods reach one namespace; and when the watches have told of everything, and
all was looked at again, a mesh of those that are there is installed, unless each waits for an edit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from navarch.core.membership.selectors import matches
from navarch.core.model.naming import revision_name
from navarch.core.model.refs import Manifest, Ref
from navarch.engine.key import Key
from navarch.kube.client import Listing
from navarch.kube.errors import KubeError
from navarch.kube.resources import Resource
from navarch.kube.store import Object

from tests.support.memory import MESH, REVISION, Memory, build_namespace, build_root_config
from tests.support.meshes import build_mesh

MESHES = ("a", "b")
PLACES = (*MESHES, "app", "of-b")
Step: TypeAlias = tuple[Any, ...]
Act: TypeAlias = Callable[[], Awaitable[None]]


class Operator(Memory):
    """An operator whose watches tell of what others wrote only when they are asked to; of what it wrote
    itself it knows."""

    late = False

    def __init__(self) -> None:
        self.untold: list[tuple[Object, bool]] = []
        self.others: list[Operator] = []
        self.meanwhile: Act | None = None
        super().__init__()

    def share(self, other: Operator) -> None:
        """Work on the objects of another one, too."""
        self.objects, self._versions = other.objects, other._versions
        self.others, other.others = [other], [self]
        for manifest in self.objects.values():
            super()._tell(manifest)
        self.late = other.late = True

    def _tell(self, manifest: Object, *, gone: bool = False) -> None:
        if not self.late:
            super()._tell(manifest)
            return
        for each in (self, *self.others):
            each.untold.append((manifest, gone))

    def remove(self, ref: Ref) -> None:
        found = self.objects.pop((ref.kind, ref.namespace, ref.name), None)
        if found is not None:
            found["metadata"]["resourceVersion"] = str(next(self._versions))
            self._tell(found, gone=True)

    def deliver(self, *, but: str = "") -> None:
        """The watches tell of everything, but of what lies in a namespace."""
        told, self.untold = self.untold, []
        for manifest, gone in told:
            if but and manifest["metadata"].get("namespace") == but:
                self.untold.append((manifest, gone))
            elif gone:
                self.forget(manifest)
            else:
                super()._tell(manifest)

    def forget(self, manifest: Object) -> None:
        for store in self.stores.values():
            if store.resource.kind == manifest["kind"]:
                store.remove(manifest)

    async def list(self, resource: Resource, *, label_selector: str = "", **rest: Any) -> Listing:
        answer = await super().list(resource, label_selector=label_selector, **rest)
        act, self.meanwhile = self.meanwhile, None
        if act is not None:  # between the answer and what follows from it
            await act()
        return answer


class Cluster:
    """Both operators, and what users do."""

    def __init__(self) -> None:
        first, second = Operator(), Operator()
        second.share(first)
        self.operators = (first, second)
        for place in PLACES:
            labels = {"rev": "b-demo"} if place == "of-b" else {}
            first.put(build_namespace(place, **labels))
        for place in MESHES:
            first.put(build_root_config(place))
        self.deliver()

    def deliver(self) -> None:
        for operator in self.operators:
            operator.deliver()

    def write(self, place: str, scope: str) -> None:
        """Make a mesh, or edit it."""
        first = self.operators[0]
        old = first.objects.get((MESH, place, "demo"), {})
        spec = build_mesh(place, **({"scope": scope} if scope else {}))
        first.put({**old, **spec, "metadata": {**old.get("metadata", {}), **spec["metadata"]}})

    async def look(self, who: int, place: str, kind: str) -> None:
        name = "demo" if kind == MESH else revision_name(f"{place}-demo")
        operator = self.operators[who]
        controller = operator.meshes if kind == MESH else operator.revisions
        with suppress(KubeError):  # two operators stand in each other's way, and try again
            await controller.reconcile(Key(kind, place, name))
        self.check()

    async def take(self, step: Step) -> None:
        match step:
            case ("write", place, scope):
                self.write(place, scope)
            case ("tell", who, but):
                self.operators[who].deliver(but=but)
            case ("look", who, place, kind):
                await self.look(who, place, kind)
            case ("between", who, *steps):
                self.operators[who].meanwhile = lambda: self.take_all(steps)
        self.check()

    async def take_all(self, steps: list[Step]) -> None:
        for step in steps:
            await self.take(step)

    def check(self) -> None:
        reached = {place: sorted(self.find_reaching(place)) for place in PLACES}
        shared = {place: meshes for place, meshes in reached.items() if len(meshes) > 1}
        assert shared == {}, "two istiods would write their root into one namespace"

    def find_reaching(self, place: str) -> Iterator[str]:
        """The meshes of whose istiods a namespace would get the root."""
        objects = self.operators[0].objects
        labels = objects["Namespace", "", place]["metadata"]["labels"]
        for (kind, namespace, _), manifest in objects.items():
            if kind == "ConfigMap" and any(matches(one, labels) for one in read_selectors(manifest)):
                yield namespace

    def find_installed(self) -> set[str]:
        return {key[1] for key in self.operators[0].objects if key[0] == "Deployment"}

    async def settle(self) -> None:
        for _ in range(8):
            for place in MESHES:
                for kind in (MESH, REVISION):
                    self.deliver()
                    await self.look(0, place, kind)


def read_selectors(manifest: Manifest) -> list[Mapping[str, Any]]:
    """The discoverySelectors of an istiod; none of any other ConfigMap."""
    isolation = yaml.safe_load(manifest.get("data", {}).get("isolation", "{}"))
    return list(isolation.get("discoverySelectors", ()))


SCOPES = st.sampled_from(("", "Members", "Cluster", "Cluster"))
LOOKS = st.tuples(
    st.just("look"), st.sampled_from((0, 1)), st.sampled_from(MESHES), st.sampled_from((MESH, REVISION))
)
WRITES = st.tuples(st.just("write"), st.sampled_from(MESHES), SCOPES)
TELLS = st.tuples(st.just("tell"), st.sampled_from((0, 1)), st.sampled_from(("", *MESHES)))
BETWEEN = st.builds(
    lambda who, steps: ("between", who, *steps),
    st.sampled_from((0, 1)),
    st.lists(st.one_of(LOOKS, WRITES), min_size=1, max_size=3),
)
STEPS = st.lists(st.one_of(LOOKS, LOOKS, LOOKS, TELLS, WRITES, BETWEEN), min_size=6, max_size=24)


def looks(who: int, place: str, *kinds: str, blind: str = "") -> list[Step]:
    """Three looks of an operator whose watches have told of everything but of what lies in `blind`."""
    look = [("look", who, place, kind) for kind in kinds or (MESH, REVISION)]
    return [("tell", who, blind), *look] * 3


APART = [
    ("write", "a", "Cluster"),
    ("write", "b", ""),
    *looks(0, "a", MESH, blind="b"),
    *looks(1, "b", MESH, blind="a"),
]
"""Two meshes that are worked on by operators of which neither knows of the other mesh."""
RACE = [*APART, ("look", 0, "a", REVISION), ("look", 1, "b", REVISION)]
BETWEEN_LOOKS = [*APART, ("between", 0, *looks(1, "b", REVISION, blind="a")), ("look", 0, "a", REVISION)]
ONE_BLIND = [
    ("write", "b", ""),
    *looks(1, "b"),
    ("write", "a", "Cluster"),
    *looks(0, "a", blind="b"),
]
NARROWED = [
    ("write", "a", "Cluster"),
    *looks(0, "a"),
    ("write", "a", "Members"),
    ("look", 0, "a", MESH),
    ("write", "b", ""),
    *looks(1, "b", blind="a"),
    ("look", 0, "a", REVISION),
    *looks(1, "b", blind="a"),
]
WIDENED = [
    ("write", "a", ""),
    *looks(0, "a"),
    ("write", "a", "Cluster"),
    ("look", 0, "a", MESH),
    ("write", "b", ""),
    *looks(1, "b", blind="a"),
    ("look", 0, "a", REVISION),
]


@example(RACE)
@example(BETWEEN_LOOKS)
@example(ONE_BLIND)
@example(NARROWED)
@example(WIDENED)
@given(STEPS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_no_namespace_ever_has_two_roots(steps: list[Step]) -> None:
    async def play() -> None:
        cluster = Cluster()
        await cluster.take_all(steps)
        await cluster.settle()
        cluster.check()

    asyncio.run(play())


def test_of_two_meshes_that_were_made_at_the_same_moment_one_comes_up_and_the_other_is_refused() -> None:
    async def play() -> Cluster:
        cluster = Cluster()
        await cluster.take_all(RACE)
        assert cluster.find_installed() == set(), "each found the other's revision, and made nothing"
        await cluster.settle()
        return cluster

    cluster = asyncio.run(play())
    assert len(cluster.find_installed()) == 1
