"""The operator's permissions: what its own code uses, what it has to be able to grant, and what it may bind.

Owns the table of uses, each with its reason, and the arithmetic of rules. Must never hold `*`, `escalate` or
`impersonate`, nor `bind` on anything but ClusterRoles by name: an account may neither create nor bind a role
with more than it holds, and so the operator can give away nothing but istiod's roles. Invariants: the same
uses and grants give the same role, in any order; no rule is covered by another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from navarch.api.authority import CACERTS, SELF_SIGNED_SECRET
from navarch.api.export import RESOURCES
from navarch.api.meta import GROUP, LEASE, JSONObject

Rule: TypeAlias = Mapping[str, Any]
"""A PolicyRule of rbac.authorization.k8s.io/v1 as plain data."""

_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
_REFUSED_VERBS = {"*", "escalate", "bind", "impersonate"}
_CACHE = ("list", "watch")
_WRITE = ("create", "patch", "delete")
_OWN = ("get", *_CACHE, *_WRITE)
_PLURALS = tuple(resource.plural for resource in RESOURCES)
_APPLY = "server-side apply is a patch, and a create where there is nothing yet; removed objects are deleted"


@dataclass(frozen=True, slots=True)
class Use:
    """What the operator's own code does with some resources of one API group, and why; with `names` only
    with those of them."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()

    def build(self) -> JSONObject:
        """The use as a rule."""
        named = {"resourceNames": list(self.names)} if self.names else {}
        return {
            "apiGroups": [self.group],
            "resources": list(self.resources),
            **named,
            "verbs": list(self.verbs),
        }


OPERATOR_USES: tuple[Use, ...] = (
    Use(GROUP, _PLURALS, _CACHE, "each of Navarch's own kinds is watched"),
    Use(GROUP, tuple(f"{plural}/status" for plural in _PLURALS), ("patch",), "status is reported"),
    Use(GROUP, ("meshcontrolplanes",), ("get",), "every reconcile reads the mesh afresh"),
    Use(GROUP, ("meshcontrolplanes",), ("patch",), "the finalizer is put on and taken off"),
    Use(GROUP, ("meshgateways",), ("get",), "every reconcile reads the gateway afresh"),
    Use(
        GROUP,
        ("meshgateways",),
        _WRITE,
        f"gateways are made from spec.gateways of meshes, and have a finalizer; {_APPLY}",
    ),
    Use(GROUP, ("meshmembers",), ("get",), "every reconcile reads the member afresh"),
    Use(
        GROUP,
        ("meshmembers",),
        _WRITE,
        f"members are made from rolls, and have a finalizer; {_APPLY}",
    ),
    Use(GROUP, ("meshmemberrolls",), ("get",), "every reconcile reads the roll afresh"),
    Use(GROUP, ("meshmemberrolls",), ("patch",), "the finalizer is put on and taken off"),
    Use(GROUP, ("meshrevisions",), ("get", *_WRITE), f"revisions are made from meshes; {_APPLY}"),
    Use("apps", ("deployments",), _OWN, f"istiod, and gateways; {_APPLY}"),
    Use("apps", ("daemonsets",), _OWN, f"gateways with a pod on each node; {_APPLY}"),
    Use(
        "",
        ("configmaps", "serviceaccounts", "services"),
        _OWN,
        f"istiod's configuration and address; {_APPLY}",
    ),
    Use("autoscaling", ("horizontalpodautoscalers",), _OWN, f"istiod's autoscaler; {_APPLY}"),
    Use("policy", ("poddisruptionbudgets",), _OWN, f"istiod's disruption budget; {_APPLY}"),
    Use(
        "networking.k8s.io",
        ("networkpolicies",),
        _OWN,
        f"network policies of istiod, gateways and members; {_APPLY}",
    ),
    Use(
        "rbac.authorization.k8s.io",
        ("clusterrolebindings", "rolebindings"),
        _OWN,
        f"istiod's account is bound to roles of the installation; {_APPLY}",
    ),
    Use(
        "rbac.authorization.k8s.io",
        ("clusterroles",),
        _OWN,
        "whether the roles of the installation are there; a role on the mesh's own webhooks, where istiod is "
        f"without its gateway controller; {_APPLY}",
    ),
    Use(
        "rbac.authorization.k8s.io",
        ("roles",),
        (*_CACHE, "delete"),
        "roles of a mesh's own, which older releases made, are removed",
    ),
    Use(
        "admissionregistration.k8s.io",
        ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        _OWN,
        f"injection and validation, and whose else there are; {_APPLY}",
    ),
    Use("security.istio.io", ("peerauthentications",), _OWN, f"spec.mtls; {_APPLY}"),
    Use(
        "apiextensions.k8s.io",
        ("customresourcedefinitions",),
        ("get", *_CACHE, "create", "patch"),
        "Istio's CRDs are installed and brought up to date, and never removed; Gateway API's where "
        "NAVARCH_GATEWAY_API_INSTALL says so",
    ),
    Use(
        "networking.istio.io",
        ("gateways",),
        ("list",),
        "which Secrets gateways' listeners name, where NAVARCH_CERTIFICATE_SECONDS asks for it",
    ),
    Use("gateway.networking.k8s.io", ("gateways",), ("list",), "the same of Gateway API"),
    Use("route.openshift.io", ("routes",), _OWN, f"spec.openshift.routes of gateways; {_APPLY}"),
    Use(
        "route.openshift.io",
        ("routes/custom-host",),
        ("create", "update"),
        "OpenShift asks for it where a Route names its host or certificate, and where they change",
    ),
    Use("", ("namespaces",), _CACHE, "which namespaces belong to a mesh, and which are going away"),
    Use(
        "",
        ("namespaces",),
        ("patch",),
        "the labels by which a namespace with a MeshMember joins its mesh; a policy keeps it to these",
    ),
    Use(
        "",
        ("namespaces",),
        ("create", "delete"),
        "the control plane of a hosted mesh has a namespace of its own; a policy keeps it to these",
    ),
    Use(
        "",
        ("namespaces",),
        ("get",),
        "a namespace is read afresh before a label of another client gives way, and before it is taken for a "
        "hosted control plane's",
    ),
    Use("", ("pods",), _CACHE, "istiod's pods, and the metadata of pods with a proxy"),
    Use(
        "",
        ("secrets",),
        (*_CACHE, "create", "patch"),
        "certificate authorities of type Managed: the Secret from which istiod signs, of this name in any "
        "namespace; its certificates are looked at, and its key is never kept",
        names=(CACERTS,),
    ),
    Use(
        "",
        ("secrets",),
        ("get",),
        "istiod's own root, which becomes that of a managed authority",
        names=(SELF_SIGNED_SECRET,),
    ),
    Use("authentication.k8s.io", ("tokenreviews",), ("create",), "who reads the metrics"),
    Use("authorization.k8s.io", ("subjectaccessreviews",), ("create",), "whether they may"),
    Use("events.k8s.io", ("events",), ("create",), "transitions are told as Events on our objects"),
    Use(
        "coordination.k8s.io",
        ("leases",),
        ("list",),
        "whether an operator of another namespace leads",
        names=(LEASE,),
    ),
)
"""In the whole cluster: meshes may be in any namespace."""

ROLLOUT_USES: tuple[Use, ...] = (
    Use(
        "apps",
        ("deployments", "statefulsets", "daemonsets"),
        (*_CACHE, "patch"),
        "workloads of others are restarted, one annotation on their pods' template, where a mesh says "
        "spec.upgrade.dataPlane.mode: Managed",
    ),
    Use(
        "argoproj.io",
        ("rollouts",),
        (*_CACHE, "patch"),
        "the same of Argo Rollouts, where a cluster has them: a moment in spec.restartAt",
    ),
    Use("policy", ("poddisruptionbudgets",), _CACHE, "which of them must not be disrupted"),
    Use("", ("pods/proxy",), ("get",), "gates read what proxies of restarted workloads, and istiods, count"),
)
"""In the whole cluster, by a ClusterRole that nobody is bound to unless an administrator wants that."""

SYSTEM_USES: tuple[Use, ...] = (
    Use(
        "coordination.k8s.io",
        ("leases",),
        ("get", "update"),
        "one replica at a time is the leader",
        names=(LEASE,),
    ),
    Use("coordination.k8s.io", ("leases",), ("create",), "the first replica makes the Lease"),
)
"""In the operator's own namespace."""

ROOT_USES: tuple[Use, ...] = (
    Use(
        "",
        ("secrets",),
        ("get", *_CACHE, "create"),
        "roots of managed certificate authorities: made once, read to sign an intermediate, and neither "
        "changed nor removed",
    ),
)
"""In the operator's own namespace, by a binding that the operator makes: OLM gives in all namespaces what a
bundle asks for in the operator's own."""

PROBE_USES: tuple[Use, ...] = (
    Use("", ("pods",), ("create",), "dry-run pods prove injection; none is ever stored"),
    Use(
        "networking.istio.io",
        ("virtualservices",),
        ("create",),
        "dry runs of a good and of a bad one prove validation; none is ever stored",
    ),
)
"""In the probe namespace."""


@dataclass(frozen=True, slots=True, order=True)
class _Permission:
    """One verb on one resource. `name` is empty for all objects; `url` stands alone, for non-resources."""

    group: str
    resource: str
    name: str
    url: str
    verb: str


def _split(rule: Rule) -> Iterator[_Permission]:
    verbs = rule["verbs"]
    resources = rule.get("resources") or ()
    words = {*verbs, *resources, *(rule.get("apiGroups") or ()), *(rule.get("nonResourceURLs") or ())}
    refused = (words & {"*"}) | (set(verbs) & _REFUSED_VERBS) | {word for word in resources if "*" in word}
    if refused:
        raise ValueError(f"{', '.join(sorted(refused))} must be spelled out, or left out, in {dict(rule)}")
    for verb in verbs:
        for group in rule.get("apiGroups") or ():
            for resource in resources:
                for name in rule.get("resourceNames") or ("",):
                    yield _Permission(group, resource, name, "", verb)
        for url in rule.get("nonResourceURLs") or ():
            yield _Permission("", "", "", url, verb)


def _order_verbs(verbs: Iterable[str]) -> list[str]:
    return sorted(verbs, key=lambda verb: (_VERBS.index(verb) if verb in _VERBS else len(_VERBS), verb))


def merge_rules(rules: Iterable[Rule]) -> list[JSONObject]:
    """The union of rules in its one canonical form: sorted, resources with equal verbs together.

    Raises ValueError for a wildcard, and for a verb that would lift its holder above what it holds.
    """
    wanted = {permission for rule in rules for permission in _split(rule)}
    everywhere = {(p.group, p.resource, p.verb) for p in wanted if not p.name and not p.url}
    verbs: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for p in wanted:
        if not p.name or (p.group, p.resource, p.verb) not in everywhere:
            verbs[p.group, p.resource, p.name, p.url].add(p.verb)
    together: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    urls: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for (group, resource, name, url), found in sorted(verbs.items()):
        ordered = tuple(_order_verbs(found))
        if url:
            urls[ordered].append(url)
        else:
            together[group, name, ordered].append(resource)
    merged: list[JSONObject] = []
    for (group, name, ordered), resources in sorted(
        together.items(), key=lambda row: (row[0][0], row[1], row[0])
    ):
        named = {"resourceNames": [name]} if name else {}
        merged.append({"apiGroups": [group], "resources": resources, **named, "verbs": list(ordered)})
    merged += [{"nonResourceURLs": found, "verbs": list(ordered)} for ordered, found in sorted(urls.items())]
    return merged


def collect_grants(manifests: Iterable[Mapping[str, Any]]) -> list[JSONObject]:
    """Every rule of the roles among `manifests`: what has to be held in order to create them."""
    rules = (m.get("rules") or () for m in manifests if m["kind"] in ("Role", "ClusterRole"))
    return merge_rules(rule for found in rules for rule in found)


def build_bind_rule(roles: Iterable[str]) -> JSONObject:
    """The only rule with `bind`: on these ClusterRoles. Raises ValueError without names, which would mean all
    roles."""
    names = sorted(roles)
    if not names or "" in names:
        raise ValueError("bind must name the roles")
    group = "rbac.authorization.k8s.io"
    return {"apiGroups": [group], "resources": ["clusterroles"], "resourceNames": names, "verbs": ["bind"]}


def build_cluster_role(
    uses: Iterable[Use], grants: Iterable[Rule], *, roles: Iterable[str], name: str = "navarch"
) -> JSONObject:
    """The operator's ClusterRole: what its code uses and what it may grant, in one canonical list; and which
    `roles` it may bind, by name."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "navarch"}},
        "rules": [*merge_rules([*(use.build() for use in uses), *grants]), build_bind_rule(roles)],
    }
