"""A mesh that serves, edited every second: traffic flows, no proxy restarts, the operator does not grow."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import count

import pytest

from tests.node.conftest import Mesh
from tests.support.api import Api
from tests.support.growth import PROBE, Held, fit, show
from tests.support.operator import SYSTEM
from tests.support.scraping import bind_reader
from tests.support.workloads import traffic

GROWTH = {True: 0.5, False: 20.0}
"""KiB a reconcile, in the full form and in the short one, that a slope has to exceed, beyond its noise, to
count as a leak. A rendering that was not let go has two hundred: the short form finds a tenth of one. It sees
the first minute alone, in which caches and the allocator fill: 4.9 KiB a reconcile in three runs, falling
towards the end. Whether that ends is for the full form to say."""
SCRAPE = """
import ssl, urllib.request
token = open("/var/run/secrets/kubernetes.io/serviceaccount/token").read()
asked = urllib.request.Request("https://localhost:8443/metrics", headers={"Authorization": f"Bearer {token}"})
print(urllib.request.urlopen(asked, context=ssl._create_unverified_context()).read().decode())
"""
"""Prints the metrics of the operator's container in which it runs, as its own account."""


def find_leader(mesh: Mesh) -> str:
    """The pod that leads: the Lease's holder begins with its name."""
    lease = mesh.api.get("lease", SYSTEM, "navarch")
    holder = (lease or {})["spec"]["holderIdentity"]
    return next(
        p["metadata"]["name"]
        for p in mesh.api.list("pod", SYSTEM)
        if holder.startswith(p["metadata"]["name"])
    )


def read_held(mesh: Mesh, pod: str) -> Held:
    told = mesh.cluster.run("exec", "-n", SYSTEM, pod, "--", "python", "-c", "PID = 1" + PROBE)
    return Held(*map(int, told.split()))


def count_reconciles(mesh: Mesh, pod: str) -> float:
    bind_reader(mesh.api, SYSTEM, "navarch")
    text = mesh.cluster.run("exec", "-n", SYSTEM, pod, "--", "python", "-c", SCRAPE)
    lines = [line for line in text.splitlines() if line.startswith("navarch_reconcile_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def read_lives(mesh: Mesh, api: Api) -> dict[str, int]:
    """Every pod of istiod, the applications and the operator, and how often its containers restarted."""
    pods = [*api.list("pod", mesh.apps), *api.list("pod", SYSTEM), *mesh.list_istiods()]
    return {
        pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses") or ())
        + sum(c["restartCount"] for c in pod["status"].get("initContainerStatuses") or ())
        for pod in pods
    }


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_a_mesh_that_is_edited_every_second_serves_and_its_operator_does_not_grow(
    mesh: Mesh, api: Api, full: bool
) -> None:
    warm, seconds = (120, 1800) if full else (15, 60)
    leader, lives = find_leader(mesh), read_lives(mesh, api)
    samples: list[tuple[float, Held]] = []
    started = time.monotonic()
    with traffic(mesh.cluster, mesh.apps, mesh.url, count=5 * (warm + seconds)):
        for number in count():
            mesh.edit(meshConfig={"accessLogFormat": f"{number} %PROTOCOL%\n"})
            passed = time.monotonic() - started
            if passed > warm + len(samples) * seconds / 30:
                samples.append((count_reconciles(mesh, leader), read_held(mesh, leader)))
            if passed > warm + seconds:
                break
            await asyncio.sleep(max(0.0, number + 1 - (time.monotonic() - started)))
        line = fit([(reconciles, held.rss) for reconciles, held in samples])
        print(show(samples, line))  # in here: also where a request fails, which is told on leaving
    mesh.edit(meshConfig=None)
    await mesh.wait_for()
    assert not line.rises(more_than=GROWTH[full]), show(samples, line)
    first, last = samples[0][1], samples[-1][1]
    assert last.threads <= first.threads + 2
    assert last.files <= first.files + 8, "connections of a pool come and go"
    assert read_lives(mesh, api) == lives
    assert find_leader(mesh) == leader
    log = mesh.cluster.run("logs", "-n", SYSTEM, leader, f"--since={warm + seconds + 10}s").splitlines()
    told = [json.loads(entry) for entry in log if entry.startswith("{")]
    assert [entry for entry in told if entry["level"] in ("error", "critical")] == []
