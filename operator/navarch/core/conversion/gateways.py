"""Gateways of a ServiceMeshControlPlane, as gateways in a mesh's own spec.

Owns their tables. Pure. Must never make a gateway that the old mesh did not have. Invariant: what a Gateway
selects by `istio: ingressgateway` is selected by it afterwards, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.conversion.controlplane import IMAGES, take_amounts, take_environment
from navarch.core.conversion.defaults import OF_INGRESS, fill_defaults
from navarch.core.conversion.rules import (
    UNKNOWN,
    Note,
    Outcome,
    Rules,
    Unexpected,
    Value,
    by_hand,
    convert_fields,
    dropped,
    find,
    list_fields,
    one_of,
    same,
    take_flag,
    take_list,
    take_map,
    take_number,
    take_text,
)

_ROUTES = "name the hosts of its Routes (openshift.routes of the gateway)"
_USUAL: Mapping[str, str] = {"ingress": "istio-ingressgateway", "egress": "istio-egressgateway"}
"""Names of the gateways that every mesh of Service Mesh has, by their list."""
_MORE: Mapping[str, str] = {"ingress": "additionalIngress", "egress": "additionalEgress"}
"""Where Service Mesh keeps further gateways."""
_FIELDS_OF_PORTS = ("name", "port", "targetPort", "protocol", "nodePort")
_FIELDS_OF_AUTOSCALING = {
    "minReplicas": "minReplicas",
    "maxReplicas": "maxReplicas",
    "targetCPUUtilizationPercentage": "targetCPUUtilization",
}


def _take_ports(value: Value) -> list[dict[str, Any]]:
    ports = []
    for port in take_list(value):
        fields = take_map(port)
        if unknown := sorted(fields.keys() - set(_FIELDS_OF_PORTS)):
            raise Unexpected(f"has {unknown[0]}, which a port of a gateway has not")
        ports.append({key: fields[key] for key in _FIELDS_OF_PORTS if key in fields})
    return ports


def _take_autoscaling(value: Value) -> dict[str, Any] | None:
    """Bounds of an autoscaler; none where it is off."""
    fields = take_map(value)
    if not take_flag(fields.get("enabled", True)):
        return None
    bounds = {new: take_number(fields[old]) for old, new in _FIELDS_OF_AUTOSCALING.items() if old in fields}
    return {"minReplicas": 1, "maxReplicas": 5, **bounds}


RULES: Rules = {
    "enabled": dropped("a gateway is there when it is in the list"),
    "namespace": same("namespace", take_text),
    "service.type": same("service.type", one_of("ClusterIP", "NodePort", "LoadBalancer")),
    "service.ports": same("service.ports", _take_ports),
    "service.metadata.labels": same("labels", take_map),
    "service.metadata.annotations": same("service.annotations", take_map),
    "service.externalIPs": same("service.externalIPs", take_list),
    "service.externalTrafficPolicy": same("service.externalTrafficPolicy", one_of("Cluster", "Local")),
    "service.loadBalancerSourceRanges": same("service.loadBalancerSourceRanges", take_list),
    "service.sessionAffinity": same("service.sessionAffinity", take_text),
    "service.loadBalancerIP": by_hand(
        "Kubernetes has given it up; ask for the address by an annotation of your cloud's load balancer"
    ),
    "service.*": by_hand("a gateway's Service has no such field; see spec.gateways[].service"),
    "runtime.deployment.replicas": same("replicas", take_number),
    "runtime.deployment.autoScaling": same("autoscaling", _take_autoscaling),
    "runtime.deployment.strategy": dropped("a gateway is rolled by a surge, and drains before it ends"),
    "runtime.pod.nodeSelector": same("placement.nodeSelector", take_map),
    "runtime.pod.tolerations": same("placement.tolerations", take_list),
    "runtime.pod.priorityClassName": same("placement.priorityClassName", take_text),
    "runtime.pod.metadata.labels": by_hand("write the labels into the gateway's labels"),
    "runtime.pod.metadata.annotations": same("annotations", take_map),
    "runtime.pod.affinity": by_hand(
        "affinity of Service Mesh has a form of its own; write a pod's affinity into the "
        "gateway's placement.affinity"
    ),
    "runtime.container.resources": same("resources", take_amounts),
    "runtime.container.env": same("environment", take_environment),
    "runtime.container.*": by_hand(IMAGES),
    "volumes": by_hand("a gateway mounts no volumes of its own; name Secrets by credentialName in Gateways"),
    "sds.enabled": dropped("gateways read their Secrets by credentialName always"),
    "sds.runtime": dropped("it belonged to a container that Istio has no more"),
    "routeConfig.enabled": by_hand(_ROUTES),
    "routeConfig.*": by_hand(_ROUTES),
    "routerMode": by_hand(
        "an east-west gateway takes TLS by its name (spec.gateways.eastWest); this one is of another type"
    ),
    "meshExpansionPorts": by_hand(
        "ports for other networks are an east-west gateway's (spec.gateways.eastWest)"
    ),
    "requestedNetworkView": by_hand(
        "which networks a proxy sees is set by the variable ISTIO_META_REQUESTED_NETWORK_VIEW; "
        "use spec.gateways.eastWest"
    ),
    "ingress": by_hand(
        "istiod serves Kubernetes' Ingress by spec.meshConfig.ingressControllerMode, which is off"
    ),
}


def convert_gateways(spec: Value, *, root: str) -> tuple[dict[str, list[dict[str, Any]]], list[Note]]:
    """The gateways of `spec.gateways`, by our lists, and what became of each field. Without a word there are
    both of the usual ones."""
    fields = list_fields(spec)
    made: dict[str, list[dict[str, Any]]] = {}
    notes = [Note(Outcome.BY_HAND, field, text=UNKNOWN) for field in _find_odd(spec, root)]
    if fields.get("enabled") is False:
        return {}, [Note(Outcome.DROPPED, f"{root}.enabled", text="without a list there are no gateways")]
    for key, to, name, gateway in _list_gateways(fields):
        field = f"{root}.{key}"
        if find(gateway, "enabled") is False:
            notes.append(Note(Outcome.DROPPED, field, text="it is off, and therefore not in the list"))
            continue
        target = f"spec.gateways.{to}[{name}]"
        converted, told = convert_fields(gateway, RULES, root=field, to=target)
        if to == "ingress":
            told += fill_defaults(OF_INGRESS, gateway, converted, root=field, to=target)
        made.setdefault(to, []).append(
            {"name": name, **converted, "labels": _build_labels(name, to, converted)}
        )
        notes += told
        if not told:
            notes.append(Note(Outcome.CONVERTED, field, target))
    for key in sorted(fields.keys() - {"enabled", *_USUAL, *_MORE.values()}):
        notes.append(
            Note(Outcome.BY_HAND, f"{root}.{key}", text="Routes are never made of Gateways; " + _ROUTES)
        )
    return made, notes


def _find_odd(spec: Value, root: str) -> Iterator[str]:
    """Paths at which no map of fields stands, where gateways would be in one."""
    places = {root: spec} | {f"{root}.{key}": find(spec, key) for key in _MORE.values()}
    yield from (path for path, value in places.items() if not isinstance(value, Mapping | None))


def _list_gateways(fields: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Value]]:
    """The path of each gateway, our list, its name, and its fields."""
    for to, name in _USUAL.items():
        yield to, to, name, fields.get(to) or {}
        more = _MORE[to]
        for other, gateway in sorted(list_fields(fields.get(more)).items()):
            yield f"{more}.{other}", to, other, gateway or {}


def _build_labels(name: str, to: str, gateway: Mapping[str, Any]) -> dict[str, str]:
    """Labels of the pods: those by which Gateways select them. Service Mesh writes `app` and `istio`, unless
    the gateway has labels of its own."""
    usual = {"app": name, "istio": f"{to}gateway" if name == _USUAL[to] else name}
    return dict(gateway.get("labels") or usual)
