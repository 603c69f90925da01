"""From one manifest to a mesh that is ready, and quiet afterwards."""

from __future__ import annotations

from tests.golden.rendering import NEWEST
from tests.support.api import Api
from tests.support.meshes import build_mesh, is_current, list_owned, read_condition, wait_for
from tests.support.operator import Operator

CONDITIONS = {
    "Ready",
    "Available",
    "Progressing",
    "UpToDate",
    "SpecAccepted",
    "Reconciled",
    "InjectionReady",
    "GatewaysReady",
    "MembersReady",
    "DependenciesReady",
    "CertificateAuthorityHealthy",
    "Paused",
    "Deleting",
}


async def test_a_mesh_becomes_ready_from_one_manifest(api: Api, operator: Operator, settled: str) -> None:
    api.create(build_mesh(settled, mtls={"mode": "Strict"}))
    mesh = await wait_for(api, settled)
    status = mesh["status"]
    assert {c["type"] for c in status["conditions"]} == CONDITIONS
    assert is_current(mesh)
    assert status["version"] == {"desired": NEWEST, "active": NEWEST}
    assert status["activeRevision"] == f"{settled}-demo-inplace"
    assert status["tag"] == f"{settled}-demo"
    assert [c["ready"] for c in status["components"]] == [1]
    assert read_condition(mesh, "InjectionReady")["reason"] == "InjectionProved"
    kinds = {o["kind"] for o in list_owned(api, settled)}
    assert {
        "Deployment",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "PeerAuthentication",
    } <= kinds
