"""What a peer shows: by which roots its certificate is accepted, and which roots it accepts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from navarch.core.trust.authority import Certificate
from navarch.core.trust.evidence import (
    LONGEST,
    MOST_NAMES,
    Shown,
    find_reached,
    read_shown,
    read_trusted,
)

from tests.support.peers import Party, load

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
A, B = Party(1, NOW), Party(2, NOW)
ROOTS = {"a": A.certificate, "b": B.certificate}


def certify(each: x509.Certificate | bytes) -> Certificate:
    return Certificate(load(each) if isinstance(each, bytes) else each)


def chain(*certificates: x509.Certificate | bytes) -> tuple[Certificate, ...]:
    return tuple(map(certify, certificates))


def reach(*certificates: x509.Certificate | bytes, now: datetime = NOW) -> frozenset[str]:
    return find_reached(chain(*certificates), ROOTS, now=now)


B_LEAF, B_CHAIN = B.leaf().certificate, (B.intermediate.certificate, B.cross(A))


def test_a_certificate_is_accepted_by_the_root_at_the_end_of_its_chain() -> None:
    assert reach(A.leaf().certificate, A.intermediate.certificate) == {"a"}
    assert reach(A.leaf().certificate, A.intermediate.certificate, A.root.certificate) == {"a"}
    assert reach(A.leaf(by=A.root).certificate) == {"a"}, "istiod's own root signs proxies itself"


def test_a_root_that_another_one_signed_is_accepted_by_either_alone() -> None:
    assert reach(B_LEAF, *B_CHAIN) == {"a", "b"}
    assert reach(B_LEAF, *reversed(B_CHAIN)) == {"a", "b"}, "the order of a chain does not count"
    assert reach(B_LEAF, A.root.certificate, *B_CHAIN) == {"a", "b"}


def test_a_gap_in_the_chain_is_not_bridged() -> None:
    assert reach(A.leaf().certificate) == frozenset()
    assert reach(A.leaf().certificate, B.intermediate.certificate, B.root.certificate) == frozenset()
    assert reach() == frozenset()
    # A root in the chain does not vouch for itself.
    assert find_reached(chain(B_LEAF, *B_CHAIN, B.root.certificate), {"a": ROOTS["a"]}, now=NOW) == {"a"}
    other = Party(1, NOW)
    assert reach(other.leaf().certificate, other.intermediate.certificate) == frozenset()


def test_what_is_not_valid_now_carries_nobody() -> None:
    expired = B.cross(A, days=-1)
    assert reach(B_LEAF, B.intermediate.certificate, expired) == {"b"}
    old = B.issue(B.root, days=10)
    assert reach(B.leaf(days=20, by=old).certificate, old.certificate, B.cross(A)) == {"a", "b"}
    later = NOW + timedelta(days=15)
    assert reach(B.leaf(days=20, by=old).certificate, old.certificate, now=later) == frozenset()
    assert reach(B_LEAF, *B_CHAIN, now=NOW + timedelta(days=2)) == frozenset(), "nor is its own, then"
    assert reach(B_LEAF, *B_CHAIN, now=NOW - timedelta(days=30)) == frozenset()


def sign(
    subject: x509.Name, issuer: Certificate, key: bytes, *, ca: bool | None, length: int | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    own = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.parsed.subject)
        .public_key(own.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, length), critical=True)
    return builder.sign(load_pem_private_key(key, password=None), SHA256()), own


@pytest.mark.parametrize(
    ("ca", "length", "reached"),
    [(True, None, {"a"}), (True, 0, {"a"}), (False, None, set()), (None, None, set())],
)
def test_only_authorities_sign(ca: bool | None, length: int | None, reached: set[str]) -> None:
    name = x509.Name.from_rfc4514_string("CN=between")
    between, key = sign(name, ROOTS["a"], A.root.key, ca=ca, length=length)
    leaf = x509.CertificateBuilder(
        name, x509.Name([]), key.public_key(), 9, NOW, NOW + timedelta(hours=1)
    ).sign(key, SHA256())
    assert reach(leaf, between) == reached


def test_a_path_is_no_longer_than_each_authority_allows() -> None:
    assert A.certificate.find(x509.BasicConstraints) == x509.BasicConstraints(True, 2)
    issuer, key, between = A.certificate, A.root.key, list[x509.Certificate]()
    for i in range(4):
        made, own = sign(x509.Name.from_rfc4514_string(f"CN={i}"), issuer, key, ca=True)
        between.append(made)
        issuer, key = certify(made), _write(own)
        end, _ = sign(x509.Name([]), issuer, key, ca=None)
        assert reach(end, *between) == ({"a"} if i < 2 else frozenset()), i


def _write(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_roots_are_trusted_by_their_names() -> None:
    names = {key: root.parsed.subject.public_bytes() for key, root in ROOTS.items()}
    assert read_trusted(frozenset(names.values()), ROOTS) == {"a", "b"}
    assert read_trusted(frozenset({names["b"], b"", b"\x30\x00"}), ROOTS) == {"b"}
    assert read_trusted(frozenset(), ROOTS) == frozenset()
    twins = {**ROOTS, "renewed": ROOTS["a"]}
    assert read_trusted(frozenset({names["a"]}), twins) == {"a", "renewed"}


def der(pem: bytes) -> bytes:
    return load(pem).public_bytes(Encoding.DER)


def test_of_what_a_peer_sends_the_readable_is_kept_up_to_a_bound() -> None:
    leaf, between = der(B_LEAF), der(B.intermediate.certificate)
    shown = read_shown([leaf, b"garbage", between], [b"x", b"x"])
    assert shown == Shown(chain(B_LEAF, B.intermediate.certificate), frozenset({b"x"}))
    assert read_shown([leaf], None) == Shown(chain(B_LEAF))
    long = read_shown([leaf] + [between] * 100, [str(i).encode() for i in range(10_000)])
    assert long is not None
    assert (len(long.chain), len(long.accepted)) == (LONGEST, MOST_NAMES)
    assert find_reached(long.chain, ROOTS, now=NOW) == {"b"}
    assert find_reached(chain(B_LEAF) * LONGEST + chain(B.intermediate.certificate), ROOTS, now=NOW) == set()


@pytest.mark.parametrize("own", [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x00" * 70_000])
def test_a_certificate_that_cannot_be_read_shows_nothing(own: bytes) -> None:
    assert read_shown([own, der(B.intermediate.certificate)], []) is None
    assert read_shown([], []) is None


def signed(text: bytes) -> tuple[bytes, bytes]:
    """What a signature is about, and the signature."""
    certificate = x509.load_der_x509_certificate(text)
    return certificate.tbs_certificate_bytes, certificate.signature


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_byte_that_is_changed_in_a_chain_raises_or_is_accepted() -> None:
    honest = [der(B_LEAF), der(B_CHAIN[0]), B_CHAIN[1].public_bytes(Encoding.DER)]
    for which, text in enumerate(honest):
        for at in range(len(text)):
            for value in {text[at] ^ 1, text[at] ^ 0x80, 0, 0xFF} - {text[at]}:
                changed = [*honest]
                changed[which] = text[:at] + bytes([value]) + text[at + 1 :]
                shown = read_shown(changed, [changed[which]])
                if shown is None:
                    continue
                allowed = [{"b"} if which == 2 else set()]
                whole = len(shown.chain) == len(honest)
                if whole and signed(changed[which]) == signed(text):  # a signature ignores some bits
                    allowed.append({"a", "b"})
                assert find_reached(shown.chain, ROOTS, now=NOW) in allowed
                assert read_trusted(shown.accepted, ROOTS) == frozenset()
                assert repr(shown)
