"""Whether every namespace belongs to a mesh: as its spec asks, and as its MeshRevision says.

Owns the reading of both. Must never look at another mesh. Invariant: what a revision once asked for counts
until it has said that it was rolled out without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.api.controlplane import CLUSTER
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import SCOPE
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest

OF_CLUSTER = {SCOPE: CLUSTER}
"""The label of a MeshRevision that may reach every namespace."""
_NOT_ASKED = (Reason.SCOPE_CONFLICT, Reason.INTERNAL_ERROR)
"""Reasons of Progressing after a look that let a revision not pass, or came to nothing."""


def asks_for_cluster(mesh: Manifest) -> bool:
    """Whether every namespace is to be a member of a mesh, by its spec."""
    return (mesh.get("spec") or {}).get("scope") == CLUSTER


def read_members(revision: Manifest) -> Mapping[str, Any]:
    """What a MeshRevision says of its members; nothing where another release wrote it in another form."""
    members = (revision.get("spec") or {}).get("members")
    return members if isinstance(members, Mapping) else {}


def is_of_cluster(revision: Manifest) -> bool:
    """Whether every namespace is to belong to the mesh of a MeshRevision."""
    return bool(read_members(revision).get("cluster"))


def reaches_cluster(revision: Manifest) -> bool:
    """Whether an istiod of a MeshRevision may reach every namespace: by what it asks for, or asked for
    before."""
    labels = revision["metadata"].get("labels") or {}
    return is_of_cluster(revision) or labels.get(SCOPE) == CLUSTER


def is_let_pass(revision: Manifest) -> bool:
    """Whether a look at the revision as it is now found no other in its way. None that came later was let
    pass: it found this one."""
    said = find_condition(revision, ConditionType.PROGRESSING)
    if said is None or said["reason"] in _NOT_ASKED:
        return False
    return bool(said["observedGeneration"] == revision["metadata"].get("generation", 0))


def holds_anything(revision: Manifest) -> bool:
    """Whether a MeshRevision has the namespaces of its mesh: an istiod of it served, or it was let pass. From
    then on it stands in the way of every one that is to reach all, and needs to ask for none itself unless it
    is to reach them all."""
    status, said = revision.get("status") or {}, find_condition(revision, ConditionType.PROGRESSING)
    return bool(status.get("version")) or (said is not None and said["reason"] not in _NOT_ASKED)


def has_to_ask(revision: Manifest) -> bool:
    """Whether the API server has to be asked for the revisions in the way of this one."""
    return not (is_let_pass(revision) if is_of_cluster(revision) else holds_anything(revision))


def holds_cluster(revision: Manifest) -> bool:
    """Whether a MeshRevision has every namespace: it was let pass, or has not given up what it had."""
    return reaches_cluster(revision) and (is_let_pass(revision) or not is_of_cluster(revision))
