"""What an answer to a gate's question says.

Owns the reading of proxies' and istiods' counters, of a Prometheus, and of a webhook. Must never ask, or
remember: what was counted before is given. Invariant: an answer that cannot be read is Unknown.

The counters, seen on proxies and istiods of 1.30 and 1.31: a proxy counts for clusters (cds) and listeners
(lds) how often it took and refused what istiod sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.api.gates import PROXIES, Query, Webhook
from navarch.core.model.messages import join, shorten
from navarch.core.rollout.gates import GateState, Reading

LONGEST = 1024
"""Characters of a gate's message."""
KINDS = {"clusters": "envoy_cluster_manager_cds", "listeners": "envoy_listener_manager_lds"}
"""What a proxy is sent, and the beginning of the names of its counters."""
FILTER = "^(cluster_manager\\.cds|listener_manager\\.lds)\\.update_(success|rejected)$"
"""Which of its counters a proxy is asked for, by Envoy's own names."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often a proxy took and refused what istiod sent, by KINDS; and of which it refuses the last."""

    taken: Mapping[str, float]
    refused: Mapping[str, float]
    refusing: frozenset[str] = frozenset()

    @property
    def connected(self) -> bool:
        """Whether it has taken something of each kind."""
        return all(self.taken.values())


def read_proxy(sums: Mapping[str, float], before: Counts | None) -> Counts:
    """A proxy's counters, by their names. It refuses what it has refused since `before`, or did refuse then
    and has not taken anything of that kind since."""
    taken = {kind: sums.get(f"{name}_update_success", 0.0) for kind, name in KINDS.items()}
    refused = {kind: sums.get(f"{name}_update_rejected", 0.0) for kind, name in KINDS.items()}
    refusing = set()
    for kind in KINDS:
        was = before.refused[kind] if before is not None else 0.0
        still = before is not None and kind in before.refusing and taken[kind] <= before.taken[kind]
        if refused[kind] > was or still:
            refusing.add(kind)
    return Counts(taken, refused, frozenset(refusing))


def judge_proxies(
    counted: Mapping[str, Counts],
    unread: Iterable[str],
    rises: Iterable[str],
    *,
    starting: Container[str] = (),
) -> Reading:
    """The gate of the proxies: `counted` by pod, `unread` why others could not be asked, `rises` what istiods
    have counted of late. Of pods that are `starting` only refusals count."""
    refusals = [
        f"{pod} refuses its {' and '.join(sorted(c.refusing))}" for pod, c in counted.items() if c.refusing
    ]
    if failures := [*refusals, *rises]:
        return Reading(PROXIES, GateState.FAILED, shorten(join(failures), LONGEST))
    without = [pod for pod, c in counted.items() if not c.connected and pod not in starting]
    waiting = [f"{pod} has no configuration yet" for pod in without]
    if unknown := [*waiting, *unread]:
        return Reading(PROXIES, GateState.UNKNOWN, shorten(join(unknown), LONGEST))
    return Reading(PROXIES, GateState.PASSED)


def judge_query(query: Query, status: int, text: str) -> Reading:
    """The gate of a query, by the answer of a Prometheus."""
    name = f"query/{query.name}"
    try:
        values = [*_read_values(json.loads(text))]
    except _UNREADABLE:
        return Reading(
            name, GateState.UNKNOWN, shorten(f"the answer ({status}) is not Prometheus's: {text}", LONGEST)
        )
    except _Refused as error:
        return Reading(name, GateState.UNKNOWN, shorten(f"Prometheus answered {status}: {error}", LONGEST))
    if not values:
        return Reading(name, GateState.UNKNOWN, "the query gives no value")
    if failures := [told for value in values if (told := _tell_bound(query, *value))]:
        return Reading(name, GateState.FAILED, shorten(join(failures), LONGEST))
    if odd := [f"{text}{series}" for text, series in values if math.isnan(float(text))]:
        return Reading(name, GateState.UNKNOWN, shorten(f"the query gives {join(odd)}", LONGEST))
    return Reading(name, GateState.PASSED)


_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
"""What comes of reading an answer that is JSON of any other shape, size or depth."""


class _Refused(Exception):
    """Prometheus says that it cannot answer."""


def _read_values(answer: Any) -> Iterator[tuple[str, str]]:
    """The values of an answer, each with its series. Raises ValueError for one that is none."""
    if answer["status"] != "success":
        raise _Refused(f"{answer.get('errorType', 'error')}: {answer.get('error', '')}")
    data = answer["data"]
    found = [data] if data["resultType"] == "scalar" else data["result"]
    for entry in found:
        pair, labels = (entry["result"], {}) if entry is data else (entry["value"], entry["metric"])
        series = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        float(pair[1])
        yield str(pair[1]), f" ({series})" if series else ""


def _tell_bound(query: Query, text: str, series: str) -> str:
    value = float(text)
    if query.min is not None and value < float(query.min):
        return f"{text}{series} is less than {query.min}"
    if query.max is not None and value > float(query.max):
        return f"{text}{series} is more than {query.max}"
    return ""


_LATER = (408, 425, 429)
"""Of the statuses that refuse, those by which a server, or a proxy before it, says that it was not asked: too
slow, too early, too often."""


def judge_webhook(webhook: Webhook, status: int, text: str) -> Reading:
    """The gate of a webhook, by its answer."""
    name, told = f"webhook/{webhook.name}", f": {text.strip()}" if text.strip() else ""
    if 200 <= status < 300:
        return Reading(name, GateState.PASSED)
    refused = 400 <= status < 500 and status not in _LATER
    state = GateState.FAILED if refused else GateState.UNKNOWN
    return Reading(name, state, shorten(f"it answered {status}{told}", LONGEST))
