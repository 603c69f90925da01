"""The dry-run pod that proves injection.

Owns one request: create a pod with `dryRun=All` in the probe namespace, and read what came back. Must never
create a pod for real. Invariant: while nothing that the result depends on changes, a proof is not repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from navarch.core.mesh.injection import (
    compute_evidence,
    compute_evidence_of,
    determine_injection,
    find_distrust,
    is_injected_by,
    is_probe_due,
)
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.succession import find_candidate, is_ready
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.refs import Manifest
from navarch.core.world.probe import Probe, ProbeVerdict
from navarch.core.world.proxies import read_proxy_pod
from navarch.engine.result import Cause, Fault
from navarch.kube.client import Client
from navarch.kube.errors import KubeError

PROXY_CONTAINER = "istio-proxy"
ASKED = "asked"
"""Beside a mesh's uid: what is known of the revision that its spec asks for."""


def build_probe_pod(namespace: str, tag: str) -> Manifest:
    """A pod that asks for injection by `tag`; its image is never pulled."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "navarch-probe", "namespace": namespace, "labels": {ISTIO_REV: tag}},
        "spec": {"containers": [{"name": "probe", "image": "probe.invalid/probe:1"}]},
    }


def read_probe(pod: Manifest) -> Probe:
    """What a pod that came back tells. The sidecar may be an init container (a native sidecar) or a
    container.
    """
    spec = pod["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    injected = read_proxy_pod(pod)
    if injected is None or not any(c["name"] == PROXY_CONTAINER for c in containers):
        return Probe(ProbeVerdict.NOT_INJECTED)
    return Probe(ProbeVerdict.INJECTED, revision=injected.revision)


class Prober:
    """Runs the dry run when it is due, and remembers a proof, or since when there is none, for as long as the
    evidence stands."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._proofs: dict[tuple[str, str], tuple[str, Probe]] = {}
        self._failures: dict[tuple[str, str], tuple[str, float]] = {}

    async def probe(self, observed: ObservedMesh) -> Probe | None:
        """The result for what was observed; None while a dry run could tell nothing."""
        if not is_probe_due(observed):
            return None
        return await self._prove(
            observed,
            (observed.parent.uid, ""),
            compute_evidence(observed),
            lambda probe: determine_injection(replace(observed, probe=probe)).is_true,
        )

    async def probe_asked(self, observed: ObservedMesh) -> Probe | None:
        """The same for the revision that a mesh's spec asks for, while the tag points to another one."""
        uid = observed.parent.uid
        revision = find_candidate(observed)
        if revision is None:
            self._drop((uid, ASKED))
            return None
        name = revision["metadata"]["name"]
        if not is_ready(revision) or find_distrust(observed, name):
            return None
        evidence = f"{name}/{compute_evidence_of(observed, revision)}"
        return await self._prove(
            observed, (uid, ASKED), evidence, lambda probe: is_injected_by(probe, name), label=name
        )

    async def _prove(
        self,
        observed: ObservedMesh,
        key: tuple[str, str],
        evidence: str,
        is_proof: Callable[[Probe], bool],
        *,
        label: str = "",
    ) -> Probe:
        known = self._proofs.get(key)
        if known is not None and known[0] == evidence:
            return known[1]
        probe = await self._run(observed, label or observed.tag)
        if is_proof(probe):
            self._failures.pop(key, None)
            self._proofs[key] = (evidence, probe)
            return probe
        failed, since = self._failures.get(key, ("", 0.0))
        if failed != evidence:
            since = self._clock()
            self._failures[key] = (evidence, since)
        return replace(probe, failing=self._clock() - since)

    def forget(self, uid: str) -> None:
        """Drop what is known of a mesh that is gone."""
        for which in ("", ASKED):
            self._drop((uid, which))

    def _drop(self, key: tuple[str, str]) -> None:
        self._proofs.pop(key, None)
        self._failures.pop(key, None)

    async def _run(self, observed: ObservedMesh, label: str) -> Probe:
        pod = build_probe_pod(observed.environment.probe_namespace, label)
        try:
            return read_probe(await self._client.create(pod, dry_run=True))
        except KubeError as error:
            return Probe(determine_denial(error), message=str(error))
        except Fault as error:
            return Probe(ProbeVerdict.UNREACHABLE, message=str(error))


def determine_denial(error: KubeError) -> ProbeVerdict:
    """Whose denial it was: a webhook of Istio's names itself in the API server's message."""
    if error.cause is Cause.NOT_PERMITTED:
        return ProbeVerdict.NOT_PERMITTED
    text = str(error)
    if "sidecar-injector.istio.io" in text or "Pod injection failed" in text:
        return ProbeVerdict.WEBHOOK_FAILED
    return ProbeVerdict.DENIED
