"""An archive's bounds, each by itself: what is beyond one is left out and told, and the rest is there."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from navarch.kube.client import Client
from navarch.kube.resources import resource_of
from navarch.survey.archive.collector import collect
from navarch.survey.archive.folder import NOT_READ, Folder, clean, place
from navarch.survey.archive.limits import Limits
from navarch.survey.archive.logs import cut_log, find_logs
from navarch.survey.session import Target

from tests.unit.test_kube_transport import serving, status

POD = resource_of("v1", "Pod")
MESH = resource_of("mesh.navarch.io/v1beta1", "MeshControlPlane")
HOME = "navarch-system"


def build(
    name: str, namespace: str = HOME, kind: str = "Pod", version: str = "v1", **more: Any
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": name, **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def files_of(folder: Folder) -> dict[str, str]:
    return {path: content.decode() for path, content in folder.list_files()}


# --- the folder -----------------------------------------------------------------------------------------


def test_files_lie_where_people_and_tools_look_for_them() -> None:
    assert place(POD, "a", "b") == "namespaces/a/core/pods.yaml"
    assert place(MESH, "a", "b") == "namespaces/a/mesh.navarch.io/meshcontrolplanes/b.yaml"
    role = resource_of("rbac.authorization.k8s.io/v1", "ClusterRole")
    where = "cluster-scoped-resources/rbac.authorization.k8s.io/clusterroles/system-x.yaml"
    assert place(role, "", "system:x") == where


@given(st.text(min_size=1, max_size=20))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    assert "/" not in clean(name)
    assert not clean(name).startswith(".")


def test_objects_of_one_kind_in_a_namespace_are_one_list_in_order_and_each_is_there_once() -> None:
    folder = Folder(Limits())
    for name in ("b", "a", "b"):
        folder.add_object(POD, build(name, note="first\nsecond"))
    listed = yaml.safe_load(files_of(folder)["namespaces/navarch-system/core/pods.yaml"])
    assert [each["metadata"]["name"] for each in listed["items"]] == ["a", "b"]
    assert {each["note"] for each in listed["items"]} == {"first\nsecond"}


def test_objects_whose_names_give_one_path_are_both_there() -> None:
    folder = Folder(Limits())
    role = resource_of("rbac.authorization.k8s.io/v1", "ClusterRole")
    for name in ("navarch:a", "navarch-a"):
        folder.add_object(role, build(name, "", "ClusterRole", role.api_version))
    (text,) = files_of(folder).values()
    assert [each["metadata"]["name"] for each in yaml.safe_load(text)["items"]] == ["navarch-a", "navarch:a"]


def test_an_object_that_is_too_large_keeps_its_name() -> None:
    folder = Folder(Limits(object_bytes=1000))
    folder.add_object(MESH, build("big", kind="MeshControlPlane", spec={"x": "y" * 2000}))
    folder.add_object(MESH, build("small", kind="MeshControlPlane", spec={"x": "y"}))
    files = files_of(folder)
    where = "namespaces/navarch-system/mesh.navarch.io/meshcontrolplanes"
    assert "spec" not in yaml.safe_load(files[f"{where}/big.yaml"])
    assert yaml.safe_load(files[f"{where}/small.yaml"])["spec"] == {"x": "y"}
    assert files[NOT_READ] == (
        "MeshControlPlane navarch-system/big: larger than 1,000 bytes: only its name is here\n"
    )


def test_all_files_together_are_bounded_and_what_came_first_is_there() -> None:
    folder = Folder(Limits(bytes=1000))
    for number in range(5):
        folder.add_text(f"{number}.txt", "x" * 300)
    files = files_of(folder)
    assert {*files} == {"0.txt", "1.txt", "2.txt", NOT_READ}
    told = "3.txt, and all that came after it: the archive would be larger than 1,000 bytes\n"
    assert files[NOT_READ] == told


def test_an_object_that_is_nested_too_deep_is_told_and_stops_nothing() -> None:
    deep: Any = "x"
    for _ in range(3000):
        deep = {"a": deep}
    folder = Folder(Limits())
    folder.add_object(POD, build("deep", spec=deep))
    folder.add_object(POD, build("flat"))
    files = files_of(folder)
    assert "Pod navarch-system/deep: nested too deep" in files[NOT_READ]
    assert "name: flat" in files["namespaces/navarch-system/core/pods.yaml"]


def test_equal_files_are_packed_to_equal_bytes_in_one_folder(tmp_path: Path) -> None:
    def pack(*names: str) -> bytes:
        folder = Folder(Limits())
        for name in names:
            folder.add_text(name, "x")
        return folder.pack()

    assert pack("a", "b/c") == pack("b/c", "a")
    folder = Folder(Limits())
    folder.add_text("b/c", "x")
    folder.write(tmp_path / "made")
    assert (tmp_path / "made" / "b" / "c").read_text() == "x"
    with tarfile.open(fileobj=io.BytesIO(pack("a", "b/c"))) as archive:
        assert archive.getnames() == ["navarch-must-gather/a", "navarch-must-gather/b/c"]


def test_a_log_is_cut_at_its_beginning_and_at_a_line() -> None:
    assert cut_log("one\ntwo\nthree\n", 10) == ("three\n", True)
    assert cut_log("one\n", 10) == ("one\n", False)
    assert cut_log("x" * 20, 10) == ("x" * 10, True)


def test_a_container_that_never_ran_has_no_log_and_a_restarted_one_has_two() -> None:
    statuses = [
        {"name": "waits", "state": {"waiting": {}}},
        {"name": "runs", "state": {"running": {}}, "restartCount": 0},
        {"name": "again", "state": {"running": {}}, "restartCount": 2},
    ]
    found = [*find_logs(build("p", "n", status={"containerStatuses": statuses}))]
    assert [(log.container, log.previous) for log in found] == [
        ("runs", False),
        ("again", False),
        ("again", True),
    ]
    assert found[2].path == "namespaces/n/pods/p/again/again/logs/previous.log"


# --- the collector, against a server on loopback ----------------------------------------------------------


class Server:
    """An API server with a few pods, Events and logs; what `hangs` says is never answered."""

    def __init__(self, *, pods: int = 1, events: int = 0, log: bytes = b"", hangs: str = "\0") -> None:
        self.pods, self.events, self.log, self.hangs = pods, events, log, hangs
        self.asked: list[str] = []
        self.ended = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.hangs in request.path:
            await self.ended.wait()
        if request.path == "/version":
            return web.json_response({"major": "1", "minor": "37", "gitVersion": "v1.37.0"})
        if request.path.endswith("/log"):
            return web.Response(body=self.log, content_type="text/plain")
        kind = request.path.rpartition("/")[2]
        if kind == "pods" and f"/namespaces/{HOME}/" in request.path:
            state = [{"name": "navarch", "state": {"running": {}}, "restartCount": 0}]
            items = [build(f"pod-{n}", status={"containerStatuses": state}) for n in range(self.pods)]
        elif kind == "events":
            time = "2026-01-01T00:00:{:02}Z"
            items = [build(f"event-{n:02}", lastTimestamp=time.format(59 - n)) for n in range(self.events)]
        elif kind in ("pods", "secrets") or not request.path.startswith("/apis/"):
            items = []
        else:
            return status(403)
        return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})


async def gather(tmp_path: Path, server: Server, limits: Limits | None = None) -> dict[str, str]:
    folder = Folder(limits or Limits())
    told: list[tuple[int, int]] = []
    async with serving(tmp_path, server.answer) as credentials, Client(credentials) as client:
        target = Target(tmp_path / "kubeconfig", None, HOME, "navarch-probe")
        await collect(
            client,
            target,
            folder,
            places=(),
            tell=lambda done, total, what: told.append((done, total)),
            write_report=str,
        )
        server.ended.set()
    assert told == sorted(told)
    assert all(done <= total for done, total in told)
    return files_of(folder)


async def test_refusals_leave_the_rest_and_are_named(tmp_path: Path) -> None:
    files = await gather(tmp_path, Server(log=b"hello\n"))
    assert files[f"namespaces/{HOME}/pods/pod-0/navarch/navarch/logs/current.log"] == "hello\n"
    assert "list mutatingwebhookconfigurations.admissionregistration.k8s.io: " in files[NOT_READ]
    assert yaml.safe_load(files["versions.yaml"])["kubernetes"]["gitVersion"] == "v1.37.0"


async def test_lists_are_bounded(tmp_path: Path) -> None:
    files = await gather(tmp_path, Server(pods=7), Limits(objects=3))
    listed = yaml.safe_load(files[f"namespaces/{HOME}/core/pods.yaml"])["items"]
    assert len(listed) == 3
    assert f"list pods in namespace {HOME}: 4 more than 3" in files[NOT_READ].splitlines()


async def test_of_events_the_newest_are_taken(tmp_path: Path) -> None:
    files = await gather(tmp_path, Server(events=9), Limits(events=4))
    listed = yaml.safe_load(files[f"namespaces/{HOME}/core/events.yaml"])["items"]
    assert [each["metadata"]["name"] for each in listed] == [f"event-0{n}" for n in range(4)]
    assert f"list events in namespace {HOME}: 5 older than the newest 4" in files[NOT_READ].splitlines()


async def test_logs_are_bounded_in_number_and_size_and_take_bytes_that_are_no_text(tmp_path: Path) -> None:
    server = Server(pods=5, log=b"first\n" + b"\xff password=hunter2hunter2\n" * 100)
    files = await gather(tmp_path, server, Limits(pods=2, log_bytes=500))
    logs = [text for path, text in files.items() if path.endswith("current.log")]
    assert len(logs) == 2
    assert all(len(text) <= 500 and "first" not in text and "hunter2" not in text for text in logs)
    missing = files[NOT_READ].splitlines()
    assert "logs of 3 more pods than 2" in missing
    assert f"log {HOME}/pod-0, container navarch: all but the last 500 bytes" in missing


async def test_namespaces_are_bounded(tmp_path: Path) -> None:
    server = Server()
    answer = server.answer

    async def with_meshes(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/meshcontrolplanes"):
            items = [build("demo", f"n{n}", "MeshControlPlane", "mesh.navarch.io/v1beta1") for n in range(6)]
            return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})
        return await answer(request)

    server.answer = with_meshes  # type: ignore[method-assign]
    files = await gather(tmp_path, server, Limits(namespaces=2))
    asked = {path for path in server.asked if path.endswith("/events") and HOME not in path}
    assert asked == {"/api/v1/namespaces/n0/events", "/api/v1/namespaces/n1/events"}
    assert "what lies in 4 more namespaces than 2" in files[NOT_READ].splitlines()


async def test_what_is_never_answered_is_named_when_time_is_up_and_the_rest_is_there(tmp_path: Path) -> None:
    """All at once: each takes its whole time, which is long enough for a busy machine to answer the rest."""
    limits = replace(Limits(), seconds=30)

    async def try_one(hangs: str) -> None:
        folder = tmp_path / hangs[1:]
        folder.mkdir()
        files = await gather(folder, Server(log=b"hello\n", hangs=hangs), limits)
        missing = files[NOT_READ].splitlines()
        assert "nothing was asked for after 30 s" in missing
        assert any(line.endswith("no answer within 30 s") and hangs[1:] in line for line in missing), missing
        assert "versions.yaml" in files

    await asyncio.gather(*map(try_one, ("/meshgateways", "/log", "/events", "/leases")))


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
async def test_a_bar_is_drawn_on_a_terminal_and_nowhere_else(tmp_path: Path, terminal: bool) -> None:
    server, output = Server(), tmp_path / "out.tar.gz"
    above, below = os.openpty() if terminal else os.pipe()
    async with serving(tmp_path, server.answer):
        command = ["must-gather", "-o", str(output), "--kubeconfig", str(tmp_path / "kubeconfig")]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "navarch", *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=below,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
        os.close(below)
        said = asyncio.to_thread(read_all, above)
        told, (out, _) = await asyncio.gather(said, process.communicate())
    assert (process.returncode, out.decode().strip()) == (0, str(output))
    assert ("\u2501" in told) is terminal
    assert "not read or left out, see not-read.txt in it: " in told
    assert told.count("\n") == 1 or terminal


def read_all(handle: int) -> str:
    read = b""
    with suppress(OSError):  # a terminal that was closed at its other end
        while chunk := os.read(handle, 65536):
            read += chunk
    os.close(handle)
    return read.decode(errors="replace")
