"""The MeshRevision controller: gather, plan, apply, summarise, report.

Owns the order of these calls. Must never decide. Invariant: a reconcile that changes nothing sends no
request.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.controllers.report import Reporter
from navarch.core.model.requeue import determine_requeue
from navarch.core.revision.observed import is_revision_held
from navarch.core.revision.plan import plan_revision
from navarch.core.revision.status import summarise_revision
from navarch.engine.key import Key
from navarch.engine.result import After, Done, Result
from navarch.gather.revision import gather_revision
from navarch.gather.world import World
from navarch.kube.apply import Applier


@dataclass(frozen=True, slots=True)
class RevisionController:
    """Reconciles one revision at a time."""

    world: World
    applier: Applier
    reporter: Reporter

    async def reconcile(self, key: Key) -> Result:
        """Bring one installation of a control plane to where its spec wants it, as far as is possible now."""
        observed = await gather_revision(self.world, key.namespace, key.name)
        if observed is None:
            self.reporter.forget(key)
            return Done()
        decision = plan_revision(observed)
        act = self.applier.withhold if is_revision_held(observed) else self.applier.apply
        outcome = await act(decision.plan)
        status = summarise_revision(observed, decision, outcome)
        held = await self.reporter.report(observed.body, status=status, outcome=outcome, mesh=observed.mesh)
        seconds = determine_requeue(decision.plan, outcome, status["conditions"], held=held)
        if seconds is None:
            return Done()
        return After(seconds, well=not outcome.failures)
