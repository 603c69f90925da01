"""A mesh's plan as people and pipelines read it.

Owns its schema, its hash, and the order of steps. Pure. Must never hold what differs between two looks at an
unchanged cluster: equal clusters give plans that are equal to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.istio.catalog import Catalog, ordinal_of
from navarch.core.mesh.approval import Hold
from navarch.core.model.hashing import stable_hash
from navarch.core.model.messages import count
from navarch.core.model.refs import Ref
from navarch.core.preview.fields import FieldChange
from navarch.core.preview.restarts import BY_HAND, BY_ISTIOD, BY_NAVARCH, BY_ROLLOUT, BY_WAVES, Restart

PLAN_VERSION = 1
"""Version of the JSON schema: fields may be added to it; one that changes its meaning makes a new version."""


class Change(StrEnum):
    """What becomes of an object."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    FOREIGN = "foreign"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """An object that is to change. `message` says why it cannot, of one that is another's (foreign) or that
    the API server refuses. `exact` says that this is what comes of it: by a
    dry run, or of a MeshRevision, of which the API server fills in nothing, by itself; else what Navarch
    would send stands against what is there."""

    change: Change
    ref: Ref
    component: str
    fields: tuple[FieldChange, ...] = ()
    message: str = ""
    exact: bool = True

    def to_json(self) -> dict[str, Any]:
        """As a part of the plan."""
        ref = {"apiVersion": self.ref.api_version, "kind": self.ref.kind}
        place = {"namespace": self.ref.namespace, "name": self.ref.name}
        told = {"message": self.message} if self.message else {}
        fields = [field.to_json() for field in self.fields]
        return {
            "change": self.change.value,
            **ref,
            **place,
            "component": self.component,
            "exact": self.exact,
            **told,
            "fields": fields,
        }


@dataclass(frozen=True, slots=True)
class Preview:
    """What a mesh is about to become. `running` and `wanted` are versions of Istio, empty where there is
    none; `path` are the versions from the one to the other that have to be taken one after the other.
    `refused` says that the spec is not accepted, so that nothing would change; `paused` that nothing does
    before spec.paused is removed; `hold` that it waits for an approval, and of which hash. `unread` names
    what could not be looked at, `expected` tells about how long restarts by Navarch take."""

    mesh: Subject
    running: str = ""
    wanted: str = ""
    path: tuple[str, ...] = ()
    refused: bool = False
    paused: bool = False
    objects: tuple[ObjectChange, ...] = ()
    restarts: tuple[Restart, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    unread: tuple[str, ...] = ()
    hold: Hold | None = None
    expected: str = ""

    @property
    def blocked(self) -> bool:
        """Whether the plan cannot be carried out as it is."""
        return self.refused or any(o.change in (Change.FOREIGN, Change.REFUSED) for o in self.objects)

    @property
    def empty(self) -> bool:
        """Whether nothing changes, and nothing has to be restarted."""
        return not self.objects and not self.restarts

    @property
    def steps(self) -> tuple[str, ...]:
        """In which order it comes, as far as there is something to do."""
        return tuple(_list_steps(self))

    @property
    def hash(self) -> str:
        """A fingerprint of everything in the plan."""
        return stable_hash(self._to_json(), length=16)

    def _to_json(self) -> dict[str, Any]:
        return {
            "mesh": self.mesh.to_json(),
            "version": {"running": self.running, "wanted": self.wanted, "path": list(self.path)},
            "refused": self.refused,
            "paused": self.paused,
            "approval": self.hold.to_json() if self.hold else None,
            "steps": list(self.steps),
            "objects": [change.to_json() for change in self.objects],
            "restarts": [restart.to_json() for restart in self.restarts],
            "findings": [diagnosis.to_json() for diagnosis in self.diagnoses],
            "unread": list(self.unread),
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data; its schema is described in docs/how-to/plan-a-change.md."""
        return {"schema": PLAN_VERSION, "hash": self.hash, **self._to_json()}


def find_path(catalog: Catalog, running: str, wanted: str, *, stride: int = 1) -> tuple[str, ...]:
    """The versions from the running one to the wanted one, each at most `stride` minors above the one before
    and the newest patch of its minor. Minors that the catalog does not know are left out."""
    if not running or ordinal_of(running)[:2] >= ordinal_of(wanted)[:2]:
        return (wanted,)
    first, last = ordinal_of(running)[:2], ordinal_of(wanted)[:2]
    between = [minor for minor in catalog.minors if first < ordinal_of(minor.name)[:2] < last]
    return (*(minor.patches[-1] for minor in between[stride - 1 :: stride]), wanted)


_STEPS: Mapping[str, str] = {
    "crds": "Istio's CustomResourceDefinitions",
    "hosting": "the namespace of the control plane",
    "revision": "the MeshRevision",
    "istiod": "istiod's account, bindings, configuration and Deployment; where its pods change, a new one is "
    "ready before an old one ends",
    "injection": "the injector; its configuration changes when no pod of an older istiod is left, and from "
    "then on new pods get the new proxy",
    "validation": "validators, when an istiod is available",
    "tags": "tags, when the revision serves the wanted version",
    "policies": "policies of the whole mesh",
    "gateways": "MeshGateways of the mesh's own spec",
}
"""What is done with the objects of a component, in the order in which it is done."""


def _list_steps(preview: Preview) -> Iterator[str]:
    todo = [o for o in preview.objects if o.change in (Change.CREATE, Change.CHANGE)]
    known = [*_STEPS, *sorted({o.component for o in todo} - _STEPS.keys())]
    for component in known:
        objects = [o for o in todo if o.component == component]
        if objects:
            yield f"{_STEPS.get(component, component)} ({count(len(objects), 'object', 'objects')})"
    removed = [o for o in preview.objects if o.change is Change.REMOVE]
    retires = any(o.component == "revision" for o in removed)
    if removed and not retires:
        yield f"removal of what is not wanted any more ({count(len(removed), 'object', 'objects')})"
    for by, told in (
        (BY_NAVARCH, "gateways are rolled by Navarch"),
        (BY_ISTIOD, "Gateways of Gateway API are rolled by istiod, all at the same time"),
        (BY_WAVES, "workloads are restarted by Navarch, wave by wave"),
        (BY_ROLLOUT, "workloads are to be restarted by you"),
        (BY_HAND, "pods and Jobs are to be made anew by what made them, since no rollout replaces them"),
    ):
        pods = sum(restart.pods for restart in preview.restarts if restart.by == by)
        if pods:
            expected = f": {preview.expected}" if by == BY_WAVES and preview.expected else ""
            yield f"{told} ({count(pods, 'pod', 'pods')}{expected})"
    if retires:
        told = count(len(removed), "object", "objects")
        yield f"removal of the older revision, when no pod uses it and its grace period is over ({told})"


def order_changes(changes: Iterable[ObjectChange]) -> tuple[ObjectChange, ...]:
    """Changes in the order of the steps, removals last."""
    ranks = {component: rank for rank, component in enumerate(_STEPS)}

    def rank(each: ObjectChange) -> tuple[bool, int, str, Ref]:
        return each.change is Change.REMOVE, ranks.get(each.component, len(ranks)), each.component, each.ref

    return tuple(sorted(changes, key=rank))
