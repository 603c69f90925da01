"""The operator itself is replaced by the next build, over a mesh that lives: only what the new build's plan
names is written, and no proxy notices.

The build before is that of the commit before this one, as it was and with one template changed, so that there
is always a difference to see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, assert_quiet, build_operator, install
from tests.polling import eventually
from tests.support.activity import is_leading, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.builds import Build, Named, NoBuild, build_previous, find_named
from tests.support.meshes import build_mesh, get_istiod, wait_for
from tests.support.operator import USER, Operator
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

MESH, APPS = "upgraded", "upgraded-apps"
PROXY = "mesh.navarch.io/proxy"


def change_the_service(build: Build) -> None:
    """A build whose Service of istiod is another one."""
    template = build.root / "templates" / "istiod" / "service.yaml"
    text = template.read_text()
    changed = text.replace("\nspec:\n", "\nspec:\n  publishNotReadyAddresses: true\n")
    assert changed != text
    template.write_text(changed)


@pytest.fixture
def previous(tmp_path: Path) -> Build:
    """The build of the commit before."""
    try:
        return build_previous(tmp_path)
    except NoBuild as reason:
        pytest.skip(str(reason))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of the test's own: its CRDs go back to those of the commit before."""
    with a_lab("upgrade") as cluster:
        yield cluster


async def start_apps(api: Api) -> None:
    """Two pods with proxies."""
    await create_namespace(api, APPS, {"istio.io/rev": f"{MESH}-demo"})
    for name in ("one", "two"):
        api.create(build_pod(APPS, name))
    await eventually(
        lambda: all(is_ready(pod) and is_injected(pod) for pod in api.list("pod", APPS)),
        seconds=60,
        every=0.2,
        what="injected pods are ready",
    )


def look_at_pods(api: Api, namespace: str) -> dict[str, Any]:
    """What would change if istiod, or anything with a proxy, had been started again."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            [status["restartCount"] for status in pod["status"]["containerStatuses"]],
            (pod["metadata"].get("annotations") or {}).get(PROXY),
        )
        for pod in api.list("pod", namespace)
    }


async def replace_the_operator(api: Api, old: Operator, new: Operator) -> None:
    """As a rolling update of its Deployment does it: the new one is ready before the old one is ended."""
    await install(api)
    new.start()
    await eventually(new.is_ready, seconds=60, every=0.1, what=f"the new build is ready, see {new.log}")
    assert not is_leading(new)
    assert old.stop() == 0
    await eventually(lambda: is_leading(new), seconds=30, every=0.1, what="the new build leads")
    await wait_for_rest(new)
    await wait_for(api, MESH)
    await wait_for_rest(new)


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
async def test_the_next_build_writes_only_what_its_plan_names_and_restarts_nothing(
    cluster: Cluster, previous: Build
) -> None:
    change_the_service(previous)
    expected: set[Named] = {("services", MESH, f"istiod-{MESH}-demo-inplace")}
    api, audit = Api(cluster.kubeconfig), Audit(cluster.audit_log or Path(), USER)
    await install(api, previous.root)
    old, new = build_operator(cluster, "old"), build_operator(cluster, "new")
    old.python, old.environment = previous.python, previous.environment
    old.start()
    try:
        mesh = build_mesh(MESH, mtls={"mode": "Strict"})
        await create_namespace(api, MESH)
        api.create(mesh)
        await wait_for(api, MESH)
        await start_apps(api)
        await eventually(lambda: read_census(api) == "2/2", seconds=30, every=0.2, what="proxies are counted")
        await wait_for_rest(old)
        named = find_named(api, mesh, before=previous)
        istiods, proxies = look_at_pods(api, MESH), look_at_pods(api, APPS)
        template, mark = read_template(api), audit.mark()
        await replace_the_operator(api, old, new)

        written = Counter(
            (w.resource, w.namespace, w.name) for w in audit.writes(mark) if w.subresource != "status"
        )
        told = Counter(
            (w.resource, w.namespace, w.name) for w in audit.writes(mark) if w.subresource == "status"
        )
        print(f"named: {sorted(named)}; written: {sorted(written)}; status: {sorted(told.items())}")
        assert written.keys() - named == set()
        assert expected <= written.keys()
        assert max(told.values(), default=0) <= (4 if named else 1)
        assert look_at_pods(api, APPS) == proxies
        if not is_istiod_named(named):
            assert read_template(api) == template
            assert look_at_pods(api, MESH) == istiods
        await assert_quiet(api, audit, new, MESH, "demo")
    finally:
        old.stop()
        new.stop()


def is_istiod_named(named: set[Named]) -> bool:
    return any(resource == "deployments" for resource, _, _ in named)


def read_template(api: Api) -> Object:
    template: Object = get_istiod(api, MESH)["spec"]["template"]
    return template


def read_census(api: Api) -> str:
    mesh = api.get("mesh", MESH, "demo") or {}
    return str(((mesh.get("status") or {}).get("proxies") or {}).get("summary"))
