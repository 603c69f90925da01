"""Fields that switch each other off: each row is told, and what rendering decides has no effect in it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from navarch.core.mesh.checks.contests import check_no_field_is_switched_off
from navarch.core.mesh.contests import CONTESTS, ENVIRONMENT, Contest
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason

from tests.golden.rendering import render_mesh
from tests.unit.observations import a_spec, an_observed_mesh, ask

WAITS = {"exec": {"command": ["pilot-agent", "wait"]}}
DRAINS = {"exec": {"command": ["pilot-agent", "request", "--debug-port=15020", "POST", "drain"]}}
SLEEPS = {"exec": {"command": ["sleep", "20"]}}
NAPS = {"exec": {"command": ["sleep", "1"]}}
PROVIDERS = [["otel"], ["envoy"], []]
SIZES = [{"requests": {"cpu": "10m"}}, {"requests": {"cpu": "20m"}}]

SAMPLES: Mapping[str, list[Any]] = {
    "COMPLIANCE_POLICY": ["fips-140-2", "fips-140-3", "pqc"],
    "ENABLE_NATIVE_SIDECARS": ["true", "false"],
    "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": ["true", "false"],
    "PILOT_TRACE_SAMPLING": ["10"],
    "accessLogEncoding": ["TEXT", "JSON"],
    "accessLogFile": ["/dev/stdout", "/dev/stderr"],
    "accessLogFormat": ['{"a": "b"}', '{"c": "d"}'],
    "accessLogging": PROVIDERS,
    "additionalDomains": [["a.example"], ["b.example"]],
    "address": ["a.example:1", "b.example:2"],
    "agentgateway": ["sha256:" + "a" * 64],
    "cipherSuites": [["ECDHE-RSA-AES128-GCM-SHA256"], ["ECDHE-RSA-AES256-GCM-SHA384"]],
    "componentLogLevel": ["misc:error", "http:debug"],
    "datadog": [{"address": "a.example:1"}],
    "enableTracing": [False, True],
    "enabled": [True, False],
    "encoding": ["TEXT", "JSON"],
    "excludeIPRanges": ["10.1.0.0/16", "10.2.0.0/16"],
    "excludeInboundPorts": ["90", "91"],
    "excludeOutboundIPRanges": ["10.1.0.0/16", "10.2.0.0/16"],
    "excludeOutboundPorts": ["90", "91"],
    "failureThreshold": [7],
    "file": ["/dev/stdout", "/dev/stderr"],
    "forceApplyIptables": [True, False],
    "format": ['{"a": "b"}', '{"c": "d"}'],
    "holdApplicationUntilProxyStarts": [True, False],
    "image": ["example.com/own:1", "proxyv2", "agentgateway"],
    "imagePullPolicy": ["Always", "Never"],
    "imagePullSecrets": [["a"], ["b"]],
    "includeIPRanges": ["10.0.0.0/8", "*"],
    "includeInboundPorts": ["80", "*"],
    "includeOutboundIPRanges": ["10.0.0.0/8", "*"],
    "includeOutboundPorts": ["90", "91"],
    "interceptionMode": ["NONE", "TPROXY", "REDIRECT"],
    "lifecycle": [{"preStop": SLEEPS}, {"preStop": NAPS}],
    "lightstep": [{"address": "a.example:1", "accessToken": "x"}],
    "logLevel": ["info", "debug"],
    "maxReplicas": [4],
    "meshID": ["a", "b"],
    "meshId": ["a", "b"],
    "minAvailable": [1],
    "minProtocolVersion": ["TLSV1_2", "TLSV1_3"],
    "minReplicas": [2],
    "minimumProtocolVersion": ["TLSv1_2", "TLSv1_3"],
    "mode": ["None", "TProxy", "Redirect"],
    "nativeSidecars": [True, False],
    "openCensusAgent": [{"address": "a.example:1"}],
    "postStart": [SLEEPS, WAITS],
    "preStop": [SLEEPS, DRAINS],
    "proxyv2": ["sha256:" + "a" * 64],
    "pullPolicy": ["Always", "Never"],
    "pullSecrets": [[{"name": "a"}], [{"name": "b"}]],
    "readinessFailureThreshold": [5],
    "readinessInitialDelaySeconds": [5],
    "readinessPeriodSeconds": [5, 6],
    "resources": SIZES,
    "sampling": [50.0, 0.0],
    "stackdriver": [{"debug": True}],
    "statusPort": [0, 15020],
    "targetCPUUtilization": [50],
    "terminationDrainDuration": ["6s"],
    "tracer": ["zipkin", "none"],
    "tracing": [["otel"], []],
    "trustDomainAliases": [["a.example"], ["b.example"]],
    "zipkin": [{"address": "a.example:1"}],
}
"""Values for each field, by the last name of its path."""


def samples_of(path: str) -> list[Any]:
    return SAMPLES[path.rpartition(".")[2]]


def put(spec: dict[str, Any], path: str, value: Any) -> None:
    """Write a field of a spec."""
    place, _, name = path.rpartition(".")
    if place == ENVIRONMENT:
        variables = spec.setdefault("controlPlane", {}).setdefault("environment", [])
        variables.append({"name": name, "value": value})
        return
    tree = spec
    for step in place.split("."):
        tree = tree.setdefault(step, {})
    tree[name] = value


def build_spec(contest: Contest, mine: Any, other: Any) -> dict[str, Any]:
    """A spec with the winner and, where `mine` is something, the loser."""
    spec: dict[str, Any] = {}
    put(spec, contest.winner, other)
    if mine is not None:
        put(spec, contest.loser, mine)
    if contest.native is not None and "proxy.nativeSidecars" not in (contest.loser, contest.winner):
        put(spec, "proxy.nativeSidecars", contest.native)
    return spec


def applies(contest: Contest, mine: Any, other: Any) -> bool:
    """As the row says; a row of leaves has one leaf in these samples."""
    while contest.leaves and isinstance(mine, Mapping):
        (mine,), (other,) = mine.values(), other.values()
    return contest.applies(mine, other)


def pairs_of(contest: Contest, wanted: bool) -> list[tuple[Any, Any]]:
    pairs = product(samples_of(contest.loser), samples_of(contest.winner))
    return [pair for pair in pairs if applies(contest, *pair) is wanted]


def find(contest: Contest, spec: Mapping[str, Any], **profile: Any) -> list[Finding]:
    """What is said of the loser because of the winner."""
    profiles = {"own": {"profiles": ["default"], **profile}} if profile else {}
    wanted = {**spec, "profiles": ["own"]} if profile else spec
    found = ask(check_no_field_is_switched_off, an_observed_mesh(spec=a_spec(**wanted), profiles=profiles))
    name = contest.winner.rpartition(".")[2] if ENVIRONMENT in contest.winner else contest.winner
    return [f for f in found if f.field.startswith(f"spec.{contest.loser}") and name in f.message]


ROWS = [pytest.param(row, id=f"{row.loser}<{row.winner}") for row in CONTESTS]


@pytest.mark.parametrize("row", ROWS)
def test_a_field_that_another_switches_off_is_told_with_both_and_the_remedy(row: Contest) -> None:
    pairs = pairs_of(row, True)
    assert pairs
    for mine, other in pairs:
        findings = find(row, build_spec(row, mine, other))
        assert findings, (mine, other)
        for finding in findings:
            assert (finding.reason, finding.severity) == (Reason.FIELD_WITHOUT_EFFECT, Severity.WARNING)
            assert finding.remedy
    assert row.source


@pytest.mark.parametrize("row", ROWS)
def test_fields_that_leave_each_other_alone_are_not_told(row: Contest) -> None:
    for mine, other in pairs_of(row, False):
        spec = build_spec(row, mine, other)
        others = [c for c in CONTESTS if (c.loser, c.winner) == (row.loser, row.winner) and c is not row]
        if not any(applies(c, mine, other) for c in others):
            assert find(row, spec) == [], (mine, other)


@pytest.mark.parametrize("row", [r for r in ROWS if r.values[0].rendered])  # type: ignore[union-attr]
def test_what_rendering_decides_is_rendered_as_if_the_loser_were_not_there(row: Contest) -> None:
    for mine, other in pairs_of(row, True):
        with_both, without = (render(build_spec(row, given, other)) for given in (mine, None))
        assert with_both == without, (mine, other)


def render(spec: Mapping[str, Any]) -> list[Any]:
    """What a mesh renders to, without what only repeats the spec."""
    objects = [o for o in render_mesh(spec) if o["kind"] != "MeshRevision"]
    for manifest in objects:
        if manifest["kind"] == "ConfigMap":
            manifest["data"].pop("original-values", None)
    return objects


def test_a_field_that_a_profile_switches_off_is_told_as_such() -> None:
    row = next(r for r in CONTESTS if r.loser == "proxy.logLevel")
    profile = {"values": {"global": {"proxy": {"logLevel": "debug"}}}}
    (finding,) = find(row, {"proxy": {"logLevel": "info"}}, **profile)
    assert "values.global.proxy.logLevel of a profile" in finding.message
    assert find(row, {}, proxy={"logLevel": "info"}, **profile) == []


@pytest.mark.parametrize("native", [None, True, False])
def test_a_hook_of_ones_own_is_told_where_sidecars_may_be_native(native: bool | None) -> None:
    spec: dict[str, Any] = {"lifecycle": {"preStop": SLEEPS}}
    spec |= {} if native is None else {"nativeSidecars": native}
    observed = an_observed_mesh(spec=a_spec(proxy=spec))
    found = list(ask(check_no_field_is_switched_off, observed))
    assert len(found) == (0 if native is False else 1)
    for finding in found:
        assert "drains a native sidecar" in finding.message
        assert "drain" in finding.remedy
