"""Whether pods are injected: the verdict InjectionReady.

Owns the proof, which has three parts: the webhooks are there, they trust the mesh's root, and a dry-run pod
came back with a sidecar of the expected revision. Must never take a running istiod for proof. Invariant: True
needs all three; a denial by a foreign policy is Unknown, never False.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.conditions import ConditionType, Verdict, find_condition
from navarch.core.model.hashing import stable_hash
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Webhook
from navarch.core.world.probe import Probe, ProbeVerdict


def find_injectors(observed: ObservedMesh) -> list[Webhook]:
    """The mesh's own mutating webhooks."""
    return [
        w
        for w in observed.webhooks
        if w.ref.kind == "MutatingWebhookConfiguration"
        and w.parent is not None
        and (w.parent.namespace, w.parent.name) == (observed.parent.namespace, observed.parent.name)
    ]


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
    for webhook in webhooks:
        if any(entry.ca_bundle != observed.root for entry in webhook.entries):
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
        for r in observed.revisions
    )
    return available and determine_trust(observed).is_true


def compute_evidence(observed: ObservedMesh) -> str:
    """A name for everything the dry run's result depends on; a new one calls for a new dry run."""
    revisions = [
        (r["metadata"]["name"], (r.get("status") or {}).get("version"), (r.get("status") or {}).get("proxy"))
        for r in observed.revisions
    ]
    webhooks = [
        (
            str(w.ref),
            w.revision,
            w.tag,
            w.generation,
            [(e.name, e.ca_bundle, e.namespace_selector, e.object_selector) for e in w.entries],
        )
        for w in find_injectors(observed)
    ]
    available = [c["status"] for r in observed.revisions if (c := find_condition(r, ConditionType.AVAILABLE))]
    return stable_hash([revisions, webhooks, available, observed.root])


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
    ProbeVerdict.DENIED: lambda probe: Verdict("Unknown", Reason.PROBE_DENIED, probe.message),
    ProbeVerdict.NOT_PERMITTED: lambda probe: Verdict("Unknown", Reason.MISSING_PERMISSION, probe.message),
    ProbeVerdict.UNREACHABLE: lambda probe: Verdict("Unknown", Reason.NOT_YET_DETERMINED, probe.message),
}
