"""Rules about labels by which namespaces and Istio's configuration say which mesh they belong to.

Owns one named generator for each rule. Must never look anything up. Invariant: each label that has no effect,
or another one than it seems to have, is named with its object, the reason and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from navarch.core.diagnosis.observed import ObservedCluster, diagnose, list_names, quote
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.membership.injection import list_injecting
from navarch.core.membership.injection import read_wish as read_wish_of_pod
from navarch.core.membership.rule import RESERVED_PREFIXES, is_reserved
from navarch.core.membership.selectors import matches
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, MEMBER_OF, NAMESPACE_NAME
from navarch.core.model.naming import DEFAULT_TAG
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Namespace, Webhook
from navarch.core.world.neighbours import MeshSummary


def check_namespaces_are_answered(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """Where a namespace asks for injection, some webhook takes its pods."""
    if observed.webhooks is None:
        return
    pending = {v for mesh in observed.meshes or () for v in (mesh.tag, *_list_taken(mesh))}
    lost = find_lost_namespaces(observed)
    for namespace in (observed.namespaces or {}).values():
        asked = read_wish(namespace)
        if asked is None or asked in pending or namespace.terminating or namespace.name in lost:
            continue
        if not any(_takes(webhook, namespace) for webhook in observed.webhooks):
            label = (
                f"{ISTIO_INJECTION}=enabled"
                if asked == DEFAULT_TAG and ISTIO_INJECTION in namespace.labels
                else f"{ISTIO_REV}={asked}"
            )
            message = f"{label}, and no injection webhook selects it: its pods start without a sidecar"
            if hint := _tell_tags(asked, namespace.name, observed.meshes or ()):
                message += f"; {hint}"
            yield diagnose(Sign.REVISION_NOT_FOUND, Subject("Namespace", "", namespace.name), message)


def _list_taken(mesh: MeshSummary) -> tuple[str, ...]:
    """The revisions of a mesh by which it takes namespaces."""
    return (mesh.serving,) if mesh.in_place else ()


def _tell_tags(asked: str, namespace: str, meshes: Iterable[MeshSummary]) -> str:
    """Which label was meant: the nearest tag, else the tags that there are; with the command where there is
    one choice."""
    tags = sorted(mesh.tag for mesh in meshes)
    label = f"kubectl label namespace {namespace}"
    if asked == DEFAULT_TAG and tags:
        tag = tags[0] if len(tags) == 1 else "TAG"
        return (
            f"no mesh has spec.defaultTag, which {ISTIO_INJECTION}=enabled asks for: set it on one, or "
            f"{label} {ISTIO_INJECTION}- {ISTIO_REV}={tag} (tags of meshes are {list_names(tags)})"
        )
    if nearest := get_close_matches(asked, tags, n=1, cutoff=0.5):
        return f"did you mean {ISTIO_REV}={nearest[0]}? {label} {ISTIO_REV}={nearest[0]} --overwrite"
    return f"tags of meshes are {list_names(tags)}" if tags else ""


def check_labels_have_an_effect(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No namespace carries a label that another mesh product reads, or a value that Istio does not know."""
    tags = list_names(sorted(mesh.tag for mesh in observed.meshes or ()))
    revisions = {name: mesh.tag for mesh in observed.meshes or () for name in mesh.names}
    lost = find_lost_namespaces(observed)
    for namespace in (observed.namespaces or {}).values():
        labels, told = namespace.labels, []
        if (value := labels.get(ISTIO_INJECTION, "enabled")) not in ("enabled", "disabled"):
            told.append(f"{ISTIO_INJECTION}={value}: only enabled and disabled mean anything")
        if "maistra.io/member-of" in labels and tags:
            told.append(f"maistra.io/member-of is OpenShift Service Mesh 2's; label it {ISTIO_REV}=<tag>")
        if labels.get("istio.io/dataplane-mode") == "ambient" and tags:
            told.append("istio.io/dataplane-mode=ambient: no mesh of Navarch runs in ambient mode")
        tag = revisions.get(labels.get(ISTIO_REV, ""))
        if tag and namespace.name not in lost:
            told.append(
                f"{ISTIO_REV}={labels[ISTIO_REV]} is a revision, which an upgrade may replace; label it "
                f"with the tag: {ISTIO_REV}={tag}"
            )
        for message in told if not namespace.terminating else ():
            yield quote(Reason.LABEL_WITHOUT_EFFECT, Subject("Namespace", "", namespace.name), message)


def _by_tag(meshes: Iterable[MeshSummary]) -> dict[str, MeshSummary]:
    tags = ((mesh, (mesh.tag, *([DEFAULT_TAG] if mesh.default_tag else []))) for mesh in meshes)
    return {tag: mesh for mesh, own in tags for tag in own}


def find_lost_labels(observed: ObservedCluster) -> Iterator[tuple[MeshSummary, Diagnosis]]:
    """Namespaces whose labels name a mesh to which they can never belong, each with that mesh."""
    meshes = observed.meshes or ()
    named = find_named(meshes)
    holders = {mesh.namespace: mesh for mesh in meshes}
    for namespace in (observed.namespaces or {}).values():
        asked, name = read_wish(namespace), namespace.name
        mesh = named.get(asked or "")
        if mesh is None or namespace.terminating or name == mesh.namespace:
            continue
        why = explain_lost(observed, name)
        if not why and name in holders:
            why = f"it holds mesh {name}/{holders[name].name}"
        if (
            not why
            and mesh.member_of
            and not mesh.cluster
            and namespace.labels.get(MEMBER_OF) != mesh.member_of
        ):
            remedy = f"make a MeshMember `default` in it with controlPlaneRef {mesh.namespace}/{mesh.name}"
            message = (
                f"{ISTIO_REV}={asked} names mesh {mesh.namespace}/{mesh.name}, which takes in no namespace "
                f"by a label: {remedy}, or remove the label"
            )
            yield mesh, quote(Reason.LABEL_WITHOUT_EFFECT, Subject("Namespace", "", name), message)
        if not why:
            continue
        key = ISTIO_INJECTION if ISTIO_INJECTION in namespace.labels else ISTIO_REV
        message = (
            f"{key}={namespace.labels[key]} asks for mesh {mesh.namespace}/{mesh.name}, which never injects "
            f"a pod of this namespace: {why}; remove the label (kubectl label namespace {name} {key}-), and "
            f"run what needs a sidecar in another namespace"
        )
        yield mesh, quote(Reason.LABEL_WITHOUT_EFFECT, Subject("Namespace", "", name), message)


def find_named(meshes: Iterable[MeshSummary]) -> dict[str, MeshSummary]:
    """Meshes by each word that names them in a label: tag, revision, and `default` for its owner."""
    there = tuple(meshes)
    return _by_tag(there) | {name: mesh for mesh in there for name in mesh.names}


def explain_lost(observed: ObservedCluster, name: str) -> str:
    """Why no pod of a namespace can be injected with any labels; empty where it can."""
    if is_reserved(name):
        prefix = next(p for p in RESERVED_PREFIXES if name.startswith(p))
        return f"namespaces whose name begins with {prefix} are the cluster's"
    if name == observed.environment.operator_namespace:
        return "the operator runs in it"
    if name == observed.environment.probe_namespace:
        return "it is kept for the operator's dry-run pods"
    return ""


def find_lost_namespaces(observed: ObservedCluster) -> frozenset[str]:
    """The names of these namespaces."""
    return frozenset(diagnosis.subject.name for _, diagnosis in find_lost_labels(observed))


def check_labels_can_count(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No namespace asks for a mesh to which it can never belong."""
    yield from (diagnosis for _, diagnosis in find_lost_labels(observed))


def check_configuration_is_read(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No configuration names a tag. istiod reads what names its revision, or none (pkg/config/model.go,
    LabelsInRevision); and no webhook validates what names anything else."""
    tags = _by_tag(observed.meshes or ())
    for found in observed.tagged:
        mesh = tags.get(found.revision)
        if mesh is None:
            continue
        where = f"{found.resource} {found.subject.name}"
        if found.subject.namespace:
            where += f" -n {found.subject.namespace}"
        message = (
            f"{ISTIO_REV}={found.revision} is a tag of mesh {mesh.namespace}/{mesh.name}, and on "
            f"configuration istiod takes its revision only: the object has no effect, and was not validated; "
            f"kubectl label {where} {ISTIO_REV}- removes the label, "
            f"{ISTIO_REV}={mesh.serving} is the revision"
        )
        yield diagnose(Sign.CONFIGURATION_NOT_READ, found.subject, message)


def check_labels_agree(observed: ObservedCluster) -> Iterator[Diagnosis]:
    """No namespace says two things at once."""
    for namespace in (observed.namespaces or {}).values():
        labels = namespace.labels
        if ISTIO_INJECTION in labels and ISTIO_REV in labels and not namespace.terminating:
            injected = "only by the mesh with" if labels[ISTIO_INJECTION] == "enabled" else "by no mesh, even"
            parent = "spec.defaultTag" if labels[ISTIO_INJECTION] == "enabled" else "the one that is named"
            message = (
                f"carries {ISTIO_INJECTION}={labels[ISTIO_INJECTION]} and {ISTIO_REV}={labels[ISTIO_REV]}; "
                f"{ISTIO_REV} counts for nothing here: pods are injected {injected} {parent}; kubectl label "
                f"namespace {namespace.name} {ISTIO_INJECTION}- lets {ISTIO_REV} count"
            )
            yield quote(Reason.LABELS_CONTRADICT, Subject("Namespace", "", namespace.name), message)


def read_wish(namespace: Namespace) -> str | None:
    """The revision or tag that a namespace's labels ask for; None where they ask for nothing."""
    return read_wish_of_pod(namespace.labels, {}).value or None


def _takes(webhook: Webhook, namespace: Namespace) -> bool:
    """Whether a webhook of Istio's injects pods for the sake of this namespace's labels."""
    labels = {NAMESPACE_NAME: namespace.name, **namespace.labels}
    return any(
        matches(entry.namespace_selector, labels)
        and not matches(entry.namespace_selector, {NAMESPACE_NAME: namespace.name})
        for entry in list_injecting(webhook)
    )
