"""Everything that a MeshGateway's reconcile depends on, as one frozen value.

Owns the input of checks, plan and status of a gateway. Must never be read from anywhere but gather.
Invariant: equal observations give equal findings, plans and statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from navarch.api.gateway import MeshGatewaySpec
from navarch.core.istio.assets import Assets
from navarch.core.model.conditions import ConditionType, is_true
from navarch.core.model.ownership import NOTHING, Inventory
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.kinds import CURRENT, ServedKinds
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.workload import PodProblem


@dataclass(frozen=True, slots=True)
class ObservedGateway:
    """Everything a MeshGateway's reconcile depends on.

    `body` is the object itself, `spec` its parsed form (None with `spec_error` when it does not parse).
    `mesh` is the MeshControlPlane that it names and `revision` that one's MeshRevision, None where there is
    none. `owned` are its objects, `proxies` the proxies of its pods, `problems` why pods are not ready.
    `roles` are the installation's roles by name with the hashes of their rules.
    """

    environment: Environment
    assets: Assets
    parent: Parent
    body: Manifest
    spec: MeshGatewaySpec | None
    spec_error: str
    namespace: Namespace | None
    mesh: Manifest | None
    revision: Manifest | None
    owned: tuple[Manifest, ...] = ()
    proxies: tuple[ProxyPod, ...] = ()
    problems: tuple[PodProblem, ...] = ()
    now: str = ""
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    inventory: Inventory = NOTHING
    kinds: ServedKinds = CURRENT

    @property
    def generation(self) -> int:
        """metadata.generation of the gateway."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether the gateway is being deleted, or its namespace is."""
        leaving = self.namespace is not None and self.namespace.terminating
        return leaving or "deletionTimestamp" in self.body["metadata"]

    @property
    def deployment(self) -> Manifest | None:
        """The workload of the gateway, None where there is none yet."""
        return next((o for o in self.owned if o["kind"] == "Deployment"), None)

    @property
    def service(self) -> Manifest | None:
        """The Service of the gateway, None where there is none yet."""
        return next((o for o in self.owned if o["kind"] == "Service"), None)

    @property
    def stamp(self) -> str:
        """What the mesh's injector stamps on pods now; empty while it is not known."""
        return str(((self.revision or {}).get("status") or {}).get("proxy", ""))


def is_held(observed: ObservedGateway) -> bool:
    """Whether nothing may be written but status and Events: the gateway's mesh is paused."""
    return bool(((observed.mesh or {}).get("spec") or {}).get("paused"))


def has_proved_injection(mesh: Manifest) -> bool:
    """Whether pods of a mesh are injected, by the word of the mesh's own status."""
    return is_true((mesh.get("status") or {}).get("conditions") or (), ConditionType.INJECTION_READY)
