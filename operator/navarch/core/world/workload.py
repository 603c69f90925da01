"""A workload's rollout and the problems of its pods, read from their own status.

Owns what "available", "replaced" and "complete" mean for a Deployment and for a DaemonSet. Must never look at
what should run.
Invariant: generation-aware; a status that speaks of an older spec is never taken for the newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.core.model.applied import is_applied
from navarch.core.model.labels import TEMPLATE, revision_of
from navarch.core.model.refs import Manifest


@dataclass(frozen=True, slots=True)
class WorkloadPod:
    """A pod of a control plane or a gateway that has not ended. `template` is the hash of the template it was
    made from; `uninjected` says that it asks for a proxy and has none. Of a terminating one `leaving` says
    when its end was asked for and `deadline` when it must have ended; of one that is ready `ready` says since
    when. All three are RFC 3339, or empty."""

    name: str
    template: str
    deadline: str = ""
    leaving: str = ""
    ready: str = ""
    uninjected: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """State of a rollout. Counts are pods, of a DaemonSet one for each node. `replaced` means that only pods
    of the current template run and at least one serves, `complete` that all of them do."""

    desired: int
    updated: int
    available: int
    ready: int
    replaced: bool
    complete: bool
    message: str


@dataclass(frozen=True, slots=True)
class PodProblem:
    """Why a pod of the control plane is not ready, as its own status says."""

    pod: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"pod {self.pod}: {self.reason}: {self.message}"


def determine_rollout(workload: Manifest) -> Rollout:
    """Read a workload's rollout, by the rules of `kubectl rollout status` (apps/v1, DeploymentStatus and
    DaemonSetStatus)."""
    status = workload.get("status") or {}
    generation = int(workload["metadata"].get("generation", 0))
    observed = int(status.get("observedGeneration", 0)) >= generation
    read = _read_daemon_set if workload["kind"] == "DaemonSet" else _read_deployment
    return read(workload.get("spec") or {}, status, observed=observed)


def _read_deployment(spec: Manifest, status: Manifest, *, observed: bool) -> Rollout:
    desired = int(spec.get("replicas", 1))
    updated, available = int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))
    total = int(status.get("replicas", 0))
    replaced = observed and 0 < total <= updated and available > 0
    complete = replaced and updated >= desired and available >= desired
    message = "" if desired else "scaled to 0 pods"
    if desired and not complete:
        message = f"{updated} of {desired} pods updated, {available} available"
        message += f", {total - updated} old ones still there" if observed and total > updated else ""
        message += "" if observed else ", before the last change"
        failures = [
            c.get("message", "")
            for c in status.get("conditions") or ()
            if c["type"] == "ReplicaFailure" and c["status"] == "True"
        ]
        message = "; ".join([message, *failures])
    ready = int(status.get("readyReplicas", 0))
    return Rollout(desired, updated, available, ready, replaced, complete, message)


def _read_daemon_set(_: Manifest, status: Manifest, *, observed: bool) -> Rollout:
    """A node counts as updated once its oldest pod is of the current template. Status has no
    reason why the controller cannot make a pod."""
    desired, updated = (int(status.get(f"{k}NumberScheduled", 0)) for k in ("desired", "updated"))
    scheduled = int(status.get("currentNumberScheduled", 0))
    available = int(status.get("numberAvailable", 0))
    replaced = observed and 0 < desired <= updated and available > 0
    complete = replaced and available >= desired
    message = ""
    if observed and not desired:
        message = "no node takes its pods: see spec.placement and the taints of nodes"
    elif not complete:
        message = f"{updated} of {desired} nodes have an updated pod, {available} available"
        if scheduled < desired:
            message += f", {desired - scheduled} none: kubectl describe says why"
    ready = int(status.get("numberReady", 0))
    return Rollout(desired, updated, available, ready, replaced, complete, message)


def wants_no_pod(workload: Manifest) -> bool:
    """Whether no pod is to run now: the Deployment is scaled to none, or no node takes the DaemonSet's."""
    observed = int((workload.get("status") or {}).get("observedGeneration", 0))
    current = observed >= int(workload["metadata"].get("generation", 0))
    return current and determine_rollout(workload).desired == 0


def has_service(owned: Iterable[Manifest], revision: str) -> bool:
    """Whether istiod's Service of a revision is among the objects of its mesh: without it neither the API
    server nor a proxy reaches an istiod that runs."""
    return any(o["kind"] == "Service" and revision_of(o) == revision for o in owned)


def is_replaced(there: Manifest, wanted: Manifest) -> bool:
    """Whether a Deployment's current pods are made from what is wanted, and one of them serves. Its status
    leaves out pods that are terminating: see find_outdated_pods."""
    return is_applied(there, wanted) and determine_rollout(there).replaced


UNREACHABLE_SECONDS = 300.0
"""How long after its deadline a terminating pod still counts: a node that is cut off from the API server may
keep it running, a dead node never reports its end."""


def find_outdated_pods(pods: Iterable[WorkloadPod], wanted: Manifest, *, now: str) -> tuple[WorkloadPod, ...]:
    """Pods made from another template than a workload's wanted one, which may still serve. The API server
    keeps connections open to a terminating pod."""
    template = wanted["spec"]["template"]["metadata"]["labels"][TEMPLATE]
    return tuple(p for p in pods if p.template != template and not _is_long_past(p.deadline, now))


def find_running(pods: Iterable[WorkloadPod], *, now: str) -> tuple[WorkloadPod, ...]:
    """Pods that may still serve, terminating ones included."""
    return tuple(p for p in pods if not _is_long_past(p.deadline, now))


def _is_long_past(deadline: str, now: str) -> bool:
    if not deadline or not now:
        return False
    overdue = datetime.fromisoformat(now) - datetime.fromisoformat(deadline)
    return overdue > timedelta(seconds=UNREACHABLE_SECONDS)


def find_deployment(owned: Iterable[Manifest], revision: str) -> Manifest | None:
    """istiod's Deployment of a revision among the objects of its mesh."""
    return next((o for o in owned if o["kind"] == "Deployment" and revision_of(o) == revision), None)
