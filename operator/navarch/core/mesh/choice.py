"""Which revision is to be what the spec asks for: one that is so already, or one that is to be made.

Owns the names of a mesh's revisions. Must never decide which one serves: succession.py does. Invariants
(tests/unit): a change of the strategy alone asks for nothing new; what was made for a spec is what that spec
asks for at the next look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.revision import KIND
from navarch.api.upgrade import REVISION_BASED
from navarch.core.istio.assets import BASE_PROFILE, MAY_BE_EMPTY
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.model.hashing import stable_hash
from navarch.core.model.merging import fill
from navarch.core.model.naming import revision_name


def choose_name(observed: ObservedMesh, version: str) -> str:
    """The revision that is to be of this version, and of the spec's configuration where a change of that is a
    canary. One that is so already is taken as it is, whichever strategy made it, and the one that serves
    before others. What is to be made has the name that the strategy gives."""
    tag = observed.tag
    made = revision_name(tag, version if observed.strategy == REVISION_BASED else "")
    if observed.in_place:
        return made
    of_version = {
        str(r["metadata"]["name"]): r
        for r in observed.revisions
        if (r["spec"]["version"], r["spec"]["tag"]) == (version, tag)
    }
    config = _find_config(observed) if is_canaried(observed) else None
    if config is None:
        return next(
            (name for name in (observed.active, made, *sorted(of_version)) if name in of_version), made
        )
    alike = sorted(name for name, r in of_version.items() if _fill(observed, r["spec"]["config"]) == config)
    names = (revision_name(tag, version, digits) for digits in _list_digits(config))
    free = next(name for name in names if observed.find_revision(name) is None)
    found = next((name for name in (observed.active, *alike) if name in alike), free if of_version else made)
    return found


def is_canaried(observed: ObservedMesh) -> bool:
    """Whether another configuration of the same version comes up beside the one that serves."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    return upgrade is not None and bool(upgrade.canary_config) and observed.strategy == REVISION_BASED


def _find_config(observed: ObservedMesh) -> Mapping[str, Any] | None:
    """The configuration that the spec asks for, as a MeshRevision holds it; None where it cannot be
    resolved."""
    assert observed.spec is not None
    config = resolve_mesh(observed.parent, observed.spec, observed.assets, profiles=observed.profiles)
    if config is None:
        return None
    fitted: Mapping[str, Any] = observed.kinds.fit(KIND, "spec", {"config": config.to_json()})["config"]
    return _fill(observed, fitted)


def _fill(observed: ObservedMesh, config: Any) -> Mapping[str, Any]:
    """A configuration with the defaults that a release which wrote it did not know: those are no change."""
    filled: Mapping[str, Any] = fill(config, observed.assets.profiles[BASE_PROFILE], whole=MAY_BE_EMPTY)
    return filled


def _list_digits(config: Mapping[str, Any]) -> Iterator[str]:
    """What tells a configuration from others of a mesh in a name. Six digits are few, and whoever may write
    the configuration may look for two that have the same; so there are more of them for each."""
    for attempt in range(1000):
        yield f"{int(stable_hash([config, attempt], length=16), 16) % 10**6:06}"
