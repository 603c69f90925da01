"""Extension providers: what istiod warns of in its log and what then does not work.

Owns the rules of MeshConfig.extensionProviders. istiod only logs them, and what refers to the provider is
silently without effect or refuses all requests; so they are refused here. Reads the normal form of
reading.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from navarch.core.istio.validation.grammar import (
    explain_address,
    explain_host,
    explain_port,
    explain_wildcard_host,
    is_label,
)
from navarch.core.istio.validation.reading import Tree, Violation, build_violation

WITH_SERVICE: Final = (
    "datadog",
    "envoyExtAuthzGrpc",
    "envoyExtAuthzHttp",
    "envoyHttpAls",
    "envoyOtelAls",
    "envoyTcpAls",
    "lightstep",
    "opencensus",
    "opentelemetry",
    "skywalking",
    "zipkin",
)
"""Providers that are a service with a port."""
WITHOUT_SERVICE: Final = ("envoyFileAccessLog", "prometheus", "stackdriver")
_CODE: Final = re.compile(r"[-+]?[0-9]+")
_STATUS: Final = frozenset(
    {0, 100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418), *range(421, 425), 426, 428}
    | {429, 431, *range(500, 509), 510, 511}
)
"""Codes of Envoy's own type (envoy/type/v3, StatusCode)."""
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")


def find_in_providers(providers: Sequence[Any], path: str = "extensionProviders") -> Iterator[Violation]:
    """Everything in the list of providers that istiod would warn of."""
    names: set[str] = set()
    for index, provider in enumerate(providers):
        where, name = f"{path}[{index}]", provider.get("name", "")
        if not name or name in names:
            said = "is the name of another provider, too" if name else "is missing"
            yield build_violation(f"{where}.name", name, said, "give each provider a name of its own")
        names.add(name)
        kinds = [kind for kind in provider if kind in (*WITH_SERVICE, *WITHOUT_SERVICE)]
        if not kinds:
            said = "says of what kind it is by none of the fields that Istio has for it"
            yield build_violation(
                where, name, said, f"set one of {', '.join(sorted((*WITH_SERVICE, *WITHOUT_SERVICE)))}"
            )
        for kind in kinds:
            if kind in WITH_SERVICE:
                yield from _find_in_service(kind, provider[kind], f"{where}.{kind}")


def _find_in_service(kind: str, settings: Tree, path: str) -> Iterator[Violation]:
    port, service = settings.get("port", 0), settings.get("service", "")
    if why := explain_port(port):
        yield build_violation(f"{path}.port", port, why)
    if why := _explain_service(service):
        yield build_violation(
            f"{path}.service", service, why, "name the service by its host, or by namespace/host"
        )
    if kind == "lightstep" and not settings.get("accessToken"):
        yield build_violation(f"{path}.accessToken", "", "is missing", "set it")
    if kind == "opentelemetry" and "grpc" in settings and "http" in settings:
        yield build_violation(f"{path}.http", "", "stands beside grpc", "keep one of the two")
    status = settings.get("statusOnError", "")
    if (
        kind.startswith("envoyExtAuthz")
        and status
        and not (_CODE.fullmatch(status) and int(status) in _STATUS)
    ):
        yield build_violation(
            f"{path}.statusOnError", status, "is not a status code that Envoy can answer with"
        )
    prefix = settings.get("pathPrefix", "")
    if prefix and (not prefix.startswith("/") or _BAD_ESCAPE.search(prefix.partition("?")[0])):
        said = "is not a path that begins with /, in which % begins an escape"
        yield build_violation(f"{path}.pathPrefix", prefix, said)


def _explain_service(service: str) -> str:
    if "/" not in service:
        return (
            explain_host(service) and explain_address(service) and "is neither a host name nor an IP address"
        )
    namespace, _, host = service.partition("/")
    inner = namespace.removeprefix("~")
    if not namespace or not host or not (inner in ("", "*", ".") or is_label(inner)):
        return "is not of the form namespace/host"
    if host != "*" and "." not in host:
        return f"is not of the form namespace/host: {host!r} is a short name"
    if "*" in host and host != "*" and not host.startswith("*."):
        return f"is not of the form namespace/host: {host!r} has a wildcard that is not a whole part"
    return explain_wildcard_host(host)
