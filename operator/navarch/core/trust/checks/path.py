"""Checks of the way from the certificate that signs to a root that is trusted.

Owns what every verifier asks of each certificate on it: rights, length, dates, algorithms, names. istiod asks
less than Envoy does, so a message says whose verdict it is. Invariant: of several ways the best one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import BROKEN_DIGESTS, Certificate
from navarch.core.trust.checks.observed import ObservedAuthority, Path, PathCheck

NOTICE = (7, 30, 60, 90)
"""Days before its end from which a certificate is told."""
SHORTEST = 3
"""How many lifetimes of a proxy's certificate a rotation takes at the most: trust, signer, trust."""
_PLAIN = frozenset({"ECDSA P-256", "ECDSA P-384"})
_RARE = frozenset({"ECDSA P-224", "ECDSA P-521", "Ed25519"})
_LEAST_RSA = 2048
_KNOWN = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)
"""Extensions that Go and BoringSSL know, so that they may be critical."""
_KNOWN_NAMES = (x509.DNSName, x509.UniformResourceIdentifier, x509.IPAddress, x509.RFC822Name)


def check_may_sign(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Each certificate may sign certificates: it is a CA by its basic constraints and its key usage."""
    for each in path:
        constraints = each.find(x509.BasicConstraints)
        usage = each.find(x509.KeyUsage)
        if constraints is None or not constraints.ca:
            has = "has no basic constraints" if constraints is None else "says that it is no CA"
            yield observed.tell(
                Reason.AUTHORITY_CANNOT_SIGN,
                each,
                f"{has}: istiod does not start with it, and nothing that it signs is trusted",
                "issue it with basicConstraints CA:TRUE; a certificate of a server cannot sign others",
            )
        if usage is not None and not usage.key_cert_sign:
            yield observed.tell(
                Reason.AUTHORITY_CANNOT_SIGN,
                each,
                "its key usage lacks keyCertSign: proxies refuse every certificate that it signs, even where "
                "istiod starts with it",
                "issue it with keyUsage keyCertSign and cRLSign",
            )


def check_may_sign_for_both_sides(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Where an extended key usage limits a CA, it names servers and clients: a proxy is both."""
    both = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}
    for each in path:
        usage = each.find(x509.ExtendedKeyUsage)
        if usage is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage:
            continue
        if missing := [name for oid, name in both.items() if oid not in usage]:
            yield observed.tell(
                Reason.AUTHORITY_CANNOT_SIGN,
                each,
                f"its extended key usage lacks {' and '.join(missing)}, which limits what it signs as well",
                "issue it without an extended key usage",
            )


def check_path_length(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """No certificate has more CAs below it than its path length allows. istiod does not count its own
    certificate, since to it that is the last one; to a proxy the last one is the other proxy's."""
    for below, each in enumerate(path):
        constraints = each.find(x509.BasicConstraints)
        length = constraints.path_length if constraints else None
        if length is not None and below > length:
            yield observed.tell(
                Reason.AUTHORITY_PATH_TOO_LONG,
                each,
                f"its path length is {length}, and {below} CAs are below it: proxies refuse all certificates "
                "of the mesh, even where istiod starts with it",
                f"issue it with a path length of {below} or without one",
            )


def check_dates(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Each certificate is valid now."""
    for each in path:
        if each.begins > observed.now:
            yield observed.tell(
                Reason.AUTHORITY_EXPIRED,
                each,
                f"is valid from {_tell(each.begins)} on, and not yet: istiod does not start with it",
                "wait until then, or correct the clock of who issued it",
            )
        elif each.ends <= observed.now:
            yield observed.tell(
                Reason.AUTHORITY_EXPIRED,
                each,
                f"was valid until {_tell(each.ends)}: istiod does not start with it",
                "issue it again",
            )


def check_time_left(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Each certificate is valid for long enough to be replaced in time."""
    needed = SHORTEST * observed.leaf
    for each in path:
        left = each.ends - observed.now
        if left <= timedelta() or each.begins > observed.now:
            continue
        if left <= needed:
            yield observed.tell(
                Reason.AUTHORITY_EXPIRES,
                each,
                f"is valid until {_tell(each.ends)}: a rotation takes up to {_hours(needed)}, "
                f"{SHORTEST} lifetimes of a proxy's certificate, and would not end before",
                "issue it for longer",
            )
        elif days := next((d for d in _choose_notices(each) if left <= timedelta(d)), 0):
            yield observed.tell(
                Reason.AUTHORITY_EXPIRES,
                each,
                f"is valid until {_tell(each.ends)}: it ends within {days} days",
                "issue it again before",
                Severity.WARNING,
            )


def _choose_notices(certificate: Certificate) -> Iterator[int]:
    """The notices of a certificate: one of more than half of its time would stand there most of the time."""
    whole = certificate.ends - certificate.begins
    return (days for days in NOTICE if timedelta(days) <= whole / 2)


def check_outlives_nobody(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """No certificate is valid for longer than the one that signed it."""
    for issued, issuer in pairwise(path):
        if issued.ends > issuer.ends:
            yield observed.tell(
                Reason.AUTHORITY_OUTLIVES_ISSUER,
                issued,
                f"is valid until {_tell(issued.ends)}, and {issuer.subject}, which signed it, only until "
                f"{_tell(issuer.ends)}: everything below is refused from then on",
                "have what signed it renewed first, or issue this one for less",
                Severity.WARNING,
            )


def check_strength(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """No key is too short, and no signature that counts is made with a broken hash. That of a root over
    itself counts for nothing."""
    for each in path:
        name, _, size = each.algorithm.partition(" ")
        if name == "RSA" and int(size) < _LEAST_RSA:
            yield observed.tell(
                Reason.AUTHORITY_WEAK,
                each,
                f"its key is {each.algorithm}: too short to be safe",
                f"issue it with a key of RSA {_LEAST_RSA} or more, or ECDSA P-256",
            )
        if each.digest in BROKEN_DIGESTS:
            counts = each is not path[-1]
            yield observed.tell(
                Reason.AUTHORITY_WEAK,
                each,
                f"is signed with {each.digest}"
                + (", which istiod and proxies refuse" if counts else ", which counts for nothing at a root"),
                "sign it with SHA-256",
                Severity.ERROR if counts else Severity.WARNING,
            )


def check_algorithm(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Every client of the mesh can use the keys: RSA, ECDSA P-256 and P-384."""
    for each in path:
        if each.algorithm in _PLAIN or each.algorithm.startswith("RSA "):
            continue
        rare = each.algorithm in _RARE
        yield observed.tell(
            Reason.AUTHORITY_ALGORITHM,
            each,
            f"its key is {each.algorithm}: "
            + ("istiod takes it, and not every TLS client does" if rare else "istiod cannot use it"),
            "issue it with ECDSA P-256 or P-384, or RSA",
            Severity.WARNING if rare else Severity.ERROR,
        )


def check_critical_extensions(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Every extension that is marked as critical is known to those who verify."""
    for each in path:
        unknown = [
            e.oid.dotted_string
            for e in each.parsed.extensions
            if e.critical and (e.oid not in _KNOWN or not _has_known_names(e.value))
        ]
        if unknown:
            yield observed.tell(
                Reason.AUTHORITY_EXTENSION_UNKNOWN,
                each,
                f"has critical extensions that istiod and proxies do not know, and refuse: {join(unknown)}",
                "issue it without them, or without marking them as critical",
            )


def _has_known_names(value: x509.ExtensionType) -> bool:
    """Whether constraints, if it is those, speak of kinds of names that are known."""
    if not isinstance(value, x509.NameConstraints):
        return True
    names = (*(value.permitted_subtrees or ()), *(value.excluded_subtrees or ()))
    return all(isinstance(name, _KNOWN_NAMES) for name in names)


def check_names(observed: ObservedAuthority, path: Path) -> Iterator[Finding]:
    """Name constraints let the mesh's identities and its istiod's names through."""
    for each in path:
        constraints = each.find(x509.NameConstraints)
        if constraints is None:
            continue
        if lost := [d for d in observed.trust_domains if _excludes_domain(constraints, d)]:
            yield observed.tell(
                Reason.AUTHORITY_NAMES_EXCLUDED,
                each,
                f"its name constraints exclude identities of trust domain {join(lost)} "
                f"(spiffe://{lost[0]}/…): istiod signs them, and every proxy refuses them",
                f"permit URI:{lost[0]}, or leave constraints on URIs out; or set the mesh's trust domain",
            )
        if lost := [host for host in observed.hosts if _excludes_host(constraints, host)]:
            yield observed.tell(
                Reason.AUTHORITY_NAMES_EXCLUDED,
                each,
                f"its name constraints exclude istiod's own name {join(lost)}: no proxy would connect to it",
                "permit DNS:svc, or leave constraints on DNS names out",
            )


def _excludes_domain(constraints: x509.NameConstraints, domain: str) -> bool:
    """As RFC 5280 has it for URIs, and Envoy: a host is meant itself, and a leading dot means what is below.
    Go takes a host for what is below as well, so that counts where something is excluded."""
    permitted = _values(constraints.permitted_subtrees, x509.UniformResourceIdentifier)
    excluded = _values(constraints.excluded_subtrees, x509.UniformResourceIdentifier)
    is_permitted = any(
        domain.endswith(each) if each.startswith(".") else domain == each for each in permitted
    )
    return any(_is_below(domain, each) for each in excluded) or (bool(permitted) and not is_permitted)


def _excludes_host(constraints: x509.NameConstraints, host: str) -> bool:
    permitted = _values(constraints.permitted_subtrees, x509.DNSName)
    excluded = _values(constraints.excluded_subtrees, x509.DNSName)
    return any(_is_below(host, each) for each in excluded) or (
        bool(permitted) and not any(_is_below(host, each) for each in permitted)
    )


def _is_below(name: str, constraint: str) -> bool:
    bare = constraint.lstrip(".")
    return not bare or name.endswith(f".{bare}") or (name == bare and not constraint.startswith("."))


def _values(names: list[x509.GeneralName] | None, kind: type[x509.GeneralName]) -> list[str]:
    return [str(name.value).lower() for name in names or () if isinstance(name, kind)]


def _tell(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g} hours"


CHECKS: tuple[PathCheck, ...] = (
    check_may_sign,
    check_may_sign_for_both_sides,
    check_path_length,
    check_dates,
    check_time_left,
    check_outlives_nobody,
    check_strength,
    check_algorithm,
    check_critical_extensions,
    check_names,
)
