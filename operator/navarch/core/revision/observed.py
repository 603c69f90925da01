"""Everything that a MeshRevision's reconcile depends on, as one frozen value.

Owns the input of plan and status of a revision. Must never be read from anywhere but gather. Invariant: equal
observations give equal plans and statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from navarch.core.istio.assets import Assets
from navarch.core.model.ownership import NOTHING, Inventory
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.world.cluster import Environment, Namespace, Webhook
from navarch.core.world.hosting import Home
from navarch.core.world.kinds import CURRENT, ServedKinds
from navarch.core.world.workload import PodProblem, WorkloadPod


@dataclass(frozen=True, slots=True)
class ObservedRevision:
    """Everything a MeshRevision's reconcile depends on. `mesh` is its MeshControlPlane, None when that is
    gone; `roles` are the installation's roles for istiods, by name with the hashes of their rules;
    `inventory` says which objects were made for it, those of the mesh among them; `kinds` what Navarch's own
    CRDs lack; `rivals` are the meshes whose revisions keep this one from being rolled out; `home` is the
    namespace of Navarch's in which the control plane is hosted, None where it is beside the mesh; `webhooks`
    are the revision's own, `root` is the fingerprint of the mesh's root, empty while unknown."""

    environment: Environment
    assets: Assets
    parent: Parent
    body: Manifest
    mesh: Manifest | None
    namespace: Namespace | None
    owned: tuple[Manifest, ...]
    problems: tuple[PodProblem, ...] = field(default=())
    pods: tuple[WorkloadPod, ...] = field(default=())
    now: str = ""
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    inventory: Inventory = NOTHING
    kinds: ServedKinds = CURRENT
    home: Home | None = None
    rivals: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    root: str = ""

    @property
    def generation(self) -> int:
        """metadata.generation of the revision."""
        return int(self.body["metadata"].get("generation", 0))


def is_revision_held(observed: ObservedRevision) -> bool:
    """Whether nothing of a revision may be written: its mesh is paused, or gone."""
    return observed.mesh is None or bool((observed.mesh.get("spec") or {}).get("paused"))
