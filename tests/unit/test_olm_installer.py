"""The account that OLM v1 installs with: it may do what installing the bundle takes, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from navarch.api.olm.installer import INSTALLER, READ_NAMESPACES, build_installer

from scripts.files import ROOT
from tests.support.command import navarch
from tests.support.rights import spell

Object = dict[str, Any]
Right = tuple[str, str, str, str]
RBAC = "rbac.authorization.k8s.io"
MAKE, REPLACE = {"create", "list", "watch"}, {"get", "update", "patch", "delete"}


def read_bundle() -> list[Object]:
    return [
        yaml.load(path.read_text(), yaml.CSafeLoader)
        for path in sorted((ROOT / "bundle/manifests").glob("*.yaml"))
    ]


@pytest.fixture(scope="module")
def bundle() -> list[Object]:
    return read_bundle()


@pytest.fixture(scope="module")
def installer(bundle: list[Object]) -> list[Object]:
    return build_installer(bundle, namespace="here")


def rights_of(installer: list[Object], kind: str) -> set[Right]:
    (role,) = (each for each in installer if each["kind"] == kind)
    return spell(role["rules"])


def list_made(bundle: list[Object]) -> set[tuple[str, str, str]]:
    """Kind, name and API group of every object that OLM v1 makes of the bundle and names after it."""
    made = set()
    for each in bundle:
        if each["kind"] == "ClusterServiceVersion":
            strategy = each["spec"]["install"]["spec"]
            made |= {("deployments", d["name"], "apps") for d in strategy["deployments"]}
            grants = (*strategy["permissions"], *strategy["clusterPermissions"])
            made |= {("serviceaccounts", grant["serviceAccountName"], "") for grant in grants}
        else:
            group = each["apiVersion"].rpartition("/")[0]
            made.add((f"{each['kind'].lower()}s", each["metadata"]["name"], group))
    return made


def list_granted(bundle: list[Object]) -> set[Right]:
    """Every right that a role of the bundle grants."""
    rules = [rule for each in bundle for rule in each.get("rules", ())]
    for each in bundle:
        if each["kind"] == "ClusterServiceVersion":
            strategy = each["spec"]["install"]["spec"]
            grants = (*strategy["permissions"], *strategy["clusterPermissions"])
            rules += [rule for grant in grants for rule in grant["rules"]]
    return spell([*rules, READ_NAMESPACES])


def test_every_object_of_the_bundle_can_be_made_replaced_and_removed(
    bundle: list[Object], installer: list[Object]
) -> None:
    held = rights_of(installer, "ClusterRole") | rights_of(installer, "Role")
    for resource, name, group in list_made(bundle):
        for verb in MAKE:
            assert (group, resource, "", verb) in held
        for verb in REPLACE:
            assert {(group, resource, name, verb), (group, resource, "", verb)} & held


def test_every_rule_of_the_bundle_is_held(bundle: list[Object], installer: list[Object]) -> None:
    held = rights_of(installer, "ClusterRole")
    for group, resource, name, verb in list_granted(bundle):
        assert {(group, resource, name, verb), (group, resource, "", verb)} & held


def test_nothing_else_is_held(bundle: list[Object], installer: list[Object]) -> None:
    needed = list_granted(bundle)
    for resource, name, group in list_made(bundle):
        needed |= {(group, resource, "", verb) for verb in MAKE}
        needed |= {(group, resource, name, verb) for verb in REPLACE}
    hashed = {
        (RBAC, kind, "", verb) for kind in ("clusterroles", "clusterrolebindings") for verb in MAKE | REPLACE
    }
    finalizer = ("olm.operatorframework.io", "clusterextensions/finalizers", "navarch", "update")
    held = rights_of(installer, "ClusterRole") | rights_of(installer, "Role")
    assert held - needed - hashed == {finalizer}
    assert not {verb for *_, verb in held} & {"escalate", "impersonate", "*"}
    assert all(name for _, _, name, verb in held if verb == "bind")


def test_what_lies_in_a_namespace_is_granted_there_only(installer: list[Object]) -> None:
    resources = {resource for _, resource, _, _ in rights_of(installer, "Role")}
    assert resources == {"deployments", "poddisruptionbudgets", "services", "serviceaccounts"}
    (role,) = (each for each in installer if each["kind"] == "Role")
    assert role["metadata"]["namespace"] == "here"


def test_a_kind_of_which_nothing_is_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="ConfigMap"):
        build_installer([{"kind": "ConfigMap", "metadata": {"name": "x"}}], namespace="here")


def test_the_command_prints_the_installer_of_the_committed_bundle(bundle: list[Object]) -> None:
    done = navarch("manifests", "--olm-v1-installer", "--namespace", "elsewhere")
    assert done.code == 0, done.err
    printed = list(yaml.load_all(done.out, yaml.CSafeLoader))
    assert printed == json.loads(json.dumps(build_installer(bundle, namespace="elsewhere")))
    assert {each["metadata"]["name"] for each in printed} == {"elsewhere", INSTALLER}
