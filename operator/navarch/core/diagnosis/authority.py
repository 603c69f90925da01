"""The tree of a certificate authority: each root, and below it what it signed, down to what istiod signs
with.

Owns the shape of the tree. Must never find anything wrong: core/trust/checks does. Invariant: a certificate
is in the tree once; no private key is, nor a part of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC

from navarch.core.diagnosis.node import Node
from navarch.core.model.messages import count
from navarch.core.trust.authority import Authority, Certificate, Form
from navarch.core.trust.checks import ObservedAuthority, choose_path

_FORMS = {
    None: "no certificate authority",
    Form.ISTIO: "under istiod's names",
    Form.TLS: "in the form kubernetes.io/tls",
    Form.PEM: "PEM",
}
_SHORT = 16


def build_authority(source: str, observed: ObservedAuthority) -> Node:
    """The tree of what stands in `source`."""
    authority = observed.authority
    path = choose_path(observed)
    children = [_build_root(observed, root, path) for root in authority.roots]
    if path and path[-1] not in authority.roots.roots:
        children.append(_build_line(observed, path, "Unrooted"))
    placed = {*path, *authority.roots.roots}
    children += [_build(observed, each, "Other") for each in authority.certificates if each not in placed]
    number = count(len(authority.certificates), "certificate", "certificates")
    summary = _FORMS[authority.form] + (f", {number}" if authority.form else "")
    facts = {"form": authority.form.value if authority.form else "", "bytes": authority.size}
    return Node("CertificateAuthority", source, summary, facts, children=tuple(children))


def _build_root(observed: ObservedAuthority, root: Certificate, path: tuple[Certificate, ...]) -> Node:
    return _build_line(observed, path, "Root") if path[-1:] == (root,) else _build(observed, root, "Root")


def _build_line(observed: ObservedAuthority, path: tuple[Certificate, ...], top: str) -> Node:
    """What is signed, each below who signed it, from `path`, which is the other way round."""
    node: tuple[Node, ...] = ()
    for each in path:
        kind = top if each is path[-1] else "Signer" if each is path[0] else "Intermediate"
        node = (_build(observed, each, kind, node),)
    return node[0]


def _build(
    observed: ObservedAuthority, certificate: Certificate, kind: str, children: Iterable[Node] = ()
) -> Node:
    authority = observed.authority
    signs = certificate == authority.signer
    has_key = authority.key is not None and authority.key.public == certificate.public_key
    notes = [
        certificate.algorithm,
        f"until {certificate.ends:%Y-%m-%d}",
        f"SHA-256 {certificate.fingerprint[:_SHORT]}…",
        *(["istiod signs with it"] if signs and kind != "Signer" and authority.form is not Form.PEM else []),
        *(["its key is here"] if has_key else []),
    ]
    return Node(
        kind,
        certificate.subject,
        ", ".join(notes),
        {**_describe(authority, certificate), "place": observed.find_place(certificate), "key": has_key},
        children=tuple(children),
    )


def _describe(authority: Authority, certificate: Certificate) -> dict[str, object]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "algorithm": certificate.algorithm,
        "notBefore": f"{certificate.begins.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "notAfter": f"{certificate.ends.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "signs": certificate == authority.signer,
    }
