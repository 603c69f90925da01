"""Certificates for tests, as the data of a Secret of type kubernetes.io/tls."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and what signed it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()


def issue(
    *names: str, days: float = 90, now: datetime | None = None, by: Issued | None = None, since: float = 60
) -> Issued:
    """A certificate for DNS names, valid since so many days and for so many more; by itself or `by` another
    one."""
    now = now or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "none")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by.certificate.subject if by else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=since))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    signed = builder.sign(by.key if by else key, hashes.SHA256())
    return Issued(signed, key, (by.certificate, *by.chain) if by else ())


def build_data(
    issued: Issued,
    *,
    key: Issued | None = None,
    chain: Sequence[x509.Certificate] | None = None,
    names: tuple[str, str] = ("tls.crt", "tls.key"),
) -> dict[str, str]:
    """The data of a Secret with a certificate, its chain (or another one), and its key (or another's)."""
    pem = b"".join(
        each.public_bytes(Encoding.PEM)
        for each in (issued.certificate, *(issued.chain if chain is None else chain))
    )
    private = (key or issued).key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {name: base64.b64encode(text).decode() for name, text in zip(names, (pem, private), strict=True)}
