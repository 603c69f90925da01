"""The operator with a bug of its own choosing: `python tests/support/faulty.py run`.

Planning raises for a mesh, or its revision, when the mesh has the annotation `test/bug`: `mesh` or `revision`
raises the same each time, `mesh-varying` something else each time, `mesh-flaky` every second time. It stands
for an unknown bug; everything else is the operator as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from navarch.__main__ import main
from navarch.controllers import controlplane, revision
from navarch.core.mesh.plan import plan_mesh
from navarch.core.revision.plan import plan_revision

ANNOTATION = "test/bug"


class UnknownBug(Exception):
    """What no code of the operator knows."""


def _with_a_bug(plan: Callable[..., Any], kind: str) -> Callable[..., Any]:
    tries: Counter[str] = Counter()

    def planning(observed: Any, *rest: Any) -> Any:
        about = observed.body if kind == "mesh" else observed.mesh
        bug = (about["metadata"].get("annotations") or {}).get(ANNOTATION) if about is not None else None
        words = f"planning of {kind} {observed.body['metadata']['name']}"
        tries[observed.body["metadata"]["uid"]] += bug is not None
        number = tries[observed.body["metadata"]["uid"]]
        if bug == kind or (bug == f"{kind}-flaky" and number % 2):
            raise UnknownBug(words)
        if bug == f"{kind}-varying":
            raise UnknownBug(f"{words}, try {number}")
        return plan(observed, *rest)

    return planning


if __name__ == "__main__":
    vars(controlplane)["plan_mesh"] = _with_a_bug(plan_mesh, "mesh")
    vars(revision)["plan_revision"] = _with_a_bug(plan_revision, "revision")
    main()
