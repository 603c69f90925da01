"""One mesh rendered by upstream's installer and by us, from what each takes for the same wish.

Owns the two calls. Must never change what either side gives. Upstream's charts are those that the lab's
istioctl carries.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from navarch.assets import load_assets
from navarch.core.model.findings import Severity
from navarch.core.model.merging import merge
from navarch.core.model.refs import Manifest
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment

from tests.upstream.combinations import Combination
from tests.upstream.comparison import NAME, REVISION, TAG
from tests.upstream.semantics import LOADER

ASSETS = load_assets()
MINOR = "1.31"
"""The line that the lab's istioctl is of."""


def render_upstream(istioctl: Path, combination: Combination) -> list[Manifest]:
    """Everything that `istioctl manifest generate` prints; gateways are no part of it, as they are none of a
    mesh."""
    namespace, release = combination.namespace, ASSETS.catalog.find(MINOR)
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
    done = subprocess.run(
        [istioctl, "manifest", "generate", "-f", "-"],
        input=yaml.safe_dump(wish),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    documents = re.split(r"^---$", done.stdout, flags=re.M)
    wanted = (
        text for text in documents if combination.with_crds or "\nkind: CustomResourceDefinition" not in text
    )
    return [manifest for text in wanted if (manifest := yaml.load(text, LOADER))]


def render_ours(combination: Combination) -> list[Manifest]:
    """Everything that `navarch render` would print; our own MeshRevision has no counterpart."""
    mesh: Mapping[str, Any] = {
        "metadata": {"name": NAME, "namespace": combination.namespace},
        "spec": {"version": MINOR, "tag": TAG, **combination.ours},
    }
    environment = Environment((1, 34), "navarch-system", "")
    offline = build_offline(mesh, ASSETS, environment, with_crds=combination.with_crds)
    errors = [str(finding) for finding in offline.findings if finding.severity is Severity.ERROR]
    assert not errors, errors
    everything = (*offline.roles, *offline.objects)
    return [manifest for manifest in everything if manifest["kind"] != "MeshRevision"]
