"""One mesh rendered by upstream's installer and by us, from what each takes for the same wish.

Owns the two calls. Must never change what either side gives. Upstream's charts are those that
each minor's istioctl of the lab carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from navarch.assets import load_assets
from navarch.core.model.findings import Severity
from navarch.core.model.merging import merge
from navarch.core.model.refs import Manifest
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment

from lab.builds import NEWEST_ISTIO, IstioLine
from tests.upstream.combinations import Combination
from tests.upstream.comparison import NAME, REVISION, TAG
from tests.upstream.istioctl import generate
from tests.upstream.semantics import LOADER

ASSETS = load_assets()


def render_upstream(combination: Combination, line: IstioLine) -> list[Manifest]:
    """Everything that `istioctl manifest generate` prints; gateways are no part of it, as they are none of a
    mesh."""
    namespace, release = combination.namespace, ASSETS.catalog.find(line.minor)
    assert release is not None
    base: dict[str, Any] = {
        "profile": "minimal",
        "hub": release.minor.hub,
        "tag": release.version,
        "revision": REVISION,
        "namespace": namespace,
        "values": {
            "global": {"istioNamespace": namespace},
            "revisionTags": [TAG, *(["default"] if combination.owns_default_tag else [])],
            "defaultRevision": REVISION if combination.owns_default_tag else "",
        },
    }
    wish = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": merge(base, combination.upstream),
    }
    documents = re.split(r"^---$", generate(line, wish), flags=re.M)
    wanted = (
        text for text in documents if combination.with_crds or "\nkind: CustomResourceDefinition" not in text
    )
    return [manifest for text in wanted if (manifest := yaml.load(text, LOADER))]


def render_ours(combination: Combination, line: IstioLine = NEWEST_ISTIO) -> list[Manifest]:
    """Everything that `navarch render` would print; our own MeshRevision has no counterpart."""
    mesh: Mapping[str, Any] = {
        "metadata": {"name": NAME, "namespace": combination.namespace},
        "spec": {"version": line.minor, "tag": TAG, **combination.ours},
    }
    environment = Environment((1, 34), "navarch-system", "")
    offline = build_offline(mesh, ASSETS, environment, with_crds=combination.with_crds)
    errors = [str(finding) for finding in offline.findings if finding.severity is Severity.ERROR]
    assert not errors, errors
    everything = (*offline.roles, *offline.objects)
    return [manifest for manifest in everything if manifest["kind"] != "MeshRevision"]
