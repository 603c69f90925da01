"""Whether the specification can be read at all.

Owns the rule that every other one of this package stands on. Must never repeat a rule of the schema in words.
Invariant: yields something exactly when there is no parsed specification.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.findings import Finding
from navarch.core.observed import ObservedMesh
from navarch.core.reasons import Reason


def build_path(*steps: str | int, root: str = "spec") -> str:
    """A path as users write it: `spec.controlPlane.environment[0].name`."""
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def check_spec_parses(observed: ObservedMesh) -> Iterator[Finding]:
    """Every field has the form the schema asks for."""
    if observed.spec is not None:
        return
    remedy = "correct it; `kubectl explain meshcp.spec` describes every field"
    try:
        MeshControlPlaneSpec.model_validate(observed.body.get("spec") or {})
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            value = "" if error["type"] == "missing" else str(error["input"])
            yield Finding(Reason.INVALID_SPEC, build_path(*error["loc"]), value, error["msg"], remedy)
    else:
        yield Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, remedy)
