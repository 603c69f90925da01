"""What lies around meshes that are to be upgraded.

Owns the requests of this look, which no reconcile makes: they are of the whole cluster. Must never decide,
and never read a Secret. Invariant: without an upgrade nothing is asked for; each request that fails is told
with the meshes, and the look goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from navarch.assets import load_gateway_api
from navarch.core.diagnosis.observed import ObservedCluster, diagnose
from navarch.core.diagnosis.pods import find_bare_namespaces, list_memberships
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.diagnosis.upgrade import run_rules_of_upgrade
from navarch.core.diagnosis.upgrade.observed import (
    Around,
    Configuration,
    ObservedUpgrade,
    StoredCRD,
    find_upgrade,
    read_autoscaler,
    read_budget,
    read_configuration,
    read_node,
    read_pod,
)
from navarch.core.istio.gatewayapi import STANDARD, is_of_gateway_api, read_crd
from navarch.core.membership.rule import is_member
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.refs import Manifest, Ref
from navarch.gather.mesh import observe_mesh
from navarch.kube.errors import KubeError
from navarch.kube.resources import Resource, resource_of
from navarch.survey.snapshot import Gap, explain
from navarch.survey.surroundings import RUNNING, Surveyor

_BUDGETS = resource_of("policy/v1", "PodDisruptionBudget")
_AUTOSCALERS = resource_of("autoscaling/v2", "HorizontalPodAutoscaler")
_NODES = resource_of("v1", "Node")
_PODS = resource_of("v1", "Pod")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UpgradeSurveyor:
    """Makes these requests by a surveyor; `cluster` is what that has seen."""

    surveyor: Surveyor
    cluster: ObservedCluster

    async def judge(self, refs: Iterable[Ref]) -> Mapping[Subject, tuple[Diagnosis, ...]]:
        """What is worth knowing before each of these meshes is upgraded that is to be; empty for others."""
        gaps = len(self.surveyor.gaps)
        meshes = [mesh for ref in sorted(set(refs)) if (mesh := await self._observe(ref)) is not None]
        upgrades = [u for m in meshes if (u := find_upgrade(m, self._find_inside(m), Around())) is not None]
        if not upgrades:
            return {}
        around = await self._look_around(upgrades)
        bare = self.cluster.bare
        if bare is None:
            bare = await self.surveyor.find_bare_pods("")
        uninjected = [*find_bare_namespaces(replace(self.cluster, bare=bare))]
        unseen = tuple(dict.fromkeys(map(str, self.surveyor.gaps[gaps:])))
        del self.surveyor.gaps[gaps:]  # told here, with each mesh
        return {
            upgrade.subject: (
                *run_rules_of_upgrade(replace(upgrade, around=around)),
                *(d for m, d in uninjected if (m.namespace, m.name) == upgrade.place),
                *(diagnose(Sign.NOT_LOOKED_AT, upgrade.subject, gap) for gap in unseen),
            )
            for upgrade in upgrades
        }

    async def _observe(self, ref: Ref) -> ObservedMesh | None:
        """A mesh as the operator would see it; None for one that the schema refuses."""
        body = self.surveyor.snapshot.stores["meshes"].get(ref)
        try:
            return await observe_mesh(self.surveyor.world, body) if body is not None else None
        except KubeError as error:
            self.surveyor.gaps.append(Gap(error.method.lower(), error.subject, explain(error)))
            return None

    def _find_inside(self, mesh: ObservedMesh) -> frozenset[str]:
        """The namespaces whose configuration and pods are the mesh's."""
        place = (mesh.parent.namespace, mesh.parent.name)
        namespaces = (self.cluster.namespaces or {}).values()
        members = {
            namespace.name
            for summary, membership in list_memberships(self.cluster)
            for namespace in namespaces
            if (summary.namespace, summary.name) == place
            and is_member(membership, namespace.name, namespace.labels)
        }
        return frozenset({mesh.parent.namespace, mesh.own.home, *members})

    async def _look_around(self, upgrades: Sequence[ObservedUpgrade]) -> Around:
        inside = {name for upgrade in upgrades for name in upgrade.inside}
        istios = {
            crd["metadata"]["name"]
            for upgrade in upgrades
            for crd in upgrade.mesh.assets.crds[upgrade.release.minor.name]
        }
        there = {crd["metadata"]["name"] for crd in self.surveyor.snapshot.stores["crds"].list()}
        configuration: list[Configuration] = []
        for name in sorted(istios & there):
            configuration += await self._list_configuration(name, inside)
        crds = [await self._read_crd(n) for n in sorted(there) if n in istios or is_of_gateway_api(n)]
        bundle = load_gateway_api(STANDARD)
        return Around(
            configuration=tuple(configuration),
            crds=tuple(crd for crd in crds if crd is not None),
            budgets=await self._list(_BUDGETS, read_budget),
            autoscalers=await self._list(_AUTOSCALERS, read_autoscaler),
            pods=await self._list(_PODS, read_pod, fields=RUNNING),
            nodes=await self._list(_NODES, read_node),
            bundle=bundle.version,
            bundles={
                name: frozenset(version["name"] for version in crd["spec"]["versions"])
                for name, crd in bundle.crds.items()
            },
        )

    async def _list_configuration(self, crd: str, inside: set[str]) -> list[Configuration]:
        found = await self.surveyor.list_custom(crd)
        return [read_configuration(crd, m) for m in found if m["metadata"].get("namespace") in inside]

    async def _read_crd(self, name: str) -> StoredCRD | None:
        found = await self.surveyor.read_crd(name)
        if found is None:
            return None
        crd = read_crd(found)
        return StoredCRD(name, crd.stored, crd.version)

    async def _list(
        self, resource: Resource, read: Callable[[Manifest], T | None], *, fields: str = ""
    ) -> tuple[T, ...] | None:
        """All objects of a kind, each read as it comes: there may be very many."""
        kept: list[T] = []

        def keep(manifest: dict[str, Any]) -> None:
            if (found := read(manifest)) is not None:
                kept.append(found)

        gaps = len(self.surveyor.gaps)
        await self.surveyor.list_each(resource, keep, fields=fields)
        return tuple(kept) if len(self.surveyor.gaps) == gaps else None
