"""What istiod, an agent or Envoy would refuse later is refused before anything is applied."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.mesh.checks import accepted, run_checks, texts
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason

from tests.unit.observations import a_spec, an_observed_mesh, ask, assets, only

CHECKS = (
    accepted.check_mesh_config_is_accepted,
    accepted.check_envoy_accepts,
    accepted.check_networks_are_accepted,
    accepted.check_environment_values,
    accepted.check_mesh_config_warnings,
    texts.check_texts_have_their_grammar,
    texts.check_texts_are_printable,
)


def find(**fields: Any) -> list[Finding]:
    observed = an_observed_mesh(spec=a_spec(**fields))
    return [finding for check in CHECKS for finding in ask(check, observed)]


def a_provider(**settings: Any) -> dict[str, Any]:
    return {"extensionProviders": [{"name": "one", **settings}]}


REFUSED_MESH_CONFIG: list[tuple[dict[str, Any], str]] = [
    ({"connectTimeout": "0s"}, "connectTimeout"),
    ({"connect_timeout": "2h"}, "connectTimeout"),
    ({"connectTimeout": "1500us"}, "connectTimeout"),
    ({"protocolDetectionTimeout": "1us"}, "protocolDetectionTimeout"),
    ({"proxyListenPort": 99999}, "proxyListenPort"),
    ({"proxyListenPort": "0"}, "proxyListenPort"),
    ({"proxyInboundListenPort": 70000}, "proxyInboundListenPort"),
    ({"defaultConfig": {"drainDuration": "10ms"}}, "defaultConfig.drainDuration"),
    ({"defaultConfig": {"drain_duration": "1500ms"}}, "defaultConfig.drainDuration"),
    ({"defaultConfig": {"proxyAdminPort": -1}}, "defaultConfig.proxyAdminPort"),
    ({"defaultConfig": {"statusPort": 65536}}, "defaultConfig.statusPort"),
    ({"defaultConfig": {"serviceCluster": ""}}, "defaultConfig.serviceCluster"),
    ({"defaultConfig": {"statsdUdpAddress": "statsd"}}, "defaultConfig.statsdUdpAddress"),
    (
        {"defaultConfig": {"tracing": {"zipkin": {"address": "http://zipkin:9411/api"}}}},
        "defaultConfig.tracing.zipkin.address",
    ),
    (
        {"defaultConfig": {"tracing": {"lightstep": {"address": "a:1"}}}},
        "defaultConfig.tracing.lightstep.accessToken",
    ),
    (
        {"defaultConfig": {"tracing": {"tlsSettings": {"mode": "MUTUAL", "clientCertificate": "/c"}}}},
        "defaultConfig.tracing.tlsSettings.privateKey",
    ),
    (
        {"defaultConfig": {"privateKeyProvider": {"cryptomb": {"pollDelay": "0s"}}}},
        "defaultConfig.privateKeyProvider.cryptomb.pollDelay",
    ),
    (
        {"defaultConfig": {"connectionSettings": {"http2InitialStreamWindowSize": 1}}},
        "defaultConfig.connectionSettings.http2InitialStreamWindowSize",
    ),
    (
        {"localityLbSetting": {"failover": [{"from": "a", "to": "a"}]}},
        "localityLbSetting.failover[0].to",
    ),
    (
        {"localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a/b": 60, "c": 60}}]}},
        "localityLbSetting.distribute[0].to",
    ),
    ({"serviceSettings": [{"hosts": ["a..b"]}]}, "serviceSettings[0].hosts[0]"),
    ({"meshMTLS": {"ecdhCurves": ["P-256"]}}, "meshMTLS.ecdhCurves"),
    ({"tlsDefaults": {"cipherSuites": ["RC4"]}}, "tlsDefaults.cipherSuites[0]"),
    (
        {"defaultTrafficPolicy": {"outlierDetection": {"maxEjectionPercent": 101}}},
        "defaultTrafficPolicy.outlierDetection.maxEjectionPercent",
    ),
    ({"defaultTrafficPolicy": {"connectionPool": {}}}, "defaultTrafficPolicy.connectionPool"),
    (a_provider(), "extensionProviders[0]"),
    (a_provider(zipkin={"service": "zipkin.a", "port": 0}), "extensionProviders[0].zipkin.port"),
    (a_provider(skywalking={"service": "a b", "port": 1}), "extensionProviders[0].skywalking.service"),
    (
        a_provider(envoyExtAuthzHttp={"service": "a.b", "port": 1, "pathPrefix": "x"}),
        "extensionProviders[0].envoyExtAuthzHttp.pathPrefix",
    ),
    (
        a_provider(envoyExtAuthzGrpc={"service": "a.b", "port": 1, "statusOnError": "999"}),
        "extensionProviders[0].envoyExtAuthzGrpc.statusOnError",
    ),
    ({"connectTimeout": "1s", "connect_timeout": "2s"}, "connect_timeout"),
    (
        a_provider(zipkin={"service": "a.b", "port": 1}, prometheus={}),
        "extensionProviders[0].zipkin",
    ),
]


@pytest.mark.parametrize(
    ("tree", "path"), REFUSED_MESH_CONFIG, ids=[str(row[0]) for row in REFUSED_MESH_CONFIG]
)
def test_a_mesh_config_that_istiod_would_not_take_is_refused_at_its_field(
    tree: dict[str, Any], path: str
) -> None:
    finding = only(accepted.check_mesh_config_is_accepted, an_observed_mesh(spec=a_spec(meshConfig=tree)))
    assert (finding.reason, finding.field) == (Reason.MESH_CONFIG_INVALID, f"spec.meshConfig.{path}")


def a_matcher(**lists: list[str]) -> dict[str, Any]:
    return {"defaultConfig": {"proxyStatsMatcher": lists}}


REFUSED_BOOTSTRAP: list[tuple[dict[str, Any], str]] = [
    (a_matcher(inclusionPrefixes=["good", 'x"}]}}']), "proxyStatsMatcher.inclusionPrefixes[1]"),
    (a_matcher(inclusion_suffixes=["\\"]), "proxyStatsMatcher.inclusionSuffixes[0]"),
    *(
        (a_matcher(inclusionRegexps=[pattern]), "proxyStatsMatcher.inclusionRegexps[0]")
        for pattern in ("[", "(?=a)", "a*+", r"\1", r"\pL", "(a{40}){40}", "a{1001}", "\\", "[[:x:]]")
    ),
    ({"defaultConfig": {"extraStatTags": ["a|b"]}}, "extraStatTags[0]"),
    ({"defaultConfig": {"serviceCluster": 'a"'}}, "serviceCluster"),
]


@pytest.mark.parametrize(("tree", "path"), REFUSED_BOOTSTRAP, ids=str)
def test_a_text_that_would_break_envoys_bootstrap_or_add_to_it_is_refused_at_its_field(
    tree: dict[str, Any], path: str
) -> None:
    finding = only(accepted.check_envoy_accepts, an_observed_mesh(spec=a_spec(meshConfig=tree)))
    assert (finding.reason, finding.field) == (
        Reason.MESH_CONFIG_INVALID,
        f"spec.meshConfig.defaultConfig.{path}",
    )


OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"dnsRefreshRate": "0s"}, "dnsRefreshRate"),
    ({"dnsRefreshRate": "1ms"}, "dnsRefreshRate"),
    ({"hboneIdleTimeout": "-1s"}, "hboneIdleTimeout"),
    ({"tcpKeepalive": {"interval": "-5s"}}, "tcpKeepalive.interval"),
    ({"tcpKeepalive": {"probes": 128}}, "tcpKeepalive.probes"),
    ({"defaultHttpRetryPolicy": {"attempts": -1}}, "defaultHttpRetryPolicy.attempts"),
    ({"defaultHttpRetryPolicy": {"perTryTimeout": "-1s"}}, "defaultHttpRetryPolicy.perTryTimeout"),
    ({"defaultHttpRetryPolicy": {"backoff": "0s"}}, "defaultHttpRetryPolicy.backoff"),
    ({"defaultConfig": {"concurrency": -3}}, "defaultConfig.concurrency"),
    ({"defaultConfig": {"concurrency": 100000}}, "defaultConfig.concurrency"),
    ({"defaultConfig": {"statNameLength": -1}}, "defaultConfig.statNameLength"),
    ({"defaultConfig": {"terminationDrainDuration": "-1s"}}, "defaultConfig.terminationDrainDuration"),
    ({"defaultConfig": {"tracing": {"sampling": 1e300}}}, "defaultConfig.tracing.sampling"),
    ({"defaultConfig": {"tracing": {"sampling": "NaN"}}}, "defaultConfig.tracing.sampling"),
    (
        {"defaultTrafficPolicy": {"outlierDetection": {"outlierDetectionHttpErrorCodes": [500, 7]}}},
        "defaultTrafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes[1]",
    ),
]


@pytest.mark.parametrize(("tree", "path"), OUT_OF_RANGE, ids=str)
def test_a_number_or_duration_that_envoy_would_refuse_is_refused_at_its_field(
    tree: dict[str, Any], path: str
) -> None:
    finding = only(accepted.check_envoy_accepts, an_observed_mesh(spec=a_spec(meshConfig=tree)))
    assert (finding.reason, finding.field) == (Reason.MESH_CONFIG_INVALID, f"spec.meshConfig.{path}")


ACCEPTED: list[dict[str, Any]] = [
    {"dnsRefreshRate": "5s", "tcpKeepalive": {"time": "10800s", "interval": "75s", "probes": 9}},
    {"defaultHttpRetryPolicy": {"attempts": 0, "perTryTimeout": "0s", "backoff": "25ms"}},
    {"defaultConfig": {"concurrency": 0, "tracing": {"sampling": 100}}},
    a_matcher(inclusionPrefixes=["cluster.outbound|80||a.b", "http.{pod_ip}_"]),
    a_matcher(inclusionRegexps=["it's", r"vhost\..*\.route\..*", "[*+]{2,}", "(?:a|b)"]),
    {"defaultConfig": {"extraStatTags": ["request_protocol", "a.b-c"]}},
    {"connectTimeout": "1h", "protocolDetectionTimeout": "0s", "proxyListenPort": "15001"},
    {"defaultConfig": {"drainDuration": "1m30s", "tracing": {"zipkin": {"address": "$(HOST_IP):9411"}}}},
    {"defaultConfig": {"statsdUdpAddress": "[::1]:80", "tracingServiceName": "APP_LABEL_AND_NAMESPACE"}},
    {"localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a/b": 60, "c": 40}}]}},
    {"serviceSettings": [{"hosts": ["*", "*.a.b", "*-x.c."]}]},
    {"defaultTrafficPolicy": {"connectionPool": {"tcp": {"idleTimeout": "0s"}}}},
    a_provider(envoyOtelAls={"service": "shop/otel.shop.svc", "port": 4317}),
    {"accessLogFormat": "[%START_TIME%]\t%PROTOCOL%\n"},
]


@pytest.mark.parametrize("tree", ACCEPTED, ids=str)
def test_a_mesh_config_that_istiod_takes_is_not_refused(tree: dict[str, Any]) -> None:
    assert find(meshConfig=tree) == []


CAPTURE, PROXY = "proxy.trafficCapture", "values.global.proxy"
NETWORK = "values.global.meshNetworks.n"
REFUSED_TEXTS: list[tuple[str, Any, str]] = [
    (f"{CAPTURE}.includeOutboundIPRanges", "10.0.0.0/33,foo", ""),
    (f"{CAPTURE}.excludeOutboundIPRanges", "*", ""),
    (f"{CAPTURE}.excludeInboundPorts", "http;90", ""),
    (f"{CAPTURE}.excludeOutboundPorts", "80,,90", ""),
    ("proxy.componentLogLevel", "misc:loud", ""),
    ("controlPlane.logging.level", "all:debugg,foo", ""),
    (f"{PROXY}.excludeIPRanges", "10.0.0.0/8\\", ""),
    ("values.global.logging.level", "warning", ""),
    ("values.global.network", "a/b", ""),
    (f"{PROXY}.resources.limits.cpu", "two", ""),
    (f"{NETWORK}.endpoints", [{"fromCidr": "10.0.0.0/40"}], "[0].fromCidr"),
    (f"{NETWORK}.gateways", [{"address": "1.2.3.4", "port": 0}], "[0].port"),
    (
        "values.global",
        {"proxy": {"tracer": "zipkin"}, "tracer": {"zipkin": {"address": "x"}}},
        ".tracer.zipkin.address",
    ),
    ("mtls.cipherSuites", ["AES128-SHA", "NULL"], "[1]"),
    ("controlPlane.environment", [{"name": "PILOT_HTTP10", "value": "yes"}], "[0].value"),
    ("controlPlane.environment", [{"name": "PILOT_PUSH_THROTTLE", "value": "1.5"}], "[0].value"),
    ("controlPlane.environment", [{"name": "PILOT_DEBOUNCE_AFTER", "value": "5"}], "[0].value"),
    ("controlPlane.environment", [{"name": "ENABLE_NATIVE_SIDECARS", "value": "yes"}], "[0].value"),
]


@pytest.mark.parametrize(
    ("path", "value", "rest"), REFUSED_TEXTS, ids=[str(row[:2]) for row in REFUSED_TEXTS]
)
def test_a_text_that_its_reader_would_refuse_is_refused_at_its_field(
    path: str, value: Any, rest: str
) -> None:
    tree = value
    for step in reversed(path.split(".")):
        tree = {step: tree}
    (finding,) = find(**tree)
    of_values = path.startswith("values.") and "tracer" not in rest
    reason = Reason.VALUES_INVALID if of_values else Reason.INVALID_SPEC
    assert (finding.reason, finding.field) == (reason, f"spec.{path}{rest}")
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize("character", ["\x01", "\x7f", "\u0080", "\ufeff", "\ufffe"])
@pytest.mark.parametrize("place", ["accessLogFormat", "value", "name"])
def test_a_character_that_no_reader_takes_is_refused_wherever_it_stands(character: str, place: str) -> None:
    fields: dict[str, Any] = {
        "accessLogFormat": {"meshConfig": {"accessLogFormat": f"a{character}b"}},
        "value": {"controlPlane": {"environment": [{"name": "ANY", "value": character}]}},
        "name": {"values": {"global": {"proxy": {"resources": {"limits": {f"x{character}": "1"}}}}}},
    }[place]
    findings = find(**fields)
    assert findings
    assert f"U+{ord(character):04X}" in findings[0].message
    assert all(finding.message.isprintable() and finding.field.isprintable() for finding in findings)


def test_what_a_profile_says_is_refused_with_the_profile_named() -> None:
    profile = {"meshConfig": {"connectTimeout": "0s"}, "proxy": {"componentLogLevel": "misc"}}
    observed = an_observed_mesh(spec=a_spec(profiles=["own"]), profiles={"own": profile})
    findings = [finding for finding in run_checks(observed) if finding.severity is Severity.ERROR]
    assert {finding.field for finding in findings} == {"spec.profiles"}
    assert {finding.message.partition(" of a profile")[0] for finding in findings} == {
        "meshConfig.connectTimeout",
        "proxy.componentLogLevel",
    }


def test_what_istiod_only_warns_of_is_a_warning() -> None:
    (finding,) = find(meshConfig={"tlsDefaults": {"ecdhCurves": ["P-1"]}})
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("minor", [minor.name for minor in assets().catalog.minors])
@pytest.mark.parametrize("profile", sorted(assets().profiles))
def test_no_built_in_profile_breaks_a_rule_of_istios(minor: str, profile: str) -> None:
    assert find(version=minor, profiles=[profile]) == []
