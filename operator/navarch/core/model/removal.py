"""What may be removed as an object's own, and the plan that removes it.

Owns both for every kind of parent. Must never remove by labels alone (core/model/ownership.py). Invariant: a
plan of removal names what is left in the order in which it goes, and is empty once nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from navarch.core.model.actions import Plan
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.ownership import Inventory, find_lost, is_proved
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest, ref_of

REMOVAL_REQUEUE = 2.0
"""Seconds after which a removal that is under way is looked at again."""


def find_removable(parent: Parent, inventory: Inventory, seen: Sequence[Manifest]) -> list[Manifest]:
    """What is proved to be the parent's: among what was `seen`, and recorded but out of sight."""
    proved = (o for o in seen if is_proved(o, parent, inventory))
    return [*proved, *find_lost(parent, inventory, seen)]


def plan_removal(parent: Parent, objects: Iterable[Manifest]) -> Plan:
    """Removal of what is left of a parent, also of one that is gone without having been cleaned up after."""
    refs = tuple(order_for_removal([ref_of(o) for o in objects]))
    return Plan(parent, prune=refs, requeue_after=REMOVAL_REQUEUE if refs else None)
