"""Reasons that only a cluster shows in which something is not as it should be: a lab of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, a_running_operator, build_operator, install
from tests.polling import eventually
from tests.support.api import Api, Refused
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import Operator
from tests.support.policies import out_of_force

NS = "odd"
MESHES = "meshcontrolplanes.mesh.navarch.io"
PEERS = "peerauthentications.security.istio.io"
DEMANDING = """
import dataclasses
import navarch.app
from navarch.__main__ import main
from navarch.assets import load_assets

def load():
    assets = load_assets()
    minors = (dataclasses.replace(minor, kubernetes_minimum=(1, 99)) for minor in assets.catalog.minors)
    return dataclasses.replace(assets, catalog=dataclasses.replace(assets.catalog, minors=tuple(minors)))

navarch.app.load_assets = load
main()
"""
"""A release of the operator whose versions of Istio all need a newer Kubernetes than there is."""


@dataclass(frozen=True)
class Odd:
    """A cluster that may be spoilt, and the operator in it."""

    cluster: Cluster
    api: Api
    operator: Operator


@pytest.fixture(scope="module")
async def odd() -> AsyncIterator[Odd]:
    with a_lab("odd") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        async with a_running_operator(cluster) as operator:
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
            api.create(build_mesh(NS))
            await wait_for(api, NS)
            yield Odd(cluster, api, operator)


@contextmanager
def broken_conversion(api: Api) -> Iterator[None]:
    """A foreign CRD whose conversion webhook does not exist: writing another version is a 500."""
    path = api.path("crd", "", PEERS)
    versions = api.request("GET", path)["spec"]["versions"]
    other = [{**v, "storage": v["name"] != "v1" and v["name"] == "v1beta1"} for v in versions]
    nowhere = {
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "default", "name": "nowhere", "path": "/"}},
        },
    }
    merge = "application/merge-patch+json"
    taken = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}
    api.request("PATCH", path, taken | {"spec": {"versions": other, "conversion": nowhere}}, media=merge)
    try:
        yield
    finally:
        given = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "navarch"}}}
        sound = {"spec": {"versions": versions, "conversion": {"strategy": "None", "webhook": None}}}
        api.request("PATCH", path, given | sound, media=merge)


async def test_an_api_server_that_cannot_take_an_object_is_told_and_asked_again(odd: Odd) -> None:
    with broken_conversion(odd.api):
        edit(odd.api, NS, mtls={"mode": "Strict"})
        mesh = await wait_for(
            odd.api, NS, condition="Reconciled", status="False", reason="APIUnavailable", seconds=90
        )
        assert "PeerAuthentication" in read_condition(mesh, "Reconciled")["message"]
        assert read_condition(mesh, "Available")["status"] == "True"
    await wait_for(odd.api, NS, seconds=90)


async def test_a_name_that_an_unguarded_cluster_let_through_is_told_in_status(odd: Odd) -> None:
    api, name = odd.api, "n" * 70
    rules = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"
    api.request(
        "PATCH",
        api.path("crd", "", MESHES),
        [{"op": "remove", "path": rules}],
        media="application/json-patch+json",
    )
    namespace = f"{NS}-long"
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def is_taken() -> bool:
        try:
            return bool(api.create(build_mesh(namespace, name)))
        except Refused:
            return False

    with out_of_force(api, "placement"):
        await eventually(is_taken, seconds=30, every=0.2, what="nothing refuses the name any more")
    mesh = await wait_for(
        api, namespace, name, condition="SpecAccepted", status="False", reason="NameTooLong"
    )
    message = read_condition(mesh, "SpecAccepted")["message"]
    assert name in message
    assert "63" in message


async def test_a_kubernetes_below_the_minimum_is_told_and_what_runs_is_left_alone(odd: Odd) -> None:
    odd.operator.stop()
    demanding = build_operator(odd.cluster, "demanding")
    demanding.program = ("-c", DEMANDING)
    demanding.start()
    try:
        mesh = await wait_for(
            odd.api, NS, condition="SpecAccepted", status="False", reason="KubernetesTooOld", seconds=90
        )
        message = read_condition(mesh, "SpecAccepted")["message"]
        assert "1.99" in message
        assert "spec.version" in message
        assert read_condition(mesh, "Available")["status"] == "True"
    finally:
        demanding.stop()
