"""What istiod injects and deploys: the templates, the values they read, who is left out, and what a class of
Gateways has otherwise.

Owns the injector's ConfigMaps. Must exist before istiod starts: one that starts without them becomes ready
without an injector and never looks again. Invariant: every pod that is injected, and every pod
of a Gateway that istiod deploys, carries mesh.navarch.io/proxy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.istio.assets import Assets
from navarch.core.model.labels import GATEWAY_CLASS_DEFAULTS, PROXY
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import dump_yaml, render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import (
    build_injection_templates,
    build_injection_values,
    build_values,
    proxy_stamp,
    read_gateway_classes,
)

COMPONENT = "injection"


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """The injector's ConfigMap, one that shows the values to people, and one per class of Gateways."""
    everything = build_values(revision, assets)
    values = build_injection_values(everything)
    common = {"revision": revision, "names": revision.names, "labels": revision.labels(COMPONENT)}
    yield render_data(
        assets,
        "injection/config-map.yaml",
        injector=dump_yaml(build_injector_config(revision, assets, values)),
        values=_dump(values),
        **common,
    )
    original, merged = _dump(revision.config.values or {}), _dump(everything)
    yield render_data(assets, "injection/values-config-map.yaml", original=original, merged=merged, **common)
    for gateway_class, overlays in read_gateway_classes(everything).items():
        functional = {GATEWAY_CLASS_DEFAULTS: gateway_class}
        yield render_data(
            assets,
            "injection/gateway-class-config-map.yaml",
            revision=revision,
            name=revision.names.gateway_class_config(gateway_class),
            labels=revision.labels(COMPONENT, functional),
            overlays={kind: dump_yaml(overlay) for kind, overlay in overlays.items()},
        )


def build_injector_config(
    revision: RevisionInput, assets: Assets, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The injector's configuration (pkg/kube/inject, Config)."""
    webhook = values["sidecarInjectorWebhook"]
    stamp = proxy_stamp(revision, assets)
    return {
        "policy": values["global"]["proxy"]["autoInject"],
        "defaultTemplates": webhook["defaultTemplates"],
        "aliases": webhook["aliases"],
        "alwaysInjectSelector": webhook["alwaysInjectSelector"],
        "neverInjectSelector": webhook["neverInjectSelector"],
        "injectedAnnotations": webhook["injectedAnnotations"] | {PROXY: stamp},
        "templates": build_injection_templates(revision, assets, values, stamp=stamp),
    }


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
