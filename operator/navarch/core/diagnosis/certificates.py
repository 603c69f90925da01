"""Rules about the certificates with which gateways end TLS: there, whole, for their hosts, and not expired.

Owns one named generator for each rule. Must never quote anything of a Secret but names, hosts and dates.
Invariant: of a Secret that could not be read nothing is said.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from navarch.core.diagnosis.observed import diagnose, list_names
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign

_KEYS = (("tls.crt", "tls.key"), ("cert", "key"))
"""Under which keys istiod looks for certificate and private key (pilot/pkg/credentials/kube/secrets.go)."""
NOTICE = (1, 7, 14, 30)
"""Days before its end from which a certificate is told, each with a text of its own."""
_BROKEN = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Credential:
    """A Secret that a listener of a Gateway names: `data` as the API server gives it, None where the Secret
    does not exist. `hosts` are those that the listener serves."""

    entrance: Subject
    listener: str
    hosts: tuple[str, ...]
    secret: Subject
    data: Mapping[str, Any] | None

    def __str__(self) -> str:
        return f"listener {self.listener}: {self.secret}"


@dataclass(frozen=True, slots=True)
class _Pair:
    """What a Secret holds. `chain` begins with the certificate itself; `problem` says why it is no use."""

    chain: tuple[x509.Certificate, ...] = ()
    problem: str = ""


Rule: TypeAlias = Callable[[Credential, datetime], Iterator[Diagnosis]]


def check_certificate_is_there(credential: Credential, _: datetime) -> Iterator[Diagnosis]:
    """The Secret exists and has a certificate and a key."""
    if credential.data is None:
        message = f"{credential} does not exist: the listener serves nothing"
        yield diagnose(Sign.CERTIFICATE_MISSING, credential.entrance, message)
    elif _find_keys(credential.data) is None:
        message = f"{credential} has neither tls.crt and tls.key nor cert and key"
        yield diagnose(Sign.CERTIFICATE_MISSING, credential.entrance, message)


def check_certificate_is_whole(credential: Credential, _: datetime) -> Iterator[Diagnosis]:
    """The certificate can be read, the key is its own, and each certificate of the chain signed the one
    before."""
    if problem := _read(credential).problem:
        yield diagnose(Sign.CERTIFICATE_BROKEN, credential.entrance, f"{credential}: {problem}")


def check_certificate_has_the_hosts(credential: Credential, _: datetime) -> Iterator[Diagnosis]:
    """The certificate has a name for each host of the listener."""
    pair = _read(credential)
    if not pair.chain:
        return
    names = _read_names(pair.chain[0])
    hosts = {host.rpartition("/")[2] for host in credential.hosts} - {"*"}
    if lost := sorted(host for host in hosts if not _has_name(names, host)):
        told = list_names(sorted(names)) or "no name"
        message = f"{credential} has {told}, and not {list_names(lost)}: clients refuse it there"
        yield diagnose(Sign.CERTIFICATE_OTHER_NAMES, credential.entrance, message)


def check_certificate_is_in_time(credential: Credential, now: datetime) -> Iterator[Diagnosis]:
    """Every certificate of the chain is valid now, and for some time."""
    chain = _read(credential).chain
    if not chain:
        return
    begins, ends = max(c.not_valid_before_utc for c in chain), min(c.not_valid_after_utc for c in chain)
    if begins > now:
        message = f"{credential} is valid from {begins:%Y-%m-%d %H:%M} UTC on, and not yet"
        yield diagnose(Sign.CERTIFICATE_EXPIRED, credential.entrance, message)
    elif ends <= now:
        message = f"{credential} was valid until {ends:%Y-%m-%d %H:%M} UTC"
        yield diagnose(Sign.CERTIFICATE_EXPIRED, credential.entrance, message)
    elif days := next((days for days in NOTICE if ends - now <= timedelta(days=days)), 0):
        within = "a day" if days == 1 else f"{days} days"
        message = f"{credential} is valid until {ends:%Y-%m-%d %H:%M} UTC: it ends within {within}"
        yield diagnose(Sign.CERTIFICATE_EXPIRES, credential.entrance, message)


def _find_keys(data: Mapping[str, Any]) -> tuple[str, str] | None:
    return next(((cert, key) for cert, key in _KEYS if data.get(cert) and data.get(key)), None)


def _read(credential: Credential) -> _Pair:
    """Certificate and chain of a Secret, as far as they are there."""
    keys = _find_keys(credential.data or {})
    if credential.data is None or keys is None:
        return _Pair()
    try:
        pem, key = (base64.b64decode(str(credential.data[name]), validate=True) for name in keys)
        chain = tuple(x509.load_pem_x509_certificates(pem))
    except (*_BROKEN, binascii.Error):
        return _Pair(problem=f"{keys[0]} holds no certificate that can be read")
    return _Pair(chain, _find_problem(chain, key, keys))


def _find_problem(chain: tuple[x509.Certificate, ...], key: bytes, keys: tuple[str, str]) -> str:
    try:
        private = load_pem_private_key(key, password=None).public_key()
    except _BROKEN:
        return f"{keys[1]} holds no private key that can be read"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        return f"{keys[1]} is not the key of the certificate in {keys[0]}"
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (*_BROKEN, InvalidSignature):
            return (
                f"in the chain of {keys[0]}, {issuer.subject.rfc4514_string()} did not sign "
                f"{issued.subject.rfc4514_string()}"
            )
    return ""


def _read_names(certificate: x509.Certificate) -> set[str]:
    """The DNS names of a certificate; the common name counts for no client any more."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return set()
    return {name.lower() for name in found.value.get_values_for_type(x509.DNSName)}


def _has_name(names: set[str], host: str) -> bool:
    """Whether one of the names is for a host: by itself, or as `*` in place of its first label."""
    first, dot, rest = host.lower().partition(".")
    return host.lower() in names or (bool(dot) and first != "*" and f"*.{rest}" in names)


RULES_OF_CERTIFICATES: tuple[Rule, ...] = (
    check_certificate_is_there,
    check_certificate_is_whole,
    check_certificate_has_the_hosts,
    check_certificate_is_in_time,
)


def run_rules_of_certificates(credentials: tuple[Credential, ...], now: str) -> Iterator[Diagnosis]:
    """Everything that is worth saying about these certificates at a time, RFC 3339."""
    at = datetime.fromisoformat(now)
    for credential in credentials:
        for rule in RULES_OF_CERTIFICATES:
            yield from rule(credential, at)
