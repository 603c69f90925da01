"""Why istiod's pods do not become ready, in the cluster's own words.

Owns the reading of pods' states and Events. Must never guess: a message is quoted. Invariant: a pod that
merely starts is no problem, so a rollout that goes well costs no request here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from navarch.core.model.labels import TEMPLATE
from navarch.core.model.messages import shorten
from navarch.core.model.refs import Manifest
from navarch.core.world.workload import PodProblem, WorkloadPod
from navarch.kube.client import Client
from navarch.kube.resources import resource_of

LONGEST = 500
"""Characters of an Event's message that are quoted."""
STARTING = frozenset({"ContainerCreating", "PodInitializing"})
QUOTED = frozenset(
    {
        *(
            "BackOff",
            "ErrImageNeverPull",
            "Evicted",
            "Failed",
            "FailedAttachVolume",
            "FailedCreatePodSandBox",
        ),
        *("FailedMount", "FailedPostStartHook", "FailedPreStopHook", "FailedScheduling", "InspectFailed"),
        *("InvalidImageName", "NetworkNotReady", "NodeNotReady", "Unhealthy"),
    }
)
"""Reasons of the Events by which Kubernetes says why a pod does not become ready (pkg/kubelet/events,
pkg/scheduler). Everybody with the right to create Events in a namespace can write one about our pods: what
gives another reason is not quoted."""


async def gather_problems(
    client: Client, deployment: Manifest, pods: Iterable[Manifest]
) -> tuple[PodProblem, ...]:
    """The problems of a Deployment: those of its pods, and of its ReplicaSet when that cannot make any."""
    problems = [p for pod in pods if (p := read_problem(pod)) is not None]
    quoted = [await _quote(client, deployment["metadata"]["namespace"], p) for p in problems]
    return (*quoted, *_read_replica_failures(deployment))


def _read_replica_failures(deployment: Manifest) -> Iterator[PodProblem]:
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            name = deployment["metadata"]["name"]
            yield PodProblem(f"of {name}", condition.get("reason", ""), condition.get("message", ""))


def read_pod(pod: Manifest) -> WorkloadPod | None:
    """A pod of a control plane; None for one that has ended, such as an evicted one."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    template = (metadata.get("labels") or {}).get(TEMPLATE, "")
    deadline = metadata.get("deletionTimestamp", "")
    ready: dict[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    since = str(ready.get("lastTransitionTime", "")) if ready.get("status") == "True" else ""
    return WorkloadPod(
        metadata["name"], template, deadline, leaving=_find_request(metadata, deadline), ready=since
    )


def _find_request(metadata: Mapping[str, Any], deadline: str) -> str:
    """When a pod's end was asked for: its deadline less its grace. Empty for a pod that stays."""
    if not deadline:
        return ""
    asked = datetime.fromisoformat(deadline) - timedelta(
        seconds=metadata.get("deletionGracePeriodSeconds") or 0
    )
    return asked.isoformat()


def read_problem(pod: Manifest) -> PodProblem | None:
    """What is wrong with one pod by its status; None where nothing is, or it merely starts."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return None
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return PodProblem(name, condition.get("reason", ""), condition.get("message", ""))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in STARTING:
            return PodProblem(name, waiting.get("reason", ""), waiting.get("message", ""))
    return None


async def _quote(client: Client, namespace: str, problem: PodProblem) -> PodProblem:
    """The problem in the words of the pod's own Warnings. The longest tells most (it names registry, node or
    quota); the newest would alternate with every attempt of the kubelet, and status with it."""
    selector = f"involvedObject.kind=Pod,involvedObject.name={problem.pod},type=Warning"
    events = await client.list(
        resource_of("v1", "Event"), namespace=namespace, field_selector=selector, limit=50
    )
    told = max((e for e in events.items if e.get("reason") in QUOTED), key=_telling, default=None)
    return PodProblem(problem.pod, told["reason"], _read_message(told)) if told else problem


def _read_message(event: Manifest) -> str:
    """An Event's message in one line of bounded length."""
    return shorten("".join(c if c.isprintable() else " " for c in event.get("message") or ""), LONGEST)


def _telling(event: dict[str, Any]) -> tuple[int, str]:
    return len(_read_message(event)), event["reason"]
