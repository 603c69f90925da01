"""Certificate authorities in tests: Secrets as Navarch writes them, and what is seen of them.

Must never use the code under test to read what it wrote: certificates are read by `cryptography` alone.
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.api import Api, Object

SYSTEM = "navarch-system"
PARTS = ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")


def decode(secret: Object, name: str) -> bytes:
    """One key of a Secret."""
    return base64.b64decode(secret["data"][name])


def read_certificate(secret: Object, name: str) -> x509.Certificate:
    """The one certificate in a key of a Secret."""
    (certificate,) = x509.load_pem_x509_certificates(decode(secret, name))
    return certificate


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, in hexadecimal."""
    return certificate.fingerprint(SHA256()).hex()


def get_cacerts(api: Api, namespace: str) -> Object | None:
    """The Secret from which the istiods of a namespace sign."""
    return api.get("secret", namespace, "cacerts")


def get_root(api: Api, home: str) -> Object | None:
    """The Secret with the root of a control plane's namespace."""
    return api.get("secret", SYSTEM, f"{home}-root-1")


def find_keys(secret: Object) -> list[str]:
    """Pieces of the private key in a Secret, by which a text that holds it is found."""
    name = next(each for each in ("tls.key", "ca-key.pem") if each in secret["data"])
    encoded = secret["data"][name]
    lines = decode(secret, name).decode().splitlines()
    return [lines[1], encoded[64:128]]


def build_managed(**managed: Any) -> dict[str, Any]:
    """spec of a mesh with a managed authority."""
    return {"certificateAuthority": {"type": "Managed", **({"managed": managed} if managed else {})}}
