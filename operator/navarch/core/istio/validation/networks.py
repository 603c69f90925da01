"""MeshNetworks as istiod accepts it (pkg/config/validation/agent, ValidateMeshNetworks).

Reads the normal form of reading.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.istio.validation.grammar import (
    explain_address,
    explain_host,
    explain_port,
    explain_range,
    is_label,
)
from navarch.core.istio.validation.reading import Tree, Violation, build_violation


def find_in_networks(networks: Tree, *, host_gateways: bool = True) -> Iterator[Violation]:
    """Everything in the networks that istiod refuses, below the name of each; `host_gateways` says whether a
    gateway's address may be a host name (RESOLVE_HOSTNAME_GATEWAYS)."""
    for name, network in networks.items():
        for index, endpoint in enumerate(network.get("endpoints", [])):
            yield from _find_in_endpoint(endpoint, f"{name}.endpoints[{index}]")
        for index, gateway in enumerate(network.get("gateways", [])):
            yield from _find_in_gateway(gateway, f"{name}.gateways[{index}]", host_gateways)


def _find_in_endpoint(endpoint: Tree, path: str) -> Iterator[Violation]:
    cidr, registry = endpoint.get("fromCidr"), endpoint.get("fromRegistry")
    if cidr is not None and (why := explain_range(cidr) if cidr.count("/") == 1 else explain_address(cidr)):
        yield build_violation(f"{path}.fromCidr", cidr, why)
    if registry is not None and not is_label(registry):
        yield build_violation(f"{path}.fromRegistry", registry, "is not the name of a cluster, one label")


def _find_in_gateway(gateway: Tree, path: str, host_gateways: bool) -> Iterator[Violation]:
    service, address = gateway.get("registryServiceName"), gateway.get("address")
    if service is not None and (why := explain_host(service)):
        yield build_violation(f"{path}.registryServiceName", service, why)
    if address is not None and (why := _explain_gateway(address, host_gateways)):
        yield build_violation(f"{path}.address", address, why)
    if why := explain_port(gateway.get("port", 0)):
        yield build_violation(f"{path}.port", gateway.get("port", 0), why)


def _explain_gateway(address: str, host_gateways: bool) -> str:
    why = explain_address(address)
    return explain_host(address) if why and host_gateways else why
