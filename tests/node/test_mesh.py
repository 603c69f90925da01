"""From one manifest to a real istiod, real Envoys and requests under mTLS; and the operator as it ships."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cryptography import x509

from lab.cluster import Cluster
from lab.images.containerfile import read_final_stage
from scripts.demo.installation import ROOT
from tests.golden.rendering import NEWEST
from tests.node.conftest import Mesh
from tests.node.streams import streams
from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.managed import build_managed, get_cacerts, read_certificate
from tests.support.meshes import read_condition
from tests.support.operator import SYSTEM
from tests.support.workloads import ask, is_injected, is_ready

INSIDE = """
import json, os
def is_writable(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True
first = open("/proc/1/cmdline").read().split("\\0")[:-1]
seen = {"user": os.getuid(), "root": is_writable("/x"), "environment": dict(os.environ), "first": first}
print(json.dumps(seen))
"""


def read_metric(mesh: Mesh, name: str) -> dict[str, float]:
    """A metric of the mesh's istiod, by its labels."""
    path = f"/api/v1/namespaces/{mesh.namespace}/services/{mesh.istiod}:15014/proxy/metrics"
    lines = mesh.cluster.run("get", "--raw", path).splitlines()
    found = (re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line) for line in lines)
    return {m.group(1) or "": float(m.group(2)) for m in found if m}


def look_inside(cluster: Cluster, pod: str) -> Any:
    command = ["exec", "-n", SYSTEM, pod, "--", "python", "-c", INSIDE]
    return json.loads(cluster.run(*command))


async def test_a_mesh_becomes_ready_with_a_real_istiod(mesh: Mesh) -> None:
    found = await mesh.wait_for()
    status = found["status"]
    assert status["version"] == {"desired": NEWEST, "active": NEWEST}
    assert read_condition(found, "InjectionReady")["reason"] == "InjectionProved"
    assert [(c["ready"], c["desired"]) for c in status["components"]] == [(1, 1)]


async def test_injected_applications_are_ready_and_counted(mesh: Mesh, api: Api) -> None:
    pods = api.list("pod", mesh.apps)
    assert {pod["metadata"]["labels"]["app"] for pod in pods} == {"server", "client"}
    assert all(is_ready(pod) and is_injected(pod) for pod in pods)

    def are_counted() -> bool:
        proxies = (api.get("mesh", mesh.namespace, mesh.name) or {})["status"]["proxies"]
        wanted = {"total": 2, "current": 2, "outdated": 0, "misplaced": 0, "summary": "2/2"}
        return wanted.items() <= proxies.items()

    # A pod of another module's may be going still.
    await eventually(are_counted, seconds=60, every=0.2, what="both proxies in the census")


async def test_a_request_goes_through_two_proxies_under_mtls(mesh: Mesh) -> None:
    answer = ask(mesh.cluster, mesh.apps, mesh.url, count=5)
    assert answer.ok, answer.text
    assert f"URI=spiffe://cluster.local/ns/{mesh.apps}/sa/client" in answer.text
    assert f"By=spiffe://cluster.local/ns/{mesh.apps}/sa/server" in answer.text


async def test_plaintext_is_refused_when_the_mesh_is_strict(mesh: Mesh) -> None:
    answer = ask(mesh.cluster, mesh.outside, mesh.url, client="stranger")
    assert not answer.ok
    assert "connection reset by peer" in answer.text


async def test_every_proxy_accepts_all_that_istiod_sends(mesh: Mesh) -> None:
    def are_connected() -> bool:
        return sum(read_metric(mesh, "pilot_xds").values()) >= 2

    await eventually(are_connected, seconds=30, every=0.5, what="both proxies at istiod")
    assert sum(read_metric(mesh, "pilot_xds_pushes").values()) > 0
    assert sum(read_metric(mesh, "pilot_total_xds_rejects").values()) == 0


def test_the_operator_runs_as_the_containerfile_says(operator: Cluster, api: Api) -> None:
    stage = read_final_stage(ROOT / "Containerfile").config()
    pods = api.list("pod", SYSTEM, labels="app.kubernetes.io/name=navarch")
    assert pods
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["serviceAccountName"] == "navarch"
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        seen = look_inside(operator, pod["metadata"]["name"])
        # The kubelet hands on the user's number alone, not the group.
        assert str(seen["user"]) == stage["User"].split(":")[0]
        assert seen["root"] is False
        assert seen["first"][-2:] == [f"/opt/navarch/bin/{stage['Entrypoint'][0]}", *container["args"]]
        assert set(stage["Env"]) <= {f"{key}={value}" for key, value in seen["environment"].items()}


def test_the_operator_is_never_forbidden_anything(mesh: Mesh, audit: Audit) -> None:
    requests = audit.since(0)
    assert any(request.is_write for request in requests)
    assert [str(request) for request in requests if request.forbidden] == []


def test_the_operators_logs_hold_no_error(mesh: Mesh, api: Api) -> None:
    for pod in api.list("pod", SYSTEM, labels="app.kubernetes.io/name=navarch"):
        log = mesh.cluster.run("logs", "-n", SYSTEM, pod["metadata"]["name"])
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert lines
        assert [line for line in lines if line["level"] == "error" or "exception" in line] == []


RENEWED = "Istiod has detected the newly added intermediate CA"
"""What istiod logs once it signs with another intermediate."""


def read_root(mesh: Mesh) -> bytes:
    config = mesh.api.get("configmap", mesh.apps, "istio-ca-root-cert") or {}
    return str(config["data"]["root-cert.pem"]).encode()


def read_leaf(mesh: Mesh, app: str) -> list[x509.Certificate]:
    """The certificate of an application's proxy, and the chain that it sends."""
    return load_certificates(read_secrets(mesh, app)["default"]["tls_certificate"]["certificate_chain"])


def read_trusted(mesh: Mesh, app: str) -> list[x509.Certificate]:
    """The roots that an application's proxy trusts."""
    return load_certificates(read_secrets(mesh, app)["ROOTCA"]["validation_context"]["trusted_ca"])


def read_secrets(mesh: Mesh, app: str) -> dict[str, Any]:
    """What an application's Envoy has got from its agent, by name."""
    shown = ("pilot-agent", "request", "GET", "config_dump?resource=dynamic_active_secrets")
    dump = mesh.cluster.run("exec", "-n", mesh.apps, f"deploy/{app}", "-c", "istio-proxy", "--", *shown)
    return {entry["secret"]["name"]: entry["secret"] for entry in json.loads(dump)["configs"]}


def load_certificates(source: dict[str, str]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(base64.b64decode(source["inline_bytes"]))


def list_uids(mesh: Mesh) -> set[str]:
    return {pod["metadata"]["uid"] for pod in mesh.list_istiods()}


def count_renewals(mesh: Mesh) -> int:
    names = [pod["metadata"]["name"] for pod in mesh.list_istiods()]
    return sum(mesh.cluster.run("logs", "-n", mesh.namespace, name).count(RENEWED) for name in names)


@pytest.mark.timeout(600)
async def test_a_mesh_becomes_managed_with_the_root_that_it_has_and_an_intermediate_is_renewed_live(
    mesh: Mesh, api: Api
) -> None:
    before, old, unmanaged = read_root(mesh), read_leaf(mesh, "server"), list_uids(mesh)
    (root,) = x509.load_pem_x509_certificates(before)
    with streams(mesh) as seen:
        mesh.edit(**build_managed())
        managed = await mesh.wait_for("CertificateAuthorityHealthy", seconds=180)
        await mesh.wait_for(seconds=180)
        assert managed["status"]["certificateAuthority"]["root"]["origin"] == "Adopted"
        assert read_root(mesh) == before
        await eventually(lambda: not list_uids(mesh) & unmanaged, seconds=120, what="istiod was rolled")
        first, istiods = get_cacerts(api, mesh.namespace) or {}, list_uids(mesh)
        renewals = count_renewals(mesh)

        api.delete("secret", mesh.namespace, "cacerts")
        await eventually(lambda: get_cacerts(api, mesh.namespace), seconds=60, what="cacerts is back")
        second = get_cacerts(api, mesh.namespace) or {}
        signer = read_certificate(second, "ca-cert.pem")
        assert signer != read_certificate(first, "ca-cert.pem")
        await eventually(
            lambda: count_renewals(mesh) > renewals, seconds=240, every=1, what="istiod takes it up"
        )
    assert list_uids(mesh) == istiods, "no istiod was restarted for it"
    assert seen.requests >= 40
    assert seen.failures == []
    mesh.cluster.run("rollout", "restart", "-n", mesh.apps, "deploy/client")
    mesh.cluster.run("rollout", "status", "-n", mesh.apps, "deploy/client", "--timeout=120s")

    def is_under_the_new_one() -> bool:
        return read_leaf(mesh, "client")[1:2] == [signer]

    await eventually(is_under_the_new_one, seconds=60, every=1, what="a proxy is signed by it")
    leaf, above, *_ = read_leaf(mesh, "client")
    leaf.verify_directly_issued_by(above)
    above.verify_directly_issued_by(root)
    assert read_leaf(mesh, "server")[0] == old[0], "it serves on with what it had"
    answer = ask(mesh.cluster, mesh.apps, mesh.url, count=5)
    assert answer.ok, answer.text
