"""What an istiod reads, once as upstream's own installer writes it and once as a mesh of ours renders it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from navarch.core.model.merging import merge

from lab.builds import NEWEST_ISTIO, IstioLine
from tests.golden.rendering import find_one, render_mesh
from tests.support.istiod import Configuration
from tests.upstream.istioctl import generate

Object = dict[str, Any]
NAMESPACE, TAG = "mesh-a", "blue"
REVISION = f"{TAG}-inplace"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Setting:
    """One way of installing: values, meshConfig and components of upstream's installer, and the spec of
    ours. `unchecked` are values that upstream's templates read, but its installer refuses to take."""

    values: Mapping[str, Any] = field(default_factory=dict)
    mesh: Mapping[str, Any] = field(default_factory=dict)
    components: Mapping[str, Any] = field(default_factory=dict)
    unchecked: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)


def render_theirs(setting: Setting, line: IstioLine = NEWEST_ISTIO) -> list[Object]:
    """Upstream's objects."""
    values = {
        **setting.values,
        "global": {**setting.values.get("global", {}), "istioNamespace": NAMESPACE},
        "revision": REVISION,
    }
    operator = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "spec": {
            "profile": "minimal",
            "hub": "registry.istio.io/release",
            "tag": line.versions[-1],
            "namespace": NAMESPACE,
            "revision": REVISION,
            "components": dict(setting.components),
            "meshConfig": dict(setting.mesh),
            "values": values,
        },
    }
    objects = [manifest for manifest in yaml.load_all(generate(line, operator), LOADER) if manifest]
    injector = find_one(objects, "ConfigMap", f"istio-sidecar-injector-{REVISION}")["data"]
    injector["values"] = json.dumps(merge(json.loads(injector["values"]), setting.unchecked))
    return objects


def render_ours(
    setting: Setting, line: IstioLine = NEWEST_ISTIO, *, namespace: str = NAMESPACE, tag: str = TAG
) -> list[Object]:
    """Our objects."""
    spec = {"version": line.versions[-1], "tag": tag, **setting.spec}
    return [dict(manifest) for manifest in render_mesh(spec, namespace=namespace)]


def build_configuration(
    objects: list[Object], *, namespace: str = NAMESPACE, revision: str = REVISION
) -> Configuration:
    """What istiod would find in its ConfigMaps and its environment."""
    config_maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    injector, mesh = config_maps[f"istio-sidecar-injector-{revision}"], config_maps[f"istio-{revision}"]
    (container,) = find_one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    variables.pop("KUBECONFIG", None)  # the flag of the process is meant, not a path in the container
    return Configuration(namespace, revision, injector["config"], injector["values"], mesh["mesh"], variables)
