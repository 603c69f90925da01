"""MeshConfig as istiod accepts it (pkg/config/validation/agent, ValidateMeshConfig), and a little more.

Owns the rules about the whole mesh's values; those of proxies, localities and providers have modules of their
own. Must never judge types: definitions.py has. Invariant: a MeshConfig without a violation that is no
warning is taken by istiod whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from navarch.core.istio.definitions import MESH_CONFIG, load_definition
from navarch.core.istio.validation.grammar import (
    HOUR,
    MILLISECOND,
    explain_port,
    explain_trust_domain,
    explain_wildcard_host,
)
from navarch.core.istio.validation.localities import find_in_locality_setting, find_in_zone_setting
from navarch.core.istio.validation.providers import find_in_providers
from navarch.core.istio.validation.proxyconfig import explain_precise, find_in_durations, find_in_proxy_config
from navarch.core.istio.validation.reading import (
    Tree,
    Violation,
    build_violation,
    find_contests,
    read_message,
)

CIPHER_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
)
"""Suites of TLS 1.2 that Envoy knows (pkg/config/security, ValidCipherSuites); another one makes it refuse
every listener."""
CURVES: Final = ("P-224", "P-256", "P-521", "P-384", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768")
"""Curves that Envoy knows (pkg/config/security, ValidECDHCurves)."""


def find_violations(tree: Mapping[str, Any], descriptors: bytes) -> Iterator[Violation]:
    """Everything in a MeshConfig that istiod refuses or warns of, with the fields of which one silently wins.
    `tree` is what istiod reads, over its own defaults."""
    definition = load_definition(descriptors, MESH_CONFIG)
    yield from find_contests(definition, tree)
    yield from find_in_mesh_config(read_message(definition, tree))


def find_in_mesh_config(mesh: Tree) -> Iterator[Violation]:
    """The same without contests, from the normal form."""
    for name in ("proxyListenPort", "proxyInboundListenPort"):
        if name in mesh and (why := explain_port(mesh[name])):
            yield build_violation(name, mesh[name], why)
    yield from find_in_durations(mesh, ("connectTimeout",), "", _explain_connect_timeout)
    yield from find_in_durations(mesh, ("protocolDetectionTimeout",), "", _explain_detection_timeout)
    yield from find_in_proxy_config(mesh.get("defaultConfig", {}), "defaultConfig")
    yield from find_in_locality_setting(mesh.get("localityLbSetting", {}), "localityLbSetting")
    yield from find_in_zone_setting(mesh.get("zoneAwareLbSetting", {}), "zoneAwareLbSetting")
    for index, settings in enumerate(mesh.get("serviceSettings", [])):
        for place, host in enumerate(settings.get("hosts", [])):
            if why := explain_wildcard_host(host):
                yield build_violation(f"serviceSettings[{index}].hosts[{place}]", host, why)
    yield from _find_in_trust(mesh)
    yield from find_in_providers(mesh.get("extensionProviders", []))
    yield from _find_in_tls(mesh)
    yield from _find_in_traffic_policy(mesh.get("defaultTrafficPolicy", {}), "defaultTrafficPolicy")


def _explain_connect_timeout(nanoseconds: int) -> str:
    return explain_precise(nanoseconds) or ("is longer than an hour" if nanoseconds > HOUR else "")


def _explain_detection_timeout(nanoseconds: int) -> str:
    return "has parts of a millisecond" if nanoseconds % MILLISECOND else ""


def _find_in_trust(mesh: Tree) -> Iterator[Violation]:
    if "trustDomain" in mesh and (why := explain_trust_domain(mesh["trustDomain"])):
        yield build_violation("trustDomain", mesh["trustDomain"], why)
    for index, alias in enumerate(mesh.get("trustDomainAliases", [])):
        if why := explain_trust_domain(alias):
            yield build_violation(f"trustDomainAliases[{index}]", alias, why)


def _find_in_tls(mesh: Tree) -> Iterator[Violation]:
    mutual, defaults = mesh.get("meshMTLS", {}), mesh.get("tlsDefaults", {})
    if "ecdhCurves" in mutual:
        said = "cannot be chosen for traffic inside the mesh"
        yield build_violation("meshMTLS.ecdhCurves", mutual["ecdhCurves"], said, "use tlsDefaults.ecdhCurves")
    for name, settings in (("meshMTLS", mutual), ("tlsDefaults", defaults)):
        for index, suite in enumerate(settings.get("cipherSuites", [])):
            if suite not in (*CIPHER_SUITES, "", "ALL"):
                said = "is not a cipher suite that Envoy knows"
                remedy = f"choose among {', '.join(CIPHER_SUITES)}"
                yield build_violation(f"{name}.cipherSuites[{index}]", suite, said, remedy)
    seen: set[str] = set()
    for index, curve in enumerate(defaults.get("ecdhCurves", [])):
        if curve and (curve not in CURVES or curve in seen):
            said = "is named twice" if curve in seen else "is not a curve that Envoy knows, and is left out"
            remedy = f"choose among {', '.join(CURVES)}"
            yield Violation(f"tlsDefaults.ecdhCurves[{index}]", curve, said, remedy, True)
        seen.add(curve)


def _find_in_traffic_policy(policy: Tree, path: str) -> Iterator[Violation]:
    if "connectionPool" in policy:
        yield from _find_in_pool(policy["connectionPool"], f"{path}.connectionPool")
    outliers, where = policy.get("outlierDetection", {}), f"{path}.outlierDetection"
    yield from find_in_durations(outliers, ("baseEjectionTime", "interval"), where)
    if not outliers.get("splitExternalLocalOriginErrors") and outliers.get("consecutiveLocalOriginFailures"):
        value = outliers["consecutiveLocalOriginFailures"]
        said = "counts only with splitExternalLocalOriginErrors: true"
        yield build_violation(f"{where}.consecutiveLocalOriginFailures", value, said)
    for name in ("maxEjectionPercent", "minHealthPercent"):
        if not 0 <= outliers.get(name, 0) <= 100:
            yield build_violation(f"{where}.{name}", outliers[name], "is not a percentage from 0 to 100")


def _find_in_pool(pool: Tree, path: str) -> Iterator[Violation]:
    http, tcp = pool.get("http", {}), pool.get("tcp", {})
    if "http" not in pool and "tcp" not in pool:
        yield build_violation(
            path, dict(pool), "has neither http nor tcp", "set one of them, or leave it out"
        )
    counts = (
        "http1MaxPendingRequests",
        "http2MaxRequests",
        "maxConcurrentStreams",
        "maxRequestsPerConnection",
        "maxRetries",
    )
    for settings, where, names in ((http, f"{path}.http", counts), (tcp, f"{path}.tcp", ("maxConnections",))):
        for name in names:
            if settings.get(name, 0) < 0:
                yield build_violation(f"{where}.{name}", settings[name], "is below zero")
    yield from find_in_durations(http, ("idleTimeout",), f"{path}.http")
    if http.get("h2UpgradePolicy") == "UPGRADE" and http.get("useClientProtocol"):
        yield build_violation(f"{path}.http.useClientProtocol", True, "contradicts h2UpgradePolicy: UPGRADE")
    yield from find_in_durations(tcp, ("connectTimeout", "maxConnectionDuration"), f"{path}.tcp")
    yield from find_in_durations(tcp, ("idleTimeout",), f"{path}.tcp", _explain_idle)
    yield from find_in_durations(
        tcp.get("tcpKeepalive", {}), ("time", "interval"), f"{path}.tcp.tcpKeepalive"
    )


def _explain_idle(nanoseconds: int) -> str:
    """Zero takes the timeout away; istiod counts parts of a millisecond around it as zero."""
    return explain_precise(nanoseconds) if abs(nanoseconds) >= MILLISECOND else ""
