"""The gateways of a mesh: the MeshGateways that it makes, and what it says of all that name it.

Owns both. Must never look at more of a gateway than its own spec and status. Invariants: a MeshGateway is
made only in a namespace that belongs to the mesh; one that exists and is not the mesh's is left as it is;
what is said of a gateway changes only with its readiness, its reason and its address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from navarch.api.controlplane import MOST_GATEWAYS
from navarch.api.gateway import KIND
from navarch.api.inline import TYPES, Gateways
from navarch.api.meta import API_VERSION
from navarch.core.membership.rule import is_injected, is_injected_on_demand, tell_joining
from navarch.core.mesh.layering import merge_settings
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_gateways
from navarch.core.model.actions import Wave
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import ConditionType, Truth, Verdict, find_condition
from navarch.core.model.messages import join
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of

COMPONENT = "gateways"


def build_gateways(parent: Parent, gateways: Gateways) -> Iterator[Manifest]:
    """The MeshGateways of a mesh, each with the mesh's defaults below its own settings."""
    said = gateways.to_json()
    for key, kind in TYPES.items():
        for entry in said.get(key) or ():
            settings = merge_settings(said.get("defaults") or {}, entry)
            name, namespace = settings.pop("name"), settings.pop("namespace", parent.namespace)
            reference = {"name": parent.name, "namespace": parent.namespace}
            yield {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": parent.labels(component=COMPONENT),
                },
                "spec": {"controlPlaneRef": reference, "type": kind, **settings},
            }


def build_wanted_gateways(observed: ObservedMesh) -> tuple[Manifest, ...]:
    """The MeshGateways that an accepted spec asks for, in the order of spec and profiles."""
    if observed.spec is None:
        return ()
    gateways = resolve_gateways(observed.parent, observed.spec, observed.assets, profiles=observed.profiles)
    built = build_gateways(observed.parent, gateways) if gateways is not None else ()
    return tuple({**o, "spec": observed.kinds.fit(KIND, "spec", o["spec"])} for o in built)


def build_gateway_wave(observed: ObservedMesh, wanted: Iterable[Manifest]) -> Wave:
    """Those of the wanted gateways that may be made, or stand already."""
    own, inside = {ref_of(gateway) for gateway in observed.own_gateways}, find_inside(observed)
    made = (o for o in wanted if ref_of(o) in own or inside(o["metadata"]["namespace"]))
    return Wave(COMPONENT, tuple(made))


def find_relieved(observed: ObservedMesh, wanted: Iterable[Manifest]) -> tuple[Ref, ...]:
    """The mesh's gateways that the spec asks for no more and that stay for now: a younger one of their type,
    which it does ask for, is not ready yet. So a renamed entry loses no request."""
    own = {ref_of(gateway): gateway for gateway in observed.own_gateways}
    asked = {ref_of(gateway): gateway["spec"]["type"] for gateway in wanted}
    coming = [(kind, own.get(ref)) for ref, kind in asked.items() if not _is_ready(own.get(ref))]

    def is_needed(gateway: Manifest) -> bool:
        born = gateway["metadata"].get("creationTimestamp", "")
        return any(
            kind == gateway["spec"].get("type")
            and (there is None or there["metadata"].get("creationTimestamp", "") > born)
            for kind, there in coming
        )

    return tuple(ref for ref, gateway in own.items() if ref not in asked and is_needed(gateway))


def _is_ready(gateway: Manifest | None) -> bool:
    ready = find_condition(gateway, ConditionType.READY) if gateway is not None else None
    return ready is not None and ready["status"] == "True"


def find_inside(observed: ObservedMesh) -> Callable[[str], bool]:
    """Whether pods of a namespace, by its name, are injected by the mesh."""
    mesh = find_effective_membership(observed)

    def is_inside(name: str) -> bool:
        namespace = observed.namespaces.get(name)
        labels = namespace.labels if namespace else {}
        return is_injected(mesh, name, labels) or is_injected_on_demand(mesh, name, labels)

    return is_inside


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A gateway as its mesh sees it. `inline` ones are the mesh's own; `told` is what no object of its own
    tells, and `stays` that the spec asks for it no more and that others are to relieve it."""

    namespace: str
    name: str
    inline: bool
    ready: Truth
    reason: Reason
    address: str = ""
    told: str = ""
    stays: bool = False

    def __str__(self) -> str:
        return f"{KIND} {self.namespace}/{self.name} ({self.told or self.reason})"

    def to_json(self) -> dict[str, Any]:
        """As an entry of status.gateways."""
        said = {"namespace": self.namespace, "name": self.name, "ready": self.ready == "True"}
        return {**said, "reason": self.reason.value, **({"address": self.address} if self.address else {})}


def view_gateways(observed: ObservedMesh, wanted: Sequence[Manifest]) -> tuple[GatewayView, ...]:
    """Every gateway that the mesh makes, or that names it in a namespace of the mesh, by namespace and name;
    but for those that are being removed. Elsewhere everybody could name it."""
    inside = find_inside(observed)
    own = {ref_of(o): o for o in observed.own_gateways}
    asked = {ref_of(o): o for o in wanted}
    stays = {*find_relieved(observed, wanted)}
    named = {ref_of(o): o for o in observed.gateways}
    there = {ref: o for ref, o in named.items() if ref in asked or inside(ref.namespace)} | own
    going = {ref for ref, o in there.items() if "deletionTimestamp" in o["metadata"]}
    refs = sorted({*asked, *there} - (going - {*asked}))
    views = []
    for ref in refs:
        if ref in asked and ref not in own:
            verdict = _tell_unmade(observed, ref, exists=ref in there, inside=inside(ref.namespace))
            told = verdict.message
            views.append(GatewayView(ref.namespace, ref.name, True, "False", verdict.reason, told=told))
        else:
            view = _view(ref, asked.get(ref), there[ref], inline=ref in own)
            views.append(replace(view, stays=ref in stays))
    return tuple(views)


def _view(ref: Ref, wanted: Manifest | None, there: Manifest, *, inline: bool) -> GatewayView:
    status: Mapping[str, Any] = there.get("status") or {}
    address = str(next(iter(status.get("addresses") or ()), ""))
    ready = find_condition(there, ConditionType.READY)
    current = ready is not None and ready["observedGeneration"] >= there["metadata"].get("generation", 0)
    if ready is None or not current or (wanted is not None and not is_applied(there, wanted)):
        unknown = Reason.NOT_YET_DETERMINED
        return GatewayView(ref.namespace, ref.name, inline, "Unknown", unknown, address)
    reason = Reason.read(ready["reason"])
    return GatewayView(ref.namespace, ref.name, inline, ready["status"], reason, address)


def _tell_unmade(observed: ObservedMesh, ref: Ref, *, exists: bool, inside: bool) -> Verdict:
    """Why a gateway that the spec asks for is not the mesh's."""
    if exists:
        message = "exists and is not the mesh's; it was left untouched: rename the entry, or remove that one"
        return Verdict("False", Reason.FOREIGN_OBJECT, message)
    if not inside:
        remedy = tell_joining(find_effective_membership(observed), ref.namespace)
        message = f"is not made: namespace {ref.namespace} does not belong to the mesh: {remedy}"
        return Verdict("False", Reason.NOT_A_MEMBER, message)
    return Verdict("False", Reason.NOT_INSTALLED, "has not been made yet")


def determine_gateways(views: Iterable[GatewayView]) -> Verdict:
    """Whether all of these gateways are ready; the bad ones are named."""
    gateways = list(views)
    for status, words in (("False", "not ready"), ("Unknown", "to be determined")):
        bad = [view for view in gateways if view.ready == status]
        if bad:
            message = f"{len(bad)} of {len(gateways)} gateways are {words}: {join(bad)}"
            if left := [f"{view.namespace}/{view.name}" for view in gateways if view.stays]:
                message += f"; until they are, what spec.gateways has no more stays: {join(left)}"
            return Verdict("False" if status == "False" else "Unknown", Reason.GATEWAYS_NOT_READY, message)
    return Verdict("True", Reason.AS_EXPECTED)


def summarise_gateways(views: Iterable[GatewayView]) -> list[dict[str, Any]]:
    """status.gateways: of more than fit, those that are not ready come first."""
    kept = sorted(views, key=lambda view: (view.ready == "True", view.namespace, view.name))[:MOST_GATEWAYS]
    return [view.to_json() for view in sorted(kept, key=lambda view: (view.namespace, view.name))]
