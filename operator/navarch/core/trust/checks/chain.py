"""Checks of what belongs together: key and certificate, signer and chain, chain and roots.

Owns the rules about which certificates are there and in which order. Must never ask for a date or a right,
which are those of path.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import Authority, Certificate, FlawKind, Form
from navarch.core.trust.checks.observed import Check, ObservedAuthority, find_partial_path, find_paths


def check_key_fits(observed: ObservedAuthority) -> Iterator[Finding]:
    """The private key is that of the certificate that signs."""
    authority = observed.authority
    signer, key = authority.signer, authority.key
    if signer is None or key is None or key.public == signer.public_key:
        return
    others = [each for each in authority.certificates if each.public_key == key.public]
    belongs = f"it belongs to {others[0]}" if others else "it belongs to none of the certificates here"
    yield observed.tell(
        Reason.AUTHORITY_KEY_MISMATCH,
        authority.names.key,
        f"is not the key of {signer}, with which istiod is to sign: {belongs}; istiod does not start",
        "put key and certificate of one and the same CA in",
        value=key.algorithm,
    )


def check_reaches_a_root(observed: ObservedAuthority) -> Iterator[Finding]:
    """There is a way from the signer to a root that is trusted."""
    authority = observed.authority
    signer = authority.signer
    if signer is None or not _is_whole(authority) or find_paths(authority):
        return
    end = find_partial_path(authority)[-1]
    message, remedy = _explain_end(observed, end)
    yield observed.tell(
        Reason.AUTHORITY_CHAIN_BROKEN, end, f"{message}; istiod does not start with it", remedy
    )


def _explain_end(observed: ObservedAuthority, end: Certificate) -> tuple[str, str]:
    """Why no way leads on from a certificate, and what would."""
    authority = observed.authority
    chain, roots = authority.names.chain, authority.names.roots
    namesakes = [e for e in authority.certificates if e.parsed.subject == end.parsed.issuer and e != end]
    unread = next((each for each in namesakes if end.is_signed_by(each)), None)
    if end.is_signed_by(end):
        return (
            f"is a root of its own that is not in {roots}",
            f"put it into {roots}, or have the signer signed by one of the roots there",
        )
    if unread is not None:
        return (
            f"was signed by {unread}, which stands in {observed.find_place(unread)}, where istiod reads only "
            "the first certificate",
            f"move it to {chain}",
        )
    if namesakes:
        return (
            f"names {end.issuer} as its issuer, and the key of {namesakes[0]} did not sign it: that is "
            "another CA of the same name, or of another generation",
            "put in the certificate whose key signed this one",
        )
    either = chain if chain == roots else f"{chain} or {roots}"
    return (
        f"was signed by {end.issuer}, which is not in {either}",
        f"add that certificate to {either}",
    )


def check_chain_has_the_signer(observed: ObservedAuthority) -> Iterator[Finding]:
    """What istiod sends behind a proxy's certificate holds who signed it, unless that is a root itself."""
    authority = observed.authority
    signer = authority.signer
    if authority.form is not Form.ISTIO or signer is None or signer in authority.roots.roots:
        return
    part = authority.find(authority.names.chain)
    if part is not None and not part.flaws and signer not in part.certificates:
        yield observed.tell(
            Reason.AUTHORITY_CHAIN_BROKEN,
            part,
            f"lacks {signer}, which is in {authority.names.signer}: istiod starts, and each proxy refuses "
            "the certificates of all others, for want of who signed them",
            f"begin {part.name} with the certificate of {authority.names.signer}, then each one's issuer",
        )


def check_order(observed: ObservedAuthority) -> Iterator[Finding]:
    """In the chain each certificate stands before the one that signed it, and the signer first."""
    authority = observed.authority
    chain, signer = tuple(dict.fromkeys(authority.chain)), authority.signer
    paths = find_paths(authority)
    if signer not in chain or not paths:
        return
    path = paths[0]
    at = [chain.index(each) for each in path if each in chain]
    if at != sorted(at) or at[0] != 0:
        first = chain[0] if at[0] else next(c for c, i in zip(path[1:], at[1:], strict=False) if i < max(at))
        yield observed.tell(
            Reason.AUTHORITY_CHAIN_ORDER,
            authority.names.chain,
            f"stands before what it signed: istiod sends the chain as it is, takes its end for that of "
            f"{chain[0]}, and strict clients refuse it",
            f"write it in this order: {join(each.subject for each in path)}",
            value=str(first),
        )


def check_duplicates(observed: ObservedAuthority) -> Iterator[Finding]:
    """No key of the Secret holds a certificate twice."""
    for part in observed.authority.parts:
        for certificate, times in Counter(part.certificates).items():
            if times > 1:
                yield observed.tell(
                    Reason.AUTHORITY_DUPLICATE,
                    part,
                    f"is in it {times} times",
                    "keep it once",
                    Severity.WARNING,
                    value=str(certificate),
                )


def check_unused(observed: ObservedAuthority) -> Iterator[Finding]:
    """Each certificate of the chain is on some way from the signer to a root."""
    authority = observed.authority
    paths = find_paths(authority)
    used = {each for path in paths for each in path} | authority.roots.roots
    if not paths:
        return
    for each in dict.fromkeys(authority.chain):
        if each not in used:
            yield observed.tell(
                Reason.AUTHORITY_DUPLICATE,
                each,
                "leads to no root from what istiod signs with, and is sent in every handshake",
                "leave it out",
                Severity.WARNING,
            )


_HARMLESS = frozenset({FlawKind.STRAY, FlawKind.KEY_EXPOSED})


def _is_whole(authority: Authority) -> bool:
    """Whether signer, chain and roots could all be read: what could not be may be what is missing."""
    names = authority.names
    parts = [authority.find(key) for key in (names.signer, names.chain, names.roots)]
    return all(part and all(flaw.kind in _HARMLESS for flaw in part.flaws) for part in parts)


CHECKS: tuple[Check, ...] = (
    check_key_fits,
    check_reaches_a_root,
    check_chain_has_the_signer,
    check_order,
    check_duplicates,
    check_unused,
)
