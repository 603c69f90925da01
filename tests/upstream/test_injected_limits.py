"""Why core/mesh/checks/shapes.py has its bounds: beyond them the real istiod refuses every pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.support.istiod import InjectionRefused, run_istiod
from tests.upstream.installations import Setting, build_configuration, render_ours
from tests.upstream.test_hooks import POD

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "number": (
        {"readinessPeriodSeconds": 2**31 - 1, "startupProbe": {"failureThreshold": 2**31 - 1}},
        {"readinessPeriodSeconds": 2**31, "startupProbe": {"failureThreshold": 2**31 - 1}},
        "cannot unmarshal number 2147483648",
    ),
    "hook": (
        {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}},
        {"lifecycle": {"preStop": "sleep 5"}},
        "cannot unmarshal string",
    ),
}
"""Values of a proxy that pods can hold, others that they cannot, and the words of the refusal."""


@pytest.mark.parametrize("case", CASES)
def test_beyond_its_bound_a_value_would_refuse_every_pod(cluster: Cluster, case: str, tmp_path: Path) -> None:
    good, bad, refusal = CASES[case]
    for name, proxy in (("good", good), ("bad", bad)):
        setting = Setting(spec={"values": {"global": {"proxy": proxy}}})
        configuration = build_configuration(render_ours(setting))
        with run_istiod(cluster.kubeconfig, configuration, tmp_path / name) as istiod:
            if name == "good":
                assert "istio-proxy" in str(istiod.inject(POD)["spec"])
            else:
                with pytest.raises(InjectionRefused, match=refusal):
                    istiod.inject(POD)
