"""From observation to plan: which waves may be applied now, what has to be waited for, what is to be removed.

Owns the order of things between components. Must never act or look anything up.
Invariant: the set of objects a mesh wants is computed whole, whatever has to wait; only what is outside it is
pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.api.revision import KIND as REVISION_KIND
from navarch.core.actions import Outcome, Plan, Waiting, Wave
from navarch.core.assets import Assets
from navarch.core.conditions import ConditionType, find_condition
from navarch.core.findings import Finding, Severity
from navarch.core.labels import MESH_COMPONENTS, component_of, revision_of
from navarch.core.manifests import build_mesh_waves, build_revision_waves
from navarch.core.members import NEVER_MEMBERS, Membership, is_member, is_never_member
from navarch.core.naming import DEFAULT_TAG, revision_name
from navarch.core.observed import CRDOwner, ObservedMesh, ObservedRevision
from navarch.core.ordering import order_for_removal
from navarch.core.refs import Manifest, Ref, ref_of
from navarch.core.resolve import build_revision_input, build_revision_manifest, resolve_config
from navarch.core.values import proxy_stamp
from navarch.core.workloads import determine_rollout

SAFETY_REQUEUE = 30.0
"""Seconds after which a plan that waits is looked at again even if no event came."""

PROBE_REQUEUE = 5.0
"""Seconds after which an injection that could not be proved is tried again."""


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
    return observed.deleting or (observed.namespace is not None and observed.namespace.terminating)


def is_accepted(findings: Iterable[Finding]) -> bool:
    """Whether the spec may be acted on."""
    return not any(f.severity is Severity.ERROR for f in findings)


def plan_mesh(observed: ObservedMesh, findings: Sequence[Finding]) -> MeshDecision:
    """The plan of a mesh. With an error among `findings` nothing new is planned: what was accepted last is
    kept up."""
    if is_leaving(observed):
        return MeshDecision(None, plan_teardown(observed))
    wanted = build_wanted_revision(observed) if is_accepted(findings) else _restate_revision(observed)
    if wanted is None:
        return MeshDecision(None, Plan(observed.owner))
    if not is_renderable(wanted, observed.assets):
        return MeshDecision(wanted, Plan(observed.owner))
    waves = build_mesh_waves(
        wanted, observed.assets, observed.environment, crd_minor=find_crd_minor(observed)
    )
    kept = {ref_of(wanted), *(ref_of(o) for wave in waves for o in wave.objects)}
    ready, waiting = _split_mesh_waves(observed, waves)
    prune = _find_surplus(observed, wanted, kept)
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
    config, _ = resolve_config(spec, profiles={**observed.assets.profiles, **observed.profiles})
    if config is None:
        return None
    default = bool(spec.default_tag)
    tag = observed.tag
    values = (tag, revision_name(tag), *([DEFAULT_TAG] if default else ()))
    membership = Membership(
        observed.owner.namespace, values, default, probe=observed.environment.probe_namespace
    )
    excluded = find_excluded(observed, membership)
    return build_revision_manifest(
        observed.owner, tag=tag, release=release, config=config, default=default, excluded=excluded
    )


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
    for existing in observed.revisions:
        metadata = {"name": existing["metadata"]["name"], "namespace": observed.owner.namespace}
        labels = observed.owner.labels(component="revision")
        return {
            "apiVersion": existing["apiVersion"],
            "kind": existing["kind"],
            "metadata": {**metadata, "labels": labels},
            "spec": existing["spec"],
        }
    return None


def _find_surplus(observed: ObservedMesh, wanted: Manifest, kept: set[Ref]) -> list[Ref]:
    """What carries the mesh's labels and is not wanted any more."""
    revision = ref_of(wanted).name
    surplus = [
        ref_of(o)
        for o in (*observed.owned, *observed.revisions)
        if ref_of(o) not in kept and (component_of(o) in MESH_COMPONENTS or revision_of(o) != revision)
    ]
    if not surplus:
        return []
    # An object of the revision may be among them because somebody took one of its labels off: that is drift.
    source = build_revision_input(wanted, observed.assets, observed.environment)
    waves = build_revision_waves(source, observed.assets)
    return [ref for ref in surplus if ref not in {ref_of(o) for wave in waves for o in wave.objects}]


def find_crd_minor(observed: ObservedMesh) -> str | None:
    """The Istio minor whose CRDs the cluster is to have: the highest that any mesh asks for or that is there
    already. None when the CRDs are somebody else's and stay untouched."""
    if any(crd.owner is CRDOwner.FOREIGN for crd in observed.crds):
        return None
    wanted = {*observed.crd_minors, *(crd.minor for crd in observed.crds if crd.minor)}
    known = [minor for minor in wanted if minor in observed.assets.crds]
    return max(known, key=_minor_key, default=None)


def _minor_key(minor: str) -> tuple[int, ...]:
    return tuple(int(part) for part in minor.split("."))


def _split_mesh_waves(
    observed: ObservedMesh, waves: Sequence[Wave]
) -> tuple[tuple[Wave, ...], tuple[Waiting, ...]]:
    """The waves that may be applied now, and what the first of the others waits for."""
    gates = {
        "revision": _find_pending_crds,
        "tags": _find_pending_revision,
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
    present = {crd.name: crd for crd in observed.crds}
    minor = find_crd_minor(observed)
    names = [crd["metadata"]["name"] for crd in observed.assets.crds.get(minor, ())] if minor else []
    for name in names:
        if name not in present or not present[name].established:
            ref = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
            yield Waiting(ref, f"CustomResourceDefinition {name} is not established yet")
            return


def _find_pending_revision(observed: ObservedMesh) -> Iterable[Waiting]:
    for manifest in observed.revisions:
        condition = find_condition(manifest, ConditionType.AVAILABLE)
        if condition is not None and condition["status"] == "True":
            return
        message = condition["message"] if condition else "nothing is known of it yet"
        yield Waiting(
            ref_of(manifest), f"{REVISION_KIND} {ref_of(manifest).name} is not available: {message}"
        )
        return
    yield Waiting(
        Ref("mesh.navarch.io/v1beta1", REVISION_KIND, observed.owner.namespace, ""),
        "the revision was just made",
    )


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
    """Removal of everything of the mesh, webhooks first; nothing is planned while the mesh is paused."""
    owned = tuple(order_for_removal([ref_of(o) for o in (*observed.owned, *observed.revisions)]))
    return Plan(observed.owner, prune=owned, requeue_after=2.0 if owned else None)


def plan_revision(observed: ObservedRevision) -> RevisionDecision:
    """The plan of a revision: everything but webhooks at once, those when an istiod serves."""
    if observed.mesh is None or "deletionTimestamp" in observed.mesh["metadata"]:
        return RevisionDecision(Plan(observed.owner), "")
    if not is_renderable(observed.body, observed.assets):
        return RevisionDecision(Plan(observed.owner), "")
    name = observed.body["metadata"]["name"]
    revision = build_revision_input(observed.body, observed.assets, observed.environment)
    waves = build_revision_waves(revision, observed.assets)
    kept = {ref_of(o) for wave in waves for o in wave.objects}
    surplus = [
        ref_of(o) for o in observed.owned if component_of(o) not in MESH_COMPONENTS and ref_of(o) not in kept
    ]
    deployment = find_deployment(observed.owned, name)
    waiting: tuple[Waiting, ...] = ()
    if deployment is None or not determine_rollout(deployment).available:
        wanted = next(ref_of(o) for wave in waves for o in wave.objects if o["kind"] == "Deployment")
        waiting = (Waiting(wanted, "no istiod is available yet"),)
        waves = tuple(wave for wave in waves if wave.name != "webhooks")
    requeue = SAFETY_REQUEUE if waiting else None
    plan = Plan(observed.owner, waves, tuple(order_for_removal(surplus)), waiting, requeue)
    return RevisionDecision(plan, proxy_stamp(revision, observed.assets))


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
    return observed.deleting and not is_held(observed) and not plan.prune


def determine_requeue(
    plan: Plan, outcome: Outcome | None, conditions: Iterable[Mapping[str, Any]]
) -> float | None:
    """Seconds until the next look without an event; None waits for one. A failure that may pass by itself and
    an unproved injection are looked at again sooner than the safety net would."""
    unproved = any(c["type"] == ConditionType.INJECTION_READY and c["status"] != "True" for c in conditions)
    candidates = [
        plan.requeue_after,
        outcome.retry_after if outcome else None,
        PROBE_REQUEUE if unproved and not plan.waiting and plan.waves else None,
    ]
    return min((c for c in candidates if c is not None), default=None)
