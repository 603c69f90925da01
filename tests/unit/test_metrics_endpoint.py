"""What a scrape of many meshes costs at the port itself: TLS, the token, rendering and sending."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, TCPConnector
from navarch.telemetry import metrics
from navarch.telemetry.certificates import Certificates
from navarch.telemetry.exposition import MetricsServer, Verdict

from tests.polling import eventually
from tests.support.crowd import told_of

MESHES = 500
WANTED_SECONDS = 0.3
"""What a scrape should take on a quiet machine. It is printed (`-s`), and no verdict depends on it."""


async def allow(token: str) -> Verdict:
    return Verdict.ALLOWED


async def stay_silent(problem: str) -> None:
    """Nobody is told of the certificate."""


@asynccontextmanager
async def scraping() -> AsyncIterator[ClientSession]:
    """A client of the metrics' port, which renders anew for every request that does not come at once with
    another."""
    certificates = Certificates(None, names=["localhost"], usual=())
    server = MetricsServer(metrics.render, judge=allow, certificates=certificates, metrics_seconds=0)
    task = asyncio.create_task(server.run("127.0.0.1", 0, tell=stay_silent))
    try:
        await eventually(lambda: server.port)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        headers = {"Authorization": "Bearer t"}
        base, connector = f"https://127.0.0.1:{server.port}", TCPConnector(ssl=context)
        async with ClientSession(base, connector=connector, headers=headers) as session:
            yield session
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_scrape_of_five_hundred_meshes_costs_little_more_than_rendering_them() -> None:
    with told_of(MESHES):
        rendering = min(measure_rendering() for _ in range(3))
        async with scraping() as session:
            costs, waits = [], []
            for _ in range(3):
                before, began = time.process_time(), time.monotonic()
                async with session.get("/metrics") as answer:
                    text = await answer.text()
                costs.append(time.process_time() - before)
                waits.append(time.monotonic() - began)
    assert sum(line.startswith("navarch_condition{") for line in text.splitlines()) > 30 * MESHES
    print(
        f"{len(text) / 1e6:.1f} MB of {MESHES} meshes: answered in {min(waits):.3f} s (wanted: "
        f"{WANTED_SECONDS}), with {min(costs):.3f} s of CPU on both sides; rendered in {rendering:.3f} s"
    )
    assert min(costs) < 4 * rendering


def measure_rendering() -> float:
    """Seconds of CPU for the text alone."""
    before = time.process_time()
    metrics.render()
    return time.process_time() - before


async def test_scrapes_at_once_share_one_rendering() -> None:
    texts: list[bytes] = []

    def render() -> bytes:
        texts.append(metrics.render())
        return texts[-1]

    server = MetricsServer(render, judge=allow)
    answers = await asyncio.gather(*(server._rendering.answer() for _ in range(50)))
    assert len(texts) == 1
    assert {answer.status for answer in answers} == {200}


async def test_the_validity_of_the_served_certificate_is_a_metric() -> None:
    async with scraping() as session, session.get("/metrics") as answer:
        lines = dict(
            line.split()
            for line in (await answer.text()).splitlines()
            if "certificate_not" in line[:60] and line[0] != "#"
        )
    begins, ends = (
        float(lines[f"navarch_metrics_certificate_not_{when}_timestamp_seconds"])
        for when in ("before", "after")
    )
    assert begins < time.time() < ends
    assert ends - begins > 80 * 86400
