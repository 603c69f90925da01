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
from navarch.core.model.removal import is_withheld
from navarch.core.render.components.gateway import workload_of
from navarch.core.render.marks import WORKLOADS
from navarch.core.world.certificates import SeenCertificates
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.kinds import CURRENT, ServedKinds
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.workload import PodProblem, WorkloadPod


@dataclass(frozen=True, slots=True)
class ObservedGateway:
    """Everything a MeshGateway's reconcile depends on.

    `body` is the object itself, `spec` its parsed form (None with `spec_error` when it does not parse).
    `mesh` is the MeshControlPlane that it names and `revision` that one's MeshRevision, None where there is
    none. `owned` are its objects, `pods` its pods, `proxies` their proxies, `problems` why pods are not
    ready. `kind_deleted` is when the deletion of the kind itself was asked for; empty where it was not.
    `roles` are the installation's roles by name with the hashes of their rules. `certificates` are those of
    its listeners, None where nothing asks for them. `serves_routes` says whether the cluster has OpenShift's
    Routes. `autoscalers` are other clients' of its Deployment, by name, as far as it was asked for them.
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
    pods: tuple[WorkloadPod, ...] = ()
    proxies: tuple[ProxyPod, ...] = ()
    problems: tuple[PodProblem, ...] = ()
    now: str = ""
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    inventory: Inventory = NOTHING
    kinds: ServedKinds = CURRENT
    kind_deleted: str = ""
    certificates: SeenCertificates | None = None
    serves_routes: bool = False
    autoscalers: tuple[str, ...] = ()

    @property
    def generation(self) -> int:
        """metadata.generation of the gateway."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether the gateway is to be taken down: it is being deleted, or its namespace is."""
        return is_ending(self) or (self.is_being_deleted and not self.withheld)

    @property
    def is_being_deleted(self) -> bool:
        """Whether the object itself is being deleted."""
        return "deletionTimestamp" in self.body["metadata"]

    @property
    def withheld(self) -> bool:
        """Whether it is being deleted only because its kind is: then it serves on."""
        return is_withheld(self.body, self.kind_deleted)

    @property
    def workload(self) -> Manifest | None:
        """The workload of the kind that is wanted, None where there is none yet; of a spec that does not
        parse any."""
        return next((o for o in self.workloads if self.spec is None or _is_wanted(o, self.spec)), None)

    @property
    def former(self) -> Manifest | None:
        """The workload of the other kind, which goes once the wanted one's pods are ready."""
        return next(
            (o for o in self.workloads if self.spec is not None and not _is_wanted(o, self.spec)), None
        )

    @property
    def workloads(self) -> tuple[Manifest, ...]:
        """Everything of the gateway that makes pods."""
        return tuple(o for o in self.owned if o["kind"] in WORKLOADS)

    @property
    def service(self) -> Manifest | None:
        """The Service of the gateway, None where there is none yet."""
        return next((o for o in self.owned if o["kind"] == "Service"), None)

    @property
    def stamp(self) -> str:
        """What the mesh's injector stamps on pods now; empty while it is not known."""
        return str(((self.revision or {}).get("status") or {}).get("proxy", ""))


def _is_wanted(workload: Manifest, spec: MeshGatewaySpec) -> bool:
    return bool(workload["kind"] == workload_of(spec))


def is_held(observed: ObservedGateway) -> bool:
    """Whether nothing may be written but status and Events: the gateway's mesh is paused."""
    return bool(((observed.mesh or {}).get("spec") or {}).get("paused"))


def is_ending(observed: ObservedGateway) -> bool:
    """Whether the gateway's namespace is being deleted, and with it all that is in it."""
    return observed.namespace is not None and observed.namespace.terminating


def has_proved_injection(observed: ObservedGateway) -> bool:
    """Whether pods of the mesh are injected, by the word of the mesh's own status, and with what."""
    conditions = ((observed.mesh or {}).get("status") or {}).get("conditions") or ()
    return bool(observed.stamp) and is_true(conditions, ConditionType.INJECTION_READY)
