"""What is said of the certificates with which gateways end TLS."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from navarch.core.diagnosis.certificates import Credential, run_rules_of_certificates
from navarch.core.diagnosis.report import Subject
from navarch.core.diagnosis.routes import OF_ROUTES
from navarch.core.diagnosis.routing import read_gateway, read_istio_gateway
from navarch.core.world.certificates import LONGEST

from tests.support.certificates import build_data, issue

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
HOST = "shop.example.com"
SECRET = Subject("Secret", "front", "cert")


def tell(data: Any, *hosts: str, now: datetime = NOW) -> list[tuple[str, str]]:
    """Ids and messages of everything that is said of a Secret with this data."""
    credential = Credential(Subject("Gateway", "front", "web"), "https", hosts or (HOST,), SECRET, data)
    found = [*run_rules_of_certificates((credential,), f"{now:%Y-%m-%dT%H:%M:%SZ}")]
    assert all(d.id in OF_ROUTES and str(d.subject) == "Gateway front/web" and d.remedy for d in found)
    return [(d.id, d.message) for d in found]


def ids(data: Any, *hosts: str) -> list[str]:
    return [which for which, _ in tell(data, *hosts)]


@pytest.mark.parametrize("names", [("tls.crt", "tls.key"), ("cert", "key")])
def test_a_certificate_in_order_gives_nothing_under_either_name(names: tuple[str, str]) -> None:
    assert tell(build_data(issue(HOST, now=NOW), names=names)) == []


@pytest.mark.parametrize("data", [None, {}, {"tls.crt": "eA=="}, {"ca.crt": "eA=="}])
def test_a_secret_that_is_not_there_or_lacks_a_part_is_missing(data: Any) -> None:
    assert ids(data) == ["CertificateMissing"]


def test_what_is_no_certificate_or_no_key_is_broken_and_none_of_it_is_quoted() -> None:
    good = build_data(issue(HOST, now=NOW))
    secret = base64.b64encode(b"hunter2").decode()
    for data in ({**good, "tls.crt": secret}, {**good, "tls.key": secret}, {**good, "tls.crt": "%%%"}):
        ((which, message),) = tell(data)
        assert which == "CertificateBroken"
        assert "hunter2" not in message
        assert secret not in message


def test_a_key_of_another_certificate_is_told() -> None:
    data = build_data(issue(HOST, now=NOW), key=issue(HOST, now=NOW))
    assert tell(data) == [
        (
            "CertificateBroken",
            "listener https: Secret front/cert: tls.key is not the key of the certificate in tls.crt",
        )
    ]


def an_rsa_key(p: int, q: int, *, wrong: int = 0) -> rsa.RSAPrivateKey:
    """A key of these parts, which need not be primes; its private exponent is `wrong` by so much."""
    e, product = 65537, p * q
    d = pow(e, -1, (p - 1) * (q - 1)) + wrong
    public = rsa.RSAPublicNumbers(e, product)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def data_of(key: rsa.RSAPrivateKey, *extensions: x509.ExtensionType) -> dict[str, str]:
    """A Secret with a certificate of this key for HOST, which another key has signed."""
    by, name = issue("root", now=NOW), x509.Name([])
    alternatives = [x509.SubjectAlternativeName([x509.DNSName(HOST)])]
    builder = x509.CertificateBuilder(
        name, by.certificate.subject, key.public_key(), 7, NOW - timedelta(60), NOW + timedelta(90)
    )
    for each in extensions or alternatives:
        builder = builder.add_extension(each, critical=False)
    pair = (
        builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return {n: base64.b64encode(text).decode() for n, text in zip(("tls.crt", "tls.key"), pair, strict=True)}


def test_nothing_is_tested_for_being_a_prime_since_that_would_stop_the_operator_for_a_minute() -> None:
    composite, prime = (2**127 - 1) * (2**89 - 1) ** 11, 2**1279 - 1
    assert tell(data_of(an_rsa_key(prime, composite))) == [], "the parts belong to each other"
    broken = "listener https: Secret front/cert: tls.key holds no private key that can be read"
    assert tell(data_of(an_rsa_key(prime, 2**2203 - 1, wrong=2))) == [("CertificateBroken", broken)]


def test_a_key_that_no_server_has_is_told_and_not_looked_into() -> None:
    """Diffie-Hellman, with a modulus of 44,497 bits: OpenSSL says that this cannot be, with an error of its
    own; of 10,000 it would find out for half a minute."""
    modulus = (2**44497 - 1).to_bytes(5563, "big")
    integer = bytes.fromhex("0282") + len(modulus).to_bytes(2, "big") + modulus
    parameters = bytes.fromhex("3082") + (len(integer) + 3).to_bytes(2, "big") + integer + b"\x02\x01\x03"
    kind = bytes.fromhex("06092a864886f70d010301") + parameters
    algorithm = bytes.fromhex("3082") + len(kind).to_bytes(2, "big") + kind
    content = b"\x02\x01\x00" + algorithm + bytes.fromhex("0403020105")
    der = bytes.fromhex("3082") + len(content).to_bytes(2, "big") + content
    pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END PRIVATE KEY-----\n"
    for text in (pem, b"-----BEGIN EC PARAMETERS-----\nBg==\n-----END EC PARAMETERS-----\n" + pem):
        data = {**build_data(issue(HOST, now=NOW)), "tls.key": base64.b64encode(text).decode()}
        ((which, message),) = tell(data)
        assert (which, message.rpartition(": ")[2]) == (
            "CertificateBroken",
            "tls.key holds no private key that can be read",
        )


def test_a_certificate_with_names_of_an_odd_kind_is_one_without_names() -> None:
    odd = x509.UnrecognizedExtension(
        x509.SubjectAlternativeName.oid, bytes.fromhex("3002a300")
    )  # x400Address
    assert ids(data_of(an_rsa_key(2**1279 - 1, 2**2203 - 1), odd)) == ["CertificateOtherNames"]


def test_what_is_larger_than_any_chain_is_not_read() -> None:
    good = build_data(issue(HOST, now=NOW))
    for name in ("tls.crt", "tls.key"):
        long = base64.b64encode(base64.b64decode(good[name]) + b"\n" * LONGEST).decode()
        ((which, message),) = tell({**good, name: long})
        assert which == "CertificateBroken"
        assert f"{name} has more than 64 KiB" in message


def test_a_chain_holds_when_each_signed_the_one_before() -> None:
    root = issue("root", now=NOW)
    middle = issue("middle", now=NOW, by=root)
    leaf = issue(HOST, now=NOW, by=middle)
    assert tell(build_data(leaf)) == []
    assert tell(build_data(leaf, chain=())) == [], "the root may be at the client"
    broken = build_data(leaf, chain=(root.certificate, middle.certificate))
    ((which, message),) = tell(broken)
    assert which == "CertificateBroken"
    assert "CN=root did not sign CN=shop.example.com" in message


@pytest.mark.parametrize(
    ("names", "hosts", "lost"),
    [
        (["*.example.com"], [HOST], ""),
        (["SHOP.example.com"], [HOST], ""),
        (["*.example.com"], ["*.example.com"], ""),
        ([HOST], ["*"], ""),
        ([HOST], ["front/shop.example.com"], ""),
        (["*.example.com"], ["a.b.example.com"], "a.b.example.com"),
        ([HOST], ["*.example.com"], "*.example.com"),
        (["*.example.com"], ["example.com"], "example.com"),
        ([HOST], [HOST, "other.example.com"], "other.example.com"),
        ([], [HOST], HOST),
    ],
)
def test_a_host_without_a_name_in_the_certificate_is_told(
    names: list[str], hosts: list[str], lost: str
) -> None:
    found = tell(build_data(issue(*names, now=NOW)), *hosts)
    assert [which for which, _ in found] == (["CertificateOtherNames"] if lost else [])
    if lost:
        assert f"and not {lost}: " in found[0][1]


@pytest.mark.parametrize(
    ("days", "expected", "words"),
    [
        (31, "", ""),
        (29.5, "CertificateExpires", "within 30 days"),
        (13.5, "CertificateExpires", "within 14 days"),
        (6.5, "CertificateExpires", "within 7 days"),
        (0.5, "CertificateExpires", "within a day"),
        (-0.5, "CertificateExpired", "was valid until 2026-10-01 00:00 UTC"),
    ],
)
def test_a_certificate_is_told_before_its_end_and_after_it(days: float, expected: str, words: str) -> None:
    found = tell(build_data(issue(HOST, now=NOW, days=days)))
    assert [which for which, _ in found] == ([expected] if expected else [])
    if expected:
        assert words in found[0][1]


def test_the_first_end_in_a_chain_counts_and_so_does_the_last_beginning() -> None:
    root = issue("root", now=NOW, days=5)
    assert ids(build_data(issue(HOST, now=NOW, by=root))) == ["CertificateExpires"]
    ((which, message),) = tell(build_data(issue(HOST, now=NOW, since=-2)))
    assert which == "CertificateExpired"
    assert "valid from 2026-10-03 12:00 UTC on, and not yet" in message


def test_listeners_name_their_secrets_where_they_end_tls() -> None:
    def server(**tls: Any) -> Any:
        spec = {"servers": [{"port": {"number": 1, "protocol": "HTTPS"}, "hosts": ["*"], "tls": tls}]}
        return read_istio_gateway(
            {"kind": "Gateway", "metadata": {"namespace": "a", "name": "b"}, "spec": spec}
        )

    assert server(mode="SIMPLE", credentialName="one").listeners[0].secrets == (("one", ""),)
    assert server(credentialNames=["one", "two"]).listeners[0].secrets == (("one", ""), ("two", ""))
    assert server(mode="PASSTHROUGH", credentialName="one").listeners[0].secrets == ()
    assert server(credentialName="kubernetes://one").listeners[0].secrets == ()
    tls = {
        "certificateRefs": [
            {"name": "one"},
            {"name": "two", "namespace": "x"},
            {"name": "c", "kind": "Other"},
        ]
    }
    spec = {"listeners": [{"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls}]}
    found = read_gateway({"kind": "Gateway", "metadata": {"namespace": "a", "name": "b"}, "spec": spec})
    assert found.listeners[0].secrets == (("one", ""), ("two", "x"))
