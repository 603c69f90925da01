"""The operator's image for the lab: its wheel, the locked dependencies and this machine's Python.

Owns how this machine stands in for the base image that the Containerfile names. Must never decide how the
process runs: user, environment, entry point and the place of the virtual environment are read from the
Containerfile. Invariant: the three layers (Python, dependencies, wheel) depend only on this machine's
Python, the lock and the wheel, so an edit of the operator changes the small last one alone.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.images.archive import Image, Layer, ensure_archive
from lab.images.base import REGISTRY
from lab.images.containerfile import read_final_stage
from lab.progress import LabError, run_visibly
from lab.toolchain import cache

OPERATOR = f"{REGISTRY}/navarch:dev"

_HOME = "/usr/local"
_SERIES = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = {
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
}
_LEFT_OUT |= {"tkinter", "turtledemo", f"config-{sys.version_info.major}.{sys.version_info.minor}"}


def ensure_operator_archive(root: Path, *, wheel: Path | None = None) -> Path:
    """The archive with the image `lab.local/navarch:dev` of the checkout `root`.

    `wheel` is built from the checkout when it is not given. LabError says what is missing or failed.
    """
    stage = read_final_stage(root / "Containerfile")
    if len(stage.copied) != 1:
        raise LabError(
            f"Containerfile: one path copied from the build stage is expected, not {len(stage.copied)}"
        )
    home = stage.copied[0]
    with tempfile.TemporaryDirectory(prefix="navarch-image-") as scratch:
        wheel = wheel or _build_wheel(root, Path(scratch) / "dist")
        installed = Path(scratch) / "installed"
        program = _build_program(home, wheel, installed)
        for place, source in stage.programs.items():
            program.add_file(place, root / source, mode=0o755)
        layers = (_build_python(), _build_dependencies(home, root), program)
        return ensure_archive(cache() / "images", "navarch", [Image(OPERATOR, layers, stage.config())])


def _build_wheel(root: Path, target: Path) -> Path:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        target,
        root,
    ]
    run_visibly(command, label="wheel", log=cache() / "build.log")
    return next(target.glob("*.whl"))


def _build_python() -> Layer:
    """What a slim image of Python has: interpreter, library, shared objects, certificates, a /tmp."""
    layer = Layer()
    interpreter = Path(sys.executable).resolve()
    layer.add_program(f"{_HOME}/bin/{_SERIES}", interpreter)
    for alias in ("python", "python3"):
        layer.add_link(f"{_HOME}/bin/{alias}", _SERIES)
    library = Path(sysconfig.get_path("stdlib"))
    key = hashlib.sha256(f"{sys.version} {library} {library.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    compiled = cache() / f"stdlib-{key}"
    with _made(compiled) as target:
        if target is not None:
            _copy_library(library, target)
            _compile(target, f"{_HOME}/lib/{_SERIES}")
    _add_tree(layer, compiled, f"{_HOME}/lib/{_SERIES}")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    layer.add_file(str(certificates), certificates)
    layer.add_text("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\n")
    layer.add_directory("/tmp", mode=0o1777)
    return layer


def _build_dependencies(home: str, root: Path) -> Layer:
    """The virtual environment at `home` with everything in requirements.txt."""
    lock = root / "requirements.txt"
    key = hashlib.sha256(f"{sys.version} {home}".encode() + lock.read_bytes()).hexdigest()[:12]
    installed = cache() / f"dependencies-{key}"
    packages = f"{home}/lib/{_SERIES}/site-packages"
    with _made(installed) as target:
        if target is not None:
            _install(target, "--require-hashes", "--requirement", lock, label="the operator's dependencies")
            _compile(target, packages)
    layer = Layer()
    layer.add_text(f"{home}/pyvenv.cfg", f"home = {_HOME}/bin\ninclude-system-site-packages = false\n")
    for name in ("python", "python3", _SERIES):
        layer.add_link(f"{home}/bin/{name}", f"{_HOME}/bin/{_SERIES}")
    _add_tree(layer, installed, packages)
    return layer


def _build_program(home: str, wheel: Path, installed: Path) -> Layer:
    """The wheel and the commands that it declares."""
    packages = f"{home}/lib/{_SERIES}/site-packages"
    _install(installed, "--no-deps", wheel, label=f"installing {wheel.name}")
    _compile(installed, packages)
    layer = Layer()
    _add_tree(layer, installed, packages)
    for name, target in _read_commands(wheel):
        module, _, function = target.partition(":")
        script = f"#!{home}/bin/python\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        layer.add_text(f"{home}/bin/{name}", script, mode=0o755)
    return layer


def _read_commands(wheel: Path) -> list[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as archive:
        declared = next(name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        points = configparser.ConfigParser()
        points.read_string(archive.read(declared).decode())
    return points.items("console_scripts")


def _install(target: Path, *arguments: str | Path, label: str) -> None:
    """pip install into a directory, without bytecode, and without the files that name this run."""
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--no-compile",
        "--target",
        target,
    ]
    run_visibly([*pip, *arguments], label=label, log=cache() / "build.log")
    for path in target.glob("*.dist-info/*"):
        if path.name in ("RECORD", "direct_url.json", "REQUESTED"):
            path.unlink()


def _compile(directory: Path, destined: str) -> None:
    """Bytecode that does not look at its source's time: the image's files have none, and nothing is written
    there.
    """
    fixed = ["--invalidation-mode", "unchecked-hash", "-s", str(directory), "-p", destined]
    command = [sys.executable, "-m", "compileall", "-q", *fixed, str(directory)]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise LabError(f"compileall failed in {directory}")


def _copy_library(library: Path, target: Path) -> None:
    for path in _walk(library):
        copy = target / path.relative_to(library)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())


def _add_tree(layer: Layer, directory: Path, place: str) -> None:
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        layer.add_file(f"{place}/{path.relative_to(directory)}", path)
        if ".so" in path.suffixes:
            layer.add_libraries(path)


def _walk(directory: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(directory):
        folders[:] = sorted(
            name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")
        )
        yield from (Path(parent) / name for name in sorted(files))


@contextmanager
def _made(path: Path) -> Iterator[Path | None]:
    """An empty directory that becomes `path` when the block ends well, or None where `path` is there
    already.
    """
    if path.exists():
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as parent:
        unfinished = Path(parent) / "content"
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(path)
