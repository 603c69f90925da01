"""The proxy with which a new revision is tried before the tag moves to it.

    everything else is proved      ->  account and workload are made
    its pod is ready               ->  Envoy has taken the first clusters and listeners of that istiod
    the tag moved, or is not to    ->  both go, as all that a mesh does not want

Owns when it is there, and what it proves. Must never take one for a proof that another revision injected, or
that was made for another input. Invariants (tests/property): while it stands and is still wanted it is left
as it is; what is tried is always what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from navarch.core.membership.selectors import matches
from navarch.core.mesh.injection import find_own_webhooks
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.actions import Wave
from navarch.core.model.labels import NAMESPACE_NAME, TEMPLATE
from navarch.core.model.messages import join
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.render.components.trial import build_objects
from navarch.core.revision.proof import hash_input
from navarch.core.revision.source import build_revision_input
from navarch.core.world.trial import TrialPod
from navarch.core.world.workload import determine_rollout

NEVER = "Never"
OPT_OUT = "spec.upgrade.trialProxy: Never does without"


@dataclass(frozen=True, slots=True)
class Trial:
    """What becomes of a mesh's trial proxy: `accounts` and `workloads` are applied now, and what is `kept`
    is not removed."""

    accounts: tuple[Manifest, ...] = ()
    workloads: tuple[Manifest, ...] = ()
    kept: frozenset[Ref] = field(default_factory=frozenset)


def is_tried(observed: ObservedMesh) -> bool:
    """Whether the mesh wants a new revision to be tried by a proxy."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    return upgrade is None or upgrade.trial_proxy != NEVER


def build_trial(observed: ObservedMesh, asked: Manifest) -> tuple[Manifest, Manifest]:
    """Account and workload of the proxy with which the MeshRevision `asked` is tried."""
    revision = build_revision_input(asked, observed.assets, observed.environment)
    account, workload = build_objects(revision, observed.assets, attempt=hash_input(asked["spec"]))
    return account, workload


def plan_trial(observed: ObservedMesh, asked: Manifest, *, upgrading: bool, due: bool) -> Trial:
    """What is done about it while the tag is to move to `asked` (`upgrading`); `due` says that all else is
    proved. Before that one that is there stays: an istiod that was away for a while is no reason for another
    pod."""
    if observed.in_place or not upgrading or not is_tried(observed):
        return Trial()
    account, workload = build_trial(observed, asked)
    kept = frozenset(map(ref_of, (account, workload)))
    if not due or not _is_reached(observed, asked, workload):
        return Trial(kept=kept)
    return Trial((account,), (workload,), kept)


def build_last_wave(wave: Iterable[Manifest], trial: Trial) -> tuple[Wave, ...]:
    """What is applied last, side by side: neither a gateway nor a trial that cannot be applied keeps anything
    else waiting."""
    last = (*wave, *trial.workloads)
    accounts = (Wave("account", trial.accounts),) if trial.accounts else ()
    return (*accounts, Wave("last", last)) if last else accounts


def tell_untried(observed: ObservedMesh, asked: Manifest) -> str:
    """Why no proxy has taken the configuration of the MeshRevision `asked` yet; empty where one has, or none
    is to."""
    if not is_tried(observed):
        return ""
    _, workload = build_trial(observed, asked)
    name, namespace = asked["metadata"]["name"], observed.parent.namespace
    pods = [pod for pod in observed.trial if pod.template == _template_of(workload) and not pod.leaving]
    if any(pod.ready and pod.revision == name for pod in pods):
        return ""
    if not _is_reached(observed, asked, workload):
        return (
            f"no pod in {namespace} can be injected by {name}, since the namespace's own labels say by whom "
            f"its pods are: so no proxy of Navarch's can try it there; {OPT_OUT}"
        )
    told = join(_tell_pod(pod, name, namespace) for pod in pods) or _tell_workload(observed, ref_of(workload))
    return f"no proxy has taken the configuration of {name} yet: {told}; {OPT_OUT}"


def _tell_pod(pod: TrialPod, revision: str, namespace: str) -> str:
    if pod.problem:
        return pod.problem
    if pod.revision != revision:
        return f"pod {pod.name} was injected by {pod.revision or 'nobody'}"
    return f"pod {pod.name} is not ready: kubectl logs -n {namespace} {pod.name} shows what Envoy refuses"


def _tell_workload(observed: ObservedMesh, ref: Ref) -> str:
    there = next((o for o in observed.owned if ref_of(o) == ref), None)
    if there is None:
        return f"{ref} is being made"
    return f"{ref}: {determine_rollout(there).message}"


def _template_of(workload: Manifest) -> str:
    return str(workload["spec"]["template"]["metadata"]["labels"][TEMPLATE])


def _is_reached(observed: ObservedMesh, asked: Manifest, workload: Manifest) -> bool:
    """Whether the revision's own webhook takes the pod. One that nobody injects would pull `image: auto`."""
    place = observed.namespace
    labels = {**(place.labels if place is not None else {}), NAMESPACE_NAME: observed.parent.namespace}
    pod, name = workload["spec"]["template"]["metadata"]["labels"], asked["metadata"]["name"]
    return any(
        matches(entry.namespace_selector, labels) and matches(entry.object_selector, pod)
        for webhook in find_own_webhooks(observed)
        if webhook.revision == name and not webhook.tag and webhook.ref.kind == WEBHOOK_KINDS[0]
        for entry in webhook.entries
    )
