"""Whether pods are injected: the verdict InjectionReady.

Owns the proof, which has three parts: the webhooks are there, they trust the mesh's root, and a dry-run pod
came back with a sidecar of the expected revision. Must never take a running istiod for proof. Invariant: True
needs all three; a denial by a foreign policy is Unknown, never False.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.rotation import list_trusted
from navarch.core.model.conditions import ConditionType, Verdict, find_condition
from navarch.core.model.hashing import stable_hash
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Webhook
from navarch.core.world.probe import Probe, ProbeVerdict

MUTATING, VALIDATING = WEBHOOK_KINDS


def find_injectors(observed: ObservedMesh) -> list[Webhook]:
    """The mesh's own mutating webhooks; of a mesh with several revisions those of the one that serves."""
    found = [w for w in find_own_webhooks(observed) if w.ref.kind == MUTATING]
    serving = observed.revision
    if observed.in_place or serving is None:
        return found
    return [w for w in found if w.revision == serving["metadata"]["name"]]


def find_validators(observed: ObservedMesh) -> list[Webhook]:
    """The mesh's own validating webhooks that matter to what is applied for it: of a mesh with several
    revisions the one that follows the tag, which validates what names no revision; before there is one, those
    of the revision that serves."""
    found = [w for w in find_own_webhooks(observed) if w.ref.kind == VALIDATING]
    if observed.in_place:
        return found
    return find_tag_validators(observed) or [w for w in found if w.revision == observed.active]


def find_tag_validators(observed: ObservedMesh) -> list[Webhook]:
    """The validating webhooks that follow the mesh's tag."""
    own = (w for w in find_own_webhooks(observed) if w.ref.kind == VALIDATING)
    return [w for w in own if w.tag == observed.tag]


def find_own_webhooks(observed: ObservedMesh) -> Iterator[Webhook]:
    """The mesh's own webhook configurations."""
    own = (observed.parent.namespace, observed.parent.name)
    for webhook in observed.webhooks:
        if webhook.parent is not None and (webhook.parent.namespace, webhook.parent.name) == own:
            yield webhook


def _find_serving(observed: ObservedMesh) -> tuple[Manifest, ...]:
    """The MeshRevisions on which injection depends."""
    if observed.in_place:
        return observed.revisions
    return tuple(filter(None, (observed.revision,)))


def find_distrust(observed: ObservedMesh, revision: str) -> str:
    """Why the API server, or a client, cannot trust a revision's own webhooks yet; empty where it can."""
    webhooks = [w for w in find_own_webhooks(observed) if w.revision == revision and not w.tag]
    for kind in (MUTATING, VALIDATING):
        if not any(w.ref.kind == kind for w in webhooks):
            return f"the {kind} of {revision} does not exist yet"
    trusted = {observed.root, *list_trusted(observed.authority)}
    for webhook in webhooks:
        if any(not entry.ca_bundle for entry in webhook.entries):
            return f"istiod has not written its root into {webhook.ref} yet"
        if webhook.ref.kind == MUTATING and any(e.ca_bundle not in trusted for e in webhook.entries):
            return f"{webhook.ref} trusts another root than istio-ca-root-cert holds; istiod repairs it"
    return ""


def is_injected_by(probe: Probe | None, revision: str) -> bool:
    """Whether a dry-run pod came back with the sidecar of a revision."""
    return probe is not None and probe.verdict is ProbeVerdict.INJECTED and probe.revision == revision


def determine_trust(observed: ObservedMesh) -> Verdict:
    """Whether every injection webhook exists and trusts the mesh's root."""
    webhooks = find_injectors(observed)
    if not any(w.tag for w in webhooks):
        return Verdict("False", Reason.WEBHOOK_MISSING, "the tag's webhook does not exist yet")
    for webhook in webhooks:
        if any(not entry.ca_bundle for entry in webhook.entries):
            return Verdict(
                "False", Reason.CA_BUNDLE_MISSING, f"istiod has not written its root into {webhook.ref} yet"
            )
    if not observed.root:
        message = f"ConfigMap {observed.parent.namespace}/istio-ca-root-cert does not exist yet"
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, message)
    trusted = {observed.root, *list_trusted(observed.authority)}
    for webhook in webhooks:
        if any(entry.ca_bundle not in trusted for entry in webhook.entries):
            message = f"{webhook.ref} trusts another root than istio-ca-root-cert holds; istiod repairs it"
            return Verdict("False", Reason.CA_BUNDLE_MISMATCH, message)
    return Verdict("True", Reason.AS_EXPECTED)


def is_probe_due(observed: ObservedMesh) -> bool:
    """Whether a dry-run pod can tell anything: trust is established, an istiod serves, and the mesh is to
    stay."""
    if observed.deleting or (observed.namespace is not None and observed.namespace.terminating):
        return False
    available = any(
        (c := find_condition(r, ConditionType.AVAILABLE)) is not None and c["status"] == "True"
        for r in _find_serving(observed)
    )
    return available and determine_trust(observed).is_true


def compute_evidence(observed: ObservedMesh) -> str:
    """A name for everything the dry run's result depends on; a new one calls for a new dry run."""
    return _hash_evidence(observed, _find_serving(observed), find_injectors(observed))


def compute_evidence_of(observed: ObservedMesh, revision: Manifest, kind: str) -> str:
    """The same of the dry run for one revision, by its webhooks of a kind."""
    name = revision["metadata"]["name"]
    own = [w for w in find_own_webhooks(observed) if w.ref.kind == kind and w.revision == name]
    return _hash_evidence(observed, (revision,), own)


def _hash_evidence(
    observed: ObservedMesh, revisions: Sequence[Manifest], injectors: Iterable[Webhook]
) -> str:
    told = [
        (r["metadata"]["name"], (r.get("status") or {}).get("version"), (r.get("status") or {}).get("proxy"))
        for r in revisions
    ]
    webhooks = [
        (
            str(w.ref),
            w.revision,
            w.tag,
            w.generation,
            [(e.name, e.ca_bundle, e.namespace_selector, e.object_selector) for e in w.entries],
        )
        for w in injectors
    ]
    available = [c["status"] for r in revisions if (c := find_condition(r, ConditionType.AVAILABLE))]
    return stable_hash([told, webhooks, available, observed.root])


def determine_injection(observed: ObservedMesh) -> Verdict:
    """The verdict InjectionReady."""
    trust = determine_trust(observed)
    if not trust.is_true:
        return trust
    probe = observed.probe
    if probe is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the dry-run pod waits for an available istiod")
    expected = {w.revision for w in find_injectors(observed) if w.tag}
    if probe.verdict is ProbeVerdict.INJECTED and probe.revision not in expected:
        message = f"the dry-run pod was injected by {probe.revision}, not by {', '.join(sorted(expected))}"
        return Verdict("False", Reason.WRONG_REVISION, message)
    return _VERDICTS[probe.verdict](probe)


_VERDICTS: Mapping[ProbeVerdict, Callable[[Probe], Verdict]] = {
    ProbeVerdict.INJECTED: lambda probe: Verdict(
        "True", Reason.INJECTION_PROVED, f"a dry-run pod was injected by {probe.revision}"
    ),
    ProbeVerdict.NOT_INJECTED: lambda _: Verdict(
        "False", Reason.NOT_INJECTED, "the dry-run pod came back without a sidecar"
    ),
    ProbeVerdict.WEBHOOK_FAILED: lambda probe: Verdict("False", Reason.INJECTION_FAILED, probe.message),
    ProbeVerdict.MADE_INVALID: lambda probe: Verdict(
        "False",
        Reason.INJECTION_FAILED,
        f"what admission made of the dry-run pod is no valid pod: {probe.message}",
    ),
    ProbeVerdict.DENIED: lambda probe: Verdict("Unknown", Reason.PROBE_DENIED, probe.message),
    ProbeVerdict.NOT_PERMITTED: lambda probe: Verdict("Unknown", Reason.MISSING_PERMISSION, probe.message),
    ProbeVerdict.UNREACHABLE: lambda probe: Verdict("Unknown", Reason.NOT_YET_DETERMINED, probe.message),
}
