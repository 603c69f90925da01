"""The metrics' port: TLS, who is answered, and that nothing about it ends the process or lasts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientConnectorError, ClientSession, TCPConnector
from navarch.telemetry import exposition, listening
from navarch.telemetry.certificates import Certificates, build_self_signed
from navarch.telemetry.exposition import MetricsServer, Verdict
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tests.polling import eventually

SECONDS = 2.0


async def judge(token: str) -> Verdict:
    return Verdict[token]


class Port:
    """The metrics over TLS, with one gauge."""

    def __init__(self, folder: Path | None = None) -> None:
        registry = CollectorRegistry()
        Gauge("secret", "Of no importance.", registry=registry).set(7)
        self.told: list[str] = []
        certificates = Certificates(folder, names=["localhost"], usual=())
        self.server = MetricsServer(
            partial(generate_latest, registry), judge=judge, certificates=certificates, seconds=SECONDS
        )

    async def tell(self, problem: str) -> None:
        self.told.append(problem)

    @property
    def port(self) -> int:
        return self.server.port


@asynccontextmanager
async def serving(port: Port, *, number: int = 0) -> AsyncIterator[Port]:
    task = asyncio.create_task(port.server.run("127.0.0.1", number, tell=port.tell))
    try:
        yield port
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def trust(certificate: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate.decode())


@asynccontextmanager
async def asking(port: Port, context: ssl.SSLContext | bool = False) -> AsyncIterator[ClientSession]:
    base = f"https://localhost:{port.port}"
    async with ClientSession(base, connector=TCPConnector(ssl=context, family=socket.AF_INET)) as session:
        yield session


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer ALLOWED", 200),
        ("bearer ALLOWED", 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Basic QUxMT1dFRA==", 401),
        ("ALLOWED", 401),
        ("Bearer UNKNOWN", 401),
        ("Bearer FORBIDDEN", 403),
        ("Bearer UNDECIDED", 503),
    ],
)
async def test_only_a_token_that_is_allowed_gets_metrics(header: str, status: int) -> None:
    async with serving(Port()) as port:
        await eventually(lambda: port.port)
        headers = {"Authorization": header} if header else {}
        async with asking(port) as session, session.get("/metrics", headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status
            assert ("secret 7.0" in text) is (status == 200)
            assert ("WWW-Authenticate" in answer.headers) is (status == 401)


@pytest.mark.parametrize("path", ["/", "/livez", "/metrics/", "/debug", "/metrics/../metrics2"])
async def test_nothing_else_is_served_there(path: str) -> None:
    async with serving(Port()) as port:
        await eventually(lambda: port.port)
        headers = {"Authorization": "Bearer ALLOWED"}
        async with asking(port) as session, session.get(path, headers=headers) as answer:
            assert answer.status == 404


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_plain_http_and_old_tls_are_refused() -> None:
    async with serving(Port()) as port:
        await eventually(lambda: port.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ALLOWED\r\n\r\n")
        assert b"secret" not in await reader.read()
        writer.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):  # noqa: PT011 -- an alert of TLS, or the connection's end
            await asyncio.open_connection("127.0.0.1", port.port, ssl=old)


async def test_a_new_certificate_is_shown_to_the_next_client_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "LOOK_SECONDS", 0.01)
    port = Port(tmp_path)
    async with serving(port):
        await eventually(lambda: port.port)
        await eventually(lambda: port.told, what="that there is none is told")
        for _ in range(2):
            pair = build_self_signed(["localhost"], now=datetime.now(UTC))
            (tmp_path / "tls.crt").write_bytes(pair[0])
            (tmp_path / "tls.key").write_bytes(pair[1])

            async def is_trusted(certificate: bytes = pair[0]) -> bool:
                headers = {"Authorization": "Bearer ALLOWED"}
                try:
                    async with (
                        asking(port, trust(certificate)) as session,
                        session.get("/metrics", headers=headers) as answer,
                    ):
                        return answer.status == 200
                except ClientConnectorError:
                    return False

            for _ in range(500):
                if await is_trusted():
                    break
                await asyncio.sleep(0.02)
            else:
                pytest.fail("the new certificate is not served")


async def test_handshakes_that_never_end_keep_nobody_out_take_no_memory_and_end() -> None:
    async with serving(Port()) as port:
        await eventually(lambda: port.port)
        half = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(300)]
        headers = {"Authorization": "Bearer ALLOWED"}
        async with asking(port) as session, session.get("/metrics", headers=headers) as answer:
            assert answer.status == 200
        ended = [reader for reader, _ in half if reader.at_eof() or reader.exception()]
        assert len(ended) >= len(half) - listening.CONNECTIONS
        for reader, writer in half:
            await asyncio.wait_for(asyncio.gather(reader.read(), return_exceptions=True), 30)
            writer.close()


async def test_requests_in_a_row_and_at_once_are_all_answered() -> None:
    """Also one that comes in one piece with the end of the handshake."""
    async with serving(Port()) as port:
        await eventually(lambda: port.port)
        headers = {"Authorization": "Bearer ALLOWED"}
        async with asking(port) as session:

            async def scrape() -> int:
                async with session.get("/metrics", headers=headers) as answer:
                    return answer.status

            assert {await scrape() for _ in range(20)} == {200}
            assert set(await asyncio.gather(*(scrape() for _ in range(40)))) == {200}


async def test_a_port_that_is_taken_is_tried_again_until_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "LOOK_SECONDS", 0.01)
    taken = socket.create_server(("127.0.0.1", 0))
    number = taken.getsockname()[1]
    async with serving(Port(), number=number) as port:
        await asyncio.sleep(0)
        assert port.port == 0
        taken.close()
        await eventually(lambda: port.port == number)
