"""An operator that no longer knows the minor that a mesh runs: the mesh goes on, says what to do, and comes
out of it by an upgrade to a minor that is known, without anything of the old one left in an error.

The newer release is this checkout without one minor in its catalog.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.cluster import Cluster
from tests.cluster.conftest import ROOT, a_lab, assert_quiet, build_operator, install
from tests.polling import eventually
from tests.support.activity import bring_up, wait_for_rest
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.builds import DATA, Build
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import USER
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

MESH, APPS, FORGOTTEN, NEXT = "forgotten", "forgotten-apps", "1.30", "1.31"
VERSIONS = Path("operator", "navarch", "core", "istio", "catalog", "versions.yaml")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with a_lab("forgotten") as cluster:
        yield cluster


@pytest.fixture
def newer(tmp_path: Path) -> Build:
    """A build of this checkout whose catalog has not that minor, nor those before it."""
    for part in (Path("operator"), Path("templates")):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    assert (tmp_path / DATA).is_dir()
    known = yaml.safe_load((tmp_path / VERSIONS).read_text())
    known["minors"] = {name: minor for name, minor in known["minors"].items() if name > FORGOTTEN}
    assert NEXT in known["minors"]
    (tmp_path / VERSIONS).write_text(yaml.safe_dump(known))
    return Build(tmp_path)


async def start_app(api: Api, name: str) -> None:
    api.create(build_pod(APPS, name))
    await eventually(
        lambda: is_injected(pod := api.get("pod", APPS, name) or {}) and is_ready(pod),
        seconds=60,
        what=f"{name} has a proxy",
    )


def read_objects(api: Api) -> dict[tuple[str, str], str]:
    """What the mesh runs by, in the versions of now; a MeshRevision's changes with what is said of it."""
    return read_versions([o for o in list_owned(api, MESH) if o["kind"] != "MeshRevision"])


async def test_a_mesh_of_a_minor_that_navarch_forgot_serves_on_and_leaves_it_by_an_upgrade(
    cluster: Cluster, newer: Build
) -> None:
    api, audit = Api(cluster.kubeconfig), Audit(cluster.audit_log or Path(), USER)
    await install(api)
    old, new = build_operator(cluster, "old"), build_operator(cluster, "new")
    new.python, new.environment = newer.python, newer.environment
    await create_namespace(api, MESH)
    await create_namespace(api, APPS, {"istio.io/rev": f"{MESH}-demo"})
    try:
        await bring_up(old)
        api.create(build_mesh(MESH, version=FORGOTTEN))
        await wait_for(api, MESH)
        await start_app(api, "before")
        await wait_for_rest(old)
        old.stop()
        before, mark = read_objects(api), audit.mark()
        await bring_up(new)
        mesh = await wait_for(api, MESH, condition="SpecAccepted", status="False", reason="UnknownVersion")
        assert f"the nearest is {NEXT}" in read_condition(mesh, "SpecAccepted")["message"]
        assert read_condition(mesh, "Available")["status"] == "True"
        await wait_for_rest(new)
        (revision,) = api.list("revision", MESH)
        assert read_condition(revision, "Reconciled")["reason"] == "UnknownVersion"
        assert read_condition(mesh, "InjectionReady")["status"] == "True"
        assert [str(w) for w in audit.writes(mark) if w.subresource != "status"] == []
        assert read_objects(api) == before
        await start_app(api, "meanwhile")
        edit(api, MESH, version=NEXT)
        mesh = await wait_for(api, MESH)
        assert mesh["status"]["version"]["active"].startswith(f"{NEXT}.")
        assert all(
            read_condition(mesh, c)["status"] == "True" for c in ("Ready", "SpecAccepted", "Available")
        )
        (revision,) = api.list("revision", MESH)
        assert read_condition(revision, "Ready")["status"] == "True"
        assert "InternalError" not in new.log.read_text()
        await start_app(api, "after")
        await assert_quiet(api, audit, new, MESH, "demo")
    finally:
        old.stop()
        new.stop()
