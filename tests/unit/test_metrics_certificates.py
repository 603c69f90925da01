"""The certificate of the metrics' port: which is served, and what is said of one that cannot be."""

from __future__ import annotations

import base64
import os
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from navarch.telemetry.certificates import LIFETIME, Certificates, Pair, build_self_signed

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def make(name: str, *, now: datetime = NOW) -> Pair:
    return build_self_signed([name], now=now)


def write(folder: Path, pair: Pair, names: tuple[str, str] = ("tls.crt", "tls.key")) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in zip(names, pair, strict=True):
        (folder / name).write_bytes(content)


def build(folder: Path | None, *, clock: Clock | None = None, usual: Path | None = None) -> Certificates:
    places = [(usual, ("tls.crt", "tls.key"))] if usual else []
    return Certificates(folder, names=["made.here"], now=clock or Clock(), usual=places)


def read_served(certificates: Certificates) -> str:
    """The name in the certificate that a client is shown."""
    near, far = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    asks = client.wrap_bio(near, far)
    answers = certificates.get_context().wrap_bio(far, near, server_side=True)
    for _ in range(4):
        for side in (asks, answers):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = asks.getpeercert(binary_form=True)
    assert shown is not None
    certificate = x509.load_der_x509_certificate(shown)
    valid = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert certificates.validity == valid, "the metrics say of another certificate how long it is valid"
    return certificate.subject.rfc4514_string().removeprefix("CN=")


def test_without_a_mount_a_certificate_is_made_and_nothing_is_wrong(tmp_path: Path) -> None:
    for certificates in (build(None), build(None, usual=tmp_path), build(None, usual=tmp_path / "none")):
        assert read_served(certificates) == "made.here"
        assert certificates.problem == ""


def test_a_certificate_that_was_made_is_replaced_after_half_of_its_life() -> None:
    clock = Clock()
    certificates = build(None, clock=clock)
    first = certificates.get_context()
    clock.now += LIFETIME / 2 - timedelta(seconds=1)
    certificates.look()
    assert certificates.get_context() is first
    clock.now += timedelta(seconds=1)
    certificates.look()
    assert certificates.get_context() is not first


def test_a_mount_is_served_and_what_comes_later_or_changes_is_taken_up(tmp_path: Path) -> None:
    certificates = build(None, usual=tmp_path / "mount")
    assert read_served(certificates) == "made.here"
    for name in ("first", "second"):
        write(tmp_path / "mount", make(name))
        certificates.look()
        assert read_served(certificates) == name
        assert certificates.problem == ""
    unchanged = certificates.get_context()
    certificates.look()
    assert certificates.get_context() is unchanged


def test_the_folder_of_the_setting_goes_before_the_usual_ones(tmp_path: Path) -> None:
    write(tmp_path / "usual", make("usual"))
    write(tmp_path / "given", make("given"))
    assert read_served(build(tmp_path / "given", usual=tmp_path / "usual")) == "given"
    missing = build(tmp_path / "missing", usual=tmp_path / "usual")
    assert read_served(missing) == "made.here"
    assert missing.problem == (
        f"{tmp_path}/missing/tls.crt and tls.key: No such file or directory; a self-made certificate is "
        "served"
    )


ENCRYPTED = serialization.BestAvailableEncryption(b"secret")


def spoil(how: str, pair: Pair) -> Pair:
    certificate, key = pair
    if how == "another key":
        return certificate, make("other")[1]
    if how == "a key under a password":
        loaded = serialization.load_pem_private_key(key, None)
        form = serialization.PrivateFormat.PKCS8
        return certificate, loaded.private_bytes(serialization.Encoding.PEM, form, ENCRYPTED)
    return {
        "no certificate": (b"", key),
        "no key": (certificate, b""),
        "not PEM": (b"\0\1\2", b"\0\1\2"),
        "cut off": (certificate[: len(certificate) // 2], key),
        "the wrong way round": (key, certificate),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "another key",
        "a key under a password",
        "no certificate",
        "no key",
        "not PEM",
        "cut off",
        "the wrong way round",
    ],
)
def test_a_pair_that_is_no_good_is_told_and_what_was_served_is_served_on(how: str, tmp_path: Path) -> None:
    good, bad = make("good"), spoil(how, make("bad"))
    certificates = build(tmp_path)
    write(tmp_path, bad)
    certificates.look()
    assert read_served(certificates) == "made.here"
    assert f"{tmp_path}/tls.crt" in certificates.problem
    assert certificates.problem.endswith("; a self-made certificate is served")
    write(tmp_path, good)
    certificates.look()
    assert (read_served(certificates), certificates.problem) == ("good", "")
    write(tmp_path, bad)
    certificates.look()
    assert read_served(certificates) == "good"
    assert certificates.problem.endswith("; the certificate that was read before is served")


def test_a_certificate_that_has_expired_is_served_and_told(tmp_path: Path) -> None:
    write(tmp_path, make("old", now=NOW - LIFETIME - timedelta(days=1)))
    certificates = build(tmp_path)
    assert read_served(certificates) == "old"
    assert certificates.problem == f"{tmp_path}/tls.crt expired at 2026-05-31T00:00:00Z"


def test_a_certificate_that_is_not_valid_yet_is_served_and_told(tmp_path: Path) -> None:
    write(tmp_path, make("early", now=NOW + timedelta(days=1)))
    certificates = build(tmp_path)
    assert read_served(certificates) == "early"
    assert certificates.problem == f"{tmp_path}/tls.crt is not valid before 2026-06-01T23:00:00Z"


ORDER = make("whole")
DER = x509.load_pem_x509_certificate(ORDER[0]).public_bytes(serialization.Encoding.DER)
VERSION = DER.index(b"\xa0\x03\x02\x01") + 4
"""Where a certificate says of which version of X.509 it is."""


@given(st.dictionaries(st.integers(0, len(DER) - 1) | st.just(VERSION), st.integers(0, 255), max_size=4))
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_certificate_with_any_wrong_bytes_is_served_or_told(
    tmp_path_factory: pytest.TempPathFactory, wrong: dict[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("wrong")
    spoiled = bytes(wrong.get(at, byte) for at, byte in enumerate(DER))
    text = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(spoiled) + b"-----END CERTIFICATE-----\n"
    write(folder, (text, ORDER[1]))
    certificates = build(None, usual=folder)
    certificates.look()
    assert certificates.get_context() is not None
    if spoiled[VERSION] not in (0, 1, 2):
        assert "a self-made certificate is served" in certificates.problem


def test_a_file_that_would_be_waited_for_is_told(tmp_path: Path) -> None:
    write(tmp_path, make("x"))
    (tmp_path / "tls.crt").unlink()
    os.mkfifo(tmp_path / "tls.crt")
    certificates = build(tmp_path)
    looking = threading.Thread(target=certificates.look, daemon=True)
    looking.start()
    looking.join(30)
    assert not looking.is_alive(), "it waits until the pipe is written to"
    assert "not a regular file" in certificates.problem


def forbid(folder: Path) -> None:
    folder.chmod(0)
    if os.geteuid() == 0:  # whom no mode stops
        os.seteuid(65534)


@pytest.mark.parametrize(
    ("spoil_mount", "reason"),
    [
        (forbid, "Permission denied"),
        (lambda folder: (folder / "tls.crt").symlink_to("tls.crt"), "Too many levels of symbolic links"),
        (lambda folder: (folder / "tls.crt").symlink_to("..data/tls.crt"), "No such file or directory"),
        (lambda folder: (folder / "tls.crt").mkdir(), "Is a directory"),
    ],
)
def test_a_usual_mount_that_cannot_be_read_is_told_and_never_passed_over(
    spoil_mount: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mount"
    folder.mkdir()
    user = os.geteuid()
    certificates = build(None, usual=folder)
    try:
        spoil_mount(folder)
        certificates.look()
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
    told = f"{folder}/tls.crt and tls.key: {reason}; a self-made certificate is served"
    assert certificates.problem == told
    assert read_served(certificates) == "made.here"


def test_no_key_is_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    build(None).get_context()
    assert list(tmp_path.iterdir()) == []
