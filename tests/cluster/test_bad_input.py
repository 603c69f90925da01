"""Bad input: refused where it is written, or told in status; what already runs is left alone, nothing storms.

What admission refuses is in test_admission.py field by field; here is each bad input once, to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from navarch.assets import load_assets
from navarch.core.istio.roles import build_roles
from navarch.core.model.naming import Names

from lab.cluster import Cluster, KubectlError
from tests.cluster.conftest import a_mesh_namespace, assert_quiet
from tests.cluster.test_edits import NOWHERE
from tests.cluster.test_neighbours import another_namespace
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.policies import out_of_force

CALM = 3.0
"""Seconds over which requests are counted."""
LOOK = 3
"""Requests that one look at a mesh may cost which is not as it should be."""


def build_profile(name: str, content: Any, key: str = "profile.yaml") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": {"mesh.navarch.io/profile": "true"}},
        "data": {key: content if isinstance(content, str) else yaml.safe_dump(content)},
    }


@contextmanager
def some_profiles(api: Api, key: str = "profile.yaml", **profiles: Any) -> Iterator[None]:
    """User profiles, each under this key of its ConfigMap, for as long as the block lasts."""
    for name, content in profiles.items():
        api.create(build_profile(name, content, key))
    try:
        yield
    finally:
        for name in profiles:
            api.delete("configmap", SYSTEM, name)


async def assert_calm(audit: Audit, namespace: str) -> None:
    """Before long the operator asks no more about a namespace, over some seconds, than for one look."""
    marks = [audit.mark()]

    def is_calm() -> bool:
        asked = [r for r in audit.since(marks[-1]) if r.namespace == namespace]
        marks.append(audit.mark())
        return len(marks) > 2 and len(asked) <= LOOK

    await eventually(is_calm, seconds=5 * CALM, every=CALM, what=f"the operator leaves {namespace} alone")


# --- told in status ----------------------------------------------------------------------------------------

UNKNOWN = pytest.param(
    {"version": "1.35"}, "UnknownVersion", ("spec.version: '1.35'", "choose one of these"), id="version"
)
"""Of a mesh that runs the API server refuses it, for it is more than one minor ahead."""
BAD = [
    pytest.param({"version": "1.31.01"}, "UnknownVersion", ("spec.version: '1.31.01'", "1.31.1"), id="patch"),
    pytest.param(
        {"profiles": ["defualt"]},
        "ProfileNotFound",
        ("spec.profiles[0]: 'defualt'", "did you mean default?"),
        id="missing profile",
    ),
    pytest.param(
        {
            "overlays": [
                {"target": {"kind": "Deployment", "name": "istio"}, "patch": {"spec": {"paused": True}}}
            ]
        },
        "OverlayUnmatched",
        ("spec.overlays[0].target: 'Deployment istio'", "name an object"),
        id="overlay that matches nothing",
    ),
    pytest.param(
        {"overlays": [{"target": {"kind": "ConfigMap", "name": "istio"}, "patch": {"data": "x"}}]},
        "OverlayRefused",
        ("spec.overlays[0].patch.data", "patch single keys of it"),
        id="overlay that replaces what is guarded",
    ),
    pytest.param(
        {"values": {"gateways": {"securityContext": {"privileged": True}}}},
        "FieldRefused",
        ("spec.values.gateways.securityContext", "leave it out"),
        id="values that widen power",
    ),
    pytest.param(
        {"meshConfig": {"enableTracing": "yes"}},
        "MeshConfigInvalid",
        ("spec.meshConfig.enableTracing: ", "'yes'", "correct it"),
        id="meshConfig of the wrong type",
    ),
    pytest.param(
        {"values": {"global": {"proxy": "big"}}},
        "ValuesInvalid",
        ("spec.values.global.proxy: 'big'", "make it a map"),
        id="values of the wrong shape",
    ),
    pytest.param(
        {"controlPlane": {"autoscaling": {"minReplicas": 6}}},
        "InvalidSpec",
        ("spec.controlPlane.autoscaling.minReplicas: '6'", "maxReplicas"),
        id="bounds that contradict the profile",
    ),
]
UNDO: dict[str, Any] = {
    "version": "1.31",
    "profiles": None,
    "overlays": None,
    "values": None,
    "meshConfig": None,
    "controlPlane": None,
}


def assert_told(mesh: Object, reason: str, words: tuple[str, ...]) -> None:
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    for word in words:
        assert word in accepted["message"]
    ready = read_condition(mesh, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)


@pytest.fixture(scope="module")
async def running(api: Api, operator: Operator) -> AsyncIterator[str]:
    """A mesh that runs, in a namespace of its own; each test leaves it well again."""
    with a_mesh_namespace(api, "bad-input") as namespace:
        api.create(build_mesh(namespace))
        await wait_for(api, namespace)
        yield namespace


@pytest.mark.parametrize(("spec", "reason", "words"), BAD)
async def test_bad_input_is_told_and_what_runs_is_left_alone(
    api: Api,
    audit: Audit,
    operator: Operator,
    running: str,
    spec: Object,
    reason: str,
    words: tuple[str, ...],
) -> None:
    before = read_versions(list_owned(api, running))
    edit(api, running, **spec)
    mesh = await wait_for(api, running, condition="SpecAccepted", status="False", reason=reason)
    assert_told(mesh, reason, words)
    assert read_condition(mesh, "Available")["status"] == "True"
    await assert_quiet(api, audit, operator, running, "demo")
    assert read_versions(list_owned(api, running)) == before
    edit(api, running, **UNDO)
    await wait_for(api, running)


@pytest.mark.parametrize(("spec", "reason", "words"), [UNKNOWN, BAD[1], BAD[5]])
async def test_bad_input_from_the_start_makes_nothing_until_it_is_corrected(
    api: Api, audit: Audit, settled: str, spec: Object, reason: str, words: tuple[str, ...]
) -> None:
    api.create(build_mesh(settled, **spec))
    mesh = await wait_for(api, settled, condition="SpecAccepted", status="False", reason=reason)
    assert_told(mesh, reason, words)
    assert list_owned(api, settled) == []
    await assert_calm(audit, settled)
    edit(api, settled, **UNDO)
    await wait_for(api, settled)


async def test_a_field_that_istio_does_not_know_is_told_and_changes_nothing_else(
    api: Api, settled: str
) -> None:
    api.create(build_mesh(settled, meshConfig={"acessLogFile": "/dev/stdout"}))
    mesh = await wait_for(api, settled)
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "UnknownField")
    assert "did you mean accessLogFile?" in accepted["message"]


async def test_a_value_that_nothing_reads_is_told_and_changes_nothing_else(api: Api, settled: str) -> None:
    api.create(build_mesh(settled, values={"pilot": {"replicaCount": 3}}))
    mesh = await wait_for(api, settled)
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "ValueUnread")
    assert "spec.values.pilot.replicaCount" in accepted["message"]


async def test_a_field_that_another_switches_off_is_told_and_the_mesh_comes_up(
    api: Api, settled: str
) -> None:
    proxy = {"holdApplicationUntilProxyStarts": True, "nativeSidecars": False}
    hook = {"exec": {"command": ["sleep", "1"]}}
    api.create(build_mesh(settled, proxy=proxy | {"lifecycle": {"postStart": hook}}))
    accepted = read_condition(await wait_for(api, settled), "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "FieldWithoutEffect")
    assert "spec.proxy.holdApplicationUntilProxyStarts" in accepted["message"]
    assert "spec.proxy.lifecycle.postStart" in accepted["message"]
    assert "pilot-agent wait" in accepted["message"]
    api.patch(
        "mesh", settled, "demo", {"spec": {"proxy": {"lifecycle": {"postStart": None, "preStop": hook}}}}
    )
    accepted = read_condition(await wait_for(api, settled), "SpecAccepted")
    assert accepted["reason"] != "FieldWithoutEffect"


async def test_a_minor_past_its_end_of_life_is_told_beside_what_else_there_is_to_say(
    api: Api, settled: str
) -> None:
    api.create(build_mesh(settled, version="1.29"))
    accepted = read_condition(await wait_for(api, settled), "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "VersionNotice")
    assert "end of life" in accepted["message"]
    if "was tested on Kubernetes up to" in accepted["message"]:
        assert "; UntestedKubernetes: spec.version: '1.29': " in accepted["message"]


async def test_a_cluster_newer_than_tested_is_told_and_changes_nothing_else(api: Api, settled: str) -> None:
    api.create(build_mesh(settled))
    accepted = read_condition(await wait_for(api, settled), "SpecAccepted")
    assert accepted["status"] == "True"
    if accepted["reason"] == "AsExpected":
        pytest.skip("this cluster is not newer than what was tested")
    assert accepted["reason"] != "FieldWithoutEffect"
    assert "was tested on Kubernetes up to" in accepted["message"]


# --- profiles ----------------------------------------------------------------------------------------------


async def test_a_circle_of_profiles_is_named_and_leaves_when_it_is_broken(
    api: Api, audit: Audit, operator: Operator, running: str
) -> None:
    before = read_versions(list_owned(api, running))
    with some_profiles(api, red={"profiles": ["blue"]}, blue={"profiles": ["red"]}):
        edit(api, running, profiles=["red"])
        mesh = await wait_for(api, running, condition="SpecAccepted", status="False", reason="ProfileCycle")
        assert_told(mesh, "ProfileCycle", ("red -> blue -> red", "remove one of the inclusions"))
        await assert_quiet(api, audit, operator, running, "demo")
        assert read_versions(list_owned(api, running)) == before
        api.patch("configmap", SYSTEM, "blue", {"data": {"profile.yaml": "{}"}})
        await wait_for(api, running)
        edit(api, running, profiles=None)
        await wait_for(api, running)


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        ("proxy: [", "profile.yaml", ("profile broken cannot be read",)),
        (
            {"controlPlain": {}},
            "profile.yaml",
            ("controlPlain: there is no such field; did you mean ",),
        ),
        ({"proxy": {"logLevel": "loud"}}, "profile.yaml", ("proxy.logLevel",)),
        ({}, "profile.yml", ("has no key profile.yaml", "rename profile.yml to profile.yaml")),
    ],
    ids=["no YAML", "an unknown field", "a bad value", "another key"],
)
async def test_a_broken_profile_is_told_and_mended(
    api: Api, audit: Audit, operator: Operator, running: str, content: Any, key: str, words: tuple[str, ...]
) -> None:
    before = read_versions(list_owned(api, running))
    with some_profiles(api, key, broken=content):
        edit(api, running, profiles=["broken"])
        mesh = await wait_for(api, running, condition="SpecAccepted", status="False", reason="ProfileInvalid")
        assert_told(mesh, "ProfileInvalid", ("spec.profiles[0]: 'broken'", *words))
        await assert_quiet(api, audit, operator, running, "demo")
        assert read_versions(list_owned(api, running)) == before
        api.patch("configmap", SYSTEM, "broken", {"data": {"profile.yaml": "proxy: {logLevel: info}"}})
        await wait_for(api, running)
        edit(api, running, profiles=None)
        await wait_for(api, running)


# --- versions ----------------------------------------------------------------------------------------------


async def test_a_control_plane_goes_neither_back_nor_over_a_minor(api: Api, settled: str) -> None:
    api.create(build_mesh(settled, version="1.30.2"))
    await wait_for(api, settled)
    before = read_versions(list_owned(api, settled))
    with pytest.raises(Refused, match=r"spec.version: 1.29.6 \(1.30.2 runs\).*does not go back"):
        edit(api, settled, version="1.29.6")
    with pytest.raises(Refused, match=r"spec.version: 1.32 \(1.30.2 runs\).*one minor at a time"):
        edit(api, settled, version="1.32")
    await wait_for(api, settled)
    assert read_versions(list_owned(api, settled)) == before


async def test_a_downgrade_that_admission_did_not_see_is_told_in_status(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled, version="1.31.1"))
    await wait_for(api, settled)
    await assert_quiet(api, audit, operator, settled, "demo")
    before = read_versions(list_owned(api, settled))

    def is_taken() -> bool:
        try:
            edit(api, settled, version="1.30.3")
        except Refused:
            return False
        return True

    with out_of_force(api, "version"):
        await eventually(is_taken, seconds=30, every=0.2, what="the policy is out of force")
        mesh = await wait_for(api, settled, condition="SpecAccepted", status="False", reason="Downgrade")
    assert_told(
        mesh, "Downgrade", ("spec.version: '1.30.3'", "lower than 1.31.1", "set it to 1.31.1 or higher")
    )
    assert read_versions(list_owned(api, settled)) == before
    edit(api, settled, version="1.31.1")
    await wait_for(api, settled)


async def test_a_patch_may_go_back_and_is_told(api: Api, operator: Operator, settled: str) -> None:
    api.create(build_mesh(settled, version="1.31.1"))
    await wait_for(api, settled)
    edit(api, settled, version="1.31.0", controlPlane=NOWHERE)  # until it can roll, what serves is newer
    await wait_for(api, settled, condition="SpecAccepted", reason="PatchReverted")
    edit(api, settled, controlPlane={"placement": None})
    mesh = await wait_for(api, settled)
    assert mesh["status"]["version"] == {"desired": "1.31.0", "active": "1.31.0"}


async def test_a_config_map_of_others_that_istiod_would_deploy_gateways_with_is_told(
    api: Api, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    labels = {"gateway.istio.io/defaults-for-class": "istio"}
    metadata = {"name": "mine", "namespace": settled, "labels": labels}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"deployment": "{}"}})
    mesh = await wait_for(api, settled, condition="SpecAccepted", reason="ForeignGatewayDefaults")
    assert "ConfigMap mine" in read_condition(mesh, "SpecAccepted")["message"]
    api.delete("configmap", settled, "mine")
    await wait_for(api, settled, condition="SpecAccepted", reason="UntestedKubernetes")


async def test_a_mesh_wide_policy_that_is_older_than_the_mesh_s_own_is_told_until_it_is_gone(
    api: Api, operator: Operator, settled: str
) -> None:
    """A second one, with a selector, rules no mesh."""

    def build(name: str, **spec: Any) -> Object:
        metadata = {"name": name, "namespace": settled}
        body = {"mtls": {"mode": "DISABLE"}, **spec}
        return {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": metadata,
            "spec": body,
        }

    api.create(build_mesh(settled))
    await wait_for(api, settled)
    api.create(build("aab", selector={"matchLabels": {"app": "web"}}))
    api.create(build("aaa"))
    edit(api, settled, mtls={"mode": "Strict"})
    mesh = await wait_for(api, settled, condition="SpecAccepted", reason="PolicyOverruled")
    message = read_condition(mesh, "SpecAccepted")["message"]
    assert f"PeerAuthentication {settled}/aaa, mode DISABLE" in message
    assert f"kubectl delete peerauthentication aaa -n {settled}" in message
    await eventually(
        lambda: api.get("peerauthentication", settled, "default") is not None, seconds=30, what="ours is made"
    )
    mesh = await wait_for(api, settled, condition="SpecAccepted", reason="PolicyOverruled")
    api.delete("peerauthentication", settled, "aaa")
    await wait_for(api, settled, condition="SpecAccepted", reason="UntestedKubernetes")


async def test_a_first_version_that_never_served_may_be_corrected_to_a_lower_one(
    api: Api, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled, version="1.31.1", controlPlane=NOWHERE))
    await wait_for(api, settled, condition="Available", status="False", reason="NoReplicaAvailable")
    edit(api, settled, version="1.31.0", controlPlane={"placement": None})
    mesh = await wait_for(api, settled)
    assert mesh["status"]["version"] == {"desired": "1.31.0", "active": "1.31.0"}


async def test_a_mesh_restored_over_one_that_is_two_minors_older_is_told_to_go_step_by_step(
    api: Api, audit: Audit, settled: str
) -> None:
    name = f"{settled}-demo-inplace"
    labels = {
        "app.kubernetes.io/managed-by": "navarch",
        "mesh.navarch.io/mesh-namespace": settled,
        "mesh.navarch.io/mesh-name": "demo",
        "mesh.navarch.io/mesh-uid": "00000000-0000-4000-8000-000000000000",
        "mesh.navarch.io/component": "revision",
    }
    revision = {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshRevision",
        "metadata": {"name": name, "namespace": settled, "labels": labels},
        "spec": {
            "mesh": "demo",
            "tag": f"{settled}-demo",
            "version": "1.28.4",
            "strategy": "InPlace",
            "members": {"default": False, "excluded": []},
            "config": {},
        },
    }
    restorer = api.impersonating(USER)
    restorer.create(revision)
    restorer.patch("revision", settled, name, {"status": {"version": "1.28.4"}}, sub="status")
    before = read_versions(list_owned(api, settled))
    api.create(build_mesh(settled, version="1.31", paused=True))

    def is_seen() -> bool:
        status = (api.get("mesh", settled, "demo") or {}).get("status") or {}
        return bool((status.get("version") or {}).get("active") == "1.28.4")

    await eventually(is_seen, seconds=30, what="the operator knows what runs")
    edit(api, settled, paused=None)
    mesh = await wait_for(api, settled, condition="SpecAccepted", status="False", reason="SkippedMinor")
    assert_told(mesh, "SkippedMinor", ("spec.version: '1.31'", "1.28.4", "set it to 1.29 first"))
    assert read_versions(list_owned(api, settled)).keys() == before.keys()
    await assert_calm(audit, settled)
    edit(api, settled, version="1.29")
    await wait_for(api, settled)


# --- names and places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("demo", {"tag": "blue-inplace"}, "names of revisions end like this"),
        ("demo", {"tag": "blue-1-31-1"}, "names of revisions end like this"),
        ("demo", {"tag": "default"}, "set defaultTag: true"),
        ("n" * 62, {}, "choose a shorter name"),
        ("demo", {"tag": "t" * 41}, "40"),
        (
            "demo",
            {"overlays": [{"target": {"kind": "ClusterRole", "name": "x"}, "patch": {}}]},
            "choose one of",
        ),
        (
            "demo",
            {"meshConfig": {"rootNamespace": "kube-system"}},
            "spec.meshConfig.rootNamespace: kube-system",
        ),
        ("demo", {"values": {"global": {"istioNamespace": "x"}}}, "spec.values.global.istioNamespace: x"),
    ],
)
async def test_what_admission_can_see_is_refused_there(
    api: Api, operator: Operator, fresh: str, name: str, spec: Object, message: str
) -> None:
    def refusal() -> str:
        try:
            api.create(build_mesh(fresh, name, **spec), dry_run=True)
        except Refused as refused:
            return str(refused)
        return ""

    # A policy takes the API server a moment to enforce.
    assert message in await eventually(refusal, seconds=30, what=f"{spec or name} is refused")


async def test_a_namespace_of_the_platform_holds_no_mesh(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    async with another_namespace(api, f"openshift-{fresh}") as platform:

        def is_taken() -> bool:
            try:
                return bool(api.create(build_mesh(platform)))
            except Refused:
                return False

        with pytest.raises(Refused, match=f"metadata.namespace: {platform}"):
            api.create(build_mesh(platform))
        with out_of_force(api, "placement"):
            await eventually(is_taken, seconds=30, every=0.2, what="the policy is out of force")
        mesh = await wait_for(
            api, platform, condition="SpecAccepted", status="False", reason="NamespaceRefused"
        )
        assert_told(
            mesh, "NamespaceRefused", (f"metadata.namespace: '{platform}'", "in a namespace of its own")
        )
        assert list_owned(api, platform) == []


# --- foreign Istios ----------------------------------------------------------------------------------------


def build_foreign_webhook(
    name: str, labels: dict[str, str], namespace_labels: dict[str, str] | None = None
) -> Object:
    """A webhook configuration as another Istio's installer makes it; it selects nothing that exists."""
    selector = {"matchLabels": namespace_labels or {"no-such": "label"}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": labels},
        "webhooks": [
            {
                "name": "namespace.sidecar-injector.istio.io",
                "clientConfig": {"service": {"name": "istiod", "namespace": "elsewhere", "path": "/inject"}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
                "namespaceSelector": selector,
                "objectSelector": {"matchLabels": {"no-such": "label"}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Ignore",
            }
        ],
    }


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"istio.io/rev": "{tag}-inplace"}, "ForeignIstio"),
        ({"istio.io/rev": "{tag}"}, "ForeignIstio"),
        ({"istio.io/rev": "other", "istio.io/tag": "{tag}"}, "ForeignIstio"),
    ],
    ids=["revision", "revision that is the tag", "tag"],
)
async def test_a_foreign_istio_of_the_same_revision_or_tag_is_named_and_left_alone(
    api: Api, audit: Audit, settled: str, labels: dict[str, str], reason: str
) -> None:
    tag = f"{settled}-demo"
    labels = {key: value.format(tag=tag) for key, value in labels.items()}
    foreign = api.create(build_foreign_webhook(f"foreign-{settled}", labels))
    try:
        api.create(build_mesh(settled))
        mesh = await wait_for(api, settled, condition="SpecAccepted", status="False", reason=reason)
        assert_told(mesh, reason, (f"spec.tag: '{tag}'", f"foreign-{settled}", "uninstall that Istio"))
        assert list_owned(api, settled) == []
        await assert_calm(audit, settled)
        assert api.get("mwc", "", f"foreign-{settled}")["metadata"] == foreign["metadata"]  # type: ignore[index]
    finally:
        api.delete("mwc", "", f"foreign-{settled}")
    await wait_for(api, settled)


async def test_a_foreign_istio_that_is_the_clusters_default_keeps_the_default(api: Api, settled: str) -> None:
    labels, name = {"istio.io/rev": "default", "app": "sidecar-injector"}, f"foreign-{settled}"
    api.create(build_foreign_webhook(name, labels, {"istio-injection": "enabled"}))
    try:
        api.create(build_mesh(settled, defaultTag=True))
        mesh = await wait_for(api, settled, condition="SpecAccepted", status="False", reason="ForeignIstio")
        assert_told(mesh, "ForeignIstio", ("spec.defaultTag: 'true'", name, "remove spec.defaultTag"))
    finally:
        api.delete("mwc", "", name)
    await wait_for(api, settled)


# --- objects that the API server refuses -------------------------------------------------------------------


async def test_an_object_that_the_api_server_refuses_is_quoted(api: Api, audit: Audit, settled: str) -> None:
    target = {"kind": "Service", "name": f"istiod-{settled}-demo-inplace"}
    port = {"name": "odd", "port": 99999, "protocol": "TCP"}
    api.create(build_mesh(settled, overlays=[{"target": target, "patch": {"spec": {"ports": [port]}}}]))
    mesh = await wait_for(api, settled, condition="Reconciled", status="False", reason="ApplyFailed")
    message = read_condition(mesh, "Reconciled")["message"]
    assert f"Service {settled}/istiod-{settled}-demo-inplace" in message
    assert "99999" in message
    await assert_calm(audit, settled)
    edit(api, settled, overlays=None)
    await wait_for(api, settled)


async def test_a_quota_that_denies_an_object_is_quoted_and_tried_again(api: Api, settled: str) -> None:
    quota = {"name": "few", "namespace": settled}
    hard = {"count/services": "0"}
    api.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": quota, "spec": {"hard": hard}})
    await eventually(
        lambda: (api.get("quota", settled, "few") or {}).get("status", {}).get("used"), seconds=30
    )
    api.create(build_mesh(settled))
    mesh = await wait_for(api, settled, condition="Reconciled", status="False", reason="AdmissionDenied")
    assert "exceeded quota: few" in read_condition(mesh, "Reconciled")["message"]
    api.delete("quota", settled, "few")
    await wait_for(api, settled, seconds=90)


async def test_an_object_that_would_have_to_be_made_again_is_told(api: Api, settled: str) -> None:
    names = Names(settled, f"{settled}-demo-inplace")
    name = names.binding(build_roles(load_assets(), "1.31").namespace.name)
    labels = {
        "app.kubernetes.io/managed-by": "navarch",
        "mesh.navarch.io/mesh-namespace": settled,
        "mesh.navarch.io/mesh-name": "demo",
        "mesh.navarch.io/mesh-uid": "00000000-0000-4000-8000-000000000000",
        "mesh.navarch.io/component": "istiod",
        "mesh.navarch.io/revision": f"{settled}-demo-inplace",
    }
    rbac = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": settled, "labels": labels},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "another"},
    }
    api.create(binding)
    api.create(build_mesh(settled))
    mesh = await wait_for(api, settled, condition="Reconciled", status="False", reason="ImmutableField")
    assert f"RoleBinding {settled}/{name}" in read_condition(mesh, "Reconciled")["message"]
    api.delete("rolebinding", settled, name)
    await wait_for(api, settled, seconds=90)


async def test_a_right_that_the_operator_lacks_is_named(api: Api, light: Cluster, settled: str) -> None:
    """Of those that it never uses in a request of its own: to bind a role of istiod's."""
    role = api.get("clusterrole", "", "navarch")
    assert role is not None
    fewer = [rule for rule in role["rules"] if rule["verbs"] != ["bind"]]
    (rule,) = (rule for rule in role["rules"] if rule["verbs"] == ["bind"])
    bound = next(name for name in rule["resourceNames"] if name.startswith("navarch-istiod-1.31-"))
    ask = ("auth", "can-i", "bind", f"clusterroles/{bound}", f"--as={USER}")
    api.patch("clusterrole", "", "navarch", {"rules": fewer})
    try:
        await eventually(lambda: is_denied(light, *ask), what="the right is gone")
        api.create(build_mesh(settled))
        mesh = await wait_for(
            api, settled, condition="Reconciled", status="False", reason="MissingPermission"
        )
        message = read_condition(mesh, "Reconciled")["message"]
        assert f"ClusterRoleBinding {bound}-{settled}-demo-inplace-{settled}" in message
        assert "attempting to grant RBAC permissions not currently held" in message
    finally:
        api.patch("clusterrole", "", "navarch", {"rules": role["rules"]})
    await wait_for(api, settled, seconds=90)


def is_denied(cluster: Cluster, *question: str) -> bool:
    try:
        return not cluster.run(*question)
    except KubectlError:
        return True
