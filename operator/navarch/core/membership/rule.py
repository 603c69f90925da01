"""Which namespaces belong to a mesh: one rule.

The one place where membership is decided; every selector that follows from it is in membership/selectors.py.
Must never be restated elsewhere: a pod injected where istiod does not look hangs for want of its root
ConfigMap, and a mesh that injects outside its namespaces takes other people's pods. Must never depend on a
list that tenants can lengthen without bound. Invariant (tests/property): rule and selectors agree on all
labels of a namespace and a pod.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from navarch.api.controlplane import CLUSTER, MEMBERS
from navarch.api.upgrade import REVISION_BASED
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, MEMBER_OF
from navarch.core.model.naming import DEFAULT_TAG, name_members, revision_name
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Namespace
from navarch.core.world.proxies import Census, ProxyPod

NEVER_MEMBERS = ("kube-node-lease", "kube-public", "kube-system")
"""Namespaces that belong to no mesh, with any labels."""

RESERVED_PREFIXES = ("kube-", "openshift-")
"""Namespaces so named can hold no mesh, and no pod is injected in them, with any labels. There may be
any number of them, and a label selector knows no prefixes: so webhooks say it by a condition on the name, and
to istiod such a namespace is a member like others."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What decides membership. `values` are the values of istio.io/rev that mean this mesh (its tag, its
    revisions), `default` says whether it also owns istio-injection=enabled, `excluded` are namespaces that
    are never members, with any labels, and `probe` is the operator's own namespace for dry-run pods
    (injected, never a member). With `member_of` a namespace is a member by that value of the label
    mesh.navarch.io/member-of alone, and the others only say whether its pods are injected. With `cluster`
    every namespace is a member that has no other value of that label."""

    namespace: str
    values: tuple[str, ...]
    default: bool = False
    excluded: tuple[str, ...] = NEVER_MEMBERS
    probe: str = ""
    member_of: str = ""
    cluster: bool = False

    @property
    def by_tag(self) -> bool:
        """Whether a namespace is a member because its labels ask for injection."""
        return not self.member_of

    @property
    def by_member_only(self) -> bool:
        """Whether a namespace is a member by its MeshMember, and by nothing else."""
        return bool(self.member_of) and not self.cluster


def build_membership(
    namespace: str,
    tag: str,
    *,
    default: bool,
    probe: str,
    excluded: Iterable[str] = NEVER_MEMBERS,
    member_of: str = "",
    cluster: bool = False,
    in_place: bool = True,
) -> Membership:
    """What makes a namespace a member of the mesh in `namespace` with this effective tag; `default` says
    whether it owns tag `default`. `member_of` is empty for a mesh that takes namespaces by its tag, `cluster`
    says that it takes all. A mesh that is updated in place takes them by its revision, too; of several that
    would divide the mesh."""
    values = (tag, *([revision_name(tag)] if in_place else ()), *([DEFAULT_TAG] if default else ()))
    return Membership(namespace, values, default, tuple(excluded), probe, member_of, cluster)


def read_member_of(mesh: Manifest) -> str:
    """The value of the label that a mesh's MeshMembers give their namespaces, by its spec; empty where
    namespaces are members by its tag."""
    metadata, scope = mesh["metadata"], (mesh.get("spec") or {}).get("scope")
    return name_members(metadata["namespace"], metadata["name"]) if scope in (MEMBERS, CLUSTER) else ""


def read_put_out(mesh: Manifest) -> tuple[str, ...]:
    """The namespaces that a mesh's spec keeps out of it, but for its own."""
    named = (mesh.get("spec") or {}).get("excludedNamespaces") or ()
    return tuple(sorted({*named} - {mesh["metadata"]["namespace"]}))


def read_membership(revision: Manifest, *, probe: str) -> Membership:
    """The membership of the mesh that a MeshRevision is of, as the revision says it."""
    spec = revision["spec"]
    return build_membership(
        revision["metadata"]["namespace"],
        spec["tag"],
        default=bool(spec["members"]["default"]),
        probe=probe,
        excluded=spec["members"]["excluded"],
        member_of=spec["members"].get("memberOf") or "",
        cluster=bool(spec["members"].get("cluster")),
        in_place=spec.get("strategy") != REVISION_BASED,
    )


def tell_joining(mesh: Membership, name: str) -> str:
    """What brings the namespace `name` into the mesh, and its pods a sidecar."""
    if mesh.by_member_only:
        of = mesh.member_of.replace(".", "/", 1)
        return f"make a MeshMember `default` in namespace {name} with controlPlaneRef {of}"
    return f"kubectl label namespace {name} {ISTIO_REV}={mesh.values[0]}"


def is_reserved(name: str) -> bool:
    """Whether a namespace of this name is the cluster's: it can hold no mesh, and none of its pods is
    injected."""
    return name.startswith(RESERVED_PREFIXES)


def is_member(mesh: Membership, name: str, labels: Mapping[str, str]) -> bool:
    """Whether the namespace `name` with these labels belongs to the mesh."""
    if name == mesh.namespace:
        return True
    if name in mesh.excluded or name == mesh.probe:
        return False
    if mesh.cluster:
        return labels.get(MEMBER_OF, mesh.member_of) == mesh.member_of
    return labels.get(MEMBER_OF) == mesh.member_of if mesh.member_of else _asks_for(mesh, labels)


def _asks_for(mesh: Membership, labels: Mapping[str, str]) -> bool:
    """Whether a namespace's labels ask for injection by the mesh."""
    if ISTIO_INJECTION in labels:
        return mesh.default and labels[ISTIO_INJECTION] == "enabled"
    return labels.get(ISTIO_REV) in mesh.values


def is_injected(mesh: Membership, name: str, labels: Mapping[str, str]) -> bool:
    """Whether pods of the namespace `name` with these labels are injected, if they do not refuse."""
    if name == mesh.namespace:
        return True
    return is_member(mesh, name, labels) and _asks_for(mesh, labels) and not is_reserved(name)


def is_injected_on_demand(mesh: Membership, name: str, labels: Mapping[str, str]) -> bool:
    """Whether pods of the namespace `name` with these labels are injected that ask for the mesh by labels of
    their own. Elsewhere than in its own namespace only a mesh to which all belong hears them, where the
    namespace says nothing; a MeshMember says something, also one that wants no injection."""
    if name == mesh.namespace:
        return True
    silent = not {ISTIO_INJECTION, ISTIO_REV, MEMBER_OF} & labels.keys()
    return mesh.cluster and silent and is_member(mesh, name, labels) and not is_reserved(name)


def take_census(
    mesh: Membership,
    namespaces: Mapping[str, Namespace],
    proxies: Iterable[ProxyPod],
    *,
    revisions: Collection[str],
) -> Census:
    """The proxies that concern a mesh with these revisions. Everybody may write any annotation on a pod of
    their own: so what counts is only what its injector could have injected, in a namespace of the mesh."""
    inside: dict[str, bool] = {}
    counted: list[ProxyPod] = []
    outside: list[ProxyPod] = []
    of_others: list[ProxyPod] = []
    for proxy in proxies:
        own, name = proxy.revision in revisions, proxy.namespace
        if name not in inside:
            namespace = namespaces.get(name)
            inside[name] = name == mesh.namespace or (
                namespace is not None and is_member(mesh, name, namespace.labels)
            )
        if own:
            (counted if inside[name] else outside).append(proxy)
        elif inside[name]:
            of_others.append(proxy)
    return Census(tuple(counted), tuple(outside), tuple(of_others))
