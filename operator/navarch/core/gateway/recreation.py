"""Pods of a gateway that were made without a proxy, and when they are made anew.

A pod whose image is still `auto` was made while no webhook answered for it: its image cannot be pulled, and
nothing but another pod in its place mends it. Owns the annotation of the pod template that says when that
was done, and how often in a row: a change of it makes the Deployment replace its pods, so that no right on
pods is needed. Must never be asked for while injection is unproved: the new pods would be like the old ones.
Invariant: while pods stay without a proxy, attempts come at intervals that double, from one minute to one
hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.core.model.labels import RECREATED, TEMPLATE
from navarch.core.model.moments import format_moment, read_moment
from navarch.core.model.refs import Manifest
from navarch.core.world.workload import WorkloadPod

FIRST_INTERVAL = timedelta(minutes=1)
LONGEST_INTERVAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Recreation:
    """When pods without a proxy were made anew last, and how many times in a row."""

    at: str
    count: int

    def __str__(self) -> str:
        return f"{self.at} {self.count}"

    @property
    def next(self) -> datetime:
        """When pods may be made anew again."""
        return datetime.fromisoformat(self.at) + self._interval

    @property
    def _interval(self) -> timedelta:
        doublings: int = 2 ** min(self.count - 1, 10)
        return min(FIRST_INTERVAL * doublings, LONGEST_INTERVAL)

    def is_over(self, now: str) -> bool:
        """Whether it lies so far back that an attempt now is the first of another row; or ahead, where no
        attempt of Navarch's can be."""
        moment = datetime.fromisoformat(now)
        return moment > self.next + LONGEST_INTERVAL or moment < self.next - 2 * LONGEST_INTERVAL


def read_recreation(workload: Manifest | None) -> Recreation | None:
    """What a workload's template says; None where its pods were never made anew."""
    at, _, count = _read_template(workload)["annotations"].get(RECREATED, "").partition(" ")
    moment = read_moment(at)
    if moment is None or moment.year == datetime.max.year or not re.fullmatch("[0-9]{1,9}", count):
        return None  # absent, or written by another client: then the template is put back
    return Recreation(at, max(int(count), 1))


def _read_template(workload: Manifest | None) -> dict[str, dict[str, str]]:
    template = ((workload or {}).get("spec") or {}).get("template") or {}
    metadata = template.get("metadata") or {}
    return {key: metadata.get(key) or {} for key in ("labels", "annotations")}


def find_uninjected(workload: Manifest | None, pods: Iterable[WorkloadPod]) -> tuple[str, ...]:
    """Names of the pods of the workload's present template that have no proxy. Those of older templates are
    replaced in any case."""
    template = _read_template(workload)["labels"].get(TEMPLATE)
    stuck = (p for p in pods if p.uninjected and not p.deadline and p.template == template)
    return tuple(sorted(p.name for p in stuck))


def choose_recreation(
    workload: Manifest | None, stuck: Iterable[str], *, now: str, proved: bool
) -> Recreation | None:
    """What the template has to say now: another attempt where pods are without a proxy, injection is proved
    and the last one is long enough ago, else what it says already."""
    last = read_recreation(workload)
    if not any(stuck) or not proved:
        return last
    if last is None or last.is_over(now):
        return Recreation(now, 1)
    return last if datetime.fromisoformat(now) < last.next else Recreation(now, last.count + 1)


def describe(stuck: tuple[str, ...], last: Recreation | None, *, proved: bool, named: int = 5) -> str:
    """What is said of pods without a proxy. `last` is the attempt that is in force."""
    names = ", ".join(stuck[:named]) + (f" and {len(stuck) - named} more" if len(stuck) > named else "")
    verb = "pod has" if len(stuck) == 1 else "pods have"
    told = f"{len(stuck)} {verb} no proxy (image: auto), made while nothing injected them: {names}"
    if not proved:
        return f"{told}; pods are made anew once the mesh's InjectionReady is True"
    if last is None:
        return f"{told}; pods are made anew now"
    tried = f"{told}; pods were made anew at {last.at}, {last.count} in a row"
    return f"{tried}; if they come without a proxy again, the next time is {format_moment(last.next)}"
