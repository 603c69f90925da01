"""Five thousand members of twenty meshes: made, looked at by a new process while others join, and what an
edit of their mesh, an event of a namespace, and their pods cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from statistics import median
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.bench.conftest import Bed, Note, a_bed
from tests.bench.crowd import NODES, build_injected_pod, spread
from tests.bench.measure import Moment, find_percentile, read_cpu, read_rss, show_spread
from tests.polling import eventually
from tests.support.activity import is_leading, read_metric
from tests.support.api import Object
from tests.support.members import MEMBER_OF, build_member
from tests.support.meshes import edit, wait_for
from tests.support.operator import USER

pytestmark = pytest.mark.chain  # the members that the first test makes are what the others look at
SECTION = "Many members"
BATCH = 500
MEMORY = 25
"""MiB that the census of ten thousand pods may take."""
OVERTAKEN = 3
"""Workers that may have begun with another member when one joins, and one look more."""
TIMES_PLAIN = 12
"""How much longer a join may take than a plain write of another client at the same time: it is an event of a
watch, a read and three writes."""
STARTS = 6
"""Starts of the operator, at the most, to see enough namespaces join during one."""
LOOKS_OF_AN_EDIT = 4
LOOKS_OF_AN_EVENT = 2
"""At a namespace's member, and at its mesh."""

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
async def bed(homes: Homes) -> AsyncIterator[Bed]:
    """A lab whose meshes are at rest."""
    async with a_bed("members") as bed:
        await bed.make_meshes(homes.meshes, scope="Members")
        yield bed


async def make_namespaces(bed: Bed, names: list[str]) -> None:
    for begin in range(0, len(names), BATCH):
        await bed.crowd.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in names[begin : begin + BATCH]
        )


def list_watches(bed: Bed, mark: int) -> set[tuple[str, str, str]]:
    """What the operator watches since a mark: path and selectors, however often it was asked for."""
    uris = [urlsplit(r.uri) for r in bed.audit.since(mark) if r.verb == "watch"]
    asked = [(uri.path, dict(parse_qsl(uri.query))) for uri in uris]
    return {(path, q.get("labelSelector", ""), q.get("fieldSelector", "")) for path, q in asked}


async def count_told(bed: Bed, part: str) -> int:
    """What the meshes say in sum: members that are ready, or proxies that are current."""
    listed = await bed.crowd.send("GET", bed.api.path("mesh"))
    field, counted = {"members": ("members", "ready"), "proxies": ("proxies", "current")}[part]
    return sum(mesh["status"].get(field, {}).get(counted, 0) for mesh in listed["items"])


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
        return await count_told(bed, "members") == len(names)

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


# --- a restart, and who joins meanwhile


@dataclass(frozen=True)
class Join:
    """How long a namespace waited for its label, how many other members were looked at meanwhile, and how
    many after it."""

    seconds: float
    overtaken: int
    left: int


async def join_during_a_start(bed: Bed, joiners: dict[str, str], plain: list[float]) -> None:
    """Start the operator, and let one namespace after the other join from when it leads; and time a plain
    write between them."""
    bed.operator.start()
    await eventually(lambda: is_leading(bed.operator), seconds=60, every=0.01, what="leading")
    for name, mesh in joiners.items():
        await bed.crowd.send("POST", bed.api.path("member", name), build_member(name, mesh))

        async def is_labelled(name: str = name) -> bool:
            found = await bed.crowd.send("GET", f"/api/v1/namespaces/{name}")
            return MEMBER_OF in (found["metadata"].get("labels") or {})

        await eventually(is_labelled, seconds=120, every=0.01, what=f"{name} has joined")
        started = time.monotonic()
        await bed.crowd.send("PUT", bed.api.path("configmap", "default", "plain"), build_plain(started))
        plain.append(time.monotonic() - started)
    await eventually(bed.operator.is_ready, seconds=60, every=0.1, what="ready")
    await bed.rest()


def build_plain(number: float) -> Object:
    """An object that a client writes for comparison."""
    metadata = {"name": "plain", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"at": str(number)}}


def list_joins(moments: list[Moment], joiners: dict[str, str]) -> list[Join]:
    """Those of them that joined while the others were being looked at."""
    made = {m.namespace: m.ended for m in moments if (m.resource, m.verb) == ("meshmembers", "create")}
    labelled = {m.name: m for m in moments if m.user == USER and m.resource == "namespaces" and m.is_write}
    looks = [m for m in moments if m.user == USER and (m.resource, m.verb) == ("meshmembers", "get")]
    swept = [look.received for look in looks if look.namespace not in joiners]
    joins = []
    for name in joiners:
        begun, ended = made[name], labelled[name]
        if begun < swept[0]:
            continue  # it was listed at the start, as the others were
        first = next(look.received for look in looks if look.namespace == name)
        overtaken = sum(begun < at < first for at in swept)
        joins.append(Join(ended.ended - begun, overtaken, sum(at > ended.ended for at in swept)))
    return [join for join in joins if join.left]


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_restart_writes_nothing_and_who_joins_meanwhile_does_not_wait_for_it(
    bed: Bed, homes: Homes, rounds: Rounds, note: Note
) -> None:
    await bed.crowd.create([build_plain(0)])
    watched = list_watches(bed, 0)
    wanted, batch = rounds(4, 100), rounds(8, 60)
    joins: list[Join] = []
    plain: list[float] = []
    seconds: list[float] = []
    for start in range(STARTS):
        if len(joins) >= wanted:
            break
        joiners = {f"joiner-{start}-{n}": homes.meshes[n % len(homes.meshes)] for n in range(batch)}
        await make_namespaces(bed, list(joiners))
        await bed.rest()
        assert bed.operator.stop() == 0
        mark, started = bed.audit.mark(), time.monotonic()
        await join_during_a_start(bed, joiners, plain)
        seconds.append(time.monotonic() - started)
        moments = bed.moments(mark)
        assert read_metric(bed.operator, "reconcile_total", controller="MeshMember") >= len(homes.members)
        settled = [
            w for w in bed.list_writes(mark) if w.namespace in homes.members or w.name in homes.members
        ]
        assert [str(write) for write in settled] == []
        others = [w for w in bed.list_writes(mark) if {w.namespace, w.name}.isdisjoint(joiners)]
        numbers = [w for w in others if (w.resource, w.subresource) == ("meshcontrolplanes", "status")]
        assert [str(w) for w in others if w not in numbers] == [], "but for how many members a mesh has"
        joins += list_joins(moments, joiners)
    assert len(joins) >= wanted, "they joined while the others were looked at"
    assert list_watches(bed, mark) == watched, "as many as when there was no member"
    waited, overtaken = [join.seconds for join in joins], [join.overtaken for join in joins]
    times = find_percentile(waited, 0.99) / median(plain)
    note(SECTION, f"a restart over {len(homes.members)} settled members", "0 writes", bound="0 writes")
    note(SECTION, "start until all were looked at, while others joined", show_spread(seconds))
    note(SECTION, "watches, without a member and with them", f"{len(watched)}", bound="the same")
    what = f"{len(joins)} joins meanwhile, create to label"
    note(SECTION, what, f"{show_spread(waited, digits=3)}, p99 {find_percentile(waited, 0.99):.3f} s")
    note(SECTION, "a plain write between them", show_spread(plain, digits=3))
    note(SECTION, "p99 of the former by the median of the latter", f"{times:.1f} x")
    note(SECTION, "looks at others before a join's own", f"{median(overtaken):.0f} to {max(overtaken)}")


# --- what an edit, an event and pods cost


def list_member_writes(bed: Bed, mark: int, homes: Homes) -> list[Moment]:
    """The operator's writes of members, of their namespaces, and of what lies in these."""
    return [w for w in bed.list_writes(mark) if not {w.namespace, w.name}.isdisjoint(homes.members)]


def list_looks(bed: Bed, mark: int) -> Counter[str]:
    """How often each namespace's member was looked at."""
    found = (
        m for m in bed.moments(mark) if m.user == USER and (m.resource, m.verb) == ("meshmembers", "get")
    )
    return Counter(m.namespace for m in found)


@pytest.mark.long
async def test_an_edit_of_a_mesh_writes_to_its_members_only_what_changes_of_them(
    bed: Bed, homes: Homes, note: Note
) -> None:
    mesh = homes.meshes[0]
    inside = {name for name, of in homes.members.items() if of == mesh}
    mark = bed.audit.mark()
    edit(bed.api, mesh, meshConfig={"accessLogFile": "/dev/stdout"}, controlPlane={"logLevel": "debug"})
    await wait_for(bed.api, mesh, condition="UpToDate", seconds=120)
    await bed.rest()
    assert [str(w) for w in list_member_writes(bed, mark, homes)] == []
    looks = list_looks(bed, mark)
    assert set(looks) <= inside
    note(SECTION, "writes to members and their namespaces for an edit of a mesh", "0", bound="0")
    each = looks.total() / len(inside)
    note(SECTION, "looks at a member of that mesh for it", f"{each:.1f}", bound=str(LOOKS_OF_AN_EDIT))
    assert max(looks.values(), default=0) <= LOOKS_OF_AN_EDIT

    mark = bed.audit.mark()
    edit(bed.api, mesh, networkPolicies={"manage": True, "isolateMembers": True})

    def list_closed() -> list[Moment]:
        return [w for w in bed.list_writes(mark) if w.resource == "networkpolicies" and w.namespace in inside]

    await eventually(lambda: len(list_closed()) >= len(inside), seconds=300, every=0.2, what="policies")
    await bed.rest()
    assert Counter(w.namespace for w in list_closed()) == dict.fromkeys(inside, 1)
    rest = [w for w in list_member_writes(bed, mark, homes) if w.resource != "networkpolicies"]
    assert [str(w) for w in rest] == [], "and nothing else, nor to members of another mesh"
    note(SECTION, "the same for an edit that isolates them", "1 policy each", bound="1 each")


@pytest.mark.long
async def test_an_event_of_a_namespace_asks_for_as_many_looks_as_there_are_meshes_that_it_concerns(
    bed: Bed, homes: Homes, rounds: Rounds, note: Note
) -> None:
    await bed.rest()
    chosen = list(homes.members)[:: len(homes.members) // rounds(5, 25)]
    for name in chosen:
        mark, before = bed.audit.mark(), read_metric(bed.operator, "reconcile_total")
        bed.api.patch("namespace", "", name, {"metadata": {"labels": {"example.com/touched": "1"}}})
        await eventually(lambda mark=mark: list_looks(bed, mark), seconds=60, every=0.02, what="a look")
        await bed.rest()
        looks = read_metric(bed.operator, "reconcile_total") - before
        assert set(list_looks(bed, mark)) == {name}
        assert looks <= LOOKS_OF_AN_EVENT
        assert [str(w) for w in bed.list_writes(mark)] == []
    what = f"looks for an event of one of {len(homes.members)} members' namespaces"
    note(SECTION, what, f"1 to {LOOKS_OF_AN_EVENT}", bound=str(LOOKS_OF_AN_EVENT))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_the_census_of_many_pods_takes_little_memory_and_lists_nothing_again(
    bed: Bed, homes: Homes, note: Note, full: bool
) -> None:
    pods, names = 10_000 if full else 600, list(homes.members)

    async def have_accounts() -> bool:
        return await bed.crowd.count("/api/v1/serviceaccounts") >= len(names)

    await eventually(have_accounts, seconds=300, every=0.5, what="each namespace has its account")
    stamps = {mesh: read_stamp(bed, mesh) for mesh in homes.meshes}
    await bed.rest()
    mark, before = bed.audit.mark(), read_rss(bed.operator.pid)
    places = list(zip(spread(names, pods), spread(NODES, pods), strict=True))
    for begin in range(0, pods, BATCH):
        await bed.crowd.create(
            build_injected_pod(
                name,
                f"web-{number}",
                revision=f"{homes.members[name]}-demo-inplace",
                stamp=stamps[homes.members[name]],
                node=node,
            )
            for number, (name, node) in enumerate(places[begin : begin + BATCH], begin)
        )

    async def are_counted() -> bool:
        return await count_told(bed, "proxies") == pods

    await eventually(are_counted, seconds=300, every=0.5, what="all are counted")
    await bed.rest()
    grown = read_rss(bed.operator.pid) - before
    lists = [str(m) for m in bed.moments(mark) if m.user == USER and m.verb == "list"]
    assert lists == []
    note(SECTION, f"memory (RSS) for the census of {pods} pods", f"{grown:.0f} MiB", bound=f"{MEMORY} MiB")
    note(SECTION, "LISTs of that, after those of the start", "0", bound="0")
    assert grown <= MEMORY


def read_stamp(bed: Bed, mesh: str) -> str:
    """What the injector of a mesh writes on pods now."""
    revision = bed.api.get("revision", mesh, f"{mesh}-demo-inplace")
    assert revision is not None
    return str(revision["status"]["proxy"])
