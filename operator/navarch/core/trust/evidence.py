"""What a proxy or an istiod shows in a TLS handshake: its certificate, and the roots that it trusts.

Owns these values and how they are read. Pure. Must never trust what is shown: a pod of any tenant may show
anything. Invariants: no bytes raise; of a chain no more than LONGEST certificates are looked at; a root
counts only where it is enough by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import TypeAlias, TypeVar

from cryptography import x509

from navarch.core.model.pem import is_signed_by, load_certificate
from navarch.core.trust.authority import Certificate
from navarch.core.world.proxies import ProxyPod

Key = TypeVar("Key")
"""By what roots are told apart."""
LONGEST = 8
"""Certificates of a chain that are looked at."""
MOST_NAMES = 256
"""Names of accepted CAs that are kept."""
_SIGNATURES, _PATHS = 4096, 16384
"""Signatures and paths that are remembered: each look judges all proxies of a mesh."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a peer showed. `chain` begins with its own certificate; `accepted` are the DER of the names of the
    CAs whose certificates it accepts, None where it asked for no certificate."""

    chain: tuple[Certificate, ...]
    accepted: frozenset[bytes] | None = None


Answer: TypeAlias = Shown | str
"""What a peer showed, or why that is unknown."""
NO_ADDRESS = "has no address yet"
"""Of a pod that has none: its proxy has never asked for a certificate."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Who is to be asked for a mesh. `home` is the namespace of its istiods, and `revisions` are theirs by
    the label istio.io/rev; `pods` are its proxies. When `since` changes, all are asked again. `settled` says
    of a proxy's answer that it need not be asked for soon."""

    home: str
    revisions: frozenset[str]
    pods: tuple[ProxyPod, ...]
    since: str
    settled: Callable[[Shown], bool] = field(default=lambda _: False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SeenTrust:
    """What is known of a mesh's proxies and istiods, by `<namespace>/<name>`; `made` is when pods were
    created. `whole` says that each of them was asked at least once."""

    proxies: Mapping[str, Answer] = field(default_factory=dict)
    istiods: Mapping[str, Answer] = field(default_factory=dict)
    made: Mapping[str, datetime] = field(default_factory=dict)
    whole: bool = False


def read_shown(chain: Iterable[bytes], accepted: Iterable[bytes] | None) -> Shown | None:
    """What a peer sent, in DER; None where its own certificate cannot be read. Others that cannot are left
    out."""
    own, *others = [*islice(chain, LONGEST)] or [b""]
    leaf = _load(own)
    if leaf is None:
        return None
    names = None if accepted is None else frozenset(islice(accepted, MOST_NAMES))
    return Shown((leaf, *filter(None, map(_load_issuer, others))), names)


def _load(der: bytes) -> Certificate | None:
    parsed = load_certificate(der)
    if parsed is None:
        return None
    try:
        certificate = Certificate(parsed)
        _ = certificate.begins, certificate.ends  # a certificate may say a year that Python does not have
    except ValueError:
        return None
    return certificate


_load_issuer = lru_cache(maxsize=256)(_load)
"""All proxies of a mesh send the same ones: they are held once."""


def find_reached(
    chain: tuple[Certificate, ...], roots: Mapping[Key, Certificate], *, now: datetime
) -> frozenset[Key]:
    """The keys of those roots that are each enough, alone, to accept the first certificate of a chain. The
    others may be in any order, and a root that another one signed may be among them."""
    valid = tuple(each for each in chain[:LONGEST] if _is_valid(each, now))
    if not valid or valid[0] != chain[0]:
        return frozenset()
    ends = _find_ends(valid, frozenset(root for root in roots.values() if _is_valid(root, now)))
    return frozenset(key for key, root in roots.items() if root in ends)


@lru_cache(maxsize=_PATHS)
def _find_ends(chain: tuple[Certificate, ...], roots: frozenset[Certificate]) -> frozenset[Certificate]:
    """The same of certificates that are all valid at this moment."""
    level, others = [chain[0]], list(chain[1:])
    reached = set[Certificate]()
    for below in range(LONGEST):  # level by level, so that each is met by its shortest path
        for root in roots - reached:
            if _may_sign(root, below) and any(_is_signed_by(each, root) for each in level):
                reached.add(root)
        able = [each for each in others if _may_sign(each, below)]
        level = [each for each in able if any(_is_signed_by(one, each) for one in level)]
        others = [each for each in others if each not in level]
        if not level:
            break
    return frozenset(reached)


def read_trusted(accepted: frozenset[bytes], roots: Mapping[Key, Certificate]) -> frozenset[Key]:
    """The keys of those roots whose name is among these. Roots of one name cannot be told apart."""
    return frozenset(key for key, root in roots.items() if root.parsed.subject.public_bytes() in accepted)


def _is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.begins <= now < certificate.ends


def _may_sign(issuer: Certificate, below: int) -> bool:
    """Whether a certificate may sign others, with so many CAs between it and a peer's own."""
    constraints, usage = issuer.find(x509.BasicConstraints), issuer.find(x509.KeyUsage)
    if constraints is None or not constraints.ca:
        return False
    length = constraints.path_length
    return (usage is None or usage.key_cert_sign) and (length is None or below <= length)


@lru_cache(maxsize=_SIGNATURES)
def _is_signed_by(issued: Certificate, issuer: Certificate) -> bool:
    """Other than Certificate.is_signed_by, a broken hash does not count: proxies refuse it as well."""
    return is_signed_by(issued.parsed, issuer.parsed)
