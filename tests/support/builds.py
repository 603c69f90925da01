"""Builds of the operator, of this and of earlier commits: to have them, run them, and ask what they plan."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from navarch.kube.resources import resource_of

from lab.toolchain import ensure_go
from tests.support.api import Api

ROOT = Path(__file__).parents[2]
DATA = Path("operator", "navarch", "_data")

Named: TypeAlias = tuple[str, str, str]
"""Resource, namespace and name of an object, as the audit log names it."""


OLDER = "c6df40d3607975fdfeef7ddde4474c86b9357c7c"
"""The commit that stands for the release before this one: it has no `images.digests`, no
`controlPlane.gatewayController` and no `status.proxies.misplaced`, and makes istiod's roles itself."""


class NoBuild(Exception):
    """Why there is no such build here."""


@dataclass(frozen=True, slots=True)
class Build:
    """A source tree with its generated data, and the interpreter that has what it depends on."""

    root: Path
    python: str = sys.executable

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which `python -m navarch` is this build."""
        return {"PYTHONPATH": str(self.root / "operator")}

    def render(
        self, mesh: dict[str, Any], *, kubernetes: str, profiles: Sequence[Path] = ()
    ) -> dict[Named, dict[str, Any]]:
        """Everything that a mesh becomes by this build's plan, Istio's CRDs included."""
        options = ["--kubernetes-version", kubernetes, *(f"--profile={path}" for path in profiles)]
        printed = subprocess.run(
            [self.python, "-P", "-m", "navarch", "render", "-f", "-", *options],
            input=yaml.safe_dump(mesh),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return {name_object(o): o for o in yaml.load_all(printed, yaml.CSafeLoader) if o}

    def read_install(self) -> dict[Named, dict[str, Any]]:
        """The operator's installation by this build's deploy/."""
        text = (self.root / "deploy" / "install.yaml").read_text()
        return {name_object(o): o for o in yaml.load_all(text, yaml.CSafeLoader) if o}


def name_object(manifest: dict[str, Any]) -> Named:
    resource = resource_of(manifest["apiVersion"], manifest["kind"])
    return resource.plural, manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def find_named(api: Api, mesh: dict[str, Any], *, before: Build, profiles: Sequence[Path] = ()) -> set[Named]:
    """What this checkout's plan of a mesh makes, changes or takes away of what the build before had planned,
    both for the API server's version; and what the operator's own installation has otherwise, some of which
    both builds keep while one takes over from the other.
    """
    version = api.request("GET", "/version")
    kubernetes = f"{version['major']}.{version['minor'].rstrip('+')}"
    old = before.render(mesh, kubernetes=kubernetes, profiles=profiles)
    new = Build(ROOT).render(mesh, kubernetes=kubernetes, profiles=profiles)
    assert len(new) > 20
    installed = Build(ROOT).read_install()
    assert len(installed) > 20
    pairs = ((old, new), (before.read_install(), installed))
    return {name for one, two in pairs for name in one.keys() | two.keys() if one.get(name) != two.get(name)}


def build_previous(folder: Path, *, commit: str = "HEAD~1") -> Build:
    """The build of an earlier commit, made in an empty folder; of the one before this checkout's unless
    another is named. Raises NoBuild."""
    _extract(folder, commit=commit)
    shutil.copytree(ROOT / DATA, folder / DATA, dirs_exist_ok=True)
    python = sys.executable
    if (folder / "requirements.txt").read_bytes() != (ROOT / "requirements.txt").read_bytes():
        python = _install_dependencies(folder)
    # Does nothing unless that commit pins other versions than this one.
    path = f"{ensure_go().parent}:{os.environ['PATH']}"
    generate = [sys.executable, "scripts/generate_assets.py"]
    subprocess.run(generate, cwd=folder, env={**os.environ, "PATH": path}, check=True, timeout=600)
    return Build(folder, python)


def _extract(folder: Path, *, commit: str) -> None:
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise NoBuild("there is no git here") from None
    if done.returncode != 0:
        raise NoBuild(f"this checkout has no commit {commit}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _install_dependencies(folder: Path) -> str:
    """An environment with what that build is locked to; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    python = folder / ".venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*pip, "--requirement", folder / "requirements.txt"], check=True, timeout=600)
    return str(python)
