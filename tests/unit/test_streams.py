"""Which answers of a client count as lost requests: all but those to which only the lab's DNS was late."""

from __future__ import annotations

import pytest

from tests.node.streams import is_unresolved

LOOKUP = (
    '12:08:41 14.5s error Get "http://server.x/": dial tcp: lookup server.x on 10.97.0.10:53: i/o timeout'
)
LATE = '12:08:41 60.0s error Get "http://server.x/": context deadline exceeded'


@pytest.mark.parametrize(
    ("lines", "forgiven"),
    [
        ([LOOKUP, "requests=20 failed=1"], True),
        ([LATE, "requests=20 failed=1"], False),
        ([LOOKUP, LATE, "requests=20 failed=2"], False),
        ([LOOKUP, "12:08:42 3ms 503 no healthy upstream", "requests=20 failed=2"], False),
        (["command terminated with exit code 137"], False),
    ],
)
def test_only_a_name_that_was_not_resolved_is_no_lost_request(lines: list[str], forgiven: bool) -> None:
    assert is_unresolved("\n".join(lines)) is forgiven
