"""Conditions: the verdicts on a resource's state, and how they become status.

Owns the rules of conditions (after Cluster API v1beta2). Must never decide a verdict itself; status.py does.
Invariant: `lastTransitionTime` moves only with `status`; every type is present from the first pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from navarch.core.model.documented import Documented
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason

Truth = Literal["True", "False", "Unknown"]


class ConditionType(Documented):
    """A condition of one of our kinds; `doc` says what True means."""

    READY = "Ready", "The object is as its spec asks and serves: all that `kubectl wait` has to know."
    AVAILABLE = "Available", "Pods serve, even while something is being changed: istiod's, or the gateway's."
    PROGRESSING = "Progressing", "Something is being changed right now."
    UP_TO_DATE = "UpToDate", "Everything, proxies included, runs the desired version and configuration."
    SPEC_ACCEPTED = (
        "SpecAccepted",
        "The spec is valid; while it is not, what was accepted last stays in force.",
    )
    RECONCILED = "Reconciled", "Every object is as planned."
    INJECTION_READY = "InjectionReady", "Pods are injected: proved by webhooks' roots and a dry-run pod."
    GATEWAYS_READY = (
        "GatewaysReady",
        "Every gateway of the mesh is ready: those of spec.gateways, without which the mesh is not Ready, "
        "and others in its namespaces.",
    )
    MEMBERS_READY = (
        "MembersReady",
        "No MeshMember that names the mesh says that it is not Ready; the mesh is Ready without that. Of a "
        "roll: each of its namespaces is a member.",
    )
    ROUTES_ADMITTED = (
        "RoutesAdmitted",
        "Each Route of OpenShift that the gateway asks for is admitted by a router; True without Routes.",
    )
    CERTIFICATES_VALID = (
        "CertificatesValid",
        "Each certificate of the gateway's listeners is there, whole, for their hosts, and not about to end.",
    )
    CERTIFICATE_AUTHORITY_HEALTHY = (
        "CertificateAuthorityHealthy",
        "A managed certificate authority is whole, can be renewed, and is not about to end.",
    )
    DEPENDENCIES_READY = "DependenciesReady", "Istio's CRDs are there, established and new enough."
    PAUSED = "Paused", "spec.paused is true."
    DELETING = "Deleting", "The object is being removed."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition says now."""

    status: Truth
    reason: Reason
    message: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the condition holds."""
        return self.status == "True"


def is_true(conditions: Iterable[Mapping[str, Any]], kind: ConditionType) -> bool:
    """Whether a condition in a status holds."""
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)


def find_condition(manifest: Mapping[str, Any], kind: ConditionType) -> Mapping[str, Any] | None:
    """A condition of an object's status."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), None)


def merge_conditions(
    previous: Sequence[Mapping[str, Any]],
    verdicts: Mapping[ConditionType, Verdict],
    *,
    generation: int,
    now: str,
) -> list[dict[str, Any]]:
    """The conditions of a status: sorted by type, each keeping its transition time where its status did not
    move."""
    before = {c["type"]: c for c in previous}
    merged = []
    for kind, verdict in sorted(verdicts.items()):
        old = before.get(kind)
        moved = old is None or old["status"] != verdict.status
        merged.append(
            {
                "type": kind.value,
                "status": verdict.status,
                "observedGeneration": generation,
                "lastTransitionTime": now if moved or old is None else old["lastTransitionTime"],
                "reason": verdict.reason.value,
                "message": verdict.message[:32768],
            }
        )
    return merged


def summarise_ready(parts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts: the first False, else the first Unknown, else True."""
    verdicts = list(parts)
    for status in ("False", "Unknown"):
        for verdict in verdicts:
            if verdict.status == status:
                return verdict
    return Verdict("True", Reason.AS_EXPECTED)


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition whose status moved; `before` is empty for a new one."""

    type: str
    before: str
    after: str
    reason: str
    message: str


def _read_version(status: Mapping[str, Any]) -> Any:
    """The version that serves: a mesh tells it beside the one that is wanted, other kinds alone."""
    version = status.get("version")
    return version.get("active") if isinstance(version, Mapping) else version


def find_upgrade(previous: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """The change of the version that serves between two statuses, as a sentence; empty for none."""
    before, after = _read_version(previous), _read_version(current)
    return f"Istio {after} serves now, after {before}" if before and after and before != after else ""


def find_transitions(
    previous: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]
) -> list[Transition]:
    """Conditions whose status or reason changed between two statuses, and of certificates the message: each
    is another certificate, or another date. Those that are new do not count, so that a first pass makes no
    noise."""
    before = {c["type"]: c for c in previous}
    return [
        Transition(c["type"], old["status"], c["status"], c["reason"], c["message"])
        for c in current
        if (old := before.get(c["type"])) is not None and _tell_apart(old) != _tell_apart(c)
    ]


def group_alike(transitions: Iterable[Transition]) -> Iterator[tuple[Transition, ...]]:
    """Transitions that end the same way for the same reason, with the same message: Ready sums up what
    another condition says, and what is well is so for several at the same time."""
    groups: dict[tuple[str, str, str], list[Transition]] = {}
    for transition in transitions:
        groups.setdefault((transition.after, transition.reason, transition.message), []).append(transition)
    yield from map(tuple, groups.values())


def describe_alike(group: Sequence[Transition]) -> str:
    """What an Event says of such transitions. Ready comes first: it is what most wait for."""
    names = sorted((t.type for t in group), key=lambda name: (name != ConditionType.READY, name))
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    told = f"{listed} {'is' if len(names) == 1 else 'are'} now {group[0].after}"
    return f"{told}: {group[0].message}" if group[0].message else told


def _tell_apart(condition: Mapping[str, Any]) -> tuple[Any, ...]:
    told = condition["message"] if condition["type"] == ConditionType.CERTIFICATES_VALID else ""
    return condition["status"], condition["reason"], told


def tell_all(status: Truth, told: Sequence[tuple[Reason, str]]) -> Verdict:
    """Several things in one condition. Its reason is the first one's; the others' stand before their texts,
    so that each is found by its own word."""
    reason = told[0][0]
    return Verdict(status, reason, join(text if why is reason else f"{why}: {text}" for why, text in told))


def invert(verdict: Verdict) -> Verdict:
    """Progressing or Deleting as a part of Ready: while it holds, the whole is not ready."""
    if verdict.status == "Unknown":
        return verdict
    return Verdict("False" if verdict.is_true else "True", verdict.reason, verdict.message)
