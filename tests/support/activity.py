"""What the operator is doing, from its own metrics: whether it has come to rest, and how often it looked."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.polling import eventually
from tests.support.operator import Operator

CALM = 4
"""How many looks in a row must find nothing moving."""


def read_metric(operator: Operator, name: str, **labels: str) -> float:
    """The sum of all samples of a metric that carry these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(operator.fetch("/metrics")[1])
        for sample in family.samples
        if sample.name == f"navarch_{name}" and labels.items() <= sample.labels.items()
    )


def count_reconciles(operator: Operator) -> float:
    """Reconciles that ended since the process started."""
    return read_metric(operator, "reconcile_total")


def is_leading(operator: Operator) -> bool:
    return read_metric(operator, "leader_election_master_status") == 1


async def wait_for_rest(operator: Operator, *, seconds: float = 60) -> None:
    """Waits until no key waits or runs, and none was looked at for a moment."""
    seen: list[tuple[float, ...]] = []

    def is_at_rest() -> bool:
        waiting, running = read_metric(operator, "workqueue_depth"), read_metric(operator, "active_workers")
        seen.append((waiting, running, count_reconciles(operator)))
        return len(seen) >= CALM and seen[-1][:2] == (0, 0) and len(set(seen[-CALM:])) == 1

    await eventually(is_at_rest, seconds=seconds, every=0.15, what="the operator comes to rest")
