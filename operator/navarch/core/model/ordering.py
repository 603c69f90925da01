"""The order in which kinds come and go.

Owns one list. Must never look inside an object. What has to wait for readiness is a matter of plans, not of
kinds. Invariant: removal is the reverse of applying, with two exceptions. Webhook configurations go first,
because a webhook whose server is gone blocks other people's pods (failurePolicy Fail). Bindings go next:
istiod outlives its mesh configuration by the time that its pod needs to end, and without one it takes every
namespace for its own (pkg/config/mesh/meshwatcher in istio.io/istio) and would hand its root to all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.core.model.refs import Ref

WEBHOOK_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

BINDING_KINDS = ("ClusterRoleBinding", "RoleBinding")

APPLY_ORDER = (
    "CustomResourceDefinition",
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "DaemonSet",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Route",
    "MeshRevision",
    "MeshGateway",
    "PeerAuthentication",
    *WEBHOOK_KINDS,
)
"""Kinds in the order they are applied; an unknown kind comes after the workloads and before the webhooks."""

_RANKS = {kind: rank for rank, kind in enumerate(APPLY_ORDER)}

_UNKNOWN = _RANKS["PeerAuthentication"]


def apply_rank(kind: str) -> int:
    """The place of a kind when applying; lower is earlier."""
    return _RANKS.get(kind, _UNKNOWN)


def removal_rank(kind: str) -> int:
    """The place of a kind when removing; lower is earlier."""
    if kind in WEBHOOK_KINDS:
        return -2
    return -1 if kind in BINDING_KINDS else len(APPLY_ORDER) - apply_rank(kind)


def order_for_removal(refs: Iterable[Ref]) -> list[Ref]:
    """References in the order of removing; within a kind by namespace and name."""
    return sorted(refs, key=lambda r: (removal_rank(r.kind), r))
