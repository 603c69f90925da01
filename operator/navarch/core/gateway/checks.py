"""What is wrong with a gateway's specification, or with where it stands.

Owns the rules that the schema cannot say. Must never look at what runs. Invariant: with a finding of severity
ERROR nothing new is planned, and what runs stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.gateway import RESERVED_LABELS
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.membership.rule import build_membership, is_injected
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason


def run_checks(observed: ObservedGateway) -> tuple[Finding, ...]:
    """Everything that keeps a gateway from being made or changed."""
    if observed.spec is None:
        remedy = "correct the field"
        return (Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, remedy),)
    return (*check_mesh(observed), *check_membership(observed), *check_labels(observed))


def _name_mesh(observed: ObservedGateway) -> str:
    return "/".join(observed.parent.mesh or ())


def check_mesh(observed: ObservedGateway) -> Iterator[Finding]:
    """The mesh exists."""
    if observed.mesh is None:
        message = "there is no such MeshControlPlane; what the gateway runs keeps serving"
        remedy = "create the mesh, or make a gateway for another one"
        yield Finding(Reason.MESH_NOT_FOUND, "spec.controlPlaneRef", _name_mesh(observed), message, remedy)


def check_membership(observed: ObservedGateway) -> Iterator[Finding]:
    """The gateway's namespace belongs to the mesh: elsewhere its pods are not injected, and istiod does not
    look at its Gateways."""
    revision, namespace = observed.revision, observed.parent.namespace
    if observed.mesh is None or revision is None:
        return
    spec = revision["spec"]
    mesh = build_membership(
        revision["metadata"]["namespace"],
        spec["tag"],
        default=bool(spec["members"]["default"]),
        probe=observed.environment.probe_namespace,
        excluded=spec["members"]["excluded"],
    )
    labels = observed.namespace.labels if observed.namespace else {}
    if not is_injected(mesh, namespace, labels):
        message = f"the gateway's namespace does not belong to the mesh {_name_mesh(observed)}"
        remedy = f"kubectl label namespace {namespace} istio.io/rev={spec['tag']}"
        yield Finding(Reason.NOT_A_MEMBER, "metadata.namespace", namespace, message, remedy)


def check_labels(observed: ObservedGateway) -> Iterator[Finding]:
    """No label of the user's decides injection or identity of the pods, or whose they are."""
    for key, value in sorted(((observed.spec and observed.spec.labels) or {}).items()):
        domain = key.rpartition("/")[0]
        if key == "istio":
            message = "each pod of the gateway has this label with the gateway's name"
            yield _refuse(key, value, message, "remove it, or name the gateway so")
        elif any(domain == own or domain.endswith(f".{own}") for own in RESERVED_LABELS):
            message = "labels of this domain decide injection, identity, or whose a pod is"
            yield _refuse(key, value, message, "remove it")


def _refuse(key: str, value: str, message: str, remedy: str) -> Finding:
    return Finding(Reason.FIELD_REFUSED, f"spec.labels[{key}]", value, message, remedy)
