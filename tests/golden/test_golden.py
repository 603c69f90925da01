"""What meshes render to, object by object, against files that are read in review: of one minor all of it,
of the others what differs.

`NAVARCH_UPDATE_GOLDEN=1` writes the files again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import unified_diff
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.api.networkpolicies import NetworkPolicies
from navarch.core.membership.rule import read_membership
from navarch.core.model.parent import MEMBER, Parent
from navarch.core.model.refs import Manifest
from navarch.core.render.components.networkpolicies import build_member_policy
from navarch.core.render.components.trial import build_objects as build_trial
from navarch.core.render.engine import dump_yaml
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import (
    ASSETS,
    ENVIRONMENT,
    LOADER,
    NAME,
    NAMESPACE,
    find_one,
    injector_of,
    render_gateway,
    render_mesh,
)

FILES = Path(__file__).parent / "files"
FULL = "1.31"
"""The minor whose files hold everything; those of the others hold what differs from it."""
CONTEXT = 2
"""Lines around a difference."""
MINORS = [minor.name for minor in ASSETS.catalog.minors]
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "minimal": {"profiles": ["minimal"]},
    "production": {"profiles": ["production"], "mtls": {"mode": "Strict"}},
    "default-tag": {"defaultTag": True},
    "hosted": {"hosting": "Hosted", "scope": "Members"},
    "cluster": {"scope": "Cluster", "defaultTag": True},
    "revision": {
        "upgrade": {"strategy": "RevisionBased"},
        "defaultTag": True,
        "mtls": {"mode": "Strict"},
    },
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
GATEWAYS: dict[str, dict[str, Any]] = {
    "ingress": {},
    "egress": {"type": "Egress"},
    "eastwest": {"type": "EastWest", "networkGateway": "net-1", "networkPolicy": True},
    "autoscaled": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5},
        "deregistrationSeconds": 15,
        "proxy": {"concurrency": 2, "logLevel": "info"},
        "environment": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}],
        "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    },
}
"""What gateways are rendered from. The minor of their mesh is not among it: the injector brings the proxy."""
POLICIES: dict[str, dict[str, Any]] = {
    "narrow": {},
    "wide": {
        "monitoringNamespaces": ["monitoring"],
        "monitoringLabels": {"purpose": "monitoring"},
        "webhookSources": ["10.0.0.0/28"],
        "plaintextDiscovery": True,
    },
}
"""NetworkPolicies of a mesh that isolates its members, istiod's and that of a member: alike in all minors."""
PREVIEWS = {minor.name for minor in ASSETS.catalog.minors if minor.preview}
CASES = [(m, option) for m in MINORS for option in OPTIONS if m not in PREVIEWS or option == "default"]
"""A preview is its predecessor but for its features, which tests/unit/test_render_features.py shows one by
one."""


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


@cache
def render_texts(minor: str, option: str) -> dict[str, str]:
    """What a mesh renders to, by the name that a file of it has after the minor."""
    objects = render_mesh({"version": minor, **OPTIONS[option]})
    return {f"{option}.yaml": "---\n".join(dump_yaml(shorten(manifest)) for manifest in objects)}


@cache
def render_templates(minor: str) -> dict[str, str]:
    """A minor's injection templates, by the name that a file of each has after the minor."""
    templates = injector_of(render_mesh({"version": minor}))["templates"]
    return {f"{name}.tpl": template for name, template in templates.items()}


_TRIED = {"upgrade": {"strategy": "RevisionBased"}}
TRIALS: Mapping[str, Mapping[str, Any]] = {
    "plain": _TRIED,
    "placed": {
        **_TRIED,
        "hosting": "Hosted",
        "scope": "Members",
        "images": {"pullPolicy": "Always"},
        "values": {"global": {"proxy": {"resources": {"limits": {"memory": "2Gi"}}}}},
        "controlPlane": {
            "placement": {
                "nodeSelector": {"pool": "infra"},
                "tolerations": [{"key": "infra", "operator": "Exists"}],
                "affinity": {
                    "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
                    "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
                },
                "priorityClassName": "high",
            }
        },
    },
}
"""What the proxy is rendered with by which a new revision is tried."""


def build_file(minor: str, name: str, text: str, of_full: Mapping[str, str]) -> tuple[str, str]:
    """A file's name and what it is to hold: all of a text of FULL, of another minor what differs from FULL's
    text of that name; nothing where nothing does."""
    if minor == FULL:
        return f"{minor}-{name}", text
    before, after = of_full.get(name, "").splitlines(), text.splitlines()
    lines = [*unified_diff(before, after, f"{FULL}-{name}", f"{minor}-{name}", n=CONTEXT, lineterm="")]
    # Without numbers of lines, which move with every change of what is alike.
    return f"{minor}-{name}.diff", "".join(f"{'@@' if line.startswith('@@') else line}\n" for line in lines)


def compare(name: str, text: str) -> None:
    """Fail where the file says otherwise, or write it; where there is nothing to say there is none."""
    path = FILES / name
    if os.environ.get("NAVARCH_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if not text:
            path.unlink()
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert text == found, f"{name} differs or is missing; NAVARCH_UPDATE_GOLDEN=1 writes it again"


@pytest.mark.parametrize(("minor", "option"), CASES, ids=[f"{minor}-{option}" for minor, option in CASES])
def test_a_mesh_renders_to_what_was_reviewed(minor: str, option: str) -> None:
    for name, text in render_texts(minor, option).items():
        compare(*build_file(minor, name, text, render_texts(FULL, option)))


@pytest.mark.parametrize("minor", MINORS)
def test_injection_templates_are_what_was_reviewed(minor: str) -> None:
    for name, template in render_templates(minor).items():
        compare(*build_file(minor, name, template, render_templates(FULL)))


@pytest.mark.parametrize("option", GATEWAYS)
def test_a_gateway_renders_to_what_was_reviewed(option: str) -> None:
    objects = render_gateway(GATEWAYS[option])
    compare(f"gateway-{option}.yaml", "---\n".join(dump_yaml(manifest) for manifest in objects))


@pytest.mark.parametrize("option", POLICIES)
def test_network_policies_are_what_was_reviewed(option: str) -> None:
    policies = {"manage": True, "isolateMembers": True, **POLICIES[option]}
    objects = render_mesh({"scope": "Members", "networkPolicies": policies})
    revision = find_one(objects, "MeshRevision")
    member = Parent(MEMBER, "front", "default", "uid-member", mesh=(NAMESPACE, NAME))
    of_member = build_member_policy(
        member,
        read_membership(revision, probe=ENVIRONMENT.probe_namespace),
        NetworkPolicies.model_validate(policies),
        ASSETS,
    )
    both = (find_one(objects, "NetworkPolicy"), of_member)
    compare(f"policies-{option}.yaml", "---\n".join(map(dump_yaml, both)))


@pytest.mark.parametrize("option", TRIALS)
def test_a_trial_proxy_renders_to_what_was_reviewed(option: str) -> None:
    revision = find_one(render_mesh(TRIALS[option]), "MeshRevision")
    source = build_revision_input(revision, ASSETS, ENVIRONMENT)
    compare(f"trial-{option}.yaml", "---\n".join(map(dump_yaml, build_trial(source, ASSETS, attempt="0123"))))


def test_no_golden_file_is_left_over() -> None:
    names = {f"{minor}-{option}.yaml" for minor, option in CASES}
    names |= {f"{minor}-{name}" for minor in MINORS for name in render_templates(minor)}
    wanted = {name if name.startswith(FULL) else f"{name}.diff" for name in names}
    wanted |= {f"gateway-{option}.yaml" for option in GATEWAYS}
    wanted |= {f"policies-{option}.yaml" for option in POLICIES}
    wanted |= {f"trial-{option}.yaml" for option in TRIALS}
    assert {path.name for path in FILES.iterdir()} <= wanted
