"""The MeshMember controller: gather, check, plan, apply, summarise, report.

Owns the order of these calls. Must never decide: a branch here belongs into plan or summarise. Invariants: a
reconcile that changes nothing sends one request; a namespace whose member is gone is looked at as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.controllers.conclusion import conclude
from navarch.controllers.report import Reporter
from navarch.core.member.checks import run_checks
from navarch.core.member.observed import is_held
from navarch.core.member.plan import plan_member
from navarch.core.member.status import is_released, summarise_member
from navarch.engine.key import Key
from navarch.engine.result import After, Done, Result
from navarch.gather.member import gather_member
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.parents import add_finalizer, has_finalizer, remove_finalizer


@dataclass(frozen=True, slots=True)
class MemberController:
    """Reconciles one member at a time."""

    world: World
    applier: Applier
    client: Client
    reporter: Reporter

    async def reconcile(self, key: Key) -> Result:
        """Bring one namespace to where its member wants it, as far as is possible now."""
        observed = await gather_member(self.world, key.namespace, key.name)
        findings = run_checks(observed)
        plan = plan_member(observed, findings)
        if observed.body is not None and is_released(observed) and has_finalizer(observed.body):
            await remove_finalizer(self.client, observed.body)
            await self.world.inventories.drop(observed.parent)
            return Done()
        if is_held(observed):
            outcome = await self.applier.withhold(plan)
        else:
            if plan.claims and observed.body is not None:
                await add_finalizer(self.client, observed.body)
            outcome = await self.applier.apply(plan)
        if observed.body is None:
            self.reporter.forget(key)
            if not plan.prune:
                await self.world.inventories.drop(observed.parent)
            seconds = outcome.retry_after if outcome.retry_after is not None else plan.requeue_after
            return After(seconds) if seconds is not None else Done()
        status = summarise_member(observed, findings, plan, outcome)
        held = await self.reporter.report(observed.body, status=status, outcome=outcome)
        return conclude(plan, findings, outcome, status["conditions"], held=held)
