"""What the operator is doing, from its own metrics: whether it has come to rest, and how often it looked."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.polling import eventually
from tests.support.api import Api
from tests.support.operator import Operator

MOVING = ("workqueue_depth", "active_workers", "statuses_held_back", "reconcile_total")
CALM, EVERY = 3, 0.15
"""How many looks in a row must find nothing moving, and the seconds between two: each has the operator render
its metrics, which takes 10 ms and more."""


def read_metrics(operator: Operator, *names: str) -> list[Sample]:
    """All samples of the operator's metrics now, or those of some: reading is what costs, and few are asked
    for ten times in a test."""
    text = operator.fetch("/metrics")[1]
    if names:
        wanted = tuple(f"navarch_{name}" for name in names)
        text = "".join(line for line in text.splitlines(keepends=True) if line.startswith(wanted))
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def read_metric(operator: Operator, name: str, /, **labels: str) -> float:
    """The sum of all samples of a metric that carry these labels."""
    return add_up(read_metrics(operator, name), name, **labels)


def add_up(samples: Iterable[Sample], name: str, /, **labels: str) -> float:
    """The sum of those samples of a metric that carry these labels."""
    found = (s for s in samples if s.name == f"navarch_{name}" and labels.items() <= s.labels.items())
    return sum(sample.value for sample in found)


def count_reconciles(operator: Operator) -> float:
    """Reconciles that ended since the process started."""
    return read_metric(operator, "reconcile_total")


def is_leading(operator: Operator) -> bool:
    return read_metric(operator, "leader_election_master_status") == 1


class Rest:
    """Whether no key waits or runs, none was looked at for a moment, and no status is held back; to be asked
    again and again."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._seen: list[tuple[float, ...]] = []

    def look(self) -> bool:
        """One look more."""
        samples = read_metrics(self._operator, *MOVING)
        self._seen.append(tuple(add_up(samples, name) for name in MOVING))
        return (
            bool(samples)
            and len(self._seen) >= CALM
            and not any(self._seen[-1][:-1])
            and len(set(self._seen[-CALM:])) == 1
        )


async def wait_for_rest(operator: Operator, *, seconds: float = 60) -> None:
    """Waits until no key waits or runs, none was looked at for a moment, and no status is held back."""
    await eventually(Rest(operator).look, seconds=seconds, every=EVERY, what="the operator comes to rest")


async def wait_for_removals(api: Api, *, seconds: float = 60) -> None:
    """Waits until every mesh that is being deleted is gone: what tests before left to be cleaned up."""
    await eventually(
        lambda: not [mesh for mesh in api.list("mesh") if "deletionTimestamp" in mesh["metadata"]],
        seconds=seconds,
        every=0.2,
        what="meshes that are being deleted are gone",
    )


async def bring_up(replica: Operator, *, seconds: float = 60) -> None:
    """Starts a replica that does not run; returns when it leads and is at rest."""
    if not replica.is_running():
        replica.start()
    await eventually(replica.is_ready, seconds=seconds, every=0.05, what=f"ready, see {replica.log}")
    await eventually(lambda: is_leading(replica), seconds=seconds, every=0.1, what="leading")
    await wait_for_rest(replica)
