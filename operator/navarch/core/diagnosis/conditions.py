"""From the conditions of a mesh to diagnoses: the same reasons, the same words.

Owns the question which conditions are worth saying. Must never find a text of its own. Invariant: the id of a
diagnosis is the reason of each condition that it names or stands in that condition's message, and its message
is a part of that condition's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from navarch.core.diagnosis.advice import OF_REASONS
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.model.conditions import ConditionType, Verdict
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason

NORMAL: Mapping[ConditionType, str] = {
    ConditionType.PROGRESSING: "False",
    ConditionType.DELETING: "False",
    ConditionType.PAUSED: "False",
}
"""The status that asks for nothing, where it is not True."""
TELLING = frozenset(
    {
        Reason.CATALOG_INVALID,
        Reason.CRDS_FOREIGN,
        Reason.FIELD_WITHOUT_EFFECT,
        Reason.PATCH_UNTESTED,
        Reason.UNKNOWN_FIELD,
        Reason.UNTESTED_KUBERNETES,
        Reason.VALUE_UNREAD,
        Reason.VERSION_NOTICE,
        Reason.VERSION_PREVIEW,
    }
)
"""Reasons that are worth saying although all is well."""


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
        if verdict.status == NORMAL.get(kind, "True") and verdict.reason not in TELLING:
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
