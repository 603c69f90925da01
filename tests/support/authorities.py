"""Certificate authorities for tests: good ones, and one for each way in which they go wrong.

Owns how they are made. Keys are ECDSA P-256 but where a case is about keys.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from navarch.core.model.reasons import Reason

Data = dict[str, bytes]
NOW = datetime.now(UTC).replace(microsecond=0)
"""istiod's own functions ask the clock, so that the table stands in the present."""
ISTIOD = "istiod.istio-system.svc"
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, eq=False)
class Made:
    """A certificate with its key, and what signed it."""

    certificate: x509.Certificate
    key: Any = field(repr=False)
    issuer: Made | None = None

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def private(self) -> bytes:
        return self.write_key(PrivateFormat.PKCS8)

    def write_key(self, form: PrivateFormat, passphrase: bytes = b"") -> bytes:
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return bytes(self.key.private_bytes(Encoding.PEM, form, encryption))

    @property
    def chain(self) -> tuple[Made, ...]:
        """Itself and all above it."""
        return (self, *(self.issuer.chain if self.issuer else ()))


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def make(
    common: str,
    by: Made | None = None,
    *,
    key: Any = None,
    ca: bool | None = True,
    length: int | None = None,
    usage: x509.KeyUsage | None = SIGNS,
    since: float = 10,
    days: float = 1000,
    digest: hashes.HashAlgorithm | None = None,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    issuer: str = "",
) -> Made:
    """A CA that `by` signs, or it itself. `ca` is None for one without basic constraints; `issuer` is a name
    that it gives instead of the right one; `more` are extensions, and whether each is critical."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signing = by.key if by else key
    wrong = name(issuer) if issuer else None
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(wrong or (by.certificate.subject if by else name(common)))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=since))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, length if ca else None), critical=True)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    plain = isinstance(signing, ed25519.Ed25519PrivateKey)
    return Made(builder.sign(signing, None if plain else digest or hashes.SHA256()), key, by)


def join(*made: Made) -> bytes:
    return b"".join(each.pem for each in made)


def weaken(made: Made, by: Made) -> Made:
    """The same certificate signed with SHA-1, which the library refuses to do; `by` has an RSA key."""
    tbs = made.certificate.tbs_certificate_bytes.replace(_RSA + b"\x0b", _RSA + b"\x05")
    signature = by.key.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    assert len(signature) == len(made.certificate.signature)
    der = made.certificate.public_bytes(Encoding.DER)
    der = der.replace(made.certificate.tbs_certificate_bytes, tbs).replace(_RSA + b"\x0b", _RSA + b"\x05")
    der = der.replace(made.certificate.signature, signature)
    return Made(x509.load_der_x509_certificate(der), made.key, made.issuer)


_RSA = bytes.fromhex("2a864886f70d0101")
"""The identifier of RSA; one byte more says with which hash."""


def write(
    signer: Made, *, roots: tuple[Made, ...] | None = None, chain: tuple[Made, ...] | None = None
) -> Data:
    """The Secret's data for a signer in istiod's form, decoded."""
    return {
        "ca-cert.pem": signer.pem,
        "ca-key.pem": signer.private,
        "cert-chain.pem": join(*(signer.chain if chain is None else chain)),
        "root-cert.pem": join(*((signer.chain[-1],) if roots is None else roots)),
    }


def write_tls(signer: Made) -> Data:
    """The same in the form kubernetes.io/tls, as cert-manager writes it."""
    return {"tls.crt": join(*signer.chain[:-1]), "tls.key": signer.private, "ca.crt": signer.chain[-1].pem}


def encode(data: Mapping[str, bytes]) -> dict[str, str]:
    """As the API server gives it."""
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def revoke(made: Made, *serials: int, days: float = 30, form: Encoding = Encoding.PEM) -> bytes:
    """A revocation list by a CA."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(made.certificate.subject)
        .last_update(NOW - timedelta(days=40))
        .next_update(NOW + timedelta(days=days))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(made.key, hashes.SHA256()).public_bytes(form)


def constrain(
    *permitted: x509.GeneralName, but: tuple[x509.GeneralName, ...] = (), critical: bool = True
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    return ((x509.NameConstraints(permitted or None, but or None), critical),)


@cache
def a_root() -> Made:
    return make("root 1")


@cache
def a_signer() -> Made:
    """A signer that a CA signed which the root signed."""
    return make("signer", make("middle", a_root()))


@cache
def an_rsa_key(size: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def with_usage(**changed: bool) -> x509.KeyUsage:
    kept = {
        each: getattr(SIGNS, each)
        for each in (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
        )
    }
    return x509.KeyUsage(**{**kept, **changed}, encipher_only=False, decipher_only=False)


def change(**parts: bytes | None) -> Data:
    """The good Secret with some keys changed (`ca_cert` is ca-cert.pem), or removed where it is None."""
    data: dict[str, bytes | None] = {**write(a_signer())}
    data |= {f"{key.replace('_', '-')}.pem": value for key, value in parts.items()}
    return {key: value for key, value in data.items() if value is not None}


@dataclass(frozen=True)
class Broken:
    """An authority that is not in order; tests/support/broken_authorities.py has the table. `reasons` are
    found, in any order; `field` is that of the first, and `says` a part of it. `istiod` is a part of istiod's
    own error, empty where it starts; `client` is a part of the error of a client, written in Go, that is
    shown a certificate which istiod signed. tests/upstream/test_authorities.py asks both."""

    data: Callable[[], Data]
    reasons: tuple[Reason, ...]
    field: str
    says: str
    istiod: str = ""
    client: str = ""
