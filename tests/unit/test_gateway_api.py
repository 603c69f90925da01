"""Which CRDs of Gateway API are written, and which an istiod reads."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from navarch.assets import load_gateway_api
from navarch.controllers.gatewayapi import LONGEST, PAUSE, find_pause
from navarch.core.istio.catalog import read_bundle
from navarch.core.istio.gatewayapi import (
    CHANNEL,
    OWN,
    VERSION,
    Found,
    Install,
    choose,
    find_ignored,
    is_of_gateway_api,
    read_crd,
)
from navarch.core.mesh.checks import run_checks
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason
from navarch.settings import Settings

from tests.golden.rendering import ASSETS
from tests.unit.observations import a_spec, an_observed_mesh

BUNDLE, EXPERIMENTAL = load_gateway_api("standard"), load_gateway_api("experimental")
ROUTES = "httproutes.gateway.networking.k8s.io"
TLS = "tlsroutes.gateway.networking.k8s.io"
TCP = "tcproutes.gateway.networking.k8s.io"
INSTALLING = (Install.IF_ABSENT, Install.MANAGED)


def found(name: str = ROUTES, **about: Any) -> Found:
    """One that is there as this release writes it, unless `about` says otherwise."""
    as_written = Found(name, BUNDLE.version, "standard", ours=True, stored=("v1",), current=True)
    return replace(as_written, **about)


def all_found(**about: Any) -> dict[str, Found]:
    return {name: found(name, **about) for name in BUNDLE.crds}


def test_the_pinned_bundle_is_what_the_catalog_says_in_both_channels() -> None:
    pinned = ASSETS.catalog.gateway_api.version
    assert (BUNDLE.version, EXPERIMENTAL.version) == (pinned, pinned)
    assert (BUNDLE.channel, EXPERIMENTAL.channel) == ("standard", "experimental")
    assert set(BUNDLE.crds) < set(EXPERIMENTAL.crds)
    assert {ROUTES, TLS} <= set(BUNDLE.crds)
    assert TCP in EXPERIMENTAL.crds.keys() - BUNDLE.crds.keys()
    assert all(is_of_gateway_api(name) for name in EXPERIMENTAL.crds)


def test_every_minor_that_is_supported_reads_all_of_the_pinned_standard_channel() -> None:
    for minor in ASSETS.catalog.minors:
        plurals = {name.split(".")[0]: BUNDLE.version for name in BUNDLE.crds}
        ignored = [crd.name for crd in find_ignored(minor.gateway_api, plurals)]
        assert ignored == ([TLS] if minor.end_of_life else []), minor.name


@pytest.mark.parametrize("bundle", [BUNDLE, EXPERIMENTAL], ids=["standard", "experimental"])
def test_what_is_written_is_labelled_as_navarch_s_and_is_current_when_it_is_there(bundle: Any) -> None:
    for crd in bundle.crds.values():
        assert OWN.items() <= crd["metadata"]["labels"].items()
        assert "status" not in crd
        live = read_crd({**crd, "status": {"storedVersions": ["v1"]}}, crd)
        assert (live.ours, live.current, live.version) == (True, True, bundle.version)


@pytest.mark.parametrize("install", Install)
def test_nothing_is_written_of_a_set_that_is_there(install: Install) -> None:
    assert choose(install, BUNDLE, all_found()).writes == ()


@pytest.mark.parametrize("install", Install)
def test_a_cluster_without_any_gets_all_where_something_is_to_be_installed(install: Install) -> None:
    wanted = () if install is Install.NEVER else tuple(BUNDLE.crds)
    assert choose(install, BUNDLE, {}).writes == wanted


@pytest.mark.parametrize("install", INSTALLING)
def test_a_set_that_was_begun_is_completed(install: Install) -> None:
    begun = dict([*all_found().items()][:3])
    assert choose(install, BUNDLE, begun).writes == tuple([*BUNDLE.crds][3:])


@pytest.mark.parametrize(
    "about",
    [
        {"ours": False},
        {"version": "v1.4.0"},
        {"version": "v1.9.0"},
        {"channel": "experimental"},
        {"version": ""},
    ],
    ids=str,
)
def test_a_set_that_is_not_this_one_is_left_alone_where_it_is_not_managed(about: dict[str, Any]) -> None:
    there = {ROUTES: found(**about)}
    assert choose(Install.IF_ABSENT, BUNDLE, there).writes == ()
    assert choose(Install.IF_ABSENT, BUNDLE, {TCP: found(TCP, **about)}).writes == ()


def test_what_is_changed_is_put_back_only_where_it_is_managed() -> None:
    changed = all_found() | {ROUTES: found(current=False)}
    assert choose(Install.MANAGED, BUNDLE, changed).writes == (ROUTES,)
    assert choose(Install.IF_ABSENT, BUNDLE, changed).writes == ()


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("version", ["v1.4.1", "v1.5.0", BUNDLE.version, f"{BUNDLE.version}-rc.1"])
def test_an_older_one_is_brought_up_to_date_where_it_is_managed(version: str, ours: bool) -> None:
    older = all_found(version=version, ours=ours, current=False)
    assert choose(Install.MANAGED, BUNDLE, older).writes == tuple(BUNDLE.crds)


@pytest.mark.parametrize("name", [ROUTES, TCP])
@pytest.mark.parametrize("ours", [True, False])
def test_one_that_is_newer_keeps_all_from_being_written(name: str, ours: bool) -> None:
    """Also one that only another channel has: the others are about to follow."""
    choice = choose(Install.MANAGED, BUNDLE, {name: found(name, version="v1.10.0", ours=ours, current=False)})
    assert choice.writes == ()
    assert choice.obstacles == (f"{name} is of v1.10.0, which is newer than {BUNDLE.version}",)


def test_one_of_others_that_says_no_version_keeps_all_from_being_written() -> None:
    there = {ROUTES: found(version="", ours=False, current=False)}
    assert choose(Install.MANAGED, BUNDLE, there).writes == ()
    taken_away = {ROUTES: found(version="", current=False)}
    assert ROUTES in choose(Install.MANAGED, BUNDLE, taken_away).writes


def test_the_standard_channel_is_never_written_over_the_experimental_one() -> None:
    there = {ROUTES: found(channel="experimental", current=False)}
    choice = choose(Install.MANAGED, BUNDLE, there)
    assert choice.writes == ()
    assert "channel experimental" in choice.obstacles[0]
    assert ROUTES in choose(Install.MANAGED, EXPERIMENTAL, there).writes
    over_standard = all_found(current=False)
    assert choose(Install.MANAGED, EXPERIMENTAL, over_standard).obstacles == ()


def test_a_version_in_which_objects_are_stored_is_not_taken_away() -> None:
    there = all_found(current=False) | {TLS: found(TLS, stored=("v1alpha1", "v1"), current=False)}
    choice = choose(Install.MANAGED, BUNDLE, there)
    assert choice.writes == ()
    assert TLS in choice.obstacles[0]
    assert "v1alpha1" in choice.obstacles[0]


def test_one_that_is_being_deleted_is_waited_for() -> None:
    there = all_found() | {ROUTES: found(current=False, terminating=True)}
    assert choose(Install.MANAGED, BUNDLE, there).writes == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda crd: crd["spec"]["versions"].pop(),
        lambda crd: crd["spec"]["versions"][0].update(served=False),
        lambda crd: crd["spec"]["names"].update(categories=[]),
        lambda crd: crd["metadata"]["annotations"].pop(VERSION),
        lambda crd: crd["metadata"]["annotations"].update({CHANNEL: "experimental"}),
        lambda crd: crd["metadata"]["labels"].clear(),
    ],
)
def test_a_change_of_what_is_wanted_is_seen_and_an_addition_elsewhere_is_not(change: Any) -> None:
    wanted = BUNDLE.crds[ROUTES]
    live: Any = copy.deepcopy(dict(wanted))
    live["spec"]["conversion"] = {"strategy": "None"}
    live["metadata"]["labels"]["of-others"] = "x"
    assert read_crd(live, wanted).current
    change(live)
    assert not read_crd(live, wanted).current


def test_a_client_that_changes_a_crd_again_and_again_is_followed_at_growing_intervals() -> None:
    pause, pauses = PAUSE, []
    for _ in range(10):
        pause = find_pause(pause, since=pause)
        pauses.append(pause)
    assert pauses == sorted(pauses)
    assert pauses[:2] == [2 * PAUSE, 4 * PAUSE]
    assert pauses[-1] == LONGEST
    assert find_pause(LONGEST, since=2 * LONGEST) == PAUSE, "it has stopped"


def test_nothing_is_installed_where_nobody_asks_for_it() -> None:
    assert Install(Settings().gateway_api_install) is Install.NEVER


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.5.1", (1, 5, 1)),
        ("1.5.1", (1, 5, 1)),
        ("v1.5.0-rc.2", (1, 5, 0)),
        ("", None),
        ("main", None),
        ("v1.5", None),
        ("v1.5.1\n", None),
    ],
)
def test_a_bundle_s_version_is_read_as_istiod_reads_it(text: str, version: Any) -> None:
    assert read_bundle(text) == version


def ignored(version: str, **versions: str) -> list[str]:
    observed = an_observed_mesh(spec=a_spec(version=version), gateway_api=versions)
    return [f.message for f in run_checks(observed) if f.reason is Reason.GATEWAY_API_UNREAD]


def test_a_crd_that_the_minor_s_istiod_ignores_is_a_warning() -> None:
    observed = an_observed_mesh(spec=a_spec(version="1.31"), gateway_api={"tlsroutes": "v1.4.1"})
    (finding,) = (f for f in run_checks(observed) if f.reason is Reason.GATEWAY_API_UNREAD)
    assert finding.severity is Severity.WARNING
    assert str(finding) == (
        f"spec.version: '1.31': its istiod ignores {TLS} of v1.4.1 since it reads v1.5.0 and newer; install "
        "such a version of Gateway API with what installed the CRDs, or choose a minor of Istio that reads "
        "the cluster's"
    )


@pytest.mark.parametrize(
    ("minor", "plural", "read", "unread"),
    [
        ("1.29", "tlsroutes", ["v1.0.0", "v1.4.1"], ["v1.4.2", "v1.5.1", ""]),
        ("1.30", "tlsroutes", ["v1.5.0", "v1.5.0-rc.1", "v2.0.0"], ["v1.4.1", "x"]),
        ("1.30", "tcproutes", ["v1.3.0", "v1.6.0", ""], []),
        ("1.31", "tcproutes", ["v1.6.0"], ["v1.5.1"]),
        ("1.31", "grpcroutes", ["v1.1.0"], ["v1.0.0"]),
        ("1.31", "backendtlspolicies", ["v1.4.0"], ["v1.3.0"]),
    ],
)
def test_what_a_minor_reads_is_what_its_istiod_s_source_says(
    minor: str, plural: str, read: list[str], unread: list[str]
) -> None:
    assert [v for v in (*read, *unread) if ignored(minor, **{plural: v})] == unread


def awaited(minor: str, switch: str = "true", **versions: str) -> list[str]:
    environment = [{"name": "PILOT_ENABLE_ALPHA_GATEWAY_API", "value": switch}] if switch else []
    spec = a_spec(version=minor, controlPlane={"environment": environment})
    observed = an_observed_mesh(spec=spec, standard_gateway_api=versions)
    return [f.message for f in run_checks(observed) if f.reason is Reason.GATEWAY_API_AWAITED]


@pytest.mark.parametrize(
    ("minor", "plural", "well", "in_vain"),
    [
        ("1.29", "udproutes", ["v1.5.1", "v1.6.0"], []),
        ("1.30", "udproutes", ["v1.5.1", "v1.3.0", ""], ["v1.5.2", "v1.6.0", "v1.6.0-rc.1"]),
        ("1.30", "tcproutes", ["v1.5.1"], ["v1.6.0"]),
        ("1.31", "udproutes", ["v1.5.1"], ["v1.6.0"]),
        ("1.31", "tcproutes", ["v1.5.1", "v1.6.0", "main"], []),
    ],
)
def test_an_istiod_that_would_wait_for_alpha_versions_in_vain_is_a_warning(
    minor: str, plural: str, well: list[str], in_vain: list[str]
) -> None:
    assert [v for v in (*well, *in_vain) if awaited(minor, **{plural: v})] == in_vain
    for switch in ("", "false", "0"):
        assert [v for v in in_vain if awaited(minor, switch, **{plural: v})] == []


def test_the_warning_names_the_switch_and_what_is_not_served() -> None:
    environment = [{"name": "PILOT_ENABLE_ALPHA_GATEWAY_API", "value": "true"}]
    spec = a_spec(version="1.31", controlPlane={"environment": environment})
    observed = an_observed_mesh(spec=spec, standard_gateway_api={"udproutes": "v1.6.0"})
    (finding,) = (f for f in run_checks(observed) if f.reason is Reason.GATEWAY_API_AWAITED)
    assert finding.severity is Severity.WARNING
    assert str(finding).startswith(
        "spec.controlPlane.environment: 'PILOT_ENABLE_ALPHA_GATEWAY_API=true': its istiod waits for v1alpha2 "
        "of udproutes.gateway.networking.k8s.io, which v1.6.0 of the standard channel does not serve"
    )
