"""What is wrong with a roll.

Owns the rules that the schema and the policies cannot say. Must never look at how far a namespace is: that is
status. Invariant: with a finding of severity ERROR no MeshMember is made; what nothing asks for goes all the
same.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.roll.entries import find_replaced, tell_replaced
from navarch.core.roll.observed import ObservedRoll
from navarch.core.roll.places import find_unmatched


def run_checks(observed: ObservedRoll) -> tuple[Finding, ...]:
    """Everything that is wrong with the roll."""
    if observed.spec is None:
        return (Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, "correct the field"),)
    return (*_check_mesh(observed), *_check_entries(observed), *_check_selectors(observed))


def _check_mesh(observed: ObservedRoll) -> Iterator[Finding]:
    """There is a mesh beside the roll."""
    if observed.mesh is None:
        message = "there is no MeshControlPlane beside the roll; its namespaces join when there is"
        remedy = "create the mesh in this namespace, or move the roll to the mesh's"
        name = observed.parent.namespace
        yield Finding(Reason.MESH_NOT_FOUND, "metadata.namespace", name, message, remedy)


def _check_entries(observed: ObservedRoll) -> Iterator[Finding]:
    """Every entry means a namespace that is there, or one that may come. Of many one is told whole: after a
    restore from a backup it can be all of them."""
    replaced = [*find_replaced(observed)]
    if not replaced:
        return
    more = f"; so it is with {len(replaced) - 1} more: {join(map(str, replaced[1:]))}" if replaced[1:] else ""
    message = tell_replaced(observed, replaced[0].name) + more
    remedy = "take the entry out, or write the uid of the namespace that is to join"
    yield Finding(
        Reason.NAMESPACE_REPLACED, "spec.members", str(replaced[0]), message, remedy, Severity.WARNING
    )


def _check_selectors(observed: ObservedRoll) -> Iterator[Finding]:
    """Every selector chooses a namespace."""
    for at in find_unmatched(observed):
        yield Finding(
            Reason.NO_NAMESPACE_SELECTED,
            f"spec.memberSelectors[{at}]",
            "",
            "no namespace has these labels; one joins as soon as it has them",
            "correct the selector, or label the namespaces",
            Severity.WARNING,
        )
