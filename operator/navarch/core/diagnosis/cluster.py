"""Rules about the cluster as a whole: Navarch's own installation, and what belongs to no mesh or to two.

Owns ObservedCluster and one named generator for each rule. Must never judge a mesh (its conditions do) nor
look anything up. Invariant: what was not looked at (None) yields nothing here: the gap itself is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TypeAlias

from navarch.api.meta import LEASE
from navarch.core.diagnosis.installations import Installation
from navarch.core.diagnosis.report import CLUSTER, Diagnosis, Subject
from navarch.core.diagnosis.signs import OF_SIGNS, Sign
from navarch.core.istio.assets import Assets
from navarch.core.membership.rule import Membership, build_membership, is_member, take_census
from navarch.core.membership.selectors import matches
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, NAMESPACE_NAME, Owner
from navarch.core.model.naming import DEFAULT_TAG, revision_name
from navarch.core.model.refs import Ref
from navarch.core.world.cluster import Environment, Namespace, Webhook
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import BarePod, ProxyPod

PATIENCE = timedelta(seconds=30)
"""How far the clock of whoever asks may be from the leader's, beyond the Lease's own duration."""
LISTED = 5


@dataclass(frozen=True, slots=True)
class Lease:
    """The leader's Lease. `holder` is empty while nobody leads; `renewed` is RFC 3339, `seconds` its
    validity."""

    holder: str
    renewed: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Navarch:
    """Navarch's own installation. `crds` says of each CRD of ours that exists what it lacks (empty: nothing);
    each is None where it could not be looked at; `lease` is False where there is none."""

    crds: Mapping[str, str] | None
    missing_policies: tuple[str, ...] | None = None
    lease: Lease | bool | None = None

    @property
    def installed(self) -> bool:
        """Whether the cluster knows of Navarch, as far as can be seen."""
        return self.crds is None or bool(self.crds)


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """Everything that the rules of this module depend on. `owned` names, for each mesh by whose labels
    objects were found, those objects; what is None could not be looked at."""

    environment: Environment
    assets: Assets
    now: str
    navarch: Navarch
    meshes: tuple[MeshSummary, ...] | None
    revisions: tuple[str, ...]
    namespaces: Mapping[str, Namespace] | None
    webhooks: tuple[Webhook, ...] | None
    owned: Mapping[Owner, tuple[Ref, ...]]
    proxies: tuple[ProxyPod, ...] | None
    bare: tuple[BarePod, ...] | None = None
    installations: tuple[Installation, ...] = ()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of objects that were too large to be kept whole, by watch."""


Rule: TypeAlias = Callable[[ObservedCluster], Iterator[Diagnosis]]


def diagnose(sign: Sign, subject: Subject, message: str) -> Diagnosis:
    """A diagnosis of this module's, with the advice that belongs to its id."""
    advice = OF_SIGNS[sign]
    return Diagnosis(sign.value, advice.severity, subject, message, advice.remedy)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def check_navarch_is_installed(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """The cluster serves Navarch's kinds, and each of their CRDs has all fields."""
    if not observed.navarch.installed:
        yield diagnose(Sign.NAVARCH_NOT_INSTALLED, CLUSTER, "the cluster has no CRD of mesh.navarch.io")
    for name, lacks in (observed.navarch.crds or {}).items():
        if lacks:
            subject = Subject("CustomResourceDefinition", "", name)
            yield diagnose(Sign.NAVARCH_CRDS_OUTDATED, subject, f"{name} lacks {lacks}")


def check_policies_are_there(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Admission refuses what would harm others."""
    if observed.navarch.installed and observed.navarch.missing_policies:
        missing = _list(list(observed.navarch.missing_policies))
        yield diagnose(Sign.POLICY_MISSING, CLUSTER, f"there is no {missing}")


def check_operator_leads(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Some replica of the operator holds a Lease that has not expired."""
    lease, where = observed.navarch.lease, observed.environment.operator_namespace
    if not observed.navarch.installed or lease is None:
        return
    subject = Subject("Lease", where, LEASE)
    if not isinstance(lease, Lease):
        message = f"there is no Lease {LEASE} in namespace {where}: no operator has ever run there"
    elif not lease.holder:
        message = "the Lease has no holder: the last operator has ended and none has come"
    elif _age(lease.renewed, observed.now) > timedelta(seconds=lease.seconds) + PATIENCE:
        message = f"{lease.holder} has not renewed its Lease since {lease.renewed}"
    else:
        return
    yield diagnose(Sign.OPERATOR_NOT_RUNNING, subject, message)


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
            message = f"{len(names)} of {watch} are not kept, or not whole: {_list(sorted(names))}"
            yield diagnose(Sign.OBJECTS_LEFT_OUT, CLUSTER, message)


def check_orphans(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Nothing carries the labels of a mesh that is not there."""
    if observed.meshes is None:
        return
    there = {(mesh.namespace, mesh.name) for mesh in observed.meshes}
    left: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for owner, refs in observed.owned.items():
        if (owner.namespace, owner.name) not in there:
            left[owner.namespace, owner.name] += map(str, refs)
    for (namespace, name), objects in left.items():
        message = f"{len(objects)} objects of a mesh that is gone: {_list(sorted(objects))}"
        yield diagnose(Sign.ORPHANED_OBJECTS, Subject("MeshControlPlane", namespace, name), message)


def check_namespaces_are_answered(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Where a namespace asks for injection, some webhook takes its pods."""
    if observed.webhooks is None:
        return
    pending = {v for mesh in observed.meshes or () for v in (mesh.tag, revision_name(mesh.tag))}
    for namespace in (observed.namespaces or {}).values():
        asked = _read_wish(namespace)
        if asked is None or asked in pending or namespace.terminating:
            continue
        if not any(_takes(webhook, namespace) for webhook in observed.webhooks):
            label = (
                f"{ISTIO_INJECTION}=enabled"
                if asked == DEFAULT_TAG and ISTIO_INJECTION in namespace.labels
                else f"{ISTIO_REV}={asked}"
            )
            message = f"{label}, and no injection webhook selects it: its pods start without a sidecar"
            if hint := _tell_tags(asked, observed.meshes or ()):
                message += f"; {hint}"
            yield diagnose(Sign.REVISION_NOT_FOUND, Subject("Namespace", "", namespace.name), message)


def _tell_tags(asked: str, meshes: Iterable[MeshSummary]) -> str:
    """Which label was meant: the nearest tag, else the tags that there are."""
    tags = sorted(mesh.tag for mesh in meshes)
    if asked == DEFAULT_TAG:
        return "no mesh has spec.defaultTag, which istio-injection=enabled asks for" if tags else ""
    if nearest := get_close_matches(asked, tags, n=1, cutoff=0.5):
        return f"did you mean {ISTIO_REV}={nearest[0]}?"
    return f"tags of meshes are {_list(tags)}" if tags else ""


def check_labels_have_an_effect(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No namespace carries a label that another mesh product reads, or a value that Istio does not know."""
    tags = _list(sorted(mesh.tag for mesh in observed.meshes or ()))
    revisions = {revision_name(mesh.tag): mesh.tag for mesh in observed.meshes or ()}
    for namespace in (observed.namespaces or {}).values():
        labels, told = namespace.labels, []
        if (value := labels.get(ISTIO_INJECTION, "enabled")) not in ("enabled", "disabled"):
            told.append(f"{ISTIO_INJECTION}={value}: only enabled and disabled mean anything")
        if "maistra.io/member-of" in labels and tags:
            told.append(f"maistra.io/member-of is OpenShift Service Mesh 2's; label it {ISTIO_REV}=<tag>")
        if labels.get("istio.io/dataplane-mode") == "ambient" and tags:
            told.append("istio.io/dataplane-mode=ambient: no mesh of Navarch runs in ambient mode")
        if tag := revisions.get(labels.get(ISTIO_REV, "")):
            told.append(
                f"{ISTIO_REV}={labels[ISTIO_REV]} is a revision, which an upgrade may replace; label it "
                f"with the tag: {ISTIO_REV}={tag}"
            )
        for message in told if not namespace.terminating else ():
            yield diagnose(Sign.LABEL_WITHOUT_EFFECT, Subject("Namespace", "", namespace.name), message)


def _memberships(observed: ObservedCluster) -> Iterator[tuple[MeshSummary, Membership]]:
    probe = observed.environment.probe_namespace
    for mesh in observed.meshes or ():
        yield mesh, build_membership(mesh.namespace, mesh.tag, default=mesh.default_tag, probe=probe)


def check_proxies_are_inside(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Every proxy of a mesh runs in a namespace of that mesh. The other way round is the mesh's own condition
    UpToDate."""
    if observed.namespaces is None:
        return
    for mesh, membership in _memberships(observed):
        revisions = {revision_name(mesh.tag)}
        census = take_census(membership, observed.namespaces, observed.proxies or (), revisions=revisions)
        outside: defaultdict[str, list[str]] = defaultdict(list)
        for proxy in census.outside:
            outside[proxy.namespace].append(proxy.name)
        for name, pods in outside.items():
            message = (
                f"{len(pods)} pods run a proxy of mesh {mesh.namespace}/{mesh.name}, to which this namespace "
                f"does not belong: {_list(sorted(pods))}; they get no configuration for it and cannot "
                f"reconnect to istiod: kubectl -n {name} rollout restart deployment, or label the namespace "
                f"{ISTIO_REV}={mesh.tag}"
            )
            yield diagnose(Sign.PROXIES_OUTSIDE, Subject("Namespace", "", name), message)


def check_pods_are_injected(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Where a namespace's labels ask for a mesh of Navarch's, its pods have a sidecar."""
    bare: defaultdict[str, list[str]] = defaultdict(list)
    for pod in observed.bare or ():
        bare[pod.namespace].append(pod.name)
    for mesh, membership in _memberships(observed):
        for name, pods in bare.items():
            namespace = (observed.namespaces or {}).get(name)
            if namespace is None or _read_wish(namespace) is None:
                continue
            if not is_member(membership, name, namespace.labels):
                continue
            message = (
                f"{len(pods)} pods have no sidecar although the namespace belongs to mesh "
                f"{mesh.namespace}/{mesh.name}: {_list(sorted(pods))}; most likely they started before it "
                f"was labelled: kubectl -n {name} rollout restart deployment"
            )
            yield diagnose(Sign.PODS_NOT_INJECTED, Subject("Namespace", "", name), message)


def _read_wish(namespace: Namespace) -> str | None:
    """The revision or tag that a namespace's labels ask for; None where they ask for nothing."""
    if ISTIO_INJECTION in namespace.labels:
        return DEFAULT_TAG if namespace.labels[ISTIO_INJECTION] == "enabled" else None
    return namespace.labels.get(ISTIO_REV) or None


def _takes(webhook: Webhook, namespace: Namespace) -> bool:
    """Whether a webhook of Istio's injects pods for the sake of this namespace's labels."""
    if webhook.ref.kind != "MutatingWebhookConfiguration":
        return False
    labels = {NAMESPACE_NAME: namespace.name, **namespace.labels}
    return any(
        entry.name.endswith("sidecar-injector.istio.io")
        and matches(entry.namespace_selector, labels)
        and not matches(entry.namespace_selector, {NAMESPACE_NAME: namespace.name})
        for entry in webhook.entries
    )


def check_labels_agree(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No namespace says two things at once."""
    for namespace in (observed.namespaces or {}).values():
        labels = namespace.labels
        if ISTIO_INJECTION in labels and ISTIO_REV in labels and not namespace.terminating:
            message = (
                f"carries {ISTIO_INJECTION}={labels[ISTIO_INJECTION]} and {ISTIO_REV}={labels[ISTIO_REV]}; "
                f"{ISTIO_REV} counts for nothing here"
            )
            yield diagnose(Sign.LABELS_CONTRADICT, Subject("Namespace", "", namespace.name), message)


def check_proxies_have_a_revision(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Every proxy's revision is still there, whoever's it is."""
    if observed.webhooks is None or observed.meshes is None:
        return
    known = {w.revision for w in observed.webhooks if w.revision} | {*observed.revisions}
    known |= {i.revision or "default" for i in observed.installations}
    lost: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for proxy in observed.proxies or ():
        if proxy.revision not in known:
            lost[proxy.namespace, proxy.revision].append(proxy.name)
    for (namespace, revision), pods in lost.items():
        message = (
            f"{len(pods)} pods run a sidecar of revision {revision}, which is gone: {_list(sorted(pods))}"
        )
        yield diagnose(Sign.PROXIES_ABANDONED, Subject("Namespace", "", namespace), message)


def tell_installations(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Whose else Istios there are; a warning where one shares something with a mesh."""
    for installation in observed.installations:
        kind, _, name = installation.name.partition(" ")
        namespaced = kind in ("Deployment", "ServiceMeshControlPlane", "Release")
        subject = Subject(kind, installation.namespace if namespaced else "", name)
        if installation.shares:
            message = f"{installation}: {'; '.join(installation.shares)}"
            yield diagnose(Sign.ANOTHER_ISTIO_SHARES, subject, message)
        else:
            yield diagnose(
                Sign.ANOTHER_ISTIO, subject, f"{installation}; it has nothing in common with a mesh"
            )


RULES: tuple[Rule, ...] = (
    check_navarch_is_installed,
    check_policies_are_there,
    check_operator_leads,
    check_probe_namespace,
    check_kubernetes,
    check_nothing_is_left_out,
    check_orphans,
    check_namespaces_are_answered,
    check_labels_agree,
    check_labels_have_an_effect,
    check_proxies_are_inside,
    check_pods_are_injected,
    check_proxies_have_a_revision,
    tell_installations,
)
RULES_OF_INSTALLATION: tuple[Rule, ...] = RULES[:4]
"""What may be the reason of anything that is said of one mesh, and is told with it."""


def run_rules(observed: ObservedCluster, rules: tuple[Rule, ...] = RULES) -> Iterator[Diagnosis]:
    """Everything that is worth saying about the cluster as a whole."""
    for rule in rules:
        yield from rule(observed)
