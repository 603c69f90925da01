"""What status says from the first pass on, when Events are written, and what `paused` means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.cluster.conftest import a_mesh_namespace, assert_quiet
from tests.cluster.test_ready import CONDITIONS
from tests.polling import eventually
from tests.support.activity import wait_for_removals
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.meshes import (
    build_mesh,
    edit,
    get_istiod,
    list_owned,
    read_condition,
    read_told,
    read_versions,
    wait_for,
)
from tests.support.operator import Operator


def list_events(api: Api, mesh: Object) -> list[Object]:
    """Events about a mesh."""
    metadata = mesh["metadata"]
    events = api.list("event", metadata["namespace"])
    return [e for e in events if (e.get("regarding") or {}).get("uid") == metadata["uid"]]


@dataclass(frozen=True)
class Course:
    """A mesh that runs, and what was seen of it from its creation until it was at rest."""

    namespace: str
    states: list[Object]
    events: list[Object]


@pytest.fixture(scope="module")
async def course(api: Api, audit: Audit, operator: Operator) -> AsyncIterator[Course]:
    with a_mesh_namespace(api, "course") as namespace:
        created = api.create(build_mesh(namespace))
        mesh = await wait_for(api, namespace)
        await assert_quiet(api, audit, operator, namespace, "demo")
        states = api.replay("mesh", namespace, "demo", since=created["metadata"]["resourceVersion"])
        yield Course(namespace, states, list_events(api, mesh))


@pytest.fixture(scope="module")
def running(course: Course) -> str:
    """The same mesh, to be lent."""
    return course.namespace


# --- conditions --------------------------------------------------------------------------------------------


def test_the_first_status_has_every_condition(course: Course) -> None:
    states, last = course.states, course.states[-1]
    statuses = [s["status"] for s in states if "status" in s]
    for status in statuses:
        assert {c["type"] for c in status["conditions"]} == CONDITIONS
        assert {c["observedGeneration"] for c in status["conditions"]} == {status["observedGeneration"]}
    first = next(s for s in states if "status" in s)
    assert read_condition(first, "Ready")["status"] == "False"
    assert read_condition(first, "Available")["reason"] == "NotInstalled"
    assert read_condition(first, "Progressing")["reason"] == "Progressing"
    assert read_condition(first, "Reconciled")["reason"] == "NotYetDetermined"
    assert {kind: read_condition(last, kind)["reason"] for kind in CONDITIONS - {"SpecAccepted"}} == {
        "Available": "AsExpected",
        "CertificateAuthorityHealthy": "AuthorityNotManaged",
        "Deleting": "NotDeleting",
        "DependenciesReady": "DependenciesMet",
        "GatewaysReady": "AsExpected",
        "InjectionReady": "InjectionProved",
        "MembersReady": "AsExpected",
        "Paused": "NotPaused",
        "Progressing": "Settled",
        "Ready": "AsExpected",
        "Reconciled": "Reconciled",
        "UpToDate": "AsExpected",
    }


@contextmanager
def held_back(api: Api, crd: Object, *, by: str) -> Iterator[None]:
    """A policy that refuses to make a CRD, from when it is in force: what would be over too soon to be seen
    lasts as long as the block."""
    policy = (
        "validatingadmissionpolicies",
        {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["apiextensions.k8s.io"],
                        "apiVersions": ["v1"],
                        "resources": ["customresourcedefinitions"],
                        "operations": ["CREATE"],
                    }
                ]
            },
            "matchConditions": [
                {"name": "it", "expression": f"object.metadata.name == '{crd['metadata']['name']}'"}
            ],
            "validations": [{"expression": "false", "message": "held back"}],
        },
    )
    binding = "validatingadmissionpolicybindings", {"policyName": by, "validationActions": ["Deny"]}
    group = "admissionregistration.k8s.io/v1"
    kinds = {policy[0]: "ValidatingAdmissionPolicy", binding[0]: "ValidatingAdmissionPolicyBinding"}
    for plural, spec in (policy, binding):
        body = {"apiVersion": group, "kind": kinds[plural], "metadata": {"name": by}, "spec": spec}
        api.request("POST", f"/apis/{group}/{plural}", body)
    try:
        yield
    finally:
        for plural in kinds:
            api.request("DELETE", f"/apis/{group}/{plural}/{by}", {})


def is_refused(api: Api, manifest: Object) -> bool:
    try:
        api.create(manifest, dry_run=True)
    except Refused as refused:
        return "held back" in str(refused)
    return False


async def test_a_crd_that_another_client_removed_is_reported_and_made_again(api: Api, lent: str) -> None:
    # Any mesh makes it again.
    await wait_for_removals(api)
    await wait_for(api, lent)
    name = "proxyconfigs.networking.istio.io"
    removed = api.get("crd", "", name)
    assert removed is not None
    again = {**removed, "metadata": {"name": name, "labels": removed["metadata"]["labels"]}}
    with held_back(api, removed, by=f"no-crd-{lent}"):
        await eventually(lambda: is_refused(api, again), seconds=30, every=0.1, what="the policy is in force")
        api.delete("crd", "", name)
        told = await wait_for(api, lent, condition="DependenciesReady", status="False", reason="CRDsPending")
        assert name in read_condition(told, "DependenciesReady")["message"]

    def is_back() -> bool:
        found = api.get("crd", "", name)
        return found is not None and found["metadata"]["uid"] != removed["metadata"]["uid"]

    await eventually(is_back, seconds=60, every=0.1, what=f"{name} is there again")
    await wait_for(api, lent)


async def test_a_condition_keeps_its_time_until_its_status_moves(api: Api, lent: str) -> None:
    before = await wait_for(api, lent)
    edit(api, lent, controlPlane={"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "5"}]})
    await wait_for(api, lent)
    states = [before, *api.replay("mesh", lent, "demo", since=before["metadata"]["resourceVersion"])]
    for kind in CONDITIONS:
        found = [read_condition(s, kind) for s in states]
        for old, new in pairwise(found):
            if old["status"] == new["status"]:
                assert old["lastTransitionTime"] == new["lastTransitionTime"], kind


async def test_the_revision_says_what_it_is_doing(api: Api, lent: str) -> None:
    await wait_for(api, lent)
    name = f"{lent}-demo-inplace"
    revision = api.get("revision", lent, name)
    assert {c["type"]: c["status"] for c in revision["status"]["conditions"]} == {  # type: ignore[index]
        "Available": "True",
        "Progressing": "False",
        "Ready": "True",
        "Reconciled": "True",
    }
    since = revision["metadata"]["resourceVersion"]  # type: ignore[index]
    reasons: set[str] = set()
    for value in range(20):  # a rollout may be over before the operator looks
        edit(
            api,
            lent,
            controlPlane={"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": str(value)}]},
        )
        await wait_for(api, lent)
        states = api.replay("revision", lent, name, since=since)
        reasons |= {read_condition(s, "Progressing")["reason"] for s in states}
        if "RollingOut" in reasons:
            break
    assert "RollingOut" in reasons


# --- Events ------------------------------------------------------------------------------------------------


def test_events_tell_transitions_and_nothing_else(course: Course) -> None:
    with_status = [s for s in course.states if "status" in s]
    transitions = {
        (new["reason"], new["type"], new["status"])
        for before, after in pairwise(with_status)
        for new in after["status"]["conditions"]
        if (old := read_condition(before, new["type"]))
        and (old["status"], old["reason"]) != (new["status"], new["reason"])
    }
    told = {
        (e["reason"], kind, status) for e in course.events for kind, status in read_told(e["note"]).items()
    }
    assert told == transitions
    assert ("AsExpected", "Ready", "True") in told


# --- paused ------------------------------------------------------------------------------------------------


async def test_a_paused_mesh_is_left_as_it_is_and_goes_on_afterwards(
    api: Api, audit: Audit, lent: str
) -> None:
    await wait_for(api, lent)
    edit(api, lent, paused=True)
    mesh = await wait_for(api, lent, condition="Paused", reason="Paused")
    assert read_condition(mesh, "Available")["status"] == "True"
    assert read_condition(mesh, "Ready")["status"] == "Unknown"
    assert read_condition(mesh, "Reconciled")["reason"] == "Paused"
    istiod, mark = get_istiod(api, lent), audit.mark()
    variable = {"name": "PILOT_TRACE_SAMPLING", "value": "7"}
    edit(api, lent, controlPlane={"environment": [variable]})
    api.delete("pdb", lent, istiod["metadata"]["name"])
    api.delete("hpa", lent, istiod["metadata"]["name"])
    mesh = await wait_for(api, lent, condition="UpToDate", status="False", reason="VersionPending")
    assert read_condition(mesh, "Paused")["status"] == "True"
    writes = [r for r in audit.writes(mark) if lent in (r.namespace, r.name) or lent in r.name]
    assert {r.subresource for r in writes} <= {"status"}, writes
    assert get_istiod(api, lent)["metadata"]["generation"] == istiod["metadata"]["generation"]
    assert api.get("hpa", lent, istiod["metadata"]["name"]) is None

    edit(api, lent, paused=None)
    mesh = await wait_for(api, lent)
    assert read_condition(mesh, "Paused")["reason"] == "NotPaused"
    assert api.get("hpa", lent, istiod["metadata"]["name"]) is not None
    (container,) = get_istiod(api, lent)["spec"]["template"]["spec"]["containers"]
    assert variable in container["env"]


async def test_a_mesh_that_is_paused_from_the_start_makes_nothing(api: Api, settled: str) -> None:
    api.create(build_mesh(settled, paused=True))
    mesh = await wait_for(api, settled, condition="Paused")
    assert {c["type"] for c in mesh["status"]["conditions"]} == CONDITIONS
    assert "finalizers" not in mesh["metadata"]
    assert list_owned(api, settled) == []
    edit(api, settled, paused=False)
    await wait_for(api, settled)


# --- the namespace -----------------------------------------------------------------------------------------


async def test_in_a_namespace_that_goes_a_paused_mesh_is_waited_for(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    edit(api, fresh, paused=True)
    await wait_for(api, fresh, condition="Paused")
    api.delete("namespace", "", fresh)
    await wait_for(api, fresh, condition="Deleting", reason="Paused")

    def is_asked_to_go() -> bool:
        return "deletionTimestamp" in (api.get("mesh", fresh, "demo") or {}).get("metadata", {})

    await eventually(is_asked_to_go, seconds=30, what="the namespace controller deletes the mesh")
    webhooks = [o for o in list_owned(api, fresh) if o["kind"].endswith("WebhookConfiguration")]
    assert webhooks
    edit(api, fresh, paused=None)
    await eventually(
        lambda: api.get("namespace", "", fresh) is None, seconds=60, what="the namespace is gone"
    )
    assert list_owned(api, fresh) == []


async def test_in_a_namespace_that_goes_nothing_is_made_although_the_mesh_is_still_there(
    api: Api, operator: Operator, audit: Audit, fresh: str
) -> None:
    api.create(build_mesh(fresh))
    mesh = await wait_for(api, fresh)
    keep = {"metadata": {"finalizers": ["example.com/keep"]}}
    api.patch("configmap", fresh, "kube-root-ca.crt", keep)
    api.delete("namespace", "", fresh)
    await eventually(lambda: api.get("mesh", fresh, "demo") is None, seconds=30, what="the mesh is gone")
    assert list_owned(api, fresh) == []
    states = api.replay("mesh", fresh, "demo", since=mesh["metadata"]["resourceVersion"])
    assert "NamespaceTerminating" in {read_condition(s, "Deleting")["reason"] for s in states}
    mark = audit.mark()
    api.patch("configmap", fresh, "kube-root-ca.crt", {"metadata": {"finalizers": None}})
    await eventually(
        lambda: api.get("namespace", "", fresh) is None, seconds=60, what="the namespace is gone"
    )
    assert [str(w) for w in audit.writes(mark) if w.namespace == fresh] == []


# --- nothing moves by itself -------------------------------------------------------------------------------


async def test_a_settled_mesh_stays_as_it_is(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    await assert_quiet(api, audit, operator, settled, "demo")
    before, mesh = read_versions(list_owned(api, settled)), api.get("mesh", settled, "demo") or {}
    status, events = mesh["status"], len(list_events(api, mesh))
    for _ in range(2):
        await assert_quiet(api, audit, operator, settled, "demo")
    assert read_versions(list_owned(api, settled)) == before
    assert len(list_events(api, mesh)) == events
    assert api.get("mesh", settled, "demo")["status"] == status  # type: ignore[index]
