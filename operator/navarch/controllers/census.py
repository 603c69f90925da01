"""How often a mesh's proxies are counted.

Owns the pace of the census. Must never decide what it means. Invariants: of one mesh no two counts that
differ lie less than PERIOD apart; a count that was held back is asked for again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from navarch.core.observed import ProxyPod

PERIOD = 5.0
"""Seconds for which a count stands while pods come and go: each one that differs is a write of status."""
_SLACK = 0.01


class Census:
    """The last count of each mesh, by uid. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counted: dict[str, tuple[float, tuple[ProxyPod, ...]]] = {}

    def count(self, uid: str, pods: Sequence[ProxyPod]) -> tuple[tuple[ProxyPod, ...], float | None]:
        """The pods as they count now, and after how many seconds to look again where these are not those
        that there are."""
        now = self._clock()
        at, standing = self._counted.get(uid, (now - PERIOD, ()))
        due = at + PERIOD - now
        if _kinds(standing) == _kinds(pods):
            # The same to every reader of numbers; names are taken over, the pace is not touched.
            self._counted[uid] = (at, tuple(pods))
        elif due <= _SLACK:
            self._counted[uid] = (now, tuple(pods))
        else:
            return standing, due
        return tuple(pods), None

    def forget(self, uid: str) -> None:
        """Drop the count of a mesh that is gone."""
        self._counted.pop(uid, None)


def _kinds(pods: Sequence[ProxyPod]) -> Counter[tuple[str, str]]:
    return Counter((pod.revision, pod.proxy) for pod in pods)
