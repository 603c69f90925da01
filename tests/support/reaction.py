"""How soon the operator turns to an edit, in seconds and in other meshes that it looks at before."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.meshes import edit

ADMIN = "admin"
"""The user of the lab's kubeconfig, as the audit log names it."""
WORKERS = 8
"""The operator's default."""
_edits = iter(range(1_000_000))


@dataclass(frozen=True, slots=True)
class Reaction:
    """What came of an edit: `seconds` until the operator's first write, by the API server's clock, and how
    many other meshes were looked at before this one was (`passed`).
    """

    seconds: float
    passed: int


async def edit_one(api: Api, audit: Audit, namespace: str) -> Reaction:
    """Edits a mesh that is well, and waits for the first write."""
    mark = audit.mark()
    edit(api, namespace, meshConfig={"accessLogFile": f"/dev/stdout-{next(_edits)}"})

    def find() -> Reaction | None:
        own = audit.since(mark)
        writes = [r.received.timestamp() for r in own if r.is_write and r.namespace == namespace]
        edits = [
            r.received.timestamp()
            for r in audit.since(mark, user=ADMIN)
            if r.namespace == namespace and r.is_write
        ]
        gets = (r for r in own if r.verb == "get" and r.resource == "meshcontrolplanes")
        looks = [(r, r.received.timestamp()) for r in gets]
        if not edits:
            return None
        # What was being looked at already when the edit came may still write, and that is no reaction.
        started = min((t for r, t in looks if r.namespace == namespace and t >= edits[0]), default=inf)
        written = min((t for t in writes if t >= started), default=None)
        if written is None:
            return None
        passed = [r for r, t in looks if r.namespace != namespace and edits[0] <= t < started]
        return Reaction(written - edits[0], len(passed))

    return await eventually(find, seconds=60, every=0.1, what="the first write after an edit")  # type: ignore[return-value]


def show(name: str, found: Sequence[Reaction]) -> None:
    seconds, passed = sorted(r.seconds for r in found), sorted(r.passed for r in found)
    print(
        f"{name}: edit to first write {statistics.median(seconds):.3f} s in the median, {seconds[-1]:.3f} s "
        f"at most; other meshes were looked at before: {statistics.median(passed):.0f}, {passed[-1]} at most"
    )


def assert_fair(found: Sequence[Reaction]) -> None:
    """Holds edits beside much other work against the bound of docs/explanation/fairness.md."""
    passed = sorted(r.passed for r in found)
    assert statistics.median(passed) <= WORKERS
    # What passes an edit while its event is still on the way is not the queue's matter: the slowest quarter
    # of the edits shows how busy the machine is.
    assert passed[len(passed) * 3 // 4] <= 3 * WORKERS
