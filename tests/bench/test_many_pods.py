"""A cluster with many namespaces and pods in one mesh: what the operator keeps of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.bench.conftest import Bed, Note, a_bed
from tests.bench.crowd import NODES, build_injected_pod, build_namespace, spread
from tests.bench.measure import read_cpu, read_peak, read_rss
from tests.polling import eventually
from tests.support.operator import USER

SECTION = "Many pods"
NS, TAG, REVISION = "crowded", "crowded-demo", "crowded-demo-inplace"
MEMORY = 150
FOR_PODS = 25
"""MiB that a census of 10,000 pods may take."""
BATCH = 500


@pytest.fixture(scope="module")
async def bed() -> AsyncIterator[Bed]:
    """A lab whose one mesh is at rest."""
    async with a_bed("pods") as bed:
        await bed.make_mesh(NS)
        yield bed


def read_census(bed: Bed) -> dict[str, int]:
    mesh = bed.api.get("mesh", NS, "demo")
    assert mesh is not None
    return dict(mesh["status"]["proxies"])


async def populate(bed: Bed, *, namespaces: int, pods: int) -> None:
    """So many namespaces of the mesh, and so many injected pods in them."""
    revision = bed.api.get("revision", NS, REVISION)
    assert revision is not None
    names = [f"app-{number}" for number in range(namespaces)]
    await bed.crowd.create(build_namespace(name, TAG) for name in names)
    accounts = "/api/v1/serviceaccounts"

    async def have_accounts() -> bool:
        return await bed.crowd.count(accounts) >= namespaces

    # A pod needs its namespace's account, which the controller-manager makes.
    await eventually(have_accounts, seconds=180, every=0.5, what="each namespace has its account")
    homes, nodes = spread(names, pods), spread(NODES, pods)
    stamp = revision["status"]["proxy"]
    for begin in range(0, pods, BATCH):
        await bed.crowd.create(
            build_injected_pod(
                homes[index], f"web-{index}", revision=REVISION, stamp=stamp, node=nodes[index]
            )
            for index in range(begin, min(begin + BATCH, pods))
        )


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_memory_stays_small_with_many_namespaces_and_pods(bed: Bed, note: Note, full: bool) -> None:
    namespaces, pods = (1000, 10_000) if full else (100, 1000)
    before, cpu, started = read_rss(bed.operator.pid), read_cpu(bed.operator.pid), time.monotonic()
    mark = bed.audit.mark()
    await populate(bed, namespaces=namespaces, pods=pods)
    census = {
        "total": pods,
        "current": pods,
        "outdated": 0,
        "misplaced": 0,
        "manual": 0,
        "summary": f"{pods}/{pods}",
    }
    await eventually(lambda: read_census(bed) == census, seconds=120, every=0.5, what="all are counted")
    await bed.rest()
    came, spent = read_rss(bed.operator.pid), read_cpu(bed.operator.pid) - cpu
    took = time.monotonic() - started
    read = [m for m in bed.moments(mark) if m.user == USER and m.resource in ("pods", "namespaces")]
    assert [str(m) for m in read if m.verb in ("list", "get")] == [], "what the watches tell is enough"
    assert bed.operator.stop() == 0
    mark, started = bed.audit.mark(), time.monotonic()
    await bed.start()
    listed, peak, ready = read_rss(bed.operator.pid), read_peak(bed.operator.pid), time.monotonic() - started
    assert read_census(bed) == census
    assert [str(write) for write in bed.list_writes(mark)] == []
    what = f"{namespaces} namespaces and {pods} pods"
    bound = f"{MEMORY} MiB"
    sail = "443 to 531 MiB with 1,000 and 10,000"
    note(SECTION, f"memory (RSS) after {what} came", f"{came:.0f} MiB", bound=bound, sail=sail)
    note(SECTION, f"memory (RSS) after a start with {what}", f"{listed:.0f} MiB", bound=bound, sail=sail)
    note(SECTION, "the most that it was while starting", f"{peak:.0f} MiB", bound=bound)
    note(SECTION, "memory before they came", f"{before:.0f} MiB", bound=f"at most {FOR_PODS} MiB less")
    note(SECTION, "lists and reads of pods and namespaces for them", "0", bound="0")
    note(SECTION, "CPU for all their events, in all", f"{spent:.1f} s of {took:.0f} s")
    note(SECTION, f"start until at rest with {what}", f"{ready:.1f} s")
    assert came - before <= FOR_PODS
    assert came <= MEMORY
    assert peak <= MEMORY
