"""Rules about spec.version, spec.profiles and numbers that profiles bring in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.utils import quantity
from navarch.core.mesh.checks import capacity, layers, overlays, schema, strategy, version
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.naming import revision_name
from navarch.core.model.quantities import parse_quantity
from navarch.core.model.reasons import Reason
from navarch.core.world.proxies import Census, ProxyPod

from tests.unit.observations import (
    a_revision,
    a_spec,
    an_observed_mesh,
    ask,
    assets,
    content_of,
    only,
    with_catalog,
)

Check = Callable[[ObservedMesh], Iterator[Finding]]
NEWEST = assets().catalog.find("1.31").version
OLDER = assets().catalog.find("1.30").version


def mesh(version: str, **changes: Any) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(version=version), **changes)


def with_minor(observed: ObservedMesh, *, minor: str = "", **changes: Any) -> ObservedMesh:
    """The observation with rows of the catalog changed: those of `minor`, or of every minor."""
    catalog = observed.assets.catalog
    minors = tuple(replace(m, **changes) if minor in ("", m.name) else m for m in catalog.minors)
    return with_catalog(observed, replace(catalog, minors=minors))


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("1.33", "1.31"),
        ("1.3", "1.29"),
        ("1.33.0", "1.31.0"),
        ("1.30.07", "1.30.7"),
        ("2.0", "1.31"),
        ("2.0.0", NEWEST),
    ],
)
def test_an_unknown_version_is_refused_with_all_known_ones_and_the_nearest(asked: str, nearest: str) -> None:
    finding = only(version.check_version_is_known, mesh(asked))
    assert (finding.reason, finding.field, finding.value) == (Reason.UNKNOWN_VERSION, "spec.version", asked)
    for minor in assets().catalog.minors:
        first, newest = minor.patches[0], minor.patches[-1]
        known = f"{first} to {newest}" if first != newest else first
        assert f"{minor.name} ({known})" in finding.message
    assert finding.remedy.endswith(f"the nearest is {nearest}")


@pytest.mark.parametrize("asked", ["1.29", "1.30", "1.31", *assets().catalog.versions])
def test_every_version_of_the_catalog_is_known(asked: str) -> None:
    assert not list(version.check_version_is_known(mesh(asked)))


@pytest.mark.parametrize(("asked", "minimum"), [("1.29", "1.30"), ("1.30", "1.32"), ("1.31", "1.32")])
def test_a_cluster_below_the_hard_minimum_is_refused_with_both_versions(asked: str, minimum: str) -> None:
    finding = only(version.check_kubernetes_is_new_enough, mesh(asked, kubernetes=(1, 28)))
    assert finding.reason is Reason.KUBERNETES_TOO_OLD
    assert f"needs Kubernetes {minimum} or newer; the cluster is 1.28" in finding.message
    assert finding.remedy == "upgrade the cluster"


def test_a_minor_that_would_run_on_an_old_cluster_is_offered() -> None:
    finding = only(version.check_kubernetes_is_new_enough, mesh("1.31", kubernetes=(1, 31)))
    assert finding.remedy == "upgrade the cluster, or choose Istio 1.29"


@pytest.mark.parametrize("kubernetes", [(1, 32), (1, 36), (1, 40), (2, 0)])
def test_a_cluster_at_the_minimum_or_newer_is_accepted(kubernetes: tuple[int, int]) -> None:
    assert not list(version.check_kubernetes_is_new_enough(mesh("1.31", kubernetes=kubernetes)))


def test_a_cluster_newer_than_tested_is_an_information() -> None:
    finding = only(version.check_support, mesh("1.31", kubernetes=(1, 37)))
    assert (finding.reason, finding.severity) == (Reason.UNTESTED_KUBERNETES, Severity.INFO)
    assert "1.36" in finding.message
    assert "1.37" in finding.message
    assert finding.remedy == "watch the mesh closely", "no minor was tested with that Kubernetes"
    found = ask(version.check_support, mesh("1.29", kubernetes=(1, 36)))
    untested = next(f for f in found if f.reason is Reason.UNTESTED_KUBERNETES)
    assert untested.remedy == "watch the mesh closely, or choose Istio 1.30"


def test_a_minor_past_its_end_of_life_is_a_warning() -> None:
    finding = only(version.check_support, mesh("1.29"))
    assert (finding.reason, finding.severity) == (Reason.VERSION_NOTICE, Severity.WARNING)
    assert "end of life" in finding.message


def test_a_supported_minor_on_a_tested_cluster_gives_no_notice() -> None:
    assert not list(version.check_support(mesh("1.31")))


DOWNGRADES = [
    ("1.30", a_revision("1.31.0", serving="1.31.0")),
    ("1.30.3", a_revision("1.30.3", serving="1.31.0")),
    ("1.29", a_revision("1.30.0", serving="1.30.0")),
]


@pytest.mark.parametrize(("asked", "revision"), DOWNGRADES)
def test_a_version_below_the_running_one_is_refused(asked: str, revision: dict[str, Any]) -> None:
    finding = only(version.check_version_does_not_go_back, mesh(asked, revisions=(revision,)))
    running = version.running_version(mesh(asked, revisions=(revision,)))
    assert (finding.reason, finding.value) == (Reason.DOWNGRADE, asked)
    assert f"{running}, which runs" in finding.message
    assert finding.remedy == f"set it to {running} or higher"


def test_an_older_patch_of_the_same_minor_is_a_warning() -> None:
    observed = mesh("1.31.0", revisions=(a_revision("1.31.1", serving="1.31.1"),))
    finding = only(version.check_version_does_not_go_back, observed)
    assert (finding.reason, finding.severity) == (Reason.PATCH_REVERTED, Severity.WARNING)
    assert "1.31.1" in finding.message


def test_a_minor_stays_at_the_running_patch_when_the_catalog_forgets_it_and_says_so() -> None:
    """An older Navarch, or an extension that was taken back: no mesh is refused, and none goes back."""
    observed = with_minor(
        mesh("1.31", revisions=(a_revision("1.31.1", serving="1.31.1"),)), minor="1.31", patches=("1.31.0",)
    )
    assert not list(version.check_version_does_not_go_back(observed))
    assert version.find_release(observed).version == "1.31.1"
    finding = only(version.check_support, observed)
    assert (finding.reason, finding.severity) == (Reason.PATCH_UNTESTED, Severity.WARNING)
    assert finding.message.startswith("means 1.31.1, which runs and is newer than 1.31.0, the newest patch")


def test_an_exact_version_below_the_running_one_is_meant() -> None:
    observed = with_minor(
        mesh("1.31.0", revisions=(a_revision("1.31.1", serving="1.31.1"),)), minor="1.31", patches=("1.31.0",)
    )
    assert version.find_release(observed).version == "1.31.0"


def test_a_patch_newer_than_any_known_one_is_accepted_with_a_warning() -> None:
    observed = mesh("1.31.99")
    assert not list(version.check_version_is_known(observed))
    finding = only(version.check_support, observed)
    assert (finding.reason, finding.severity) == (Reason.PATCH_UNTESTED, Severity.WARNING)
    assert finding.message == f"is newer than {NEWEST}, the newest patch of 1.31 known here"
    revision = build_wanted_revision(observed)
    assert revision["spec"]["version"] == "1.31.99"


def test_a_preview_is_accepted_with_a_warning_that_says_what_was_seen() -> None:
    finding = only(version.check_support, mesh("1.32"))
    assert (finding.reason, finding.severity) == (Reason.VERSION_PREVIEW, Severity.WARNING)
    for text in ("1.32 is a preview", "CRDs and MeshConfig are those of the release", "no istiod of it"):
        assert text in finding.message


@pytest.mark.parametrize(
    ("asked", "revision"),
    [
        ("1.31", None),
        ("1.31", a_revision(NEWEST, serving=NEWEST)),
        ("1.31.1", a_revision("1.31.0", serving="1.31.0")),
        ("1.31", a_revision("1.30.3", serving="1.30.3")),
        ("1.30", a_revision("1.29.0", serving="1.29.0")),
        ("1.30.3", a_revision("1.31.1", serving="1.30.3")),
        ("1.30.3", a_revision("1.31.1")),
    ],
    ids=[
        "first install",
        "the same",
        "next patch",
        "next minor",
        "next minor of the oldest",
        "back to what still runs",
        "correct the first",
    ],
)
def test_a_version_that_can_be_reached_is_accepted(asked: str, revision: dict[str, Any] | None) -> None:
    observed = mesh(asked, revisions=(revision,) if revision else ())
    assert not list(version.check_version_does_not_go_back(observed))
    assert not list(version.check_minors_are_not_skipped(observed))


def test_two_minors_at_once_are_refused_with_the_one_between() -> None:
    for running, between in (("1.29.6", "1.30"), ("1.28.10", "1.29")):
        observed = mesh("1.31", revisions=(a_revision(running, serving=running),))
        finding = only(version.check_minors_are_not_skipped, observed)
        assert (finding.reason, finding.value) == (Reason.SKIPPED_MINOR, "1.31")
        assert finding.remedy.startswith(f"set it to {between} first")


def test_a_spec_that_does_not_parse_is_reported_field_by_field() -> None:
    spec = {
        "version": "newest",
        "proxy": {"logLevel": "loud"},
        "controlPlane": {"environment": [{"name": "A"}]},
    }
    findings = list(schema.check_spec_parses(an_observed_mesh(spec=spec, spec_error="broken")))
    assert {f.reason for f in findings} == {Reason.INVALID_SPEC}
    assert {f.field: f.value for f in findings} == {
        "spec.version": "newest",
        "spec.proxy.logLevel": "loud",
        "spec.controlPlane.environment[0].value": "",
    }
    assert all(f.message and f.remedy for f in findings)


def test_what_reading_the_spec_said_is_reported_where_nothing_more_is_known() -> None:
    finding = only(schema.check_spec_parses, an_observed_mesh(spec_error="cannot be read"))
    assert (finding.reason, finding.message) == (Reason.INVALID_SPEC, "cannot be read")


def test_a_spec_that_parses_is_not_reported() -> None:
    assert not list(schema.check_spec_parses(an_observed_mesh()))


def profiled(*names: str, **changes: Any) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(profiles=list(names)), **changes)


PROFILES = {
    "missing": (profiled("defualt"), Reason.PROFILE_NOT_FOUND, "defualt", "default"),
    "cyclic": (
        profiled("a", profiles={"a": {"profiles": ["b"]}, "b": {"profiles": ["a"]}}),
        Reason.PROFILE_CYCLE,
        "a",
        "a -> b -> a",
    ),
    "of another shape": (
        profiled("a", profiles={"a": {"proxy": {"logLevel": "loud"}}}),
        Reason.PROFILE_INVALID,
        "a",
        "proxy.logLevel",
    ),
    "unreadable": (
        profiled("a", profile_errors={"a": "line 3 is not YAML"}),
        Reason.PROFILE_INVALID,
        "a",
        "line 3 is not YAML",
    ),
}


@pytest.mark.parametrize(("observed", "reason", "value", "told"), PROFILES.values(), ids=PROFILES.keys())
def test_a_profile_that_cannot_be_used_is_named(
    observed: ObservedMesh, reason: Reason, value: str, told: str
) -> None:
    finding = only(layers.check_profiles, observed)
    assert (finding.reason, finding.value) == (reason, value)
    assert finding.field.startswith("spec.profiles")
    assert told in str(finding)
    assert layers.resolved_config(content_of(observed)) is None


@pytest.mark.parametrize(
    ("profile", "lost"),
    [
        ({"proxy": None}, "proxy"),
        ({"proxy": {"trafficCapture": {"mode": None}}}, "proxy.trafficCapture.mode"),
    ],
)
def test_a_profile_that_takes_away_what_rendering_needs_is_refused(
    profile: dict[str, Any], lost: str
) -> None:
    observed = profiled("a", profiles={"a": profile})
    finding = only(layers.check_profiles, observed)
    assert (finding.reason, finding.value) == (Reason.PROFILE_INVALID, "a")
    assert finding.message.endswith(lost)
    assert layers.resolved_config(content_of(observed)) is None


def test_a_profile_may_take_limits_away() -> None:
    profile = {"proxy": {"resources": {"limits": None}}}
    assert not list(ask(layers.check_profiles, profiled("a", profiles={"a": profile})))


@pytest.mark.parametrize("name", sorted(assets().profiles))
@pytest.mark.parametrize(
    "check",
    [
        layers.check_profiles,
        capacity.check_replicas_count,
        capacity.check_autoscaling_bounds,
        capacity.check_disruption_budget,
        capacity.check_resources,
    ],
)
def test_built_in_profiles_are_good(check: Check, name: str) -> None:
    assert not list(check(profiled(name)))


def test_a_broken_profile_that_no_mesh_names_disturbs_none() -> None:
    assert not list(ask(layers.check_profiles, an_observed_mesh(profile_errors={"a": "line 3 is not YAML"})))


def test_bounds_that_cross_only_with_a_profile_are_refused() -> None:
    observed = an_observed_mesh(spec=a_spec(controlPlane={"autoscaling": {"minReplicas": 7}}))
    finding = only(capacity.check_autoscaling_bounds, observed)
    assert (finding.reason, finding.field, finding.value) == (
        Reason.INVALID_SPEC,
        "spec.controlPlane.autoscaling.minReplicas",
        "7",
    )
    assert "maxReplicas, which is 5" in finding.message


def test_a_number_of_replicas_that_a_profiles_autoscaler_would_override_is_refused() -> None:
    finding = only(capacity.check_replicas_count, an_observed_mesh(spec=a_spec(controlPlane={"replicas": 3})))
    assert (finding.reason, finding.field, finding.value) == (
        Reason.INVALID_SPEC,
        "spec.controlPlane.replicas",
        "3",
    )


@pytest.mark.parametrize("changes", [{"profiles": ["minimal"]}, {"autoscaling": {"enabled": False}}], ids=str)
def test_a_number_of_replicas_without_an_autoscaler_is_accepted(changes: dict[str, Any]) -> None:
    control_plane = {"replicas": 3} | {key: value for key, value in changes.items() if key != "profiles"}
    observed = an_observed_mesh(spec=a_spec(controlPlane=control_plane, profiles=changes.get("profiles")))
    assert not list(ask(capacity.check_replicas_count, observed))


def test_a_budget_that_would_block_every_drain_is_refused() -> None:
    observed = an_observed_mesh(
        spec=a_spec(profiles=["production"], controlPlane={"podDisruptionBudget": {"minAvailable": 2}})
    )
    finding = only(capacity.check_disruption_budget, observed)
    assert (finding.reason, finding.value) == (Reason.INVALID_SPEC, "2")
    assert "set it to 1" in finding.remedy


def test_a_budget_counts_fixed_replicas_where_the_autoscaler_is_off() -> None:
    control_plane = {
        "autoscaling": {"enabled": False},
        "replicas": 3,
        "podDisruptionBudget": {"minAvailable": 3},
    }
    finding = only(
        capacity.check_disruption_budget, an_observed_mesh(spec=a_spec(controlPlane=control_plane))
    )
    assert "3 replicas" in finding.message


@pytest.mark.parametrize(
    ("part", "resource", "limit", "asked"),
    [
        ("proxy", "memory", "64Mi", "128Mi"),
        ("proxy", "cpu", "50m", "100m"),
        ("controlPlane", "memory", "1G", "2Gi"),
    ],
)
def test_a_limit_below_the_profiles_request_is_refused(
    part: str, resource: str, limit: str, asked: str
) -> None:
    observed = an_observed_mesh(spec=a_spec(**{part: {"resources": {"limits": {resource: limit}}}}))
    finding = only(capacity.check_resources, observed)
    assert (finding.reason, finding.value) == (Reason.INVALID_SPEC, limit)
    assert finding.field == f"spec.{part}.resources.limits.{resource}"
    assert asked in finding.message


@pytest.mark.parametrize("number", ["0", "2", "1.5", ".5", "12345678901", "1e3"])
@pytest.mark.parametrize("unit", ["", *"numkMGTPE", *(f"{unit}i" for unit in "KMGTPE")])
def test_quantities_are_read_as_the_kubernetes_package_reads_them(number: str, unit: str) -> None:
    text = number + (unit if "e" not in number else "")
    assert parse_quantity(text) == quantity.parse_quantity(text)


def test_proxies_more_than_one_minor_older_are_a_warning_before_the_upgrade_and_after() -> None:
    stamps = {"a": "1.29.6-x", "b": "1.30.1-x", "c": "1.9.0-x", "d": "", "e": "no version", "f": "1.33.0-x"}
    pods = [ProxyPod("apps", name, "shop-mesh-inplace", stamp) for name, stamp in stamps.items()]
    observed = mesh("1.31", census=Census(counted=(*pods, replace(pods[0], namespace="web", name="g"))))
    finding = only(version.check_proxies_can_follow, observed)
    assert (finding.reason, finding.severity) == (Reason.PROXIES_TOO_OLD, Severity.WARNING)
    assert "3 pods run proxies" in finding.message
    assert "1.29 (apps; web)" in finding.message
    assert "1.9 (apps)" in finding.message
    assert not list(version.check_proxies_can_follow(mesh("1.30", census=Census(counted=(pods[0],)))))


# --- from revision to revision


def by_revision(*versions: str, active: str, asked: str) -> ObservedMesh:
    """A mesh with a revision for each of these versions, all of which have served; the tag points to
    `active`."""
    revisions = []
    for each in versions:
        made = a_revision(each, serving=each)
        name = revision_name(made["spec"]["tag"], each)
        metadata = {**made["metadata"], "name": name}
        spec = {**made["spec"], "strategy": "RevisionBased"}
        revisions.append({**made, "metadata": metadata, "spec": spec})
    status = {"activeRevision": revision_name("shop-mesh", active)}
    upgrade = {"strategy": "RevisionBased"}
    return an_observed_mesh(
        spec=a_spec(version=asked, upgrade=upgrade), revisions=tuple(revisions), status=status
    )


def test_a_proxy_keeps_the_istiod_of_its_revision_however_old_it_is() -> None:
    old = ProxyPod("apps", "web", revision_name("shop-mesh", "1.29.6"), "1.29.6-x")
    beside = by_revision("1.29.6", active="1.29.6", asked="1.31")
    assert not list(version.check_proxies_can_follow(replace(beside, census=Census(counted=(old,)))))
    followed = replace(old, revision=revision_name("shop-mesh", "1.31.4"))
    finding = only(version.check_proxies_can_follow, replace(beside, census=Census(counted=(followed,))))
    assert finding.reason is Reason.PROXIES_TOO_OLD


def test_from_revision_to_revision_a_mesh_may_skip_one_minor_and_no_more() -> None:
    assert not list(
        version.check_minors_are_not_skipped(by_revision("1.29.0", active="1.29.0", asked="1.31"))
    )
    finding = only(version.check_minors_are_not_skipped, by_revision("1.29.0", active="1.29.0", asked="1.32"))
    assert finding.reason is Reason.SKIPPED_MINOR
    assert "1.31" in finding.remedy


def test_a_mesh_goes_back_to_a_revision_that_is_still_there_and_to_no_other() -> None:
    there = by_revision("1.30.0", "1.31.0", active="1.31.0", asked="1.30.0")
    assert not list(version.check_version_does_not_go_back(there))
    gone = by_revision("1.31.0", active="1.31.0", asked="1.30.0")
    assert only(version.check_version_does_not_go_back, gone).reason is Reason.DOWNGRADE


def test_a_fifth_revision_is_refused_and_one_that_is_there_may_be_asked_for() -> None:
    four = ("1.31.0", "1.31.1", "1.31.2", "1.31.3")
    finding = only(strategy.check_revisions_are_few, by_revision(*four, active="1.31.3", asked="1.31.4"))
    assert finding.reason is Reason.TOO_MANY_REVISIONS
    assert "shop-mesh-1-31-0" in finding.message
    assert not list(strategy.check_revisions_are_few(by_revision(*four, active="1.31.3", asked="1.31.0")))


def test_a_mesh_that_says_no_strategy_keeps_that_of_what_serves() -> None:
    made = by_revision("1.31.0", active="1.31.0", asked="1.31")
    silent = an_observed_mesh(spec=a_spec(), revisions=made.revisions)
    assert (silent.strategy, silent.in_place) == ("RevisionBased", False)
    assert (an_observed_mesh().strategy, an_observed_mesh().in_place) == ("InPlace", True)
    asks = an_observed_mesh(spec=a_spec(upgrade={"strategy": "InPlace"}), revisions=made.revisions)
    assert (asks.strategy, asks.in_place) == ("InPlace", False), "what is left counts"


def test_an_overlay_names_what_is_made_next() -> None:
    def observe(strategy: str, name: str) -> ObservedMesh:
        overlay = {"target": {"kind": "Deployment", "name": name}, "patch": {"spec": {"minReadySeconds": 5}}}
        upgrade = {"strategy": strategy}
        return an_observed_mesh(spec=a_spec(version="1.31.0", upgrade=upgrade, overlays=[overlay]))

    for strategy_, right, wrong in (
        ("InPlace", "istiod-shop-mesh-inplace", "istiod-shop-mesh-1-31-0"),
        ("RevisionBased", "istiod-shop-mesh-1-31-0", "istiod-shop-mesh-inplace"),
    ):
        assert not list(ask(overlays.check_overlays_apply, observe(strategy_, right)))
        finding = only(overlays.check_overlays_apply, observe(strategy_, wrong))
        assert finding.reason is Reason.OVERLAY_UNMATCHED


def test_in_place_is_one_minor_at_a_time_from_a_revision_for_one_version_too() -> None:
    made = by_revision("1.29.0", active="1.29.0", asked="1.31")
    asks = an_observed_mesh(
        spec=a_spec(version="1.31", upgrade={"strategy": "InPlace"}),
        revisions=made.revisions,
        status=made.body["status"],
    )
    assert "1.30" in only(version.check_minors_are_not_skipped, asks).remedy
