"""Checks of the Secret itself: which keys it has, and whether each can be read.

Owns the rules that need no certificate. Must never quote what stands in a key beyond the label of a PEM block
and the number of a line. Invariant: each rule is a generator over one input, and knows no other rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import NAMES, Flaw, FlawKind, Form, Part
from navarch.core.trust.checks.observed import Check, ObservedAuthority
from navarch.core.trust.reading import GENERATED, MOST_BLOCKS, MOST_BYTES

_OF_KEYS = {
    FlawKind.KEY_LOCKED: (
        "istiod has no passphrase for it, and does not start",
        "decrypt it first: openssl pkey -in KEY -out ca-key.pem",
    ),
    FlawKind.KEY_LABEL: (
        "istiod reads a key by its label, and does not start",
        "write it as PKCS #8: openssl pkey -in KEY -out ca-key.pem",
    ),
    FlawKind.KEY_UNREADABLE: (
        "istiod cannot read it, and does not start",
        "write the key as PEM, as RSA or ECDSA: openssl pkey -in KEY -out ca-key.pem",
    ),
}
_OF_CERTIFICATES = {
    FlawKind.NOT_BASE64: "encode it, or write it as text below stringData",
    FlawKind.DER: "write it as PEM: openssl x509 -inform DER -in FILE -out FILE.pem",
    FlawKind.NOT_PEM: "write it as PEM, from -----BEGIN to -----END, with a line for each of them",
    FlawKind.TORN: "give each BEGIN and END a line of its own; often a newline between two files is missing",
    FlawKind.HEADERS: "remove the lines between BEGIN and the first line of base64",
    FlawKind.UNREADABLE: "issue the certificate again; openssl x509 -in FILE -text says more",
}


def check_is_an_authority(observed: ObservedAuthority) -> Iterator[Finding]:
    """The Secret has keys of one of the two forms."""
    authority = observed.authority
    if authority.form is None:
        has = f"it has {join(authority.foreign)}" if authority.foreign else "it has no keys"
        yield observed.tell(
            Reason.AUTHORITY_INCOMPLETE,
            "data",
            f"istiod finds no certificate authority: {has}",
            f"name the keys {join(NAMES[Form.ISTIO].required)}, or {join(NAMES[Form.TLS].required)}",
        )


def check_has_one_form(observed: ObservedAuthority) -> Iterator[Finding]:
    """All keys are of one form."""
    authority = observed.authority
    if authority.other:
        first = authority.names.signer
        yield observed.tell(
            Reason.AUTHORITY_FORMS_MIXED,
            authority.other[0],
            f"the Secret has keys of both forms; as it has {first}, istiod ignores {join(authority.other)}",
            "keep the keys of one form only",
        )


def check_fits_into_a_secret(observed: ObservedAuthority) -> Iterator[Finding]:
    """The Secret is no larger than the API server takes."""
    authority = observed.authority
    if authority.too_large:
        yield observed.tell(
            Reason.AUTHORITY_TOO_LARGE,
            "data",
            f"the API server takes {MOST_BYTES:,} bytes in a Secret, and as many in the ConfigMap with the "
            "roots in each namespace; nothing of it was read",
            "leave out every certificate that proxies need not trust and that no proxy's chain needs",
            value=f"{authority.size:,} bytes",
        )
    for part, flaw in _list_flaws(observed):
        if flaw.kind is FlawKind.TOO_MANY:
            yield observed.tell(
                Reason.AUTHORITY_TOO_LARGE,
                part,
                f"has more than {MOST_BLOCKS} PEM blocks, and none of them was read: each certificate there "
                "is sent in every handshake, or can sign any identity of the mesh",
                "leave out every certificate that proxies need not trust and that no proxy's chain needs",
            )


def check_is_complete(observed: ObservedAuthority) -> Iterator[Finding]:
    """Every key that istiod needs is there, and is not empty."""
    authority = observed.authority
    if authority.form in {None, Form.PEM} or authority.too_large:
        return
    for name in authority.names.required:
        part = authority.find(name)
        if part is None:
            yield observed.tell(
                Reason.AUTHORITY_INCOMPLETE,
                name,
                "is missing; with a part of the keys istiod does not start",
                f"add it: istiod needs {join(authority.names.required)}",
            )
        elif _has(part, FlawKind.EMPTY) and not _may_be_empty(observed, part):
            yield observed.tell(
                Reason.AUTHORITY_INCOMPLETE, part, "is empty", "write what belongs there, as PEM"
            )


def _may_be_empty(observed: ObservedAuthority, part: Part) -> bool:
    """A chain need not hold a signer that every proxy trusts by itself."""
    authority = observed.authority
    is_chain = authority.form is Form.ISTIO and part.name == authority.names.chain
    return is_chain and authority.signer in authority.roots.roots


def check_is_readable(observed: ObservedAuthority) -> Iterator[Finding]:
    """Each key for certificates holds PEM, and certificates that can be read in every block."""
    for part, flaw in _list_flaws(observed):
        if part.name != observed.authority.names.crl and flaw.kind in _OF_CERTIFICATES:
            yield observed.tell(
                Reason.AUTHORITY_UNREADABLE,
                part,
                f"{flaw.kind}{_tell_line(flaw)}",
                _OF_CERTIFICATES[flaw.kind],
            )


def check_has_no_other_blocks(observed: ObservedAuthority) -> Iterator[Finding]:
    """Each key holds blocks of its own kind and no others."""
    names = observed.authority.names
    for part, flaw in _list_flaws(observed):
        if flaw.kind is not FlawKind.UNEXPECTED:
            continue
        wanted = {names.key: "a private key", names.crl: "X509 CRL"}.get(part.name, "CERTIFICATE")
        remedy = f"keep only {wanted} in it"
        if part.name == names.key and flaw.label == "EC PARAMETERS":
            remedy = "remove the block: the curve stands in the key itself (openssl ecparam -noout -genkey)"
        elif part.name == names.key and flaw.label == "CERTIFICATE":
            remedy = f"put the certificate into {names.signer}, and the private key here"
        yield observed.tell(
            Reason.AUTHORITY_UNREADABLE,
            part,
            f"has a block {flaw.label}{_tell_line(flaw)}, where {wanted} belongs; istiod reads the first "
            "block, or passes over this one",
            remedy,
            Severity.WARNING if part.key else Severity.ERROR,
        )


def check_text_beside_blocks(observed: ObservedAuthority) -> Iterator[Finding]:
    """There is no text beside the PEM blocks."""
    for part, flaw in _list_flaws(observed):
        if flaw.kind is FlawKind.STRAY:
            yield observed.tell(
                Reason.AUTHORITY_STRAY_TEXT,
                part,
                f"has text beside its PEM blocks{_tell_line(flaw)}: istiod copies what stands in roots and "
                "chains to every namespace and proxy as it is",
                "remove everything that is not between BEGIN and END",
                Severity.WARNING,
            )


def check_key_stays_private(observed: ObservedAuthority) -> Iterator[Finding]:
    """A private key stands under its own name and nowhere else."""
    names = observed.authority.names
    for part, flaw in _list_flaws(observed):
        if flaw.kind is FlawKind.KEY_EXPOSED:
            published = part.name in {names.roots, names.chain}
            yield observed.tell(
                Reason.AUTHORITY_KEY_EXPOSED,
                part,
                f"has a private key{_tell_line(flaw)}"
                + (", and istiod hands this out to every proxy" if published else ""),
                f"keep the key in {names.key} only"
                + ("; where the mesh had it, its authority has to be replaced" if published else ""),
            )


def check_key_is_readable(observed: ObservedAuthority) -> Iterator[Finding]:
    """istiod can read the private key."""
    for part, flaw in _list_flaws(observed):
        if flaw.kind in _OF_KEYS:
            consequence, remedy = _OF_KEYS[flaw.kind]
            yield observed.tell(
                Reason.AUTHORITY_KEY_UNREADABLE,
                part,
                f"{flaw.kind} ({flaw.label}{_tell_line(flaw)}): {consequence}",
                remedy,
            )


def check_keys_that_are_not_read(observed: ObservedAuthority) -> Iterator[Finding]:
    """There are no keys besides those that istiod reads."""
    authority = observed.authority
    if authority.form is not None and authority.foreign:
        made = GENERATED in authority.foreign
        yield observed.tell(
            Reason.AUTHORITY_KEYS_UNREAD,
            authority.foreign[0],
            "an istiod made this Secret for itself" if made else f"istiod reads no {join(authority.foreign)}",
            "nothing, unless a name is misspelt",
            Severity.INFO,
        )


def _list_flaws(observed: ObservedAuthority) -> Iterator[tuple[Part, Flaw]]:
    return ((part, flaw) for part in observed.authority.parts for flaw in part.flaws)


def _has(part: Part, kind: FlawKind) -> bool:
    return any(flaw.kind is kind for flaw in part.flaws)


def _tell_line(flaw: Flaw) -> str:
    return f" in line {flaw.line}" if flaw.line else ""


CHECKS: tuple[Check, ...] = (
    check_is_an_authority,
    check_has_one_form,
    check_fits_into_a_secret,
    check_is_complete,
    check_is_readable,
    check_has_no_other_blocks,
    check_text_beside_blocks,
    check_key_stays_private,
    check_key_is_readable,
    check_keys_that_are_not_read,
)
