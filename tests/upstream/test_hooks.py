"""Hooks of a mesh's own beside those by which a sidecar waits and drains, as the real istiod makes pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.builds import ISTIO_LINES, IstioLine
from lab.cluster import Cluster
from tests.support.istiod import run_istiod
from tests.upstream.installations import Setting, build_configuration, render_ours

SLEEPS = {"exec": {"command": ["sleep", "20"]}}
WAITS = {"exec": {"command": ["pilot-agent", "wait"]}}
DRAINS = {"exec": {"command": ["pilot-agent", "request", "--debug-port=15020", "POST", "drain"]}}
HELD: dict[str, Any] = {"nativeSidecars": False, "holdApplicationUntilProxyStarts": True}
NATIVE: dict[str, Any] = {"nativeSidecars": True}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "held": (HELD, {"postStart": WAITS}),
    "held, with a hook before its end": (HELD, {"postStart": WAITS, "preStop": SLEEPS}),
    "held, with a hook after its start": (HELD, {"postStart": SLEEPS}),
    "native": (NATIVE, {"preStop": DRAINS}),
    "native, with a hook after its start": (NATIVE, {"postStart": SLEEPS, "preStop": DRAINS}),
    "native, with a hook before its end": (NATIVE, {"preStop": SLEEPS}),
    "neither": ({"nativeSidecars": False}, {}),
}
"""What the mesh says of its proxies, and the hooks that a sidecar has."""
OWN = {"before its end": "preStop", "after its start": "postStart"}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "apps", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "app:1", "resources": {}}]},
}


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
@pytest.mark.parametrize("case", CASES)
def test_a_hook_of_the_meshs_own_takes_the_place_of_the_same_hook_only(
    cluster: Cluster, line: IstioLine, case: str, tmp_path: Path
) -> None:
    proxy, wanted = CASES[case]
    own = {hook: SLEEPS for said, hook in OWN.items() if said in case}
    spec = {"proxy": proxy | ({"lifecycle": own} if own else {})}
    configuration = build_configuration(render_ours(Setting(spec=spec), line))
    with run_istiod(cluster.kubeconfig, configuration, tmp_path, line=line) as istiod:
        pod = istiod.inject(POD)
        again = istiod.inject(POD)
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]
    (sidecar,) = [c for c in containers if c["name"] == "istio-proxy"]
    assert sidecar.get("lifecycle", {}) == wanted
    assert again["spec"] == pod["spec"], "one pod's hooks do not reach the next"
