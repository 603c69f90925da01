"""Observations of gateways for table tests: a good one of which nothing is there yet, and a settled one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from navarch.api.gateway import MeshGatewaySpec
from navarch.api.meta import API_VERSION
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.pin import stamp_of
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.gateway.status import summarise_gateway
from navarch.core.istio.roles import GATEWAY_ROLE, hash_rules
from navarch.core.model.actions import Outcome
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED
from navarch.core.model.parent import GATEWAY, Parent
from navarch.core.model.refs import Manifest
from navarch.core.revision.render import render
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.proxies import ProxyPod

from tests.unit.observations import NOW, OURS, a_revision, assets

STAMP = "1.31.1-abc"
TAG = "shop-mesh"
PARENT = Parent(GATEWAY, "front", "ingress", "uid-gateway", mesh=("shop", "mesh"))


def a_gateway(
    spec: Mapping[str, Any] | None = None, *, labels: Mapping[str, str] | None = None, **changes: Any
) -> ObservedGateway:
    """A good gateway in a member namespace of a mesh that injects; nothing of it is there yet."""
    said = {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}, "type": "Ingress", **(spec or {})}
    revision = a_revision("1.31.1", serving="1.31.1")
    revision["status"]["proxy"] = STAMP
    injection = {"type": "InjectionReady", "status": "True"}
    mesh = {
        "apiVersion": API_VERSION,
        "kind": "MeshControlPlane",
        "metadata": {"namespace": "shop", "name": "mesh"},
        "spec": {},
        "status": {"tag": TAG, "conditions": [injection]},
    }
    observed = ObservedGateway(
        environment=Environment((1, 34), "navarch-system", "navarch-probe"),
        assets=assets(),
        parent=PARENT,
        body={
            "apiVersion": API_VERSION,
            "kind": GATEWAY,
            "metadata": {"namespace": "front", "name": "ingress", "uid": "uid-gateway", "generation": 3},
            "spec": said,
        },
        spec=MeshGatewaySpec.model_validate(said),
        spec_error="",
        namespace=Namespace("front", {"istio.io/rev": TAG} if labels is None else labels),
        mesh=mesh,
        revision=revision,
        now=NOW,
        roles={GATEWAY_ROLE.name: hash_rules(GATEWAY_ROLE.rules)},
    )
    return replace(observed, **changes)


def with_mesh(
    observed: ObservedGateway, version: str, *, serving: str = "", stamp: str = "", **config: Any
) -> ObservedGateway:
    """The same gateway, of a mesh of a version and configuration whose injector follows them, unless `stamp`
    says what it stamps instead."""
    revision = a_revision(version, serving=serving or version)
    revision["spec"]["config"] = config
    revision["status"]["proxy"] = stamp or render(revision, observed.assets, observed.environment).proxy
    return replace(observed, revision=revision)


def pinned(version: str, *, mesh: str = "1.31.4", **more: Any) -> ObservedGateway:
    return with_mesh(a_gateway({"version": version}), mesh, **more)


def applied(manifest: Manifest, **status: Any) -> dict[str, Any]:
    """An object as it stands once it was applied."""
    metadata = {
        **manifest["metadata"],
        "uid": manifest["kind"],
        "generation": 1,
        "managedFields": OURS,
        "annotations": {**manifest["metadata"].get("annotations", {}), APPLIED: stable_hash(manifest)},
    }
    return {**manifest, "metadata": metadata, "status": status}


def on_nodes(desired: int, *, updated: int | None = None, ready: int | None = None) -> dict[str, int]:
    """The status of a DaemonSet; unless said, all of its pods are there and ready."""
    ready = desired if ready is None else ready
    return {
        "observedGeneration": 1,
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": desired,
        "updatedNumberScheduled": desired if updated is None else updated,
        "numberReady": ready,
        "numberAvailable": ready,
    }


def settled(observed: ObservedGateway, *, address: str = "10.0.0.1") -> ObservedGateway:
    """The same gateway once its objects are there, its pods run and it has an address."""
    counts = {"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1}
    counts |= {"availableReplicas": 1, "readyReplicas": 1}
    status: dict[str, dict[str, Any]] = {
        "Deployment": counts,
        "DaemonSet": on_nodes(1),
        "Service": {"loadBalancer": {"ingress": [{"ip": address}] if address else []}},
    }
    owned = tuple(applied(o, **status.get(o["kind"], {})) for o in build_gateway(observed))
    proxies = (ProxyPod("front", "ingress-1", "shop-mesh-inplace", stamp_of(observed)),)
    return replace(observed, owned=owned, proxies=proxies)


def find(objects: Any, kind: str) -> Any:
    (found,) = [o for o in objects if o["kind"] == kind]
    return found


def verdicts(observed: ObservedGateway) -> dict[str, tuple[str, str]]:
    findings = run_checks(observed)
    plan = plan_gateway(observed, findings)
    status = summarise_gateway(observed, findings, plan, Outcome())
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def told(observed: ObservedGateway, kind: str) -> str:
    """The message of a condition."""
    findings = run_checks(observed)
    status = summarise_gateway(observed, findings, plan_gateway(observed, findings), Outcome())
    return next(c["message"] for c in status["conditions"] if c["type"] == kind)


def without_proof(observed: ObservedGateway) -> ObservedGateway:
    mesh = dict(observed.mesh or {})
    return replace(observed, mesh={**mesh, "status": {"tag": TAG, "conditions": []}})
