"""The bundle for OLM: of one source with deploy/ and `navarch manifests`, and as OLM wants it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from navarch.api.export import RESOURCES, build_crd, build_resource_schema
from navarch.api.install import build_install
from navarch.api.olm.bundle import CARRIED, IN_CSV, NOT_CARRIED, build_annotations, build_manifests
from navarch.api.olm.catalog import extend_catalog
from navarch.api.olm.descriptors import build_spec_descriptors, build_status_descriptors
from navarch.api.olm.release import Release
from navarch.api.related import RELATED
from navarch.assets import load_assets
from navarch.core.istio.images import list_images
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment

from scripts import olm
from scripts.files import ROOT

DIGEST = "registry.example.com/navarch@sha256:" + "1" * 64
OTHER = "registry.example.com/navarch@sha256:" + "2" * 64
BUNDLE_IMAGE = "registry.example.com/navarch-bundle@sha256:" + "3" * 64
Objects = dict[tuple[str, str, str], dict[str, Any]]


def read(text: str) -> Objects:
    documents = [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]
    return {(e["kind"], e["metadata"].get("namespace", ""), e["metadata"]["name"]): e for e in documents}


@pytest.fixture(scope="module")
def deployed() -> Objects:
    return read((ROOT / "deploy" / "install.yaml").read_text())


@pytest.fixture(scope="module")
def printed() -> Objects:
    command = [sys.executable, "-P", "-m", "navarch", "manifests"]
    return read(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def bundled() -> Objects:
    files = sorted((ROOT / "bundle" / "manifests").iterdir())
    return read("\n---\n".join(path.read_text() for path in files))


@pytest.fixture(scope="module")
def strategy(bundled: Objects) -> dict[str, Any]:
    (csv,) = (each for (kind, _, _), each in bundled.items() if kind == "ClusterServiceVersion")
    found: dict[str, Any] = csv["spec"]["install"]["spec"]
    return found


def test_what_the_command_prints_is_what_deploy_holds(printed: Objects, deployed: Objects) -> None:
    crds = {("CustomResourceDefinition", "", build_crd(r)["metadata"]["name"]) for r in RESOURCES}
    assert {key: each for key, each in printed.items() if key not in crds} == deployed


def test_the_bundle_grants_the_operator_the_rights_that_deploy_grants(
    deployed: Objects, strategy: dict[str, Any]
) -> None:
    (cluster,) = strategy["clusterPermissions"]
    (own,) = strategy["permissions"]
    assert cluster["rules"] == deployed["ClusterRole", "", "navarch"]["rules"]
    assert own["rules"] == deployed["Role", "navarch-system", "navarch"]["rules"]
    assert {cluster["serviceAccountName"], own["serviceAccountName"]} == {"navarch"}


def test_what_olm_widens_to_all_namespaces_is_creating_leases_and_the_one_lease_by_name(
    strategy: dict[str, Any],
) -> None:
    (own,) = strategy["permissions"]
    unnamed = [rule for rule in own["rules"] if "resourceNames" not in rule]
    assert [(rule["resources"], rule["verbs"]) for rule in unnamed] == [(["leases"], ["create"])]
    named = [rule for rule in own["rules"] if "resourceNames" in rule]
    assert [(r["resources"], r["resourceNames"]) for r in named] == [(["leases"], ["navarch"])]


def test_the_bundle_runs_the_deployment_that_deploy_runs(deployed: Objects, strategy: dict[str, Any]) -> None:
    (deployment,) = strategy["deployments"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["env"] = [each for each in container["env"] if not each["name"].startswith(RELATED)]
    assert deployment["spec"] == deployed["Deployment", "navarch-system", "navarch"]["spec"]


def test_all_other_objects_are_the_same_but_for_the_namespace(deployed: Objects, bundled: Objects) -> None:
    ours = {
        (kind, name): each
        for (kind, _, name), each in deployed.items()
        if kind in CARRIED and (kind, name) != ("ClusterRole", "navarch")
    }
    theirs = {
        (kind, name): each
        for (kind, _, name), each in bundled.items()
        if kind not in ("ClusterServiceVersion", "CustomResourceDefinition")
    }
    assert ours.keys() == theirs.keys()
    for key, each in ours.items():
        metadata = {field: value for field, value in each["metadata"].items() if field != "namespace"}
        assert theirs[key] == {**each, "metadata": metadata}


def test_every_kind_of_an_installation_is_carried_made_by_olm_or_left_out_for_a_reason(
    deployed: Objects,
) -> None:
    assert {kind for kind, _, _ in deployed} == CARRIED | IN_CSV | NOT_CARRIED.keys()


def test_a_kind_without_a_decision_is_refused() -> None:
    strange = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]
    install = [
        *build_install(grants=[], roles=[{"metadata": {"name": "r"}, "kind": "ClusterRole"}]),
        *strange,
    ]
    with pytest.raises(ValueError, match="Secret s: decide"):
        build_manifests(Release(), install, [])


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_each_field_has_one_descriptor_with_a_name_and_a_description(resource: Any) -> None:
    schema = build_resource_schema(resource)["properties"]

    def count(part: dict[str, Any]) -> int:
        fields = part.get("properties", {}).values()
        return sum(1 + count(field) + count(field.get("items", {})) for field in fields)

    spec, status = build_spec_descriptors(resource), build_status_descriptors(resource)
    conditions = count(schema["status"]["properties"]["conditions"]["items"])
    assert len({each["path"] for each in spec}) == len(spec) == count(schema["spec"])
    assert len({each["path"] for each in status}) == len(status) == count(schema["status"]) - conditions
    for each in [*spec, *status]:
        assert each["displayName"]
        assert each["description"]
        assert each["x-descriptors"]


def test_a_descriptor_says_how_the_field_is_entered() -> None:
    mesh = next(resource for resource in RESOURCES if resource.kind == "MeshControlPlane")
    found = {each["path"]: each for each in build_spec_descriptors(mesh)}
    ui = "urn:alm:descriptor:com.tectonic.ui:"
    assert found["version"]["x-descriptors"] == [f"{ui}text"]
    assert found["paused"]["x-descriptors"] == [f"{ui}booleanSwitch", f"{ui}advanced"]
    assert f"{ui}select:Strict" in found["mtls.mode"]["x-descriptors"]
    assert found["mtls.minimumProtocolVersion"]["displayName"] == "Minimum Protocol Version"
    status = {each["path"]: each for each in build_status_descriptors(mesh)}
    assert status["conditions"]["x-descriptors"] == ["urn:alm:descriptor:io.kubernetes.conditions"]


def test_each_example_is_valid_by_the_schema_of_its_kind() -> None:
    schemas = {resource.kind: build_resource_schema(resource) for resource in RESOURCES}
    examples = olm.read_examples()
    assert {each["kind"] for each in examples} == schemas.keys()
    for each in examples:
        jsonschema.validate(each, schemas[each["kind"]])


NEWEST = [minor.patches[-1] for minor in load_assets().catalog.minors]


@pytest.mark.parametrize("version", NEWEST)
def test_what_a_mesh_runs_is_among_the_related_images(version: str) -> None:
    assets = load_assets()
    mesh = {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshControlPlane",
        "metadata": {"name": "demo", "namespace": "mesh"},
        "spec": {"version": version},
    }
    objects = build_offline(mesh, assets, Environment((1, 35), "navarch-system", "navarch-probe")).objects
    (istiod,) = (each for each in objects if each["kind"] == "Deployment")
    images = {container["image"] for container in istiod["spec"]["template"]["spec"]["containers"]}
    assert images <= set(list_images(assets.catalog).values())


def test_each_version_has_an_istiod_and_a_proxy_among_the_related_images() -> None:
    catalog = load_assets().catalog
    wanted = {f"{name}-{version}" for name in ("pilot", "proxyv2") for version in catalog.versions}
    assert list_images(catalog).keys() == wanted


def make(folder: Path, what: str, *more: str) -> dict[str, bytes]:
    assert olm.main([what, "--output", str(folder), *more]) == 0
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_runs_for_a_release_are_equal_to_the_byte(tmp_path: Path) -> None:
    asked = ["--version", "0.2.0", "--image", DIGEST]
    first, second = make(tmp_path / "a", "bundle", *asked), make(tmp_path / "b", "bundle", *asked)
    assert first == second
    csv = yaml.safe_load(first["bundle/manifests/navarch.clusterserviceversion.yaml"])
    assert csv["metadata"]["name"] == "navarch.v0.2.0"
    (deployment,) = csv["spec"]["install"]["spec"]["deployments"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == csv["metadata"]["annotations"]["containerImage"] == DIGEST


def test_a_bundle_that_is_made_again_loses_what_it_no_longer_has(tmp_path: Path) -> None:
    left = tmp_path / "bundle" / "manifests" / "navarch-istiod-1.20-00000000.clusterrole.yaml"
    left.parent.mkdir(parents=True)
    left.write_text("kind: ClusterRole\n")
    assert str(left.relative_to(tmp_path)) not in make(
        tmp_path, "bundle", "--version", "0.2.0", "--image", DIGEST
    )


@pytest.mark.parametrize(
    ("version", "image"), [("0.2", DIGEST), ("v0.2.0", DIGEST), ("0.2.0", "navarch:0.2.0")]
)
def test_a_release_needs_a_semantic_version_and_an_image_by_digest(
    version: str, image: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as refused:
        olm.main(["bundle", "--version", version, "--image", image, "--output", str(tmp_path)])
    assert refused.value.code == 2
    assert not list(tmp_path.iterdir())


def test_a_catalog_keeps_the_releases_before_and_each_replaces_the_last(tmp_path: Path) -> None:
    for version, image in (("0.1.0", DIGEST), ("0.2.0", OTHER), ("0.2.0", OTHER)):
        asked = ["--version", version, "--image", image, "--bundle-image", BUNDLE_IMAGE]
        make(tmp_path, "catalog", *asked)
    blobs = list(yaml.load_all((tmp_path / olm.CATALOG).read_text(), yaml.CSafeLoader))
    channels = {blob["name"]: blob["entries"] for blob in blobs if blob["schema"] == "olm.channel"}
    assert [entry["name"] for entry in channels["stable"]] == ["navarch.v0.1.0", "navarch.v0.2.0"]
    assert channels["stable"][1]["replaces"] == "navarch.v0.1.0"
    assert channels["stable"][1]["skipRange"] == ">=0.1.0 <0.2.0"
    assert [entry["name"] for entry in channels["stable-v0.1"]] == ["navarch.v0.1.0"]
    assert [blob["name"] for blob in blobs if blob["schema"] == "olm.bundle"] == [
        "navarch.v0.1.0",
        "navarch.v0.2.0",
    ]


def test_a_catalog_without_an_image_of_the_bundle_holds_every_object() -> None:
    release = replace(Release(), bundle_image="")
    objects = olm.build_objects(release).values()
    (bundle,) = (b for b in extend_catalog([], release, objects) if b["schema"] == "olm.bundle")
    held = [each for each in bundle["properties"] if each["type"] == "olm.bundle.object"]
    assert len(held) == len(objects)
    assert "olm.csv.metadata" not in json.dumps(bundle)


def test_the_image_of_the_bundle_says_what_its_annotations_say() -> None:
    text = (ROOT / "bundle.Containerfile").read_text()
    labels = dict(line.removeprefix("LABEL ").split("=", 1) for line in text.splitlines() if "LABEL" in line)
    assert labels == build_annotations(Release())
    assert yaml.safe_load((ROOT / "bundle/metadata/annotations.yaml").read_text())["annotations"] == labels


def test_a_release_that_is_added_again_keeps_its_place_in_the_channels() -> None:
    catalog: list[dict[str, Any]] = []
    for version in ("0.1.0", "0.2.0", "0.1.0"):
        release = replace(Release(), version=version)
        catalog = extend_catalog(catalog, release, olm.build_objects(release).values())
    (stable,) = [blob for blob in catalog if blob["schema"] == "olm.channel" and blob["name"] == "stable"]
    assert [entry["name"] for entry in stable["entries"]] == ["navarch.v0.1.0", "navarch.v0.2.0"]
    assert "replaces" not in stable["entries"][0]


def test_a_later_patch_of_an_older_minor_is_never_the_head_of_a_channel_with_a_newer_release() -> None:
    catalog: list[dict[str, Any]] = []
    added = ("0.1.0", "0.2.0-rc.10", "0.2.0-rc.2", "0.2.0", "0.1.1", "0.10.0", "0.1.1", "0.9.0")
    objects = [*olm.build_objects(Release()).values()]
    for version in added:
        catalog = extend_catalog(catalog, replace(Release(), version=version), objects)
    channels = {blob["name"]: blob["entries"] for blob in catalog if blob["schema"] == "olm.channel"}
    ordered = ["0.1.0", "0.1.1", "0.2.0-rc.2", "0.2.0-rc.10", "0.2.0", "0.9.0", "0.10.0"]
    assert [entry["name"] for entry in channels["stable"]] == [f"navarch.v{each}" for each in ordered]
    first, *later = channels["stable"]
    assert first == {"name": "navarch.v0.1.0"}
    for before, version, entry in zip(ordered, ordered[1:], later, strict=False):
        assert entry["replaces"] == f"navarch.v{before}"
        assert entry["skipRange"] == f">=0.1.0 <{version}"
    assert [entry["name"] for entry in channels["stable-v0.1"]] == ["navarch.v0.1.0", "navarch.v0.1.1"]
