"""ProxyConfig as istiod, injector and agent accept it (pkg/config/validation/agent, ProxyConfig of a mesh).

Owns the rules between and about its values. Must never judge types: definitions.py has. Reads the normal form
of reading.py, as merged over Istio's defaults: a field that is absent has a default that is good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from navarch.core.istio.validation.grammar import MILLISECOND, SECOND, explain_port, explain_proxy_address
from navarch.core.istio.validation.reading import Tree, Violation, build_violation, join_path

NEEDED: Final = ("binaryPath", "configPath", "discoveryAddress", "serviceCluster")
"""Texts that may not be empty."""
_NOT_BELOW_ZERO: Final = (
    "clusterPerConnectionBufferLimitBytes",
    "httpDrainTimeout",
    "httpIdleTimeout",
    "httpMaxConnectionDuration",
    "httpMaxStreamDuration",
    "httpRequestHeadersTimeout",
    "httpRequestTimeout",
    "httpStreamIdleTimeout",
    "listenerPerConnectionBufferLimitBytes",
)
_ABOVE_ZERO: Final = (
    "globalDownstreamConnectionLimit",
    "httpMaxConcurrentStreams",
    "listenerConnectionLimit",
)
_WINDOWS: Final = ("http2InitialConnectionWindowSize", "http2InitialStreamWindowSize")
_SMALLEST_WINDOW: Final = 65535
_HOST_IP: Final = "$(HOST_IP)"
"""Stands in addresses of tracers for the node's address."""


def explain_precise(nanoseconds: int) -> str:
    """A duration of whole milliseconds, and at least one."""
    if nanoseconds < MILLISECOND:
        return "is shorter than 1ms"
    return "has parts of a millisecond" if nanoseconds % MILLISECOND else ""


def find_in_durations(
    tree: Tree, names: tuple[str, ...], path: str, explain: Callable[[int], str] = explain_precise
) -> Iterator[Violation]:
    """Durations among these fields that a rule refuses."""
    for name in names:
        if name in tree and (why := explain(tree[name])):
            yield build_violation(join_path(path, name), _show_duration(tree[name]), why)


def _show_duration(nanoseconds: int) -> str:
    if nanoseconds % SECOND == 0:
        return f"{nanoseconds // SECOND}s"
    return f"{nanoseconds / MILLISECOND:g}ms"


def find_in_proxy_config(proxy: Tree, path: str) -> Iterator[Violation]:
    """Everything in a ProxyConfig that istiod, or the agent, refuses."""
    for name in NEEDED:
        if proxy.get(name) == "":
            yield build_violation(join_path(path, name), "", "is empty, and may not be", "leave it out")
    yield from find_in_durations(proxy, ("drainDuration",), path, _explain_drain)
    for name in ("proxyAdminPort", "statusPort"):
        if name in proxy and (why := explain_port(proxy[name])):
            yield build_violation(join_path(path, name), proxy[name], why)
    yield from _find_in_addresses(proxy, path)
    policy = proxy.get("controlPlaneAuthPolicy", "MUTUAL_TLS")
    if policy not in ("NONE", "MUTUAL_TLS"):
        yield build_violation(
            join_path(path, "controlPlaneAuthPolicy"), policy, "is neither NONE nor MUTUAL_TLS"
        )
    yield from _find_in_tracing(proxy.get("tracing", {}), join_path(path, "tracing"))
    if "privateKeyProvider" in proxy:
        yield from _find_in_key_provider(proxy["privateKeyProvider"], join_path(path, "privateKeyProvider"))
    yield from _find_in_connections(
        proxy.get("connectionSettings", {}), join_path(path, "connectionSettings")
    )
    if "ISTIO_META_DNS_AUTO_ALLOCATE" in proxy.get("proxyMetadata", {}):
        where = join_path(path, "proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE")
        value = proxy["proxyMetadata"]["ISTIO_META_DNS_AUTO_ALLOCATE"]
        yield Violation(
            where,
            str(value),
            "is deprecated by Istio",
            "remove it: newer DNS proxying has no need of it",
            True,
        )


def _explain_drain(nanoseconds: int) -> str:
    return explain_precise(nanoseconds) or ("has parts of a second" if nanoseconds % SECOND else "")


def _find_in_addresses(proxy: Tree, path: str) -> Iterator[Violation]:
    plain = {
        name: proxy.get(name)
        for name in ("discoveryAddress", "statsdUdpAddress", "envoyMetricsServiceAddress")
    }
    nested = {
        f"{name}.address": proxy.get(name, {}).get("address")
        for name in ("envoyMetricsService", "envoyAccessLogService")
    }
    for name, address in (plain | nested).items():
        if address and (why := explain_proxy_address(address)):
            yield build_violation(join_path(path, name), address, why)


def _find_in_tracing(tracing: Tree, path: str) -> Iterator[Violation]:
    for name in ("zipkin", "datadog", "lightstep"):
        if name not in tracing:
            continue
        address = tracing[name].get("address", "")
        read = address if name == "lightstep" else address.replace(_HOST_IP, "127.0.0.1", 1)
        if why := explain_proxy_address(read):
            remedy = "give the tracer's address as host:port, without a scheme or a path"
            yield build_violation(f"{path}.{name}.address", address, why, remedy)
    if "lightstep" in tracing and not tracing["lightstep"].get("accessToken"):
        yield build_violation(f"{path}.lightstep.accessToken", "", "is missing", "set it")
    yield from _find_in_tls(tracing.get("tlsSettings", {}), f"{path}.tlsSettings")


def _find_in_tls(tls: Tree, path: str) -> Iterator[Violation]:
    """ClientTLSSettings outside any namespace."""
    mode, credential = tls.get("mode", "DISABLE"), tls.get("credentialName", "")
    if credential.startswith("configmap://"):
        said = "names a ConfigMap, which only a namespace's own configuration may"
        yield build_violation(f"{path}.credentialName", credential, said)
    if mode not in ("SIMPLE", "MUTUAL"):
        return
    if tls.get("insecureSkipVerify"):
        refused = ("caCertificates", "subjectAltNames", *(["credentialName"] if mode == "SIMPLE" else []))
        yield from _find_contradicting(tls, refused, "insecureSkipVerify", path)
    if credential:
        refused = ("clientCertificate", "caCertificates", "privateKey", "caCrl")
        yield from _find_contradicting(tls, refused, "credentialName", path)
    elif mode == "MUTUAL":
        for name in ("clientCertificate", "privateKey"):
            if not tls.get(name):
                yield build_violation(f"{path}.{name}", "", "is missing, and mode MUTUAL needs it", "set it")


def _find_contradicting(tls: Tree, names: tuple[str, ...], other: str, path: str) -> Iterator[Violation]:
    for name in names:
        if tls.get(name):
            said = f"contradicts {other}"
            yield build_violation(
                f"{path}.{name}", tls[name], said, f"remove {path}.{name} or {path}.{other}"
            )


def _find_in_key_provider(provider: Tree, path: str) -> Iterator[Violation]:
    chosen = [name for name in ("cryptomb", "qat") if name in provider]
    if not chosen:
        yield build_violation(path, "", "names no provider", "set cryptomb or qat, or leave it out")
    for name in chosen[-1:]:
        if not provider[name].get("pollDelay"):
            delay = "0s" if "pollDelay" in provider[name] else ""
            yield build_violation(
                f"{path}.{name}.pollDelay", delay, "is missing or zero", "set it, for example to 10ms"
            )


def _find_in_connections(settings: Tree, path: str) -> Iterator[Violation]:
    rules: list[tuple[tuple[str, ...], int, str]] = [
        (_NOT_BELOW_ZERO, 0, "is below zero"),
        (_ABOVE_ZERO, 1, "is not above zero"),
        (_WINDOWS, _SMALLEST_WINDOW, f"is below {_SMALLEST_WINDOW}, the least that HTTP/2 allows"),
    ]
    for names, least, message in rules:
        for name in names:
            value: Any = settings.get(name)
            if value is not None and value < least:
                yield build_violation(f"{path}.{name}", value, message)
