"""Gateways with a version of their own: what they run, when they may, and which of their pods are current."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from navarch.api.meta import API_VERSION
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.pin import Pin, find_pin
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.gateway.status import summarise_gateway
from navarch.core.mesh.census import count_proxies
from navarch.core.mesh.checks import run_checks as run_mesh_checks
from navarch.core.mesh.checks.pins import check_gateways_can_follow, check_pinned_gateways
from navarch.core.mesh.checks.version import check_proxies_can_follow
from navarch.core.model.actions import Outcome
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import PROXY, PROXY_IMAGE, RESTART
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Namespace
from navarch.core.world.proxies import Census, ProxyPod, read_proxy_pod

from tests.unit.gateways import a_gateway, find, pinned, settled, told, verdicts, with_mesh
from tests.unit.observations import a_revision, a_spec, an_observed_mesh, ask, only

REVISION = "shop-mesh-inplace"


def pin_of(observed: ObservedGateway) -> Pin:
    pin = find_pin(observed)
    assert pin is not None
    return pin


def template_of(observed: ObservedGateway) -> Manifest:
    template: Manifest = find(build_gateway(observed), "Deployment")["spec"]["template"]
    return template


def refusal(observed: ObservedGateway) -> Finding:
    """The one thing that keeps a gateway from being made."""
    (finding,) = [f for f in run_checks(observed) if f.severity is Severity.ERROR]
    return finding


# --- what runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.30", "1.30.8"),
        ("1.30.3", "1.30.3"),
        ("1.31", "1.31.2"),
        ("1.31.1", "1.31.1"),
        ("1.31.2", "1.31.2"),
    ],
)
def test_a_minor_is_its_newest_patch_and_that_of_the_mesh_the_meshs_own(version: str, expected: str) -> None:
    observed = pinned(version, mesh="1.31.2")
    assert pin_of(observed).version == expected
    image = template_of(observed)["metadata"]["annotations"][PROXY_IMAGE]
    assert image == f"{observed.assets.catalog.find(expected).minor.hub}/proxyv2:{expected}"  # type: ignore[union-attr]
    assert [f.reason for f in run_checks(observed) if f.severity is Severity.ERROR] == []


def test_without_a_version_pods_name_no_image_and_carry_the_meshs_stamp() -> None:
    observed = with_mesh(a_gateway(), "1.31.4")
    annotations = template_of(observed)["metadata"]["annotations"]
    assert PROXY_IMAGE not in annotations
    assert annotations[RESTART] == observed.stamp


@pytest.mark.parametrize(
    ("config", "image"),
    [
        ({"images": {"hub": "mirror.example.org/istio"}}, "mirror.example.org/istio/proxyv2:1.30.8"),
        (
            {"images": {"hub": "mirror.example.org/istio"}, "values": {"global": {"variant": "distroless"}}},
            "mirror.example.org/istio/proxyv2:1.30.8-distroless",
        ),
        (
            {
                "images": {"hub": "mirror.example.org/istio"},
                "meshConfig": {"defaultConfig": {"image": {"imageType": "debug"}}},
            },
            "mirror.example.org/istio/proxyv2:1.30.8-debug",
        ),
    ],
)
def test_the_image_comes_from_where_the_meshs_come_and_in_their_variant(
    config: dict[str, Any], image: str
) -> None:
    assert pin_of(pinned("1.30", **config)).image == image


def with_images(observed: ObservedGateway, *, closed: bool, **images: str) -> ObservedGateway:
    """The same gateway with what the catalog knows of images of 1.30.8."""
    catalog = observed.assets.catalog
    minors = tuple(
        replace(m, images={**m.images, "1.30.8": images}) if m.name == "1.30" else m for m in catalog.minors
    )
    extended = replace(catalog, minors=minors, closed=closed)
    return replace(observed, assets=replace(observed.assets, catalog=extended))


def test_a_digest_or_another_place_that_the_catalog_knows_is_used() -> None:
    digest = "sha256:" + "a" * 64
    assert pin_of(with_images(pinned("1.30"), closed=False, proxyv2=digest)).image.endswith(
        f"/proxyv2:1.30.8@{digest}"
    )
    mirrored = f"mirror.example.org/x/proxyv2@{digest}"
    assert pin_of(with_images(pinned("1.30"), closed=True, proxyv2=mirrored)).image == mirrored


def test_where_only_images_at_hand_may_run_a_pin_to_another_is_refused() -> None:
    finding = refusal(with_images(pinned("1.30"), closed=True))
    assert (finding.reason, finding.field, finding.value) == (
        Reason.IMAGE_NOT_AT_HAND,
        "spec.version",
        "1.30.8",
    )
    assert "proxyv2:1.30.8" in finding.message


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"images": {"tag": "custom"}}, "spec.images.tag"),
        ({"images": {"digests": {"proxyv2": "sha256:" + "a" * 64}}}, "spec.images.digests.proxyv2"),
        (
            {"values": {"global": {"proxy": {"image": "own.example.org/proxy:1"}}}},
            "spec.values.global.proxy.image",
        ),
    ],
)
def test_where_the_mesh_names_one_image_no_version_can_be_pinned(config: dict[str, Any], field: str) -> None:
    finding = refusal(pinned("1.30", **config))
    assert finding.reason is Reason.VERSION_WITHOUT_IMAGE
    assert field in finding.message


@pytest.mark.parametrize("key", [PROXY_IMAGE, RESTART, PROXY])
def test_nobody_can_name_an_image_or_a_stamp_by_annotation(key: str) -> None:
    observed = with_mesh(a_gateway({"version": "1.30", "annotations": {key: "own.example.org/x"}}), "1.31.4")
    assert refusal(observed).reason is Reason.FIELD_REFUSED


# --- when --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "reason", "words"),
    [
        ("1.99", Reason.UNKNOWN_VERSION, "does not know"),
        ("1.30.99999", Reason.UNKNOWN_VERSION, "does not know"),
        ("1.29", Reason.VERSION_OUTSIDE_SKEW, "means 1.29.6, which is more than one minor older than 1.31.2"),
        ("1.31.3", Reason.VERSION_OUTSIDE_SKEW, "is newer than 1.31.2"),
        ("1.32", Reason.VERSION_OUTSIDE_SKEW, "means 1.32.0, which is newer than 1.31.2"),
    ],
)
def test_a_version_outside_the_skew_or_unknown_is_refused_and_what_runs_stays(
    version: str, reason: Reason, words: str
) -> None:
    before = settled(pinned("1.30", mesh="1.31.2"))
    observed = replace(with_mesh(a_gateway({"version": version}), "1.31.2"), owned=before.owned)
    finding = refusal(observed)
    assert (finding.reason, finding.field, finding.value) == (reason, "spec.version", version)
    assert words in finding.message
    assert "1.30 to 1.31.2" in finding.remedy
    plan = plan_gateway(observed, run_checks(observed))
    assert (list(plan.objects()), plan.prune) == ([], ())
    assert verdicts(observed)["Ready"][0] == "False"


def test_the_oldest_minor_is_a_warning_before_the_mesh_leaves_it_behind() -> None:
    (warning,) = run_checks(pinned("1.30"))
    assert (warning.reason, warning.severity) == (Reason.VERSION_LEAVES_SKEW, Severity.WARNING)
    assert run_checks(pinned("1.31.1")) == ()


def test_pods_of_a_version_that_the_mesh_asks_for_wait_until_it_serves() -> None:
    waiting = pinned("1.31.4", mesh="1.31.4", serving="1.30.8")
    assert not any(o["kind"] == "Deployment" for o in plan_gateway(waiting, run_checks(waiting)).objects())
    assert "does not run 1.31.4 yet" in told(waiting, "Progressing")
    ready = pinned("1.31.4", mesh="1.31.4")
    assert any(o["kind"] == "Deployment" for o in plan_gateway(ready, run_checks(ready)).objects())


def test_a_pin_waits_for_an_injector_that_does_not_follow_its_specification_and_keeps_what_it_made() -> None:
    behind = pinned("1.30", stamp="1.31.4-before")
    assert "injector does not follow" in told(behind, "Progressing")
    made = settled(pinned("1.30"))
    again = replace(behind, owned=made.owned, proxies=made.proxies)
    assert template_of(again) == template_of(made)
    assert verdicts(again)["UpToDate"] == ("True", "AsExpected")


def test_a_revision_that_this_release_cannot_read_changes_no_pinned_pod() -> None:
    made = settled(pinned("1.30"))
    revision: dict[str, Any] = dict(made.revision or {})
    revision["spec"] = {**revision["spec"], "strategy": "Unheard"}
    now = replace(made, revision=revision)
    assert template_of(now) == template_of(made)
    new = replace(pinned("1.30"), revision=revision)
    assert not any(o["kind"] == "Deployment" for o in plan_gateway(new, run_checks(new)).objects())
    assert "cannot read the mesh's revision" in told(new, "Progressing")


def test_a_mesh_that_goes_to_another_version_rolls_no_pinned_gateway_at_any_moment() -> None:
    before = settled(pinned("1.30.8", mesh="1.30.8"))
    old = before.stamp
    moments = [
        pinned("1.30.8", mesh="1.31.4", serving="1.30.8", stamp=old),
        pinned("1.30.8", mesh="1.31.4", serving="1.30.8"),
        pinned("1.30.8", mesh="1.31.4"),
    ]
    for moment in moments:
        now = replace(moment, owned=before.owned, proxies=before.proxies)
        assert template_of(now) == template_of(before)
        assert plan_gateway(now, run_checks(now)).waiting == ()
    follows = with_mesh(a_gateway(), "1.31.4")
    assert template_of(follows) != template_of(with_mesh(a_gateway(), "1.30.8"))


def test_a_change_of_the_meshs_configuration_rolls_a_pinned_gateway_too() -> None:
    quiet, loud = pinned("1.30"), pinned("1.30", proxy={"logLevel": "debug"})
    assert template_of(quiet) != template_of(loud)
    now = replace(loud, owned=settled(quiet).owned, proxies=settled(quiet).proxies)
    assert verdicts(now)["UpToDate"] == ("False", "ProxiesOutdated")


def test_a_catalog_that_knows_fewer_patches_takes_no_pod_back() -> None:
    before = settled(pinned("1.30.9"))
    now = replace(before, spec=a_gateway({"version": "1.30"}).spec)
    assert pin_of(now).version == "1.30.9"


# --- what is said -------------------------------------------------------------------------------------------


def status_of(observed: ObservedGateway) -> dict[str, Any]:
    findings = run_checks(observed)
    return summarise_gateway(observed, findings, plan_gateway(observed, findings), Outcome())


def a_pod(stamp: str, *, injected: str, gateway: str = "ingress", image: str = "x/proxyv2:1") -> Manifest:
    """A pod as it is injected: `injected` is the mesh's stamp, `stamp` that of the template."""
    annotations = {
        RESTART: stamp,
        PROXY: injected,
        "sidecar.istio.io/status": json.dumps({"revision": REVISION}),
    }
    labels = a_gateway().parent.labels(component="gateway") if gateway else {}
    annotations |= {PROXY_IMAGE: image} if image else {}
    return {"metadata": {"namespace": "front", "name": "p", "annotations": annotations, "labels": labels}}


def read(pod: Manifest) -> ProxyPod:
    proxy = read_proxy_pod(pod)
    assert proxy is not None
    return proxy


def test_a_pod_counts_by_its_gateways_stamp_only_where_it_is_a_gateways_and_names_an_image() -> None:
    assert read(a_pod("1.30.8-a", injected="1.31.4-b")).proxy == "1.30.8-a"
    assert read(a_pod("1.30.8-a", injected="1.31.4-b", image="")).proxy == "1.31.4-b"
    assert read(a_pod("1.30.8-a", injected="1.31.4-b", gateway="")).proxy == "1.31.4-b"


def test_status_tells_version_and_outdated_pods_by_the_pin() -> None:
    observed = settled(pinned("1.30"))
    pin = pin_of(observed)
    current = read(a_pod(pin.stamp, injected=observed.stamp))
    status = status_of(replace(observed, proxies=(current,)))
    assert (status["version"], status["proxy"], status["outdated"]) == ("1.30.8", pin.stamp, 0)
    followed = replace(current, name="q", proxy=observed.stamp)
    status = status_of(replace(observed, proxies=(current, followed)))
    assert status["outdated"] == 1
    assert "version" not in status
    refused = replace(with_mesh(a_gateway({"version": "1.29"}), "1.31.4"), owned=observed.owned)
    status = status_of(replace(refused, proxies=(current,)))
    assert (status["version"], status["outdated"]) == ("1.30.8", 1)
    assert "proxy" not in status


def a_pinned_one(version: str, *, namespace: str = "front", stamp: str = "") -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "MeshGateway",
        "metadata": {"namespace": namespace, "name": "ingress", "uid": f"uid-{namespace}"},
        "spec": {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}, "version": version},
        "status": {"proxy": stamp} if stamp else {},
    }


def a_mesh_of(version: str, *gateways: Manifest, **more: Any) -> Any:
    """A mesh that serves 1.31.4 with a member namespace `front`, and asks for a version."""
    mesh = an_observed_mesh(spec=a_spec(version=version, **more.pop("spec", {})), gateways=gateways, **more)
    front = Namespace("front", {"istio.io/rev": "shop-mesh"})
    return replace(mesh, namespaces={**mesh.namespaces, "front": front, "away": Namespace("away", {})})


def test_the_census_counts_a_pinned_gateways_pods_by_its_pin_and_all_others_by_the_mesh() -> None:
    revision = a_revision("1.31.4", serving="1.31.4")
    revision["status"]["proxy"] = "1.31.4-now"
    pods = (
        ProxyPod("front", "a", REVISION, "1.30.8-pin", "ingress"),
        ProxyPod("front", "b", REVISION, "1.30.8-old", "ingress"),
        ProxyPod("front", "c", REVISION, "1.30.8-pin"),
        ProxyPod("front", "d", REVISION, "1.31.4-now"),
    )
    gateway = a_pinned_one("1.30", stamp="1.30.8-pin")
    mesh = a_mesh_of("1.31", gateway, revisions=(revision,), census=Census(counted=pods))
    assert (count_proxies(mesh)["current"], count_proxies(mesh)["outdated"]) == (2, 2)
    unpinned = replace(mesh, gateways=())
    assert (count_proxies(unpinned)["current"], count_proxies(unpinned)["outdated"]) == (1, 3)


# --- the mesh -----------------------------------------------------------------------------------------------


def test_a_mesh_that_asks_for_the_next_minor_warns_of_the_gateways_that_it_leaves_behind() -> None:
    old = a_pinned_one("1.30")
    pod = ProxyPod("front", "a", REVISION, "1.30.8-pin", "ingress")
    mesh = a_mesh_of("1.32", old, a_pinned_one("1.30", namespace="away"), census=Census(counted=(pod,)))
    finding = only(check_gateways_can_follow, mesh)
    assert (finding.reason, finding.severity) == (Reason.VERSION_LEAVES_SKEW, Severity.WARNING)
    assert "MeshGateway front/ingress (1.30)" in finding.message
    assert "away" not in finding.message
    assert list(check_proxies_can_follow(mesh)) == [], "it is told once"
    assert list(check_gateways_can_follow(a_mesh_of("1.31", old))) == []
    assert list(check_gateways_can_follow(a_mesh_of("1.31", a_pinned_one("1.99")))) == []


@pytest.mark.parametrize(
    ("gateways", "reason", "field"),
    [
        (
            {"ingress": [{"name": "in", "version": "1.29"}]},
            Reason.VERSION_OUTSIDE_SKEW,
            "spec.gateways.ingress[in].version",
        ),
        (
            {"defaults": {"version": "1.32"}, "egress": [{"name": "out"}]},
            Reason.VERSION_OUTSIDE_SKEW,
            "spec.gateways.egress[out].version",
        ),
        (
            {"ingress": [{"name": "in", "version": "1.99"}]},
            Reason.UNKNOWN_VERSION,
            "spec.gateways.ingress[in].version",
        ),
    ],
)
def test_a_mesh_whose_own_gateways_could_not_follow_its_version_is_refused(
    gateways: dict[str, Any], reason: Reason, field: str
) -> None:
    mesh = a_mesh_of("1.31", spec={"gateways": gateways})
    finding = only(check_pinned_gateways, mesh)
    assert (finding.reason, finding.field, finding.severity) == (reason, field, Severity.ERROR)
    assert finding in run_mesh_checks(mesh)


def test_a_mesh_with_gateways_of_a_minor_older_is_accepted_and_makes_them_so() -> None:
    gateways = {"ingress": [{"name": "in", "version": "1.30"}], "egress": [{"name": "out"}]}
    assert list(ask(check_pinned_gateways, a_mesh_of("1.31", spec={"gateways": gateways}))) == []
