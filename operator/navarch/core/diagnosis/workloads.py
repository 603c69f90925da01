"""Workloads with proxies, as nodes of the tree: how many of their pods are current, and who makes them anew.

Owns the words about a workload. Must never decide which proxy is current: core/world/proxies.py does.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.diagnosis.advice import OF_REASONS
from navarch.core.diagnosis.node import Node, Trouble
from navarch.core.model.reasons import Reason
from navarch.core.model.restarts import ARGO
from navarch.core.world.rollable import KINDS


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """What a pod belongs to. `kind` is Pod for one that no controller would make again; `entrance` names the
    Gateway of Gateway API for which istiod deployed it, empty for what others did."""

    namespace: str
    kind: str
    name: str
    entrance: str = ""

    @property
    def manual(self) -> bool:
        """Whether no rollout replaces its pods: a bare pod, or a job's."""
        return self.kind in ("Pod", "Job")


@dataclass(frozen=True, slots=True)
class Tally:
    """Proxies of one workload, or of many. `manual` ones are outdated, and nothing makes their pods again."""

    current: int = 0
    outdated: int = 0
    manual: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.current + other.current, self.outdated + other.outdated, self.manual + other.manual)

    def __str__(self) -> str:
        parts = [f"{self.current} current"]
        parts += [f"{self.outdated} outdated"] if self.outdated else []
        parts += [f"{self.manual} to be replaced by hand"] if self.manual else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, int]:
        """As facts of a node."""
        return {"current": self.current, "outdated": self.outdated, "manual": self.manual}


def build_workload(workload: Workload, census: Tally) -> Node:
    """A workload with its proxies, and what makes them current."""
    stale = census.outdated + census.manual
    troubles: tuple[Trouble, ...] = ()
    if stale:
        total = stale + census.current
        advice = OF_REASONS[Reason.PROXIES_OUTDATED]
        message = f"{stale} of {total} pods run an older proxy"
        remedy = _tell_restart(workload)
        troubles = (Trouble(Reason.PROXIES_OUTDATED.value, advice.severity, message, remedy),)
    return Node(workload.kind, workload.name, str(census), census.to_json(), troubles)


def _tell_restart(workload: Workload) -> str:
    if workload.kind == "Pod":
        return "delete the pod and create it again: it belongs to nothing that would"
    if workload.kind == "Job":
        return "wait for the job to end, or run it again"
    if workload.kind in KINDS:
        return f"kubectl rollout restart {workload.kind.lower()}/{workload.name} -n {workload.namespace}"
    if workload.kind == ARGO:
        return f"kubectl argo rollouts restart {workload.name} -n {workload.namespace}"
    return f"have {workload.kind} {workload.name} make its pods again"
