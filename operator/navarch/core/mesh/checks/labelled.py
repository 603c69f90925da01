"""Labels of namespaces that name the mesh and do not count: what a user who set them would not see.

Owns these rules as they are told of the mesh that is named; core/diagnosis/labels.py tells them of the
namespace. Must never decide membership. Invariant: a namespace is told by at most one rule, and one whose
labels count by none.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.membership.places import tell_refusal
from navarch.core.membership.rule import Membership, read_put_out
from navarch.core.mesh.checks.neighbours import describe
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, MEMBER_OF
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Namespace


def check_labels_agree(observed: ObservedMesh) -> Iterator[Finding]:
    """No namespace that names the mesh in istio.io/rev has istio-injection as well, which comes first."""
    mesh = find_effective_membership(observed)
    beaten = [
        f"{namespace.name} ({ISTIO_INJECTION}={namespace.labels[ISTIO_INJECTION]})"
        for namespace in _list_others(observed, mesh)
        if ISTIO_INJECTION in namespace.labels
        and namespace.labels.get(ISTIO_REV) in mesh.values
        and not _means_default(mesh, namespace)
    ]
    if beaten:
        message = (
            f"is named by namespaces in {ISTIO_REV}, where {ISTIO_INJECTION} comes first: {join(beaten)}"
        )
        remedy = f"kubectl label namespace NAME {ISTIO_INJECTION}- lets {ISTIO_REV} count"
        yield Finding(Reason.LABELS_CONTRADICT, "spec.tag", observed.tag, message, remedy, Severity.WARNING)


def check_labels_count(observed: ObservedMesh) -> Iterator[Finding]:
    """No namespace that asks for the mesh by a label is one of which the mesh injects no pod."""
    mesh = find_effective_membership(observed)
    lost = [
        f"{namespace.name} ({why})"
        for namespace in _list_others(observed, mesh)
        if _asks(mesh, namespace) and (why := _explain(observed, mesh, namespace))
    ]
    if lost:
        message = f"is named by labels of namespaces that get no sidecar by it: {join(lost)}"
        remedy = f"remove {ISTIO_REV} or {ISTIO_INJECTION} from them, or do what is said of each"
        yield Finding(
            Reason.LABEL_WITHOUT_EFFECT, "spec.tag", observed.tag, message, remedy, Severity.WARNING
        )


def _list_others(observed: ObservedMesh, mesh: Membership) -> Iterator[Namespace]:
    for name, namespace in sorted(observed.namespaces.items()):
        if name != mesh.namespace and not namespace.terminating:
            yield namespace


def _means_default(mesh: Membership, namespace: Namespace) -> bool:
    """Whether istio-injection names this very mesh."""
    return mesh.default and namespace.labels[ISTIO_INJECTION] == "enabled"


def _asks(mesh: Membership, namespace: Namespace) -> bool:
    if ISTIO_INJECTION in namespace.labels:
        return _means_default(mesh, namespace)
    return namespace.labels.get(ISTIO_REV) in mesh.values


def _explain(observed: ObservedMesh, mesh: Membership, namespace: Namespace) -> str:
    """Why a namespace gets no sidecar by its label; empty where it does."""
    name = namespace.name
    holders = [other for other in observed.meshes if other.namespace == name]
    if name in mesh.excluded and holders:
        return f"it holds {describe(holders[0])}"
    if tell_refusal(name, environment=observed.environment, holds=""):
        return "it is the platform's or Navarch's own"
    if name in read_put_out(observed.body):
        return "spec.excludedNamespaces of the mesh names it"
    if mesh.member_of and namespace.labels.get(MEMBER_OF) != mesh.member_of:
        return "it has no MeshMember of this mesh, which takes in no namespace by a label"
    return ""
