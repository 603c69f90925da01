"""Fingerprints of certificate bundles.

Invariant: two bundles have the same fingerprint exactly when they hold the same set of certificates.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding


def fingerprint_bundle(pem: bytes) -> str:
    """Hexadecimal fingerprint of the set of certificates in a PEM bundle; empty when there is none or it is
    broken."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return ""
    ders = sorted({c.public_bytes(Encoding.DER) for c in certificates})
    return hashlib.sha256(b"".join(ders)).hexdigest()[:16]
