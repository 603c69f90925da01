"""From observation to plan: which waves may be applied now, what has to be waited for, what is to be removed.

Owns the order of things between components. Must never act or look anything up.
Invariant: the set of objects a mesh wants is computed whole, whatever has to wait; only what is outside it is
pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from navarch.api.revision import KIND as REVISION_KIND
from navarch.core.actions import Outcome, Plan, Waiting, Wave
from navarch.core.assets import Assets
from navarch.core.conditions import ConditionType, find_condition
from navarch.core.crds import find_newest
from navarch.core.findings import Finding, Severity
from navarch.core.hashing import stable_hash
from navarch.core.labels import APPLIED, FORCE_DELETE, MESH_COMPONENTS, Owner, component_of, revision_of
from navarch.core.manifests import build_mesh_waves, render
from navarch.core.members import NEVER_MEMBERS, Membership, build_membership, is_member, is_never_member
from navarch.core.naming import revision_name
from navarch.core.observed import CRDOwner, ObservedMesh, ObservedRevision
from navarch.core.ordering import order_for_removal
from navarch.core.refs import Manifest, Ref, ref_of
from navarch.core.resolve import build_revision_manifest, resolve_mesh
from navarch.core.unread import mark_unread
from navarch.core.workloads import determine_rollout

SAFETY_REQUEUE = 30.0
"""Seconds after which a plan that waits is looked at again even if no event came."""

PROBE_REQUEUE = 5.0
"""Seconds after which an injection that could not be proved is tried again."""

CLOCK_SLACK = timedelta(seconds=10)
"""By how much the clocks of two API servers may differ, which stamped a mesh's deletion and its kind's."""


@dataclass(frozen=True, slots=True)
class MeshDecision:
    """What a mesh wants: `revision` is its MeshRevision as it should be (the existing one while the spec is
    not accepted, None when there is none), `plan` what is to be done now."""

    revision: Manifest | None
    plan: Plan


@dataclass(frozen=True, slots=True)
class RevisionDecision:
    """What a revision wants: `plan` is what is to be done now, `proxy` what the injector will stamp on
    pods."""

    plan: Plan
    proxy: str


def is_leaving(observed: ObservedMesh) -> bool:
    """Whether the mesh is to be taken down: it is being deleted, or its namespace is."""
    terminating = observed.namespace is not None and observed.namespace.terminating
    return terminating or (observed.deleting and not is_withheld(observed))


def is_withheld(observed: ObservedMesh) -> bool:
    """Whether a mesh is being deleted only because its kind is: then it stands, unless somebody insists.
    Nobody who deletes a CustomResourceDefinition means to cut the traffic of every mesh in the cluster.
    """
    metadata = observed.body["metadata"]
    insists = (metadata.get("annotations") or {}).get(FORCE_DELETE) == "true"
    return _is_caused_by_kind(metadata.get("deletionTimestamp", ""), observed.kind_deleted) and not insists


def _is_caused_by_kind(deleted: str, kind_deleted: str) -> bool:
    """Whether a mesh's deletion is no older than its kind's, as far as clocks can tell. In doubt it is
    taken for caused: what stands can still be removed. Both are RFC 3339, or empty."""
    if not deleted or not kind_deleted:
        return False
    return datetime.fromisoformat(deleted) >= datetime.fromisoformat(kind_deleted) - CLOCK_SLACK


def is_accepted(findings: Iterable[Finding]) -> bool:
    """Whether the spec may be acted on."""
    return not any(f.severity is Severity.ERROR for f in findings)


def plan_mesh(observed: ObservedMesh, findings: Sequence[Finding]) -> MeshDecision:
    """The plan of a mesh. With an error among `findings` nothing new is planned: what was accepted last is
    kept up."""
    if is_leaving(observed):
        return MeshDecision(None, plan_teardown(observed))
    if observed.deleting:  # withheld
        return MeshDecision(_restate_revision(observed), Plan(observed.owner))
    wanted = build_wanted_revision(observed) if is_accepted(findings) else _restate_revision(observed)
    if wanted is None:
        return MeshDecision(None, Plan(observed.owner))
    if not is_renderable(wanted, observed.assets):
        return MeshDecision(wanted, Plan(observed.owner))
    waves = build_mesh_waves(
        wanted, observed.assets, observed.environment, crd_minor=find_crd_minor(observed)
    )
    kept = {ref_of(wanted), *(ref_of(o) for wave in waves for o in wave.objects)}
    ready, waiting = _split_mesh_waves(observed, wanted, waves)
    ready = mark_unread(ready, observed)
    surplus = _find_surplus(observed, wanted, kept)
    prune = [ref_of(o) for o in surplus if component_of(o) != "tags" or _may_lose_tags(observed, ready)]
    requeue = SAFETY_REQUEUE if waiting else None
    return MeshDecision(
        wanted, Plan(observed.owner, ready, tuple(order_for_removal(prune)), waiting, requeue)
    )


def is_renderable(revision: Manifest, assets: Assets) -> bool:
    """Whether this release knows the version of a MeshRevision; one that an older release made may have left
    the catalog since. What such a revision runs is left as it is."""
    return assets.catalog.find(revision["spec"]["version"]) is not None


def build_wanted_revision(observed: ObservedMesh) -> Manifest | None:
    """The MeshRevision that an accepted spec resolves to."""
    spec = observed.spec
    release = observed.assets.catalog.find(spec.version) if spec else None
    if spec is None or release is None:
        return None
    config = resolve_mesh(observed.owner, spec, observed.assets, profiles=observed.profiles)
    if config is None:
        return None
    return build_revision_manifest(
        observed.owner,
        tag=observed.tag,
        release=release,
        config=config,
        default=bool(spec.default_tag),
        excluded=find_excluded(observed, find_membership(observed)),
    )


def find_membership(observed: ObservedMesh) -> Membership:
    """What makes a namespace the mesh's, before any exclusion but that of the cluster's own."""
    default = bool((observed.body.get("spec") or {}).get("defaultTag"))
    probe = observed.environment.probe_namespace
    return build_membership(observed.owner.namespace, observed.tag, default=default, probe=probe)


def find_excluded(observed: ObservedMesh, membership: Membership) -> tuple[str, ...]:
    """Namespaces that stay outside whatever their labels: the cluster's own, the operator's, and those of the
    never members and of other meshes' control planes that carry labels by which they would belong to this
    mesh."""
    others = {mesh.namespace for mesh in observed.meshes} - {observed.owner.namespace}
    claimed = {
        name
        for name, namespace in observed.namespaces.items()
        if (is_never_member(name) or name in others) and is_member(membership, name, namespace.labels)
    }
    return tuple(sorted({*NEVER_MEMBERS, observed.environment.operator_namespace, *claimed}))


def _restate_revision(observed: ObservedMesh) -> Manifest | None:
    """The MeshRevision that was accepted last, in the words it was applied with."""
    existing = observed.revision or next(iter(observed.revisions), None)
    if existing is None:
        return None
    metadata = {"name": existing["metadata"]["name"], "namespace": observed.owner.namespace}
    return {
        "apiVersion": existing["apiVersion"],
        "kind": existing["kind"],
        "metadata": {**metadata, "labels": observed.owner.labels(component="revision")},
        "spec": existing["spec"],
    }


def _find_surplus(observed: ObservedMesh, wanted: Manifest, kept: set[Ref]) -> list[Manifest]:
    """What carries the mesh's labels and is not wanted any more."""
    revision = ref_of(wanted).name
    surplus = [
        o
        for o in (*observed.owned, *observed.revisions)
        if ref_of(o) not in kept and (component_of(o) in MESH_COMPONENTS or revision_of(o) != revision)
    ]
    if not surplus:
        return []
    # An object of the revision may be among them because somebody took one of its labels off: that is drift.
    waves = render(wanted, observed.assets, observed.environment).waves
    rendered = {ref_of(o) for wave in waves for o in wave.objects}
    return [o for o in surplus if ref_of(o) not in rendered]


def _may_lose_tags(observed: ObservedMesh, ready: Iterable[Wave]) -> bool:
    """Whether tags that are not wanted any more may go: those that replace them stand, and istiod has given
    them its root. Before that a pod would find no webhook, or one that nobody trusts."""
    wanted = [ref_of(o) for wave in ready if wave.name == "tags" for o in wave.objects]
    trusted = {w.ref for w in observed.webhooks if all(entry.ca_bundle for entry in w.entries)}
    webhooks = [ref for ref in wanted if ref.kind == "MutatingWebhookConfiguration"]
    return bool(webhooks) and all(ref in trusted for ref in webhooks)


def find_crd_minor(observed: ObservedMesh) -> str | None:
    """The Istio minor whose CRDs are to be applied: the highest that any mesh asks for or that is there
    already.

    None when they are not ours to write: they are somebody else's, or a newer release of Navarch has applied
    a minor that this one does not know (a set is never downgraded).
    """
    if any(crd.owner is CRDOwner.FOREIGN for crd in observed.crds):
        return None
    present = {crd.minor for crd in observed.crds if crd.minor}
    newest = find_newest({*observed.crd_minors, *present})
    return newest if newest in observed.assets.crds else None


def find_wanted_crds(observed: ObservedMesh) -> list[str]:
    """Names of the CRDs that the meshes of the cluster need, sorted."""
    minor = find_crd_minor(observed) or find_newest(observed.crd_minors)
    return sorted(crd["metadata"]["name"] for crd in observed.assets.crds.get(minor or "", ()))


def _split_mesh_waves(
    observed: ObservedMesh, wanted: Manifest, waves: Sequence[Wave]
) -> tuple[tuple[Wave, ...], tuple[Waiting, ...]]:
    """The waves that may be applied now, and what the first of the others waits for."""
    gates: Mapping[str, Callable[[ObservedMesh], Iterable[Waiting]]] = {
        "revision": _find_pending_crds,
        "tags": partial(_find_pending_revision, wanted=wanted),
        "policies": _find_untrusted_validators,
    }
    ready: list[Wave] = []
    for wave in waves:
        gate = gates.get(wave.name)
        waiting = tuple(gate(observed)) if gate else ()
        if waiting:
            return tuple(ready), waiting
        ready.append(wave)
    return tuple(ready), ()


def _find_pending_crds(observed: ObservedMesh) -> Iterable[Waiting]:
    established = {crd.name for crd in observed.crds if crd.established}
    for name in find_wanted_crds(observed):
        if name not in established:
            ref = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
            yield Waiting(ref, f"CustomResourceDefinition {name} is not established yet")
            return


def _find_pending_revision(observed: ObservedMesh, *, wanted: Manifest) -> Iterable[Waiting]:
    """The revision while it is not available, or still serves another version than it should: a tag is
    Istio's own object, and its form follows the istiod that reads it."""
    revision = observed.revision
    if revision is None:
        ref = Ref(
            "mesh.navarch.io/v1beta1", REVISION_KIND, observed.owner.namespace, revision_name(observed.tag)
        )
        yield Waiting(ref, "the revision was just made")
        return
    condition = find_condition(revision, ConditionType.AVAILABLE)
    active = (revision.get("status") or {}).get("version")
    if condition is None or condition["status"] != "True":
        message = condition["message"] if condition else "nothing is known of it yet"
        yield Waiting(
            ref_of(revision), f"{REVISION_KIND} {ref_of(revision).name} is not available: {message}"
        )
    elif active and active != wanted["spec"]["version"]:
        yield Waiting(ref_of(revision), f"{REVISION_KIND} {ref_of(revision).name} still serves {active}")


def _find_untrusted_validators(observed: ObservedMesh) -> Iterable[Waiting]:
    """Validators that istiod has not given its root yet: until then every Istio object would be refused."""
    ours = [
        w
        for w in observed.webhooks
        if w.ref.kind == "ValidatingWebhookConfiguration"
        and w.owner
        and w.owner.name == observed.owner.name
        and w.owner.namespace == observed.owner.namespace
    ]
    if not ours:
        ref = Ref("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "")
        yield Waiting(ref, "the validating webhook does not exist yet")
    for webhook in ours:
        if any(not entry.ca_bundle for entry in webhook.entries):
            yield Waiting(webhook.ref, f"istiod has not written its root into {webhook.ref} yet")


def plan_teardown(observed: ObservedMesh) -> Plan:
    """Removal of everything of the mesh, webhooks first."""
    return plan_removal(observed.owner, (*observed.owned, *observed.revisions))


def plan_removal(owner: Owner, objects: Iterable[Manifest]) -> Plan:
    """Removal of what is left of a mesh, also of one that is gone without having been cleaned up after."""
    refs = tuple(order_for_removal([ref_of(o) for o in objects]))
    return Plan(owner, prune=refs, requeue_after=2.0 if refs else None)


def plan_revision(observed: ObservedRevision) -> RevisionDecision:
    """The plan of a revision: everything but webhooks at once, those when an istiod serves."""
    if is_abandoned(observed) or not is_renderable(observed.body, observed.assets):
        return RevisionDecision(Plan(observed.owner), "")
    name = observed.body["metadata"]["name"]
    rendered = render(observed.body, observed.assets, observed.environment)
    waves = rendered.waves
    kept = {ref_of(o) for wave in waves for o in wave.objects}
    surplus = [
        ref_of(o) for o in observed.owned if component_of(o) not in MESH_COMPONENTS and ref_of(o) not in kept
    ]
    deployment = find_deployment(observed.owned, name)
    wanted = next(o for wave in waves for o in wave.objects if o["kind"] == "Deployment")
    waiting: tuple[Waiting, ...] = ()
    if deployment is None or not determine_rollout(deployment).available:
        waiting = (Waiting(ref_of(wanted), "no istiod is available yet"),)
        waves = tuple(wave for wave in waves if wave.name != "webhooks")
    if deployment is not None and not is_replaced(deployment, wanted):
        waves = tuple(_without_injector(wave, observed.owned) for wave in waves)
    requeue = SAFETY_REQUEUE if waiting else None
    plan = Plan(observed.owner, waves, tuple(order_for_removal(surplus)), waiting, requeue)
    return RevisionDecision(plan, rendered.proxy)


def is_abandoned(observed: ObservedRevision) -> bool:
    """Whether nothing may be made for a revision any more: its mesh, or their namespace, is going or gone."""
    mesh, namespace = observed.mesh, observed.namespace
    leaving = mesh is None or "deletionTimestamp" in mesh["metadata"]
    return leaving or (namespace is not None and namespace.terminating)


def is_applied(there: Manifest, wanted: Manifest) -> bool:
    """Whether what stands in the cluster was last applied from `wanted`."""
    annotations = there["metadata"].get("annotations") or {}
    return bool(annotations.get(APPLIED) == stable_hash(wanted))


def is_replaced(there: Manifest, wanted: Manifest) -> bool:
    """Whether a Deployment runs nothing but what is wanted, be it with fewer pods than it should."""
    return is_applied(there, wanted) and determine_rollout(there).replaced


def _without_injector(wave: Wave, owned: Iterable[Manifest]) -> Wave:
    """The wave without the injector's configuration, where that exists: it follows istiod and never leads.

    An istiod of the older minor could not evaluate a newer template, and all of its injections would fail;
    and new pods would get a proxy whose istiod, or whose image, was not proved yet.
    """
    there = {ref_of(o) for o in owned}
    return Wave(
        wave.name,
        tuple(
            o
            for o in wave.objects
            if component_of(o) != "injection" or o["kind"] != "ConfigMap" or ref_of(o) not in there
        ),
    )


def find_deployment(owned: Iterable[Manifest], revision: str) -> Manifest | None:
    """istiod's Deployment of a revision among the objects of its mesh."""
    return next((o for o in owned if o["kind"] == "Deployment" and revision_of(o) == revision), None)


def is_held(observed: ObservedMesh) -> bool:
    """Whether nothing may be written but status and Events: the mesh is paused."""
    return bool((observed.body.get("spec") or {}).get("paused"))


def is_revision_held(observed: ObservedRevision) -> bool:
    """Whether nothing of a revision may be written: its mesh is paused, or gone."""
    return observed.mesh is None or bool((observed.mesh.get("spec") or {}).get("paused"))


def is_released(observed: ObservedMesh, plan: Plan) -> bool:
    """Whether the finalizer may go: the mesh is being deleted, is not paused, and nothing of it is left."""
    return observed.deleting and not is_withheld(observed) and not is_held(observed) and not plan.prune


def determine_requeue(
    plan: Plan,
    outcome: Outcome | None,
    conditions: Iterable[Mapping[str, Any]],
    *,
    held: float | None = None,
) -> float | None:
    """Seconds until the next look without an event; None waits for one. A failure that may pass by itself and
    an unproved injection are looked at again sooner than the safety net would; `held` is when a status
    that was held back may be written."""
    unproved = any(c["type"] == ConditionType.INJECTION_READY and c["status"] != "True" for c in conditions)
    candidates = [
        plan.requeue_after,
        outcome.retry_after if outcome else None,
        PROBE_REQUEUE if unproved and not plan.waiting and plan.waves else None,
        held,
    ]
    return min((c for c in candidates if c is not None), default=None)
