"""A mesh to which every namespace belongs is alone in its cluster.

Owns the rule between such a mesh and all others. Must never depend on which of them was looked at first: who
holds something comes before who waits, then the older before the younger; and a mesh that asks for every
namespace comes after each that holds anything. Invariant: of two meshes of which one takes every namespace at
most one passes; that no two of them act even where both were let pass, because neither had been told of the
other, is decided once more where their control planes are made (core/revision/plan.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.core.mesh.checks.foreign import foreign_webhooks
from navarch.core.mesh.checks.neighbours import describe, summary_of, was_refused
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Webhook
from navarch.core.world.neighbours import MeshSummary

FIELD = "spec.scope"
INJECTOR = "sidecar-injector.istio.io"
"""What names of the entries of every Istio's injection webhook end in."""


def check_cluster_is_its_own(observed: ObservedMesh) -> Iterator[Finding]:
    """No other mesh is beside one that takes every namespace: both would write their root certificate into
    ConfigMap istio-ca-root-cert of the same namespaces. Once refused, a mesh waits for an edit."""
    own = summary_of(observed)
    others = [mesh for mesh in observed.meshes if mesh != own and not mesh.refused]
    if own.cluster:
        yield from _judge_of_cluster(observed, own, others)
        return
    holders = [mesh for mesh in others if mesh.cluster and _stands_back(own, mesh)]
    if holders:
        message = f"every namespace belongs to {describe(min(holders))}, and no other mesh can be beside it"
        remedy = "delete this mesh and join that one, or set another spec.scope there and then edit this mesh"
        yield Finding(Reason.SCOPE_CONFLICT, FIELD, _show(observed), message, remedy)
    elif not own.holds_any and was_refused(observed, Reason.SCOPE_CONFLICT):
        yield _tell_waiting(observed)


def _stands_back(own: MeshSummary, mesh: MeshSummary) -> bool:
    """Whether a mesh stands back from one that has every namespace, or asks for them: from the latter only
    where it holds nothing itself, and came later."""
    return mesh.holds_cluster or (not own.holds_any and _comes_before(mesh, own))


def _comes_before(mesh: MeshSummary, own: MeshSummary) -> bool:
    """Whether a mesh comes before this one: because it holds something, else because it is older. A
    MeshRevision that was not let pass is nothing that is held."""
    one, other = ((not each.holds_any, each.created, each.uid) for each in (mesh, own))
    return one < other


def _judge_of_cluster(
    observed: ObservedMesh, own: MeshSummary, others: Iterable[MeshSummary]
) -> Iterator[Finding]:
    """A mesh that has every namespace keeps them, but for an older one that has them, too; one that asks for
    them gets them when no other holds anything, or asked before."""
    if own.holds_cluster:
        before = [mesh for mesh in others if mesh.holds_cluster and _comes_before(mesh, own)]
    else:
        before = [mesh for mesh in others if mesh.holds_any or _comes_before(mesh, own)]
    if before:
        message = (
            f"takes every namespace, and beside such a mesh no other can be: {join(map(describe, before))}"
        )
        remedy = "set scope: Members, or delete the others and then edit this mesh"
        yield Finding(Reason.SCOPE_CONFLICT, FIELD, _show(observed), message, remedy)
    elif not own.holds_cluster and was_refused(observed, Reason.SCOPE_CONFLICT):
        yield _tell_waiting(observed)


def check_cluster_has_no_other_istio(observed: ObservedMesh) -> Iterator[Finding]:
    """Nobody else's Istio is beside a mesh that takes every namespace: wherever it looks, this mesh looks,
    too. One that comes later takes nothing away from what stands."""
    own = summary_of(observed)
    injectors = sorted(str(webhook.ref) for webhook in foreign_webhooks(observed) if _injects(webhook))
    if own.cluster and injectors:
        message = (
            "takes every namespace, also those of an Istio that is not Navarch's, and both would write their "
            f"root certificate into them: {join(injectors)}"
        )
        remedy = "set scope: Members while that Istio is there, or uninstall it"
        severity = Severity.WARNING if own.holds_cluster else Severity.ERROR
        yield Finding(Reason.FOREIGN_ISTIO, FIELD, _show(observed), message, remedy, severity)


def check_isolation_closes_something(observed: ObservedMesh) -> Iterator[Finding]:
    """Members are not isolated by a mesh to which every namespace belongs: each lets in all of them."""
    policies = observed.spec.network_policies if observed.spec is not None else None
    if summary_of(observed).cluster and policies is not None and policies.isolate_members:
        message = "closes nothing: with scope: Cluster every namespace belongs to the mesh, and is let in"
        remedy = "set scope: Members, or remove it"
        field = "spec.networkPolicies.isolateMembers"
        yield Finding(Reason.FIELD_WITHOUT_EFFECT, field, "true", message, remedy, Severity.WARNING)


def _injects(webhook: Webhook) -> bool:
    return any(entry.name.endswith(INJECTOR) for entry in webhook.entries)


def _tell_waiting(observed: ObservedMesh) -> Finding:
    message = "stood against another mesh; that is gone, or has another scope, and this one waits for an edit"
    remedy = "edit its spec to bring it up, or delete it"
    return Finding(Reason.SCOPE_CONFLICT, FIELD, _show(observed), message, remedy)


def _show(observed: ObservedMesh) -> str:
    return str((observed.body.get("spec") or {}).get("scope") or "unset")
