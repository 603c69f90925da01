"""Which namespaces a roll asks for, and how far each of them is.

Owns that list, from which plan and status follow. Must never look at labels that Navarch puts on members: a
selector of those would choose a namespace because it was chosen. Invariants: each namespace is listed once,
by name; of namespaces that the spec does not name, only those that may be members are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from navarch.core.membership.places import tell_refusal
from navarch.core.membership.rule import read_put_out
from navarch.core.membership.selectors import matches
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import MEMBER_OF
from navarch.core.model.parent import parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.roll.entries import asks_for_all, find_replaced, is_meant, list_entries, tell_replaced
from navarch.core.roll.observed import ObservedRoll
from navarch.core.world.cluster import Namespace


class How(IntEnum):
    """How a namespace was asked for; what was said more exactly counts."""

    NAMED = 0
    SELECTED = 1
    BY_ASTERISK = 2
    NO_MORE = 3
    """The namespace that was named is gone; another has its name, or none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A namespace that the roll asks for. `reason` is None for one that is a member. `is_made` says that the
    roll makes a MeshMember there, or keeps its own as it is; `is_self_joined` that there is one for the same
    mesh which the roll did not make."""

    namespace: str
    reason: Reason | None = None
    message: str = ""
    is_made: bool = False
    is_self_joined: bool = False


def list_candidates(observed: ObservedRoll) -> tuple[Candidate, ...]:
    """All namespaces that the roll asks for, by name."""
    replaced = dict.fromkeys((entry.name for entry in find_replaced(observed)), How.NO_MORE)
    asked = replaced | find_asked(observed)
    own = {member["metadata"]["namespace"] for member in observed.own}
    candidates = (_judge(observed, name, asked[name], is_own=name in own) for name in sorted(asked))
    return tuple(each for each in candidates if each is not None)


def is_left(observed: ObservedRoll, member: Manifest, asked: Mapping[str, How]) -> bool:
    """Whether a MeshMember of the roll's own is to go: nothing asks for its namespace any more, or the
    namespace may be no member, or it names another mesh than that beside the roll."""
    name = member["metadata"]["namespace"]
    if name not in asked or _tell_refusal(observed, name) or _is_put_out(observed, name):
        return True
    return observed.mesh is not None and not names_mesh(observed, member)


def find_asked(observed: ObservedRoll) -> dict[str, How]:
    """The names of the namespaces that the spec means, whether or not they may be members. A name that the
    spec has only for a namespace that is gone is not among them."""
    spec = observed.spec
    if spec is None:
        return {}
    selectors = _read_selectors(observed)
    everything = observed.namespaces if asks_for_all(spec) else ()
    asked = dict.fromkeys(everything, How.BY_ASTERISK)
    for name, namespace in observed.namespaces.items() if selectors else ():
        if any(is_selected(selector, namespace) for selector in selectors):
            asked[name] = How.SELECTED
    named = (entry.name for entry in list_entries(spec) if is_meant(observed, entry))
    return asked | dict.fromkeys(named, How.NAMED)


def _read_selectors(observed: ObservedRoll) -> list[Mapping[str, Any]]:
    found = (observed.spec.member_selectors if observed.spec is not None else None) or ()
    return [selector.to_json() for selector in found]


def is_selected(selector: Mapping[str, Any], namespace: Namespace) -> bool:
    """Whether a selector chooses a namespace by labels that are not there because it is a member."""
    ours = {MEMBER_OF, *namespace.claimed}
    labels = {key: value for key, value in namespace.labels.items() if key not in ours}
    return matches(selector, labels)


def _judge(observed: ObservedRoll, name: str, how: How, *, is_own: bool) -> Candidate | None:
    if told := _tell_ineligible(observed, name, how, is_own=is_own):
        return Candidate(name, *told) if how in (How.NAMED, How.NO_MORE) else None
    if observed.mesh is None:
        return Candidate(name, Reason.MESH_NOT_FOUND, "there is no mesh beside the roll yet")
    member = observed.members.get(name)
    if member is None:
        return Candidate(name, Reason.PROGRESSING, "its MeshMember is being made", is_made=True)
    if names_mesh(observed, member):
        reason, message = _follow(member)
        going = "deletionTimestamp" in member["metadata"]
        # Without our entry it was restored from a backup.
        named = how is not How.NO_MORE and (is_own or observed.parent.owns(member))
        return Candidate(name, reason, message, is_made=named and not going, is_self_joined=not named)
    if is_own:
        return Candidate(name, Reason.PROGRESSING, "its MeshMember names another mesh and is made anew")
    return None if how is How.BY_ASTERISK else Candidate(name, Reason.MEMBER_OF_ANOTHER, _tell_owner(member))


def _is_joined_by_others(observed: ObservedRoll, name: str, *, is_own: bool) -> bool:
    """Whether a namespace has joined the roll's mesh without the roll, and stays."""
    member = observed.members.get(name)
    stays = member is not None and "deletionTimestamp" not in member["metadata"]
    return stays and not is_own and names_mesh(observed, observed.members[name])


def _tell_refusal(observed: ObservedRoll, name: str) -> str:
    return tell_refusal(name, environment=observed.environment, holds=observed.holds.get(name, ""))


def _is_put_out(observed: ObservedRoll, name: str) -> bool:
    return observed.mesh is not None and name in read_put_out(observed.mesh)


def _tell_ineligible(
    observed: ObservedRoll, name: str, how: How, *, is_own: bool
) -> tuple[Reason, str] | None:
    """Why a namespace can be no member now, whatever its MeshMember says; one that the roll does not mean
    can be, by a MeshMember of its own."""
    namespace = observed.namespaces.get(name)
    if how is How.NO_MORE and not _is_joined_by_others(observed, name, is_own=is_own):
        return Reason.NAMESPACE_REPLACED, tell_replaced(observed, name)
    if refusal := _tell_refusal(observed, name):
        return Reason.NAMESPACE_REFUSED, refusal
    if _is_put_out(observed, name):
        return Reason.NAMESPACE_EXCLUDED, "spec.excludedNamespaces of the mesh names it"
    if namespace is None:
        return Reason.NAMESPACE_NOT_FOUND, "there is no such namespace; it joins when there is"
    if namespace.terminating:
        return Reason.NAMESPACE_TERMINATING, "the namespace is being deleted; it joins when it is there again"
    return None


def _follow(member: Manifest) -> tuple[Reason | None, str]:
    """Of a namespace whose MeshMember names the roll's mesh: the MeshMember says how far it is."""
    if "deletionTimestamp" in member["metadata"]:
        return Reason.PROGRESSING, "its MeshMember is being deleted, and made again when it is gone"
    ready = find_condition(member, ConditionType.READY)
    if ready is None or ready["observedGeneration"] < member["metadata"].get("generation", 0):
        return Reason.PROGRESSING, "its MeshMember has not been looked at yet"
    return (None, "") if ready["status"] == "True" else (Reason.read(ready["reason"]), ready["message"])


def names_mesh(observed: ObservedRoll, member: Manifest) -> bool:
    """Whether a MeshMember names the mesh beside the roll."""
    said = (member.get("spec") or {}).get("controlPlaneRef") or {}
    return bool(said == build_reference(observed))


def build_reference(observed: ObservedRoll) -> Mapping[str, str]:
    """The mesh beside the roll, as its members name it; empty where there is none."""
    if observed.mesh is None:
        return {}
    metadata = observed.mesh["metadata"]
    return {"name": metadata["name"], "namespace": metadata["namespace"]}


def _tell_owner(member: Manifest) -> str:
    said = (member.get("spec") or {}).get("controlPlaneRef") or {}
    mesh = f"{said.get('namespace', '')}/{said.get('name', '')}"
    roll = parent_of(member)
    by = f"MeshMemberRoll {roll.namespace}/{roll.name} has made" if roll is not None else "it has"
    joins = "once that one is deleted"
    return f"{by} a MeshMember for mesh {mesh}; what came first stays, and the namespace joins {joins}"


def find_unmatched(observed: ObservedRoll) -> Iterator[int]:
    """The places in spec.memberSelectors of selectors that choose no namespace."""
    for at, selector in enumerate(_read_selectors(observed)):
        if not any(is_selected(selector, namespace) for namespace in observed.namespaces.values()):
            yield at
