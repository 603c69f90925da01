"""Upstream's own installer and ours, asked for the same mesh, differ in what the table says and in nothing
else."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.builds import ISTIO_KINDS, ISTIOCTL, ensure
from tests.upstream.combinations import COMBINATIONS, Combination
from tests.upstream.comparison import Gap, Plurals, find_gaps, join_rights
from tests.upstream.differences import ANY, DIFFERENCES, Difference
from tests.upstream.rendering import render_ours, render_upstream
from tests.upstream.semantics import LOADER

Find = Callable[[Combination], list[Gap]]


def _fits(pattern: str | None, value: Any) -> bool:
    if pattern is None or value is None or pattern == ANY:
        return pattern == ANY or pattern is value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.S) is not None


def explains(row: Difference, gap: Gap, combination: Combination) -> bool:
    """Whether a row of the table is about this gap."""
    return (
        _fits(row.where, gap.where)
        and _fits(row.path, gap.path)
        and (not row.only or combination.name in row.only)
        and _fits(row.upstream, gap.upstream)
        and _fits(row.ours, gap.ours)
    )


@pytest.fixture(scope="session")
def builds() -> Mapping[str, Path]:
    return ensure("node", only=[ISTIOCTL, ISTIO_KINDS])


@pytest.fixture(scope="session")
def plurals(builds: Mapping[str, Path]) -> Plurals:
    """The kinds that the istiod of this line reads, by group; no group that it reads nothing of."""
    kinds = yaml.load(builds[ISTIO_KINDS].read_text(), LOADER)["resources"]
    plurals: dict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        plurals[kind.get("group", "")].add(kind["plural"])
    return plurals


@pytest.fixture(scope="session")
def gaps_in(builds: Mapping[str, Path], plurals: Plurals) -> Find:
    """Finds the gaps of a combination, each of which is rendered once."""
    found: dict[str, list[Gap]] = {}

    def find(combination: Combination) -> list[Gap]:
        if combination.name not in found:
            theirs, ours = render_upstream(builds[ISTIOCTL], combination), render_ours(combination)
            sides = join_rights(theirs), join_rights(ours)
            found[combination.name] = list(
                find_gaps(*sides, namespace=combination.namespace, plurals=plurals)
            )
        return found[combination.name]

    return find


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_mesh_differs_from_upstreams_only_in_what_the_table_says(
    combination: Combination, gaps_in: Find
) -> None:
    unexplained = [
        str(gap)
        for gap in gaps_in(combination)
        if not any(explains(row, gap, combination) for row in DIFFERENCES)
    ]
    assert not unexplained, "\n".join(["", *unexplained])


def test_every_row_of_the_table_is_seen_and_no_gap_has_two_reasons(gaps_in: Find) -> None:
    seen: Counter[Difference] = Counter()
    for combination in COMBINATIONS:
        for gap in gaps_in(combination):
            rows = [row for row in DIFFERENCES if explains(row, gap, combination)]
            assert len(rows) < 2, f"{gap}: {rows}"
            seen.update(rows)
    assert not [row for row in DIFFERENCES if not seen[row]]
