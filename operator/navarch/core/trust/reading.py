"""How a certificate authority is read: from a Secret's data, as istiod would read it, or from a PEM file.

Owns the choice of the form and the way from bytes to values. Must never judge, and never keep or quote a
private key. Invariant: any data of any kind give an Authority; none of it raises.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from navarch.core.model.pem import (
    BROKEN,
    CERTIFICATE,
    Block,
    find_blocks,
    has_own_label,
    load_certificate,
    read_public_half,
)
from navarch.core.trust.authority import (
    NAMES,
    Authority,
    Certificate,
    Flaw,
    FlawKind,
    Form,
    Key,
    Part,
    TrustBundle,
    name_algorithm,
)

MOST_BYTES = 1024 * 1024
"""What the API server takes in one Secret."""
MOST_BLOCKS = 64
"""PEM blocks in one key of a Secret that are read."""
GENERATED = "istio-generated"
"""The key by which istiod marks a Secret `cacerts` that it made itself."""
_CRL = "X509 CRL"
_KEY_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_LOCKED = "ENCRYPTED PRIVATE KEY"
_DER = b"\x30"
_EMPTY = {True: FlawKind.NOT_BASE64, False: FlawKind.EMPTY}


def read_secret(data: Mapping[str, Any] | None) -> Authority:
    """The authority in a Secret's data, as the API server gives it: base64."""
    decoded: dict[str, bytes | None] = {}
    for name, value in (data or {}).items():
        try:
            decoded[name] = base64.b64decode(str(value or ""), validate=True)
        except (binascii.Error, ValueError):
            decoded[name] = None
    return read_authority(decoded)


def read_authority(data: Mapping[str, bytes | None]) -> Authority:
    """The authority in a Secret's data, decoded; None is what could not be."""
    form = _choose_form(data)
    wanted = _list_names(form) if form else ()
    others = {name for each in NAMES if each is not form for name in _list_names(each)}
    size = sum(len(name) + len(value or b"") for name, value in data.items())
    foreign = tuple(sorted(name for name in data if name not in wanted and name not in others))
    other = tuple(sorted(others & data.keys()))
    if size > MOST_BYTES:
        return Authority(form, other=other, foreign=foreign, size=size, too_large=True)
    parts = tuple(_read_part(form, name, data[name]) for name in wanted if form and name in data)
    return Authority(form, parts, other=other, foreign=foreign, size=size)


def _choose_form(data: Mapping[str, bytes | None]) -> Form | None:
    """istiod looks for tls.crt first; where there is none, any of its own names decides."""
    if NAMES[Form.TLS].signer in data:
        return Form.TLS
    return next((form for form in NAMES if any(name in data for name in _list_names(form))), None)


def _list_names(form: Form) -> tuple[str, ...]:
    names = NAMES[form]
    return (*names.required, *((names.crl,) if names.crl else ()))


def read_pem(name: str, text: bytes) -> Authority:
    """The authority in one file of certificates, in the order in which they stand; `name` is what messages
    call it. A private key may be in it."""
    if len(text) > MOST_BYTES:
        return Authority(Form.PEM, size=len(text), too_large=True)
    part = _read_part(Form.PEM, name, text)
    return Authority(Form.PEM, (part,), size=len(text))


def _read_part(form: Form, name: str, text: bytes | None) -> Part:
    if text is None or not text.strip():
        return Part(name, len(text or b""), flaws=(Flaw(_EMPTY[text is None]),))
    pem = find_blocks(text)
    if not pem.blocks and not pem.torn:
        kind = FlawKind.DER if text.startswith(_DER) and not text.isascii() else FlawKind.NOT_PEM
        return Part(name, len(text), flaws=(Flaw(kind),))
    if len(pem.blocks) > MOST_BLOCKS:
        return Part(name, len(text), flaws=(Flaw(FlawKind.TOO_MANY),))
    torn = (Flaw(FlawKind.TORN, pem.torn),) if pem.torn else ()
    stray = (Flaw(FlawKind.STRAY, pem.stray),) if pem.stray else ()
    part = _choose_reader(form, name)(name, pem.blocks)
    return replace(part, size=len(text), flaws=(*torn, *stray, *part.flaws))


def _choose_reader(form: Form, name: str) -> Callable[[str, tuple[Block, ...]], Part]:
    if form is Form.PEM:
        return _read_file
    return {NAMES[form].key: _read_key, NAMES[form].crl: _read_lists}.get(name, _read_certificates)


def _read_file(name: str, blocks: tuple[Block, ...]) -> Part:
    """Certificates in any order, and a key that may be among them."""
    part = _read_certificates(name, tuple(block for block in blocks if not block.is_key))
    keys = _read_key(name, tuple(block for block in blocks if block.is_key))
    return replace(part, key=keys.key, flaws=(*part.flaws, *keys.flaws))


def _read_certificates(name: str, blocks: tuple[Block, ...]) -> Part:
    found: list[Certificate] = []
    flaws: list[Flaw] = []
    for block in blocks:
        if block.is_key:
            flaws.append(Flaw(FlawKind.KEY_EXPOSED, block.line, block.label))
        elif block.label != CERTIFICATE:
            flaws.append(Flaw(FlawKind.UNEXPECTED, block.line, block.label))
        elif not block.plain:
            flaws.append(Flaw(FlawKind.HEADERS, block.line, block.label))
        elif parsed := load_certificate(block.der):
            found.append(Certificate(parsed))
        else:
            flaws.append(Flaw(FlawKind.UNREADABLE, block.line, block.label))
    return Part(name, certificates=tuple(found), flaws=tuple(flaws))


def _read_key(name: str, blocks: tuple[Block, ...]) -> Part:
    """The key in the first block, which is the only one that istiod looks at."""
    if not blocks:
        return Part(name)
    first = blocks[0]
    public = read_public_half(first) if first.label in _KEY_LABELS and not first.locked else b""
    if first.locked or first.label == _LOCKED:
        wrong = FlawKind.KEY_LOCKED
    elif first.label not in _KEY_LABELS:
        wrong = FlawKind.UNEXPECTED
    elif not public:
        wrong = FlawKind.KEY_UNREADABLE
    elif not has_own_label(first):
        wrong = FlawKind.KEY_LABEL
    else:
        rest = tuple(Flaw(FlawKind.UNEXPECTED, each.line, each.label) for each in blocks[1:])
        return Part(name, key=_describe_key(public), flaws=rest)
    key = _describe_key(public) if public else None
    return Part(name, key=key, flaws=(Flaw(wrong, first.line, first.label),))


def _describe_key(public: bytes) -> Key:
    return Key(public, name_algorithm(load_der_public_key(public)))


def _read_lists(name: str, blocks: tuple[Block, ...]) -> Part:
    found: list[x509.CertificateRevocationList] = []
    flaws: list[Flaw] = []
    for block in blocks:
        if block.label != _CRL:
            kind = FlawKind.KEY_EXPOSED if block.is_key else FlawKind.UNEXPECTED
            flaws.append(Flaw(kind, block.line, block.label))
            continue
        try:
            found.append(x509.load_der_x509_crl(block.der))
        except BROKEN:
            flaws.append(Flaw(FlawKind.CRL_UNREADABLE, block.line, block.label))
    return Part(name, lists=tuple(found), flaws=tuple(flaws))


def read_bundle(pem: bytes) -> TrustBundle | None:
    """The roots in a PEM bundle; None where there are none, or one of them cannot be read."""
    found = find_blocks(pem)
    if found.torn or len(found.blocks) > MOST_BLOCKS:
        return None
    part = _read_certificates("", found.blocks)
    if part.flaws or not part.certificates:
        return None
    return TrustBundle(frozenset(part.certificates))


def fingerprint_bundle(pem: bytes) -> str:
    """Hexadecimal fingerprint of the set of certificates in a PEM bundle; empty where it cannot be read."""
    bundle = read_bundle(pem)
    return bundle.fingerprint if bundle else ""
