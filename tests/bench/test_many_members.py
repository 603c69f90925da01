"""Five thousand members of twenty meshes: made at once, looked at by a new process while others join, and
what an edit of their mesh, or an event of one namespace, costs them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from tests.bench.conftest import Bed, Note, a_bed
from tests.bench.measure import Moment, find_percentile, read_cpu, read_rss, show_spread
from tests.polling import eventually
from tests.support.activity import is_leading, read_metric
from tests.support.members import ISTIO_REV, MEMBER_OF, build_member, read_labels
from tests.support.meshes import edit, wait_for
from tests.support.operator import USER

pytestmark = pytest.mark.chain  # the members that the first test makes are what the others look at
SECTION = "Many members"
BATCH = 500
OF_MEMBERS = {"namespaces", "meshmembers"}

Rounds = Callable[[int, int], int]


@dataclass(frozen=True)
class Homes:
    """Namespaces of meshes, and those of their members."""

    meshes: list[str]
    each: int

    @property
    def members(self) -> dict[str, str]:
        """The mesh of each namespace."""
        return {f"{mesh}-{number}": mesh for mesh in self.meshes for number in range(self.each)}


@pytest.fixture(scope="module")
def homes(full: bool) -> Homes:
    return Homes([f"mesh-{index}" for index in range(20 if full else 6)], 250 if full else 50)


@pytest.fixture(scope="module")
async def alone(homes: Homes) -> AsyncIterator[Bed]:
    """A lab with the first of the meshes, and no namespace beside its own and the cluster's."""
    async with a_bed("members") as bed:
        await bed.make_mesh(homes.meshes[0], scope="Members")
        yield bed


@pytest.fixture(scope="module")
async def watched(alone: Bed) -> Counter[str]:
    """What the operator watches there: Istio's own kinds as well, which come with the first mesh."""
    return alone.find_open_watches()


@pytest.fixture(scope="module")
async def bed(alone: Bed, homes: Homes, watched: Counter[str]) -> Bed:
    """A lab whose meshes are at rest."""
    await alone.add_meshes(homes.meshes[1:], scope="Members")
    return alone


async def make_namespaces(bed: Bed, names: list[str]) -> None:
    for begin in range(0, len(names), BATCH):
        await bed.crowd.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in names[begin : begin + BATCH]
        )


async def count_ready_members(bed: Bed) -> int:
    """Members that are ready, as the meshes say in sum."""
    listed = await bed.crowd.send("GET", bed.api.path("mesh"))
    return sum(mesh["status"].get("members", {}).get("ready", 0) for mesh in listed["items"])


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_members_are_taken_in_by_one_write_of_each_namespace(
    bed: Bed, homes: Homes, note: Note
) -> None:
    names = list(homes.members)
    await make_namespaces(bed, names)
    await bed.rest()
    rss, cpu = read_rss(bed.operator.pid), read_cpu(bed.operator.pid)
    mark, started = bed.audit.mark(), time.monotonic()
    for begin in range(0, len(names), BATCH):
        await bed.crowd.create(build_member(n, homes.members[n]) for n in names[begin : begin + BATCH])

    async def are_ready() -> bool:
        return await count_ready_members(bed) == len(names)

    await eventually(are_ready, seconds=600, every=0.5, what="all members are ready and counted")
    seconds = time.monotonic() - started
    await bed.rest()
    spent, grown = read_cpu(bed.operator.pid) - cpu, read_rss(bed.operator.pid) - rss
    looks = read_metric(bed.operator, "reconcile_total", controller="MeshMember")
    writes = bed.list_writes(mark)
    labelled = Counter(w.name for w in writes if w.resource == "namespaces")
    assert labelled == dict.fromkeys(names, 1)
    told = Counter(w.namespace for w in writes if (w.resource, w.subresource) == ("meshmembers", "status"))
    assert max(told.values()) <= 2, "that it joins, and that it is ready"
    what = f"{len(names)} members of {len(homes.meshes)} meshes made at once, until all are Ready and counted"
    note(SECTION, what, f"{seconds:.1f} s, {spent:.1f} s of CPU")
    note(SECTION, "writes of a namespace, and of its member's status", "1 and 1 to 2", bound="1 and 2")
    note(SECTION, "looks at a member until then", f"{looks / len(names):.1f}")
    note(SECTION, "memory (RSS) for each member", f"{1024 * grown / len(names):.0f} KiB")


def count_looks(bed: Bed, kind: str = "MeshMember") -> float:
    return read_metric(bed.operator, "reconcile_total", controller=kind)


def list_of_members(bed: Bed, mark: int) -> list[Moment]:
    """The operator's writes of namespaces and of MeshMembers, with their status."""
    return [w for w in bed.list_writes(mark) if w.resource in OF_MEMBERS]


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_restart_over_settled_members_writes_nothing_of_them_and_others_join_meanwhile(
    bed: Bed, homes: Homes, rounds: Rounds, note: Note
) -> None:
    await bed.rest()
    joining = [f"joins-{number}" for number in range(rounds(5, 50))]
    await make_namespaces(bed, joining)
    await bed.rest()
    assert bed.operator.stop() == 0
    mark = bed.audit.mark()
    bed.operator.start()
    await eventually(lambda: bed.operator.is_ready() and is_leading(bed.operator), seconds=60, every=0.05)
    mesh, ahead, looked = homes.meshes[0], list[float](), 0.0
    for name in joining:
        before = count_looks(bed)
        bed.api.create(build_member(name, mesh))
        await eventually(lambda name=name: read_labels(bed.api, name), seconds=60, every=0.02, what=name)
        looked = count_looks(bed)
        ahead.append(looked - before)
    assert max(ahead) < len(homes.members) / 4, "who joins comes before the first looks that a start asks for"
    await bed.rest()
    writes = list_of_members(bed, mark)
    settled = [str(w) for w in writes if (w.namespace or w.name) not in joining and w.name not in joining]
    assert settled == [], "a restart makes no write"
    assert Counter(w.name for w in writes if w.resource == "namespaces") == dict.fromkeys(joining, 1)
    made = {
        m.namespace: m.ended for m in bed.moments(mark) if (m.resource, m.verb) == ("meshmembers", "create")
    }
    labelled = {w.name: w.ended for w in writes if w.resource == "namespaces"}
    note(
        SECTION, f"a restart over {len(homes.members)} settled members", "0 writes of them", bound="0 writes"
    )
    waits = [labelled[name] - made[name] for name in joining]
    note(
        SECTION,
        f"create of a MeshMember to its namespace's labels, {len(joining)} times meanwhile",
        f"{show_spread(waits)}, p99 {find_percentile(waits, 0.99):.2f} s",
    )
    note(
        SECTION,
        "looks at members while one of them waits for its labels",
        show_spread(ahead, unit="looks", digits=0),
        bound=f"{len(homes.members) // 4} looks",
    )
    note(SECTION, "looks at members until then, of those that a start asks for", f"{looked:.0f}")


@pytest.mark.long
async def test_there_are_as_many_watches_with_many_namespaces_as_with_one(
    bed: Bed, homes: Homes, watched: Counter[str], note: Note
) -> None:
    """Counted where the process of the test before has begun all of its own."""
    now = bed.find_open_watches()
    assert now
    assert now == watched
    what = f"watches that are open with {len(homes.members)} members of {len(homes.meshes)} meshes"
    note(SECTION, what, f"{now.total()}", bound=f"{watched.total()}, as with one mesh and no member")


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_an_edit_of_a_mesh_writes_of_its_members_only_what_changes_for_them(
    bed: Bed, homes: Homes, note: Note
) -> None:
    """What istiod logs is nothing to members; which proxies pods get is told in their status; and what
    isolates them is an object in each."""
    mesh = homes.meshes[-1]
    own = {name for name, of in homes.members.items() if of == mesh}

    async def change(**spec: object) -> tuple[list[Moment], float]:
        """What is written outside of the mesh's namespace because of an edit, and the looks at members."""
        await bed.rest()
        mark, before = bed.audit.mark(), count_looks(bed)
        edit(bed.api, mesh, **spec)
        await wait_for(bed.api, mesh, seconds=120)
        await bed.rest()
        looks = count_looks(bed) - before
        return [w for w in bed.list_writes(mark) if w.namespace in own or w.name in own], looks

    logged, looks = await change(controlPlane={"logging": {"level": "all:info"}})
    assert ([str(w) for w in logged], looks) == ([], 0)
    what = f"an edit of a mesh with {len(own)} members that is nothing to them"
    note(SECTION, what, "0 writes of them, 0 looks at them", bound="0 and 0")

    stamped, looks = await change(proxy={"logLevel": "debug"})
    assert [str(w) for w in stamped] == []
    assert looks >= len(own)
    what = "the same, where pods get other proxies and there are none yet"
    note(SECTION, what, f"0 writes of them, {looks / len(own):.1f} looks at each", bound="0 writes")

    isolated, _ = await change(networkPolicies={"manage": True, "isolateMembers": True})
    policies = Counter(w.namespace for w in isolated if w.resource == "networkpolicies")
    assert policies == dict.fromkeys(own, 1)
    assert [str(w) for w in isolated if w.resource == "namespaces"] == []
    note(SECTION, "the same, where they are isolated", "1 NetworkPolicy in each", bound="1")


@pytest.mark.long
async def test_an_event_of_one_namespace_leads_to_one_look_whatever_others_there_are(
    bed: Bed, homes: Homes, rounds: Rounds, note: Note
) -> None:
    await bed.rest()
    mark, before, number = bed.audit.mark(), count_looks(bed), rounds(5, 20)
    others = count_looks(bed, "MeshControlPlane")
    chosen = list(homes.members)[:number]
    for name in chosen:
        bed.api.patch("namespace", "", name, {"metadata": {"labels": {"team": "blue"}}})
        await bed.rest()
    members, meshes = count_looks(bed) - before, count_looks(bed, "MeshControlPlane") - others
    asked = [m for m in bed.moments(mark) if m.user == USER and m.verb != "watch" and m.resource != "leases"]
    assert [str(m) for m in asked if m.is_write] == []
    assert members <= number
    assert meshes <= number
    assert {m.verb for m in asked} <= {"get"}
    assert len(asked) <= members + meshes
    assert all(read_labels(bed.api, name).keys() == {MEMBER_OF, ISTIO_REV} for name in chosen)
    what = f"an event of one namespace among {len(homes.members)} members, {number} times"
    each = f"{members / number:.1f} looks at members, {meshes / number:.1f} at meshes"
    told = f"{each}, {len(asked) / number:.1f} requests, 0 writes"
    note(SECTION, what, told, bound="1, 1, 2 and 0")
