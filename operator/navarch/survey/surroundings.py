"""What is in the cluster beside meshes: Navarch's own installation, Istios of others, and configuration of
Istio's that says by a label whose it is.

Owns the requests of this look that no reconcile makes. Must never decide. Invariant: each request that fails
is a gap, and the look goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from navarch.api.admission import build_policies
from navarch.api.export import RESOURCES, build_crd
from navarch.api.meta import LEASE
from navarch.core.diagnosis.installations import (
    HELM_NAMESPACE,
    HELM_RELEASE,
    ISTIOD,
    Installation,
    Installer,
    find_deployments,
    find_resources,
    merge_installations,
)
from navarch.core.diagnosis.observed import Lease, Navarch, ObservedCluster, Tagged
from navarch.core.diagnosis.report import Subject
from navarch.core.diagnosis.sharing import Neighbour, find_members, find_reach, find_shared, read_members
from navarch.core.istio.crds import find_missing
from navarch.core.model.installation import BINDING, find_homes
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV
from navarch.core.model.parent import Parent, identify, parent_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.trees import read_tree
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import AskingPod, BarePod, read_asking_pod, read_bare_pod, read_pins
from navarch.gather.watches import OF_A_MESH, SMALL_PAGE, WEBHOOK_KINDS
from navarch.gather.world import World
from navarch.kube.client import Client
from navarch.kube.errors import KubeError, NotFound
from navarch.kube.resources import Resource, resource_of
from navarch.survey.snapshot import Gap, Snapshot, explain, is_no_kind, name_of

FOREIGN_CRDS = (
    "istiorevisions.sailoperator.io",
    "istios.sailoperator.io",
    "servicemeshcontrolplanes.maistra.io",
    "istiooperators.install.istio.io",
)
"""CRDs of other installers whose objects stand for control planes."""
NOT_INJECTED = "!service.istio.io/canonical-name,sidecar.istio.io/inject!=false"
"""Selects pods that no injector labelled and that do not refuse one."""
ASKING = (f"{NOT_INJECTED},sidecar.istio.io/inject=true", f"{NOT_INJECTED},istio.io/rev")
"""Of these, those that ask for one by a label of their own."""
OPERATOR = "app.kubernetes.io/name=navarch"
"""Selects Navarch's own Deployments."""
RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
MEMBER_ROLLS = "servicemeshmemberrolls.maistra.io"
CONFIGURATION = (
    *("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"),
    *("gateway.networking.k8s.io", "inference.networking.k8s.io"),
)
"""API groups of what istiod reads as configuration."""
OF_TAGS = ("gateways.gateway.networking.k8s.io", "gatewayclasses.gateway.networking.k8s.io")
"""Of these, kinds in which a tag is right, or nothing (pilot/pkg/config/kube/crdclient/client.go)."""
_CRDS = "apiextensions.k8s.io/v1"


@dataclass
class Surveyor:
    """Makes these requests; `gaps` grow while it does."""

    client: Client
    snapshot: Snapshot
    world: World
    gaps: list[Gap] = field(default_factory=list)

    async def observe(self, *, whole: bool, namespace: str = "", pods: bool = True) -> ObservedCluster:
        """The cluster as far as it can be seen. Without `whole`, Navarch's own installation, what lies in
        `namespace` where one is named, and with `pods` those without a proxy."""
        stores, snapshot, world = self.snapshot.stores, self.snapshot, self.world
        meshes = tuple(sorted(world.neighbours.summarise(stores["meshes"].list())))
        namespaces = {ns.name: ns for ns in world.cluster.namespaces()}
        observed = ObservedCluster(
            environment=world.environment,
            assets=world.assets,
            now=world.now(),
            navarch=await self._look_at_navarch(world.environment.operator_namespace),
            meshes=meshes if snapshot.has("meshes") else None,
            revisions={
                r["metadata"]["name"]: str((r.get("status") or {}).get("proxy", ""))
                for r in stores["revisions"].list()
            },
            namespaces=namespaces if snapshot.has("namespaces") else None,
            webhooks=tuple(world.cluster.webhooks()) if snapshot.has(*WEBHOOK_KINDS) else None,
            owned=_group(self._list_owned()),
            gateways=frozenset(identify(g).any_uid for g in stores["gateways"].list())
            if snapshot.has("gateways")
            else None,
            pins=read_pins(stores["gateways"].list()),
            proxies=tuple(world.cluster.proxies()) if snapshot.has("proxies") else None,
            left_out={
                name: tuple("/".join(filter(None, which)) for which in store.left_out)
                for name, store in stores.items()
            },
            leaving=_list_leaving(o for kind in ("meshes", "gateways", "rolls") for o in stores[kind].list()),
        )
        if whole or pods:
            bare, asking = await self.find_bare_pods(namespace), await self._find_asking_pods(namespace)
            observed = replace(observed, bare=bare, asking=asking)
        if whole or namespace:
            observed = replace(observed, tagged=await self._find_tagged(namespace))
        return replace(observed, installations=await self._find_others(meshes)) if whole else observed

    async def _find_tagged(self, namespace: str) -> tuple[Tagged, ...]:
        """Istio's configuration that says by a label whose it is, of all kinds that the cluster has."""
        names = sorted(crd["metadata"]["name"] for crd in self.snapshot.stores["crds"].list())
        kinds = [name for name in names if name.partition(".")[2] in CONFIGURATION and name not in OF_TAGS]
        found: list[Tagged] = []
        for crd in kinds:
            resource = await self._find_resource(crd)
            if resource is None:
                continue
            where = namespace if resource.namespaced else ""
            for manifest in await self._list(resource, where, labels=ISTIO_REV, metadata_only=True) or ():
                metadata = manifest["metadata"]
                if tag := metadata.get("labels", {}).get(ISTIO_REV):
                    subject = Subject(resource.kind, metadata.get("namespace", ""), metadata["name"])
                    found.append(Tagged(crd, subject, tag))
        return tuple(found)

    async def find_bare_pods(self, within: str) -> tuple[BarePod, ...] | None:
        """Pods without a proxy, in the namespaces whose labels ask for one, or in one of these; None where
        they may not be listed."""
        asking = [
            ns.name
            for ns in self.world.cluster.namespaces()
            if {ISTIO_REV, ISTIO_INJECTION} & {*ns.labels} and within in ("", ns.name)
        ]
        found: list[BarePod] = []
        for namespace in asking:
            pods = await self._list(resource_of("v1", "Pod"), namespace, labels=NOT_INJECTED, fields=RUNNING)
            if pods is None:
                return None
            found += [bare for pod in pods if (bare := read_bare_pod(pod)) is not None]
        return tuple(found)

    async def _find_asking_pods(self, within: str) -> tuple[AskingPod, ...] | None:
        """Pods without a proxy that ask for one by themselves; None where they may not be listed. Those that
        ask by an annotation alone can be selected by nothing: they are looked for in one namespace only."""
        found: dict[str, AskingPod] = {}
        for selector in (NOT_INJECTED,) if within else ASKING:
            pods = await self._list(resource_of("v1", "Pod"), within, labels=selector, fields=RUNNING)
            if pods is None:
                return None
            asking = ((pod["metadata"]["uid"], read_asking_pod(pod)) for pod in pods)
            found |= {uid: pod for uid, pod in asking if pod is not None}
        return tuple(found.values())

    # --- Navarch's own installation -------------------------------------------------------------------------

    async def _look_at_navarch(self, namespace: str) -> Navarch:
        binding = await self._get(Ref("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", BINDING))
        deployments = await self._list(resource_of("apps/v1", "Deployment"), labels=OPERATOR)
        return Navarch(
            await self._compare_crds(),
            await self._find_missing_policies(),
            await self._read_lease(namespace),
            find_homes(binding),
            frozenset(deployment["metadata"]["namespace"] for deployment in deployments or ()),
        )

    async def _compare_crds(self) -> dict[str, str] | None:
        crds: dict[str, str] = {}
        for resource in RESOURCES:
            wanted, gaps = build_crd(resource), len(self.gaps)
            name = wanted["metadata"]["name"]
            there = await self._get(Ref(_CRDS, "CustomResourceDefinition", "", name))
            if len(self.gaps) > gaps:
                return None
            if there is not None:
                crds[name] = find_missing(wanted, there)
        return crds

    async def _find_missing_policies(self) -> tuple[str, ...] | None:
        wanted = [ref_of(m) for m in build_policies(operator="", reserved=(), probe="")]
        there: set[Ref] = set()
        for api_version, kind in sorted({(ref.api_version, ref.kind) for ref in wanted}):
            found = await self._list(resource_of(api_version, kind))
            if found is None:
                return None
            there |= {ref_of(manifest) for manifest in found}
        return tuple(str(ref) for ref in wanted if ref not in there)

    async def _read_lease(self, namespace: str) -> Lease | bool | None:
        ref = Ref("coordination.k8s.io/v1", "Lease", namespace, LEASE)
        gaps = len(self.gaps)
        found = await self._get(ref)
        if found is None:
            return None if len(self.gaps) > gaps else False
        spec = found.get("spec") or {}
        seconds = int(spec.get("leaseDurationSeconds") or 0)
        return Lease(spec.get("holderIdentity") or "", spec.get("renewTime") or "", seconds)

    def _list_owned(self) -> Iterator[Manifest]:
        for watch in OF_A_MESH:
            yield from self.snapshot.stores[watch.name].list()

    # --- others' Istios -------------------------------------------------------------------------------------

    async def _find_others(self, meshes: Iterable[MeshSummary]) -> tuple[Installation, ...]:
        namespaces = {ns.name: ns for ns in self.world.cluster.namespaces()}
        probe = self.world.environment.probe_namespace
        neighbours = [Neighbour(m, find_members(m, namespaces, probe=probe)) for m in meshes]
        deployments = await self._list(resource_of("apps/v1", "Deployment"), labels=ISTIOD) or ()
        foreign = [d for d in deployments if parent_of(d) is None]
        resources = [o for crd in FOREIGN_CRDS for o in await self.list_custom(crd)]
        rolls = await self.list_custom(MEMBER_ROLLS)
        found = merge_installations(
            [*find_resources(resources), *find_deployments(foreign, await self._read_releases(foreign))]
        )
        reached = []
        for installation in found:
            if installation.installer is Installer.MAISTRA:
                reach: frozenset[str] | None = read_members(rolls, installation.namespace)
            else:
                config = await self._read_mesh_config(installation)
                reach = None if config is None else find_reach(config, installation.namespace, namespaces)
            reached.append(replace(installation, shares=tuple(find_shared(installation, reach, neighbours))))
        return tuple(reached)

    async def _read_releases(self, deployments: Iterable[Manifest]) -> dict[tuple[str, str], str]:
        """The status of each Helm release that a control plane names, from the labels of its newest record:
        the record itself, a Secret, is not read."""
        status: dict[tuple[str, str], str] = {}
        for deployment in deployments:
            annotations = deployment["metadata"].get("annotations") or {}
            release, namespace = annotations.get(HELM_RELEASE), annotations.get(HELM_NAMESPACE)
            if not release or not namespace:
                continue
            records = await self._list(
                resource_of("v1", "Secret"),
                namespace,
                labels=f"owner=helm,name={release}",
                metadata_only=True,
            )
            labels = [record["metadata"]["labels"] for record in records or ()]
            newest = max(labels, key=_read_number, default=None)
            if newest is not None:
                status[namespace, release] = str(newest.get("status", ""))
        return status

    async def _read_mesh_config(self, installation: Installation) -> Mapping[str, Any] | None:
        """The MeshConfig of a foreign istiod; None where it cannot be read."""
        suffix = f"-{installation.revision}" if installation.revision else ""
        found = await self._get(Ref("v1", "ConfigMap", installation.namespace, f"istio{suffix}"))
        config, _ = read_tree(((found or {}).get("data") or {}).get("mesh", ""), "mesh")
        return config if isinstance(config, Mapping) else None

    async def list_pods(self, labels: str) -> tuple[Manifest, ...] | None:
        """Pods of the cluster with these labels; None where they may not be listed."""
        return await self._list(resource_of("v1", "Pod"), labels=labels, metadata_only=True)

    async def list_custom(self, crd: str) -> tuple[Manifest, ...]:
        """All objects of a kind that the cluster may or may not serve, in the version in which it stores
        them."""
        resource = await self._find_resource(crd)
        return (await self._list(resource) or ()) if resource else ()

    async def read_crd(self, name: str) -> Manifest | None:
        """A CRD whole; None where there is none."""
        ref = Ref(_CRDS, "CustomResourceDefinition", "", name)
        return await self._get(ref) if self.snapshot.stores["crds"].get(ref) is not None else None

    async def list_each(
        self, resource: Resource, keep: Callable[[dict[str, Any]], None], *, fields: str = ""
    ) -> None:
        """Hand over all objects of a kind, one by one."""
        await self._list(resource, fields=fields, keep=keep)

    async def _find_resource(self, crd: str) -> Resource | None:
        """What a CRD defines, in the version in which it is stored; None where that cannot be asked for."""
        found = await self.read_crd(crd)
        if found is None:
            return None
        spec = found["spec"]
        version = next((v["name"] for v in spec["versions"] if v.get("storage") and v.get("served")), None)
        if version is None:
            return None
        names = spec["names"]
        namespaced = spec["scope"] == "Namespaced"
        return Resource(f"{spec['group']}/{version}", names["kind"], names["plural"], namespaced)

    # --- requests that may fail -----------------------------------------------------------------------------

    async def _get(self, ref: Ref) -> Manifest | None:
        try:
            return await self.client.get(ref)
        except NotFound:
            return None
        except KubeError as error:
            self.gaps.append(Gap("get", str(ref), explain(error)))
            return None

    async def _list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        keep: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda whole: whole,
    ) -> tuple[Manifest, ...] | None:
        try:
            listing = await self.client.list(
                resource,
                namespace=namespace,
                label_selector=labels,
                field_selector=fields,
                metadata_only=metadata_only,
                limit=SMALL_PAGE,
                keep=keep,
            )
        except KubeError as error:
            if is_no_kind(error, resource):
                return ()
            self.gaps.append(Gap("list", name_of(resource), explain(error)))
            return None
        return listing.items


def _read_number(labels: Mapping[str, str]) -> int:
    """The number of a Helm release's record; anybody may write its labels."""
    version = labels.get("version", "")
    return int(version) if version.isdecimal() else 0


def _list_leaving(objects: Iterable[Manifest]) -> tuple[str, ...]:
    """Namespace and name of those that were deleted and are still there."""
    going = (each["metadata"] for each in objects if each["metadata"].get("deletionTimestamp"))
    return tuple(sorted(f"{metadata['namespace']}/{metadata['name']}" for metadata in going))


def _group(objects: Iterable[Manifest]) -> dict[Parent, tuple[Ref, ...]]:
    """References by the parent whose labels the objects carry, whichever uid it has."""
    grouped: defaultdict[Parent, list[Ref]] = defaultdict(list)
    for manifest in objects:
        parent = parent_of(manifest)
        if parent is not None:
            grouped[parent.any_uid].append(ref_of(manifest))
    return {parent: tuple(refs) for parent, refs in grouped.items()}
