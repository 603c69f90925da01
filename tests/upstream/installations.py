"""What an istiod reads, once as upstream's own installer writes it and once as a mesh of ours renders it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from navarch.core.model.merging import merge

from lab.builds import ISTIO_VERSIONS, ISTIOCTL, ensure
from tests.golden.rendering import find_one, render_mesh
from tests.support.istiod import Configuration

Object = dict[str, Any]
NAMESPACE, TAG = "mesh-a", "blue"
REVISION = f"{TAG}-inplace"
VERSION = ISTIO_VERSIONS[-1]
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


def render_theirs(setting: Setting) -> list[Object]:
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
            "tag": VERSION,
            "namespace": NAMESPACE,
            "revision": REVISION,
            "components": dict(setting.components),
            "meshConfig": dict(setting.mesh),
            "values": values,
        },
    }
    istioctl = ensure("node", only=[ISTIOCTL])[ISTIOCTL]
    done = subprocess.run(
        [str(istioctl), "manifest", "generate", "--filename=-"],
        input=yaml.safe_dump(operator),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    objects = [manifest for manifest in yaml.load_all(done.stdout, LOADER) if manifest]
    injector = find_one(objects, "ConfigMap", f"istio-sidecar-injector-{REVISION}")["data"]
    injector["values"] = json.dumps(merge(json.loads(injector["values"]), setting.unchecked))
    return objects


def render_ours(setting: Setting) -> list[Object]:
    """Our objects."""
    spec = {"version": VERSION, "tag": TAG, **setting.spec}
    return [dict(manifest) for manifest in render_mesh(spec, namespace=NAMESPACE)]


def build_configuration(objects: list[Object]) -> Configuration:
    """What istiod would find in its ConfigMaps and its environment."""
    config_maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    injector, mesh = config_maps[f"istio-sidecar-injector-{REVISION}"], config_maps[f"istio-{REVISION}"]
    (container,) = find_one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    variables.pop("KUBECONFIG", None)  # the flag of the process is meant, not a path in the container
    return Configuration(NAMESPACE, REVISION, injector["config"], injector["values"], mesh["mesh"], variables)
