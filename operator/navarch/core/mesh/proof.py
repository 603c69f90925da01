"""What a revision has to prove before the mesh's tag moves to it.

    its MeshRevision is as it should be, and Ready
    every webhook of it trusts the mesh's root
    a dry-run pod that asks for it comes back with its sidecar
    a good VirtualService passes its validator in a dry run, a bad one is refused by it
    a proxy takes its configuration

Owns the list, and its order. Must never decide what becomes of the revision (core/mesh/succession.py). What
is told is the first thing that is missing: what comes after it could not be asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.mesh.checks.version import find_asked_name
from navarch.core.mesh.injection import find_distrust, is_injected_by
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.trial import tell_untried
from navarch.core.mesh.validation import tell_unvalidated
from navarch.core.model.actions import Waiting
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.model.requeue import PROBE_REQUEUE


def find_candidate(observed: ObservedMesh) -> Manifest | None:
    """The MeshRevision to which the tag is to move; None where there is none yet, or it points there."""
    name = find_asked_name(observed)
    if observed.in_place or not observed.active or name in ("", observed.active):
        return None
    return observed.find_revision(name)


def find_missing_proof(observed: ObservedMesh, asked: Manifest) -> Iterator[Waiting]:
    """What the revision that is asked for lacks before the tag may move to it: the first thing of the
    list."""
    told = _tell_first(observed, asked) or tell_untried(observed, asked)
    if told:
        yield Waiting(ref_of(asked), told)


def is_trial_due(observed: ObservedMesh, asked: Manifest) -> bool:
    """Whether all is proved that can be without a proxy."""
    return not _tell_first(observed, asked)


def find_retry(observed: ObservedMesh) -> float | None:
    """Seconds until dry runs for a revision that came to nothing are made again: no watch tells that they
    would pass now. None where none did."""
    candidate = find_candidate(observed)
    if candidate is None:
        return None
    probe, validation = observed.asked_probe, observed.asked_validation
    bare = probe is not None and not is_injected_by(probe, candidate["metadata"]["name"])
    return PROBE_REQUEUE if bare or (validation is not None and validation.problem) else None


def _tell_first(observed: ObservedMesh, asked: Manifest) -> str:
    """What is missing first, of all but a proxy; empty where nothing is."""
    ref, there = ref_of(asked), observed.find_revision(asked["metadata"]["name"])
    if there is None:
        return f"{ref} is not there yet"
    if not is_applied(there, asked):
        return f"{ref} is not yet as the spec asks"
    if not is_ready(there):
        return f"{ref} is not ready: {tell_unready(there)}"
    if distrust := find_distrust(observed, ref.name):
        return distrust
    if not is_injected_by(observed.asked_probe, ref.name):
        message = observed.asked_probe.message if observed.asked_probe is not None else ""
        told = f": {message}" if message else ""
        return f"no dry-run pod that asks for {ref.name} came back with its sidecar{told}"
    return tell_unvalidated(observed, ref.name)


def tell_unready(revision: Manifest) -> str:
    """Why a MeshRevision is not Ready, the most specific cause first: an object that was refused, or a pod
    that does not start, is why no istiod is available."""
    if _is_behind(revision):
        return "nothing is known of it yet"
    reconciled = find_condition(revision, ConditionType.RECONCILED)
    rolling = find_condition(revision, ConditionType.PROGRESSING)
    ready = find_condition(revision, ConditionType.READY)
    if reconciled is not None and reconciled["status"] == "False":
        return str(reconciled["message"])
    if rolling is not None and rolling["reason"] == Reason.ROLLOUT_STUCK:
        return str(rolling["message"])
    return str(ready["message"]) if ready is not None else ""


def is_ready(revision: Manifest) -> bool:
    """Whether a MeshRevision is Ready, and says so of its present spec."""
    condition = find_condition(revision, ConditionType.READY)
    return condition is not None and condition["status"] == "True" and not _is_behind(revision)


def _is_behind(revision: Manifest) -> bool:
    condition = find_condition(revision, ConditionType.READY)
    generation = int(revision["metadata"].get("generation", 0))
    return condition is None or int(condition["observedGeneration"]) < generation
