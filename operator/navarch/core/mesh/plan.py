"""From an observed mesh to its plan: which waves may be applied now, what they wait for, what is removed.

Owns the order of things between a mesh and its revision. Must never act or look anything up. Invariant: the
set of objects that a mesh wants is computed whole, even while some of them must wait; only objects outside it
are pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from navarch.api.controlplane import HOSTED
from navarch.api.revision import KIND as REVISION_KIND
from navarch.core.mesh.approval import Hold, find_hold, hold_back
from navarch.core.mesh.authority import find_pending_authority, find_step, find_wait, mark_trust
from navarch.core.mesh.checks.version import find_release
from navarch.core.mesh.choice import choose_name
from navarch.core.mesh.crds import find_crd_minor, find_wanted_crds
from navarch.core.mesh.gateways import build_gateway_wave, build_wanted_gateways, find_relieved
from navarch.core.mesh.injection import find_validators
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.proof import find_retry, is_trial_due
from navarch.core.mesh.render import build_mesh_waves
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.mesh.rollback import Return, fall_back, turn_back
from navarch.core.mesh.rollout import plan_restarts
from navarch.core.mesh.succession import Succession, find_succession, is_beside, restate_others
from navarch.core.mesh.teardown import find_removable, is_leaving, plan_teardown
from navarch.core.mesh.trial import Trial, build_last_wave, plan_trial
from navarch.core.mesh.unread import mark_unread
from navarch.core.model.actions import Plan, Waiting, Wave
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.labels import MESH_COMPONENTS, component_of, revision_of
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.requeue import SAFETY_REQUEUE
from navarch.core.model.scope import OF_CLUSTER, holds_anything, is_of_cluster, reaches_cluster
from navarch.core.revision.manifest import (
    build_revision_manifest,
    has_managed_authority,
    is_hosted,
    restate,
    stands_beside,
)
from navarch.core.revision.render import render
from navarch.core.revision.rights import find_missing
from navarch.core.revision.route import read_route, redirect, restate_tags
from navarch.core.revision.source import is_renderable
from navarch.core.rollout.plan import RolloutPlan
from navarch.core.trust.steps import Step
from navarch.core.world.hosting import read_home

_READS = (is_hosted, is_of_cluster, stands_beside, has_managed_authority)


@dataclass(frozen=True, slots=True)
class MeshDecision:
    """What a mesh wants: `revision` is its MeshRevision as it should be (the existing one while the spec is
    not accepted, None when there is none), `plan` what is to be done now, `gateways` the MeshGateways that
    the spec asks for (none while it is not accepted: those that stand are left as they are), `succession`
    what becomes of its revisions (None where nothing is planned). `hold` is a change that waits for an
    approval: `revision` is without it. `returned` says that `revision` is what was proved before. `rollout`
    is how workloads come to the proxy that is injected now (None where their owners see to it).
    `authority` is the next step for its certificate authority."""

    revision: Manifest | None
    plan: Plan
    gateways: tuple[Manifest, ...] = ()
    succession: Succession | None = None
    hold: Hold | None = None
    returned: Return | None = None
    rollout: RolloutPlan | None = None
    authority: Step = None


def plan_mesh(observed: ObservedMesh, findings: Sequence[Finding]) -> MeshDecision:
    """The plan of a mesh. With an error among `findings` nothing new is planned: what was accepted last is
    kept up."""
    if is_leaving(observed):
        return MeshDecision(None, plan_teardown(observed))
    if observed.deleting:  # withheld
        return MeshDecision(_restate_revision(observed), Plan(observed.parent))
    accepted = is_accepted(findings)
    if is_to_step_back(observed, findings):
        return MeshDecision(None, plan_teardown(observed))
    wanted = build_wanted_revision(observed) if accepted else _restate_revision(observed)
    if wanted is None:
        return MeshDecision(None, Plan(observed.parent))
    hold = find_hold(observed, wanted) if accepted else None
    if hold is not None:
        wanted = hold_back(observed, wanted)
    wanted, returned = fall_back(observed, wanted, fixed=hold is not None or not accepted)
    wanted = mark_trust(observed, wanted)
    authority = find_step(observed, wanted)
    if not is_renderable(wanted, observed.assets):  # its istiod is left as it is, and signs on
        plan = Plan(observed.parent, requeue_after=find_wait(observed, wanted, authority))
        return MeshDecision(wanted, plan, hold=hold, returned=returned, authority=authority)
    succession = find_succession(observed, wanted, accepted=accepted)
    others = restate_others(observed, wanted, succession)
    beside = tuple(mark_trust(observed, _keep_reach(observed, other)) for other in others)
    pointed = _find_pointed(observed, (wanted, *beside), succession.target)
    minor = find_crd_minor(observed, wanted)
    waves = build_mesh_waves(
        wanted, observed.assets, observed.environment, crd_minor=minor, pointed=pointed, beside=beside
    )
    gateways = build_wanted_gateways(observed) if accepted else ()
    kept = {ref_of(wanted), *(ref_of(o) for wave in waves for o in wave.objects)}
    kept |= {ref_of(o) for o in (gateways if accepted else observed.own_gateways)}
    kept |= {*find_relieved(observed, gateways)}
    trial = _decide_trial(observed, wanted, succession)
    kept |= trial.kept
    if pointed is None:  # what this release cannot render is left as it is
        kept |= {ref_of(o) for o in observed.owned if component_of(o) in ("tags", "policies")}
    ready, waiting = _split_mesh_waves(observed, wanted, pointed, waves, step=authority)
    waiting = (*waiting, *succession.missing)
    route = read_route(observed.owned, succession.target)
    ready = redirect(mark_unread(ready, observed), route)
    if not any(wave.name == "tags" for wave in ready):
        ready = (*ready, *restate_tags(observed.owned, route))
    ready = (*ready, *build_last_wave(build_gateway_wave(observed, gateways).objects, trial))
    surplus = _find_surplus(observed, (wanted, *beside), kept, succession.stays)
    prune = [ref_of(o) for o in surplus if component_of(o) != "tags" or _may_lose_tags(observed, ready)]
    rollout = plan_restarts(observed, succession, accepted=accepted)
    later = (SAFETY_REQUEUE if waiting else None, succession.wait, rollout.requeue_after if rollout else None)
    restarts = rollout.restarts if rollout is not None else ()
    requeue = min(
        filter(None, (*later, find_retry(observed), find_wait(observed, wanted, authority))), default=None
    )
    plan = Plan(observed.parent, ready, tuple(order_for_removal(prune)), waiting, requeue, restarts=restarts)
    return MeshDecision(wanted, plan, gateways, succession, hold, returned, rollout, authority)


def _decide_trial(observed: ObservedMesh, wanted: Manifest, succession: Succession) -> Trial:
    """What becomes of the proxy with which the wanted MeshRevision is tried."""
    upgrading = succession.is_upgrading
    due = upgrading and is_trial_due(observed, wanted)
    return plan_trial(observed, wanted, upgrading=upgrading, due=due)


def _find_pointed(observed: ObservedMesh, revisions: Iterable[Manifest], target: str) -> Manifest | None:
    """The MeshRevision to which the tag is to point; None where it is gone, or cannot be rendered."""
    found = next((r for r in revisions if ref_of(r).name == target), None)
    return found if found is not None and is_renderable(found, observed.assets) else None


def build_wanted_revision(observed: ObservedMesh) -> Manifest | None:
    """The MeshRevision that an accepted spec resolves to: what was proved before, where it asks for that."""
    spec = observed.spec
    release = find_release(observed)
    if spec is None or release is None:
        return None
    config = resolve_mesh(observed.parent, spec, observed.assets, profiles=observed.profiles)
    if config is None:
        return None
    name = choose_name(observed, release.version)
    wanted = build_revision_manifest(
        observed.parent,
        tag=observed.tag,
        release=release,
        config=config,
        default=bool(spec.default_tag),
        excluded=find_effective_membership(observed).excluded,
        member_of=observed.own.member_of,
        cluster=observed.own.cluster,
        hosted=spec.hosting == HOSTED,
        name=name,
        beside=is_beside(observed, name),
    )
    fitted = {**wanted, "spec": observed.kinds.fit(REVISION_KIND, "spec", wanted["spec"])}
    # Without its field a CRD of an older release would bring the control plane to the tenant, let go of every
    # namespace without a MeshMember, have an istiod that is not proved validate configuration, or one make a
    # root of its own.
    same = all(read(fitted) == read(wanted) for read in _READS)
    return turn_back(observed, _keep_reach(observed, fitted)) if same else None


def _restate_revision(observed: ObservedMesh) -> Manifest | None:
    """The MeshRevision that was accepted last, in the words it was applied with."""
    existing = observed.revision or next(iter(observed.revisions), None)
    return _keep_reach(observed, restate(observed.parent, existing)) if existing is not None else None


def is_to_step_back(observed: ObservedMesh, findings: Sequence[Finding]) -> bool:
    """Whether a mesh takes its MeshRevision back: it was made before another mesh was known beside which it
    cannot be, and no control plane of it was made. It would keep that one waiting."""
    refused = any(finding.reason is Reason.SCOPE_CONFLICT for finding in findings)
    passed = any(holds_anything(revision) for revision in observed.revisions)
    made = any(component_of(o) not in MESH_COMPONENTS for o in observed.owned)
    return refused and bool(observed.revisions) and not passed and not made


def _keep_reach(observed: ObservedMesh, wanted: Manifest) -> Manifest:
    """The MeshRevision with the label that says that it may reach every namespace: while it asks for that,
    and after that until the istiods with the older configuration have ended."""
    existing = next((r for r in observed.revisions if ref_of(r) == ref_of(wanted)), None)
    kept = existing is not None and reaches_cluster(existing) and not _has_narrowed(existing, wanted)
    if not (kept or is_of_cluster(wanted)):
        return wanted
    metadata = wanted["metadata"]
    return {**wanted, "metadata": {**metadata, "labels": {**metadata["labels"], **OF_CLUSTER}}}


def _has_narrowed(existing: Manifest, wanted: Manifest) -> bool:
    """Whether a MeshRevision that asks for every namespace no more has been rolled out."""
    rolled = find_condition(existing, ConditionType.PROGRESSING)
    current = rolled is not None and rolled["observedGeneration"] >= existing["metadata"].get("generation", 0)
    settled = rolled is not None and rolled["reason"] == Reason.SETTLED
    return current and settled and not is_of_cluster(existing) and not is_of_cluster(wanted)


def _find_surplus(
    observed: ObservedMesh, revisions: Iterable[Manifest], kept: set[Ref], stays: Container[str]
) -> list[Manifest]:
    """What was made for the mesh and is not wanted any more; the `revisions` that stay are given by name,
    too."""
    surplus = [
        o
        for o in find_removable(observed)
        if ref_of(o) not in kept and (component_of(o) in MESH_COMPONENTS or revision_of(o) not in stays)
    ]
    if not surplus:
        return []
    # An object of a revision is among them if another client removed one of its labels: that is drift.
    renderable = [r for r in revisions if is_renderable(r, observed.assets)]
    waves = [w for r in renderable for w in render(r, observed.assets, observed.environment).waves]
    rendered = {ref_of(o) for wave in waves for o in wave.objects}
    return [o for o in surplus if ref_of(o) not in rendered]


def _may_lose_tags(observed: ObservedMesh, ready: Iterable[Wave]) -> bool:
    """Whether tags that are not wanted any more may go: those that replace them stand, and istiod has given
    them its root. Before that a pod would find no webhook, or one that the API server does not trust."""
    wanted = [ref_of(o) for wave in ready if wave.name == "tags" for o in wave.objects]
    trusted = {w.ref for w in observed.webhooks if all(entry.ca_bundle for entry in w.entries)}
    webhooks = [ref for ref in wanted if ref.kind == "MutatingWebhookConfiguration"]
    return bool(webhooks) and all(ref in trusted for ref in webhooks)


def _split_mesh_waves(
    observed: ObservedMesh, wanted: Manifest, pointed: Manifest | None, waves: Sequence[Wave], *, step: Step
) -> tuple[tuple[Wave, ...], tuple[Waiting, ...]]:
    """The waves that may be applied now, and what the first of the others waits for."""
    gates: dict[str, Callable[[ObservedMesh], Iterable[Waiting]]] = {"policies": _find_untrusted_validators}
    unmet: tuple[Waiting, ...] = ()
    if pointed is wanted:
        gates["revision"] = partial(_find_unmet, wanted=wanted, step=step)
        gates["tags"] = partial(_find_pending_revision, wanted=wanted)
    else:  # what serves is kept up without what it may lead to
        unmet = tuple(_find_unmet(observed, wanted=wanted, step=step))
        if unmet:
            waves = [replace(w, objects=tuple(o for o in w.objects if o is not wanted)) for w in waves]
        if pointed is not None:
            gates["tags"] = partial(_find_unfinished, pointed=pointed)
    ready, waiting = _split(observed, waves, gates)
    return ready, (*unmet, *waiting)


def _split(
    observed: ObservedMesh,
    waves: Iterable[Wave],
    gates: Mapping[str, Callable[[ObservedMesh], Iterable[Waiting]]],
) -> tuple[tuple[Wave, ...], tuple[Waiting, ...]]:
    ready: list[Wave] = []
    for wave in waves:
        gate = gates.get(wave.name)
        waiting = tuple(gate(observed)) if gate else ()
        if waiting:
            return tuple(ready), waiting
        ready.append(wave)
    return tuple(ready), ()


def _find_unmet(observed: ObservedMesh, *, wanted: Manifest, step: Step) -> Iterable[Waiting]:
    """What the wanted revision needs of the cluster and has not; roles only where it would change."""
    yield from _find_pending_crds(observed, wanted)
    if is_hosted(wanted):
        obstacle = read_home(observed.parent, observed.owned, observed.inventory).obstacle
        yield from filter(None, (obstacle,))
    yield from find_pending_authority(observed, wanted, step)
    there = observed.find_revision(ref_of(wanted).name)
    if there is None or not is_applied(there, wanted):
        yield from find_missing(wanted, observed.assets, observed.roles)


def _find_pending_crds(observed: ObservedMesh, wanted: Manifest) -> Iterable[Waiting]:
    established = {crd.name for crd in observed.crds if crd.established}
    for name in find_wanted_crds(observed, wanted):
        if name not in established:
            ref = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
            yield Waiting(ref, f"CustomResourceDefinition {name} is not established yet")
            return


def _find_pending_revision(observed: ObservedMesh, *, wanted: Manifest) -> Iterable[Waiting]:
    """The revision while it is not available, or still serves another version than it should: a tag is
    Istio's own object, and its form follows the istiod that reads it."""
    revision = observed.find_revision(ref_of(wanted).name)
    if revision is None:
        yield Waiting(ref_of(wanted), "the revision was just made")
        return
    condition = find_condition(revision, ConditionType.AVAILABLE)
    if condition is None or condition["status"] != "True":
        message = condition["message"] if condition else "nothing is known of it yet"
        yield Waiting(
            ref_of(revision), f"{REVISION_KIND} {ref_of(revision).name} is not available: {message}"
        )
    else:
        yield from _find_unfinished(observed, pointed=wanted)


def _find_unfinished(observed: ObservedMesh, *, pointed: Manifest) -> Iterable[Waiting]:
    """The revision that serves while it still serves another version than it should: that was begun in place,
    before another one was asked for."""
    revision = observed.find_revision(ref_of(pointed).name)
    active = ((revision or {}).get("status") or {}).get("version")
    if active and active != pointed["spec"]["version"]:
        yield Waiting(ref_of(pointed), f"{REVISION_KIND} {ref_of(pointed).name} still serves {active}")


def _find_untrusted_validators(observed: ObservedMesh) -> Iterable[Waiting]:
    """Validators that istiod has not given its root yet: until then every Istio object would be refused."""
    ours = find_validators(observed)
    if not ours:
        ref = Ref("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "")
        yield Waiting(ref, "the validating webhook does not exist yet")
    for webhook in ours:
        if any(not entry.ca_bundle for entry in webhook.entries):
            yield Waiting(webhook.ref, f"istiod has not written its root into {webhook.ref} yet")
