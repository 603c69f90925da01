"""How long each file of tests takes: a hint by which workers take the longest first.

Owns what `.suite/durations.json` says after a run, which may be copied to tests/durations.json as it is. Must
never forget a file that did not run. Invariant: a file counts as its last whole run has shown, and one that
is gone does not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.suite.results import Case, sum_durations
from scripts.suite.support import ROOT, is_whole

KNOWN = ROOT / "tests" / "durations.json"


def renew_durations(
    known: Mapping[str, float], cases: Iterable[Case], *, root: Path = ROOT
) -> dict[str, float]:
    """Seconds of each file, longest first: what was known, and in its place what this run has shown of files
    that ran whole."""
    files: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        files[case.file].append(case)
    ran = [own for own in files.values() if any(case.outcome == "passed" for case in own)]
    whole = [case for own in ran if is_whole(own[0].file, own, root=root) for case in own]
    kept = {file: seconds for file, seconds in known.items() if (root / file).is_file()}
    renewed = kept | sum_durations(whole)
    return {file: renewed[file] for file in sorted(renewed, key=lambda file: -renewed[file])}
