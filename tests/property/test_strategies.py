"""Whatever is edited in whatever order (strategy, version, configuration with canaries and without, the way
back by hand), whichever istiods come up, and wherever the operator is killed: somebody injects and validates
at every moment, the tag moves to what serves only, no proxy loses its istiod, and a mesh ends at what its
spec asks for."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from navarch.core.model.labels import REVISION
from navarch.core.model.refs import Manifest
from navarch.kube.store import Object

from tests.support.memory import build_namespace, build_root_config
from tests.support.meshes import build_mesh, read_condition
from tests.unit.observations import assets
from tests.unit.test_rollback import NS, InPlace
from tests.unit.test_successions import TAG, Killed, put_pod

MINORS = ("1.30", "1.31", "1.32")
EXACT = {minor: assets().catalog.find(minor).version for minor in MINORS}  # type: ignore[union-attr]
NEVER = 10**6
GRACE = {"inactiveRevisionGracePeriodSeconds": 0}


class Fates(InPlace):
    """A cluster in which istiods of the versions in `sick` do not come up; those that serve already serve on
    until a newer one is available."""

    def __init__(self) -> None:
        super().__init__()
        self.sick: set[str] = set()

    def restart(self) -> Fates:
        other = Fates()
        other.sick, other.now = self.sick, self.now
        for manifest in [*self.objects.values()]:
            other.keep(manifest)
        return other

    def _live(self, manifest: Object) -> Object:
        made = super()._live(manifest)
        if manifest["kind"] != "Deployment":
            return made
        counts: dict[str, Any] = {"observedGeneration": NEVER, "replicas": 1, "updatedReplicas": 1}
        if not any(f":{EXACT[minor]}" in json.dumps(manifest) for minor in self.sick):
            counts |= {"availableReplicas": 1, "readyReplicas": 1}
        elif self.is_available(manifest["metadata"]["labels"][REVISION]):
            counts |= {"replicas": 2, "availableReplicas": 1, "readyReplicas": 1}
        return {**made, "status": counts}

    async def apply(self, manifest: Manifest, **how: Any) -> Object:
        if (
            manifest["kind"] == "MutatingWebhookConfiguration"
            and "revision-tag" in manifest["metadata"]["name"]
        ):
            (target,) = {
                entry["clientConfig"]["service"]["name"].removeprefix("istiod-")
                for entry in manifest["webhooks"]
            }
            assert self.is_available(target), f"the tag moves to {target}, which does not serve"
        return await super().apply(manifest, **how)

    def is_available(self, revision: str) -> bool:
        there = self.objects.get(("Deployment", NS, f"istiod-{revision}"))
        return there is not None and bool(there["status"].get("availableReplicas"))

    def heal(self) -> None:
        self.sick = set()
        for deployment in self.list_kind("Deployment"):
            self.put(self._live(deployment))

    def restart_pods(self) -> None:
        put_pod(self, self.find_injector(TAG))

    def find_version(self) -> str:
        """The version of the revision to which the tag points."""
        revision = self.objects["MeshRevision", NS, self.find_injector(TAG)]
        return str(revision["spec"]["version"])

    def check(self) -> None:
        serving = self.find_injector(TAG)
        assert self.is_available(serving), f"{serving} injects, and does not serve"
        assert [w for w in self.list_kind("ValidatingWebhookConfiguration") if _validates(w)]
        for pod in self.list_kind("Pod"):
            status = (pod["metadata"].get("annotations") or {}).get("sidecar.istio.io/status")
            if status:
                assert self.is_available(json.loads(status)["revision"]), "a proxy lost its istiod"

    async def go_on(self, writes: int = NEVER) -> Fates:
        """The same cluster after some looks, of an operator that is killed after so many writes."""
        self.left = writes
        try:
            await self.settle()
        except Killed:
            self.check()
        other = self.restart()
        await other.settle()
        other.check()
        return other


def _validates(webhook: Object) -> bool:
    return any('"DoesNotExist"' in json.dumps(entry["objectSelector"]) for entry in webhook["webhooks"])


@cache
def a_settled_mesh(strategy: str) -> Fates:
    cluster = Fates()
    cluster.put(build_namespace(NS))
    cluster.put(build_root_config(NS))
    cluster.put(build_mesh(NS, version="1.30", upgrade={"strategy": strategy, **GRACE}))
    asyncio.run(cluster.settle())
    cluster.restart_pods()
    return cluster


kinds = st.sampled_from(("InPlace", "RevisionBased"))
writes = st.just(NEVER) | st.integers(1, 40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("strategy"), kinds, writes),
        st.tuples(st.just("version"), st.sampled_from(MINORS), writes),
        st.tuples(st.sampled_from(("rollback", "canaryConfig")), st.booleans(), writes),
        st.tuples(st.just("level"), st.sampled_from(("debug", "warn")), writes),
        st.tuples(st.just("sick"), st.sampled_from(MINORS), writes),
        st.tuples(st.just("heal"), st.none(), writes),
        st.tuples(st.just("wait"), st.none(), writes),
        st.tuples(st.just("pods"), st.none(), writes),
    ),
    min_size=2,
    max_size=6,
)


def carry_out(cluster: Fates, step: str, value: Any) -> None:
    match step:
        case "version":
            cluster.edit(version=value)
        case "level":
            cluster.edit(controlPlane={"logging": {"level": f"default:{value}"}})
        case "strategy" | "rollback" | "canaryConfig":
            upgrade = {**cluster.mesh["spec"]["upgrade"], step: value}
            if upgrade["strategy"] == "InPlace":  # with which canaries are refused
                upgrade["canaryConfig"] = False
            cluster.edit(upgrade=upgrade)
        case "sick":
            cluster.sick = cluster.sick | {value}
        case "heal":
            cluster.heal()
        case "wait":
            cluster.wait(700)
        case "pods":
            cluster.restart_pods()


async def run(cluster: Fates, steps: list[tuple[str, Any, int]]) -> None:
    for step, value, writes in steps:
        carry_out(cluster, step, value)
        cluster = await cluster.go_on(writes)
    cluster.heal()
    carry_out(cluster, "rollback", False)
    for minor in MINORS[1:]:
        cluster.edit(version=minor)
        for _ in range(2):
            cluster = await cluster.go_on()
            cluster.restart_pods()
    cluster = await (await cluster.go_on()).go_on()  # of which the last look finds nothing to do
    assert cluster.find_version() == EXACT["1.32"], cluster.mesh["status"]
    assert cluster.list_revisions() == [cluster.find_injector(TAG)]
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", cluster.mesh["status"]


@settings(max_examples=5)
@given(first=kinds, steps=steps)
@example(
    first="InPlace",
    steps=[
        ("strategy", "RevisionBased", NEVER),
        ("sick", "1.31", NEVER),
        ("version", "1.31", 7),
        ("strategy", "InPlace", NEVER),
        ("wait", None, NEVER),
        ("rollback", True, NEVER),
    ],
)
@example(
    first="RevisionBased",
    steps=[
        ("version", "1.31", NEVER),
        ("strategy", "InPlace", NEVER),
        ("version", "1.30", NEVER),
        ("canaryConfig", True, NEVER),
        ("strategy", "RevisionBased", NEVER),
        ("level", "debug", 9),
        ("version", "1.31", 5),
        ("rollback", True, 3),
    ],
)
def test_a_mesh_serves_through_every_edit_and_ends_at_what_its_spec_asks_for(
    first: str, steps: list[tuple[str, Any, int]]
) -> None:
    asyncio.run(run(a_settled_mesh(first).restart(), steps))
