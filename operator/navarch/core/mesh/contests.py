"""Pairs of fields of which one switches the other off, as a table.

Owns the pairs, each with the place where the winner is decided. Must never look at a mesh: checks/contests.py
does. Invariant (tests/unit): where rendering decides, what a row calls without effect has none in it.

Elsewhere: one field under two names in meshConfig, and choices of which two are made (checks/accepted.py);
replicas beside an autoscaler (checks/capacity.py); the gateway controller's variable beside its field
(checks/rights.py). Overlays are meant to win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

ENVIRONMENT = "controlPlane.environment"
_VALUES = "values.global.proxy"
_MESH = "meshConfig"
_DEFAULTS = "meshConfig.defaultConfig"
_CAPTURE = "proxy.trafficCapture"
_RENDER = "navarch: core/render/values.py, where values and meshConfig are merged over typed fields"
_INJECTION = "istio: manifests/charts/istio-control/istio-discovery/files/injection-template.yaml"
_HOOKS = f"{_INJECTION}, lifecycle; navarch: templates/injection/sidecar.tpl"
_IPTABLES = "istio: tools/istio-iptables/pkg/capture/run.go, handleInboundPortsInclude"
_COMPLIANCE = "istio: pkg/model/fips.go, EnforceCompliance"
_ENVOY = "envoy: api/envoy/extensions/transport_sockets/tls/v3/common.proto, cipher_suites"
_TRACING = "istio: pilot/pkg/networking/core/tracing.go, configureTracingFromTelemetry"


@dataclass(frozen=True, slots=True)
class Contest:
    """`loser` has no effect where `applies`, asked with both values, says so because of `winner`. Both are
    paths in a spec. `source` names where that is decided, `rendered` whether it shows in what we render.
    `leaves` makes a row of each field below the two paths. `native` limits a row to meshes whose sidecars may
    be native, or may be none. `unset` asks also where the winner is nowhere set. `message` speaks of what is
    lost where that is another thing than the loser."""

    loser: str
    winner: str
    applies: Callable[[Any, Any], bool]
    why: str
    source: str
    rendered: bool = False
    leaves: bool = False
    native: bool | None = None
    unset: bool = False
    message: str = ""
    remedy: str = ""


def _read_boolean(value: Any) -> Any:
    return {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}.get(
        str(value).lower(), value
    )


def _spell(value: Any) -> Any:
    """A value in one spelling: enumerations in capitals, references by name."""
    if isinstance(value, list):
        return [
            _spell(item["name"] if isinstance(item, Mapping) and {*item} == {"name"} else item)
            for item in value
        ]
    if isinstance(value, Mapping):
        return {key: _spell(item) for key, item in value.items()}
    return str(_read_boolean(value)).upper()


def _differs(mine: Any, other: Any) -> bool:
    return bool(_spell(mine) != _spell(other))


def _is(wanted: Any) -> Callable[[Any, Any], bool]:
    """Applies where the winner has this value."""
    return lambda _, other: _spell(other) == _spell(wanted)


def _are(loser: Any, winner: Any) -> Callable[[Any, Any], bool]:
    """Applies where both have these values."""
    return lambda mine, other: _spell(mine) == _spell(loser) and _spell(other) == _spell(winner)


def _is_there(_: Any, other: Any) -> bool:
    return bool(other)


def _same(loser: str, winner: str, *, leaves: bool = False) -> Contest:
    """Two fields that say the same."""
    return Contest(loser, winner, _differs, "says the same and wins", _RENDER, rendered=True, leaves=leaves)


_TYPED: Final[Mapping[str, str]] = {
    "proxy.logLevel": f"{_VALUES}.logLevel",
    "proxy.componentLogLevel": f"{_VALUES}.componentLogLevel",
    "proxy.readinessPeriodSeconds": f"{_VALUES}.readinessPeriodSeconds",
    f"{_CAPTURE}.includeInboundPorts": f"{_VALUES}.includeInboundPorts",
    f"{_CAPTURE}.excludeInboundPorts": f"{_VALUES}.excludeInboundPorts",
    f"{_CAPTURE}.includeOutboundIPRanges": f"{_VALUES}.includeIPRanges",
    f"{_CAPTURE}.excludeOutboundIPRanges": f"{_VALUES}.excludeIPRanges",
    f"{_CAPTURE}.excludeOutboundPorts": f"{_VALUES}.excludeOutboundPorts",
    f"{_CAPTURE}.mode": f"{_DEFAULTS}.interceptionMode",
    "proxy.accessLog.file": f"{_MESH}.accessLogFile",
    "proxy.accessLog.encoding": f"{_MESH}.accessLogEncoding",
    "proxy.accessLog.format": f"{_MESH}.accessLogFormat",
    "trust.additionalDomains": f"{_MESH}.trustDomainAliases",
    "mtls.minimumProtocolVersion": f"{_MESH}.meshMTLS.minProtocolVersion",
    "mtls.cipherSuites": f"{_MESH}.meshMTLS.cipherSuites",
}
"""Typed fields, and what stands for the same in values or meshConfig."""

_HOLDS = (
    "proxy.holdApplicationUntilProxyStarts",
    f"{_VALUES}.holdApplicationUntilProxyStarts",
    f"{_DEFAULTS}.holdApplicationUntilProxyStarts",
)
_LIFECYCLES = ("proxy.lifecycle", f"{_VALUES}.lifecycle")
_VERSIONS = ("mtls.minimumProtocolVersion", f"{_MESH}.meshMTLS.minProtocolVersion")
_CIPHERS = ("mtls.cipherSuites", f"{_MESH}.meshMTLS.cipherSuites")
_FILES = ("proxy.accessLog.file", f"{_MESH}.accessLogFile")
_MODES = (f"{_CAPTURE}.mode", f"{_DEFAULTS}.interceptionMode")
_INCLUDES = (f"{_CAPTURE}.includeInboundPorts", f"{_VALUES}.includeInboundPorts")
_EXCLUDES = (f"{_CAPTURE}.excludeInboundPorts", f"{_VALUES}.excludeInboundPorts")
_CAPTURED = (
    *(typed for typed in _TYPED if typed.startswith(_CAPTURE) and typed != _MODES[0]),
    *(other for other in _TYPED.values() if "IPRanges" in other or "Ports" in other),
    f"{_VALUES}.includeOutboundPorts",
)
_TRACERS = tuple(
    f"{_DEFAULTS}.tracing.{name}"
    for name in ("zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent")
)
_PROBES = (
    "proxy.readinessPeriodSeconds",
    f"{_VALUES}.readinessPeriodSeconds",
    f"{_VALUES}.readinessInitialDelaySeconds",
    f"{_VALUES}.readinessFailureThreshold",
    f"{_VALUES}.startupProbe.failureThreshold",
)
_SCALING = ("minReplicas", "maxReplicas", "targetCPUUtilization")


def _logs_elsewhere(file: Any, providers: Any) -> bool:
    """The provider `envoy`, which needs no definition, writes what the file /dev/stdout would get."""
    return bool(providers) and not (file == "/dev/stdout" and "envoy" in providers)


def _holds_no_hook(holds: Any, hook: Any) -> bool:
    return _read_boolean(holds) is True and bool(hook) and "wait" not in _commands(hook)


def _drains_no_more(hook: Any, native: Any) -> bool:
    return _read_boolean(native) is not False and bool(hook) and "drain" not in _commands(hook)


def _goes_elsewhere(tracer: Any, providers: Any) -> bool:
    return bool(providers) and tracer != "none"


def _is_off(tracer: Any, enabled: Any) -> bool:
    return _read_boolean(enabled) is False and tracer != "none"


def _commands(hook: Any) -> str:
    return str(hook.get("exec") or "") if isinstance(hook, Mapping) else ""


CONTESTS: Final[tuple[Contest, ...]] = (
    *(_same(typed, other) for typed, other in _TYPED.items()),
    *(_same(a, b, leaves=True) for a, b in (_LIFECYCLES, ("proxy.resources", f"{_VALUES}.resources"))),
    *(
        Contest(
            loser,
            winner,
            _are(False, True),
            "is true, and one that is true suffices",
            f"{_INJECTION}, holdProxy",
        )
        for loser in _HOLDS
        for winner in _HOLDS
        if loser != winner
    ),
    *(
        Contest(
            loser,
            f"{winner}.postStart",
            _holds_no_hook,
            "takes the place of the hook that waits for the proxy",
            _HOOKS,
            native=False,
            remedy="run `pilot-agent wait` in the hook",
        )
        for loser in _HOLDS
        for winner in _LIFECYCLES
    ),
    *(
        Contest(
            loser,
            f"{_VALUES}.startupProbe.enabled",
            _are(True, False),
            "is false, and what native sidecars are waited for by is that probe",
            f"{_INJECTION}, startupProbe",
            native=True,
        )
        for loser in _HOLDS
    ),
    *(
        Contest(
            loser, winner, _is("TLSV1_3"), "rules TLS 1.2 out, and only for that are suites chosen", _ENVOY
        )
        for loser in _CIPHERS
        for winner in _VERSIONS
    ),
    *(
        Contest(loser, f"{ENVIRONMENT}.COMPLIANCE_POLICY", _are(value, policy), why, _COMPLIANCE)
        for loser in _VERSIONS
        for value, policy, why in (
            ("TLSV1_3", "fips-140-2", "makes TLS 1.2 the only version"),
            ("TLSV1_2", "pqc", "makes TLS 1.3 the lowest version"),
        )
    ),
    *(
        Contest(loser, f"{ENVIRONMENT}.COMPLIANCE_POLICY", _is("pqc"), "chooses the suites", _COMPLIANCE)
        for loser in _CIPHERS
    ),
    *(
        Contest(
            loser,
            f"{_MESH}.defaultProviders.accessLogging",
            _logs_elsewhere,
            "says who logs, and the file is only for where nothing does",
            "istio: pilot/pkg/model/telemetry.go, AccessLogging",
        )
        for loser in _FILES
    ),
    *(
        Contest(loser, f"{_MESH}.defaultProviders.tracing", _goes_elsewhere, "says where traces go", _TRACING)
        for loser in (*_TRACERS, f"{_VALUES}.tracer")
    ),
    *(
        Contest(loser, f"{_MESH}.enableTracing", _is_off, "is false", _TRACING)
        for loser in (*_TRACERS, f"{_DEFAULTS}.tracing.sampling", f"{_VALUES}.tracer")
    ),
    *(
        Contest(
            loser,
            winner,
            lambda mine, other: bool(mine) and other != "*",
            "lists what is captured, and ports are excluded only where that is *",
            _IPTABLES,
        )
        for loser in _EXCLUDES
        for winner in _INCLUDES
    ),
    *(
        Contest(
            loser,
            winner,
            _is("NONE"),
            "captures nothing, unless a pod says otherwise",
            f"{_INJECTION}, interceptionMode",
        )
        for loser in _CAPTURED
        for winner in _MODES
    ),
    *(
        Contest(
            loser,
            f"{_VALUES}.statusPort",
            _is(0),
            "is 0, and then there are no probes",
            f"{_INJECTION}, statusPort",
        )
        for loser in _PROBES
    ),
    Contest(
        f"{_VALUES}.startupProbe.failureThreshold",
        f"{_VALUES}.startupProbe.enabled",
        _is(False),
        "is false",
        f"{_INJECTION}, startupProbe",
    ),
    Contest(
        "values.global.proxy_init.forceApplyIptables",
        "values.pilot.cni.enabled",
        _are(True, True),
        "has the node's agent make the rules",
        f"{_INJECTION}, --force-apply",
    ),
    *(
        Contest(
            f"values.global.tracer.{tracer}.address",
            f"{_DEFAULTS}.tracing.{tracer}.address",
            _differs,
            "says the same and wins",
            "navarch: core/render/values.py, build_mesh_config",
        )
        for tracer in ("zipkin", "datadog", "lightstep")
    ),
    *(
        Contest(
            loser,
            winner,
            _differs,
            "is what proxies are given",
            "navarch: core/render/values.py, build_values",
            message="has no effect on proxies: {winner} {why}, and this is left to istiod",
        )
        for loser, winner in (
            ("images.pullPolicy", "values.global.imagePullPolicy"),
            ("images.pullSecrets", "values.global.imagePullSecrets"),
        )
    ),
    Contest(
        "images.digests.proxyv2",
        f"{_VALUES}.image",
        lambda _, other: other != "proxyv2",
        "names the image of proxies, and the digest is left to their init containers",
        "navarch: core/render/values.py, _pin_images",
    ),
    Contest(
        "images.digests.agentgateway",
        "values.global.agentgateway.image",
        lambda _, other: other != "agentgateway",
        "names the image",
        "navarch: core/render/values.py, _pin_images",
        rendered=True,
    ),
    Contest(
        f"{_DEFAULTS}.meshId",
        "values.global.meshID",
        _differs,
        "is what proxies are given as their mesh",
        f"{_INJECTION}, ISTIO_META_MESH_ID",
    ),
    Contest(
        "proxy.nativeSidecars",
        f"{ENVIRONMENT}.ENABLE_NATIVE_SIDECARS",
        _differs,
        "decides the same and wins",
        "navarch: core/render/components/istiod.py, _build_environment",
    ),
    Contest(
        f"{ENVIRONMENT}.PILOT_TRACE_SAMPLING",
        f"{_DEFAULTS}.tracing.sampling",
        _is_there,
        "is asked first",
        "istio: pilot/pkg/networking/core/tracing.go, proxyConfigSamplingValue",
    ),
    Contest(
        f"{_DEFAULTS}.terminationDrainDuration",
        f"{_DEFAULTS}.proxyMetadata.EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
        _is(True),
        "makes the agent wait for the last connection instead",
        "istio: pkg/envoy/agent.go, terminate",
    ),
    *(
        Contest(
            f"controlPlane.autoscaling.{name}",
            "controlPlane.autoscaling.enabled",
            _is(False),
            "is false",
            "navarch: core/render/components/istiod.py, _autoscaling",
            rendered=True,
        )
        for name in _SCALING
    ),
    Contest(
        "controlPlane.podDisruptionBudget.minAvailable",
        "controlPlane.podDisruptionBudget.enabled",
        _is(False),
        "is false",
        "navarch: core/render/components/istiod.py, _build_workload",
        rendered=True,
    ),
    *(
        Contest(
            f"{lifecycle}.preStop",
            "proxy.nativeSidecars",
            _drains_no_more,
            "is not false",
            _HOOKS,
            unset=True,
            message="takes the place of the hook that drains a native sidecar, and {winner} {why}",
            remedy="run `pilot-agent request --debug-port=15020 POST drain` in the hook",
        )
        for lifecycle in _LIFECYCLES
    ),
)
