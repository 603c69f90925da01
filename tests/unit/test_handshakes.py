"""Handshakes with peers on loopback that speak TLS, and with some that do something else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import cycle

import pytest
from navarch.core.trust.evidence import find_reached, read_trusted
from navarch.gather.handshakes import ISTIOD_ALPN, PROXY_ALPN, Unreachable, shake
from OpenSSL import SSL

from tests.support.peers import Answer, Party, Peer, find_signature, listening

HANGS = 0.3
"""Seconds after which a peer that never answers is given up."""
PATIENCE = 300.0
VERSIONS = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)


@pytest.fixture(scope="module")
def a() -> Party:
    return Party(1)


@pytest.fixture(scope="module")
def b() -> Party:
    return Party(2)


def peer(party: Party, *accepted: Party, version: int = SSL.TLS1_3_VERSION, asks: bool = True) -> Peer:
    leaf = party.leaf()
    accepts = tuple(each.root.certificate for each in accepted) if asks else None
    return Peer((leaf.certificate, party.intermediate.certificate), leaf.key, accepts, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("alpn", [PROXY_ALPN, ISTIOD_ALPN])
async def test_a_peer_that_refuses_clients_without_a_certificate_shows_its_own_and_whom_it_trusts(
    a: Party, b: Party, version: int, alpn: bytes
) -> None:
    async with listening(peer(a, a, b, version=version).answer) as port:
        shown = await shake("127.0.0.1", port, alpn, seconds=PATIENCE)
    roots = {"a": a.certificate, "b": b.certificate, "c": Party(3).certificate}
    assert [each.pem.encode() for each in shown.chain[1:]] == [a.intermediate.certificate]
    assert find_reached(shown.chain, roots, now=a.now) == {"a"}
    assert shown.accepted is not None
    assert read_trusted(shown.accepted, roots) == {"a", "b"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_to_ask_for_no_certificate_is_not_to_name_no_authority(a: Party, version: int) -> None:
    async with listening(peer(a, version=version).answer) as port:
        assert (await shake("127.0.0.1", port, PROXY_ALPN, seconds=PATIENCE)).accepted == frozenset()
    async with listening(peer(a, version=version, asks=False).answer) as port:
        assert (await shake("127.0.0.1", port, PROXY_ALPN, seconds=PATIENCE)).accepted is None


def forge(records: bytes) -> bytes:
    """With another signature, as of a key that is not the certificate's."""
    _, end = find_signature(records)
    return records[: end - 1] + bytes([records[end - 1] ^ 1]) + records[end:]


def cut(records: bytes) -> bytes:
    """Up to the certificate, without a signature."""
    return records[: find_signature(records)[0]]


@pytest.mark.parametrize(
    ("tamper", "seconds", "why"),
    [
        (forge, PATIENCE, "does not complete a TLS handshake"),
        (cut, HANGS, "does not answer within 0.3 s"),
    ],
)
async def test_who_has_not_the_key_of_a_certificate_shows_nothing(
    a: Party, tamper: Callable[[bytes], bytes], seconds: float, why: str
) -> None:
    forger = replace(peer(a, a, version=SSL.TLS1_2_VERSION), tamper=tamper)
    async with listening(forger.answer) as port:
        with pytest.raises(Unreachable) as raised:
            await shake("127.0.0.1", port, PROXY_ALPN, seconds=seconds)
    assert str(raised.value) == why


async def test_an_address_of_ipv6_is_reached(a: Party) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with listening(peer(a, a).answer, "::1") as port:
        assert len((await shake("::1", port, PROXY_ALPN, seconds=PATIENCE)).chain) == 2


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)
    writer.close()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await hang(reader, writer)


def build_flood(piece: int) -> Answer:
    """A peer that sends, so many bytes at a time, what a client of TLS passes over: HelloRequests."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        record = b"\x16\x03\x03\x40\x00" + bytes(0x4000)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            for at in cycle(range(0, len(record), piece)):
                writer.write(record[at : at + piece])
                await writer.drain()
                await asyncio.sleep(0 if piece > 1 else 0.001)  # each byte is to come by itself
        writer.close()

    return answer


@pytest.mark.parametrize(
    ("answer", "seconds", "why"),
    [
        (hang, HANGS, "does not answer within 0.3 s"),
        (close, PATIENCE, "ends the handshake"),
        (talk, PATIENCE, "does not complete a TLS handshake"),
        (build_flood(0x4005), PATIENCE, "sends more than a handshake has"),
        (build_flood(1), PATIENCE, "sends a handshake in too many pieces"),
    ],
)
async def test_what_speaks_no_tls_is_unreachable_and_says_why(
    answer: Answer, seconds: float, why: str
) -> None:
    async with listening(answer) as port:
        with pytest.raises(Unreachable) as raised:
            await shake("127.0.0.1", port, PROXY_ALPN, seconds=seconds)
    assert str(raised.value) == why


async def test_a_port_at_which_nothing_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
        await shake("127.0.0.1", port, PROXY_ALPN, seconds=PATIENCE)


async def test_a_name_is_not_resolved() -> None:
    with pytest.raises(ValueError, match="localhost"):
        await shake("localhost", 1, PROXY_ALPN, seconds=PATIENCE)
