"""Whether a change of a mesh waits for an approval.

Owns what needs one, by `spec.upgrade.approval`, and the hash by which one is given. Pure. Must never hold
back what keeps meshes apart: which namespaces belong to a mesh, and its MeshGateways, follow the spec at
once. Invariants: an approval is for one change only, from what runs to what the spec resolves to now; a first
installation waits for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.istio.catalog import ordinal_of
from navarch.core.mesh.checks.version import running_version
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.rollback import read_return
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPROVED
from navarch.core.model.refs import Manifest

_HELD = ("version", "config")
"""Of a MeshRevision's spec, what a change of waits."""
_OF_ITS_NAME = ("strategy", "beside")
"""Of a MeshRevision's spec, what belongs to this very one."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A change that waits. `change` is minor, patch or config, as `spec.upgrade.approval` names it; `running`
    and `wanted` are versions of Istio, and `hash` is what has to be approved."""

    change: str
    running: str
    wanted: str
    hash: str

    def __str__(self) -> str:
        if self.change == "config":
            return f"another configuration of Istio {self.running}"
        return f"Istio {self.running} to {self.wanted}"

    def to_json(self) -> dict[str, str]:
        """status.plan."""
        return {"hash": self.hash, "change": self.change, "from": self.running, "to": self.wanted}


def find_hold(observed: ObservedMesh, wanted: Manifest) -> Hold | None:
    """Why `wanted`, the MeshRevision that the spec resolves to, is not applied yet; None where it may be."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    there = observed.revision
    if upgrade is None or upgrade.approval is None or there is None or running_version(observed) is None:
        return None
    if read_return(wanted) is not None:
        return None  # spec.upgrade.rollback is an approval of its own
    change = _classify(there["spec"], wanted["spec"])
    if change is None or getattr(upgrade.approval, change) != "Manual":
        return None
    states = [[spec.get(key) for key in _HELD] for spec in (there["spec"], wanted["spec"])]
    hash_ = stable_hash(states, length=12)
    if (observed.body["metadata"].get("annotations") or {}).get(APPROVED) == hash_:
        return None
    return Hold(change, there["spec"]["version"], wanted["spec"]["version"], hash_)


def hold_back(observed: ObservedMesh, wanted: Manifest) -> Manifest:
    """`wanted` as far as it may be applied before the approval."""
    there = observed.revision
    assert there is not None
    kept = {key: there["spec"][key] for key in (*_HELD, *_OF_ITS_NAME) if key in there["spec"]}
    metadata = {**wanted["metadata"], "name": there["metadata"]["name"]}
    spec = {key: value for key, value in wanted["spec"].items() if key not in _OF_ITS_NAME}
    return {**wanted, "metadata": metadata, "spec": {**spec, **kept}}


def tell_hold(observed: ObservedMesh, hold: Hold) -> str:
    """What waits, and how it is looked at and approved."""
    name, place = observed.parent.name, f"-n {observed.parent.namespace}"
    return (
        f"{hold} waits for approval; look at it with `navarch plan {name} {place}`, and approve it with "
        f"`navarch approve {name} {hold.hash} {place}`, or by the annotation {APPROVED}={hold.hash}"
    )


def _classify(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """What changes between two specs of a MeshRevision, by its greatest part."""
    old, new = ordinal_of(there["version"]), ordinal_of(wanted["version"])
    if old[:2] != new[:2]:
        return "minor"
    if old != new:
        return "patch"
    return "config" if there.get("config") != wanted.get("config") else None
