"""Where a mesh may live: a namespace that can hold one, and no older mesh in it.

Owns the rules about a mesh's namespace. Must never look at what the mesh asks for.
Invariant: of all meshes in one namespace exactly one passes, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.membership.rule import is_member, is_reserved
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import MEMBER_OF
from navarch.core.model.messages import join
from navarch.core.model.naming import is_hosting, name_members
from navarch.core.model.reasons import Reason
from navarch.core.world.neighbours import MeshSummary


def summary_of(observed: ObservedMesh) -> MeshSummary:
    """The mesh as its neighbours see it. Raises LookupError where gather left it out."""
    for mesh in observed.meshes:
        if (mesh.namespace, mesh.name) == (observed.parent.namespace, observed.parent.name):
            return mesh
    raise LookupError(
        f"mesh {observed.parent.namespace}/{observed.parent.name} is not among the observed meshes"
    )


def winning_meshes(observed: ObservedMesh) -> Iterator[MeshSummary]:
    """Meshes that win against this one: those that hold something before those that wait, then by creation
    time and uid. A mesh that holds nothing and was refused claims nothing."""
    own = summary_of(observed)
    return (mesh for mesh in sorted(observed.meshes) if mesh < own and not mesh.refused)


def was_refused(observed: ObservedMesh, reason: Reason) -> bool:
    """Whether this very spec was refused for `reason` when it was last looked at: it then waits for an edit,
    since a mesh must neither come up nor inherit a tag because another one was deleted."""
    verdict = find_condition(observed.body, ConditionType.SPEC_ACCEPTED)
    return (
        verdict is not None
        and verdict["status"] == "False"
        and verdict["reason"] == reason
        and verdict["observedGeneration"] == observed.generation
    )


def describe(mesh: MeshSummary) -> str:
    """A mesh as a message names it."""
    return f"mesh {mesh.namespace}/{mesh.name}"


def check_namespace_may_hold_a_mesh(observed: ObservedMesh) -> Iterator[Finding]:
    """A mesh stays out of the operator's two namespaces and out of the cluster's own."""
    namespace, environment = observed.parent.namespace, observed.environment
    if namespace == environment.operator_namespace:
        why = "the operator itself runs in it"
    elif namespace == environment.probe_namespace:
        why = "it is kept for the operator's dry-run pods"
    elif is_hosting(namespace):
        why = "its name is one of those in which Navarch hosts control planes"
    elif is_reserved(namespace):
        why = "namespaces of that prefix belong to the cluster and can be in no mesh"
    else:
        return
    yield Finding(
        Reason.NAMESPACE_REFUSED,
        "metadata.namespace",
        namespace,
        f"cannot hold a mesh: {why}",
        "create the mesh in a namespace of its own",
    )


def check_namespaces_are_its_own(observed: ObservedMesh) -> Iterator[Finding]:
    """No namespace that the mesh takes by a tag is another mesh's by a MeshMember."""
    mesh = find_effective_membership(observed)
    if not mesh.by_tag:
        return
    own = name_members(observed.parent.namespace, observed.parent.name)
    shared = [
        f"{name} (a member of {namespace.labels[MEMBER_OF].replace('.', '/', 1)})"
        for name, namespace in sorted(observed.namespaces.items())
        if namespace.labels.get(MEMBER_OF, own) != own and is_member(mesh, name, namespace.labels)
    ]
    if shared:
        message = (
            f"takes namespaces that are another mesh's by a MeshMember, which leave that one: {join(shared)}"
        )
        remedy = "remove the label istio.io/rev or istio-injection from them, or delete their MeshMembers"
        yield Finding(Reason.NAMESPACE_SHARED, "spec.tag", observed.tag, message, remedy, Severity.WARNING)


def check_oldest_in_namespace(observed: ObservedMesh) -> Iterator[Finding]:
    """A namespace holds one mesh: the one that is installed, else the oldest. One that had to stand back is
    promoted by an edit only."""
    for mesh in winning_meshes(observed):
        if mesh.namespace == observed.parent.namespace:
            yield Finding(
                Reason.NOT_THE_OLDEST,
                "metadata.namespace",
                mesh.namespace,
                f"already holds {describe(mesh)}, and a namespace holds one mesh",
                f"move this mesh to another namespace, or delete {mesh.name} and then edit this one",
            )
            return
    if summary_of(observed).waiting and was_refused(observed, Reason.NOT_THE_OLDEST):
        yield Finding(
            Reason.NOT_THE_OLDEST,
            "metadata.namespace",
            observed.parent.namespace,
            "held another mesh when this one was made; that is gone, and this one waits for an edit",
            "edit its spec to bring it up, or delete it",
        )
