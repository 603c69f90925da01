"""The MeshMemberRoll controller: gather, check, plan, apply, summarise, report.

Owns the order of these calls. Must never decide: a branch here belongs into plan or summarise. Invariant: a
reconcile that changes nothing sends one request.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.controllers.conclusion import conclude
from navarch.controllers.orphans import remove_orphans
from navarch.controllers.report import Reporter
from navarch.core.roll.checks import run_checks
from navarch.core.roll.observed import ObservedRoll, is_held
from navarch.core.roll.plan import plan_roll
from navarch.core.roll.status import is_released, overlook_vanished, summarise_roll
from navarch.engine.key import Key
from navarch.engine.result import After, Done, Result
from navarch.gather.roll import gather_roll
from navarch.gather.watches import MEMBERS
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.parents import add_finalizer, has_finalizer, remove_finalizer


@dataclass(frozen=True, slots=True)
class RollController:
    """Reconciles one roll at a time."""

    world: World
    applier: Applier
    client: Client
    reporter: Reporter

    async def reconcile(self, key: Key) -> Result:
        """Bring the namespaces of one roll to where it wants them, as far as is possible now."""
        observed = await gather_roll(self.world, key.namespace, key.name)
        if observed is None:
            self.reporter.forget(key)
            return await remove_orphans(key, world=self.world, applier=self.applier, reporter=self.reporter)
        if is_released(observed):
            return await self._release(observed)
        findings = run_checks(observed)
        plan = plan_roll(observed, findings)
        if is_held(observed):
            outcome = await self.applier.withhold(plan)
        else:
            if plan.waves:
                await add_finalizer(self.client, observed.body)
            outcome = overlook_vanished(await self.applier.apply(plan))
        status = summarise_roll(observed, findings, plan, outcome)
        held = await self.reporter.report(observed.body, status=status, outcome=outcome)
        return conclude(plan, findings, outcome, status["conditions"], held=held)

    async def _release(self, observed: ObservedRoll) -> Result:
        """Let a roll go once the API server itself has no MeshMember of its own that was not asked to go."""
        if not has_finalizer(observed.body):
            return Done()
        found = await self.world.owned.find_unseen(observed.parent, (MEMBERS,))
        if any("deletionTimestamp" not in member["metadata"] for member in found):
            return After(1)
        await remove_finalizer(self.client, observed.body)
        return Done()
