"""The MeshGateway controller: gather, check, plan, apply, summarise, report.

Owns the order of these calls. Must never decide: a branch here belongs into plan or summarise. Invariant: a
reconcile that changes nothing sends one request.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.controllers.conclusion import conclude
from navarch.controllers.orphans import remove_orphans
from navarch.controllers.report import Reporter
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway, is_held
from navarch.core.gateway.plan import plan_gateway
from navarch.core.gateway.status import is_released, summarise_gateway
from navarch.engine.key import Key
from navarch.engine.result import After, Done, Result
from navarch.gather.gateway import gather_gateway
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.parents import add_finalizer, has_finalizer, remove_finalizer


@dataclass(frozen=True, slots=True)
class GatewayController:
    """Reconciles one gateway at a time."""

    world: World
    applier: Applier
    client: Client
    reporter: Reporter

    async def reconcile(self, key: Key) -> Result:
        """Bring one gateway to where its spec wants it, as far as is possible now."""
        observed = await gather_gateway(self.world, key.namespace, key.name)
        if observed is None:
            self.reporter.forget(key)
            return await remove_orphans(key, world=self.world, applier=self.applier, reporter=self.reporter)
        findings = run_checks(observed)
        plan = plan_gateway(observed, findings)
        if is_released(observed, plan) and has_finalizer(observed.body):
            return await self._release(observed)
        if is_held(observed):
            outcome = await self.applier.withhold(plan)
        else:
            if plan.waves:
                await add_finalizer(self.client, observed.body)
            outcome = await self.applier.apply(plan)
        status = summarise_gateway(observed, findings, plan, outcome)
        held = await self.reporter.report(observed.body, status=status, outcome=outcome)
        return conclude(plan, findings, outcome, status["conditions"], held=held)

    async def _release(self, observed: ObservedGateway) -> Result:
        """Let a gateway go once the API server itself says that nothing of it is left."""
        if await self.world.owned.find_unseen(observed.parent):
            return After(1)
        await remove_finalizer(self.client, observed.body)
        await self.world.inventories.drop(observed.parent)
        return Done()
