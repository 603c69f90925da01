"""What stands in for OpenShift on the light lab: a CustomResourceDefinition of its Routes, the question that
its API server asks before a Route may name its host, and a router that a test plays.

Must never be taken for OpenShift: there the API is an aggregated one, and a router admits by rules of
its own. The fields are those that OpenShift's API documents for route.openshift.io/v1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.polling import eventually
from tests.support.api import Api, Object

CRD = "routes.route.openshift.io"
ROUTER = "default"
_TEXT = {"type": "string"}
_GUARD = "custom-host.example.com"
_ADMISSION = "admissionregistration.k8s.io/v1"


def _build_object(properties: Object, *required: str) -> Object:
    return {"type": "object", "properties": properties, **({"required": [*required]} if required else {})}


def build_crd() -> Object:
    """Routes, with the defaults that OpenShift fills in."""
    backend = _build_object(
        {"kind": {**_TEXT, "enum": ["Service"]}, "name": _TEXT, "weight": {"type": "integer"}}, "kind", "name"
    )
    tls = _build_object(
        {
            "termination": {**_TEXT, "enum": ["edge", "passthrough", "reencrypt"]},
            "insecureEdgeTerminationPolicy": {**_TEXT, "enum": ["Allow", "None", "Redirect", ""]},
            "certificate": _TEXT,
            "key": _TEXT,
            "caCertificate": _TEXT,
            "destinationCACertificate": _TEXT,
            "externalCertificate": _build_object({"name": _TEXT}),
        },
        "termination",
    )
    fixed = {"rule": "self == oldSelf", "message": "field is immutable"}
    spec = _build_object(
        {
            "host": _TEXT,
            "subdomain": _TEXT,
            "path": _TEXT,
            "to": backend,
            "alternateBackends": {"type": "array", "maxItems": 3, "items": backend},
            "port": _build_object({"targetPort": {"x-kubernetes-int-or-string": True}}, "targetPort"),
            "tls": tls,
            "wildcardPolicy": {
                **_TEXT,
                "enum": ["None", "Subdomain", ""],
                "default": "None",
                "x-kubernetes-validations": [fixed],
            },
        },
        "to",
    )
    condition = _build_object(
        dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime"), _TEXT)
    )
    entry = _build_object(
        {
            **dict.fromkeys(("host", "routerName", "wildcardPolicy", "routerCanonicalHostname"), _TEXT),
            "conditions": {"type": "array", "items": condition},
        }
    )
    status = _build_object({"ingress": {"type": "array", "items": entry}})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD},
        "spec": {
            "group": "route.openshift.io",
            "scope": "Namespaced",
            "names": {"kind": "Route", "plural": "routes", "singular": "route", "listKind": "RouteList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": _build_object({"spec": spec, "status": status}, "spec")},
                }
            ],
        },
    }


def build_guard() -> list[Object]:
    """The question that OpenShift's API server asks of whoever names a Route's host."""
    asked = (
        "authorizer.group('route.openshift.io').resource('routes').subresource('custom-host')"
        ".namespace(request.namespace).check({0}).allowed()"
    )
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["route.openshift.io"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["routes"],
                }
            ]
        },
        "matchConditions": [
            {"name": "host", "expression": "object.?spec.?host != oldObject.?spec.?host"},
        ],
        "validations": [
            {
                "expression": asked.format("request.operation == 'CREATE' ? 'create' : 'update'"),
                "message": "you do not have permission to set the host field of the route",
            }
        ],
    }
    return [
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": _GUARD},
            "spec": spec,
        },
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": _GUARD},
            "spec": {"policyName": _GUARD, "validationActions": ["Deny"]},
        },
    ]


async def install(api: Api) -> None:
    """The API of Routes, served when this returns."""
    for manifest in (build_crd(), *build_guard()):
        api.create(manifest)
    await eventually(lambda: _is_served(api), seconds=60, what="Routes are served")


async def remove(api: Api) -> None:
    """The API of Routes, and all Routes with it."""
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        api.request("DELETE", f"/apis/{_ADMISSION}/{plural}/{_GUARD}")
    api.delete("crd", "", CRD)
    await eventually(
        lambda: api.get("crd", "", CRD) is None and not _is_served(api), seconds=60, what="it is gone"
    )


def _is_served(api: Api) -> bool:
    groups = api.request("GET", "/apis")["groups"]
    return any(group["name"] == "route.openshift.io" for group in groups)


@asynccontextmanager
async def routes_served(api: Api) -> AsyncIterator[None]:
    """The API of Routes for a while."""
    await install(api)
    try:
        yield
    finally:
        if api.get("crd", "", CRD) is not None:
            await remove(api)


def answer(
    api: Api, namespace: str, name: str, *, status: str = "True", reason: str = "", message: str = ""
) -> None:
    """The router's word on a Route, of the host that it has now."""
    route = api.get("route", namespace, name)
    assert route is not None, f"{namespace}/{name}"
    condition: dict[str, Any] = {"type": "Admitted", "status": status, "reason": reason, "message": message}
    entry = {"host": route["spec"]["host"], "routerName": ROUTER, "conditions": [condition]}
    api.patch("route", namespace, name, {"status": {"ingress": [entry]}}, sub="status")
