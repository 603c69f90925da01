"""Five thousand members of twenty meshes, made at once: what is written of each, and what they take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.bench.conftest import Bed, Note, a_bed
from tests.bench.measure import read_cpu, read_rss
from tests.polling import eventually
from tests.support.activity import read_metric
from tests.support.members import build_member

SECTION = "Many members"
BATCH = 500


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
