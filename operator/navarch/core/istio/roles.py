"""What istiod may do: the rules of every role that is rendered.

Owns rights. Must never grant a `*`: verbs and resources are enumerated, Istio's from its own CRDs, so that
the operator needs no more than this list to be allowed to grant it. Facts: istio-
discovery/templates/clusterrole.yaml and role.yaml; upstream has `*` for the resources of Istio's and Gateway
API's groups and for the verbs on ingresses/status. Invariant: equal CRDs and features give equal rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from navarch.core.istio.catalog import Features
from navarch.core.model.refs import Manifest

Rule: TypeAlias = Mapping[str, list[str]]

READ = ("get", "list", "watch")

FULL = ("create", "delete", *READ, "patch", "update")

_GATEWAY_API = (
    "backendtlspolicies",
    "gatewayclasses",
    "gateways",
    "grpcroutes",
    "httproutes",
    "referencegrants",
    "tcproutes",
    "tlsroutes",
    "udproutes",
)


def _rule(groups: str | Iterable[str], resources: Iterable[str], verbs: Iterable[str]) -> Rule:
    listed = [groups] if isinstance(groups, str) else list(groups)
    return {"apiGroups": listed, "resources": list(resources), "verbs": list(verbs)}


def _status(resources: Iterable[str]) -> list[str]:
    return [f"{resource}/status" for resource in resources]


def _istio_rules(crds: Iterable[Manifest]) -> list[Rule]:
    plurals: dict[str, set[str]] = defaultdict(set)
    for crd in crds:
        plurals[crd["spec"]["group"]].add(crd["spec"]["names"]["plural"])
    return [_rule(group, sorted(plurals[group]), READ) for group in sorted(plurals)]


def _gateway_api_rules(features: Features) -> list[Rule]:
    group, experimental = "gateway.networking.k8s.io", "gateway.networking.x-k8s.io"
    kinds = [*_GATEWAY_API, *(["listenersets"] if features.listener_sets else [])]
    trials = ["xbackendtrafficpolicies", *([] if features.listener_sets else ["xlistenersets"])]
    return [
        _rule(group, sorted(kinds), READ),
        _rule(group, _status(sorted(kinds)), ("patch", "update")),
        _rule(group, ["gatewayclasses"], ("create", "delete", "patch", "update")),
        _rule(experimental, trials, READ),
        _rule(experimental, _status(trials), ("patch", "update")),
        _rule("inference.networking.k8s.io", ["inferencepools"], READ),
        _rule("inference.networking.k8s.io", ["inferencepools/status"], ("patch", "update")),
    ]


def istiod_cluster_rules(features: Features, crds: Iterable[Manifest]) -> list[Rule]:
    """Rules of istiod's ClusterRole, for the minor whose features and CRDs these are."""
    admission = "admissionregistration.k8s.io"
    return [
        _rule(admission, ["mutatingwebhookconfigurations"], (*READ, "patch", "update")),
        _rule(admission, ["validatingwebhookconfigurations"], (*READ, "update")),
        *_istio_rules(crds),
        _rule(
            "networking.istio.io",
            ["serviceentries/status", "workloadentries", "workloadentries/status"],
            FULL,
        ),
        _rule("security.istio.io", ["authorizationpolicies/status"], FULL),
        _rule("apiextensions.k8s.io", ["customresourcedefinitions"], READ),
        _rule("", ["endpoints", "namespaces", "nodes", "pods", "secrets", "services"], READ),
        _rule("", ["services/status"], FULL),
        _rule("", ["configmaps"], ("create", *READ, "update")),
        _rule("discovery.k8s.io", ["endpointslices"], READ),
        _rule("networking.k8s.io", ["ingressclasses", "ingresses"], READ),
        _rule("networking.k8s.io", ["ingresses/status"], ("get", "patch", "update")),
        _rule("authentication.k8s.io", ["tokenreviews"], ("create",)),
        _rule("authorization.k8s.io", ["subjectaccessreviews"], ("create",)),
        *_gateway_api_rules(features),
        _rule("multicluster.x-k8s.io", ["serviceexports"], ("create", "delete", *READ)),
        _rule("multicluster.x-k8s.io", ["serviceimports"], READ),
    ]


def gateway_controller_rules() -> list[Rule]:
    """Rules with which istiod deploys the gateways that Gateway API asks for."""
    return [
        _rule("apps", ["deployments"], FULL),
        _rule("autoscaling", ["horizontalpodautoscalers"], FULL),
        _rule("policy", ["poddisruptionbudgets"], FULL),
        _rule("", ["serviceaccounts", "services"], FULL),
    ]


def istiod_namespace_rules() -> list[Rule]:
    """Rules of istiod's Role in the mesh's own namespace: its CA's Secret, leader locks, the validator's
    self-test."""
    return [
        _rule("networking.istio.io", ["gateways"], ("create",)),
        _rule("", ["secrets"], ("create", "delete", *READ, "update")),
        _rule("", ["configmaps"], ("delete",)),
        _rule("coordination.k8s.io", ["leases"], ("create", "get", "patch", "update")),
    ]
