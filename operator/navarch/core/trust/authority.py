"""What a certificate authority is: certificates, sets of roots, and the Secret in which istiod finds it.

Owns these values. Must never hold a private key: of a key there is its public half. Invariant: what a value
shows of itself (its repr, and all of its fields) can be printed to everybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from navarch.core.model.messages import shorten
from navarch.core.model.pem import encode_public_key, is_signed_by

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_CURVES = {"secp224r1": "P-224", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_OTHERS = (
    (ed25519.Ed25519PublicKey, "Ed25519"),
    (ed448.Ed448PublicKey, "Ed448"),
    (dsa.DSAPublicKey, "DSA"),
)


UNKNOWN_DIGEST = "a hash that is not known"
BROKEN_DIGESTS = frozenset({"MD5", "SHA1", UNKNOWN_DIGEST})


class Form(StrEnum):
    """Under which keys a Secret holds a certificate authority."""

    ISTIO = "istio"
    TLS = "kubernetes.io/tls"
    PEM = "PEM"
    """One file with certificates, as it is looked at before a Secret is made of it."""


@dataclass(frozen=True, slots=True)
class Names:
    """Keys of a Secret by what they hold. `crl` is empty where istiod looks for none."""

    signer: str
    key: str
    chain: str
    roots: str
    crl: str = ""

    @property
    def required(self) -> tuple[str, ...]:
        """Those without which istiod does not start."""
        return tuple(dict.fromkeys((self.signer, self.key, self.chain, self.roots)))


NAMES = {
    Form.ISTIO: Names("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem", "ca-crl.pem"),
    Form.TLS: Names("tls.crt", "tls.key", "tls.crt", "ca.crt"),
}
"""The keys of either form; in the second one the chain is tls.crt with ca.crt behind it."""


def name_algorithm(key: PublicKeyTypes) -> str:
    """A key's algorithm and size in words: `ECDSA P-256`, `RSA 2048`, `Ed25519`."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    return next((name for kind, name in _OTHERS if isinstance(key, kind)), "unknown")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that can be read in all its parts. Two are equal if their bytes are."""

    parsed: x509.Certificate = field(repr=False)

    def __str__(self) -> str:
        return f"{self.subject} (serial {self.serial})"

    def __repr__(self) -> str:
        return f"Certificate({self.subject!r}, {self.fingerprint[:16]})"

    @property
    def der(self) -> bytes:
        """Its bytes."""
        return self.parsed.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        """The same as a PEM block that ends with a newline."""
        return self.parsed.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its bytes, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def subject(self) -> str:
        """Whose it is, as RFC 4514 writes it."""
        return shorten(self.parsed.subject.rfc4514_string()) or "(no subject)"

    @property
    def issuer(self) -> str:
        """Who signed it, as RFC 4514 writes it."""
        return shorten(self.parsed.issuer.rfc4514_string()) or "(no subject)"

    @property
    def serial(self) -> str:
        """Its serial number, in hexadecimal as openssl writes it."""
        return f"{self.parsed.serial_number:x}"

    @property
    def begins(self) -> datetime:
        """From when on it is valid."""
        return self.parsed.not_valid_before_utc

    @property
    def ends(self) -> datetime:
        """Until when it is valid."""
        return self.parsed.not_valid_after_utc

    @property
    def algorithm(self) -> str:
        """Algorithm and size of its key."""
        return name_algorithm(self.parsed.public_key())

    @property
    def public_key(self) -> bytes:
        """Its key; equal keys are equal bytes."""
        return encode_public_key(self.parsed.public_key())

    @property
    def digest(self) -> str:
        """The hash function of its signature (`SHA256`); empty where the algorithm has none of its own."""
        try:
            algorithm = self.parsed.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return UNKNOWN_DIGEST
        return algorithm.name.upper() if algorithm else ""

    @property
    def is_self_issued(self) -> bool:
        """Whether it names itself as its issuer, as roots do."""
        return self.parsed.subject == self.parsed.issuer

    def find(self, kind: type[_Extension]) -> _Extension | None:
        """One of its extensions; None where it has no such."""
        try:
            return self.parsed.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Whether it names `issuer` as its issuer and has a signature by its key; with a hash that is broken,
        which the library does not verify any more, the name counts alone."""
        if self.digest in BROKEN_DIGESTS:
            return self.parsed.issuer == issuer.parsed.subject
        return is_signed_by(self.parsed, issuer.parsed)


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """Root certificates as a set: neither their order nor how often one is written counts."""

    roots: frozenset[Certificate] = frozenset()

    def __iter__(self) -> Iterator[Certificate]:
        return iter(sorted(self.roots, key=lambda root: (root.subject, root.fingerprint)))

    def __len__(self) -> int:
        return len(self.roots)

    def __or__(self, other: TrustBundle) -> TrustBundle:
        return TrustBundle(self.roots | other.roots)

    @property
    def fingerprints(self) -> frozenset[str]:
        """Those of its roots."""
        return frozenset(root.fingerprint for root in self.roots)

    @property
    def fingerprint(self) -> str:
        """One fingerprint of the whole set, of 16 digits; empty for no roots."""
        ders = sorted(root.der for root in self.roots)
        return hashlib.sha256(b"".join(ders)).hexdigest()[:16] if ders else ""

    def covers(self, other: TrustBundle) -> bool:
        """Whether everything that the other one trusts is trusted by this one."""
        return other.roots <= self.roots


class FlawKind(StrEnum):
    """What can keep a key of a Secret from being read; the value says it in words."""

    NOT_BASE64 = "is not base64"
    EMPTY = "is empty"
    TOO_MANY = "has more PEM blocks than are read"
    DER = "is DER, and not PEM"
    NOT_PEM = "holds no PEM block"
    TORN = "has a BEGIN or END that belongs to no block"
    STRAY = "has text beside its PEM blocks"
    UNEXPECTED = "has a PEM block of another kind"
    HEADERS = "has a certificate with headers, which istiod passes over"
    UNREADABLE = "has a certificate that cannot be read"
    KEY_UNREADABLE = "has a private key that cannot be read"
    KEY_LABEL = "has a private key under the label of another form"
    KEY_LOCKED = "has a private key that is encrypted"
    KEY_EXPOSED = "has a private key where certificates belong"
    CRL_UNREADABLE = "has a revocation list that cannot be read"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with how a key of a Secret is written. `line` is where, 0 for all of it; `label` is that
    of the PEM block."""

    kind: FlawKind
    line: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """The public half of a private key, and its algorithm."""

    public: bytes
    algorithm: str


@dataclass(frozen=True, slots=True)
class Part:
    """One key of a Secret, as far as it can be read. `size` is in bytes; `key` is None where there is none,
    or none that can be read; `lists` are revocation lists."""

    name: str
    size: int = 0
    certificates: tuple[Certificate, ...] = ()
    key: Key | None = None
    lists: tuple[x509.CertificateRevocationList, ...] = field(default=(), repr=False, hash=False)
    flaws: tuple[Flaw, ...] = ()


def _join(parts: Iterable[Part]) -> tuple[Certificate, ...]:
    return tuple(certificate for part in parts for certificate in part.certificates)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority as istiod would read it. `form` is that by which it would, None where there is
    none of either; `parts` are the keys that it reads, `other` those of the other form, which it does not,
    and `foreign` those of neither. `size` is that of all, in bytes; where it is `too_large`, nothing was
    read."""

    form: Form | None
    parts: tuple[Part, ...] = ()
    other: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    size: int = 0
    too_large: bool = False

    @property
    def names(self) -> Names:
        """The keys of its form; of a file it is its name that they all have."""
        if self.form is Form.PEM:
            name = self.parts[0].name if self.parts else "PEM"
            return Names(name, name, name, name)
        return NAMES[self.form or Form.ISTIO]

    def find(self, name: str) -> Part | None:
        """The part of this name; None where the Secret has no such key."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def signer(self) -> Certificate | None:
        """The certificate with which istiod signs: the first one of its part."""
        part = self.find(self.names.signer)
        return part.certificates[0] if part and part.certificates else None

    @property
    def key(self) -> Key | None:
        """The key with which istiod signs."""
        part = self.find(self.names.key)
        return part.key if part else None

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """What istiod sends behind each certificate that it signs, in that order."""
        names = (self.names.signer, self.names.roots) if self.form is Form.TLS else (self.names.chain,)
        return _join(part for name in names if (part := self.find(name)))

    @property
    def anchors(self) -> tuple[Certificate, ...]:
        """What every proxy trusts, as it is written: in its order, and with duplicates."""
        part = self.find(self.names.roots)
        found = part.certificates if part else ()
        return tuple(e for e in found if e.is_self_issued) if self.form is Form.PEM else found

    @property
    def roots(self) -> TrustBundle:
        """The same as a set."""
        return TrustBundle(frozenset(self.anchors))

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(_join(self.parts)))
