"""The cluster around a mesh: settings, namespaces, webhook configurations and Istio's CRDs.

Owns frozen records only. Must never hold a live object, a timestamp that moves by itself, or a decision.
Invariant: the records of the same cluster state are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from navarch.core.model.parent import Parent
from navarch.core.model.refs import Ref


@dataclass(frozen=True, slots=True)
class Environment:
    """What is the same for every mesh: the cluster and the operator's own settings. `kubernetes` is (major,
    minor) of the API server, `volume_seconds` how long pods may have an older text of a ConfigMap."""

    kubernetes: tuple[int, int]
    operator_namespace: str
    probe_namespace: str
    volume_seconds: float = 180


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace's name, labels and whether it is being deleted. `claimed` are the keys of the labels that
    are there for its MeshMember's sake, `order` is its annotation ROLLOUT, `windows` that of WINDOWS."""

    name: str
    labels: Mapping[str, str]
    terminating: bool = False
    claimed: tuple[str, ...] = ()
    uid: str = ""
    order: str = ""
    windows: str = ""


@dataclass(frozen=True, slots=True)
class WebhookEntry:
    """One entry of a webhook configuration. `ca_bundle` is a fingerprint of its certificates, empty when
    unset; `conditions` are the expressions of its matchConditions, `service` is the namespace of the Service
    that it calls, empty where it calls an address."""

    name: str
    ca_bundle: str
    failure_policy: str
    namespace_selector: Mapping[str, object]
    object_selector: Mapping[str, object]
    conditions: tuple[str, ...] = ()
    service: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A mutating or validating webhook configuration, anybody's. `revision` and `tag` are Istio's labels on
    it; `generation` grows with each change of its entries, also with one that was taken back."""

    ref: Ref
    parent: Parent | None
    revision: str
    tag: str
    entries: tuple[WebhookEntry, ...]
    generation: int = 0


@dataclass(frozen=True, slots=True)
class ForeignConfig:
    """The MeshConfig of an istiod that is not Navarch's, in a ConfigMap. `discovery` are its
    discoverySelectors, empty where it has none and looks at everything, None where that could not be read."""

    namespace: str
    name: str
    revision: str
    discovery: tuple[Mapping[str, object], ...] | None


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """A PeerAuthentication without a selector. `mode` is empty where it sets none, `revision` is its label
    istio.io/rev, None where it has none."""

    name: str
    created: str
    mode: str
    revision: str | None


class CRDOwner(StrEnum):
    """Whose a CRD is."""

    NAVARCH = "navarch"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class CRD:
    """An Istio CRD in the cluster. `minor` is the Istio minor it was applied for, empty where it is foreign.
    `lacks` names, for a foreign one, the first thing that the wanted minor needs and it has not (else
    empty). `beyond` names, for one that was labelled as ours by others, the first thing that it has and the
    wanted minor has not: it stays foreign, since to write it would take that away."""

    name: str
    owner: CRDOwner
    established: bool
    minor: str = ""
    lacks: str = ""
    beyond: str = ""
