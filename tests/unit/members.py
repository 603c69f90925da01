"""Observations of members for table tests: one that is to join, and one that has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from navarch.api.member import KIND, MeshMemberSpec
from navarch.api.meta import API_VERSION
from navarch.core.member.checks import run_checks
from navarch.core.member.observed import ObservedMember
from navarch.core.member.plan import plan_member
from navarch.core.member.status import summarise_member
from navarch.core.model.actions import Outcome
from navarch.core.model.parent import Parent
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.proxies import ProxyPod

from tests.unit.observations import NOW, assets

STAMP = "1.31.1-abc"
INJECTS = {"type": "InjectionReady", "status": "True", "reason": "InjectionProved", "message": ""}
JOINED = {"mesh.navarch.io/member-of": "shop.mesh", "istio.io/rev": "shop-mesh"}


def a_member(spec: Mapping[str, Any] | None = None, **changes: Any) -> ObservedMember:
    """A member whose namespace carries no label yet."""
    said = {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}, **(spec or {})}
    observed = ObservedMember(
        environment=Environment((1, 34), "navarch-system", "navarch-probe"),
        assets=assets(),
        parent=Parent(KIND, "front", "default", "uid-member", mesh=("shop", "mesh")),
        namespace="front",
        body={
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"namespace": "front", "name": "default", "uid": "uid-member", "generation": 3},
            "spec": said,
        },
        spec=MeshMemberSpec.model_validate(said),
        spec_error="",
        place=Namespace("front", {"team": "a"}, uid="uid-front"),
        holds="",
        mesh={
            "apiVersion": API_VERSION,
            "kind": "MeshControlPlane",
            "metadata": {"namespace": "shop", "name": "mesh"},
            "spec": {"scope": "Members"},
            "status": {"tag": "shop-mesh", "conditions": [INJECTS]},
        },
        stamp=STAMP,
        now=NOW,
    )
    return replace(observed, **changes)


def joined(observed: ObservedMember) -> ObservedMember:
    """The same once its claims were carried out."""
    (claim,) = plan_member(observed, run_checks(observed)).claims
    assert observed.place is not None
    kept = {k: v for k, v in observed.place.labels.items() if k not in observed.place.claimed}
    place = replace(observed.place, labels={**kept, **claim.labels}, claimed=tuple(sorted(claim.labels)))
    return replace(observed, place=place)


def a_proxy(name: str, stamp: str = STAMP) -> ProxyPod:
    """A pod of the mesh in the member's namespace."""
    return ProxyPod("front", name, "shop-mesh-inplace", stamp)


def verdicts(observed: ObservedMember) -> dict[str, tuple[str, str]]:
    """Status and reason of every condition."""
    findings = run_checks(observed)
    status = summarise_member(observed, findings, plan_member(observed, findings), Outcome())
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
