"""Whether the specification can be read at all.

Owns the rules that all others of this package stand on. Must never repeat a rule of the schema in words.
Invariant: what passes can be walked, merged and written as JSON without fear.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.problems import build_path, list_problems
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason
from navarch.core.model.size import LIMIT, describe_size, measure

DEPTH = 64
"""Levels of nesting at the most; pydantic gives up at 255, and nothing of Istio's comes near."""


def check_spec_parses(observed: ObservedMesh) -> Iterator[Finding]:
    """Every field has the form the schema asks for."""
    if observed.spec is not None:
        return
    remedy = "correct it; `kubectl explain meshcp.spec` describes every field"
    try:
        MeshControlPlaneSpec.model_validate(observed.body.get("spec") or {})
    except ValidationError as invalid:
        for problem in list_problems(MeshControlPlaneSpec, invalid):
            field = build_path(*problem.path)
            yield Finding(Reason.INVALID_SPEC, field, problem.value, problem.message, remedy)
    else:
        yield Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, remedy)


def check_nesting(observed: ObservedMesh) -> Iterator[Finding]:
    """No field is nested so deep that reading it could fail."""
    for name, content in (observed.body.get("spec") or {}).items():
        level = [content]
        for _ in range(DEPTH):
            level = [item for node in level for item in _contents(node)]
        if level:
            message = f"is nested more than {DEPTH} levels deep"
            yield Finding(Reason.INVALID_SPEC, build_path(name), "…", message, "leave the nesting out")


def check_size(observed: ObservedMesh) -> Iterator[Finding]:
    """The specification is not larger than what can be looked at without making other meshes wait, and
    rendered into objects that the API server takes. All of it counts: affinity, tolerations and lifecycle
    hooks hold anything that a user writes, as meshConfig and values do."""
    spec = observed.body.get("spec") or {}
    if not measure(spec.values(), enough=LIMIT).exceeds(LIMIT):
        return
    largest = max(spec, key=lambda name: len(json.dumps(spec[name])))
    yield Finding(
        Reason.TOO_LARGE,
        build_path(largest),
        describe_size(spec[largest]),
        f"the specification of a mesh may have {LIMIT} in all, and this is its largest part",
        f"take out of {build_path(largest)} what the mesh can do without; lists of hosts, networks and "
        "policies belong into Istio's own resources",
    )


def _contents(node: Any) -> Iterable[Any]:
    if isinstance(node, Mapping):
        return node.values()
    return node if isinstance(node, list) else ()
