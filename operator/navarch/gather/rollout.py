"""The workloads of a mesh's namespaces, where the mesh asks for them to be restarted.

Owns this reading of the stores, and which time zones are known. Must never decide what is restarted.
Invariant: a mesh that does not ask for it costs nothing here; one that does costs what its namespaces hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.dataplane import MANAGED, DataPlane, Window
from navarch.api.install import NAME, ROLLOUTS_ROLE
from navarch.core.rollout.observed import Blocker, Workloads
from navarch.gather.excerpts import CLOSED, ROLLABLE
from navarch.gather.rolled import BUDGETS, OF_ROLLOUTS, ROLLED
from navarch.gather.world import World
from navarch.kube.store import Store


def read_policy(spec: MeshControlPlaneSpec | None) -> DataPlane | None:
    """What a mesh says of its data plane; None where it says nothing."""
    return spec.upgrade.data_plane if spec is not None and spec.upgrade is not None else None


def gather_workloads(
    world: World, spec: MeshControlPlaneSpec | None, namespaces: Iterable[str]
) -> Workloads | None:
    """What is known of the workloads in these namespaces; None where the mesh does not ask for restarts, or
    where this process does not watch them: the command does not."""
    policy = read_policy(spec)
    if policy is None or policy.mode != MANAGED or BUDGETS.name not in world.stores:
        return None
    stores = {watch.name: world.stores[watch.name] for watch in OF_ROLLOUTS}
    needed = [stores[watch.name] for watch in OF_ROLLOUTS if not watch.crd]
    if refused := next((store.refused for store in needed if store.refused), ""):
        return Workloads(gap=f"{_tell_grant(world)} ({refused})", forbidden=True)
    if not all(store.served for store in needed):
        return Workloads(gap="the workloads of the mesh's namespaces are not known yet")
    names = sorted({*namespaces})
    rollables = tuple(
        manifest[ROLLABLE]
        for watch in ROLLED.values()
        for name in names
        for manifest in stores[watch.name].list(name)
    )
    blockers = tuple(
        Blocker(name, manifest["metadata"]["name"], manifest[CLOSED])
        for name in names
        for manifest in stores[BUDGETS.name].list(name)
        if manifest[CLOSED] is not None
    )
    known = {workload.uid for workload in rollables}
    refusals = world.refusals
    return Workloads(
        rollables,
        blockers,
        refused=refusals.read(known),
        unsure=refusals.read_unsure(known),
        unread=_find_unread(stores),
    )


def _find_unread(stores: Mapping[str, Store]) -> dict[str, str]:
    """Why nothing is known of kinds that a cluster may lack: a ClusterRole of an older release knows nothing
    of them."""
    return {
        kind: f"Navarch may not look at {kind}s: bring the ClusterRole {ROLLOUTS_ROLE} to this release "
        f"({stores[watch.name].refused})"
        for kind, watch in ROLLED.items()
        if watch.crd and stores[watch.name].refused
    }


def _tell_grant(world: World) -> str:
    account = f"{world.environment.operator_namespace}:{NAME}"
    return (
        f"Navarch may not restart workloads: kubectl create clusterrolebinding {ROLLOUTS_ROLE} "
        f"--clusterrole={ROLLOUTS_ROLE} --serviceaccount={account}"
    )


def read_zones(spec: MeshControlPlaneSpec | None, others: Iterable[Window] = ()) -> dict[str, tzinfo]:
    """The time zones that a mesh's windows, and others, name: of those that are known."""
    policy = read_policy(spec)
    return find_zones([*(policy.windows or () if policy is not None else ()), *others])


def find_zones(windows: Iterable[Window]) -> dict[str, tzinfo]:
    """The time zones that windows name, of those that are known."""
    return dict(_find_zones(sorted({window.time_zone for window in windows})))


def _find_zones(names: Iterable[str]) -> Iterator[tuple[str, tzinfo]]:
    for name in names:
        if name not in _list_zones():
            continue
        try:
            yield name, ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue


@cache
def _list_zones() -> frozenset[str]:
    """The names of all zones. Whoever may annotate a workload may name any number of others, and each of
    those would be looked for in the file system at each look."""
    return frozenset(available_timezones())
