"""Roots and intermediates of managed certificate authorities.

Owns their form: names, extensions, serial numbers, and how they are written. Must never keep a key, nor show
one in an error. Invariants: no two roots have the same subject, since a TLS handshake tells roots apart by
nothing else; an intermediate never outlives its root, and signs no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from navarch.core.trust.steps import BACKDATED

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CROSSED_PATH = 1
"""Of these behind a root that another one signed for: the intermediate."""
ROOT_PATH = 2
"""Certificate authorities that may stand between a root and a proxy's certificate: an intermediate, and a
later root that this one signs for."""
_CURVES = {"ECDSA-P256": ec.SECP256R1, "ECDSA-P384": ec.SECP384R1}
_BITS = {"RSA-2048": 2048, "RSA-3072": 3072, "RSA-4096": 4096}
_NAME_LENGTH = 64
"""Characters of a part of a name, by RFC 5280."""


class KeyUnreadable(Exception):
    """A private key, or its certificate, cannot be read. The text says nothing of what was there."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def read_end(self) -> datetime:
        """When the certificate ends. Raises KeyUnreadable."""
        return _read(self)[0].not_valid_after_utc


def make_root(
    *, algorithm: str, organization: str, unit: str, generation: int, days: int, now: datetime
) -> Pair:
    """A self-signed root, valid for so many days from `now`. `organization` and `unit` are for its name."""
    key = _make_key(algorithm)
    serial = x509.random_serial_number()
    name = _name(organization, unit, f"root {generation} {_tell(serial)}")
    builder = _begin(name, name, key, serial, begins=now - BACKDATED, ends=now + timedelta(days))
    return _finish(_constrain(builder, key, path=ROOT_PATH), key, signer=key)


def issue_intermediate(
    root: Pair, *, algorithm: str, organization: str, unit: str, ends: datetime, now: datetime
) -> Pair:
    """An intermediate by this root. Raises KeyUnreadable."""
    issuer, signer = _read(root)
    key = _make_key(algorithm)
    serial = x509.random_serial_number()
    name = _name(organization, unit, f"intermediate {_tell(serial)}")
    begins = max(now - BACKDATED, issuer.not_valid_before_utc)
    builder = _begin(name, issuer.subject, key, serial, begins=begins, ends=ends)
    builder = builder.add_extension(_name_issuer(issuer), critical=False)
    return _finish(_constrain(builder, key, path=0), key, signer=signer)


def sign_across(subject: bytes, voucher: Pair, *, now: datetime) -> bytes:
    """The root certificate `subject`, signed by another root: by it those who trust that one alone accept
    what the first root stands for. Both as PEM. Raises KeyUnreadable."""
    issuer, signer = _read(voucher)
    try:
        root = x509.load_pem_x509_certificate(subject)
    except (ValueError, x509.InvalidVersion):
        raise KeyUnreadable("the root that is to be signed cannot be read") from None
    builder = (
        x509.CertificateBuilder()
        .subject_name(root.subject)
        .issuer_name(issuer.subject)
        .public_key(root.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATED, issuer.not_valid_before_utc, root.not_valid_before_utc))
        .not_valid_after(min(issuer.not_valid_after_utc, root.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=True, path_length=CROSSED_PATH), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(_name_subject(root), critical=False)
        .add_extension(_name_issuer(issuer), critical=False)
    )
    return _sign(builder, signer).public_bytes(Encoding.PEM)


def check_pair(pair: Pair) -> None:
    """Raises KeyUnreadable unless the key is the certificate's own, and the certificate may sign others."""
    certificate, key = _read(pair)
    if certificate.public_key() != key.public_key():
        raise KeyUnreadable("the key is not that of the certificate")
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise KeyUnreadable("the certificate is no authority's") from error
    if not basic.ca or basic.path_length == 0:
        raise KeyUnreadable("the certificate may sign no intermediate")


def _tell(serial: int) -> str:
    """What tells a certificate's name from those of others."""
    return f"{serial:040x}"[:16]


def _name_issuer(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The key identifier that the issuer carries itself: others than this one computed it by another rule,
    and Envoy refuses a chain in which both differ."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _name_subject(root: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """The key identifier that what the root signed names."""
    try:
        return root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(root.public_key())


def _make_key(algorithm: str) -> PrivateKey:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    return rsa.generate_private_key(65537, _BITS[algorithm])


def _name(organization: str, unit: str, name: str) -> x509.Name:
    parts = (
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        (NameOID.COMMON_NAME, name),
    )
    return x509.Name([x509.NameAttribute(oid, text[:_NAME_LENGTH]) for oid, text in parts if text])


def _begin(
    name: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    serial: int,
    *,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


_USAGE = x509.KeyUsage(
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


def _constrain(builder: x509.CertificateBuilder, key: PrivateKey, *, path: int) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _sign(builder: x509.CertificateBuilder, signer: PrivateKey) -> x509.Certificate:
    strong = isinstance(signer, ec.EllipticCurvePrivateKey) and signer.curve.key_size > 256
    return builder.sign(signer, hashes.SHA384() if strong else hashes.SHA256())


def _finish(builder: x509.CertificateBuilder, key: PrivateKey, *, signer: PrivateKey) -> Pair:
    certificate = _sign(builder, signer)
    # Istio's own tools write keys so, and istiod reads them.
    written = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), written)


def _read(pair: Pair) -> tuple[x509.Certificate, PrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        # No number is tested for being a prime, which takes seconds of the whole process: the parts of a key
        # that another hand wrote were held against each other when it was first read.
        key = load_pem_private_key(pair.key, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise KeyUnreadable("the certificate or its key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeyUnreadable("the key is neither ECDSA nor RSA")
    return certificate, key
