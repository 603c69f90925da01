"""Everything that the restarts of a mesh's workloads depend on, as one frozen value.

Owns the input of waves, plan and status. Must never remember: what was restarted stands in the workloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from navarch.api.dataplane import DataPlane
from navarch.api.windows import Windows
from navarch.core.rollout.gates import Gate
from navarch.core.world.proxies import Pins, ProxyPod
from navarch.core.world.rollable import Rollable


@dataclass(frozen=True, slots=True)
class Blocker:
    """A PodDisruptionBudget that allows no disruption, by name, and the pods of its namespace that it is
    for."""

    namespace: str
    name: str
    selector: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Workloads:
    """What is known of the workloads in a mesh's namespaces. `gap` says why nothing is: the operator may not
    look at them (`forbidden`), or has not yet; `unread` says it of single kinds, which a cluster may lack.
    `refused` says of some workloads, by uid, why a restart failed of late, and `unsure` has those of them
    that may be restarted all the same."""

    rollables: tuple[Rollable, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    gap: str = ""
    forbidden: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    unsure: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedRollout:
    """`pods` are the proxies of the mesh by its census; `target` is what the mesh's injector stamps on pods,
    empty where that is not known; `revision` is the one that does; `hindrance` says why no pod must be made
    anew now, though it could be. `orders` is what the annotation ROLLOUT, or their MeshMember, says of
    namespaces, `windows` what these say of when, and `leaving` are those that are being deleted. `told_wave`,
    `told_since` are what status says: the wave that was the next one for this target, and since when. `gates`
    is how the gates stand, empty while none is asked. `returning` says that the mesh went back to what was
    proved before."""

    mesh: str
    policy: DataPlane
    target: str
    revision: str
    now: str
    pods: tuple[ProxyPod, ...]
    workloads: Workloads
    pins: Pins = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)
    leaving: frozenset[str] = frozenset()
    windows: Mapping[str, tuple[Windows, ...]] = field(default_factory=dict)
    zones: Mapping[str, tzinfo] = field(default_factory=dict)
    hindrance: str = ""
    told_wave: int = 0
    told_since: str = ""
    gates: tuple[Gate, ...] = ()
    returning: bool = False
