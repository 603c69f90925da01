"""What the API server itself refuses of spec.gateways, and of MeshGateways that a mesh has made."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.api.inline import TYPES

from lab.cluster import Cluster
from tests.cluster.test_admission import edit
from tests.support.admission import TENANT, bind, refusal, say, submit
from tests.support.api import Api
from tests.support.gateways import build_gateway
from tests.support.meshes import build_mesh

FRONT = {"name": "front"}


@pytest.mark.parametrize(
    ("gateways", "words"),
    [
        ({"ingress": [FRONT], "egress": [FRONT]}, ("front", "a name of its own")),
        (
            {"ingress": [FRONT], "eastWest": [{**FRONT, "networkGateway": "n"}]},
            ("front", "a name of its own"),
        ),
        ({"egress": [{**FRONT, "networkGateway": "n"}]}, ("spec.gateways.egress", "networkGateway")),
        ({"defaults": {"networkGateway": "n"}}, ("spec.gateways.defaults.networkGateway", "set it there")),
        ({"ingress": [FRONT, FRONT]}, ("Duplicate value", "front")),
        ({"ingress": [{"name": f"g{n}"} for n in range(17)]}, ("17", "16")),
        ({"ingress": [{"name": "a.b"}]}, ("spec.gateways.ingress[0].name",)),
        ({"ingress": [{"name": "a" * 51}]}, ("spec.gateways.ingress[0].name", "50")),
        (
            {"egress": [{**FRONT, "replicas": 2, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}}]},
            ("spec.gateways.egress[0].replicas", "autoscaling"),
        ),
        (
            {"defaults": {"service": {"ports": [{"name": "a", "port": 15001}]}}},
            ("spec.gateways.defaults.service.ports[0].targetPort", "15001"),
        ),
    ],
)
def test_what_no_gateway_can_be_is_refused_in_a_mesh_too(
    api: Api, guarded: Cluster, gateways: Any, words: tuple[str, ...]
) -> None:
    said = refusal(api, build_mesh("default", gateways=gateways))
    assert said
    for word in words:
        assert word in said


def test_as_many_gateways_as_the_lists_hold_are_taken(api: Api, guarded: Cluster) -> None:
    ports = [{"name": f"p{n}", "port": 1000 + n, "targetPort": 2000 + n} for n in range(64)]
    full = {"service": {"ports": ports}}
    lists = {
        key: [{"name": f"{kind.lower()}-{n}", "namespace": "elsewhere", **full} for n in range(16)]
        for key, kind in TYPES.items()
    }
    lists["eastWest"] = [{**entry, "networkGateway": "n"} for entry in lists["eastWest"]]
    assert refusal(api, build_mesh("default", gateways={"defaults": full, **lists})) == ""


def test_gateways_elsewhere_take_the_verb_host_and_those_beside_the_mesh_what_a_meshgateway_takes(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    api.create(build_mesh(tenancy, paused=True))
    assert edit(guarded, tenancy, {"spec": {"gateways": {"ingress": [FRONT]}}}) == ""
    elsewhere = {"spec": {"gateways": {"ingress": [{**FRONT, "namespace": "default"}]}}}
    said = edit(guarded, tenancy, elsewhere)
    assert "spec.gateways: front in namespace default" in said
    assert f"set by {TENANT}" in said
    assert "host.mesh.navarch.io" in said
    api.patch("mesh", tenancy, "demo", elsewhere)
    more = {"ingress": [{**FRONT, "namespace": "default"}, {"name": "beside"}]}
    assert edit(guarded, tenancy, {"spec": {"gateways": more}}) == "", "what stands there is no change"
    changed = {"gateways": {"ingress": [{**FRONT, "namespace": "default", "replicas": 9}]}}
    assert "front in namespace default" in edit(guarded, tenancy, {"spec": changed})
    defaults = {"gateways": {"defaults": {"replicas": 9}}}
    assert "front in namespace default" in edit(guarded, tenancy, {"spec": defaults})
    assert edit(guarded, tenancy, {"spec": {"gateways": None}}) == "", "to take them away takes nothing more"


def test_who_may_not_make_a_meshgateway_does_not_get_one_through_a_mesh(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    user = "editor"
    rule = {"apiGroups": ["mesh.navarch.io"], "resources": ["meshcontrolplanes"], "verbs": ["get", "patch"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": user, "namespace": tenancy},
        "rules": [rule],
    }
    binding = bind(tenancy, user, user=user)
    binding["roleRef"]["kind"] = "Role"
    api.create(role)
    api.create(binding)
    api.create(build_mesh(tenancy, paused=True))
    command = ("patch", "meshcp", "demo", "-n", tenancy, "--type=merge", "--dry-run=server", "-p")
    patch = '{"spec": {"gateways": {"ingress": [{"name": "front"}]}}}'
    said = say(guarded, *command, patch, user=user)
    assert "create on meshgateways.mesh.navarch.io" in said
    assert say(guarded, *command, '{"metadata": {"annotations": {"a": "b"}}}', user=user) == ""


def test_the_labels_of_a_mesh_on_a_meshgateway_are_navarchs_to_give(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    gateway = build_gateway(tenancy, tenancy, "front")
    assert submit(guarded, gateway) == ""
    labels = {"mesh.navarch.io/mesh-name": "demo", "mesh.navarch.io/mesh-namespace": tenancy}
    forged = {**gateway, "metadata": {**gateway["metadata"], "labels": labels}}
    assert "metadata.labels: mesh.navarch.io/mesh-name on meshgateways front" in submit(guarded, forged)
