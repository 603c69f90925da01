"""Fingerprints of certificate bundles.

Owns which bytes count as a certificate: what Python's `ssl` reads as one
(docs/explanation/decisions/0064-certificates-are-read-by-ssl.md). Invariant: two bundles have the same
fingerprint exactly when they hold the same set of certificates.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_REMEMBERED = 1024
_known: dict[bytes, str] = {}
"""Fingerprints by the hash of their bundle: all namespaces of a mesh have the same one."""


def fingerprint_bundle(pem: bytes) -> str:
    """Hexadecimal fingerprint of the set of certificates in a PEM bundle; empty when there is none or it is
    broken."""
    digest = hashlib.sha256(pem).digest()
    if digest not in _known:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[digest] = _fingerprint(pem)
    return _known[digest]


def _fingerprint(pem: bytes) -> str:
    blocks = (b"".join(block.split()) for block in _BLOCK.findall(pem))
    reader = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        ders = sorted({base64.b64decode(block, validate=True) for block in blocks})
        joined = b"".join(ders)
        reader.load_verify_locations(cadata=joined)
    except (ValueError, ssl.SSLError):
        return ""
    # OpenSSL passes over what follows a certificate.
    is_whole = reader.cert_store_stats()["x509"] == len(ders) and all(map(_is_one, ders))
    return hashlib.sha256(joined).hexdigest()[:16] if is_whole else ""


def _is_one(der: bytes) -> bool:
    """Whether one value of DER fills a text to its end, by the length that it says it has."""
    if der[1] < 0x80:
        return len(der) == 2 + der[1]
    start = 2 + (der[1] & 0x7F)
    return len(der) == start + int.from_bytes(der[2:start], "big")
