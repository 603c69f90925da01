"""Meshes as plain manifests, rendered offline: what golden, unit and property tests of rendering share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from navarch.api.gateway import MeshGatewaySpec
from navarch.assets import load_assets
from navarch.core.model.parent import GATEWAY, Parent
from navarch.core.model.refs import Manifest
from navarch.core.offline import build_objects, observe_offline
from navarch.core.render.components import gateway as gateways
from navarch.core.render.components.gateway import GatewayInput
from navarch.core.world.cluster import Environment

ASSETS = load_assets()
NEWEST = ASSETS.catalog.find("1.31").version  # type: ignore[union-attr]
"""What `1.31` means."""
ENVIRONMENT = Environment((1, 34), "navarch-system", "navarch-probe")
NAMESPACE, NAME = "mesh-a", "basic"
REVISION = "mesh-a-basic-inplace"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def build_mesh(spec: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> dict[str, Any]:
    """A MeshControlPlane of the newest version unless `spec` says otherwise."""
    metadata = {"name": NAME, "namespace": namespace, "uid": "0000-1111"}
    return {"metadata": metadata, "spec": {"version": "1.31", **(spec or {})}}


def render_mesh(spec: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> list[Manifest]:
    """All objects but CRDs, also where the checks refuse the spec."""
    mesh = build_mesh(spec, namespace=namespace)
    objects = build_objects(observe_offline(mesh, ASSETS, ENVIRONMENT, profiles={}))
    assert objects
    return [o for o in objects if o["kind"] != "CustomResourceDefinition"]


def render_gateway(
    spec: Mapping[str, Any] | None = None,
    *,
    namespace: str = "front",
    name: str = "ingress",
    mesh: tuple[str, str] = (NAMESPACE, NAME),
    tag: str = "mesh-a-basic",
) -> list[Manifest]:
    """All objects of a gateway of a mesh, as namespace and name, with this tag."""
    reference = {"namespace": mesh[0], "name": mesh[1]}
    said = {"controlPlaneRef": reference, "type": "Ingress", **(spec or {})}
    parent = Parent(GATEWAY, namespace, name, "uid-gateway", mesh=mesh)
    stamp = f"{NEWEST}-0123456789"
    gateway = GatewayInput(parent, MeshGatewaySpec.model_validate(said), tag, stamp, "IfNotPresent")
    return list(gateways.build_objects(gateway, ASSETS))


def find_one(objects: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one object of a kind whose name is `name`, or else contains it."""
    named = [o for o in objects if o["kind"] == kind and name in o["metadata"]["name"]]
    (found,) = [o for o in named if o["metadata"]["name"] == name] or named
    return found


def container_of(objects: list[Manifest]) -> Mapping[str, Any]:
    """istiod's container."""
    container: Mapping[str, Any] = find_one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][
        0
    ]
    return container


def environment_of(objects: list[Manifest]) -> dict[str, Any]:
    """istiod's variables."""
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container_of(objects)["env"]}


def mesh_config_of(objects: list[Manifest]) -> dict[str, Any]:
    """The rendered MeshConfig."""
    revision = find_one(objects, "MeshRevision")["metadata"]["name"]
    mesh: dict[str, Any] = yaml.load(
        find_one(objects, "ConfigMap", f"istio-{revision}")["data"]["mesh"], LOADER
    )
    return mesh


def injector_of(objects: list[Manifest]) -> dict[str, Any]:
    """The injector's rendered configuration."""
    injector: dict[str, Any] = yaml.load(find_one(objects, "ConfigMap", "injector")["data"]["config"], LOADER)
    return injector


def values_of(objects: list[Manifest]) -> dict[str, Any]:
    """The rendered injection values."""
    values: dict[str, Any] = json.loads(find_one(objects, "ConfigMap", "injector")["data"]["values"])
    return values


def stamp_of(objects: list[Manifest]) -> str:
    """What injected pods are stamped with."""
    stamp: str = injector_of(objects)["injectedAnnotations"]["mesh.navarch.io/proxy"]
    return stamp


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf and every empty collection, with its path."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from walk(item, f"{path}[{index}]")
    else:
        yield path, value
