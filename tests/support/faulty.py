"""The operator with a bug of its own choosing: `python tests/support/faulty.py run`.

Planning raises for a mesh, or its revision, when the mesh has the annotation `test/bug`. It stands for the
bug that nobody knows of yet; everything else is the operator as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.__main__ import main
from navarch.controllers import controlplane, revision

ANNOTATION = "test/bug"


class UnknownBug(Exception):
    """What no code of the operator knows."""


def _with_a_bug(plan: Callable[..., Any], kind: str) -> Callable[..., Any]:
    def planning(observed: Any, *rest: Any) -> Any:
        about = observed.body if kind == "mesh" else observed.mesh
        if about is not None and (about["metadata"].get("annotations") or {}).get(ANNOTATION) == kind:
            raise UnknownBug(f"planning of {kind} {observed.body['metadata']['name']}")
        return plan(observed, *rest)

    return planning


if __name__ == "__main__":
    vars(controlplane)["plan_mesh"] = _with_a_bug(controlplane.plan_mesh, "mesh")
    vars(revision)["plan_revision"] = _with_a_bug(revision.plan_revision, "revision")
    main()
