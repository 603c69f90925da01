"""Windows of namespaces and workloads, which narrow those of their mesh: restarts begin where all are open.

Owns what they come to together. Must never widen what the mesh allows. Invariants: whoever says nothing
narrows nothing; what cannot be read is never open; one that narrows so keeps nobody else waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from navarch.api.dataplane import Window
from navarch.api.windows import Windows
from navarch.core.model.messages import join
from navarch.core.rollout.windows import list_spans, tell_moment

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a workload's own windows keep it from being restarted now, and until when; no `at`: for as long as
    they are as they are."""

    why: str
    at: datetime | None = None


@dataclass(slots=True)
class Narrowing:
    """The windows of a mesh, and what others make of them now. Each of them is computed once."""

    windows: Sequence[Window]
    zones: Mapping[str, tzinfo]
    now: datetime
    _spans: dict[int, list[Span]] = field(default_factory=dict)
    _found: dict[tuple[int, ...], Closed | None] = field(default_factory=dict)
    _kept: list[object] = field(default_factory=list)
    """All whose ids are in use."""

    def find_closed(self, layers: Sequence[Windows]) -> Closed | None:
        """Why nothing is restarted now by those who narrow the mesh's windows; None where they let it. Where
        the mesh's are closed, that is said once for all, and not here."""
        if not layers:
            return None
        key = tuple(map(id, layers))
        if key not in self._found:
            self._kept += layers
            self._found[key] = self._find_closed(layers)
        return self._found[key]

    def _find_closed(self, layers: Sequence[Windows]) -> Closed | None:
        own = [window for layer in layers for window in layer]
        if not all(layers):
            return Closed("its own restart windows cannot be read")
        unknown = sorted({window.time_zone for window in own if window.time_zone not in self.zones})
        if any(all(window.time_zone in unknown for window in layer) for layer in layers):
            return Closed(f"its own restart windows cannot be read: no time zone is named {join(unknown)}")
        common = self._list(layers[0])
        for others in (*layers[1:], *([self.windows] if self.windows else ())):
            common = _intersect(common, self._list(others))
        current = next((span for span in common if span[1] > self.now), None)
        if current is None:
            return Closed("its own restart windows are never open together with those of the mesh")
        if current[0] <= self.now:
            return None
        window = next(each for each in own if each.time_zone in self.zones)
        told = tell_moment(current[0], window, self.zones)
        return Closed(f"its own restart windows open on {told}", current[0])

    def _list(self, windows: Sequence[Window]) -> list[Span]:
        known = self._spans.get(id(windows))
        if known is None:
            known = self._spans[id(windows)] = _merge(
                span
                for window in windows
                if window.time_zone in self.zones
                for span in list_spans(window, self.zones, self.now)
            )
        return known


def _merge(spans: Iterable[Span]) -> list[Span]:
    """The same time in as few spans as there can be, in order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _intersect(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """The time that is in both; each in order, and without overlaps."""
    both: list[Span] = []
    i = j = 0
    while i < len(some) and j < len(others):
        start, end = max(some[i][0], others[j][0]), min(some[i][1], others[j][1])
        if start < end:
            both.append((start, end))
        if some[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return both
