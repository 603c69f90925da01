"""Certificates with which gateways end TLS: what is kept of the Secrets, and what is wrong with them.

Owns the reading of such a Secret and the rules, for the operator and the command alike. Must never keep or
quote anything of a Secret but names, hosts and dates, nor have a number tested for being a prime: whoever may
write a Secret would stop the operator with it. Invariant: equal Secrets give equal records, from which
neither key nor certificate can be made again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any, TypeAlias

from cryptography import x509

from navarch.core.model.messages import LISTED
from navarch.core.model.pem import (
    ALGORITHMS,
    BROKEN,
    encode_public_key,
    find_blocks,
    is_signed_by,
    read_public_half,
)
from navarch.core.model.reasons import Reason

_KEYS = (("tls.crt", "tls.key"), ("cert", "key"))
"""Under which keys istiod looks for certificate and private key (pilot/pkg/credentials/kube/secrets.go)."""
NOTICE = (1, 7, 14, 30)
"""Days before its end from which a certificate is told, each with a text of its own."""
LONGEST = 64 * 1024
"""Bytes of a chain, and of a key, that are read."""
_LINKS = 16
"""Certificates of a chain of which it is looked at who signed them."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of a Secret. `missing` says that there is none, or what it lacks; `problem` why it is no
    use. `begins` and `ends` bound the time in which its whole chain is valid; None where it has none."""

    names: frozenset[str] = frozenset()
    begins: datetime | None = None
    ends: datetime | None = None
    missing: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """A Secret that a listener of a Gateway names: `listener` as text, its `hosts`, the Secret's place, and
    what is known of it; `certificate` is None where the Secret may not be read."""

    listener: str
    hosts: tuple[str, ...]
    namespace: str
    name: str
    certificate: Certificate | None

    def __str__(self) -> str:
        return f"listener {self.listener}: Secret {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class SeenCertificates:
    """The certificates of one gateway as they were read last. `next` is after how many seconds they are read
    again, `left_out` how many of its Secrets are beyond the bound, `unlisted` how many Gateways of the mesh's
    namespaces are, and `gap` why none could be looked for."""

    served: tuple[Served, ...] = ()
    next: float = 0.0
    left_out: int = 0
    unlisted: int = 0
    gap: str = ""


Rule: TypeAlias = Callable[[Served, Certificate, datetime], Iterator[tuple[Reason, str]]]


def check_is_there(served: Served, certificate: Certificate, _: datetime) -> Iterator[tuple[Reason, str]]:
    """The Secret exists and has a certificate and a key."""
    if certificate.missing:
        yield Reason.CERTIFICATE_MISSING, f"{served} {certificate.missing}"


def check_is_whole(served: Served, certificate: Certificate, _: datetime) -> Iterator[tuple[Reason, str]]:
    """The certificate can be read, the key is its own, and each certificate of the chain signed the one
    before."""
    if certificate.problem:
        yield Reason.CERTIFICATE_BROKEN, f"{served}: {certificate.problem}"


def check_has_the_hosts(
    served: Served, certificate: Certificate, _: datetime
) -> Iterator[tuple[Reason, str]]:
    """The certificate has a name for each host of the listener."""
    if certificate.ends is None:
        return
    hosts = {host.rpartition("/")[2] for host in served.hosts} - {"*"}
    if lost := sorted(host for host in hosts if not _has_name(certificate.names, host)):
        told = _list(sorted(certificate.names)) or "no name"
        yield (
            Reason.CERTIFICATE_OTHER_NAMES,
            f"{served} has {told}, and not {_list(lost)}: clients refuse it there",
        )


def check_is_in_time(served: Served, certificate: Certificate, now: datetime) -> Iterator[tuple[Reason, str]]:
    """Every certificate of the chain is valid now, and for some time."""
    begins, ends = certificate.begins, certificate.ends
    if begins is None or ends is None:
        return
    if begins > now:
        yield Reason.CERTIFICATE_EXPIRED, f"{served} is valid from {_tell(begins)} on, and not yet"
    elif ends <= now:
        yield Reason.CERTIFICATE_EXPIRED, f"{served} was valid until {_tell(ends)}"
    elif days := next((days for days in _choose_notices(ends - begins) if ends - now <= timedelta(days)), 0):
        within = "a day" if days == 1 else f"{days} days"
        yield Reason.CERTIFICATE_EXPIRES, f"{served} is valid until {_tell(ends)}: it ends within {within}"


def _choose_notices(whole: timedelta) -> Iterator[int]:
    """The notices of a certificate that is valid for so long in all: one of more than half of that would
    stand there most of the time."""
    return (days for days in NOTICE if timedelta(days) <= whole / 2)


RULES: tuple[Rule, ...] = (check_is_there, check_is_whole, check_has_the_hosts, check_is_in_time)


def judge_certificate(served: Served, now: datetime) -> Iterator[tuple[Reason, str]]:
    """Everything that is worth saying about a certificate; nothing where its Secret could not be read."""
    if served.certificate is not None:
        for rule in RULES:
            yield from rule(served, served.certificate, now)


def _tell(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def read_certificate(data: Mapping[str, Any] | None) -> Certificate:
    """What is to be known of a Secret from its data, as the API server gives it; None where it does not
    exist."""
    if data is None:
        return Certificate(missing="does not exist: the listener serves nothing")
    keys = next(((cert, key) for cert, key in _KEYS if data.get(cert) and data.get(key)), None)
    if keys is None:
        return Certificate(missing="has neither tls.crt and tls.key nor cert and key")
    try:
        pem, key = (base64.b64decode(str(data[name]), validate=True) for name in keys)
    except binascii.Error:
        return Certificate(problem=f"{keys[0]} holds no certificate that can be read")
    if long := next((name for name, text in zip(keys, (pem, key), strict=True) if len(text) > LONGEST), ""):
        return Certificate(problem=f"{long} has more than {LONGEST // 1024} KiB, which is not read")
    try:
        chain = x509.load_pem_x509_certificates(pem)
        names, begins = frozenset(_read_names(chain[0])), max(c.not_valid_before_utc for c in chain)
        ends, problem = min(c.not_valid_after_utc for c in chain), _find_problem(chain, key, keys)
    except BROKEN:
        return Certificate(problem=f"{keys[0]} holds no certificate that can be read")
    return Certificate(names, begins, ends, problem=problem)


def _find_problem(chain: Sequence[x509.Certificate], key: bytes, keys: tuple[str, str]) -> str:
    public = _read_public_key(key)
    if not public:
        return f"{keys[1]} holds no private key that can be read"
    unread = (c for c in chain[: _LINKS + 1] if c.public_key_algorithm_oid not in ALGORITHMS)
    if (other := next(unread, None)) is not None:
        return f"in {keys[0]}, the key of {other.subject.rfc4514_string()} is none that servers have"
    if public != encode_public_key(chain[0].public_key()):
        return f"{keys[1]} is not the key of the certificate in {keys[0]}"
    for issued, issuer in islice(pairwise(chain), _LINKS):
        if not is_signed_by(issued, issuer):
            return (
                f"in the chain of {keys[0]}, {issuer.subject.rfc4514_string()} did not sign "
                f"{issued.subject.rfc4514_string()}"
            )
    return ""


def _read_public_key(pem: bytes) -> bytes:
    """The public half of the first private key in a text; empty where there is none that can be read."""
    first = next((block for block in find_blocks(pem).blocks if block.is_key), None)
    return read_public_half(first) if first else b""


def _read_names(certificate: x509.Certificate) -> set[str]:
    """The DNS names of a certificate; the common name counts for no client any more."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, *BROKEN):
        return set()
    return {name.lower() for name in found.value.get_values_for_type(x509.DNSName)}


def _has_name(names: frozenset[str], host: str) -> bool:
    """Whether one of the names is for a host: by itself, or as `*` in place of its first label."""
    first, dot, rest = host.lower().partition(".")
    return host.lower() in names or (bool(dot) and first != "*" and f"*.{rest}" in names)
