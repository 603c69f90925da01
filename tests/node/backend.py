"""A program: what lies behind gateways in the tests, on addresses of the lab's node, outside of any mesh.

    python -m tests.node.backend ADDRESS

HTTP (8081): `/bytes?seconds=N` sends N pieces, one a second, as one download; `/ws` echoes messages of a
WebSocket. gRPC (8082): every bidirectional stream is echoed. TCP (8083): bytes are echoed. HTTPS (8443): the
API `external.metrics.k8s.io`, in which every metric has the value of the last line of standard input. Prints
`ready` once it listens, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from aiohttp import WSMsgType, web

from lab.certificates import build_authority

HTTP, GRPC, TCP, METRICS = 8081, 8082, 8083, 8443
PIECE = b"." * 65536
GROUP = "external.metrics.k8s.io/v1beta1"


@dataclass
class Value:
    """The value of every metric."""

    last: str = "0"

    def follow(self) -> None:
        """Reads it from standard input, to its end."""
        for line in sys.stdin:
            self.last = line.strip()


VALUE = web.AppKey("value", Value)


async def send_pieces(request: web.Request) -> web.StreamResponse:
    seconds = int(request.query["seconds"])
    response = web.StreamResponse(headers={"Content-Length": str(seconds * len(PIECE))})
    await response.prepare(request)
    with suppress(ConnectionResetError):  # a client that lost its gateway says so itself
        for _ in range(seconds):
            await response.write(PIECE)
            await asyncio.sleep(1)
    return response


async def echo_messages(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


class EveryStream(grpc.GenericRpcHandler):
    """Whatever the method, what comes goes back."""

    def service(self, details: Any) -> Any:
        async def echo(messages: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
            async for message in messages:
                yield message

        return grpc.stream_stream_rpc_method_handler(echo)


async def echo_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def list_kinds(_request: web.Request) -> web.Response:
    kind = {"name": "load", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
    return web.json_response(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": [kind]}
    )


async def list_values(request: web.Request) -> web.Response:
    value = {
        "metricName": request.match_info["metric"],
        "metricLabels": {},
        "timestamp": "2026-01-01T00:00:00Z",
        "value": request.app[VALUE].last,
    }
    return web.json_response(
        {"kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {}, "items": [value]}
    )


async def serve(
    address: str, routes: list[web.RouteDef], *, port: int, value: Value, tls: ssl.SSLContext | None = None
) -> None:
    application = web.Application()
    application[VALUE] = value
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, address, port, ssl_context=tls).start()


def build_context() -> ssl.SSLContext:
    """TLS with a certificate that signs itself; the API server is told to take it."""
    pair = build_authority(common_name="backend")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "both.pem")
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    return context


async def main(address: str) -> None:
    value = Value()
    own = [web.get("/bytes", send_pieces), web.get("/ws", echo_messages)]
    await serve(address, own, port=HTTP, value=value)
    api = [
        web.get(f"/apis/{GROUP}", list_kinds),
        web.get(f"/apis/{GROUP}/namespaces/{{namespace}}/{{metric}}", list_values),
    ]
    await serve(address, api, port=METRICS, value=value, tls=build_context())
    streams = grpc.aio.server()
    streams.add_generic_rpc_handlers((EveryStream(),))
    streams.add_insecure_port(f"{address}:{GRPC}")
    await streams.start()
    await asyncio.start_server(echo_bytes, address, TCP)
    print("ready", flush=True)
    await asyncio.to_thread(value.follow)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
