"""Where clients reach a gateway, and what is said of a load balancer that does not come.

Owns the addresses of its Service and the verdict on a missing one. Must never read Events, which others can
forge: who has taken the Service is read from its finalizers, and what is wrong from its own status.
Invariant: what is said changes once, when the time for an address is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from navarch.api.gateway import MeshGatewaySpec
from navarch.core.model.conditions import Verdict
from navarch.core.model.messages import shorten
from navarch.core.model.moments import format_moment
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, ref_of

ADDRESS_SECONDS = 300
"""Seconds that a load balancer has for an address, unless said."""
TAKEN = "service.kubernetes.io/load-balancer-cleanup"
"""Finalizer by which a cloud's controller marks a Service that it has taken (k8s.io/cloud-provider)."""


def find_addresses(service: Manifest) -> list[str]:
    """Where clients reach a Service: at its load balancer, else at its own addresses."""
    spec = service.get("spec") or {}
    if spec.get("type") == "LoadBalancer":
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        found = (entry.get("ip") or entry.get("hostname") for entry in balancer.get("ingress") or ())
        return [address for address in found if address]
    return list(spec.get("clusterIPs") or filter(None, [spec.get("clusterIP")]))


def find_deadline(service: Manifest | None, spec: MeshGatewaySpec | None) -> datetime | None:
    """Until when a Service without an address may be waited for; None where it has one."""
    made = service["metadata"].get("creationTimestamp") if service else None
    if service is None or not made or find_addresses(service):
        return None
    said = spec.service.address_timeout_seconds if spec and spec.service else None
    return datetime.fromisoformat(made) + timedelta(seconds=said or ADDRESS_SECONDS)


def judge_missing(service: Manifest, deadline: datetime | None, now: str) -> Verdict:
    """What is said of a Service of type LoadBalancer that has no address."""
    ref = ref_of(service)
    if deadline is None or datetime.fromisoformat(now) < deadline:
        message = (
            f"{ref} of type LoadBalancer has no address yet; where the cluster has no load balancer, set "
            "spec.service.type: NodePort"
        )
        return Verdict("False", Reason.ADDRESS_PENDING, message)
    message = f"{ref} of type LoadBalancer got no address in time, until {format_moment(deadline)}: "
    return Verdict("False", Reason.ADDRESS_MISSING, message + _explain(service))


def _explain(service: Manifest) -> str:
    metadata, namespace = service["metadata"], service["metadata"]["namespace"]
    told = [
        f"{c.get('reason', '')}: {shorten(c.get('message', ''))}"
        for c in (service.get("status") or {}).get("conditions") or ()
        if c.get("message")
    ]
    described = f"kubectl describe service -n {namespace} {metadata['name']}"
    if told:
        return f"its status says {'; '.join(told)}"
    if TAKEN in (metadata.get("finalizers") or ()):
        return f"a cloud's controller has taken it and gave it none, for want of quota or rights: {described}"
    if found := (service.get("spec") or {}).get("loadBalancerClass"):
        return (
            f"no cloud's controller has taken it; is there one for loadBalancerClass {found}? Set another "
            f"class or spec.service.type: NodePort, or see {described}"
        )
    return (
        "no cloud's controller has taken it: the cluster has most likely no load balancers; install some, "
        f"set spec.service.type: NodePort, or see {described}"
    )
