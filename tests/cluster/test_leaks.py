"""The operator holds no more after thousands of reconciles than before: memory, open files, threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, build_operator, install
from tests.polling import eventually
from tests.support.activity import count_reconciles, is_leading, wait_for_rest
from tests.support.api import Api
from tests.support.growth import Held, fit, read_held, show
from tests.support.logs import read_events
from tests.support.meshes import build_mesh, edit, wait_for

MESHES = 6
GROWTH = 0.5
"""KiB a reconcile: what a slope has to exceed, beyond its noise, to count as a leak. The least thing that a
reconcile could forget to let go (a parsed mesh) has tens of them.
"""
WARM, SECONDS = 120.0, 1200.0
"""Until allocators and bounded memories are full, and for how long it is measured then."""
VARIANTS = 40
"""Different edits; then they come again, so that what is remembered by content is remembered already."""
NEVER_RESTS = {"log_level": "warning"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    """A lab of its own: nothing else may make the operator work."""
    with a_lab("leaks") as cluster:
        yield cluster


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
@pytest.mark.timeout(2400)
async def test_thousands_of_edits_leave_nothing_behind(lab: Cluster) -> None:
    """Live edits, refused ones, drift, and meshes that come and go."""
    api = Api(lab.kubeconfig)
    await install(api)
    process = build_operator(lab, "leaks", **NEVER_RESTS)
    process.start()
    try:
        await eventually(process.is_ready, seconds=60, every=0.1, what=f"ready, see {process.log}")
        await eventually(lambda: is_leading(process), seconds=30, every=0.1, what="leading")
        names = [f"leaks-{number}" for number in range(MESHES)]
        for name in names:
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            api.create(build_mesh(name))
        for name in names:
            await wait_for(api, name)
        samples: list[tuple[float, Held]] = []
        started = time.monotonic()
        sampled = started + WARM
        for number in count():
            stir(api, names[number % MESHES], number)
            now = time.monotonic()
            if now >= sampled:
                sampled = now + SECONDS / 40
                samples.append((count_reconciles(process), read_held(process.pid)))
            if now >= started + WARM + SECONDS:
                break
            await asyncio.sleep(0)
        await wait_for_rest(process, seconds=120)
        line = fit([(reconciles, held.rss) for reconciles, held in samples])
        print(show(samples, line))
        assert not line.rises(more_than=GROWTH), show(samples, line)
        first, last = samples[0][1], samples[-1][1]
        assert last.threads <= first.threads + 2
        assert last.files <= first.files + 8, "connections of a pool come and go"
        assert [line for line in read_events(process.log) if line["level"] in ("error", "critical")] == []
    finally:
        process.stop()


def stir(api: Api, namespace: str, number: int) -> None:
    """One of the things that happen to a mesh."""
    variant = number // MESHES % VARIANTS
    match number // MESHES % 4:
        case 0:
            edit(api, namespace, meshConfig={"accessLogFile": f"/dev/stdout-{variant}"}, profiles=None)
        case 1:
            edit(api, namespace, profiles=[f"no-such-{variant}"])
        case 2:
            edit(api, namespace, profiles=None)
        case 3:
            api.delete("configmap", namespace, f"values-{namespace}-demo-inplace")
