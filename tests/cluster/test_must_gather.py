"""`navarch must-gather`, as a process: what is in its archive, and that no secret is; it changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import Cluster, service_account_kubeconfig
from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.command import Ended, navarch
from tests.support.guides import list_commands, run_command
from tests.support.meshes import build_mesh, list_owned, wait_for
from tests.support.operator import SYSTEM, Operator

PLANTED = "hunter2CorrectHorse"
GUIDE = "collect-for-support.md"


@dataclass(frozen=True)
class Archive:
    """The files of an archive by their path in its one folder."""

    files: dict[str, str]

    def read(self, path: str) -> Any:
        return yaml.safe_load(self.files[path])

    def names(self, path: str) -> set[str]:
        """Names of the objects in a list."""
        return {each["metadata"]["name"] for each in self.read(path)["items"]}


def read_archive(path: Path) -> Archive:
    with tarfile.open(path) as archive:
        read = {m.name: archive.extractfile(m).read().decode() for m in archive.getmembers()}
    assert all(name.startswith("navarch-must-gather/") for name in read)
    return Archive({name.partition("/")[2]: text for name, text in read.items()})


async def gather(cluster: Cluster, path: Path, *arguments: str, kubeconfig: Path | None = None) -> Ended:
    return await asyncio.to_thread(
        navarch, "must-gather", "-o", str(path), *arguments, kubeconfig=kubeconfig or cluster.kubeconfig
    )


@pytest.fixture
async def mesh(api: Api, operator: Operator, fresh: str) -> str:
    """A mesh that is ready, with a secret in places where people put them by mistake."""
    mesh = build_mesh(fresh)
    mesh["metadata"]["annotations"] = {
        "example.com/api-token": PLANTED,
        "note": json.dumps({"spec": {"env": [{"name": "DB_PASSWORD", "value": PLANTED}]}}),
    }
    api.create(mesh)
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "cacerts", "namespace": fresh},
            "stringData": {"x": PLANTED},
        }
    )
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "told", "namespace": fresh},
            "involvedObject": {"kind": "Pod", "namespace": fresh, "name": "x"},
            "reason": "Odd",
            "message": f"login with password={PLANTED} failed",
        }
    )
    await wait_for(api, fresh)
    return fresh


async def test_an_archive_holds_what_is_ours_and_was_made_for_it_and_no_secret(
    installed: Cluster, api: Api, audit: Audit, mesh: str, tmp_path: Path
) -> None:
    mark = audit.mark()
    path = tmp_path / "out.tar.gz"
    ended = await gather(installed, path)
    assert (ended.code, ended.out.strip()) == (0, str(path)), ended
    assert path.stat().st_mode & 0o777 == 0o600
    archive = read_archive(path)
    ours = f"namespaces/{mesh}"
    status = archive.read(f"{ours}/mesh.navarch.io/meshcontrolplanes/demo.yaml")["status"]
    assert status["tag"] == f"{mesh}-demo"
    assert f"{ours}/mesh.navarch.io/meshrevisions/{mesh}-demo-inplace.yaml" in archive.files
    istiod = f"istiod-{mesh}-demo-inplace"
    assert istiod in archive.names(f"{ours}/apps/deployments.yaml")
    assert any(name.startswith(istiod) for name in archive.names(f"{ours}/core/pods.yaml"))
    assert istiod in archive.names(f"{ours}/core/services.yaml")
    assert "told" in archive.names(f"{ours}/core/events.yaml")
    inventories = archive.names(f"namespaces/{SYSTEM}/core/configmaps.yaml")
    assert any(name.startswith("inventory.") for name in inventories)
    assert "navarch" in archive.names(f"namespaces/{SYSTEM}/coordination.k8s.io/leases.yaml")
    scoped = "cluster-scoped-resources"
    injector = next(o for o in list_owned(api, mesh) if o["kind"].startswith("Mutating"))["metadata"]["name"]
    for expected in (
        f"admissionregistration.k8s.io/mutatingwebhookconfigurations/{injector}",
        "admissionregistration.k8s.io/validatingadmissionpolicies/kinds.mesh.navarch.io",
        "apiextensions.k8s.io/customresourcedefinitions/meshcontrolplanes.mesh.navarch.io",
        "apiextensions.k8s.io/customresourcedefinitions/virtualservices.networking.istio.io",
        "rbac.authorization.k8s.io/clusterroles/navarch",
        f"core/namespaces/{mesh}",
    ):
        assert f"{scoped}/{expected}.yaml" in archive.files, expected
    assert {"severity", "id"} <= json.loads(archive.files["check.json"])["findings"][0].keys()
    assert archive.files["check.txt"].startswith("navarch ")
    versions = archive.read("versions.yaml")
    assert versions["kubernetes"]["gitVersion"].startswith("v1.")
    assert versions[f"MeshControlPlane {mesh}/demo"]["active"].startswith("1.31")
    everything = "".join(archive.files.values())
    assert PLANTED not in everything
    assert "(masked)" in archive.files[f"{ours}/mesh.navarch.io/meshcontrolplanes/demo.yaml"]
    # Pods are pretended here, and have no logs: which one could not be read is said twice.
    lines = archive.files["not-read.txt"].splitlines()
    assert any(line.startswith(f"log {mesh}/{istiod}") for line in lines), lines
    assert f"navarch must-gather: {len(lines)} not read or left out" in ended.err
    done = [r for r in audit.everybody(mark) if r.agent in ("navarch-cli", "navarch-must-gather")]
    assert [str(r) for r in done if r.verb not in ("get", "list") and not r.dry_run] == []
    assert [str(r) for r in done if r.resource == "secrets"] == []


async def test_who_may_read_one_namespace_only_gets_that_and_is_told_what_is_missing(
    installed: Cluster, api: Api, mesh: str, tmp_path: Path
) -> None:
    metadata = {"name": "reader", "namespace": mesh}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        }
    )
    kubeconfig = service_account_kubeconfig(installed, mesh, "reader")
    path = tmp_path / "out.tar.gz"

    async def sees_the_mesh() -> bool:
        ended = await gather(installed, path, "-n", mesh, kubeconfig=kubeconfig)
        assert ended.code == 0, ended
        return f"namespaces/{mesh}/mesh.navarch.io/meshcontrolplanes/demo.yaml" in read_archive(path).files

    await eventually(sees_the_mesh, seconds=60, what="the role is in force")
    archive = read_archive(path)
    assert f"namespaces/{mesh}/apps/deployments.yaml" in archive.files
    assert not any(name.startswith(f"namespaces/{SYSTEM}/") for name in archive.files)
    missing = archive.files["not-read.txt"]
    assert f"list meshcontrolplanes.mesh.navarch.io outside namespace {mesh}: not permitted" in missing
    assert "list mutatingwebhookconfigurations.admissionregistration.k8s.io: not permitted" in missing
    assert PLANTED not in "".join(archive.files.values())


async def test_the_commands_of_the_guide_do_what_it_says(installed: Cluster, tmp_path: Path) -> None:
    collecting, looking, *_ = list_commands(GUIDE, "Collect")
    command = f"{sys.executable} -P -m navarch must-gather --kubeconfig {installed.kubeconfig}"
    place = {"navarch-must-gather.tar.gz": str(tmp_path / "a.tar.gz"), "navarch must-gather": command}
    run_command(installed, collecting, names=place)
    assert "navarch-must-gather/versions.yaml" in run_command(installed, looking, names=place)
