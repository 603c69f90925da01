"""The real istiod as a plain process of this machine, with its configuration in files.

Must never be given a cluster that other tests look at: an istiod writes its root certificate into every
namespace that its mesh configuration selects.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.builds import NEWEST_ISTIO, IstioLine, ensure
from tests.support import platforms

Object = dict[str, Any]
READY_SECONDS = 60
ATTEMPTS = 5
"""How often an istiod is started with other ports when another program took one of them first."""
TAKEN = "address already in use"


class InjectionRefused(Exception):
    """istiod could not inject a pod; the text is what the API server would have been told."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an istiod reads: the injector's configuration and values, MeshConfig, and its environment. `mesh`
    goes into the file that `arguments` name."""

    namespace: str
    revision: str
    injector: str
    values: str
    mesh: str
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ("--meshConfig=etc/mesh",)


@dataclass(frozen=True, slots=True)
class Istiod:
    """A running istiod: its webhooks answer in plain HTTP at `url`, plaintext xDS at the address `xds`."""

    url: str
    xds: str
    log: Path

    def is_ready(self) -> bool:
        """Whether discovery, injector and validation are up."""
        try:
            with urllib.request.urlopen(f"{self.url}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def inject(self, pod: Object) -> Object:
        """The pod as the API server would store it. Raises InjectionRefused."""
        request = {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": pod["metadata"].get("namespace", "default"),
            "operation": "CREATE",
            "object": pod,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self.url}/inject", json.dumps(review).encode(), headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            response = json.loads(answer.read())["response"]
        if not response["allowed"]:
            raise InjectionRefused(response["status"]["message"])
        patch = json.loads(base64.b64decode(response.get("patch") or "")) if response.get("patch") else []
        return apply_json_patch(pod, patch)


def apply_json_patch(document: Object, patch: list[Object]) -> Object:
    """A copy of a document with a JSON patch applied, as far as admission webhooks use it (RFC 6902: add,
    remove, replace)."""
    copy = deepcopy(document)
    for operation in patch:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        place: Any = copy
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        key: Any = last
        if isinstance(place, list):
            key = len(place) if last == "-" else int(last)
        if operation["op"] == "remove":
            del place[key]
        elif operation["op"] == "add" and isinstance(place, list):
            place.insert(key, operation["value"])
        elif operation["op"] in {"add", "replace"}:
            place[key] = operation["value"]
        else:
            raise ValueError(f"this patch also uses {operation['op']!r}")
    return copy


@contextmanager
def run_istiod(
    kubeconfig: Path,
    configuration: Configuration,
    folder: Path,
    *,
    line: IstioLine = NEWEST_ISTIO,
    choose: Callable[[int], Sequence[int]] | None = None,
) -> Iterator[Istiod]:
    """An istiod that is ready, until the block ends. `folder` must be empty; its log stays there. `choose`
    gives the ports, if not any that are free."""
    _write_configuration(configuration, folder)
    with ExitStack() as running:
        for attempt in range(ATTEMPTS):
            ports = (choose or find_free_ports)(3)
            istiod, process = running.enter_context(
                _run(kubeconfig, configuration, folder, line=line, ports=ports)
            )
            try:
                _wait_until_ready(istiod, process)
                platforms.meet(line.minor, platforms.ALONE)
                break
            except AssertionError:
                # A port is free when it is asked for, and may be taken before istiod listens on it.
                if TAKEN not in istiod.log.read_text(errors="replace") or attempt == ATTEMPTS - 1:
                    raise
        yield istiod


@contextmanager
def start_istiod(
    kubeconfig: Path, configuration: Configuration, folder: Path
) -> Iterator[tuple[Istiod, subprocess.Popen[bytes]]]:
    """An istiod that may never become ready, until the block ends, and its process."""
    _write_configuration(configuration, folder)
    with _run(kubeconfig, configuration, folder, line=NEWEST_ISTIO, ports=find_free_ports(3)) as started:
        yield started


def _write_configuration(configuration: Configuration, folder: Path) -> None:
    injection = folder / "var" / "lib" / "istio" / "inject"
    injection.mkdir(parents=True)
    (injection / "config").write_text(configuration.injector)
    (injection / "values").write_text(configuration.values)
    (folder / "etc").mkdir()
    (folder / "etc" / "mesh").write_text(configuration.mesh)


@contextmanager
def _run(
    kubeconfig: Path, configuration: Configuration, folder: Path, *, line: IstioLine, ports: Sequence[int]
) -> Iterator[tuple[Istiod, subprocess.Popen[bytes]]]:
    http, xds, monitoring = (f"127.0.0.1:{port}" for port in ports)
    argv = [
        str(ensure("node", only=[line.istiod])[line.istiod]),
        "discovery",
        f"--kubeconfig={kubeconfig}",
        *configuration.arguments,
        f"--httpAddr={http}",
        "--httpsAddr=",
        f"--grpcAddr={xds}",
        "--secureGRPCAddr=",
        f"--monitoringAddr={monitoring}",
        "--ctrlz_port=0",
        "--shutdownDuration=0s",
    ]
    own = {
        "POD_NAME": "istiod",
        "POD_NAMESPACE": configuration.namespace,
        "REVISION": configuration.revision,
        "ENABLE_LEADER_ELECTION": "false",
        "ISTIOD_CUSTOM_HOST": "localhost",
    }
    environment = {**os.environ, **configuration.environment, **own}
    log = folder / "istiod.log"
    with log.open("w") as out:
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Istiod(f"http://{http}", xds, log), process
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(istiod: Istiod, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not istiod.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(istiod.log.read_text(errors="replace").splitlines()[-15:])
            raise AssertionError(f"istiod did not become ready:\n{tail}")
        time.sleep(0.05)


def find_free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nothing listens now: all are held while the others are found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
