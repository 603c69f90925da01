"""Clearing up after an object of ours whose finalizer was taken off by hand, for every kind that has objects.

Owns the order of these calls. Must never decide what is an orphan (gather/orphans.py). Invariant: nothing is
removed before the grace for a restore from a backup is over.
"""

from __future__ import annotations

from navarch.controllers.report import Reporter
from navarch.core.model.parent import Parent
from navarch.core.model.removal import plan_removal
from navarch.engine.key import Key
from navarch.engine.result import After, Done, Result
from navarch.gather.world import World
from navarch.kube.apply import Applier


async def remove_orphans(key: Key, *, world: World, applier: Applier, reporter: Reporter) -> Result:
    """Remove what is left of an object that is gone."""
    parent = Parent(key.kind, key.namespace, key.name)
    orphans = await world.orphans.find(parent)
    if orphans and (grace := world.orphans.grace(parent)) > 0:
        return After(grace)
    plan = plan_removal(parent, orphans)
    if plan.requeue_after is None:
        await world.orphans.close(parent)
        return Done()
    gone = world.orphans.describe(parent)
    outcome = await applier.apply(plan)
    await reporter.tell_removals(gone, outcome)
    return After(plan.requeue_after, well=not outcome.failures)
