"""What is wrong with a gateway's specification, or with where it stands.

Owns the rules that the schema cannot say. Must never look at what runs. Invariant: with a finding of severity
ERROR nothing new is planned, and what runs stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from navarch.api.gateway import RESERVED_LABELS
from navarch.api.power.annotations import FREE_DOMAINS, is_free_annotation
from navarch.api.power.variables import GUARDED_VARIABLES, PROXY_FREE, PROXY_REFUSED
from navarch.core.gateway.autoscalers import check_autoscalers, check_measured
from navarch.core.gateway.keys import check_keys
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.overlays import check_budget, check_injectable, check_overlays
from navarch.core.gateway.pin import check_version
from navarch.core.gateway.routes import check_routes
from navarch.core.membership.rule import is_injected, is_injected_on_demand, read_membership, tell_joining
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.components.gateway import EXIT_ON_ZERO, type_of
from navarch.core.render.routes import list_routes


def run_checks(observed: ObservedGateway) -> tuple[Finding, ...]:
    """Everything that keeps a gateway from being made or changed."""
    if observed.spec is None:
        remedy = "correct the field"
        return (Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, remedy),)
    return tuple(finding for check in CHECKS for finding in check(observed))


def _name_mesh(observed: ObservedGateway) -> str:
    return "/".join(observed.parent.mesh or ())


def check_mesh(observed: ObservedGateway) -> Iterator[Finding]:
    """The mesh exists."""
    if observed.mesh is None:
        said = observed.spec is not None and observed.spec.control_plane_ref.namespace
        beside = "" if said else " in the gateway's own namespace, and the reference says no other"
        message = f"there is no such MeshControlPlane{beside}; what the gateway runs keeps serving"
        remedy = "create the mesh, or delete the gateway and make it with the right reference"
        yield Finding(Reason.MESH_NOT_FOUND, "spec.controlPlaneRef", _name_mesh(observed), message, remedy)


def check_membership(observed: ObservedGateway) -> Iterator[Finding]:
    """The gateway's namespace belongs to the mesh: elsewhere its pods are not injected, and istiod does not
    look at its Gateways."""
    revision, namespace = observed.revision, observed.parent.namespace
    if observed.mesh is None or revision is None:
        return
    mesh = read_membership(revision, probe=observed.environment.probe_namespace)
    labels = observed.namespace.labels if observed.namespace else {}
    if not (is_injected(mesh, namespace, labels) or is_injected_on_demand(mesh, namespace, labels)):
        message = f"the gateway's namespace does not belong to the mesh {_name_mesh(observed)}"
        remedy = tell_joining(mesh, namespace)
        yield Finding(Reason.NOT_A_MEMBER, "metadata.namespace", namespace, message, remedy)


def check_labels(observed: ObservedGateway) -> Iterator[Finding]:
    """No label of the user's decides injection or identity of the pods, or whose an object is."""
    spec = observed.spec
    service = spec.service if spec else None
    yield from _check_labels("spec.labels", (spec and spec.labels) or {})
    yield from _check_labels("spec.service.labels", (service and service.labels) or {})
    for route in list_routes(spec):
        yield from _check_labels(f"spec.openshift.routes[{route.name}].labels", route.labels or {})


def _check_labels(field: str, labels: Mapping[str, str]) -> Iterator[Finding]:
    for key, value in sorted(labels.items()):
        domain = key.rpartition("/")[0]
        if key == "istio":
            message = "each object of the gateway has this label with the gateway's name"
            yield _refuse(field, key, value, message, "remove it, or name the gateway so")
        elif any(domain == own or domain.endswith(f".{own}") for own in RESERVED_LABELS):
            message = "labels of this domain decide injection, identity, or whose an object is"
            yield _refuse(field, key, value, message, "remove it")


def check_annotations(observed: ObservedGateway) -> Iterator[Finding]:
    """Annotations of pods are such that decide nothing of what the pods run, mount or reach."""
    for key, value in sorted(((observed.spec and observed.spec.annotations) or {}).items()):
        if not is_free_annotation(key):
            message = "annotations of this domain may decide what a pod runs, mounts or reaches"
            remedy = f"remove it; free are keys without a domain, and those of {', '.join(FREE_DOMAINS)}"
            yield _refuse("spec.annotations", key, value, message, remedy)


def check_environment(observed: ObservedGateway) -> Iterator[Finding]:
    """Variables of proxies are such as every editor of a mesh may set for all of its proxies."""
    for variable in (observed.spec and observed.spec.environment) or ():
        name, value = variable.name, variable.value
        rule = PROXY_FREE.get(name)
        if name == EXIT_ON_ZERO:
            yield _refuse("spec.environment", name, value, "it has a field", "use spec.exitOnZeroConnections")
        elif rule is None:
            message, remedy = _judge_variable(name)
            yield _refuse("spec.environment", name, value, message, remedy)
        elif rule.allowed is not None and value not in rule.allowed:
            allowed = " or ".join(str(word) for word in rule.allowed if word is not None)
            yield _refuse("spec.environment", name, value, "it has no such value", f"set {allowed}")


def _judge_variable(name: str) -> tuple[str, str]:
    """Why a variable may not be set, and what to do instead."""
    if refused := PROXY_REFUSED.get(name):
        message, _, remedy = refused.why.rpartition("; ")
        return message, remedy
    why = GUARDED_VARIABLES.get(name, "it was not shown harmless")
    holder = "have a holder of host set it in spec.meshConfig.defaultConfig.proxyMetadata of the mesh"
    return why, f"remove it, or {holder}"


def check_service(observed: ObservedGateway) -> Iterator[Finding]:
    """What is said of the Service fits the type that it has where none is said."""
    service = observed.spec.service if observed.spec else None
    if observed.spec is None or service is None or service.type is not None:
        return
    if type_of(observed.spec) != "ClusterIP":
        return
    said = service.to_json()
    ports = [str(port["nodePort"]) for port in said.get("ports") or () if "nodePort" in port]
    for field, value in (*said.items(), ("ports[].nodePort", ", ".join(ports))):
        if field in _FROM_OUTSIDE and value:
            message = "a Service of type ClusterIP, the default of this type of gateway, does not have it"
            remedy = "set spec.service.type: LoadBalancer or NodePort, or remove the field"
            yield Finding(Reason.INVALID_SPEC, f"spec.service.{field}", shorten(value), message, remedy)


_FROM_OUTSIDE = frozenset(
    {
        "loadBalancerClass",
        "loadBalancerSourceRanges",
        "externalTrafficPolicy",
        "allocateLoadBalancerNodePorts",
        "ports[].nodePort",
    }
)


def _refuse(field: str, key: str, value: str, message: str, remedy: str) -> Finding:
    return Finding(Reason.FIELD_REFUSED, f"{field}[{key}]", shorten(value), message, remedy)


CHECKS: tuple[Callable[[ObservedGateway], Iterator[Finding]], ...] = (
    check_mesh,
    check_membership,
    check_keys,
    check_labels,
    check_annotations,
    check_environment,
    check_service,
    check_routes,
    check_version,
    check_overlays,
    check_budget,
    check_injectable,
    check_autoscalers,
    check_measured,
)
"""The rules, in the order in which they are told: the first one's reason is that of a refused gateway."""
