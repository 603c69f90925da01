"""One look at a cluster: which answers are believed, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from navarch.assets import load_assets
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Environment
from navarch.gather.watches import WATCHES
from navarch.gather.world import World
from navarch.kube.client import Client
from navarch.kube.resources import resource_of
from navarch.survey.examination import recall_failure
from navarch.survey.snapshot import name_of, take_snapshot
from navarch.survey.surroundings import Surveyor

from tests.unit.observations import NOW
from tests.unit.test_kube_transport import serving

SYSTEM = "navarch-system"


async def nothing_here(request: web.Request) -> web.StreamResponse:
    """What answers in place of an API server that is not up yet."""
    return web.Response(status=404, text="404 page not found")


async def test_a_404_that_names_no_object_is_no_empty_list_of_a_built_in_kind(tmp_path: Path) -> None:
    async with serving(tmp_path, nothing_here) as credentials, Client(credentials) as client:
        snapshot = await take_snapshot(client, operator_namespace=SYSTEM)
    resources = [resource_of(watch.api_version, watch.kind) for watch in WATCHES]
    builtin = {name_of(resource) for resource in resources if resource.builtin}
    assert {gap.what for gap in snapshot.gaps} == builtin
    assert {"pods", "customresourcedefinitions.apiextensions.k8s.io"} <= builtin
    for watch, resource in zip(WATCHES, resources, strict=True):
        assert snapshot.has(watch.name) is not resource.builtin


async def test_a_404_that_names_no_object_says_nothing_about_navarchs_own_installation(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, nothing_here) as credentials, Client(credentials) as client:
        snapshot = await take_snapshot(client, operator_namespace=SYSTEM)
        environment = Environment((1, 36), SYSTEM, "navarch-probe")
        world = World(client, snapshot.stores, load_assets(), environment=environment, now=lambda: NOW)
        surveyor = Surveyor(client, snapshot, world)
        observed = await surveyor.observe(whole=True)
    navarch = observed.navarch
    assert (navarch.crds, navarch.missing_policies, navarch.lease) == (None, None, None)
    assert (observed.namespaces, observed.webhooks, observed.proxies) == (None, None, None)
    unseen = {gap.what for gap in surveyor.gaps}
    assert f"Lease {SYSTEM}/navarch" in unseen
    assert "deployments.apps" in unseen


async def test_a_404_that_names_the_object_is_believed(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        body = {"kind": "Status", "code": 404, "message": "no", "details": {"name": name}}
        return web.json_response(body, status=404)

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        snapshot = await take_snapshot(client, operator_namespace=SYSTEM)
        environment = Environment((1, 36), SYSTEM, "navarch-probe")
        world = World(client, snapshot.stores, load_assets(), environment=environment, now=lambda: NOW)
        surveyor = Surveyor(client, snapshot, world)
        observed = await surveyor.observe(whole=False)
    assert (observed.navarch.crds, observed.navarch.lease) == ({}, False)
    assert {gap.what for gap in surveyor.gaps} == {
        "deployments.apps",
        "pods",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
    }


@pytest.mark.parametrize(
    ("reason", "read"),
    [("ApplyFailed", Reason.APPLY_FAILED), ("WordOfALaterRelease", Reason.NOT_YET_DETERMINED)],
)
def test_a_failure_that_a_newer_operator_wrote_is_quoted_although_its_reason_is_unknown(
    reason: str, read: Reason
) -> None:
    condition = {
        "type": "Reconciled",
        "status": "False",
        "reason": reason,
        "message": "a quota is exceeded",
        "observedGeneration": 2,
    }
    body = {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshControlPlane",
        "metadata": {"name": "demo", "namespace": "shop", "generation": 2},
        "status": {"conditions": [condition]},
    }
    failed = recall_failure(body)
    assert failed is not None
    assert (failed.reason, failed.message) == (read, "a quota is exceeded")
    edited = {**body, "metadata": {"name": "demo", "namespace": "shop", "generation": 3}}
    assert recall_failure(edited) is None
