"""Takes over what a run has shown: on which Kubernetes and Istio the tests of which files have passed.

    python -m scripts.suite.support FOLDER...

The folders are what runs left, `.suite/run` after `make test`. Owns tests/support.json, of which
docs/reference/support.md is made. Must never count a file of which a test failed, nor one whose tests did not
all run. Invariant: what is told of a file is what its last such run has shown.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.suite.results import LEFT, UNJUDGED, Case, list_failed, read_results

ROOT = Path(__file__).parents[2]
SEEN = ROOT / "tests" / "support.json"
Seen = dict[str, dict[str, int]]
"""By platform (`Kubernetes 1.37`) and file, how many tests have passed."""


def read_seen(file: Path = SEEN) -> Seen:
    """What has been taken over by now."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


def list_functions(file: Path) -> set[str]:
    """The names of a file's test functions, imported ones included; empty where there is no such file."""
    if not file.is_file():
        return set()
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if name.startswith("test_")}


def is_whole(file: str, cases: Iterable[Case], *, root: Path = ROOT) -> bool:
    """Whether every test function of a file has run, but for those that judge the run itself, and none has
    failed."""
    ran = {case.name.partition("::")[2].partition("[")[0] for case in cases}
    all_began = not any(case.outcome in (LEFT, UNJUDGED) for case in cases)
    return all_began and not list_failed(cases) and bool(ran) and ran >= list_functions(root / file)


def merge(seen: Mapping[str, Mapping[str, int]], cases: Iterable[Case], *, root: Path = ROOT) -> Seen:
    """What was seen, with what these tests have shown."""
    files: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        files[case.file].append(case)
    shown: dict[str, dict[str, int]] = defaultdict(dict)
    for file, own in files.items():
        if is_whole(file, own, root=root):
            for platform in {platform for case in own for platform in case.met}:
                passed = [case for case in own if case.outcome == "passed" and platform in case.met]
                if passed:
                    shown[platform][file] = len(passed)
    kept = {
        platform: {file: count for file, count in of.items() if (root / file).is_file()}
        for platform, of in seen.items()
    }
    merged = {platform: kept.get(platform, {}) | shown.get(platform, {}) for platform in {*kept, *shown}}
    return {
        platform: dict(sorted(merged[platform].items())) for platform in sorted(merged) if merged[platform]
    }


def main(folders: list[str]) -> int:
    """Take over what these folders hold."""
    if not folders:
        print("usage: python -m scripts.suite.support FOLDER...", file=sys.stderr)
        return 2
    seen = read_seen()
    for folder in map(Path, folders):
        steps = [
            file.name.removeprefix("results-").removesuffix(".jsonl") for file in folder.glob("results-*")
        ]
        if not steps:
            print(f"{folder} holds no results of a run", file=sys.stderr)
            return 1
        seen = merge(seen, read_results(folder, sorted(steps, key=lambda step: "again" in step)).values())
    SEEN.write_text(json.dumps(seen, indent=1) + "\n")
    print(f"written to {SEEN.relative_to(ROOT)}; `make generate` makes docs/reference/support.md of it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
