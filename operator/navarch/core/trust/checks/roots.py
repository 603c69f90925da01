"""Checks of what the mesh would trust, and of the revocation lists beside it.

Owns the rules about root certificates as a set, and about ca-crl.pem. Must never depend on the order in which
roots are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from cryptography import x509

from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.pem import BROKEN
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import NAMES, Certificate, FlawKind, Form, Part
from navarch.core.trust.checks.observed import Check, ObservedAuthority, find_paths


def check_one_root(observed: ObservedAuthority) -> Iterator[Finding]:
    """There is one root: each one more can sign any identity of the mesh."""
    roots = observed.authority.roots
    if len(roots) > 1:
        yield observed.tell(
            Reason.AUTHORITY_SEVERAL_ROOTS,
            next(iter(roots)),
            f"is one of {len(roots)} roots, each of which can sign any identity of the mesh: {join(roots)}",
            "leave out those that the mesh need not trust, unless a rotation is under way",
            Severity.WARNING,
        )


def check_roots_are_roots(observed: ObservedAuthority) -> Iterator[Finding]:
    """What is trusted is signed by itself."""
    for root in observed.authority.roots:
        if not root.is_self_issued:
            yield observed.tell(
                Reason.AUTHORITY_NOT_A_ROOT,
                root,
                f"is trusted as a root, and was signed by {root.issuer}: istiod and Envoy take it, and "
                "clients that look for a certificate that signed itself refuse what it signs",
                "put the root in its place, and this one into the chain",
                Severity.WARNING,
            )


def check_roots_are_apart(observed: ObservedAuthority) -> Iterator[Finding]:
    """No two roots have the same subject, those included that the mesh trusts today: a handshake tells which
    roots a proxy trusts by their subjects alone."""
    roots = list(observed.authority.roots)
    present = [root for root in observed.present or () if root not in roots]
    for number, root in enumerate(roots):
        for other in (*present, *roots[:number]):
            if other.parsed.subject != root.parsed.subject:
                continue
            same = other.public_key == root.public_key
            whose = "a root that the mesh trusts today" if other in present else "another root here"
            yield observed.tell(
                Reason.AUTHORITY_ROOT_LOOKALIKE,
                root,
                f"has the subject of {whose} (serial {other.serial}), "
                + ("and its key: it cannot be seen which of them a proxy trusts" if same else _AMBIGUOUS),
                "give each root a subject of its own, for example with a year or a generation in its CN",
                Severity.WARNING if same else Severity.ERROR,
            )


_AMBIGUOUS = (
    "and another key: clients look for an issuer by its name and may take the wrong one, and it cannot be "
    "seen which of them a proxy trusts"
)


def check_other_roots_are_valid(observed: ObservedAuthority) -> Iterator[Finding]:
    """No root has expired, those included from which nothing here was signed."""
    on_the_way = {each for path in find_paths(observed.authority) for each in path}
    for root in observed.authority.roots:
        if root not in on_the_way and not root.begins <= observed.now < root.ends:
            yield observed.tell(
                Reason.AUTHORITY_EXPIRED,
                root,
                f"is not valid now, but from {root.begins:%Y-%m-%d} until {root.ends:%Y-%m-%d}, and signed "
                "nothing here: istiod tells the end of the first root as that of all",
                "leave it out",
                Severity.WARNING,
            )


def check_revocation_is_read(observed: ObservedAuthority) -> Iterator[Finding]:
    """A revocation list stands where istiod looks for one."""
    crl = NAMES[Form.ISTIO].crl
    if observed.authority.form is Form.TLS and crl in observed.authority.other:
        yield observed.tell(
            Reason.AUTHORITY_CRL_IGNORED,
            crl,
            "is not read where the Secret has tls.crt: nothing is revoked",
            f"use istiod's own names ({join(NAMES[Form.ISTIO].required)}) to have it read",
            Severity.WARNING,
        )


def check_revocation_is_whole(observed: ObservedAuthority) -> Iterator[Finding]:
    """Every certificate of the chain has a list of its own that it signed. istiod refuses all of an update
    otherwise, of the key and of the roots as well."""
    part = _find_lists(observed)
    if part is None:
        return
    if broken := [flaw for flaw in part.flaws if flaw.kind is not FlawKind.STRAY]:
        yield observed.tell(
            Reason.AUTHORITY_CRL_BROKEN,
            part,
            f"{broken[0].kind}: with it istiod does not start, and takes no new certificates while it runs",
            "write it as PEM (openssl crl -inform DER -in FILE), or leave the key out",
        )
        return
    chain = dict.fromkeys(observed.authority.chain)
    if lacking := [each for each in chain if not any(_is_by(crl, each) for crl in part.lists)]:
        yield observed.tell(
            Reason.AUTHORITY_CRL_BROKEN,
            part,
            f"has no list by {join(lacking)}: with it istiod does not start, and takes no new certificates "
            "while it runs",
            "add a list by each certificate of the chain, the root included, or leave the key out",
        )


def check_revocation_is_current(observed: ObservedAuthority) -> Iterator[Finding]:
    """No list is past its time: proxies refuse everybody then. istiod does not look at that."""
    part = _find_lists(observed)
    for crl in part.lists if part else ():
        end = crl.next_update_utc
        if end is not None and end <= observed.now:
            yield observed.tell(
                Reason.AUTHORITY_CRL_EXPIRED,
                part or "",
                f"was to be renewed until {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC: istiod takes it, and "
                "proxies refuse all certificates for as long as it is",
                "issue the list again",
                value=crl.issuer.rfc4514_string(),
            )


def check_nothing_here_is_revoked(observed: ObservedAuthority) -> Iterator[Finding]:
    """No certificate of the authority is on the list of who signed it."""
    part = _find_lists(observed)
    for crl in part.lists if part else ():
        for each in observed.authority.certificates:
            named = each.parsed.issuer == crl.issuer
            if named and crl.get_revoked_certificate_by_serial_number(each.parsed.serial_number):
                yield observed.tell(
                    Reason.AUTHORITY_CRL_BROKEN,
                    each,
                    f"is revoked by the list of {crl.issuer.rfc4514_string()}: proxies refuse what it signs",
                    "issue a new certificate for another key",
                )


def _find_lists(observed: ObservedAuthority) -> Part | None:
    """The part with lists, unless it is empty, which to istiod is the same as none."""
    part = observed.authority.find(observed.authority.names.crl) if observed.authority.names.crl else None
    if part is None or any(flaw.kind is FlawKind.EMPTY for flaw in part.flaws):
        return None
    return part


def _is_by(crl: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    try:
        key = certificate.parsed.public_key()
        return crl.issuer == certificate.parsed.subject and crl.is_signature_valid(key)  # type: ignore[arg-type]
    except BROKEN:
        return False


CHECKS: tuple[Check, ...] = (
    check_one_root,
    check_roots_are_roots,
    check_roots_are_apart,
    check_other_roots_are_valid,
    check_revocation_is_read,
    check_revocation_is_whole,
    check_revocation_is_current,
    check_nothing_here_is_revoked,
)
