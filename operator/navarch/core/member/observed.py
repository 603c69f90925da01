"""Everything that a MeshMember's reconcile depends on, as one frozen value.

Owns the input of checks, plan and status of a member. Must never be read from anywhere but gather. Invariant:
equal observations give equal findings, plans and statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from navarch.api.member import MeshMemberSpec
from navarch.core.istio.assets import Assets
from navarch.core.model.ownership import NOTHING, Inventory
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.model.removal import is_withheld
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.kinds import CURRENT, ServedKinds
from navarch.core.world.proxies import Pins, ProxyPod


@dataclass(frozen=True, slots=True)
class ObservedMember:
    """Everything a MeshMember's reconcile depends on.

    `body` is the object itself, None when it is gone and its namespace may still be labelled; `spec` its
    parsed form (None with `spec_error` when it does not parse). `place` is the namespace that it speaks of,
    None when that is gone, `holds` the name of a mesh in it, empty for none. `mesh` is the MeshControlPlane
    that it names, `revision` that one's MeshRevision, `owned` what was made for the member. `stamp` is what
    the mesh's injector stamps on pods now, `proxies` the mesh's in the namespace, `of_others` those of other
    control planes there, and `pins` what those of its gateways there are pinned to. `taker` is another mesh
    (`<namespace>/<name>`) to which the namespace belongs by its labels, empty for none. `kind_deleted` is
    when the deletion of the kind itself was asked for; empty where it was not. `webhooks` are the webhook
    configurations that call a Service in the namespace, and `zones` the time zones of its windows, and of
    the mesh's, that are known.
    """

    environment: Environment
    assets: Assets
    parent: Parent
    namespace: str
    body: Manifest | None
    spec: MeshMemberSpec | None
    spec_error: str
    place: Namespace | None
    holds: str
    mesh: Manifest | None
    taker: str = ""
    revision: Manifest | None = None
    owned: tuple[Manifest, ...] = ()
    inventory: Inventory = NOTHING
    stamp: str = ""
    proxies: tuple[ProxyPod, ...] = ()
    of_others: tuple[ProxyPod, ...] = ()
    pins: Pins = field(default_factory=dict)
    now: str = ""
    kinds: ServedKinds = CURRENT
    kind_deleted: str = ""
    webhooks: tuple[str, ...] = ()
    zones: Mapping[str, tzinfo] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """metadata.generation of the member."""
        return int((self.body or {"metadata": {}})["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether the namespace is to leave the mesh: the member is gone or being deleted, or the namespace
        is."""
        leaving = self.place is not None and self.place.terminating
        return leaving or self.body is None or (self.is_being_deleted and not self.withheld)

    @property
    def is_being_deleted(self) -> bool:
        """Whether the object itself is being deleted."""
        return self.body is not None and "deletionTimestamp" in self.body["metadata"]

    @property
    def withheld(self) -> bool:
        """Whether it is being deleted only because its kind is: then its namespace stays in the mesh."""
        return self.body is not None and is_withheld(self.body, self.kind_deleted)

    @property
    def tag(self) -> str:
        """The tag by which the mesh's webhooks take pods; empty while the mesh has none."""
        return str(((self.mesh or {}).get("status") or {}).get("tag") or "")


def is_held(observed: ObservedMember) -> bool:
    """Whether nothing may be written but status and Events: the mesh is paused."""
    return bool(((observed.mesh or {}).get("spec") or {}).get("paused"))
