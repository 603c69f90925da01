"""Tags: one mesh each in the whole cluster, and never the name of a revision.

Owns the rules between meshes of Navarch; those about other Istios are in foreign.py. Must never name a winner
that could change while nothing was edited: the older mesh wins, and for `default` the one that has it
already. Invariant: of the meshes that claim one tag exactly one passes.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.mesh.checks.neighbours import describe, summary_of, was_refused, winning_meshes
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.naming import DEFAULT_TAG, find_long_names, is_revision_like, revision_name
from navarch.core.model.reasons import Reason
from navarch.core.world.neighbours import MeshSummary

RENAME = "delete this mesh and create it with another spec.tag (a tag never changes)"
EDIT = "edit its spec to bring it up, or delete it"


def _holds_default(observed: ObservedMesh, mesh: MeshSummary) -> bool:
    return any(
        webhook.tag == DEFAULT_TAG
        and (webhook.parent.namespace, webhook.parent.name) == (mesh.namespace, mesh.name)
        for webhook in observed.webhooks
        if webhook.parent
    )


def check_tag_is_no_revision(observed: ObservedMesh) -> Iterator[Finding]:
    """The tag has not the form of a revision's name, and is not `default`, which spec.defaultTag stands
    for."""
    tag = summary_of(observed).tag
    if is_revision_like(tag):
        message = "has the form of a revision's name, and could become the same as one"
        yield Finding(Reason.TAG_CONFLICT, "spec.tag", tag, message, RENAME)
    elif tag == DEFAULT_TAG:
        remedy = "choose another spec.tag, and set spec.defaultTag for istio-injection=enabled"
        yield Finding(Reason.TAG_CONFLICT, "spec.tag", tag, "is kept for istio-injection=enabled", remedy)


def check_tag_is_free(observed: ObservedMesh) -> Iterator[Finding]:
    """Neither the tag nor the revision that follows from it is a tag or a revision of a mesh that wins. Once
    refused, a mesh waits for an edit: it does not inherit the namespaces that carry another mesh's tag."""
    own, found = summary_of(observed), False
    tag = own.tag
    for mesh in winning_meshes(observed):
        clashes = {
            f"is also the tag of {describe(mesh)}": tag == mesh.tag,
            f"is also the name of a revision of {describe(mesh)}": tag == revision_name(mesh.tag),
            f"makes a revision named like the tag of {describe(mesh)}": revision_name(tag) == mesh.tag,
        }
        for message in (text for text, clash in clashes.items() if clash):
            found = True
            yield Finding(Reason.TAG_CONFLICT, "spec.tag", tag, message, RENAME)
    if not found and own.waiting and was_refused(observed, Reason.TAG_CONFLICT):
        message = "was another mesh's when this one was made; that is gone, and this one waits for an edit"
        yield Finding(Reason.TAG_CONFLICT, "spec.tag", tag, message, EDIT)


def check_default_tag_has_one_owner(observed: ObservedMesh) -> Iterator[Finding]:
    """Of the meshes that ask for the tag `default`, the one that has it keeps it; else the oldest gets it."""
    own = summary_of(observed)
    if not own.default_tag:
        return
    winner = _find_owner(observed)
    field, value = "spec.defaultTag", "true"
    if winner != own:
        message = f"{describe(winner)} owns istio-injection=enabled, and only one mesh of a cluster can"
        remedy = "remove spec.defaultTag here, or remove it there and then edit this mesh"
        yield Finding(Reason.DEFAULT_TAG_CONFLICT, field, value, message, remedy)
    elif was_refused(observed, Reason.DEFAULT_TAG_CONFLICT):
        message = "another mesh owned istio-injection=enabled; that is gone, and this one waits for an edit"
        yield Finding(Reason.DEFAULT_TAG_CONFLICT, field, value, message, EDIT)


def check_nothing_of_it_is_asked_for(observed: ObservedMesh) -> Iterator[Finding]:
    """No mesh asks for the tag of this one, or for the tag `default` that it has: the other is refused, and
    says so itself."""
    own = summary_of(observed)
    others = [mesh for mesh in observed.meshes if mesh != own]
    alike = [mesh for mesh in others if _clash(own.tag, mesh.tag)]
    default = [mesh for mesh in others if own.default_tag and mesh.asks_default]
    holds = own.default_tag and _find_owner(observed) == own
    contested = {
        ("spec.tag", own.tag): alike if not {*alike} & {*winning_meshes(observed)} else [],
        ("spec.defaultTag", "true"): default if holds else [],
    }
    for (field, value), meshes in contested.items():
        if meshes:
            message = f"is also asked for by {join(map(describe, meshes))}, which waits"
            remedy = "nothing is to be done here; each of them says what helps"
            yield Finding(Reason.TAG_CONTESTED, field, value, message, remedy, Severity.INFO)


def _clash(tag: str, other: str) -> bool:
    """Whether of two meshes with these tags one could have a tag or a revision of the other's."""
    return tag == other or tag == revision_name(other) or revision_name(tag) == other


def _find_owner(observed: ObservedMesh) -> MeshSummary:
    """Of the meshes that ask for the tag `default`, the one that has it; else the oldest."""
    claims = [mesh for mesh in observed.meshes if mesh.default_tag and not mesh.refused]
    return min(claims, key=lambda mesh: (not _holds_default(observed, mesh), mesh))


def check_names_fit(observed: ObservedMesh) -> Iterator[Finding]:
    """No object derived from the mesh has a name that the API server would refuse for its length."""
    own = summary_of(observed)
    for long in find_long_names(namespace=own.namespace, name=own.name, tag=own.tag):
        of_mesh = long.name == own.name
        yield Finding(
            Reason.NAME_TOO_LONG,
            "metadata.name" if of_mesh else "spec.tag",
            own.name if of_mesh else own.tag,
            f"makes {long.kind} {long.name}, which has {len(long.name)} of at most {long.limit} characters",
            "delete this mesh and create it with a shorter "
            + ("name" if of_mesh else "spec.tag (a tag never changes)"),
        )
