"""Which revisions a mesh has, which one serves, which one follows it, and which ones may go.

    spec.version       ->  asked     made where it is not there
    the tag's webhook  ->  active    serves
                           target    where the tag points next: asked once that is proved, active until then
    all others                       retire: nothing uses them, a grace period passes, they go

Owns these decisions for a mesh that may have several revisions; one that is updated in place has one, and
what is left of an earlier tag goes at once. A mesh that changes its strategy may have several as well, until
the ones of the other strategy have gone. Must never remember anything. Invariants (tests/property):
the tag never moves to a revision that is not proved while another one serves; what serves, is asked for, or
is used, stays; equal standings give an equal succession.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from navarch.api.upgrade import GRACE_PERIOD, PROGRESS_DEADLINE, Upgrade
from navarch.core.mesh.injection import find_tag_validators
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.proof import find_missing_proof
from navarch.core.mesh.rollback import read_return, take_back
from navarch.core.model.actions import Waiting
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import IDLE, revision_of
from navarch.core.model.moments import read_moment, settle_moment
from navarch.core.model.naming import is_in_place
from navarch.core.model.refs import Manifest
from navarch.core.revision.manifest import stands_beside


@dataclass(frozen=True, slots=True)
class Standing:
    """How a revision stands. `available`: an istiod of it serves; `served`: all of it has been complete once;
    `used`: something needs it, whatever the tag says; `idle` is since when nothing does (RFC 3339, or empty).
    """

    name: str
    available: bool = False
    served: bool = False
    used: bool = False
    idle: str = ""


@dataclass(frozen=True, slots=True)
class Succession:
    """`stays` are the revisions whose objects are kept, `idle` those of them that only wait for the end of
    their grace period, each with its beginning; `wait` is in seconds until the first of these ends. `missing`
    says what the revision that is asked for lacks before the tag moves to it, `version` is its Istio."""

    asked: str
    active: str
    target: str
    stays: frozenset[str]
    idle: Mapping[str, str]
    wait: float | None = None
    missing: tuple[Waiting, ...] = ()
    version: str = ""

    @property
    def is_upgrading(self) -> bool:
        """Whether one revision serves and another one is to follow it."""
        return bool(self.active) and self.active != self.asked


def determine_succession(
    standings: Iterable[Standing],
    *,
    asked: str,
    active: str,
    missing: Sequence[Waiting] = (),
    grace: float = GRACE_PERIOD,
    now: str = "",
) -> Succession:
    """The succession among revisions that stand so; `missing` is what `asked` lacks to be proved. Nothing
    goes while the revision that serves is not available: until then any of the others may be the way out."""
    by_name = {standing.name: standing for standing in standings}
    target = asked if not active or active == asked or not missing else active
    stays, idle, waits = {asked, *filter(None, (active,))}, {}, []
    serves = active in by_name and by_name[active].available
    for standing in by_name.values():
        if standing.name in stays:
            continue
        if standing.used or not serves:
            stays.add(standing.name)
        elif standing.served:
            since = _read_since(standing.idle, now)
            left = (since + timedelta(seconds=grace) - datetime.fromisoformat(now)).total_seconds()
            if left > 0:
                stays.add(standing.name)
                idle[standing.name] = standing.idle if since == read_moment(standing.idle) else now
                waits.append(left)
    return Succession(asked, active, target, frozenset(stays), idle, min(waits, default=None), tuple(missing))


def _read_since(idle: str, now: str) -> datetime:
    """Since when nothing uses a revision: what cannot be read, or is yet to come, is now."""
    read, moment = read_moment(idle), datetime.fromisoformat(now)
    return read if read is not None and read <= moment else moment


def find_succession(observed: ObservedMesh, asked: Manifest, *, accepted: bool) -> Succession:
    """The succession of an observed mesh, whose spec asks for the MeshRevision `asked`. While the spec is not
    accepted nothing is asked for beyond what serves, and nothing goes for it."""
    name = asked["metadata"]["name"]
    if observed.in_place:
        return Succession(name, name, name, frozenset({name}), {})
    standings = [_read_standing(observed, revision) for revision in list_revisions(observed)]
    if not accepted:
        serving = observed.active or name
        return Succession(name, serving, serving, frozenset({name, *(s.name for s in standings)}), {})
    active = observed.active
    missing = tuple(find_missing_proof(observed, asked)) if active and active != name else ()
    seconds = read_upgrade(observed).inactive_revision_grace_period_seconds
    grace = GRACE_PERIOD if seconds is None else seconds
    found = determine_succession(
        standings, asked=name, active=active, missing=missing, grace=grace, now=observed.now
    )
    return replace(found, version=asked["spec"]["version"])


def restate_others(observed: ObservedMesh, asked: Manifest, succession: Succession) -> tuple[Manifest, ...]:
    """The MeshRevisions that stay beside the one asked for, as they were applied, but for who belongs to the
    mesh: all istiods of a mesh look at the same namespaces. One that only waits for the end of its grace
    period says since when."""
    others: list[Manifest] = []
    for existing in observed.revisions:
        name = existing["metadata"]["name"]
        if name == asked["metadata"]["name"] or name not in succession.stays:
            continue
        restated = take_back(observed, existing)
        metadata, spec = restated["metadata"], restated["spec"]
        if read_return(existing) is not None:
            metadata = {key: value for key, value in metadata.items() if key != "annotations"}
        if since := succession.idle.get(name):
            metadata = {**metadata, "annotations": {**metadata.get("annotations", {}), IDLE: since}}
        spec = {**spec, "members": asked["spec"]["members"]}
        if is_beside(observed, name):
            spec = {**spec, "beside": True}
        others.append({**restated, "metadata": metadata, "spec": spec})
    return tuple(others)


def is_beside(observed: ObservedMesh, name: str) -> bool:
    """Whether a revision that is updated in place leaves configuration that names no revision to the webhook
    that follows the tag: while the tag points to another one, and from then on. One that validated it before
    goes on until that webhook is trusted."""
    if not is_in_place(name):
        return False
    there = observed.find_revision(name)
    if there is not None and stands_beside(there):
        return True
    if observed.in_place or observed.active in ("", name):
        return False
    following = find_tag_validators(observed)
    trusted = bool(following) and all(entry.ca_bundle for w in following for entry in w.entries)
    return there is None or trusted


def list_revisions(observed: ObservedMesh) -> list[str]:
    """The names of all revisions of which there is anything: one whose MeshRevision is gone may still have an
    istiod that serves."""
    named = {str(r["metadata"]["name"]) for r in observed.revisions}
    return sorted(named | {name for o in observed.owned if (name := revision_of(o))})


def read_upgrade(observed: ObservedMesh) -> Upgrade:
    """What a mesh says of its upgrades."""
    return (observed.spec.upgrade if observed.spec is not None else None) or Upgrade()


def _read_standing(observed: ObservedMesh, name: str) -> Standing:
    manifest = observed.find_revision(name)
    census = observed.census
    injected = any(p.revision == name for p in (*census.counted, *census.outside, *census.of_others))
    pointed = any(w.parent is None and w.revision == name for w in observed.webhooks)
    used = injected or pointed
    if manifest is None:
        return Standing(name, used=used)
    return Standing(
        name,
        available=_is_available(manifest),
        served=bool((manifest.get("status") or {}).get("version")),
        used=used,
        idle=str((manifest["metadata"].get("annotations") or {}).get(IDLE, "")),
    )


def _is_available(manifest: Manifest) -> bool:
    condition = find_condition(manifest, ConditionType.AVAILABLE)
    return condition is not None and condition["status"] == "True"


def read_since(observed: ObservedMesh, succession: Succession) -> str:
    """Since when this upgrade goes on: as status says it of the same two revisions, else since now."""
    told = (observed.body.get("status") or {}).get("upgrade") or {}
    same = (told.get("from"), told.get("to")) == (succession.active, succession.asked)
    return settle_moment(str(told.get("since") or "") if same else "", observed.now)


def is_overdue(observed: ObservedMesh, succession: Succession) -> bool:
    """Whether the revision that is asked for was not proved in time."""
    began, now = read_moment(read_since(observed, succession)), read_moment(observed.now)
    seconds = read_upgrade(observed).progress_deadline_seconds or PROGRESS_DEADLINE
    return began is not None and now is not None and now - began >= timedelta(seconds=seconds)
