"""Our verdicts beside those of Istio's own readers, over known, boundary and random input.

What Istio refuses is refused; where we refuse more, it is a row of STRICTER with the reason. Istio's readers
are the functions themselves, in a program of the lab.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from navarch.assets import load_assets
from navarch.core.istio.definitions import MESH_NETWORKS, Kind, find_problems, load_definition
from navarch.core.istio.validation import grammar
from navarch.core.istio.validation.environment import TYPES
from navarch.core.istio.validation.meshconfig import find_violations
from navarch.core.istio.validation.networks import find_in_networks
from navarch.core.istio.validation.reading import read_message
from navarch.core.render.engine import dump_yaml

from tests.support.verdicts import Readers, run_readers

NEWEST = load_assets().mesh_descriptors["1.31"]
QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

STRICTER: Mapping[str, Callable[[str], bool]] = {
    "include-ranges": lambda text: "," in text,
    "include-ports": lambda text: text != text.strip() or " " in text or "0" in text or "," in text,
    "exclude-ports": lambda text: text != text.strip() or " " in text or "0" in text or "," in text,
    "quantity": lambda text: text.startswith("-") or not any(map(str.isdigit, text)),
    "env-float64": lambda text: any(letter in text.lower() for letter in "xpinf_"),
    "address": lambda text: "%" in text,
    "proxy-address": lambda text: "%" in text,
}
"""Where a text may be refused that Istio takes, by reader. Ports: 0 is no port, and spaces and empty items
reach iptables, which refuses them. Amounts below zero, or without any digit, are refused by the API server.
A fraction that is infinite or hexadecimal is nothing that one could have meant, and so is an address with a
zone."""


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with run_readers() as readers:
        yield readers


RULES: Mapping[str, Callable[[str], str]] = {
    "levels": grammar.explain_istio_levels,
    "include-ranges": lambda text: grammar.explain_ranges(text, star=True),
    "exclude-ranges": grammar.explain_ranges,
    "include-ports": lambda text: grammar.explain_ports(text, star=True),
    "exclude-ports": grammar.explain_ports,
    "host": grammar.explain_host,
    "wildcard-host": grammar.explain_wildcard_host,
    "trust-domain": grammar.explain_trust_domain,
    "proxy-address": grammar.explain_proxy_address,
    "address": grammar.explain_address,
    "range": grammar.explain_range,
    "duration": grammar.explain_duration,
    "env-bool": grammar.explain_truth,
    "env-int": grammar.explain_whole,
    "env-float64": grammar.explain_fraction,
    "env-duration": grammar.explain_duration,
    "quantity": grammar.explain_quantity,
    "label": grammar.explain_label_value,
}
SEEDS = r"""
0|1|-1|+1|01|007|65535|65536|99999|1.5|1e3|.5
5.|1_000|0x10|inf|nan|9223372036854775807|9223372036854775808|t|T|TRUE|yes|
0s|1ms|10ms|1m30s|1.5h|-5s|5|s|1d
1 s|2562047h47m16.854775807s|2562047h47m16.854775808s|9999999999h|.5s|5.s|+1s|0.1ns|µs|1µs
10.0.0.0|10.0.0.0/8|10.0.0.0/33|10.0.0.0/08|10.0.0.0/+8|10.0.0.0/|/8
010.0.0.1|10.0.0|10.0.0.0.0|::|::1|::/0|::/129|1::2::3
::ffff:1.2.3.4|::ffff:1.2.3.4/96|::ffff:1.2.3.4/24|fe80::1%eth0|fe80::1%
fe80::1%eth0/64|10.0.0.0/8,|,|*|*,10.0.0.0/8|10.0.0.0/8, ::/0
10.0.0.0/255.0.0.0|10.0.0.0/8\\|80|80,90|80, 90| 80|80,|http;90|a|a.b|a.b.|.|..
a..b|-a|a-|a_b|1.2.3|a.1|a.+1|a.-1|*.a|*a|*-a|*-|a*
a:80|a:|:80|a|[::1]:80|::1:80|[::1]|[::1]:
[::1]80|[a]:80|[[::1]]:80|a:80:90|a:+80|a:080|http://zipkin:9411/api|a]:80|a:8]0
info|default:info|all:debugg,foo|all:debug|a:b:c|:info|info:
info,|INFO|warning|warn|fatal|none|a:info,b:warn
500m|1Gi|1gi|1.5|1e3|1E3|1Ei|-1|+1|1.m|.5m|m
1 Gi|1K|1k|1n|1u|1M|1Mi|1e|1e+3|1E|99999999999999999999999|0.0000000000001
"""
LONG = {"a" * 63, "a" * 64, "a." * 127 + "a", "a." * 128, "x" * 64 + ".a", "ä", "a\n"}
TEXTS = sorted({text for line in SEEDS.splitlines() for text in line.split("|")} | LONG)
PIECES = [*"0 1 9 80 255 65536 . : :: / 8 32 - + * , a ms s h m [ ] % info debug Gi e _ ä".split(), " ", "\n"]  # noqa: SIM905


def hold_against(readers: Readers, reader: str, text: str) -> None:
    theirs, ours = readers.judge(reader, text).error, RULES[reader](text)
    if theirs:
        assert ours, f"{reader} refuses {text!r}: {theirs}"
    elif ours:
        may_be_stricter = reader in STRICTER and STRICTER[reader](text)
        assert may_be_stricter, f"{reader} takes {text!r}; we say that it {ours}"


@pytest.mark.parametrize("reader", sorted(RULES))
def test_a_text_has_the_verdict_of_its_reader(readers: Readers, reader: str) -> None:
    for text in TEXTS:
        hold_against(readers, reader, text)

    @QUICK
    @given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=12))
    def judge(text: str) -> None:
        hold_against(readers, reader, text.encode("utf-8", "replace").decode())

    judge()


def test_the_types_of_variables_are_what_istiod_registers(readers: Readers) -> None:
    registered = {
        name: kind for name, kind in readers.list_variables().items() if kind not in ("string", "other")
    }
    registered = {name: kind for name, kind in registered.items() if not name.startswith("VERDICT_")}
    assert registered == TYPES


DURATIONS = st.sampled_from(["0s", "1ms", "999us", "1s", "1500ms", "1h", "1h1ms", "-1s", "1us", "60s"])
PORTS = st.sampled_from([0, 1, 65535, 65536, -1, "80", "0"])
HOSTS = st.sampled_from(
    ["", "a", "a.b", "*.a", "a_b", "*", "1.2.3.4", "a/b.c", "~a/*", "/a.b", "a/b", "a/*b.c", "::1"]
)
ADDRESSES = st.sampled_from(["", "a:1", "a", "[::1]:80", "$(HOST_IP):8126", "a:0", "http://a:1"])
NAMES = st.sampled_from(["a", "b", "prometheus", ""])
TRUTHS = st.booleans()
COUNTS = st.sampled_from([-1, 0, 1, 100, 101, 65534, 65535])
LOCALITIES = st.sampled_from(["a", "a/*", "a/b", "a/b/*", "a/b/c", "*", "", "a//c", "*/a", "b", "a/b/c/d"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A map with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


TLS = some(
    mode=st.sampled_from(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
    credentialName=st.sampled_from(["x", "configmap://x", "configmap://a/b"]),
    clientCertificate=st.sampled_from(["", "/c"]),
    privateKey=st.sampled_from(["", "/k"]),
    caCertificates=st.just("/ca"),
    insecureSkipVerify=TRUTHS,
    subjectAltNames=st.lists(NAMES, min_size=1, max_size=1),
)
CONNECTIONS = some(
    httpIdleTimeout=DURATIONS,
    httpMaxConcurrentStreams=COUNTS.filter(lambda count: count >= 0),
    http2InitialStreamWindowSize=COUNTS.filter(lambda count: count >= 0),
    listenerPerConnectionBufferLimitBytes=COUNTS.filter(lambda count: count >= 0),
)
PROXY = some(
    drainDuration=DURATIONS,
    proxyAdminPort=PORTS,
    statusPort=PORTS,
    serviceCluster=NAMES,
    statsdUdpAddress=ADDRESSES,
    envoyMetricsService=some(address=ADDRESSES),
    envoyAccessLogService=some(address=ADDRESSES),
    tracing=some(tlsSettings=TLS)
    | some(zipkin=some(address=ADDRESSES))
    | some(datadog=some(address=ADDRESSES))
    | some(lightstep=some(address=ADDRESSES, accessToken=NAMES)),
    privateKeyProvider=some(cryptomb=some(pollDelay=DURATIONS)) | some(qat=some(pollDelay=DURATIONS)),
    connectionSettings=CONNECTIONS,
)
WEIGHTS = st.dictionaries(LOCALITIES, st.sampled_from([0, 1, 50, 99, 100, 101]), min_size=1, max_size=3)
FAILOVER = st.lists(some(**{"from": LOCALITIES, "to": LOCALITIES}), max_size=2)
PRIORITY = st.lists(
    st.sampled_from(["topology.istio.io/subzone", "topology.kubernetes.io/zone", "x"]), max_size=2
)
POOL = some(
    http=some(
        http1MaxPendingRequests=COUNTS,
        maxRetries=COUNTS,
        idleTimeout=DURATIONS,
        h2UpgradePolicy=st.sampled_from(["UPGRADE", "DEFAULT", 1]),
        useClientProtocol=TRUTHS,
    ),
    tcp=some(
        maxConnections=COUNTS,
        connectTimeout=DURATIONS,
        idleTimeout=DURATIONS,
        tcpKeepalive=some(time=DURATIONS),
    ),
)
OUTLIERS = some(
    baseEjectionTime=DURATIONS,
    splitExternalLocalOriginErrors=TRUTHS,
    consecutiveLocalOriginFailures=COUNTS.filter(lambda count: count >= 0),
    maxEjectionPercent=COUNTS,
)
MESHES = some(
    proxyListenPort=PORTS,
    connectTimeout=DURATIONS,
    connect_timeout=DURATIONS,
    protocolDetectionTimeout=DURATIONS,
    defaultConfig=PROXY,
    localityLbSetting=some(
        distribute=st.lists(some(**{"from": LOCALITIES, "to": WEIGHTS}), max_size=2),
        failover=FAILOVER,
        failoverPriority=PRIORITY,
    ),
    zoneAwareLbSetting=some(failover=FAILOVER, failoverPriority=PRIORITY),
    serviceSettings=st.lists(some(hosts=st.lists(HOSTS, max_size=2)), max_size=1),
    trustDomainAliases=st.lists(st.sampled_from(["a.b", "", "a..b", "a.", "a_b"]), max_size=2),
    meshMTLS=some(ecdhCurves=st.just(["P-256"])),
    defaultTrafficPolicy=some(connectionPool=POOL, outlierDetection=OUTLIERS),
)
SERVICE = some(port=PORTS, service=HOSTS)
PROVIDER = st.one_of(
    *(
        some(name=NAMES, **{kind: SERVICE})
        for kind in (
            "zipkin",
            "datadog",
            "skywalking",
            "opencensus",
            "envoyOtelAls",
            "envoyHttpAls",
            "envoyTcpAls",
        )
    ),
    some(name=NAMES, lightstep=some(port=PORTS, service=HOSTS, accessToken=NAMES)),
    some(name=NAMES, opentelemetry=some(port=PORTS, service=HOSTS, http=some(path=NAMES))),
    some(
        name=NAMES,
        envoyExtAuthzHttp=some(
            port=PORTS,
            service=HOSTS,
            pathPrefix=st.sampled_from(["/a", "a", "/%zz", "/%20", ":"]),
            statusOnError=st.sampled_from(["403", "999", "x", "+403"]),
        ),
    ),
    some(name=NAMES, prometheus=st.just({})),
)
PROVIDERS = st.lists(PROVIDER, min_size=1, max_size=2)
WARNS = "found invalid extension provider"


def judge_ours(tree: dict[str, Any]) -> list[str]:
    misread = [p.path for p in find_problems(tree, NEWEST) if p.kind is Kind.WRONG_TYPE]
    return misread + [f"{v.path} {v.message}" for v in find_violations(tree, NEWEST) if not v.warning]


@settings(QUICK, max_examples=400)
@given(MESHES)
@example({"connectTimeout": "0s"})
@example({"proxyListenPort": 99999})
@example({"defaultConfig": {"drainDuration": "10ms"}})
@example({"defaultConfig": {"tracing": {"zipkin": {"address": "http://zipkin:9411/api"}}}})
def test_a_mesh_config_that_istiod_refuses_is_refused(readers: Readers, tree: dict[str, Any]) -> None:
    theirs = readers.judge("mesh", dump_yaml(tree)).error
    ours = judge_ours(tree)
    if theirs:
        assert ours, f"istiod refuses {tree}: {theirs}"
    elif ours:
        stricter = ("in the other spelling", "contains, or is contained in")
        assert all(any(words in one for words in stricter) for one in ours), (tree, ours)


@settings(QUICK, max_examples=200)
@given(PROVIDERS)
def test_a_provider_that_istiod_warns_of_is_refused(
    readers: Readers, providers: list[dict[str, Any]]
) -> None:
    tree = {"extensionProviders": providers}
    verdict, ours = readers.judge("mesh", json.dumps(tree)), judge_ours(tree)
    if verdict.error or WARNS in verdict.warning:
        assert ours, f"istiod says of {tree}: {verdict}"
    elif ours:
        assert any("is the name of another provider" in one for one in ours), (tree, ours)


NETWORKS = st.dictionaries(
    st.sampled_from(["a", "b"]),
    some(
        endpoints=st.lists(
            some(fromCidr=st.sampled_from(TEXTS)) | some(fromRegistry=st.sampled_from(TEXTS)), max_size=2
        ),
        gateways=st.lists(
            some(address=st.sampled_from(TEXTS), port=PORTS) | some(registryServiceName=HOSTS, port=PORTS),
            max_size=2,
        ),
    ),
    max_size=2,
)


@settings(QUICK, max_examples=200)
@given(NETWORKS)
def test_networks_have_the_verdict_of_istiod(readers: Readers, networks: dict[str, Any]) -> None:
    tree = {"networks": networks}
    read = read_message(load_definition(NEWEST, MESH_NETWORKS), tree)
    theirs = readers.judge("networks", dump_yaml(tree)).error
    ours = [f"{v.path} {v.message}" for v in find_in_networks(read.get("networks", {}))]
    assert bool(theirs) == bool(ours), (networks, theirs, ours)


def test_every_character_that_yaml_forbids_is_found(readers: Readers) -> None:
    """Go's reader, asked for each character; those of the supplementary planes by a sample."""
    forbidden = []
    for code in [
        *range(0x20),
        *range(0x7F, 0x100),
        0x2028,
        0xD7FF,
        0xE000,
        0xFEFF,
        0xFFFD,
        0xFFFE,
        0xFFFF,
        0x1F600,
    ]:
        text = chr(code)
        if readers.judge("mesh", f'accessLogFormat: "a{text}b"').error and text not in "\n\r\t":
            forbidden.append(text)
    assert forbidden
    assert [text for text in forbidden if not list(grammar.find_unprintable(text))] == []
