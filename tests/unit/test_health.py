"""What requests to the operator's own port cost, and what they cannot stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiohttp import ClientSession
from navarch.telemetry import listening
from navarch.telemetry.exposition import MetricsServer
from navarch.telemetry.health import HealthServer
from navarch.telemetry.listening import bind
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tests.polling import eventually


class Held(Collector):
    """Metrics that are not rendered before they are let go."""

    def __init__(self) -> None:
        self.go, self.times = threading.Event(), 0

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("held", "Held.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.times += 1
        self.go.wait(30)
        yield GaugeMetricFamily("held", "Held.", value=1)


@asynccontextmanager
async def probed(*, seconds: float = 30.0) -> AsyncIterator[HealthServer]:
    server = HealthServer(live=tuple, ready=tuple, seconds=seconds)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def scraped(*collectors: Collector) -> AsyncIterator[ClientSession]:
    """A session with a port of metrics, in plain HTTP."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    server = MetricsServer(partial(generate_latest, registry))
    serving = asyncio.create_task(server.run("127.0.0.1", 0, tell=tell_nobody))
    await eventually(lambda: server.port)
    try:
        async with ClientSession(f"http://127.0.0.1:{server.port}") as session:
            yield session
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def tell_nobody(problem: str) -> None:
    raise AssertionError(problem)


async def test_metrics_are_rendered_once_for_all_who_ask_and_a_probe_does_not_wait_for_it() -> None:
    held = Held()
    async with probed() as probes, scraped(held) as session:

        async def scrape() -> str:
            async with session.get("/metrics") as answer:
                return await answer.text()

        scrapes = [asyncio.create_task(scrape()) for _ in range(20)]
        try:
            await eventually(lambda: held.times == 1)
            async with session.get(f"http://127.0.0.1:{probes.port}/livez") as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            assert not any(scrape.done() for scrape in scrapes)
        finally:
            held.go.set()
        texts = await asyncio.gather(*scrapes)
        assert {"held 1.0" in text for text in texts} == {True}
        assert held.times == 1


async def test_a_scrape_that_goes_away_takes_nothing_from_the_others() -> None:
    held = Held()
    async with scraped(held) as session:

        async def scrape() -> int:
            async with session.get("/metrics") as answer:
                return answer.status

        first, second = asyncio.create_task(scrape()), asyncio.create_task(scrape())
        await eventually(lambda: held.times == 1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        held.go.set()
        assert await second == 200


async def test_half_sent_requests_keep_nobody_out_and_end() -> None:
    async with probed(seconds=1.0) as server:
        half = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
        for _, writer in half:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/livez") as answer:
            assert answer.status == 200
        ended = [reader for reader, _ in half if reader.at_eof() or reader.exception()]
        assert len(ended) >= len(half) - listening.CONNECTIONS
        for reader, writer in half:
            # The connection ends by the server's hand, though nothing more was sent.
            await asyncio.wait_for(asyncio.gather(reader.read(), return_exceptions=True), 30)
            writer.close()


@pytest.mark.parametrize("head", [b"X: " + b"y" * 20_000, b"\r\n".join(b"X%d: y" % i for i in range(500))])
async def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    async with probed() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        assert b" 400 " in await reader.readline()
        await reader.read()
        writer.close()


@pytest.mark.parametrize("host", ["", "127.0.0.1", "::1"])
def test_a_socket_takes_both_ip_versions_unless_it_is_given_an_address(host: str) -> None:
    if not socket.has_dualstack_ipv6() and host == "::1":
        pytest.skip("there is no IPv6")
    with bind(host, 0) as listening:
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            wanted = host in ("", address)
            try:
                socket.create_connection((address, port), timeout=5).close()
            except OSError:
                assert not wanted, address
            else:
                assert wanted, address
