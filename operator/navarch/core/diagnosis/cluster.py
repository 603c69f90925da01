"""Rules about the cluster as a whole: Navarch's own installation, and what belongs to no mesh or to two.

Owns one named generator for each rule, and the order of all. Must never judge a mesh (its conditions do) nor
look anything up. Invariant: what was not looked at (None) yields nothing here: the gap itself is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from navarch.api.meta import LEASE
from navarch.core.diagnosis.labels import (
    check_configuration_is_read,
    check_labels_agree,
    check_labels_can_count,
    check_labels_have_an_effect,
    check_namespaces_are_answered,
)
from navarch.core.diagnosis.observed import Lease, ObservedCluster, Rule, diagnose, list_names, quote
from navarch.core.diagnosis.pods import (
    check_pods_are_injected,
    check_pods_ask_where_it_counts,
    list_memberships,
)
from navarch.core.diagnosis.report import CLUSTER, Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.membership.rule import take_census
from navarch.core.model.installation import BINDING
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.messages import count
from navarch.core.model.parent import GATEWAY, MESH, Parent
from navarch.core.model.reasons import Reason
from navarch.core.world.proxies import is_current

PATIENCE = timedelta(seconds=30)
"""How far this machine's clock may be from the leader's, beyond the Lease's own duration."""


def check_navarch_is_installed(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """The cluster serves Navarch's kinds, and each of their CRDs has all fields."""
    if not observed.navarch.installed:
        yield diagnose(Sign.NAVARCH_NOT_INSTALLED, CLUSTER, "the cluster has no CRD of mesh.navarch.io")
    for name, lacks in (observed.navarch.crds or {}).items():
        if lacks:
            subject = Subject("CustomResourceDefinition", "", name)
            yield quote(Reason.NAVARCH_CRDS_OUTDATED, subject, f"{name} lacks {lacks}")


def check_policies_are_there(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Admission refuses what would harm others."""
    if observed.navarch.installed and observed.navarch.missing_policies:
        missing = list_names(list(observed.navarch.missing_policies))
        yield diagnose(Sign.POLICY_MISSING, CLUSTER, f"there is no {missing}")


def check_operator_leads(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Some replica of the operator holds a Lease that has not expired."""
    lease, where = observed.navarch.lease, observed.environment.operator_namespace
    if not observed.navarch.installed or lease is None:
        return
    subject = Subject("Lease", where, LEASE)
    if not isinstance(lease, Lease):
        message = f"there is no Lease {LEASE} in namespace {where}: no operator has ever run there"
        if homes := observed.navarch.homes - {where}:
            message += f"; Navarch's rights are given to namespace {list_names(sorted(homes))}"
    elif not lease.holder:
        message = "the Lease has no holder: the last operator has ended and none has come"
    elif not _is_fresh(lease, observed.now):
        message = f"{lease.holder} has not renewed its Lease since {lease.renewed}"
    else:
        return
    if observed.leaving:
        message += f"; deleted, and there until it comes: {list_names(list(observed.leaving))}"
    yield diagnose(Sign.OPERATOR_NOT_RUNNING, subject, message)


def _is_fresh(lease: Lease, now: str) -> bool:
    return _age(lease.renewed, now) <= timedelta(seconds=lease.seconds) + PATIENCE


def check_one_installation(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Navarch is installed in one namespace."""
    navarch, where = observed.navarch, observed.environment.operator_namespace
    leads = (
        isinstance(navarch.lease, Lease) and navarch.lease.holder and _is_fresh(navarch.lease, observed.now)
    )
    places = navarch.homes | navarch.deployed | ({where} if leads else set())
    if len(places) > 1:
        homes = list_names(sorted(navarch.homes)) or "no namespace"
        message = (
            f"Navarch is installed in {' and '.join(sorted(places))}; ClusterRoleBinding {BINDING} gives its "
            f"rights to {homes}"
        )
        yield quote(Reason.ANOTHER_INSTALLATION, CLUSTER, message)


def _age(then: str, now: str) -> timedelta:
    if not then:
        return timedelta.max
    return datetime.fromisoformat(now) - datetime.fromisoformat(then)


def check_probe_namespace(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """The namespace of the dry-run pods is there."""
    name = observed.environment.probe_namespace
    if observed.navarch.installed and observed.namespaces is not None and name not in observed.namespaces:
        message = f"there is no namespace {name}"
        yield diagnose(Sign.PROBE_NAMESPACE_MISSING, Subject("Namespace", "", name), message)


def check_kubernetes(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """At least one known minor of Istio runs on this Kubernetes."""
    cluster, minors = observed.environment.kubernetes, observed.assets.catalog.minors
    lowest = min(minor.kubernetes_minimum for minor in minors)
    if cluster < lowest:
        needed, there = ".".join(map(str, lowest)), ".".join(map(str, cluster))
        message = f"the cluster is Kubernetes {there}, and every known Istio needs {needed} or newer"
        yield diagnose(Sign.KUBERNETES_UNSUPPORTED, CLUSTER, message)


def check_nothing_is_left_out(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Every object that the operator watches is small enough to be kept."""
    for watch, names in observed.left_out.items():
        if names:
            message = f"{len(names)} of {watch} are not kept, or not whole: {list_names(sorted(names))}"
            yield diagnose(Sign.OBJECTS_LEFT_OUT, CLUSTER, message)


def check_orphans(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Nothing carries the labels of a mesh, or a gateway, that is not there."""
    if observed.meshes is None or observed.gateways is None:
        return
    meshes = {Parent(MESH, mesh.namespace, mesh.name) for mesh in observed.meshes}
    words = {MESH: "mesh", GATEWAY: "gateway"}
    for parent, refs in sorted(observed.owned.items()):
        if parent.any_uid not in meshes | observed.gateways:
            names = list_names(sorted(map(str, refs)))
            message = f"{len(refs)} objects of a {words[parent.kind]} that is gone: {names}"
            subject = Subject(parent.kind, parent.namespace, parent.name)
            yield diagnose(Sign.ORPHANED_OBJECTS, subject, message)


def check_proxies_are_inside(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Every proxy of a mesh runs in a namespace of that mesh. The other way round is the mesh's own condition
    UpToDate."""
    if observed.namespaces is None:
        return
    for mesh, membership in list_memberships(observed):
        census = take_census(membership, observed.namespaces, observed.proxies or (), revisions=mesh.names)
        outside: defaultdict[str, list[str]] = defaultdict(list)
        for proxy in census.outside:
            outside[proxy.namespace].append(proxy.name)
        for name, pods in outside.items():
            run = count(len(pods), "pod runs", "pods run")
            message = (
                f"{run} a proxy of mesh {mesh.namespace}/{mesh.name}, to which this namespace does not "
                f"belong: {list_names(sorted(pods))}; they get no configuration for it and cannot "
                f"reconnect to istiod: kubectl -n {name} rollout restart deployment, or label the namespace "
                f"{ISTIO_REV}={mesh.tag}"
            )
            yield diagnose(Sign.PROXIES_OUTSIDE, Subject("Namespace", "", name), message)


def check_proxies_are_current(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Every proxy of a mesh is as its istiod injects it now: by namespace what the mesh's condition UpToDate
    counts."""
    if observed.namespaces is None:
        return
    for mesh, membership in list_memberships(observed):
        census = take_census(membership, observed.namespaces, observed.proxies or (), revisions=mesh.names)
        stamps = {mesh.serving: observed.revisions.get(mesh.serving, "")}
        old: defaultdict[str, list[str]] = defaultdict(list)
        for proxy in census.counted:
            if not is_current(proxy, stamps, observed.pins):
                old[proxy.namespace].append(proxy.name)
        for name, pods in old.items():
            run = count(len(pods), "pod runs", "pods run")
            message = (
                f"{run} an older proxy of mesh {mesh.namespace}/{mesh.name}: "
                f"{list_names(sorted(pods))}; kubectl -n {name} rollout restart deployment"
            )
            yield quote(Reason.PROXIES_OUTDATED, Subject("Namespace", "", name), message)


def check_proxies_have_a_revision(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Every proxy's revision is still there, Navarch's or another Istio's."""
    if observed.webhooks is None or observed.meshes is None:
        return
    known = {w.revision for w in observed.webhooks if w.revision} | {*observed.revisions}
    known |= {i.revision or "default" for i in observed.installations}
    lost: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for proxy in observed.proxies or ():
        if proxy.revision not in known:
            lost[proxy.namespace, proxy.revision].append(proxy.name)
    for (namespace, revision), pods in lost.items():
        run = count(len(pods), "pod runs", "pods run")
        message = f"{run} a sidecar of revision {revision}, which is gone: {list_names(sorted(pods))}"
        yield diagnose(Sign.PROXIES_ABANDONED, Subject("Namespace", "", namespace), message)


def tell_installations(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Whose else Istios there are; a warning where one shares something with a mesh."""
    for installation in observed.installations:
        kind, _, name = installation.name.partition(" ")
        namespaced = kind in ("Deployment", "ServiceMeshControlPlane", "Release")
        subject = Subject(kind, installation.namespace if namespaced else "", name)
        if installation.shares:
            message = f"{installation}: {'; '.join(installation.shares)}"
            yield quote(Reason.ANOTHER_ISTIO_SHARES, subject, message)
        else:
            yield diagnose(
                Sign.ANOTHER_ISTIO, subject, f"{installation}; it has nothing in common with a mesh"
            )


RULES_OF_INSTALLATION: tuple[Rule, ...] = (
    check_navarch_is_installed,
    check_policies_are_there,
    check_operator_leads,
    check_one_installation,
    check_probe_namespace,
)
"""What may be the reason of anything that is said of one mesh, and is told with it."""
_OF_LABELS_AND_PODS: tuple[Rule, ...] = (
    check_namespaces_are_answered,
    check_labels_agree,
    check_labels_have_an_effect,
    check_labels_can_count,
    check_configuration_is_read,
    check_proxies_are_inside,
    check_pods_are_injected,
    check_pods_ask_where_it_counts,
    check_proxies_have_a_revision,
)
RULES_OF_NAMESPACES: tuple[Rule, ...] = (*_OF_LABELS_AND_PODS, check_proxies_are_current)
"""What its owner wants to know of a namespace in which applications run."""
RULES: tuple[Rule, ...] = (
    *RULES_OF_INSTALLATION,
    check_kubernetes,
    check_nothing_is_left_out,
    check_orphans,
    *_OF_LABELS_AND_PODS,
    tell_installations,
)


def run_rules(observed: ObservedCluster, rules: tuple[Rule, ...] = RULES) -> Iterator[Diagnosis]:
    """Everything that is worth saying about the cluster as a whole."""
    for rule in rules:
        yield from rule(observed)


def run_rules_of_namespace(observed: ObservedCluster, name: str) -> Iterator[Diagnosis]:
    """What is worth saying about one namespace and what is in it."""
    for diagnosis in run_rules(observed, RULES_OF_NAMESPACES):
        subject = diagnosis.subject
        if subject.namespace == name or (subject.kind, subject.name) == ("Namespace", name):
            yield diagnosis
