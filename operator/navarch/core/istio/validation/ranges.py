"""Numbers and durations of a MeshConfig that istiod and the agent pass on to Envoy as they are.

Owns their bounds, which are Envoy's (validate rules of api/envoy) or the kernel's. istiod takes any value
there; Envoy then refuses every cluster or listener, or does not start. Must never repeat a bound of istiod's
own validation: those are in meshconfig.py and proxyconfig.py. Invariant (tests/unit): every number and
duration that an editor of a mesh may write is bounded here or there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from navarch.core.istio.validation.grammar import MILLISECOND, SECOND
from navarch.core.istio.validation.reading import Tree, Violation, build_violation

_MOST_SECONDS: Final = 32767
"""Of Linux, for TCP_KEEPIDLE and TCP_KEEPINTVL; TCP_KEEPCNT takes 127 at the most."""


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most of a value; durations are in nanoseconds, None means no bound of ours."""

    least: float = 0
    most: float | None = None
    is_duration: bool = False


def _last(least: int = 0, most: int | None = None) -> Range:
    return Range(least, most, is_duration=True)


def _keepalive(path: str) -> dict[str, Range]:
    seconds = _last(SECOND, _MOST_SECONDS * SECOND)
    return {f"{path}.time": seconds, f"{path}.interval": seconds, f"{path}.probes": Range(0, 127)}


def _retries(path: str) -> dict[str, Range]:
    return {
        f"{path}.attempts": Range(),
        f"{path}.perTryTimeout": _last(),
        f"{path}.backoff": _last(MILLISECOND),
    }


_HTTP: Final = "defaultTrafficPolicy.connectionPool.http"
_OUTLIERS: Final = "defaultTrafficPolicy.outlierDetection"
RANGES: Final[Mapping[str, Range]] = {
    "dnsRefreshRate": _last(MILLISECOND + 1),
    "hboneIdleTimeout": _last(),
    "defaultConfig.concurrency": Range(0, 1024),
    "defaultConfig.discoveryRefreshDelay": _last(),
    "defaultConfig.fileFlushInterval": _last(MILLISECOND),
    "defaultConfig.fileFlushMinSizeKb": Range(0, 1024 * 1024),
    "defaultConfig.statNameLength": Range(),
    "defaultConfig.terminationDrainDuration": _last(),
    "defaultConfig.tracing.maxPathTagLength": Range(0, 64 * 1024),
    "defaultConfig.tracing.sampling": Range(0, 100),
    f"{_HTTP}.http2KeepAlive.interval": _last(MILLISECOND),
    f"{_HTTP}.http2KeepAlive.timeout": _last(MILLISECOND),
    f"{_OUTLIERS}.consecutiveErrors": Range(),
    f"{_OUTLIERS}.consecutive5xxErrors": Range(),
    f"{_OUTLIERS}.consecutiveGatewayErrors": Range(),
    f"{_OUTLIERS}.failurePercentageThreshold": Range(0, 100),
    f"{_OUTLIERS}.outlierDetectionHttpErrorCodes": Range(200, 599),
    "zoneAwareLbSetting.minClusterSize": Range(),
    **_keepalive("tcpKeepalive"),
    **_keepalive("defaultTrafficPolicy.connectionPool.tcp.tcpKeepalive"),
    **_retries("defaultHttpRetryPolicy"),
    **_retries("defaultInboundHttpRetryPolicy"),
}
"""By path in a MeshConfig; of a list, each item."""


def find_out_of_range(mesh: Tree) -> Iterator[Violation]:
    """Values that Envoy would not take. `mesh` is the normal form of reading.py."""
    for path, bounds in RANGES.items():
        value = _find(mesh, path)
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            if item is not None and not _is_within(bounds, item):
                where = f"{path}[{index}]" if isinstance(value, list) else path
                shown = _show(item) if bounds.is_duration else item
                yield build_violation(
                    where, shown, f"is not {_describe(bounds)}, and Envoy would not take it"
                )


def _find(tree: Any, path: str) -> Any:
    for step in path.split("."):
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree


def _is_within(bounds: Range, value: Any) -> bool:
    # A double may be written as a text; NaN is within nothing.
    return bounds.least <= float(value) <= (float("inf") if bounds.most is None else bounds.most)


def _describe(bounds: Range) -> str:
    show = _show if bounds.is_duration else str
    if bounds.most is None:
        return f"{show(bounds.least)} or more"
    return f"between {show(bounds.least)} and {show(bounds.most)}"


def _show(nanoseconds: float) -> str:
    whole = nanoseconds % SECOND == 0
    return f"{nanoseconds / SECOND:g}s" if whole else f"{nanoseconds / MILLISECOND:g}ms"
