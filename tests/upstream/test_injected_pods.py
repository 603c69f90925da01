"""What the real istiod makes of the pods of Istio's own tests, with upstream's templates and with ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cluster import Cluster
from tests.support.istiod import InjectionRefused, Istiod, Object, run_istiod
from tests.upstream.injected_differences import INJECTED
from tests.upstream.injection_settings import SETTINGS
from tests.upstream.inputs import build_annotated_pods, read_pods
from tests.upstream.installations import Setting, build_configuration, render_ours, render_theirs
from tests.upstream.object_comparison import Difference, compare

USED: set[int] = set()
"""Numbers of the rows that explained something."""


@pytest.fixture(scope="session")
def pods() -> dict[str, Object]:
    pods = read_pods()
    assert len(pods) > 80, "Istio's tests hold more than these"
    return pods | build_annotated_pods()


def inject(istiod: Istiod, pods: dict[str, Object]) -> dict[str, Object]:
    """Each pod injected, or the refusal in its place."""
    injected: dict[str, Object] = {}
    for name, pod in pods.items():
        try:
            injected[name] = istiod.inject(pod)
        except InjectionRefused as refusal:
            injected[name] = {"refused": str(refusal).partition("; have ")[0]}  # a list in random order
    return injected


def inject_both(
    cluster: Cluster, setting: Setting, pods: dict[str, Object], folder: Path
) -> tuple[dict[str, Object], dict[str, Object]]:
    """Every pod as upstream's templates make it, and as ours do."""
    with run_istiod(
        cluster.kubeconfig, build_configuration(render_theirs(setting)), folder / "theirs"
    ) as istiod:
        theirs = inject(istiod, pods)
    with run_istiod(cluster.kubeconfig, build_configuration(render_ours(setting)), folder / "ours") as istiod:
        return theirs, inject(istiod, pods)


def compare_pods(theirs: Object, ours: Object) -> list[Difference]:
    """Everything in which two pods differ; where only one was refused, that and nothing else."""
    if ("refused" in theirs) == ("refused" in ours):
        return compare(theirs, ours)
    return compare(*({"refused": pod["refused"]} if "refused" in pod else {} for pod in (theirs, ours)))


def explain(difference: Difference, name: str) -> bool:
    """Whether a row of the table stands for a difference; it is then a used one."""
    found = [number for number, row in enumerate(INJECTED) if row.explains(difference, name)]
    USED.update(found)
    return bool(found)


@pytest.mark.parametrize("name", SETTINGS)
def test_pods_are_injected_as_upstream_injects_them(
    cluster: Cluster, pods: dict[str, Object], name: str, tmp_path: Path
) -> None:
    theirs, ours = inject_both(cluster, SETTINGS[name], pods, tmp_path)
    assert sum("refused" not in pod for pod in theirs.values()) > 80
    unexplained: dict[str, list[str]] = {}
    for pod in pods:
        for difference in compare_pods(theirs[pod], ours[pod]):
            if not explain(difference, pod):
                said = f"{difference.where}: {difference.what}: {difference.theirs!r} / {difference.ours!r}"
                unexplained.setdefault(said, []).append(pod)
    told = [f"{said}  ({len(found)}: {found[0]})" for said, found in sorted(unexplained.items())]
    assert not told, "\n".join(told)


def test_no_row_of_the_table_is_left_over() -> None:
    left = [row.where for number, row in enumerate(INJECTED) if number not in USED]
    assert not left, left
