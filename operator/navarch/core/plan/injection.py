"""What istiod injects: the templates, the values they read, and who is left out.

Owns the injector's ConfigMaps. Must exist before istiod starts: one that starts without them becomes ready
without an injector and never looks again. Invariant: every pod that is injected carries
mesh.navarch.io/proxy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.assets import Assets
from navarch.core.labels import PROXY
from navarch.core.refs import Manifest
from navarch.core.render import dump_yaml, render_data
from navarch.core.revisions import RevisionInput
from navarch.core.values import build_injection_templates, build_values, proxy_stamp

COMPONENT = "injection"


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """The injector's ConfigMap, and one that shows the values to people."""
    values = build_values(revision, assets)
    common = {"revision": revision, "names": revision.names, "labels": revision.labels(COMPONENT)}
    yield render_data(
        assets,
        "injection/config-map.yaml",
        injector=dump_yaml(build_injector_config(revision, assets, values)),
        values=_dump(values),
        **common,
    )
    original, merged = _dump(revision.config.values or {}), _dump(values)
    yield render_data(assets, "injection/values-config-map.yaml", original=original, merged=merged, **common)


def build_injector_config(
    revision: RevisionInput, assets: Assets, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The injector's configuration (pkg/kube/inject, Config)."""
    webhook = values["sidecarInjectorWebhook"]
    return {
        "policy": values["global"]["proxy"]["autoInject"],
        "defaultTemplates": webhook["defaultTemplates"],
        "aliases": webhook["aliases"],
        "alwaysInjectSelector": webhook["alwaysInjectSelector"],
        "neverInjectSelector": webhook["neverInjectSelector"],
        "injectedAnnotations": webhook["injectedAnnotations"] | {PROXY: proxy_stamp(revision, assets)},
        "templates": build_injection_templates(revision, assets, values),
    }


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
