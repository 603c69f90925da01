"""What is said of the certificates with which a gateway's listeners end TLS.

Owns the verdict and its part of status. Must never decide anything of the gateway's own: a certificate is its
owner's, and one that is missing leaves other listeners as they are. Invariant: what is said changes with a
Secret, a listener, or a day of notice, and with nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from navarch.api.install import CERTIFICATES_ROLE, NAME
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.model.conditions import Verdict, tell_all
from navarch.core.model.messages import join, shorten
from navarch.core.model.reasons import Reason
from navarch.core.world.certificates import SeenCertificates, judge_certificate

MOST_TOLD = 32
"""Certificates in status; those that end first."""
_WORST_FIRST = (
    Reason.CERTIFICATE_EXPIRED,
    Reason.CERTIFICATE_MISSING,
    Reason.CERTIFICATE_BROKEN,
    Reason.CERTIFICATE_OTHER_NAMES,
    Reason.CERTIFICATE_EXPIRES,
)


def determine_certificates(observed: ObservedGateway) -> Verdict:
    """Whether every certificate is there, whole, for its hosts, and ends in more than 30 days."""
    seen = observed.certificates
    if seen is None:
        message = "the operator does not look at certificates; NAVARCH_CERTIFICATE_SECONDS has it do so"
        return Verdict("Unknown", Reason.CERTIFICATES_NOT_CHECKED, message)
    if observed.workload is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the gateway has no pods yet")
    if seen.gap:
        return Verdict("Unknown", Reason.CERTIFICATES_UNREADABLE, f"Gateways cannot be read: {seen.gap}")
    now = datetime.fromisoformat(observed.now)
    found = {told: None for each in seen.served for told in judge_certificate(each, now)}
    unread = _tell_unread(observed, seen)
    if found:
        told = sorted(found, key=lambda each: (_WORST_FIRST.index(each[0]), each[1]))
        rest = [(Reason.CERTIFICATES_UNREADABLE, unread)] if unread else []
        return tell_all("False", [*((reason, shorten(text, 600)) for reason, text in told), *rest])
    return (
        Verdict("Unknown", Reason.CERTIFICATES_UNREADABLE, unread)
        if unread
        else Verdict("True", Reason.AS_EXPECTED)
    )


def _tell_unread(observed: ObservedGateway, seen: SeenCertificates) -> str:
    """Which Secrets could not be looked at, and what to do about it; empty for none."""
    told, account = [], f"{observed.environment.operator_namespace}:{NAME}"
    for namespace in sorted({each.namespace for each in seen.served if each.certificate is None}):
        names = sorted({e.name for e in seen.served if e.certificate is None and e.namespace == namespace})
        told.append(
            f"the operator may not read Secrets in namespace {namespace} ({join(names)}): kubectl create "
            f"rolebinding {CERTIFICATES_ROLE} -n {namespace} --clusterrole={CERTIFICATES_ROLE} "
            f"--serviceaccount={account}"
        )
    told += [f"{seen.left_out} more Secrets are not looked at"] if seen.left_out else []
    if seen.unlisted:
        told.append(
            f"{seen.unlisted} Gateways of the mesh's namespaces are not looked at, since they, or all of one "
            "namespace together, are too large"
        )
    return "; ".join(told)


def summarise_certificates(observed: ObservedGateway) -> list[dict[str, Any]]:
    """status.certificates: the Secrets, and when what they hold ends; those that end first, if too many."""
    served = observed.certificates.served if observed.certificates else ()
    ends = {
        (each.namespace, each.name): each.certificate.ends
        for each in served
        if each.certificate is not None and each.certificate.ends is not None
    }
    first = sorted(ends.items(), key=lambda item: (item[1], item[0]))[:MOST_TOLD]
    return [
        {"namespace": namespace, "name": name, "notAfter": f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        for (namespace, name), end in sorted(first)
    ]
