"""The public gateway chart and a MeshGateway, asked for the same gateway, differ in what the table says and
in nothing else."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from lab.builds import ISTIO_LINES, IstioLine
from tests.upstream.comparison import Gap
from tests.upstream.differences import Difference
from tests.upstream.gateway_charts import WISHES, GatewayWish, find_gateway_gaps, render_upstream_gateway
from tests.upstream.gateway_differences import GATEWAY_DIFFERENCES

CASES = [(line, wish) for line in ISTIO_LINES for wish in WISHES]


@cache
def gaps_in(line: IstioLine, name: str) -> list[Gap]:
    return find_gateway_gaps(next(wish for wish in WISHES if wish.name == name), line)


def find_rows(gap: Gap, wish: GatewayWish, line: IstioLine) -> list[Difference]:
    return [row for row in GATEWAY_DIFFERENCES if row.explains(gap, wish.name, line.minor)]


@pytest.mark.parametrize(("line", "wish"), CASES, ids=[f"{line.minor}-{wish}" for line, wish in CASES])
def test_a_gateway_differs_from_the_public_charts_only_in_what_the_table_says(
    line: IstioLine, wish: GatewayWish
) -> None:
    unexplained = [str(gap) for gap in gaps_in(line, wish.name) if not find_rows(gap, wish, line)]
    assert not unexplained, "\n".join(["", *unexplained])


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
def test_every_row_about_gateways_is_seen_and_no_gap_has_two_reasons(line: IstioLine) -> None:
    seen: Counter[Difference] = Counter()
    for wish in WISHES:
        for gap in gaps_in(line, wish.name):
            rows = find_rows(gap, wish, line)
            assert len(rows) < 2, f"{gap}: {rows}"
            seen.update(rows)
    assert not [row for row in GATEWAY_DIFFERENCES if not seen[row]]


def test_the_chart_that_is_compared_is_that_of_each_minor() -> None:
    """1.31's knows pods' DNS policy, and 1.30's refuses what it does not know."""
    wish = GatewayWish("dns", {"dnsPolicy": "Default"}, {})
    older, newer = ISTIO_LINES
    with pytest.raises(AssertionError, match="'dnsPolicy' not allowed"):
        render_upstream_gateway(wish, older)
    (deployment,) = (o for o in render_upstream_gateway(wish, newer) if o["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["dnsPolicy"] == "Default"
