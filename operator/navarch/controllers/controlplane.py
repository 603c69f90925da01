"""The MeshControlPlane controller: gather, check, plan, apply, summarise, report.

Owns the order of these calls. Must never decide: a branch here belongs into plan or summarise.
Invariant: a reconcile that changes nothing sends one request.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.controllers.authority import AuthorityKeeper
from navarch.controllers.conclusion import conclude
from navarch.controllers.orphans import remove_orphans
from navarch.controllers.report import Reporter
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.status import summarise_mesh
from navarch.core.mesh.teardown import is_released
from navarch.engine.key import Key
from navarch.engine.result import After, Done, Result
from navarch.gather.mesh import gather_mesh
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.parents import add_finalizer, has_finalizer, remove_finalizer
from navarch.kube.restarts import Restarter


@dataclass(frozen=True, slots=True)
class MeshController:
    """Reconciles one mesh at a time."""

    world: World
    applier: Applier
    client: Client
    reporter: Reporter
    restarter: Restarter
    keeper: AuthorityKeeper

    async def reconcile(self, key: Key) -> Result:
        """Bring one mesh to where its spec wants it, as far as is possible now."""
        observed = await gather_mesh(self.world, key.namespace, key.name)
        if observed is None:
            self.reporter.forget(key)
            return await remove_orphans(key, world=self.world, applier=self.applier, reporter=self.reporter)
        findings = run_checks(observed)
        decision = plan_mesh(observed, findings)
        if is_released(observed, decision.plan) and has_finalizer(observed.body):
            return await self._release(observed)
        if is_held(observed):
            outcome = await self.applier.withhold(decision.plan)
        else:
            if decision.plan.waves:
                await add_finalizer(self.client, observed.body)
            made = await self.keeper.carry_out(decision.authority, observed.parent)
            outcome = (await self.applier.apply(decision.plan)).after(made)
            again = await self.restarter.carry_out(decision.plan.restarts)
            outcome = outcome.again_after(again)
        status = summarise_mesh(observed, findings, decision, outcome)
        held = await self.reporter.report(observed.body, status=status, outcome=outcome)
        return conclude(decision.plan, findings, outcome, status["conditions"], held=held)

    async def _release(self, observed: ObservedMesh) -> Result:
        """Let a mesh go once the API server itself says that nothing of it is left."""
        self.world.prober.forget(observed.parent.uid)
        self.world.gatekeeper.forget(observed.parent.uid)
        self.world.trust.forget(observed.parent.uid)
        if await self.world.owned.find_unseen(observed.parent):
            return After(1)
        await remove_finalizer(self.client, observed.body)
        await self.world.inventories.drop(observed.parent)
        return Done()
