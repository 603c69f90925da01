"""No code path of the real istiod pulls an image that is not in the mirror: pods by every injection template,
and Gateways of every class, in a mesh whose images the operator's variables name."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.cli.images import find_images
from navarch.core.grants import list_roles
from navarch.core.istio.assets import relate_assets
from navarch.core.offline import build_objects, observe_offline

from lab.builds import ISTIO_LINES, NEWEST_ISTIO, IstioLine
from lab.cluster import Cluster, service_account_kubeconfig
from tests.golden.rendering import ASSETS, ENVIRONMENT, build_mesh, find_one
from tests.polling import eventually
from tests.support.api import Api
from tests.support.istiod import Istiod, run_istiod
from tests.upstream import gateways
from tests.upstream.installations import NAMESPACE, REVISION, TAG, build_configuration
from tests.upstream.object_comparison import Object

MIRROR = "mirror.example.com/istio"
ACCESS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
VARIANTS = [(line, "distroless" if line is NEWEST_ISTIO else "") for line in ISTIO_LINES]
"""The older minor with plain images, the newer one with a variant."""


def mirror(image: str) -> str:
    """Where the copy of an image is."""
    return (
        f"{MIRROR}/{image.rpartition('/')[2].partition(':')[0]}@sha256:{sha256(image.encode()).hexdigest()}"
    )


def build_mirrored(line: IstioLine, variant: str) -> tuple[list[Object], dict[str, str]]:
    """The objects of a mesh whose operator knows a copy of every image that `navarch images` lists for its
    version, and those copies by what they are copies of."""
    version = line.versions[-1]
    listed = find_images(ASSETS.catalog, [version], every=True)
    variables = {each["variable"]: mirror(each["image"]) for each in listed}
    assets = relate_assets(ASSETS, variables, only=True)
    switches = [{"name": name, "value": value} for name, value in gateways.SWITCHES.items()]
    spec: dict[str, Any] = {
        "version": version,
        "tag": TAG,
        "values": {"global": {"variant": variant}},
        "controlPlane": {"environment": switches},
    }
    mesh = build_mesh(spec, namespace=NAMESPACE)
    objects = build_objects(observe_offline(mesh, assets, ENVIRONMENT, profiles={}))
    copies = {each["image"]: mirror(each["image"]) for each in listed}
    return [dict(each) for each in objects if each["kind"] != "CustomResourceDefinition"], copies


def list_images(pod: Object) -> Iterator[str]:
    """What a pod, or a Deployment's pods, would pull."""
    spec = pod["spec"].get("template", pod)["spec"]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        yield container["image"]


def inject_all(istiod: Istiod, objects: list[Object]) -> dict[str, set[str]]:
    """The images that istiod adds to a pod, by the injection template that the pod asks for."""
    config = yaml.safe_load(find_one(objects, "ConfigMap", "sidecar-injector")["data"]["config"])
    found = {}
    for template in config["templates"]:
        if template in ("kube-gateway", "waypoint", "agentgateway", "agentgateway-waypoint"):
            continue  # of Gateways, which istiod deploys itself
        metadata = {
            "name": "app",
            "namespace": gateways.SHOPS,
            "labels": {"istio.io/rev": TAG},
            "annotations": {"inject.istio.io/templates": template},
        }
        container = {"name": "istio-proxy" if template == "gateway" else "app", "image": "auto"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
        found[template] = {image for image in list_images(istiod.inject(pod)) if image != "auto"}
    return found


def list_deployed(api: Api, line: IstioLine) -> dict[str, set[str]]:
    """The images of each Gateway that names none itself, once istiod has deployed them all."""
    made = {deployment["metadata"]["labels"][NAME_LABEL]: deployment for deployment in list_made(api)}
    own = {g["metadata"]["name"] for g in gateways.build_gateways(line) if "proxyImage" in str(g)}
    return {name: set(list_images(each)) for name, each in made.items() if name not in own}


NAME_LABEL = "gateway.networking.k8s.io/gateway-name"


def list_made(api: Api) -> list[Object]:
    return api.list("deployment", gateways.SHOPS, labels=gateways.MANAGED)


@pytest.mark.parametrize(
    ("line", "variant"), VARIANTS, ids=[f"{li.minor}-{v or 'plain'}" for li, v in VARIANTS]
)
async def test_pods_and_gateways_of_every_kind_run_images_of_the_mirror(
    cluster: Cluster, line: IstioLine, variant: str, tmp_path: Path
) -> None:
    api = Api(cluster.kubeconfig)
    await gateways.set_up(api, line)
    objects, copies = build_mirrored(line, variant)
    for manifest in (*list_roles(ASSETS), *objects):
        if manifest["kind"] in ACCESS or manifest["metadata"]["name"] == f"istiod-revision-tag-{TAG}":
            api.apply(manifest)
    kubeconfig = service_account_kubeconfig(cluster, NAMESPACE, f"istiod-{REVISION}")
    expected = {gateway["metadata"]["name"] for gateway in gateways.build_gateways(line)}
    try:
        with run_istiod(kubeconfig, build_configuration(objects), tmp_path / "istiod", line=line) as istiod:
            injected = inject_all(istiod, objects)
            await eventually(
                lambda: len(list_made(api)) == len(expected), seconds=60, every=0.2, what=f"see {istiod.log}"
            )
            deployed = list_deployed(api, line)
    finally:
        await gateways.remove_made(api)
        await gateways.remove_gateways(api)
    assert injected.keys() >= {"sidecar", "gateway", "grpc-agent"}
    assert len(deployed) == len(expected) - 1
    control_plane = set(list_images(find_one(objects, "Deployment")))
    for name, images in {"istiod": control_plane, **injected, **deployed}.items():
        assert images <= set(copies.values()), name
        wanted = {
            each.rpartition(":")[2].endswith("-distroless") for each, copy in copies.items() if copy in images
        }
        assert wanted <= {bool(variant)}, name
    pulled = set().union(control_plane, *injected.values(), *deployed.values())
    names = {image.removeprefix(f"{MIRROR}/").partition("@")[0] for image in pulled}
    assert names == {"pilot", "proxyv2", *(["agentgateway"] if uses_agentgateway(line) else [])}


def uses_agentgateway(line: IstioLine) -> bool:
    release = ASSETS.catalog.find(line.minor)
    return bool(release and release.minor.features.agentgateway)
