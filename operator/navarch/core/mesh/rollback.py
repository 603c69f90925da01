"""Whether a MeshRevision goes back to what it was proved with, and stays there.

    the spec asks for A, A is not proved in time      ->  what was proved last; that A was given up is
                                                          written on the MeshRevision in the same apply
    the spec asks for A still                         ->  stays
    the spec asks for B, or the mesh is to try again  ->  B, or A once more
    spec.upgrade.rollback                             ->  what was proved before, until that is unset

Owns this decision, and the annotation that is all of its memory. Must never look at a clock: the revision
says of itself that its time is over. Invariants (tests/property): what was given up is not tried again by
itself; a way back that fails is not turned round.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from navarch.api.revision import KIND
from navarch.core.istio.catalog import ordinal_of
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import IDLE, RETRY, ROLLED_BACK
from navarch.core.model.messages import join
from navarch.core.model.moments import read_moment
from navarch.core.model.refs import Manifest
from navarch.core.revision.manifest import restate
from navarch.core.revision.proof import Proved, hash_input, is_given_up, list_proved
from navarch.core.revision.source import is_renderable
from navarch.core.rollout.gates import find_lasting_failure

_LONGEST = 2048
"""Characters of the reason that is kept: annotations of an object share 256 KiB."""


@dataclass(frozen=True, slots=True)
class Return:
    """That a MeshRevision stands at an earlier input. `attempt` names what was asked for, `version` its
    Istio, `left` its MeshRevision, `because` says why it was given up, and `by_hand` that the spec asks for
    the way back."""

    attempt: str
    version: str
    because: str = ""
    by_hand: bool = False
    left: str = ""

    def to_text(self) -> str:
        """The value of the annotation."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def read_return(revision: Manifest) -> Return | None:
    """What a MeshRevision says of its way back; None where it stands where it should, or nobody can read
    it."""
    text = (revision["metadata"].get("annotations") or {}).get(ROLLED_BACK)
    try:
        return Return(**json.loads(text)) if text else None
    except (TypeError, ValueError):
        return None


def hash_attempt(observed: ObservedMesh, wanted: Manifest) -> str:
    """What is tried: an input, and how often its mesh was told to try again."""
    again = (observed.body["metadata"].get("annotations") or {}).get(RETRY)
    return stable_hash([hash_input(wanted["spec"]), again])


def is_by_hand(observed: ObservedMesh) -> bool:
    """Whether the spec asks for the way back."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    return upgrade is not None and bool(upgrade.rollback)


def turn_back(observed: ObservedMesh, wanted: Manifest) -> Manifest:
    """`wanted`, or what `spec.upgrade.rollback` asks for in its place: where the MeshRevision stands already
    when it went back, else what was proved before."""
    there = observed.find_revision(wanted["metadata"]["name"])
    if not is_by_hand(observed):
        return wanted
    if (earlier := find_earlier(observed, wanted["metadata"]["name"])) is not None:
        asked = Return(hash_attempt(observed, wanted), wanted["spec"]["version"], by_hand=True)
        return _mark(_join(observed, earlier, wanted), read_return(earlier) or asked)
    if there is None:
        return wanted
    if (made := read_return(there)) is not None:
        return _keep(there, wanted, made)
    target = next((t for p in list_proved(there) if (t := _reach(observed, wanted, p, there))), None)
    if target is None:
        return wanted
    made = Return(hash_attempt(observed, wanted), there["spec"]["version"], by_hand=True)
    return _mark(target, made)


def find_earlier(observed: ObservedMesh, asked: str) -> Manifest | None:
    """The MeshRevision to which a mesh with several goes back while its spec names `asked`: the one to which
    it went from there by itself; where the spec asks for the way back, the one to which it went already, else
    the one that serves, else the one that was needed last of those that have."""
    if observed.in_place:
        return None
    if not is_by_hand(observed):
        return next((r for r in observed.revisions if _is_from(r, asked)), None)
    marked = [r for r in observed.revisions if (made := read_return(r)) is not None and made.by_hand]
    if marked:
        return marked[0]
    return _find_served(observed, asked)


def _find_served(observed: ObservedMesh, asked: str) -> Manifest | None:
    """The MeshRevision beside `asked` that serves, else the one that was needed last of those that have; None
    while there is none."""
    served = [r for r in observed.revisions if (r.get("status") or {}).get("version")]
    others = [r for r in served if r["metadata"]["name"] != asked]
    return max(others, key=lambda r: _rank(observed, r), default=None)


def _rank(observed: ObservedMesh, revision: Manifest) -> tuple[bool, float, int, str, str]:
    """A revision that was given up is newer than the one to which the mesh went back from it, and nothing has
    needed it since: its proxies went back first."""
    metadata, name = revision["metadata"], str(revision["metadata"]["name"])
    idle = read_moment(str((metadata.get("annotations") or {}).get(IDLE, "")))
    needed = idle.timestamp() if idle is not None else math.inf
    proxies = sum(pod.revision == name for pod in observed.census.counted)
    made = str(metadata.get("creationTimestamp", ""))
    return name == observed.active, needed, proxies, made, name


def fall_back(observed: ObservedMesh, wanted: Manifest, *, fixed: bool) -> tuple[Manifest, Return | None]:
    """`wanted`, or what was proved last while `wanted` is given up, with what there is to say of it. `fixed`
    says that `wanted` is not what the spec asks for (it is refused, or waits): what was given up stays so."""
    there = observed.find_revision(wanted["metadata"]["name"])
    if is_by_hand(observed):
        return wanted, read_return(wanted) if there is not None else None
    attempt, name = hash_attempt(observed, wanted), wanted["metadata"]["name"]
    earlier = find_earlier(observed, name) if not fixed else None
    gone = read_return(earlier) if earlier is not None else None
    if earlier is not None and gone is not None and gone.attempt == attempt:
        return _mark(_join(observed, earlier, wanted), gone), gone
    # One that is to follow is held, and never given up: the tag must not move to what it was before.
    follows = not observed.in_place and observed.active not in ("", name)
    made = read_return(there) if there is not None and not follows else None
    told = made is not None and not made.by_hand and made.attempt == attempt
    if there is not None and made is not None and (fixed or told):
        return _keep(there, wanted, made), None if fixed else made
    if there is None or follows or hash_input(there["spec"]) != hash_input(wanted["spec"]):
        return wanted, None
    because = _find_failure(observed, there)
    target = next(_find_ways_back(observed, wanted, there), None) if because else None
    if target is None:
        return wanted, None
    made = Return(attempt, wanted["spec"]["version"], because[:_LONGEST], left=name)
    return _mark(target, made), made


def take_back(observed: ObservedMesh, existing: Manifest) -> Manifest:
    """A MeshRevision that stays beside the one that is asked for, as it was applied; a change of it that was
    given up is taken back."""
    restated = restate(observed.parent, existing)
    proved = list_proved(existing)[:1] if is_given_up(existing) else []
    return next((t for p in proved if (t := _reach(observed, restated, p, existing))), restated)


def _is_from(revision: Manifest, left: str) -> bool:
    """Whether a mesh went back to this MeshRevision from another, by itself."""
    made = read_return(revision)
    return made is not None and not made.by_hand and made.left == left != revision["metadata"]["name"]


def _find_failure(observed: ObservedMesh, there: Manifest) -> str:
    """Why the input of a MeshRevision is given up: istiod was not available in time, or a gate has failed for
    workloads that were restarted with it; empty where it is not."""
    if is_given_up(there):
        rolling = find_condition(there, ConditionType.PROGRESSING)
        return str(rolling["message"]) if rolling is not None else ""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    policy = upgrade.data_plane if upgrade is not None else None
    failed = find_lasting_failure(policy, observed.gates) if policy is not None else None
    return str(failed) if failed is not None and there["metadata"]["name"] == observed.active else ""


def _find_ways_back(observed: ObservedMesh, wanted: Manifest, there: Manifest) -> Iterator[Manifest]:
    """Where a mesh may go from an input that is given up, the nearest first: to what its MeshRevision was
    proved with before, else to the MeshRevision before it."""
    given_up = is_given_up(there)
    recorded = list_proved(there)[:1] if given_up else list_proved(there)
    yield from filter(None, (_reach(observed, wanted, proved, there) for proved in recorded))
    if not given_up and (earlier := _find_served(observed, there["metadata"]["name"])) is not None:
        yield _join(observed, earlier, wanted)


def has_way_back(observed: ObservedMesh, name: str) -> bool:
    """Whether `spec.upgrade.rollback` finds anything to go back to, or has gone there."""
    there = observed.find_revision(name)
    if there is None:
        return False
    if find_earlier(observed, name) is not None:
        return True
    return bool(read_return(there)) or any(_reach(observed, there, p, there) for p in list_proved(there))


def tell_return(observed: ObservedMesh, made: Return, revision: Manifest) -> str:
    """Where a mesh stands, why, and how it goes on."""
    name, place = observed.parent.name, f"-n {observed.parent.namespace}"
    stands = f"Istio {revision['spec']['version']} runs with what was proved last"
    if made.by_hand:
        return f"{stands}, since spec.upgrade.rollback is true; unset it to have what the spec asks for"
    return join(
        [
            f"{stands}, and not with what the spec asks for, which was given up: {made.because}",
            f"change the spec, or try the same again with `navarch rollback {name} {place} --retry`, or by "
            f"another value of the annotation {RETRY}",
        ]
    )


def _reach(observed: ObservedMesh, wanted: Manifest, proved: Proved, there: Manifest) -> Manifest | None:
    """`wanted` with an input that was proved; None for the present one, and where it cannot be gone to."""
    if proved.config is None or proved.hash == hash_input(there["spec"]):
        return None
    (major, minor), (of, at) = (ordinal_of(v)[:2] for v in (proved.version, there["spec"]["version"]))
    if major != of or abs(minor - at) > 1:
        return None
    spec = {**wanted["spec"], "version": proved.version, "config": dict(proved.config)}
    target = {**wanted, "spec": observed.kinds.fit(KIND, "spec", spec)}
    return target if is_renderable(target, observed.assets) else None


def _keep(there: Manifest, wanted: Manifest, made: Return) -> Manifest:
    """`wanted` with the input at which the MeshRevision stands."""
    spec = {**wanted["spec"], "version": there["spec"]["version"], "config": there["spec"]["config"]}
    return _mark({**wanted, "spec": spec}, made)


def _join(observed: ObservedMesh, earlier: Manifest, wanted: Manifest) -> Manifest:
    """An earlier MeshRevision as it was applied, but for who belongs to the mesh."""
    restated = restate(observed.parent, earlier)
    return {**restated, "spec": {**restated["spec"], "members": wanted["spec"]["members"]}}


def _mark(manifest: Manifest, made: Return) -> dict[str, Any]:
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ROLLED_BACK: made.to_text()}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
