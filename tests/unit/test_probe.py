"""The dry-run pod: when a proof is repeated, and for how long there has been none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.world.probe import Probe, ProbeVerdict
from navarch.gather.probe import Prober, determine_denial, read_probe
from navarch.kube.client import Client
from navarch.kube.errors import Denial, Forbidden, Invalid, KubeError, Unavailable
from navarch.survey.placement import read_pod

from tests.unit.test_status import settled

UNTRUSTED = "failed calling webhook rev.object.sidecar-injector.istio.io: x509"


class Pods:
    """The only request there is: a pod that is created for a look."""

    def __init__(self, revision: str) -> None:
        self.asked, self.broken = 0, False
        self._revision = revision

    async def create(self, pod: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
        assert dry_run
        self.asked += 1
        if self.broken:
            raise Unavailable(UNTRUSTED, status=500)
        labels = {"service.istio.io/canonical-name": "probe", "istio.io/rev": self._revision}
        status = f'{{"revision": "{self._revision}"}}'
        return {
            "metadata": {
                "name": "navarch-probe",
                "namespace": "navarch-probe",
                "labels": labels,
                "annotations": {"sidecar.istio.io/status": status, "istio.io/rev": self._revision},
            },
            "spec": {"containers": [{"name": "probe"}, {"name": "istio-proxy"}]},
        }


def build_prober(observed: ObservedMesh, clock: Callable[[], float]) -> tuple[Prober, Pods]:
    pods = Pods(observed.webhooks[0].revision)
    return Prober(cast(Client, pods), clock=clock), pods


def changed_and_changed_back(observed: ObservedMesh) -> ObservedMesh:
    injector = observed.webhooks[0]
    later = replace(injector, generation=injector.generation + 2)
    return replace(observed, webhooks=(later, *observed.webhooks[1:]))


async def test_a_proof_stands_while_nothing_changes_and_is_repeated_when_something_was_amiss() -> None:
    observed = settled()
    prober, pods = build_prober(observed, lambda: 0.0)
    proof = await prober.probe(observed)
    assert proof is not None
    assert proof.verdict is ProbeVerdict.INJECTED
    assert await prober.probe(observed) == proof
    assert pods.asked == 1
    later = changed_and_changed_back(observed)
    assert await prober.probe(later) == proof
    assert pods.asked == 2, "the bundle is what it was, but the API server may not have followed"


async def test_how_long_it_has_failed_counts_from_the_last_change_of_what_it_depends_on() -> None:
    observed, now = settled(), [100.0]
    prober, pods = build_prober(observed, lambda: now[0])
    pods.broken = True

    async def fail(seen: ObservedMesh, *, after: float) -> float:
        now[0] += after
        probe = await prober.probe(seen)
        assert probe is not None
        assert replace(probe, failing=0.0) == Probe(ProbeVerdict.WEBHOOK_FAILED, message=probe.message)
        assert UNTRUSTED in probe.message
        return probe.failing

    assert await fail(observed, after=0) == 0
    assert await fail(observed, after=7) == 7
    available = {"conditions": observed.revisions[0]["status"]["conditions"], "version": "1.31.2"}
    other = replace(observed, revisions=({**observed.revisions[0], "status": available},))
    assert await fail(other, after=7) == 0
    assert await fail(other, after=3) == 3
    pods.broken = False
    assert (await prober.probe(other)) is not None
    pods.broken = True
    prober.forget(observed.parent.uid)
    assert await fail(other, after=60) == 0


# --- what a pod tells that came back, or did not ------------------------------------------------------------


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize("at", range(3))
def test_the_proxy_is_found_by_its_name_wherever_it_stands(kind: str, at: int) -> None:
    """Istio moved it from the last place to the first, and from there among the init containers."""
    others = [{"name": "app"}, {"name": "helper"}]
    spec = {"containers": others, "initContainers": others}
    spec[kind] = [*others[:at], {"name": "istio-proxy"}, *others[at:]]
    metadata = {
        "name": "p",
        "namespace": "n",
        "annotations": {"sidecar.istio.io/status": '{"revision": "a"}'},
    }
    assert read_probe({"metadata": metadata, "spec": spec}) == Probe(ProbeVerdict.INJECTED, revision="a")
    assert read_pod({"metadata": metadata, "spec": spec}).native is (kind == "initContainers")


FIELD = "spec.initContainers[1].readinessProbe"
WORDS = "Forbidden: may not be set for init containers without restartPolicy=Always"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Invalid(WORDS, status=422, causes=[{"field": FIELD}]), ProbeVerdict.MADE_INVALID),
        (Invalid("ValidatingAdmissionPolicy 'x' denied request", status=422), ProbeVerdict.DENIED),
        (Forbidden("exceeded quota", denial=Denial.ADMISSION, status=403), ProbeVerdict.DENIED),
        (Unavailable(UNTRUSTED, status=500), ProbeVerdict.WEBHOOK_FAILED),
    ],
)
def test_a_pod_that_became_invalid_on_its_way_is_no_denial_of_the_probe_alone(
    error: KubeError, verdict: ProbeVerdict
) -> None:
    assert determine_denial(error) is verdict
