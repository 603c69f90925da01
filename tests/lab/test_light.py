"""The light cluster and its stand-in for istiod, with objects made by hand on the real API server."""

import base64
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lab import builds, processes, slots
from lab.cluster import Cluster, KubectlError, find, published, service_account_kubeconfig
from lab.light import cluster as light_cluster
from lab.progress import LabError, wait_until
from tests.support.logs import read_events

HERE = Path(__file__).parent
POD = """
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: %s, labels: {app: probe}}
spec: {containers: [{name: app, image: example.org/app}]}
"""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh made by hand, and the namespace of an application in it."""

    cluster: Cluster
    namespace: str
    revision: str

    @property
    def app_namespace(self) -> str:
        return f"{self.namespace}-app"

    def get(self, *arguments: str) -> Any:
        return json.loads(self.cluster.run("get", *arguments, "-o", "json"))

    def root(self, namespace: str) -> str | None:
        found = self.get("configmap", "-n", namespace, "--field-selector=metadata.name=istio-ca-root-cert")
        return found["items"][0]["data"]["root-cert.pem"] if found["items"] else None

    def has_bundle(self) -> bool:
        injector = self.get("mutatingwebhookconfiguration", f"injector-{self.revision}")
        validator = self.get("validatingwebhookconfiguration", f"validator-{self.revision}")
        return (
            "caBundle" in injector["webhooks"][0]["clientConfig"]
            and validator["webhooks"][0]["failurePolicy"] == "Fail"
        )

    def create(self, manifest: str, *flags: str) -> Any:
        return json.loads(self.cluster.run("create", "-f", "-", "-o", "json", *flags, stdin=manifest))

    def injects(self) -> bool:
        return _is_injected(self.create(POD % self.app_namespace, "--dry-run=server"))


def _is_injected(pod: Any) -> bool:
    return "sidecar.istio.io/status" in pod["metadata"].get("annotations", {})


def _install(cluster: Cluster, namespace: str, revision: str) -> Mesh:
    manifest = (HERE / "light_mesh.yaml").read_text().replace("NS", namespace).replace("REV", revision)
    cluster.run("apply", "-f", "-", stdin=manifest)
    mesh = Mesh(cluster, namespace, revision)
    cluster.run("create", "namespace", mesh.app_namespace)
    labels = (f"mesh={namespace}", f"istio.io/rev={revision}")
    cluster.run("label", "namespace", mesh.app_namespace, *labels)
    cluster.run("wait", "--for=create", "serviceaccount/default", "-n", mesh.app_namespace, "--timeout=180s")
    wait_until(mesh.has_bundle, what="caBundle and failurePolicy", seconds=60, interval=0.2)
    return mesh


def _remove(mesh: Mesh) -> None:
    for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
        mesh.cluster.run("delete", kind, "-l", f"istio.io/rev={mesh.revision}")
    for kind in ("clusterrole", "clusterrolebinding"):
        mesh.cluster.run("delete", kind, f"istiod-{mesh.revision}")
    mesh.cluster.run("delete", "namespace", mesh.namespace, mesh.app_namespace, "--wait=false")


@pytest.fixture(scope="module")
def mesh(light: Cluster) -> Iterator[Mesh]:
    light.run("apply", "-f", str(HERE / "istio_crds.yaml"))
    light.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=180s")
    made = _install(light, "hand-made", "by-hand")
    yield made
    _remove(made)
    # The lab may be another suite's as well, and these are not Navarch's: it would have to leave them alone.
    light.run("delete", "-f", str(HERE / "istio_crds.yaml"), "--wait=true")


def test_nodes_are_ready_in_three_zones(light: Cluster) -> None:
    nodes = json.loads(light.run("get", "nodes", "-o", "json"))["items"]
    assert len({node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}) == 3
    for node in nodes:
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"


def test_the_published_kubectl_reaches_the_lab(light: Cluster) -> None:
    folder = published(light.name)
    assert find(light.name) == light
    assert (folder / "kubeconfig").stat().st_mode & 0o077 == 0
    assert light.run("version", "-o", "json") == Cluster(
        light.name, light.kind, folder / "kubeconfig", folder / "kubectl", light.state, light.audit_log
    ).run("version", "-o", "json")


def test_services_get_addresses_of_the_labs_own_loopback_network(light: Cluster) -> None:
    address = light.run("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
    assert address.startswith(slots.claim(light.name, "light").service_prefix)


def test_nothing_of_the_lab_listens_beyond_loopback(light: Cluster) -> None:
    sockets = {
        str(link.readlink())
        for process in processes.recorded(light.state)
        for link in Path(f"/proc/{process.pid}/fd").iterdir()
        if link.is_symlink()
    }
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1].split(":")[0])
    assert len(listening) >= 6
    assert set(listening) == {"0100007F"}


def test_a_service_account_is_itself_and_may_nothing(light: Cluster) -> None:
    kubeconfig = service_account_kubeconfig(light, "default", "default")
    account = Cluster(light.name, light.kind, kubeconfig, light.kubectl, light.state, light.audit_log)
    told = account.run("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert told == "system:serviceaccount:default:default"
    with pytest.raises(KubectlError, match="Forbidden"):
        account.run("get", "secrets")


def test_the_audit_log_is_complete_when_a_request_returns(light: Cluster) -> None:
    assert light.audit_log is not None
    light.run("create", "configmap", "audited", "--dry-run=server")
    light.run("get", "configmap", "kube-root-ca.crt")
    events = [*read_events(light.audit_log)]
    seen = [
        event
        for event in events
        if event["user"]["username"] == "admin" and event.get("objectRef", {}).get("resource") == "configmaps"
    ]
    assert [event["verb"] for event in seen[-2:]] == ["create", "get"]
    assert {event["stage"] for event in events} <= {"ResponseComplete", "ResponseStarted", "Panic"}
    assert {event["level"] for event in events} == {"Metadata"}


def test_an_istiod_signs_by_an_authority_kept_in_a_secret_of_its_namespace(mesh: Mesh) -> None:
    secret = mesh.get("secret", "istio-ca-secret", "-n", mesh.namespace)
    assert secret["type"] == "istio.io/ca-root"
    assert set(secret["data"]) == {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem", "key.pem"}
    root = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["root-cert.pem"]))
    assert root.subject.rfc4514_string() == f"O={mesh.namespace}.example"


def test_only_webhooks_of_the_injector_get_the_bundle_and_the_field_manager_is_istiods(mesh: Mesh) -> None:
    secret = mesh.get("secret", "istio-ca-secret", "-n", mesh.namespace)
    injector = mesh.get("mutatingwebhookconfiguration", f"injector-{mesh.revision}", "--show-managed-fields")
    first, other = injector["webhooks"]
    assert first["clientConfig"]["caBundle"] == secret["data"]["root-cert.pem"]
    assert "caBundle" not in other["clientConfig"]
    managers = [(m["manager"], m["operation"]) for m in injector["metadata"]["managedFields"]]
    assert ("pilot-discovery", "Update") in managers


def test_an_api_server_that_calls_the_webhook_gets_an_injected_pod(mesh: Mesh) -> None:
    pod = mesh.create(POD % mesh.app_namespace, "--dry-run=server")
    status = json.loads(pod["metadata"]["annotations"]["sidecar.istio.io/status"])
    assert status["revision"] == mesh.revision
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["istio-init", "istio-proxy"]
    assert pod["metadata"]["annotations"]["mesh.navarch.io/proxy"] == "1"


def test_an_injected_pod_becomes_ready(mesh: Mesh) -> None:
    mesh.create(POD % mesh.app_namespace)
    mesh.cluster.run("wait", "--for=condition=Ready", "pod/probe", "-n", mesh.app_namespace, "--timeout=180s")
    mesh.cluster.run("delete", "pod", "probe", "-n", mesh.app_namespace)


def test_the_root_certificate_goes_to_selected_namespaces_only_and_is_repaired(mesh: Mesh) -> None:
    root = mesh.root(mesh.app_namespace)
    assert root is not None
    assert mesh.root(mesh.namespace) == root
    assert mesh.root("default") != root, "only what a mesh of another test may have left"
    at_app = ("-n", mesh.app_namespace)
    mesh.cluster.run("delete", "configmap", "istio-ca-root-cert", *at_app)
    wait_until(lambda: mesh.root(mesh.app_namespace) == root, what="the deleted root", seconds=60)
    edit = '{"data": {"root-cert.pem": "x"}}'
    mesh.cluster.run("patch", "configmap", "istio-ca-root-cert", *at_app, "-p", edit)
    wait_until(lambda: mesh.root(mesh.app_namespace) == root, what="the edited root", seconds=60)


def test_a_blanked_bundle_is_patched_again(mesh: Mesh) -> None:
    blank = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    webhook = ("mutatingwebhookconfiguration", f"injector-{mesh.revision}")
    mesh.cluster.run("patch", *webhook, "--type=json", "-p", json.dumps(blank))
    wait_until(mesh.has_bundle, what="the caBundle", seconds=60)


def virtual_service(mesh: Mesh, spec: Any) -> str:
    metadata = {"name": "shop", "namespace": mesh.app_namespace, "labels": {"istio.io/rev": mesh.revision}}
    manifest = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata}
    return json.dumps({**manifest, "spec": spec})


def test_an_invalid_virtual_service_is_refused_and_a_valid_one_is_not(mesh: Mesh) -> None:
    with pytest.raises(KubectlError, match="denied the request: configuration is invalid"):
        mesh.create(virtual_service(mesh, {"hosts": ["shop"], "http": [{}]}), "--dry-run=server")
    valid = {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": "shop"}}]}]}
    mesh.create(virtual_service(mesh, valid), "--dry-run=server")


def test_a_settled_stand_in_writes_nothing(mesh: Mesh) -> None:
    def writes() -> list[str]:
        assert mesh.cluster.audit_log is not None
        reads = {"get", "list", "watch"}
        events = read_events(mesh.cluster.audit_log)
        mine = (e for e in events if e["user"]["username"] == "stand-in" and e["verb"] not in reads)
        return [f"{event['verb']} {event['objectRef']['resource']}" for event in mine]

    before = writes()
    # Each of these wakes it, and none of them is anything for it to repair ...
    for number in range(5):
        mesh.cluster.run("label", "namespace", mesh.app_namespace, f"waking={number}", "--overwrite")
    mesh.cluster.run("create", "configmap", "waking", "-n", mesh.app_namespace)
    # ... but this is: once it is repaired, all that came before was looked at, too.
    mesh.cluster.run("delete", "configmap", "istio-ca-root-cert", "-n", mesh.app_namespace)
    wait_until(lambda: mesh.root(mesh.app_namespace) is not None, what="the root", seconds=60)
    assert writes()[len(before) :] == ["create configmaps"]


def test_without_a_ready_pod_nothing_is_served_and_the_next_one_serves_again(mesh: Mesh) -> None:
    deployment = f"deployment/istiod-{mesh.revision}"

    def is_refused() -> bool:
        try:
            return not mesh.injects()
        except KubectlError as error:
            return "failed calling webhook" in str(error) and "502" in str(error)

    mesh.cluster.run("scale", deployment, "-n", mesh.namespace, "--replicas=0")
    wait_until(is_refused, what="the refusal", seconds=60)
    before = mesh.root(mesh.app_namespace)
    mesh.cluster.run("scale", deployment, "-n", mesh.namespace, "--replicas=2")
    wait_until(lambda: not is_refused(), what="the injection", seconds=60)
    assert mesh.root(mesh.app_namespace) == before


def test_two_meshes_have_two_roots_and_do_not_touch_each_other(mesh: Mesh) -> None:
    other = _install(mesh.cluster, "other-hand-made", "other")
    try:
        assert mesh.root(mesh.app_namespace) != other.root(other.app_namespace)
        assert mesh.injects()
        assert other.injects()
    finally:
        _remove(other)
    assert mesh.injects()


def test_a_second_lab_runs_beside_the_first_and_is_cleaned_up_after_a_crash(light: Cluster) -> None:
    name = f"test-second-{os.getpid()}"
    try:
        second = light_cluster.up(name)
        daemons = processes.recorded(second.state)
        assert len(daemons) == 6
        assert light_cluster.up(name) == second
        assert processes.recorded(second.state) == daemons
        light.run("create", "namespace", "only-in-the-first")
        with pytest.raises(KubectlError, match="not found"):
            second.run("get", "namespace", "only-in-the-first")
        for daemon in daemons[:3]:
            os.kill(daemon.pid, signal.SIGKILL)
        (second.state / "cluster.json").unlink()
    finally:
        light_cluster.down(name)
    assert not any(daemon.is_alive() for daemon in daemons)
    assert not second.state.exists()
    assert not published(name).exists()
    assert light.run("get", "--raw", "/readyz") == "ok"


def test_a_port_that_was_taken_meanwhile_is_said_in_a_sentence() -> None:
    name = f"test-port-{os.getpid()}"
    try:
        lab = light_cluster._prepare(name, builds.ensure("light"))
        # As servers do: connections of an earlier lab on the port may still wait for their end.
        with socket.create_server(("127.0.0.1", lab.slot.port("etcd"))):
            said = "another program has taken a port of etcd .* start the lab again"
            with pytest.raises(LabError, match=said):
                lab.start()
    finally:
        light_cluster.down(name)


def test_a_lab_of_another_kubernetes_than_the_one_that_runs_is_refused(light: Cluster) -> None:
    other = next(iter(builds.kubernetes_modules()))
    assert not light.kubernetes.startswith(f"{other}.")
    before = processes.recorded(light.state)
    with pytest.raises(LabError, match=rf"runs Kubernetes {light.kubernetes}: end it by python -m lab down"):
        light_cluster.up(light.name, kubernetes=other)
    assert processes.recorded(light.state) == before


def test_a_kubernetes_that_the_lab_has_not_is_refused_before_anything_is_made(light: Cluster) -> None:
    with pytest.raises(LabError, match=r"the lab has no Kubernetes 1\.12; there are"):
        light_cluster.up("test-none", kubernetes="1.12")
    assert not slots.state_of("test-none").exists()
