"""Makes the data that comes from Istio's own API module: CRDs and the descriptor of MeshConfig, per minor.

Run by `make generate`. The modules are pinned, version and hash, in the catalog; what is downloaded is
checked against the pin and never committed. Does nothing when the data is there for the pins; otherwise needs
Go and the Go module proxy.
"""

from __future__ import annotations

import importlib.resources
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "operator"))

from navarch.assets import load_catalog  # noqa: E402
from navarch.core.catalog import Minor  # noqa: E402

DATA = ROOT / "operator" / "navarch" / "_data"
MODULE = "istio.io/api"
PROTOS = ("mesh/v1alpha1/config.proto", "mesh/v1alpha1/proxy.proto", "mesh/v1alpha1/network.proto")
FORMAT = 1
"""Raised when the form of the generated files changes, so that old ones are made anew."""


def is_current(minor: Minor) -> bool:
    """Whether both files are there and were made from this minor's pin."""
    stamp = DATA / f"pin-{minor.name}"
    made = all((DATA / name).is_file() for name in (f"crds-{minor.name}.json", f"mesh-{minor.name}.binpb"))
    return made and stamp.is_file() and stamp.read_text() == stamp_of(minor)


def stamp_of(minor: Minor) -> str:
    """What the data of a minor was made from."""
    return f"{FORMAT} {MODULE}@{minor.api_version} {minor.api_hash}\n"


def download(minor: Minor) -> Path:
    """The module's folder in Go's cache, checked against the pin. Exits with one line when that fails."""
    go = shutil.which("go")
    if go is None:
        sys.exit(
            f"generate: Go (1.21 or newer) is needed to download {MODULE}@{minor.api_version}; install it"
        )
    command = [go, "mod", "download", "-json", f"{MODULE}@{minor.api_version}"]
    with tempfile.TemporaryDirectory() as elsewhere:  # outside any module, so that no go.mod has a say
        result = subprocess.run(
            command, cwd=elsewhere, capture_output=True, text=True, timeout=600, check=False
        )
    answer = json.loads(result.stdout) if result.stdout.lstrip().startswith("{") else {}
    if "Dir" not in answer:
        sys.exit(f"generate: {MODULE}@{minor.api_version}: {answer.get('Error') or result.stderr.strip()}")
    if answer["Sum"] != minor.api_hash:
        sys.exit(
            f"generate: {MODULE}@{minor.api_version} has hash {answer['Sum']}, pinned is {minor.api_hash}"
        )
    return Path(answer["Dir"])


def build_crds(module: Path) -> str:
    """All CRDs as a JSON list, one a line, in the order of their names."""
    text = (module / "kubernetes" / "customresourcedefinitions.gen.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    crds = sorted(
        (doc for doc in yaml.load_all(text, loader) if doc), key=lambda doc: str(doc["metadata"]["name"])
    )
    return "[" + ",\n".join(json.dumps(crd, separators=(",", ":"), sort_keys=True) for crd in crds) + "]\n"


def build_descriptor(module: Path, protos: Iterable[str]) -> bytes:
    """A FileDescriptorSet of the files and all they import, without comments."""
    try:
        from grpc_tools import protoc
    except ImportError:
        sys.exit("generate: grpcio-tools is needed to compile MeshConfig; it is in the extra `test`")
    bundled = importlib.resources.files("grpc_tools") / "_proto"
    includes = [f"-I{folder}" for folder in (module, module / "common-protos", bundled)]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "set.binpb"
        if protoc.main(["protoc", *includes, "--include_imports", f"--descriptor_set_out={output}", *protos]):
            sys.exit(f"generate: protoc could not compile {', '.join(protos)} of {module.name}")
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    return descriptors.SerializeToString(deterministic=True)


def main() -> None:
    """Make what is missing or out of date."""
    DATA.mkdir(parents=True, exist_ok=True)
    for minor in load_catalog().minors:
        if is_current(minor):
            continue
        module = download(minor)
        (DATA / f"crds-{minor.name}.json").write_text(build_crds(module), encoding="utf-8")
        (DATA / f"mesh-{minor.name}.binpb").write_bytes(build_descriptor(module, PROTOS))
        (DATA / f"pin-{minor.name}").write_text(stamp_of(minor), encoding="utf-8")
        print(f"generate: Istio {minor.name}: CRDs and MeshConfig from {MODULE}@{minor.api_version}")


if __name__ == "__main__":
    main()
