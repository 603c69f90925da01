"""A Rollout of Argo Rollouts as its restart sees it.

It is restarted by `spec.restartAt`: its controller evicts each pod that was made before that moment, and the
ReplicaSets that there are make it anew. No template changes, so neither canary nor analysis begins. Owns the
reading of a Rollout, and the name of its kind. Must never keep a pod template. Invariants: generation-aware;
a Rollout between two versions, or that its controller calls anything but healthy, is not complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.api.windows import LONGEST as LONGEST_WINDOWS
from navarch.core.model.labels import GATEWAY_API_NAME, MESH_NAME, ROLLED_FOR, ROLLOUT, WINDOWS
from navarch.core.model.moments import read_moment
from navarch.core.model.ownership import fields_of, is_own_entry
from navarch.core.model.refs import Manifest
from navarch.core.model.restarts import ARGO, ROLLER
from navarch.core.world.rollable import LONGEST, Rollable, quote, read_annotation, read_labels

CRD = "rollouts.argoproj.io"
TEMPLATE_HASH = "rollouts-pod-template-hash"
"""Label of a Rollout's pods: the end of their ReplicaSet's name."""


def read_rollout(manifest: Manifest) -> Rollable:
    """What a restart has to know of a Rollout, with managedFields as the API server sends them."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    status = manifest.get("status") or {}
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    written, edited = _read_writes(metadata.get("managedFields") or ())
    promoted = bool(status.get("stableRS")) and status.get("stableRS") == status.get("currentPodHash")
    observed = _is_observed(metadata, status)
    template = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    return Rollable(
        ARGO,
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        rolled=observed and promoted and _is_whole(spec, status),
        stuck=_read_stuck(status) if observed else "",
        refusal=_find_refusal(metadata, spec),
        # A restart that another client has overwritten is none of Navarch's any more.
        restarted_for=str(annotations.get(ROLLED_FOR, ""))[:LONGEST] if written else "",
        restarted_at=written,
        edited=bool(written) and (edited > written or not promoted),
        order=read_annotation(metadata, ROLLOUT),
        windows=read_annotation(metadata, WINDOWS, longest=LONGEST_WINDOWS),
        follows=MESH_NAME in labels or GATEWAY_API_NAME in labels,
        lacking=bool(written) and _count(status, "availableReplicas") < _count(spec, "replicas", 1),
        # One whose template stands in a Deployment (workloadRef) has its selector alone.
        labels=read_labels(template or (spec.get("selector") or {}).get("matchLabels")),
    )


def _is_observed(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether its controller has seen the present spec. It writes the generation as a text."""
    seen = str(status.get("observedGeneration", ""))
    return seen.isdecimal() and int(seen) >= int(metadata.get("generation", 0))


def _is_whole(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether every pod is of the present template and available, and none is to be restarted. Pods of the
    version before may stay for a while (scaleDownDelaySeconds): until they go they are older ones."""
    asked, done = spec.get("restartAt"), status.get("restartedAt")
    restarted = not asked or read_moment(str(asked)) == read_moment(str(done))
    only = _count(status, "replicas") <= _count(status, "updatedReplicas")
    return restarted and only and status.get("phase") == "Healthy"


def _count(part: Mapping[str, Any], name: str, usual: int = 0) -> int:
    number = part.get(name)
    return usual if number is None else int(number)


def _read_stuck(status: Mapping[str, Any]) -> str:
    if status.get("phase") != "Degraded":
        return ""
    return quote(str(status.get("message") or "Degraded"))


def _find_refusal(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    if "deletionTimestamp" in metadata:
        return "it is being deleted"
    if spec.get("paused"):
        return "spec.paused is true"
    if _count(spec, "replicas", 1) == 1:
        return "it has one pod, which Argo Rollouts would end before the next one is there"
    return ""


def _read_writes(entries: Any) -> tuple[str, str]:
    """When Navarch wrote the restart that stands in the spec, and when another client changed that or the
    template last; empty for never. Both are the API server's time, in seconds."""
    written = edited = ""
    for entry in entries:
        at, fields = str(entry.get("time", "")), fields_of(entry).get("f:spec") or {}
        if is_own_entry(entry, ROLLER):
            written = at if "f:restartAt" in fields else ""
        elif not entry.get("subresource") and ("f:template" in fields or "f:restartAt" in fields):
            edited = max(edited, at)
    return written, edited
