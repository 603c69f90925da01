"""What meshes render to, object by object, against files that are read in review.

`NAVARCH_UPDATE_GOLDEN=1` writes the files again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import dump_yaml

from tests.golden.rendering import ASSETS, LOADER, injector_of, render_mesh

FILES = Path(__file__).parent / "files"
MINORS = [minor.name for minor in ASSETS.catalog.minors]
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "minimal": {"profiles": ["minimal"]},
    "production": {"profiles": ["production"], "mtls": {"mode": "Strict"}},
    "default-tag": {"defaultTag": True},
    "everything": {
        "tag": "blue",
        "trust": {"domain": "example.org", "additionalDomains": ["old.example.org"]},
        "mtls": {
            "mode": "Permissive",
            "minimumProtocolVersion": "TLSv1_3",
            "cipherSuites": ["AES128-GCM-SHA256"],
        },
        "proxy": {
            "nativeSidecars": True,
            "accessLog": {"file": "/dev/stdout", "encoding": "JSON", "format": '{"path": "%REQ(:PATH)%"}\n'},
            "trafficCapture": {"mode": "TProxy", "excludeOutboundPorts": "3306"},
        },
        "controlPlane": {
            "autoscaling": {"enabled": False},
            "replicas": 3,
            "networkPolicy": True,
            "environment": [{"name": "PILOT_ENABLE_STATUS", "value": "true"}],
            "logging": {"level": "default:debug", "json": True},
            "placement": {"nodeSelector": {"role": "infra"}, "priorityClassName": "high"},
        },
        "images": {
            "hub": "mirror.example.org/istio",
            "tag": "custom",
            "pullPolicy": "Always",
            "pullSecrets": [{"name": "regcred"}],
        },
        "meshConfig": {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
        "values": {
            "global": {"network": "north"},
            "gatewayClasses": {"istio": {"service": {"spec": {"type": "NodePort"}}}},
        },
        "overlays": [
            {
                "target": {"kind": "Service", "name": "istiod-blue-inplace"},
                "patch": {"spec": {"type": "NodePort"}},
            }
        ],
    },
}
PREVIEWS = {minor.name for minor in ASSETS.catalog.minors if minor.preview}
CASES = [(m, option) for m in MINORS for option in OPTIONS if m not in PREVIEWS or option == "default"]
"""A preview is its predecessor but for its features, which tests/unit/test_render_features.py shows one by
one."""


def compare(path: Path, text: str) -> None:
    """Fail where the file says otherwise, or write it."""
    if os.environ.get("NAVARCH_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path.name} is missing; NAVARCH_UPDATE_GOLDEN=1 makes it"
    assert text == path.read_text(encoding="utf-8"), (
        f"{path.name} differs; NAVARCH_UPDATE_GOLDEN=1 writes it again"
    )


def shorten(manifest: Manifest) -> Manifest:
    """Injection templates have files of their own; an object shows their digests."""
    if "config" not in manifest.get("data", {}):
        return manifest
    config = yaml.load(manifest["data"]["config"], LOADER)
    config["templates"] = {
        name: sha256(text.encode()).hexdigest() for name, text in config["templates"].items()
    }
    data: Mapping[str, str] = {**manifest["data"], "config": dump_yaml(config)}
    return {**manifest, "data": data}


@pytest.mark.parametrize(("minor", "option"), CASES, ids=[f"{minor}-{option}" for minor, option in CASES])
def test_a_mesh_renders_to_what_was_reviewed(minor: str, option: str) -> None:
    objects = render_mesh({"version": minor, **OPTIONS[option]})
    text = "---\n".join(dump_yaml(shorten(manifest)) for manifest in objects)
    compare(FILES / f"{minor}-{option}.yaml", text)


@pytest.mark.parametrize("minor", MINORS)
def test_injection_templates_are_what_was_reviewed(minor: str) -> None:
    for name, template in injector_of(render_mesh({"version": minor}))["templates"].items():
        compare(FILES / f"{minor}-{name}.tpl", template)


def test_no_golden_file_is_left_over() -> None:
    wanted = {f"{minor}-{option}.yaml" for minor, option in CASES}
    wanted |= {
        f"{minor}-{name}.tpl"
        for minor in MINORS
        for name in injector_of(render_mesh({"version": minor}))["templates"]
    }
    assert {path.name for path in FILES.iterdir()} == wanted
