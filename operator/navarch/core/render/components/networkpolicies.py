"""NetworkPolicies of a mesh: who reaches its control plane, and its members.

Owns what they let in. Must never decide which namespaces belong to a mesh: the peers are the selectors that
follow from membership, so that no policy changes when a namespace joins or leaves. Invariants: a policy of
ours says nothing of egress; pods of gateways are in no member's policy, since their clients come from
anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from navarch.api.networkpolicies import NetworkPolicies
from navarch.core.istio.assets import Assets
from navarch.core.membership.rule import Membership
from navarch.core.membership.selectors import build_discovery_selectors
from navarch.core.model.labels import GATEWAY_API, GATEWAY_NAME, NAMESPACE_NAME
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import has_managed_authority

Peer: TypeAlias = dict[str, Any]
Rule: TypeAlias = dict[str, Any]

CONTROL_PLANE, MEMBERS = "istiod", "members"
"""Components."""
NAME = "navarch-members"
"""The name of the policy in each namespace of a member."""
XDS, PLAINTEXT_XDS, METRICS, WEBHOOKS = 15012, 15010, 15014, 15017
"""Ports of istiod's pods. A policy that names a number needs no look at the pods; a name would be taken from
the container's ports, which a tenant of the namespace may choose."""
GATEWAY_LABELS = (GATEWAY_NAME, f"{GATEWAY_API}/gateway-name")
"""Labels of the pods of MeshGateways, and of those that istiod deploys for Gateways of Gateway API."""


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """The policy of istiod's pods, where the mesh has it managed. It has the name of the one that
    controlPlane.networkPolicy asks for, and stands in its place."""
    policies = revision.config.network_policies
    if policies is None or not policies.manage:
        return
    yield render_data(
        assets,
        "istiod/managed-network-policy.yaml",
        revision=revision,
        names=revision.names,
        labels=revision.labels(CONTROL_PLANE),
        rules=build_control_plane_rules(revision.membership, policies, asked_by=_find_asker(revision)),
    )


def _find_asker(revision: RevisionInput) -> str:
    """The operator's namespace, where it has to reach istiods; empty where it has not."""
    return revision.operator_namespace if has_managed_authority(revision.config) else ""


def build_control_plane_rules(
    mesh: Membership, policies: NetworkPolicies, *, asked_by: str = ""
) -> list[Rule]:
    """What reaches istiod's pods. Health (8080) is asked for by the kubelet, whose node every network lets
    in; the operator asks istiod by way of the API server, which for gates is its metrics, and itself, from
    the namespace `asked_by`, for its certificate while a root is replaced."""
    discovery = [XDS, *([PLAINTEXT_XDS] if policies.plaintext_discovery else [])]
    rules = [_build_rule(list(_list_members(mesh)), discovery)]
    if asked_by:
        rules.append(_build_rule([_build_operator(asked_by)], [XDS]))
    sources = list(_list_sources(policies))
    rules.append(_build_rule(sources, [WEBHOOKS]))
    if readers := [*_list_monitoring(policies), *sources]:
        rules.append(_build_rule(readers, [METRICS]))
    return rules


def build_member_policy(
    parent: Parent, mesh: Membership, policies: NetworkPolicies, assets: Assets, *, asked_by: str = ""
) -> Manifest:
    """The policy of a member's namespace. Within the namespace everything goes on, whatever its labels say at
    the moment. The operator is let in from the namespace `asked_by`: it asks proxies for their certificates
    while a root is replaced."""
    own: Peer = {"podSelector": {}}
    operator = [_build_operator(asked_by)] if asked_by else []
    peers = [own, *_list_members(mesh), *operator, *_list_monitoring(policies), *_list_sources(policies)]
    return render_data(
        assets,
        "members/network-policy.yaml",
        name=NAME,
        namespace=parent.namespace,
        labels=parent.labels(component=MEMBERS),
        spared=[{"key": label, "operator": "DoesNotExist"} for label in GATEWAY_LABELS],
        peers=peers,
    )


def _list_members(mesh: Membership) -> Iterator[Peer]:
    yield from ({"namespaceSelector": selector} for selector in build_discovery_selectors(mesh))


def _build_operator(namespace: str) -> Peer:
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "navarch"}},
    }


def _list_monitoring(policies: NetworkPolicies) -> Iterator[Peer]:
    if names := policies.monitoring_namespaces:
        named = {"key": NAMESPACE_NAME, "operator": "In", "values": sorted(names)}
        yield {"namespaceSelector": {"matchExpressions": [named]}}
    if labels := policies.monitoring_labels:  # without one it would select every namespace
        yield {"namespaceSelector": {"matchLabels": dict(sorted(labels.items()))}}


def _list_sources(policies: NetworkPolicies) -> Iterator[Peer]:
    yield from ({"ipBlock": {"cidr": source}} for source in sorted(policies.webhook_sources or ()))


def _build_rule(peers: list[Peer], ports: list[int]) -> Rule:
    """A rule without peers lets in everybody."""
    return {
        **({"from": peers} if peers else {}),
        "ports": [{"port": port, "protocol": "TCP"} for port in ports],
    }
