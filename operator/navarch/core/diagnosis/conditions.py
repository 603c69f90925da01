"""From the conditions of a mesh to diagnoses: the same reasons, the same words.

Owns the question which conditions are worth saying. Must never find a text of its own. Invariant: the id of a
diagnosis is the reason of each condition that it names or stands in that condition's message, and its message
is a part of that condition's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from navarch.core.diagnosis.advice import BY_NAVARCH, OF_REASONS, WELL
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.model.conditions import ConditionType, Verdict
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest

NORMAL: Mapping[ConditionType, str] = {
    ConditionType.PROGRESSING: "False",
    ConditionType.DELETING: "False",
    ConditionType.PAUSED: "False",
}
"""The status that asks for nothing, where it is not True."""
_OF_SPEC = ConditionType.SPEC_ACCEPTED.value


_NOT_ASKED_FOR = {
    (ConditionType.CERTIFICATES_VALID, Reason.CERTIFICATES_NOT_CHECKED),
    (ConditionType.CERTIFICATE_AUTHORITY_HEALTHY, Reason.AUTHORITY_NOT_MANAGED),
}
"""What a setting or a type leaves out: of the former the command looks itself."""


def _is_worth_saying(kind: ConditionType, verdict: Verdict) -> bool:
    """Whether a condition says more than that all is well: SpecAccepted is True beside warnings, too."""
    if (kind, verdict.reason) in _NOT_ASKED_FOR:
        return False
    if verdict.status != NORMAL.get(kind, "True"):
        return True
    warned = kind is ConditionType.SPEC_ACCEPTED and verdict.reason not in WELL
    return warned or verdict.reason is Reason.CRDS_FOREIGN


def read_verdicts(manifest: Mapping[str, Any]) -> dict[ConditionType, Verdict]:
    """The verdicts that an object's status holds, of the types that this release knows."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    types = {t.value for t in ConditionType}
    return {
        ConditionType(c["type"]): Verdict(c["status"], Reason.read(c["reason"]), c.get("message", ""))
        for c in conditions
        if c["type"] in types
    }


def judge_verdicts(subject: Subject, verdicts: Mapping[ConditionType, Verdict]) -> Iterator[Diagnosis]:
    """What the conditions of one object say, each thing once; Ready only sums up the others."""
    said: dict[tuple[str, str], Diagnosis] = {}
    for kind, verdict in sorted(verdicts.items()):
        if kind is ConditionType.READY:
            continue
        if not _is_worth_saying(kind, verdict):
            continue
        advice = OF_REASONS[verdict.reason]
        key = (verdict.reason.value, verdict.message)
        before = said.get(key)
        if before is not None:
            said[key] = replace(before, conditions=(*before.conditions, kind.value))
        else:
            said[key] = Diagnosis(
                verdict.reason.value,
                advice.severity,
                subject,
                verdict.message or verdict.reason.doc,
                advice.remedy,
                (kind.value,),
            )
    yield from said.values()


def judge_findings(subject: Subject, findings: Iterable[Finding]) -> Iterator[Diagnosis]:
    """What the checks of a spec found, one by one: SpecAccepted says all of them in one message."""
    for finding in findings:
        yield Diagnosis(
            finding.reason.value,
            finding.severity,
            subject,
            finding.message,
            finding.remedy,
            (ConditionType.SPEC_ACCEPTED.value,),
            finding.field,
            finding.value,
        )


def without_echoes(mesh: Sequence[Diagnosis], revision: Iterable[Diagnosis]) -> Iterator[Diagnosis]:
    """What a revision's conditions say beyond what the mesh's repeat of them."""
    told = {(d.id, d.message) for d in mesh}
    yield from (d for d in revision if (d.id, d.message) not in told)


def without_consequences(found: Iterable[Diagnosis]) -> Iterator[Diagnosis]:
    """What is said of one object, without what only follows from a refused spec: that nothing is installed,
    and that other conditions wait for the correction. To wait, their remedy, would not help."""
    told = list(found)
    is_refused = any(d.severity is Severity.ERROR and _OF_SPEC in d.conditions for d in told)
    is_missing = any(d.id == Reason.NOT_INSTALLED for d in told)
    for diagnosis in told:
        repeats = diagnosis.id == Reason.INVALID_SPEC and bool(diagnosis.conditions)
        follows = repeats or (is_missing and diagnosis.id in BY_NAVARCH)
        if not is_refused or _OF_SPEC in diagnosis.conditions or not follows:
            yield diagnosis


RESUME = "Remove spec.paused: while it is true, Navarch makes and repairs nothing."
_HELP_WHILE_PAUSED = frozenset(
    {Reason.PAUSED, Reason.PROXIES_MISPLACED, Reason.PROXIES_OUTDATED, Reason.ROLLING_OUT}
)
"""Reasons whose remedy takes nothing of Navarch."""


def heed_pause(mesh: Manifest, found: Iterable[Diagnosis]) -> Iterator[Diagnosis]:
    """What is said of a mesh, with remedies that help: of a paused one, nothing that waits for Navarch."""
    paused = bool((mesh.get("spec") or {}).get("paused"))
    for diagnosis in found:
        if not paused or diagnosis.id in _HELP_WHILE_PAUSED or diagnosis.conditions == (_OF_SPEC,):
            yield diagnosis
        elif diagnosis.id in BY_NAVARCH:
            yield replace(diagnosis, remedy=RESUME)
        else:
            yield replace(diagnosis, remedy=f"{RESUME} Then: {diagnosis.remedy}")
