"""The certificate of the metrics' port: mounted, or made in memory where none is mounted.

Owns where it is looked for, and when it is read again. Must never write a key to a disk, nor raise for a file
that is wrong. Invariants: there is a certificate at any time; a pair of files is taken whole, as it was read,
or not at all, and then what was served before is served on.
"""

from __future__ import annotations

import errno
import os
import ssl
import stat
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FILES = ("tls.crt", "tls.key")
USUAL: tuple[tuple[Path, tuple[str, str]], ...] = (
    (Path("/tmp/k8s-metrics-server/metrics-certs"), FILES),
    (Path("/tmp/k8s-webhook-server/serving-certs"), FILES),
    (Path("/apiserver.local.config/certificates"), ("apiserver.crt", "apiserver.key")),
)
"""Where certificates are usually mounted: by cert-manager for kubebuilder's operators, then by OLM."""
LIFETIME = timedelta(days=90)
"""Of a certificate that was made here; it is replaced after half of it."""
_MOST = 1024 * 1024
_TIME = "%Y-%m-%dT%H:%M:%SZ"

Pair = tuple[bytes, bytes]


class Certificates:
    """`folder` is looked into alone where it is given, `usual` otherwise; `names` are the DNS names of a
    certificate that is made here. Call look() before the first context is wanted, and now and then."""

    def __init__(
        self,
        folder: Path | None,
        *,
        names: Sequence[str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        usual: Sequence[tuple[Path, tuple[str, str]]] = USUAL,
    ) -> None:
        self._folder, self._usual, self._names, self._now = folder, usual, names, now
        self._context: ssl.SSLContext | None = None
        self._pair: Pair | None = None
        self._renew_at: datetime | None = None
        self.problem = ""
        """Why a mounted certificate is not served, or should not be; empty where nothing is wrong."""
        self.validity: tuple[datetime, datetime] | None = None
        """From when until when the certificate that is served is valid; None before there is one."""

    def get_context(self) -> ssl.SSLContext:
        """The TLS context for a connection that begins now."""
        if self._context is None:
            self.look()
        assert self._context is not None
        return self._context

    def look(self) -> None:
        """Take a mounted certificate that is new; make one where none was ever good."""
        self.problem = self._take_mounted()
        is_due = self._renew_at is not None and self._now() >= self._renew_at
        if self._context is None or is_due:
            pair = build_self_signed(self._names, now=self._now())
            self._serve(pair, x509.load_pem_x509_certificate(pair[0]))
            self._renew_at = self._now() + LIFETIME / 2

    def _take_mounted(self) -> str:
        place = self._find_place()
        if place is None:
            return ""
        try:
            pair = _read(place[0]), _read(place[1])
            certificate = x509.load_pem_x509_certificate(pair[0])
            begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            if pair != self._pair:
                self._serve(pair, certificate)
                self._pair, self._renew_at = pair, None
        except OSError as error:  # of files, or of TLS
            reason = error.strerror or error.args[-1]
            return f"{place[0]} and {place[1].name}: {reason}; {self._tell_served()} is served"
        except (ValueError, x509.InvalidVersion) as error:
            return f"{place[0]}: {error}; {self._tell_served()} is served"
        if self._now() < begins:
            return f"{place[0]} is not valid before {begins:{_TIME}}"
        return f"{place[0]} expired at {ends:{_TIME}}" if ends < self._now() else ""

    def _serve(self, pair: Pair, certificate: x509.Certificate) -> None:
        self._context = build_context(pair)
        self.validity = certificate.not_valid_before_utc, certificate.not_valid_after_utc

    def _find_place(self) -> tuple[Path, Path] | None:
        if self._folder is not None:
            return self._folder / FILES[0], self._folder / FILES[1]
        places = ((folder / certificate, folder / key) for folder, (certificate, key) in self._usual)
        return next((place for place in places if any(map(_is_there, place))), None)

    def _tell_served(self) -> str:
        return "the certificate that was read before" if self._pair else "a self-made certificate"


def build_context(pair: Pair) -> ssl.SSLContext:
    """A server's context for a certificate chain and its key, in PEM. Raises OSError where they are not that,
    or do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    held = os.memfd_create("certificate")  # the library reads files only
    try:
        os.write(held, b"\n".join(pair))
        # A key under a password is an error; without this the library would ask the terminal.
        context.load_cert_chain(f"/proc/self/fd/{held}", password="")
    finally:
        os.close(held)
    return context


def build_self_signed(names: Sequence[str], *, now: datetime) -> Pair:
    """A certificate for these DNS names, signed by its own key, and the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _is_there(path: Path) -> bool:
    """Whether there is such a file, or the system does not let us see: reading it says why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> bytes:
    # Without waiting: of a pipe the writer may never come.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(_MOST)
