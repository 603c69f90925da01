"""What decides whether something is built again."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lab import builds, toolchain
from lab.binaries import is_whole
from lab.builds import ensure, place, recipes
from lab.progress import LabError
from lab.recipes import Binary, Extract

KINDS = builds.NEWEST_ISTIO.kinds
GROUPS: tuple[builds.Group, ...] = ("node", "olm", "prometheus", "firewall")
"""All groups: the light one is within the node's."""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    shutil.copytree(toolchain.MODULES / "kube", tmp_path / "kube")
    return tmp_path


def kubectl() -> Binary:
    found = next(recipe for recipe in builds.recipes("light") if recipe.name == "kubectl")
    assert isinstance(found, Binary)
    return found


def test_equal_pins_give_an_equal_place(modules: Path) -> None:
    assert builds.digest(kubectl(), modules=modules) == builds.digest(kubectl())


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_any_changed_pin_or_source_gives_a_new_place(modules: Path, file: str) -> None:
    before = builds.digest(kubectl(), modules=modules)
    with (modules / "kube" / file).open("a") as out:
        out.write("// changed\n")
    assert builds.digest(kubectl(), modules=modules) != before


def test_another_version_string_gives_a_new_place() -> None:
    other = replace(kubectl(), stamps=(("k8s.io/component-base/version.gitVersion", "v0.0.0"),))
    assert builds.place(other) != builds.place(kubectl())


def test_each_istio_is_linked_under_its_own_versions_from_its_own_source() -> None:
    agents = [r for r in builds.recipes("node") if isinstance(r, Binary) and r.file == "pilot-agent"]
    told = {dict(agent.stamps)["istio.io/istio/pkg/version.buildVersion"]: agent.module for agent in agents}
    assert told == {version: line.module for line in builds.ISTIO_LINES for version in line.versions}
    assert len({builds.place(agent) for agent in agents}) == len(told)
    sources = {builds.pinned(line.module, "istio.io/istio") for line in builds.ISTIO_LINES}
    assert len(sources) == len(builds.ISTIO_LINES)


@pytest.mark.parametrize("line", builds.ISTIO_LINES, ids=lambda line: line.minor)
def test_a_minor_of_istio_is_of_that_minor(line: builds.IstioLine) -> None:
    said = builds.find_source(line.module, "istio.io/istio").joinpath("VERSION").read_text().strip()
    assert said == line.minor
    assert {version.rpartition(".")[0] for version in line.versions} == {line.minor}


@pytest.mark.parametrize("minor", builds.kubernetes_modules())
def test_another_kubernetes_changes_what_serves_the_api_and_no_tool(minor: str) -> None:
    newest = [*builds.kubernetes_modules()][-1]
    own = {recipe.name: builds.place(recipe) for recipe in builds.recipes("light", minor)}
    others = {recipe.name: builds.place(recipe) for recipe in builds.recipes("light")}
    servers = {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    assert {name for name in own if own[name] != others[name]} == (set() if minor == newest else servers)


def test_a_kubernetes_that_is_not_pinned_is_refused_with_those_that_are() -> None:
    with pytest.raises(LabError, match=r"no Kubernetes 1\.12; there are 1\.32, .*1\.37"):
        builds.ensure("light", kubernetes="1.12")


def test_the_node_group_holds_all_of_the_light_one_under_unique_names() -> None:
    light, node = builds.recipes("light"), builds.recipes("node")
    assert set(light) < set(node)
    assert len({recipe.name for recipe in node}) == len(node)


def test_every_module_has_its_pins_and_every_extract_a_pinned_source() -> None:
    for recipe in (r for group in GROUPS for r in builds.recipes(group)):
        assert (toolchain.MODULES / recipe.module / "go.mod").is_file()
        if isinstance(recipe, Extract):
            assert re.match(r"v\d", builds.pinned(recipe.module, recipe.source))


def test_a_module_that_is_not_required_is_named() -> None:
    with pytest.raises(LabError, match=r"example\.org/x"):
        builds.pinned("kube", "example.org/x")


def test_the_cache_is_outside_the_work_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAVARCH_LAB_CACHE", raising=False)
    assert toolchain.MODULES.parents[1] not in toolchain.cache().parents


def test_only_what_is_asked_for_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAVARCH_LAB_CACHE", str(tmp_path))
    made = builds.ensure("node", only=[KINDS])
    assert list(made) == [KINDS]
    assert "VirtualService" in made[KINDS].read_text()
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {made[KINDS].parent.name}


def test_a_build_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(LabError, match=r"istioctl-0: the lab has no such build; there are .*kwok"):
        builds.ensure("node", only=["istioctl-0"])


# --- what the user gives, and what is half written


def test_programs_of_kubebuilder_assets_are_used_and_what_it_lacks_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = ensure("light")
    for name in ("etcd", "kube-controller-manager"):
        (tmp_path / name).symlink_to(built[name])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = ensure("light")
    assert found["etcd"] == tmp_path / "etcd"
    assert {name: path for name, path in found.items() if name != "etcd"} == {
        name: path for name, path in built.items() if name != "etcd"
    }, "envtest's folder has three programs, and no others are taken from there"


@pytest.mark.parametrize("what", ["folder", "broken", "not executable"])
def test_what_is_wrong_with_kubebuilder_assets_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    folder = tmp_path / "bin"
    if what != "folder":
        folder.mkdir()
        whole = ensure("light")["etcd"].read_bytes()
        (folder / "etcd").write_bytes(whole[: len(whole) // 2] if what == "broken" else whole)
        (folder / "etcd").chmod(0o755 if what == "broken" else 0o644)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    said = f"{folder}, and there is no such folder" if what == "folder" else f"{folder}/etcd .*: get it again"
    with pytest.raises(LabError, match=said):
        ensure("light")


def test_a_program_is_whole_only_with_its_last_byte_that_is_loaded(tmp_path: Path) -> None:
    whole = ensure("light")["kwok"]
    assert is_whole(whole)
    for share in (0, 40, 1000, whole.stat().st_size // 2):
        (tmp_path / "part").write_bytes(whole.read_bytes()[:share])
        assert not is_whole(tmp_path / "part"), share
    assert not is_whole(tmp_path / "nothing")


def test_an_entry_of_the_cache_that_is_half_written_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAVARCH_LAB_CACHE", str(tmp_path))
    (stages,) = (recipe for recipe in recipes("light") if recipe.name == "kwok-stages")
    place(stages).parent.mkdir()
    place(stages).touch()
    assert "kind: Stage" in ensure("light", only=["kwok-stages"])["kwok-stages"].read_text()
    assert f"{place(stages).parent}: half written, so it is made again" in capsys.readouterr().err
