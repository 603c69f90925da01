"""OLM for a node lab: its operators beside the cluster, and the pods that unpack a bundle's image in it.

Owns the images of those pods and of bundles. OLM's own programs run as processes (lab/light/olm.py): what is
shown here is what they have a kubelet do. Must never leave a name to a registry: all images are named by
digest, which OLM pulls only where they are missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from lab import builds
from lab.cluster import Cluster
from lab.images.archive import Image, Layer, ensure_archive
from lab.images.base import REGISTRY
from lab.light import olm
from lab.light.olm import OLM
from lab.node.cluster import load_by_digest
from lab.progress import LabError
from lab.toolchain import cache

_TOOLS = f"{REGISTRY}/olm:1"
_BUNDLE = f"{REGISTRY}/navarch-bundle:1"
_USER = "1001:1001"


def add(cluster: Cluster) -> OLM:
    """Start OLM for a node lab. A bundle's Job copies `cpb` into a volume, runs it in the bundle's own image,
    and reads what that has copied with opm."""
    binaries, layer = builds.ensure("olm"), Layer()
    layer.add_program("/bin/cp", Path(shutil.which("cp") or "/bin/cp"))
    for name in ("cpb", "opm"):
        layer.add_program(f"/bin/{name}", binaries[name])
    layer.add_directory("/tmp", mode=0o1777)
    config = {"User": _USER, "Env": ["PATH=/bin"]}
    reference = _load(cluster, Image(_TOOLS, (layer,), config), label="olm")
    flags = (f"--util-image={reference}", f"--opmImage={reference}", "--set-workload-user-id=true")
    return olm.add(cluster, unpacking=flags)


def load_bundle(cluster: Cluster, files: Mapping[str, str], containerfile: str) -> str:
    """Give the node the image that a bundle's Containerfile describes: `files` by their path below the
    checkout; what to call the image."""
    layer, labels = Layer(), {}
    for line in containerfile.splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "LABEL":
            key, _, value = rest.partition("=")
            labels[key] = value.strip('"')
        elif instruction == "COPY":
            source, target = rest.split()
            found = {path: text for path, text in files.items() if path.startswith(source.strip("/") + "/")}
            for path, text in found.items():
                layer.add_text(f"{target.rstrip('/')}/{path[len(source.strip('/')) + 1 :]}", text)
        elif instruction not in ("", "#", "FROM") and not line.startswith("#"):
            raise LabError(f"a bundle's Containerfile with {instruction} is not understood here")
    return _load(cluster, Image(_BUNDLE, (layer,), {"Labels": labels}), label="bundle")


def _load(cluster: Cluster, image: Image, *, label: str) -> str:
    archive = ensure_archive(cache() / "images", label, [image])
    return load_by_digest(cluster, archive)[image.name]
