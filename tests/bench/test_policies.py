"""What the admission policies add to a write, by the API server's own clock.

Owns the writes that the policies look into, and a control: a policy of known cost, which is asked about a
ConfigMap that no policy of ours looks at, in turn with them. The control takes about five milliseconds where
the machine does nothing else, so that it says how long five milliseconds of this work take now. What the API
server measures for itself is the time of all policies of a write together, so that each has a share of it.
(`apiserver_validating_admission_policy_check_duration_seconds` counts refusals only.)
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from navarch.core.model.size import LIMIT, measure

from lab.cluster import Cluster
from tests.bench.conftest import Note
from tests.cluster.conftest import a_lab, install
from tests.polling import eventually
from tests.support.admission import TENANT, bind, build_revision, nest
from tests.support.api import Api, Object, Refused
from tests.support.meshes import build_mesh
from tests.support.operator import USER
from tests.support.rights import name_account

SECTION = "Policies"
NS, LARGE, HOST, CONTROL = "policies", "policies-large", "tenant-host", "control.bench"
STEPS = 65
"""Steps of each of the control's two nested loops."""
BATCH = 25
"""Writes between two readings."""
BOUND = "0.005"
"""A bucket of the API server's own histogram, in seconds."""
MERGE = "application/merge-patch+json"
NAME = "apiserver_admission_controller_admission_duration_seconds"
SAMPLE = re.compile(rf"^{NAME}_(bucket|sum|count)\{{(.*)\}} (\S+)$", re.MULTILINE)
Rounds = Callable[[int, int], int]


def build_control() -> Iterator[Object]:
    """A policy that counts pairs, with its binding."""
    numbers = f"[{', '.join(map(str, range(STEPS)))}]"
    pairs = f"{numbers}.all(i, {numbers}.all(j, i + j < request.operation.size() + {2 * STEPS}))"
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}
    match = {"resourceRules": [rule], "objectSelector": {"matchLabels": {"bench": "control"}}}
    spec: Object = {"matchConstraints": match, "validations": [{"expression": pairs}]}
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"
    binding = {"policyName": CONTROL, "validationActions": ["Deny"]}
    yield {"apiVersion": api, "kind": kind, "metadata": {"name": CONTROL}, "spec": spec}
    yield {"apiVersion": api, "kind": f"{kind}Binding", "metadata": {"name": CONTROL}, "spec": binding}


@dataclass(frozen=True, slots=True)
class Taken:
    """What a number of writes took in policies: how many, how many of them within BOUND, and seconds."""

    writes: int = 0
    within: int = 0
    seconds: float = 0.0

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.writes + other.writes, self.within + other.within, self.seconds + other.seconds)

    @property
    def share(self) -> float:
        return self.within / self.writes

    @property
    def mean(self) -> float:
        return self.seconds / self.writes


def read_taken(api: Api) -> Taken:
    """What all writes of the cluster have taken in policies until now."""
    found: dict[str, float] = {"bucket": 0, "sum": 0, "count": 0}
    for kind, labels, value in SAMPLE.findall(api.request("GET", "/metrics", media="text/plain")):
        own = 'name="ValidatingAdmissionPolicy"' in labels
        if own and (kind != "bucket" or f'le="{BOUND}"' in labels):
            found[kind] += float(value)
    return Taken(int(found["count"]), int(found["bucket"]), found["sum"])


@dataclass(frozen=True, slots=True)
class Write:
    """A write that must be admitted, as a dry run. `guard` is the policy that refuses it to a tenant;
    `policies` is how many look into it, 0 where what they take is not judged."""

    user: str
    method: str
    path: str
    body: Object
    guard: str = ""
    policies: int = 1

    def send(self, api: Api, *, user: str = "") -> None:
        """Send it once. Raises Refused."""
        media = MERGE if self.method == "PATCH" else "application/json"
        path = f"{self.path}?dryRun=All"
        api.impersonating(user or self.user).request(self.method, path, self.body, media=media)


def take(api: Api, write: Write) -> Taken:
    """What BATCH of them take. Writes of others meanwhile count as quick ones, and their time as ours."""
    before = read_taken(api)
    for _ in range(BATCH):
        write.send(api)
    after = read_taken(api)
    others = after.writes - before.writes - BATCH
    within = max(0, after.within - before.within - others)
    return Taken(BATCH, within, after.seconds - before.seconds)


# --- what is written


def build_ordinary(name: str = "demo") -> Object:
    """A mesh as people have them: some of the free-form fields."""
    mesh_config = {
        "accessLogFile": "/dev/stdout",
        "defaultConfig": {"concurrency": 2, "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}},
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
    }
    requests = {"resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}
    values = {"global": {"proxy": requests}, "pilot": {"traceSampling": 1.0}}
    return build_mesh(NS, name, meshConfig=mesh_config, values=values, controlPlane={"replicas": 2})


def build_largest() -> Object:
    """A mesh with as many entries as are accepted, in maps that the policies look into."""
    half = {f"KEY_{number}": "x" * 60 for number in range(LIMIT.nodes // 2 - 100)}
    mesh = build_mesh(
        LARGE,
        meshConfig={"defaultConfig": {"proxyMetadata": half}},
        values={"global": {"proxy": {"lifecycle": half}}},
    )
    size = measure([mesh["spec"]])
    assert not size.exceeds(LIMIT)
    assert size.nodes > 0.9 * LIMIT.nodes
    return mesh


def build_labelled(kind: str, **more: Any) -> Object:
    """An object with a mesh's label."""
    labels = {"mesh.navarch.io/mesh-name": "demo", "mesh.navarch.io/mesh-namespace": NS}
    api = {"Deployment": "apps/v1", "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1"}
    place = {} if kind.endswith("Configuration") else {"namespace": NS}
    metadata = {"name": "labelled", **place, "labels": labels}
    return {"apiVersion": api.get(kind, "v1"), "kind": kind, "metadata": metadata, **more}


def build_objects() -> dict[str, Object]:
    """Objects of a mesh: those that others would like to write."""
    pod: Object = {"containers": [{"name": "app", "image": "app:1"}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    deployment = {"selector": {"matchLabels": {"app": "x"}}, "replicas": 0, "template": template}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    entry: Object = {
        "clientConfig": {"service": {"name": "istiod", "namespace": NS, "path": "/inject", "port": 443}},
        "rules": [rule],
        "namespaceSelector": {"matchExpressions": [{"key": "none", "operator": "Exists"}]},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
    }
    entries = [{"name": f"{letter}.bench.example", **entry} for letter in "abcd"]
    return {
        "configmap": build_labelled("ConfigMap", data={"mesh": "x" * 20_000}),
        "deployment": build_labelled("Deployment", spec=deployment),
        "pod": build_labelled("Pod", spec=pod),
        "mwc": build_labelled("MutatingWebhookConfiguration", webhooks=entries),
    }


def build_config_map(name: str, **labels: str) -> Object:
    """A ConfigMap of no mesh."""
    metadata = {"name": name, "namespace": NS, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def build_writes(api: Api) -> Mapping[str, Write]:
    """Each kind of write that a policy looks into."""
    objects = build_objects()
    demo, large = (api.path("mesh", namespace, "demo") for namespace in (NS, LARGE))
    strict = {"spec": {"mtls": {"mode": "Strict"}}}
    guarded = {"spec": nest(("meshConfig", "defaultConfig", "proxyMetadata", "A"), "b")}
    released = {"metadata": {"finalizers": None}}
    ends = [{**entry, "failurePolicy": "Fail"} for entry in objects["mwc"]["webhooks"]]
    defaults = build_config_map("class", **{"gateway.istio.io/defaults-for-class": "istio"})

    def update(kind: str, change: Object, *, user: str = HOST) -> Write:
        path = api.path(kind, "" if kind == "mwc" else NS, "labelled")
        return Write(user, "PATCH", path, change, "ownership")

    return {
        "edit of a mesh": Write(TENANT, "PATCH", demo, strict, policies=3),
        "edit of a mesh, of a guarded field": Write(HOST, "PATCH", demo, guarded, "host", 3),
        "edit of the largest mesh": Write(TENANT, "PATCH", large, strict, policies=0),
        "edit of the largest mesh, of a guarded field": Write(HOST, "PATCH", large, guarded, "host", 0),
        "creation of a mesh": Write(HOST, "POST", api.path("mesh", NS), build_ordinary("new"), "host", 4),
        "a mesh's finalizer taken off": Write(HOST, "PATCH", demo, released, "finalizer"),
        "deletion of a mesh": Write(HOST, "DELETE", demo, {}),
        "creation of a MeshRevision": Write(USER, "POST", api.path("revision", NS), build_revision(NS)),
        "edit of a mesh's ConfigMap": update("configmap", {"data": {"mesh": "y"}}),
        "edit of a mesh's Deployment": update("deployment", {"spec": {"minReadySeconds": 1}}),
        "istiod's own edit of a webhook": update("mwc", {"webhooks": ends}, user=name_account(NS)),
        "creation of a labelled pod": Write(HOST, "POST", api.path("pod", NS), objects["pod"], "pods"),
        "creation of a class's defaults": Write(
            HOST, "POST", api.path("configmap", NS), defaults, "gateway-defaults"
        ),
    }


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    """A lab with the policies in force and no operator; what the writes change is there."""
    with a_lab("benchpolicies") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        prepare(api, cluster)
        for name, write in build_writes(api).items():
            await eventually(lambda write=write: is_judged(api, write), seconds=30, what=f"{name} is judged")
        yield api


def prepare(api: Api, cluster: Cluster) -> None:
    """Meshes, objects, the control, and accounts that may write them; a tenant lacks the verb `host` only."""
    for namespace in (NS, LARGE):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for user in (TENANT, HOST):
            for role in ("navarch-mesh-admin", "edit"):
                api.create(bind(namespace, role, user=user))
        api.create(bind(namespace, "navarch-mesh-host", user=HOST))
    webhooks = "--resource=mutatingwebhookconfigurations.admissionregistration.k8s.io"
    cluster.run("create", "clusterrole", "bench", "--verb=get,patch", webhooks)
    to = [f"--user={user}" for user in (TENANT, name_account(NS))]
    cluster.run("create", "clusterrolebinding", "bench", "--clusterrole=bench", *to)
    mesh = build_ordinary()
    mesh["metadata"]["finalizers"] = ["mesh.navarch.io/cleanup"]
    for manifest in (mesh, build_largest(), *build_objects().values()):
        if manifest["kind"] != "Pod":
            api.create(manifest)
    cluster.run("apply", "-f", "-", stdin=yaml.safe_dump_all(build_control()))


def is_judged(api: Api, write: Write) -> bool:
    """Whether a write is admitted, and refused to a tenant by the policy that guards it."""
    try:
        write.send(api)
    except Refused:
        return False
    if not write.guard:
        return True
    try:
        write.send(api, user=TENANT)
    except Refused as refused:
        return f"'{write.guard}.mesh.navarch.io'" in str(refused)
    return False


# --- what it costs


@pytest.mark.long
async def test_a_policy_takes_a_small_share_of_a_write(api: Api, rounds: Rounds, note: Note) -> None:
    """All policies of a write together take less than as many controls, each in the quickest batch. Edits of
    the largest mesh are told and not judged: they take more (decision 0046)."""
    path, body = api.path("configmap", NS), build_config_map("control", bench="control")
    control, slow = Write(HOST, "POST", path, body), []
    await eventually(lambda: take(api, control).mean > 0.001, what="the control is asked")
    for name, write in build_writes(api).items():
        ours: list[Taken] = []
        beside: list[Taken] = []
        for _ in range(rounds(3, 8)):
            ours.append(take(api, write))
            beside.append(take(api, control))
        least, most = (min(taken.mean for taken in batches) for batches in (ours, beside))
        most *= write.policies
        bound = f"{1000 * most:.1f} ms: {write.policies} x the control" if write.policies else "told only"
        value = f"{1000 * least:.2f} ms; {sum(ours, Taken()).share:.0%} of all within 5 ms"
        note(SECTION, f"{name}: its policies together, mean of the quickest batch", value, bound=bound)
        if write.policies and least >= most:
            slow.append(f"{name}: {value}; {bound}")
    assert slow == []
