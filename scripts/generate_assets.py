"""Makes the data that comes from modules of others: Istio's CRDs and descriptors of MeshConfig, per minor,
and of values; and Gateway API's CRDs.

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
from navarch.core.istio.catalog import Catalog, Minor, Pin  # noqa: E402

DATA = ROOT / "operator" / "navarch" / "_data"
MESH_PROTOS = ("mesh/v1alpha1/config.proto", "mesh/v1alpha1/proxy.proto", "mesh/v1alpha1/network.proto")
CHANNELS = ("experimental", "standard")
VALUES_PROTOS = ("operator/pkg/apis/values_types.proto",)
FORMAT = 1
"""Raised when the form of the generated files changes, so that old ones are made anew."""


def is_current(name: str, pin: Pin, files: Iterable[str]) -> bool:
    """Whether the files are there, and the stamp of this name says that they were made from the pin."""
    stamp = DATA / f"pin-{name}"
    made = all((DATA / file).is_file() for file in files)
    return made and stamp.is_file() and stamp.read_text() == stamp_of(pin)


def stamp_of(pin: Pin) -> str:
    """What data was made from."""
    return f"{FORMAT} {pin} {pin.hash}\n"


def download(pin: Pin) -> Path:
    """The module's folder in Go's cache, checked against the pin. Exits with one line when that fails."""
    go = shutil.which("go")
    if go is None:
        sys.exit(f"generate: Go (1.21 or newer) is needed to download {pin}; install it")
    command = [go, "mod", "download", "-json", str(pin)]
    with tempfile.TemporaryDirectory() as elsewhere:  # outside any module, so that no go.mod has a say
        result = subprocess.run(
            command, cwd=elsewhere, capture_output=True, text=True, timeout=600, check=False
        )
    answer = json.loads(result.stdout) if result.stdout.lstrip().startswith("{") else {}
    if "Dir" not in answer:
        sys.exit(f"generate: {pin}: {answer.get('Error') or result.stderr.strip()}")
    if answer["Sum"] != pin.hash:
        sys.exit(f"generate: {pin} has hash {answer['Sum']}, pinned is {pin.hash}")
    return Path(answer["Dir"])


def build_crds(module: Path) -> str:
    """All CRDs as a JSON list, one a line, in the order of their names."""
    return format_crds([module / "kubernetes" / "customresourcedefinitions.gen.yaml"])


def format_crds(files: Iterable[Path]) -> str:
    """The CRDs among the objects of some files, as build_crds has them."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = (doc for file in files for doc in yaml.load_all(file.read_text(encoding="utf-8"), loader))
    crds = sorted(
        (doc for doc in documents if doc and doc["kind"] == "CustomResourceDefinition"),
        key=lambda doc: str(doc["metadata"]["name"]),
    )
    return "[" + ",\n".join(json.dumps(crd, separators=(",", ":"), sort_keys=True) for crd in crds) + "]\n"


def build_descriptor(module: Path, protos: Iterable[str]) -> bytes:
    """A FileDescriptorSet of the files and all they import, without comments."""
    try:
        from grpc_tools import protoc
    except ImportError:
        sys.exit("generate: grpcio-tools is needed to compile Istio's definitions; it is in the extra `test`")
    bundled = importlib.resources.files("grpc_tools") / "_proto"
    folders = [folder for folder in (module, module / "common-protos", bundled) if folder.is_dir()]
    command = ["protoc", "--include_imports", *(f"-I{folder}" for folder in folders)]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "set.binpb"
        if protoc.main([*command, f"--descriptor_set_out={output}", *protos]):
            sys.exit(f"generate: protoc could not compile {', '.join(protos)} of {module.name}")
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    return descriptors.SerializeToString(deterministic=True)


def make_minor(minor: Minor) -> None:
    """CRDs and MeshConfig of a minor, unless they are there."""
    crds, mesh = f"crds-{minor.name}.json", f"mesh-{minor.name}.binpb"
    if is_current(minor.name, minor.api, (crds, mesh)):
        return
    module = download(minor.api)
    (DATA / crds).write_text(build_crds(module), encoding="utf-8")
    (DATA / mesh).write_bytes(build_descriptor(module, MESH_PROTOS))
    (DATA / f"pin-{minor.name}").write_text(stamp_of(minor.api), encoding="utf-8")
    print(f"generate: Istio {minor.name}: CRDs and MeshConfig from {minor.api}")


def make_values(name: str, pin: Pin) -> None:
    """A definition of values, unless it is there."""
    file = f"values-{name}.binpb"
    if is_current(f"values-{name}", pin, (file,)):
        return
    (DATA / file).write_bytes(build_descriptor(download(pin), VALUES_PROTOS))
    (DATA / f"pin-values-{name}").write_text(stamp_of(pin), encoding="utf-8")
    print(f"generate: values {name} from {pin}")


def make_gateway_api(pin: Pin) -> None:
    """Gateway API's CRDs by channel, unless they are there."""
    files = {channel: f"gateway-api-{channel}.json" for channel in CHANNELS}
    if is_current("gateway-api", pin, files.values()):
        return
    module = download(pin)
    for channel, file in files.items():
        found = (module / "config" / "crd" / channel).glob("gateway.networking.*.yaml")
        (DATA / file).write_text(format_crds(found), encoding="utf-8")
    (DATA / "pin-gateway-api").write_text(stamp_of(pin), encoding="utf-8")
    print(f"generate: Gateway API from {pin}")


def remove_leftovers(catalog: Catalog) -> None:
    """Take away what no row of the catalog asks for any more: a wheel carries all that lies here."""
    minors = {minor.name for minor in catalog.minors}
    wanted = {f"crds-{name}.json" for name in minors} | {f"mesh-{name}.binpb" for name in minors}
    wanted |= {f"values-{name}.binpb" for name in catalog.values}
    wanted |= {f"pin-{name}" for name in minors} | {f"pin-values-{name}" for name in catalog.values}
    wanted.add("pin-gateway-api")
    for pattern in ("crds-*", "mesh-*", "values*", "pin-*"):
        for path in DATA.glob(pattern):
            if path.name not in wanted:
                path.unlink()


def main() -> None:
    """Make what is missing or out of date."""
    DATA.mkdir(parents=True, exist_ok=True)
    catalog = load_catalog()
    for minor in catalog.minors:
        make_minor(minor)
    for name, pin in catalog.values.items():
        make_values(name, pin)
    make_gateway_api(catalog.gateway_api)
    remove_leftovers(catalog)


if __name__ == "__main__":
    main()
