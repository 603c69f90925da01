"""What is shipped works where it is installed: no checkout, no Go, no network.

sdist and wheel are built once, from the tree as it is. The wheel is installed into an empty environment
elsewhere; the libraries it needs are lent by the environment that runs the tests, as there is no network to
get them from. A lent library need not be a declared one, so a test of its own sees to that.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_string
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mesh.yaml"
ELABORATE = """
apiVersion: mesh.navarch.io/v1beta1
kind: MeshControlPlane
metadata: { name: elaborate, namespace: payments }
spec:
  version: "1.30"
  profiles: [production]
  tag: payments
  defaultTag: true
  mtls: { mode: Permissive, minimumProtocolVersion: TLSv1_3 }
  meshConfig: { accessLogFile: /dev/stdout }
  controlPlane: { networkPolicy: true }
"""
SHOW_ASSETS = """
from dataclasses import replace
from navarch.assets import load_assets
assets = load_assets()
print(replace(assets, crds=dict(assets.crds)))
"""


@dataclass(frozen=True, slots=True)
class Built:
    """The two files that are published."""

    sdist: Path
    wheel: Path


def environment(**more: str) -> dict[str, str]:
    """No Go, no checkout, no registry: only the tools beside this Python are found."""
    folder = str(Path(sys.executable).parent)
    return {"PATH": folder, "PIP_NO_INDEX": "1", "GOPROXY": "off", "LC_ALL": "C.UTF-8", **more}


def offline() -> tuple[str, ...]:
    """A prefix under which a command has no network interface, on machines that allow it; else nothing."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (unshare, "--map-root-user", "--net")
    allowed = subprocess.run(
        [*prefix, sys.executable, "-c", ""], capture_output=True, check=False, timeout=240
    )
    return prefix if allowed.returncode == 0 else ()


def run(
    command: Sequence[object], *, cwd: Path, env: Mapping[str, str], fails: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run offline and return; an exit code that was not expected is a failure that shows the output."""
    whole = [*offline(), *map(str, command)]
    done = subprocess.run(whole, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode != 0) is fails, f"{command}: {done.stdout}\n{done.stderr}"
    return done


def build(source: Path, *, into: Path, cwd: Path, what: Sequence[str] = (), fails: bool = False) -> str:
    """Build `source`: the sdist and from it the wheel, or `what` says which; returns what was printed."""
    command = [sys.executable, "-m", "build", "--no-isolation", *what, "--outdir", into, source]
    done = run(command, cwd=cwd, env=environment(), fails=fails)
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, into=folder, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="session")
def elsewhere(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that holds the wheel, outside the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder, env=environment())
    python = folder / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-index",
        "--no-deps",
        built.wheel,
    ]
    run(install, cwd=folder, env=environment())
    (site,) = folder.glob("lib/python*/site-packages")
    # Lent libraries come after the environment's own; .pth files among them (the checkout's) stay inert.
    lent = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    return folder


@pytest.fixture
def unpacked(built: Built, tmp_path: Path) -> Path:
    """A copy of the sources as the sdist carries them."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    return folder


def files_below(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix()


def test_the_sdist_carries_templates_catalog_and_generated_data(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {f"templates/{name}" for name in files_below(ROOT / "templates")}
    wanted |= {f"operator/navarch/{name}" for name in files_below(ROOT / "operator" / "navarch")}
    assert any(name.startswith("operator/navarch/_data/crds-") for name in wanted)
    assert wanted <= names


def test_the_wheel_carries_all_of_the_package_and_the_templates_below_its_data(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {f"navarch/_data/templates/{name}" for name in files_below(ROOT / "templates")}
    wanted |= {f"navarch/{name}" for name in files_below(ROOT / "operator" / "navarch")}
    assert names == wanted


def test_the_installed_wheel_reads_the_same_data_as_the_checkout(elsewhere: Path) -> None:
    there = run([elsewhere / "bin" / "python", "-P", "-c", SHOW_ASSETS], cwd=elsewhere, env=environment())
    env = environment(PYTHONPATH=str(ROOT / "operator"))
    here = run([sys.executable, "-P", "-c", SHOW_ASSETS], cwd=ROOT, env=env)
    assert there.stdout == here.stdout


@pytest.mark.parametrize("mesh", [EXAMPLE.read_text(), ELABORATE], ids=["example", "elaborate"])
def test_the_installed_wheel_renders_byte_for_byte_what_the_checkout_renders(
    elsewhere: Path, tmp_path: Path, mesh: str
) -> None:
    origin = "import navarch; print(navarch.__file__)"
    place = run([elsewhere / "bin" / "python", "-P", "-c", origin], cwd=elsewhere, env=environment()).stdout
    assert Path(place.strip()).is_relative_to(elsewhere)
    file = tmp_path / "mesh.yaml"
    file.write_text(mesh)
    there = run([elsewhere / "bin" / "navarch", "render", "-f", file], cwd=elsewhere, env=environment())
    env = environment(PYTHONPATH=str(ROOT / "operator"))
    here = run([sys.executable, "-P", "-m", "navarch", "render", "-f", file], cwd=ROOT, env=env)
    assert "kind: Deployment" in here.stdout
    assert there.stdout == here.stdout


@pytest.mark.parametrize(
    "name",
    ["crds-1.31.json", "mesh-1.30.binpb", "pin-1.31", "values-1.31.binpb", "gateway-api-standard.json"],
)
def test_without_a_file_of_the_generated_data_no_wheel_is_built_and_one_line_says_why(
    unpacked: Path, tmp_path: Path, name: str
) -> None:
    (unpacked / "operator" / "navarch" / "_data" / name).unlink()
    told = build(unpacked, into=tmp_path / "dist", cwd=tmp_path, what=["--wheel"], fails=True)
    lines = [line for line in told.splitlines() if "cannot build navarch" in line]
    assert len(lines) == 1
    assert f"{name} is missing; run `make generate` first" in lines[0]
    assert "Traceback" not in told
    assert not list(tmp_path.glob("dist/*.whl"))


@pytest.mark.parametrize("name", ["1.31", "values-1.30", "gateway-api"])
def test_data_generated_from_another_pin_builds_no_wheel(unpacked: Path, tmp_path: Path, name: str) -> None:
    pin = unpacked / "operator" / "navarch" / "_data" / f"pin-{name}"
    pin.write_text(pin.read_text().replace("h1:", "h1:0"))
    told = build(unpacked, into=tmp_path / "dist", cwd=tmp_path, what=["--wheel"], fails=True)
    assert "generated from another version than" in told
    assert not list(tmp_path.glob("dist/*.whl"))


def imported_libraries() -> set[str]:
    """Top-level names that the package imports and that are neither Python's own nor the package itself."""
    names: set[str] = set()
    for path in (ROOT / "operator" / "navarch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"navarch"}


def test_every_library_that_the_package_imports_is_a_declared_dependency(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode())
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    declared = {
        canonicalize_name(one.name)
        for one in requirements
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }
    providers = packages_distributions()
    undeclared = {
        library
        for library in imported_libraries()
        if declared.isdisjoint(canonicalize_name(provider) for provider in providers.get(library, []))
    }
    assert undeclared == set()
