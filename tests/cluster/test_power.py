"""Who may write what into a mesh, field by field, on a real API server: the policy `host` and the table that
it is made of give one verdict.

TENANT may edit meshes and does not hold the verb `host`; HOST holds it. Requests are dry runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from navarch.api.power.guarded import find_guarded
from navarch.api.power.meshconfig import MESH_CONFIG
from navarch.api.power.rules import Path, Power, find_refused, list_spellings
from navarch.api.power.spec import SPEC
from navarch.api.power.values import VALUES
from navarch.api.refused import REFUSED_MESH_CONFIG, REFUSED_VALUES
from navarch.core.model.size import LIMIT

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace
from tests.polling import eventually
from tests.support.admission import TENANT, bind, nest
from tests.support.api import Api, Object, Refused
from tests.support.meshes import build_mesh

HOST = "tenant-host"
POLICY = "host.mesh.navarch.io"
MERGE, JSON_PATCH, APPLY, STRATEGIC = (
    f"application/{form}"
    for form in ("merge-patch+json", "json-patch+json", "apply-patch+yaml", "strategic-merge-patch+json")
)
FREE_FORM = {"meshConfig": MESH_CONFIG, "values": VALUES}
BATCH = 15
"""Fields to a request: as many as the message of a refusal names, which holds 5 KiB."""


def tell(client: Api, method: str, path: str, body: Any, media: str = "application/json") -> str:
    """What a client is told about a dry run; empty when it would be carried out."""
    query = "dryRun=All&fieldManager=test" + ("&force=true" if media == APPLY else "")
    try:
        client.request(method, f"{path}?{query}", body, media=media)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.fixture(scope="module")
def place(api: Api, guarded: Cluster) -> Iterator[str]:
    """A namespace for all tests of this module: they write dry runs, or meshes that no other uses."""
    with a_mesh_namespace(api, "power") as name:
        api.create(bind(name, "navarch-mesh-admin"))
        api.create(bind(name, "navarch-mesh-admin", user=HOST))
        api.create(bind(name, "navarch-mesh-host", user=HOST))
        api.create(build_mesh(name))
        yield name


@pytest.fixture(scope="module")
async def editors(api: Api, place: str) -> Mapping[str, Api]:
    """Clients of both editors of the namespace, in which there is a mesh `demo`."""
    clients = {name: api.impersonating(name) for name in (TENANT, HOST)}
    path = api.path("mesh", place, "demo")

    def are_editors() -> bool:
        free = all(tell(client, "PATCH", path, {"spec": {}}, MERGE) == "" for client in clients.values())
        return free and tell(clients[HOST], "PATCH", path, {"spec": {"paused": True}}, MERGE) == ""

    await eventually(are_editors, seconds=30, what="the roles are in force")
    return clients


DATA_PLANE: Object = {
    "mode": "Managed",
    "canaryNamespaces": ["x"],
    "waves": 2,
    "maxUnavailable": 2,
    "perNamespaceParallelism": 1,
    "soakSeconds": 0,
    "workloadDeadlineSeconds": 60,
    "windows": [{"start": "22:00", "durationMinutes": 60, "timeZone": "UTC"}],
    "gates": {"webhooks": [{"name": "x", "url": "http://169.254.169.254/"}]},
    "onFailure": "Rollback",
}

TYPED: Mapping[str, Object] = {
    "version": {"version": "1.30"},
    "profiles": {"profiles": ["minimal"]},
    "images": {"images": {"hub": "example.invalid"}},
    "overlays": {"overlays": [{"target": {"kind": "Service", "name": "x"}, "patch": {}}]},
    "controlPlane": {"controlPlane": {"replicas": 2}},
    "defaultTag": {"defaultTag": True},
    "scope": {"scope": "Members"},
    "hosting": {"hosting": "InNamespace"},
    "trust": {"trust": {"domain": "example.org"}},
    "networkPolicies": {"networkPolicies": {"manage": True}},
    "paused": {"paused": True},
    **{
        f"upgrade.dataPlane.{name}": {"upgrade": {"dataPlane": {name: value}}}
        for name, value in DATA_PLANE.items()
    },
    "upgrade.rollback": {"upgrade": {"rollback": True}},
    "mtls.mode": {"mtls": {"mode": "Permissive"}},
    "mtls.cipherSuites": {"mtls": {"cipherSuites": ["x"]}},
    "proxy.logLevel": {"proxy": {"logLevel": "trace"}},
    "proxy.componentLogLevel": {"proxy": {"componentLogLevel": "http:trace"}},
    "proxy.lifecycle": {"proxy": {"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}},
    "proxy.trafficCapture": {"proxy": {"trafficCapture": {"excludeInboundPorts": "*"}}},
    "proxy.accessLog.file": {"proxy": {"accessLog": {"file": "/etc/istio/proxy/x"}}},
    "proxy.accessLog.format": {"proxy": {"accessLog": {"format": "%REQ(AUTHORIZATION)%"}}},
}
"""A guarded change of each field of the spec that can be guarded; a tag never changes at all."""

KINDS: Mapping[str, Object] = {
    "probe": {"meshConfig": {"defaultConfig": {"readinessProbe": {"exec": {"command": ["id"]}}}}},
    "variable": {"meshConfig": {"defaultConfig": {"proxyMetadata": {"LD_PRELOAD": "/tmp/x.so"}}}},
    "provider": {"meshConfig": {"extensionProviders": [{"name": "x"}]}},
    "unknown": {"meshConfig": {"notYetKnown": True}},
    "protobuf's spelling": {"meshConfig": {"default_config": {"concurrency": 1}}},
    "wrong type": {"values": {"global": {"proxy": {"readinessPeriodSeconds": "1\nexec: x"}}}},
    "gateways": {"values": {"gatewayClasses": {"istio": {"service": {}}}}},
    **TYPED,
}


def test_every_field_of_our_own_that_can_be_guarded_is_tried() -> None:
    limited = {path for path, rule in SPEC.items() if rule.power is Power.GUARDED or rule.allowed is not None}
    assert {*TYPED, "tag"} == {".".join(path) for path in limited}


@pytest.mark.parametrize("kind", KINDS)
def test_a_guarded_change_is_refused_by_every_verb_and_patch_and_accepted_of_a_host(
    api: Api, editors: Mapping[str, Api], place: str, kind: str
) -> None:
    path, changed = api.path("mesh", place, "demo"), build_mesh(place, **KINDS[kind])
    other = {**changed, "metadata": {"name": "other", "namespace": place}}
    for method, where, body, media in (
        ("POST", api.path("mesh", place), other, "application/json"),
        ("PUT", path, changed, "application/json"),
        ("PATCH", path, {"spec": KINDS[kind]}, MERGE),
        ("PATCH", path, [{"op": "replace", "path": "/spec", "value": changed["spec"]}], JSON_PATCH),
        ("PATCH", path, changed, APPLY),
    ):
        send = replace_there if method == "PUT" else tell
        assert POLICY in send(editors[TENANT], method, where, body, media), (method, media)
        assert send(editors[HOST], method, where, body, media) == "", (method, media)


def replace_there(client: Api, method: str, path: str, body: Object, media: str) -> str:
    """What is said of another spec of what is there now: the operator may write its status meanwhile."""
    for _ in range(100):
        said = tell(client, method, path, {**client.request("GET", path), "spec": body["spec"]}, media)
        if "the object has been modified" not in said:
            break
    return said


def test_no_mesh_takes_a_strategic_merge_patch(api: Api, editors: Mapping[str, Api], place: str) -> None:
    with pytest.raises(Refused) as refused:
        editors[HOST].request("PATCH", api.path("mesh", place, "demo"), {"spec": {}}, media=STRATEGIC)
    assert refused.value.code == 415


@pytest.mark.parametrize("name", FREE_FORM)
def test_every_row_of_a_table_is_judged_as_it_says(
    api: Api, editors: Mapping[str, Api], place: str, name: str
) -> None:
    """Many rows to a request, since a refusal names each field."""
    path = api.path("mesh", place, "demo")
    rows = [
        (name, *at)
        for known, rule in FREE_FORM[name].items()
        if rule.power is not Power.REFUSED
        for at in list_spellings(known)
    ]
    guarded = [at for at in rows if any(find_guarded(gather([at]), {}))]
    free = [at for at in rows if at not in guarded]
    assert tell(editors[TENANT], "PATCH", path, {"spec": gather(free)}, MERGE) == ""
    for start in range(0, len(guarded), BATCH):
        spec = gather(guarded[start : start + BATCH])
        said = tell(editors[TENANT], "PATCH", path, {"spec": spec}, MERGE)
        named = said.partition("denied request: ")[2].partition(" set by ")[0].split(", ")
        assert POLICY in said
        assert sorted(named) == sorted({".".join(("spec", *at)) for at in find_guarded(spec, {})})
        assert tell(editors[HOST], "PATCH", path, {"spec": spec}, MERGE) == ""


def gather(paths: Iterable[Path]) -> Object:
    """A spec with a map at each of the paths."""
    spec: Object = {}
    for path in paths:
        put(spec, [*path, "x"], 1)
    return spec


def put(tree: Object, steps: list[str], value: Any) -> None:
    """Set a field, making maps on the way of what is in it."""
    for step in steps[:-1]:
        if not isinstance(tree.get(step), dict):
            tree[step] = {}
        tree = tree[step]
    tree[steps[-1]] = json.loads(json.dumps(value))


def test_what_a_host_wrote_can_be_kept_but_not_changed_or_taken_away(
    api: Api, editors: Mapping[str, Api], place: str
) -> None:
    probe = {"readinessProbe": {"tcpSocket": {"port": 80}}, "concurrency": 2}
    config = {"defaultConfig": probe, "enableAutoMtls": True}
    api.create(build_mesh(place, "kept", meshConfig=config, mtls={"mode": "Strict"}))
    path = api.path("mesh", place, "kept")

    def told(spec: Object) -> str:
        return tell(editors[TENANT], "PATCH", path, {"spec": spec}, MERGE)

    assert told({"meshConfig": {"defaultConfig": {"concurrency": 4}}}) == ""
    assert told({"meshConfig": {"defaultConfig": {"concurrency": None}}}) == ""
    for spec in (
        {"meshConfig": None},
        {"meshConfig": {"defaultConfig": None}},
        {"meshConfig": {"defaultConfig": {"readinessProbe": None}}},
        {"meshConfig": {"defaultConfig": {"readinessProbe": {"tcpSocket": {"port": 81}}}}},
        {"meshConfig": {"enableAutoMtls": None}},
        {"meshConfig": {"enableAutoMtls": 1}},
        {"mtls": None},
        {"mtls": {"mode": "Permissive"}},
    ):
        assert POLICY in told(spec), spec


def test_who_paused_a_mesh_does_not_matter_to_who_resumes_it(
    api: Api, editors: Mapping[str, Api], place: str
) -> None:
    api.create(build_mesh(place, "paused", paused=True))
    path = api.path("mesh", place, "paused")
    for paused in (False, None):
        assert tell(editors[TENANT], "PATCH", path, {"spec": {"paused": paused}}, MERGE) == ""


ROWS = [(name, at) for name, table in FREE_FORM.items() for path in table for at in list_spellings(path)]
WORDS = sorted({step for _, path in ROWS for step in path})
LEAVES = st.sampled_from([None, True, False, 0, 1, 2.5, "", "true", "/dev/stdout", "x", [], ["envoy"], {}])


@st.composite
def build_spec(draw: st.DrawFn) -> Object:
    """A spec with a few fields of the tables in either spelling, some cut short, some with one more below."""
    spec: Object = {}
    for name, at in draw(st.lists(st.sampled_from(ROWS), max_size=4)):
        steps = [name, *at[: draw(st.integers(1, len(at)))]]
        if draw(st.integers(0, 9)) == 0:
            steps.append(draw(st.sampled_from(WORDS)))
        put(spec, steps, draw(LEAVES))
    return spec


def is_refused(spec: Object) -> bool:
    """Whether another policy refuses it."""
    return any(find_refused(spec.get("meshConfig", {}), REFUSED_MESH_CONFIG)) or any(
        find_refused(spec.get("values", {}), REFUSED_VALUES)
    )


def test_policy_and_table_agree_on_random_changes(api: Api, editors: Mapping[str, Api], place: str) -> None:
    """Each change starts from what the one before it left, so that fields are changed and taken away too."""
    api.create(build_mesh(place, "random"))
    path, before, verdicts = api.path("mesh", place, "random"), dict[str, Any](), [0, 0]

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(spec=build_spec())
    def compare(spec: Object) -> None:
        nonlocal before
        if is_refused(spec):
            return
        change = [{"op": "replace", "path": "/spec", "value": build_mesh(place, **spec)["spec"]}]
        said = tell(editors[TENANT], "PATCH", path, change, JSON_PATCH)
        found = {".".join(("spec", *at)) for at in find_guarded(spec, before)}
        if found:
            assert POLICY in said, (before, spec)
            assert [field for field in found if field not in said] == [], (before, spec, said)
        else:
            assert said == "", (before, spec)
        verdicts[bool(found)] += 1
        api.request("PATCH", path, change, media=JSON_PATCH)
        before = spec

    compare()
    assert min(verdicts) > 10


def test_a_spec_of_the_largest_size_is_judged_within_the_limits_of_cel(
    api: Api, editors: Mapping[str, Api], place: str
) -> None:
    """A policy that costs more than the API server affords refuses everything."""
    many = {f"KEY_{number}": "x" * 60 for number in range(LIMIT.nodes - 100)}
    api.create(build_mesh(place, "large", meshConfig={"defaultConfig": {"proxyMetadata": many}}))
    path = api.path("mesh", place, "large")
    assert tell(editors[TENANT], "PATCH", path, {"spec": {"mtls": {"mode": "Strict"}}}, MERGE) == ""
    one = nest(("meshConfig", "defaultConfig", "proxyMetadata", "KEY_1"), "y")
    # So many keys are not compared one by one.
    assert "proxyMetadata set by" in tell(editors[TENANT], "PATCH", path, {"spec": one}, MERGE)
    assert tell(editors[HOST], "PATCH", path, {"spec": one}, MERGE) == ""
