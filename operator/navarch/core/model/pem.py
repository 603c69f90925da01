"""PEM, certificates and private keys, as the readers of this package share them.

Owns how blocks are found in a text (as Go's encoding/pem finds them, since istiod does), and whether two
certificates, or a certificate and a key, belong together. Must never keep a private key or quote one: of a
key there is its public half. Must never have a number tested for being a prime: whoever may write a Secret
would stop the operator with it. Invariant: equal bytes give equal results, and no bytes of any kind raise.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import PublicKeyAlgorithmOID

BROKEN = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for bytes that it cannot read."""
CERTIFICATE = "CERTIFICATE"
_KEY = "PRIVATE KEY"
_BLOCK = re.compile(
    rb"^-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----[ \t\r]*\n"
    rb"(?P<body>(?:(?!-----).)*)"
    rb"^-----END (?P=label)-----[ \t\r]*$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(rb"-----(BEGIN|END)")
_HEADER = re.compile(rb"^[A-Za-z0-9-]+: .*$", re.MULTILINE)
_ENCRYPTED = re.compile(rb"^Proc-Type: *4, *ENCRYPTED", re.MULTILINE)
ALGORITHMS = {
    PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5: "2a864886f70d010101",
    PublicKeyAlgorithmOID.EC_PUBLIC_KEY: "2a8648ce3d0201",
    PublicKeyAlgorithmOID.ED25519: "2b6570",
}
"""Keys that are read, by their content in DER. Of one for Diffie-Hellman OpenSSL tests whether its modulus is
a prime, which takes half a minute for 10,000 bits."""
_SIZE = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_HEAD = re.compile(rb"\x30%b\x02\x01[\x00\x01]\x30%b\x06(?P<length>.)" % (_SIZE, _SIZE), re.DOTALL)
"""A private key in PKCS #8, up to its algorithm."""
_LABELS = {b"\x30": b"PRIVATE KEY", b"\x02": b"RSA PRIVATE KEY", b"\x04": b"EC PRIVATE KEY"}
"""What a private key is called in PEM, by the tag of its second part: PKCS #8, PKCS #1, SEC 1."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its label, the line on which it begins, and what it holds; `der` is empty where that is not
    base64, `locked` where it is encrypted by headers of its own, and `plain` where it has no headers."""

    label: str
    line: int
    der: bytes = field(repr=False)
    locked: bool = False
    plain: bool = True

    @property
    def is_key(self) -> bool:
        """Whether a private key of any kind is in it."""
        return self.label.endswith(_KEY)


@dataclass(frozen=True, slots=True)
class Pem:
    """The blocks of a text. `torn` is the line of a BEGIN or END that belongs to no block, `stray` that of
    text beside blocks; 0 for none."""

    blocks: tuple[Block, ...] = ()
    torn: int = 0
    stray: int = 0


def find_blocks(text: bytes) -> Pem:
    """The blocks of a text, in their order."""
    blocks, at, line, torn, stray = [], 0, 1, 0, 0
    for found in [*_BLOCK.finditer(text), None]:
        between = text[at : found.start() if found else len(text)]
        if between.strip():
            first = line + between[: len(between) - len(between.lstrip())].count(b"\n")
            if mark := _MARK.search(between):
                torn = torn or line + between[: mark.start()].count(b"\n")
            else:
                stray = stray or first
        if found is None:
            break
        line += between.count(b"\n")
        blocks.append(_read_block(found["label"].decode(), line, found["body"]))
        at, line = found.end(), line + found[0].count(b"\n")
    return Pem(tuple(blocks), torn, stray)


def _read_block(label: str, line: int, body: bytes) -> Block:
    headers = _HEADER.search(body) is not None
    try:
        der = base64.b64decode(b"".join(_HEADER.sub(b"", body).split()), validate=True)
    except binascii.Error:
        der = b""
    return Block(label, line, der, locked=_ENCRYPTED.search(body) is not None, plain=not headers)


def load_certificate(der: bytes) -> x509.Certificate | None:
    """The certificate in these bytes; None unless every part of it that is ever looked at can be read, and
    its key is of one of ALGORITHMS."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.version
        if certificate.public_key_algorithm_oid not in ALGORITHMS:
            return None
        encode_public_key(certificate.public_key())
        return certificate
    except BROKEN:
        return None


def encode_public_key(key: PublicKeyTypes) -> bytes:
    """A public key as bytes; equal keys, and only they, are equal bytes."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_public_half(block: Block) -> bytes:
    """The public half of the private key in a block, as encode_public_key gives it; empty where it cannot be
    read, or is of none of ALGORITHMS. OpenSSL would look for a minute at whether the parts of a large RSA key
    are primes; that they belong to each other is seen without it."""
    label = _find_label(block)
    if block.locked or not label:
        return b""
    text = b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, base64.encodebytes(block.der), label)
    try:
        key = load_pem_private_key(text, password=None, unsafe_skip_rsa_key_validation=True)
        if isinstance(key, RSAPrivateKey) and not _belongs_together(key.private_numbers()):
            return b""
        return encode_public_key(key.public_key())
    except BROKEN:
        return b""


def _find_label(block: Block) -> bytes:
    """The label under which a private key belongs by its content; empty where that is none of ALGORITHMS."""
    label = _LABELS.get(block.der[block.der.find(b"\x02\x01") + 3 :][:1], b"")
    if label != _KEY.encode():
        return label
    if (head := _HEAD.match(block.der)) is None:
        return b""
    algorithm = block.der[head.end() : head.end() + head["length"][0]].hex()
    return label if algorithm in ALGORITHMS.values() else b""


def _belongs_together(numbers: RSAPrivateNumbers) -> bool:
    p, q, e, n = numbers.p, numbers.q, numbers.public_numbers.e, numbers.public_numbers.n
    return p * q == n and min(p, q) >= 2 and all(numbers.d * e % (prime - 1) == 1 for prime in (p, q))


def has_own_label(block: Block) -> bool:
    """Whether a private key stands under the label of its form: Go reads it by the label."""
    return block.label.encode() == _find_label(block)


def is_signed_by(issued: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate names the other as its issuer and has a signature by its key."""
    try:
        issued.verify_directly_issued_by(issuer)
    except (*BROKEN, InvalidSignature):
        return False
    return True
