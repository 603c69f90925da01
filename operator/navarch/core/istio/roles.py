"""What istiod may do: the rules of its roles, which come with the installation and depend on the minor alone.

Owns rights. Must never grant a `*`: verbs and resources are enumerated, Istio's from its own CRDs. Facts:
istio-discovery/templates/clusterrole.yaml and role.yaml; upstream has `*` for the resources of Istio's and
Gateway API's groups and for the verbs on ingresses/status. Invariants: equal CRDs and features give equal
rules; a role's name ends in a hash of its rules, so that roles of several releases stand side by side and a
binding never changes what it grants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Features
from navarch.core.model.actions import Waiting
from navarch.core.model.hashing import stable_hash
from navarch.core.model.refs import Manifest, Ref

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
    trials = [
        *(["xbackends"] if features.x_backends else []),
        "xbackendtrafficpolicies",
        *([] if features.listener_sets else ["xlistenersets"]),
    ]
    return [
        _rule(group, sorted(kinds), READ),
        _rule(group, _status(sorted(kinds)), ("patch", "update")),
        _rule(group, ["gatewayclasses"], ("create", "delete", "patch", "update")),
        _rule(experimental, trials, READ),
        _rule(experimental, _status(trials), ("patch", "update")),
        _rule("inference.networking.k8s.io", ["inferencepools"], READ),
        _rule("inference.networking.k8s.io", ["inferencepools/status"], ("patch", "update")),
    ]


def build_webhook_rules(
    mutating: Iterable[str] | None = None, validating: Iterable[str] | None = None
) -> list[Rule]:
    """Rules with which istiod writes its root into webhook configurations: into all, or those named."""

    def rule(resource: str, verbs: Iterable[str], names: Iterable[str] | None) -> Rule:
        named = {} if names is None else {"resourceNames": sorted(names)}
        return {**_rule("admissionregistration.k8s.io", [resource], verbs), **named}

    return [
        rule("mutatingwebhookconfigurations", ("patch", "update"), mutating),
        rule("validatingwebhookconfigurations", ("update",), validating),
    ]


def istiod_cluster_rules(features: Features, crds: Iterable[Manifest]) -> list[Rule]:
    """What every istiod of a minor needs in the whole cluster; `features` and `crds` are the minor's."""
    admission = "admissionregistration.k8s.io"
    return [
        _rule(admission, ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"], READ),
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
    """What istiod needs in the mesh's own namespace: its CA's Secret, leader locks, the validator's
    self-test."""
    return [
        _rule("networking.istio.io", ["gateways"], ("create",)),
        _rule("", ["secrets"], ("create", "delete", *READ, "update")),
        _rule("", ["configmaps"], ("delete",)),
        _rule("coordination.k8s.io", ["leases"], ("create", "get", "patch", "update")),
    ]


ROLE_LABELS: Mapping[str, str] = {
    "app.kubernetes.io/name": "navarch",
    "app.kubernetes.io/component": "istiod-role",
}
"""By these the operator finds the roles of the installation. No mesh's label is among them: they are none of
a mesh's objects, and nothing of Navarch's ever removes them."""


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """A ClusterRole of the installation, to be bound by a mesh."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """The roles of one minor: `full` with the gateway controller and every webhook, `confined` without both;
    `namespace` is for the mesh's own namespace."""

    full: Role
    confined: Role
    namespace: Role

    def __iter__(self) -> Iterator[Role]:
        return iter((self.full, self.confined, self.namespace))


@lru_cache(maxsize=16)
def build_roles(assets: Assets, minor: str) -> Roles:
    """The roles of a minor of the catalog."""
    features = next(m.features for m in assets.catalog.minors if m.name == minor)
    shared = istiod_cluster_rules(features, assets.crds[minor])
    return Roles(
        full=_build_role("istiod", minor, [*shared, *build_webhook_rules(), *gateway_controller_rules()]),
        confined=_build_role("istiod-confined", minor, shared),
        namespace=_build_role("istiod-namespace", minor, istiod_namespace_rules()),
    )


def _build_gateway_role() -> Role:
    rules: tuple[Rule, ...] = (_rule("", ["secrets"], READ),)
    return Role(f"navarch-gateway-{stable_hash(rules, length=8)}", rules)


GATEWAY_ROLE = _build_gateway_role()
"""What the account of a gateway may do in its own namespace: istiod gives a gateway the certificates of
Secrets only if the gateway's account may read them (pilot/pkg/credentials/kube)."""
REMEDY = "apply the manifests of this release of Navarch (`navarch manifests`)"


def find_missing(roles: Iterable[Role], installed: Mapping[str, frozenset[str]]) -> Iterator[Waiting]:
    """Which roles the cluster does not have, or not with all their rules; `installed` are those that it has,
    by name, with the hashes of their rules."""
    for role in roles:
        ref = Ref("rbac.authorization.k8s.io/v1", "ClusterRole", "", role.name)
        if role.name not in installed:
            yield Waiting(ref, f"{ref} does not exist; {REMEDY}")
        elif not _hash_own(role) <= installed[role.name]:
            yield Waiting(ref, f"{ref} lacks rules of this release; {REMEDY}")


def _build_role(purpose: str, minor: str, rules: list[Rule]) -> Role:
    return Role(f"navarch-{purpose}-{minor}-{stable_hash(rules, length=8)}", tuple(rules))


@lru_cache(maxsize=64)
def _hash_own(role: Role) -> frozenset[str]:
    return hash_rules(role.rules)


def hash_rules(rules: Iterable[Rule]) -> frozenset[str]:
    """What is kept of the rules of a role that is in the cluster."""
    return frozenset(stable_hash(rule) for rule in rules)
