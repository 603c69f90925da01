"""What is wrong with a membership.

Owns the rules that the schema and the policies cannot say. Must never look at what runs. Invariant: with a
finding of severity ERROR the namespace leaves the mesh, or does not join it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from navarch.core.member.observed import ObservedMember
from navarch.core.membership.rule import NEVER_MEMBERS, is_reserved
from navarch.core.model.findings import Finding
from navarch.core.model.naming import is_hosting
from navarch.core.model.reasons import Reason


def run_checks(observed: ObservedMember) -> tuple[Finding, ...]:
    """Everything that keeps the namespace out of the mesh."""
    if observed.body is None:
        return ()
    if observed.spec is None:
        return (Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, "correct the field"),)
    return tuple(finding for check in CHECKS for finding in check(observed))


def check_place(observed: ObservedMember) -> Iterator[Finding]:
    """The namespace is not the platform's, nor Navarch's own, and holds no mesh."""
    name = observed.namespace
    environment = observed.environment
    own = (environment.operator_namespace, environment.probe_namespace)
    if name in NEVER_MEMBERS or is_reserved(name) or is_hosting(name) or name in own:
        message = "this namespace is the platform's or Navarch's own, and belongs to no mesh"
        remedy = "delete the MeshMember, and run what needs a sidecar in a namespace of its own"
    elif observed.holds:
        message = f"this namespace holds mesh {name}/{observed.holds}, and belongs to that one"
        remedy = "delete the MeshMember"
    else:
        return
    yield Finding(Reason.NAMESPACE_REFUSED, "metadata.namespace", name, message, remedy)


def check_mesh(observed: ObservedMember) -> Iterator[Finding]:
    """The mesh exists."""
    if observed.mesh is None and observed.spec is not None:
        ref = observed.spec.control_plane_ref
        message = "there is no such MeshControlPlane; the namespace joins when there is"
        remedy = "create the mesh, or make a MeshMember for another one"
        shown = f"{ref.namespace}/{ref.name}"
        yield Finding(Reason.MESH_NOT_FOUND, "spec.controlPlaneRef", shown, message, remedy)


CHECKS: tuple[Callable[[ObservedMember], Iterator[Finding]], ...] = (
    check_place,
    check_mesh,
)
"""The rules, in the order in which they are told."""
