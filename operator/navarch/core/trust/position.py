"""Which position of a rotation a Secret `cacerts` is at, read from its certificates.

Owns the form in which positions are written there. Must never guess: what Navarch would not have written is
at no position. Invariant: the same trust is the same bytes, since a running istiod takes another signer only
with the very roots that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations
from typing import TypeAlias

from navarch.core.trust.authority import Authority, Certificate, Form, TrustBundle
from navarch.core.trust.rotation import Position, Roots, settle

Known: TypeAlias = Mapping[int, Certificate]
"""The roots that Navarch keeps for a mesh, by generation."""

MOST = 2
"""Roots that have a part in a position that Navarch writes."""


def read_position(authority: Authority, roots: Known) -> Position | None:
    """The position at which istiod signs with this; None where it is not whole, not in the form in which
    Navarch writes it, or not under these roots."""
    signer = authority.signer
    if signer is None or not _is_whole(authority):
        return None
    by_bytes = {root: generation for generation, root in roots.items()}
    trusted = [by_bytes.get(anchor, 0) for anchor in authority.anchors]
    issuer, others = find_issuer(authority, roots), authority.chain[1:]
    voucher = find_voucher(others[0], issuer, roots) if issuer and others else 0
    known = issuer > 0 and 0 not in trusted and trusted == sorted({*trusted})
    if not known or authority.chain[:1] != (signer,) or len(others) != min(voucher, 1):
        return None
    position = Position(issuer, frozenset(trusted), voucher)
    whole = position.reached & position.trusted and len(position.roots) <= MOST
    return position if whole else None


def _is_whole(authority: Authority) -> bool:
    """Whether it has all that Navarch writes, and nothing beside it."""
    signer, key = authority.signer, authority.key
    formed = authority.form is Form.ISTIO and not any(part.flaws for part in authority.parts)
    named = {part.name for part in authority.parts} == {*authority.names.required}
    return formed and named and signer is not None and key is not None and key.public == signer.public_key


def find_issuer(authority: Authority, roots: Known) -> int:
    """The root that signed for the certificate with which istiod signs; 0 where none of these did."""
    signer = authority.signer
    signed = (g for g, root in roots.items() if signer is not None and signer.is_signed_by(root))
    return next(signed, 0)


def find_voucher(crossed: Certificate, issuer: int, roots: Known) -> int:
    """The root that signed for root `issuer` in this certificate; 0 where none of them did."""
    root = roots[issuer]
    same = crossed.public_key == root.public_key and crossed.parsed.subject == root.parsed.subject
    signed = (g for g, other in roots.items() if g != issuer and crossed.is_signed_by(other))
    return next(signed, 0) if same else 0


def lacks_voucher(authority: Authority, roots: Known) -> bool:
    """Whether istiod signs under a root of these that was signed by one that is not among them."""
    issuer, crossed = find_issuer(authority, roots), authority.chain[1:2]
    if not issuer or not crossed or crossed[0].public_key != roots[issuer].public_key:
        return False
    return not any(crossed[0].is_signed_by(root) for root in roots.values())


def is_issued_by(authority: Authority, root: Certificate) -> bool:
    """Whether an authority is whole, in the form in which Navarch writes it, and under this root alone."""
    return read_position(authority, {1: root}) == settle(1)


def find_bundle(fingerprint: str, roots: Known) -> Roots:
    """Which roots a fingerprint of one or two of them stands for; none where it stands for others."""
    sets = chain(combinations(roots, 1), combinations(roots, 2))
    named = (frozenset(s) for s in sets if fingerprint_of(s, roots) == fingerprint)
    return next(named, frozenset())


def fingerprint_of(trusted: Roots | tuple[int, ...], roots: Known) -> str:
    """The fingerprint of a set of roots."""
    return TrustBundle(frozenset(roots[generation] for generation in trusted)).fingerprint
