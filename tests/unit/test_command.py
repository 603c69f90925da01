"""The command as a process that cannot look: it says why, and ends with the code that says so."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from navarch.api.meta import API_VERSION
from navarch.cli.inputs import InputError, find_unknown, load_settings, parse_meshes, read_file
from navarch.cli.manifests import build
from navarch.cli.render import render_mesh
from navarch.settings import Settings

from tests.support.command import navarch
from tests.unit.test_kube_transport import serving

MESH = f"apiVersion: {API_VERSION}\nkind: MeshControlPlane\nmetadata: {{name: demo}}\n"
DEEP = "[" * 5000 + "]" * 5000
WIDE = "{a0: &a0 [1, 1], " + ", ".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)) + "}"
"""A text of a few lines that means more than anybody reads to the end of."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"clusters: [a\nusers: }\n", "ParserError"),
        (b"hello there\n", "TypeError"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
    ],
    ids=["broken YAML", "plain text", "no text"],
)
def test_a_kubeconfig_that_is_none_is_named_in_one_line_and_gives_no_severitys_code(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    ended = navarch("check", kubeconfig=path)
    assert (ended.code, ended.out) == (3, "")
    assert f"navarch check: {path}: not a kubeconfig: {said}" in ended.err
    assert "Traceback" not in ended.err


def test_a_setting_that_is_wrong_is_named_by_its_variable(tmp_path: Path) -> None:
    for command, code in (("check",), 3), (("describe", "demo"), 3), (("run",), 1):
        ended = navarch(*command, environment={"NAVARCH_WORKERS": "0"})
        assert (ended.code, ended.out) == (code, "")
        assert f"navarch {command[0]}: NAVARCH_WORKERS: Input should be greater than" in ended.err
        assert "Traceback" not in ended.err


def copy_package(tmp_path: Path, *left_out: str) -> dict[str, str]:
    """The package in a folder of its own, without some of its data; the variables under which it runs."""
    root = Path(__file__).parents[2]
    ignore = shutil.ignore_patterns(*left_out)
    shutil.copytree(root / "operator" / "navarch", tmp_path / "operator" / "navarch", ignore=ignore)
    if "templates" not in left_out:
        shutil.copytree(root / "templates", tmp_path / "templates")
    return {"PYTHONPATH": str(tmp_path / "operator")}


@pytest.mark.parametrize(
    ("left_out", "said"),
    [("crds-1.31.json", "crds-1.31.json is missing from the package"), ("templates", "the templates are")],
)
@pytest.mark.parametrize(
    ("command", "code"), [(("run",), 1), (("manifests",), 1), (("check", "--kubeconfig", "/nowhere"), 3)]
)
def test_data_that_is_missing_is_named_in_one_line_with_the_remedy_before_anything_is_asked_of_a_cluster(
    tmp_path: Path, left_out: str, said: str, command: tuple[str, ...], code: int
) -> None:
    environment = {**copy_package(tmp_path, left_out), "NAVARCH_KUBECONFIG": "/nowhere"}
    ended = navarch(*command, environment=environment)
    assert (ended.code, ended.out) == (code, "")
    (line,) = ended.err.splitlines()
    if command[0] != "check":
        assert line.startswith(f"navarch {command[0]}: {said}")
        assert "install Navarch anew" in line


@pytest.mark.parametrize("content", [b"", b"\xff", b"a: [b"], ids=["a folder", "no text", "no YAML"])
def test_data_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    environment = copy_package(tmp_path)
    profile = tmp_path / "operator" / "navarch" / "core" / "istio" / "catalog" / "profiles" / "default.yaml"
    profile.unlink()
    if content:
        profile.write_bytes(content)
    else:
        profile.mkdir()
    ended = navarch("run", environment=environment)
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("navarch run: ")
    assert "install Navarch anew" in line


def test_a_file_that_is_no_text_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_bytes(b"kind: \xff\n")
    for command, code in (("check", 3), ("render", 1)):
        ended = navarch(command, "-f", str(path))
        assert (ended.code, ended.out) == (code, "")
        assert ended.err.startswith(f"navarch {command}: {path}: not a text in UTF-8"), ended
        assert len(ended.err.splitlines()) == 1


async def test_an_unexpected_failure_has_a_traceback_and_is_no_report(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        is_version = request.path == "/version"
        return web.json_response({"major": "1", "minor": "36+"} if is_version else {"items": []})

    async with serving(tmp_path, handler):
        for command in ("check",), ("describe", "demo"):
            ended = await asyncio.to_thread(navarch, *command, kubeconfig=tmp_path / "kubeconfig")
            assert (ended.code, ended.out) == (3, "")
            assert "Traceback" in ended.err
            assert (
                ended.err.splitlines()[-1]
                == f"navarch {command[0]}: failed, which is a bug: KeyError: 'metadata'"
            )


async def test_a_server_that_is_no_kubernetes_is_no_cluster_that_was_looked_at(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text="welcome")

    async with serving(tmp_path, handler):
        ended = await asyncio.to_thread(navarch, "check", kubeconfig=tmp_path / "kubeconfig")
    assert (ended.code, ended.out) == (3, "")
    assert "the answer is not the version of a Kubernetes API server" in ended.err
    assert "Traceback" not in ended.err


def test_settings_that_are_wrong_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAVARCH_WORKERS", "many")
    monkeypatch.setenv("NAVARCH_LOG_LEVEL", "loud")
    with pytest.raises(InputError, match=r"NAVARCH_WORKERS: .*'many'; NAVARCH_LOG_LEVEL: .*'loud'"):
        load_settings()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LEASE_SECONDS": "5"}, "NAVARCH_LEASE_RETRY_SECONDS 2 < LEASE_RENEW_SECONDS 10 < LEASE_SECONDS 5"),
        ({"LEASE_SECONDS": "inf"}, "NAVARCH_LEASE_SECONDS: .*finite number, not 'inf'"),
        ({"LEASE_SECONDS": "1e12"}, "NAVARCH_LEASE_SECONDS: .*less than or equal to 86400"),
        ({"RESYNC_SECONDS": "nan"}, "NAVARCH_RESYNC_SECONDS: .*not 'nan'"),
        ({"CACHE_MIB": "9" * 20}, "NAVARCH_CACHE_MIB: "),
        ({"NAMESPACE": "Navarch_System"}, "NAVARCH_NAMESPACE: .*not 'Navarch_System'"),
        ({"PROBE_NAMESPACE": "a/../b"}, "NAVARCH_PROBE_NAMESPACE: "),
        ({"METRICS_PORT": "8080"}, "NAVARCH_LISTEN_PORT and METRICS_PORT are both 8080"),
    ],
)
def test_a_setting_that_the_operator_could_not_run_with_is_named_before_it_starts(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"NAVARCH_{name}", value)
    with pytest.raises(InputError, match=said):
        load_settings()


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAVARCH_NAMESPACE", raising=False)
    for name in Settings.model_fields:
        monkeypatch.setenv(f"NAVARCH_{name}".upper(), "")
    assert load_settings() == Settings.model_construct()


def test_a_variable_that_is_misspelt_is_told_with_the_setting_that_is_meant() -> None:
    of_services = ("PORT", "PORT_8443_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT_METRICS")
    known = [f"NAVARCH_{name}".upper() for name in Settings.model_fields]
    ignored = [f"NAVARCH_METRICS_{name}" for name in of_services]
    found = find_unknown([*known, *ignored, "NAVARCH_WORKER", "NAVARCH_LOGLEVEL", "NAVARCH_XYZ", "WORKERS"])
    assert list(found) == [
        "NAVARCH_LOGLEVEL is no setting; did you mean NAVARCH_LOG_LEVEL?",
        "NAVARCH_WORKER is no setting; did you mean NAVARCH_WORKERS?",
        "NAVARCH_XYZ is no setting",
    ]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NAVARCH_KUBECONFIG": "/nonexistent"}, "/nonexistent: no such file"),
        ({"NAVARCH_KUBECONFIG": "/etc/passwd"}, "/etc/passwd: not a kubeconfig"),
        ({"NAVARCH_KUBECONFIG": "/proc"}, "/proc: not a kubeconfig: IsADirectoryError"),
        ({"NAVARCH_LISTEN_HOST": "no.invalid"}, "probes cannot be answered at address 'no.invalid'"),
    ],
)
def test_an_operator_that_cannot_start_says_why_in_one_line(
    variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    cluster, user = {"server": "http://127.0.0.1:1"}, {"cluster": "c", "user": "u"}
    lists = {"clusters": {"cluster": cluster}, "users": {"user": {}}, "contexts": {"context": user}}
    named = {key: [{"name": key[0], **value}] for key, value in lists.items()}
    kubeconfig.write_text(yaml.safe_dump({"kind": "Config", "current-context": "c", **named}))
    ended = navarch("run", environment={"NAVARCH_KUBECONFIG": str(kubeconfig), **variables})
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert ended.err.startswith("navarch run: ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"namespace": "BAD_NS"}, "--namespace 'BAD_NS': write at most 63"),
        ({"namespace": ""}, "--namespace '': write at most 63"),
        ({"namespace": "navarch-probe"}, "is the namespace of the probe"),
        ({"image": ""}, "--image '': is no image"),
        ({"image": "a b: {"}, "--image 'a b: {': is no image"),
        ({"olm_v1_installer": True, "namespace": "a/b"}, "--namespace 'a/b'"),
        ({"monitoring": True, "namespace": "a/b"}, "--namespace 'a/b'"),
        ({"olm_v1_installer": True, "monitoring": True}, "give one of them"),
        ({"monitoring": True, "openshift": True}, "--monitoring and --openshift print different things"),
    ],
)
def test_what_could_not_be_installed_is_not_printed(options: dict[str, Any], said: str) -> None:
    parts = dict.fromkeys(("olm_v1_installer", "monitoring", "openshift"), False)
    usual = {"image": "navarch:1", "namespace": "x", **parts}
    with pytest.raises(InputError, match=said):
        build(**{**usual, **options})


def test_an_output_that_cannot_be_written_is_told_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-P", "-m", "navarch", "images"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=240
        )
    assert (done.returncode, done.stderr) == (1, "navarch: No space left on device\n")


def test_check_and_render_refuse_the_same_files_in_the_same_words() -> None:
    for text, said in (
        (MESH + f"spec: {DEEP}", "nested too deep"),
        (MESH + f"spec: {WIDE}", "where aliases count as often as they are used"),
        (MESH + "spec: &spec {meshConfig: *spec}", "where aliases count as often as they are used"),
        (MESH + "spec: [", "not YAML"),
        (MESH + "spec: {meshConfig: {x: 2024-99-99}}", "not YAML"),
        (f"{MESH}spec: {{}}\n  x: 1", r"not YAML: line \d, column \d: "),
        (MESH + "spec: {version: '1.31', version: '1.30'}", "line 4, column 25: version is set twice"),
        ("", "there is no MeshControlPlane in it$"),
        ("kind: ConfigMap", "there is no MeshControlPlane in it, only ConfigMap$"),
        ("kind: MeshControlplane", "only MeshControlplane; did you mean MeshControlPlane"),
        ("kind: Istio", "only Istio; Istio configures another installer: write a MeshControlPlane"),
        (MESH + "mode: Strict", "mode: there is no such field beside spec; .* indent it"),
        (MESH.replace("v1beta1", "v1"), f"write {API_VERSION}"),
        (MESH.replace("demo", "''"), "metadata.name: is required"),
        (MESH.replace("demo", "1"), "metadata.name: 1: is not a string"),
        (MESH.replace("demo", "My_Mesh"), "metadata.name: 'My_Mesh': write at most 63 of a-z"),
        (MESH.replace("demo", "a.b"), "metadata.name: 'a.b'"),
        (MESH.replace("demo", "m" * 64), "metadata.name: 'm+'"),
        (MESH.replace("demo", "demo, namespace: -x"), "metadata.namespace: '-x'"),
        (MESH.replace("{name: demo}", "demo"), "metadata.name: is required"),
    ):
        for read in (parse_meshes, render_mesh):
            with pytest.raises(InputError, match=said):
                read(text)


def test_meshes_are_read_from_a_list_as_kubectl_prints_it() -> None:
    item = yaml.safe_load(MESH)
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [item, {"kind": "Other"}]})
    assert [mesh["metadata"]["name"] for mesh in parse_meshes(listed)] == ["demo"]


@pytest.mark.parametrize("command", [["render", "-f"], ["check", "-f"]])
def test_a_file_that_does_not_exist_is_named(command: list[str], tmp_path: Path) -> None:
    ended = navarch(*command, str(tmp_path / "none.yaml"))
    assert ended.err == f"navarch {command[0]}: {tmp_path}/none.yaml: No such file or directory\n"


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path: Path) -> None:
    ended = navarch("check", kubeconfig=tmp_path / "none")
    assert (ended.code, ended.out) == (3, "")
    assert f"{tmp_path}/none: no such file; name a kubeconfig by --kubeconfig or $KUBECONFIG" in ended.err


def test_render_refuses_what_the_schema_of_the_api_server_refuses() -> None:
    for spec in ("{version: '1.31', paused: 'true'}", "{version: '1.31', controlPlane: {replicas: '3'}}"):
        with pytest.raises(InputError, match="without quotes"):
            render_mesh(f"{MESH}spec: {spec}")


def test_render_warns_on_standard_error_and_prints_manifests_only(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH + "spec: {version: '1.31', meshConfig: {noSuchField: 1}}")
    ended = navarch("render", "-f", str(path))
    assert ended.code == 0
    assert ended.err.startswith("navarch render: warning: spec.meshConfig.noSuchField"), ended.err
    assert all(document["kind"] for document in yaml.safe_load_all(ended.out))


def test_a_profile_that_is_no_config_map_is_refused() -> None:
    mesh = MESH + "spec: {version: 1.31.1}"
    for profile in ("[", "text", "", "a: 1\n---\nb: 2", "data: {profile.yaml: '['}", DEEP):
        with pytest.raises(InputError):
            render_mesh(mesh, profiles=[profile])


def test_a_mesh_with_a_profile_of_the_cluster_is_told_how_to_hand_it_over() -> None:
    mesh = MESH + "spec: {version: '1.31', profiles: [ours]}"
    with pytest.raises(InputError, match=r"--profile FILE .kubectl get configmap NAME -n navarch-system"):
        render_mesh(mesh)
    profile = "{metadata: {name: ours}, data: {%s: 'images: {hub: example.com/ours}'}}"
    assert "example.com/ours" in str(render_mesh(mesh, profiles=[profile % "profile.yaml"]))
    with pytest.raises(InputError, match=r"ours has no key profile.yaml.*rename profile.yml to profile.yaml"):
        render_mesh(mesh, profiles=[profile % "profile.yml"])


def test_a_mesh_without_a_namespace_is_in_the_one_that_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(f"kind: Other\n---\n---\n{MESH}---\n{MESH.replace('demo', 'demo, namespace: own')}")
    meshes = parse_meshes(read_file(path), namespace="shop")
    assert [mesh["metadata"]["namespace"] for mesh in meshes] == ["shop", "own"]
    assert parse_meshes(MESH)[0]["metadata"] == {"name": "demo", "namespace": "default"}
