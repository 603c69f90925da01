"""Bad input: refused where it is written, or told in status; what already runs is left alone, nothing storms.

What admission refuses is in test_admission.py field by field; here is each bad input once, to its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    "proxy": None,
    "mtls": None,
}


def assert_told(mesh: Object, reason: str, words: tuple[str, ...]) -> None:
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    for word in words:
        assert word in accepted["message"]
    ready = read_condition(mesh, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)


def read_active(api: Api, namespace: str) -> str:
    """The version of Istio that a mesh runs."""
    return str((api.get("mesh", namespace, "demo") or {})["status"]["version"]["active"])


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


async def test_bad_input_from_the_start_makes_nothing_until_it_is_corrected(
    api: Api, audit: Audit, settled: str
) -> None:
    """One after the other: what is corrected first does not let through what comes next."""
    for number, bad in enumerate((UNKNOWN, BAD[1], BAD[5])):
        spec, reason, words = bad.values
        if number == 0:
            api.create(build_mesh(settled, **spec))
        else:
            edit(api, settled, **(UNDO | spec))
        mesh = await wait_for(api, settled, condition="SpecAccepted", status="False", reason=reason)
        assert_told(mesh, reason, words)
        assert list_owned(api, settled) == []
        await assert_calm(audit, settled)
    edit(api, settled, **UNDO)
    await wait_for(api, settled)


async def test_a_field_that_istio_does_not_know_is_told_and_changes_nothing_else(api: Api, lent: str) -> None:
    edit(api, lent, meshConfig={"acessLogFile": "/dev/stdout"})
    mesh = await wait_for(api, lent)
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "UnknownField")
    assert "did you mean accessLogFile?" in accepted["message"]


async def test_a_value_that_nothing_reads_is_told_and_changes_nothing_else(api: Api, lent: str) -> None:
    before = read_versions(list_owned(api, lent))
    edit(api, lent, values={"pilot": {"replicaCount": 3}})
    mesh = await wait_for(api, lent)
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "ValueUnread")
    assert "spec.values.pilot.replicaCount" in accepted["message"]
    same = {key: version for key, version in before.items() if key[0] == "Deployment"}
    assert same.items() <= read_versions(list_owned(api, lent)).items()


async def test_a_field_that_another_switches_off_is_told_and_the_mesh_comes_up(api: Api, lent: str) -> None:
    proxy = {"holdApplicationUntilProxyStarts": True, "nativeSidecars": False}
    hook = {"exec": {"command": ["sleep", "1"]}}
    edit(api, lent, proxy=proxy | {"lifecycle": {"postStart": hook}})
    accepted = read_condition(await wait_for(api, lent), "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "FieldWithoutEffect")
    assert "spec.proxy.holdApplicationUntilProxyStarts" in accepted["message"]
    assert "spec.proxy.lifecycle.postStart" in accepted["message"]
    assert "pilot-agent wait" in accepted["message"]
    edit(api, lent, proxy={"lifecycle": {"postStart": None, "preStop": hook}})
    accepted = read_condition(await wait_for(api, lent), "SpecAccepted")
    assert accepted["reason"] != "FieldWithoutEffect"


async def test_a_minor_past_its_end_of_life_is_told_beside_what_else_there_is_to_say(
    api: Api, running: str, settled: str
) -> None:
    """And it comes up with the CRDs that a mesh of a newer minor has brought."""
    crds = [crd for crd in api.list("crd") if crd["metadata"]["name"].endswith(".istio.io")]
    assert {crd["metadata"]["labels"].get("mesh.navarch.io/istio-minor") for crd in crds} == {"1.31"}
    api.create(build_mesh(settled, version="1.29"))
    mesh = await wait_for(api, settled)
    assert read_condition(mesh, "DependenciesReady")["reason"] == "DependenciesMet"
    accepted = read_condition(mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "VersionNotice")
    assert "end of life" in accepted["message"]
    if "was tested on Kubernetes up to" in accepted["message"]:
        assert "; UntestedKubernetes: spec.version: '1.29': " in accepted["message"]


async def test_a_cluster_newer_than_tested_is_told_and_changes_nothing_else(api: Api, running: str) -> None:
    accepted = read_condition(await wait_for(api, running), "SpecAccepted")
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


async def test_a_control_plane_goes_neither_back_nor_over_a_minor(api: Api, lent: str) -> None:
    active, before = read_active(api, lent), read_versions(list_owned(api, lent))
    runs = rf"\({re.escape(active)} runs\)"
    with pytest.raises(Refused, match=rf"spec.version: 1.30.3 {runs}.*does not go back"):
        edit(api, lent, version="1.30.3")
    with pytest.raises(Refused, match=rf"spec.version: 1.33 {runs}.*one minor at a time"):
        edit(api, lent, version="1.33")
    await wait_for(api, lent)
    assert read_versions(list_owned(api, lent)) == before


async def test_a_downgrade_that_admission_did_not_see_is_told_in_status(
    api: Api, audit: Audit, operator: Operator, lent: str
) -> None:
    await assert_quiet(api, audit, operator, lent, "demo")
    active, before = read_active(api, lent), read_versions(list_owned(api, lent))

    def is_taken() -> bool:
        try:
            edit(api, lent, version="1.30.3")
        except Refused:
            return False
        return True

    with out_of_force(api, "version"):
        await eventually(is_taken, seconds=30, every=0.2, what="the policy is out of force")
        mesh = await wait_for(api, lent, condition="SpecAccepted", status="False", reason="Downgrade")
    words = ("spec.version: '1.30.3'", f"lower than {active}", f"set it to {active} or higher")
    assert_told(mesh, "Downgrade", words)
    assert read_versions(list_owned(api, lent)) == before
    edit(api, lent, version=active)
    await wait_for(api, lent)


async def test_a_patch_may_go_back_and_is_told(api: Api, lent: str) -> None:
    assert read_active(api, lent) != "1.31.0"
    edit(api, lent, version="1.31.0", controlPlane=NOWHERE)  # until it can roll, what serves is newer
    await wait_for(api, lent, condition="SpecAccepted", reason="PatchReverted")
    edit(api, lent, controlPlane={"placement": None})
    mesh = await wait_for(api, lent)
    assert mesh["status"]["version"] == {"desired": "1.31.0", "active": "1.31.0"}


async def test_a_config_map_of_others_that_istiod_would_deploy_gateways_with_is_told(
    api: Api, lent: str
) -> None:
    labels = {"gateway.istio.io/defaults-for-class": "istio"}
    metadata = {"name": "mine", "namespace": lent, "labels": labels}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"deployment": "{}"}})
    mesh = await wait_for(api, lent, condition="SpecAccepted", reason="ForeignGatewayDefaults")
    assert "ConfigMap mine" in read_condition(mesh, "SpecAccepted")["message"]
    api.delete("configmap", lent, "mine")
    await wait_for(api, lent, condition="SpecAccepted", reason="UntestedKubernetes")


async def test_a_mesh_wide_policy_that_is_older_than_the_mesh_s_own_is_told_until_it_is_gone(
    api: Api, lent: str
) -> None:
    """A second one, with a selector, rules no mesh."""

    def build(name: str, **spec: Any) -> Object:
        metadata = {"name": name, "namespace": lent}
        body = {"mtls": {"mode": "DISABLE"}, **spec}
        return {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": metadata,
            "spec": body,
        }

    api.create(build("aab", selector={"matchLabels": {"app": "web"}}))
    api.create(build("aaa"))
    edit(api, lent, mtls={"mode": "Strict"})
    mesh = await wait_for(api, lent, condition="SpecAccepted", reason="PolicyOverruled")
    message = read_condition(mesh, "SpecAccepted")["message"]
    assert f"PeerAuthentication {lent}/aaa, mode DISABLE" in message
    assert f"kubectl delete peerauthentication aaa -n {lent}" in message
    await eventually(
        lambda: api.get("peerauthentication", lent, "default") is not None, seconds=30, what="ours is made"
    )
    mesh = await wait_for(api, lent, condition="SpecAccepted", reason="PolicyOverruled")
    for name in ("aaa", "aab"):
        api.delete("peerauthentication", lent, name)
    await wait_for(api, lent, condition="SpecAccepted", reason="UntestedKubernetes")


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


@pytest.fixture(scope="module")
def vacant(api: Api, installed: Cluster) -> Iterator[str]:
    """A namespace without a mesh."""
    with a_mesh_namespace(api, "bad-input-vacant") as namespace:
        yield namespace


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
    api: Api, operator: Operator, vacant: str, name: str, spec: Object, message: str
) -> None:
    def refusal() -> str:
        try:
            api.create(build_mesh(vacant, name, **spec), dry_run=True)
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


async def test_a_foreign_istio_of_the_same_revision_or_tag_is_named_and_left_alone(
    api: Api, audit: Audit, settled: str
) -> None:
    """By its revision, by a revision that is the tag, by its tag: one after the other."""
    tag = f"{settled}-demo"
    labels = (
        {"istio.io/rev": f"{tag}-inplace"},
        {"istio.io/rev": tag},
        {"istio.io/rev": "other", "istio.io/tag": tag},
    )
    names = [f"foreign-{settled}-{number}" for number in range(len(labels))]
    try:
        for number, (name, own) in enumerate(zip(names, labels, strict=True)):
            foreign = api.create(build_foreign_webhook(name, own))
            if number == 0:
                api.create(build_mesh(settled))
            else:
                api.delete("mwc", "", names[number - 1])

            def is_named(name: str = name) -> bool:
                return name in read_condition(api.get("mesh", settled, "demo"), "SpecAccepted").get(
                    "message", ""
                )

            await eventually(is_named, what=f"{own} is named")
            mesh = await wait_for(
                api, settled, condition="SpecAccepted", status="False", reason="ForeignIstio"
            )
            assert_told(mesh, "ForeignIstio", (f"spec.tag: '{tag}'", name, "uninstall that Istio"))
            assert list_owned(api, settled) == []
            assert api.get("mwc", "", name) == foreign
        await assert_calm(audit, settled)
    finally:
        for name in names:
            api.delete("mwc", "", name)
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


async def test_an_object_that_the_api_server_refuses_is_quoted(api: Api, audit: Audit, running: str) -> None:
    target = {"kind": "Service", "name": f"istiod-{running}-demo-inplace"}
    port = {"name": "odd", "port": 99999, "protocol": "TCP"}
    edit(api, running, overlays=[{"target": target, "patch": {"spec": {"ports": [port]}}}])
    mesh = await wait_for(api, running, condition="Reconciled", status="False", reason="ApplyFailed")
    message = read_condition(mesh, "Reconciled")["message"]
    assert f"Service {running}/istiod-{running}-demo-inplace" in message
    assert "99999" in message
    await assert_calm(audit, running)
    edit(api, running, overlays=None)
    await wait_for(api, running)


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
