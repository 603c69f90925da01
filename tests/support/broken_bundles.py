"""Bundles of Navarch, each broken in one way, by the rule of `make lint` that finds it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.bundle_reading import Bundle

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


PREFIX = "operators.operatorframework.io.bundle"
CHANNEL, CHANNELS = f"{PREFIX}.channel.default.v1", f"{PREFIX}.channels.v1"
MEDIATYPE, PACKAGE = f"{PREFIX}.mediatype.v1", f"{PREFIX}.package.v1"
FEATURE = "features.operators.openshift.io/fips-compliant"


def spec(bundle: Bundle) -> dict[str, Any]:
    return bundle.csv["spec"]


def crd(bundle: Bundle) -> Any:
    return next(iter(bundle.crds.values()))


def owned(bundle: Bundle) -> Any:
    return bundle.owned[0]


def kinds(bundle: Bundle) -> Any:
    return spec(bundle)["customresourcedefinitions"]["owned"]


def install(bundle: Bundle) -> Any:
    return spec(bundle)["install"]


def find(bundle: Bundle, kind: str) -> Any:
    return next(each for each in bundle.objects if each["kind"] == kind)


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
    ("the_version_is_semantic", "none", lambda b: spec(b).pop("version")),
    ("the_version_is_semantic", "two numbers", lambda b: spec(b).update(version="0.1")),
    ("it_replaces_another_release", "itself", lambda b: spec(b).update(replaces="navarch.v0.1.0")),
    ("people_know_what_it_is_and_whose", "no provider", lambda b: spec(b).update(provider={})),
    ("people_know_what_it_is_and_whose", "no text", lambda b: spec(b).pop("description")),
    ("people_know_what_it_is_and_whose", "no name", lambda b: spec(b).pop("displayName")),
    (
        "people_know_what_it_is_and_whose",
        "no address",
        lambda b: spec(b).update(maintainers=[{"name": "Navarch", "email": "navarch.io"}]),
    ),
    ("people_know_what_it_is_and_whose", "a bad link", lambda b: spec(b)["links"][0].update(url="docs")),
    ("there_is_something_to_run", "another strategy", lambda b: install(b).update(strategy="helm")),
    ("there_is_something_to_run", "no Deployment", lambda b: install(b)["spec"].pop("deployments")),
    ("there_is_something_to_run", "nothing", lambda b: spec(b).pop("install")),
    (
        "modes_are_said_once",
        "one twice",
        lambda b: spec(b)["installModes"].append({"type": "AllNamespaces", "supported": True}),
    ),
    ("all_namespaces_is_the_only_mode", "no modes", lambda b: spec(b).pop("installModes")),
    ("words_are_those_of_operatorhub", "another level", lambda b: annotate(b, "capabilities", "Good")),
    ("words_are_those_of_operatorhub", "another category", lambda b: annotate(b, "categories", "Mesh")),
    ("annotations_are_spelled_right", "misspelled", lambda b: annotate(b, "alm-example", "[]")),
    ("annotations_are_spelled_right", "no image", lambda b: annotate(b, "containerImage", None)),
    ("each_kind_has_an_example", "no JSON", lambda b: annotate(b, "alm-examples", "[{]")),
    ("each_kind_has_an_example", "no objects", lambda b: annotate(b, "alm-examples", '["mesh"]')),
    ("the_metadata_says_where_things_are", "a type", lambda b: reannotate(b, MEDIATYPE, "helm")),
    ("the_metadata_says_where_things_are", "no package", lambda b: reannotate(b, PACKAGE, "")),
    ("channels_have_usual_names", "alpha", lambda b: reannotate(b, CHANNELS, "stable,alpha")),
    ("kinds_are_whole", "another plural", lambda b: crd(b)["spec"]["names"].update(plural="meshes")),
    (
        "kinds_are_whole",
        "nothing is stored",
        lambda b: crd(b)["spec"]["versions"][0].update(storage=False),
    ),
    ("kinds_are_whole", "another version", lambda b: owned(b).update(version="v1")),
    ("kinds_are_whole", "one twice", lambda b: kinds(b).append(copy.deepcopy(owned(b)))),
    (
        "apis_are_still_served",
        "a removed one",
        lambda b: find(b, "PodDisruptionBudget").update(apiVersion="policy/v1beta1"),
    ),
    (
        "nothing_stops_a_node_s_drain",
        "no eviction",
        lambda b: find(b, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
    ),
    (
        "nothing_stops_a_node_s_drain",
        "a priority for all",
        lambda b: add(b, "PriorityClass", apiVersion="scheduling.k8s.io/v1", globalDefault=True, value=1),
    ),
]
"""The rule that finds it, in which way it is broken, and how to break it so."""

UNREADABLE: Mapping[str, Callable[[Path], object]] = {
    "no YAML": lambda folder: (folder / "x.yaml").write_text("kind: [\n"),
    "two objects in a file": lambda folder: (folder / "x.yaml").write_text("a: b\n---\na: b\n"),
    "no object": lambda folder: (folder / "x.yaml").write_text("- kind: Service\n"),
    "no kind": lambda folder: (folder / "x.yaml").write_text("apiVersion: v1\nmetadata: {name: x}\n"),
    "no name": lambda folder: (folder / "x.yaml").write_text("apiVersion: v1\nkind: Service\n"),
    "no ClusterServiceVersion": lambda folder: (folder / CSV).unlink(),
    "two of them": lambda folder: (folder / "x.yaml").write_text((folder / CSV).read_text()),
}
"""Ways in which a bundle's folder `manifests` cannot be read as a bundle."""
CSV = "navarch.clusterserviceversion.yaml"


def build_broken(good: Bundle, break_it: Break) -> Bundle:
    """A copy of a bundle, broken."""
    bundle = copy.deepcopy(good)
    changed = break_it(bundle)
    return changed if isinstance(changed, Bundle) else bundle


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """The files of a bundle."""
    (folder / "manifests").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, each in enumerate(bundle.objects):
        (folder / "manifests" / f"{number}.yaml").write_text(yaml.dump(each, Dumper=yaml.CSafeDumper))
    for name in bundle.files:
        if not name.endswith(".yaml"):
            (folder / "manifests" / name).write_text("")
    annotations = yaml.safe_dump({"annotations": dict(bundle.annotations)})
    (folder / "metadata" / "annotations.yaml").write_text(annotations)
