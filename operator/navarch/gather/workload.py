"""Why istiod's pods do not become ready, in the cluster's own words.

Owns the reading of a pod's status, which the kubelet and the scheduler write. Must never read Events: each
account that may create them beside a mesh could put words into its conditions. Invariants: a message is
quoted, in one line of bounded length; it does not change with each attempt of the kubelet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from navarch.core.model.labels import TEMPLATE
from navarch.core.model.messages import shorten
from navarch.core.model.refs import Manifest
from navarch.core.world.trial import TrialPod
from navarch.core.world.workload import PodProblem, WorkloadPod, determine_rollout
from navarch.gather.excerpts import INJECTED_BY, UNINJECTED, is_of_trial

LONGEST = 500
"""Characters of a status's message that are quoted."""
STARTING = frozenset({"ContainerCreating", "PodInitializing"})
_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*": (?P<reason>\w+): (?P<message>.*)', re.DOTALL)
"""What the kubelet says between two attempts: the last one's reason and message (pkg/kubelet/images)."""


def read_problems(workload: Manifest | None, pods: Iterable[Manifest]) -> tuple[PodProblem, ...]:
    """The problems of a workload that is not rolled out: those of its pods, and of a Deployment's ReplicaSet
    when that cannot make any."""
    if workload is None or determine_rollout(workload).complete:
        return ()
    return (*filter(None, map(read_problem, pods)), *_read_replica_failures(workload))


def _read_replica_failures(deployment: Manifest) -> Iterator[PodProblem]:
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            name = deployment["metadata"]["name"]
            yield _build(f"of {name}", condition.get("reason", ""), condition.get("message", ""))


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
        metadata["name"],
        template,
        deadline,
        leaving=_find_request(metadata, deadline),
        ready=since,
        uninjected=UNINJECTED in pod,
    )


def read_trial_pod(pod: Manifest) -> TrialPod | None:
    """A pod of a trial proxy; None for one that has ended, and for others."""
    seen = read_pod(pod) if is_of_trial(pod) else None
    if seen is None:
        return None
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return TrialPod(
        seen.name,
        seen.template,
        revision=str(pod.get(INJECTED_BY, "")),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        leaving="deletionTimestamp" in pod["metadata"],
        problem=str(read_problem(pod) or ""),
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
            return _build(name, condition.get("reason", ""), condition.get("message", ""))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in STARTING:
            return _build(name, *_read_waiting(container, waiting))
    return None


def _read_waiting(container: Manifest, waiting: Manifest) -> tuple[str, str]:
    """Why a container waits: reason and message of the last attempt to pull its image, or of its last end.
    Between two attempts the kubelet says something else, and how long it waits."""
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if pulled := _BACK_OFF.match(message):
        return pulled["reason"], pulled["message"]
    ended = (container.get("lastState") or {}).get("terminated")
    if reason == "CrashLoopBackOff" and ended:
        words = f"container {container['name']} ended with code {ended['exitCode']}"
        return reason, ": ".join(filter(None, (words, ended.get("reason"), ended.get("message"))))
    return reason, message


def _build(pod: str, reason: str, message: str) -> PodProblem:
    line = "".join(c if c.isprintable() else " " for c in message)
    return PodProblem(pod, reason, shorten(line, LONGEST))
