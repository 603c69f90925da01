"""The dry runs that prove injection and validation.

Owns these requests: create a pod, or a VirtualService, with `dryRun=All` in the probe namespace, and read
what came back. Must never create one for real. Invariant: while nothing that the result depends on changes, a
proof is not repeated.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from navarch.core.mesh.injection import (
    MUTATING,
    VALIDATING,
    compute_evidence,
    compute_evidence_of,
    determine_injection,
    find_distrust,
    is_injected_by,
    is_probe_due,
)
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.proof import find_candidate, is_ready
from navarch.core.mesh.validation import judge_bad, judge_good, list_validators
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.refs import Manifest
from navarch.core.world.probe import Probe, ProbeVerdict, Validation
from navarch.core.world.proxies import read_proxy_pod
from navarch.engine.result import Cause, Fault
from navarch.kube.client import Client
from navarch.kube.errors import Invalid, KubeError

PROXY_CONTAINER = "istio-proxy"
ASKED, REFUSES, ADMITS = "asked", "refuses", "admits"
"""Beside a mesh's uid: what is known of the revision that its spec asks for, whether it injects pods, refuses
bad configuration, and lets good configuration pass."""
Result = TypeVar("Result")


def build_probe_pod(namespace: str, tag: str) -> Manifest:
    """A pod that asks for injection by `tag`; its image is never pulled."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "navarch-probe", "namespace": namespace, "labels": {ISTIO_REV: tag}},
        "spec": {"containers": [{"name": "probe", "image": "probe.invalid/probe:1"}]},
    }


def build_virtual_service(namespace: str, revision: str, *, weights: tuple[int, int]) -> Manifest:
    """A VirtualService that names a revision. With weights that add up to 0 istiod refuses it, and nothing
    else does: its CRD lets them pass (pkg/config/validation of istio.io/istio)."""
    host = "navarch-probe.invalid"
    routes = [{"destination": {"host": host}, "weight": weight} for weight in weights]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "navarch-probe", "namespace": namespace, "labels": {ISTIO_REV: revision}},
        "spec": {"hosts": [host], "http": [{"route": routes}]},
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
        self._proofs: dict[tuple[str, str], tuple[str, Any]] = {}
        self._failures: dict[tuple[str, str], tuple[str, float]] = {}

    async def probe(self, observed: ObservedMesh) -> Probe | None:
        """The result for what was observed; None while a dry run could tell nothing."""
        if not is_probe_due(observed):
            return None
        return await self._prove_injection(
            (observed.parent.uid, ""),
            compute_evidence(observed),
            lambda: self._run(observed, observed.tag),
            lambda probe: determine_injection(replace(observed, probe=probe)).is_true,
        )

    async def probe_asked(self, observed: ObservedMesh) -> Probe | None:
        """The same for the revision that a mesh's spec asks for, while the tag points to another one."""
        uid = observed.parent.uid
        revision = find_candidate(observed)
        if revision is None:
            for which in (ASKED, REFUSES, ADMITS):
                self._drop((uid, which))
            return None
        name = revision["metadata"]["name"]
        if not is_ready(revision) or find_distrust(observed, name):
            return None
        return await self._prove_injection(
            (uid, ASKED),
            f"{name}/{compute_evidence_of(observed, revision, MUTATING)}",
            lambda: self._run(observed, name),
            lambda probe: is_injected_by(probe, name),
        )

    async def validate_asked(self, observed: ObservedMesh) -> Validation | None:
        """What dry runs of configuration tell of the revision that a mesh's spec asks for; None before it
        injects pods, and where its validator is not asked about configuration."""
        revision = find_candidate(observed)
        name = revision["metadata"]["name"] if revision is not None else ""
        if revision is None or not is_injected_by(observed.asked_probe, name):
            return None
        names = list_validators(observed, name)
        if not names:
            return None
        uid, evidence = observed.parent.uid, f"{name}/{compute_evidence_of(observed, revision, VALIDATING)}"
        place = observed.environment.probe_namespace
        told: Validation | None = None
        for which, weights in ((REFUSES, (0, 0)), (ADMITS, (1, 0))):
            manifest = build_virtual_service(place, name, weights=weights)
            judge = partial(judge_bad, name, names) if which == REFUSES else partial(judge_good, name)
            told = await self._prove(
                (uid, which), evidence, partial(self._validate, manifest, judge), _has_no_problem
            )
            if told.problem:
                break
        return told

    async def _prove_injection(
        self,
        key: tuple[str, str],
        evidence: str,
        run: Callable[[], Awaitable[Probe]],
        is_proof: Callable[[Probe], bool],
    ) -> Probe:
        probe = await self._prove(key, evidence, run, is_proof)
        if is_proof(probe):
            self._failures.pop(key, None)
            return probe
        failed, since = self._failures.get(key, ("", 0.0))
        if failed != evidence:
            since = self._clock()
            self._failures[key] = (evidence, since)
        return replace(probe, failing=self._clock() - since)

    async def _prove(
        self,
        key: tuple[str, str],
        evidence: str,
        run: Callable[[], Awaitable[Result]],
        is_proof: Callable[[Result], bool],
    ) -> Result:
        """What was proved with this evidence, or what `run` tells now."""
        known = self._proofs.get(key)
        if known is not None and known[0] == evidence:
            proved: Result = known[1]
            return proved
        told = await run()
        if is_proof(told):
            self._proofs[key] = (evidence, told)
        return told

    def forget(self, uid: str) -> None:
        """Drop what is known of a mesh that is gone."""
        for which in ("", ASKED, REFUSES, ADMITS):
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

    async def _validate(self, manifest: Manifest, judge: Callable[[str | None], Validation]) -> Validation:
        try:
            await self._client.create(manifest, dry_run=True)
        except Fault as error:
            return judge(str(error))
        return judge(None)


def _has_no_problem(validation: Validation) -> bool:
    return not validation.problem


def determine_denial(error: KubeError) -> ProbeVerdict:
    """Whose denial it was: a webhook of Istio's names itself in the API server's message. The pod that was
    sent is valid: where the API server refuses a field, admission changed it, and each pod gets the same."""
    if error.cause is Cause.NOT_PERMITTED:
        return ProbeVerdict.NOT_PERMITTED
    text = str(error)
    if "sidecar-injector.istio.io" in text or "Pod injection failed" in text:
        return ProbeVerdict.WEBHOOK_FAILED
    if isinstance(error, Invalid) and any(cause.get("field") for cause in error.causes):
        return ProbeVerdict.MADE_INVALID
    return ProbeVerdict.DENIED
