"""A cluster as the rules of diagnosis see it, and the form of what they say.

Owns ObservedCluster. Must never decide. Invariant: what could not be looked at is None, never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from navarch.core.diagnosis.advice import OF_REASONS
from navarch.core.diagnosis.installations import Installation
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import OF_SIGNS, Sign
from navarch.core.istio.assets import Assets
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref
from navarch.core.world.cluster import Environment, Namespace, Webhook
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import AskingPod, BarePod, Pins, ProxyPod

LISTED = 5


@dataclass(frozen=True, slots=True)
class Lease:
    """The leader's Lease. `holder` is empty while no replica leads; `renewed` is RFC 3339, `seconds` its
    validity."""

    holder: str
    renewed: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Navarch:
    """Navarch's own installation. `crds` says of each CRD of ours that exists what it lacks (empty: nothing);
    each is None where it could not be looked at; `lease` is False where there is none. `homes` are the
    namespaces that its ClusterRoleBinding names, `deployed` those with a Deployment of an operator."""

    crds: Mapping[str, str] | None
    missing_policies: tuple[str, ...] | None = None
    lease: Lease | bool | None = None
    homes: frozenset[str] = frozenset()
    deployed: frozenset[str] = frozenset()

    @property
    def installed(self) -> bool:
        """Whether the cluster knows of Navarch, as far as can be seen."""
        return self.crds is None or bool(self.crds)


@dataclass(frozen=True, slots=True)
class Tagged:
    """An object of Istio's configuration that says by its label `revision` whose it is."""

    resource: str
    subject: Subject
    revision: str


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """Everything that the rules of cluster.py and labels.py depend on. `owned` names, for each parent by
    whose labels objects were found, those objects; `gateways` are those that there are; `revisions` are
    MeshRevisions with the stamp of what they inject, `pins` those of gateways with a version of their own;
    what is None could not be looked at."""

    environment: Environment
    assets: Assets
    now: str
    navarch: Navarch
    meshes: tuple[MeshSummary, ...] | None
    revisions: Mapping[str, str]
    namespaces: Mapping[str, Namespace] | None
    webhooks: tuple[Webhook, ...] | None
    owned: Mapping[Parent, tuple[Ref, ...]]
    proxies: tuple[ProxyPod, ...] | None
    bare: tuple[BarePod, ...] | None = None
    gateways: frozenset[Parent] | None = frozenset()
    pins: Pins = field(default_factory=dict)
    asking: tuple[AskingPod, ...] | None = None
    installations: tuple[Installation, ...] = ()
    tagged: tuple[Tagged, ...] = ()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of objects that were too large to be kept whole, by watch."""
    leaving: tuple[str, ...] = ()
    """Meshes, gateways and rolls (namespace/name) that were deleted and are still there, for an operator to
    end."""


Rule: TypeAlias = Callable[[ObservedCluster], Iterator[Diagnosis]]


def diagnose(sign: Sign, subject: Subject, message: str) -> Diagnosis:
    """A diagnosis with the advice that belongs to its id."""
    advice = OF_SIGNS[sign]
    return Diagnosis(sign.value, advice.severity, subject, message, advice.remedy)


def quote(reason: Reason, subject: Subject, message: str) -> Diagnosis:
    """A diagnosis that a condition or an Event tells as well."""
    advice = OF_REASONS[reason]
    return Diagnosis(reason.value, advice.severity, subject, message, advice.remedy)


def list_names(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
