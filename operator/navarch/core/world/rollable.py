"""A workload as its restart sees it: its rollout, what Navarch wrote into its template, what forbids more.

Owns the reading of Deployments, StatefulSets and DaemonSets, and what is known of every kind. Must never
keep a pod template. Invariants: generation-aware; a rollout that was complete once stays so until the
template changes, whatever becomes of pods, where the API says that (Deployment, StatefulSet).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.api.windows import LONGEST as LONGEST_WINDOWS
from navarch.core.model.labels import GATEWAY_API_NAME, MESH_NAME, ROLLED_FOR, ROLLOUT, WINDOWS
from navarch.core.model.messages import shorten
from navarch.core.model.ownership import fields_of, is_own_entry
from navarch.core.model.refs import Manifest
from navarch.core.model.restarts import ARGO, ROLLER
from navarch.core.world.workload import determine_rollout

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds of apps/v1 that are restarted by their template."""
API_VERSIONS = {**dict.fromkeys(KINDS, "apps/v1"), ARGO: "argoproj.io/v1alpha1"}
"""Every kind that is restarted, and where it is served; for Rollouts of Argo see core/world/argo.py."""
LONGEST = 300
"""Characters of a controller's message that are kept."""
_COUNT = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Rollable:
    """A workload whose pods are replaced when it is restarted. `rolled` says that its last rollout is
    complete, `stuck` why its controller gave it up (empty: it did not), `refusal` why it must not be
    restarted, or that would change nothing. `restarted_for` is what a restart wrote into it (ROLLED_FOR), and
    `restarted_at` when; `edited` says that what goes on since is another client's doing.
    `order` is its annotation ROLLOUT; `follows` says that something else rolls it: Navarch or istiod.
    `unsure` says that status does not tell whether that was so before: its controller has not seen the last
    change, be it of the template or of the scale, or tells nothing of progress.
    `labels` are those of its pods, `windows` is its annotation WINDOWS; `lacking` says of one that Navarch
    has restarted that not all pods that it should have are available."""

    kind: str
    namespace: str
    name: str
    uid: str
    rolled: bool
    stuck: str = ""
    refusal: str = ""
    restarted_for: str = ""
    restarted_at: str = ""
    edited: bool = False
    order: str = ""
    follows: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    windows: str = ""
    lacking: bool = False
    unsure: bool = False

    @property
    def api_version(self) -> str:
        """Where its kind is served."""
        return API_VERSIONS[self.kind]


def read_rollable(manifest: Manifest) -> Rollable:
    """What a restart has to know of a workload, with managedFields as the API server sends them."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    template = (spec.get("template") or {}).get("metadata") or {}
    labels = metadata.get("labels") or {}
    restarted, edited = _read_writes(metadata.get("managedFields") or ())
    rolled_for = str((template.get("annotations") or {}).get(ROLLED_FOR, ""))[:LONGEST]
    return Rollable(
        manifest["kind"],
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        rolled=_is_rolled(manifest),
        stuck=_read_stuck(manifest),
        refusal=_find_refusal(manifest["kind"], metadata, spec),
        restarted_for=rolled_for,
        restarted_at=restarted,
        edited=bool(restarted) and edited > restarted,
        order=read_annotation(metadata, ROLLOUT),
        follows=MESH_NAME in labels or GATEWAY_API_NAME in labels,
        labels=read_labels(template.get("labels")),
        windows=read_annotation(metadata, WINDOWS, longest=LONGEST_WINDOWS),
        lacking=bool(rolled_for) and _is_lacking(manifest),
        unsure=_is_unsure(manifest),
    )


def read_annotation(metadata: Mapping[str, Any], name: str, *, longest: int = LONGEST) -> str:
    """What a workload's own annotation says of its restarts."""
    return str((metadata.get("annotations") or {}).get(name, ""))[:longest]


def read_labels(labels: Any) -> tuple[tuple[str, str], ...]:
    """Labels of pods, in order."""
    return tuple(sorted((str(k), str(v)) for k, v in (labels or {}).items()))


def _is_lacking(manifest: Manifest) -> bool:
    status = manifest.get("status") or {}
    if manifest["kind"] == "DaemonSet":
        return int(status.get("numberUnavailable", 0)) > 0
    wanted = int((manifest.get("spec") or {}).get("replicas", 1))
    return int(status.get("availableReplicas", 0)) < wanted


def _is_behind(manifest: Manifest) -> bool:
    observed = int((manifest.get("status") or {}).get("observedGeneration", 0))
    return observed < int(manifest["metadata"].get("generation", 0))


def _is_unsure(manifest: Manifest) -> bool:
    """A Deployment whose progressDeadlineSeconds are the most there can be has no condition of progress."""
    mute = manifest["kind"] == "Deployment" and not _progress(manifest.get("status") or {})
    return mute or _is_behind(manifest)


def _is_rolled(manifest: Manifest) -> bool:
    status = manifest.get("status") or {}
    if _is_behind(manifest):
        return False
    if manifest["kind"] == "StatefulSet":
        wanted = int((manifest.get("spec") or {}).get("replicas", 1))
        done = int(status.get("updatedReplicas", 0)) >= wanted <= int(status.get("availableReplicas", 0))
        # The controller equates the two when the last pod is ready, and no pod that fails later undoes it.
        current = status.get("currentRevision")
        return done or bool(current and current == status.get("updateRevision"))
    if manifest["kind"] == "Deployment" and _progress(status).get("reason") == "NewReplicaSetAvailable":
        return True
    rollout = determine_rollout(manifest)
    return rollout.complete or not rollout.desired


def _progress(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") == "Progressing"), {}
    )
    return found


def _read_stuck(manifest: Manifest) -> str:
    status = manifest.get("status") or {}
    if _is_behind(manifest):
        return ""
    progress = _progress(status)
    if progress.get("reason") != "ProgressDeadlineExceeded":
        return ""
    return quote(f"ProgressDeadlineExceeded: {progress.get('message', '')}")


def quote(text: str) -> str:
    """What a controller says, in one line that is not too long."""
    return shorten("".join(c if c.isprintable() else " " for c in text), LONGEST)


def _find_refusal(kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    if "deletionTimestamp" in metadata:
        return "it is being deleted"
    if kind == "Deployment":
        return "spec.paused is true" if spec.get("paused") else ""
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return "its updateStrategy is OnDelete"
    if (strategy.get("rollingUpdate") or {}).get("partition"):
        return "its updateStrategy has a partition, below which no pod is replaced"
    return ""


def _read_writes(entries: Any) -> tuple[str, str]:
    """When Navarch wrote the template, and when another client did last; empty for never. Both are the API
    server's time, in seconds."""
    restarted = edited = ""
    for entry in entries:
        at = str(entry.get("time", ""))
        if is_own_entry(entry, ROLLER):
            restarted = at
        elif not entry.get("subresource") and "f:template" in (fields_of(entry).get("f:spec") or {}):
            edited = max(edited, at)
    return restarted, edited


def target_of(workload: Rollable) -> str:
    """The proxy for whose sake a workload was restarted last. What follows a slash counts restarts."""
    return workload.restarted_for.partition("/")[0]


def next_mark(workload: Rollable, target: str) -> str:
    """What the template is to say after a restart for this proxy: another text than it says, also where it
    was restarted for the same proxy before, and was given an older one by its owner since."""
    counted = count_restarts(workload, target)
    return f"{target}/{counted + 1}" if counted else target


def count_restarts(workload: Rollable, target: str) -> int:
    """How often a workload was restarted for this proxy since it was last restarted for another."""
    if target_of(workload) != target:
        return 0
    counted = workload.restarted_for.partition("/")[2]
    return int(counted) if _COUNT.fullmatch(counted) else 1
