"""The report of `navarch check`: diagnoses, the installations that were found, and the sum of them.

Owns the schema of `-o json`. Must never decide what is wrong. Invariant: equal looks give equal reports,
in the same order: the worst first, then by subject and id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.core.diagnosis.installations import Installation
from navarch.core.model.findings import Severity
from navarch.core.model.refs import Manifest

REPORT_VERSION = 1
"""Version of the JSON schema: fields may be added to it; one that changes its meaning makes a new version."""

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a diagnosis is about; `namespace` is empty for what belongs to the cluster, `name` for the cluster
    itself."""

    kind: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}".rstrip()

    def to_json(self) -> dict[str, str]:
        """As a part of the report."""
        return {"kind": self.kind, "namespace": self.namespace, "name": self.name}


CLUSTER = Subject("Cluster")


def subject_of(manifest: Manifest) -> Subject:
    """An object as the subject of a diagnosis."""
    metadata = manifest["metadata"]
    return Subject(manifest["kind"], metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing worth saying. `id` is stable and searchable; `conditions` are those of the subject that say
    the same, `field` and `value` what of the user's own words it is about."""

    id: str
    severity: Severity
    subject: Subject
    message: str
    remedy: str
    conditions: tuple[str, ...] = ()
    field: str = ""
    value: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a part of the report."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "subject": self.subject.to_json(),
            "conditions": list(self.conditions),
            "field": self.field,
            "value": self.value,
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one look found. `kubernetes` is (major, minor) of the API server."""

    navarch: str
    kubernetes: tuple[int, int]
    meshes: tuple[Subject, ...]
    diagnoses: tuple[Diagnosis, ...]
    installations: tuple[Installation, ...] = field(default=())

    @property
    def worst(self) -> Severity:
        """The highest severity; INFO where nothing was found."""
        return min((d.severity for d in self.diagnoses), key=_RANK.__getitem__, default=Severity.INFO)

    def count(self, severity: Severity) -> int:
        """How many diagnoses are of this severity."""
        return sum(d.severity is severity for d in self.diagnoses)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; its schema is described in docs/reference/checks.md."""
        return {
            "schema": REPORT_VERSION,
            "navarch": self.navarch,
            "kubernetes": ".".join(map(str, self.kubernetes)),
            "worst": self.worst.value,
            "counts": {severity.value: self.count(severity) for severity in Severity},
            "meshes": [subject.to_json() for subject in self.meshes],
            "installations": [installation.to_json() for installation in self.installations],
            "findings": [diagnosis.to_json() for diagnosis in self.diagnoses],
        }


def order_diagnoses(found: Iterable[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Each once, the worst first."""
    unique: Sequence[Diagnosis] = list(dict.fromkeys(found))
    return tuple(sorted(unique, key=lambda d: (_RANK[d.severity], d.subject, d.id, d.message)))
