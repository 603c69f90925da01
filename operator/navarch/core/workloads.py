"""How far a Deployment's rollout is, read from its own status.

Invariant: generation-aware; a status that speaks of an older spec is never taken for the newer one.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.refs import Manifest


@dataclass(frozen=True, slots=True)
class Rollout:
    """State of a rollout. Counts are pods. `replaced` means that only pods of the current template run and at
    least one serves, `complete` that all of them do."""

    desired: int
    updated: int
    available: int
    replaced: bool
    complete: bool
    message: str


def determine_rollout(deployment: Manifest) -> Rollout:
    """Read a Deployment's rollout, by the rules of `kubectl rollout status` (apps/v1, DeploymentStatus)."""
    metadata, spec, status = (
        deployment["metadata"],
        deployment.get("spec") or {},
        deployment.get("status") or {},
    )
    desired = int(spec.get("replicas", 1))
    updated, available = int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))
    total = int(status.get("replicas", 0))
    observed = int(status.get("observedGeneration", 0)) >= int(metadata.get("generation", 0))
    replaced = observed and 0 < total <= updated and available > 0
    complete = replaced and updated >= desired and available >= desired
    message = ""
    if not complete:
        message = f"{updated} of {desired} pods updated, {available} available"
        failures = [
            c.get("message", "")
            for c in status.get("conditions") or ()
            if c["type"] == "ReplicaFailure" and c["status"] == "True"
        ]
        message = "; ".join([message, *failures])
    return Rollout(desired, updated, available, replaced, complete, message)
