"""What the real istiod makes of the pods of Istio's own tests, with upstream's templates and with ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from navarch.core.world.proxies import read_proxy_pod

from lab.builds import ISTIO_LINES, NEWEST_ISTIO, IstioLine
from lab.cluster import Cluster
from tests.support.istiod import InjectionRefused, Istiod, Object, run_istiod
from tests.upstream.injected_differences import INJECTED
from tests.upstream.injection_settings import SETTINGS
from tests.upstream.inputs import LONG, build_annotated_pods, build_long_named_pods, read_pods
from tests.upstream.installations import REVISION, Setting, build_configuration, render_ours, render_theirs
from tests.upstream.object_comparison import Difference, compare

CANONICAL = "service.istio.io/canonical-name"
CUT = LONG[:63].strip("-_.")
USED: set[int] = set()
"""Numbers of the rows that explained something."""


OLDER = ("default", "capture by TPROXY", "everything in values", "everything in meshConfig")
"""Settings that are compared for older minors, too: the others are about parts of templates that are the same
text for all minors (tests/golden shows which differ)."""
CASES = [(line, name) for line in ISTIO_LINES for name in (SETTINGS if line is NEWEST_ISTIO else OLDER)]


@cache
def pods_of(line: IstioLine) -> dict[str, Object]:
    """The pods of this minor's own tests, and ours."""
    pods = read_pods(line)
    assert len(pods) > 80, "Istio's tests hold more than these"
    return pods | build_annotated_pods() | build_long_named_pods()


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
    cluster: Cluster, setting: Setting, line: IstioLine, folder: Path
) -> tuple[dict[str, Object], dict[str, Object]]:
    """Every pod as upstream's templates make it, and as ours do."""
    injected: list[dict[str, Object]] = []
    for name, objects in (("theirs", render_theirs(setting, line)), ("ours", render_ours(setting, line))):
        configuration = build_configuration(objects)
        with run_istiod(cluster.kubeconfig, configuration, folder / name, line=line) as istiod:
            injected.append(inject(istiod, pods_of(line)))
    return injected[0], injected[1]


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


def has_proxy(pod: Object) -> bool:
    """Whether a pod has the proxy, as a container or as a native sidecar; some of Istio's are left alone."""
    containers = [c for key in ("initContainers", "containers") for c in pod.get("spec", {}).get(key) or ()]
    return any(container["name"] == "istio-proxy" for container in containers)


def read_revision(pod: Object) -> str:
    """The revision for which a pod is counted among proxies; the pods of Istio's tests have no names."""
    proxy = read_proxy_pod({**pod, "metadata": {"namespace": "apps", "name": "pod", **pod["metadata"]}})
    return proxy.revision if proxy is not None else ""


@pytest.mark.parametrize(("line", "name"), CASES, ids=[f"{line.minor}-{name}" for line, name in CASES])
def test_pods_are_injected_as_upstream_injects_them(
    cluster: Cluster, line: IstioLine, name: str, tmp_path: Path
) -> None:
    theirs, ours = inject_both(cluster, SETTINGS[name], line, tmp_path)
    assert sum("refused" not in pod for pod in theirs.values()) > 80
    assert {read_revision(pod) for pod in ours.values() if has_proxy(pod)} == {REVISION}
    assert {ours[named]["metadata"]["labels"][CANONICAL] for named in build_long_named_pods()} == {CUT}
    unexplained: dict[str, list[str]] = {}
    for pod in pods_of(line):
        for difference in compare_pods(theirs[pod], ours[pod]):
            if not explain(difference, pod):
                said = f"{difference.where}: {difference.what}: {difference.theirs!r} / {difference.ours!r}"
                unexplained.setdefault(said, []).append(pod)
    told = [f"{said}  ({len(found)}: {found[0]})" for said, found in sorted(unexplained.items())]
    assert not told, "\n".join(told)


def test_no_row_of_the_table_is_left_over() -> None:
    left = [row.where for number, row in enumerate(INJECTED) if number not in USED]
    assert not left, left
