"""What may be removed as an object's own, the plan that removes it, and whether a deletion is meant.

Owns these for every kind of parent. Must never remove by labels alone (core/model/ownership.py). Invariant: a
plan of removal names what is left in the order in which it goes, and is empty once nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from navarch.core.model.actions import Plan
from navarch.core.model.labels import FINALIZER, FORCE_DELETE
from navarch.core.model.messages import join
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.ownership import Inventory, find_lost, is_proved
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest, find_holders, ref_of

REMOVAL_REQUEUE = 2.0
"""Seconds after which a removal that is under way is looked at again."""
CLOCK_SLACK = timedelta(seconds=10)
"""By how much the clocks of two API servers may differ, which stamped an object's deletion and its kind's."""


def is_withheld(body: Manifest, kind_deleted: str) -> bool:
    """Whether an object is being deleted only because its kind is, whose deletion was asked for at
    `kind_deleted` (empty for never): then what it made stands, unless an annotation insists. Who deletes a
    CustomResourceDefinition does not mean to cut all traffic in the cluster."""
    metadata = body["metadata"]
    insists = (metadata.get("annotations") or {}).get(FORCE_DELETE) == "true"
    return _is_caused_by_kind(metadata.get("deletionTimestamp", ""), kind_deleted) and not insists


def _is_caused_by_kind(deleted: str, kind_deleted: str) -> bool:
    """Whether an object's deletion is no older than its kind's, as far as clocks can tell. In doubt it is
    taken for caused: what stands can still be removed. Both are RFC 3339, or empty."""
    if not deleted or not kind_deleted:
        return False
    return datetime.fromisoformat(deleted) >= datetime.fromisoformat(kind_deleted) - CLOCK_SLACK


def is_torn_down(body: Manifest) -> bool:
    """Whether an object of ours is there only because other clients hold it: all that it made is gone."""
    metadata = body["metadata"]
    return "deletionTimestamp" in metadata and FINALIZER not in (metadata.get("finalizers") or ())


def tell_holders(body: Manifest) -> str:
    """What is said of the finalizers by which other clients hold an object; empty where there are none."""
    others = [name for name in find_holders(body) if name != FINALIZER]
    return f"this object is held by finalizers that others take off: {join(others)}" if others else ""


def find_removable(parent: Parent, inventory: Inventory, seen: Sequence[Manifest]) -> list[Manifest]:
    """What is proved to be the parent's: among what was `seen`, and recorded but out of sight."""
    proved = (o for o in seen if is_proved(o, parent, inventory))
    return [*proved, *find_lost(parent, inventory, seen)]


def plan_removal(parent: Parent, objects: Iterable[Manifest]) -> Plan:
    """Removal of what is left of a parent, also of one that is gone without having been cleaned up after."""
    refs = tuple(order_for_removal([ref_of(o) for o in objects]))
    return Plan(parent, prune=refs, requeue_after=REMOVAL_REQUEUE if refs else None)
