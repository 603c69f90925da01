"""Who may write what into a mesh, field by field, on a real API server: the policy `host` and the table that
it is made of give one verdict.

TENANT may edit meshes and does not hold the verb `host`; HOST holds it. Requests are dry runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from navarch.api.power.guarded import find_guarded
from navarch.api.power.meshconfig import MESH_CONFIG
from navarch.api.power.rules import Path, Power, Rule, find_refused, list_spellings
from navarch.api.power.spec import SPEC
from navarch.api.power.values import VALUES
from navarch.api.refused import REFUSED_MESH_CONFIG, REFUSED_VALUES
from navarch.core.model.size import LIMIT

from tests.polling import eventually
from tests.support.admission import TENANT, bind, nest
from tests.support.api import Api, Object, Refused
from tests.support.meshes import build_mesh

HOST = "tenant-host"
POLICY = "host.mesh.navarch.io"
MERGE, JSON_PATCH, APPLY = (
    f"application/{form}" for form in ("merge-patch+json", "json-patch+json", "apply-patch+yaml")
)
FREE_FORM = {"meshConfig": MESH_CONFIG, "values": VALUES}


@pytest.fixture
async def editors(api: Api, tenancy: str) -> Mapping[str, Api]:
    """Clients of both editors of the namespace."""
    api.create(bind(tenancy, "navarch-mesh-admin", user=HOST))
    api.create(bind(tenancy, "navarch-mesh-host", user=HOST))
    clients = {name: api.impersonating(name) for name in (TENANT, HOST)}
    await eventually(
        lambda: tell(clients[HOST], "POST", api.path("mesh", tenancy), build_mesh(tenancy)) == "",
        what="the roles are in force",
    )
    return clients


def tell(client: Api, method: str, path: str, body: Any, media: str = "application/json") -> str:
    """What a client is told about a dry run; empty when it would be carried out."""
    query = "dryRun=All&fieldManager=test" + ("&force=true" if media == APPLY else "")
    try:
        client.request(method, f"{path}?{query}", body, media=media)
    except Refused as refused:
        return str(refused)
    return ""


def list_samples() -> list[tuple[Path, Object, Rule]]:
    """For every row of every table a spec that has just that field, with something in it."""
    samples = []
    for name, table in FREE_FORM.items():
        for path, rule in table.items():
            samples += [((name, *at), nest((name, *at), {"x": 1}), rule) for at in list_spellings(path)]
    return samples


TYPED: Mapping[str, Object] = {
    "version": {"version": "1.30"},
    "profiles": {"profiles": ["minimal"]},
    "images": {"images": {"hub": "example.invalid"}},
    "overlays": {"overlays": [{"target": {"kind": "Service", "name": "x"}, "patch": {}}]},
    "controlPlane": {"controlPlane": {"replicas": 2}},
    "defaultTag": {"defaultTag": True},
    "trust": {"trust": {"domain": "example.org"}},
    "paused": {"paused": True},
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
    "meshConfig": {"meshConfig": {"defaultConfig": {"readinessProbe": {"exec": {"command": ["id"]}}}}},
    "proxyMetadata": {"meshConfig": {"defaultConfig": {"proxyMetadata": {"LD_PRELOAD": "/tmp/x.so"}}}},
    "extensionProviders": {"meshConfig": {"extensionProviders": [{"name": "x"}]}},
    "unknown": {"meshConfig": {"notYetKnown": True}},
    "protobuf's spelling": {"meshConfig": {"default_config": {"concurrency": 1}}},
    "wrong type": {"values": {"global": {"proxy": {"readinessPeriodSeconds": "1\nexec: x"}}}},
    "values": {"values": {"gatewayClasses": {"istio": {"service": {}}}}},
    **TYPED,
}


def test_every_field_of_our_own_that_can_be_guarded_is_tried() -> None:
    limited = {path for path, rule in SPEC.items() if rule.power is Power.GUARDED or rule.allowed is not None}
    assert {*TYPED, "tag"} == {".".join(path) for path in limited}


@pytest.mark.parametrize("kind", KINDS)
def test_a_guarded_change_is_refused_by_every_verb_and_patch_and_accepted_of_a_host(
    api: Api, editors: Mapping[str, Api], tenancy: str, kind: str
) -> None:
    mesh, path = build_mesh(tenancy), api.path("mesh", tenancy, "demo")
    changed = build_mesh(tenancy, **KINDS[kind])
    created = dict(api.create(mesh))
    replaced = {**created, "spec": changed["spec"]}
    replacing = [{"op": "replace", "path": "/spec", "value": changed["spec"]}]
    for method, body, media in (
        ("PUT", replaced, "application/json"),
        ("PATCH", {"spec": KINDS[kind]}, MERGE),
        ("PATCH", replacing, JSON_PATCH),
        ("PATCH", changed, APPLY),
    ):
        assert POLICY in tell(editors[TENANT], method, path, body, media), (method, media)
        assert tell(editors[HOST], method, path, body, media) == "", (method, media)
    other = {**changed, "metadata": {"name": "other", "namespace": tenancy}}
    assert POLICY in tell(editors[TENANT], "POST", api.path("mesh", tenancy), other)
    assert tell(editors[HOST], "POST", api.path("mesh", tenancy), other) == ""
    assert "415" in tell_code(editors[TENANT], path, {"spec": KINDS[kind]})


def tell_code(client: Api, path: str, body: Any) -> str:
    """The status of a strategic merge patch, which no kind of a CustomResourceDefinition takes."""
    try:
        client.request("PATCH", path, body, media="application/strategic-merge-patch+json")
    except Refused as refused:
        return str(refused.code)
    return ""


def test_every_row_of_the_tables_is_judged_as_it_says(
    api: Api, editors: Mapping[str, Api], tenancy: str
) -> None:
    api.create(build_mesh(tenancy))
    path, samples = api.path("mesh", tenancy, "demo"), list_samples()
    assert len(samples) > 300
    for at, spec, rule in samples:
        said = tell(editors[TENANT], "PATCH", path, {"spec": spec}, MERGE)
        expected = any(find_guarded(spec, {}))
        if rule.power is Power.REFUSED:
            assert said, at
            assert "refused.mesh.navarch.io" in tell(editors[HOST], "PATCH", path, {"spec": spec}, MERGE), at
        elif expected:
            assert POLICY in said, at
            assert tell(editors[HOST], "PATCH", path, {"spec": spec}, MERGE) == "", at
        else:
            assert said == "", at


def test_what_a_host_wrote_can_be_kept_but_not_changed_or_taken_away(
    api: Api, editors: Mapping[str, Api], tenancy: str
) -> None:
    probe = {"readinessProbe": {"tcpSocket": {"port": 80}}, "concurrency": 2}
    api.create(
        build_mesh(
            tenancy, meshConfig={"defaultConfig": probe, "enableAutoMtls": True}, mtls={"mode": "Strict"}
        )
    )
    path = api.path("mesh", tenancy, "demo")
    told: Callable[[Object], str] = lambda spec: tell(editors[TENANT], "PATCH", path, {"spec": spec}, MERGE)
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


WORDS = sorted(
    {step for table in FREE_FORM.values() for path in table for at in list_spellings(path) for step in at}
)
LEAVES = st.sampled_from([None, True, False, 0, 1, 2.5, "", "true", "/dev/stdout", "x", [], ["envoy"], {}])


def build_specs() -> st.SearchStrategy[Object]:
    """Specs with a few fields of the tables in them, in either spelling, cut short, or with a field beside."""
    rows = [(name, at) for name, table in FREE_FORM.items() for path in table for at in list_spellings(path)]

    @st.composite
    def build(draw: st.DrawFn) -> Object:
        spec: Object = {}
        for name, at in draw(st.lists(st.sampled_from(rows), max_size=4)):
            steps = [name, *at[: draw(st.integers(1, len(at)))]]
            if draw(st.integers(0, 9)) == 0:
                steps.append(draw(st.sampled_from(WORDS)))
            put(spec, steps, draw(LEAVES))
        return spec

    return build()


def put(tree: Object, steps: list[str], value: Any) -> None:
    """Set a field, making maps on the way of what is in it."""
    for step in steps[:-1]:
        if not isinstance(tree.get(step), dict):
            tree[step] = {}
        tree = tree[step]
    if len(steps) > 1:
        tree[steps[-1]] = json.loads(json.dumps(value))


def is_refused(spec: Object) -> bool:
    return any(find_refused(spec.get("meshConfig", {}), REFUSED_MESH_CONFIG)) or any(
        find_refused(spec.get("values", {}), REFUSED_VALUES)
    )


def test_policy_and_table_agree_on_random_changes(api: Api, editors: Mapping[str, Api], tenancy: str) -> None:
    """Each change starts from what the one before it left, so that fields are also changed and taken away."""
    api.create(build_mesh(tenancy))
    path, before, guarded = api.path("mesh", tenancy, "demo"), dict[str, Any](), [0, 0]

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(spec=build_specs())
    def compare(spec: Object) -> None:
        nonlocal before
        if is_refused(spec):
            return
        change = [{"op": "replace", "path": "/spec", "value": build_mesh(tenancy, **spec)["spec"]}]
        said = tell(editors[TENANT], "PATCH", path, change, JSON_PATCH)
        found = sorted({".".join(("spec", *at)) for at in find_guarded(spec, before)})
        if found:
            assert POLICY in said, (before, spec)
            assert all(field in said for field in found), (before, spec, said)
        else:
            assert said == "", (before, spec)
        guarded[bool(found)] += 1
        api.request("PATCH", path, change, media=JSON_PATCH)
        before = spec

    compare()
    assert min(guarded) > 10


def test_a_spec_of_the_largest_size_is_judged_within_the_limits_of_cel(
    api: Api, editors: Mapping[str, Api], tenancy: str
) -> None:
    """A policy that costs more than the API server affords refuses everything."""
    many = {f"KEY_{number}": "x" * 60 for number in range(LIMIT.nodes - 100)}
    api.create(build_mesh(tenancy, meshConfig={"defaultConfig": {"proxyMetadata": many}}))
    path = api.path("mesh", tenancy, "demo")
    assert tell(editors[TENANT], "PATCH", path, {"spec": {"mtls": {"mode": "Strict"}}}, MERGE) == ""
    one = {"meshConfig": {"defaultConfig": {"proxyMetadata": {"KEY_1": "y"}}}}
    assert "proxyMetadata.KEY_1 set by" in tell(editors[TENANT], "PATCH", path, {"spec": one}, MERGE)
    assert tell(editors[HOST], "PATCH", path, {"spec": one}, MERGE) == ""
