"""What others can write does not take the operator's memory, nor its time, and what it leaves out is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from lab.cluster import Cluster
from tests.cluster.conftest import ROOT, a_lab, build_operator, install
from tests.polling import eventually
from tests.support import operator as operators
from tests.support.activity import add_up, is_leading, read_metrics
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.limits import a_memory_limit, put_into, read_peak
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import USER, Operator
from tests.support.reaction import Reaction, assert_fair, edit_one, show
from tests.support.swollen import KINDS

LIMIT = 512 * 1024 * 1024
"""The memory limit of the operator's Deployment."""
MEGABYTES = {True: 200, False: 5}
"""Hostile objects of each kind in the full form, and in the short one."""
OF_KOPF = {"customresourcedefinitions", "meshcontrolplanes", "meshrevisions"}
EDITS = 9


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    """A lab of its own: nothing else may make the operator work."""
    with a_lab("hostile") as cluster:
        yield cluster


@contextmanager
def a_swollen_server(cluster: Cluster, process: Operator, megabytes: int) -> Iterator[str]:
    """The cluster's API server behind one that has more; the replica speaks to it."""
    kubeconfig = yaml.safe_load(process.kubeconfig.read_text())
    server = kubeconfig["clusters"][0]["cluster"]
    upstream, port = server["server"], operators.reserve_port()
    kubeconfig["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
    process.kubeconfig = cluster.state / f"swollen-{megabytes}.kubeconfig"
    process.kubeconfig.write_text(yaml.safe_dump(kubeconfig))
    program = Path(__file__).parents[1] / "support" / "swollen.py"
    command = [sys.executable, "-P", str(program), upstream, str(port), str(megabytes)]
    serving = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()


def is_filled(listed: Mapping[str, int]) -> bool:
    """Whether the operator's caches, and kopf for what it watches, have listed every kind to its end."""
    return all(listed.get(kind, 0) >= (2 if kind in OF_KOPF else 1) for kind in KINDS)


async def edit_often(api: Api, audit: Audit, name: str, count: int = EDITS) -> list[Reaction]:
    """Edits of a mesh, one after the other."""
    found = []
    for _ in range(count):
        found.append(await edit_one(api, audit, name))
        await wait_for(api, name, seconds=300)
    return found


async def run_beside(lab: Cluster, api: Api, megabytes: int, *, name: str) -> str:
    """Starts a replica within the limit and edits a mesh; what the replica has logged at the end."""
    assert lab.audit_log is not None
    audit = Audit(lab.audit_log, USER)
    process = build_operator(lab, f"hostile-{megabytes}")
    with a_swollen_server(lab, process, megabytes) as server, a_memory_limit(LIMIT) as group:
        await eventually(lambda: _fetch(f"{server}/filled"), seconds=20, what="the server answers")
        process.start()
        put_into(group, process.pid)
        try:
            await eventually(
                lambda: process.is_ready() and is_leading(process),
                seconds=300,
                every=0.1,
                what=f"ready, see {process.log}",
            )
            await wait_for(api, name, seconds=300)
            listing = await edit_often(api, audit, name, count=3)
            if megabytes:
                await eventually(
                    lambda: is_filled(json.loads(_fetch(f"{server}/filled"))),
                    seconds=600,
                    every=1,
                    what="each kind was listed to its end",
                )
            listed = await edit_often(api, audit, name)
            assert process.is_running()
            peak = read_peak(process.pid)
            show(f"{megabytes} MB of each kind, while kopf lists", listing)
            show(f"{megabytes} MB of each kind, listed", listed)
            print(f"peak {peak >> 20} MiB, limited: {group}")
            assert peak < LIMIT
            assert_fair(listed)
            samples = read_metrics(process)
            for watch in ("ConfigMap", "Deployment", "namespaces", "ClusterRole"):
                left_out = add_up(samples, "watch_left_out_objects", watch=watch)
                assert (left_out > 0) is (megabytes > 0), watch
            assert add_up(samples, "watch_kept_bytes") < 160 * 1024 * 1024
            assert process.is_running()
            assert process.fetch("/livez") == (200, "ok")
            assert ("ObjectsLeftOut" in _check(process)) is (megabytes > 0)
        finally:
            process.stop()
    return process.log.read_text()


def _check(process: Operator) -> str:
    """What `navarch check` says of the cluster, with the operator's rights."""
    command = [process.python, "-P", "-m", "navarch", "check", "--kubeconfig", str(process.kubeconfig)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=900)
    return ended.stdout + ended.stderr


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_with_any_content_of_others_the_operator_runs_within_its_limit_and_serves_edits(
    lab: Cluster, full: bool
) -> None:
    api = Api(lab.kubeconfig)
    await install(api)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    api.create(build_mesh("shop"))
    assert "too large" not in await run_beside(lab, api, 0, name="shop")
    log = await run_beside(lab, api, MEGABYTES[full], name="shop")
    assert "an object is too large to be kept whole" in log
