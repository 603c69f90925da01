"""What is said of the certificates with which gateways end TLS."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from navarch.core.diagnosis.certificates import Credential, run_rules_of_certificates
from navarch.core.diagnosis.report import Subject
from navarch.core.diagnosis.routes import OF_ROUTES
from navarch.core.diagnosis.routing import read_gateway, read_istio_gateway

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
