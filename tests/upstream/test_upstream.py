"""Upstream's own installer and ours, asked for the same mesh, differ in what the table says and in nothing
else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import pytest
import yaml

from lab.builds import ISTIO_LINES, IstioLine, ensure
from tests.upstream.combinations import COMBINATIONS, Combination
from tests.upstream.comparison import Gap, Plurals, find_gaps, join_rights
from tests.upstream.differences import DIFFERENCES, Difference
from tests.upstream.rendering import render_ours, render_upstream
from tests.upstream.semantics import LOADER

Find = Callable[[IstioLine, Combination], list[Gap]]
CASES = [(line, combination) for line in ISTIO_LINES for combination in COMBINATIONS]


@pytest.fixture(scope="session")
def plurals() -> Mapping[IstioLine, Plurals]:
    """The kinds that the istiod of each line reads, by group; no group that it reads nothing of."""
    files = ensure("node", only=[line.kinds for line in ISTIO_LINES])
    return {line: read_plurals(files[line.kinds].read_text()) for line in ISTIO_LINES}


def read_plurals(text: str) -> Plurals:
    plurals: dict[str, set[str]] = defaultdict(set)
    for kind in yaml.load(text, LOADER)["resources"]:
        plurals[kind.get("group", "")].add(kind["plural"])
    return plurals


@pytest.fixture(scope="session")
def gaps_in(plurals: Mapping[IstioLine, Plurals]) -> Find:
    """Finds the gaps of a combination, each of which is rendered once."""
    found: dict[tuple[str, str], list[Gap]] = {}

    def find(line: IstioLine, combination: Combination) -> list[Gap]:
        key = (line.minor, combination.name)
        if key not in found:
            theirs, ours = render_upstream(combination, line), render_ours(combination, line)
            sides = join_rights(theirs), join_rights(ours)
            gaps = find_gaps(*sides, namespace=combination.namespace, plurals=plurals[line])
            found[key] = list(gaps)
        return found[key]

    return find


@pytest.mark.parametrize(
    ("line", "combination"), CASES, ids=[f"{line.minor}-{combination}" for line, combination in CASES]
)
def test_a_mesh_differs_from_upstreams_only_in_what_the_table_says(
    line: IstioLine, combination: Combination, gaps_in: Find
) -> None:
    unexplained = [
        str(gap)
        for gap in gaps_in(line, combination)
        if not any(row.explains(gap, combination.name, line.minor) for row in DIFFERENCES)
    ]
    assert not unexplained, "\n".join(["", *unexplained])


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
def test_every_row_of_the_table_is_seen_and_no_gap_has_two_reasons(line: IstioLine, gaps_in: Find) -> None:
    seen: Counter[Difference] = Counter()
    for combination in COMBINATIONS:
        for gap in gaps_in(line, combination):
            rows = [row for row in DIFFERENCES if row.explains(gap, combination.name, line.minor)]
            assert len(rows) < 2, f"{gap}: {rows}"
            seen.update(rows)
    wanted = [row for row in DIFFERENCES if not row.minors or line.minor in row.minors]
    assert not [row for row in wanted if not seen[row]]
