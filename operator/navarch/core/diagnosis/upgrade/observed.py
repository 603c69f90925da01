"""An upgrade of a mesh as the rules about it see it: from what, to what, and what lies around.

Owns these records and the reading of objects of others into them. Must never decide. Invariant: what could
not be looked at is None, never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from navarch.core.diagnosis.report import Diagnosis, Subject, subject_of
from navarch.core.istio.catalog import Release
from navarch.core.mesh.checks.version import find_release, running_version
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.parent import Parent, identify, parent_of
from navarch.core.model.quantities import parse_quantity
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.world.proxies import ProxyPod, read_proxy_pod

Amounts: TypeAlias = Mapping[str, Decimal]
"""Amounts of resources by name."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """An object of Istio's configuration, in the version `version` of its kind."""

    crd: str
    version: str
    subject: Subject
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredCRD:
    """A CRD of Istio's, or of Gateway API's, that the cluster has. `stored` are the versions in which objects
    of it may be stored, `bundle` is the version of Gateway API that it says it is of."""

    name: str
    stored: tuple[str, ...]
    bundle: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget. `keeps` says that it lets none of its pods go, as long as all are well."""

    subject: Subject
    selector: Mapping[str, Any] | None
    keeps: bool


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler of the Deployment `target` in its namespace. `wanted` is the number of pods
    that it has or asks for."""

    subject: Subject
    target: str
    wanted: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class PlacedPod:
    """A pod that has not ended. `node` is empty while it has none; labels are kept of pods that have a proxy
    or a parent among ours. `deployment` is the Deployment that made it, empty for none."""

    namespace: str
    name: str
    node: str
    requests: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    parent: Parent | None = None
    proxy: ProxyPod | None = None
    deployment: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node: what it has for pods, and what keeps them off it."""

    name: str
    labels: Mapping[str, str]
    allocatable: Amounts
    taints: tuple[Mapping[str, Any], ...] = ()
    unschedulable: bool = False


@dataclass(frozen=True, slots=True)
class Around:
    """What lies around all meshes. `bundles` are, by CRD, the versions that the newest Gateway API known here
    has, `bundle` is that version."""

    configuration: tuple[Configuration, ...] = ()
    crds: tuple[StoredCRD, ...] = ()
    budgets: tuple[Budget, ...] | None = None
    autoscalers: tuple[Autoscaler, ...] | None = None
    pods: tuple[PlacedPod, ...] | None = None
    nodes: tuple[Node, ...] | None = None
    bundle: str = ""
    bundles: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedUpgrade:
    """A mesh that runs `running` and is to run `release`; `inside` are the namespaces that its istiod goes
    by, its own among them."""

    mesh: ObservedMesh
    running: str
    release: Release
    inside: frozenset[str]
    around: Around

    @property
    def subject(self) -> Subject:
        """The mesh, as the subject of a diagnosis."""
        return subject_of(self.mesh.body)

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name of the mesh."""
        return self.mesh.parent.namespace, self.mesh.parent.name

    @property
    def name(self) -> str:
        """The mesh in a message."""
        return f"mesh {self.mesh.parent.namespace}/{self.mesh.parent.name}"

    def has(self, parent: Parent | None) -> bool:
        """Whether objects of this parent are the mesh's, or those of a gateway of it."""
        if parent is None:
            return False
        own = {self.mesh.parent.any_uid, *(identify(g).any_uid for g in self.mesh.gateways)}
        return parent.any_uid in own


Rule: TypeAlias = Callable[[ObservedUpgrade], Iterator[Diagnosis]]


def find_upgrade(mesh: ObservedMesh, inside: frozenset[str], around: Around) -> ObservedUpgrade | None:
    """The upgrade that a mesh asks for; None where it runs nothing yet, what it asks for, or asks for what is
    no version."""
    running, release = running_version(mesh), find_release(mesh)
    if running is None or release is None or release.version == running:
        return None
    return ObservedUpgrade(mesh, running, release, inside, around)


# --- objects of others -------------------------------------------------------------------------------------


def read_budget(manifest: Manifest) -> Budget:
    """A PodDisruptionBudget. What its controller counted says whether it keeps all; before that, its spec."""
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    expected = int(status.get("expectedPods") or 0)
    keeps = int(status.get("desiredHealthy") or 0) >= expected if expected else _keeps_all(spec)
    return Budget(subject_of(manifest), spec.get("selector"), keeps)


def _keeps_all(spec: Mapping[str, Any]) -> bool:
    return spec.get("maxUnavailable") in (0, "0%") or spec.get("minAvailable") == "100%"


def read_autoscaler(manifest: Manifest) -> Autoscaler | None:
    """A HorizontalPodAutoscaler of a Deployment; None for others."""
    spec, status = manifest["spec"], manifest.get("status") or {}
    target = spec["scaleTargetRef"]
    if target.get("kind") != "Deployment":
        return None
    wanted = max(int(status.get(key) or 0) for key in ("currentReplicas", "desiredReplicas"))
    least = int(spec.get("minReplicas") or 1)
    return Autoscaler(subject_of(manifest), str(target["name"]), wanted, least, int(spec["maxReplicas"]))


def read_pod(manifest: Manifest) -> PlacedPod:
    """A pod as far as it takes room, or is of a mesh."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    parent, proxy = parent_of(manifest), read_proxy_pod(manifest)
    known = parent is not None or proxy is not None
    return PlacedPod(
        metadata["namespace"],
        metadata["name"],
        str(spec.get("nodeName") or ""),
        sum_requests(spec),
        labels=(metadata.get("labels") or {}) if known else {},
        parent=parent,
        proxy=proxy,
        deployment=_read_deployment(metadata) if known else "",
        node_selector=spec.get("nodeSelector") or {} if known else {},
        tolerations=tuple(spec.get("tolerations") or ()) if known else (),
    )


def _read_deployment(metadata: Mapping[str, Any]) -> str:
    """A Deployment's name is its ReplicaSet's without the hash of the template."""
    template = f"-{(metadata.get('labels') or {}).get('pod-template-hash', '')}"
    owners = metadata.get("ownerReferences") or ()
    name = next((str(o["name"]) for o in owners if o.get("controller") and o["kind"] == "ReplicaSet"), "")
    return name.removesuffix(template) if len(template) > 1 and name.endswith(template) else ""


def sum_requests(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What the scheduler counts of a pod: its containers with the sidecars among its init containers, or the
    largest other init container with the sidecars before it, and what running it takes besides."""
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        _add(total, _read_requests(container))
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        own = _read_requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
        else:
            _add(own, sidecars)
            peak = {key: max(peak.get(key, Decimal(0)), own.get(key, Decimal(0))) for key in {*peak, *own}}
    _add(total, sidecars)
    total = {key: max(total.get(key, Decimal(0)), peak.get(key, Decimal(0))) for key in {*total, *peak}}
    _add(total, read_amounts(spec.get("overhead") or {}))
    return {**total, "pods": Decimal(1)}


def _read_requests(container: Mapping[str, Any]) -> dict[str, Decimal]:
    return read_amounts((container.get("resources") or {}).get("requests") or {})


def read_amounts(quantities: Mapping[str, Any]) -> dict[str, Decimal]:
    """Quantities as numbers; what is none is left out."""
    found: dict[str, Decimal] = {}
    for name, text in quantities.items():
        try:
            found[name] = parse_quantity(str(text))
        except (InvalidOperation, KeyError):
            continue
    return found


def _add(total: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def read_node(manifest: Manifest) -> Node:
    """A node."""
    spec, metadata = manifest.get("spec") or {}, manifest["metadata"]
    return Node(
        metadata["name"],
        metadata.get("labels") or {},
        read_amounts((manifest.get("status") or {}).get("allocatable") or {}),
        tuple(spec.get("taints") or ()),
        bool(spec.get("unschedulable")),
    )


def read_configuration(crd: str, manifest: Manifest) -> Configuration:
    """An object of Istio's configuration."""
    spec = manifest.get("spec")
    version = ref_of(manifest).api_version.rpartition("/")[2]
    return Configuration(crd, version, subject_of(manifest), spec if isinstance(spec, Mapping) else {})
