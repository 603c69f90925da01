"""One TLS handshake with a proxy or an istiod, for what it shows of itself.

Owns the bytes. Must never trust a peer, send it anything but a handshake, or resolve a name: the address is
that of a pod, whose tenant may answer anything. Invariants: a peer is given so many seconds, MOST_BYTES and
MOST_READS, whatever it does; what is shown was signed by the key of the certificate that came with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from functools import cache
from ipaddress import ip_address

from OpenSSL import SSL, crypto

from navarch.core.trust.evidence import Shown, read_shown

PROXY_PORT, PROXY_ALPN = 7, b"istio"
"""Envoy's inbound side takes connections to every port of a pod, and speaks mTLS where ALPN says so."""
ISTIOD_PORT, ISTIOD_ALPN = 15012, b"h2"
MOST_BYTES = 64 * 1024
"""The most that is read of a peer: an Envoy's part of a handshake has 3 to 6 KiB."""
MOST_READS = 64
"""Pieces in which that may come: each costs CPU, and a peer may send single bytes."""
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Those of Envoy and Go. With others a peer could choose numbers that cost seconds of CPU."""
_ASKED = b"SSLv3/TLS read server certificate request"
"""OpenSSL's name of the state in which a CertificateRequest was read."""


class Unreachable(Exception):
    """A peer shows nothing; the text says why, and quotes nothing that it sent."""


async def shake(address: str, port: int, alpn: bytes, *, seconds: float) -> Shown:
    """What the peer at an IP address shows to a client without a certificate. Raises Unreachable."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
                return await _talk(sock, alpn)
    except TimeoutError:
        raise Unreachable(f"does not answer within {seconds:g} s") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise Unreachable(f"cannot be reached: {why}") from None
    except (SSL.Error, crypto.Error):
        raise Unreachable("does not complete a TLS handshake") from None


async def _talk(sock: socket.socket, alpn: bytes) -> Shown:
    """A handshake until the client would send its last message: everything is known by then. A peer that
    wants a certificate would refuse that one (TLS 1.2), or what comes after it (TLS 1.3)."""
    loop, left, states = asyncio.get_running_loop(), MOST_BYTES, set[bytes]()
    connection = SSL.Connection(_build_context(alpn))
    connection.set_app_data(states)
    connection.set_connect_state()
    for _ in range(MOST_READS):
        with suppress(SSL.WantReadError):
            connection.do_handshake()
        if connection.get_finished() is not None:
            return _read(connection, asked=_ASKED in states)
        with suppress(SSL.WantReadError):
            await loop.sock_sendall(sock, connection.bio_read(MOST_BYTES))
        data = await loop.sock_recv(sock, min(left, 16 * 1024))
        if not data:
            raise Unreachable("sends more than a handshake has" if not left else "ends the handshake")
        left -= connection.bio_write(data)
    raise Unreachable("sends a handshake in too many pieces")


def _read(connection: SSL.Connection, *, asked: bool) -> Shown:
    sent = connection.get_peer_cert_chain() or ()
    chain = (crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in sent)
    names = (name.der() for name in connection.get_client_ca_list())
    shown = read_shown(chain, names if asked else None)
    if shown is None:
        raise Unreachable("shows a certificate that cannot be read")
    return shown


@cache
def _build_context(alpn: bytes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_protos([alpn])
    context.set_verify(SSL.VERIFY_NONE)  # it is evidence about a peer, and never trust in it
    context.set_info_callback(_note_state)
    return context


def _note_state(connection: SSL.Connection, _where: int, _result: int) -> None:
    connection.get_app_data().add(connection.get_state_string())
