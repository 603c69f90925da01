"""Who serves a ClusterIP, and how the API server's connections get there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lab.light import egress
from lab.light.cluster import SOCKET_LENGTH, choose_socket_folder
from lab.light.egress import Target, Upstream, parse_connect
from lab.light.standin import SERVED_AT, find_upstream, is_ready

SOCKETS = {("mesh-a", "a"): Path("a.sock"), ("mesh-b", "b"): Path("b.sock")}


def service(name: str = "istiod-a", *, namespace: str = "mesh-a", ip: str = "127.96.0.9", **spec: Any) -> Any:
    selector = {"app": "istiod", "istio.io/rev": "a"}
    ports = [{"port": 15012, "targetPort": 15012}, {"port": 443, "targetPort": 15017}]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "selector": selector, "ports": ports, **spec},
    }


def pod(namespace: str = "mesh-a", revision: str = "a") -> Any:
    return {"metadata": {"namespace": namespace, "labels": {"app": "istiod", "istio.io/rev": revision}}}


def upstream(target: Target, *services: Any, pods: Any = None) -> Upstream | None:
    return find_upstream(target, services=services, pods=[pod()] if pods is None else pods, sockets=SOCKETS)


def test_a_service_is_served_by_the_istiod_whose_pods_it_selects() -> None:
    assert upstream(Target("127.96.0.9", 443), service()) == Path("a.sock")


def test_an_unknown_address_has_no_server() -> None:
    assert upstream(Target("127.96.0.8", 443), service()) is None


def test_only_the_webhook_port_is_served() -> None:
    assert upstream(Target("127.96.0.9", 15012), service()) is None
    assert upstream(Target("127.96.0.9", 80), service()) is None


def test_a_service_without_a_ready_pod_has_no_server() -> None:
    assert upstream(Target("127.96.0.9", 443), service(), pods=()) is None


def test_a_pod_of_another_namespace_or_revision_does_not_serve() -> None:
    pods = (pod("mesh-b", "a"), pod("mesh-a", "other"))
    assert upstream(Target("127.96.0.9", 443), service(), pods=pods) is None


def test_a_service_without_selector_selects_no_pod() -> None:
    assert upstream(Target("127.96.0.9", 443), service(selector=None)) is None


def test_an_annotated_service_is_served_by_a_process_of_this_machine() -> None:
    annotated = service(selector=None)
    annotated["metadata"]["annotations"] = {SERVED_AT: "9443"}
    assert upstream(Target("127.96.0.9", 443), annotated) == Target("127.0.0.1", 9443)
    assert upstream(Target("127.96.0.9", 80), annotated) is None


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("status", ["True", "False"])
def test_a_pod_serves_while_it_is_ready_and_not_being_deleted(status: str, deleted: bool) -> None:
    metadata = {"deletionTimestamp": "2020-01-01T00:00:00Z"} if deleted else {}
    conditions = [{"type": "Ready", "status": status}]
    assert is_ready({"metadata": metadata, "status": {"conditions": conditions}}) is (
        status == "True" and not deleted
    )


def test_a_connect_request_names_its_target() -> None:
    assert parse_connect(b"CONNECT 127.96.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n") == Target("127.96.0.1", 443)
    assert parse_connect(b"CONNECT [fd00::1]:443 HTTP/1.1\r\n\r\n") == Target("fd00::1", 443)


@pytest.mark.parametrize(
    "request_line",
    ["GET / HTTP/1.1", "CONNECT HTTP/1.1", "CONNECT host HTTP/1.1", "CONNECT h:p HTTP/1.1", ""],
)
def test_anything_else_is_no_connect_request(request_line: str) -> None:
    with pytest.raises(ValueError, match=r"CONNECT|host"):
        parse_connect(request_line.encode() + b"\r\n\r\n")


def test_socket_paths_fit_however_deep_the_state_directory_is(tmp_path: Path) -> None:
    for state in (tmp_path / "s", tmp_path / ("deep" * 30)):
        state.mkdir()
        folder = choose_socket_folder(state)
        assert len(str(folder / "istiod-00000.sock").encode()) <= SOCKET_LENGTH
        assert (state / "sockets").resolve() == folder.resolve()
        if folder.parent != state:
            folder.rmdir()


class Relay:
    """A running proxy, and what it sends to an echoing backend when the target's port is 443."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "egress.sock"
        self.backend = folder / "backend.sock"

    def find(self, target: Target) -> Upstream | None:
        return {443: self.backend, 444: self.backend.with_name("absent")}.get(target.port)

    async def ask(self, request: bytes) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(request)
        status = await asyncio.wait_for(reader.readline(), 60)
        return status.decode().split(" ")[1], reader, writer


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    made = Relay(tmp_path)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    backend = await asyncio.start_unix_server(echo, made.backend)
    proxy = await egress.serve(made.socket, made.find)
    yield made
    proxy.close()
    backend.close()


async def test_bytes_go_both_ways_until_one_side_ends(relay: Relay) -> None:
    status, reader, writer = await relay.ask(b"CONNECT 127.96.0.9:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == "200"
    assert await reader.readline() == b"\r\n"
    payload = bytes(range(256)) * 1000
    writer.write(payload)
    assert await asyncio.wait_for(reader.readexactly(len(payload)), 60) == payload
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


@pytest.mark.parametrize(("port", "status"), [(80, "502"), (444, "502"), (99999, "502")])
async def test_an_address_without_a_server_is_refused_at_once(relay: Relay, port: int, status: str) -> None:
    answered, _, writer = await relay.ask(f"CONNECT 127.96.0.9:{port} HTTP/1.1\r\n\r\n".encode())
    assert answered == status
    writer.close()


async def test_what_is_no_connect_request_is_refused(relay: Relay) -> None:
    answered, _, writer = await relay.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert answered == "400"
    writer.close()
