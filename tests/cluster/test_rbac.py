"""The operator's permissions, against what it did: in the life of a mesh that needs everything, with which
these tests begin, and in all that came before them.

What was refused is judged last, when all others have run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.api.rbac import OPERATOR_USES, PROBE_USES, ROLLOUT_USES, ROOT_USES, SYSTEM_USES, Use
from navarch.core.model.labels import APPLIED, MANAGED_BY
from navarch.core.model.naming import hosted_namespace

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, build_operator
from tests.polling import eventually
from tests.support import openshift, run
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit, Request, list_refused
from tests.support.gateways import build_gateway, count_proxies, wait_for_gateway
from tests.support.managed import build_managed
from tests.support.members import build_member, wait_for_member
from tests.support.meshes import build_mesh, list_owned, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.rights import build_older_rights
from tests.support.rolls import build_roll, wait_for_roll
from tests.support.scraping import request_token, scrape

ROOT = Path(__file__).parents[2]
PROBE = "navarch-probe"


def read_install() -> list[Object]:
    return [m for m in yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text()) if m]


async def restart(operator: Operator, **settings: str) -> None:
    """The operator with or without the setting that has it look at certificates."""
    operator.stop()
    operator.settings.pop("certificate_seconds", None)
    operator.settings |= settings
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the operator is ready")


async def test_one_life_of_a_mesh_that_has_everything(
    light: Cluster, api: Api, operator: Operator, fresh: str
) -> None:
    """Not a claim of its own: what the next tests count, whether or not others ran before."""
    await restart(operator, certificate_seconds="600")
    full = {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
        "networkPolicy": True,
        "gatewayController": False,
    }
    for manifest in build_older_rights(fresh):
        api.apply(manifest, manager="navarch")
    port = {"service": {"type": "NodePort"}}
    gateways = {"ingress": [{"name": "ingress", **port}, {"name": "each", "workload": "DaemonSet", **port}]}
    spec = {"mtls": {"mode": "Strict"}, "controlPlane": full, "gateways": gateways}
    api.create(build_mesh(fresh, **spec, **build_managed()))
    await wait_for(api, fresh)
    await eventually(lambda: api.list("role", fresh) == [], seconds=30, what="the older Role is gone")
    await unlabel(api, "daemonset", fresh, "each")
    await have_routes(api, fresh)
    await join_and_leave(api, fresh)
    await host(api, fresh)
    api.patch("mesh", fresh, "demo", {"spec": {"gateways": None}})
    await eventually(lambda: api.get("gateway", fresh, "ingress") is None, seconds=60, what="it is gone")
    await eventually(lambda: count_proxies(api, fresh) == 0, seconds=60, what="no proxy is counted any more")
    api.patch(
        "mesh", fresh, "demo", {"spec": {"controlPlane": {"placement": {"nodeSelector": {"no": "where"}}}}}
    )
    await wait_for(api, fresh, condition="Progressing", reason="RolloutStuck")
    api.patch("mesh", fresh, "demo", {"spec": {"controlPlane": {"placement": None}}})
    await wait_for(api, fresh)
    kinds = {o["kind"] for o in list_owned(api, fresh)}
    assert {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "PeerAuthentication"} <= kinds
    await share_each(api, operator, fresh)
    await wait_for(api, fresh)
    api.delete("mesh", fresh, "demo")
    await eventually(lambda: api.get("mesh", fresh, "demo") is None, seconds=30, every=0.1, what="it is gone")
    assert list_owned(api, fresh) == []
    await restart(operator)
    await wait_for_rest(operator)
    replica = build_operator(light, "scraped", metrics_plain="false")
    replica.start()
    try:
        await eventually(lambda: scrape(replica, request_token(light, "default"))[0] == 403, seconds=60)
    finally:
        replica.stop()


async def unlabel(api: Api, kind: str, namespace: str, name: str) -> None:
    """An object loses its labels, by which the operator sees it, and gets them back."""
    api.patch(kind, namespace, name, {"metadata": {"labels": None}})
    await eventually(
        lambda: (api.get(kind, namespace, name) or {})["metadata"].get("labels"),
        seconds=60,
        what="it has its labels again",
    )


async def have_routes(api: Api, namespace: str) -> None:
    """A gateway has a Route for a while, where there are some."""
    route = {"name": "web", "host": "web.example.com", "port": "https", "termination": "Passthrough"}
    async with openshift.routes_served(api):
        api.create(build_gateway(namespace, namespace, "routed", openshift={"routes": [route]}))
        await wait_for_gateway(api, namespace, "routed", status="False", reason="RoutePending")
        await unlabel(api, "route", namespace, "routed-web")
        api.delete("gateway", namespace, "routed")
        await eventually(lambda: api.get("gateway", namespace, "routed") is None, seconds=60, what="it goes")


async def join_and_leave(api: Api, mesh: str) -> None:
    """A namespace is a member for a while, by its own MeshMember and then by a roll."""
    with a_mesh_namespace(api, f"{mesh}-apps") as apps:
        api.create(build_member(apps, mesh))
        await wait_for_member(api, apps)
        api.delete("member", apps, "default")
        await eventually(lambda: api.get("member", apps, "default") is None, seconds=60, what="it has left")
        api.create(build_roll(mesh, apps))
        await wait_for_roll(api, mesh)
        api.delete("roll", mesh, "default")
        await eventually(lambda: api.get("member", apps, "default") is None, seconds=60, what="it has left")


async def host(api: Api, mesh: str) -> None:
    """A hosted mesh comes, loses the namespace of its control plane, and goes."""
    with a_mesh_namespace(api, f"{mesh}-hosted") as namespace:
        api.create(build_mesh(namespace, hosting="Hosted", scope="Members"))
        await wait_for(api, namespace)
        home = hosted_namespace(namespace, "demo")
        uid = (api.get("namespace", "", home) or {})["metadata"]["uid"]
        api.delete("namespace", "", home)

        def is_another() -> bool:
            found = api.get("namespace", "", home)
            return found is not None and found["metadata"]["uid"] != uid

        await eventually(is_another, seconds=60, what="the namespace is made anew")
        await wait_for(api, namespace, seconds=90)
        api.delete("mesh", namespace, "demo")
        await eventually(lambda: api.get("mesh", namespace, "demo") is None, seconds=60, what="it is gone")


async def share_each(api: Api, operator: Operator, namespace: str) -> None:
    """Another client owns a label of each object together with Navarch, and changes another field: the object
    is read before that client's share is taken off. Only Navarch's account may write a MeshRevision."""
    own = Api(operator.kubeconfig)

    def list_changed() -> list[Object]:
        owned = list_owned(api, namespace)
        return [o for o in owned if o["metadata"]["annotations"][APPLIED] == "another"]

    for found in list_owned(api, namespace):
        named = {key: found["metadata"][key] for key in ("name", "namespace") if key in found["metadata"]}
        metadata = {**named, "labels": {MANAGED_BY: "navarch"}, "annotations": {APPLIED: "another"}}
        share = {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata}
        (own if found["kind"] == "MeshRevision" else api).apply(share, manager="another")
    await eventually(lambda: not list_changed(), seconds=60, every=0.1, what="each is put right")


def test_the_operator_has_exactly_the_generated_rights(api: Api, operator: Operator) -> None:
    subject = {"kind": "ServiceAccount", "name": "navarch", "namespace": SYSTEM}

    def find_bindings(kind: str) -> set[tuple[str, str, str, str]]:
        return {
            (binding["kind"], binding["metadata"].get("namespace", ""), role["kind"], role["name"])
            for binding in api.list(kind)
            for role in [binding["roleRef"]]
            if any({**s, **subject} == s or s["name"] == USER for s in binding.get("subjects") or ())
        }

    assert find_bindings("clusterrolebinding") == {("ClusterRoleBinding", "", "ClusterRole", "navarch")}
    assert find_bindings("rolebinding") == {
        ("RoleBinding", SYSTEM, "Role", "navarch"),
        ("RoleBinding", SYSTEM, "ClusterRole", "navarch-roots"),
        ("RoleBinding", PROBE, "ClusterRole", "navarch-dry-run"),
    }
    for manifest in read_install():
        if manifest["kind"] in ("Role", "ClusterRole") and manifest["metadata"]["name"] == "navarch":
            there = api.get(manifest["kind"].lower(), manifest["metadata"].get("namespace", ""), "navarch")
            assert there is not None
            assert there["rules"] == manifest["rules"]


def find_wildcards(roles: list[Object]) -> list[tuple[str, Any]]:
    return [
        (role["metadata"]["name"], rule)
        for role in roles
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role.get("rules") or ()
        if any("*" in word for words in rule.values() for word in words)
    ]


async def test_no_role_holds_a_wildcard(api: Api, operator: Operator, fresh: str) -> None:
    assert find_wildcards(read_install()) == []
    api.create(build_mesh(fresh, controlPlane={"gatewayController": False}))
    await wait_for(api, fresh)
    owned = list_owned(api, fresh)
    assert [o["metadata"]["name"] for o in owned if o["kind"] in ("Role", "ClusterRole")] == [
        f"istiod-webhooks-{fresh}-demo-inplace-{fresh}"
    ]
    assert find_wildcards(owned) == []


ELSEWHERE = {
    "routes/custom-host": "tests/cluster/test_openshift_routes.py",
    "virtualservices": "tests/cluster/test_upgrades.py",
}
"""What no request names, since another API server asks for it, or only an upgrade does, which may run in
another lab; and what shows that it is needed."""


def is_use(request: Request, use: Use, *, resource: str, verb: str, namespace: str) -> bool:
    """Whether a request that was carried out needed this verb."""
    asked = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    if (request.group, asked) != (use.group, resource) or (namespace and request.namespace != namespace):
        return False
    # Server-side apply needs the verb create, too, where it makes something: 201.
    return request.verb == verb or (verb, request.verb, request.code) == ("create", "patch", 201)


def test_every_right_of_the_operators_own_is_in_use(audit: Audit, operator: Operator) -> None:
    # That there is nothing of the name (404) is an answer, too.
    done = [r for r in audit.since(0) if not r.forbidden and (r.code < 400 or r.code == 404)]
    places = (
        (OPERATOR_USES, ""),
        (SYSTEM_USES, SYSTEM),
        (ROOT_USES, SYSTEM),
        (PROBE_USES, PROBE),
    )
    held = [
        (use, namespace, resource, verb)
        for uses, namespace in places
        for use in uses
        for resource in use.resources
        for verb in use.verbs
        if resource not in ELSEWHERE
    ]
    unused = [
        f"{verb} {resource} ({use.group}): {use.why}"
        for use, namespace, resource, verb in held
        if not any(is_use(r, use, resource=resource, verb=verb, namespace=namespace) for r in done)
    ]
    assert unused == []


@pytest.mark.last
def test_no_request_of_the_operators_was_refused_for_want_of_a_right(request: pytest.FixtureRequest) -> None:
    refused = read_refused(request)
    if run.find_folder():
        assert "get secrets" in refused, "what is refused has been written down"
    # Secrets are asked for in case an administrator lets the operator (test_gateway_certificates.py), and
    # what restarts need is held only while the binding of its role is there (test_rollouts.py).
    assert refused - {"get secrets"} - (list_rights(ROLLOUT_USES) - list_rights(OPERATOR_USES)) == set()


def list_rights(uses: tuple[Use, ...]) -> set[str]:
    return {f"{verb} {resource}" for use in uses for resource in use.resources for verb in use.verbs}


def read_refused(request: pytest.FixtureRequest) -> set[str]:
    """What the API servers of the run's labs have refused the operator; without a run, that of this session:
    no lab is begun for this."""
    if run.find_folder():
        return run.read("refused")
    light: Cluster = request.getfixturevalue("light")
    request.getfixturevalue("operator")
    assert light.audit_log is not None
    return list_refused(light.audit_log, USER)
