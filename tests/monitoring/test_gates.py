"""What a real Prometheus answers to the queries of a gate, and what becomes of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from navarch.api.gates import Prometheus, Query
from navarch.core.rollout.gates import GateState

from tests.polling import eventually
from tests.support.prometheus import Prometheus as RealPrometheus
from tests.support.prometheus import a_prometheus
from tests.unit.test_gates import Mesh, asking, questions

PASSED, FAILED, UNKNOWN = GateState.PASSED, GateState.FAILED, GateState.UNKNOWN
LABELLED = 'label_replace(vector(3), "team", "{}", "", "") or vector(1)'
CASES = {
    "number": ("scalar(vector(0.995))", {"min": "0.99"}, PASSED, ""),
    "less": ("vector(0.5)", {"min": "0.99"}, FAILED, "0.5 is less than 0.99"),
    "each": (LABELLED.format("a"), {"max": "2"}, FAILED, '3 (team="a") is more than 2'),
    "namespaces": ('label_replace(vector(1), "x", "a|c", "", "") * 0 + 7', {"max": "7"}, PASSED, ""),
    "placeholder": ('label_replace(vector(9), "x", "$(NAMESPACES)", "", "")', {"max": "1"}, FAILED, "a|c"),
    "nothing": ("up{job='nobody'}", {"min": "1"}, UNKNOWN, "no value"),
    "or-a-number": ("up{job='nobody'} or vector(1)", {"min": "1"}, PASSED, ""),
    "no-number": ("vector(0) / 0", {"min": "1"}, UNKNOWN, "NaN"),
    "without-end": ("vector(1) / 0", {"max": "5"}, FAILED, "+Inf is more than 5"),
    "no-query": ("sum(", {"min": "1"}, UNKNOWN, "bad_data"),
    "a-range": ("vector(1)[5m:1m]", {"min": "1"}, UNKNOWN, "not Prometheus's"),
    "a-text": ('"hello"', {"min": "1"}, UNKNOWN, "not Prometheus's"),
}


def is_there(prometheus: RealPrometheus) -> bool:
    with suppress(OSError):
        return bool(prometheus.query("query?query=1"))
    return False


async def test_a_query_passes_fails_or_is_not_known_as_its_answer_says(
    tools: Mapping[str, Path], tmp_path: Path
) -> None:
    queries = [Query(name=name, query=text, **bounds) for name, (text, bounds, _, _) in CASES.items()]
    targets = {"static_configs": [{"targets": list[str]()}]}
    with a_prometheus(tools["prometheus"], tmp_path, scraped=targets, rules={"groups": []}) as prometheus:
        await eventually(lambda: is_there(prometheus), seconds=60, every=0.2, what="Prometheus answers")
        asked = questions(pods=None, prometheus=Prometheus(url=prometheus.url, queries=queries))
        async with asking(tmp_path, Mesh()) as asker:
            found = await asker.read(asked)
    for name, (_, _, state, word) in CASES.items():
        gate = found[f"query/{name}"]
        assert (name, gate.state) == (name, state), gate
        assert word in gate.message
