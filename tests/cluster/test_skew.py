"""Operator, CRDs and stored revisions of two releases, in every combination: the mesh ends ready, its status
is written, nothing of it is lost, and then nothing is written any more.

The older release is an earlier commit, as it was (tests/support/builds.py); the newer one is this checkout.
What no release has yet is made here: CRDs with fields of tomorrow, a revision that only tomorrow reads, and a
release without a minor that a mesh runs.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

import pytest
import yaml

from lab.cluster import Cluster
from tests.cluster.conftest import ROOT, a_lab, assert_quiet, build_operator, install, remove_namespace
from tests.polling import eventually
from tests.support.activity import bring_up, wait_for_removals, wait_for_rest
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.builds import DATA, OLDER, Build, NoBuild, build_previous
from tests.support.meshes import (
    build_mesh,
    edit,
    get_istiod,
    is_current,
    list_owned,
    read_condition,
    read_versions,
    wait_for,
)
from tests.support.operator import USER, Operator
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

CRDS = ("meshcontrolplanes.mesh.navarch.io", "meshrevisions.mesh.navarch.io")
LACKS = "lacks field v1beta1.spec.certificateAuthority"
KNOWN = "1.31.1"
"""A version of Istio that both releases know."""
_numbers = count(1)


@dataclass(frozen=True)
class Releases:
    """A cluster of the module's own, and two releases of Navarch for it."""

    cluster: Cluster
    api: Api
    builds: dict[str, Build]

    @property
    def audit(self) -> Audit:
        return Audit(self.cluster.audit_log or Path(), USER)

    def build_operator(self, release: str) -> Operator:
        operator, build = build_operator(self.cluster, release), self.builds[release]
        operator.python, operator.environment = build.python, build.environment
        return operator

    async def install(self, *, crds: str, operator: str) -> None:
        """The manifests of the operator's release, and the CRDs of either."""
        await install(self.api, self.builds[operator].root)
        for file in sorted((self.builds[crds].root / "crds").glob("*.yaml")):
            self.api.apply_all(file.read_text())


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    try:
        older = build_previous(tmp_path_factory.mktemp("older"), commit=OLDER)
    except NoBuild as reason:
        pytest.skip(str(reason))
    with a_lab("skew") as cluster:
        yield Releases(cluster, Api(cluster.kubeconfig), {"older": older, "newer": Build(ROOT)})


@pytest.fixture
async def namespace(releases: Releases) -> AsyncIterator[str]:
    """A namespace of the test's own; its mesh is the only one, and goes with it."""
    name = f"skew{next(_numbers)}"
    api = releases.api
    # The older release lacks kinds of this one, which are waited for whichever release is installed.
    await releases.install(crds="newer", operator="newer")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await releases.install(crds="newer", operator="newer")
    cleaner = releases.build_operator("newer")
    await bring_up(cleaner)
    try:
        api.patch("mesh", name, "demo", {"spec": {"paused": None}})
        api.delete("mesh", name, "demo")
        await eventually(lambda: api.get("mesh", name, "demo") is None, seconds=60, what="the mesh is gone")
    finally:
        cleaner.stop()
    api.delete("namespace", "", name)


def read_uids(api: Api, namespace: str) -> dict[tuple[str, str], str]:
    """What a mesh consists of but for rights, which the releases give in ways of their own."""
    rights = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    owned = [o for o in list_owned(api, namespace) if o["kind"] not in rights]
    return {(o["kind"], o["metadata"]["name"]): o["metadata"]["uid"] for o in owned}


async def make_mesh(releases: Releases, namespace: str, *, by: str) -> None:
    """A settled mesh whose revision a release has written."""
    await releases.install(crds=by, operator=by)
    operator = releases.build_operator(by)
    await bring_up(operator)
    try:
        releases.api.create(build_mesh(namespace, version=KNOWN, mtls={"mode": "Strict"}))
        await wait_for(releases.api, namespace)
        await eventually(lambda: read_uids(releases.api, namespace), what="it consists of something")
    finally:
        operator.stop()


UPGRADED, ROLLED_BACK = ("newer", "older", "older"), ("older", "newer", "newer")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All combinations take ten minutes: the short form has what an upgrade and a rollback begin with."""
    names = ("operator", "crds", "revisions")
    if set(names) <= set(metafunc.fixturenames):
        full = metafunc.config.getoption("--full")
        cells = [*product(("older", "newer"), repeat=3)] if full else [UPGRADED, ROLLED_BACK]
        metafunc.parametrize(
            names, cells, ids=[f"operator {o}, CRDs {c}, revisions {r}" for o, c, r in cells]
        )


@pytest.mark.long
async def test_releases_that_are_one_apart_work_together(
    releases: Releases, namespace: str, operator: str, crds: str, revisions: str
) -> None:
    api = releases.api
    await make_mesh(releases, namespace, by=revisions)
    before = read_uids(api, namespace)
    await releases.install(crds=crds, operator=operator)
    process = releases.build_operator(operator)
    mark = process.log.stat().st_size if process.log.exists() else 0
    await bring_up(process)
    try:
        await wait_for(api, namespace)
        edit(api, namespace, controlPlane={"autoscaling": {"enabled": False}, "replicas": 2})
        await wait_for(api, namespace)
        assert get_istiod(api, namespace)["spec"]["replicas"] == 2
        after = read_uids(api, namespace)
        autoscaler = {key for key in before if key[0] == "HorizontalPodAutoscaler"}
        assert {key: uid for key, uid in before.items() if key not in autoscaler}.items() <= after.items()
        assert is_current(api.get("mesh", namespace, "demo"))
        told = read_condition(api.get("mesh", namespace, "demo"), "DependenciesReady")
        if operator == "newer":
            assert told["reason"] == ("NavarchCRDsOutdated" if crds == "older" else "DependenciesMet")
        assert "InternalError" not in process.log.read_text()
        await assert_quiet(api, releases.audit, process, namespace, "demo")
        if (operator, crds) == ("newer", "older"):
            log = process.log.read_bytes()[mark:].decode()
            await see_crds_brought_up_to_date(releases, namespace, process, log)
    finally:
        process.stop()


async def see_crds_brought_up_to_date(
    releases: Releases, namespace: str, process: Operator, log: str
) -> None:
    """Older CRDs were named once, with what they lack, and are no more when the release's own are there."""
    api = releases.api
    mesh = api.get("mesh", namespace, "demo") or {}
    assert LACKS in read_condition(mesh, "DependenciesReady")["message"]
    assert "misplaced" not in mesh["status"]["proxies"]
    assert log.count("CRDs are of an older release") == 1
    assert LACKS in log
    await releases.install(crds="newer", operator="newer")
    await wait_for(api, namespace, condition="DependenciesReady", reason="DependenciesMet")
    await eventually(
        lambda: "misplaced" in (api.get("mesh", namespace, "demo") or {})["status"]["proxies"],
        what="all of status is written",
    )
    await assert_quiet(api, releases.audit, process, namespace, "demo")


def build_crds_of_tomorrow() -> list[Object]:
    """Our CRDs with a field more in each map of spec and status that we know by name, and a further
    strategy, to which a revision may be moved."""

    def grow(schema: Object) -> None:
        if "properties" in schema:
            for child in schema["properties"].values():
                grow(child)
            schema["properties"]["fromTomorrow"] = {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
            }
        if isinstance(schema.get("items"), dict):
            grow(schema["items"])

    grown = []
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = copy.deepcopy(yaml.safe_load(file.read_text()))
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        for part in ("spec", "status"):
            grow(schema[part])
        if "strategy" in schema["spec"]["properties"]:
            schema["spec"]["properties"]["strategy"]["enum"].append("Tomorrow")
            rules = schema["spec"]["x-kubernetes-validations"]
            rules[:] = [rule for rule in rules if rule["fieldPath"] != ".strategy"]
        grown.append(crd)
    return grown


async def test_after_a_rollback_what_only_the_newer_release_knows_harms_nothing(
    releases: Releases, namespace: str
) -> None:
    """This checkout as the older release: CRDs, a mesh and a revision of tomorrow."""
    api = releases.api
    await make_mesh(releases, namespace, by="newer")
    before = read_uids(api, namespace)
    for crd in build_crds_of_tomorrow():
        api.apply(crd)
    name, more = f"{namespace}-demo-inplace", {"fromTomorrow": {"renderer": 2}}
    operator = api.impersonating(USER)

    def is_stored() -> bool:
        spec = {"paused": True, "proxy": more}
        api.patch("mesh", namespace, "demo", {"spec": spec})
        config = {"config": {**more, "proxy": {**more, "readinessPeriodSeconds": None}}}
        with suppress(Refused):  # until the API server goes by the CRDs of tomorrow
            operator.patch("revision", namespace, name, {"spec": {**config, **more, "strategy": "Tomorrow"}})
        operator.patch("revision", namespace, name, {"status": more}, sub="status")
        revision = api.get("revision", namespace, name) or {}
        mesh = api.get("mesh", namespace, "demo") or {}
        return (
            "fromTomorrow" in revision["spec"]["config"]["proxy"] and "fromTomorrow" in mesh["spec"]["proxy"]
        )

    await eventually(is_stored, every=0.2, what="what tomorrow knows is stored")
    process = releases.build_operator("newer")
    await bring_up(process)
    try:

        def is_told() -> bool:
            revision = api.get("revision", namespace, name)
            return read_condition(revision, "Progressing").get("reason") == "RevisionUnreadable"

        await eventually(is_told, seconds=60, every=0.1, what="the revision says that it cannot be read")
        api.patch("mesh", namespace, "demo", {"spec": {"paused": None}})
        await wait_for(api, namespace)
        edit(api, namespace, controlPlane={"networkPolicy": True})
        await wait_for(api, namespace)
        spec = (api.get("revision", namespace, name) or {})["spec"]
        assert spec["strategy"] == "InPlace"
        assert spec["config"]["proxy"]["readinessPeriodSeconds"] == 15
        assert before.items() <= read_uids(api, namespace).items()
        await assert_quiet(api, releases.audit, process, namespace, "demo")
    finally:
        process.stop()


# --- a release that forgot a minor -------------------------------------------------------------------------

MESH, APPS, FORGOTTEN, NEXT = "forgotten", "forgotten-apps", "1.30", "1.31"
VERSIONS = Path("operator", "navarch", "core", "istio", "catalog", "versions.yaml")


@pytest.fixture
def forgetful(tmp_path: Path) -> Build:
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
    releases: Releases, forgetful: Build
) -> None:
    """It says what to do, and comes out of it by an upgrade to a minor that is known, without anything of the
    old one left in an error."""
    api, audit = releases.api, releases.audit
    await releases.install(crds="newer", operator="newer")
    releases.builds["forgetful"] = forgetful
    old, new = releases.build_operator("newer"), releases.build_operator("forgetful")
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
        remove_namespace(api, MESH)
        api.delete("namespace", "", APPS)
        await wait_for_removals(api)
        new.stop()
