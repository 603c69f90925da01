"""What a MeshRevision was proved with, and how long a change of it has been tried.

Owns `status.proved` and `status.attempt`, and what is read from them. Must never decide to go back:
core/mesh/rollback.py does. Invariants: an input is recorded by a look that sees all of it rolled out and
trusted, and by no other; while nothing was proved before, nothing is an attempt, and no deadline passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.api.revision import MOST_PROVED, MOST_RECORDED
from navarch.api.upgrade import PROGRESS_DEADLINE
from navarch.core.model.actions import Plan
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import ConditionType, Verdict, find_condition
from navarch.core.model.hashing import stable_hash
from navarch.core.model.moments import read_moment, settle_moment
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.revision.observed import ObservedRevision, is_revision_held
from navarch.core.world.workload import determine_rollout, find_deployment


@dataclass(frozen=True, slots=True)
class Proved:
    """An input that was proved. `config` is None where it was too large to be kept."""

    hash: str
    version: str
    config: Mapping[str, Any] | None


def hash_input(spec: Mapping[str, Any]) -> str:
    """The hash of what a MeshRevision is rolled out for: who belongs to the mesh is no part of it."""
    return stable_hash([spec.get("version"), spec.get("config")])


def list_proved(revision: Manifest) -> list[Proved]:
    """What a MeshRevision was proved with, the last first."""
    return [*_read_proved((revision.get("status") or {}).get("proved") or ())]


def _read_proved(recorded: Any) -> Iterator[Proved]:
    for entry in recorded:
        try:
            config = json.loads(entry["config"]) if "config" in entry else None
        except ValueError:
            config = None
        yield Proved(entry["hash"], entry["version"], config if isinstance(config, dict) else None)


def is_given_up(revision: Manifest) -> bool:
    """Whether a MeshRevision says of its present spec that it was not proved in time."""
    condition = find_condition(revision, ConditionType.PROGRESSING)
    generation = revision["metadata"].get("generation", 0)
    held = condition is not None and condition["reason"] == Reason.UPGRADE_HELD
    return held and condition is not None and condition["observedGeneration"] >= generation


def is_trusted(observed: ObservedRevision) -> bool:
    """Whether every webhook of the revision is there and has a root, that of injection the mesh's."""
    bundles = [(w.ref.kind, entry.ca_bundle) for w in observed.webhooks for entry in w.entries]
    there = {kind for kind, _ in bundles} == {*WEBHOOK_KINDS}
    injecting = {bundle for kind, bundle in bundles if kind == WEBHOOK_KINDS[0]}
    return there and all(bundle for _, bundle in bundles) and injecting == {observed.root}


def find_attempt(observed: ObservedRevision) -> dict[str, str] | None:
    """status.attempt: the present input, while another one was proved last; None while the mesh is paused,
    since no time passes then."""
    status = observed.body.get("status") or {}
    proved, hash_ = status.get("proved") or (), hash_input(observed.body["spec"])
    if not proved or proved[0]["hash"] == hash_ or is_revision_held(observed):
        return None
    told = status.get("attempt") or {}
    since = str(told.get("since") or "") if told.get("hash") == hash_ else ""
    return {"hash": hash_, "since": settle_moment(since, observed.now)}


def read_deadline(observed: ObservedRevision) -> int:
    """Seconds in which a change is to be proved."""
    upgrade = ((observed.mesh or {}).get("spec") or {}).get("upgrade") or {}
    return int(upgrade.get("progressDeadlineSeconds") or PROGRESS_DEADLINE)


def find_time_left(observed: ObservedRevision) -> float | None:
    """Seconds until a change has to be proved, at least none; None where nothing is tried."""
    attempt = find_attempt(observed)
    began, now = read_moment(attempt["since"]) if attempt else None, read_moment(observed.now)
    if began is None or now is None:
        return None
    return max(0.0, read_deadline(observed) - (now - began).total_seconds())


def is_rolled_out(observed: ObservedRevision, wanted: Manifest | None) -> bool:
    """Whether istiod's Deployment is as `wanted`, and all its pods are available; where none is planned there
    is nothing to roll out."""
    deployment = find_deployment(observed.owned, observed.body["metadata"]["name"])
    if wanted is None:
        return True
    return (
        deployment is not None and is_applied(deployment, wanted) and determine_rollout(deployment).complete
    )


def hold_overdue(observed: ObservedRevision, plan: Plan, progressing: Verdict) -> Verdict:
    """The verdict Progressing, or that istiod was not available in time for what is being rolled out."""
    wanted = next((o for o in plan.objects() if o["kind"] == "Deployment"), None)
    if not progressing.is_true or is_rolled_out(observed, wanted) or find_time_left(observed) != 0:
        return progressing
    version, seconds = observed.body["spec"]["version"], read_deadline(observed)
    message = f"Istio {version} was not available in {seconds} s: {progressing.message}"
    return Verdict("True", Reason.UPGRADE_HELD, message)


def summarise_proof(observed: ObservedRevision, *, ready: Verdict) -> dict[str, Any]:
    """status.proved and status.attempt."""
    recorded = list((observed.body.get("status") or {}).get("proved") or ())
    if ready.is_true and is_trusted(observed):
        spec = observed.body["spec"]
        text = json.dumps(spec.get("config"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        entry = {"hash": hash_input(spec), "version": spec["version"], "config": text}
        recorded = [*_keep([entry, *(e for e in recorded if e["hash"] != entry["hash"])])]
        return {"proved": recorded}
    attempt = find_attempt(observed)
    return ({"proved": recorded} if recorded else {}) | ({"attempt": attempt} if attempt else {})


def _keep(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """As many as are remembered; of a configuration that does not fit beside the newer ones, the hash."""
    left = MOST_RECORDED
    for entry in entries[:MOST_PROVED]:
        size = len(entry.get("config", ""))
        if size <= left:
            left -= size
            yield entry
        else:
            yield {key: value for key, value in entry.items() if key != "config"}
