"""Each rule for a bundle, and a broken bundle that it catches."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from scripts.bundle_rules import RULES, Bundle, check_bundle, load_bundle
from scripts.files import ROOT


@pytest.fixture(scope="module")
def good() -> Bundle:
    return load_bundle(ROOT / "bundle")


Break = Callable[[Bundle], Bundle | None]


def change(bundle: Bundle, **fields: Any) -> Bundle:
    return Bundle(
        **{"files": bundle.files, "objects": bundle.objects, "annotations": bundle.annotations, **fields}
    )


def annotate(bundle: Bundle, key: str, value: str | None) -> None:
    annotations = bundle.csv["metadata"]["annotations"]
    annotations.pop(key) if value is None else annotations.update({key: value})


def without(bundle: Bundle, kind: str) -> Bundle:
    return change(bundle, objects=tuple(each for each in bundle.objects if each["kind"] != kind))


def add(bundle: Bundle, kind: str, **body: Any) -> Bundle:
    extra = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "navarch"}, **body}
    return change(bundle, objects=(*bundle.objects, extra))


def reannotate(bundle: Bundle, key: str, value: str) -> Bundle:
    return change(bundle, annotations={**bundle.annotations, key: value})


CHANNEL = "operators.operatorframework.io.bundle.channel.default.v1"
FEATURE = "features.operators.openshift.io/fips-compliant"


def spec(bundle: Bundle) -> dict[str, Any]:
    return bundle.csv["spec"]


def crd(bundle: Bundle) -> Any:
    return next(iter(bundle.crds.values()))


def owned(bundle: Bundle) -> Any:
    return bundle.owned[0]


def rule(bundle: Bundle) -> Any:
    return bundle.strategy["clusterPermissions"][0]["rules"]


def container(bundle: Bundle) -> Any:
    return next(bundle.containers)


def pod(bundle: Bundle) -> Any:
    return bundle.strategy["deployments"][0]["spec"]["template"]["spec"]


BROKEN: list[tuple[str, str, Break]] = [
    ("owned_kinds_are_the_crds", "another name", lambda b: owned(b).update(name="mesh.navarch.io")),
    ("owned_kinds_are_the_crds", "no definition", lambda b: without(b, "CustomResourceDefinition")),
    ("crds_have_schemas", "no schema", lambda b: crd(b)["spec"]["versions"][0].pop("schema")),
    ("csv_fields_are_known", "a misspelled field", lambda b: spec(b).update(keyword=["istio"])),
    ("rights_are_spelled_out", "all verbs", lambda b: rule(b)[0].update(verbs=["*"])),
    ("rights_are_spelled_out", "all resources", lambda b: rule(b)[0].update(resources=["*"])),
    ("rights_are_spelled_out", "escalate", lambda b: rule(b)[0].update(verbs=["escalate"])),
    ("rights_are_spelled_out", "bind without names", lambda b: rule(b)[-1].pop("resourceNames")),
    ("the_day_is_a_date", "no date", lambda b: annotate(b, "createdAt", "soon")),
    ("the_day_is_a_date", "none", lambda b: annotate(b, "createdAt", None)),
    ("the_default_channel_exists", "another channel", lambda b: reannotate(b, CHANNEL, "fast")),
    ("the_default_channel_exists", "none", lambda b: reannotate(b, CHANNEL, "")),
    ("there_is_an_icon", "none", lambda b: spec(b).update(icon=[])),
    ("there_is_an_icon", "no base64", lambda b: spec(b)["icon"][0].update(base64data="<svg/>")),
    ("each_kind_has_an_example", "none", lambda b: annotate(b, "alm-examples", "[]")),
    (
        "each_kind_has_an_example",
        "of another kind",
        lambda b: annotate(b, "alm-examples", '[{"apiVersion": "v1", "kind": "Pod"}]'),
    ),
    ("openshift_and_kubernetes_agree", "an older", lambda b: spec(b).update(minKubeVersion="1.31.0")),
    ("openshift_and_kubernetes_agree", "none", lambda b: spec(b).pop("minKubeVersion")),
    ("kinds_are_supported", "a network policy", lambda b: add(b, "NetworkPolicy")),
    ("kinds_are_supported", "an admission policy", lambda b: add(b, "ValidatingAdmissionPolicy")),
    (
        "nothing_is_armed_before_its_server_answers",
        "a webhook",
        lambda b: spec(b).update(webhookdefinitions=[{"generateName": "meshes.navarch.io"}]),
    ),
    (
        "nothing_is_armed_before_its_server_answers",
        "a conversion",
        lambda b: crd(b)["spec"].update(conversion={"strategy": "Webhook"}),
    ),
    ("the_account_is_olms", "the operator's account", lambda b: add(b, "ServiceAccount")),
    ("objects_have_no_namespace", "one", lambda b: crd(b)["metadata"].update(namespace="navarch-system")),
    ("objects_are_unique", "twice", lambda b: change(b, objects=(*b.objects, crd(b)))),
    (
        "all_namespaces_is_the_only_mode",
        "own namespace",
        lambda b: spec(b)["installModes"][0].update(supported=True),
    ),
    ("the_name_holds_package_and_version", "another version", lambda b: spec(b).update(version="0.2.0")),
    ("images_are_related", "not listed", lambda b: container(b).update(image="navarch:0.2.0")),
    ("images_are_related", "none", lambda b: spec(b).pop("relatedImages")),
    ("images_are_related", "latest", lambda b: spec(b)["relatedImages"][1].update(image="istio:latest")),
    ("images_are_related", "one name twice", lambda b: spec(b)["relatedImages"][1].update(name="navarch")),
    ("pods_are_restricted", "root", lambda b: pod(b).pop("securityContext")),
    ("pods_are_restricted", "privileges", lambda b: container(b).pop("securityContext")),
    ("pods_are_restricted", "no requests", lambda b: container(b).pop("resources")),
    (
        "descriptors_name_fields",
        "no such field",
        lambda b: owned(b)["specDescriptors"][0].update(path="versions"),
    ),
    ("features_are_true_or_false", "neither", lambda b: annotate(b, FEATURE, "partly")),
    ("features_are_true_or_false", "missing", lambda b: annotate(b, FEATURE, None)),
    ("files_are_manifests", "a hidden file", lambda b: change(b, files=(*b.files, ".swp"))),
    ("it_fits_into_an_install_plan", "too large", lambda b: add(b, "ConfigMap", data={"x": "x" * 2**20})),
]


@pytest.mark.parametrize(("name", "broken", "break_it"), BROKEN, ids=[f"{n}-{b}" for n, b, _ in BROKEN])
def test_a_broken_bundle_is_caught_by_its_rule(name: str, broken: str, break_it: Break, good: Bundle) -> None:
    bundle = copy.deepcopy(good)
    changed = break_it(bundle)
    bundle = changed if isinstance(changed, Bundle) else bundle
    assert name in {finding.partition(":")[0] for finding in check_bundle(bundle)}, broken


def test_the_committed_bundle_breaks_no_rule(good: Bundle) -> None:
    assert check_bundle(good) == []


def test_there_is_a_broken_bundle_for_each_rule() -> None:
    assert {name for name, _, _ in BROKEN} == {rule.__name__ for rule in RULES}
