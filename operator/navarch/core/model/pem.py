"""PEM, certificates and private keys, as the readers of this package share them.

Owns how blocks are found in a text (as Go's encoding/pem finds them, since istiod does), and whether two
certificates, or a certificate and a key, belong together. Must never keep a private key or quote one: of a
key there is its public half, and why it cannot be read. Invariant: equal bytes give equal results, and no
bytes of any kind raise.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

BROKEN = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)
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
_LABELS = {b"\x30": _KEY, b"\x02": "RSA PRIVATE KEY", b"\x04": "EC PRIVATE KEY"}
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
    """The certificate in these bytes; None unless every part of it that is ever looked at can be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.version
        encode_public_key(certificate.public_key())
        return certificate
    except (*BROKEN, x509.DuplicateExtension):
        return None


def encode_public_key(key: PublicKeyTypes) -> bytes:
    """A public key as bytes; equal keys, and only they, are equal bytes."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_public_half(block: Block) -> bytes:
    """The public half of the private key in a block, as encode_public_key gives it; empty where it cannot be
    read."""
    try:
        return encode_public_key(load_der_private_key(block.der, password=None).public_key())
    except BROKEN:
        return b""


def has_own_label(block: Block) -> bool:
    """Whether a private key stands under the label of its form: Go reads it by the label."""
    second = block.der[block.der.find(b"\x02\x01") + 3 :][:1]
    return block.label == _LABELS.get(second, "")


def is_signed_by(issued: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate names the other as its issuer and has a signature by its key."""
    try:
        issued.verify_directly_issued_by(issuer)
    except (*BROKEN, InvalidSignature):
        return False
    return True


def find_unsigned(chain: tuple[x509.Certificate, ...]) -> Iterator[tuple[x509.Certificate, x509.Certificate]]:
    """Each certificate of a chain, with the one behind it, where that did not sign it."""
    for issued, issuer in pairwise(chain):
        if not is_signed_by(issued, issuer):
            yield issued, issuer
