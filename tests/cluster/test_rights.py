"""Rights, as the API server decides: what the operator may bind, what an istiod may do, and that no istiod is
without its rights for a moment while they change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from navarch.assets import load_assets
from navarch.core.grants import list_roles
from navarch.core.istio.roles import build_roles, build_webhook_rules

from lab.cluster import Cluster
from tests.cluster.conftest import ROOT
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit, Request
from tests.support.meshes import build_mesh, edit, get_istiod, list_owned, read_condition, wait_for
from tests.support.operator import USER, Operator
from tests.support.rights import GROUP, build_older_rights, list_rights, name_account, spell

ROLES = [role["metadata"]["name"] for role in list_roles(load_assets())]
BINDINGS = ("clusterrolebindings", "rolebindings")


def build_binding(role: str, namespace: str = "") -> Object:
    """A binding of a ClusterRole to an account of no importance."""
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": "trial", **place},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "trial", "namespace": "default"}],
    }


def may(api: Api, user: str, question: str) -> bool:
    """The API server's own answer to `VERB RESOURCE[.GROUP][/NAME] [NAMESPACE]`."""
    verb, what, *where = question.split()
    resource, _, name = what.partition("/")
    plural, _, group = resource.partition(".")
    attributes = {"verb": verb, "resource": plural, "group": group, "name": name}
    attributes |= {"namespace": where[0]} if where else {}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


# --- the operator's account


@pytest.mark.parametrize("namespace", ["", "default"])
def test_the_operator_binds_every_role_of_istiod_and_no_other(
    api: Api, installed: Cluster, namespace: str
) -> None:
    operator = api.impersonating(USER)
    for role in ROLES:
        operator.create(build_binding(role, namespace), dry_run=True)
        operator.request(
            "PATCH",
            f"{api.path(build_binding(role, namespace)['kind'].lower(), namespace, 'trial')}"
            "?dryRun=All&fieldManager=navarch",
            build_binding(role, namespace),
            media="application/apply-patch+yaml",
        )
    for role in ("cluster-admin", "view", "system:kube-scheduler", "navarch-istiod-1.31-00000000"):
        with pytest.raises(Refused) as refused:
            operator.create(build_binding(role, namespace), dry_run=True)
        assert refused.value.code in (403, 404), role


def test_the_operator_cannot_make_the_role_that_it_binds(api: Api, installed: Cluster) -> None:
    for role in list_roles(load_assets()):
        copy = {**role, "metadata": {"name": f"copy-of-{role['metadata']['name']}"}}
        with pytest.raises(Refused) as refused:
            api.impersonating(USER).create(copy, dry_run=True)
        assert refused.value.code == 403
        assert "attempting to grant RBAC permissions not currently held" in str(refused.value)


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        *((f"bind clusterroles.{GROUP}/{role}", True) for role in ROLES),
        (f"bind clusterroles.{GROUP}", False),
        (f"bind clusterroles.{GROUP}/cluster-admin", False),
        (f"bind roles.{GROUP} default", False),
        (f"escalate clusterroles.{GROUP}", False),
        (f"create roles.{GROUP} default", False),
        ("get secrets kube-system", False),
        ("list secrets default", False),
        ("watch secrets", False),
        ("create secrets default", False),
        ("get leases.coordination.k8s.io kube-system", False),
        ("get nodes", False),
        ("create tokenreviews.authentication.k8s.io", True),
        ("create subjectaccessreviews.authorization.k8s.io", True),
        ("get tokenreviews.authentication.k8s.io", False),
        ("create localsubjectaccessreviews.authorization.k8s.io default", False),
    ],
)
def test_the_operator_does_not_hold_what_it_binds(
    api: Api, installed: Cluster, question: str, allowed: bool
) -> None:
    assert may(api, USER, question) is allowed


# --- istiod's account


def expect_rights(minor: str, *, full: bool, webhooks: Iterable[str] = ()) -> set[tuple[str, str, str, str]]:
    """In the whole cluster, by the minor's rules; `webhooks` are the mesh's own."""
    roles = build_roles(load_assets(), minor)
    if full:
        return spell(roles.full.rules)
    injectors = [name for name in webhooks if "validator" not in name]
    validators = [name for name in webhooks if "validator" in name]
    return spell([*roles.confined.rules, *build_webhook_rules(injectors, validators)])


def list_webhooks(api: Api, namespace: str) -> list[str]:
    return [o["metadata"]["name"] for kind in ("mwc", "vwc") for o in api.list(kind) if is_of(o, namespace)]


def is_of(manifest: Object, namespace: str) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return bool(labels.get("mesh.navarch.io/mesh-namespace") == namespace)


def list_bindings(api: Api, namespace: str) -> set[str]:
    return {o["metadata"]["name"] for o in list_owned(api, namespace) if o["kind"].endswith("Binding")}


def is_between(api: Api, namespace: str) -> bool:
    """Whether a mesh's istiod is bound to the roles of two specifications."""
    bound = [name for name in list_bindings(api, namespace) if name.startswith("navarch-istiod")]
    return len(bound) != 2


def check_order(requests: list[Request], *, gone: set[str]) -> None:
    """Every binding that was made came before any that was removed, and no role went before a binding."""
    made = [i for i, r in enumerate(requests) if r.resource in BINDINGS and r.code == 201]
    removed = [i for i, r in enumerate(requests) if r.resource in BINDINGS and r.verb == "delete"]
    roles = [i for i, r in enumerate(requests) if r.resource.endswith("roles") and r.verb == "delete"]
    assert {requests[i].name for i in removed} == gone
    assert made
    assert max(made) < min(removed)
    assert not roles or max(removed) < min(roles)


async def test_istiods_account_has_what_its_minor_and_mode_need_and_never_less(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    istiod = name_account(settled)
    api.create(build_mesh(settled, version="1.29"))
    await wait_for(api, settled)
    assert list_rights(api, istiod, "") == expect_rights("1.29", full=True)
    no_gateways = {"controlPlane": {"gatewayController": False}}
    steps: list[dict[str, Any]] = [{"version": "1.30"}, {"version": "1.31"}, no_gateways]
    for step in steps:
        before, mark = list_bindings(api, settled), audit.mark()
        generation = get_istiod(api, settled)["metadata"]["generation"]
        edit(api, settled, **step)
        await wait_for(api, settled)
        await eventually(lambda: not is_between(api, settled), seconds=30, every=0.2, what="it is over")
        assert get_istiod(api, settled)["metadata"]["generation"] > generation
        after = list_bindings(api, settled)
        check_order(audit.writes(mark), gone=before - after)
        minor, full = str(step.get("version", "1.31")), "version" in step
        webhooks = list_webhooks(api, settled)
        assert list_rights(api, istiod, "") == expect_rights(minor, full=full, webhooks=webhooks)
        near = spell(build_roles(load_assets(), minor).namespace.rules)
        assert list_rights(api, istiod, settled) == near
    own = f"istio-sidecar-injector-{settled}-demo-inplace-{settled}"
    admission = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    answers = {
        "list secrets default": True,
        f"create secrets {settled}": True,
        "create secrets default": False,
        f"update leases.coordination.k8s.io {settled}": True,
        "update leases.coordination.k8s.io kube-system": False,
        "create deployments.apps default": False,
        f"create deployments.apps {settled}": False,
        "create services default": False,
        "create serviceaccounts default": False,
        f"update {admission}/{own}": True,
        f"update {admission}/another": False,
        f"watch {admission}": True,
        f"create rolebindings.{GROUP} {settled}": False,
    }
    assert {question: may(api, istiod, question) for question in answers} == answers


async def test_rights_of_an_older_release_are_replaced_without_a_moment_between(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled))
    mesh = await wait_for(api, settled)
    rollout = get_istiod(api, settled)["metadata"]["generation"]
    edit(api, settled, paused=True)
    await wait_for(api, settled, condition="Paused")
    for binding in list_owned(api, settled):
        if binding["kind"].endswith("Binding"):
            api.delete(
                binding["kind"].lower(), binding["metadata"].get("namespace", ""), binding["metadata"]["name"]
            )
    older = list(build_older_rights(settled, uid=mesh["metadata"]["uid"]))
    for manifest in older:
        api.apply(manifest, manager="navarch")  # its entry proves who made it
    mark = audit.mark()
    edit(api, settled, paused=None)
    await eventually(
        lambda: not [o for o in list_owned(api, settled) if o["kind"] in ("Role", "ClusterRole")],
        seconds=30,
        every=0.2,
        what="the mesh's own roles are gone",
    )
    await wait_for(api, settled)
    gone = {o["metadata"]["name"] for o in older if o["kind"].endswith("Binding")}
    check_order(audit.writes(mark), gone=gone)
    assert list_rights(api, name_account(settled), "") == expect_rights("1.31", full=True)
    assert get_istiod(api, settled)["metadata"]["generation"] == rollout


# --- a role that is missing


def find_role(minor: str) -> str:
    return build_roles(load_assets(), minor).full.name


def restore(api: Api, name: str) -> None:
    """As `kubectl apply -f deploy/install.yaml` does."""
    for manifest in yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text()):
        if (manifest["kind"], manifest["metadata"]["name"]) == ("ClusterRole", name):
            api.apply(manifest)


async def test_a_minor_whose_role_is_missing_is_not_begun(api: Api, operator: Operator, settled: str) -> None:
    api.create(build_mesh(settled, version="1.30"))
    await wait_for(api, settled)
    bindings, istiod = list_bindings(api, settled), get_istiod(api, settled)
    name = find_role("1.31")
    api.delete("clusterrole", "", name)
    try:
        edit(api, settled, version="1.31")
        mesh = await wait_for(
            api, settled, condition="DependenciesReady", status="False", reason="RolesMissing"
        )
        assert f"ClusterRole {name} does not exist" in read_condition(mesh, "DependenciesReady")["message"]
        assert read_condition(mesh, "Ready")["reason"] == "RolesMissing"
        assert list_bindings(api, settled) == bindings
        assert get_istiod(api, settled)["metadata"]["generation"] == istiod["metadata"]["generation"]
        assert list_rights(api, name_account(settled), "") == expect_rights("1.30", full=True)
    finally:
        restore(api, name)
    mesh = await wait_for(api, settled)
    assert mesh["status"]["version"]["active"].startswith("1.31")


async def test_a_role_that_goes_or_shrinks_under_a_mesh_is_told_and_the_mesh_is_kept_up(
    api: Api, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    name = find_role("1.31")
    role = api.get("clusterrole", "", name)
    assert role is not None
    try:
        api.patch("clusterrole", "", name, {"rules": role["rules"][1:]})
        mesh = await wait_for(
            api, settled, condition="DependenciesReady", status="False", reason="RolesMissing"
        )
        assert f"ClusterRole {name} lacks rules" in read_condition(mesh, "DependenciesReady")["message"]
        api.delete("service", settled, f"istiod-{settled}-demo-inplace")
        await eventually(
            lambda: api.get("service", settled, f"istiod-{settled}-demo-inplace"),
            seconds=30,
            every=0.2,
            what="drift is repaired all the same",
        )
    finally:
        restore(api, name)
    await wait_for(api, settled)
