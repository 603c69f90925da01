"""What a new revision has to prove once it injects pods, look by look, in a cluster in memory: that its
validator works, and that a proxy takes its configuration; and what becomes of that proxy in every case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.trial import build_trial, tell_untried
from navarch.core.mesh.upgrade import summarise_upgrade
from navarch.core.mesh.validation import list_validators
from navarch.core.model.labels import COMPONENT, TEMPLATE, TRIAL
from navarch.core.model.refs import Manifest
from navarch.core.model.requeue import PROBE_REQUEUE
from navarch.core.world.proxies import Census
from navarch.core.world.trial import TrialPod
from navarch.engine.key import Key
from navarch.gather.mesh import gather_mesh
from navarch.kube.errors import Denial, Forbidden
from navarch.kube.store import Object

from tests.support.memory import MESH, build_namespace
from tests.unit.test_successions import NEW, NS, OLD, TAG, UPGRADE, Cluster, a_mesh, named, tell

NAME = f"istio-trial-{named(NEW)}"
QUOTA = "exceeded quota: pods"


class Tried(Cluster):
    """A cluster in which the proxy of a trial may stay unready, or have no pod; and dry runs of configuration
    may be answered otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[str, Any] | None = None
        self.refused = False
        self.answers: dict[int, Exception | None] = {}
        self.asked: list[int] = []

    def restart(self) -> Tried:
        other = Tried()
        for manifest in [*self.objects.values()]:
            other.keep(manifest)
        other.status, other.refused, other.answers = self.status, self.refused, self.answers
        return other

    def _live(self, manifest: Object) -> Object:
        made = super()._live(manifest)
        if not self.refused or not is_trial(manifest) or manifest["kind"] != "Deployment":
            return made
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
        return {**made, "status": {"observedGeneration": 9, "replicas": 0, "conditions": [failure]}}

    def put(self, manifest: Manifest) -> Object:
        if manifest["kind"] == "Pod" and is_trial(manifest):
            if self.refused:
                return dict(manifest)
            manifest = {**manifest, "status": self.status or manifest["status"]}
        return super().put(manifest)

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Object:
        if manifest["kind"] != "VirtualService":
            return await super().create(manifest, dry_run=dry_run)
        (http,) = manifest["spec"]["http"]
        weights = sum(route["weight"] for route in http["route"])
        self.asked.append(weights)
        answer = self.answers.get(weights)
        if answer is not None:
            raise answer
        if weights in self.answers:
            return dict(manifest)
        return await super().create(manifest, dry_run=dry_run)

    def let_up(self) -> None:
        """What kept the trial's pod is gone."""
        self.status, self.refused = None, False
        there = self.objects["Deployment", NS, NAME]
        self.remove_pods()
        self.put(self._live({key: value for key, value in there.items() if key != "status"}))
        template = there["spec"]["template"]["metadata"]
        status = {"sidecar.istio.io/status": f'{{"revision": "{named(NEW)}"}}'}
        pod = {**template, "name": f"{NAME}-x", "namespace": NS, "annotations": status}
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.put({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "status": ready})

    def remove_pods(self) -> None:
        for key in [key for key in self.objects if key[0] == "Pod" and key[2].startswith(NAME)]:
            del self.objects[key]

    def list_trial(self) -> list[str]:
        """Objects of a trial, its pods included."""
        return sorted(kind for (kind, _, _), o in self.objects.items() if is_trial(o))


def is_trial(manifest: Manifest) -> bool:
    return (manifest["metadata"].get("labels") or {}).get(COMPONENT) == TRIAL


def denied(message: str) -> Forbidden:
    return Forbidden(message, denial=Denial.ADMISSION, status=403)


async def an_upgrade(**how: Any) -> Tried:
    """A mesh whose next version is proved but for what `how` says of the cluster."""
    cluster = await a_mesh()
    tried = Tried()
    for manifest in [*cluster.objects.values()]:
        tried.keep(manifest)
    for name, value in how.items():
        setattr(tried, name, value)
    tried.edit(version="1.31")
    await tried.settle()
    return tried


async def observe(cluster: Cluster) -> ObservedMesh:
    observed = await gather_mesh(cluster.world, NS, "demo")
    assert observed is not None
    return observed


async def read_waiting(cluster: Cluster) -> str:
    """What the mesh's status says that the upgrade waits for."""
    observed = await observe(cluster)
    succession = plan_mesh(observed, run_checks(observed)).succession
    return str(summarise_upgrade(observed, succession).get("waitingFor", ""))


def pending(**more: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "False"}]
    return {"phase": "Pending", "conditions": [*conditions, *more.get("conditions", ())], **more}


async def test_a_proxy_has_to_be_ready_before_the_tag_moves_and_goes_when_it_has() -> None:
    cluster = await an_upgrade()
    assert tell(cluster) == (named(NEW), [named(NEW)])
    made = cluster.requests.index(f"apply Deployment {NS}/{NAME} ")
    assert f"apply MutatingWebhookConfiguration istio-revision-tag-{TAG} " in cluster.requests[made:]
    assert f"apply MutatingWebhookConfiguration istio-revision-tag-{TAG} " not in cluster.requests[:made]
    assert {f"Deployment/{NAME}", f"ServiceAccount/{NAME}"} <= {*cluster.deleted}
    assert cluster.list_trial() == []
    assert sorted(cluster.asked) == [0, 1], "each dry run was made once"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"status": {"phase": "Running", "conditions": []}}, f"kubectl logs -n {NS} {NAME}-"),
        (
            {
                "status": pending(
                    containerStatuses=[
                        {
                            "name": "istio-proxy",
                            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
                        }
                    ]
                )
            },
            "ErrImagePull: no such image",
        ),
        ({"refused": True}, QUOTA),
    ],
)
async def test_a_proxy_that_does_not_become_ready_keeps_the_tag_and_is_told_with_the_way_out(
    how: Mapping[str, Any], told: str
) -> None:
    cluster = await an_upgrade(**how)
    assert tell(cluster) == (named(OLD), sorted([named(OLD), named(NEW)]))
    assert cluster.find_injector(TAG) == named(OLD)
    await cluster.settle()
    waiting = await read_waiting(cluster)
    assert told in waiting
    assert "spec.upgrade.trialProxy: Never" in waiting
    assert (await observe(cluster)).census == Census(), "it is no workload of the mesh"
    made = cluster.requests.count(f"apply Deployment {NS}/{NAME} ")
    before = cluster.objects["Deployment", NS, NAME]["metadata"]
    await cluster.settle()
    after = cluster.restart()
    await after.settle()
    assert (made, after.requests.count(f"apply Deployment {NS}/{NAME} ")) == (1, 0)
    assert after.objects["Deployment", NS, NAME]["metadata"]["uid"] == before["uid"]

    cluster.let_up()
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])
    assert cluster.list_trial() == []


async def test_it_goes_when_the_mesh_does_without_it_asks_for_another_version_or_is_deleted() -> None:
    waits = {"phase": "Running", "conditions": []}
    cluster = await an_upgrade(status=waits)
    assert cluster.list_trial() == ["Deployment", "Pod", "ServiceAccount"]
    cluster.edit(upgrade={**UPGRADE, "trialProxy": "Never"})
    await cluster.settle()
    assert (cluster.list_trial(), tell(cluster)) == ([], (named(NEW), [named(NEW)]))

    cluster = await an_upgrade(status=waits)
    cluster.edit(version="1.30")
    await cluster.settle()
    assert (cluster.list_trial(), tell(cluster)) == ([], (named(OLD), [named(OLD)]))

    cluster = await an_upgrade(status=waits)
    mesh = cluster.mesh
    metadata = {**mesh["metadata"], "deletionTimestamp": cluster.now, "finalizers": ["mesh.navarch.io/x"]}
    cluster.put({**mesh, "metadata": metadata})
    await cluster.meshes.reconcile(Key(MESH, NS, "demo"))
    assert cluster.list_trial() == []


async def test_one_that_stands_is_left_alone_while_something_else_is_missing_again() -> None:
    cluster = await an_upgrade(status={"phase": "Running", "conditions": []})
    there = cluster.objects["Deployment", "shop", f"istiod-{named(NEW)}"]
    cluster.put({**there, "status": {"observedGeneration": 9, "replicas": 1, "updatedReplicas": 1}})
    before = cluster.objects["Deployment", NS, NAME]["metadata"]["resourceVersion"]
    await cluster.settle()
    assert "is not ready" in await read_waiting(cluster)
    assert cluster.objects["Deployment", NS, NAME]["metadata"]["resourceVersion"] == before


async def test_no_pod_is_made_where_the_revision_could_not_inject_it() -> None:
    cluster = await a_mesh()
    tried = Tried()
    for manifest in [*cluster.objects.values()]:
        tried.keep(manifest)
    tried.put(build_namespace(NS, rev=TAG))
    tried.edit(version="1.31")
    await tried.settle()
    assert tried.list_trial() == []
    assert "the namespace's own labels" in await read_waiting(tried)
    tried.put(build_namespace(NS))
    await tried.settle()
    assert tell(tried) == (named(NEW), [named(NEW)])


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({0: None}, "nothing is validated"),
        ({0: denied("a policy of the house says no")}, "a policy of the house says no"),
        ({1: denied('admission webhook "other.example" denied the request: x')}, "other.example"),
    ],
)
async def test_a_validator_that_does_not_tell_good_from_bad_keeps_the_tag(
    answers: dict[int, Exception | None], told: str
) -> None:
    cluster = await an_upgrade(answers=answers)
    assert tell(cluster) == (named(OLD), sorted([named(OLD), named(NEW)]))
    await cluster.settle()
    assert told in await read_waiting(cluster)
    assert cluster.list_trial() == [], "nothing is tried before that"
    observed = await observe(cluster)
    assert plan_mesh(observed, run_checks(observed)).plan.requeue_after == PROBE_REQUEUE
    cluster.answers.clear()
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])


async def test_a_validator_that_is_not_asked_about_virtual_services_holds_nothing_up() -> None:
    observed = await observe(await an_upgrade(answers={0: None}))
    assert list_validators(observed, named(NEW)) == ("rev.validation.istio.io",)

    def change(**fields: Any) -> ObservedMesh:
        return replace(observed, owned=tuple(_with(o, fields) for o in observed.owned))

    elsewhere = {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}
    for less in (
        {"rules": [{"apiGroups": ["security.istio.io"], "resources": ["*"], "operations": ["*"]}]},
        {"rules": [{"apiGroups": ["*"], "resources": ["*"], "operations": ["UPDATE"]}]},
        {"objectSelector": {"matchLabels": {"istio.io/rev": "another"}}},
        {"namespaceSelector": elsewhere},
    ):
        assert list_validators(change(**less), named(NEW)) == ()
    assert list_validators(replace(observed, crds=()), named(NEW)) == ()


def _with(manifest: Manifest, fields: Mapping[str, Any]) -> Manifest:
    if manifest["kind"] != "ValidatingWebhookConfiguration":
        return manifest
    return {**manifest, "webhooks": [{**entry, **fields} for entry in manifest["webhooks"]]}


async def test_what_is_tried_is_what_is_asked_for() -> None:
    observed = await observe(await an_upgrade(status={"phase": "Running", "conditions": []}))
    asked = observed.find_revision(named(NEW))
    assert asked is not None
    _, workload = build_trial(observed, asked)
    template = workload["spec"]["template"]["metadata"]["labels"][TEMPLATE]
    good = TrialPod("x", template, named(NEW), ready=True)

    def is_tried(pod: TrialPod, revision: Manifest = asked) -> bool:
        return not tell_untried(replace(observed, trial=(pod,)), revision)

    assert is_tried(good)
    for other in (
        replace(good, revision=named(OLD)),
        replace(good, ready=False),
        replace(good, leaving=True),
        replace(good, template="another"),
    ):
        assert not is_tried(other), other
    spec = asked["spec"]
    changed = {**spec, "config": {**spec["config"], "meshConfig": {"accessLogFile": "/dev/stdout"}}}
    assert not is_tried(good, {**asked, "spec": changed}), "of another configuration it says nothing"
    joined = {**spec, "members": {**spec["members"], "excluded": ["front"]}}
    assert is_tried(good, {**asked, "spec": joined}), "who belongs to the mesh is no part of what is tried"
