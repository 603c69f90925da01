"""What `navarch manifests` prints, applied unchanged: pods, their priority and their budget on a real API
server. Nothing runs in the pods here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.operator import SYSTEM

PODS = "app.kubernetes.io/name=navarch"


def list_pods(api: Api) -> list[Object]:
    found = api.list("pod", SYSTEM, labels=PODS)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def are_two_ready(api: Api) -> bool:
    ready = [
        c["status"] == "True"
        for pod in list_pods(api)
        for c in (pod.get("status") or {}).get("conditions") or ()
        if c["type"] == "Ready"
    ]
    return ready == [True, True]


@pytest.fixture(scope="module")
def printed() -> str:
    """The manifests as the command prints them."""
    command = [sys.executable, "-P", "-m", "navarch", "manifests"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
async def deployed(installed: Cluster, api: Api, printed: str) -> AsyncIterator[str]:
    """What kubectl said when it applied the manifests; the Deployment is taken away afterwards."""
    apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
    yield installed.run(*apply, stdin=printed, timeout=240)
    api.delete("deployment", SYSTEM, "navarch")
    await eventually(lambda: api.list("pod", SYSTEM, labels=PODS) == [], seconds=60, what="the pods are gone")


async def test_both_replicas_run_in_a_namespace_that_enforces_the_restricted_level(
    deployed: str, api: Api
) -> None:
    namespace = api.get("namespace", "", SYSTEM) or {}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "deployment.apps/navarch serverside-applied" in deployed
    assert "Warning" not in deployed
    await eventually(lambda: are_two_ready(api), seconds=60, every=0.2, what="two pods are ready")
    for pod in list_pods(api):
        assert pod["spec"]["priority"] == 2_000_000_000
        assert pod["spec"]["preemptionPolicy"] == "PreemptLowerPriority"


async def test_the_pods_are_counted_by_the_quota_for_their_priority(deployed: str, api: Api) -> None:
    def used() -> str:
        quota = api.get("quota", SYSTEM, "navarch-critical-pods") or {}
        return str(((quota.get("status") or {}).get("used") or {}).get("pods"))

    await eventually(lambda: used() == "2", seconds=60, every=0.2, what="two pods in the quota")


async def test_one_replica_may_be_evicted_and_not_both(deployed: str, api: Api) -> None:
    await eventually(lambda: are_two_ready(api), seconds=60, every=0.2, what="two pods are ready")

    def may_one_go() -> bool:
        budget = api.get("pdb", SYSTEM, "navarch") or {}
        return bool((budget.get("status") or {}).get("disruptionsAllowed") == 1)

    await eventually(may_one_go, seconds=60, every=0.2, what="the budget lets one go")
    first, second = list_pods(api)
    with cordoned(api):
        evict(api, first)
        with pytest.raises(Refused, match="disruption budget") as refused:
            evict(api, second)
    assert refused.value.code == 429
    await eventually(lambda: are_two_ready(api), seconds=60, every=0.2, what="two pods are ready again")


@contextmanager
def cordoned(api: Api) -> Iterator[None]:
    """No node takes a pod: the one that replaces another cannot be ready at once, as pretended pods are."""
    names = [node["metadata"]["name"] for node in api.list("node")]
    for name in names:
        api.patch("node", "", name, {"spec": {"unschedulable": True}})
    try:
        yield
    finally:
        for name in names:
            api.patch("node", "", name, {"spec": {"unschedulable": None}})


def evict(api: Api, pod: Object) -> None:
    """What `kubectl drain` asks for."""
    metadata = {"name": pod["metadata"]["name"], "namespace": SYSTEM}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    api.request("POST", api.path("pod", SYSTEM, pod["metadata"]["name"], "eviction"), body)
