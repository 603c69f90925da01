"""Answers of the API server, as errors of a closed set."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Ref
from navarch.engine.result import LONGEST_PASSING, Retry, classify
from navarch.kube.errors import (
    Conflict,
    Denial,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    TooManyRequests,
    Unavailable,
    Unserved,
    error_of,
)
from navarch.kube.fate import failed, foreign


def answer(message: str = "no", **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "reason": "Because", "message": message, "details": details}


def error(status: int, message: str = "no", subject: str = "ConfigMap ns/x", **details: Any) -> KubeError:
    return error_of(status, answer(message, **details), method="PATCH", subject=subject)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unavailable),
        (404, Unserved),
        (408, Unavailable),
        (409, Conflict),
        (410, Gone),
        (413, Invalid),
        (422, Invalid),
        (429, TooManyRequests),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_every_status_has_one_class(status: int, kind: type[KubeError]) -> None:
    found = error(status)
    assert type(found) is kind
    assert isinstance(classify(found), Retry)


def test_only_a_404_that_names_an_object_says_that_there_is_none() -> None:
    assert type(error(404, name="x", kind="configmaps")) is NotFound
    assert type(error_of(404, "404 page not found", method="GET", subject="ConfigMap ns/x")) is Unserved
    assert not issubclass(Unserved, NotFound)


def test_an_error_names_method_object_and_reason() -> None:
    assert str(error(409, "another was faster")) == "PATCH ConfigMap ns/x: Because: another was faster"


def test_an_answer_that_is_no_status_is_quoted() -> None:
    found = error_of(502, "<html>bad gateway</html>", method="GET", subject="/version")
    assert isinstance(found, Unavailable)
    assert "bad gateway" in str(found)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, 'configmaps "x" is forbidden: exceeded quota: q, requested: count/configmaps=1'),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation'),
        (
            422,
            "x is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
        ),
        (403, 'admission webhook "deny.example.com" denied the request: no'),
        (400, 'admission webhook "deny.example.com" denied the request: no'),
        (422, 'admission webhook "deny.example.com" denied the request: no'),
        (500, 'admission webhook "deny.example.com" denied the request: no'),
        (500, 'Internal error occurred: failed calling webhook "dead.example.com": connection refused'),
        (403, "forbidden for an unexpected reason"),
    ],
)
def test_a_denial_by_admission_is_told_from_a_missing_permission(status: int, message: str) -> None:
    found = error(status, message)
    assert isinstance(found, Forbidden)
    assert found.denial is Denial.ADMISSION
    assert classify(found) == Retry(found, after=None), "by the key's backoff"


@pytest.mark.parametrize(
    ("message", "verb", "resource"),
    [
        (
            'x is forbidden: User "u" cannot list resource "configmaps" in API group "" at the cluster scope',
            "list",
            "configmaps",
        ),
        (
            'x is forbidden: User "u" cannot patch resource "deployments" in API group "apps"',
            "patch",
            "deployments.apps",
        ),
        (
            'User "u" cannot patch resource "meshcontrolplanes/status" in API group "mesh.navarch.io"',
            "patch",
            "meshcontrolplanes/status.mesh.navarch.io",
        ),
        ('forbidden: User "u" cannot get path "/metrics"', "get", "/metrics"),
        (
            'user "u" (groups=["g"]) is attempting to grant RBAC permissions not currently held',
            "escalate",
            "roles",
        ),
    ],
)
def test_a_missing_permission_names_verb_and_resource(message: str, verb: str, resource: str) -> None:
    found = error(403, message)
    assert isinstance(found, Forbidden)
    assert (found.denial, found.verb, found.resource) == (Denial.PERMISSION, verb, resource)
    assert classify(found) == Retry(found, after=60.0)


def test_a_terminating_namespace_is_told_by_its_cause() -> None:
    found = error(403, "because it is being terminated", causes=[{"reason": "NamespaceTerminating"}])
    assert isinstance(found, Forbidden)
    assert found.denial is Denial.NAMESPACE_TERMINATING


def test_a_field_unknown_to_server_side_apply_is_invalid_though_the_server_says_500() -> None:
    message = "failed to create typed patch object (ns/x; /v1, Kind=K): .bogus: field not declared in schema"
    assert isinstance(error(500, message), Invalid)


def test_another_uid_is_a_conflict() -> None:
    assert isinstance(error(422, "field is immutable", causes=[{"field": "metadata.uid"}]), Conflict)


@pytest.mark.parametrize(
    "message",
    [
        'Deployment.apps "x" is invalid: spec.selector: Invalid value: {}: field is immutable',
        'RoleBinding "x" is invalid: roleRef: Invalid value: {}: cannot change roleRef',
        'Service "x" is invalid: spec.clusterIPs[0]: Invalid value: []: may not change once set',
    ],
)
def test_immutable_fields_are_recognised(message: str) -> None:
    found = error(422, message)
    assert isinstance(found, Invalid)
    assert found.immutable


@pytest.mark.parametrize("status", [400, 403, 409, 422, 500])
@pytest.mark.parametrize(
    "message", ['data[a]: Invalid value: "hunter2"', 'admission webhook "w" denied: hunter2']
)
def test_the_content_of_a_secret_is_never_quoted(status: int, message: str) -> None:
    causes = [{"field": "data[a]", "message": 'Invalid value: "hunter2"'}]
    found = error_of(status, answer(message, causes=causes), method="PATCH", subject="Secret ns/x")
    if not (isinstance(found, Forbidden) and "webhook" not in message):
        assert "hunter2" not in f"{found} {found.message} {found.causes}"


def test_what_the_server_asks_to_wait_is_waited() -> None:
    found = error_of(429, answer(), method="GET", subject="x", retry_after=7.0)
    assert classify(found) == Retry(found, after=7.0, longest=LONGEST_PASSING)


def test_an_object_of_a_kind_that_is_not_served_is_told_with_what_brings_it_back() -> None:
    ref = Ref("mesh.navarch.io/v1beta1", "MeshRevision", "shop", "one")
    message = failed(ref, Unserved("404 page not found", subject=str(ref))).outcome.message
    assert "CustomResourceDefinition of MeshRevision is missing" in message
    assert "navarch manifests" in message


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("MeshGateway", "remove it, or give the gateway another name"),
        ("MeshControlPlane", "remove or rename it"),
    ],
)
def test_what_stands_in_the_way_is_told_with_what_its_parents_owner_can_do(kind: str, remedy: str) -> None:
    ref = Ref("v1", "ServiceAccount", "shop", "default")
    fate = foreign(ref, "it carries no label of a mesh", Parent(kind, "shop", "default"))
    assert fate.outcome.message.endswith(f"it was left untouched: {remedy}")
