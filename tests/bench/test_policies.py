"""What the admission policies add to a write, by the API server's own clocks: one write between two readings.

The API server counts the seconds of every evaluation, of validations and of match conditions, in sums for
each policy. A policy of known cost is bound to the same writes: what it takes is the control. It takes about
five milliseconds on a machine that does nothing else; how long that is now decides how slow a policy may be.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from navarch.core.model.size import LIMIT, measure

from lab.cluster import Cluster
from tests.bench.conftest import Note
from tests.bench.measure import find_percentile
from tests.cluster.conftest import a_lab, install
from tests.polling import eventually
from tests.support.admission import TENANT, bind, build_revision
from tests.support.api import Api, Object, Refused
from tests.support.meshes import build_mesh
from tests.support.operator import USER
from tests.support.rights import name_account

SECTION = "Policies"
NS, HOST = "policies", "tenant-host"
CONTROL = "control.bench"
STEPS = 200
"""Steps of each of the control's two nested loops."""
SHARE = 0.99
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
OURS = ".mesh.navarch.io"
SECONDS = re.compile(
    r"^apiserver_(?:validating_admission_policy_check_duration|admission_match_condition_evaluation)_seconds_sum"
    r"\{(?P<labels>.*)\} (?P<value>\S+)$",
    re.MULTILINE,
)
NAME = re.compile(r'(?:^|,)(?:policy|name)="([^"]*)"')
Rounds = Callable[[int, int], int]


def build_control() -> list[Object]:
    """A policy that counts pairs, and is asked about every write that is measured here."""
    numbers = f"[{', '.join(map(str, range(STEPS)))}]"
    expression = f"{numbers}.all(i, {numbers}.all(j, i + j < request.operation.size() + {2 * STEPS}))"
    groups = {
        "mesh.navarch.io": ["*"],
        "": ["configmaps", "pods"],
        "apps": ["deployments"],
        "admissionregistration.k8s.io": ["mutatingwebhookconfigurations"],
    }
    rules = [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": names, "scope": "*"}
        for group, names in groups.items()
    ]
    api = "admissionregistration.k8s.io/v1"
    spec: Object = {
        "failurePolicy": "Ignore",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": expression}],
    }
    binding = {"policyName": CONTROL, "validationActions": ["Deny"]}
    return [
        {
            "apiVersion": api,
            "kind": f"ValidatingAdmissionPolicy{end}",
            "metadata": {"name": CONTROL},
            "spec": s,
        }
        for end, s in (("", spec), ("Binding", binding))
    ]


def read_seconds(api: Api) -> dict[str, float]:
    """The seconds that evaluations have taken until now, by policy."""
    seconds: dict[str, float] = defaultdict(float)
    for found in SECONDS.finditer(api.request("GET", "/metrics", media="text/plain")):
        if name := NAME.search(found["labels"]):
            seconds[name[1]] += float(found["value"])
    return seconds


@dataclass(frozen=True, slots=True)
class Write:
    """A dry run of a write that must be admitted, as a user, and the policies that look into it."""

    user: str
    policies: frozenset[str]
    method: str
    path: str
    body: Object
    media: str = "application/json"

    def send(self, api: Api) -> None:
        """Send it once."""
        query = "dryRun=All" + ("&fieldManager=bench&force=true" if self.media == APPLY else "")
        api.impersonating(self.user).request(self.method, f"{self.path}?{query}", self.body, media=self.media)


def take(api: Api, write: Write) -> dict[str, float]:
    """Milliseconds of one write, by policy."""
    before = read_seconds(api)
    write.send(api)
    after = read_seconds(api)
    return {name: 1000 * (value - before.get(name, 0)) for name, value in after.items()}


# --- what is written


def build_ordinary(**more: Any) -> Object:
    """A mesh as people have them: some of the free-form fields, a dozen keys deep."""
    return build_mesh(
        NS,
        meshConfig={
            "accessLogFile": "/dev/stdout",
            "defaultConfig": {"concurrency": 2, "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}},
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        },
        values={"global": {"proxy": {"resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}}},
        controlPlane={"replicas": 2, "autoscaling": {"enabled": False}},
        **more,
    )


def build_largest() -> Object:
    """A mesh with as many entries as are accepted, spread over the maps that the policies look into."""
    variables = {f"KEY_{number}": "x" * 60 for number in range(LIMIT.nodes // 2 - 100)}
    values = {f"key-{number}": "x" * 60 for number in range(LIMIT.nodes // 2 - 100)}
    mesh = build_mesh(
        NS,
        "large",
        meshConfig={"defaultConfig": {"proxyMetadata": variables}},
        values={"global": {"proxy": {"privileged": False}, "waypoint": {"affinity": values}}},
    )
    size = measure([mesh["spec"]])
    assert not size.exceeds(LIMIT)
    assert size.nodes > 0.9 * LIMIT.nodes
    return mesh


def label(name: str, kind: str, **more: Any) -> Object:
    """An object with a mesh's label."""
    labels = {"mesh.navarch.io/mesh-name": "demo", "mesh.navarch.io/mesh-namespace": NS}
    api = {"Deployment": "apps/v1", "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1"}
    place = {} if kind.endswith("Configuration") else {"namespace": NS}
    return {
        "apiVersion": api.get(kind, "v1"),
        "kind": kind,
        "metadata": {"name": name, **place, "labels": labels},
        **more,
    }


def build_objects() -> dict[str, Object]:
    """Objects of a mesh: those that others would like to write."""
    pod: Object = {"containers": [{"name": "app", "image": "app:1"}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    entry: Object = {
        "clientConfig": {"service": {"name": "istiod", "namespace": NS, "path": "/inject", "port": 443}},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ],
        "namespaceSelector": {"matchExpressions": [{"key": "none", "operator": "Exists"}]},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
    }
    entries = [{"name": f"{letter}.bench.example", **entry} for letter in "abcd"]
    return {
        "configmap": label("labelled", "ConfigMap", data={"mesh": "x" * 20_000}),
        "deployment": label(
            "labelled",
            "Deployment",
            spec={"selector": {"matchLabels": {"app": "x"}}, "replicas": 0, "template": template},
        ),
        "pod": label("labelled", "Pod", spec=pod),
        "mwc": label("labelled", "MutatingWebhookConfiguration", webhooks=entries),
    }


def build_writes(api: Api) -> Mapping[str, Write]:
    """Each kind of write that a policy looks into."""

    def names(*policies: str) -> frozenset[str]:
        return frozenset(f"{policy}{OURS}" for policy in policies)

    objects = build_objects()
    meshes, spec = api.path("mesh", NS), names("host", "refused", "version")
    demo, large = (api.path("mesh", NS, name) for name in ("demo", "large"))
    strict, more = (
        {"mtls": {"mode": "Strict"}},
        {"meshConfig": {"defaultConfig": {"proxyMetadata": {"A": "b"}}}},
    )
    data, ca = {"data": {"mesh": "y"}}, {"webhooks": objects["mwc"]["webhooks"]}
    ca = {"webhooks": [{**entry, "failurePolicy": "Fail"} for entry in ca["webhooks"]]}
    replicas = {"spec": {"minReadySeconds": 1}}
    revision, update = build_revision(NS), names("ownership")
    class_label = {"labels": {"gateway.istio.io/defaults-for-class": "istio"}}
    defaults = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "class", "namespace": NS}}
    defaults["metadata"] |= class_label  # type: ignore[operator]
    created = build_ordinary() | {"metadata": {"name": "new", "namespace": NS}}
    released = {"metadata": {"finalizers": None}}

    def at(kind: str) -> str:
        return api.path(kind, "" if kind == "mwc" else NS, "labelled")

    return {
        "apply of a mesh": Write(TENANT, spec, "PATCH", demo, build_ordinary(mtls={"mode": "Strict"}), APPLY),
        "creation of a mesh": Write(HOST, spec | names("placement"), "POST", meshes, created),
        "apply of the largest mesh, no guarded field": Write(
            TENANT, spec, "PATCH", large, {"spec": strict}, MERGE
        ),
        "apply of the largest mesh, guarded field": Write(HOST, spec, "PATCH", large, {"spec": more}, MERGE),
        "a mesh's finalizer taken off": Write(HOST, names("finalizer"), "PATCH", demo, released, MERGE),
        "deletion of a mesh": Write(HOST, names("deletion"), "DELETE", demo, {}),
        "creation of a MeshRevision": Write(
            USER, names("revisions"), "POST", api.path("revision", NS), revision
        ),
        "update of a mesh's ConfigMap": Write(HOST, update, "PATCH", at("configmap"), data, MERGE),
        "update of a mesh's Deployment": Write(HOST, update, "PATCH", at("deployment"), replicas, MERGE),
        "update of a webhook by istiod": Write(name_account(NS), update, "PATCH", at("mwc"), ca, MERGE),
        "creation of a labelled pod": Write(HOST, names("pods"), "POST", api.path("pod", NS), objects["pod"]),
        "creation of defaults of a class": Write(
            HOST, names("gateway-defaults"), "POST", api.path("configmap", NS), defaults
        ),
    }


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    """A lab with the policies in force and no operator; what the writes change is there."""
    with a_lab("benchpolicies") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        await prepare(api, cluster)
        yield api


async def prepare(api: Api, cluster: Cluster) -> None:
    """Meshes, objects, and accounts that may write them."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    for user, roles in {TENANT: ("admin",), HOST: ("admin", "host")}.items():
        for role in roles:
            api.create(bind(NS, f"navarch-mesh-{role}", user=user))
    for user, role in ((HOST, "edit"),):
        api.create(bind(NS, role, user=user))
    cluster.run(
        "create", "clusterrole", "webhooks", "--verb=get,patch", "--resource=mutatingwebhookconfigurations"
    )
    cluster.run(
        "create", "clusterrolebinding", "webhooks", "--clusterrole=webhooks", f"--user={name_account(NS)}"
    )
    mesh = build_ordinary()
    mesh["metadata"]["finalizers"] = ["mesh.navarch.io/cleanup"]
    for manifest in (mesh, build_largest(), *build_objects().values()):
        if manifest["kind"] != "Pod":
            api.create(manifest)
    for manifest in build_control():
        api.create(manifest)
    writes = build_writes(api)
    seen: dict[str, set[str]] = {}

    def is_looked_at(name: str) -> bool:
        try:
            asked = {policy for policy, taken in take(api, writes[name]).items() if taken > 0}
        except Refused as refused:
            seen[name] = {str(refused)}
            return False
        seen[name] = asked
        return asked >= writes[name].policies | {CONTROL}

    for name in writes:
        await eventually(lambda name=name: is_looked_at(name), what=f"{name} is looked at")


# --- what it costs


@pytest.mark.long
async def test_a_policy_takes_a_small_share_of_a_write(api: Api, rounds: Rounds, note: Note) -> None:
    """At the 99th percentile, each policy of each write, by what the control takes at that percentile."""
    slow = []
    for name, write in build_writes(api).items():
        seen = [take(api, write) for _ in range(rounds(20, 200))]
        asked = sorted({policy for one in seen for policy, taken in one.items() if taken > 0})
        assert write.policies <= set(asked)
        own = {
            policy: find_percentile([one.get(policy, 0) for one in seen], SHARE)
            for policy in asked
            if policy.endswith(OURS)
        }
        control = find_percentile([one[CONTROL] for one in seen], SHARE)
        together = find_percentile(
            [sum(taken for policy, taken in one.items() if policy.endswith(OURS)) for one in seen], SHARE
        )
        slowest = max(own, key=lambda policy: own[policy])
        note(
            SECTION,
            f"{name}: the slowest policy, p99",
            f"{slowest.removesuffix(OURS)} {own[slowest]:.2f} ms; all {len(own)} together {together:.2f} ms",
            bound=f"each less than the control, here {control:.2f} ms",
        )
        slow += [(name, policy, taken, control) for policy, taken in own.items() if taken >= control]
    assert slow == []
