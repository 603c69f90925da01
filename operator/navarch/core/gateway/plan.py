"""From an observed gateway to its plan: account, then workload and Service, once its pods would be injected.

Owns the order of things of a gateway. Must never act or look anything up. Invariants: no pod of a gateway is
made before injection is proved for its mesh, since without it `image: auto` would be pulled; with a finding
that refuses the spec, and without a mesh, what runs is left as it is; a workload of the other kind goes only
once the wanted one serves (core/gateway/succession.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from navarch.core.gateway.address import find_deadline
from navarch.core.gateway.autoscalers import is_left_to_others
from navarch.core.gateway.drain import choose_drain
from navarch.core.gateway.observed import ObservedGateway, has_proved_injection
from navarch.core.gateway.pin import find_pin
from navarch.core.gateway.recreation import choose_recreation, find_uninjected, read_recreation
from navarch.core.gateway.succession import choose_replicas, find_standing, find_workload
from navarch.core.gateway.teardown import plan_teardown
from navarch.core.gateway.turn import choose_stamp, find_turn
from navarch.core.istio.images import choose_pull_policy
from navarch.core.istio.roles import GATEWAY_ROLE, find_missing
from navarch.core.model.actions import Plan, Waiting, Wave
from navarch.core.model.applied import is_applied
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.model.removal import find_removable
from navarch.core.model.requeue import SAFETY_REQUEUE
from navarch.core.render.components.gateway import GatewayInput, build_objects
from navarch.core.render.marks import WORKLOADS
from navarch.core.render.routes import ROUTE

_WAVES = {"ServiceAccount": "account", "RoleBinding": "binding"}
"""Waves of kinds; all others are the workload. Rights are given after the account was found to be the
gateway's own: an account of that name that is not, such as `default`, is a ForeignObject, and ends the plan
there."""


def plan_gateway(observed: ObservedGateway, findings: Sequence[Finding]) -> Plan:
    """What is to be done for a gateway now."""
    removable = find_removable(observed.parent, observed.inventory, observed.owned)
    if observed.deleting:
        return plan_teardown(observed, removable)
    refused = not is_accepted(findings) or observed.spec is None or observed.mesh is None
    if refused or observed.withheld:
        return Plan(observed.parent)
    objects = build_gateway(observed)
    if waiting := tuple(_find_unmet(observed, objects)):
        kept = [o for o in objects if _is_kept_up(o, observed)]
        return Plan(observed.parent, _build_waves(kept), waiting=waiting, requeue_after=SAFETY_REQUEUE)
    stays = {ref_of(o) for o in objects} | find_standing(observed, objects)
    prune = [ref_of(o) for o in removable if ref_of(o) not in stays]
    waves, gone = _build_waves(objects), tuple(order_for_removal(prune))
    waits = [_find_next_recreation(observed), _find_address_deadline(observed)]
    waits += [observed.certificates.next] if observed.certificates else []
    waits += [turn.waits] if (turn := find_turn(observed)) is not None and turn.waits else []
    soonest = min((wait for wait in waits if wait is not None), default=None)
    return Plan(observed.parent, waves, gone, requeue_after=soonest)


def _is_kept_up(manifest: Manifest, observed: ObservedGateway) -> bool:
    """Whether an object is put right while pods have to wait: what is there already, but for the workload,
    and for a binding to a role that is not there."""
    bindable = manifest["kind"] != "RoleBinding" or not any(find_missing([GATEWAY_ROLE], observed.roles))
    there = any(ref_of(o) == ref_of(manifest) for o in observed.owned)
    return there and bindable and manifest["kind"] not in WORKLOADS


def _build_waves(objects: Sequence[Manifest]) -> tuple[Wave, ...]:
    waves = (
        Wave(name, tuple(o for o in objects if _WAVES.get(o["kind"], "workload") == name))
        for name in (*_WAVES.values(), "workload")
    )
    return tuple(wave for wave in waves if wave.objects)


def build_gateway(observed: ObservedGateway) -> list[Manifest]:
    """The objects that an accepted gateway wants."""
    assert observed.spec is not None
    mesh = (observed.revision or {}).get("spec") or {}
    images = (mesh.get("config") or {}).get("images") or {}
    recreation = choose_recreation(
        observed.workload,
        find_uninjected(observed.workload, observed.pods),
        now=observed.now,
        proved=has_proved_injection(observed),
    )
    pin = find_pin(observed)
    gateway = GatewayInput(
        observed.parent,
        observed.spec,
        str(mesh.get("tag", "")),
        choose_stamp(observed),
        choose_pull_policy(images),
        recreated=str(recreation or ""),
        image=pin.image if pin is not None else "",
        replicas=choose_replicas(observed),
        scaled=is_left_to_others(observed),
        drain=choose_drain(observed),
    )
    objects = build_objects(gateway, observed.assets)
    return [o for o in objects if o["kind"] != ROUTE or observed.serves_routes]


def _find_next_recreation(observed: ObservedGateway) -> float | None:
    """Seconds until pods that are still without a proxy may be made anew; None where there are none."""
    last = read_recreation(observed.workload)
    if last is None or not find_uninjected(observed.workload, observed.pods):
        return None
    return max((last.next - datetime.fromisoformat(observed.now)).total_seconds(), 1.0)


def _find_address_deadline(observed: ObservedGateway) -> float | None:
    """Seconds until a load balancer without an address is told as one that gets none."""
    deadline = find_deadline(observed.service, observed.spec)
    left = (deadline - datetime.fromisoformat(observed.now)).total_seconds() if deadline else 0.0
    return left + 1 if left >= 0 and deadline else None


def _find_unmet(observed: ObservedGateway, objects: Sequence[Manifest]) -> Iterator[Waiting]:
    """What a gateway's pods need and is not there: only where they would be made or changed."""
    wanted, there = find_workload(objects), observed.workload
    settled = there is not None and wanted is not None and is_applied(there, wanted)
    if observed.mesh is None or settled:
        return
    ref = ref_of(observed.mesh)
    if observed.revision is None or not observed.stamp:
        yield Waiting(ref, f"{ref} has not been installed yet")
    elif not has_proved_injection(observed):
        yield Waiting(ref, f"{ref} does not inject pods yet: see its condition InjectionReady")
    elif (pin := find_pin(observed)) is not None and pin.waiting:
        yield Waiting(ref, f"spec.version: {pin.version}: {pin.waiting}")
    yield from find_missing([GATEWAY_ROLE], observed.roles)
