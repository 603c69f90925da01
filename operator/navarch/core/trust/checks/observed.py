"""One certificate authority and what it is judged by.

Owns the input of every check, and the ways from the signer to a root. Must never find anything wrong: checks
do. Invariant: paths are found by names and signatures alone, so that a date or a missing right never looks
like a missing certificate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import Authority, Certificate, Part, TrustBundle

Path: TypeAlias = tuple[Certificate, ...]
_DEEPEST = 8
_MOST_PATHS = 32
_MOST_STEPS = 512
"""Certificates can be made that have all signed each other."""


@dataclass(frozen=True, slots=True)
class ObservedAuthority:
    """Everything that the verdict on an authority depends on. `trust_domains` are those of the identities
    that it is to sign, `hosts` the DNS names of its istiod; `present` is what the mesh trusts today, None
    where that is not known; `leaf` is how long a proxy's certificate is valid."""

    authority: Authority
    now: datetime
    trust_domains: tuple[str, ...] = ("cluster.local",)
    hosts: tuple[str, ...] = ()
    present: TrustBundle | None = None
    leaf: timedelta = timedelta(hours=24)

    def find_place(self, certificate: Certificate) -> str:
        """The key of the Secret that a certificate stands in: what signs as such, then what is trusted."""
        names = self.authority.names
        parts = sorted(
            (part for part in self.authority.parts if certificate in part.certificates),
            key=lambda part: (
                (part.name != names.signer or certificate != self.authority.signer)
                + (part.name != names.roots)
            ),
        )
        return parts[0].name

    def tell(
        self,
        reason: Reason,
        where: Certificate | Part | str,
        message: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
        *,
        value: str = "",
    ) -> Finding:
        """A finding about a certificate, a part, or a key of the Secret."""
        if isinstance(where, Certificate):
            return Finding(reason, self.find_place(where), value or str(where), message, remedy, severity)
        name = where.name if isinstance(where, Part) else where
        return Finding(reason, name, value, message, remedy, severity)


Check: TypeAlias = Callable[[ObservedAuthority], Iterator[Finding]]
PathCheck: TypeAlias = Callable[[ObservedAuthority, Path], Iterator[Finding]]


@lru_cache(maxsize=16)
def find_paths(authority: Authority) -> tuple[Path, ...]:
    """Every way from the signer to a root, through what istiod sends behind a proxy's certificate: each
    certificate is signed by the next, and the last one is trusted. The shortest first."""
    found: list[Path] = []
    begun: deque[Path] = deque([(authority.signer,)] if authority.signer else [])
    for _ in range(_MOST_STEPS):
        if not begun or len(found) == _MOST_PATHS:
            break
        path = begun.popleft()
        if path[-1] in authority.roots.roots:
            found.append(path)
        elif len(path) < _DEEPEST:
            begun += ((*path, each) for each in list_issuers(authority, path[-1]) if each not in path)
    return tuple(found)


@lru_cache(maxsize=256)
def list_issuers(authority: Authority, certificate: Certificate) -> tuple[Certificate, ...]:
    """Who signed a certificate, among what is trusted and what is sent."""
    around = dict.fromkeys((*authority.anchors, *authority.chain))
    return tuple(each for each in around if each != certificate and certificate.is_signed_by(each))


def find_partial_path(authority: Authority) -> Path:
    """How far one can go from the signer; empty without a signer."""
    path = [authority.signer] if authority.signer else []
    while path and len(path) < _DEEPEST:
        found = next((each for each in list_issuers(authority, path[-1]) if each not in path), None)
        if found is None:
            break
        path.append(found)
    return tuple(path)
