"""Diagnoses of the certificates with which gateways end TLS, as far as the user may read their Secrets.

Owns the way from a Gateway's listener to what is said of it. Must never hold a rule, which are in
core/world/certificates.py. Invariant: of a Secret that could not be read nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from navarch.core.diagnosis.observed import quote
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.world.certificates import Served, judge_certificate, read_certificate


@dataclass(frozen=True, slots=True)
class Credential:
    """A Secret that a listener of a Gateway names: `data` as the API server gives it, None where the Secret
    does not exist. `hosts` are those that the listener serves."""

    entrance: Subject
    listener: str
    hosts: tuple[str, ...]
    secret: Subject
    data: Mapping[str, Any] | None


def run_rules_of_certificates(credentials: tuple[Credential, ...], now: str) -> Iterator[Diagnosis]:
    """Everything that is worth saying about these certificates at a time, RFC 3339."""
    at = datetime.fromisoformat(now)
    for each in credentials:
        certificate = read_certificate(each.data)
        served = Served(each.listener, each.hosts, each.secret.namespace, each.secret.name, certificate)
        for reason, message in judge_certificate(served, at):
            yield quote(reason, each.entrance, message)
