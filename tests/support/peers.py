"""Proxies and istiods in tests, as a TLS client sees them: certificates under managed roots, and servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from navarch.core.trust.authority import Certificate
from navarch.pki.authority import Pair, issue_intermediate, make_root
from OpenSSL import SSL

ALGORITHM = "ECDSA-P256"
Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


@dataclass
class Party:
    """A root, an intermediate, and what they sign."""

    generation: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    algorithm: str = ALGORITHM

    def __post_init__(self) -> None:
        self.root = make_root(
            algorithm=self.algorithm,
            organization="cluster.local",
            unit="shop",
            generation=self.generation,
            days=100,
            now=self.now,
        )
        self.intermediate = self.issue(self.root)

    @property
    def certificate(self) -> Certificate:
        return Certificate(load(self.root.certificate))

    def issue(self, root: Pair, *, days: float = 50) -> Pair:
        return issue_intermediate(
            root,
            algorithm=self.algorithm,
            organization="cluster.local",
            unit="shop",
            ends=self.now + timedelta(days),
            now=self.now,
        )

    def cross(self, other: Party, *, days: float = 50) -> x509.Certificate:
        """This root's name and key, signed by the other root."""
        key = load_pem_private_key(other.root.key, password=None)
        mine = load(self.root.certificate)
        return _sign(mine, load(other.root.certificate), key, now=self.now, days=days)

    def leaf(self, *, days: float = 1, by: Pair | None = None) -> Pair:
        """A proxy's certificate, by the intermediate unless it is said by what."""
        by = by or self.intermediate
        pair = make_root(
            algorithm=ALGORITHM, organization="", unit="", generation=0, days=1, now=self.now
        )  # for its key
        key = load_pem_private_key(by.key, password=None)
        signed = _sign(load(pair.certificate), load(by.certificate), key, now=self.now, days=days, ca=False)
        return Pair(signed.public_bytes(Encoding.PEM), pair.key)


def _sign(
    subject: x509.Certificate,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    days: float,
    ca: bool = True,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject.subject)
        .issuer_name(issuer.subject)
        .public_key(subject.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    return builder.sign(key, SHA256())


@dataclass
class Peer:
    """A server of TLS that sends these certificates and, where `accepts` is not None, refuses clients without
    one of an authority that it names."""

    sent: tuple[bytes, ...]
    key: bytes
    accepts: tuple[bytes, ...] | None = ()
    version: int = SSL.TLS1_3_VERSION
    tamper: Callable[[bytes], bytes] = bytes
    """What becomes of the bytes that it sends."""
    asked: int = 0

    def _build_context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(self.version)
        context.set_max_proto_version(self.version)
        context.use_certificate(load(self.sent[0]))
        context.use_privatekey(load_pem_private_key(self.key, password=None))
        for each in self.sent[1:]:
            context.add_extra_chain_cert(load(each))
        context.set_alpn_select_callback(lambda _, offered: offered[0])
        for each in self.accepts or ():
            context.add_client_ca(load(each))
        if self.accepts is not None:
            mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            context.set_verify(mode, lambda *_: False)
        return context

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.asked += 1
        connection = SSL.Connection(self._build_context())
        connection.set_accept_state()
        try:
            while not writer.is_closing():
                with suppress(SSL.WantReadError):
                    connection.do_handshake()
                with suppress(SSL.WantReadError):
                    writer.write(self.tamper(connection.bio_read(65536)))
                data = await reader.read(4096)
                if not data:
                    return
                connection.bio_write(data)
        except (SSL.Error, OSError):
            return
        finally:
            writer.close()


def find_signature(records: bytes) -> tuple[int, int]:
    """Where the ServerKeyExchange, which a server of TLS 1.2 signs, begins and ends."""
    at = 0
    while at < len(records):
        end = at + 5 + int.from_bytes(records[at + 3 : at + 5], "big")
        if records[at + 5] == 12:
            return at, end
        at = end
    raise AssertionError("no ServerKeyExchange")


@asynccontextmanager
async def listening(answer: Answer, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server of TCP; its port. What still answers when it ends is ended."""
    answering = set[asyncio.Task[None]]()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.ensure_future(answer(reader, writer)))

    server = await asyncio.start_server(begin, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
