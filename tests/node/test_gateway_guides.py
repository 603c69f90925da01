"""The guides to gateways and the demo's way in, command by command as they stand there, with a real Envoy."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab.cluster import Cluster
from scripts.demo import ingress
from scripts.demo.installation import apply_documents
from tests.node.conftest import Mesh
from tests.node.programs import enter_network
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.guides import list_commands, run_command
from tests.support.operator import reserve_port
from tests.support.workloads import build_pod, is_ready, start_apps

NAMESPACE = "guide"
NAMES = {
    "namespace: shop": f"namespace: {NAMESPACE}",
    "-n shop": f"-n {NAMESPACE}",
    ".shop": f".{NAMESPACE}",
    "api.example.org": "api.outside.svc.cluster.local",
    "deploy/client -- curl --silent --fail": "deploy/client -c client -- /echo get -n 1 -t 5s",
}
"""What the tests write in place of the guides' words; the lab's client has no curl."""


@dataclass(frozen=True)
class Reader:
    """Who follows a guide: in a folder of their own, with a curl whose network is the lab's."""

    mesh: Mesh
    folder: Path
    programs: Path

    def run(self, command: str) -> str:
        return run_command(
            self.mesh.cluster, command, names=NAMES, folder=self.folder, programs=self.programs
        )

    def follow(self, guide: str, heading: str) -> str:
        """Runs a section; what its last block of commands prints."""
        return [self.run(command) for command in list_commands(guide, heading)][-1]

    async def follow_with_address(self, guide: str, heading: str, name: str) -> str:
        """Runs a section in which a load balancer is waited for: as its controller would, this gives the
        Service its address, which is that of the Service itself."""
        running = asyncio.create_task(asyncio.to_thread(self.follow, guide, heading))
        await eventually(
            lambda: running.done() or self.mesh.api.get("service", NAMESPACE, name),
            what=f"the Service {name}",
        )
        if service := self.mesh.api.get("service", NAMESPACE, name):
            status = {"loadBalancer": {"ingress": [{"ip": service["spec"]["clusterIP"]}]}}
            self.mesh.api.patch("service", NAMESPACE, name, {"status": status}, sub="status")
        return await running


@pytest.fixture(scope="module")
async def reader(mesh: Mesh, api: Api, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    folder, programs = tmp_path_factory.mktemp("guide"), tmp_path_factory.mktemp("programs")
    curl = programs / "curl"
    curl.write_text(f'#!/bin/sh\nexec {" ".join(enter_network(mesh.cluster))} /usr/bin/curl "$@"\n')
    curl.chmod(0o755)
    await start_apps(api, NAMESPACE, mesh.tag)
    try:
        yield Reader(mesh, folder, programs)
    finally:
        api.delete("namespace", "", NAMESPACE)
        await mesh.wait_for()


async def test_the_guide_to_ingress_lets_https_in_and_replaces_the_certificate(
    reader: Reader, api: Api
) -> None:
    guide = "ingress.md"
    await reader.follow_with_address(guide, "Make the gateway", "ingress")
    for heading in ("Give it a certificate", "Say what goes where"):
        reader.follow(guide, heading)
    assert json.loads(reader.follow(guide, "Try it"))["host"] == "www.example.com"
    reader.follow(guide, "Replace the certificate")
    (asking,) = list_commands(guide, "Try it")
    await eventually(is_answered(reader, asking), seconds=30, what="the new certificate is shown")
    reader.follow(guide, "Ask clients for a certificate")
    once = asking.replace("--retry 5 --retry-all-errors", "")
    await eventually(lambda: find_failure(reader, once), every=0.5, what="a client without one is refused")
    showing = asking.replace("--cacert", "--cert www.crt --key www.key --cacert")
    assert json.loads(reader.run(showing))["host"] == "www.example.com"
    assert find_failure(reader, once)
    (pod,) = api.list("pod", NAMESPACE, labels="mesh.navarch.io/gateway-name=ingress")
    said = yaml.safe_load(pod["metadata"]["annotations"]["proxy.istio.io/config"])
    asked = "kubectl exec -n shop deploy/ingress -- pilot-agent request GET server_info"
    options = json.loads(reader.run(asked))["command_line_options"]
    assert options["drain_time"] == said["drainDuration"] != "45s", "Envoy has the gateway's own time"


def find_failure(reader: Reader, command: str) -> str:
    """How a command fails; empty where it does not."""
    try:
        reader.run(command)
    except AssertionError as error:
        return str(error)
    return ""


def is_answered(reader: Reader, command: str) -> Callable[[], bool]:
    return lambda: not find_failure(reader, command)


def build_outside(name: str) -> Object:
    """A Service outside of the mesh, of the server there."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "outside"},
        "spec": {"selector": {"app": "api"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


async def test_the_guide_to_egress_lets_out_what_is_registered_and_nothing_else(
    reader: Reader, api: Api
) -> None:
    guide, cluster = "egress.md", reader.mesh.cluster
    server = build_pod("outside", "api", args=("serve",))
    apply_documents(cluster, [server, build_outside("api"), build_outside("other")])
    await eventually(
        lambda: is_ready(api.get("pod", "outside", "api") or server), seconds=60, what="a server"
    )
    (asking,) = list_commands(guide, "Try it")
    other = asking.replace("api.example.org", "other.outside.svc.cluster.local")
    try:
        await eventually(is_answered(reader, other), seconds=30, every=1, what="all is let out at first")
        for heading in (
            "Refuse what is not registered",
            "Make the gateway",
            "Register a host, and lead it through the gateway",
        ):
            reader.follow(guide, heading)
        await eventually(is_answered(reader, asking), seconds=60, every=1, what="it is let out")
        (pod,) = api.list("pod", NAMESPACE, labels="mesh.navarch.io/gateway-name=egress")
        assert f'"remote":"{pod["status"]["podIP"]}:' in reader.run(asking)
        with pytest.raises(AssertionError, match="502"):
            reader.run(other)
    finally:
        reader.follow(guide, "Undo it")
        cluster.run("-n", "outside", "delete", "pod/api", "service/api", "service/other")


async def test_the_guide_to_east_west_joins_two_networks_by_sni_under_the_pods_own_mutual_tls(
    reader: Reader, api: Api
) -> None:
    guide = "east-west.md"
    reader.follow(guide, "Say which pods are in which network")
    await reader.follow_with_address(guide, "Make the gateway of the other network", "eastwest")
    (asking,) = list_commands(guide, "Try it")
    await eventually(
        lambda: find_failure(reader, asking),
        seconds=60,
        every=1,
        what="the server is behind a gateway that passes nothing on",
    )
    reader.follow(guide, "Pass mutual TLS on")
    await eventually(is_answered(reader, asking), seconds=60, every=1, what="it passes on")
    assert f"URI=spiffe://cluster.local/ns/{NAMESPACE}/sa/client" in reader.run(asking)
    passed = reader.follow(guide, "See which way it went")
    name = f"outbound_.80_._.server.{NAMESPACE}.svc.cluster.local"
    counted = re.findall(rf"^{re.escape(name)}::\S+::cx_total::(\d+)$", passed, re.MULTILINE)
    assert sum(map(int, counted)) > 0, passed


async def test_the_demos_gateway_is_reached_by_the_commands_that_it_prints(
    mesh: Mesh, operator: Cluster, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ingress.make_ingress(operator)
        ingress.send_request(operator)
        told = capsys.readouterr().out
        assert '"host":"shop.example.com:' in told
        # Another port of the machine than the demo's, which may be taken.
        port = str(reserve_port())
        forwarding, asking = (
            one.replace(str(ingress.LOCAL), port) for one in ingress.list_commands(operator)
        )
        waiting = asking.replace("curl ", "curl --silent --fail --retry 20 --retry-all-errors ")
        answer = run_command(operator, f"{forwarding}\n{waiting} || code=$?\nkill $!\nexit ${{code:-0}}")
        assert json.loads(answer[answer.index("{") :])["host"] == f"shop.example.com:{port}"
    finally:
        api.delete("gateway", "mesh", "ingress")
        operator.run("-n", "mesh", "delete", "gateways.networking.istio.io/shop", "secret/shop")
        operator.run("-n", "shop", "delete", "virtualservices.networking.istio.io/shop")
