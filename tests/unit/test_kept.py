"""Which objects of its own installation the operator writes, and which it leaves alone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from navarch.api.install import NAMESPACE, PROBE_NAMESPACE, build_install, build_kept
from navarch.api.meta import NAVARCH, RELEASE
from navarch.controllers.installation import is_kept, is_left, is_same, read_release

from scripts.files import ROOT

Object = dict[str, Any]
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"


def find(kind: str) -> Object:
    return next(each for each in build_kept() if each["kind"] == kind)


def store(manifest: Object) -> Object:
    """As the API server stores it: with what it fills in."""
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 1, "managedFields": []}
    if live["kind"] == POLICY:
        live["status"] = {"typeChecking": {}}
        constraints = live["spec"]["matchConstraints"]
        filled = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
        live["spec"]["matchConstraints"] = filled | constraints
        live["spec"] = {key: value for key, value in live["spec"].items() if value != []}
    return live


@pytest.mark.parametrize(
    "manifest", build_kept(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
def test_an_object_as_the_api_server_stores_it_is_not_written_again(manifest: Object) -> None:
    assert is_kept(manifest, store(manifest))


CHANGES: list[tuple[str, str, Callable[[Object], Any]]] = [
    (POLICY, "another rule", lambda o: o["spec"]["validations"][0].update(expression="true")),
    (POLICY, "a rule less", lambda o: o["spec"]["validations"].pop()),
    (
        POLICY,
        "a condition",
        lambda o: o["spec"].update(matchConditions=[{"name": "n", "expression": "false"}]),
    ),
    (POLICY, "a parameter", lambda o: o["spec"].update(paramKind={"kind": "ConfigMap", "apiVersion": "v1"})),
    (POLICY, "another mode", lambda o: o["spec"].update(failurePolicy="Ignore")),
    (
        POLICY,
        "fewer objects",
        lambda o: o["spec"]["matchConstraints"].update(objectSelector={"matchLabels": {"a": "b"}}),
    ),
    (POLICY, "no label", lambda o: o["metadata"].update(labels={})),
    (BINDING, "a warning only", lambda o: o["spec"].update(validationActions=["Warn"])),
    (
        BINDING,
        "fewer namespaces",
        lambda o: o["spec"].update(matchResources={"namespaceSelector": {"a": "b"}}),
    ),
    ("RoleBinding", "another account", lambda o: o["subjects"][0].update(name="default")),
]


@pytest.mark.parametrize(("kind", "what", "change"), CHANGES, ids=[f"{k}-{w}" for k, w, _ in CHANGES])
def test_each_change_is_seen(kind: str, what: str, change: Callable[[Object], Any]) -> None:
    live = store(find(kind))
    change(live)
    assert not is_kept(find(kind), live), what


@pytest.mark.parametrize(
    ("written", "left"), [("0.0.9", False), (NAVARCH, False), ("0.2.0", True), ("0.10.0", True), ("", False)]
)
def test_only_what_a_newer_release_wrote_is_left_alone(written: str, left: bool) -> None:
    live = store(find(POLICY))
    live["metadata"]["annotations"] = {RELEASE: written}
    assert is_left(find(POLICY), live) is left


@pytest.mark.parametrize("annotations", [None, {}, {RELEASE: "x.y"}, {RELEASE: "-"}, {RELEASE: "9" * 5000}])
def test_a_release_that_cannot_be_read_is_the_oldest(annotations: dict[str, str] | None) -> None:
    assert read_release({"metadata": {"annotations": annotations}}) == ()


def test_the_namespace_of_the_probe_is_made_and_then_its_administrators() -> None:
    live = store(find("Namespace"))
    live["metadata"]["labels"] = {}
    assert is_left(find("Namespace"), live)


def test_the_operators_own_namespace_and_rights_are_not_among_what_it_keeps() -> None:
    kept = {(each["kind"], each["metadata"]["name"]) for each in build_kept()}
    assert ("Namespace", PROBE_NAMESPACE) in kept
    assert ("Namespace", NAMESPACE) not in kept
    assert {kind for kind, _ in kept} == {"Namespace", "RoleBinding", POLICY, BINDING}


def test_an_installation_holds_what_the_operator_keeps_as_it_keeps_it() -> None:
    install = build_install(grants=[], roles=[{"kind": "ClusterRole", "metadata": {"name": "r"}}])
    assert all(each in install for each in build_kept())


def test_a_value_is_not_equal_to_one_of_another_type() -> None:
    assert not is_same({"a": {"b": 1}}, {"a": []})
    assert not is_same(["a"], "a")


def test_the_release_is_the_packages_version() -> None:
    assert f'\nversion = "{NAVARCH}"\n' in (ROOT / "pyproject.toml").read_text()
