"""meshConfig against Istio's own definition of it: istiod itself would tell of no mistake in it.

Owns the rules about types and unknown names; refused keys are power.py's. Must never refuse a name merely
because it is unknown: a newer Istio may know it. Invariant: a meshConfig that yields nothing is read by
istiod whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.istio.definitions import Kind, Problem, find_problems
from navarch.core.mesh.checks.layers import resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason


def _find(content: MeshContent, kind: Kind) -> Iterator[tuple[str, str, Problem]]:
    """Problems of one kind in the sum of profiles and spec: (field, subject of the sentence, problem)."""
    config, release = resolved_config(content), content.release
    if config is None or release is None:
        return
    descriptors = content.assets.mesh_descriptors[release.minor.name]
    own = set(find_problems(content.spec.mesh_config or {}, descriptors))
    for problem in find_problems(config.mesh_config or {}, descriptors):
        if problem.kind is kind and problem in own:
            yield f"spec.meshConfig.{problem.path}", "", problem
        elif problem.kind is kind:
            yield "spec.profiles", f"meshConfig.{problem.path} of a profile: ", problem


def check_mesh_config_types(content: MeshContent) -> Iterator[Finding]:
    """Every field has the type that MeshConfig gives it: of one that has not, istiod would keep the last good
    state."""
    for field, subject, problem in _find(content, Kind.WRONG_TYPE):
        remedy = "correct it by Istio's reference of MeshConfig"
        yield Finding(Reason.MESH_CONFIG_INVALID, field, problem.value, subject + problem.message, remedy)


def check_mesh_config_is_known(content: MeshContent) -> Iterator[Finding]:
    """MeshConfig has every field; istiod would ignore one that it has not, so it is a warning."""
    for field, subject, problem in _find(content, Kind.UNKNOWN):
        remedy = f"did you mean {problem.nearest}?" if problem.nearest else "remove it"
        message = f"{subject}{problem.message}, and istiod ignores it"
        yield Finding(Reason.UNKNOWN_FIELD, field, problem.value, message, remedy, Severity.WARNING)
