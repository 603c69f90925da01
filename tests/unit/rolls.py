"""Observations of rolls for table tests, and a cluster in which their plans are carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from navarch.api.meta import API_VERSION
from navarch.api.roll import KIND, MeshMemberRollSpec
from navarch.core.model.actions import Outcome, Plan
from navarch.core.model.ownership import NOTHING, is_proved
from navarch.core.model.parent import Parent
from navarch.core.roll.checks import run_checks
from navarch.core.roll.observed import ObservedRoll
from navarch.core.roll.plan import plan_roll
from navarch.core.roll.status import summarise_roll
from navarch.core.world.cluster import Environment, Namespace

from tests.unit.observations import NOW

ENVIRONMENT = Environment((1, 34), "navarch-system", "navarch-probe")
OURS = {"manager": "navarch", "operation": "Apply", "fieldsV1": {}}
READY = {"type": "Ready", "status": "True", "reason": "AsExpected", "message": "", "observedGeneration": 1}


def a_mesh(namespace: str = "shop", name: str = "mesh", **spec: Any) -> dict[str, Any]:
    """A MeshControlPlane."""
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": API_VERSION, "kind": "MeshControlPlane", "metadata": metadata, "spec": spec}


def a_member(
    namespace: str,
    mesh: str = "shop",
    *,
    name: str = "mesh",
    roll: str = "",
    ready: Mapping[str, Any] | None = READY,
    deleted: bool = False,
) -> dict[str, Any]:
    """A MeshMember for a mesh in namespace `mesh`, made by the roll of namespace `roll`, or by its team."""
    labels = Parent(KIND, roll, "default", f"uid-{roll}").labels(component="members") if roll else {}
    metadata = {
        "namespace": namespace,
        "name": "default",
        "uid": f"uid-{namespace}-{roll}",
        "generation": 1,
        "labels": labels,
        "managedFields": [OURS] if roll else [],
        **({"deletionTimestamp": NOW} if deleted else {}),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "MeshMember",
        "metadata": metadata,
        "spec": {"controlPlaneRef": {"name": name, "namespace": mesh}},
        "status": {"conditions": [ready] if ready else []},
    }


def a_roll(
    *names: str,
    spec: Mapping[str, Any] | None = None,
    namespace: str = "shop",
    namespaces: Sequence[Namespace] = (),
    members: Sequence[Mapping[str, Any]] = (),
    **changes: Any,
) -> ObservedRoll:
    """A roll beside mesh `shop/mesh`, in a cluster with these namespaces and MeshMembers."""
    said = {**({"members": [*names]} if names else {}), **(spec or {})}
    metadata = {"namespace": namespace, "name": "default", "uid": f"uid-{namespace}", "generation": 3}
    parent = Parent(KIND, namespace, "default", f"uid-{namespace}")
    observed = ObservedRoll(
        environment=ENVIRONMENT,
        parent=parent,
        body={"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": said},
        spec=MeshMemberRollSpec.model_validate(said),
        spec_error="",
        mesh=a_mesh(namespace),
        namespaces={place.name: place for place in namespaces},
        holds={namespace: "mesh"},
        members={member["metadata"]["namespace"]: member for member in members},
        own=tuple(member for member in members if is_proved(member, parent, NOTHING)),
        now=NOW,
    )
    return replace(observed, **changes)


def plan(observed: ObservedRoll) -> Plan:
    """What is to be done now."""
    return plan_roll(observed, run_checks(observed))


def made(observed: ObservedRoll) -> list[str]:
    """The namespaces in which MeshMembers are made or kept."""
    return [o["metadata"]["namespace"] for o in plan(observed).objects()]


def removed(observed: ObservedRoll) -> list[str]:
    """The namespaces from which MeshMembers are removed."""
    return [ref.namespace for ref in plan(observed).prune]


def status_of(observed: ObservedRoll, outcome: Outcome | None = None) -> dict[str, Any]:
    """The status that follows."""
    findings = run_checks(observed)
    return summarise_roll(observed, findings, plan(observed), outcome or Outcome())


def verdicts(observed: ObservedRoll, outcome: Outcome | None = None) -> dict[str, tuple[str, str]]:
    """Status and reason of every condition."""
    conditions = status_of(observed, outcome)["conditions"]
    return {c["type"]: (c["status"], c["reason"]) for c in conditions}


def pending(observed: ObservedRoll) -> dict[str, str]:
    """Why each namespace is no member yet."""
    return {entry["namespace"]: entry["reason"] for entry in status_of(observed).get("pending", ())}
